//! Filters bound to columns, in one canonical form: equal meanings that differ only in writing become equal here.

use std::collections::BTreeMap;

use crate::catalog::ColumnIndex;

use super::Value;

/// A condition on the columns of one dataset, three-valued as in SQL.
#[derive(Clone, PartialEq, Debug)]
pub enum Predicate {
    /// Every one holds; the empty conjunction is true.
    All(Vec<Predicate>),
    /// At least one holds; the empty disjunction is false.
    Any(Vec<Predicate>),
    /// It does not hold.
    Not(Box<Predicate>),
    /// One column meets a test.
    Test(ColumnIndex, Test),
}

/// What one column must meet.
#[derive(Clone, PartialEq, Debug)]
pub enum Test {
    /// Equal to the value.
    Eq(Value),
    /// Not equal to it.
    Ne(Value),
    /// Greater.
    Gt(Value),
    /// Greater or equal.
    Gte(Value),
    /// Less.
    Lt(Value),
    /// Less or equal.
    Lte(Value),
    /// One of the values: at least two, sorted, none twice.
    In(Vec<Value>),
    /// None of them: likewise.
    Nin(Vec<Value>),
    /// Starts so.
    Prefix(String),
    /// Contains this.
    Contains(String),
    /// Is null.
    IsNull,
    /// Is not null.
    IsNotNull,
    /// The list has the element.
    Has(String),
    /// The text has all of the words: sorted, none twice.
    Search(Vec<String>),
}

impl Default for Predicate {
    fn default() -> Self {
        Self::All(Vec::new())
    }
}

impl Predicate {
    /// Whether it holds for every row.
    #[must_use]
    pub fn is_true(&self) -> bool {
        matches!(self, Self::All(parts) if parts.is_empty())
    }

    /// `x in (…)`, whatever the number of values.
    pub(super) fn one_of(column: ColumnIndex, values: Vec<Value>) -> Self {
        let mut values = canonical_values(values);
        match values.len() {
            0 => Self::Any(Vec::new()),
            1 => Self::Test(column, Test::Eq(values.remove(0))),
            _ => Self::Test(column, Test::In(values)),
        }
    }

    /// `x` in none of the lists, whatever the number of values.
    pub(super) fn none_of(column: ColumnIndex, lists: Vec<Vec<Value>>) -> Self {
        let mut values = canonical_values(lists.concat());
        match values.len() {
            0 => Self::default(),
            1 => Self::Test(column, Test::Ne(values.remove(0))),
            _ => Self::Test(column, Test::Nin(values)),
        }
    }

    /// The canonical form. Negations stand at the tests, where most become the opposite test; nested connectives are
    /// flat; tests of one column for equality are one list; a part that another implies is gone; the order of parts is
    /// that of their bytes, none stands twice, and a part alone stands for itself.
    ///
    /// What is kept is the set of rows for which it holds. Without a negation above a connective, false and unknown do
    /// the same, so that `x = 1 and x = 2` may be false even where `x` is null.
    pub(super) fn canonical(self) -> Self {
        self.signed(false).simplified()
    }

    /// De Morgan's laws, which hold for three values as well.
    fn signed(self, negated: bool) -> Self {
        let all = |parts: Vec<Self>| parts.into_iter().map(|part| part.signed(negated)).collect();
        match (self, negated) {
            (Self::All(parts), false) | (Self::Any(parts), true) => Self::All(all(parts)),
            (Self::Any(parts), false) | (Self::All(parts), true) => Self::Any(all(parts)),
            (Self::Not(part), _) => part.signed(!negated),
            (Self::Test(column, test), false) => Self::Test(column, test),
            (Self::Test(column, test), true) => match test.opposite() {
                Ok(test) => Self::Test(column, test),
                Err(test) => Self::Not(Box::new(Self::Test(column, test))),
            },
        }
    }

    fn simplified(self) -> Self {
        match self {
            Self::All(parts) => {
                let parts = flat(parts, |part| if let Self::All(inner) = part { Ok(inner) } else { Err(part) });
                let parts = merged(parts, Test::excluded, Self::none_of);
                let parts = merged(parts, Test::included, |column, lists| Self::one_of(column, common(lists)));
                match absorbed(parts, |part| if let Self::Any(inner) = part { inner } else { &[] }) {
                    parts if parts.contains(&Self::Any(Vec::new())) => Self::Any(Vec::new()),
                    mut parts if parts.len() == 1 => parts.remove(0),
                    parts => Self::All(parts),
                }
            }
            Self::Any(parts) => {
                let parts = flat(parts, |part| if let Self::Any(inner) = part { Ok(inner) } else { Err(part) });
                let parts = merged(parts, Test::included, |column, lists| Self::one_of(column, lists.concat()));
                // No value is in every list: any will do, but null still will not.
                let parts = merged(parts, Test::excluded, |column, lists| match common(lists) {
                    common if common.is_empty() => Self::Test(column, Test::IsNotNull),
                    common => Self::none_of(column, vec![common]),
                });
                match absorbed(parts, |part| if let Self::All(inner) = part { inner } else { &[] }) {
                    parts if parts.iter().any(Self::is_true) => Self::default(),
                    mut parts if parts.len() == 1 => parts.remove(0),
                    parts => Self::Any(parts),
                }
            }
            other => other,
        }
    }

    /// The parts that must all hold.
    pub(super) fn conjuncts(self) -> Vec<Self> {
        match self {
            Self::All(parts) => parts,
            other => vec![other],
        }
    }

    /// The parts that must all hold.
    #[must_use]
    pub fn conjuncts_ref(&self) -> &[Self] {
        match self {
            Self::All(parts) => parts,
            other => std::slice::from_ref(other),
        }
    }

    /// Whether it reads only columns of that list.
    pub(super) fn reads_only(&self, columns: &[ColumnIndex]) -> bool {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().all(|part| part.reads_only(columns)),
            Self::Not(part) => part.reads_only(columns),
            Self::Test(column, _) => columns.contains(column),
        }
    }

    /// Writes the canonical bytes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let parts = |tag: u8, parts: &[Self], out: &mut Vec<u8>| {
            out.push(tag);
            out.extend((parts.len() as u64).to_le_bytes());
            for part in parts {
                part.write(out);
            }
        };
        match self {
            Self::All(all) => parts(b'&', all, out),
            Self::Any(any) => parts(b'|', any, out),
            Self::Not(part) => parts(b'!', std::slice::from_ref(part), out),
            Self::Test(column, test) => {
                out.push(b'.');
                out.extend((*column as u64).to_le_bytes());
                test.write(out);
            }
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

/// Simplified parts, with those that `open` unfolds in their place, in the order of their bytes, none twice.
fn flat(parts: Vec<Predicate>, open: impl Fn(Predicate) -> Result<Vec<Predicate>, Predicate>) -> Vec<Predicate> {
    let mut flat: Vec<Predicate> = Vec::with_capacity(parts.len());
    for part in parts {
        match open(part.simplified()) {
            Ok(inner) => flat.extend(inner),
            Err(part) => flat.push(part),
        }
    }
    sorted(flat)
}

fn sorted(mut parts: Vec<Predicate>) -> Vec<Predicate> {
    parts.sort_by_cached_key(Predicate::bytes);
    parts.dedup();
    parts
}

/// Tests of one column that are lists of values become one test.
fn merged(
    parts: Vec<Predicate>,
    list: impl Fn(&Test) -> Option<Vec<Value>>,
    merge: impl Fn(ColumnIndex, Vec<Vec<Value>>) -> Predicate,
) -> Vec<Predicate> {
    let mut lists: BTreeMap<ColumnIndex, Vec<Vec<Value>>> = BTreeMap::new();
    let mut others = Vec::with_capacity(parts.len());
    for part in parts {
        match &part {
            Predicate::Test(column, test) => match list(test) {
                Some(values) => lists.entry(*column).or_default().push(values),
                None => others.push(part),
            },
            _ => others.push(part),
        }
    }
    others.extend(lists.into_iter().map(|(column, lists)| merge(column, lists)));
    sorted(others)
}

/// The values that every list has.
fn common(lists: Vec<Vec<Value>>) -> Vec<Value> {
    let mut lists = lists.into_iter();
    let mut common = lists.next().unwrap_or_default();
    for list in lists {
        common.retain(|value| list.contains(value));
    }
    common
}

/// `a and (a or b)` is `a`, and `a or (a and b)` likewise: a part goes when one of its own parts stands beside it, or
/// when another part's parts are all among its own.
fn absorbed(parts: Vec<Predicate>, inner: impl Fn(&Predicate) -> &[Predicate]) -> Vec<Predicate> {
    let implied = |part: &Predicate, by: &Predicate| {
        let own = inner(part);
        let others = inner(by);
        own.contains(by)
            || (!others.is_empty() && others.len() < own.len() && others.iter().all(|other| own.contains(other)))
    };
    let kept: Vec<bool> =
        parts.iter().map(|part| !parts.iter().any(|other| other != part && implied(part, other))).collect();
    parts.into_iter().zip(kept).filter_map(|(part, kept)| kept.then_some(part)).collect()
}

fn canonical_values(mut values: Vec<Value>) -> Vec<Value> {
    values.sort_by_cached_key(|value| {
        let mut bytes = Vec::new();
        Value::write(Some(value), &mut bytes);
        bytes
    });
    values.dedup();
    values
}

impl Test {
    /// The test that holds where this one does not, and is unknown where this one is.
    fn opposite(self) -> Result<Self, Self> {
        Ok(match self {
            Self::Eq(value) => Self::Ne(value),
            Self::Ne(value) => Self::Eq(value),
            Self::Gt(value) => Self::Lte(value),
            Self::Gte(value) => Self::Lt(value),
            Self::Lt(value) => Self::Gte(value),
            Self::Lte(value) => Self::Gt(value),
            Self::In(values) => Self::Nin(values),
            Self::Nin(values) => Self::In(values),
            Self::IsNull => Self::IsNotNull,
            Self::IsNotNull => Self::IsNull,
            Self::Prefix(_) | Self::Contains(_) | Self::Has(_) | Self::Search(_) => return Err(self),
        })
    }

    /// The values of which the column has one.
    fn included(&self) -> Option<Vec<Value>> {
        match self {
            Self::Eq(value) => Some(vec![value.clone()]),
            Self::In(values) => Some(values.clone()),
            _ => None,
        }
    }

    /// The values of which the column has none.
    fn excluded(&self) -> Option<Vec<Value>> {
        match self {
            Self::Ne(value) => Some(vec![value.clone()]),
            Self::Nin(values) => Some(values.clone()),
            _ => None,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let one = |tag: u8, value: &Value, out: &mut Vec<u8>| {
            out.push(tag);
            Value::write(Some(value), out);
        };
        let many = |tag: u8, values: &[Value], out: &mut Vec<u8>| {
            out.push(tag);
            out.extend((values.len() as u64).to_le_bytes());
            for value in values {
                Value::write(Some(value), out);
            }
        };
        let text = |tag: u8, text: &String, out: &mut Vec<u8>| {
            out.push(tag);
            out.extend((text.len() as u64).to_le_bytes());
            out.extend(text.as_bytes());
        };
        match self {
            Self::Eq(value) => one(0, value, out),
            Self::Ne(value) => one(1, value, out),
            Self::Gt(value) => one(2, value, out),
            Self::Gte(value) => one(3, value, out),
            Self::Lt(value) => one(4, value, out),
            Self::Lte(value) => one(5, value, out),
            Self::In(values) => many(6, values, out),
            Self::Nin(values) => many(7, values, out),
            Self::Prefix(prefix) => text(8, prefix, out),
            Self::Contains(part) => text(9, part, out),
            Self::IsNull => out.push(10),
            Self::IsNotNull => out.push(11),
            Self::Has(element) => text(12, element, out),
            Self::Search(words) => {
                out.push(13);
                out.extend((words.len() as u64).to_le_bytes());
                words.iter().for_each(|word| Value::write(Some(&Value::String(word.clone())), out));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two columns of small numbers or null: few enough to try every row.
    const VALUES: [Option<i64>; 5] = [None, Some(0), Some(1), Some(2), Some(3)];

    fn rows() -> impl Iterator<Item = [Option<i64>; 2]> {
        VALUES.into_iter().flat_map(|one| VALUES.into_iter().map(move |other| [one, other]))
    }

    fn number(value: &Value) -> i64 {
        let Value::Int(int) = value else { panic!("{value:?}") };
        *int
    }

    /// What SQL says: true, false, or unknown.
    fn holds(predicate: &Predicate, row: &[Option<i64>; 2]) -> Option<bool> {
        let all = |parts: &[Predicate], decides: bool| {
            let parts: Vec<Option<bool>> = parts.iter().map(|part| holds(part, row)).collect();
            match () {
                () if parts.contains(&Some(decides)) => Some(decides),
                () if parts.contains(&None) => None,
                () => Some(!decides),
            }
        };
        match predicate {
            Predicate::All(parts) => all(parts, false),
            Predicate::Any(parts) => all(parts, true),
            Predicate::Not(part) => holds(part, row).map(|holds| !holds),
            Predicate::Test(column, test) => {
                let value = row[*column];
                match test {
                    Test::IsNull => Some(value.is_none()),
                    Test::IsNotNull => Some(value.is_some()),
                    Test::Eq(other) => value.map(|value| value == number(other)),
                    Test::Ne(other) => value.map(|value| value != number(other)),
                    Test::Gt(other) => value.map(|value| value > number(other)),
                    Test::Gte(other) => value.map(|value| value >= number(other)),
                    Test::Lt(other) => value.map(|value| value < number(other)),
                    Test::Lte(other) => value.map(|value| value <= number(other)),
                    Test::In(others) => value.map(|value| others.iter().any(|other| value == number(other))),
                    Test::Nin(others) => value.map(|value| others.iter().all(|other| value != number(other))),
                    // Stands for every test without an opposite.
                    Test::Contains(text) => value.map(|value| text.contains(&value.to_string())),
                    _ => panic!("{test:?}"),
                }
            }
        }
    }

    fn meaning(predicate: &Predicate) -> Vec<bool> {
        rows().map(|row| holds(predicate, &row) == Some(true)).collect()
    }

    fn tests() -> impl Strategy<Value = Predicate> {
        let value = || (0..4_i64).prop_map(Value::Int);
        let values =
            || prop::collection::btree_set(0..4_i64, 2..4).prop_map(|set| set.into_iter().map(Value::Int).collect());
        let test = prop_oneof![
            value().prop_map(Test::Eq),
            value().prop_map(Test::Ne),
            value().prop_map(Test::Gt),
            value().prop_map(Test::Gte),
            value().prop_map(Test::Lt),
            value().prop_map(Test::Lte),
            values().prop_map(Test::In),
            values().prop_map(Test::Nin),
            Just(Test::IsNull),
            Just(Test::IsNotNull),
            "[0-3]{1,2}".prop_map(Test::Contains),
        ];
        (0..2_usize, test).prop_map(|(column, test)| Predicate::Test(column, test))
    }

    fn predicates() -> impl Strategy<Value = Predicate> {
        tests().prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::All),
                prop::collection::vec(inner.clone(), 0..4).prop_map(Predicate::Any),
                inner.prop_map(|part| Predicate::Not(Box::new(part))),
            ]
        })
    }

    /// The same meaning in other words, chosen by the bits of a seed.
    fn reworded(predicate: Predicate, seed: &mut u64) -> Predicate {
        let mut choose = |of: u64| {
            let choice = *seed % of;
            *seed = seed.rotate_right(3).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            choice
        };
        let how = choose(6);
        let again = choose(2) == 1;
        let all = |mut parts: Vec<Predicate>, seed: &mut u64| {
            parts.reverse();
            if again && !parts.is_empty() {
                parts.push(parts[0].clone());
            }
            parts.into_iter().map(|part| reworded(part, seed)).collect::<Vec<_>>()
        };
        let not = |predicate| Predicate::Not(Box::new(predicate));
        let same = match predicate {
            Predicate::All(parts) if how == 1 => not(Predicate::Any(all(parts, seed).into_iter().map(not).collect())),
            Predicate::Any(parts) if how == 1 => not(Predicate::All(all(parts, seed).into_iter().map(not).collect())),
            Predicate::All(parts) => Predicate::All(all(parts, seed)),
            Predicate::Any(parts) => Predicate::Any(all(parts, seed)),
            Predicate::Not(part) => not(reworded(*part, seed)),
            Predicate::Test(column, Test::In(values)) if how == 2 => {
                Predicate::Any(values.into_iter().map(|value| Predicate::Test(column, Test::Eq(value))).collect())
            }
            Predicate::Test(column, Test::Nin(values)) if how == 2 => {
                Predicate::All(values.into_iter().map(|value| Predicate::Test(column, Test::Ne(value))).collect())
            }
            Predicate::Test(column, Test::Gt(value)) if how == 2 => not(Predicate::Test(column, Test::Lte(value))),
            Predicate::Test(column, Test::IsNull) if how == 2 => not(Predicate::Test(column, Test::IsNotNull)),
            test @ Predicate::Test(..) => test,
        };
        match how {
            3 => not(not(same)),
            4 => Predicate::All(vec![same]),
            5 => Predicate::Any(vec![same, Predicate::Any(Vec::new())]),
            _ => same,
        }
    }

    proptest! {
        #[test]
        fn the_canonical_form_holds_for_the_same_rows(predicate in predicates()) {
            prop_assert_eq!(meaning(&predicate.clone().canonical()), meaning(&predicate));
        }

        #[test]
        fn the_canonical_form_is_its_own(predicate in predicates()) {
            let canonical = predicate.canonical();
            prop_assert_eq!(canonical.clone().canonical(), canonical);
        }

        #[test]
        fn other_words_for_the_same_have_one_canonical_form(predicate in predicates(), mut seed: u64) {
            let other = reworded(predicate.clone(), &mut seed);
            prop_assert_eq!(other.canonical().bytes(), predicate.canonical().bytes());
        }

        #[test]
        fn what_means_something_else_has_another_form(one in predicates(), other in predicates()) {
            if meaning(&one) != meaning(&other) {
                prop_assert_ne!(one.canonical().bytes(), other.canonical().bytes());
            }
        }
    }
}
