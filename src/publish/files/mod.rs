//! Files of datasets: rows of a plan, written as parts of a bounded size, each named by its hash, and a manifest behind
//! them. This room knows plans and files; who asks, and how files reach their readers, is above.

mod document;
mod export;
mod folder;
mod library;
mod manifest;
mod room;
mod spool;
mod store;

pub use document::{Document, NewDocument};
pub use export::{ExportError, Exporter, Progress, Work, parts, snapshot_question};
pub use library::Library;
pub use manifest::{AssetId, Bound, Edition, Manifest, Part, Partition};
pub use store::{ByteStream, Error as FileError, Files};

pub(super) use export::export_folder;
pub(super) use manifest::hex;
