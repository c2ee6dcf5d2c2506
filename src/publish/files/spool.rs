//! A file while it is written: its hash is its name, so that it has none until it is whole. Encoding and writing take a
//! thread that may wait, and leave the others to requests.

use std::io::Write as _;

use arrow_array::RecordBatch;
use aws_lc_rs::digest::{Context, SHA256};

use super::export::ExportError;
use super::manifest::hex;
use crate::encode::Encoder;

/// A file that is being written, on this machine.
pub(super) struct Spool {
    file: std::fs::File,
    encoder: Encoder,
    digest: Context,
    /// Rows that are to be written next.
    held: Vec<RecordBatch>,
    /// Rows that it has, those included.
    pub rows: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// The key of its first row, where rows have one.
    pub first_key: Option<Vec<String>>,
    /// That of its last one.
    pub last_key: Option<Vec<String>>,
    /// The first day of its rows' interval, where files are parted; of rows without a time, nothing.
    pub interval: Option<Option<i32>>,
}

/// A file that is whole.
pub(super) struct Spooled {
    /// Its content, which goes when it is dropped.
    pub file: tokio::fs::File,
    /// Rows that it has.
    pub rows: u64,
    /// Its length.
    pub bytes: u64,
    /// Its hash, in hexadecimal digits.
    pub sha256: String,
    /// The key of its first row, where rows have one.
    pub first_key: Option<Vec<String>>,
    /// That of its last one.
    pub last_key: Option<Vec<String>>,
    /// The first day of its rows' interval.
    pub interval: Option<Option<i32>>,
}

impl Spool {
    /// A file without rows.
    pub(super) fn begin(encoder: Encoder, interval: Option<Option<i32>>) -> Result<Self, ExportError> {
        // It has no name in any folder, so that it goes with this process, however that ends.
        let file = tempfile::tempfile().map_err(ExportError::Spool)?;
        let digest = Context::new(&SHA256);
        Ok(Self {
            file,
            encoder,
            digest,
            held: Vec::new(),
            rows: 0,
            bytes: 0,
            first_key: None,
            last_key: None,
            interval,
        })
    }

    /// Appends rows to what is written next.
    pub(super) fn hold(&mut self, batch: RecordBatch) {
        self.rows += batch.num_rows() as u64;
        self.held.push(batch);
    }

    /// Writes what it holds.
    pub(super) async fn write(mut self) -> Result<Self, ExportError> {
        aside(move || {
            self.encode()?;
            Ok(self)
        })
        .await
    }

    /// Writes what it holds, and ends it.
    pub(super) async fn finish(mut self) -> Result<Spooled, ExportError> {
        aside(move || {
            self.encode()?;
            let mut out = Vec::new();
            self.encoder.finish(&mut out).map_err(ExportError::Encode)?;
            self.append(&out)?;
            let Self { file, digest, rows, bytes, first_key, last_key, interval, .. } = self;
            let (file, sha256) = (tokio::fs::File::from_std(file), hex(digest.finish().as_ref()));
            Ok(Spooled { file, rows, bytes, sha256, first_key, last_key, interval })
        })
        .await
    }

    fn encode(&mut self) -> Result<(), ExportError> {
        let mut out = Vec::new();
        self.encoder.write_all(&std::mem::take(&mut self.held), &mut out).map_err(ExportError::Encode)?;
        self.append(&out)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), ExportError> {
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(ExportError::Spool)
    }
}

/// Does work on a thread that may wait.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ExportError> + Send + 'static,
) -> Result<T, ExportError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // Only a runtime that ends takes none.
        Err(_) => Err(ExportError::Stopped("the program ends")),
    })
}
