//! Brings data to those who read it: files into relations, all or nothing, relations into versions, and versions into
//! files again.

mod conform;
pub mod files;
pub mod jobs;
mod version;

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::catalog::Dataset;
use crate::config;
use crate::source::{LoadError, Loader};

pub use crate::source::Mode;
pub use conform::Unfit;
pub use version::{PublishError, Publisher, Request, next_relation};

/// Rows of a batch that is read at once.
const BATCH_ROWS: usize = 8192;

/// Why nothing was loaded. The relation is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened.
    #[error("open {}", path.display())]
    Open {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The file is no Parquet, or broken.
    #[error("read {} as Parquet", path.display())]
    Parquet {
        /// Which one.
        path: PathBuf,
        /// Why not.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The file does not fit the contract.
    #[error("fit {} to the contract of {dataset}", path.display())]
    Unfit {
        /// Which one.
        path: PathBuf,
        /// The contract.
        dataset: String,
        /// What does not fit.
        #[source]
        source: Unfit,
    },
    /// The source did not take the rows.
    #[error("load {dataset}")]
    Load {
        /// The dataset.
        dataset: String,
        /// Why not.
        #[source]
        source: LoadError,
    },
}

/// A Parquet file, opened and judged by its columns.
pub struct Input<'d> {
    dataset: &'d Dataset,
    path: PathBuf,
    reader: ParquetRecordBatchReaderBuilder<File>,
    /// Rows of the file.
    pub rows: u64,
}

impl<'d> Input<'d> {
    /// Opens a file for a dataset: columns are found by name, and the file may have more than the contract.
    ///
    /// # Errors
    /// When the file cannot be read, lacks a column, or has one of a type that cannot hold the contract's.
    pub fn open(dataset: &'d Dataset, path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .map_err(|source| Error::Parquet { path: path.to_owned(), source })?;
        conform::columns(dataset, reader.schema()).map_err(|source| Error::Unfit {
            path: path.to_owned(),
            dataset: dataset.name.to_string(),
            source,
        })?;
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).unwrap_or_default();
        Ok(Self { dataset, path: path.to_owned(), reader, rows })
    }

    /// Fills the dataset's relation; calls `loaded` with the rows so far.
    ///
    /// # Errors
    /// Whatever goes wrong; the relation is then as it was.
    pub async fn load(self, source: &config::Source, mode: Mode, loaded: impl FnMut(u64)) -> Result<u64, Error> {
        let Self { dataset, path, reader, .. } = self;
        let reader = reader
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|source| Error::Parquet { path: path.clone(), source })?;
        let mut before = 0;
        let batches = reader.map(|batch| -> Result<RecordBatch, conform::BatchError> {
            let batch = batch.map_err(conform::BatchError::Read)?;
            let fitted = conform::batch(dataset, &batch, before).map_err(conform::BatchError::Unfit)?;
            before += batch.num_rows() as u64;
            Ok(fitted)
        });
        Loader::new(source)
            .load(dataset, mode, batches, loaded)
            .await
            .map_err(|source| Error::Load { dataset: dataset.name.to_string(), source })
    }
}
