//! A bounded door to a pool: so many in, so many waiting, for so long. One more hears at once that there is no room.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Error;

#[derive(Clone)]
pub(super) struct Gate {
    room: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    waiting_max: usize,
    patience: Duration,
}

impl Gate {
    pub(super) fn new(connections_max: u32, waiting_max: usize, patience: Duration) -> Self {
        let room = usize::try_from(connections_max).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        Self { room: Arc::new(Semaphore::new(room)), waiting: Arc::default(), waiting_max, patience }
    }

    /// A place, as soon as there is one.
    pub(super) async fn enter(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting, self.waiting_max).ok_or(Error::Busy)?;
        match tokio::time::timeout(self.patience, Arc::clone(&self.room).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // The semaphore is never closed; a timeout is the only way here.
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}

/// A place in the queue, given back when dropped: a caller that goes away leaves no gap.
struct Place<'g>(&'g AtomicUsize);

impl<'g> Place<'g> {
    fn take(waiting: &'g AtomicUsize, max: usize) -> Option<Self> {
        let before = waiting.fetch_add(1, Ordering::Relaxed);
        let place = Self(waiting);
        (before < max).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_a_place_is_given_back() {
        let gate = Gate::new(1, 0, Duration::from_secs(60));
        let inside = gate.enter().await.expect("room");
        assert!(matches!(gate.enter().await, Err(Error::Busy)));
        drop(inside);
        drop(gate.enter().await.expect("room again"));
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}
