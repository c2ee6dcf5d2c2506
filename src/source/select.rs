//! A plan as a `SELECT`: the SQL that an expert of the dialect would write by hand.
//!
//! Stages follow the order of meaning, each a select inside the next: revisions, filter, newest rows, groups, and then
//! order and page. In Postgres a question that wants few rows of each of some keys asks each key by itself, where an
//! index has its rows in order: the first rows of every listed value, the newest row of every value that there is, and
//! the related rows of every parent.

use crate::catalog::{ColumnIndex, Direction, RELATION_COLUMNS_MAX, Type};
use crate::plan::{Field, Latest, Output, Plan, Predicate, Revision, Test, Value};

use super::condition::{Conditions, Places, behind, bound, order};
use super::measure;
use super::render::Parameters;
use super::shape::{Digits, Shape};
use super::sql::{Compare, Dialect, Expr, From, Keys, Limit, Order, Parameter, Part, Select, Statement};

/// What parents share with the rows that come with them: a list of values for each of [`Plan::joined`], none of the
/// combinations twice.
pub type Parents = [Vec<Value>];

/// The statement that answers a plan: its fields in the plan's order, and one row more than its limit. Rows that come
/// with others are asked for by their parents.
#[must_use]
pub fn statement(plan: &Plan, shape: &Shape, parents: Option<&Parents>) -> Statement {
    let builder = Builder { plan, shape, dialect: shape.dialect, parents };
    let select = match (parents, shape.dialect) {
        (Some(_), Dialect::ClickHouse) => builder.limited_parents(),
        (Some(_), Dialect::Postgres) => builder.each_parent(),
        (Some(_), Dialect::Sqlite) => builder.ranked_parents(),
        (None, _) => builder.page(),
    };
    Statement {
        planned_anew: asks_for_the_rare(plan),
        steady: is_ordered_by_sums(plan),
        ..select.render(shape.dialect)
    }
}

/// All rows of a plan, in no order, by the names of their fields.
pub(super) fn all_rows<'p>(plan: &'p Plan, shape: &'p Shape) -> Select<'p> {
    let builder = Builder { plan, shape, dialect: shape.dialect, parents: None };
    builder.fields_of(builder.stage())
}

/// The statement that answers a plan for all rows: in Postgres one that `COPY` takes, whose parameters are settings.
pub(super) fn whole(plan: &Plan, shape: &Shape) -> Statement {
    let builder = Builder { plan, shape, dialect: shape.dialect, parents: None };
    let mut select = builder.page();
    for (column, field) in select.columns.iter_mut().zip(plan.fields()) {
        if let Some(digits) = digits(plan, shape, field) {
            *column = Expr::Named(Box::new(digits.of(column.clone())), &field.name);
        }
    }
    Statement { steady: is_ordered_by_sums(plan), ..select.render_with(shape.dialect, Parameters::Settings) }
}

/// The integer as which a field is read where all rows are.
pub(super) fn digits(plan: &Plan, shape: &Shape, field: &Field) -> Option<Digits> {
    match field.output {
        Output::Column(column) if plan.whole() => shape.digits(column),
        _ => None,
    }
}

/// Words and elements of lists are in few rows or in many, and nothing but themselves tells: a plan that is kept for any
/// of them walks the order of a page past a hundred thousand rows for the three that have a rare word.
fn asks_for_the_rare(plan: &Plan) -> bool {
    let mut found = false;
    read_by(plan.filter(), &mut |_, test| found |= matches!(test, Test::Search(_) | Test::Has(_)));
    found
}

/// Whether floating point decides what stands where: doubles that are added up in another order have another last bit.
fn is_ordered_by_sums(plan: &Plan) -> bool {
    plan.order().iter().any(|key| {
        let field = &plan.fields()[key.field];
        matches!(field.output, Output::Measure(..)) && field.data_type == Type::Float64
    })
}

/// The statement that counts all rows of a plan, whatever its page.
#[must_use]
pub fn counting(plan: &Plan, shape: &Shape) -> Statement {
    let builder = Builder { plan, shape, dialect: shape.dialect, parents: None };
    builder.whole(Expr::word("count(*)")).render(shape.dialect)
}

/// The statement that reads all rows of a plan, whatever its page: for the database's guess of their number.
#[must_use]
pub fn reading(plan: &Plan, shape: &Shape) -> Statement {
    let builder = Builder { plan, shape, dialect: shape.dialect, parents: None };
    builder.whole(Expr::word("1")).render(shape.dialect)
}

/// Where rows come from, and what they must still meet.
struct Stage<'p> {
    from: From<'p>,
    filter: Expr<'p>,
}

#[derive(Clone, Copy)]
struct Builder<'p> {
    plan: &'p Plan,
    shape: &'p Shape,
    dialect: Dialect,
    parents: Option<&'p Parents>,
}

impl<'p> Builder<'p> {
    fn conditions(self, places: Places) -> Conditions<'p> {
        Conditions { plan: self.plan, dialect: self.dialect, places }
    }

    fn column(self, index: ColumnIndex) -> Expr<'p> {
        Expr::Column(&self.plan.column(index).name)
    }

    fn sortable(self, index: ColumnIndex) -> Expr<'p> {
        self.conditions(Places::Columns).sortable(index)
    }

    /// The relation, with its columns as the contract has them.
    fn relation(self) -> From<'p> {
        let relation = From::Relation(self.plan.relation());
        let mut needed = self.needed();
        if let Some(revision) = self.plan.revision() {
            needed.extend(revision.identity.iter().chain(&revision.newest));
            read_by(&revision.among, &mut |column, _| needed.push(column));
            needed.sort_unstable();
            needed.dedup();
        }
        if needed.iter().all(|index| self.shape.conversion(*index).is_none()) {
            return relation;
        }
        let columns = needed.into_iter().map(|index| match self.shape.conversion(index) {
            Some(conversion) => Expr::Named(Box::new(conversion.of(self.column(index))), &self.plan.column(index).name),
            None => self.column(index),
        });
        From::Select(Box::new(Select { columns: columns.collect(), from: relation, ..Select::default() }), "stored")
    }

    /// A page of rows or groups.
    fn page(self) -> Select<'p> {
        let plan = self.plan;
        if let Some(fan) = self.fan() {
            return self.each_value(fan);
        }
        let mut stage = self.stage();
        if let Some(after) = plan.after() {
            stage.filter = stage.filter.and(behind(plan, self.dialect, after));
        }
        let select = self.fields_of(stage);
        // A primary key has one row: there is nothing to order and nothing to cut.
        if plan.single() { select } else { self.ordered(select) }
    }

    /// All rows or groups, each as the one column.
    fn whole(self, column: Expr<'p>) -> Select<'p> {
        let Stage { from, filter } = self.stage();
        Select { columns: vec![column], from, filter, ..Select::default() }
    }

    /// The rows of a stage by the names of their fields.
    fn fields_of(self, Stage { from, filter }: Stage<'p>) -> Select<'p> {
        let columns = self.plan.fields().iter().map(|field| Expr::Column(&field.name)).collect();
        Select { columns, from, filter, ..Select::default() }
    }

    /// In the plan's order, one row more than its limit.
    fn ordered(self, mut select: Select<'p>) -> Select<'p> {
        select.order = self.plan.order().iter().map(|key| order(self.plan, key)).collect();
        let limit = || Limit::Bound(count(i64::from(self.plan.limit()) + 1));
        select.limit = (!self.plan.whole()).then(limit);
        select
    }

    /// The rows or groups of the plan, before order and page.
    fn stage(self) -> Stage<'p> {
        let stage = self.rows();
        let Some(having) = self.plan.having() else { return stage };
        let grouped = measure::grouped(self.plan, self.dialect, stage.from, stage.filter, &self.needed());
        let filter = self.conditions(Places::Fields).of(having);
        Stage { from: From::Select(Box::new(grouped), "grouped"), filter }
    }

    /// The rows of the plan, before groups, order and page.
    fn rows(self) -> Stage<'p> {
        let plan = self.plan;
        let mut from = self.relation();
        let mut filter = self.conditions(Places::Columns).of(plan.filter());
        let mut joined = self.joined();
        if let Some(revision) = plan.revision() {
            let mut among = self.conditions(Places::Columns).of(&revision.among);
            let mut shared = plan.joined().iter().filter_map(|field| plan.fields()[*field].made_of());
            // Rows of one fact have the same parent or none: it may come first, as the rest of `among`.
            if shared.all(|index| revision.identity.contains(&index)) {
                among = among.and(std::mem::take(&mut joined));
            }
            from = From::Select(Box::new(self.revised(revision, from, among)), "revision");
        }
        filter = filter.and(joined);
        if let Some(latest) = plan.latest() {
            from = match self.panel(latest) {
                Some(keys) => From::Each(keys, Box::new(self.newest_of_key(latest, filter)), "latest"),
                None => From::Select(Box::new(self.newest(latest, from, filter)), "latest"),
            };
            filter = Expr::default();
        }
        Stage { from, filter }
    }

    /// Rows share the values of their parents.
    fn joined(self) -> Expr<'p> {
        let joined = self.plan.joined();
        let Some(parents) = self.parents else { return Expr::default() };
        let columns = joined.iter().map(|field| Expr::Column(&self.plan.fields()[*field].name));
        match self.dialect {
            // A set, which an index is asked for as for one value.
            Dialect::ClickHouse => {
                let lists = self.lists_of_parents();
                let (zip, end) = if joined.len() == 1 { (" IN (", ")") } else { (") IN arrayZip(", ")") };
                let mut parts = vec![Part::Word(if joined.len() == 1 { "" } else { "(" })];
                let listed = |parts: &mut Vec<Part<'p>>, exprs: &mut dyn Iterator<Item = Expr<'p>>| {
                    for (place, expr) in exprs.enumerate() {
                        parts.extend((place > 0).then_some(Part::Word(", ")));
                        parts.push(Part::Expr(expr));
                    }
                };
                listed(&mut parts, &mut { columns });
                parts.push(Part::Word(zip));
                listed(&mut parts, &mut lists.into_iter().map(Expr::Bind));
                parts.push(Part::Word(end));
                Expr::Words(parts)
            }
            Dialect::Postgres => {
                let equal = columns
                    .enumerate()
                    .map(|(place, column)| Expr::Compare(vec![column], Compare::Eq, vec![Expr::Key(place + 1)]));
                equal.fold(Expr::default(), Expr::and)
            }
            // One parameter whatever their number: SQLite bounds those of a statement.
            Dialect::Sqlite => {
                let text = super::sqlite::json_rows(parents);
                let element = |place: usize| {
                    const ELEMENTS: [&str; RELATION_COLUMNS_MAX] = [
                        "json_extract(value, '$[0]')",
                        "json_extract(value, '$[1]')",
                        "json_extract(value, '$[2]')",
                        "json_extract(value, '$[3]')",
                        "json_extract(value, '$[4]')",
                        "json_extract(value, '$[5]')",
                        "json_extract(value, '$[6]')",
                        "json_extract(value, '$[7]')",
                    ];
                    // A contract's relation has no more columns than that.
                    Expr::word(ELEMENTS[place])
                };
                let rows = Expr::Bind(Parameter::One(Type::String, Value::String(text)));
                let inner = Select {
                    columns: (0..joined.len()).map(element).collect(),
                    from: From::Rows(rows),
                    ..Select::default()
                };
                Expr::Among(columns.collect(), Box::new(inner))
            }
        }
    }

    /// One of the revisions of each fact.
    fn revised(self, revision: &Revision, from: From<'p>, among: Expr<'p>) -> Select<'p> {
        self.chosen(&revision.identity, &revision.newest, revision.direction, from, among)
    }

    /// Of the rows that agree, the newest.
    fn newest(self, latest: &Latest, from: From<'p>, filter: Expr<'p>) -> Select<'p> {
        self.chosen(&latest.by, &latest.newest, Direction::Descending, from, filter)
    }

    /// Of the rows that agree in `by`, the first in the direction of `keys`.
    fn chosen(
        self,
        by: &[ColumnIndex],
        keys: &[ColumnIndex],
        direction: Direction,
        from: From<'p>,
        filter: Expr<'p>,
    ) -> Select<'p> {
        let needed = self.needed();
        let columns = || needed.iter().map(|index| self.column(*index));
        let ordered =
            |index: &ColumnIndex, direction| Order { by: self.sortable(*index), direction, nulls_first: None };
        let keys = keys.iter().filter(|index| !by.contains(index)).map(|index| ordered(index, direction));
        match self.dialect {
            // In one direction, so that a table in the order of its key is read along it, backwards where that is asked for.
            Dialect::ClickHouse => {
                let order = by.iter().map(|index| ordered(index, direction)).chain(keys).collect();
                let limit_by = Some((Limit::One, by.iter().map(|index| self.column(*index)).collect()));
                Select { columns: columns().collect(), from, filter, order, limit_by, ..Select::default() }
            }
            // An index on what agrees, and behind it on what is newest, descending, has them in this order.
            Dialect::Postgres => {
                let order = by.iter().map(|index| ordered(index, Direction::Ascending)).chain(keys).collect();
                let distinct_on = by.iter().map(|index| self.sortable(*index)).collect();
                Select { distinct_on, columns: columns().collect(), from, filter, order, ..Select::default() }
            }
            Dialect::Sqlite => {
                let partition = by.iter().map(|index| self.column(*index)).collect();
                let rank = rank(partition, keys.collect());
                let ranked = Select { columns: columns().chain([rank]).collect(), from, filter, ..Select::default() };
                Select {
                    columns: columns().collect(),
                    from: From::Select(Box::new(ranked), "ranked"),
                    filter: Expr::word("_rank = 1"),
                    ..Select::default()
                }
            }
        }
    }

    /// The keys of a panel, where the newest row of each is at the end of its part of the primary key: the values that
    /// the filter lists, or all that there are. A step from key to key is a look-up in the index, some tens of rows' worth:
    /// a key that ends in time has that many rows of each.
    fn panel(self, latest: &Latest) -> Option<Keys<'p>> {
        let dataset = self.plan.dataset();
        let (first, rest) = dataset.primary_key.split_first()?;
        let newest = latest.newest.iter().filter(|index| *index != first);
        let fits = self.dialect == Dialect::Postgres
            && self.plan.revision().is_none()
            && self.parents.is_none()
            && latest.by == [*first]
            && newest.eq(rest);
        if !fits {
            return None;
        }
        let listed = listed(self.plan.filter(), *first);
        Some(match listed {
            Some(values) => Keys::Given(vec![self.list(*first, values)]),
            None => Keys::Walked(self.plan.relation(), self.column(*first)),
        })
    }

    fn newest_of_key(self, latest: &Latest, filter: Expr<'p>) -> Select<'p> {
        let by =
            latest.by.iter().enumerate().map(|(place, index)| {
                Expr::Compare(vec![self.column(*index)], Compare::Eq, vec![Expr::Key(place + 1)])
            });
        let filter = Expr::And(by.collect()).and(filter);
        let newest = latest.newest.iter().filter(|index| !latest.by.contains(index));
        let order = newest.map(|index| Order {
            by: self.sortable(*index),
            direction: Direction::Descending,
            nulls_first: None,
        });
        Select {
            columns: self.needed().into_iter().map(|index| self.column(index)).collect(),
            from: From::Relation(self.plan.relation()),
            filter,
            order: order.collect(),
            limit: Some(Limit::One),
            ..Select::default()
        }
    }

    fn list(self, index: ColumnIndex, values: &[Value]) -> Parameter {
        Parameter::Many(self.plan.column(index).data_type, values.to_vec())
    }

    /// The column of a list in the filter, and its values, where the rows of each value stand in the plan's order along
    /// the primary key or the default order, which the relation has an index for.
    fn fan(self) -> Option<(ColumnIndex, &'p [Value])> {
        let plan = self.plan;
        let plain = self.dialect == Dialect::Postgres
            && plan.revision().is_none()
            && plan.latest().is_none()
            && plan.having().is_none()
            && !plan.whole()
            && !plan.single();
        if !plain {
            return None;
        }
        let dataset = plan.dataset();
        let by_default: Vec<ColumnIndex> = dataset.default_order.iter().map(|(index, _)| *index).collect();
        let order: Vec<ColumnIndex> =
            plan.order().iter().filter_map(|key| plan.fields()[key.field].made_of()).collect();
        [&dataset.primary_key, &by_default].into_iter().find_map(|path| along(plan.filter(), path, &order))
    }

    /// The first rows of each listed value, and of them the first again.
    fn each_value(self, (column, values): (ColumnIndex, &'p [Value])) -> Select<'p> {
        let plan = self.plan;
        let others =
            Predicate::All(plan.filter().conjuncts_ref().iter().filter(|part| !lists(part, column)).cloned().collect());
        let mut filter = Expr::Compare(vec![self.column(column)], Compare::Eq, vec![Expr::Key(1)]);
        filter = filter.and(self.conditions(Places::Columns).of(&others));
        if let (Some(after), Some(first)) = (plan.after(), plan.order().first()) {
            // What the page begins behind is a row of some value; the bound of the first key is what every value's part of
            // the index can begin at, where that key is not the value itself.
            let of_value = plan.fields()[first.field].made_of() == Some(column);
            let bound = after.first().filter(|_| !of_value).and_then(|value| bound(plan, first, value.as_ref()));
            filter = filter.and(bound.unwrap_or_default()).and(behind(plan, self.dialect, after));
        }
        let mut inner = self.fields_of(Stage { from: From::Relation(plan.relation()), filter });
        // Its value is one within the key, and an index does not need to hear of it.
        let within = plan.order().iter().filter(|key| plan.fields()[key.field].made_of() != Some(column));
        inner.order = within.map(|key| order(plan, key)).collect();
        inner.limit = Some(Limit::AtLeast(count(i64::from(plan.limit()) + 1)));
        let keys = Keys::Given(vec![self.list(column, values)]);
        let from = From::Each(keys, Box::new(inner), "top");
        self.ordered(self.fields_of(Stage { from, filter: Expr::default() }))
    }

    /// The rows of each parent, up to the limit of each.
    fn each_parent(self) -> Select<'p> {
        let plan = self.plan;
        if let Some(select) = self.row_of_key() {
            return select;
        }
        let mut inner = self.fields_of(self.stage());
        inner.order = self.order_of_each();
        inner.limit = Some(Limit::Few(count(i64::from(plan.limit()))));
        let from = From::Each(Keys::Given(self.lists_of_parents()), Box::new(inner), "related");
        let mut select = self.fields_of(Stage { from, filter: Expr::default() });
        select.order = plan.order().iter().map(|key| order(plan, key)).collect();
        select
    }

    /// The parents' values, a list for each column.
    fn lists_of_parents(self) -> Vec<Parameter> {
        let lists = (self.plan.joined().iter().enumerate()).map(|(place, field)| {
            let values = self.parents.unwrap_or_default().iter().filter_map(|row| row.get(place).cloned());
            Parameter::Many(self.plan.fields()[*field].data_type, values.collect())
        });
        lists.collect()
    }

    /// A parent has one row at most where they share the whole key: there is nothing to order and nothing to cut.
    fn row_of_key(self) -> Option<Select<'p>> {
        let plan = self.plan;
        let [field] = plan.joined() else { return None };
        let column = plan.fields()[*field].made_of()?;
        if plan.dataset().primary_key != [column] || plan.revision().is_some() {
            return None;
        }
        let values = self.parents.unwrap_or_default().iter().flatten().cloned().collect();
        let data_type = plan.column(column).data_type;
        let listed = Expr::In { left: Box::new(self.column(column)), data_type, values, not: false };
        let filter = self.conditions(Places::Columns).of(plan.filter()).and(listed);
        Some(self.fields_of(Stage { from: From::Relation(plan.relation()), filter }))
    }

    /// The order within a parent: what rows share with it decides nothing.
    fn order_of_each(self) -> Vec<Order<'p>> {
        let plan = self.plan;
        let keys = plan.order().iter().filter(|key| !plan.joined().contains(&key.field));
        keys.map(|key| order(plan, key)).collect()
    }

    /// The same, by `LIMIT BY`.
    fn limited_parents(self) -> Select<'p> {
        let plan = self.plan;
        let mut select = self.fields_of(self.stage());
        select.order = plan.order().iter().map(|key| order(plan, key)).collect();
        let by = plan.joined().iter().map(|field| Expr::Column(&plan.fields()[*field].name)).collect();
        select.limit_by = Some((Limit::Bound(count(i64::from(plan.limit()))), by));
        select
    }

    /// The same, by numbering the rows of each parent.
    fn ranked_parents(self) -> Select<'p> {
        let plan = self.plan;
        let partition = plan.joined().iter().map(|field| Expr::Column(&plan.fields()[*field].name)).collect();
        let rank = rank(partition, plan.order().iter().map(|key| order(plan, key)).collect());
        let mut ranked = self.fields_of(self.stage());
        ranked.columns.push(rank);
        let limit = Expr::Bind(count(i64::from(plan.limit())));
        let filter = Expr::Words(vec![Part::Word("_rank <= "), Part::Expr(limit)]);
        let mut select = self.fields_of(Stage { from: From::Select(Box::new(ranked), "ranked"), filter });
        select.order = plan.order().iter().map(|key| order(plan, key)).collect();
        select
    }

    /// The columns that are read outside the innermost select, in the contract's order.
    fn needed(self) -> Vec<ColumnIndex> {
        let plan = self.plan;
        let mut columns: Vec<ColumnIndex> = plan.fields().iter().filter_map(Field::made_of).collect();
        let ends = |field: &Field| {
            use crate::catalog::Function;
            matches!(field.output, Output::Measure(Function::First | Function::Last, _))
        };
        if plan.fields().iter().any(ends) {
            columns.extend(measure::by_time(plan));
        }
        read_by(plan.filter(), &mut |column, test| {
            columns.push(column);
            // SQLite finds words by the key.
            if matches!(test, Test::Search(_)) {
                columns.extend(&plan.dataset().primary_key);
            }
        });
        if let Some(latest) = plan.latest() {
            columns.extend(latest.by.iter().chain(&latest.newest));
        }
        if columns.is_empty() {
            // A count reads no column, and a select has at least one.
            columns.extend(plan.dataset().primary_key.first());
        }
        columns.sort_unstable();
        columns.dedup();
        columns
    }
}

fn count(rows: i64) -> Parameter {
    Parameter::One(Type::Int64, Value::Int(rows))
}

fn rank<'p>(partition: Vec<Expr<'p>>, order: Vec<Order<'p>>) -> Expr<'p> {
    let function = Box::new(Expr::word("ROW_NUMBER()"));
    Expr::NamedInner(Box::new(Expr::Over { function, partition, order }), "_rank", 0)
}

/// Calls with every test of a predicate.
fn read_by(predicate: &Predicate, read: &mut impl FnMut(ColumnIndex, &Test)) {
    match predicate {
        Predicate::All(parts) | Predicate::Any(parts) => parts.iter().for_each(|part| read_by(part, read)),
        Predicate::Not(part) => read_by(part, read),
        Predicate::Test(column, test) => read(*column, test),
    }
}

/// The values that every row has one of in the column, where the filter lists them.
fn listed(filter: &Predicate, column: ColumnIndex) -> Option<&[Value]> {
    filter.conjuncts_ref().iter().find_map(|part| match part {
        Predicate::Test(of, Test::In(values)) if *of == column => Some(values.as_slice()),
        Predicate::Test(of, Test::Eq(value)) if *of == column => Some(std::slice::from_ref(value)),
        _ => None,
    })
}

fn lists(part: &Predicate, column: ColumnIndex) -> bool {
    matches!(part, Predicate::Test(of, Test::In(_)) if *of == column)
}

/// Goes along an index: columns with one value are passed, one column may have a list, and the order must go on with the
/// column behind: forwards or backwards, an index goes both ways.
fn along<'p>(filter: &'p Predicate, path: &[ColumnIndex], order: &[ColumnIndex]) -> Option<(ColumnIndex, &'p [Value])> {
    let mut found: Option<(ColumnIndex, &[Value])> = None;
    let mut rest = Vec::with_capacity(path.len());
    for index in path {
        match listed(filter, *index) {
            Some([_]) => {}
            Some(values) if found.is_none() && rest.is_empty() => found = Some((*index, values)),
            _ => rest.push(*index),
        }
    }
    let (column, values) = found?;
    let fixed = |index: ColumnIndex| index == column || matches!(listed(filter, index), Some([_]));
    let mut order = order.iter().filter(|index| !fixed(**index));
    // What stands behind the first key orders rows that the index has side by side.
    let serves = matches!((order.next(), rest.first()), (Some(key), Some(step)) if key == step);
    serves.then_some((column, values))
}
