//! The shared pointer to what is current.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::version::Versions;

const NEVER: u64 = u64::MAX;

/// What is current, as this process last heard. A watcher moves it; everybody else reads it.
#[derive(Clone)]
pub struct Pointer(Arc<Inner>);

struct Inner {
    versions: ArcSwap<Versions>,
    begun: Instant,
    /// When the store last answered, in microseconds since `begun`; [`NEVER`] where there is no store that could.
    heard: AtomicU64,
    swapped: watch::Sender<Arc<Versions>>,
    hinted: Notify,
}

impl Pointer {
    /// The pointer of a house without a store: every dataset is live.
    #[must_use]
    pub fn live() -> Self {
        Self::over(Versions::default(), NEVER)
    }

    /// A pointer to what the store has just told.
    #[must_use]
    pub fn to(versions: Versions) -> Self {
        Self::over(versions, 0)
    }

    fn over(versions: Versions, heard: u64) -> Self {
        let versions = Arc::new(versions);
        let (swapped, _) = watch::channel(Arc::clone(&versions));
        Self(Arc::new(Inner {
            versions: ArcSwap::new(versions),
            begun: crate::clock::instant(),
            heard: AtomicU64::new(heard),
            swapped,
            hinted: Notify::new(),
        }))
    }

    /// What is current now.
    #[must_use]
    pub fn load(&self) -> Arc<Versions> {
        self.0.versions.load_full()
    }

    /// Whether that is what is current now. A pointer that is kept lets no other snapshot come to the same place.
    #[must_use]
    pub fn is(&self, versions: &Weak<Versions>) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.0.versions.load()), versions.as_ptr())
    }

    /// How long ago the store was last heard of; nothing where there is none.
    #[must_use]
    pub fn age(&self) -> Duration {
        match self.0.heard.load(Ordering::Relaxed) {
            NEVER => Duration::ZERO,
            heard => self.0.begun.elapsed().saturating_sub(Duration::from_micros(heard)),
        }
    }

    /// Every snapshot from now on; one that is overtaken by the next may be missed.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<Versions>> {
        self.0.swapped.subscribe()
    }

    /// Says that something may have changed, so that the store is asked at once and not with the next poll.
    pub fn hint(&self) {
        self.0.hinted.notify_one();
    }

    /// Waits for a hint; one that came before is not lost.
    pub(super) async fn hinted(&self) {
        self.0.hinted.notified().await;
    }

    /// The store has answered, with what was known already.
    pub(super) fn confirm(&self, asked: Instant) {
        let heard = asked.saturating_duration_since(self.0.begun).as_micros();
        self.0.heard.store(u64::try_from(heard).unwrap_or(0), Ordering::Relaxed);
    }

    /// The store has answered with something new.
    pub(super) fn swap(&self, versions: Versions, asked: Instant) {
        let versions = Arc::new(versions);
        self.0.versions.store(Arc::clone(&versions));
        self.confirm(asked);
        self.0.swapped.send_replace(versions);
    }
}
