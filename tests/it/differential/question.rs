//! Questions at random: valid ones only, most of which find something, since their literals are from the rows.

use std::sync::Arc;

use jiff::tz::TimeZone;
use martello::catalog::{Column, Dataset, Function, Operator, RelationKind, Type};
use martello::query::{
    Aggregate, Bucket, Comparison, Count, Direction, Expansion, Filter, Group, Grouping, Limit, Measure, Nulls,
    Operand, OrderKey, Query, Revision,
};

use super::dice::Dice;
use super::groups;
use super::reference;
use super::value::{Form, MICROS_PER_DAY, Value, date, decimal_text, instant_text};
use super::world::World;

/// Zones with summer time, with half hours, and with a day that never was.
const ZONES: [&str; 7] = [
    "America/New_York",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "America/St_Johns",
    "UTC",
];
/// The one with every type comes up most.
const DATASETS: [&str; 9] =
    ["edge", "edge", "edge", "edge_kind", "edge_fact", "edge_notice", "edge_bar", "edge_tick", "edge_wide"];

/// What a run of questions is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Theme {
    /// Filters, orders and pages.
    Rows,
    /// Groups, measures and bars.
    Groups,
    /// What was known when.
    Revisions,
    /// Rows that come with rows.
    Related,
}

/// A question and the form of its answer.
#[derive(Clone, Debug)]
pub struct Question {
    pub query: Query,
    pub numbers_as_text: bool,
    /// Asked as a body rather than by a URL.
    pub posted: bool,
}

impl Question {
    pub fn form(&self) -> Form {
        let zone = self.query.tz.as_deref().map(|name| TimeZone::get(name).expect("a zone"));
        Form { numbers_as_text: self.numbers_as_text, zone }
    }

    /// A question at random.
    pub fn throw(dice: &mut Dice, world: &World, theme: Theme) -> Self {
        let name = match theme {
            Theme::Rows | Theme::Groups => dice.pick(&DATASETS),
            Theme::Revisions => dice.pick(&["edge_fact", "edge_fact", "edge_notice", "edge_notice", "edge_bar"]),
            Theme::Related => dice.pick(&["edge", "edge", "edge_kind", "edge_fact", "edge_notice"]),
        };
        // Who may not see a dataset asks about another.
        let name = if world.has(name) { name } else { "edge" };
        let mut maker = Maker { dice, world, dataset: Arc::clone(world.dataset(name)) };
        let query = maker.query(theme);
        let posted = query.key.is_none() && dice.chance(25);
        Self { query, numbers_as_text: dice.chance(10), posted }
    }
}

/// A rule about rows, at random: as a filter, of whatever columns.
pub fn rule(dice: &mut Dice, world: &World, dataset: &Arc<Dataset>) -> Filter {
    let mut maker = Maker { dice, world, dataset: Arc::clone(dataset) };
    let names = maker.named();
    maker.trees(&names)
}

/// A name that a filter may use, and where its literals come from.
struct Named {
    name: String,
    data_type: Type,
    operators: Vec<Operator>,
    samples: Vec<Value>,
}

struct Maker<'m> {
    dice: &'m mut Dice,
    world: &'m World,
    dataset: Arc<Dataset>,
}

impl Maker<'_> {
    fn query(&mut self, theme: Theme) -> Query {
        let mut query = Query { dataset: self.dataset.name.to_string(), ..Query::default() };
        let dated = self.dataset.point_in_time.is_some();
        if dated && self.dice.chance(if theme == Theme::Revisions { 60 } else { 25 }) {
            query.as_of = Some(self.as_of());
        }
        if dated && self.dice.chance(if theme == Theme::Revisions { 50 } else { 20 }) {
            query.revision = Some(self.dice.pick(&[Revision::First, Revision::Latest, Revision::All]));
        }
        if self.dataset.time.is_some() && self.dice.chance(25) {
            query.latest_by = self.latest_by();
        }
        query.filter = self.conditions();
        if self.dataset.columns.iter().any(|column| column.searchable) && self.dice.chance(20) {
            query.search = self.words();
        }
        if self.dice.chance(25) {
            query.count = Count::Exact;
        }
        let groups = match theme {
            Theme::Groups => true,
            Theme::Rows | Theme::Related => false,
            Theme::Revisions => self.dice.chance(30),
        };
        if groups {
            self.zone(&mut query);
            self.grouped(&mut query);
        } else {
            self.plain(&mut query, theme);
        }
        query
    }

    /// What only a question about rows may have.
    fn plain(&mut self, query: &mut Query, theme: Theme) {
        if self.dice.chance(50) {
            let count = 1 + self.dice.below(5);
            query.select = Some(self.some(count, |_| true));
        }
        if theme == Theme::Related || self.dice.chance(10) {
            query.expand = self.expansions(query.as_of.is_some(), 3);
        }
        self.zone(query);
        if self.dice.chance(8) {
            self.one(query);
            return;
        }
        if self.dataset.primary_key.len() > 1 && self.dice.chance(30) {
            self.panel(query);
        } else if self.dice.chance(75) {
            query.order = Some(self.order());
        }
        let limits: &[u64] = if query.expand.is_empty() { &[1, 2, 5, 20, 100, 1000] } else { &[1, 3, 20, 100] };
        query.page.limit = self.dice.chance(85).then(|| Limit::Rows(self.dice.pick(limits)));
    }

    /// Some of the columns, or the first of a key that has more: the newest row of each part of it.
    fn latest_by(&mut self) -> Vec<String> {
        let dataset = Arc::clone(&self.dataset);
        match dataset.primary_key.as_slice() {
            [first, _, ..] if self.dice.chance(40) => vec![dataset.columns[*first].name.to_string()],
            _ => {
                let count = 1 + self.dice.below(2);
                self.some(count, |column| column.sort)
            }
        }
    }

    /// A few parts of the key, in the order of the rest of it: what indices are for, and what is planned apart.
    fn panel(&mut self, query: &mut Query) {
        let dataset = Arc::clone(&self.dataset);
        let names = dataset.primary_key.iter().map(|index| dataset.columns[*index].name.to_string());
        let mut names: Vec<String> = names.collect();
        let first = dataset.primary_key[0];
        let values: Vec<Value> = self.world.values(&query.dataset, first).cloned().collect();
        let count = 1 + self.dice.below(4);
        let listed = self.dice.some(&values, count);
        let listed = listed.iter().map(|value| self.spell(value, dataset.columns[first].data_type)).collect();
        let list = Comparison { field: names[0].clone(), operator: Operator::In, operand: Operand::Many(listed) };
        if let Filter::All(parts) = &mut query.filter {
            parts.push(Filter::Compare(list));
        }
        if self.dice.chance(50) {
            names.remove(0);
        }
        let direction = self.dice.pick(&[Direction::Ascending, Direction::Descending]);
        let keys = names.into_iter().map(|field| OrderKey { field, direction, nulls: None });
        query.order = self.dice.chance(75).then(|| keys.collect());
    }

    /// One row by its key: nothing else chooses or orders then.
    fn one(&mut self, query: &mut Query) {
        if self.world.rows(&query.dataset).is_empty() {
            return;
        }
        let row = self.dice.pick(self.world.rows(&query.dataset));
        let dataset = Arc::clone(&self.dataset);
        let values = dataset.primary_key.iter().filter_map(|index| Some((row[*index].as_ref()?, *index)));
        let key: Vec<String> =
            values.map(|(value, index)| self.spell(value, dataset.columns[index].data_type)).collect();
        // An empty segment is another path.
        if key.iter().any(String::is_empty) {
            return;
        }
        query.key = Some(key);
        query.filter = Filter::default();
        query.search = None;
        query.latest_by = Vec::new();
        query.count = Count::None;
    }

    fn zone(&mut self, query: &mut Query) {
        query.tz = self.dice.chance(30).then(|| self.dice.pick(&ZONES).to_owned());
    }

    /// Groups and measures that the contract allows, or bars.
    fn grouped(&mut self, query: &mut Query) {
        let bars = self.dataset.bars.is_some() && self.dice.chance(40);
        let of = if bars { Grouping::Resample(self.dice.pick(&Bucket::ALL)) } else { self.grouping() };
        query.aggregate = Some(Aggregate { of, having: Filter::default() });
        let names = self.fields(query);
        if self.dice.chance(35) {
            let having = self.trees(&names);
            if let Some(aggregate) = &mut query.aggregate {
                aggregate.having = having;
            }
        }
        if self.dice.chance(60) {
            let count = 1 + self.dice.below(2);
            let names: Vec<String> = names.iter().map(|named| named.name.clone()).collect();
            query.order = Some(self.dice.some(&names, count).into_iter().map(|name| self.order_key(name)).collect());
        }
        query.page.limit = self.dice.chance(85).then(|| Limit::Rows(self.dice.pick(&[1, 3, 10, 100, 1000])));
    }

    fn grouping(&mut self) -> Grouping {
        let count = self.dice.below(3);
        let group_by: Vec<Group> =
            self.some(count, |column| column.sort).into_iter().map(|field| self.group(field)).collect();
        let mut all: Vec<Measure> = vec![Measure { function: Function::Count, field: None }];
        for column in &self.dataset.columns {
            let field = || Some(column.name.to_string());
            all.extend(column.aggregate.iter().map(|function| Measure { function: *function, field: field() }));
        }
        let least = usize::from(group_by.is_empty());
        let count = least + self.dice.below(5);
        Grouping::Fields { group_by, measures: self.dice.some(&all, count) }
    }

    fn group(&mut self, field: String) -> Group {
        let column = &self.dataset.columns[self.dataset.column(&field).expect("a column")];
        let dated = matches!(column.data_type, Type::Date | Type::Timestamp);
        let bucket = (dated && self.dice.chance(80)).then(|| self.dice.pick(&Bucket::ALL));
        Group { field, bucket }
    }

    /// The fields of groups, with values that occur in them.
    fn fields(&mut self, query: &Query) -> Vec<Named> {
        let Some(aggregate) = &query.aggregate else { return Vec::new() };
        let fields = groups::fields(&self.dataset, &aggregate.of);
        let rows = reference::rows(self.world, query);
        let zone = query.tz.as_deref().map(|name| TimeZone::get(name).expect("a zone"));
        let cells = groups::groups(&self.dataset, &fields, &rows, zone.as_ref());
        let named = fields.into_iter().enumerate().map(|(place, field)| {
            let near = field.is_near(&self.dataset);
            let samples = cells.iter().filter_map(|(cells, _)| cells[place].clone());
            let samples = samples.filter(|value| !groups::overflows(value));
            // Beside what is computed, so that the last bit of it decides nothing.
            let samples = samples.map(|value| match value {
                Value::Float(float) if near => Value::Float(float * 1.000_1 + 0.001),
                other => other,
            });
            let operators = Operator::ALL.into_iter().filter(|operator| operator.fits(field.data_type));
            Named {
                name: field.name,
                data_type: field.data_type,
                operators: operators.collect(),
                samples: samples.collect(),
            }
        });
        named.collect()
    }

    /// Relations, and relations of theirs. Where something was known then, all of them must be dated.
    fn expansions(&mut self, dated: bool, depth: usize) -> Vec<Expansion> {
        let names: Vec<usize> = (0..self.dataset.relations.len())
            .filter(|index| {
                let other = self.world.dataset(self.dataset.relations[*index].dataset.as_str());
                !dated || other.point_in_time.is_some()
            })
            .collect();
        let count = if depth == 3 { 1 + self.dice.below(2) } else { self.dice.below(2) };
        let chosen = self.dice.some(&names, count);
        chosen.into_iter().map(|index| self.expansion(index, dated, depth)).collect()
    }

    fn expansion(&mut self, index: usize, dated: bool, depth: usize) -> Expansion {
        let relation = &self.dataset.relations[index];
        let (name, kind) = (relation.name.to_string(), relation.kind);
        let other = Arc::clone(self.world.dataset(relation.dataset.as_str()));
        let mut there = Maker { dice: self.dice, world: self.world, dataset: other };
        let mut expansion = Expansion { relation: name, ..Expansion::default() };
        if there.dice.chance(60) {
            let count = 1 + there.dice.below(3);
            expansion.select = Some(there.some(count, |_| true));
        }
        if there.dice.chance(40) {
            expansion.filter = there.conditions();
        }
        if kind == RelationKind::Many {
            expansion.order = there.dice.chance(60).then(|| there.order());
            expansion.limit = there.dice.chance(60).then(|| there.dice.pick(&[1, 2, 3, 10]));
        }
        if depth > 1 {
            expansion.expand = there.expansions(dated, depth - 1);
        }
        expansion
    }

    fn order(&mut self) -> Vec<OrderKey> {
        let count = 1 + self.dice.below(3);
        self.some(count, |column| column.sort).into_iter().map(|name| self.order_key(name)).collect()
    }

    fn order_key(&mut self, field: String) -> OrderKey {
        let direction = self.dice.pick(&[Direction::Ascending, Direction::Descending]);
        let nulls = self.dice.pick(&[None, None, Some(Nulls::First), Some(Nulls::Last)]);
        OrderKey { field, direction, nulls }
    }

    /// The names of some columns, none twice.
    fn some(&mut self, count: usize, fits: impl Fn(&Column) -> bool) -> Vec<String> {
        let names = self.dataset.columns.iter().filter(|column| fits(column));
        let names: Vec<String> = names.map(|column| column.name.to_string()).collect();
        self.dice.some(&names, count)
    }

    fn as_of(&mut self) -> String {
        let point_in_time = self.dataset.point_in_time.as_ref().expect("revisions");
        let known = self.world.values(self.dataset.name.as_str(), point_in_time.known_at);
        let known: Vec<i64> = known
            .map(|known| match known {
                Value::Date(days) => i64::from(*days) * MICROS_PER_DAY,
                Value::Instant(micros) => *micros,
                other => panic!("{other:?} is no time"),
            })
            .collect();
        // Nothing is known of a world without rows.
        let known = if known.is_empty() { vec![0] } else { known };
        let micros = self.dice.pick(&known) + self.dice.pick(&[0, 0, -1, 1, MICROS_PER_DAY, 1000 * MICROS_PER_DAY]);
        if self.dice.chance(50) { date_of(micros) } else { self.spell(&Value::Instant(micros), Type::Timestamp) }
    }

    /// Words that one row has, perhaps in other cases, or of two rows.
    fn words(&mut self) -> Option<String> {
        let columns = (0..self.dataset.columns.len()).filter(|index| self.dataset.columns[*index].searchable);
        let texts: Vec<String> = columns
            .flat_map(|index| self.world.values(self.dataset.name.as_str(), index))
            .filter_map(|value| match value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            })
            .collect();
        if texts.is_empty() {
            return None;
        }
        let mut words = reference::words(&self.dice.pick(&texts));
        if self.dice.chance(20) {
            words.extend(reference::words(&self.dice.pick(&texts)));
        }
        let count = 1 + self.dice.below(3);
        let words = self.dice.some(&words, count);
        let text = words.join(self.dice.pick(&[" ", "-", ", ", "' & '"]));
        let text = if self.dice.chance(30) { text.to_ascii_uppercase() } else { text };
        (!words.is_empty()).then_some(text)
    }

    fn conditions(&mut self) -> Filter {
        let names = self.named();
        if self.dice.chance(30) { Filter::default() } else { self.trees(&names) }
    }

    /// The columns that a filter may name.
    fn named(&self) -> Vec<Named> {
        (self.dataset.columns.iter().enumerate())
            .filter(|(_, column)| !column.filter.is_empty())
            .map(|(index, column)| Named {
                name: column.name.to_string(),
                data_type: column.data_type,
                operators: column.filter.clone(),
                samples: self.world.values(self.dataset.name.as_str(), index).cloned().collect(),
            })
            .collect()
    }

    fn trees(&mut self, names: &[Named]) -> Filter {
        let count = 1 + self.dice.below(2);
        Filter::All((0..count).map(|_| self.tree(names, 3)).collect())
    }

    fn tree(&mut self, names: &[Named], depth: usize) -> Filter {
        let filter = if depth == 0 || self.dice.chance(60) {
            Filter::Compare(self.comparison(names))
        } else {
            let count = 1 + self.dice.below(3);
            let parts = (0..count).map(|_| self.tree(names, depth - 1)).collect();
            if self.dice.chance(60) { Filter::Any(parts) } else { Filter::All(parts) }
        };
        if self.dice.chance(20) { Filter::Not(Box::new(filter)) } else { filter }
    }

    fn comparison(&mut self, names: &[Named]) -> Comparison {
        let named = &names[self.dice.below(names.len())];
        let operator = self.dice.pick(&named.operators);
        let operand = match operator {
            Operator::IsNull => Operand::One(self.dice.pick(&["true", "false"]).to_string()),
            Operator::In | Operator::Nin => {
                let count = self.dice.pick(&[0, 1, 1, 2, 3, 5]);
                Operand::Many((0..count).map(|_| self.literal(named)).collect())
            }
            Operator::Prefix | Operator::Contains => {
                let chars: Vec<char> = self.literal(named).chars().collect();
                let from = if operator == Operator::Prefix { 0 } else { self.dice.below(chars.len() + 1) };
                let to = from + self.dice.below(3);
                Operand::One(chars[from.min(chars.len())..to.min(chars.len())].iter().collect())
            }
            _ => Operand::One(self.literal(named)),
        };
        Comparison { field: named.name.clone(), operator, operand }
    }

    /// A literal of a value that occurs, or of one beside it.
    fn literal(&mut self, named: &Named) -> String {
        let value = if named.samples.is_empty() { plain(named.data_type) } else { self.dice.pick(&named.samples) };
        let value = if self.dice.chance(20) { beside(&value, named.data_type) } else { value };
        match value {
            Value::List(items) if items.is_empty() => "a".to_owned(),
            Value::List(items) => self.dice.pick(&items),
            value => self.spell(&value, named.data_type),
        }
    }

    /// One of the ways to write a value.
    fn spell(&mut self, value: &Value, data_type: Type) -> String {
        match (value, data_type) {
            (Value::Bool(bool), _) => bool.to_string(),
            (Value::Int(int), _) => int.to_string(),
            (Value::Float(float), _) if self.dice.chance(50) => format!("{float:e}"),
            (Value::Float(float), _) => format!("{float:?}"),
            (Value::Decimal(digits), Type::Decimal { scale, .. }) => match self.dice.below(4) {
                0 if scale > 0 => decimal_text(*digits, scale).trim_end_matches('0').trim_end_matches('.').to_owned(),
                1 => format!("{digits}e-{scale}"),
                _ => decimal_text(*digits, scale),
            },
            (Value::Date(days), _) => date(*days).to_string(),
            (Value::Instant(micros), _) if micros % MICROS_PER_DAY == 0 && self.dice.chance(30) => date_of(*micros),
            (Value::Instant(micros), _) if self.dice.chance(30) && beyond_a_day_of_the_ends(*micros) => {
                let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(19_800).expect("an offset"));
                instant_text(*micros, Some(&zone))
            }
            (Value::Instant(micros), _) => instant_text(*micros, None),
            (Value::Text(text), _) => text.clone(),
            (value, data_type) => panic!("{value:?} as {data_type}"),
        }
    }
}

fn date_of(micros: i64) -> String {
    date(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).expect("a day")).to_string()
}

/// Whether every zone can write the instant.
fn beyond_a_day_of_the_ends(micros: i64) -> bool {
    (-62_135_000_000_000_000..253_402_000_000_000_000).contains(&micros)
}

/// A value where none occurs.
fn plain(data_type: Type) -> Value {
    match data_type {
        Type::Bool => Value::Bool(true),
        Type::Int32 | Type::Int64 => Value::Int(1),
        Type::Float64 => Value::Float(1.0),
        Type::Decimal { .. } => Value::Decimal(1),
        Type::String | Type::StringList | Type::Json => Value::Text("a".to_owned()),
        Type::Date => Value::Date(0),
        Type::Timestamp => Value::Instant(0),
    }
}

/// A neighbor of a value, or the value at the end of its range.
fn beside(value: &Value, data_type: Type) -> Value {
    match (value, data_type) {
        (Value::Bool(bool), _) => Value::Bool(!bool),
        (Value::Int(int), Type::Int32) => Value::Int((int + 1).min(i32::MAX.into())),
        (Value::Int(int), _) => Value::Int(int.saturating_add(1)),
        (Value::Float(float), _) if float.abs() < f64::MAX => Value::Float(float.next_up()),
        (Value::Decimal(digits), Type::Decimal { precision, .. }) => {
            Value::Decimal((digits + 1).min(10_i128.pow(precision.into()) - 1))
        }
        (Value::Text(text), _) => Value::Text(format!("{text}a")),
        (Value::Date(days), _) if *days < 2_932_000 => Value::Date(days + 1),
        (Value::Instant(micros), _) if beyond_a_day_of_the_ends(*micros) => Value::Instant(micros + 1),
        (value, _) => value.clone(),
    }
}

/// Whether an answer has floats that were computed.
pub fn is_near(dataset: &Dataset, query: &Query) -> bool {
    let fields = query.aggregate.iter().flat_map(|aggregate| groups::fields(dataset, &aggregate.of));
    fields.into_iter().any(|field| field.is_near(dataset))
}

/// The first key of an order that is a computed float: there, and behind it, rows of nearly one value may change places.
pub fn float_key(dataset: &Dataset, query: &Query) -> Option<String> {
    let fields = groups::fields(dataset, &query.aggregate.as_ref()?.of);
    let near = |name: &str| fields.iter().any(|field| field.name == name && field.is_near(dataset));
    query.order.as_deref()?.iter().find(|key| near(&key.field)).map(|key| key.field.clone())
}
