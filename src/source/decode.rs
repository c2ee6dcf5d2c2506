//! Rows to record batches in the contract's types, the same from every source.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field};
use serde_json::value::RawValue;

use super::{BATCH_ROWS, Error, Reading};
use crate::catalog::Type;
use crate::plan::Value;

/// Nested deeper, a JSON value is no mart's.
const JSON_DEPTH_MAX: usize = 64;

/// A cell as a source read it.
pub(super) enum Cell<'r> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Digits at the column's scale.
    Decimal(i128),
    Text(&'r str),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    List(Vec<&'r str>),
}

/// One column under construction.
pub(super) enum ColumnBuilder {
    Bool(BooleanBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Float64(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    Json(StringBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    List(ListBuilder<StringBuilder>),
}

/// A cell that its column cannot hold exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

impl ColumnBuilder {
    pub(super) fn new(data_type: Type, rows: usize) -> Self {
        match data_type {
            Type::Bool => Self::Bool(BooleanBuilder::with_capacity(rows)),
            Type::Int32 => Self::Int32(Int32Builder::with_capacity(rows)),
            Type::Int64 => Self::Int64(Int64Builder::with_capacity(rows)),
            Type::Float64 => Self::Float64(Float64Builder::with_capacity(rows)),
            Type::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::with_capacity(rows).with_data_type(data_type.arrow()))
            }
            Type::String => Self::Text(StringBuilder::with_capacity(rows, rows * 16)),
            Type::Json => Self::Json(StringBuilder::with_capacity(rows, rows * 64)),
            Type::Date => Self::Date(Date32Builder::with_capacity(rows)),
            Type::Timestamp => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(rows).with_timezone("UTC")),
            Type::StringList => {
                Self::List(ListBuilder::with_capacity(StringBuilder::new(), rows).with_field(Arc::new(Field::new(
                    "item",
                    DataType::Utf8,
                    false,
                ))))
            }
        }
    }

    /// Adds a cell.
    pub(super) fn append(&mut self, cell: Cell<'_>) -> Result<(), Unfit> {
        match (self, cell) {
            (Self::Bool(builder), Cell::Bool(bool)) => builder.append_value(bool),
            (Self::Bool(builder), Cell::Null) => builder.append_null(),
            (Self::Int32(builder), Cell::Int(int)) => builder.append_value(i32::try_from(int).map_err(|_| Unfit)?),
            (Self::Int32(builder), Cell::Null) => builder.append_null(),
            (Self::Int64(builder), Cell::Int(int)) => builder.append_value(int),
            (Self::Int64(builder), Cell::Null) => builder.append_null(),
            // SQLite keeps no negative zero, and the two are equal: one form makes their bytes equal.
            (Self::Float64(builder), Cell::Float(float)) => builder.append_value(float + 0.0),
            (Self::Float64(builder), Cell::Null) => builder.append_null(),
            (Self::Decimal(builder), Cell::Decimal(decimal)) => builder.append_value(decimal),
            (Self::Decimal(builder), Cell::Null) => builder.append_null(),
            (Self::Text(builder), Cell::Text(text)) => builder.append_value(text),
            (Self::Json(builder), Cell::Text(text)) => builder.append_value(canonical_json(text).ok_or(Unfit)?),
            (Self::Text(builder) | Self::Json(builder), Cell::Null) => builder.append_null(),
            (Self::Date(builder), Cell::Date(days)) => builder.append_value(days),
            (Self::Date(builder), Cell::Null) => builder.append_null(),
            (Self::Timestamp(builder), Cell::Timestamp(micros)) => builder.append_value(micros),
            (Self::Timestamp(builder), Cell::Null) => builder.append_null(),
            (Self::List(builder), Cell::List(items)) => builder.append_value(items.into_iter().map(Some)),
            (Self::List(builder), Cell::Null) => builder.append_null(),
            _ => return Err(Unfit),
        }
        Ok(())
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Bool(builder) => Arc::new(builder.finish()),
            Self::Int32(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => Arc::new(builder.finish()),
            Self::Text(builder) | Self::Json(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
            Self::List(builder) => Arc::new(builder.finish()),
        }
    }
}

/// The one value that a column of it would hold; `None` where there is none.
pub(super) fn read_one(data_type: Type, append: impl FnOnce(&mut ColumnBuilder) -> Result<(), Unfit>) -> Option<Value> {
    let mut builder = ColumnBuilder::new(data_type, 1);
    append(&mut builder).ok()?;
    Value::at(data_type, &builder.finish(), 0)
}

/// The rows of one statement on their way into batches.
pub(super) struct Rows {
    pub(super) reading: Reading,
    pub(super) builders: Vec<ColumnBuilder>,
    pending: usize,
}

impl Rows {
    /// Rows of those columns, with room for as many as are expected at first.
    pub(super) fn of(reading: Reading) -> Self {
        let rows = BATCH_ROWS.min(reading.rows);
        let builders = reading.columns.iter().map(|(_, data_type)| ColumnBuilder::new(*data_type, rows)).collect();
        Self { reading, builders, pending: 0 }
    }

    /// Counts a row whose cells were appended; yields the batch that it filled.
    pub(super) fn added(&mut self) -> Result<Option<RecordBatch>, Error> {
        self.pending += 1;
        if self.pending < BATCH_ROWS { Ok(None) } else { self.rest() }
    }

    /// What is left when the last row has come.
    pub(super) fn rest(&mut self) -> Result<Option<RecordBatch>, Error> {
        if std::mem::take(&mut self.pending) == 0 {
            return Ok(None);
        }
        let arrays = self.builders.iter_mut().map(ColumnBuilder::finish).collect();
        self.reading.batch(arrays).map(Some)
    }
}

/// Compact JSON with sorted keys and numbers as they were written; `None` when the text is no JSON.
///
/// Databases keep JSON in forms of their own (`jsonb` reorders keys and adds spaces): one form makes their bytes equal.
pub(crate) fn canonical_json(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    write_json(text, &mut out, JSON_DEPTH_MAX)?;
    Some(out)
}

fn write_json(text: &str, out: &mut String, depth: usize) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    match text.as_bytes().first()? {
        b'{' => {
            let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key).ok()?);
                out.push(':');
                write_json(value.get(), out, depth)?;
            }
            out.push('}');
        }
        b'[' => {
            let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_json(item.get(), out, depth)?;
            }
            out.push(']');
        }
        b'"' => out.push_str(&serde_json::to_string(&serde_json::from_str::<String>(text).ok()?).ok()?),
        _ => out.push_str(serde_json::from_str::<&RawValue>(text).ok()?.get()),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_one_form() {
        let canonical = |text| canonical_json(text).expect(text);
        assert_eq!(
            canonical(r#" {"b": [1, 2.50, "\u00e9"], "a": {"y": null, "x": true}} "#),
            r#"{"a":{"x":true,"y":null},"b":[1,2.50,"é"]}"#
        );
        assert_eq!(canonical("12345678901234567890.10"), "12345678901234567890.10");
        assert_eq!(canonical_json("{"), None);
        assert_eq!(canonical_json(""), None);
        assert_eq!(canonical_json(&"[".repeat(100)), None);
    }
}
