//! Parquet, a row group after another: the columns of batches are encoded side by side where there are threads for it, and a
//! row group is written when it is long enough.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnWriter, ArrowLeafColumn, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;

/// Rows of a row group at most: what analytical readers like to take at once.
pub(super) const ROWS_MAX: usize = 122_880;
/// Encoded bytes of a row group at most. A row group is held until it is whole, so this bounds what a document takes.
pub(super) const BYTES_MAX: usize = 8 << 20;
/// Rows below which a thread costs more than it does.
const ROWS_MIN_OF_THREADS: usize = 1024;

/// A document of row groups.
pub(super) struct RowGroups {
    schema: SchemaRef,
    file: SerializedFileWriter<Vec<u8>>,
    writers: ArrowRowGroupWriterFactory,
    begun: Option<RowGroup>,
    /// Encoded bytes of a row, as far as is known.
    of_a_row: Option<usize>,
    /// How long each column was when last looked at, which is about how long it takes.
    weights: Vec<usize>,
    threads: usize,
}

/// The row group that is not long enough yet.
struct RowGroup {
    rows: usize,
    columns: Vec<ArrowColumnWriter>,
}

impl RowGroup {
    fn bytes(&self) -> usize {
        self.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).sum()
    }

    /// Rows that it has room for, of so many bytes each.
    fn room(&self, of_a_row: usize) -> usize {
        let bytes = BYTES_MAX.saturating_sub(self.bytes());
        let room = ROWS_MAX.saturating_sub(self.rows).min(bytes.checked_div(of_a_row).unwrap_or(usize::MAX));
        // However long a row is, it is in some row group.
        if self.rows == 0 { room.max(1) } else { room }
    }
}

impl RowGroups {
    /// A document with that schema, whose columns are encoded on so many threads at once.
    pub(super) fn new(schema: &SchemaRef, options: ArrowWriterOptions, threads: usize) -> Result<Self, ParquetError> {
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
        let (file, writers) = writer.into_serialized_writer()?;
        Ok(Self {
            schema: Arc::clone(schema),
            file,
            writers,
            begun: None,
            of_a_row: None,
            weights: Vec::new(),
            threads,
        })
    }

    /// Takes batches of the schema, and returns the bytes that are ready.
    pub(super) fn write(&mut self, batches: Vec<RecordBatch>) -> Result<Vec<u8>, ParquetError> {
        let mut left: VecDeque<RecordBatch> = batches.into_iter().filter(|batch| batch.num_rows() > 0).collect();
        while !left.is_empty() {
            let mut group = match self.begun.take() {
                Some(group) => group,
                None => RowGroup { rows: 0, columns: self.writers.create_column_writers(self.written())? },
            };
            // How long rows are is not known before the first ones are encoded.
            let room = match self.of_a_row {
                Some(bytes) => group.room(bytes),
                None => left.front().map_or(0, RecordBatch::num_rows).min(ROWS_MAX),
            };
            let taken = first(&mut left, room);
            encode(&self.schema, &mut group.columns, &taken, &self.weights, self.threads)?;
            group.rows += taken.iter().map(RecordBatch::num_rows).sum::<usize>();
            self.weights = group.columns.iter().map(ArrowColumnWriter::get_estimated_total_bytes).collect();
            let of_a_row = group.bytes() / group.rows.max(1);
            self.of_a_row = Some(of_a_row);
            let is_full = group.room(of_a_row) == 0;
            self.begun = Some(group);
            if is_full {
                self.close()?;
            }
        }
        // The writer counts its bytes itself: what it has written may go.
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Ends the document, and returns what is left of it.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, ParquetError> {
        self.close()?;
        self.file.finish()?;
        Ok(std::mem::take(self.file.inner_mut()))
    }

    fn written(&self) -> usize {
        self.file.flushed_row_groups().len()
    }

    fn close(&mut self) -> Result<(), ParquetError> {
        let Some(group) = self.begun.take() else { return Ok(()) };
        let mut file = self.file.next_row_group()?;
        for column in group.columns {
            column.close()?.append_to_row_group(&mut file)?;
        }
        file.close().map(drop)
    }
}

/// Takes the first rows, as many as there is room for.
fn first(batches: &mut VecDeque<RecordBatch>, mut room: usize) -> Vec<RecordBatch> {
    let mut taken = Vec::new();
    while room > 0
        && let Some(batch) = batches.pop_front()
    {
        let rows = batch.num_rows().min(room);
        if rows < batch.num_rows() {
            batches.push_front(batch.slice(rows, batch.num_rows() - rows));
        }
        room -= rows;
        taken.push(batch.slice(0, rows));
    }
    taken
}

/// Encodes the columns of batches, each behind what its writer has.
fn encode(
    schema: &SchemaRef,
    writers: &mut [ArrowColumnWriter],
    batches: &[RecordBatch],
    weights: &[usize],
    threads: usize,
) -> Result<(), ParquetError> {
    let mut leaves: Vec<Vec<ArrowLeafColumn>> = writers.iter().map(|_| Vec::with_capacity(batches.len())).collect();
    for batch in batches {
        let mut places = leaves.iter_mut();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            let found = compute_leaves(field, column)?;
            found.into_iter().zip(&mut places).for_each(|(leaf, place)| place.push(leaf));
        }
    }
    let mut work: Vec<_> = writers.iter_mut().zip(leaves).enumerate().collect();
    let write = |writer: &mut ArrowColumnWriter, leaves: &[ArrowLeafColumn]| {
        leaves.iter().try_for_each(|leaf| writer.write(leaf))
    };
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let threads = if rows < ROWS_MIN_OF_THREADS { 1 } else { threads.min(work.len()) };
    if threads < 2 {
        return work.into_iter().try_for_each(|(_, (writer, leaves))| write(writer, &leaves));
    }
    // Whoever is done takes the next column, those first that take long: the threads end at about the same time.
    work.sort_by_key(|(place, _)| Reverse(weights.get(*place).copied()));
    let work = Mutex::new(work.into_iter());
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = || std::iter::from_fn(next).try_for_each(|(_, (writer, leaves))| write(writer, &leaves));
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let own = take();
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        own.and(others.collect())
    })
}
