//! Record batches to bytes. This room knows Arrow types and media types; no dataset, no plan, no HTTP.

mod json;
mod media_type;
mod nest;
mod text;

pub use json::{Numbers, Style, one, page};
pub use media_type::{MediaType, NotAcceptable};
pub use nest::{nest_many, nest_one};
pub use text::{write_date, write_decimal, write_timestamp};

use arrow_schema::{ArrowError, DataType};

/// Why batches are not encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A column is of a type that no contract has.
    #[error("encode a column of type {0}")]
    Type(DataType),
    /// Rows cannot be put inside others.
    #[error("put related rows inside rows")]
    Nest(#[source] ArrowError),
}
