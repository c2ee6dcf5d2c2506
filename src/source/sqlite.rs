//! SQLite by sqlx: the embedded store of a first try.
//!
//! SQLite has few types. Decimals are scaled integers of at most 18 digits, dates ISO texts, timestamps microseconds,
//! lists and JSON texts. A progress handler ends a statement that takes too long or that nobody waits for any more.

use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, Row as _};

use super::decode::{Cell, ColumnBuilder, Rows, Unfit, read_one};
use super::gate::Gate;
use super::measure::{sum_of_text, sum_to_text};
use super::sql::{Dialect, Parameter, SEARCH_TABLE, Statement};
use super::{BatchStream, Error, Mismatch, Reading, Source, count};
use crate::catalog::{Column, Dataset, Type};
use crate::config;
use crate::plan::Value;

/// More digits do not fit an SQLite integer.
pub(super) const DECIMAL_DIGITS_MAX: u8 = 18;

/// Virtual-machine steps between two looks at the clock: some microseconds of work.
const STEPS_BETWEEN_CHECKS: i32 = 10_000;

/// One SQLite file.
pub struct Sqlite {
    name: Arc<str>,
    pool: SqlitePool,
    gate: Gate,
    statement_timeout: Duration,
}

impl Sqlite {
    /// A pool of read-only connections. The file is opened with the first one.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn open(name: &str, config: &config::Source) -> Result<Self, Error> {
        let options = SqliteConnectOptions::from_str(config.url.expose())
            .map_err(|source| Error::Url { source_name: name.to_owned(), source: source.into() })?
            .read_only(true)
            .create_if_missing(false);
        let pool = SqlitePoolOptions::new()
            .max_connections(config.connections_max)
            .acquire_timeout(config.acquire_timeout)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        let gate = Gate::new(config.connections_max, config.waiting_max, config.acquire_timeout);
        Ok(Self { name: name.into(), pool, gate, statement_timeout: config.statement_timeout })
    }
}

/// Raised when the caller goes away; the progress handler sees it.
struct Gone(Arc<AtomicBool>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Source for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn run(&self, statement: Statement, reading: Reading) -> BatchStream {
        let mut rows = Rows::of(reading);
        let (name, pool, gate) = (Arc::clone(&self.name), self.pool.clone(), self.gate.clone());
        let timeout = self.statement_timeout;

        let stream = async_stream::try_stream! {
            let _place = gate.enter().await?;
            let begun = crate::clock::instant();
            let mut connection = pool.acquire().await.map_err(statement_error)?;
            let gone = Gone(Arc::default());
            // All rows come as their reader takes them.
            let deadline = rows.reading.rows_max.map(|_| begun + timeout);
            let stop = Arc::clone(&gone.0);
            connection.lock_handle().await.map_err(statement_error)?.set_progress_handler(
                STEPS_BETWEEN_CHECKS,
                move || !stop.load(Ordering::Relaxed) && deadline.is_none_or(|deadline| crate::clock::instant() < deadline),
            );
            // The text holds no literal: see `sql`.
            let query = sqlx::query_with(AssertSqlSafe(statement.text), arguments(&statement.parameters)?);
            let mut fetched = query.fetch(&mut *connection);
            while let Some(row) = fetched.try_next().await.map_err(statement_error)? {
                append(&row, &mut rows)?;
                if let Some(batch) = rows.added()? {
                    yield batch;
                }
            }
            drop(fetched);
            metrics::histogram!("martello_source_seconds", "source" => name.to_string()).record(begun.elapsed());
            if let Some(batch) = rows.rest()? {
                yield batch;
            }
        };
        let name = Arc::clone(&self.name);
        Box::pin(stream.inspect_err(move |error| count(&name, error)))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(async { sqlx::query("SELECT 1").execute(&self.pool).await.map(drop).map_err(statement_error) })
    }

    fn mismatches<'a>(&'a self, dataset: &'a Dataset) -> BoxFuture<'a, Result<Vec<Mismatch>, Error>> {
        Box::pin(async move {
            let rows = sqlx::query("SELECT name, type FROM pragma_table_xinfo(?1)")
                .bind(dataset.relation.table.as_str())
                .fetch_all(&self.pool)
                .await
                .map_err(statement_error)?;
            let mut live = std::collections::HashMap::new();
            for row in &rows {
                let name: String = row.try_get(0).map_err(statement_error)?;
                let kind: String = row.try_get(1).map_err(statement_error)?;
                live.insert(name, kind);
            }
            let mismatch = |column: Option<&Column>, contract: String, found: String| Mismatch {
                dataset: dataset.name.to_string(),
                column: column.map(|column| column.name.to_string()),
                contract,
                relation: dataset.relation.to_string(),
                found,
            };
            if live.is_empty() {
                return Ok(vec![mismatch(None, "a relation".into(), "none of that name".into())]);
            }
            let mut mismatches = Vec::new();
            for column in &dataset.columns {
                let contract = column.data_type;
                match (storage(contract), live.get(column.name.as_str())) {
                    (_, None) => {
                        mismatches.push(mismatch(Some(column), contract.to_string(), "no such column".into()));
                    }
                    (None, Some(_)) => {
                        let found = format!("integers of at most {DECIMAL_DIGITS_MAX} digits");
                        mismatches.push(mismatch(Some(column), contract.to_string(), found));
                    }
                    // A view's expression has no declared type: its values are judged as they come.
                    (Some(expected), Some(found)) if !found.is_empty() && !found.eq_ignore_ascii_case(expected) => {
                        let contract = format!("{contract}, stored as {expected}");
                        mismatches.push(mismatch(Some(column), contract, found.clone()));
                    }
                    _ => {}
                }
            }
            mismatches.extend(self.search_mismatches(dataset).await?);
            Ok(mismatches)
        })
    }
}

impl Sqlite {
    /// Where the table of words beside the relation is not as a load makes it.
    async fn search_mismatches(&self, dataset: &Dataset) -> Result<Vec<Mismatch>, Error> {
        let searchable: Vec<&Column> = dataset.columns.iter().filter(|column| column.searchable).collect();
        if searchable.is_empty() {
            return Ok(Vec::new());
        }
        let table = format!("{}{SEARCH_TABLE}", dataset.relation.table);
        let live = sqlx::query_scalar("SELECT name FROM pragma_table_info(?1)").bind(&table);
        let live: Vec<String> = live.fetch_all(&self.pool).await.map_err(statement_error)?;
        let mismatch = |column: Option<&Column>, contract: &str, found: &str| Mismatch {
            dataset: dataset.name.to_string(),
            column: column.map(|column| column.name.to_string()),
            contract: contract.to_owned(),
            relation: table.clone(),
            found: format!("{found}: load the dataset again"),
        };
        if live.is_empty() {
            return Ok(vec![mismatch(None, "a table of words", "none of that name")]);
        }
        let keys = dataset.primary_key.iter().map(|index| &dataset.columns[*index]).filter(|key| !key.searchable);
        let needed = searchable.into_iter().chain(keys);
        let lacking = needed.filter(|column| !live.iter().any(|name| name == column.name.as_str()));
        Ok(lacking
            .map(|column| {
                let contract = if column.searchable { "searchable" } else { "the key of what is searchable" };
                mismatch(Some(column), contract, "no such column")
            })
            .collect())
    }
}

/// How SQLite stores the type; `None` when it cannot exactly.
pub(super) fn storage(data_type: Type) -> Option<&'static str> {
    match data_type {
        Type::Bool | Type::Int32 | Type::Int64 | Type::Timestamp => Some("INTEGER"),
        Type::Decimal { precision, .. } => (precision <= DECIMAL_DIGITS_MAX).then_some("INTEGER"),
        Type::Float64 => Some("REAL"),
        Type::String | Type::Date | Type::Json | Type::StringList => Some("TEXT"),
    }
}

pub(super) fn statement_error(error: sqlx::Error) -> Error {
    match &error {
        sqlx::Error::PoolTimedOut => Error::Busy,
        // SQLITE_INTERRUPT: the progress handler said stop.
        sqlx::Error::Database(database) if database.code().as_deref() == Some("9") => Error::Timeout,
        // SQLITE_CANTOPEN.
        sqlx::Error::Database(database) if database.code().as_deref() == Some("14") => Error::Unavailable(error.into()),
        sqlx::Error::Io(_) | sqlx::Error::WorkerCrashed | sqlx::Error::PoolClosed => Error::Unavailable(error.into()),
        _ => Error::Statement(error.into()),
    }
}

fn arguments(parameters: &[Parameter]) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    for parameter in parameters {
        // Lists are spelled out in this dialect, so each parameter is one value.
        let Parameter::One(data_type, value) = parameter else { continue };
        let added = match value {
            Value::Decimal(sum) if is_sum(*data_type) => arguments.add(sum_to_text(*sum)),
            Value::Bool(bool) => arguments.add(i64::from(*bool)),
            Value::Int(int) => arguments.add(*int),
            Value::Float(float) => arguments.add(*float),
            Value::Decimal(digits) => arguments.add(i64::try_from(*digits).unwrap_or(i64::MAX)),
            Value::String(text) => arguments.add(text.clone()),
            Value::Date(days) => arguments.add(iso_date(*days)),
            Value::Timestamp(micros) => arguments.add(*micros),
        };
        added.map_err(Error::Statement)?;
    }
    Ok(arguments)
}

/// Only sums have more digits than a column may.
fn is_sum(data_type: Type) -> bool {
    matches!(data_type, Type::Decimal { precision, .. } if precision > DECIMAL_DIGITS_MAX)
}

/// Rows of values as JSON, each value as SQLite stores it.
pub(super) fn json_rows(rows: &[Vec<Value>]) -> String {
    let stored = |value: &Value| match value {
        Value::Bool(bool) => i64::from(*bool).into(),
        Value::Int(int) | Value::Timestamp(int) => (*int).into(),
        Value::Float(float) => (*float).into(),
        Value::Decimal(digits) => i64::try_from(*digits).unwrap_or(i64::MAX).into(),
        Value::String(text) => text.as_str().into(),
        Value::Date(days) => iso_date(*days).into(),
    };
    let rows: Vec<Vec<serde_json::Value>> = rows.iter().map(|row| row.iter().map(stored).collect()).collect();
    serde_json::Value::from_iter(rows).to_string()
}

pub(super) fn iso_date(days: i32) -> String {
    let mut text = Vec::with_capacity(10);
    crate::encode::write_date(days, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

fn append(row: &SqliteRow, rows: &mut Rows) -> Result<(), Error> {
    let Rows { reading, builders, .. } = rows;
    for (index, ((_, data_type), builder)) in reading.columns.iter().zip(builders).enumerate() {
        append_cell(row, index, *data_type, builder).map_err(|Unfit| {
            reading.unfit(index, |key| {
                let data_type = reading.columns[key].1;
                read_one(data_type, |builder| append_cell(row, key, data_type, builder))
            })
        })?;
    }
    Ok(())
}

fn append_cell(row: &SqliteRow, index: usize, data_type: Type, builder: &mut ColumnBuilder) -> Result<(), Unfit> {
    let unfit = |_| Unfit;
    let cell = match data_type {
        Type::Bool => row.try_get::<Option<i64>, _>(index).map_err(unfit)?.map(|int| Cell::Bool(int != 0)),
        Type::Int32 | Type::Int64 => row.try_get::<Option<i64>, _>(index).map_err(unfit)?.map(Cell::Int),
        Type::Timestamp => row.try_get::<Option<i64>, _>(index).map_err(unfit)?.map(Cell::Timestamp),
        Type::Decimal { .. } if is_sum(data_type) => match row.try_get::<Option<&str>, _>(index).map_err(unfit)? {
            Some(text) => Some(Cell::Decimal(sum_of_text(text).ok_or(Unfit)?)),
            None => None,
        },
        Type::Decimal { .. } => {
            row.try_get::<Option<i64>, _>(index).map_err(unfit)?.map(|digits| Cell::Decimal(digits.into()))
        }
        Type::Float64 => row.try_get::<Option<f64>, _>(index).map_err(unfit)?.map(Cell::Float),
        Type::String | Type::Json => row.try_get::<Option<&str>, _>(index).map_err(unfit)?.map(Cell::Text),
        Type::Date => match row.try_get::<Option<&str>, _>(index).map_err(unfit)? {
            Some(text) => Some(Cell::Date(crate::plan::parse_date(text).ok_or(Unfit)?)),
            None => None,
        },
        Type::StringList => {
            let text: Option<&str> = row.try_get(index).map_err(unfit)?;
            let items: Option<Vec<String>> =
                text.map(serde_json::from_str).transpose().map_err(|_: serde_json::Error| Unfit)?;
            return match &items {
                Some(items) => builder.append(Cell::List(items.iter().map(String::as_str).collect())),
                None => builder.append(Cell::Null),
            };
        }
    };
    builder.append(cell.unwrap_or(Cell::Null))
}
