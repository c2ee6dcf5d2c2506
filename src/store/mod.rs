//! The control store: which relation is which version of a dataset, and which of them is current.
//!
//! This room knows no contract, no request and no source. A version names a relation; who reads it is above.

mod pointer;
mod version;

pub use pointer::Pointer;
pub use version::{Version, VersionId, Versions};
