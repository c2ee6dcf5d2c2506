//! Record batches to bytes. This room knows Arrow types and media types; no dataset, no plan, no HTTP.

mod json;
mod media_type;
mod text;

pub use json::{Numbers, one, page};
pub use media_type::{MediaType, NotAcceptable};
pub use text::{write_date, write_decimal, write_timestamp};

use arrow_schema::DataType;

/// Why batches are not encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A column is of a type that no contract has.
    #[error("encode a column of type {0}")]
    Type(DataType),
}
