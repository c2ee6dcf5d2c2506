//! Reads the schema of a database out of its system catalogs.

use std::collections::{BTreeMap, HashMap};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

use super::Error;
use super::model::{Key, Kind, Model, Object};
use super::queries;

/// An object as the catalogs know it: class, number, part.
type Id = (i64, i64, i32);

/// How far a chain of stand-ins is followed.
const ALIASES_MAX: usize = 6;

fn failed(source: sqlx::Error) -> Error {
    Error::Inspect { source }
}

/// The schema of the database, with what those grantees may do.
///
/// # Errors
/// When the catalogs cannot be read.
pub async fn inspect(connection: &mut PgConnection, grantees: &[String]) -> Result<Model, Error> {
    // One snapshot for all questions, and names that are whole wherever the catalogs write them.
    let mut transaction =
        connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await.map_err(failed)?;
    sqlx::query("SET LOCAL search_path = ''").execute(&mut *transaction).await.map_err(failed)?;
    let mut ids: HashMap<Id, Key> = HashMap::new();
    let mut model = Model::default();
    for question in queries::ALL {
        let text = queries::written(question);
        let bound = text.contains("$1");
        let mut query = sqlx::query(AssertSqlSafe(text)).persistent(false);
        if bound {
            query = query.bind(grantees);
        }
        for row in query.fetch_all(&mut *transaction).await.map_err(failed)? {
            let (id, key, object) = read(&row)?;
            ids.insert(id, key.clone());
            model.objects.insert(key, object);
        }
    }
    let aliases = aliases(&mut transaction).await?;
    let edges = told(queries::EDGES, &mut transaction).await?;
    for (from, to, falls) in edges {
        let leaning = aliases.get(&from).is_none_or(|(_, leans)| *leans) || ids.contains_key(&from);
        let (Some(key), Some(other)) = (found(from, &ids, &aliases), found(to, &ids, &aliases)) else { continue };
        if !leaning {
            continue;
        }
        // A part leans on its whole, never the other way round; a sequence does not lean on the column it goes with.
        let whole = is_part_of(&model, other, key);
        let owned = key.kind == Kind::Sequence && other.kind == Kind::Column;
        if key == other || whole || owned {
            continue;
        }
        if let Some(object) = model.objects.get_mut(key) {
            let known = object.depends.entry(other.clone()).or_default();
            *known |= falls;
        }
    }
    let unseen = sqlx::query(queries::UNSEEN).persistent(false).fetch_all(&mut *transaction).await.map_err(failed)?;
    for row in unseen {
        let (what, count): (String, i64) = (row.try_get(0).map_err(failed)?, row.try_get(1).map_err(failed)?);
        model.unseen.push(format!("{count} {what}"));
    }
    transaction.commit().await.map_err(failed)?;
    Ok(model)
}

fn read(row: &sqlx::postgres::PgRow) -> Result<(Id, Key, Object), Error> {
    let text = |name: &str| row.try_get::<Option<String>, _>(name).map_err(failed);
    let unread = |what: &str| Error::Inspect { source: sqlx::Error::Protocol(format!("{what} is not as expected")) };
    let id = (
        row.try_get("class").map_err(failed)?,
        row.try_get("oid").map_err(failed)?,
        row.try_get("sub").map_err(failed)?,
    );
    let kind = text("kind")?.as_deref().and_then(Kind::named).ok_or_else(|| unread("a kind"))?;
    let key = Key::new(kind, text("name")?.unwrap_or_default());
    let parent = match (text("parent_kind")?, text("parent")?) {
        (Some(kind), Some(name)) => Some(Key::new(Kind::named(&kind).ok_or_else(|| unread("a kind"))?, name)),
        _ => None,
    };
    let mut fields: BTreeMap<String, String> =
        serde_json::from_str(&text("fields")?.unwrap_or_default()).map_err(|_| unread("a field"))?;
    fields.retain(|_, value| !value.is_empty());
    Ok((id, key, Object { local: text("local")?.unwrap_or_default(), parent, fields, depends: BTreeMap::new() }))
}

async fn aliases(connection: &mut PgConnection) -> Result<HashMap<Id, (Id, bool)>, Error> {
    let rows = told(queries::ALIASES, connection).await?;
    Ok(rows.into_iter().map(|(from, to, leans)| (from, (to, leans))).collect())
}

/// Pairs of identities, and a flag of each.
async fn told(question: &str, connection: &mut PgConnection) -> Result<Vec<(Id, Id, bool)>, Error> {
    let text = format!(
        "SELECT c::oid::int8, o::int8, s::int4, rc::oid::int8, r::int8, rs::int4, flag \
         FROM ({question}) q (c, o, s, rc, r, rs, flag)"
    );
    let rows = sqlx::query(AssertSqlSafe(text)).persistent(false).fetch_all(connection).await.map_err(failed)?;
    let one = |row: &sqlx::postgres::PgRow| {
        let from = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let to = (row.try_get(3)?, row.try_get(4)?, row.try_get(5)?);
        Ok((from, to, row.try_get(6)?))
    };
    rows.iter().map(one).collect::<Result<_, sqlx::Error>>().map_err(failed)
}

fn found<'i>(id: Id, ids: &'i HashMap<Id, Key>, aliases: &HashMap<Id, (Id, bool)>) -> Option<&'i Key> {
    let mut at = id;
    for _ in 0..ALIASES_MAX {
        let whole = (at.0, at.1, 0);
        if let Some(key) = ids.get(&at) {
            return Some(key);
        }
        match aliases.get(&at).or_else(|| aliases.get(&whole)) {
            // A row type and its composite type stand for each other; whichever is an object is found first.
            Some((next, _)) if ids.contains_key(&whole) && !ids.contains_key(next) => return ids.get(&whole),
            Some((next, _)) => at = *next,
            None => return ids.get(&whole),
        }
    }
    None
}

fn is_part_of(model: &Model, part: &Key, whole: &Key) -> bool {
    let parent = model.get(part).and_then(|object| object.parent.as_ref());
    parent.is_some_and(|parent| parent == whole || is_part_of(model, parent, whole))
}
