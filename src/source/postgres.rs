//! PostgreSQL by sqlx: prepared statements kept, binary rows, read-only sessions.
//!
//! A caller that goes away ends its statement: the driver sends no cancel request and would drain a dropped stream, so
//! the connection is closed instead, and `client_connection_check_interval` makes the server notice.

use std::str::FromStr as _;
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgConnectOptions, PgRow, PgTypeInfo, PgValueRef};
use sqlx::{Arguments as _, AssertSqlSafe, Column as _, Row as _, TypeInfo as _, ValueRef as _};

use super::decode::{Cell, Rows, Unfit};
use super::gate::Gate;
use super::idle::Idle;
use super::sql::{Dialect, Parameter};
use super::{BatchStream, Error, Mismatch, Source, count, select};
use crate::catalog::{Column, Dataset, Type};
use crate::config;
use crate::plan::{Plan, Value};

/// How soon the server notices that a caller has gone.
const CONNECTION_CHECK: &str = "1s";
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
        let url = |source| Error::Url { source_name: name.to_owned(), source };
        let options = PgConnectOptions::from_str(config.url.expose()).map_err(url)?;
        let options = options.application_name("martello").options([
            ("default_transaction_read_only", "on".to_owned()),
            ("statement_timeout", format!("{}ms", config.statement_timeout.as_millis())),
            ("client_connection_check_interval", CONNECTION_CHECK.to_owned()),
            // Text arrives as UTF-8 and instants as UTC, whatever the server's defaults.
            ("client_encoding", "UTF8".to_owned()),
            ("timezone", "UTC".to_owned()),
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
    fn execute(&self, plan: &Plan) -> BatchStream {
        let statement = select::statement(plan, Dialect::Postgres);
        let mut rows = Rows::of(plan);
        let (name, idle, gate) = (Arc::clone(&self.name), Arc::clone(&self.idle), self.gate.clone());

        let stream = async_stream::try_stream! {
            let _place = gate.enter().await?;
            let begun = crate::clock::instant();
            for attempt in 1.. {
                let mut lease = idle.lease().await.map_err(acquire_error)?;
                let Some(connection) = lease.connection() else { break };
                let mut arguments = PgArguments::default();
                for parameter in &statement.parameters {
                    arguments.add(Bound(parameter)).map_err(|source| Error::Statement(sqlx::Error::Encode(source)))?;
                }
                // The text holds no literal: see `sql`.
                let query = sqlx::query_with(AssertSqlSafe(statement.text.clone()), arguments);
                let mut fetched = query.fetch(&mut *connection);
                let mut readers: Option<Vec<Reader>> = None;
                let mut retry = false;
                loop {
                    match fetched.try_next().await {
                        Ok(Some(row)) => {
                            let readers = match &readers {
                                Some(readers) => readers,
                                None => readers.insert(readers_of(&row, &rows.columns)?),
                            };
                            append(&row, readers, &mut rows)?;
                            if let Some(batch) = rows.added()? {
                                yield batch;
                            }
                        }
                        Ok(None) => break,
                        Err(error) => {
                            if is_broken(&error) {
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

fn acquire_error(error: sqlx::Error) -> Error {
    match error {
        // The gate has let us in, so there was a connection to be had: the database did not give it.
        error @ (sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => Error::Unavailable(error),
        error => statement_error(error),
    }
}

fn statement_error(error: sqlx::Error) -> Error {
    if is_broken(&error) {
        return Error::Unavailable(error);
    }
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
        // query_canceled: the statement timeout, or an operator.
        Some("57014") => Error::Timeout,
        // too_many_connections, and the classes of insufficient resources and operator intervention.
        Some(code) if code.starts_with("53") || code.starts_with("57") => Error::Unavailable(error),
        _ => Error::Statement(error),
    }
}

/// Whether the connection, not the statement, is at fault.
fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => true,
        sqlx::Error::Database(error) => {
            // admin_shutdown, crash_shutdown, cannot_connect_now.
            matches!(error.code().as_deref(), Some("57P01" | "57P02" | "57P03"))
        }
        _ => false,
    }
}

// Type OIDs: fixed in pg_type.dat since Postgres has them.
const BOOL: u32 = 16;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const BOOL_ARRAY: u32 = 1000;
const INT4_ARRAY: u32 = 1007;
const TEXT_ARRAY: u32 = 1009;
const VARCHAR_ARRAY: u32 = 1015;
const INT8_ARRAY: u32 = 1016;
const FLOAT8_ARRAY: u32 = 1022;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const DATE_ARRAY: u32 = 1182;
const TIMESTAMPTZ: u32 = 1184;
const TIMESTAMPTZ_ARRAY: u32 = 1185;
const NUMERIC_ARRAY: u32 = 1231;
const NUMERIC: u32 = 1700;
const JSONB: u32 = 3802;

/// Days from 1970-01-01 to Postgres' epoch, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// How the binary form of a Postgres type is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Bool,
    Int2,
    Int4,
    Int8,
    /// An integer at a decimal's scale.
    IntDecimal {
        width: u8,
        scale: u8,
    },
    Float4,
    Float8,
    Numeric {
        precision: u8,
        scale: u8,
    },
    Text,
    Jsonb,
    Date,
    Timestamp,
    List,
}

impl Reader {
    /// The reader of a contract's type from a Postgres type; `None` when the one cannot be read from the other exactly.
    fn of(data_type: Type, oid: u32) -> Option<Self> {
        Some(match (data_type, oid) {
            (Type::Bool, BOOL) => Self::Bool,
            (Type::Int32 | Type::Int64, INT2) => Self::Int2,
            (Type::Int32 | Type::Int64, INT4) => Self::Int4,
            (Type::Int64, INT8) => Self::Int8,
            (Type::Float64, FLOAT4) => Self::Float4,
            (Type::Float64, FLOAT8) => Self::Float8,
            (Type::Decimal { precision, scale }, NUMERIC) => Self::Numeric { precision, scale },
            // So many digits hold every value of the width.
            (Type::Decimal { precision, scale }, INT2) if precision - scale >= 5 => {
                Self::IntDecimal { width: 2, scale }
            }
            (Type::Decimal { precision, scale }, INT4) if precision - scale >= 10 => {
                Self::IntDecimal { width: 4, scale }
            }
            (Type::Decimal { precision, scale }, INT8) if precision - scale >= 19 => {
                Self::IntDecimal { width: 8, scale }
            }
            (Type::String, TEXT | VARCHAR | BPCHAR) | (Type::Json, JSON) => Self::Text,
            (Type::Json, JSONB) => Self::Jsonb,
            (Type::Date, DATE) => Self::Date,
            (Type::Timestamp, TIMESTAMPTZ) => Self::Timestamp,
            (Type::StringList, TEXT_ARRAY | VARCHAR_ARRAY) => Self::List,
            _ => return None,
        })
    }

    fn read(self, bytes: &[u8]) -> Result<Cell<'_>, Unfit> {
        Ok(match self {
            Self::Bool => Cell::Bool(bytes != [0]),
            Self::Int2 => Cell::Int(i16::from_be_bytes(exact(bytes)?).into()),
            Self::Int4 => Cell::Int(i32::from_be_bytes(exact(bytes)?).into()),
            Self::Int8 => Cell::Int(i64::from_be_bytes(exact(bytes)?)),
            Self::IntDecimal { width, scale } => {
                let int = match width {
                    2 => i16::from_be_bytes(exact(bytes)?).into(),
                    4 => i32::from_be_bytes(exact(bytes)?).into(),
                    _ => i64::from_be_bytes(exact(bytes)?),
                };
                Cell::Decimal(i128::from(int).checked_mul(10_i128.pow(scale.into())).ok_or(Unfit)?)
            }
            Self::Float4 => Cell::Float(f32::from_be_bytes(exact(bytes)?).into()),
            Self::Float8 => Cell::Float(f64::from_be_bytes(exact(bytes)?)),
            Self::Numeric { precision, scale } => Cell::Decimal(numeric(bytes, precision, scale)?),
            Self::Text => Cell::Text(std::str::from_utf8(bytes).map_err(|_| Unfit)?),
            Self::Jsonb => {
                // A version byte, then the text.
                let text = bytes.strip_prefix(&[1]).ok_or(Unfit)?;
                Cell::Text(std::str::from_utf8(text).map_err(|_| Unfit)?)
            }
            // `infinity` is the greatest value: it overflows, and so is refused.
            Self::Date => {
                let days = i32::from_be_bytes(exact(bytes)?);
                Cell::Date(days.checked_add(EPOCH_DAYS).filter(|_| days != i32::MIN).ok_or(Unfit)?)
            }
            Self::Timestamp => {
                let micros = i64::from_be_bytes(exact(bytes)?);
                Cell::Timestamp(micros.checked_add(EPOCH_MICROS).filter(|_| micros != i64::MIN).ok_or(Unfit)?)
            }
            Self::List => Cell::List(list(bytes).ok_or(Unfit)?),
        })
    }
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Unfit> {
    bytes.try_into().map_err(|_| Unfit)
}

/// A numeric's binary form at a fixed scale, exactly: base-10000 digits, the weight of the first, sign, display scale
/// (see numeric.c, numeric_send). A longer fraction, NaN and infinities are refused.
fn numeric(bytes: &[u8], precision: u8, scale: u8) -> Result<i128, Unfit> {
    let mut words = bytes.chunks_exact(2).map(|word| u16::from_be_bytes([word[0], word[1]]));
    let mut next = || words.next().ok_or(Unfit);
    let (digits, weight, sign, _display) = (next()?, next()?.cast_signed(), next()?, next()?);
    let negative = match sign {
        0x0000 => false,
        0x4000 => true,
        _ => return Err(Unfit),
    };
    let mut value: i128 = 0;
    let mut power = i32::from(weight) * 4;
    for _ in 0..digits {
        let digit = i128::from(next()?);
        // This digit stands for digit × 10^power; at the scale, for digit × 10^(power + scale).
        let shift = power + i32::from(scale);
        let part = match u32::try_from(shift) {
            Ok(shift) => digit.checked_mul(10_i128.checked_pow(shift).ok_or(Unfit)?).ok_or(Unfit)?,
            Err(_) => {
                let divisor = 10_i128.checked_pow(shift.unsigned_abs()).ok_or(Unfit)?;
                if digit % divisor != 0 {
                    return Err(Unfit);
                }
                digit / divisor
            }
        };
        value = value.checked_add(part).ok_or(Unfit)?;
        power -= 4;
    }
    if value >= 10_i128.pow(precision.into()) {
        return Err(Unfit);
    }
    Ok(if negative { -value } else { value })
}

/// A one-dimensional text array without nulls.
fn list(bytes: &[u8]) -> Option<Vec<&str>> {
    let mut rest = bytes;
    let mut int = || rest.split_off(..4).and_then(|int| int.try_into().ok()).map(i32::from_be_bytes);
    let (dimensions, _has_null, _element) = (int()?, int()?, int()?);
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let (length, _lower) = (int()?, int()?);
    if dimensions != 1 {
        return None;
    }
    let mut items = Vec::new();
    for _ in 0..length {
        let bytes = rest.split_off(..4)?;
        // A null element has the length -1.
        let length = usize::try_from(i32::from_be_bytes(bytes.try_into().ok()?)).ok()?;
        items.push(std::str::from_utf8(rest.split_off(..length)?).ok()?);
    }
    Some(items)
}

fn readers_of(row: &PgRow, columns: &[(String, Type)]) -> Result<Vec<Reader>, Error> {
    let live = row.columns().iter();
    live.zip(columns)
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
    for (index, (reader, builder)) in readers.iter().zip(&mut rows.builders).enumerate() {
        let value: PgValueRef<'_> = row.try_get_raw(index).map_err(statement_error)?;
        let cell = if value.is_null() {
            Ok(Cell::Null)
        } else {
            value.as_bytes().map_err(|_| Unfit).and_then(|bytes| reader.read(bytes))
        };
        cell.and_then(|cell| builder.append(cell)).map_err(|Unfit| {
            let (column, data_type) = &rows.columns[index];
            Error::Value { column: column.clone(), contract: data_type.to_string() }
        })?;
    }
    Ok(())
}

/// A parameter in Postgres' binary form, with its type stated, so that the server never guesses.
struct Bound<'p>(&'p Parameter);

impl sqlx::Type<sqlx::Postgres> for Bound<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(TEXT))
    }
}

impl<'q> sqlx::Encode<'q, sqlx::Postgres> for Bound<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        let oid = match self.0 {
            Parameter::One(data_type, _) => oid(*data_type).0,
            Parameter::Many(data_type, _) => oid(*data_type).1,
        };
        Some(PgTypeInfo::with_oid(Oid(oid)))
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<sqlx::encode::IsNull, BoxDynError> {
        match self.0 {
            Parameter::One(data_type, value) => write(*data_type, value, buffer),
            Parameter::Many(data_type, values) => {
                buffer.extend(1_i32.to_be_bytes());
                buffer.extend(0_i32.to_be_bytes());
                buffer.extend(oid(*data_type).0.to_be_bytes());
                buffer.extend(i32::try_from(values.len())?.to_be_bytes());
                buffer.extend(1_i32.to_be_bytes());
                for value in values {
                    let at = buffer.len();
                    buffer.extend(0_i32.to_be_bytes());
                    write(*data_type, value, buffer);
                    let length = i32::try_from(buffer.len() - at - 4)?;
                    buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
                }
            }
        }
        Ok(sqlx::encode::IsNull::No)
    }
}

/// The type that a parameter is sent as, and that of a list of them.
fn oid(data_type: Type) -> (u32, u32) {
    match data_type {
        Type::Bool => (BOOL, BOOL_ARRAY),
        Type::Int32 => (INT4, INT4_ARRAY),
        Type::Int64 => (INT8, INT8_ARRAY),
        Type::Float64 => (FLOAT8, FLOAT8_ARRAY),
        Type::Decimal { .. } => (NUMERIC, NUMERIC_ARRAY),
        Type::String | Type::Json | Type::StringList => (TEXT, TEXT_ARRAY),
        Type::Date => (DATE, DATE_ARRAY),
        Type::Timestamp => (TIMESTAMPTZ, TIMESTAMPTZ_ARRAY),
    }
}

fn write(data_type: Type, value: &Value, buffer: &mut Vec<u8>) {
    match value {
        Value::Bool(bool) => buffer.push(u8::from(*bool)),
        Value::Int(int) => match data_type {
            // A plan has checked the range of an int32.
            #[expect(clippy::cast_possible_truncation, reason = "in range: a plan has checked it")]
            Type::Int32 => buffer.extend((*int as i32).to_be_bytes()),
            _ => buffer.extend(int.to_be_bytes()),
        },
        Value::Float(float) => buffer.extend(float.to_be_bytes()),
        Value::Decimal(digits) => {
            let scale = if let Type::Decimal { scale, .. } = data_type { scale } else { 0 };
            write_numeric(*digits, scale, buffer);
        }
        Value::String(text) => buffer.extend(text.as_bytes()),
        Value::Date(days) => buffer.extend(days.saturating_sub(EPOCH_DAYS).to_be_bytes()),
        Value::Timestamp(micros) => buffer.extend(micros.saturating_sub(EPOCH_MICROS).to_be_bytes()),
    }
}

/// The inverse of [`numeric`].
fn write_numeric(digits: i128, scale: u8, buffer: &mut Vec<u8>) {
    // Groups of four digits are counted from the point: the fraction is filled up to a multiple of four.
    let fill = (4 - scale % 4) % 4;
    let fraction_groups = i16::from((scale + fill) / 4);
    let mut rest = digits.unsigned_abs();
    let mut groups: Vec<u16> = Vec::new();
    // The lowest group is the filled one; 10^38 × 10^3 would not fit, so it is split off first.
    let first = 10_u128.pow(u32::from(4 - fill));
    #[expect(clippy::cast_possible_truncation, reason = "below 10000")]
    if rest > 0 {
        groups.push((rest % first) as u16 * 10_u16.pow(fill.into()));
        rest /= first;
        while rest > 0 {
            groups.push((rest % 10_000) as u16);
            rest /= 10_000;
        }
    }
    groups.reverse();
    let count = i16::try_from(groups.len()).unwrap_or(i16::MAX);
    let sign: u16 = if digits < 0 { 0x4000 } else { 0 };
    buffer.extend(count.to_be_bytes());
    buffer.extend((count - fraction_groups - 1).to_be_bytes());
    buffer.extend(sign.to_be_bytes());
    buffer.extend(u16::from(scale).to_be_bytes());
    for group in groups {
        buffer.extend(group.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_numeric_reads_back_as_it_was_written(digits in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_u8..=38) {
            let mut bytes = Vec::new();
            write_numeric(digits, scale, &mut bytes);
            prop_assert_eq!(numeric(&bytes, 38, scale), Ok(digits));
        }
    }

    #[test]
    fn a_numeric_that_does_not_fit_is_refused() {
        let bytes = |digits, scale| {
            let mut bytes = Vec::new();
            write_numeric(digits, scale, &mut bytes);
            bytes
        };
        assert_eq!(numeric(&bytes(1_234_500, 6), 14, 4), Ok(12_345));
        assert_eq!(numeric(&bytes(1_234_567, 6), 14, 4), Err(Unfit));
        assert_eq!(numeric(&bytes(12_345, 0), 4, 0), Err(Unfit));
        assert_eq!(numeric(&[0, 0, 0, 0, 0xC0, 0, 0, 0], 4, 0), Err(Unfit));
    }
}
