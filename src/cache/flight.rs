//! One flight per key: whoever asks for what is being fetched already waits for that. A flight is a task of its own, so
//! that the first to leave takes nothing from the others, and ends when the last one leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use super::Key;

/// What is being fetched.
pub struct Flights<T>(Arc<Mutex<HashMap<Key, Weak<Flight<T>>>>>);

/// How a flight ended for one who waited.
pub struct Landed<T> {
    /// What was fetched; `None` when the flight ended in a panic.
    pub value: Option<T>,
    /// Whether another had asked first.
    pub coalesced: bool,
}

struct Flight<T> {
    key: Key,
    flights: Flights<T>,
    value: watch::Receiver<Option<T>>,
    task: AbortHandle,
}

impl<T> Clone for Flights<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Flights<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Weak<Flight<T>>>> {
        // Nothing panics while it is held, and the map is whole at any time.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Clone + Send + Sync + 'static> Flights<T> {
    /// Waits for what is fetched under a key, which `start` begins where nobody has. A flight that begins later sees all
    /// that this one has left: what it keeps must be kept before it ends.
    pub async fn join<F>(&self, key: Key, start: impl FnOnce() -> F) -> Landed<T>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let (flight, coalesced) = self.board(key, start);
        let mut value = flight.value.clone();
        // The sender goes without a word only in a panic.
        let value = value.wait_for(Option::is_some).await.ok().and_then(|value| value.clone());
        Landed { value, coalesced }
    }

    fn board<F>(&self, key: Key, start: impl FnOnce() -> F) -> (Arc<Flight<T>>, bool)
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&key).and_then(Weak::upgrade) {
            return (flight, true);
        }
        let (sender, value) = watch::channel(None);
        let fetched = start();
        let others = self.clone();
        let task = tokio::spawn(
            async move {
                let value = fetched.await;
                // Whoever comes now looks for what was kept.
                others.lock().remove(&key);
                sender.send_replace(Some(value));
            }
            .in_current_span(),
        );
        let flight = Arc::new(Flight { key, flights: self.clone(), value, task: task.abort_handle() });
        flights.insert(key, Arc::downgrade(&flight));
        (flight, false)
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.task.abort();
        let mut flights = self.flights.lock();
        // A later flight under the key stays.
        if flights.get(&self.key).is_some_and(|flight| flight.strong_count() == 0) {
            flights.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::oneshot;

    const KEY: Key = Key([7; 16]);

    #[tokio::test]
    async fn all_who_ask_for_one_key_wait_for_one_flight() {
        let flights = Flights::default();
        let begun = Arc::new(AtomicUsize::new(0));
        let (go, gone) = oneshot::channel::<()>();
        let mut gone = Some(gone);
        let waiters: Vec<_> = (0..500)
            .map(|_| {
                let (flights, begun, gone) = (flights.clone(), Arc::clone(&begun), gone.take());
                tokio::spawn(async move {
                    flights
                        .join(KEY, || async move {
                            begun.fetch_add(1, Ordering::SeqCst);
                            gone.expect("the first to ask").await.expect("a sign");
                            42
                        })
                        .await
                })
            })
            .collect();
        tokio::task::yield_now().await;
        go.send(()).expect("a flight");
        let mut coalesced = 0;
        for waiter in waiters {
            let landed = waiter.await.expect("an end");
            assert_eq!(landed.value, Some(42));
            coalesced += usize::from(landed.coalesced);
        }
        assert_eq!((begun.load(Ordering::SeqCst), coalesced), (1, 499));
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_flight_ends_with_the_last_who_waits_and_not_before() {
        let flights: Flights<u8> = Flights::default();
        let (alive, mut ended) = oneshot::channel::<()>();
        let flight = async move {
            let _alive = alive;
            std::future::pending().await
        };
        let mut first = Box::pin(flights.join(KEY, || flight));
        let mut second = Box::pin(flights.join(KEY, std::future::pending));
        assert!(futures_util::poll!(&mut first).is_pending() && futures_util::poll!(&mut second).is_pending());
        drop(first);
        tokio::task::yield_now().await;
        assert_eq!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        drop(second);
        assert!(ended.await.is_err(), "it ended without a word");
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_told_to_all_and_the_key_is_free_again() {
        let flights: Flights<u8> = Flights::default();
        let landed = flights.join(KEY, || async { panic!("a bug") }).await;
        assert_eq!(landed.value, None);
        assert_eq!(flights.join(KEY, || std::future::ready(1)).await.value, Some(1));
    }
}
