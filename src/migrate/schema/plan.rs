//! A plan: the statements from what is to what is wished, tried on a scratch copy, bound to both.

use std::path::Path;

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::super::folder::File;
use super::diff::diff;
use super::inspect::inspect;
use super::model::{Key, Kind, Model};
use super::scratch::{Scratch, fill, folder, rehearse};
use super::statement::{Hazard, Statement};
use super::{Error, LEDGERS, Origin, Scope, connect};

/// The directive by which the SQL of a wish says that something has a new name.
const RENAME: &str = "-- martello:rename ";
/// What a rehearsal leaves to be done is planned so often again: types change how Postgres writes what leans on them.
const ROUNDS_MAX: usize = 3;

/// That something has a new name, which nothing but its owner can know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rename {
    /// What it is called: `table`, `table.column`, with the schema before it where that is not `public`.
    pub old: String,
    /// What it should be called.
    pub new: String,
}

impl Rename {
    /// Those that files speak of.
    pub(in crate::migrate) fn said(files: &[File]) -> Vec<Self> {
        let lines = files.iter().flat_map(|file| file.text.lines());
        let directives = lines.filter_map(|line| line.trim().strip_prefix(RENAME));
        let renames = directives.filter_map(|rest| rest.trim().split_once(char::is_whitespace));
        renames.map(|(old, new)| Self { old: old.to_owned(), new: new.trim().to_owned() }).collect()
    }
}

/// A schema that is wished, and what is said about how to get there.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The schema.
    pub model: Model,
    /// New names.
    pub renames: Vec<Rename>,
}

/// The statements from one schema to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The fingerprint of the schema that it begins with.
    pub from: String,
    /// The fingerprint of the schema that it ends with.
    pub to: String,
    /// Whether it was tried.
    pub rehearsed: bool,
    /// The roles whose grants it knows.
    pub grantees: Vec<String>,
    /// What it leaves alone.
    pub ignore: Vec<String>,
    /// What is to be done.
    pub statements: Vec<Statement>,
}

impl Plan {
    /// The hazards that are not among those allowed, each with what it stands for.
    #[must_use]
    pub fn refused(&self, allowed: &[Hazard]) -> Vec<(Hazard, &str)> {
        let risks =
            self.statements.iter().flat_map(|it| it.hazards.iter().map(move |risk| (risk.hazard, it.sql.as_str())));
        risks.filter(|(hazard, _)| !allowed.contains(hazard)).collect()
    }

    /// What was looked at.
    #[must_use]
    pub fn scope(&self) -> Scope {
        Scope { grantees: self.grantees.clone(), ignore: self.ignore.clone() }
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

/// Whether a plan is tried before it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rehearsal {
    /// On a scratch copy of the structure.
    Done,
    /// Not at all.
    Skipped,
}

/// The schema of a database.
pub(in crate::migrate) async fn scoped(connection: &mut PgConnection, scope: &Scope) -> Result<Model, Error> {
    let mut model = inspect(connection, &scope.grantees).await?;
    let ledgers = LEDGERS.iter().map(|pattern| (*pattern).to_owned());
    model.ignore(&ledgers.chain(scope.ignore.iter().cloned()).collect::<Vec<_>>());
    Ok(model)
}

/// The schema that an origin has. A folder is applied to a scratch database on that server.
///
/// # Errors
/// When a database is not reached, or a statement of the folder fails.
pub async fn read(origin: &Origin, server: Option<&str>, scope: &Scope) -> Result<Wish, Error> {
    match origin {
        Origin::Database(url) => {
            let mut connection = connect(url).await?;
            Ok(Wish { model: scoped(&mut connection, scope).await?, renames: Vec::new() })
        }
        Origin::Folder(path) => {
            // A folder that is not in order needs no server to say so.
            let (folder, _) = folder(path)?;
            let server = server.ok_or_else(|| Error::NoServer { path: path.clone() })?;
            let renames = Rename::said(folder.files());
            let model = Scratch::within(server, async |connection| {
                fill(connection, path).await?;
                scoped(connection, scope).await
            });
            Ok(Wish { model: model.await?, renames })
        }
    }
}

/// The plan from a schema to a wish. Where something has a new name, or it is to be rehearsed, a scratch copy is made on
/// that server.
///
/// # Errors
/// When there is no scratch database, a name cannot be had, or the plan leads elsewhere.
pub async fn plan(
    from: &Model,
    wish: &Wish,
    scope: &Scope,
    server: Option<&str>,
    rehearsal: Rehearsal,
) -> Result<Plan, Error> {
    let to = &wish.model;
    // One may say what a table's column is called once the table has its new name.
    let renames =
        if wish.renames.iter().any(|rename| found(from, &rename.old).is_some()) { &wish.renames[..] } else { &[] };
    let direct = diff(from, to);
    let (statements, rehearsed) = match (server, rehearsal) {
        _ if direct.is_empty() => (Vec::new(), true),
        (_, Rehearsal::Skipped) if renames.is_empty() => (direct, false),
        (Some(server), _) => {
            let tried = Scratch::within(server, async |connection| {
                tried(connection, from, direct, to, renames, scope, rehearsal).await
            });
            (tried.await?, rehearsal == Rehearsal::Done)
        }
        (None, _) => return Err(Error::NoServer { path: "a copy of the schema".into() }),
    };
    let Scope { grantees, ignore } = scope.clone();
    Ok(Plan { from: from.fingerprint(), to: to.fingerprint(), rehearsed, grantees, ignore, statements })
}

async fn tried(
    connection: &mut PgConnection,
    from: &Model,
    direct: Vec<Statement>,
    to: &Model,
    renames: &[Rename],
    scope: &Scope,
    rehearsal: Rehearsal,
) -> Result<Vec<Statement>, Error> {
    let empty = scoped(connection, scope).await?;
    // An index that failed is an index here.
    let mut meant = from.clone();
    meant.objects.values_mut().for_each(|object| drop(object.fields.remove("invalid")));
    let copying = diff(&empty, &meant);
    let unproven = |what: String| Error::Unproven { what };
    rehearse(connection, &copying).await?;
    let copy = scoped(connection, scope).await?;
    let rest = diff(&copy, &meant);
    if let Some(first) = rest.first() {
        return Err(unproven(format!("the copy is not what it should be: it lacks {:?}", first.sql)));
    }
    let mut statements = Vec::new();
    let mut now = copy;
    for rename in renames {
        let Some(statement) = renaming(&now, to, rename)? else { continue };
        rehearse(connection, std::slice::from_ref(&statement)).await?;
        statements.push(statement);
        now = scoped(connection, scope).await?;
    }
    let mut next = if statements.is_empty() { direct } else { diff(&now, to) };
    if rehearsal == Rehearsal::Skipped {
        statements.append(&mut next);
        return Ok(statements);
    }
    for _ in 0..ROUNDS_MAX {
        rehearse(connection, &next).await?;
        statements.append(&mut next);
        next = diff(&scoped(connection, scope).await?, to);
        if next.is_empty() {
            return Ok(statements);
        }
    }
    let first = next.first().map(|statement| statement.sql.clone()).unwrap_or_default();
    Err(unproven(format!("after it, this is still to be done: {first:?}")))
}

/// The object of a name, its schema left out or not.
fn found<'m>(model: &'m Model, name: &str) -> Option<&'m Key> {
    let named = |key: &&Key| {
        let has_name = !matches!(key.kind, Kind::Default | Kind::Ownership | Kind::ReplicaIdentity | Kind::ViewColumn);
        has_name && (key.name == name || key.name.strip_prefix("public.") == Some(name))
    };
    model.objects.keys().find(named)
}

fn renaming(from: &Model, to: &Model, rename: &Rename) -> Result<Option<Statement>, Error> {
    let refused = |why| Error::Rename { old: rename.old.clone(), new: rename.new.clone(), why };
    let Some((key, object)) = found(from, &rename.old).and_then(|key| from.objects.get_key_value(key)) else {
        return Ok(None);
    };
    if to.objects.contains_key(key) {
        return Err(refused("the wish has both"));
    }
    let local = rename.new.rsplit('.').next().unwrap_or(&rename.new);
    let before = key.name.strip_suffix(object.local.as_str()).unwrap_or_default();
    let wished = Key::new(key.kind, format!("{before}{local}"));
    if from.objects.contains_key(&wished) {
        return Err(refused("there is one of that name already"));
    }
    let (name, parent, old) = (&key.name, object.parent_name(), &object.local);
    let word = match key.kind {
        Kind::Schema => "SCHEMA",
        Kind::Table => "TABLE",
        Kind::View => "VIEW",
        Kind::MaterializedView => "MATERIALIZED VIEW",
        Kind::Sequence => "SEQUENCE",
        Kind::Index => "INDEX",
        Kind::Enum | Kind::Range | Kind::Composite => "TYPE",
        Kind::Domain => "DOMAIN",
        Kind::Statistics => "STATISTICS",
        Kind::Collation => "COLLATION",
        Kind::Column => "COLUMN",
        Kind::Constraint => "CONSTRAINT",
        Kind::Trigger => "TRIGGER",
        Kind::Policy => "POLICY",
        Kind::Rule => "RULE",
        _ => return Err(refused("nothing of its kind is renamed")),
    };
    let sql = match key.kind {
        Kind::Column | Kind::Constraint => format!("ALTER TABLE {parent} RENAME {word} {old} TO {local}"),
        Kind::Trigger | Kind::Policy | Kind::Rule => format!("ALTER {word} {old} ON {parent} RENAME TO {local}"),
        _ => format!("ALTER {word} {name} RENAME TO {local}"),
    };
    let risk = "whoever asks by the old name fails";
    Ok(Some(Statement::new(sql).risking(Hazard::Correctness, risk)))
}
