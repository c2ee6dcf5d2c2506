//! Groups and measures of SQLite, which is taught what it has no functions for with windows and integers.

use jiff::tz::TimeZone;

use super::{column, sortable, time_order};
use crate::catalog::{ColumnIndex, Direction, Function, Type};
use crate::plan::{Output, Plan, Value};
use crate::query::Bucket;
use crate::source::sql::{Expr, From, Order, Parameter, Part, Select};

/// Up to here SQLite knows when zones change their offset; later instants keep the last one.
const ZONE_YEARS_END: i16 = 2200;

/// SQLite has no exact sum beyond 64 bits, and none of first, last, stddev and median: windows in an inner select number
/// the rows, and the measures read the numbers.
pub(super) fn grouped<'p>(
    plan: &'p Plan,
    mut from: From<'p>,
    mut filter: Expr<'p>,
    columns: &[ColumnIndex],
    groups: usize,
) -> Select<'p> {
    let fields = plan.fields();
    let measures = || {
        fields.iter().enumerate().filter_map(|(place, field)| match field.output {
            Output::Measure(function, Some(index)) => Some((place, function, index)),
            _ => None,
        })
    };
    let windowed =
        |function| matches!(function, Function::First | Function::Last | Function::Stddev | Function::Median);
    let read = || columns.iter().map(|index| column(plan, *index));
    let numbered = measures().any(|(_, function, _)| windowed(function));

    if numbered {
        // Intervals first, so that windows and groups name them instead of computing them again.
        let mut inner: Vec<Expr<'p>> = read().collect();
        for (place, field) in fields.iter().enumerate() {
            if let Output::Bucket(index, bucket) = field.output {
                inner.push(Expr::NamedInner(Box::new(interval(plan, index, bucket)), "_group", place));
            }
        }
        from = From::Select(Box::new(Select { columns: inner, from, filter, ..Select::default() }), "dated");
        filter = Expr::default();
    }
    let group = |place: usize| match fields[place].output {
        Output::Column(index) | Output::Was(index) => column(plan, index),
        Output::Bucket(..) if numbered => Expr::Inner("_group", place),
        Output::Bucket(index, bucket) => interval(plan, index, bucket),
        Output::Measure(..) | Output::Change => Expr::default(),
    };
    if numbered {
        let partition: Vec<Expr<'p>> = (0..groups).map(group).collect();
        let over = |function, order| Expr::Over { function: Box::new(function), partition: partition.clone(), order };
        let mut inner: Vec<Expr<'p>> = read().collect();
        inner.extend((0..groups).map(group).filter(|expr| matches!(expr, Expr::Inner(..))));
        for (function, name, direction) in
            [(Function::First, "_first", Direction::Ascending), (Function::Last, "_last", Direction::Descending)]
        {
            if measures().any(|(_, other, _)| other == function) {
                let number = over(Expr::word("ROW_NUMBER()"), time_order(plan, direction));
                inner.push(Expr::NamedInner(Box::new(number), name, 0));
            }
        }
        for (place, function, index) in measures() {
            let value = || column(plan, index);
            match function {
                Function::Stddev => {
                    let mean = over(Expr::between("avg(", value(), ")"), Vec::new());
                    inner.push(Expr::NamedInner(Box::new(mean), "_mean", place));
                }
                Function::Median => {
                    let order = Order { by: value(), direction: Direction::Ascending, nulls_first: Some(false) };
                    let rank = over(Expr::word("ROW_NUMBER()"), vec![order]);
                    inner.push(Expr::NamedInner(Box::new(rank), "_rank", place));
                    let count = over(Expr::between("count(", value(), ")"), Vec::new());
                    inner.push(Expr::NamedInner(Box::new(count), "_count", place));
                }
                _ => {}
            }
        }
        from = From::Select(Box::new(Select { columns: inner, from, ..Select::default() }), "numbered");
    }
    let named = fields.iter().enumerate().map(|(place, field)| {
        let value = match field.output {
            Output::Measure(function, of) => measure(plan, place, function, of),
            _ => group(place),
        };
        Expr::Named(Box::new(value), &field.name)
    });
    let select = Select { columns: named.collect(), from, filter, groups, ..Select::default() };
    if measures().all(|(_, function, _)| function != Function::Stddev) {
        return select;
    }
    // The variances were named; their roots take the names.
    let rooted = fields.iter().map(|field| match field.output {
        Output::Measure(Function::Stddev, _) => Expr::Named(Box::new(root(Expr::Column(&field.name))), &field.name),
        _ => Expr::Column(&field.name),
    });
    let rooted = rooted.collect();
    Select { columns: rooted, from: From::Select(Box::new(select), "varied"), ..Select::default() }
}

fn measure(plan: &Plan, place: usize, function: Function, of: Option<ColumnIndex>) -> Expr<'_> {
    let Some(index) = of else { return Expr::word("count(*)") };
    let data_type = plan.column(index).data_type;
    let value = || column(plan, index);
    // Decimals are stored as integers at their scale.
    let scaled = |expr| match data_type {
        Type::Decimal { scale, .. } => Expr::Words(vec![Part::Expr(expr), Part::Word(divisor(scale))]),
        _ => expr,
    };
    match function {
        Function::Count => Expr::between("count(", value(), ")"),
        Function::CountDistinct => Expr::between("count(DISTINCT ", value(), ")"),
        Function::Sum if data_type == Type::Float64 => Expr::between("sum(", value(), ")"),
        Function::Sum => exact_sum(value()),
        Function::Avg => scaled(Expr::between("avg(", value(), ")")),
        Function::Min => Expr::between("min(", sortable(value(), data_type), ")"),
        Function::Max => Expr::between("max(", sortable(value(), data_type), ")"),
        Function::First => Expr::between("max(CASE WHEN _first = 1 THEN ", value(), " END)"),
        Function::Last => Expr::between("max(CASE WHEN _last = 1 THEN ", value(), " END)"),
        Function::Stddev => {
            let mean = || Part::Expr(Expr::Inner("_mean", place));
            let variance = Expr::Words(vec![
                Part::Word("sum(("),
                Part::Expr(value()),
                Part::Word(" - "),
                mean(),
                Part::Word(") * ("),
                Part::Expr(value()),
                Part::Word(" - "),
                mean(),
                Part::Word(")) / (count("),
                Part::Expr(value()),
                Part::Word(") - 1)"),
            ]);
            // A variance has the scale twice.
            scaled(scaled(variance))
        }
        Function::Median => {
            let count = || Part::Expr(Expr::Inner("_count", place));
            scaled(Expr::Words(vec![
                Part::Word("avg(CASE WHEN "),
                Part::Expr(Expr::Inner("_rank", place)),
                Part::Word(" IN (("),
                count(),
                Part::Word(" + 1) / 2, ("),
                count(),
                Part::Word(" + 2) / 2) THEN "),
                Part::Expr(value()),
                Part::Word(" END)"),
            ]))
        }
    }
}

/// A sum of 64-bit integers as text that sorts as the sums do: 20 digits of its milliards, shifted so that none is
/// negative, and 9 digits of the rest. SQLite's own sum fails past 64 bits; halves of them do not.
fn exact_sum(value: Expr<'_>) -> Expr<'_> {
    let value = || Part::Expr(value.clone());
    Expr::Words(vec![
        Part::Word("CASE WHEN count("),
        value(),
        Part::Word(") > 0 THEN printf('%020d%09d', sum("),
        value(),
        Part::Word(" / 1000000000) + (sum("),
        value(),
        Part::Word(" % 1000000000) - (sum("),
        value(),
        Part::Word(" % 1000000000) % 1000000000 + 1000000000) % 1000000000) / 1000000000 + 5000000000000000000, (sum("),
        value(),
        Part::Word(" % 1000000000) % 1000000000 + 1000000000) % 1000000000) END"),
    ])
}

const MILLIARD: i128 = 1_000_000_000;

/// What the milliards of a sum are shifted by.
const SHIFT: i128 = 5_000_000_000_000_000_000;

/// The text that SQLite makes of a sum, so that the two compare as numbers do. What no sum reaches is cut to what stands
/// behind all of them.
pub(in crate::source) fn sum_to_text(sum: i128) -> String {
    let milliards = (sum.div_euclid(MILLIARD) + SHIFT).clamp(0, 2 * SHIFT);
    format!("{milliards:020}{:09}", sum.rem_euclid(MILLIARD))
}

/// The inverse of [`sum_to_text`].
pub(in crate::source) fn sum_of_text(text: &str) -> Option<i128> {
    let (milliards, rest) = text.split_at_checked(20)?;
    Some((milliards.parse::<i128>().ok()? - SHIFT) * MILLIARD + rest.parse::<i128>().ok()?)
}

/// The square root by Newton's method, from above: SQLite is built without one by default.
fn root(value: Expr<'_>) -> Expr<'_> {
    let value = || Part::Expr(value.clone());
    Expr::Words(vec![
        Part::Word("CASE WHEN "),
        value(),
        Part::Word(" > 0 THEN (WITH RECURSIVE newton(x, next) AS (SELECT max("),
        value(),
        Part::Word(", 1.0), (max("),
        value(),
        Part::Word(", 1.0) + min("),
        value(),
        Part::Word(", 1.0)) / 2 UNION ALL SELECT next, (next + "),
        value(),
        Part::Word(" / next) / 2 FROM newton WHERE next < x) SELECT min(x) FROM newton) ELSE "),
        value(),
        Part::Word(" END"),
    ])
}

/// ` / 10^scale` in floating point.
fn divisor(scale: u8) -> &'static str {
    const DIVISORS: [&str; 19] = [
        "", " / 1e1", " / 1e2", " / 1e3", " / 1e4", " / 1e5", " / 1e6", " / 1e7", " / 1e8", " / 1e9", " / 1e10",
        " / 1e11", " / 1e12", " / 1e13", " / 1e14", " / 1e15", " / 1e16", " / 1e17", " / 1e18",
    ];
    DIVISORS.get(usize::from(scale)).copied().unwrap_or_default()
}

fn interval(plan: &Plan, index: ColumnIndex, bucket: Bucket) -> Expr<'_> {
    let value = column(plan, index);
    let day = match plan.column(index).data_type {
        Type::Date => value,
        // Counted from the year 1, so that whole division rounds down.
        _ => Expr::between(
            "date((",
            local(plan.zone(), value),
            " + 62135596800000000) / 1000000 - 62135596800, 'unixepoch')",
        ),
    };
    match bucket {
        Bucket::Day => day,
        Bucket::Week => Expr::between("date(", day, ", 'weekday 0', '-6 days')"),
        Bucket::Month => Expr::between("date(", day, ", 'start of month')"),
        Bucket::Quarter => Expr::Words(vec![
            Part::Word("date("),
            Part::Expr(day.clone()),
            Part::Word(", 'start of month', '-' || ((substr("),
            Part::Expr(day),
            Part::Word(", 6, 2) - 1) % 3) || ' months')"),
        ]),
        Bucket::Year => Expr::between("date(", day, ", 'start of year')"),
    }
}

/// Microseconds of the zone's clocks: SQLite knows no zones, so it is told when each changed its offset.
fn local<'p>(zone: Option<&TimeZone>, value: Expr<'p>) -> Expr<'p> {
    const MICROS: i64 = 1_000_000;
    let Some(zone) = zone else { return value };
    let bind = |micros: i64| Part::Expr(Expr::Bind(Parameter::One(Type::Int64, Value::Int(micros))));
    let offset = |offset: jiff::tz::Offset| bind(i64::from(offset.seconds()) * MICROS);
    let mut parts = vec![Part::Word("("), Part::Expr(value.clone()), Part::Word(" + CASE")];
    let mut before = zone.to_offset(jiff::Timestamp::MIN);
    for transition in zone.following(jiff::Timestamp::MIN) {
        if transition.timestamp().to_zoned(TimeZone::UTC).year() >= ZONE_YEARS_END {
            break;
        }
        if transition.offset() == before {
            continue;
        }
        parts.extend([Part::Word(" WHEN "), Part::Expr(value.clone()), Part::Word(" < ")]);
        parts.extend([bind(transition.timestamp().as_microsecond()), Part::Word(" THEN "), offset(before)]);
        before = transition.offset();
    }
    if parts.len() == 3 {
        // Without a WHEN there is no CASE.
        parts.extend([Part::Word(" WHEN 1 = 0 THEN 0")]);
    }
    parts.extend([Part::Word(" ELSE "), offset(before), Part::Word(" END)")]);
    // 0001-01-01 and 9999-12-31: clocks leave the calendar at its ends, by some hours.
    Expr::between("min(max(", Expr::Words(parts), ", -62135596800000000), 253402214400000000)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_text_of_a_sum_reads_back_and_sorts_as_the_sum(one in -(10_i128.pow(27))..10_i128.pow(27), other in -(10_i128.pow(27))..10_i128.pow(27)) {
            prop_assert_eq!(sum_of_text(&sum_to_text(one)), Some(one));
            prop_assert_eq!(sum_to_text(one).cmp(&sum_to_text(other)), one.cmp(&other));
        }
    }
}
