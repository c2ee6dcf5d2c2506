//! How a relation is read.

use std::collections::BTreeMap;

use super::sql::{Dialect, Expr, Part};
use crate::catalog::ColumnIndex;

/// In whose SQL a relation is read, and which of its columns go through a conversion first, since they are stored
/// otherwise than they are served.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shape {
    /// Whose SQL.
    pub dialect: Dialect,
    conversions: BTreeMap<ColumnIndex, Conversion>,
    digits: BTreeMap<ColumnIndex, Digits>,
}

/// The integer that a decimal is stored as, with exactly the contract's scale. Where many rows are read, it is sent instead:
/// ClickHouse would write each as 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Digits {
    /// Of 32 bits.
    Int32,
    /// Of 64 bits.
    Int64,
}

impl Digits {
    pub(super) fn of(self, stored: Expr<'_>) -> Expr<'_> {
        let function = match self {
            Self::Int32 => "reinterpretAsInt32(",
            Self::Int64 => "reinterpretAsInt64(",
        };
        Expr::between(function, stored, ")")
    }
}

/// What makes a stored value the contract's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conversion {
    /// Names of an enum, an address, a UUID: they sort and compare as texts.
    Text,
    /// Zero has a sign where groups and `LIMIT BY` compare bits; the two are equal.
    Float,
    /// And what is no number is none at all.
    FloatOrNull,
}

impl Shape {
    /// Of a relation whose columns are stored as they are served.
    #[must_use]
    pub fn plain(dialect: Dialect) -> Self {
        Self { dialect, conversions: BTreeMap::new(), digits: BTreeMap::new() }
    }

    /// Of a relation some of whose columns are not.
    #[must_use]
    pub fn converted(dialect: Dialect, conversions: impl IntoIterator<Item = (ColumnIndex, Conversion)>) -> Self {
        Self { conversions: conversions.into_iter().collect(), ..Self::plain(dialect) }
    }

    /// The same, with decimals that are stored as these integers.
    #[must_use]
    pub fn with_digits(self, digits: impl IntoIterator<Item = (ColumnIndex, Digits)>) -> Self {
        Self { digits: digits.into_iter().collect(), ..self }
    }

    pub(super) fn digits(&self, column: ColumnIndex) -> Option<Digits> {
        self.digits.get(&column).copied()
    }

    pub(super) fn conversion(&self, column: ColumnIndex) -> Option<Conversion> {
        self.conversions.get(&column).copied()
    }
}

impl Conversion {
    pub(super) fn of(self, stored: Expr<'_>) -> Expr<'_> {
        match self {
            Self::Text => Expr::between("toString(", stored, ")"),
            Self::Float => Expr::between("", stored, " + 0.0"),
            Self::FloatOrNull => Expr::Words(vec![
                Part::Word("if(isNaN("),
                Part::Expr(stored.clone()),
                Part::Word("), NULL, "),
                Part::Expr(stored),
                Part::Word(" + 0.0)"),
            ]),
        }
    }
}
