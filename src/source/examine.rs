//! What a relation holds, as far as a publish has to know: one statement for all that can be counted in one pass, and
//! one for each check that needs its own.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_array::types::Int64Type;
use futures_util::TryStreamExt as _;

use super::sql::{Compare, Dialect, Expr, From, Parameter, Select};
use super::{Error, Reading, Source};
use crate::catalog::{Check, Column, ColumnIndex, Dataset, Type};
use crate::plan::Value;

/// What was found in a relation.
#[derive(Clone, PartialEq, Debug)]
pub struct Examination {
    /// How many rows it has.
    pub rows: u64,
    /// The least and the greatest of the contract's `time`.
    pub time: Option<(Value, Value)>,
    /// What was looked at, in words, and how many rows or keys are against it.
    pub findings: Vec<Finding>,
}

/// What one check found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The check, in words.
    pub check: String,
    /// What is against it; nothing when it is met.
    pub against: Option<String>,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.against {
            None => f.write_str(&self.check),
            Some(against) => write!(f, "{}: {against}", self.check),
        }
    }
}

/// Examines a relation that stands where the dataset says: what every contract promises (a key of each row's own, no null
/// where there is none) and what its checks ask besides.
///
/// # Errors
/// When the source does not answer.
pub async fn examine(source: &dyn Source, dataset: &Dataset, now: jiff::Timestamp) -> Result<Examination, Error> {
    let pass = Pass::over(dataset);
    let counted = pass.run(source, dataset).await?;
    let rows = counted.rows;
    let mut findings = Vec::new();
    for (column, values) in pass.filled.iter().zip(&counted.filled) {
        let name = &dataset.columns[*column].name;
        let nulls = rows.saturating_sub(*values);
        let against = (nulls > 0).then(|| format!("{nulls} rows have none"));
        findings.push(Finding { check: format!("{name} is never null"), against });
    }
    findings.push(unique(source, dataset, &dataset.primary_key).await?);
    for check in &dataset.checks {
        match check {
            // Counted above.
            Check::NotNull(_) => {}
            Check::Unique(columns) if *columns == dataset.primary_key => {}
            Check::Unique(columns) => findings.push(unique(source, dataset, columns).await?),
            Check::Range { column, min, max } => {
                findings.push(in_range(source, dataset, *column, [min.as_ref(), max.as_ref()]).await?);
            }
            Check::RowCount { min, max } => {
                let fits = min.is_none_or(|min| rows >= min) && max.is_none_or(|max| rows <= max);
                let check = format!("rows between {} and {}", told(min.as_ref()), told(max.as_ref()));
                findings.push(Finding { check, against: (!fits).then(|| format!("there are {rows}")) });
            }
            Check::Freshness { column, max_age } => {
                let name = &dataset.columns[*column].name;
                let newest =
                    pass.ends.iter().position(|end| end == column).and_then(|place| counted.ends[place].clone());
                let age = newest.as_ref().and_then(|(_, newest)| age(newest, now));
                let fits = age.is_some_and(|age| age <= i128::try_from(max_age.as_micros()).unwrap_or(i128::MAX));
                let shown = match &newest {
                    Some((_, newest)) => format!("the newest is {}", newest.shown(dataset.columns[*column].data_type)),
                    None => "there is none".to_owned(),
                };
                let check = format!("{name} is no older than {} s", max_age.as_secs());
                findings.push(Finding { check, against: (!fits).then_some(shown) });
            }
        }
    }
    let time = dataset.time.and_then(|time| pass.ends.iter().position(|end| *end == time));
    Ok(Examination { rows, time: time.and_then(|place| counted.ends[place].clone()), findings })
}

fn told(bound: Option<&impl ToString>) -> String {
    bound.map_or_else(|| "any".to_owned(), ToString::to_string)
}

/// Microseconds since a day's end or an instant.
fn age(value: &Value, now: jiff::Timestamp) -> Option<i128> {
    const DAY: i128 = 86_400_000_000;
    let at = match value {
        Value::Date(days) => (i128::from(*days) + 1) * DAY,
        Value::Timestamp(micros) => i128::from(*micros),
        _ => return None,
    };
    Some(i128::from(now.as_microsecond()) - at)
}

/// What one pass over the relation counts.
struct Pass {
    /// Columns that must have a value in every row.
    filled: Vec<ColumnIndex>,
    /// Columns whose least and greatest are wanted.
    ends: Vec<ColumnIndex>,
}

struct Counted {
    rows: u64,
    filled: Vec<u64>,
    ends: Vec<Option<(Value, Value)>>,
}

impl Pass {
    fn over(dataset: &Dataset) -> Self {
        let mut filled: Vec<ColumnIndex> =
            (0..dataset.columns.len()).filter(|index| !dataset.columns[*index].nullable).collect();
        let mut ends: Vec<ColumnIndex> = dataset.time.into_iter().collect();
        for check in &dataset.checks {
            match check {
                Check::NotNull(columns) => filled.extend(columns),
                Check::Freshness { column, .. } => ends.push(*column),
                _ => {}
            }
        }
        for columns in [&mut filled, &mut ends] {
            columns.sort_unstable();
            columns.dedup();
        }
        Self { filled, ends }
    }

    async fn run(&self, source: &dyn Source, dataset: &Dataset) -> Result<Counted, Error> {
        let column = |index: &ColumnIndex| &dataset.columns[*index];
        let mut columns = vec![("rows".to_owned(), Type::Int64)];
        let mut select = vec![Expr::word("count(*)")];
        for index in &self.filled {
            columns.push((format!("filled_{index}"), Type::Int64));
            select.push(filled(column(index), source.dialect()));
        }
        for index in &self.ends {
            for (word, function) in [("min", "min("), ("max", "max(")] {
                columns.push((format!("{word}_{index}"), column(index).data_type));
                select.push(Expr::between(function, Expr::Column(&column(index).name), ")"));
            }
        }
        let batch = one_row(source, select, From::Relation(&dataset.relation), Expr::default(), &columns).await?;
        let count = |place: usize| {
            let count = batch.column(place).as_primitive::<Int64Type>().value(0);
            u64::try_from(count).unwrap_or_default()
        };
        let value = |place: usize| Value::at(columns[place].1, batch.column(place), 0);
        let first_end = 1 + self.filled.len();
        // ClickHouse has the type's zero for the end of nothing.
        let has_rows = count(0) > 0;
        let ends = (0..self.ends.len()).map(|place| {
            let place = first_end + place * 2;
            Some((value(place)?, value(place + 1)?)).filter(|_| has_rows)
        });
        Ok(Counted { rows: count(0), filled: (1..first_end).map(count).collect(), ends: ends.collect() })
    }
}

/// How many rows have a value. A null list of ClickHouse is the list whose one element is null.
fn filled(column: &Column, dialect: Dialect) -> Expr<'_> {
    let value = Expr::Column(&column.name);
    match (dialect, column.data_type) {
        (Dialect::ClickHouse, Type::StringList) => Expr::between("countIf(NOT has(", value, ", NULL))"),
        _ => Expr::between("count(", value, ")"),
    }
}

async fn unique(source: &dyn Source, dataset: &Dataset, columns: &[ColumnIndex]) -> Result<Finding, Error> {
    let names: Vec<&str> = columns.iter().map(|index| dataset.columns[*index].name.as_str()).collect();
    let read = columns.iter().map(|index| Expr::Column(&dataset.columns[*index].name));
    let count = Expr::NamedInner(Box::new(Expr::word("count(*)")), "_count", 0);
    let groups = Select {
        columns: read.chain([count]).collect(),
        from: From::Relation(&dataset.relation),
        groups: columns.len(),
        ..Select::default()
    };
    let twice = counted(source, From::Select(Box::new(groups), "keys"), Expr::word("_count > 1")).await?;
    let against = (twice > 0).then(|| format!("{twice} are in more than one row"));
    Ok(Finding { check: format!("({}) is in one row", names.join(", ")), against })
}

async fn in_range(
    source: &dyn Source,
    dataset: &Dataset,
    column: ColumnIndex,
    bounds: [Option<&serde_json::Number>; 2],
) -> Result<Finding, Error> {
    let column = &dataset.columns[column];
    let check = format!("{} lies between {} and {}", column.name, told(bounds[0]), told(bounds[1]));
    let beyond = bounds.into_iter().zip([Compare::Lt, Compare::Gt]).filter_map(|(bound, compare)| {
        let bound = Value::parse(column.data_type, &bound?.to_string())?;
        let bound = Expr::Bind(Parameter::One(column.data_type, bound));
        Some(Expr::Compare(vec![Expr::Column(&column.name)], compare, vec![bound]))
    });
    let beyond: Vec<Expr<'_>> = beyond.collect();
    if beyond.len() < bounds.into_iter().flatten().count() {
        return Ok(Finding { check, against: Some(format!("a bound is no {}", column.data_type)) });
    }
    let outside = counted(source, From::Relation(&dataset.relation), Expr::Or(beyond)).await?;
    Ok(Finding { check, against: (outside > 0).then(|| format!("{outside} rows lie outside")) })
}

async fn counted(source: &dyn Source, from: From<'_>, filter: Expr<'_>) -> Result<u64, Error> {
    let columns = [("rows".to_owned(), Type::Int64)];
    let batch = one_row(source, vec![Expr::word("count(*)")], from, filter, &columns).await?;
    Ok(u64::try_from(batch.column(0).as_primitive::<Int64Type>().value(0)).unwrap_or_default())
}

/// The one row of a select. A publish has all the time that it needs.
async fn one_row(
    source: &dyn Source,
    columns: Vec<Expr<'_>>,
    from: From<'_>,
    filter: Expr<'_>,
    named: &[(String, Type)],
) -> Result<RecordBatch, Error> {
    let named: Vec<(&str, Type)> = named.iter().map(|(name, data_type)| (name.as_str(), *data_type)).collect();
    // Named, as a database that takes batches by names wants it.
    let columns =
        columns.into_iter().enumerate().map(|(place, column)| Expr::NamedInner(Box::new(column), "_", place + 1));
    let select = Select { columns: columns.collect(), from, filter, ..Select::default() };
    let reading = Reading { rows_max: None, ..Reading::columns(&named) };
    let schema = Arc::clone(&reading.schema);
    let rows: Vec<RecordBatch> = source.run_whole(select.render_whole(source.dialect()), reading).try_collect().await?;
    let first = rows.into_iter().find(|batch| batch.num_rows() > 0);
    Ok(first.unwrap_or_else(|| RecordBatch::new_empty(schema)))
}
