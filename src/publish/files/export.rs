//! Rows of a plan to files: rows are read while those before them are written, and a file is closed before it grows too long.
//! What is held is what is read and what is written, each of a bounded size, a row group, and a file that has no name yet on
//! this machine's disk.

use std::num::NonZero;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use futures_util::TryStreamExt as _;

use super::manifest::{AssetId, Bound, Edition, Manifest, Part, Partition};
use super::spool::{Spool, Spooled};
use super::store::{Error as FileError, Files};
use crate::catalog::{Bucket, Dataset, Direction, Type};
use crate::encode::{self, Encoder, MediaType, Style};
use crate::plan::{End, Output, Plan, Value};
use crate::query::{Limit, OrderKey, Page, Query};
use crate::source::{self, BatchStream, Source};

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;
/// Threads that encode one file at most: exports leave room for requests.
const THREADS_MAX: usize = 4;
/// Rows behind which no further batch is written together with those before it: a row group of Parquet has about as many.
/// Threads that encode columns meet once for all of them.
const TOGETHER_ROWS: usize = 122_880;
/// Bytes likewise, as they are in memory. Twice as many are held: some are read while others are written.
const TOGETHER_BYTES: usize = 16 << 20;

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The source does not answer.
    #[error("read the rows")]
    Source(#[source] source::Error),
    /// The rows cannot be cut to files.
    #[error("cut the rows to files")]
    Batch(#[source] ArrowError),
    /// The rows cannot be encoded.
    #[error("encode the rows")]
    Encode(#[source] encode::Error),
    /// A file cannot be written on this machine.
    #[error("write a file that is to be kept")]
    Spool(#[source] std::io::Error),
    /// The store of files does not take them.
    #[error("keep the files")]
    Files(#[source] FileError),
    /// Files are parted by a time that rows do not come in the order of.
    #[error("part files by {by}: the rows must hold {column}, and come in its order")]
    Unparted {
        /// The interval.
        by: &'static str,
        /// The contract's `time`.
        column: String,
    },
    /// The contract names no time.
    #[error("part files by {by}: the contract names no time")]
    Timeless {
        /// The interval.
        by: &'static str,
    },
    /// Whoever watches has no use for the files any more.
    #[error("go on: {0}")]
    Stopped(&'static str),
}

/// How far it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// Rows that were written.
    pub rows: u64,
    /// Bytes of files, the one that is being written included.
    pub bytes: u64,
    /// Files that are whole.
    pub parts: u64,
}

/// What is to be written.
pub struct Work<'w> {
    /// Of which rows.
    pub plan: &'w Plan,
    /// As what.
    pub media_type: MediaType,
    /// How values are written.
    pub style: Style,
    /// What each file holds the rows of.
    pub partition_by: Option<Partition>,
    /// The state of the dataset.
    pub edition: Edition,
    /// The version since which it is what has changed.
    pub since: Option<u64>,
    /// The first so many rows; all of them without it.
    pub rows_max: Option<u64>,
    /// The export that asks for it, and how often it was begun; a snapshot where there is none.
    pub export: Option<(String, u32)>,
}

/// The question of a snapshot: every row and every column that a role has, in the order of the primary key, so that equal
/// rows make equal files; by time first where files are parted by it.
#[must_use]
pub fn snapshot_question(dataset: &Dataset, partition_by: Option<Partition>) -> Query {
    let time = dataset.time.filter(|_| partition_by.is_some()).map(|time| dataset.columns[time].name.to_string());
    let order = time.map(|field| OrderKey { field, direction: Direction::Ascending, nulls: None });
    Query {
        dataset: dataset.name.to_string(),
        order: Some(order.into_iter().collect()),
        page: Page { limit: Some(Limit::All), ..Page::default() },
        ..Query::default()
    }
}

/// Whether the rows of a plan can be parted so.
///
/// # Errors
/// When its contract names no time, or the rows do not come in its order.
pub fn parts(plan: &Plan, partition_by: Option<Partition>) -> Result<(), ExportError> {
    partition_by.map_or(Ok(()), |by| Time::of(plan, by).map(drop))
}

/// Writes files.
pub struct Exporter<'e> {
    /// Where they are kept.
    pub files: &'e Files,
    /// Rows of one at most.
    pub part_rows: u64,
    /// Bytes behind which another begins.
    pub part_bytes: u64,
}

impl Exporter<'_> {
    /// Writes the rows of a plan and, behind the last file, the manifest. Until that is there, nothing is.
    ///
    /// # Errors
    /// Whatever goes wrong. `watch` hears how far it is, and may end it.
    pub async fn export(
        &self,
        source: &dyn Source,
        work: Work<'_>,
        mut watch: impl FnMut(Progress) -> Result<(), ExportError> + Send,
    ) -> Result<Manifest, ExportError> {
        let plan = work.plan;
        let time = work.partition_by.map(|by| Time::of(plan, by)).transpose()?;
        let shown: Vec<usize> = (0..plan.shown()).collect();
        let schema = source::schema(plan).project(&shown).map(Arc::new).map_err(ExportError::Batch)?;
        let mut batches = source::execute(source, plan, None).await.map_err(ExportError::Source)?;
        let mut cut =
            Cut { exporter: self, work: &work, schema, shown, keys: keys(plan), time, open: None, parts: Vec::new() };

        let mut left = work.rows_max.unwrap_or(u64::MAX);
        let mut progress = Progress::default();
        let mut next = read(&mut batches, &mut left).await?;
        while !next.is_empty() {
            let rows: usize = next.iter().map(RecordBatch::num_rows).sum();
            // The next rows are read while these are written, and none behind them.
            ((), next) = tokio::try_join!(cut.take(next), read(&mut batches, &mut left))?;
            progress = cut.progress(progress.rows + rows as u64);
            watch(progress)?;
        }
        let parts = cut.finish().await?;
        let bytes = parts.iter().map(|part| part.bytes).sum();
        watch(Progress { bytes, parts: parts.len() as u64, ..progress })?;
        let manifest = manifest(&work, parts);
        self.list(manifest).await
    }

    /// Writes the manifest; where the very same is there already, it stays.
    async fn list(&self, manifest: Manifest) -> Result<Manifest, ExportError> {
        let failed = |source| ExportError::Files(source);
        let Some(id) = manifest.asset(None) else { return Err(ExportError::Stopped("a name is none of ours")) };
        let path = id.manifest_path();
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|source| ExportError::Files(FileError::Foreign { path: path.clone(), source: source.into() }))?;
        if self.files.put(&path, text.into()).await.map_err(failed)? {
            return Ok(manifest);
        }
        // What was removed in between is the same as what was to be written.
        let Some(found) = self.files.read(&path).await.map_err(failed)? else { return Ok(manifest) };
        let foreign = |source: serde_json::Error| FileError::Foreign { path: path.clone(), source: source.into() };
        serde_json::from_slice(&found).map_err(|source| ExportError::Files(foreign(source)))
    }
}

/// As many batches as are written together: fewer only at the end of the rows, or of those that are wanted.
async fn read(batches: &mut BatchStream, left: &mut u64) -> Result<Vec<RecordBatch>, ExportError> {
    let (mut read, mut rows, mut bytes) = (Vec::new(), 0, 0);
    while *left > 0
        && rows < TOGETHER_ROWS
        && bytes < TOGETHER_BYTES
        && let Some(batch) = batches.try_next().await.map_err(ExportError::Source)?
    {
        let batch = batch.slice(0, batch.num_rows().min(usize::try_from(*left).unwrap_or(usize::MAX)));
        *left -= batch.num_rows() as u64;
        rows += batch.num_rows();
        bytes += batch.get_array_memory_size();
        read.push(batch);
    }
    Ok(read)
}

/// Rows that are being cut to files.
struct Cut<'e> {
    exporter: &'e Exporter<'e>,
    work: &'e Work<'e>,
    /// Of the columns that are written.
    schema: SchemaRef,
    /// The fields that are written; a plan may read others besides.
    shown: Vec<usize>,
    /// Where the primary key is among the fields.
    keys: Option<Vec<usize>>,
    time: Option<Time>,
    open: Option<Spool>,
    parts: Vec<Part>,
}

impl Cut<'_> {
    /// Writes batches to files.
    async fn take(&mut self, batches: Vec<RecordBatch>) -> Result<(), ExportError> {
        for batch in &batches {
            self.hold(batch).await?;
        }
        let Some(part) = self.open.take() else { return Ok(()) };
        let part = part.write().await?;
        if part.bytes >= self.exporter.part_bytes {
            return self.close(part).await;
        }
        self.open = Some(part);
        Ok(())
    }

    /// Gives the rows of a batch to the files that they belong to; those that are full are closed.
    async fn hold(&mut self, batch: &RecordBatch) -> Result<(), ExportError> {
        let mut at = 0;
        while at < batch.num_rows() {
            let interval = self.time.map(|time| time.interval(batch, at));
            let most = self.exporter.part_rows;
            if let Some(full) = self.open.take_if(|part| part.rows >= most || part.interval != interval) {
                self.close(full).await?;
            }
            let mut part = match self.open.take() {
                Some(part) => part,
                None => self.begin(interval)?,
            };
            let room = usize::try_from(most - part.rows).unwrap_or(usize::MAX);
            let end = batch.num_rows().min(at.saturating_add(room));
            let end = self.time.map_or(end, |time| time.run(batch, at, end));
            let slice = batch.slice(at, end - at);
            let key = |row| self.keys.as_deref().and_then(|keys| shown_key(self.work.plan, keys, &slice, row));
            if part.rows == 0 {
                part.first_key = key(0);
            }
            part.last_key = key(slice.num_rows() - 1);
            part.hold(slice.project(&self.shown).map_err(ExportError::Batch)?);
            self.open = Some(part);
            at = end;
        }
        Ok(())
    }

    fn begin(&self, interval: Option<Option<i32>>) -> Result<Spool, ExportError> {
        let Work { plan, media_type, style, .. } = self.work;
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
        let encoder = Encoder::on_threads(threads, *media_type, &self.schema, style, &plan.facts());
        Spool::begin(encoder.map_err(ExportError::Encode)?, interval)
    }

    /// Keeps a file under its hash.
    async fn close(&mut self, open: Spool) -> Result<(), ExportError> {
        let work = self.work;
        let Spooled { mut file, rows, bytes, sha256, first_key, last_key, interval } = open.finish().await?;
        let path = format!("{}/{}.{}", work.folder(), sha256, ending(work.media_type));
        let partition = work.partition_by.zip(interval).map(|(by, day)| label(by, day));
        self.exporter.files.keep(&path, &mut file, bytes).await.map_err(ExportError::Files)?;
        self.parts.push(Part { path, rows, bytes, sha256, first_key, last_key, partition });
        Ok(())
    }

    fn progress(&self, rows: u64) -> Progress {
        let closed: u64 = self.parts.iter().map(|part| part.bytes).sum();
        let open = self.open.as_ref().map_or(0, |part| part.bytes);
        Progress { rows, bytes: closed + open, parts: self.parts.len() as u64 }
    }

    /// The files. Without a row there is still one, which says what the columns are.
    async fn finish(mut self) -> Result<Vec<Part>, ExportError> {
        let last = match self.open.take() {
            None if self.parts.is_empty() => Some(self.begin(None)?),
            last => last,
        };
        if let Some(last) = last {
            self.close(last).await?;
        }
        Ok(self.parts)
    }
}

impl Work<'_> {
    /// Where the files are. An export has a folder of its own, which goes with it.
    fn folder(&self) -> String {
        let state = AssetId::folder(&self.plan.dataset().name, &self.edition);
        match &self.export {
            Some((id, _)) => export_folder(&state, id),
            None => format!("{state}/{}/{}", self.media_type.format(), self.plan.shape()),
        }
    }
}

/// The folder of an export's files.
pub(in crate::publish) fn export_folder(state: &str, id: &str) -> String {
    format!("{state}/exports/{id}")
}

/// How the name of a file ends.
fn ending(media_type: MediaType) -> &'static str {
    media_type.file_ending().unwrap_or(media_type.format())
}

/// The contract's time among the fields of a plan whose rows come in its order.
#[derive(Clone, Copy)]
struct Time {
    field: usize,
    data_type: Type,
    by: Partition,
}

impl Time {
    fn of(plan: &Plan, by: Partition) -> Result<Self, ExportError> {
        let dataset = plan.dataset();
        let Some(time) = dataset.time else { return Err(ExportError::Timeless { by: by.as_str() }) };
        let is_time =
            |output: Output| matches!(output, Output::Column(column) | Output::Bucket(column, _) if column == time);
        // One file is open at a time: rows of an interval that is behind would have none.
        let first = plan.order().first().map(|key| key.field);
        let field = first.filter(|field| is_time(plan.fields()[*field].output));
        let field = field
            .ok_or_else(|| ExportError::Unparted { by: by.as_str(), column: dataset.columns[time].name.to_string() })?;
        Ok(Self { field, data_type: plan.fields()[field].data_type, by })
    }

    /// The first day of the interval of a row.
    fn interval(self, batch: &RecordBatch, row: usize) -> Option<i32> {
        let column = batch.column(self.field);
        if column.is_null(row) {
            return None;
        }
        let days = match self.data_type {
            Type::Date => column.as_primitive::<Date32Type>().value(row),
            _ => {
                let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
                i32::try_from(micros.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX)
            }
        };
        Some(self.bucket().first_day(days))
    }

    fn bucket(self) -> Bucket {
        match self.by {
            Partition::Year => Bucket::Year,
            Partition::Month => Bucket::Month,
        }
    }

    /// Where the rows of one interval end.
    fn run(self, batch: &RecordBatch, at: usize, end: usize) -> usize {
        let interval = self.interval(batch, at);
        (at + 1..end).find(|row| self.interval(batch, *row) != interval).unwrap_or(end)
    }
}

/// An interval as its file is called.
fn label(by: Partition, first_day: Option<i32>) -> String {
    let Some(days) = first_day else { return "none".to_owned() };
    let day = Value::Date(days).shown(Type::Date);
    let parts = if by == Partition::Year { 1 } else { 2 };
    // A year before 1 has a dash of its own, and no data.
    day.splitn(3, '-').take(parts).collect::<Vec<_>>().join("-")
}

/// Where the primary key is among the fields; nowhere in groups, and where not all of it is read.
fn keys(plan: &Plan) -> Option<Vec<usize>> {
    let place = |key: &usize| plan.fields().iter().position(|field| field.output == Output::Column(*key));
    plan.dataset().primary_key.iter().map(place).collect()
}

fn shown_key(plan: &Plan, keys: &[usize], batch: &RecordBatch, row: usize) -> Option<Vec<String>> {
    let values = plan.values_at(keys, batch, row)?;
    let shown = |(value, field): (Value, &usize)| match value {
        Value::String(text) => text,
        value => value.shown(plan.fields()[*field].data_type),
    };
    Some(values.into_iter().zip(keys).map(shown).collect())
}

fn manifest(work: &Work<'_>, files: Vec<Part>) -> Manifest {
    let plan = work.plan;
    let order = plan.order().iter().map(|key| {
        let descends = if key.direction == Direction::Descending { "-" } else { "" };
        format!("{descends}{}", plan.fields()[key.field].name)
    });
    let limited_by = plan.windows().iter().map(|window| Bound {
        window: window.end.as_str().to_owned(),
        column: window.column.to_string(),
        bound: window.shown(),
    });
    // What only holds rows back for a while may be handed out for ever: by then it shows less than there is.
    let moves = plan.windows().iter().any(|window| window.end == End::History);
    let manifest = Manifest {
        id: work.export.as_ref().map(|(id, attempt)| format!("e-{id}-{attempt}")).unwrap_or_default(),
        dataset: plan.dataset().name.to_string(),
        edition: work.edition.as_str().to_owned(),
        version: plan.version().map(|version| version.number),
        version_id: plan.version().map(|version| version.id.to_string()),
        since: work.since,
        contract: plan.dataset().contract.clone(),
        format: work.media_type.format().to_owned(),
        shape: plan.shape().to_string(),
        created_at: crate::clock::now(),
        valid_until: plan.until().filter(|_| moves),
        order: order.collect(),
        partition_by: work.partition_by,
        columns: plan.fields().iter().take(plan.shown()).map(|field| field.name.to_string()).collect(),
        limited_by: limited_by.collect(),
        rows: files.iter().map(|file| file.rows).sum(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        files,
    };
    if work.export.is_some() { manifest } else { manifest.named_by_content() }
}
