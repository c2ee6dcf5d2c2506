//! What is served: contracts read from YAML and compiled to datasets with resolved columns and types.
//!
//! The catalog knows nothing of roles, requests or databases. Nobody above `plan` answers a question from it: what a
//! caller may know of a dataset is a plan's view.

mod contract;
mod dataset;
mod filter;
mod load;
mod time;
mod types;
pub mod yaml;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

pub use crate::name::{NAME_BYTES_MAX, Name, NameError, Relation};
pub use contract::{Cache, Retention, Sla};
pub use dataset::{
    Bars, Check, Column, ColumnIndex, Dataset, Deprecation, Direction, Family, Lineage, PointInTime,
    RELATION_COLUMNS_MAX, RelationKind, Relationship,
};
pub use filter::{Comparison, Filter, Operand};
pub use load::{compile, load};
pub use time::{Bucket, Revision};
pub use types::{DECIMAL_DIGITS_MAX, Function, Operator, TYPES, Type, TypeError};

/// Names of request parameters, now or in a later version; a column of that name could not be filtered.
pub const RESERVED: [&str; 28] = [
    "select",
    "sort",
    "limit",
    "cursor",
    "latest_by",
    "as_of",
    "revision",
    "expand",
    "format",
    "numbers",
    "shape",
    "guard",
    "tz",
    "count",
    "search",
    "or",
    "and",
    "not",
    "group_by",
    "measures",
    "having",
    "resample",
    "dry_run",
    "explain",
    "access_token",
    "token",
    "api_key",
    "apikey",
];

/// Every dataset, by name.
#[derive(Debug, Default)]
pub struct Catalog {
    datasets: BTreeMap<Name, Arc<Dataset>>,
}

impl Catalog {
    /// The dataset of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Dataset>> {
        self.datasets.get(name)
    }

    /// Every dataset, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Dataset>> {
        self.datasets.values()
    }
}

/// Why there is no catalog.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder cannot be read.
    #[error("read {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The folder holds no contract.
    #[error("find a contract: {} has no *.yaml", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// Files are at fault; the list has each.
    #[error("accept the catalog:\n{}", .0.iter().map(|fault| format!("  {fault}")).collect::<Vec<_>>().join("\n"))]
    Faults(Vec<yaml::Fault>),
}
