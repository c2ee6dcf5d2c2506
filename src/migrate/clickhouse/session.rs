//! A ledger that is only added to, and statements with what a file has set.
//!
//! A row is never changed: the newest of a version counts. One is written before each statement and one after it, so that
//! a statement whose end nobody saw is known as such.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;

use super::super::database::Refusal;
use super::super::error::Error;
use super::super::ledger::{Kind, Revision};
use super::super::target::Target;
use super::connection::{Connection, Failure, literal, quoted};
use super::lock::{self, Ground, Lock};
use super::run::{self, Done};
use super::step::Step;

/// The table.
pub(super) const TABLE: &str = "martello_schema_revisions";

/// A database with its ledger.
pub(in crate::migrate) struct Session {
    /// Where migrations go.
    target: Connection,
    /// The same, with what the file has set.
    connection: Connection,
    ground: Ground,
    holder: String,
    lock: Option<Lock>,
    /// The number of the newest row.
    sequence: u64,
    /// Statements that were begun and of whose end nothing is known, by their versions.
    begun: HashMap<String, String>,
    /// Whether that is the one that runs.
    again: bool,
}

/// A row as it is read.
#[derive(Deserialize)]
struct Row {
    sequence: u64,
    version: String,
    description: String,
    kind: i64,
    applied: usize,
    total: usize,
    executed_at: i64,
    execution_time: u64,
    error: String,
    error_stmt: String,
    hash: String,
    partial_hashes: Vec<String>,
    begun: String,
    removed: u8,
    operator_version: String,
}

fn failed(what: &'static str) -> impl Fn(Failure) -> Error {
    move |failure| Error::Database { what, why: failure.said }
}

/// The database of the ledger and of the lock.
pub(super) async fn ground(target: &Target, database: Option<&str>) -> Result<Ground, Error> {
    let unreachable = |failure: Failure| Error::Unreachable { place: target.place(), why: failure.said };
    let connection = Connection::open(target.clickhouse().unwrap_or_default()).await.map_err(unreachable)?;
    let connection = database.map_or_else(|| connection.clone(), |database| connection.within(database));
    let question = "SELECT engine FROM system.databases WHERE name = currentDatabase()";
    let engines = connection.texts(question).await.map_err(unreachable)?;
    let replicated = connection.cluster().is_some() || engines.first().is_some_and(|engine| engine == "Replicated");
    let connection = if replicated { connection.consistent() } else { connection };
    Ok(Ground { connection, replicated, engine })
}

/// The engine of a table that is only added to, which all replicas of all shards share where there are any.
fn engine(ground: &Ground, name: &str) -> String {
    match ground.connection.cluster() {
        // A database that is replicated gives the table its path.
        _ if !ground.replicated => "MergeTree".to_owned(),
        None => "ReplicatedMergeTree".to_owned(),
        Some(cluster) => {
            let path = format!("/martello/{cluster}/{}/{name}", ground.connection.database());
            format!("ReplicatedMergeTree({}, '{{shard}}-{{replica}}')", literal(&path))
        }
    }
}

impl Session {
    pub(in crate::migrate) async fn open(target: &Target, database: Option<&str>) -> Result<Self, Error> {
        let ground = ground(target, database).await?;
        let unreachable = |failure: Failure| Error::Unreachable { place: target.place(), why: failure.said };
        let connection = Connection::open(target.clickhouse().unwrap_or_default()).await.map_err(unreachable)?;
        let holder = uuid::Uuid::new_v4().simple().to_string();
        let connection = connection.with("log_comment", &lock::comment(&holder));
        Ok(Self {
            target: connection.clone(),
            connection,
            ground,
            holder,
            lock: None,
            sequence: 0,
            begun: HashMap::new(),
            again: false,
        })
    }

    pub(in crate::migrate) async fn lock(
        &mut self,
        timeout: Duration,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<(), Error> {
        self.lock = Some(Lock::take(&self.ground, &self.holder, timeout, stop).await?);
        Ok(())
    }

    pub(in crate::migrate) async fn rows(&mut self) -> Result<Vec<Revision>, Error> {
        let read = failed("read the ledger");
        let connection = &self.ground.connection;
        let question =
            format!("SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = '{TABLE}'");
        if connection.texts(&question).await.map_err(&read)?.first().is_none_or(|count| count == "0") {
            return Ok(Vec::new());
        }
        let question = format!(
            "SELECT r.version AS version, max(r.sequence) AS sequence, argMax(r.description, r.sequence) AS description, \
             argMax(r.type, r.sequence) AS kind, argMax(r.applied, r.sequence) AS applied, \
             argMax(r.total, r.sequence) AS total, \
             argMax(toUnixTimestamp64Micro(r.executed_at), r.sequence) AS executed_at, \
             argMax(r.execution_time, r.sequence) AS execution_time, argMax(r.error, r.sequence) AS error, \
             argMax(r.error_stmt, r.sequence) AS error_stmt, argMax(r.hash, r.sequence) AS hash, \
             argMax(r.partial_hashes, r.sequence) AS partial_hashes, argMax(r.begun, r.sequence) AS begun, \
             argMax(r.removed, r.sequence) AS removed, argMax(r.operator_version, r.sequence) AS operator_version \
             FROM {TABLE} AS r GROUP BY r.version ORDER BY version"
        );
        let rows: Vec<Row> = connection.rows(&question).await.map_err(&read)?;
        self.sequence = rows.iter().map(|row| row.sequence).max().unwrap_or_default();
        let mut revisions = Vec::new();
        for row in rows.into_iter().filter(|row| row.removed == 0) {
            let executed_at = Timestamp::from_microsecond(row.executed_at).map_err(|_| Error::Row {
                version: row.version.clone(),
                column: "executed_at",
                found: row.executed_at.to_string(),
            })?;
            if !row.begun.is_empty() {
                self.begun.insert(row.version.clone(), row.begun);
            }
            revisions.push(Revision {
                version: row.version,
                description: row.description,
                kind: Kind::numbered(row.kind),
                applied: row.applied,
                total: row.total,
                executed_at,
                execution_time: Duration::from_nanos(row.execution_time),
                error: row.error,
                error_stmt: row.error_stmt,
                hash: row.hash,
                partial_hashes: row.partial_hashes,
                operator_version: row.operator_version,
            });
        }
        Ok(revisions)
    }

    pub(in crate::migrate) async fn clean(&mut self) -> Result<(), Error> {
        let question = format!(
            "SELECT name FROM system.tables WHERE database = currentDatabase() AND name <> '{TABLE}' \
             AND NOT startsWith(name, '{}') ORDER BY name LIMIT 1",
            lock::TABLE
        );
        let found = self.target.texts(&question).await.map_err(failed("look into the database"))?;
        match found.into_iter().next() {
            None => Ok(()),
            Some(name) => Err(Error::NotClean { found: format!("table {}.{name}", self.target.database()) }),
        }
    }

    pub(in crate::migrate) async fn make(&mut self) -> Result<(), Error> {
        let connection = &self.ground.connection;
        let create = format!(
            "CREATE TABLE IF NOT EXISTS {}{} (sequence UInt64, version String, description String, type Int64, \
             applied UInt64, total UInt64, executed_at DateTime64(6, 'UTC'), execution_time UInt64, error String, \
             error_stmt String, hash String, partial_hashes Array(String), begun String, removed UInt8, \
             operator_version String) ENGINE = {} ORDER BY (version, sequence) \
             COMMENT 'What martello migrate has applied: the newest row of a version counts'",
            quoted(TABLE),
            connection.on_cluster(),
            engine(&self.ground, TABLE)
        );
        connection.execute(&create).await.map_err(failed("make the ledger"))
    }

    pub(in crate::migrate) async fn write(&mut self, row: &Revision) -> Result<(), Error> {
        self.begun.remove(&row.version);
        self.add(row, "", false).await
    }

    /// Nothing is begun by one who is no longer alone.
    pub(in crate::migrate) async fn note(&mut self, row: &Revision, hash: &str) -> Result<(), Error> {
        if let Some(lock) = &self.lock {
            lock.is_held().await?;
        }
        self.again = self.begun.get(&row.version).is_some_and(|begun| begun == hash);
        self.add(row, hash, false).await
    }

    pub(in crate::migrate) async fn delete(&mut self, version: &str) -> Result<(), Error> {
        let row = Revision::new(version, "", Kind::SET, "");
        self.add(&row, "", true).await
    }

    async fn add(&mut self, row: &Revision, begun: &str, removed: bool) -> Result<(), Error> {
        self.sequence += 1;
        let hashes: Vec<String> = row.partial_hashes.iter().map(|hash| literal(hash)).collect();
        let insert = format!(
            "INSERT INTO {TABLE} (sequence, version, description, type, applied, total, executed_at, execution_time, \
             error, error_stmt, hash, partial_hashes, begun, removed, operator_version) SELECT {}, {}, {}, {}, {}, {}, \
             fromUnixTimestamp64Micro(toInt64({}), 'UTC'), {}, {}, {}, {}, [{}]::Array(String), {}, {}, {}",
            self.sequence,
            literal(&row.version),
            literal(&row.description),
            row.kind.number(),
            row.applied,
            row.total,
            row.executed_at.as_microsecond(),
            u64::try_from(row.execution_time.as_nanos()).unwrap_or(u64::MAX),
            literal(&row.error),
            literal(&row.error_stmt),
            literal(&row.hash),
            hashes.join(", "),
            literal(begun),
            u8::from(removed),
            literal(&row.operator_version),
        );
        self.ground.connection.execute(&insert).await.map_err(failed("write the ledger"))
    }

    pub(in crate::migrate) async fn execute(&mut self, text: &str) -> Result<(), Refusal> {
        let sql = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        let executed = self.connection.execute(sql).await;
        if executed.is_ok()
            && let Some(settings) = settings(sql)
        {
            for (name, value) in settings {
                self.connection = self.connection.with(&name, &value);
            }
        }
        if executed.is_ok()
            && let Some(database) = used(sql)
        {
            self.connection = self.connection.within(&database);
        }
        executed.map_err(|failure| {
            let at = failure.place().map_or(0, |place| byte_of(sql, place));
            let mut why = failure.said;
            if std::mem::take(&mut self.again) {
                why += ". It was begun before, by an apply that did not see it end: if the database has what it makes, take \
                        it out of the file";
            }
            Refusal { why, at }
        })
    }

    /// The database that migrations go to.
    pub(in crate::migrate) fn target(&self) -> &Connection {
        &self.target
    }

    /// Runs the steps of a plan under the lock, telling what becomes of each.
    pub(in crate::migrate) async fn lead(
        &self,
        steps: &[Step],
        stop: &watch::Receiver<bool>,
        tell: &mut (dyn FnMut(Done<'_>) + Send),
    ) -> Result<(), super::Error> {
        match &self.lock {
            Some(lock) => run::all(&self.target, steps, 0, lock, stop, tell).await,
            None => Ok(()),
        }
    }

    pub(in crate::migrate) fn reset(&mut self) {
        self.connection = self.target.clone();
    }

    pub(in crate::migrate) async fn close(mut self: Box<Self>) {
        if let Some(lock) = self.lock.take() {
            lock.release().await;
        }
    }
}

/// The byte of a text at a line and a column, both from 1.
fn byte_of(text: &str, (line, column): (usize, usize)) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    before + column.saturating_sub(1)
}

/// What a `SET` sets: over HTTP it would hold for itself alone.
pub(super) fn settings(sql: &str) -> Option<Vec<(String, String)>> {
    let rest = sql.get(..4).filter(|head| head.eq_ignore_ascii_case("SET ")).map(|_| &sql[4..])?;
    let mut found = Vec::new();
    for part in super::text::split(rest, ',') {
        let (name, value) = part.split_once('=')?;
        let value = value.trim();
        let value = match value.strip_prefix('\'').and_then(|value| value.strip_suffix('\'')) {
            Some(text) => text.replace("''", "'").replace("\\'", "'").replace("\\\\", "\\"),
            None => value.to_owned(),
        };
        found.push((name.trim().to_owned(), value));
    }
    Some(found)
}

/// The database that a `USE` goes to.
fn used(sql: &str) -> Option<String> {
    let rest = sql.get(..4).filter(|head| head.eq_ignore_ascii_case("USE ")).map(|_| sql[4..].trim())?;
    Some(rest.trim_matches(['`', '"']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_known_by_its_name_and_value() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let found = settings("SET a = 1, b = 'x, y', c='it''s'");
        assert_eq!(found, Some(vec![pair("a", "1"), pair("b", "x, y"), pair("c", "it's")]));
        assert_eq!(settings("SETTINGS"), None);
        assert_eq!(used("use `marts`"), Some("marts".to_owned()));
        assert_eq!(byte_of("a\nbc", (2, 2)), 3);
    }
}
