//! A dataset as its contract means it: every name resolved to a column, every type known.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Cache, Function, Name, Operator, Relation, Retention, Sla, Type};

/// A column's place in [`Dataset::columns`].
pub type ColumnIndex = usize;

/// The six families of investor data.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Who a company is.
    Profile,
    /// What it reported.
    Fundamental,
    /// How its price moved.
    Technical,
    /// What was written about it.
    News,
    /// What people said about it.
    Social,
    /// What was derived from the others.
    Signal,
}

/// A mart or a signal that Martello serves.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name in URLs and schemas.
    pub name: Name,
    /// Its family.
    pub family: Family,
    /// A short title for people.
    pub title: String,
    /// What it holds.
    pub description: String,
    /// Whom to ask.
    pub owner: String,
    /// The named source that holds it.
    pub source: Name,
    /// Where it stands in that source.
    pub relation: Relation,
    /// The columns of its primary key, in order.
    pub primary_key: Vec<ColumnIndex>,
    /// The order of rows when a question names none.
    pub default_order: Vec<(ColumnIndex, Direction)>,
    /// The column that history windows bind.
    pub time: Option<ColumnIndex>,
    /// How revisions are told apart.
    pub point_in_time: Option<PointInTime>,
    /// The columns of price bars, where rows are such: what resampling reads.
    pub bars: Option<Bars>,
    /// Every served column, in the contract's order.
    pub columns: Vec<Column>,
    /// Datasets that rows lead to.
    pub relations: Vec<Relationship>,
    /// What is promised.
    pub sla: Sla,
    /// What gates a publish.
    pub checks: Vec<Check>,
    /// What it is derived from.
    pub lineage: Lineage,
    /// Since when it is on its way out.
    pub deprecation: Option<Deprecation>,
    /// How long answers may be kept.
    pub cache: Cache,
    /// Which versions are kept.
    pub versions: Retention,
    /// The SHA-256 of the contract as it stands in its file, in hexadecimal: what a copy of the data was made under.
    pub contract: String,
    pub(super) by_name: HashMap<Name, ColumnIndex>,
}

impl Dataset {
    /// The place of the column with that name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<ColumnIndex> {
        self.by_name.get(name).copied()
    }

    /// The same dataset, as it stands in another relation of its source.
    #[must_use]
    pub fn over(&self, relation: Relation) -> Self {
        Self { relation, ..self.clone() }
    }

    /// Whether `search` reads any of its columns.
    #[must_use]
    pub fn is_searchable(&self) -> bool {
        self.columns.iter().any(|column| column.searchable)
    }
}

/// Which end of an order comes first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Direction {
    /// Least first.
    Ascending,
    /// Greatest first.
    Descending,
}

/// One served column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its name in every door and encoding.
    pub name: Name,
    /// Its type.
    pub data_type: Type,
    /// Whether it may be null.
    pub nullable: bool,
    /// The unit of its values, as text.
    pub unit: Option<String>,
    /// What it means.
    pub description: String,
    /// A value that occurs.
    pub example: Option<serde_json::Value>,
    /// The operators that a filter may use.
    pub filter: Vec<Operator>,
    /// Whether rows may be ordered by it.
    pub sort: bool,
    /// The functions that an aggregate may use.
    pub aggregate: Vec<Function>,
    /// Whether `search` reads it.
    pub searchable: bool,
}

/// How revisions of one fact are told apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PointInTime {
    /// When a row became known.
    pub known_at: ColumnIndex,
    /// What makes two rows revisions of one fact.
    pub identity: Vec<ColumnIndex>,
    /// The period that the fact is about.
    pub period: ColumnIndex,
}

/// The columns of a price bar. Bars of a longer interval have the first open, the greatest high, the least low, the
/// last close and the summed volume.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bars {
    /// The first price.
    pub open: ColumnIndex,
    /// The highest price.
    pub high: ColumnIndex,
    /// The lowest price.
    pub low: ColumnIndex,
    /// The last price.
    pub close: ColumnIndex,
    /// What changed hands.
    pub volume: Option<ColumnIndex>,
}

impl Bars {
    /// Each column and the function that makes it in a longer bar, in the order of the answer.
    pub fn measures(&self) -> impl Iterator<Item = (ColumnIndex, Function)> {
        let prices = [
            (self.open, Function::First),
            (self.high, Function::Max),
            (self.low, Function::Min),
            (self.close, Function::Last),
        ];
        prices.into_iter().chain(self.volume.map(|volume| (volume, Function::Sum)))
    }
}

/// Whether a row leads to one row or to many.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RelationKind {
    /// At most one.
    One,
    /// Any number.
    Many,
}

/// Columns that a relation may be on: more than any key has.
pub const RELATION_COLUMNS_MAX: usize = 8;

/// A path from rows of one dataset to rows of another.
#[derive(Clone, Debug)]
pub struct Relationship {
    /// The path's name.
    pub name: Name,
    /// Where it leads.
    pub dataset: Name,
    /// To how many.
    pub kind: RelationKind,
    /// Pairs of this dataset's column and the other's column of the same type.
    pub on: Vec<(ColumnIndex, Name)>,
    /// What it means.
    pub description: String,
}

/// A condition that a relation must meet before it is published.
#[derive(Clone, Debug)]
pub enum Check {
    /// The columns have no null.
    NotNull(Vec<ColumnIndex>),
    /// No two rows agree in all of the columns.
    Unique(Vec<ColumnIndex>),
    /// Every value that is not null lies in the closed range.
    Range {
        /// Whose values.
        column: ColumnIndex,
        /// The least that is allowed.
        min: Option<serde_json::Number>,
        /// The greatest that is allowed.
        max: Option<serde_json::Number>,
    },
    /// The relation has so many rows.
    RowCount {
        /// At least.
        min: Option<u64>,
        /// At most.
        max: Option<u64>,
    },
    /// The greatest value is not older than this.
    Freshness {
        /// A date or timestamp.
        column: ColumnIndex,
        /// How old it may be.
        max_age: Duration,
    },
}

/// Where a dataset comes from.
#[derive(Clone, Debug)]
pub struct Lineage {
    /// Datasets of the same catalog.
    pub derived_from: Vec<Name>,
    /// Anything else, in prose.
    pub description: String,
}

/// A dataset on its way out (RFC 9745, RFC 8594).
#[derive(Clone, Debug)]
pub struct Deprecation {
    /// The day from which it is deprecated.
    pub since: jiff::civil::Date,
    /// The day on which it goes.
    pub sunset: Option<jiff::civil::Date>,
    /// What to use instead.
    pub replacement: Option<Name>,
}
