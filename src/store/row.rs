//! A version as a row of either database: texts and whole numbers, so that both are read alike.

use jiff::Timestamp;
use sqlx::{ColumnIndex, Decode, Row, Type};
use uuid::Uuid;

use super::{Error, Version, VersionId, Versions, failed};

/// Reads rows of the columns that [`read`] names, each with whether it is current.
pub(super) fn versions<R>(rows: &[R]) -> Result<Versions, Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    let mut versions = Vec::with_capacity(rows.len());
    let mut current = Vec::new();
    for row in rows {
        let version = read(row)?;
        if row.try_get::<i64, _>("current").map_err(failed("read"))? != 0 {
            current.push(version.id);
        }
        versions.push(version);
    }
    Ok(Versions::new(versions, &current))
}

fn read<R>(row: &R) -> Result<Version, Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> i64: Decode<'r, R::Database> + Type<R::Database>,
    for<'r> Option<i64>: Decode<'r, R::Database> + Type<R::Database>,
{
    let text = |column: &'static str| row.try_get::<String, _>(column).map_err(failed("read"));
    let number = |column: &'static str| row.try_get::<i64, _>(column).map_err(failed("read"));
    let optional = |column: &'static str| row.try_get::<Option<i64>, _>(column).map_err(failed("read"));
    let instant = |column, micros: i64| {
        Timestamp::from_microsecond(micros).map_err(|_| Error::Row { column, found: micros.to_string() })
    };
    let instants = |column| optional(column)?.map(|micros| instant(column, micros)).transpose();
    let day = row.try_get::<Option<String>, _>("data_through").map_err(failed("read"))?;
    Ok(Version {
        id: VersionId(parsed("id", &text("id")?, |text| Uuid::parse_str(text).ok())?),
        dataset: parsed("dataset", &text("dataset")?, |text| text.parse().ok())?,
        number: whole("number", number("number")?)?,
        relation: parsed("relation", &text("relation")?, |text| text.parse().ok())?,
        published_at: instant("published_at", number("published_at")?)?,
        data_through: day.map(|day| parsed("data_through", &day, |text| text.parse().ok())).transpose()?,
        rows: whole("rows", number("rows")?)?,
        statistics: text("statistics")?,
        checks: text("checks")?,
        contract: text("contract")?,
        operator: text("operator")?,
        rollback_of: optional("rollback_of")?.map(|number| whole("rollback_of", number)).transpose()?,
        retired_at: instants("retired_at")?,
        dropped_at: instants("dropped_at")?,
    })
}

fn parsed<T>(column: &'static str, text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Error> {
    parse(text).ok_or_else(|| Error::Row { column, found: text.to_owned() })
}

fn whole(column: &'static str, number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| Error::Row { column, found: number.to_string() })
}
