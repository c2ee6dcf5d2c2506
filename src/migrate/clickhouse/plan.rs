//! A plan: the steps from what is to what is wished, tried on a scratch copy, bound to both.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::super::folder::{File, Folder, SUM_FILE};
use super::super::schema::{Hazard, Origin, Rehearsal, Rename};
use super::connection::{Connection, quoted};
use super::database;
use super::database::Database;
use super::diff::diff;
use super::error::Error;
use super::inspect::inspect;
use super::model::{Model, Object};
use super::names::relation;
use super::scratch::{Replay, rehearse, within};
use super::step::Step;
use super::write::{self, CLUSTER};

/// What a rehearsal leaves to be done is planned so often again.
const ROUNDS_MAX: usize = 3;

/// A schema that is wished, and what is said about how to get there.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The schema.
    pub model: Model,
    /// New names.
    pub renames: Vec<Rename>,
}

/// The steps from one schema to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Whose it is: `clickhouse`.
    pub engine: String,
    /// The fingerprint of the schema that it begins with.
    pub from: String,
    /// The fingerprint of the schema that it ends with.
    pub to: String,
    /// Whether it was tried.
    pub rehearsed: bool,
    /// The cluster that is changed as a whole.
    pub cluster: Option<String>,
    /// What it leaves alone.
    pub ignore: Vec<String>,
    /// The databases that it is about besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub databases: Vec<String>,
    /// What is to be done.
    pub statements: Vec<Step>,
}

impl Plan {
    /// The hazards that are not among those allowed, each with what it stands for.
    #[must_use]
    pub fn refused(&self, allowed: &[Hazard]) -> Vec<(Hazard, &str)> {
        let risks =
            self.statements.iter().flat_map(|it| it.hazards.iter().map(move |risk| (risk.hazard, it.sql.as_str())));
        risks.filter(|(hazard, _)| !allowed.contains(hazard)).collect()
    }

    /// Reads a plan that was written.
    ///
    /// # Errors
    /// When the file cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Unreadable { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(|error| failed(error.into()))?;
        serde_json::from_str(&text).map_err(|error| failed(error.into()))
    }
}

/// How a plan is made.
#[derive(Clone, Debug, Default)]
pub struct Making {
    /// Names that are left alone.
    pub ignore: Vec<String>,
    /// The cluster that is changed as a whole.
    pub cluster: Option<String>,
    /// Whether what rebuilds leave goes as well.
    pub drop_old: bool,
}

/// A connection to a server, whose database need not be there yet.
///
/// # Errors
/// When it is not reached.
pub async fn connect(url: &str) -> Result<Connection, Error> {
    Connection::open_any(url).await.map_err(|source| Error::Connect { source })
}

/// The schema that an origin has. A folder is applied to a scratch database on that server; `live` are the names by which it
/// may call the database that it is compared with. It says itself which others it is about; of a database they are named.
///
/// # Errors
/// When a database is not reached, or a statement of the folder fails.
pub async fn read(
    origin: &Origin,
    server: Option<&Connection>,
    live: &[&str],
    others: &[String],
    ignore: &[String],
) -> Result<Wish, Error> {
    let mut wish = match origin {
        Origin::Database(url) if url.starts_with("clickhouse:") => {
            Wish { model: inspect(&connect(url).await?, live, others).await?, renames: Vec::new() }
        }
        Origin::Database(_) => return Err(Error::Foreign { found: "a Postgres" }),
        Origin::Folder(path) => {
            let folder = Folder::read(path)?;
            if path.join(SUM_FILE).is_file() {
                folder.check()?;
            }
            let server = server.ok_or_else(|| Error::NoServer { path: path.clone() })?;
            let renames = Rename::said(folder.files());
            let files = match path.join(SUM_FILE).is_file() {
                true => folder.replayed(),
                false => folder.files().iter().collect(),
            };
            Wish { model: made(server, &files, live).await?, renames }
        }
    };
    wish.model.ignore(ignore);
    Ok(wish)
}

/// The plan from a schema to a wish.
///
/// # Errors
/// When there is no scratch database, a name cannot be had, or the plan leads elsewhere.
pub async fn plan(
    from: &Model,
    wish: &Wish,
    server: Option<&Connection>,
    making: &Making,
    rehearsal: Rehearsal,
) -> Result<Plan, Error> {
    let mut to = wish.model.clone();
    as_replicated(&mut to, from);
    as_said(&mut to, from)?;
    let renames = wish.renames.iter().any(|rename| found(from, &rename.old));
    let direct = diff(from, &to, making.drop_old);
    let (steps, rehearsed) = match server {
        _ if direct.is_empty() => (Vec::new(), true),
        _ if rehearsal == Rehearsal::Skipped && !renames => (direct, false),
        Some(server) => {
            let steps = within(server, async |scratch| {
                tried(scratch, from, &to, &wish.renames, making.drop_old, rehearsal).await
            });
            (steps.await?, rehearsal == Rehearsal::Done)
        }
        None => return Err(Error::NoServer { path: "a copy of the schema".into() }),
    };
    let on_cluster =
        making.cluster.as_ref().map(|cluster| format!(" ON CLUSTER {}", quoted(cluster))).unwrap_or_default();
    let database = server.map_or("", Connection::database);
    let databases: BTreeSet<&String> = from.databases.keys().chain(to.databases.keys()).collect();
    let statements = steps.into_iter().map(|step| Step { sql: write::live(&step.sql, database, &on_cluster), ..step });
    Ok(Plan {
        engine: "clickhouse".to_owned(),
        from: from.fingerprint(),
        to: to.fingerprint(),
        rehearsed,
        cluster: making.cluster.clone(),
        ignore: making.ignore.clone(),
        databases: databases.into_iter().cloned().collect(),
        statements: statements.collect(),
    })
}

/// What files make of an empty database. They may call it by those names.
pub(in crate::migrate) async fn made(server: &Connection, files: &[&File], live: &[&str]) -> Result<Model, Error> {
    within(server, async |scratch| {
        let mut replay = Replay::within(scratch, live);
        replay.files(files).await?;
        replay.look().await
    })
    .await
}

/// A step that leads from one schema to the other; none where they are the same. Where both say that a table is replicated,
/// the one that a server knows better stays as it is.
pub(in crate::migrate) fn difference(from: &Model, to: &Model) -> Option<String> {
    let mut to = to.clone();
    as_replicated(&mut to, from);
    let forth = diff(from, &to, false).into_iter().next();
    let step = forth.or_else(|| diff(&to, from, false).into_iter().next());
    step.map(|step| write::live(&step.sql, "", "").split_whitespace().collect::<Vec<_>>().join(" "))
}

/// A cluster may have what one server of it does not tell: where nothing says otherwise, a table stays as it is.
fn as_replicated(to: &mut Model, from: &Model) {
    for (name, object) in &mut to.objects {
        if let (Object::Table(wished), Some(is)) = (object, from.table(name))
            && wished.replicated.is_some()
            && is.replicated.is_some()
        {
            wished.replicated.clone_from(&is.replicated);
        }
    }
}

/// What nobody says of databases stays as it is, and their engines do in any case.
fn as_said(to: &mut Model, from: &Model) -> Result<(), Error> {
    if to.missing {
        return Err(Error::Missing);
    }
    let both = from.databases.iter().filter_map(|(name, is)| Some((name.as_str(), is, to.databases.get(name)?)));
    let own = from.own.iter().zip(&to.own).map(|(is, wished)| ("of the URL", is, wished));
    if let Some((database, is, wished)) = both.chain(own).find(|(_, is, wished)| is.is_of_another_engine(wished)) {
        let [is, wished] = [is, wished].map(|it| it.engine_name().to_owned());
        return Err(Error::Engine { database: database.to_owned(), is, wished });
    }
    // What is left alone would go with its database.
    for (name, is) in from.databases.iter().filter(|(name, _)| from.held.contains(*name)) {
        to.databases.entry(name.clone()).or_insert_with(|| is.clone());
    }
    if to.own.is_none() {
        to.own = if from.missing { Some(Database::default()) } else { from.own.clone() };
    }
    Ok(())
}

/// Without what one server alone cannot have.
pub(in crate::migrate) fn unreplicated(model: &Model) -> Model {
    let mut model = model.clone();
    for object in model.objects.values_mut() {
        if let Object::Table(table) = object {
            table.replicated = None;
        }
    }
    model
}

async fn tried(
    scratch: &Connection,
    from: &Model,
    to: &Model,
    renames: &[Rename],
    drop_old: bool,
    rehearsal: Rehearsal,
) -> Result<Vec<Step>, Error> {
    let unproven = |what: String| Error::Unproven { what };
    let others: BTreeSet<&String> = from.databases.keys().chain(to.databases.keys()).collect();
    let others: Vec<&String> = others.into_iter().collect();
    rehearse(scratch, &diff(&Model::default(), from, false), &others).await?;
    let plain = unreplicated(from);
    let copy = look(scratch, from).await?;
    if let Some(first) = diff(&copy, &plain, false).first() {
        return Err(unproven(format!("the copy is not what it should be: it lacks {:?}", first.sql)));
    }
    let mut now = from.clone();
    // What has a new name may go where there is nothing yet.
    let mut steps = database::begun(from, to);
    rehearse(scratch, &steps, &others).await?;
    now.databases.extend(to.databases.clone());
    (now.own, now.missing) = (to.own.clone(), to.missing);
    for rename in renames {
        let Some((step, next)) = renamed(&now, to, rename)? else { continue };
        rehearse(scratch, std::slice::from_ref(&step), &others).await?;
        steps.push(step);
        // What the server makes of a new name is read from the copy, and what it cannot know from the original.
        let mut read = look(scratch, &next).await?;
        for (name, object) in &mut read.objects {
            if let (Object::Table(table), Some(was)) = (object, next.table(name)) {
                table.replicated.clone_from(&was.replicated);
            }
        }
        read.left = next.left;
        now = read;
    }
    if rehearsal == Rehearsal::Skipped {
        steps.extend(diff(&now, to, drop_old));
        return Ok(steps);
    }
    let wished = unreplicated(to);
    let mut next = diff(&now, to, drop_old);
    for _ in 0..ROUNDS_MAX {
        rehearse(scratch, &next, &others).await?;
        steps.append(&mut next);
        next = diff(&look(scratch, &wished).await?, &wished, false);
        if next.is_empty() {
            return Ok(steps);
        }
    }
    let first = next.first().map(|step| step.sql.clone()).unwrap_or_default();
    Err(unproven(format!("after it, this is still to be done: {first:?}")))
}

/// What a scratch copy has by now; what is said of the database itself is not tried.
async fn look(scratch: &Connection, planned: &Model) -> Result<Model, Error> {
    Ok(Model { own: planned.own.clone(), missing: planned.missing, ..inspect(scratch, &[], &[]).await? })
}

/// The table and the column that a name means, if it means one: another database's name may stand before it.
fn column_of<'n>(model: &Model, of: &'n str) -> Option<(&'n str, &'n str)> {
    let (table, column) = of.rsplit_once('.')?;
    let is_object = model.objects.contains_key(of) || model.databases.contains_key(table);
    (!is_object).then_some((table, column))
}

/// Whether there is something of a name, an object or a column of one.
fn found(model: &Model, of: &str) -> bool {
    match column_of(model, of) {
        None => model.objects.contains_key(of),
        Some((table, column)) => model.table(table).is_some_and(|table| table.column(column).is_some()),
    }
}

/// The step by which something has a new name, and the schema after it; none where it has it already.
fn renamed(from: &Model, to: &Model, rename: &Rename) -> Result<Option<(Step, Model)>, Error> {
    let refused = |why| Error::Rename { old: rename.old.clone(), new: rename.new.clone(), why };
    if !found(from, &rename.old) {
        return Ok(None);
    }
    if found(to, &rename.old) {
        return Err(refused("the wish has both"));
    }
    let mut next = from.clone();
    let sql = match (column_of(from, &rename.old), rename.new.rsplit('.').next()) {
        (Some((table, column)), Some(new)) => {
            if found(from, &format!("{table}.{new}")) {
                return Err(refused("there is one of that name already"));
            }
            if from.table(table).is_some_and(|table| table.has_in_keys(column)) {
                return Err(refused("it is in a key, whose columns keep their names"));
            }
            format!("ALTER TABLE {}{CLUSTER} RENAME COLUMN {} TO {}", relation(table), quoted(column), quoted(new))
        }
        (None, _) => {
            if found(from, &rename.new) {
                return Err(refused("there is one of that name already"));
            }
            let Some(object) = next.objects.remove(&rename.old) else { return Ok(None) };
            let word = if matches!(object, Object::Dictionary(_)) { "DICTIONARY" } else { "TABLE" };
            next.objects.insert(rename.new.clone(), object);
            format!("RENAME {word} {} TO {}{CLUSTER}", relation(&rename.old), relation(&rename.new))
        }
        (Some(_), None) => return Ok(None),
    };
    let step = Step::new(sql).risking(Hazard::Correctness, "whoever asks by the old name fails");
    Ok(Some((step, next)))
}

/// A schema as the statements that make it, in that database.
#[must_use]
pub fn text(model: &Model, database: &str) -> String {
    let steps = diff(&Model::default(), model, false).into_iter();
    let steps: Vec<Step> = steps.map(|step| Step { sql: write::live(&step.sql, database, ""), ..step }).collect();
    super::step::script(&steps)
}
