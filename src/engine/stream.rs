//! Every row of a plan, encoded as it comes: a batch is read when what was written of the one before it has been taken.

use std::sync::Arc;

use arrow_array::RecordBatch;
use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::sync::Semaphore;

use super::{Engine, Error, Representation, failure};
use crate::auth::Tier;
use crate::config;
use crate::encode::{Encoder, Style};
use crate::plan::Plan;
use crate::source;
use crate::telemetry;

/// Answers of all rows that are under way, for each tier by itself: they hold a connection for as long as their reader
/// takes, and leave the others to pages.
#[derive(Clone)]
pub struct Streams {
    client: Arc<Semaphore>,
    internal: Arc<Semaphore>,
}

impl Streams {
    /// Room for as many as are configured.
    #[must_use]
    pub fn new(config: &config::Streams) -> Self {
        let room = |streams: usize| Arc::new(Semaphore::new(streams.min(Semaphore::MAX_PERMITS)));
        Self { client: room(config.client), internal: room(config.internal) }
    }

    fn of(&self, tier: Tier) -> &Arc<Semaphore> {
        match tier {
            Tier::Client => &self.client,
            Tier::Internal => &self.internal,
        }
    }
}

/// A part of a streamed document.
pub enum Piece {
    /// Its next bytes, and how many rows went into them.
    Bytes(Bytes, u64),
    /// The SHA-256 of all of them, behind the last.
    Digest([u8; 32]),
}

/// The parts of a document. An error in it means that the document is not whole, and must not look so.
pub type Pieces = BoxStream<'static, Result<Piece, Error>>;

impl Engine {
    /// Streams every row of a plan. Whatever goes wrong before its first rows is told here; dropping the stream ends the
    /// statement.
    ///
    /// # Errors
    /// When the source does not answer, or too many of the tier's streams are under way.
    pub async fn stream(
        &self,
        plan: Plan,
        representation: Representation,
        tier: Tier,
        with_digest: bool,
    ) -> Result<Pieces, Error> {
        let room = Arc::clone(self.streams.of(tier)).try_acquire_owned().map_err(|_| Error::Crowded)?;
        let failed = |error| failure(&plan, error);
        let source = self.sources.get(plan.source()).map_err(failed)?;
        let mut batches = source::execute(source.as_ref(), &plan, None).await.map_err(failed)?;
        let first = batches.try_next().await.map_err(failed)?;

        let shown: Vec<usize> = (0..plan.shown()).collect();
        let schema = source::schema(&plan).project(&shown).map(Arc::new).map_err(Error::Batch)?;
        let style =
            Style { numbers: representation.numbers, zone: plan.zone().cloned(), guarded: representation.guarded };
        let mut encoder =
            Encoder::new(representation.media_type, &schema, &style, &plan.facts()).map_err(Error::Encode)?;
        let mut digest = with_digest.then(|| Context::new(&SHA256));
        let pieces = async_stream::try_stream! {
            let _room = room;
            let mut next = first;
            let mut rows = 0;
            while let Some(batch) = next {
                let batch: RecordBatch = batch.project(&shown).map_err(Error::Batch)?;
                let pieces = encoder.pieces(&batch).map_err(Error::Encode)?;
                rows += batch.num_rows() as u64;
                drop(batch);
                for bytes in pieces {
                    digest.iter_mut().for_each(|digest| digest.update(&bytes));
                    yield Piece::Bytes(bytes, std::mem::take(&mut rows));
                }
                next = batches.try_next().await.map_err(|error| failure(&plan, error))?;
            }
            let mut out = Vec::new();
            encoder.finish(&mut out).map_err(Error::Encode)?;
            digest.iter_mut().for_each(|digest| digest.update(&out));
            yield Piece::Bytes(out.into(), rows);
            if let Some(digest) = digest.and_then(|digest| digest.finish().as_ref().try_into().ok()) {
                yield Piece::Digest(digest);
            }
        };
        let told = |error: &Error| {
            // The client sees a connection that ends before its document; why, it cannot be told any more.
            tracing::error!(error = telemetry::chain(error), "a stream of rows ended before its last one");
            metrics::counter!("martello_streams_broken_total").increment(1);
        };
        Ok(pieces.inspect_err(told).boxed())
    }
}
