//! PostgreSQL by sqlx: prepared statements kept, binary rows, read-only sessions.
//!
//! A caller that goes away ends its statement: the driver sends no cancel request and would drain a dropped stream, so
//! the connection is closed instead, and the server looks whether its client is there ([`attend`](super::attend)).

use std::str::FromStr as _;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArguments, PgColumn, PgConnectOptions, PgRow, PgValueRef};
use sqlx::{Arguments as _, AssertSqlSafe, Column as _, Row as _, TypeInfo as _, ValueRef as _};

use super::copy;
use super::decode::{Cell, ColumnBuilder, Rows, Unfit, read_one};
use super::gate::Gate;
use super::idle::Idle;
use super::sql::{Dialect, Statement};
use super::wire::{Bound, NUMERIC, Reader};
use super::{BatchStream, Error, Mismatch, Reading, Source, count};
use crate::catalog::{Column, Dataset, Type};
use crate::config;

/// A connection that broke before its first row is replaced so often.
const ATTEMPTS_MAX: usize = 3;

/// One Postgres database.
pub struct Postgres {
    name: Arc<str>,
    idle: Arc<Idle>,
    gate: Gate,
}

impl Postgres {
    /// Read-only sessions. No connection is made yet.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn open(name: &str, config: &config::Source) -> Result<Self, Error> {
        let url = |source: sqlx::Error| Error::Url { source_name: name.to_owned(), source: source.into() };
        let options = PgConnectOptions::from_str(config.url.expose()).map_err(url)?;
        let options = options.application_name("martello").options([
            ("default_transaction_read_only", "on".to_owned()),
            ("statement_timeout", format!("{}ms", config.statement_timeout.as_millis())),
            // Text arrives as UTF-8 and instants as UTC, whatever the server's defaults.
            ("client_encoding", "UTF8".to_owned()),
            ("timezone", "UTC".to_owned()),
            // Rows in one order each time, so that sums of doubles have the same last bit each time: a page that goes on
            // behind one finds it again. Many callers at once leave no processor idle for parallel workers anyway.
            ("synchronize_seqscans", "off".to_owned()),
            ("max_parallel_workers_per_gather", "0".to_owned()),
        ]);
        let gate = Gate::new(config.connections_max, config.waiting_max, config.acquire_timeout);
        Ok(Self { name: name.into(), idle: Idle::new(options, config.acquire_timeout), gate })
    }

    /// The outcome of a statement outside a plan, with its connection put back or closed.
    async fn ask<T>(
        &self,
        statement: impl AsyncFnOnce(&mut sqlx::PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, Error> {
        let mut lease = self.idle.lease().await.map_err(acquire_error)?;
        // A lease has its connection until it is finished.
        let Some(connection) = lease.connection() else { return Err(Error::Busy) };
        match statement(connection).await {
            Ok(answer) => {
                lease.finish();
                Ok(answer)
            }
            Err(error) => {
                if is_broken(&error) {
                    self.idle.distrust();
                }
                Err(statement_error(error))
            }
        }
    }
}

impl Source for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn run(&self, statement: Statement, reading: Reading) -> BatchStream {
        let mut rows = Rows::of(reading);
        let (name, idle, gate) = (Arc::clone(&self.name), Arc::clone(&self.idle), self.gate.clone());

        let stream = async_stream::try_stream! {
            let _place = gate.enter().await?;
            let begun = crate::clock::instant();
            for attempt in 1.. {
                let mut lease = idle.lease().await.map_err(acquire_error)?;
                let Some(connection) = lease.connection() else { break };
                let mut arguments = PgArguments::default();
                for parameter in &statement.parameters {
                    arguments.add(Bound(parameter)).map_err(Error::Statement)?;
                }
                // The text holds no literal: see `sql`.
                let query = sqlx::query_with(AssertSqlSafe(statement.text.clone()), arguments)
                    .persistent(!statement.planned_anew);
                let mut fetched = query.fetch(&mut *connection);
                let mut readers: Option<Vec<Reader>> = None;
                let mut retry = false;
                loop {
                    match fetched.try_next().await {
                        Ok(Some(row)) => {
                            let readers = match &readers {
                                Some(readers) => readers,
                                None => readers.insert(readers_of(row.columns(), &rows.reading.columns)?),
                            };
                            append(&row, readers, &mut rows)?;
                            if let Some(batch) = rows.added()? {
                                yield batch;
                            }
                        }
                        Ok(None) => break,
                        Err(error) => {
                            if is_broken(&error) || is_outdated(&error) {
                                idle.distrust();
                                retry = readers.is_none() && attempt < ATTEMPTS_MAX;
                            }
                            if retry {
                                break;
                            }
                            Err(statement_error(error))?;
                        }
                    }
                }
                drop(fetched);
                if retry {
                    continue;
                }
                lease.finish();
                metrics::histogram!("martello_source_seconds", "source" => name.to_string())
                    .record(begun.elapsed());
                if let Some(batch) = rows.rest()? {
                    yield batch;
                }
                break;
            }
        };
        let name = Arc::clone(&self.name);
        Box::pin(stream.inspect_err(move |error| count(&name, error)))
    }

    fn run_whole(&self, statement: Statement, reading: Reading) -> BatchStream {
        let stream = copy::copied(Arc::clone(&self.idle), self.gate.clone(), statement, reading);
        let name = Arc::clone(&self.name);
        Box::pin(stream.inspect_err(move |error| count(&name, error)))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.ask(async |connection| sqlx::query("SELECT 1").execute(connection).await.map(drop)))
    }

    fn mismatches<'a>(&'a self, dataset: &'a Dataset) -> BoxFuture<'a, Result<Vec<Mismatch>, Error>> {
        Box::pin(async move {
            let relation = dataset.relation.to_string();
            let named = relation.clone();
            let ask = self.ask(async |connection| sqlx::query(DESCRIBE).bind(named).fetch_all(connection).await);
            let rows = ask.await?;
            let mut live = std::collections::HashMap::new();
            for row in &rows {
                let described = Described {
                    oid: row.try_get::<Oid, _>("oid").map_err(statement_error)?.0,
                    text: row.try_get("text").map_err(statement_error)?,
                    typmod: row.try_get("typmod").map_err(statement_error)?,
                    bytewise: row.try_get("bytewise").map_err(statement_error)?,
                };
                live.insert(row.try_get::<String, _>("name").map_err(statement_error)?, described);
            }
            let mismatch = |column: Option<&Column>, contract: String, found: String| Mismatch {
                dataset: dataset.name.to_string(),
                column: column.map(|column| column.name.to_string()),
                contract,
                relation: relation.clone(),
                found,
            };
            if live.is_empty() {
                return Ok(vec![mismatch(None, "a relation".into(), "none of that name".into())]);
            }
            let mut mismatches = Vec::new();
            for column in &dataset.columns {
                let Some(found) = live.get(column.name.as_str()) else {
                    mismatches.push(mismatch(Some(column), column.data_type.to_string(), "no such column".into()));
                    continue;
                };
                if !found.holds(column.data_type) {
                    mismatches.push(mismatch(Some(column), column.data_type.to_string(), found.text.clone()));
                } else if column.data_type == Type::String && !found.bytewise {
                    let contract = "string, which sorts bytewise (COLLATE \"C\")".into();
                    mismatches.push(mismatch(Some(column), contract, "a collation that sorts otherwise".into()));
                }
            }
            Ok(mismatches)
        })
    }
}

/// `to_regclass` finds the relation as a statement would, by the search path. An ICU collation has no `collcollate`, the
/// built-in ones (`b`) all sort bytewise, and before Postgres 15 there is no `datlocprovider`.
const DESCRIBE: &str = "SELECT a.attname::text AS name, a.atttypid AS oid, a.atttypmod AS typmod, \
     format_type(a.atttypid, a.atttypmod) AS text, \
     a.attcollation = 0 OR coalesce(c.collcollate IN ('C', 'POSIX'), c.collprovider = 'b') \
     OR c.collprovider = 'd' AND d.datcollate IN ('C', 'POSIX') \
     AND coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') <> 'i' AS bytewise \
     FROM pg_attribute a LEFT JOIN pg_collation c ON c.oid = a.attcollation \
     JOIN pg_database d ON d.datname = current_database() \
     WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped";

/// A live column.
struct Described {
    oid: u32,
    text: String,
    typmod: i32,
    bytewise: bool,
}

impl Described {
    /// Whether every value of the column is one of the contract's type. A numeric without a scale may be: its values
    /// are judged as they come.
    fn holds(&self, data_type: Type) -> bool {
        if Reader::of(data_type, self.oid).is_none() {
            return false;
        }
        match (data_type, self.typmod) {
            (Type::Decimal { precision, scale }, typmod) if self.oid == NUMERIC && typmod >= 4 => {
                // typmod is ((precision << 16) | scale) + 4: see numeric.c, make_numeric_typmod.
                let (live_precision, live_scale) = ((typmod - 4) >> 16, (typmod - 4) & 0x7ff);
                live_scale <= i32::from(scale) && live_precision - live_scale <= i32::from(precision - scale)
            }
            _ => true,
        }
    }
}

pub(super) fn acquire_error(error: sqlx::Error) -> Error {
    match error {
        // The gate has let us in, so there was a connection to be had: the database did not give it.
        error @ (sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => Error::Unavailable(error.into()),
        error => statement_error(error),
    }
}

pub(super) fn statement_error(error: sqlx::Error) -> Error {
    if is_broken(&error) {
        return Error::Unavailable(error.into());
    }
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        // query_canceled: the statement timeout, or an operator.
        Some("57014") => Error::Timeout,
        // too_many_connections, and the classes of insufficient resources and operator intervention.
        Some(code) if code.starts_with("53") || code.starts_with("57") => Error::Unavailable(error.into()),
        _ => Error::Statement(error.into()),
    }
}

/// Whether a prepared statement has outlived a migration: the relation now has other types. A new connection prepares
/// it anew.
fn is_outdated(error: &sqlx::Error) -> bool {
    // feature_not_supported has many causes; only this one speaks of a cached plan (plancache.c, RevalidateCachedQuery).
    error
        .as_database_error()
        .is_some_and(|error| error.code().as_deref() == Some("0A000") && error.message().contains("cached plan"))
}

/// Whether the connection, not the statement, is at fault.
pub(super) fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            // admin_shutdown, crash_shutdown, cannot_connect_now.
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

/// How live columns are read as the contract's.
pub(super) fn readers_of(live: &[PgColumn], columns: &[(String, Type)]) -> Result<Vec<Reader>, Error> {
    live.iter()
        .zip(columns)
        .map(|(live, (name, data_type))| {
            let oid = live.type_info().oid().map_or(0, |oid| oid.0);
            Reader::of(*data_type, oid).ok_or_else(|| Error::Type {
                column: name.clone(),
                contract: data_type.to_string(),
                found: live.type_info().name().to_owned(),
            })
        })
        .collect()
}

fn append(row: &PgRow, readers: &[Reader], rows: &mut Rows) -> Result<(), Error> {
    let Rows { reading, builders, .. } = rows;
    for (index, (reader, builder)) in readers.iter().zip(builders).enumerate() {
        append_cell(row, index, *reader, builder).map_err(|Unfit| {
            reading.unfit(index, |key| {
                read_one(reading.columns[key].1, |builder| append_cell(row, key, readers[key], builder))
            })
        })?;
    }
    Ok(())
}

fn append_cell(row: &PgRow, index: usize, reader: Reader, builder: &mut ColumnBuilder) -> Result<(), Unfit> {
    // Every column that is read is one of the row's.
    let value: PgValueRef<'_> = row.try_get_raw(index).map_err(|_| Unfit)?;
    if value.is_null() {
        return builder.append(Cell::Null);
    }
    builder.append(reader.read(value.as_bytes().map_err(|_| Unfit)?)?)
}
