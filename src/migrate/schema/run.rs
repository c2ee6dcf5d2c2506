//! Runs a plan where others read and write: no lock is waited for long, and what was not had is tried again.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};

use super::statement::{SESSION, Statement, groups};
use super::{Error, connect};

/// How often a statement is tried whose lock was not had.
const ATTEMPTS_MAX: u32 = 10;
/// How long is waited before the second try; before each further one twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// How long is waited at most.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// The advisory lock under which Atlas applies migrations: two tools exclude each other.
const LOCK: i64 = 2_686_470_616;

/// How a plan is run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Running {
    /// How long a statement waits for a lock, as Postgres writes it.
    pub lock_timeout: String,
}

/// What has happened to a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done<'s> {
    /// It stays.
    Ran(&'s Statement),
    /// Its lock was not had: it is tried again.
    Waits(&'s Statement),
}

/// Runs statements in a database, telling what becomes of each.
///
/// # Errors
/// When a statement fails. Those before it stay, but for those of its own transaction: a new plan does the rest.
pub async fn run(
    url: &str,
    statements: &[Statement],
    running: &Running,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Error> {
    let mut connection = connect(url).await?;
    let locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)")
        .bind(LOCK)
        .fetch_one(&mut connection)
        .await
        .map_err(failed("pg_try_advisory_lock", 0))?;
    if !locked {
        return Err(Error::Busy);
    }
    run_on(&mut connection, statements, running, tell).await
}

fn failed(sql: &str, done: usize) -> impl FnOnce(sqlx::Error) -> Error + use<> {
    let sql = sql.to_owned();
    move |source| Error::Statement { sql, done, source }
}

/// The same in a session that has the lock.
pub(in crate::migrate) async fn run_on(
    connection: &mut PgConnection,
    statements: &[Statement],
    running: &Running,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Error> {
    for sql in SESSION {
        execute(connection, sql).await.map_err(failed(sql, 0))?;
    }
    let mut done = 0;
    for group in groups(statements) {
        let patient = group.iter().all(|statement| statement.patient);
        let limit = if patient { "0" } else { running.lock_timeout.as_str() };
        let limit = format!("SET lock_timeout = '{limit}'");
        execute(connection, &limit).await.map_err(failed(&limit, done))?;
        let mut pause = PAUSE;
        for attempt in 1.. {
            match once(connection, group).await {
                Ok(()) => break,
                Err((at, source)) if attempt < ATTEMPTS_MAX && is_passing(&source) => {
                    tell(Done::Waits(at));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                    if let Some(sweep) = &at.sweep {
                        execute(connection, sweep).await.map_err(failed(sweep, done))?;
                    }
                }
                Err((at, source)) => {
                    if let Some(sweep) = &at.sweep {
                        // What fails here is found by the next plan.
                        let _ = execute(connection, sweep).await;
                    }
                    return Err(failed(&at.sql, done)(source));
                }
            }
        }
        done += group.len();
        group.iter().for_each(|statement| tell(Done::Ran(statement)));
    }
    Ok(())
}

/// Runs a group: one alone as it is, more in a transaction.
async fn once<'s>(connection: &mut PgConnection, group: &'s [Statement]) -> Result<(), (&'s Statement, sqlx::Error)> {
    let [first, ..] = group else { return Ok(()) };
    let Some(last) = group.last().filter(|_| group.len() > 1) else {
        return execute(connection, &first.sql).await.map_err(|error| (first, error));
    };
    execute(connection, "BEGIN").await.map_err(|error| (first, error))?;
    for statement in group {
        if let Err(error) = execute(connection, &statement.sql).await {
            // A connection that broke has rolled back.
            let _ = execute(connection, "ROLLBACK").await;
            return Err((statement, error));
        }
    }
    execute(connection, "COMMIT").await.map_err(|error| (last, error))
}

async fn execute(connection: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await.map(drop)
}

/// Whether it may go well the next time: `lock_not_available`, `deadlock_detected`.
fn is_passing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}
