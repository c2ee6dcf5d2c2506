//! The control store: which relation is which version of a dataset, which of them is current, who has an API key, and which
//! exports are to be made.
//!
//! This room knows no contract, no request and no source. A version names a relation; who reads it is above. A key is a
//! hash and claims; what they let somebody do is above as well.

mod api_key;
mod audit;
mod change;
mod job;
mod pointer;
mod postgres;
mod row;
mod sqlite;
mod version;
mod watch;

use std::time::Duration;

use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use uuid::Uuid;

use crate::name::Name;

pub use api_key::{ApiKey, KEYS_MAX};
pub use audit::{Recorded, Sought};
pub use change::{Change, Draft};
pub use job::{Added, Job, JobState, Reach};
pub use pointer::Pointer;
pub use version::{Version, VersionId, Versions};
pub use watch::Watcher;

/// Versions of a dataset that are told of, the newest: a walk of pages that began on an older one goes on with the
/// current one.
pub const HISTORY_MAX: u32 = 256;

/// How long one publish waits for those before it.
const TURN_TIMEOUT: Duration = Duration::from_secs(600);
/// How long a command waits for a connection. A look is over sooner.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the store may take for one look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// The channel on which a store in Postgres announces that it has changed.
const CHANNEL: &str = "martello";

/// The control store.
pub struct Store(Kind);

enum Kind {
    Postgres(PgPool),
    Sqlite(SqlitePool),
}

/// Which store it is, and how often it has changed. Equal epochs have equal contents.
pub(crate) type Epoch = Option<(Uuid, i64)>;

/// Why the store does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its URL cannot be read.
    #[error("read the URL of the control store")]
    Url(#[source] sqlx::Error),
    /// It cannot be reached, or refuses.
    #[error("{0} the control store")]
    Database(&'static str, #[source] sqlx::Error),
    /// It has no tables, or older ones.
    #[error("find the tables of the control store: run martello control init, or apply migrations/control")]
    NoTables,
    /// It has not answered in time.
    #[error("hear from the control store in time")]
    Timeout,
    /// It holds something that Martello never writes.
    #[error("read {column} of a row in the control store: {found:?}")]
    Row {
        /// Of which column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
    /// Another publish of the same dataset has not come to its end.
    #[error("wait for another publish of {0} to end")]
    Busy(String),
}

impl Store {
    /// Opens the store at that URL. No connection is made yet; a file of SQLite is made with the first.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn open(url: &str) -> Result<Self, Error> {
        let kind = match url.starts_with("sqlite:") {
            true => Kind::Sqlite(sqlite::pool(url)?),
            false => Kind::Postgres(postgres::pool(url)?),
        };
        Ok(Self(kind))
    }

    /// Makes the tables of a store in SQLite, which are also made by themselves. Those of Postgres come as migrations.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn init(&self) -> Result<(), Error> {
        match &self.0 {
            Kind::Postgres(_) => Ok(()),
            Kind::Sqlite(pool) => sqlite::init(pool).await,
        }
    }

    /// What was published, and what of it is current.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn versions(&self) -> Result<Versions, Error> {
        self.look(None).await.map(|(_, versions)| versions.unwrap_or_default())
    }

    async fn epoch(&self) -> Result<Epoch, Error> {
        match &self.0 {
            Kind::Postgres(pool) => postgres::epoch(pool).await,
            Kind::Sqlite(pool) => sqlite::epoch(pool).await,
        }
    }

    /// What is current, unless nothing has changed since that epoch.
    async fn look(&self, known: Option<Epoch>) -> Result<(Epoch, Option<Versions>), Error> {
        let looked = async {
            // The counter first: what changes in between is read again with the next look.
            let epoch = self.epoch().await?;
            if known == Some(epoch) {
                return Ok((epoch, None));
            }
            let versions = match &self.0 {
                Kind::Postgres(pool) => postgres::versions(pool).await?,
                Kind::Sqlite(pool) => sqlite::versions(pool).await?,
            };
            Ok((epoch, Some(versions)))
        };
        tokio::time::timeout(LOOK_TIMEOUT, looked).await.map_err(|_| Error::Timeout)?
    }

    /// Waits for its turn to change a dataset. Whatever is not committed is as if it had not been.
    ///
    /// # Errors
    /// When the store does not answer, or others take too long.
    pub async fn change(&self, dataset: &Name) -> Result<Change, Error> {
        let begun = async {
            match &self.0 {
                Kind::Postgres(pool) => postgres::begin(pool, dataset).await,
                Kind::Sqlite(pool) => sqlite::begin(pool, dataset).await,
            }
        };
        tokio::time::timeout(TURN_TIMEOUT, begun).await.map_err(|_| Error::Busy(dataset.to_string()))?
    }
}

/// A failure while the store was being asked to do something.
fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |error| {
        // undefined_table and invalid_schema_name of Postgres.
        let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
        match code.as_deref() {
            Some("42P01" | "3F000") => Error::NoTables,
            _ => Error::Database(what, error),
        }
    }
}
