//! The matrix of the moment: read by every request, swapped whole when its file has changed.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Matrix;

/// The matrix of the moment.
#[derive(Clone)]
pub struct Access(Arc<ArcSwap<Matrix>>);

impl Access {
    /// Begins with a matrix.
    #[must_use]
    pub fn new(matrix: Matrix) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(matrix)))
    }

    /// The matrix of now.
    #[must_use]
    pub fn load(&self) -> Arc<Matrix> {
        self.0.load_full()
    }

    /// What holds from now on. Whoever was let in under the one before is let in anew.
    pub fn swap(&self, matrix: Matrix) {
        self.0.store(Arc::new(matrix));
    }
}
