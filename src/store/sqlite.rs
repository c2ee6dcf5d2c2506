//! The control store in a file of SQLite: for a demo, or one instance. It makes its tables itself.

use std::str::FromStr as _;

use jiff::Timestamp;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Connection as _, Executor as _, Row as _};
use uuid::Uuid;

use super::change::{Change, Connection};
use super::version::{Version, VersionId, Versions};
use super::{ACQUIRE_TIMEOUT, Epoch, Error, HISTORY_MAX, LOOK_TIMEOUT, TURN_TIMEOUT, failed, row};
use crate::name::Name;

const CONNECTIONS_MAX: u32 = 2;

/// The tables of `schema/control`, in SQLite's types and names that no mart has: instants are microseconds, days, JSON
/// and the times of events texts.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS martello_version (
  id TEXT PRIMARY KEY, dataset TEXT NOT NULL, number INTEGER NOT NULL CHECK (number > 0), relation TEXT NOT NULL,
  published_at INTEGER NOT NULL, data_through TEXT, rows INTEGER NOT NULL, statistics TEXT NOT NULL,
  checks TEXT NOT NULL, contract TEXT NOT NULL, operator TEXT NOT NULL, rollback_of INTEGER, retired_at INTEGER,
  dropped_at INTEGER, UNIQUE (dataset, number)
) STRICT;
CREATE TABLE IF NOT EXISTS martello_pointer (dataset TEXT PRIMARY KEY, version TEXT NOT NULL REFERENCES martello_version (id)) STRICT;
CREATE TABLE IF NOT EXISTS martello_change (
  singleton INTEGER PRIMARY KEY DEFAULT 1 CHECK (singleton = 1), store TEXT NOT NULL, counter INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE TABLE IF NOT EXISTS martello_api_key (
  id TEXT PRIMARY KEY, name TEXT NOT NULL, subject TEXT NOT NULL, claims TEXT NOT NULL, hash TEXT NOT NULL,
  operator TEXT NOT NULL, created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS martello_audit (
  id TEXT PRIMARY KEY, time TEXT NOT NULL, kind TEXT NOT NULL, dataset TEXT, role TEXT, subject TEXT, event TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS martello_audit_time ON martello_audit (time, id);
CREATE INDEX IF NOT EXISTS martello_audit_dataset ON martello_audit (dataset, time, id);
CREATE INDEX IF NOT EXISTS martello_audit_subject ON martello_audit (subject, time, id);
CREATE TABLE IF NOT EXISTS martello_job (
  id TEXT PRIMARY KEY, subject TEXT NOT NULL, role TEXT NOT NULL, dataset TEXT NOT NULL, same TEXT NOT NULL,
  asked TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'expired')),
  attempt INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL, started_at INTEGER, finished_at INTEGER,
  lease_until INTEGER, kept_until INTEGER, rows INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  parts INTEGER NOT NULL DEFAULT 0, outcome TEXT
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS martello_job_same ON martello_job (same) WHERE state IN ('queued', 'running', 'done');
CREATE INDEX IF NOT EXISTS martello_job_subject ON martello_job (subject, created_at);
CREATE INDEX IF NOT EXISTS martello_job_state ON martello_job (state, created_at);";

/// The newest versions of every dataset.
const VERSIONS: &str = "SELECT v.*, v.id = p.version AS current \
     FROM (SELECT *, row_number() OVER (PARTITION BY dataset ORDER BY number DESC) AS place FROM martello_version) v \
     JOIN martello_pointer p ON p.dataset = v.dataset WHERE v.place <= ?1";

pub(super) fn pool(url: &str) -> Result<SqlitePool, Error> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(Error::Url)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(LOOK_TIMEOUT);
    let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(ACQUIRE_TIMEOUT);
    Ok(pool.connect_lazy_with(options))
}

pub(super) async fn init(pool: &SqlitePool) -> Result<(), Error> {
    pool.execute(TABLES).await.map(drop).map_err(failed("make the tables of"))
}

pub(super) async fn epoch(pool: &SqlitePool) -> Result<Epoch, Error> {
    let asked = || sqlx::query("SELECT store, counter FROM martello_change").fetch_optional(pool);
    let found = match asked().await {
        // The file is new, or another process has taken its place.
        Err(error) if is_without_tables(&error) => {
            init(pool).await?;
            asked().await
        }
        found => found,
    };
    let Some(found) = found.map_err(failed("look into"))? else { return Ok(None) };
    let store: String = found.try_get(0).map_err(failed("read"))?;
    let counter = found.try_get(1).map_err(failed("read"))?;
    let store = Uuid::parse_str(&store).map_err(|_| Error::Row { column: "store", found: store.clone() })?;
    Ok(Some((store, counter)))
}

/// SQLite has one code for all that is wrong with a statement.
pub(super) fn is_without_tables(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("no such table"))
}

pub(super) async fn versions(pool: &SqlitePool) -> Result<Versions, Error> {
    let rows = sqlx::query(VERSIONS).bind(i64::from(HISTORY_MAX)).fetch_all(pool).await;
    row::versions(&rows.map_err(failed("look into"))?)
}

/// A connection of its own. SQLite has one writer: publishes of all datasets wait for each other.
pub(super) async fn begin(pool: &SqlitePool, dataset: &Name) -> Result<Change, Error> {
    init(pool).await?;
    let options = pool.connect_options().as_ref().clone().busy_timeout(TURN_TIMEOUT);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed("reach"))?;
    connection.execute("BEGIN IMMEDIATE").await.map_err(failed("lock"))?;
    let rows = sqlx::query(VERSIONS).bind(i64::from(HISTORY_MAX)).fetch_all(&mut connection).await;
    let versions = row::versions(&rows.map_err(failed("look into"))?)?;
    Ok(Change { dataset: dataset.clone(), connection: Connection::Sqlite(Box::new(connection)), versions })
}

pub(super) async fn publish(connection: &mut SqliteConnection, version: &Version) -> Result<(), Error> {
    const INSERT: &str = "INSERT INTO martello_version (id, dataset, number, relation, published_at, data_through, rows, \
        statistics, checks, contract, operator, rollback_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let moved = async {
        sqlx::query("UPDATE martello_version SET retired_at = ?2 WHERE id = (SELECT version FROM martello_pointer WHERE dataset = ?1)")
            .bind(version.dataset.as_str())
            .bind(version.published_at.as_microsecond())
            .execute(&mut *connection)
            .await?;
        sqlx::query(INSERT)
            .bind(version.id.to_string())
            .bind(version.dataset.as_str())
            .bind(signed(version.number))
            .bind(version.relation.to_string())
            .bind(version.published_at.as_microsecond())
            .bind(version.data_through.map(|day| day.to_string()))
            .bind(signed(version.rows))
            .bind(&version.statistics)
            .bind(&version.checks)
            .bind(&version.contract)
            .bind(&version.operator)
            .bind(version.rollback_of.map(signed))
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "INSERT INTO martello_pointer (dataset, version) VALUES (?1, ?2) \
             ON CONFLICT (dataset) DO UPDATE SET version = excluded.version",
        )
        .bind(version.dataset.as_str())
        .bind(version.id.to_string())
        .execute(&mut *connection)
        .await?;
        commit(connection).await
    };
    moved.await.map_err(failed("publish in"))
}

pub(super) async fn give_up(
    connection: &mut SqliteConnection,
    versions: &[VersionId],
    now: Timestamp,
) -> Result<(), Error> {
    let given_up = async {
        for version in versions {
            sqlx::query("UPDATE martello_version SET dropped_at = ?2 WHERE id = ?1")
                .bind(version.to_string())
                .bind(now.as_microsecond())
                .execute(&mut *connection)
                .await?;
        }
        commit(connection).await
    };
    given_up.await.map_err(failed("change"))
}

/// Counts the change; who polls sees it.
pub(super) async fn commit(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO martello_change (singleton, store) VALUES (1, ?1) ON CONFLICT (singleton) DO UPDATE SET counter = counter + 1",
    )
    .bind(Uuid::new_v4().to_string())
    .execute(&mut *connection)
    .await?;
    connection.execute("COMMIT").await.map(drop)
}

/// SQLite has no unsigned numbers; nothing is counted so far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
