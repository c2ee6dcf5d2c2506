//! Groups of rows and what is measured in them, by brute force.

use std::cmp::Ordering;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use martello::catalog::{Dataset, Function, Type};
use martello::query::{Aggregate, Bucket, Direction, Grouping, OrderKey};

use super::reference::{Overflow, Record, Shown, by_columns, directed, holds};
use super::value::{Cell, Form, Value, date, day_of, days, json, order};
use super::world::Row;

/// A sum has at most 38 digits.
const SUM_END: u128 = 10_u128.pow(38);
const MILLIARD: i128 = 1_000_000_000;

/// A field of the answer.
pub struct Field {
    pub name: String,
    pub data_type: Type,
    of: Of,
}

#[derive(Clone, Copy)]
enum Of {
    Group(usize, Option<Bucket>),
    Measure(Function, Option<usize>),
}

impl Field {
    pub fn groups(&self) -> bool {
        matches!(self.of, Of::Group(..))
    }

    /// Whether it is a float that is computed, and so has no one text.
    pub fn is_near(&self, dataset: &Dataset) -> bool {
        match self.of {
            Of::Measure(Function::Avg | Function::Stddev | Function::Median, _) => true,
            Of::Measure(Function::Sum, Some(index)) => dataset.columns[index].data_type == Type::Float64,
            _ => false,
        }
    }
}

/// What groups and measures are called, and of which type they are.
pub fn fields(dataset: &Dataset, grouping: &Grouping) -> Vec<Field> {
    let group = |name: String, index: usize, bucket: Option<Bucket>| {
        let data_type = if bucket.is_some() { Type::Date } else { dataset.columns[index].data_type };
        Field { name, data_type, of: Of::Group(index, bucket) }
    };
    let measure = |name: String, function: Function, index: Option<usize>| {
        let of = index.map(|index| dataset.columns[index].data_type);
        let data_type = match (function, of) {
            (Function::Count | Function::CountDistinct, _) | (_, None) => Type::Int64,
            (Function::Sum, Some(Type::Int32 | Type::Int64)) => Type::Decimal { precision: 38, scale: 0 },
            (Function::Sum, Some(Type::Decimal { scale, .. })) => Type::Decimal { precision: 38, scale },
            (Function::Min | Function::Max | Function::First | Function::Last, Some(of)) => of,
            _ => Type::Float64,
        };
        Field { name, data_type, of: Of::Measure(function, index) }
    };
    let column = |name: &str| dataset.column(name).expect("a column");
    match grouping {
        Grouping::Fields { group_by, measures } => {
            let groups = group_by.iter().map(|of| group(of.name(), column(&of.field), of.bucket));
            let measures = measures.iter().map(|of| measure(of.name(), of.function, of.field.as_deref().map(column)));
            groups.chain(measures).collect()
        }
        Grouping::Resample(bucket) => {
            let (bars, time) = (dataset.bars.expect("bars"), dataset.time.expect("a time"));
            let name = |index: usize| dataset.columns[index].name.to_string();
            let others = dataset.primary_key.iter().filter(|index| **index != time);
            let mut fields: Vec<Field> = others.map(|index| group(name(*index), *index, None)).collect();
            fields.push(group(name(time), time, Some(*bucket)));
            for (index, function) in [
                (Some(bars.open), Function::First),
                (Some(bars.high), Function::Max),
                (Some(bars.low), Function::Min),
                (Some(bars.close), Function::Last),
                (bars.volume, Function::Sum),
            ] {
                fields.extend(index.map(|index| measure(name(index), function, Some(index))));
            }
            fields
        }
    }
}

/// One row for each group that is wanted, in order.
pub fn answer(
    dataset: &Dataset,
    aggregate: &Aggregate,
    asked: Option<&[OrderKey]>,
    rows: &[&Row],
    form: &Form,
) -> Result<Vec<Record>, Overflow> {
    let fields = fields(dataset, &aggregate.of);
    let mut groups = groups(dataset, &fields, rows, form.zone.as_ref());
    let place = |name: &str| fields.iter().position(|field| field.name == name).expect("a field");
    groups.retain(|(cells, _)| {
        let look = |name: &str| (fields[place(name)].data_type, &cells[place(name)]);
        holds(&aggregate.having, &look) == Some(true)
    });
    if groups.iter().flat_map(|(cells, _)| cells).flatten().any(overflows) {
        return Err(Overflow { groups: groups.len() });
    }
    let mut keys: Vec<_> =
        asked.unwrap_or_default().iter().map(|key| (place(&key.field), key.direction, key.nulls)).collect();
    let direction = keys.last().map_or(Direction::Ascending, |key| key.1);
    keys.extend((0..fields.len()).filter(|place| fields[*place].groups()).map(|place| (place, direction, None)));
    groups.sort_by(|(one, _), (other, _)| {
        let orders =
            keys.iter().map(|(place, direction, nulls)| directed(&one[*place], &other[*place], *direction, *nulls));
        orders.fold(Ordering::Equal, Ordering::then)
    });
    let shown = |(cells, rows): Group<'_>| {
        let pairs = fields.iter().zip(cells);
        pairs.map(|(field, cell)| (field.name.clone(), shown(dataset, field, &cell, &rows, form))).collect()
    };
    Ok(groups.into_iter().map(shown).collect())
}

/// Whether a sum has more digits than there are.
pub fn overflows(value: &Value) -> bool {
    matches!(value, Value::Decimal(digits) if digits.unsigned_abs() >= SUM_END)
}

/// A group: the cells of its fields, and the rows that they come from.
pub type Group<'w> = (Vec<Cell>, Vec<&'w Row>);

/// Every group, wanted or not.
pub fn groups<'w>(dataset: &Dataset, fields: &[Field], rows: &[&'w Row], zone: Option<&TimeZone>) -> Vec<Group<'w>> {
    let groups = grouped(fields, rows, zone).into_iter().map(|rows| {
        let cells = fields.iter().map(|field| computed(dataset, field, &rows, zone));
        (cells.collect(), rows)
    });
    groups.collect()
}

fn shown(dataset: &Dataset, field: &Field, cell: &Cell, rows: &[&Row], form: &Form) -> Shown {
    if !field.is_near(dataset) {
        return Shown::Exact(json(cell, field.data_type, form));
    }
    let Of::Measure(_, Some(index)) = field.of else { panic!("{} is of nothing", field.name) };
    let numbers = numbers(dataset, index, rows);
    let size = numbers.iter().map(|number| number.abs()).sum::<f64>();
    let value = cell.as_ref().map(|value| value.number(0));
    Shown::Near(value, size)
}

/// The rows of each group. Without a group, all rows are one, even where there are none.
fn grouped<'w>(fields: &[Field], rows: &[&'w Row], zone: Option<&TimeZone>) -> Vec<Vec<&'w Row>> {
    if fields.iter().all(|field| !field.groups()) {
        return vec![rows.to_vec()];
    }
    let key = |row: &Row| -> Vec<Cell> {
        let groups = fields.iter().filter_map(|field| match field.of {
            Of::Group(index, bucket) => Some(group(&row[index], bucket, zone)),
            Of::Measure(..) => None,
        });
        groups.collect()
    };
    let compare = |one: &Vec<Cell>, other: &Vec<Cell>| {
        one.iter().zip(other).map(|(one, other)| order(one, other)).fold(Ordering::Equal, Ordering::then)
    };
    let mut keyed: Vec<(Vec<Cell>, &Row)> = rows.iter().map(|row| (key(row), *row)).collect();
    keyed.sort_by(|one, other| compare(&one.0, &other.0));
    let groups = keyed.chunk_by(|one, other| compare(&one.0, &other.0).is_eq());
    groups.map(|group| group.iter().map(|(_, row)| *row).collect()).collect()
}

/// A cell as what makes a group: the first day of its interval, where it is cut to intervals.
fn group(cell: &Cell, bucket: Option<Bucket>, zone: Option<&TimeZone>) -> Cell {
    let Some(bucket) = bucket else { return cell.clone() };
    let day = match cell.as_ref()? {
        Value::Date(days) => date(*days),
        Value::Instant(micros) => day_of(*micros, zone),
        other => panic!("{other:?} has no day"),
    };
    Some(Value::Date(days(first_day(day, bucket))))
}

fn first_day(day: Date, bucket: Bucket) -> Date {
    match bucket {
        Bucket::Day => day,
        Bucket::Week => date(days(day) - i32::from(day.weekday().to_monday_zero_offset())),
        Bucket::Month => day.first_of_month(),
        Bucket::Quarter => Date::constant(day.year(), (day.month() - 1) / 3 * 3 + 1, 1),
        Bucket::Year => day.first_of_year(),
    }
}

fn computed(dataset: &Dataset, field: &Field, rows: &[&Row], zone: Option<&TimeZone>) -> Cell {
    let (function, index) = match field.of {
        Of::Group(index, bucket) => return group(&rows[0][index], bucket, zone),
        Of::Measure(_, None) => return Some(Value::Int(rows.len() as i64)),
        Of::Measure(function, Some(index)) => (function, index),
    };
    let values: Vec<&Value> = rows.iter().filter_map(|row| row[index].as_ref()).collect();
    let data_type = dataset.columns[index].data_type;
    let float = |float: Option<f64>| float.map(Value::Float);
    match function {
        Function::Count => Some(Value::Int(values.len() as i64)),
        Function::CountDistinct => {
            let mut values = values;
            values.sort_by(|one, other| one.order(other));
            values.dedup_by(|one, other| one.order(other).is_eq());
            Some(Value::Int(values.len() as i64))
        }
        Function::Sum if values.is_empty() => None,
        Function::Sum if data_type == Type::Float64 => float(Some(numbers(dataset, index, rows).iter().sum())),
        Function::Sum => Some(Value::Decimal(sum(&values))),
        Function::Min => values.into_iter().min_by(|one, other| one.order(other)).cloned(),
        Function::Max => values.into_iter().max_by(|one, other| one.order(other)).cloned(),
        Function::First => ends(dataset, rows, Direction::Ascending).and_then(|row| row[index].clone()),
        Function::Last => ends(dataset, rows, Direction::Descending).and_then(|row| row[index].clone()),
        Function::Avg => float(mean(dataset, index, rows)),
        Function::Stddev => float(deviation(&values, scale(dataset, index))),
        Function::Median => float(median(numbers(dataset, index, rows))),
    }
}

/// The exact sum or, beyond what an i128 holds, the number at that end of its range.
fn sum(values: &[&Value]) -> i128 {
    let digits = values.iter().map(|value| match value {
        Value::Int(int) => i128::from(*int),
        Value::Decimal(digits) => *digits,
        other => panic!("{other:?} has no exact sum"),
    });
    // In two parts, since a step of the way may be beyond what an i128 holds where the end is not.
    let (mut high, mut low) = (0_i128, 0_i128);
    for digits in digits {
        high += digits.div_euclid(MILLIARD);
        low += digits.rem_euclid(MILLIARD);
    }
    high += low.div_euclid(MILLIARD);
    let sum = high.checked_mul(MILLIARD).and_then(|sum| sum.checked_add(low.rem_euclid(MILLIARD)));
    sum.unwrap_or(if high < 0 { i128::MIN } else { i128::MAX })
}

/// The values that are not null, as floats.
fn numbers(dataset: &Dataset, index: usize, rows: &[&Row]) -> Vec<f64> {
    let scale = scale(dataset, index);
    rows.iter().filter_map(|row| row[index].as_ref()).map(|value| value.number(scale)).collect()
}

fn scale(dataset: &Dataset, index: usize) -> u8 {
    match dataset.columns[index].data_type {
        Type::Decimal { scale, .. } => scale,
        _ => 0,
    }
}

/// Of the exact sum, where there is one.
fn mean(dataset: &Dataset, index: usize, rows: &[&Row]) -> Option<f64> {
    let values: Vec<&Value> = rows.iter().filter_map(|row| row[index].as_ref()).collect();
    if values.is_empty() {
        return None;
    }
    let exact = match dataset.columns[index].data_type {
        Type::Float64 => None,
        _ => Some(Value::Decimal(sum(&values)))
            .filter(|sum| !overflows(sum))
            .map(|sum| sum.number(scale(dataset, index))),
    };
    let sum = exact.unwrap_or_else(|| numbers(dataset, index, rows).iter().sum());
    Some(sum / values.len() as f64)
}

/// That of a sample: one value has none. Distances from the first value have it too, and they are exact where values of
/// many digits are not.
fn deviation(values: &[&Value], scale: u8) -> Option<f64> {
    let first = values.first().filter(|_| values.len() > 1)?;
    let distance = |value: &&Value| match (value, first) {
        (Value::Int(value), Value::Int(first)) => (i128::from(*value) - i128::from(*first)) as f64,
        (Value::Decimal(value), Value::Decimal(first)) => {
            let digits = value.checked_sub(*first).map_or(*value as f64 - *first as f64, |digits| digits as f64);
            digits / 10_f64.powi(scale.into())
        }
        _ => value.number(scale) - first.number(scale),
    };
    let distances: Vec<f64> = values.iter().map(distance).collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    let squares: f64 = distances.iter().map(|distance| (distance - mean) * (distance - mean)).sum();
    Some((squares / (distances.len() - 1) as f64).sqrt())
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len().checked_sub(1)?;
    Some((numbers[middle / 2] + numbers[middle.div_ceil(2)]) / 2.0)
}

/// The first row by time, then key, or the last.
fn ends<'w>(dataset: &Dataset, rows: &[&'w Row], direction: Direction) -> Option<&'w Row> {
    let columns: Vec<usize> = dataset.time.into_iter().chain(dataset.primary_key.iter().copied()).collect();
    let rows = rows.iter().copied();
    match direction {
        Direction::Ascending => rows.min_by(|one, other| by_columns(&columns, one, other)),
        Direction::Descending => rows.max_by(|one, other| by_columns(&columns, one, other)),
    }
}
