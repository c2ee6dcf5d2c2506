//! Takes events from the queue and writes them, one batch after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::sink::{Line, Sink};
use super::{Error, Event};
use crate::clock;
use crate::telemetry;

/// Events that are written at once, at most.
const BATCH_MAX: usize = 1000;
/// After a failure the batch is tried again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How often events past their days are looked for.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Writes what is in the queue.
pub(super) struct Writer {
    queue: mpsc::Receiver<Event>,
    lost: Arc<AtomicU64>,
    sink: Sink,
    keep: Duration,
    failing: bool,
}

/// A writer at work.
pub struct Writing {
    task: JoinHandle<()>,
    closing: oneshot::Sender<()>,
}

impl Writing {
    /// Takes no more events, and writes those that are there. What is not written in time is lost, and said to be.
    pub async fn end(self, timeout: Duration) {
        // A task that is gone has told why.
        let _ = self.closing.send(());
        let mut task = self.task;
        match tokio::time::timeout(timeout, &mut task).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the audit ended in a panic"),
            Err(_) => {
                task.abort();
                tracing::error!(seconds = timeout.as_secs(), "events of the audit were not written before the end");
            }
        }
    }
}

impl Writer {
    pub(super) fn new(queue: mpsc::Receiver<Event>, lost: Arc<AtomicU64>, sink: Sink, keep: Duration) -> Self {
        Self { queue, lost, sink, keep, failing: false }
    }

    pub(super) fn spawn(self) -> Writing {
        let (closing, told) = oneshot::channel();
        Writing { task: tokio::spawn(self.run(told)), closing }
    }

    /// Until told to close, or until nobody is left who would say so: then what is in the queue, and the end.
    async fn run(mut self, mut closing: oneshot::Receiver<()>) {
        let (mut closed, mut batch) = (false, Vec::new());
        let mut prune = tokio::time::interval(PRUNE_EVERY);
        loop {
            tokio::select! {
                biased;
                _ = &mut closing, if !closed => {
                    self.queue.close();
                    closed = true;
                    continue;
                }
                _ = prune.tick(), if self.sink.forgets() && !closed => {
                    self.prune().await;
                    continue;
                }
                taken = self.queue.recv_many(&mut batch, BATCH_MAX) => if taken == 0 { break },
            }
            let mut lines: Vec<Line> = batch.drain(..).map(|event| Line::of(&event)).collect();
            self.write(&mut lines).await;
        }
        self.write(&mut Vec::new()).await;
    }

    /// Writes those lines, and how many found no room before them, however often that has to be tried.
    async fn write(&mut self, lines: &mut Vec<Line>) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            lines.push(Line::of(&Event::lost(lost)));
        }
        let count = lines.len() as u64;
        while !lines.is_empty() {
            match self.sink.write(lines).await {
                Ok(()) => {
                    metrics::counter!("martello_audit_events_total").increment(count);
                    if std::mem::take(&mut self.failing) {
                        tracing::info!("events of the audit are written again");
                    }
                }
                Err(error) => {
                    self.failed(&error);
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
            }
        }
    }

    /// Told once for each outage; how long it goes on, the counter says.
    fn failed(&mut self, error: &Error) {
        metrics::counter!("martello_audit_errors_total").increment(1);
        if !std::mem::replace(&mut self.failing, true) {
            tracing::error!(error = telemetry::chain(error), "events of the audit cannot be written: they queue");
        }
    }

    async fn prune(&mut self) {
        // More days than there have been keep everything.
        let Ok(before) = clock::now().checked_sub(self.keep) else { return };
        match self.sink.prune(before).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "events of the audit past their days are gone"),
            Err(error) => self.failed(&error),
        }
    }
}
