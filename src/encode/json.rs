//! Rows as JSON, straight from the arrays: exact digits, no value tree in between.

use std::sync::{Arc, LazyLock};

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    NullArray, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use jiff::tz::TimeZone;

use super::text::write_local;
use super::{Error, write_date, write_decimal, write_timestamp};

/// How numbers that a double cannot hold are written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Numbers {
    /// As JSON numbers with all their digits.
    #[default]
    Exact,
    /// int64 and decimals as strings, for readers that would round them.
    Text,
}

/// How values are written.
#[derive(Clone, Debug, Default)]
pub struct Style {
    /// Numbers that a double cannot hold.
    pub numbers: Numbers,
    /// The zone of timestamps; UTC without it.
    pub zone: Option<TimeZone>,
    /// Whether texts of a CSV that a spreadsheet would take for formulas get an apostrophe before them.
    pub guarded: bool,
}

/// A page: `{"data":[…],"page":…,"meta":…}`. `page` and `meta` are JSON texts.
///
/// # Errors
/// When a column is of a type that no contract has.
pub fn page(batches: &[RecordBatch], style: &Style, page: &str, meta: &str) -> Result<Vec<u8>, Error> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let columns = batches.first().map_or(0, RecordBatch::num_columns);
    // About what a row of prices takes; growing doubles it at worst.
    let mut out = Vec::with_capacity(256 + rows * columns * 24);
    out.extend_from_slice(b"{\"data\":[");
    let mut first = true;
    for batch in batches {
        let cells = cells(batch.schema_ref().fields(), batch.columns(), style)?;
        for row in 0..batch.num_rows() {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            write_row(&cells, row, &mut out);
        }
    }
    out.push(b']');
    write_rest(page, meta, &mut out);
    Ok(out)
}

/// A page by its columns: `{"data":{"a":[…],"b":[…]},"page":…,"meta":…}`.
///
/// # Errors
/// When a column is of a type that no contract has.
pub fn columns(
    schema: &Schema,
    batches: &[RecordBatch],
    style: &Style,
    page: &str,
    meta: &str,
) -> Result<Vec<u8>, Error> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut out = Vec::with_capacity(256 + rows * schema.fields().len() * 12);
    out.extend_from_slice(b"{\"data\":{");
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_text(field.name(), &mut out);
        out.extend_from_slice(b":[");
        let mut first = true;
        for batch in batches {
            let cell = cell(field, batch.column(index), style)?;
            for row in 0..batch.num_rows() {
                if !std::mem::take(&mut first) {
                    out.push(b',');
                }
                cell.write(row, &mut out);
            }
        }
        out.push(b']');
    }
    out.push(b'}');
    write_rest(page, meta, &mut out);
    Ok(out)
}

/// Writes the rows of a batch, a line each.
pub(super) fn write_lines(batch: &RecordBatch, style: &Style, out: &mut Vec<u8>) -> Result<(), Error> {
    let cells = cells(batch.schema_ref().fields(), batch.columns(), style)?;
    for row in 0..batch.num_rows() {
        write_row(&cells, row, out);
        out.push(b'\n');
    }
    Ok(())
}

fn write_rest(page: &str, meta: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"page\":");
    out.extend_from_slice(page.as_bytes());
    out.extend_from_slice(b",\"meta\":");
    out.extend_from_slice(meta.as_bytes());
    out.push(b'}');
}

/// One row: `{"data":{…},"meta":…}`.
///
/// # Errors
/// When a column is of a type that no contract has.
pub fn one(batch: &RecordBatch, style: &Style, meta: &str) -> Result<Vec<u8>, Error> {
    let mut out = b"{\"data\":".to_vec();
    write_row(&cells(batch.schema_ref().fields(), batch.columns(), style)?, 0, &mut out);
    out.extend_from_slice(b",\"meta\":");
    out.extend_from_slice(meta.as_bytes());
    out.push(b'}');
    Ok(out)
}

/// A column that is ready to be written: its key with quotes and colon, and its typed array.
pub(super) struct Cells<'b> {
    pub(super) key: Vec<u8>,
    pub(super) array: &'b ArrayRef,
    pub(super) values: Values<'b>,
    quoted: bool,
}

pub(super) enum Values<'b> {
    Bool(&'b BooleanArray),
    Int32(&'b Int32Array),
    Int64(&'b Int64Array),
    Float64(&'b Float64Array),
    Decimal(&'b Decimal128Array, u8),
    Text(&'b StringArray),
    Json(&'b StringArray),
    Date(&'b Date32Array),
    Timestamp(&'b TimestampMicrosecondArray, Option<&'b TimeZone>),
    List(&'b ListArray),
    /// A related row.
    Row(Vec<Cells<'b>>),
    /// The same text in every row.
    Fixed(Vec<u8>),
    /// Related rows: where those of each row begin, and the rows of all.
    Rows(&'b OffsetBuffer<i32>, Vec<Cells<'b>>),
}

pub(super) fn cells<'b>(fields: &Fields, columns: &'b [ArrayRef], style: &'b Style) -> Result<Vec<Cells<'b>>, Error> {
    fields.iter().zip(columns).map(|(field, array)| cell(field, array, style)).collect()
}

pub(super) fn cell<'b>(field: &Field, array: &'b ArrayRef, style: &'b Style) -> Result<Cells<'b>, Error> {
    let values = match field.data_type() {
        DataType::Boolean => Values::Bool(array.as_boolean()),
        DataType::Int32 => Values::Int32(array.as_primitive::<Int32Type>()),
        DataType::Int64 => Values::Int64(array.as_primitive::<Int64Type>()),
        DataType::Float64 => Values::Float64(array.as_primitive::<Float64Type>()),
        DataType::Decimal128(_, scale) => Values::Decimal(array.as_primitive::<Decimal128Type>(), scale.unsigned_abs()),
        DataType::Utf8 if field.extension_type_name() == Some("arrow.json") => Values::Json(array.as_string()),
        DataType::Utf8 => Values::Text(array.as_string()),
        DataType::Date32 => Values::Date(array.as_primitive::<Date32Type>()),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Values::Timestamp(array.as_primitive::<TimestampMicrosecondType>(), style.zone.as_ref())
        }
        DataType::Struct(fields) => Values::Row(cells(fields, array.as_struct().columns(), style)?),
        DataType::List(item) if let DataType::Struct(fields) = item.data_type() => {
            let list = array.as_list::<i32>();
            Values::Rows(list.offsets(), cells(fields, list.values().as_struct().columns(), style)?)
        }
        DataType::List(item) if *item.data_type() == DataType::Utf8 => Values::List(array.as_list()),
        other => return Err(Error::Type(other.clone())),
    };
    let quoted = style.numbers == Numbers::Text && matches!(values, Values::Int64(_) | Values::Decimal(..));
    Ok(Cells { key: named(field.name()), array, values, quoted })
}

/// A member's name with quotes and colon.
pub(super) fn named(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(name.len() + 3);
    write_text(name, &mut key);
    key.push(b':');
    key
}

pub(super) fn write_row(cells: &[Cells<'_>], row: usize, out: &mut Vec<u8>) {
    out.push(b'{');
    for (index, cell) in cells.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(&cell.key);
        cell.write(row, out);
    }
    out.push(b'}');
}

impl<'b> Cells<'b> {
    /// Values of a column, without a name yet.
    pub(super) fn of(array: &'b ArrayRef, values: Values<'b>) -> Self {
        Self { key: Vec::new(), array, values, quoted: false }
    }

    /// The same text in every row, without a name yet.
    pub(super) fn fixed(text: Vec<u8>) -> Self {
        // No row is looked up in it.
        static NONE: LazyLock<ArrayRef> = LazyLock::new(|| Arc::new(NullArray::new(0)));
        Self::of(&NONE, Values::Fixed(text))
    }
}

impl Cells<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if let Values::Fixed(text) = &self.values {
            return out.extend_from_slice(text);
        }
        if self.array.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        if self.quoted {
            out.push(b'"');
        }
        self.values.write(row, out);
        if self.quoted {
            out.push(b'"');
        }
    }
}

impl Values<'_> {
    /// Writes a value that is not null.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Bool(array) => out.extend_from_slice(if array.value(row) { b"true" } else { b"false" }),
            Self::Int32(array) => out.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes()),
            Self::Int64(array) => out.extend_from_slice(itoa::Buffer::new().format(array.value(row)).as_bytes()),
            Self::Float64(array) => write_float(array.value(row), out),
            Self::Decimal(array, scale) => write_decimal(array.value(row), *scale, out),
            Self::Text(array) => write_text(array.value(row), out),
            Self::Json(array) => out.extend_from_slice(array.value(row).as_bytes()),
            Self::Date(array) => {
                out.push(b'"');
                write_date(array.value(row), out);
                out.push(b'"');
            }
            Self::Timestamp(array, zone) => {
                out.push(b'"');
                match zone {
                    None => write_timestamp(array.value(row), out),
                    Some(zone) => write_local(array.value(row), zone, out),
                }
                out.push(b'"');
            }
            Self::Fixed(text) => out.extend_from_slice(text),
            Self::Row(cells) => write_row(cells, row, out),
            Self::Rows(offsets, cells) => {
                // Offsets of a list go up, and none is negative.
                let bound = |place: usize| usize::try_from(offsets[place]).unwrap_or_default();
                out.push(b'[');
                for (place, row) in (bound(row)..bound(row + 1)).enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    write_row(cells, row, out);
                }
                out.push(b']');
            }
            Self::List(array) => {
                out.push(b'[');
                let items = array.value(row);
                for (index, item) in items.as_string::<i32>().iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_text(item.unwrap_or_default(), out);
                }
                out.push(b']');
            }
        }
    }
}

/// The shortest digits that read back as the same double; JSON knows no NaN and no infinity, so they are null.
fn write_float(float: f64, out: &mut Vec<u8>) {
    if float.is_finite() {
        out.extend_from_slice(ryu::Buffer::new().format_finite(float).as_bytes());
    } else {
        out.extend_from_slice(b"null");
    }
}

/// A JSON string. Only what RFC 8259 demands is escaped.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut plain = 0;
    for (index, byte) in bytes.iter().enumerate() {
        let escape: Option<u8> = match byte {
            b'"' => Some(b'"'),
            b'\\' => Some(b'\\'),
            b'\n' => Some(b'n'),
            b'\r' => Some(b'r'),
            b'\t' => Some(b't'),
            0..=0x1F => None,
            _ => continue,
        };
        out.extend_from_slice(&bytes[plain..index]);
        plain = index + 1;
        match escape {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.extend_from_slice(&bytes[plain..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn texts_read_back(text: String) {
            let mut out = Vec::new();
            write_text(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).expect("JSON"), text);
        }

        #[test]
        fn floats_read_back_or_are_null(float: f64) {
            let mut out = Vec::new();
            write_float(float, &mut out);
            let text = std::str::from_utf8(&out).expect("ASCII");
            prop_assert!(serde_json::from_str::<Option<f64>>(text).is_ok());
            // Rust's own parser, since serde_json's is off by one bit here and there.
            let read = text.parse::<f64>().ok().map(f64::to_bits);
            prop_assert_eq!(read, Some(float.to_bits()).filter(|_| float.is_finite()));
        }
    }

    #[test]
    fn a_page_by_its_columns_has_every_value_of_each_and_no_row_is_an_empty_list() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "\""]));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).expect("a batch");
        let schema = batch.schema();
        let written = |batches: &[RecordBatch]| {
            String::from_utf8(columns(&schema, batches, &Style::default(), "0", "0").expect("a page")).expect("UTF-8")
        };
        assert_eq!(
            written(&[batch.clone(), batch.slice(0, 1)]),
            r#"{"data":{"n":[1,null,1],"t":["a","\"","a"]},"page":0,"meta":0}"#
        );
        assert_eq!(written(&[]), r#"{"data":{"n":[],"t":[]},"page":0,"meta":0}"#);
    }

    #[test]
    fn numbers_keep_their_digits_as_numbers_and_as_text() {
        let int: ArrayRef = Arc::new(Int64Array::from(vec![Some(9_007_199_254_740_993), None]));
        let decimal =
            Decimal128Array::from(vec![10_i128.pow(38) - 1, -5]).with_precision_and_scale(38, 2).expect("a type");
        let decimal: ArrayRef = Arc::new(decimal);
        let batch = RecordBatch::try_from_iter([("i", int), ("d", decimal)]).expect("a batch");
        let exact = page(std::slice::from_ref(&batch), &Style::default(), "1", "2").expect("a page");
        let style = Style { numbers: Numbers::Text, ..Style::default() };
        let text = page(&[batch], &style, "1", "2").expect("a page");
        let widest = format!("{}.99", "9".repeat(36));
        assert_eq!(
            String::from_utf8(exact).expect("UTF-8"),
            format!(r#"{{"data":[{{"i":9007199254740993,"d":{widest}}},{{"i":null,"d":-0.05}}],"page":1,"meta":2}}"#)
        );
        assert_eq!(
            String::from_utf8(text).expect("UTF-8"),
            format!(
                r#"{{"data":[{{"i":"9007199254740993","d":"{widest}"}},{{"i":null,"d":"-0.05"}}],"page":1,"meta":2}}"#
            )
        );
    }
}
