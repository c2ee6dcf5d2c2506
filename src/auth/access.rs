//! The matrix of the moment: read by every request, swapped whole when its file has changed.

use std::sync::{Arc, Weak};

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

    /// Whether that is the matrix of now. A pointer that is kept lets no other matrix come to the same place.
    #[must_use]
    pub fn is(&self, matrix: &Weak<Matrix>) -> bool {
        std::ptr::eq(Arc::as_ptr(&self.0.load()), matrix.as_ptr())
    }

    /// What holds from now on. Whoever was let in under the one before is let in anew.
    pub fn swap(&self, matrix: Matrix) {
        self.0.store(Arc::new(matrix));
    }
}
