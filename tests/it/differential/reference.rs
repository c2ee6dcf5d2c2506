//! What a question means, by brute force over the rows in memory, in the documented order: what was known, revisions,
//! filters, the newest rows, groups, order. Pages are the caller's to cut.

use std::cmp::Ordering;

use martello::catalog::{Dataset, PointInTime, RelationKind, Type};
use martello::query::{Comparison, Direction, Expansion, Filter, Nulls, Operand, Operator, OrderKey, Query, Revision};

use super::groups;
use super::value::{Cell, Form, MICROS_PER_DAY, Value, day, instant, json, order};
use super::world::{Row, World};

/// Related rows for each row when the question names no limit.
const RELATED_DEFAULT: usize = 10;

/// A row of an answer: its fields in their order.
pub type Record = Vec<(String, Shown)>;

/// A field as an answer shows it.
#[derive(Clone, Debug)]
pub enum Shown {
    /// Exactly this JSON.
    Exact(String),
    /// A float that was computed, from values of about that size.
    Near(Option<f64>, f64),
}

/// A sum that has more digits than there are: it must be refused, never rounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Overflow {
    /// How many groups there are: it may be that of one behind the page.
    pub groups: usize,
}

/// All rows or groups of a question, whatever its page.
pub fn answer(world: &World, query: &Query, form: &Form) -> Result<Vec<Record>, Overflow> {
    let dataset = world.dataset(&query.dataset);
    let rows = rows(world, query);
    match &query.aggregate {
        Some(aggregate) => groups::answer(dataset, aggregate, query.order.as_deref(), &rows, form),
        None => {
            let related = related(world, dataset, query, &query.expand);
            let rows = sorted(dataset, query.order.as_deref(), rows);
            Ok(rows.iter().map(|row| record(dataset, query.select.as_deref(), &related, row, form)).collect())
        }
    }
}

/// The rows of a question in no order.
pub fn rows<'w>(world: &'w World, query: &Query) -> Vec<&'w Row> {
    let dataset = world.dataset(&query.dataset);
    let mut rows: Vec<&Row> = world.rows(&query.dataset).iter().collect();
    if let Some(point_in_time) = &dataset.point_in_time {
        if let Some(as_of) = &query.as_of {
            rows.retain(|row| is_known(row[point_in_time.known_at].as_ref().expect("never null"), as_of));
        }
        rows = revised(dataset, point_in_time, query, rows);
    }
    rows.retain(|row| {
        holds(&query.filter, &|name| cell(dataset, row, name)) == Some(true)
            && query.search.as_deref().is_none_or(|text| has_words(dataset, row, text))
            && query.key.as_deref().is_none_or(|key| has_key(dataset, row, key))
    });
    if !query.latest_by.is_empty() {
        let by: Vec<usize> = query.latest_by.iter().map(|name| dataset.column(name).expect("a column")).collect();
        rows = newest(&by, &newness(dataset), Direction::Descending, rows);
    }
    rows
}

fn cell<'r>(dataset: &Dataset, row: &'r Row, name: &str) -> (Type, &'r Cell) {
    let index = dataset.column(name).expect("a column");
    (dataset.columns[index].data_type, &row[index])
}

/// A date means its end, and a row that is dated only is known at the end of its day.
fn is_known(known_at: &Value, as_of: &str) -> bool {
    match (known_at, day(as_of)) {
        (Value::Date(known), Some(day)) => *known <= day,
        (Value::Date(known), None) => (i64::from(*known) + 1) * MICROS_PER_DAY <= instant(as_of),
        (Value::Instant(known), Some(day)) => *known < (i64::from(day) + 1) * MICROS_PER_DAY,
        (Value::Instant(known), None) => *known <= instant(as_of),
        _ => panic!("{known_at:?} is no time"),
    }
}

fn revised<'w>(dataset: &Dataset, point_in_time: &PointInTime, query: &Query, rows: Vec<&'w Row>) -> Vec<&'w Row> {
    let direction = match (query.revision, &query.as_of) {
        (Some(Revision::First), _) => Direction::Ascending,
        (Some(Revision::Latest), _) | (None, Some(_)) => Direction::Descending,
        (Some(Revision::All), _) | (None, None) => return rows,
    };
    let known = [point_in_time.known_at].into_iter().chain(dataset.primary_key.iter().copied());
    newest(&point_in_time.identity, &known.collect::<Vec<_>>(), direction, rows)
}

/// One revision of each fact.
pub fn one_of_each_fact(
    dataset: &Dataset,
    point_in_time: &PointInTime,
    direction: Direction,
    rows: &[Row],
) -> Vec<Row> {
    let known: Vec<usize> = [point_in_time.known_at].into_iter().chain(dataset.primary_key.iter().copied()).collect();
    newest(&point_in_time.identity, &known, direction, rows.iter().collect()).into_iter().cloned().collect()
}

/// What makes a row newer than another: time, when it became known, the key.
fn newness(dataset: &Dataset) -> Vec<usize> {
    let known = dataset.point_in_time.iter().map(|point_in_time| point_in_time.known_at);
    dataset.time.into_iter().chain(known).chain(dataset.primary_key.iter().copied()).collect()
}

/// Of the rows that agree, the greatest by those columns or, ascending, the least.
fn newest<'w>(by: &[usize], columns: &[usize], direction: Direction, rows: Vec<&'w Row>) -> Vec<&'w Row> {
    let mut rows = rows;
    rows.sort_by(|one, other| by_columns(by, one, other).then_with(|| by_columns(columns, one, other)));
    let groups = rows.chunk_by(|one, other| by_columns(by, one, other).is_eq());
    let kept = groups.map(|group| match direction {
        Direction::Ascending => group.first(),
        Direction::Descending => group.last(),
    });
    kept.flatten().copied().collect()
}

/// The order of rows by those columns.
pub fn by_columns(columns: &[usize], one: &Row, other: &Row) -> Ordering {
    let orders = columns.iter().map(|index| order(&one[*index], &other[*index]));
    orders.fold(Ordering::Equal, Ordering::then)
}

/// Three-valued, as in SQL: a comparison with null is unknown, and so is its negation.
pub fn holds<'r>(filter: &Filter, cell: &dyn Fn(&str) -> (Type, &'r Cell)) -> Option<bool> {
    match filter {
        Filter::All(parts) => {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| holds(part, cell)).collect();
            if parts.contains(&Some(false)) {
                return Some(false);
            }
            parts.into_iter().all(|part| part.is_some()).then_some(true)
        }
        Filter::Any(parts) => {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| holds(part, cell)).collect();
            if parts.contains(&Some(true)) {
                return Some(true);
            }
            parts.into_iter().all(|part| part.is_some()).then_some(false)
        }
        Filter::Not(part) => holds(part, cell).map(|holds| !holds),
        Filter::Compare(comparison) => {
            let (data_type, cell) = cell(&comparison.field);
            compare(comparison, data_type, cell)
        }
    }
}

fn compare(comparison: &Comparison, data_type: Type, cell: &Cell) -> Option<bool> {
    let operands = match &comparison.operand {
        Operand::One(literal) => std::slice::from_ref(literal),
        Operand::Many(literals) => literals,
        Operand::Claim(_) => unreachable!("no question has one"),
    };
    match comparison.operator {
        Operator::IsNull => return Some(cell.is_none() == (operands[0] == "true")),
        // Nothing is compared, so that null decides nothing.
        Operator::In if operands.is_empty() => return Some(false),
        Operator::Nin if operands.is_empty() => return Some(true),
        _ => {}
    }
    let value = cell.as_ref()?;
    let order = |literal: &String| value.order(&Value::of(data_type, literal));
    Some(match (comparison.operator, value) {
        (Operator::Eq, _) => order(&operands[0]).is_eq(),
        (Operator::Ne, _) => order(&operands[0]).is_ne(),
        (Operator::Gt, _) => order(&operands[0]).is_gt(),
        (Operator::Gte, _) => order(&operands[0]).is_ge(),
        (Operator::Lt, _) => order(&operands[0]).is_lt(),
        (Operator::Lte, _) => order(&operands[0]).is_le(),
        (Operator::In, _) => operands.iter().any(|literal| order(literal).is_eq()),
        (Operator::Nin, _) => operands.iter().all(|literal| order(literal).is_ne()),
        (Operator::Prefix, Value::Text(text)) => text.starts_with(&operands[0]),
        (Operator::Contains, Value::Text(text)) => text.contains(&operands[0]),
        (Operator::Has, Value::List(items)) => items.contains(&operands[0]),
        (operator, value) => panic!("{operator:?} of {value:?}"),
    })
}

/// Whether one searchable column has all of the words.
fn has_words(dataset: &Dataset, row: &Row, text: &str) -> bool {
    let wanted = words(text);
    dataset.columns.iter().zip(row).filter(|(column, _)| column.searchable).any(|(_, cell)| match cell {
        Some(Value::Text(text)) => {
            let found = words(text);
            wanted.iter().all(|word| found.contains(word))
        }
        _ => false,
    })
}

/// Runs of letters and digits of ASCII and of everything beyond it, without the case of ASCII.
pub fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for char in text.chars() {
        if char.is_ascii_alphanumeric() || !char.is_ascii() {
            words.last_mut().expect("one at least").push(char.to_ascii_lowercase());
        } else {
            words.push(String::new());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn has_key(dataset: &Dataset, row: &Row, key: &[String]) -> bool {
    dataset.primary_key.iter().zip(key).all(|(index, literal)| {
        let value = row[*index].as_ref().expect("never null");
        value.order(&Value::of(dataset.columns[*index].data_type, literal)).is_eq()
    })
}

/// Rows in the order that was asked for or the contract's, and then in that of the primary key in the last direction.
fn sorted<'w>(dataset: &Dataset, asked: Option<&[OrderKey]>, mut rows: Vec<&'w Row>) -> Vec<&'w Row> {
    let mut keys: Vec<(usize, Direction, Option<Nulls>)> = match asked {
        Some(keys) => {
            let column = |key: &OrderKey| dataset.column(&key.field).expect("a column");
            keys.iter().map(|key| (column(key), key.direction, key.nulls)).collect()
        }
        None => dataset.default_order.iter().map(|(index, direction)| (*index, *direction, None)).collect(),
    };
    let direction = keys.last().map_or(Direction::Ascending, |key| key.1);
    keys.extend(dataset.primary_key.iter().map(|index| (*index, direction, None)));
    rows.sort_by(|one, other| {
        let orders =
            keys.iter().map(|(index, direction, nulls)| directed(&one[*index], &other[*index], *direction, *nulls));
        orders.fold(Ordering::Equal, Ordering::then)
    });
    rows
}

/// The order of cells by one key: null is the greatest where the key does not say where it stands.
pub fn directed(one: &Cell, other: &Cell, direction: Direction, nulls: Option<Nulls>) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) if direction == Direction::Ascending => one.order(other),
        (Some(one), Some(other)) => other.order(one),
        (one, other) => {
            let first = nulls.map_or(direction == Direction::Descending, |nulls| nulls == Nulls::First);
            let order = one.is_none().cmp(&other.is_none());
            if first { order.reverse() } else { order }
        }
    }
}

/// Rows that may come with others, in their order: those of what was known then, whatever the parent.
struct Related<'w> {
    name: String,
    kind: RelationKind,
    dataset: &'w Dataset,
    /// Columns of the parent and of these rows that must be equal.
    on: Vec<(usize, usize)>,
    rows: Vec<&'w Row>,
    select: Option<Vec<String>>,
    limit: usize,
    related: Vec<Related<'w>>,
}

fn related<'w>(world: &'w World, dataset: &Dataset, query: &Query, expand: &[Expansion]) -> Vec<Related<'w>> {
    let of = |expansion: &Expansion| {
        let relation = dataset.relations.iter().find(|relation| relation.name.as_str() == expansion.relation);
        let relation = relation.expect("a relation");
        let other: &Dataset = world.dataset(relation.dataset.as_str());
        let inner = Query {
            dataset: other.name.to_string(),
            filter: expansion.filter.clone(),
            as_of: query.as_of.clone(),
            ..Query::default()
        };
        let theirs = |name: &str| other.column(name).expect("a column");
        let limit = expansion.limit.map_or(RELATED_DEFAULT, |limit| usize::try_from(limit).expect("few"));
        Related {
            name: expansion.relation.clone(),
            kind: relation.kind,
            dataset: other,
            on: relation.on.iter().map(|(ours, name)| (*ours, theirs(name.as_str()))).collect(),
            rows: sorted(other, expansion.order.as_deref(), rows(world, &inner)),
            select: expansion.select.clone(),
            limit: if relation.kind == RelationKind::One { 1 } else { limit },
            related: related(world, other, &inner, &expansion.expand),
        }
    };
    expand.iter().map(of).collect()
}

impl Related<'_> {
    /// What comes with a row: an object or null, or a list.
    fn of(&self, parent: &Row, form: &Form) -> String {
        // Null is equal to nothing, itself included.
        let equal = |row: &Row| {
            self.on.iter().all(|(ours, theirs)| {
                matches!((&parent[*ours], &row[*theirs]), (Some(ours), Some(theirs)) if ours.order(theirs).is_eq())
            })
        };
        let found = self.rows.iter().filter(|row| equal(row)).take(self.limit);
        let texts: Vec<String> =
            found.map(|row| object(&record(self.dataset, self.select.as_deref(), &self.related, row, form))).collect();
        match self.kind {
            RelationKind::One => texts.into_iter().next().unwrap_or_else(|| "null".to_owned()),
            RelationKind::Many => format!("[{}]", texts.join(",")),
        }
    }
}

/// A row as an answer shows it, with the rows that come with it.
fn record(dataset: &Dataset, select: Option<&[String]>, related: &[Related<'_>], row: &Row, form: &Form) -> Record {
    let shown = |name: &str| {
        let (data_type, cell) = cell(dataset, row, name);
        (name.to_owned(), Shown::Exact(json(cell, data_type, form)))
    };
    let mut record: Record = match select {
        Some(names) => names.iter().map(|name| shown(name)).collect(),
        None => dataset.columns.iter().map(|column| shown(column.name.as_str())).collect(),
    };
    record.extend(related.iter().map(|related| (related.name.clone(), Shown::Exact(related.of(row, form)))));
    record
}

/// A record as JSON. A float that was computed has no one form.
pub fn object(record: &Record) -> String {
    let members = record.iter().map(|(name, shown)| match shown {
        Shown::Exact(text) => format!("\"{name}\":{text}"),
        Shown::Near(value, _) => format!("\"{name}\":about {value:?}"),
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}
