//! One flight per key: whoever asks for what is being fetched already waits for that. A flight is a task of its own, so
//! that the first to leave takes nothing from the others, and ends when the last one leaves.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tracing::Instrument as _;

use super::Key;

/// What is being fetched.
pub struct Flights<T>(Arc<Mutex<Board<T>>>);

/// The flights that are under way, each by its number: one that ends takes no later one from the board.
struct Board<T> {
    begun: u64,
    flights: HashMap<Key, (u64, Weak<Flight<T>>)>,
}

impl<T> Board<T> {
    fn end(&mut self, key: &Key, number: u64) {
        if self.flights.get(key).is_some_and(|(other, _)| *other == number) {
            self.flights.remove(key);
        }
    }
}

/// How a flight ended for one who waited.
pub struct Landed<T> {
    /// What was fetched; `None` when the flight ended in a panic.
    pub value: Option<T>,
    /// Whether another had asked first.
    pub coalesced: bool,
}

struct Flight<T> {
    key: Key,
    number: u64,
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
        Self(Arc::new(Mutex::new(Board { begun: 0, flights: HashMap::new() })))
    }
}

impl<T> Flights<T> {
    fn lock(&self) -> MutexGuard<'_, Board<T>> {
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
        let mut board = self.lock();
        if let Some(flight) = board.flights.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return (flight, true);
        }
        board.begun += 1;
        let number = board.begun;
        let (sender, value) = watch::channel(None);
        let fetched = start();
        let others = self.clone();
        let task = tokio::spawn(
            async move {
                let value = fetched.await;
                // Whoever comes now looks for what was kept.
                others.lock().end(&key, number);
                sender.send_replace(Some(value));
            }
            .in_current_span(),
        );
        let flight = Arc::new(Flight { key, number, flights: self.clone(), value, task: task.abort_handle() });
        board.flights.insert(key, (number, Arc::downgrade(&flight)));
        (flight, false)
    }
}

impl<T> Drop for Flight<T> {
    fn drop(&mut self) {
        self.task.abort();
        self.flights.lock().end(&self.key, self.number);
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
        assert!(flights.lock().flights.is_empty());
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
        assert!(flights.lock().flights.is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_told_to_all_and_the_key_is_free_again() {
        let flights: Flights<u8> = Flights::default();
        let landed = flights.join(KEY, || async { panic!("a bug") }).await;
        assert_eq!(landed.value, None);
        assert_eq!(flights.join(KEY, || std::future::ready(1)).await.value, Some(1));
    }
}
