//! Runs new files on a scratch database that the old ones have made, and looks at it after each statement.

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::super::error::said;
use super::super::folder::{File, replayed};
use super::super::schema::{self, Model, Scope, Scratch, scoped};
use super::Error;
use super::analyze::words;
use super::contract::{Contracts, Seen};

/// Statements that change no schema: nobody looks after them.
const QUIET: [&str; 10] =
    ["COMMENT", "INSERT", "UPDATE", "DELETE", "SET", "GRANT", "REVOKE", "COPY", "ANALYZE", "VACUUM"];
/// Where the rows of each table are: elsewhere, once the table was written anew.
const PLACES: &str = "SELECT format('%I.%I', n.nspname, c.relname), pg_relation_filenode(c.oid)::int8
   FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// A database at a moment.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) model: Model,
    pub(super) places: BTreeMap<String, i64>,
}

/// What a statement did.
pub(super) struct Step {
    /// Which one, from 0.
    pub(super) statement: usize,
    pub(super) before: Arc<State>,
    pub(super) after: Arc<State>,
}

/// What a file did.
pub(super) struct Replayed {
    pub(super) first: Arc<State>,
    pub(super) last: Arc<State>,
    pub(super) steps: Vec<Step>,
    /// How contracts were kept before, and after.
    pub(super) kept: [Seen; 2],
}

/// What all new files did, and where one failed: file, line, and why.
pub(super) struct Replay<'f> {
    pub(super) files: Vec<(&'f File, Replayed)>,
    pub(super) broken: Vec<(String, usize, String)>,
}

pub(super) async fn replay<'f>(
    old: &[&'f File],
    new: &[&'f File],
    server: &str,
    contracts: &Contracts<'_>,
) -> Result<Replay<'f>, Error> {
    // That a checkpoint is what it should be is for `validate` to say.
    let new: Vec<&File> = new.iter().copied().filter(|file| !file.is_checkpoint()).collect();
    let old = replayed(old.iter().copied());
    let mut broken = Vec::new();
    // As they will be applied, in their transactions.
    let all: Vec<&File> = old.iter().chain(&new).copied().collect();
    let whole = Scratch::within(server, async |connection| schema::replay(connection, &all).await).await;
    if let Err(error) = whole {
        broken.push(fault(error)?);
    }
    if broken.iter().any(|(file, ..)| old.iter().any(|other| other.name == *file)) {
        return Ok(Replay { files: Vec::new(), broken });
    }
    // And one by one, each statement by itself: nothing is seen from outside of a transaction.
    let files = Scratch::at(server, async |scratch| {
        let mut connection = scratch.open().await?;
        schema::replay(&mut connection, &old).await?;
        let mut files = Vec::new();
        let mut kept = contracts.look(scratch, &mut connection).await?;
        let mut state = Arc::new(look(&mut connection).await?);
        for file in new {
            let (steps, last, ended) = walk(&mut connection, file, &state, broken.is_empty()).await?;
            let now = contracts.look(scratch, &mut connection).await?;
            let first = std::mem::replace(&mut state, last);
            files.push((file, Replayed { first, last: state.clone(), steps, kept: [kept, now.clone()] }));
            kept = now;
            if !ended {
                break;
            }
        }
        let _ = connection.close().await;
        Ok::<_, Error>(files)
    });
    Ok(Replay { files: files.await?, broken })
}

/// A failure of a file, which is a finding; others are not.
fn fault(error: schema::Error) -> Result<(String, usize, String), Error> {
    match error {
        schema::Error::Wish { file, line, source } => Ok((file, line, said(&source))),
        other => Err(other.into()),
    }
}

async fn look(connection: &mut PgConnection) -> Result<State, Error> {
    let model = scoped(connection, &Scope::default()).await?;
    let places = sqlx::query_as::<_, (String, Option<i64>)>(PLACES).persistent(false).fetch_all(connection).await;
    let places = places.map_err(|source| schema::Error::Inspect { source })?;
    Ok(State { model, places: places.into_iter().filter_map(|(name, place)| Some((name, place?))).collect() })
}

/// Its statements one by one, and whether that came to its end. Where all is known to run, one that fails only here needs
/// the transaction that it will have, and does nothing that a look would find.
async fn walk(
    connection: &mut PgConnection,
    file: &File,
    first: &Arc<State>,
    whole: bool,
) -> Result<(Vec<Step>, Arc<State>, bool), Error> {
    let mut state = first.clone();
    let mut ended = true;
    let mut steps = Vec::new();
    let statements = file.statements()?;
    for (at, statement) in statements.iter().enumerate() {
        let ran = sqlx::raw_sql(AssertSqlSafe(statement.text.clone())).execute(&mut *connection).await;
        if ran.is_err() && !whole {
            // What came before it is worth knowing.
            ended = false;
            break;
        }
        let is_quiet = words(&statement.text).first().is_some_and(|word| QUIET.contains(&word.as_str()));
        if is_quiet && at + 1 < statements.len() {
            continue;
        }
        let after = Arc::new(look(connection).await?);
        steps.push(Step { statement: at, before: state, after: after.clone() });
        state = after;
    }
    let reset = sqlx::raw_sql("RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL").execute(connection).await;
    reset.map_err(|source| schema::Error::Inspect { source })?;
    Ok((steps, state, ended))
}
