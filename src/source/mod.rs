//! Executes plans: a plan becomes a statement of the source's dialect, and its rows become record batches in the
//! contract's types, the same from every source.
//!
//! This room knows databases. It knows no request, no role and no encoding.

mod condition;
mod decode;
mod gate;
mod idle;
mod load;
mod measure;
mod postgres;
mod render;
mod select;
mod sql;
mod sqlite;
mod wire;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use futures_util::future::BoxFuture;
use futures_util::{Stream, TryStreamExt as _};

use crate::catalog::{Dataset, Name, Type};
use crate::config;
use crate::plan::Plan;

pub use load::{LoadError, Loader, Mode};
pub use postgres::Postgres;
pub use select::{Parents, counting, reading, statement};
pub use sql::{Dialect, Parameter, Statement};
pub use sqlite::Sqlite;

use decode::Rows;
pub(crate) use decode::canonical_json;

/// Rows of one batch at most: enough to fill a cache line many times over, little enough to hold many.
const BATCH_ROWS: usize = 4096;

/// Record batches as they arrive. Dropping the stream ends the statement.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch, Error>> + Send>>;

/// A database that holds marts.
pub trait Source: Send + Sync {
    /// Whose SQL it takes.
    fn dialect(&self) -> Dialect;

    /// Runs a statement of its dialect.
    fn run(&self, statement: Statement, reading: Reading) -> BatchStream;

    /// Whether statements would be answered now.
    fn ready(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Where the live relation of a dataset differs from its contract; empty when it keeps it.
    fn mismatches<'a>(&'a self, dataset: &'a Dataset) -> BoxFuture<'a, Result<Vec<Mismatch>, Error>>;
}

/// What a statement's columns are read as.
pub struct Reading {
    schema: SchemaRef,
    columns: Vec<(String, Type)>,
    /// Rows that are expected, for the room they take.
    rows: usize,
}

impl Reading {
    /// The fields of a plan. A statement asks for one row more than its page.
    fn of(plan: &Plan) -> Self {
        let columns = plan.fields().iter().map(|field| (field.name.to_string(), field.data_type)).collect();
        let rows = usize::try_from(plan.limit()).unwrap_or(BATCH_ROWS).saturating_add(1);
        Self { schema: schema(plan), columns, rows }
    }

    /// Columns of no plan.
    fn columns(columns: &[(&str, Type)]) -> Self {
        let fields: Vec<Field> = columns.iter().map(|(name, data_type)| data_type.field(name, true)).collect();
        let columns = columns.iter().map(|(name, data_type)| ((*name).to_owned(), *data_type)).collect();
        Self { schema: Arc::new(Schema::new(fields)), columns, rows: 1 }
    }

    fn rows(self) -> Rows {
        Rows::of(self.schema, self.columns, self.rows)
    }
}

/// The schema of the batches that answer a plan.
#[must_use]
pub fn schema(plan: &Plan) -> SchemaRef {
    let fields = plan.fields().iter();
    let fields: Vec<Field> = fields.map(|field| field.data_type.field(field.name.as_str(), field.nullable)).collect();
    Arc::new(Schema::new(fields))
}

/// The rows of a plan in its order, one more than its limit at most; of a plan for related rows, those of the parents.
pub fn execute(source: &dyn Source, plan: &Plan, parents: Option<&Parents>) -> BatchStream {
    source.run(statement(plan, source.dialect(), parents), Reading::of(plan))
}

/// How many rows a plan has, whatever its page.
///
/// # Errors
/// When the source does not answer.
pub async fn count_rows(source: &dyn Source, plan: &Plan) -> Result<u64, Error> {
    let statement = counting(plan, source.dialect());
    let rows = source.run(statement, Reading::columns(&[("count", Type::Int64)])).try_collect::<Vec<_>>().await?;
    let count = rows.first().map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0));
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// How many rows the database guesses that a plan has, whatever its page; `None` from one that does not guess.
///
/// # Errors
/// When the source does not answer.
pub async fn guess_rows(source: &dyn Source, plan: &Plan) -> Result<Option<u64>, Error> {
    if source.dialect() == Dialect::Sqlite {
        return Ok(None);
    }
    let told = explain(source, reading(plan, source.dialect())).await?;
    Ok(told.pointer("/0/Plan/Plan Rows").and_then(serde_json::Value::as_f64).map(whole))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and a guess is never negative")]
fn whole(guess: f64) -> u64 {
    guess.round() as u64
}

/// What the database would do for a plan, in its own words.
///
/// # Errors
/// When the source does not answer.
pub async fn explain_plan(
    source: &dyn Source,
    plan: &Plan,
    parents: Option<&Parents>,
) -> Result<serde_json::Value, Error> {
    explain(source, statement(plan, source.dialect(), parents)).await
}

async fn explain(source: &dyn Source, statement: Statement) -> Result<serde_json::Value, Error> {
    let Statement { text, parameters, planned_anew } = statement;
    match source.dialect() {
        Dialect::Postgres => {
            let text = format!("EXPLAIN (FORMAT JSON) {text}");
            let reading = Reading::columns(&[("plan", Type::Json)]);
            let rows =
                source.run(Statement { text, parameters, planned_anew }, reading).try_collect::<Vec<_>>().await?;
            let told = rows.first().map(|batch| batch.column(0).as_string::<i32>().value(0));
            Ok(told.and_then(|told| serde_json::from_str(told).ok()).unwrap_or_default())
        }
        Dialect::Sqlite => {
            let text = format!("EXPLAIN QUERY PLAN {text}");
            let int = |name| (name, Type::Int64);
            let reading = Reading::columns(&[int("id"), int("parent"), int("unused"), ("detail", Type::String)]);
            let rows =
                source.run(Statement { text, parameters, planned_anew }, reading).try_collect::<Vec<_>>().await?;
            let told = rows.iter().flat_map(|batch| batch.column(3).as_string::<i32>().iter().flatten());
            Ok(told.collect())
        }
    }
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
