//! Keeps the pointer: asks the store again and again, and at once when something says that it has changed.
//!
//! Only the asking counts. An announcement that is lost, late or false costs nothing but one poll's time.

use std::time::Duration;

use sqlx::postgres::PgListener;

use super::pointer::Pointer;
use super::{CHANNEL, Epoch, Error, Kind, Store};
use crate::telemetry;

/// Every instance knows of a publish within a second: this, one statement, and as much again to spare.
const POLL: Duration = Duration::from_millis(500);
/// A listener that was cut tries again after so long; the poll goes on meanwhile.
const LISTEN_AGAIN: Duration = Duration::from_secs(1);

/// The task that keeps a [`Pointer`].
pub struct Watcher {
    store: Store,
    pointer: Pointer,
    epoch: Option<Epoch>,
    /// Whether the last look failed: a store that stays down is told of once.
    down: bool,
}

impl Watcher {
    /// Looks into the store once, and begins with what it tells. A store that does not answer now may answer later:
    /// until then every dataset is unknown to be published, so the start fails.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn begin(store: Store) -> Result<Self, Error> {
        let (epoch, versions) = store.look(None).await?;
        let pointer = Pointer::to(versions.unwrap_or_default());
        let watcher = Self { store, pointer, epoch: Some(epoch), down: false };
        watcher.measure();
        Ok(watcher)
    }

    /// The pointer that it keeps.
    #[must_use]
    pub fn pointer(&self) -> Pointer {
        self.pointer.clone()
    }

    /// Keeps the pointer for as long as it is polled.
    pub async fn run(mut self) {
        let pointer = self.pointer.clone();
        let listening = match &self.store.0 {
            Kind::Postgres(pool) => Some(listen(pool.clone(), pointer.clone())),
            Kind::Sqlite(_) => None,
        };
        let listening = async {
            match listening {
                Some(listening) => listening.await,
                None => std::future::pending().await,
            }
        };
        let looking = async {
            loop {
                // A hint that comes while the store is asked is kept for the next round.
                let _ = tokio::time::timeout(POLL, pointer.hinted()).await;
                self.turn().await;
            }
        };
        tokio::join!(listening, looking);
    }

    /// Asks the store once. When it does not answer, the last that it told holds.
    async fn turn(&mut self) {
        let asked = crate::clock::instant();
        match self.store.look(self.epoch).await {
            Ok((epoch, versions)) => {
                if std::mem::take(&mut self.down) {
                    tracing::info!("the control store answers again");
                }
                self.epoch = Some(epoch);
                match versions {
                    Some(versions) => self.pointer.swap(versions, asked),
                    None => self.pointer.confirm(asked),
                }
            }
            Err(error) => {
                metrics::counter!("martello_store_errors_total").increment(1);
                if !std::mem::replace(&mut self.down, true) {
                    tracing::warn!(
                        error = telemetry::chain(&error),
                        "the control store does not answer: what it told last holds"
                    );
                }
            }
        }
        self.measure();
    }

    #[expect(clippy::cast_precision_loss, reason = "a double holds every version that there will be")]
    fn measure(&self) {
        metrics::gauge!("martello_store_age_seconds").set(self.pointer.age().as_secs_f64());
        let now = crate::clock::now();
        for version in self.pointer.load().current() {
            let dataset = version.dataset.to_string();
            let age = now.duration_since(version.published_at).as_secs_f64();
            metrics::gauge!("martello_dataset_version", "dataset" => dataset.clone()).set(version.number as f64);
            metrics::gauge!("martello_dataset_version_age_seconds", "dataset" => dataset).set(age);
        }
    }
}

/// Turns announcements into hints.
async fn listen(pool: sqlx::PgPool, pointer: Pointer) {
    loop {
        let heard = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            // What was announced before is no more to be heard.
            pointer.hint();
            loop {
                listener.recv().await?;
                pointer.hint();
            }
        };
        let Err::<std::convert::Infallible, sqlx::Error>(error) = heard.await;
        tracing::debug!(%error, "announcements of the control store are not heard: it is polled");
        tokio::time::sleep(LISTEN_AGAIN).await;
    }
}
