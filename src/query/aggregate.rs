//! What is asked of groups of rows: what makes a group, what is measured in it, and which groups are wanted.

use crate::catalog::{Bucket, Filter, Function};

/// A question about groups of rows rather than rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Aggregate {
    /// What makes a group, and what is measured.
    pub of: Grouping,
    /// What groups must meet: comparisons of their fields, by the names that the answer gives them.
    pub having: Filter,
}

/// What makes a group, and what is measured in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Grouping {
    /// As the question says. Without a group, all rows are one.
    Fields {
        /// What makes a group.
        group_by: Vec<Group>,
        /// What is measured.
        measures: Vec<Measure>,
    },
    /// Bars of a longer interval: first open, greatest high, least low, last close, summed volume.
    Resample(Bucket),
}

/// A field that makes groups, whole or by intervals.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The field.
    pub field: String,
    /// The intervals of a date or a timestamp.
    pub bucket: Option<Bucket>,
}

impl Group {
    /// The group's name in the answer: `symbol`, `date_month`.
    #[must_use]
    pub fn name(&self) -> String {
        match self.bucket {
            Some(bucket) => format!("{}_{}", self.field, bucket.as_str()),
            None => self.field.clone(),
        }
    }
}

/// A function of the values of a field in a group, or of its rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Measure {
    /// The function.
    pub function: Function,
    /// The field; `count()` alone has none.
    pub field: Option<String>,
}

impl Measure {
    /// The measure's name in the answer: `avg_close`, `count`.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.field {
            Some(field) => format!("{}_{field}", self.function.as_str()),
            None => self.function.as_str().to_owned(),
        }
    }
}
