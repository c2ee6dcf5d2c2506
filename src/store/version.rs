//! Versions of datasets, and what is current of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use uuid::Uuid;

use crate::name::{Name, Relation};

/// The name of a version that nothing else ever had. Random, so that a store that is made anew cannot collide with the
/// one before it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionId(pub Uuid);

impl VersionId {
    /// One that nobody has.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl std::fmt::Display for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::fmt::Debug for VersionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VersionId({self})")
    }
}

/// What was published of a dataset at one time: a relation that is never written again.
#[derive(Clone, PartialEq, Debug)]
pub struct Version {
    /// Its name.
    pub id: VersionId,
    /// Of which dataset.
    pub dataset: Name,
    /// The how manieth of that dataset, from 1.
    pub number: u64,
    /// Where it stands in the dataset's source.
    pub relation: Relation,
    /// When it was published.
    pub published_at: Timestamp,
    /// The day up to which its data reaches.
    pub data_through: Option<Date>,
    /// How many rows it has.
    pub rows: u64,
    /// What was found out about the relation, as a JSON object.
    pub statistics: String,
    /// The checks that it passed, as a JSON list.
    pub checks: String,
    /// The SHA-256 of the contract that it was published under.
    pub contract: String,
    /// Who published it.
    pub operator: String,
    /// The version whose relation it serves again.
    pub rollback_of: Option<u64>,
    /// When the next one took its place.
    pub retired_at: Option<Timestamp>,
    /// When its relation was given up.
    pub dropped_at: Option<Timestamp>,
}

impl Version {
    /// Whether its relation is still there to be read.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.dropped_at.is_none()
    }

    /// Whether it was published no longer ago than this.
    #[must_use]
    pub fn is_younger_than(&self, max_age: Duration) -> bool {
        let age = crate::clock::now().duration_since(self.published_at);
        age.as_secs() <= i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX)
    }
}

/// What is current, of every dataset, and what was before: a snapshot that is swapped whole.
#[derive(Clone, Default, Debug)]
pub struct Versions(BTreeMap<Name, History>);

/// The versions of one dataset.
#[derive(Clone, Default, Debug)]
struct History {
    current: Option<Arc<Version>>,
    /// Newest first.
    all: Vec<Arc<Version>>,
}

impl Versions {
    /// A snapshot of those versions, and the ids of those that are current.
    #[must_use]
    pub fn new(versions: impl IntoIterator<Item = Version>, current: &[VersionId]) -> Self {
        let mut histories: BTreeMap<Name, History> = BTreeMap::new();
        for version in versions {
            let history = histories.entry(version.dataset.clone()).or_default();
            let version = Arc::new(version);
            if current.contains(&version.id) {
                history.current = Some(Arc::clone(&version));
            }
            history.all.push(version);
        }
        for history in histories.values_mut() {
            history.all.sort_by_key(|version| std::cmp::Reverse(version.number));
        }
        Self(histories)
    }

    /// The current version of a dataset; `None` while it is live.
    #[must_use]
    pub fn of(&self, dataset: &str) -> Option<&Arc<Version>> {
        self.0.get(dataset)?.current.as_ref()
    }

    /// The version of a dataset with that id, while its relation is kept.
    #[must_use]
    pub fn kept(&self, dataset: &str, id: VersionId) -> Option<&Arc<Version>> {
        self.history(dataset).iter().find(|version| version.id == id && version.is_kept())
    }

    /// The versions of a dataset that the store still tells of, newest first.
    #[must_use]
    pub fn history(&self, dataset: &str) -> &[Arc<Version>] {
        self.0.get(dataset).map_or(&[], |history| &history.all)
    }

    /// The relations that versions have, of every dataset.
    pub fn relations(&self) -> impl Iterator<Item = &Relation> {
        self.0.values().flat_map(|history| &history.all).map(|version| &version.relation)
    }

    /// The current version of every dataset that has one, in the order of names.
    pub fn current(&self) -> impl Iterator<Item = &Arc<Version>> {
        self.0.values().filter_map(|history| history.current.as_ref())
    }
}
