//! What is asked, well-formed, by no one in particular, with nothing looked up yet. Every door writes this one type.

mod aggregate;
mod page;

pub use crate::catalog::{Bucket, Comparison, Direction, Filter, Function, Operand, Operator, Revision};
pub use aggregate::{Aggregate, Group, Grouping, Measure};
pub use page::{Cursor, CursorKey, Limit, Page};

/// Connectives of a filter inside each other at most. Doors bound their recursion by it, the plan every question.
pub const FILTER_DEPTH_MAX: usize = 8;
/// Expansions inside each other at most.
pub const EXPAND_DEPTH_MAX: usize = 3;

/// A question about one dataset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// The dataset's name.
    pub dataset: String,
    /// Fields to return, in this order; all visible ones without it.
    pub select: Option<Vec<String>>,
    /// What rows must meet.
    pub filter: Filter,
    /// Words that rows must have in a searchable field.
    pub search: Option<String>,
    /// The primary key of the one row that is asked for, a literal for each of its columns.
    pub key: Option<Vec<String>>,
    /// Only the newest row for each value of these fields.
    pub latest_by: Vec<String>,
    /// Only what was known then: a date (its end) or a timestamp.
    pub as_of: Option<String>,
    /// Which of the revisions of a fact; all without it, and the newest with `as_of`.
    pub revision: Option<Revision>,
    /// Groups of rows rather than rows.
    pub aggregate: Option<Aggregate>,
    /// Rows of other datasets that come with each row.
    pub expand: Vec<Expansion>,
    /// The order of rows; the contract's without it.
    pub order: Option<Vec<OrderKey>>,
    /// Which part of the rows.
    pub page: Page,
    /// Whether to count all of them.
    pub count: Count,
    /// The IANA time zone of timestamps in the answer and of the days of groups; UTC without it.
    pub tz: Option<String>,
}

/// Whether all rows are counted, not only those of the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Count {
    /// They are not.
    #[default]
    None,
    /// As the database guesses.
    Estimated,
    /// One by one, as far as its time allows.
    Exact,
}

impl Count {
    /// Every choice, with its name.
    pub const ALL: [(&'static str, Self); 3] =
        [("none", Self::None), ("estimated", Self::Estimated), ("exact", Self::Exact)];
}

/// Rows of a related dataset that come with each row.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Expansion {
    /// The relation's name in the contract.
    pub relation: String,
    /// What the related rows are called in the answer, where that is not the relation's own name: one relation may be
    /// asked twice, under two names.
    pub alias: Option<String>,
    /// Fields of the related rows; all visible ones without it.
    pub select: Option<Vec<String>>,
    /// What related rows must meet.
    pub filter: Filter,
    /// Their order; the related contract's without it.
    pub order: Option<Vec<OrderKey>>,
    /// Related rows for each row at most.
    pub limit: Option<u64>,
    /// What comes with each of them.
    pub expand: Vec<Expansion>,
}

impl Expansion {
    /// What the related rows are called in the answer.
    #[must_use]
    pub fn name(&self) -> &str {
        self.alias.as_ref().unwrap_or(&self.relation)
    }
}

/// One key of an order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OrderKey {
    /// The field.
    pub field: String,
    /// Which end comes first.
    pub direction: Direction,
    /// Where nulls stand; null sorts greatest without it.
    pub nulls: Option<Nulls>,
}

/// Where nulls stand in an order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Nulls {
    /// Before every value.
    First,
    /// After every value.
    Last,
}

/// The names of a question's own parts, the same in every door: what a misspelt one may have meant.
pub const PARTS: [&str; 19] = [
    "select",
    "sort",
    "limit",
    "cursor",
    "latest_by",
    "as_of",
    "revision",
    "expand",
    "count",
    "search",
    "tz",
    "or",
    "and",
    "not",
    "group_by",
    "measures",
    "having",
    "resample",
    "dry_run",
];
