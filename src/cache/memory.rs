//! Answers in memory, weighed in bytes; each packed form is an entry of its own weight.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::notification::RemovalCause;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

use super::{Entry, Key, Tier};
use crate::bounded::Bounded;
use crate::config;
use crate::encode::Coding;

/// Last answers that are known by question; each is two keys.
const LATEST_MAX: u64 = 100_000;

/// Answers in memory.
#[derive(Clone)]
pub struct Memory {
    entries: Cache<(Key, Coding), Held>,
    /// The key under which a question was answered last, whatever the version.
    latest: Bounded<Key, Key>,
    entry_max: u64,
}

#[derive(Clone)]
struct Held {
    entry: Arc<Entry>,
    /// For how long after it came in; for good without it.
    keep: Option<Duration>,
}

/// An entry is kept as long as it says, wherever it comes from.
struct Kept;

impl Expiry<(Key, Coding), Held> for Kept {
    fn expire_after_create(&self, _: &(Key, Coding), held: &Held, _: Instant) -> Option<Duration> {
        held.keep
    }

    fn expire_after_update(&self, _: &(Key, Coding), held: &Held, _: Instant, _: Option<Duration>) -> Option<Duration> {
        held.keep
    }
}

impl Memory {
    /// An empty memory.
    #[must_use]
    pub fn new(config: &config::Cache) -> Self {
        let weigher = |_: &(Key, Coding), held: &Held| u32::try_from(held.entry.weight()).unwrap_or(u32::MAX);
        let removed = |_: Arc<(Key, Coding)>, held: Held, cause: RemovalCause| {
            held.entry.tally.forgotten(held.entry.weight(), cause == RemovalCause::Size);
        };
        let entries = Cache::builder()
            .max_capacity(config.bodies())
            .weigher(weigher)
            .eviction_policy(EvictionPolicy::lru())
            .expire_after(Kept)
            .eviction_listener(removed)
            .build();
        Self { entries, latest: Bounded::new(LATEST_MAX, |_, _| 1), entry_max: config.entry_max.min(config.bodies()) }
    }

    /// The answer under a key.
    #[must_use]
    pub fn get(&self, key: Key, coding: Coding) -> Option<Arc<Entry>> {
        self.entries.get(&(key, coding)).map(|held| held.entry)
    }

    /// Keeps an answer, unless it is too large; returns whether it is kept.
    pub fn put(&self, key: Key, coding: Coding, entry: Arc<Entry>, keep: Option<Duration>) -> bool {
        if entry.weight() > self.entry_max {
            return false;
        }
        entry.tally.kept(Tier::Memory, entry.weight());
        self.entries.insert((key, coding), Held { entry, keep });
        true
    }

    /// Notes under which key a question was answered last.
    pub fn note(&self, question: Key, key: Key) {
        self.latest.insert(question, key);
    }

    /// The last answer to a question, whatever the version, as far as it is still here.
    #[must_use]
    pub fn latest(&self, question: Key) -> Option<Arc<Entry>> {
        self.get(self.latest.get(&question)?, Coding::Identity)
    }
}
