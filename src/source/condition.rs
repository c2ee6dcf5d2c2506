//! Conditions of a plan as SQL: predicates, and where a page begins.

use crate::catalog::{Direction, Name, Type};
use crate::plan::{Plan, Predicate, SortKey, Test, Value};

use super::sql::{Compare, Dialect, Expr, From, Order, Parameter, Part, Select};

/// Postgres' words of a text: the same as FTS5's `ascii` tokenizer finds. `schema/` has the index on this very
/// expression.
const WORDS: (&str, &str) = (
    "array_to_tsvector(array_remove(string_to_array(regexp_replace(lower(",
    r#" COLLATE "C"), '[\x01-\x2f\x3a-\x60\x7b-\x7f]+', ' ', 'g'), ' '), ''))"#,
);

/// What the places of a predicate are: columns of the relation, or fields of the answer.
#[derive(Clone, Copy)]
pub(super) enum Places {
    Columns,
    Fields,
}

/// What conditions are written for.
#[derive(Clone, Copy)]
pub(super) struct Conditions<'p> {
    pub(super) plan: &'p Plan,
    pub(super) dialect: Dialect,
    pub(super) places: Places,
}

impl<'p> Conditions<'p> {
    fn named(self, index: usize) -> (Expr<'p>, Type) {
        match self.places {
            Places::Columns => {
                let column = self.plan.column(index);
                (Expr::Column(&column.name), column.data_type)
            }
            Places::Fields => {
                let field = &self.plan.fields()[index];
                (Expr::Column(&field.name), field.data_type)
            }
        }
    }

    /// The place as an order or a range sees it: text bytewise.
    pub(super) fn sortable(self, index: usize) -> Expr<'p> {
        let (expr, data_type) = self.named(index);
        sortable(expr, data_type)
    }

    pub(super) fn of(self, predicate: &Predicate) -> Expr<'p> {
        let all = |parts: &[Predicate]| parts.iter().map(|part| self.of(part)).collect();
        match predicate {
            Predicate::All(parts) => Expr::And(all(parts)),
            Predicate::Any(parts) => Expr::Or(all(parts)),
            Predicate::Not(part) => Expr::Not(Box::new(self.of(part))),
            Predicate::Test(index, test) => self.test(*index, test),
        }
    }

    fn test(self, index: usize, test: &Test) -> Expr<'p> {
        let (plain, data_type) = self.named(index);
        let plain = || Box::new(plain.clone());
        let text = |text: &String| Parameter::One(Type::String, Value::String(text.clone()));
        // Equality needs no collation: two texts are equal when their bytes are.
        let equal = |operator, value: &Value| compare(*plain(), operator, data_type, value);
        let range = |operator, value: &Value| compare(self.sortable(index), operator, data_type, value);
        match test {
            Test::Eq(value) => equal(Compare::Eq, value),
            Test::Ne(value) => equal(Compare::Ne, value),
            Test::Gt(value) => range(Compare::Gt, value),
            Test::Gte(value) => range(Compare::Gte, value),
            Test::Lt(value) => range(Compare::Lt, value),
            Test::Lte(value) => range(Compare::Lte, value),
            Test::In(values) => Expr::In { left: plain(), data_type, values: values.clone(), not: false },
            Test::Nin(values) => Expr::In { left: plain(), data_type, values: values.clone(), not: true },
            // A range over bytes, which an index serves in every database.
            Test::Prefix(prefix) => {
                let mut parts = vec![range(Compare::Gte, &Value::String(prefix.clone()))];
                parts.extend(successor(prefix).map(|end| range(Compare::Lt, &Value::String(end))));
                Expr::And(parts)
            }
            Test::Contains(part) => Expr::Contains(plain(), text(part)),
            Test::IsNull if self.has_no_null_lists(data_type) => null_list(*plain()),
            Test::IsNull => Expr::IsNull(plain()),
            Test::IsNotNull if self.has_no_null_lists(data_type) => Expr::Not(Box::new(null_list(*plain()))),
            Test::IsNotNull => Expr::IsNotNull(plain()),
            Test::Has(element) if self.has_no_null_lists(data_type) => {
                let has = Expr::Has(plain(), text(element));
                Expr::Words(vec![
                    Part::Expr(Expr::between("if(", null_list(*plain()), ", NULL, ")),
                    Part::Expr(has),
                    Part::Word(")"),
                ])
            }
            Test::Has(element) => Expr::Has(plain(), text(element)),
            Test::Search(words) => self.search(&self.plan.column(index).name, words),
        }
    }

    /// ClickHouse knows no null list.
    fn has_no_null_lists(self, data_type: Type) -> bool {
        self.dialect == Dialect::ClickHouse && data_type == Type::StringList
    }

    /// Words have no character that either query language knows, so that they need quotes and nothing else.
    fn search(self, column: &'p Name, words: &[String]) -> Expr<'p> {
        let quoted = |quote: char| words.iter().map(move |word| format!("{quote}{word}{quote}"));
        let text = |text: String| Expr::Bind(Parameter::One(Type::String, Value::String(text)));
        match self.dialect {
            // Its tokens are runs of ASCII letters, digits and all that is beyond ASCII, and `lower` is for ASCII alone. An
            // index of tokens serves this very expression.
            Dialect::ClickHouse => {
                let tokens = words.iter().map(|word| {
                    Expr::Words(vec![
                        Part::Expr(Expr::between("hasToken(lower(", Expr::Column(column), "), ")),
                        Part::Expr(text(word.clone())),
                        Part::Word(")"),
                    ])
                });
                Expr::And(tokens.collect())
            }
            Dialect::Postgres => {
                let query = text(quoted('\'').collect::<Vec<_>>().join(" & "));
                Expr::Words(vec![
                    Part::Word(WORDS.0),
                    Part::Expr(Expr::Column(column)),
                    Part::Word(WORDS.1),
                    Part::Word(" @@ "),
                    Part::Expr(query),
                    Part::Word("::tsquery"),
                ])
            }
            Dialect::Sqlite => {
                let keys = self.plan.dataset().primary_key.iter();
                let keys: Vec<Expr<'p>> = keys.map(|index| Expr::Column(&self.plan.column(*index).name)).collect();
                let query = text(format!("{{{column}}} : ({})", quoted('"').collect::<Vec<_>>().join(" AND ")));
                let filter = Expr::Words(vec![
                    Part::Expr(Expr::SearchTable(self.plan.relation())),
                    Part::Word(" MATCH "),
                    Part::Expr(query),
                ]);
                let from = From::SearchTable(self.plan.relation());
                Expr::Among(keys.clone(), Box::new(Select { columns: keys, from, filter, ..Select::default() }))
            }
        }
    }
}

/// Text bytewise, everything else as it is.
pub(super) fn sortable(expr: Expr<'_>, data_type: Type) -> Expr<'_> {
    if data_type == Type::String { Expr::Bytewise(Box::new(expr)) } else { expr }
}

/// ClickHouse has no null list: the list whose one element is null stands for it.
fn null_list(list: Expr<'_>) -> Expr<'_> {
    Expr::between("has(", list, ", NULL)")
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

fn plain<'p>(plan: &'p Plan, key: &SortKey) -> Expr<'p> {
    Expr::Column(&plan.fields()[key.field].name)
}

fn ordered<'p>(plan: &'p Plan, key: &SortKey) -> Expr<'p> {
    sortable(plain(plan, key), plan.fields()[key.field].data_type)
}

/// A key of the plan's order.
pub(super) fn order<'p>(plan: &'p Plan, key: &SortKey) -> Order<'p> {
    Order { by: ordered(plan, key), direction: key.direction, nulls_first: key.nullable.then_some(key.nulls_first) }
}

/// The rows behind a sort key.
///
/// Keys without nulls that share a direction make one row comparison, which an index serves whole. Others are spelled
/// out, led by the bound on the first key that an index can use. ClickHouse finds no range in a row comparison.
pub(super) fn behind<'p>(plan: &'p Plan, dialect: Dialect, after: &[Option<Value>]) -> Expr<'p> {
    let keys = plan.order();
    // Groups without keys are one, and nothing is behind it.
    let Some(first) = keys.first() else { return Expr::Or(Vec::new()) };
    let uniform =
        dialect != Dialect::ClickHouse && keys.iter().all(|key| !key.nullable && key.direction == first.direction);
    if uniform {
        let beyond = if first.direction == Direction::Ascending { Compare::Gt } else { Compare::Lt };
        let left = keys.iter().map(|key| ordered(plan, key)).collect();
        let right = keys.iter().zip(after).filter_map(|(key, value)| bind(plan, key, value.as_ref())).collect();
        return Expr::Compare(left, beyond, right);
    }
    let mut branches = Vec::with_capacity(keys.len());
    for (length, (key, value)) in keys.iter().zip(after).enumerate() {
        let Some(beyond) = beyond(plan, key, value.as_ref()) else { continue };
        let mut parts: Vec<Expr<'p>> =
            keys[..length].iter().zip(after).map(|(key, value)| same(plan, key, value.as_ref())).collect();
        parts.push(beyond);
        branches.push(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) });
    }
    match after.first().and_then(|value| bound(plan, first, value.as_ref())) {
        Some(bound) => Expr::And(vec![bound, Expr::Or(branches)]),
        None => Expr::Or(branches),
    }
}

/// The bound that a key sets by itself on the rows behind: what an index on it can use.
pub(super) fn bound<'p>(plan: &'p Plan, key: &SortKey, value: Option<&Value>) -> Option<Expr<'p>> {
    let operator = if key.direction == Direction::Ascending { Compare::Gte } else { Compare::Lte };
    let value = bind(plan, key, value).filter(|_| !key.nullable)?;
    Some(Expr::Compare(vec![ordered(plan, key)], operator, vec![value]))
}

fn bind<'p>(plan: &Plan, key: &SortKey, value: Option<&Value>) -> Option<Expr<'p>> {
    let data_type = plan.fields()[key.field].data_type;
    value.map(|value| Expr::Bind(Parameter::One(data_type, value.clone())))
}

/// Rows whose key is the same.
fn same<'p>(plan: &'p Plan, key: &SortKey, value: Option<&Value>) -> Expr<'p> {
    match bind(plan, key, value) {
        Some(value) => Expr::Compare(vec![plain(plan, key)], Compare::Eq, vec![value]),
        None => Expr::IsNull(Box::new(plain(plan, key))),
    }
}

/// Rows whose key stands behind; `None` when none can.
fn beyond<'p>(plan: &'p Plan, key: &SortKey, value: Option<&Value>) -> Option<Expr<'p>> {
    let Some(value) = bind(plan, key, value) else {
        // Behind null stand the values, when nulls come first, and nothing, when they come last.
        return key.nulls_first.then(|| Expr::IsNotNull(Box::new(plain(plan, key))));
    };
    let operator = if key.direction == Direction::Ascending { Compare::Gt } else { Compare::Lt };
    let greater = Expr::Compare(vec![ordered(plan, key)], operator, vec![value]);
    if key.nullable && !key.nulls_first {
        Some(Expr::Or(vec![greater, Expr::IsNull(Box::new(plain(plan, key)))]))
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
