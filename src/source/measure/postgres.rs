//! Groups and measures of Postgres, which has functions for all of them.

use jiff::tz::TimeZone;

use super::{column, sortable, time_order};
use crate::catalog::{ColumnIndex, Direction, Function, Type};
use crate::plan::{Plan, Value};
use crate::query::Bucket;
use crate::source::sql::{Expr, Parameter, Part};

pub(super) fn interval(plan: &Plan, index: ColumnIndex, bucket: Bucket) -> Expr<'_> {
    let value = column(plan, index);
    let local = match plan.column(index).data_type {
        Type::Date if bucket == Bucket::Day => return value,
        Type::Date => Expr::between("", value, "::timestamp"),
        _ => {
            let zone = plan.zone().and_then(TimeZone::iana_name).unwrap_or("UTC").to_owned();
            let zone = Part::Expr(Expr::Bind(Parameter::One(Type::String, Value::String(zone))));
            let local = [Part::Expr(value.clone()), Part::Word(" AT TIME ZONE "), zone];
            if plan.zone().is_none() {
                return Expr::between(trunc(bucket), Expr::Words(local.into()), ")::date");
            }
            // UTC does not leave the calendar; clocks of other zones do, by some hours at its ends. Null would be passed
            // over by least and greatest.
            let mut parts =
                vec![Part::Word("CASE WHEN "), Part::Expr(value), Part::Word(" IS NOT NULL THEN least(greatest(")];
            parts.extend(local);
            parts.push(Part::Word(", timestamp '0001-01-01'), timestamp '9999-12-31') END"));
            Expr::Words(parts)
        }
    };
    Expr::between(trunc(bucket), local, ")::date")
}

fn trunc(bucket: Bucket) -> &'static str {
    match bucket {
        Bucket::Day => "date_trunc('day', ",
        Bucket::Week => "date_trunc('week', ",
        Bucket::Month => "date_trunc('month', ",
        Bucket::Quarter => "date_trunc('quarter', ",
        Bucket::Year => "date_trunc('year', ",
    }
}

pub(super) fn measure(plan: &Plan, function: Function, of: Option<ColumnIndex>) -> Expr<'_> {
    let Some(index) = of else { return Expr::word("count(*)") };
    let data_type = plan.column(index).data_type;
    let value = column(plan, index);
    let double = || Expr::between("", column(plan, index), "::double precision");
    match (function, data_type) {
        (Function::Count, _) => Expr::between("count(", value, ")"),
        (Function::CountDistinct, _) => Expr::between("count(DISTINCT ", value, ")"),
        (Function::Sum, Type::Float64) => Expr::between("sum(", double(), ")"),
        (Function::Sum, _) => Expr::between("sum(", value, ")::numeric"),
        (Function::Avg, Type::Float64) => Expr::between("avg(", double(), ")"),
        (Function::Avg, _) => Expr::between("avg(", value, ")::double precision"),
        // Booleans have no min and max.
        (Function::Min, Type::Bool) => Expr::between("bool_and(", value, ")"),
        (Function::Max, Type::Bool) => Expr::between("bool_or(", value, ")"),
        (Function::Min, _) => Expr::between("min(", sortable(value, data_type), ")"),
        (Function::Max, _) => Expr::between("max(", sortable(value, data_type), ")"),
        (Function::First, _) => ends(plan, value, Direction::Ascending),
        (Function::Last, _) => ends(plan, value, Direction::Descending),
        (Function::Stddev, Type::Float64) => Expr::between("stddev_samp(", double(), ")"),
        (Function::Stddev, _) => Expr::between("stddev_samp(", value, ")::double precision"),
        (Function::Median, _) => Expr::between("percentile_cont(0.5) WITHIN GROUP (ORDER BY ", double(), ")"),
    }
}

/// `(array_agg(value ORDER BY …))[1]`.
fn ends<'p>(plan: &'p Plan, value: Expr<'p>, direction: Direction) -> Expr<'p> {
    let mut parts = vec![Part::Word("(array_agg("), Part::Expr(value), Part::Word(" ORDER BY ")];
    for (place, key) in time_order(plan, direction).into_iter().enumerate() {
        if place > 0 {
            parts.push(Part::Word(", "));
        }
        parts.push(Part::Expr(key.by));
        if direction == Direction::Descending {
            parts.push(Part::Word(" DESC"));
        }
    }
    parts.push(Part::Word("))[1]"));
    Expr::Words(parts)
}
