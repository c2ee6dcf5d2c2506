//! The way back: from what the files up to now have made of a database to what those up to an older version make.
//!
//! Nobody writes it down, so it is computed from two replays. It begins at what is there: a way back that was cut off is
//! planned anew, and goes on.

use std::time::Duration;

use serde::Serialize;
use sqlx::PgConnection;
use tokio::sync::watch;

use super::super::control;
use super::super::error::Error as Fault;
use super::super::folder::{File, Folder, replayed};
use super::super::ledger::{Kind as Row, Revision};
use super::super::pending::unknown;
use super::super::schema::{
    Done, Hazard, Kind, Model, Plan, Rehearsal, Running, Scope, Scratch, Statement, Wish, groups, plan, rehearse,
    run_on, scoped,
};
use super::super::session::Session;
use super::super::target::Target;
use super::checkpoint::has;
use super::{Error, difference, made, made_in};

/// How far down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Until {
    /// So many versions less.
    Less(usize),
    /// To the state right after a version.
    Version(String),
}

/// How a database is led down.
#[derive(Clone, Debug)]
pub struct Options {
    /// The schema of the ledger, where it is not Atlas's own.
    pub revisions_schema: Option<String>,
    /// The server of scratch databases, where it is not the database's own.
    pub dev_url: Option<String>,
    /// How far.
    pub until: Until,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
    /// The hazards that are accepted.
    pub allowed: Vec<Hazard>,
    /// What is looked at.
    pub scope: Scope,
    /// How long others are waited for.
    pub lock_timeout: Duration,
    /// How long a statement waits for a lock of a table, as Postgres writes it.
    pub statement_lock_timeout: String,
}

/// What was done, or would be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Down {
    /// The version that the database was at.
    pub from: String,
    /// The version that it is at now; none where it is empty.
    pub to: Option<String>,
    /// The versions that are applied no more, newest first.
    pub versions: Vec<String>,
    /// The statements.
    pub statements: Vec<Statement>,
}

/// Leads a database down, telling what becomes of each statement.
///
/// # Errors
/// When the database is not what its ledger says, the plan has hazards that are not accepted, or a statement fails.
pub async fn down(
    folder: &Folder,
    target: &Target,
    options: &Options,
    stop: &mut watch::Receiver<bool>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<Down, Error> {
    if target.schema().is_some() {
        return Err(Error::Part);
    }
    let mut session = Session::open(target, options.revisions_schema.as_deref()).await?;
    if !options.dry_run {
        session.lock(options.lock_timeout, stop).await?;
    }
    let rows = session.rows().await?;
    let kept = kept(&rows, &options.until)?;
    let gone = &rows[kept..];
    let server = options.dev_url.as_deref().unwrap_or_else(|| target.whole());
    let current = applied(folder, &rows)?;
    let older = applied(folder, &rows[..kept])?;

    let mut scope = options.scope.clone();
    let was = made(server, &current, &scope).await?;
    let wished = made(server, &older, &scope).await?;
    // What is nobody's migration is not looked at in the database either.
    for name in [session.ledger.schema(), control::SCHEMA, control::LEDGER] {
        if name != "public" && !was.objects.keys().any(|key| key.kind == Kind::Schema && key.name == name) {
            scope.ignore.push(name.to_owned());
        }
    }
    let is = scoped(&mut session.connection, &scope).await?;
    let from = rows.last().map(|row| row.version.clone()).unwrap_or_default();
    if let Some(what) = difference(&was, &is)
        && !is_on_the_way(server, &current, &wished, &is, &scope).await?
    {
        return Err(Error::Drift { version: from, what });
    }
    let wish = Wish { model: wished, renames: Vec::new() };
    let mut planned = plan(&is, &wish, &scope, Some(server), Rehearsal::Done).await?;
    for statement in &mut planned.statements {
        spare(&mut session.connection, &is, statement).await?;
    }
    let done = Down {
        from,
        to: kept.checked_sub(1).map(|last| rows[last].version.clone()),
        versions: gone.iter().rev().map(|row| row.version.clone()).collect(),
        statements: planned.statements.clone(),
    };
    if options.dry_run {
        return Ok(done);
    }
    refused(&planned, &options.allowed)?;
    let mut statements = planned.statements;
    statements.push(forgetting(&session.ledger.table(), gone));
    let running = Running { lock_timeout: options.statement_lock_timeout.clone() };
    run_on(&mut session.connection, &statements, &running, tell).await?;
    session.close().await;
    Ok(done)
}

fn refused(plan: &Plan, allowed: &[Hazard]) -> Result<(), Error> {
    let refused = plan.refused(allowed);
    if refused.is_empty() {
        return Ok(());
    }
    let refused = refused.into_iter().map(|(hazard, sql)| (hazard, sql.to_owned()));
    Err(Error::Hazards { refused: refused.collect() })
}

/// How many rows of the ledger stay.
pub(super) fn kept(rows: &[Revision], until: &Until) -> Result<usize, Error> {
    if rows.is_empty() {
        return Err(Error::Nothing);
    }
    if let Some(row) = rows.iter().find(|row| row.is_partial()) {
        return Err(Error::Partial { version: row.version.clone() });
    }
    let kept = match until {
        Until::Less(count) => rows.len().saturating_sub(*count),
        Until::Version(version) => {
            let at = rows.iter().position(|row| row.version == *version);
            1 + at.ok_or_else(|| Error::Unapplied {
                version: version.clone(),
                applied: rows.iter().map(|row| row.version.clone()).collect(),
            })?
        }
    };
    match rows[kept..].iter().find(|row| row.kind == Row::BASELINE) {
        Some(row) => Err(Error::Baseline { version: row.version.clone() }),
        None => Ok(kept),
    }
}

/// The files that made a database with those rows.
pub(super) fn applied<'f>(folder: &'f Folder, rows: &[Revision]) -> Result<Vec<&'f File>, Error> {
    let Some(first) = rows.first() else { return Ok(Vec::new()) };
    let find = |row: &Revision| -> Result<&'f File, Fault> {
        let found = folder.files().iter().find(|file| file.version() == row.version);
        found.ok_or_else(|| unknown(&row.version, folder.files()))
    };
    let first_file = find(first)?;
    // What was there before the first row is what the files before it make.
    let before = folder.files().iter().take_while(|file| *file != first_file).chain([first_file]);
    let mut files = match first_file.is_checkpoint() {
        true => vec![first_file],
        false => replayed(before),
    };
    for row in &rows[1..] {
        // What has been said to be there is no sum of what is there already.
        files.extend([find(row)?].into_iter().filter(|file| !file.is_checkpoint()));
    }
    // In the order of the folder, as whoever applied them had it.
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

/// Whether a database is where a way back from those files was cut off.
async fn is_on_the_way(
    server: &str,
    files: &[&File],
    wished: &Model,
    is: &Model,
    scope: &Scope,
) -> Result<bool, Error> {
    let mut whole = is.clone();
    whole.objects.retain(|_, object| !object.has("invalid"));
    let from = made(server, files, scope).await?;
    let wish = Wish { model: wished.clone(), renames: Vec::new() };
    let planned = plan(&from, &wish, scope, Some(server), Rehearsal::Done).await?;
    Scratch::within(server, async |connection| {
        made_in(connection, files, scope).await?;
        if difference(&from, &whole).is_none() {
            return Ok(true);
        }
        for group in groups(&planned.statements) {
            rehearse(connection, group).await?;
            if difference(&scoped(connection, scope).await?, &whole).is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    })
    .await
}

/// Takes the hazard of lost data off a statement that takes none away.
async fn spare(connection: &mut PgConnection, is: &Model, statement: &mut Statement) -> Result<(), Error> {
    if !statement.hazards.iter().any(|risk| risk.hazard == Hazard::DeletesData) {
        return Ok(());
    }
    let found = is.objects.iter().find_map(|(key, object)| match key.kind {
        Kind::Table if statement.sql == format!("DROP TABLE {}", key.name) => Some(format!("SELECT FROM {}", key.name)),
        Kind::Sequence if statement.sql == format!("DROP SEQUENCE {}", key.name) => {
            Some(format!("SELECT FROM {} WHERE is_called", key.name))
        }
        Kind::Column
            if statement.sql == format!("ALTER TABLE {} DROP COLUMN {}", object.parent_name(), object.local) =>
        {
            Some(format!("SELECT FROM {} WHERE {} IS NOT NULL", object.parent_name(), object.local))
        }
        _ => None,
    });
    if let Some(question) = found
        && !has(connection, &question).await?
    {
        statement.hazards.retain(|risk| risk.hazard != Hazard::DeletesData);
    }
    Ok(())
}

/// The statement that takes rows out of the ledger, in the transaction of what they stand for where there is one.
fn forgetting(table: &str, gone: &[Revision]) -> Statement {
    let literal = |row: &Revision| format!("'{}'", row.version.replace('\'', "''"));
    let versions: Vec<String> = gone.iter().map(literal).collect();
    Statement::new(match versions.len() {
        // Nothing is above the newest.
        0 => "SELECT".to_owned(),
        _ => format!("DELETE FROM {table} WHERE version IN ({})", versions.join(", ")),
    })
}
