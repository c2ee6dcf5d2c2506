//! Groups and measures of ClickHouse. Its own sums wrap around and its means of decimals are cut, so that integers and
//! decimals are added up in 256 bits.

use jiff::tz::TimeZone;

use super::{by_time, column};
use crate::catalog::{ColumnIndex, Function, Type};
use crate::plan::{Plan, Value};
use crate::query::Bucket;
use crate::source::sql::{Expr, Parameter, Part};

/// Squares of so many digits, added up ten to the twenty-fourth times, stay within the 76 digits of 256 bits.
const SQUARED_DIGITS_MAX: u8 = 19;

/// Days of `Date` end in 2149 and begin in 1970: intervals are counted in `Date32`.
pub(super) fn interval(plan: &Plan, index: ColumnIndex, bucket: Bucket) -> Expr<'_> {
    let value = column(plan, index);
    let day = match plan.column(index).data_type {
        Type::Date => Expr::between("toDate32(", value, ")"),
        _ => {
            let zone = plan.zone().and_then(TimeZone::iana_name).unwrap_or("UTC").to_owned();
            let zone = Part::Expr(Expr::Bind(Parameter::One(Type::String, Value::String(zone))));
            let day = || {
                let (value, zone) = (Part::Expr(value.clone()), zone.clone());
                Part::Expr(Expr::Words(vec![Part::Word("toDate32("), value, Part::Word(", "), zone, Part::Word(")")]))
            };
            if plan.zone().is_none() {
                Expr::Words(vec![day()])
            } else {
                // UTC does not leave the calendar; clocks of other zones do, by some hours at its ends. Null is neither
                // less nor greater.
                Expr::Words(vec![
                    Part::Word("multiIf("),
                    day(),
                    Part::Word(" < toDate32('0001-01-01'), toDate32('0001-01-01'), "),
                    day(),
                    Part::Word(" > toDate32('9999-12-31'), toDate32('9999-12-31'), "),
                    day(),
                    Part::Word(")"),
                ])
            }
        }
    };
    match bucket {
        Bucket::Day => day,
        // Mode 1 is the week that begins on Monday.
        Bucket::Week => Expr::between("toStartOfWeek(", day, ", 1)"),
        Bucket::Month => Expr::between("toStartOfMonth(", day, ")"),
        Bucket::Quarter => Expr::between("toStartOfQuarter(", day, ")"),
        Bucket::Year => Expr::between("toStartOfYear(", day, ")"),
    }
}

/// `-OrNull`: without a value ClickHouse's functions answer a zero, where SQL has null.
pub(super) fn measure(plan: &Plan, function: Function, of: Option<ColumnIndex>) -> Expr<'_> {
    let Some(index) = of else { return Expr::word("count()") };
    let data_type = plan.column(index).data_type;
    let value = || column(plan, index);
    match (function, data_type) {
        // A list that is null has a null in it: see `condition`.
        (Function::Count, Type::StringList) => Expr::between("countIf(NOT has(", value(), ", NULL))"),
        (Function::Count, _) => Expr::between("count(", value(), ")"),
        (Function::CountDistinct, _) => Expr::between("uniqExact(", value(), ")"),
        (Function::Sum, Type::Float64) => Expr::between("sumOrNull(", value(), ")"),
        (Function::Sum, _) => sum(wide(value(), data_type)),
        (Function::Avg, Type::Float64) => Expr::between("avgOrNull(", value(), ")"),
        (Function::Avg, _) => Expr::Words(vec![
            Part::Expr(Expr::between("toFloat64(", sum(wide(value(), data_type)), ")")),
            Part::Expr(Expr::between(" / count(", value(), ")")),
        ]),
        (Function::Min, _) => Expr::between("minOrNull(", value(), ")"),
        (Function::Max, _) => Expr::between("maxOrNull(", value(), ")"),
        (Function::First, _) => end(plan, "argMin(tuple(", index),
        (Function::Last, _) => end(plan, "argMax(tuple(", index),
        (Function::Stddev, _) => deviation(value(), data_type),
        (Function::Median, _) => Expr::between("quantileExactInclusiveOrNull(0.5)(toFloat64(", value(), "))"),
    }
}

/// As a number of 256 bits at its own scale.
fn wide(value: Expr<'_>, data_type: Type) -> Expr<'_> {
    let scale = if let Type::Decimal { scale, .. } = data_type { scale } else { 0 };
    Expr::Words(vec![
        Part::Word("toDecimal256("),
        Part::Expr(value),
        Part::Word(", "),
        Part::Number(scale),
        Part::Word(")"),
    ])
}

fn sum(value: Expr<'_>) -> Expr<'_> {
    Expr::between("sumOrNull(", value, ")")
}

/// The value of the row that is first or last by time. In a tuple, since `argMin` passes over nulls.
fn end<'p>(plan: &'p Plan, function: &'static str, index: ColumnIndex) -> Expr<'p> {
    let mut parts = vec![Part::Word("if(count() > 0, "), Part::Word(function)];
    parts.push(Part::Expr(column(plan, index)));
    parts.push(Part::Word("), tuple("));
    for (place, key) in by_time(plan).into_iter().enumerate() {
        if place > 0 {
            parts.push(Part::Word(", "));
        }
        parts.push(Part::Expr(column(plan, key)));
    }
    parts.push(Part::Word(")).1, NULL)"));
    Expr::Words(parts)
}

/// The sample standard deviation; exactly from integers where their squares can be added up.
fn deviation(value: Expr<'_>, data_type: Type) -> Expr<'_> {
    let (precision, scale) = match data_type {
        Type::Decimal { precision, scale } => (precision, scale),
        Type::Int32 | Type::Int64 => (SQUARED_DIGITS_MAX, 0),
        _ => (u8::MAX, 0),
    };
    let count = || Part::Expr(Expr::between("count(", value.clone(), ")"));
    let mut parts = vec![Part::Word("if("), count(), Part::Word(" > 1, ")];
    if precision > SQUARED_DIGITS_MAX {
        parts.push(Part::Expr(Expr::between("stddevSampStable(toFloat64(", value.clone(), "))")));
    } else {
        // (n Σx² - (Σx)²) / (n (n - 1)), of the digits without the point.
        let digits = || {
            Part::Expr(Expr::Words(vec![
                Part::Word("toInt256("),
                Part::Expr(wide(value.clone(), data_type)),
                Part::Word(" * toInt256(exp10("),
                Part::Number(scale),
                Part::Word(")))"),
            ]))
        };
        parts.extend([Part::Word("sqrt(toFloat64(count("), Part::Expr(value.clone()), Part::Word(") * sum(")]);
        parts.extend([digits(), Part::Word(" * "), digits(), Part::Word(") - sum("), digits()]);
        parts.extend([
            Part::Word(") * sum("),
            digits(),
            Part::Word(")) / toFloat64("),
            count(),
            Part::Word(") / toFloat64("),
        ]);
        parts.extend([count(), Part::Word(" - 1)) / exp10("), Part::Number(scale), Part::Word(")")]);
    }
    parts.push(Part::Word(", NULL)"));
    Expr::Words(parts)
}
