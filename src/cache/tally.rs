//! What caches count, by tier and dataset. Handles are made once: finding one by its labels costs as much as a look-up.

use std::collections::HashMap;
use std::sync::Arc;

use metrics::{Counter, Gauge};

/// Where an answer can be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tier {
    /// In memory.
    Memory,
    /// In Redis.
    Shared,
}

/// The figures of one dataset.
pub struct Tally {
    memory: Figures,
    shared: Figures,
    /// Bytes in memory now.
    bytes: Gauge,
    evictions: Counter,
    coalesced: Counter,
}

struct Figures {
    hits: Counter,
    stale: Counter,
    misses: Counter,
    stored_bytes: Counter,
}

impl Figures {
    fn of(tier: &'static str, dataset: &str) -> Self {
        let labels = [("tier", tier.to_owned()), ("dataset", dataset.to_owned())];
        Self {
            hits: metrics::counter!("martello_cache_hits_total", &labels),
            stale: metrics::counter!("martello_cache_stale_total", &labels),
            misses: metrics::counter!("martello_cache_misses_total", &labels),
            stored_bytes: metrics::counter!("martello_cache_stored_bytes_total", &labels),
        }
    }
}

impl Tally {
    /// The figures of a dataset of that name.
    #[must_use]
    pub fn of(dataset: &str) -> Self {
        let labels = [("tier", "l1".to_owned()), ("dataset", dataset.to_owned())];
        Self {
            memory: Figures::of("l1", dataset),
            shared: Figures::of("l2", dataset),
            bytes: metrics::gauge!("martello_cache_bytes", &labels),
            evictions: metrics::counter!("martello_cache_evictions_total", &labels),
            coalesced: metrics::counter!("martello_cache_coalesced_total", "dataset" => dataset.to_owned()),
        }
    }

    fn figures(&self, tier: Tier) -> &Figures {
        match tier {
            Tier::Memory => &self.memory,
            Tier::Shared => &self.shared,
        }
    }

    /// An answer was there.
    pub fn hit(&self, tier: Tier) {
        self.figures(tier).hits.increment(1);
    }

    /// An answer was there that is no longer fresh, and was good enough.
    pub fn stale(&self, tier: Tier) {
        self.figures(tier).stale.increment(1);
    }

    /// No answer was there.
    pub fn miss(&self, tier: Tier) {
        self.figures(tier).misses.increment(1);
    }

    /// A request waited for what another had asked for already.
    pub fn coalesced(&self) {
        self.coalesced.increment(1);
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    pub(super) fn kept(&self, tier: Tier, bytes: u64) {
        self.figures(tier).stored_bytes.increment(bytes);
        if tier == Tier::Memory {
            self.bytes.increment(bytes as f64);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a gauge is a double")]
    pub(super) fn forgotten(&self, bytes: u64, for_room: bool) {
        self.bytes.decrement(bytes as f64);
        if for_room {
            self.evictions.increment(1);
        }
    }
}

/// The figures of every dataset.
pub struct Tallies(HashMap<String, Arc<Tally>>);

impl Tallies {
    /// Figures for datasets of those names.
    #[must_use]
    pub fn new<'n>(datasets: impl Iterator<Item = &'n str>) -> Self {
        Self(datasets.map(|name| (name.to_owned(), Arc::new(Tally::of(name)))).collect())
    }

    /// Those of a dataset; a name that was not there at first counts for itself.
    #[must_use]
    pub fn of(&self, dataset: &str) -> Arc<Tally> {
        self.0.get(dataset).cloned().unwrap_or_else(|| Arc::new(Tally::of(dataset)))
    }
}
