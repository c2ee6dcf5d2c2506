//! The shared pointer to what is current.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use super::version::Versions;

/// What is current, as this process last heard. A watcher moves it; everybody else reads it.
#[derive(Clone)]
pub struct Pointer(Arc<Inner>);

struct Inner {
    versions: ArcSwap<Versions>,
    /// When the store last answered; `None` where there is no store that could.
    heard: Mutex<Option<Instant>>,
    swapped: watch::Sender<Arc<Versions>>,
    hinted: Notify,
}

impl Pointer {
    /// The pointer of a house without a store: every dataset is live.
    #[must_use]
    pub fn live() -> Self {
        Self::over(Versions::default(), None)
    }

    /// A pointer to what the store has just told.
    #[must_use]
    pub fn to(versions: Versions) -> Self {
        Self::over(versions, Some(crate::clock::instant()))
    }

    fn over(versions: Versions, heard: Option<Instant>) -> Self {
        let versions = Arc::new(versions);
        let (swapped, _) = watch::channel(Arc::clone(&versions));
        let inner =
            Inner { versions: ArcSwap::new(versions), heard: Mutex::new(heard), swapped, hinted: Notify::new() };
        Self(Arc::new(inner))
    }

    /// What is current now.
    #[must_use]
    pub fn load(&self) -> Arc<Versions> {
        self.0.versions.load_full()
    }

    /// How long ago the store was last heard of; nothing where there is none.
    #[must_use]
    pub fn age(&self) -> Duration {
        let heard = *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.map_or(Duration::ZERO, |heard| crate::clock::instant().saturating_duration_since(heard))
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
        *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked);
    }

    /// The store has answered with something new.
    pub(super) fn swap(&self, versions: Versions, asked: Instant) {
        let versions = Arc::new(versions);
        self.0.versions.store(Arc::clone(&versions));
        self.confirm(asked);
        self.0.swapped.send_replace(versions);
    }
}
