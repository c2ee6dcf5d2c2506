//! SQL as a small typed tree, which `render` makes the text of a dialect.
//!
//! Its leaves are static words, names of the catalog, and parameters: a literal of a request has no other place in it.

use crate::catalog::{Direction, Name, Relation, Type};
use crate::plan::Value;

/// What SQLite's full-text table is called, behind the name of the relation that it serves.
pub(super) const SEARCH_TABLE: &str = "__search";

/// Which database's SQL is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// ClickHouse 24.8 and later.
    ClickHouse,
    /// PostgreSQL 13 and later.
    Postgres,
    /// SQLite 3.37 and later (strict tables).
    Sqlite,
}

impl Dialect {
    /// The database's name, as its URL has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClickHouse => "clickhouse",
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// A literal on its way to the database, bound to a placeholder.
#[derive(Clone, PartialEq, Debug)]
pub enum Parameter {
    /// One value of the type.
    One(Type, Value),
    /// A list of values of the type, for databases that take lists.
    Many(Type, Vec<Value>),
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(data_type, value) => write!(f, "{data_type} {}", value.shown(*data_type)),
            Self::Many(data_type, values) => {
                let values: Vec<String> = values.iter().map(|value| value.shown(*data_type)).collect();
                write!(f, "{data_type}[] {}", values.join(", "))
            }
        }
    }
}

/// Rendered SQL and its parameters in the order of their placeholders.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    /// The text.
    pub text: String,
    /// What is bound.
    pub parameters: Vec<Parameter>,
    /// Whether a plan for these parameters may be far better than one for any.
    pub planned_anew: bool,
    /// Whether its rows must be added up in one order each time: a page that is ordered by a sum of doubles goes on where
    /// it ended only if their last bit is the same.
    pub steady: bool,
}

/// `SELECT … FROM … WHERE … GROUP BY … ORDER BY … LIMIT …`.
#[derive(Clone, Default)]
pub(super) struct Select<'p> {
    /// Postgres' `DISTINCT ON (…)`: empty for none.
    pub(super) distinct_on: Vec<Expr<'p>>,
    pub(super) columns: Vec<Expr<'p>>,
    pub(super) from: From<'p>,
    pub(super) filter: Expr<'p>,
    /// How many of the columns, the first ones, make groups.
    pub(super) groups: usize,
    pub(super) order: Vec<Order<'p>>,
    /// ClickHouse's `LIMIT … BY …`: so many rows of those that agree, the first in the order.
    pub(super) limit_by: Option<(Limit, Vec<Expr<'p>>)>,
    pub(super) limit: Option<Limit>,
}

/// How many rows at most.
#[derive(Clone)]
pub(super) enum Limit {
    One,
    Bound(Parameter),
    /// So many, or some more where another select cuts them: the least of [`STEPS`] that is enough, as a word. Postgres
    /// keeps a plan for all parameters only where it costs no more than one made for these, and of a limit that is a
    /// parameter it assumes a tenth of the rows.
    AtLeast(Parameter),
    /// Exactly so many, for the same reason as a word where they are few.
    Few(Parameter),
}

#[derive(Clone, Default)]
pub(super) enum From<'p> {
    /// One row without columns.
    #[default]
    Nothing,
    Relation(&'p Relation),
    /// The words of a column, in SQLite: a full-text table beside the relation.
    SearchTable(&'p Relation),
    /// SQLite: the elements of a JSON list.
    Rows(Expr<'p>),
    /// A subquery and the word that it goes by.
    Select(Box<Select<'p>>, &'static str),
    /// Two subqueries, the words that they go by, and what rows of both have in common.
    Joined(Box<[Select<'p>; 2]>, [&'static str; 2], Join, Box<Expr<'p>>),
    /// The rows of both subqueries, and the word that they go by.
    Either(Box<[Select<'p>; 2]>, &'static str),
    /// Postgres: a subquery for each key, which it knows as [`Expr::Key`], and the word that it goes by.
    Each(Keys<'p>, Box<Select<'p>>, &'static str),
}

/// Which rows without a counterpart a join has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// Those of the left side.
    Left,
    /// Those of both.
    Full,
}

/// Where the keys of [`From::Each`] come from.
#[derive(Clone)]
pub(super) enum Keys<'p> {
    /// They are given, a list for each of their columns.
    Given(Vec<Parameter>),
    /// The different values of a column, found by going from each to the next in an index.
    Walked(&'p Relation, Expr<'p>),
}

/// A key of `ORDER BY`.
#[derive(Clone)]
pub(super) struct Order<'p> {
    pub(super) by: Expr<'p>,
    pub(super) direction: Direction,
    /// Where nulls stand, if there can be any.
    pub(super) nulls_first: Option<bool>,
}

#[derive(Clone)]
pub(super) enum Expr<'p> {
    Column(&'p Name),
    /// A column of the side that goes by that word.
    Of(&'static str, &'p Name),
    /// A column of ours in an inner select. No name of a catalog begins with an underscore.
    Inner(&'static str, usize),
    /// That column of the keys of [`From::Each`], counted from one.
    Key(usize),
    Bind(Parameter),
    /// The whole of SQLite's full-text table beside the relation.
    SearchTable(&'p Relation),
    /// The expression by another name.
    Named(Box<Expr<'p>>, &'p Name),
    /// The expression by a name of ours.
    NamedInner(Box<Expr<'p>>, &'static str, usize),
    /// Words of SQL around expressions.
    Words(Vec<Part<'p>>),
    /// The expression under bytewise collation.
    Bytewise(Box<Expr<'p>>),
    /// `left operator right`; lists of more than one are row values.
    Compare(Vec<Expr<'p>>, Compare, Vec<Expr<'p>>),
    /// `left IN (…)`, or `NOT IN`.
    In {
        left: Box<Expr<'p>>,
        data_type: Type,
        values: Vec<Value>,
        not: bool,
    },
    /// `left IN (SELECT …)`; a list of more than one is a row value.
    Among(Vec<Expr<'p>>, Box<Select<'p>>),
    IsNull(Box<Expr<'p>>),
    IsNotNull(Box<Expr<'p>>),
    /// The text has the other in it.
    Contains(Box<Expr<'p>>, Parameter),
    /// The list has the element.
    Has(Box<Expr<'p>>, Parameter),
    /// The empty conjunction is true.
    And(Vec<Expr<'p>>),
    /// The empty disjunction is false.
    Or(Vec<Expr<'p>>),
    Not(Box<Expr<'p>>),
    /// A window function over the rows that agree in the partition, in an order.
    Over {
        function: Box<Expr<'p>>,
        partition: Vec<Expr<'p>>,
        order: Vec<Order<'p>>,
    },
}

/// A piece of [`Expr::Words`].
#[derive(Clone)]
pub(super) enum Part<'p> {
    Word(&'static str),
    Expr(Expr<'p>),
    /// A number that a contract's type has.
    Number(u8),
}

impl Default for Expr<'_> {
    fn default() -> Self {
        Self::And(Vec::new())
    }
}

impl<'p> Expr<'p> {
    /// Words alone.
    pub(super) fn word(word: &'static str) -> Self {
        Self::Words(vec![Part::Word(word)])
    }

    /// The expression between words.
    pub(super) fn between(before: &'static str, expr: Self, after: &'static str) -> Self {
        Self::Words(vec![Part::Word(before), Part::Expr(expr), Part::Word(after)])
    }

    /// Both hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::And(none), other) if none.is_empty() => other,
            (one, Self::And(none)) if none.is_empty() => one,
            (Self::And(mut parts), other) => {
                parts.push(other);
                Self::And(parts)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
}
