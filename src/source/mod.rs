//! Executes plans: a plan becomes a statement of the source's dialect, and its rows become record batches in the
//! contract's types, the same from every source.
//!
//! This room knows databases. It knows no request, no role and no encoding.

mod changes;
mod clickhouse;
mod condition;
mod copy;
mod decode;
mod examine;
mod gate;
mod idle;
mod load;
mod mask;
mod measure;
mod postgres;
mod render;
mod select;
mod shape;
mod sql;
mod sqlite;
mod wire;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use arrow_array::{Array as _, ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, Field, Schema, SchemaRef};
use futures_util::future::BoxFuture;
use futures_util::{Stream, TryStreamExt as _};

use crate::catalog::{Dataset, Name, Relation, Type};
use crate::config;
use crate::plan::{Output, Plan, Value};

pub use clickhouse::{ClickHouse, connect as clickhouse_client};
pub use examine::{Examination, Finding, examine};
pub use idle::attend;
pub use load::{LoadError, Loader, Mode};
pub use postgres::Postgres;
pub use select::{Parents, counting, reading, statement};
pub use shape::{Conversion, Shape};
pub use sql::{Dialect, Parameter, Statement};
pub use sqlite::Sqlite;

pub(crate) use decode::canonical_json;

/// Rows of one batch at most: enough to fill a cache line many times over, little enough to hold many.
const BATCH_ROWS: usize = 4096;

/// Columns of a relation, lines of an explanation: there are never so many.
const ROWS_OF_NO_PLAN_MAX: u64 = 100_000;

/// Record batches as they arrive. Dropping the stream ends the statement.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch, Error>> + Send>>;

/// A database that holds marts.
pub trait Source: Send + Sync {
    /// Whose SQL it takes.
    fn dialect(&self) -> Dialect;

    /// How a relation is read that has a dataset's columns.
    fn shape<'a>(&'a self, dataset: &'a Dataset, relation: &'a Relation) -> BoxFuture<'a, Result<Arc<Shape>, Error>> {
        let _ = (dataset, relation);
        Box::pin(std::future::ready(Ok(Arc::new(Shape::plain(self.dialect())))))
    }

    /// Runs a statement of its dialect.
    fn run(&self, statement: Statement, reading: Reading) -> BatchStream;

    /// Runs a statement for all rows of a plan, as a reader takes them: without a limit, and without a time at which it
    /// must have ended.
    fn run_whole(&self, statement: Statement, reading: Reading) -> BatchStream {
        self.run(statement, reading)
    }

    /// Whether statements would be answered now.
    fn ready(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Where the live relation of a dataset differs from its contract; empty when it keeps it.
    fn mismatches<'a>(&'a self, dataset: &'a Dataset) -> BoxFuture<'a, Result<Vec<Mismatch>, Error>>;
}

/// What a statement's columns are read as.
pub struct Reading {
    schema: SchemaRef,
    columns: Vec<(String, Type)>,
    /// The columns of the primary key, where a row has them all: they name a row whose value is at fault.
    key: Vec<usize>,
    /// The columns, by their places, that come as the digits of decimals.
    digits: Vec<bool>,
    /// Rows that are expected, for the room they take.
    rows: usize,
    /// Rows at most, where there is a most.
    rows_max: Option<u64>,
    /// What the statement is about, for the database's own log.
    about: String,
    /// The role that asks, for the database's own quotas.
    asked_by: String,
}

impl Reading {
    /// The fields of a plan. A statement asks for one row more than its page.
    fn of(plan: &Plan, parents: Option<&Parents>) -> Self {
        let columns = plan.fields().iter().map(|field| (field.name.to_string(), field.data_type)).collect();
        let rows = usize::try_from(plan.limit()).unwrap_or(BATCH_ROWS).saturating_add(1);
        let place = |key: &usize| plan.fields().iter().position(|field| field.output == Output::Column(*key));
        let key = plan.dataset().primary_key.iter().map(place).collect::<Option<_>>().unwrap_or_default();
        let about = format!("{} {}", plan.dataset().name, plan.fingerprint());
        let limit = u64::from(plan.limit());
        let most = || parents.map_or(limit + 1, |parents| limit.saturating_mul(parents.len() as u64));
        let rows_max = (!plan.whole()).then(most);
        let (digits, asked_by) = (Vec::new(), plan.role().to_owned());
        Self { schema: schema(plan), columns, key, digits, rows, rows_max, about, asked_by }
    }

    /// Columns of no plan.
    fn columns(columns: &[(&str, Type)]) -> Self {
        let fields: Vec<Field> = columns.iter().map(|(name, data_type)| data_type.field(name, true)).collect();
        let columns = columns.iter().map(|(name, data_type)| ((*name).to_owned(), *data_type)).collect();
        let schema = Arc::new(Schema::new(fields));
        let (about, asked_by) = (String::new(), String::new());
        let (key, digits) = (Vec::new(), Vec::new());
        Self { schema, columns, key, digits, rows: 1, rows_max: Some(ROWS_OF_NO_PLAN_MAX), about, asked_by }
    }

    /// A batch of columns that were read.
    fn batch(&self, columns: Vec<ArrayRef>) -> Result<RecordBatch, Error> {
        let fields = self.schema.fields().iter().zip(&columns);
        let null = fields.enumerate().find(|(_, (field, column))| !field.is_nullable() && column.null_count() > 0);
        if let Some((place, (_, column))) = null {
            let row = (0..column.len()).find(|row| column.is_null(*row)).unwrap_or_default();
            return Err(self.unfit(place, |key| Value::at(self.columns[key].1, &columns[key], row)));
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns).map_err(Error::Batch)
    }

    /// A value that is none of its column's type, in the row of which the key can be read so.
    fn unfit(&self, place: usize, read: impl Fn(usize) -> Option<Value>) -> Error {
        let known = self.key.iter().filter(|key| **key != place).filter_map(|key| {
            let (name, data_type) = &self.columns[*key];
            Some(format!("{name} {}", read(*key)?.shown(*data_type)))
        });
        let row: Vec<String> = known.collect();
        let (column, data_type) = &self.columns[place];
        let null = if self.schema.field(place).is_nullable() { "" } else { ", never null" };
        let contract = format!("{data_type}{null}");
        Error::Value { column: column.clone(), contract, row: row.join(", ") }
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
/// Values are as the plan shows them: nothing behind this room sees what a mask hides.
///
/// # Errors
/// When the source does not answer.
pub async fn execute(source: &dyn Source, plan: &Plan, parents: Option<&Parents>) -> Result<BatchStream, Error> {
    let mut reading = Reading::of(plan, parents);
    if let Some(sides) = plan.sides() {
        let shape = async |side: &Plan| source.shape(side.dataset(), side.relation()).await;
        let (from, to) = (shape(&sides[0]).await?, shape(&sides[1]).await?);
        let batches = source.run_whole(changes::statement(plan, sides, [&from, &to]), reading);
        return Ok(changes::settled(mask::masked(batches, plan), plan, source.dialect()));
    }
    let shape = source.shape(plan.dataset(), plan.relation()).await?;
    let batches = match parents {
        None if plan.whole() => {
            let digits = plan.fields().iter().map(|field| select::digits(plan, &shape, field).is_some());
            reading.digits = digits.collect();
            source.run_whole(select::whole(plan, &shape), reading)
        }
        _ => source.run(statement(plan, &shape, parents), reading),
    };
    Ok(mask::masked(batches, plan))
}

/// How many rows a plan has, whatever its page.
///
/// # Errors
/// When the source does not answer.
pub async fn count_rows(source: &dyn Source, plan: &Plan) -> Result<u64, Error> {
    let shape = source.shape(plan.dataset(), plan.relation()).await?;
    let statement = counting(plan, &shape);
    let rows = source.run(statement, Reading::columns(&[("count", Type::Int64)])).try_collect::<Vec<_>>().await?;
    let count = rows.first().map(|batch| batch.column(0).as_primitive::<Int64Type>().value(0));
    Ok(count.and_then(|count| u64::try_from(count).ok()).unwrap_or_default())
}

/// How many rows the database guesses that a plan has, whatever its page; `None` from one that does not guess.
///
/// # Errors
/// When the source does not answer.
pub async fn guess_rows(source: &dyn Source, plan: &Plan) -> Result<Option<u64>, Error> {
    // ClickHouse guesses what it will read, not what is left of it, and counts faster than others guess.
    if source.dialect() != Dialect::Postgres {
        return Ok(None);
    }
    let told = explain(source, reading(plan, &Shape::plain(Dialect::Postgres))).await?;
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
    let shape = source.shape(plan.dataset(), plan.relation()).await?;
    explain(source, statement(plan, &shape, parents)).await
}

async fn explain(source: &dyn Source, statement: Statement) -> Result<serde_json::Value, Error> {
    let explained = |words: &str| Statement { text: format!("{words} {}", statement.text), ..statement.clone() };
    match source.dialect() {
        Dialect::ClickHouse => {
            let reading = Reading::columns(&[("explain", Type::String)]);
            let rows = source.run(explained("EXPLAIN json = 1, indexes = 1"), reading).try_collect::<Vec<_>>().await?;
            let lines = rows.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten());
            let told: String = lines.collect();
            Ok(serde_json::from_str(&told).unwrap_or(serde_json::Value::String(told)))
        }
        Dialect::Postgres => {
            let reading = Reading::columns(&[("plan", Type::Json)]);
            let rows = source.run(explained("EXPLAIN (FORMAT JSON)"), reading).try_collect::<Vec<_>>().await?;
            let told = rows.first().map(|batch| batch.column(0).as_string::<i32>().value(0));
            Ok(told.and_then(|told| serde_json::from_str(told).ok()).unwrap_or_default())
        }
        Dialect::Sqlite => {
            let int = |name| (name, Type::Int64);
            let reading = Reading::columns(&[int("id"), int("parent"), int("unused"), ("detail", Type::String)]);
            let rows = source.run(explained("EXPLAIN QUERY PLAN"), reading).try_collect::<Vec<_>>().await?;
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

/// What a source's URL begins with.
fn scheme(config: &config::Source) -> &str {
    config.url.expose().split_once(':').map_or("", |(scheme, _)| scheme)
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
            let source: Arc<dyn Source> = match scheme(config) {
                "clickhouse" => Arc::new(ClickHouse::open(name, config)?),
                "sqlite" => Arc::new(Sqlite::open(name, config)?),
                _ => Arc::new(Postgres::open(name, config)?),
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

/// What a database or its driver said.
type Cause = Box<dyn std::error::Error + Send + Sync>;

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
        source: Cause,
    },
    /// Every connection is taken, and so is every place in the queue, or the wait was too long.
    #[error("find room in the pool")]
    Busy,
    /// The database cannot be reached, or the connection broke.
    #[error("reach the database")]
    Unavailable(#[source] Cause),
    /// The statement took too long.
    #[error("finish the statement in time")]
    Timeout,
    /// The database refused the statement.
    #[error("execute the statement")]
    Statement(#[source] Cause),
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
    #[error("read a value of column {column} exactly as {contract}{}{row}", if row.is_empty() { "" } else { ", in the row of " })]
    Value {
        /// The column.
        column: String,
        /// The contract's type.
        contract: String,
        /// The key of its row, as far as it can be read.
        row: String,
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
