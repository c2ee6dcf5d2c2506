//! A file that is the sum of all before it.

use sqlx::{AssertSqlSafe, PgConnection};

use super::super::error::failed;
use super::super::folder::Folder;
use super::super::import::later;
use super::super::schema::{Kind, Model, Scope, Scratch, diff, replay, scoped};
use super::write::body;
use super::{Draft, Error, difference, made, with};

/// Whoever may do something in the database and does not own it.
const GRANTEES: &str = "SELECT DISTINCT coalesce(r.rolname, 'public')::text FROM (
   SELECT relacl AS acl, relowner AS owner FROM pg_catalog.pg_class
   UNION ALL SELECT attacl, c.relowner FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
   UNION ALL SELECT proacl, proowner FROM pg_catalog.pg_proc UNION ALL SELECT nspacl, nspowner FROM pg_catalog.pg_namespace
   UNION ALL SELECT typacl, typowner FROM pg_catalog.pg_type) o, aclexplode(o.acl) x
   LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee
 WHERE x.grantee <> o.owner AND r.rolname IS NOT NULL AND r.rolname !~ '^pg_'";

/// What a schema as it is written says nothing of, so that a file of it would lose it: rights that everybody has unless
/// they are taken away, those of what will be made, and owners.
const UNHELD: &str = "WITH own AS (SELECT n.oid FROM pg_catalog.pg_namespace n WHERE n.nspname !~ '^pg_'
     AND n.nspname <> 'information_schema')
   SELECT 'that ' || p.oid::regprocedure || ' is not for everybody' FROM pg_catalog.pg_proc p JOIN own ON own.oid = p.pronamespace
   WHERE p.proacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(p.proacl) x WHERE x.grantee = 0)
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
 UNION ALL SELECT 'that type ' || t.oid::regtype || ' is not for everybody' FROM pg_catalog.pg_type t
   JOIN own ON own.oid = t.typnamespace
   WHERE t.typacl IS NOT NULL AND NOT EXISTS (SELECT FROM aclexplode(t.typacl) x WHERE x.grantee = 0)
 UNION ALL SELECT 'default privileges' WHERE EXISTS (SELECT FROM pg_catalog.pg_default_acl)
 UNION ALL SELECT 'the owner of ' || c.oid::regclass FROM pg_catalog.pg_class c JOIN own ON own.oid = c.relnamespace
   WHERE c.relowner <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
     AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
 UNION ALL SELECT 'the owner of ' || p.oid::regprocedure FROM pg_catalog.pg_proc p JOIN own ON own.oid = p.pronamespace
   WHERE p.proowner <> (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)
     AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
 ORDER BY 1";

/// The file that holds what the folder makes, with a tag or none.
///
/// # Errors
/// When the folder makes what a file of this kind cannot hold, or the file would make something else.
pub async fn checkpoint(
    folder: &Folder,
    tag: Option<&str>,
    leave_rows: bool,
    server: &str,
    scope: &Scope,
) -> Result<Draft, Error> {
    folder.check()?;
    folder.distinct()?;
    let mut scope = scope.clone();
    scope.grantees.push("public".to_owned());
    let (empty, whole) = Scratch::within(server, async |connection| {
        let before = scoped(connection, &scope).await?;
        replay(connection, &folder.replayed()).await?;
        let granted: Vec<String> = sqlx::query_scalar(GRANTEES)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("look who may do what"))?;
        scope.grantees.extend(granted);
        scope.grantees.sort();
        scope.grantees.dedup();
        let whole = scoped(connection, &scope).await?;
        let unheld: Vec<String> = sqlx::query_scalar(UNHELD)
            .persistent(false)
            .fetch_all(&mut *connection)
            .await
            .map_err(failed("look what a checkpoint cannot hold"))?;
        let what: Vec<String> = whole.unseen.iter().cloned().chain(unheld).collect();
        if !what.is_empty() {
            return Err(Error::Unheld { what });
        }
        let tables = filled(connection, &whole).await?;
        if !tables.is_empty() && !leave_rows {
            return Err(Error::Rows { tables });
        }
        Ok((before, whole))
    })
    .await?;
    let statements = diff(&empty, &whole);
    let mut text = format!("-- atlas:checkpoint{}\n", tag.map_or_else(String::new, |tag| format!(" {tag}")));
    if statements.iter().any(|statement| statement.alone) {
        text += "-- atlas:txmode none\n";
    }
    text += "\n";
    text += &body(&statements);
    let newest = folder.files().last().map(|file| file.version().to_owned()).unwrap_or_default();
    let draft = Draft { name: later(&newest, Some("checkpoint"))?, sql: text, hazards: Vec::new() };
    let reached = made(server, &with(folder, std::slice::from_ref(&draft)).replayed(), &scope).await?;
    match difference(&whole, &reached) {
        Some(what) => Err(Error::Checkpoint { file: draft.name, what }),
        None => Ok(draft),
    }
}

/// The tables that have rows.
async fn filled(connection: &mut PgConnection, model: &Model) -> Result<Vec<String>, Error> {
    let mut filled = Vec::new();
    for key in model.objects.keys().filter(|key| key.kind == Kind::Table) {
        if has(connection, &format!("SELECT FROM ONLY {}", key.name)).await? {
            filled.push(key.name.clone());
        }
    }
    Ok(filled)
}

/// Whether a question has an answer.
pub(super) async fn has(connection: &mut PgConnection, question: &str) -> Result<bool, Error> {
    let query = AssertSqlSafe(format!("SELECT EXISTS ({question})"));
    let found = sqlx::query_scalar(query).persistent(false).fetch_one(connection).await;
    Ok(found.map_err(failed("look for rows"))?)
}
