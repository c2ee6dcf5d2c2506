//! Record batches to bytes, and bytes to fewer of them. This room knows Arrow types and media types; no dataset, no plan, no HTTP.

mod coding;
mod csv;
mod encoder;
mod finite;
mod json;
mod media_type;
mod nest;
mod row_group;
mod text;
mod tree;

pub use coding::{Coding, Codings};
pub use encoder::{Encoder, Facts, Note};
pub use json::{Numbers, Style, columns, one, page};
pub use media_type::{MediaType, MediaTypes, Refused};
pub use nest::{nest_many, nest_one};
pub use text::{write_date, write_decimal, write_timestamp};
pub use tree::{EdgePart, Form, Node, Output, PageInfo, Part, Standing, tree};

use arrow_schema::{ArrowError, DataType};
use parquet::errors::ParquetError;

/// Why batches are not encoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A column is of a type that no contract has, or that the media type has no place for.
    #[error("encode a column of type {0}")]
    Type(DataType),
    /// A selection asks for a column that rows do not have.
    #[error("find column {0} of the rows")]
    NoColumn(String),
    /// Rows cannot be put inside others.
    #[error("put related rows inside rows")]
    Nest(#[source] ArrowError),
    /// The media type is one document, whose end stands in its beginning.
    #[error("write {} batch by batch", .0.as_str())]
    Whole(MediaType),
    /// Arrow's writer refuses.
    #[error("write an Arrow stream")]
    Arrow(#[source] ArrowError),
    /// Parquet's writer refuses.
    #[error("write Parquet")]
    Parquet(#[source] ParquetError),
}
