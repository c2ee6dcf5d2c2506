//! Filters bound to columns, in one canonical form: equal meanings that differ only in writing become equal here.

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

    /// `x not in (…)`, whatever the number of values.
    pub(super) fn none_of(column: ColumnIndex, values: Vec<Value>) -> Self {
        let mut values = canonical_values(values);
        match values.len() {
            0 => Self::default(),
            1 => Self::Test(column, Test::Ne(values.remove(0))),
            _ => Self::Test(column, Test::Nin(values)),
        }
    }

    /// The canonical form: nested conjunctions are flat, the order of parts is that of their bytes, none stands twice,
    /// and a part alone stands for itself.
    pub(super) fn canonical(self) -> Self {
        match self {
            Self::All(parts) => {
                match flat(parts, |part| if let Self::All(inner) = part { Ok(inner) } else { Err(part) }) {
                    parts if parts.iter().any(|part| *part == Self::Any(Vec::new())) => Self::Any(Vec::new()),
                    mut parts if parts.len() == 1 => parts.remove(0),
                    parts => Self::All(parts),
                }
            }
            Self::Any(parts) => {
                match flat(parts, |part| if let Self::Any(inner) = part { Ok(inner) } else { Err(part) }) {
                    parts if parts.iter().any(Self::is_true) => Self::default(),
                    mut parts if parts.len() == 1 => parts.remove(0),
                    parts => Self::Any(parts),
                }
            }
            Self::Not(part) => match part.canonical() {
                Self::Not(inner) => *inner,
                part => Self::Not(Box::new(part)),
            },
            Self::Test(..) => self,
        }
    }

    /// The parts that must all hold.
    pub(super) fn conjuncts(self) -> Vec<Self> {
        match self {
            Self::All(parts) => parts,
            other => vec![other],
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

/// Canonical parts, with those that `open` unfolds in their place, in the order of their bytes, none twice.
fn flat(parts: Vec<Predicate>, open: impl Fn(Predicate) -> Result<Vec<Predicate>, Predicate>) -> Vec<Predicate> {
    let mut flat: Vec<Predicate> = Vec::with_capacity(parts.len());
    for part in parts {
        match open(part.canonical()) {
            Ok(inner) => flat.extend(inner),
            Err(part) => flat.push(part),
        }
    }
    flat.sort_by_cached_key(Predicate::bytes);
    flat.dedup();
    flat
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
        }
    }
}
