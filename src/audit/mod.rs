//! The audit: one event for each access to data and for each change of policy, told where an operator wants it.
//!
//! Who records waits for nothing. Events queue up to a limit with a name; what finds no room is counted, and the count is
//! an event itself. This room knows no plan and no request.

mod event;
mod read;
mod report;
mod sink;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use crate::config;
use crate::store;
use crate::store::Store;

pub use event::{Access, Asset, Credential, Delivery, Door, Event, PolicyChange, What};
pub use read::{Filter, Follower, Trail};
pub use report::{By, Report, Sum};
pub use writer::Writing;

use sink::Sink;
use writer::Writer;

/// Why events cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened, read or written.
    #[error("use the audit's file {}", path.display())]
    File {
        /// Which one.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Standard output is not there.
    #[error("write to standard output")]
    Stdout(#[source] std::io::Error),
    /// The table does not answer.
    #[error("use the audit's table")]
    Table(#[source] store::Error),
    /// The configuration has events written to a table, and names no store.
    #[error("find the control store of the audit in the configuration: expected control.url")]
    NoStore,
    /// The configuration has events written to a file, and names none.
    #[error("find the audit's file in the configuration: expected audit.path")]
    NoPath,
    /// Nothing can be read back.
    #[error("read events back: expected audit.to to be file or table, or a file by name")]
    NotKept,
    /// The task that writes has ended.
    #[error("hear from the task that writes events")]
    Ended,
}

/// Takes events. Its clones are one and the same.
#[derive(Clone)]
pub struct Auditor(Option<Queue>);

#[derive(Clone)]
struct Queue {
    events: mpsc::Sender<Event>,
    lost: Arc<AtomicU64>,
}

impl Auditor {
    /// Takes nothing.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// Begins to take events, and to write them where the configuration says.
    ///
    /// # Errors
    /// When they could not be written there.
    pub async fn begin(config: &config::Audit, store: Option<Arc<Store>>) -> Result<(Self, Option<Writing>), Error> {
        let Some(sink) = Sink::open(config, store).await? else { return Ok((Self::off(), None)) };
        let (events, queue) = mpsc::channel(config.queue);
        let lost = Arc::new(AtomicU64::new(0));
        // A counter that is there before the first loss is one that can be watched.
        metrics::counter!("martello_audit_lost_total").increment(0);
        let writing = Writer::new(queue, Arc::clone(&lost), sink, config.keep).spawn();
        Ok((Self(Some(Queue { events, lost })), Some(writing)))
    }

    /// Whether anything is taken: where not, nothing need be found out.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Takes an event, or counts it as lost. Never waits.
    pub fn record(&self, event: Event) {
        let Some(queue) = &self.0 else { return };
        if queue.events.try_send(event).is_err() {
            queue.lost.fetch_add(1, Ordering::Relaxed);
            metrics::counter!("martello_audit_lost_total").increment(1);
        }
    }

    /// Takes the accesses of one request.
    pub fn accesses<'a>(&self, request_id: &str, accesses: impl IntoIterator<Item = &'a Arc<Access>>) {
        if self.is_on() {
            accesses.into_iter().for_each(|access| self.record(Event::access(request_id, Arc::clone(access))));
        }
    }
}
