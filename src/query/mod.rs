//! What is asked, well-formed, by no one in particular, with nothing looked up yet. Every door writes this one type.

mod page;

pub use crate::catalog::{Comparison, Direction, Filter, Operand};
pub use page::{Cursor, CursorKey, Page};

/// A question about one dataset.
///
/// Aggregates, expansions and text search join as further fields; a plan binds them all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Query {
    /// The dataset's name.
    pub dataset: String,
    /// Fields to return, in this order; all visible ones without it.
    pub select: Option<Vec<String>>,
    /// What rows must meet.
    pub filter: Filter,
    /// The primary key of the one row that is asked for, a literal for each of its columns.
    pub key: Option<Vec<String>>,
    /// Only the newest row for each value of these fields.
    pub latest_by: Vec<String>,
    /// Only what was known then: a date (its end) or a timestamp.
    pub as_of: Option<String>,
    /// The order of rows; the contract's without it.
    pub order: Option<Vec<OrderKey>>,
    /// Which part of the rows.
    pub page: Page,
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
pub const PARTS: [&str; 6] = ["select", "sort", "limit", "cursor", "latest_by", "as_of"];
