//! A plan as a `SELECT`: the SQL that an expert of the dialect would write by hand.

use crate::catalog::{ColumnIndex, Direction, Type};
use crate::plan::{Plan, Predicate, SortKey, Test, Value};

use super::sql::{Compare, Dialect, Expr, From, Order, Parameter, Select, Statement};

/// The statement that answers a plan: its columns in the plan's order, and one row more than its limit.
#[must_use]
pub fn statement(plan: &Plan, dialect: Dialect) -> Statement {
    let mut from = From::Relation(plan.relation());
    let mut filter = predicate(plan, plan.filter());
    let all: Vec<ColumnIndex> = needed(plan);
    if let Some(revision) = plan.revision() {
        let among = predicate(plan, &revision.among);
        let inner = newest(plan, dialect, from, among, &revision.identity, &revision.newest, &all);
        from = From::Select(Box::new(inner), "revision");
    }
    if let Some(latest) = plan.latest() {
        let inner = newest(plan, dialect, from, filter, &latest.by, &latest.newest, &all);
        from = From::Select(Box::new(inner), "latest");
        filter = Expr::And(Vec::new());
    }
    if let Some(after) = plan.after() {
        let behind = behind(plan, after);
        filter = match filter {
            Expr::And(mut parts) => {
                parts.push(behind);
                Expr::And(parts)
            }
            other => Expr::And(vec![other, behind]),
        };
    }
    let columns = plan.columns().map(|column| Expr::Column(&column.name)).collect();
    // A primary key has one row: there is nothing to order and nothing to cut.
    let (order, limit) = if plan.single() {
        (Vec::new(), None)
    } else {
        let rows = Value::Int(i64::from(plan.limit()) + 1);
        (plan.order().iter().map(|key| order(plan, key)).collect(), Some(Parameter::One(Type::Int64, rows)))
    };
    let select = Select { distinct_on: Vec::new(), columns, from, filter, order, limit };
    select.render(dialect)
}

/// The columns that are read outside the innermost select, in the contract's order.
fn needed(plan: &Plan) -> Vec<ColumnIndex> {
    fn collect(predicate: &Predicate, columns: &mut Vec<ColumnIndex>) {
        match predicate {
            Predicate::All(parts) | Predicate::Any(parts) => parts.iter().for_each(|part| collect(part, columns)),
            Predicate::Not(part) => collect(part, columns),
            Predicate::Test(column, _) => columns.push(*column),
        }
    }
    let dataset = plan.dataset();
    let mut columns: Vec<ColumnIndex> =
        plan.columns().filter_map(|column| dataset.column(column.name.as_str())).collect();
    columns.extend(plan.order().iter().map(|key| key.column));
    collect(plan.filter(), &mut columns);
    if let Some(latest) = plan.latest() {
        columns.extend(latest.by.iter().chain(&latest.newest));
    }
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Of the rows that agree in `by`, the greatest by `newest`.
fn newest<'p>(
    plan: &'p Plan,
    dialect: Dialect,
    from: From<'p>,
    filter: Expr<'p>,
    by: &[ColumnIndex],
    newest: &[ColumnIndex],
    columns: &[ColumnIndex],
) -> Select<'p> {
    let column = |index: &ColumnIndex| Expr::Column(&plan.column(*index).name);
    let columns: Vec<Expr<'p>> = columns.iter().map(column).collect();
    let descending = |index: &ColumnIndex| sortable(plan, *index);
    match dialect {
        // Every key descends, those of the group too: read backwards, one index on all of them serves.
        Dialect::Postgres => {
            let keys = by.iter().chain(newest.iter().filter(|index| !by.contains(index)));
            let order =
                keys.map(|index| Order { by: descending(index), direction: Direction::Descending, nulls_first: None });
            let order = order.collect();
            let distinct_on = by.iter().map(descending).collect();
            Select { distinct_on, columns, from, filter, order, limit: None }
        }
        Dialect::Sqlite => {
            let rank = Expr::Rank {
                partition: by.iter().map(column).collect(),
                order: newest.iter().map(|index| (descending(index), Direction::Descending)).collect(),
            };
            let mut ranked = columns.clone();
            ranked.push(rank);
            let inner =
                Select { distinct_on: Vec::new(), columns: ranked, from, filter, order: Vec::new(), limit: None };
            let from = From::Select(Box::new(inner), "ranked");
            Select { distinct_on: Vec::new(), columns, from, filter: Expr::RankIsOne, order: Vec::new(), limit: None }
        }
    }
}

/// The column as an order or a range sees it: text bytewise.
fn sortable(plan: &Plan, index: ColumnIndex) -> Expr<'_> {
    let column = plan.column(index);
    let expr = Expr::Column(&column.name);
    if column.data_type == Type::String { Expr::Bytewise(Box::new(expr)) } else { expr }
}

fn order<'p>(plan: &'p Plan, key: &SortKey) -> Order<'p> {
    Order {
        by: sortable(plan, key.column),
        direction: key.direction,
        nulls_first: key.nullable.then_some(key.nulls_first),
    }
}

fn predicate<'p>(plan: &'p Plan, filter: &Predicate) -> Expr<'p> {
    let all = |parts: &[Predicate]| parts.iter().map(|part| predicate(plan, part)).collect();
    match filter {
        Predicate::All(parts) => Expr::And(all(parts)),
        Predicate::Any(parts) => Expr::Or(all(parts)),
        Predicate::Not(part) => Expr::Not(Box::new(predicate(plan, part))),
        Predicate::Test(column, test) => test_of(plan, *column, test),
    }
}

fn test_of<'p>(plan: &'p Plan, index: ColumnIndex, test: &Test) -> Expr<'p> {
    let column = plan.column(index);
    let data_type = column.data_type;
    let plain = || Expr::Column(&column.name);
    let text = |text: &String| Parameter::One(Type::String, Value::String(text.clone()));
    // Equality needs no collation: two texts are equal when their bytes are.
    let equal = |operator, value: &Value| compare(plain(), operator, data_type, value);
    let range = |operator, value: &Value| compare(sortable(plan, index), operator, data_type, value);
    match test {
        Test::Eq(value) => equal(Compare::Eq, value),
        Test::Ne(value) => equal(Compare::Ne, value),
        Test::Gt(value) => range(Compare::Gt, value),
        Test::Gte(value) => range(Compare::Gte, value),
        Test::Lt(value) => range(Compare::Lt, value),
        Test::Lte(value) => range(Compare::Lte, value),
        Test::In(values) => Expr::In { left: Box::new(plain()), data_type, values: values.clone(), not: false },
        Test::Nin(values) => Expr::In { left: Box::new(plain()), data_type, values: values.clone(), not: true },
        // A range over bytes, which an index serves in every database.
        Test::Prefix(prefix) => {
            let mut parts = vec![range(Compare::Gte, &Value::String(prefix.clone()))];
            parts.extend(successor(prefix).map(|end| range(Compare::Lt, &Value::String(end))));
            Expr::And(parts)
        }
        Test::Contains(part) => Expr::Contains(Box::new(plain()), text(part)),
        Test::IsNull => Expr::IsNull(Box::new(plain())),
        Test::IsNotNull => Expr::IsNotNull(Box::new(plain())),
        Test::Has(element) => Expr::Has(Box::new(plain()), text(element)),
    }
}

fn compare<'p>(left: Expr<'p>, operator: Compare, data_type: Type, value: &Value) -> Expr<'p> {
    Expr::Compare(vec![left], operator, vec![Expr::Bind(Parameter::One(data_type, value.clone()))])
}

/// The least text that is greater than every text with the prefix; `None` when there is none.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Surrogates are no characters: the one behind U+D7FF is U+E000.
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(u32::from(last) + 1) };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

/// The rows behind a sort key.
///
/// Keys without nulls that share a direction make one row comparison, which an index serves whole. Others are spelled
/// out, led by the bound on the first key that an index can use.
fn behind<'p>(plan: &'p Plan, after: &[Option<Value>]) -> Expr<'p> {
    let keys = plan.order();
    let uniform = keys.iter().all(|key| !key.nullable && key.direction == keys[0].direction);
    if uniform {
        let beyond = if keys[0].direction == Direction::Ascending { Compare::Gt } else { Compare::Lt };
        let left = keys.iter().map(|key| sortable(plan, key.column)).collect();
        let right = keys.iter().zip(after).filter_map(|(key, value)| bind(plan, key, value.as_ref())).collect();
        return Expr::Compare(left, beyond, right);
    }
    let mut branches = Vec::with_capacity(keys.len());
    for (length, key) in keys.iter().enumerate() {
        let Some(beyond) = beyond(plan, key, after[length].as_ref()) else { continue };
        let mut parts: Vec<Expr<'p>> =
            keys[..length].iter().zip(after).map(|(key, value)| same(plan, key, value.as_ref())).collect();
        parts.push(beyond);
        branches.push(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) });
    }
    let first = &keys[0];
    let bound = match (&after[0], first.nullable) {
        (Some(_), false) => {
            let operator = if first.direction == Direction::Ascending { Compare::Gte } else { Compare::Lte };
            bind(plan, first, after[0].as_ref())
                .map(|value| Expr::Compare(vec![sortable(plan, first.column)], operator, vec![value]))
        }
        _ => None,
    };
    match bound {
        Some(bound) => Expr::And(vec![bound, Expr::Or(branches)]),
        None => Expr::Or(branches),
    }
}

fn bind<'p>(plan: &Plan, key: &SortKey, value: Option<&Value>) -> Option<Expr<'p>> {
    let data_type = plan.column(key.column).data_type;
    value.map(|value| Expr::Bind(Parameter::One(data_type, value.clone())))
}

/// Rows whose key is the same.
fn same<'p>(plan: &'p Plan, key: &SortKey, value: Option<&Value>) -> Expr<'p> {
    let column = Expr::Column(&plan.column(key.column).name);
    match bind(plan, key, value) {
        Some(value) => Expr::Compare(vec![column], Compare::Eq, vec![value]),
        None => Expr::IsNull(Box::new(column)),
    }
}

/// Rows whose key stands behind; `None` when none can.
fn beyond<'p>(plan: &'p Plan, key: &SortKey, value: Option<&Value>) -> Option<Expr<'p>> {
    let column = || Expr::Column(&plan.column(key.column).name);
    let Some(value) = bind(plan, key, value) else {
        // Behind null stand the values, when nulls come first, and nothing, when they come last.
        return key.nulls_first.then(|| Expr::IsNotNull(Box::new(column())));
    };
    let operator = if key.direction == Direction::Ascending { Compare::Gt } else { Compare::Lt };
    let greater = Expr::Compare(vec![sortable(plan, key.column)], operator, vec![value]);
    if key.nullable && !key.nulls_first {
        Some(Expr::Or(vec![greater, Expr::IsNull(Box::new(column()))]))
    } else {
        Some(greater)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_successor_ends_a_prefix() {
        assert_eq!(successor("A").as_deref(), Some("B"));
        assert_eq!(successor("Az").as_deref(), Some("A{"));
        assert_eq!(successor("a\u{10FFFF}").as_deref(), Some("b"));
        assert_eq!(successor("\u{D7FF}").as_deref(), Some("\u{E000}"));
        assert_eq!(successor("\u{10FFFF}"), None);
        assert_eq!(successor(""), None);
    }
}
