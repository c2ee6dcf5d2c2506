//! Parquet, a row group after another: the columns of a batch are encoded side by side where there are threads for it, and a
//! row group is written when it is long enough.

use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves};
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

    /// Rows like those it has that it has room for.
    fn room(&self) -> usize {
        let rows = ROWS_MAX.saturating_sub(self.rows);
        match self.bytes().checked_div(self.rows) {
            None | Some(0) => rows,
            Some(of_a_row) => rows.min(BYTES_MAX.saturating_sub(self.bytes()) / of_a_row),
        }
    }
}

impl RowGroups {
    /// A document with that schema, whose columns are encoded on so many threads at once.
    pub(super) fn new(schema: &SchemaRef, options: ArrowWriterOptions, threads: usize) -> Result<Self, ParquetError> {
        let writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(schema), options)?;
        let (file, writers) = writer.into_serialized_writer()?;
        Ok(Self { schema: Arc::clone(schema), file, writers, begun: None, threads })
    }

    /// Takes a batch of the schema, and returns the bytes that are ready.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
        let mut at = 0;
        while at < batch.num_rows() {
            let mut group = match self.begun.take() {
                Some(group) => group,
                None => RowGroup { rows: 0, columns: self.writers.create_column_writers(self.written())? },
            };
            let rows = group.room().min(batch.num_rows() - at);
            encode(&self.schema, &mut group.columns, &batch.slice(at, rows), self.threads)?;
            group.rows += rows;
            at += rows;
            let is_full = group.room() == 0;
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

/// Encodes the columns of a batch, each behind what its writer has.
fn encode(
    schema: &SchemaRef,
    writers: &mut [ArrowColumnWriter],
    batch: &RecordBatch,
    threads: usize,
) -> Result<(), ParquetError> {
    let mut leaves = Vec::with_capacity(writers.len());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        leaves.extend(compute_leaves(field, column)?);
    }
    let work = writers.iter_mut().zip(leaves);
    let threads = if batch.num_rows() < ROWS_MIN_OF_THREADS { 1 } else { threads.min(work.len()) };
    if threads < 2 {
        return work.into_iter().try_for_each(|(writer, leaf)| writer.write(&leaf));
    }
    // Whoever is done takes the next column: columns take unequal times.
    let work = Mutex::new(work);
    let next = || work.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = || std::iter::from_fn(next).try_for_each(|(writer, leaf)| writer.write(&leaf));
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(take)).collect();
        let own = take();
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        own.and(others.collect())
    })
}
