//! Groups and measures as SQL, each dialect in its own words.

mod clickhouse;
mod postgres;
mod sqlite;

use super::condition::sortable;
use super::sql::{Dialect, Expr, From, Order, Select};
use crate::catalog::{ColumnIndex, Direction, Function};
use crate::plan::{Output, Plan};
use crate::query::Bucket;

pub(super) use sqlite::{sum_of_text, sum_to_text};

/// One row for each group: the plan's fields by their names.
pub(super) fn grouped<'p>(
    plan: &'p Plan,
    dialect: Dialect,
    from: From<'p>,
    filter: Expr<'p>,
    columns: &[ColumnIndex],
) -> Select<'p> {
    let groups = plan.fields().iter().filter(|field| field.groups()).count();
    let (interval, measure): (Interval, Measure) = match dialect {
        Dialect::ClickHouse => (clickhouse::interval, clickhouse::measure),
        Dialect::Postgres => (postgres::interval, postgres::measure),
        Dialect::Sqlite => return sqlite::grouped(plan, from, filter, columns, groups),
    };
    let named = plan.fields().iter().map(|field| {
        let value = match field.output {
            Output::Column(index) | Output::Was(index) => column(plan, index),
            Output::Bucket(index, bucket) => interval(plan, index, bucket),
            Output::Measure(function, of) => measure(plan, function, of),
            // Changes are of rows.
            Output::Change => Expr::default(),
        };
        Expr::Named(Box::new(value), &field.name)
    });
    Select { columns: named.collect(), from, filter, groups, ..Select::default() }
}

/// What a database has an expression for.
type Interval = for<'p> fn(&'p Plan, ColumnIndex, Bucket) -> Expr<'p>;
type Measure = for<'p> fn(&'p Plan, Function, Option<ColumnIndex>) -> Expr<'p>;

fn column(plan: &Plan, index: ColumnIndex) -> Expr<'_> {
    Expr::Column(&plan.column(index).name)
}

/// What makes a row first or last in its group: time, then the key.
pub(super) fn by_time(plan: &Plan) -> Vec<ColumnIndex> {
    let dataset = plan.dataset();
    let keys = dataset.primary_key.iter().copied().filter(|key| Some(*key) != dataset.time);
    dataset.time.into_iter().chain(keys).collect()
}

fn time_order(plan: &Plan, direction: Direction) -> Vec<Order<'_>> {
    let keys = by_time(plan).into_iter();
    keys.map(|index| Order {
        by: sortable(column(plan, index), plan.column(index).data_type),
        direction,
        nulls_first: None,
    })
    .collect()
}
