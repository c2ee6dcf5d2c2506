//! Executes plans: a plan becomes a statement of the source's dialect, and its rows become record batches in the
//! contract's types, the same from every source.
//!
//! This room knows databases. It knows no request, no role and no encoding.

mod decode;
mod gate;
mod idle;
mod load;
mod postgres;
mod select;
mod sql;
mod sqlite;
mod wire;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::ArrowError;
use futures_util::Stream;
use futures_util::future::BoxFuture;

use crate::catalog::{Dataset, Name};
use crate::config;
use crate::plan::Plan;

pub use load::{LoadError, Loader, Mode};
pub use postgres::Postgres;
pub use select::statement;
pub use sql::{Dialect, Parameter, Statement};
pub use sqlite::Sqlite;

pub(crate) use decode::canonical_json;

/// Rows of one batch at most: enough to fill a cache line many times over, little enough to hold many.
const BATCH_ROWS: usize = 4096;

/// Record batches as they arrive. Dropping the stream ends the statement.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch, Error>> + Send>>;

/// A database that holds marts.
pub trait Source: Send + Sync {
    /// Executes a plan; rows come in the plan's order, one more than its limit at most.
    fn execute(&self, plan: &Plan) -> BatchStream;

    /// Whether statements would be answered now.
    fn ready(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Where the live relation of a dataset differs from its contract; empty when it keeps it.
    fn mismatches<'a>(&'a self, dataset: &'a Dataset) -> BoxFuture<'a, Result<Vec<Mismatch>, Error>>;
}

/// A point on which a live relation and its contract differ.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{dataset}{}: the contract says {contract}, {relation} has {found}", column.as_ref().map(|column| format!(".{column}")).unwrap_or_default())]
pub struct Mismatch {
    /// The contract.
    pub dataset: String,
    /// The column, where it is about one.
    pub column: Option<String>,
    /// What the contract says.
    pub contract: String,
    /// The live relation.
    pub relation: String,
    /// What the relation has.
    pub found: String,
}

/// Every configured source, by name.
#[derive(Clone, Default)]
pub struct Sources(BTreeMap<String, Arc<dyn Source>>);

impl Sources {
    /// Opens every configured source. No connection is made yet: a database that is down delays no start.
    ///
    /// # Errors
    /// When a URL cannot be read.
    pub fn open(configs: &BTreeMap<String, config::Source>) -> Result<Self, Error> {
        let mut sources: BTreeMap<String, Arc<dyn Source>> = BTreeMap::new();
        for (name, config) in configs {
            let source: Arc<dyn Source> = if config.url.expose().starts_with("sqlite:") {
                Arc::new(Sqlite::open(name, config)?)
            } else {
                Arc::new(Postgres::open(name, config)?)
            };
            sources.insert(name.clone(), source);
        }
        Ok(Self(sources))
    }

    /// The source of that name.
    ///
    /// # Errors
    /// When none is configured so.
    pub fn get(&self, name: &Name) -> Result<&Arc<dyn Source>, Error> {
        self.0.get(name.as_str()).ok_or_else(|| Error::Unknown(name.to_string()))
    }

    /// Every source with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn Source>)> {
        self.0.iter().map(|(name, source)| (name.as_str(), source))
    }
}

/// Why a source does not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A contract names a source that is not configured.
    #[error("find source {0:?} in the configuration")]
    Unknown(String),
    /// The source's URL cannot be read.
    #[error("read the URL of source {source_name:?}")]
    Url {
        /// The source.
        source_name: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Every connection is taken, and so is every place in the queue, or the wait was too long.
    #[error("find room in the pool")]
    Busy,
    /// The database cannot be reached, or the connection broke.
    #[error("reach the database")]
    Unavailable(#[source] sqlx::Error),
    /// The statement took too long.
    #[error("finish the statement in time")]
    Timeout,
    /// The database refused the statement.
    #[error("execute the statement")]
    Statement(#[source] sqlx::Error),
    /// A column is of a type that its contract's cannot be read from.
    #[error("read column {column} as {contract}: the source has {found}")]
    Type {
        /// The column.
        column: String,
        /// The contract's type.
        contract: String,
        /// The source's type.
        found: String,
    },
    /// A value is none of its contract's type.
    #[error("read a value of column {column} exactly as {contract}")]
    Value {
        /// The column.
        column: String,
        /// The contract's type.
        contract: String,
    },
    /// The rows make no batch.
    #[error("build a record batch")]
    Batch(#[source] ArrowError),
}

impl Error {
    fn kind(&self) -> &'static str {
        match self {
            Self::Unknown(_) | Self::Url { .. } => "configuration",
            Self::Busy => "busy",
            Self::Unavailable(_) => "unavailable",
            Self::Timeout => "timeout",
            Self::Statement(_) => "statement",
            Self::Type { .. } | Self::Value { .. } | Self::Batch(_) => "contract",
        }
    }
}

/// Counts a failed statement.
fn count(source: &str, error: &Error) {
    metrics::counter!("martello_source_errors_total", "source" => source.to_owned(), "kind" => error.kind())
        .increment(1);
}
