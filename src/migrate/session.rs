//! A connection that migrations run on. Its lock is held by the very session that applies, so that it goes when, and not
//! before, the last statement of an apply that was killed has come to its end.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgDatabaseError};
use sqlx::{Connection as _, Row as _};
use tokio::sync::watch;

use super::error::{Error, failed, said};
use super::folder::Transactions;
use super::ledger::{Ledger, Revision, TABLE};
use super::target::Target;
use crate::clock;
use crate::source::attend;

/// How long a database may take to let a command in.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Atlas's lock: FNV-1 of `atlas_migrate_execute` in 32 bits. Whoever holds it is alone, whichever tool it is.
pub const LOCK: i64 = 2_686_470_616;

/// The lock is tried again after so long, and after twice as long each time, up to the last.
const LOCK_TRIES: [Duration; 2] = [Duration::from_millis(25), Duration::from_secs(1)];

/// Schemas of the control store, which may be in the same database and are nobody's marts.
const CONTROL: [&str; 2] = [super::control::SCHEMA, super::control::LEDGER];

/// A connection, and where the ledger of its database is.
pub(super) struct Session {
    pub(super) connection: PgConnection,
    pub(super) ledger: Ledger,
    target: Target,
}

impl Session {
    /// Connects, and looks where the ledger is.
    pub(super) async fn open(target: &Target, revisions_schema: Option<&str>) -> Result<Self, Error> {
        let connection = connect(target).await?;
        let mut session = Self { connection, ledger: Ledger::of(TABLE), target: target.clone() };
        session.unpooled().await?;
        session.ledger = session.place(revisions_schema).await?;
        session.attend().await?;
        Ok(session)
    }

    /// A pooler by transaction gives one server's connection to several sessions, or several to one: the numbers of the
    /// servers' processes show it.
    async fn unpooled(&mut self) -> Result<(), Error> {
        let Ok(mut other) = connect(&self.target).await else { return Ok(()) };
        let mut own = vec![process(&mut self.connection).await?];
        sqlx::raw_sql("BEGIN").execute(&mut other).await.map_err(failed("look for a pooler"))?;
        let foreign = process(&mut other).await?;
        own.push(process(&mut self.connection).await?);
        sqlx::raw_sql("ROLLBACK").execute(&mut other).await.map_err(failed("look for a pooler"))?;
        // Twice: one that goes around among its connections comes to another.
        own.push(process(&mut self.connection).await?);
        own.push(process(&mut self.connection).await?);
        // That one ends by itself as well.
        let _ = other.close().await;
        match own.iter().all(|process| *process == own[0] && *process != foreign) {
            true => Ok(()),
            false => Err(Error::Pooled { place: self.target.place() }),
        }
    }

    /// In the schema that is asked for, in the URL's, or in Atlas's own.
    async fn place(&mut self, asked: Option<&str>) -> Result<Ledger, Error> {
        if let Some(schema) = asked {
            return Ok(Ledger::of(schema));
        }
        let old = Ledger::of(TABLE);
        let Some(schema) = self.target.schema() else { return Ok(old) };
        let ledger = Ledger::of(schema);
        if !ledger.exists(&mut self.connection).await? && old.exists(&mut self.connection).await? {
            return Err(Error::Ambiguous { schema: schema.to_owned() });
        }
        Ok(ledger)
    }

    /// Has the server look, while a statement runs, whether its client is still there: one that was killed leaves nothing
    /// running. Servers before 14 and some systems cannot, and end the statement when it ends.
    pub(super) async fn attend(&mut self) -> Result<(), Error> {
        attend(&mut self.connection).await.map_err(failed("set up the session"))
    }

    /// Takes the lock, and holds it until the session ends. It is tried, not waited for: one who waits has a snapshot, for
    /// whose end `CREATE INDEX CONCURRENTLY` would wait in turn.
    pub(super) async fn lock(&mut self, timeout: Duration, stop: &mut watch::Receiver<bool>) -> Result<(), Error> {
        let begun = clock::instant();
        let mut pause = LOCK_TRIES[0];
        loop {
            if self.try_lock().await? {
                return Ok(());
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(Error::Locked { waited: timeout, holder: self.holder().await });
            }
            if tokio::time::timeout(pause.min(left), stopped(stop)).await.is_ok() {
                let at = "while another apply was waited for".to_owned();
                return Err(Error::Interrupted { at, mode: Transactions::All });
            }
            pause = (pause * 2).min(LOCK_TRIES[1]);
        }
    }

    /// Whether it has the lock now; whoever has it already has it still.
    async fn try_lock(&mut self) -> Result<bool, Error> {
        let tried = sqlx::query_scalar("SELECT pg_catalog.pg_try_advisory_lock($1)").persistent(false).bind(LOCK);
        tried.fetch_one(&mut self.connection).await.map_err(failed("take the lock of migrations"))
    }

    /// Who holds the lock, as far as the server tells.
    async fn holder(&mut self) -> String {
        const HOLDER: &str = "SELECT l.pid, coalesce(nullif(a.application_name, ''), 'unnamed') AS name, \
             coalesce(a.usename, '?')::text AS role, coalesce(host(a.client_addr), 'local') AS host \
             FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid) \
             WHERE l.locktype = 'advisory' AND l.granted AND l.classid = 0 AND l.objid::bigint = $1 AND l.objsubid = 1 \
             AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())";
        let found =
            sqlx::query(HOLDER).persistent(false).bind(LOCK).fetch_optional(&mut self.connection).await.ok().flatten();
        let told = found.and_then(|row| {
            let text = |column: &str| row.try_get::<String, _>(column).ok();
            let pid: i32 = row.try_get("pid").ok()?;
            Some(format!("process {pid} ({}, {}@{})", text("name")?, text("role")?, text("host")?))
        });
        told.unwrap_or_else(|| "somebody".to_owned())
    }

    /// The rows of the ledger; none where there is no ledger.
    pub(super) async fn rows(&mut self) -> Result<Vec<Revision>, Error> {
        match self.ledger.exists(&mut self.connection).await? {
            true => self.ledger.read(&mut self.connection).await,
            false => Ok(Vec::new()),
        }
    }

    /// A ledger begins with an empty database: else a migration would be applied to what has it already.
    pub(super) async fn clean(&mut self) -> Result<(), Error> {
        // Tables, not what extensions bring along.
        const TABLES: &str = "SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_namespace n \
             LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p') \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e') \
             WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' \
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.objid = n.oid AND d.deptype = 'e') \
             AND ($1::text IS NULL OR n.nspname = $1) AND n.nspname <> ALL ($2) ORDER BY 1, 2";
        let own: &[&str] = if CONTROL.contains(&self.ledger.schema()) { &[] } else { &CONTROL };
        let found = sqlx::query_as::<_, (String, Option<String>)>(TABLES)
            .persistent(false)
            .bind(self.target.schema())
            .bind(own);
        let found = found.fetch_all(&mut self.connection).await.map_err(failed("look into the database"))?;
        for (schema, table) in found {
            let ledger = schema == self.ledger.schema();
            match table {
                Some(table) if ledger && table == TABLE => {}
                Some(table) => return Err(Error::NotClean { found: format!("table {schema}.{table}") }),
                None if ledger || schema == "public" || self.target.schema().is_some() => {}
                None => return Err(Error::NotClean { found: format!("schema {schema}") }),
            }
        }
        Ok(())
    }

    /// Makes the session as it was before a file set anything in it, so that a file does the same wherever an apply began.
    pub(super) async fn reset(&mut self) -> Result<(), Error> {
        const RESET: &str = "RESET SESSION AUTHORIZATION; RESET ROLE; RESET ALL";
        sqlx::raw_sql(RESET).execute(&mut self.connection).await.map_err(failed("reset the session"))?;
        // `DISCARD ALL` in a file lets every lock go.
        if !self.try_lock().await? {
            return Err(Error::Locked { waited: Duration::ZERO, holder: self.holder().await });
        }
        self.attend().await
    }

    /// Ends, and lets the lock go.
    pub(super) async fn close(self) {
        // The server ends the session either way.
        let _ = self.connection.close().await;
    }
}

/// Until somebody asks to stop; for ever where nobody can.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        std::future::pending::<()>().await;
    }
}

async fn connect(target: &Target) -> Result<PgConnection, Error> {
    let unreachable = |why| Error::Unreachable { place: target.place(), why };
    let options = target.options().ok_or_else(|| unreachable("it is no Postgres".to_owned()))?;
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, PgConnection::connect_with(options)).await;
    let connected = connected.map_err(|_| unreachable(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs())))?;
    connected.map_err(|error| unreachable(said(&error)))
}

/// The server's process behind a connection. Without a prepared statement, which some poolers know nothing of.
async fn process(connection: &mut PgConnection) -> Result<i32, Error> {
    use sqlx::Executor as _;
    let row = connection.fetch_one(sqlx::raw_sql("SELECT pg_catalog.pg_backend_pid()")).await;
    row.and_then(|row| row.try_get(0)).map_err(failed("look for a pooler"))
}

/// At which byte of a statement the database found fault; at its beginning where it does not say.
pub(super) fn place_of(error: &sqlx::Error, statement: &str) -> usize {
    use sqlx::postgres::PgErrorPosition;
    let database = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    match database.and_then(PgDatabaseError::position) {
        Some(PgErrorPosition::Original(character)) => {
            statement.char_indices().nth(character.saturating_sub(1)).map_or(0, |(at, _)| at)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_that_of_atlas() {
        let fold = |hash: u32, byte: &u8| hash.wrapping_mul(0x0100_0193) ^ u32::from(*byte);
        assert_eq!(i64::from(b"atlas_migrate_execute".iter().fold(0x811c_9dc5, fold)), LOCK);
    }
}
