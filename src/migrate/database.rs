//! What an apply needs of a database, whichever it is: a lock, a ledger, and statements that run one after another.

use std::time::Duration;

use sqlx::AssertSqlSafe;
use tokio::sync::watch;

use super::clickhouse;
use super::error::{Error, failed, said};
use super::ledger::Revision;
use super::session::{Session, place_of};
use super::statements::Language;
use super::target::Target;

/// A database with its ledger.
pub(super) enum Database {
    Postgres(Box<Session>),
    ClickHouse(Box<clickhouse::Session>),
}

/// That a statement failed.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What the database said.
    pub(super) why: String,
    /// The byte of the statement at which it found fault.
    pub(super) at: usize,
}

impl Database {
    /// Connects, and looks where the ledger is.
    pub(super) async fn open(target: &Target, revisions_schema: Option<&str>) -> Result<Self, Error> {
        Ok(match target.clickhouse() {
            Some(_) => Self::ClickHouse(Box::new(clickhouse::Session::open(target, revisions_schema).await?)),
            None => Self::Postgres(Box::new(Session::open(target, revisions_schema).await?)),
        })
    }

    /// Whose SQL it takes.
    pub(super) fn language(&self) -> Language {
        match self {
            Self::Postgres(_) => Language::Postgres,
            Self::ClickHouse(_) => Language::ClickHouse,
        }
    }

    /// Takes the lock of migrations, and holds it until the end.
    pub(super) async fn lock(&mut self, timeout: Duration, stop: &mut watch::Receiver<bool>) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.lock(timeout, stop).await,
            Self::ClickHouse(session) => session.lock(timeout, stop).await,
        }
    }

    /// The rows of the ledger; none where there is no ledger.
    pub(super) async fn rows(&mut self) -> Result<Vec<Revision>, Error> {
        match self {
            Self::Postgres(session) => session.rows().await,
            Self::ClickHouse(session) => session.rows().await,
        }
    }

    /// Whether a ledger may begin there: else a migration would be applied to what has it already.
    pub(super) async fn clean(&mut self) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.clean().await,
            Self::ClickHouse(session) => session.clean().await,
        }
    }

    /// Makes the ledger where there is none.
    pub(super) async fn make(&mut self) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.ledger.make(&mut session.connection).await,
            Self::ClickHouse(session) => session.make().await,
        }
    }

    /// Writes a row of the ledger, over the one of that version.
    pub(super) async fn write(&mut self, row: &Revision) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.ledger.write(&mut session.connection, row).await,
            Self::ClickHouse(session) => session.write(row).await,
        }
    }

    /// Notes that a statement begins, where no transaction tells later whether it did.
    pub(super) async fn note(&mut self, row: &Revision, hash: &str) -> Result<(), Error> {
        match self {
            Self::Postgres(_) => Ok(()),
            Self::ClickHouse(session) => session.note(row, hash).await,
        }
    }

    /// Takes a row of the ledger away.
    pub(super) async fn delete(&mut self, version: &str) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.ledger.delete(&mut session.connection, version).await,
            Self::ClickHouse(session) => session.delete(version).await,
        }
    }

    /// Begins a transaction, where there are any.
    pub(super) async fn begin(&mut self) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => order(session, "BEGIN").await.map_err(failed("begin a transaction")),
            Self::ClickHouse(_) => Ok(()),
        }
    }

    /// Ends it, and keeps what it did; otherwise what the database said.
    pub(super) async fn commit(&mut self) -> Result<(), String> {
        match self {
            Self::Postgres(session) => order(session, "COMMIT").await.map_err(|error| said(&error)),
            Self::ClickHouse(_) => Ok(()),
        }
    }

    /// Ends it without a trace. A connection that is gone has done so by itself.
    pub(super) async fn rollback(&mut self) {
        if let Self::Postgres(session) = self {
            let _ = order(session, "ROLLBACK").await;
        }
    }

    /// Runs a statement.
    pub(super) async fn execute(&mut self, text: &str) -> Result<(), Refusal> {
        match self {
            Self::Postgres(session) => {
                let executed = sqlx::raw_sql(AssertSqlSafe(text.to_owned())).execute(&mut session.connection).await;
                executed.map(drop).map_err(|error| Refusal { why: said(&error), at: place_of(&error, text) })
            }
            Self::ClickHouse(session) => session.execute(text).await,
        }
    }

    /// Forgets what a file has set.
    pub(super) async fn reset(&mut self) -> Result<(), Error> {
        match self {
            Self::Postgres(session) => session.reset().await,
            Self::ClickHouse(session) => {
                session.reset();
                Ok(())
            }
        }
    }

    /// Ends, and lets the lock go. A connection whose statement was given up is dropped: its farewell would wait.
    pub(super) async fn close(self, well: bool) {
        match self {
            Self::Postgres(session) if well => session.close().await,
            Self::Postgres(_) => {}
            Self::ClickHouse(session) => session.close().await,
        }
    }
}

async fn order(session: &mut Session, text: &'static str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(text).execute(&mut session.connection).await.map(drop)
}
