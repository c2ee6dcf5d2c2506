//! A new matrix without a restart: built aside, checked whole, swapped at once. A broken one changes nothing.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::catalog::{self, Catalog, Type};
use crate::telemetry;

use super::matrix::MATRIX_FILE;
use super::{Access, Matrix};

/// Why a new matrix is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It cannot be read, or has faults.
    #[error("take the new matrix")]
    Matrix(#[source] catalog::Error),
    /// It shows hashes, and there is no key for them.
    #[error("find access.mask_key in the configuration: the matrix has masks that hash")]
    NoMaskKey,
}

/// What a look at the file has found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reloaded {
    /// It says what holds already.
    Unchanged,
    /// What it says holds now.
    Swapped {
        /// The matrix before.
        before: [u8; 16],
        /// The matrix of now.
        now: [u8; 16],
    },
}

/// Who is told of every swap: the matrix before, and that of now.
pub type Swapped = Box<dyn Fn([u8; 16], [u8; 16]) + Send + Sync>;

/// Keeps the matrix at what its file says.
pub struct Reloader {
    folder: PathBuf,
    catalog: Arc<Catalog>,
    access: Access,
    reads: fn(Type, &str) -> bool,
    /// Whether there is a key for masks that hash.
    has_mask_key: bool,
    /// Told of every swap.
    swapped: Swapped,
    /// One look at a time: an older file must not come behind a newer one.
    looking: Mutex<()>,
}

impl Reloader {
    /// A reloader of that matrix, from its file in the catalog's folder.
    #[must_use]
    pub fn new(
        folder: PathBuf,
        catalog: Arc<Catalog>,
        access: Access,
        reads: fn(Type, &str) -> bool,
        has_mask_key: bool,
        swapped: Swapped,
    ) -> Self {
        metrics::gauge!("martello_access_refused").set(0.0);
        Self { folder, catalog, access, reads, has_mask_key, swapped, looking: Mutex::new(()) }
    }

    /// Looks at the file, and takes what it says.
    ///
    /// # Errors
    /// Why the matrix before stays.
    pub fn turn(&self) -> Result<Reloaded, ReloadError> {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let turned = self.take();
        let outcome = match &turned {
            Ok(Reloaded::Unchanged) => "unchanged",
            Ok(Reloaded::Swapped { .. }) => "swapped",
            Err(_) => "refused",
        };
        metrics::counter!("martello_access_reloads_total", "outcome" => outcome).increment(1);
        metrics::gauge!("martello_access_refused").set(if turned.is_err() { 1.0 } else { 0.0 });
        match &turned {
            Ok(Reloaded::Unchanged) => {}
            Ok(Reloaded::Swapped { .. }) => tracing::info!("the access matrix has changed"),
            Err(error) => {
                tracing::error!(error = telemetry::chain(error), "the access matrix is refused: the one before stays");
            }
        }
        turned
    }

    fn take(&self) -> Result<Reloaded, ReloadError> {
        let matrix = Matrix::load(&self.folder, &self.catalog, self.reads).map_err(ReloadError::Matrix)?;
        if matrix.hashes() && !self.has_mask_key {
            return Err(ReloadError::NoMaskKey);
        }
        let (before, now) = (self.access.load().id(), matrix.id());
        if before == now {
            return Ok(Reloaded::Unchanged);
        }
        self.access.swap(matrix);
        (self.swapped)(before, now);
        Ok(Reloaded::Swapped { before, now })
    }

    /// Looks whenever the file has changed, which is asked this often.
    pub async fn watch(self: Arc<Self>, every: Duration) {
        let file = self.folder.join(MATRIX_FILE);
        let stamp = || {
            let metadata = std::fs::metadata(&file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let mut seen = stamp();
        loop {
            tokio::time::sleep(every).await;
            let now = stamp();
            if now != seen {
                seen = now;
                // What is wrong with it was told where it was found.
                let _ = self.turn();
            }
        }
    }
}
