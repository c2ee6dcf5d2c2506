//! Groups and measures as SQL, each dialect in its own words.

mod clickhouse;
mod postgres;
mod sqlite;

use super::condition::sortable;
use super::sql::{Dialect, Expr, From, Order, Select};
use crate::catalog::{ColumnIndex, Direction};
use crate::plan::Plan;

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
    match dialect {
        Dialect::ClickHouse => clickhouse::grouped(plan, from, filter, groups),
        Dialect::Postgres => postgres::grouped(plan, from, filter, groups),
        Dialect::Sqlite => sqlite::grouped(plan, from, filter, columns, groups),
    }
}

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
