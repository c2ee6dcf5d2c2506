//! Rows as CSV (RFC 4180), straight from the arrays: exact digits, the same texts as in JSON.
//!
//! Null is nothing at all, and an empty text is two quotes: the two can be told apart by whoever looks.

use arrow_array::{Array as _, RecordBatch};
use arrow_schema::Schema;

use super::json::{Cells, Values, cells};
use super::text::write_local;
use super::{Error, Style, write_date, write_decimal, write_timestamp};

/// RFC 4180 ends lines so, on every system.
const END: &[u8] = b"\r\n";

/// Writes the names of the columns.
pub(super) fn write_header(schema: &Schema, out: &mut Vec<u8>) {
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_cell(field.name(), out);
    }
    out.extend_from_slice(END);
}

/// Writes the rows of a batch.
pub(super) fn write_rows(batch: &RecordBatch, style: &Style, out: &mut Vec<u8>) -> Result<(), Error> {
    let columns = cells(batch.schema_ref().fields(), batch.columns(), style)?;
    // Rows inside rows have no place in a table.
    let nested = columns.iter().position(|column| matches!(column.values, Values::Row(_) | Values::Rows(..)));
    if let Some(column) = nested {
        return Err(Error::Type(batch.column(column).data_type().clone()));
    }
    let mut scratch = Vec::new();
    // A line with nothing on it is no record to many readers: the null that stands alone is two quotes.
    let alone = columns.len() == 1;
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let begun = out.len();
            write_value(column, row, style.guarded, &mut scratch, out);
            if alone && out.len() == begun {
                out.extend_from_slice(b"\"\"");
            }
        }
        out.extend_from_slice(END);
    }
    Ok(())
}

fn write_value(column: &Cells<'_>, row: usize, guarded: bool, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    if column.array.is_null(row) {
        return;
    }
    match &column.values {
        Values::Text(array) => {
            let text = array.value(row);
            if guarded && text.starts_with(begins_formula) {
                scratch.clear();
                scratch.push(b'\'');
                scratch.extend_from_slice(text.as_bytes());
                write_bytes(scratch, out);
            } else {
                write_cell(text, out);
            }
        }
        Values::Json(array) => write_cell(array.value(row), out),
        Values::Float64(array) => {
            let float = array.value(row);
            // As in JSON, NaN and infinities are null.
            if float.is_finite() {
                out.extend_from_slice(ryu::Buffer::new().format_finite(float).as_bytes());
            }
        }
        Values::Date(array) => write_date(array.value(row), out),
        Values::Timestamp(array, None) => write_timestamp(array.value(row), out),
        Values::Timestamp(array, Some(zone)) => write_local(array.value(row), zone, out),
        Values::Decimal(array, scale) => write_decimal(array.value(row), *scale, out),
        Values::Bool(_) | Values::Int32(_) | Values::Int64(_) => column.values.write(row, out),
        Values::List(_) | Values::Row(_) | Values::Rows(..) | Values::Fixed(_) => {
            scratch.clear();
            column.values.write(row, scratch);
            write_bytes(scratch, out);
        }
    }
}

/// What makes a spreadsheet take a text for a formula, by OWASP's list: signs in their wide forms too, and blanks that it
/// skips.
fn begins_formula(first: char) -> bool {
    matches!(first, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠')
}

fn write_cell(text: &str, out: &mut Vec<u8>) {
    write_bytes(text.as_bytes(), out);
}

/// A text, in quotes only where it needs them.
fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let plain = !bytes.is_empty() && !bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n'));
    if plain {
        return out.extend_from_slice(bytes);
    }
    out.push(b'"');
    for (index, part) in bytes.split(|byte| *byte == b'"').enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use arrow_array::builder::{ListBuilder, StringBuilder};
    use arrow_array::{ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray};
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    fn written(batch: &RecordBatch, style: &Style) -> String {
        let mut out = Vec::new();
        write_header(batch.schema_ref(), &mut out);
        write_rows(batch, style, &mut out).expect("rows");
        String::from_utf8(out).expect("UTF-8")
    }

    /// Records as RFC 4180 reads them; a field without quotes and without text is null.
    fn read(text: &str) -> Vec<Vec<Option<String>>> {
        let (mut records, mut record, mut rest) = (Vec::new(), Vec::new(), text);
        while !rest.is_empty() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let mut field = String::new();
                let mut after = quoted;
                loop {
                    let (inside, behind) = after.split_once('"').expect("a closing quote");
                    field.push_str(inside);
                    match behind.strip_prefix('"') {
                        Some(further) => {
                            field.push('"');
                            after = further;
                        }
                        None => {
                            rest = behind;
                            break;
                        }
                    }
                }
                record.push(Some(field));
            } else {
                let end = rest.find([',', '\r', '\n']).expect("an end of the field");
                record.push(Some(rest[..end].to_owned()).filter(|field| !field.is_empty()));
                rest = &rest[end..];
            }
            if let Some(further) = rest.strip_prefix("\r\n") {
                records.push(std::mem::take(&mut record));
                rest = further;
            } else {
                rest = rest.strip_prefix(',').expect("a comma or the end of the line");
            }
        }
        records
    }

    proptest! {
        #[test]
        fn texts_read_back(
            one in prop::collection::vec(prop::option::of("[a,\"\r\n\t=é ]{0,5}"), 1..20),
            other: String,
        ) {
            let texts: ArrayRef = Arc::new(StringArray::from(one.clone()));
            let others: ArrayRef = Arc::new(StringArray::from(vec![other.clone(); one.len()]));
            let batch = RecordBatch::try_from_iter([("one", texts), ("other", others)]).expect("a batch");
            let records = read(&written(&batch, &Style::default()));
            let expected: Vec<Vec<Option<String>>> = [vec![Some("one".to_owned()), Some("other".to_owned())]]
                .into_iter()
                .chain(one.into_iter().map(|text| vec![text, Some(other.clone())]))
                .collect();
            prop_assert_eq!(records, expected);
        }
    }

    #[test]
    fn every_type_has_its_text() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a\"b"), Some("c,d")]);
        lists.append_value([] as [Option<&str>; 0]);
        lists.append_null();
        let decimal = Decimal128Array::from(vec![Some(10_i128.pow(38) - 1), Some(-5), None]);
        let instants = arrow_array::TimestampMicrosecondArray::from(vec![
            Some(-62_135_596_800_000_000),
            Some(253_402_300_799_999_999),
            None,
        ]);
        let columns: [(&str, ArrayRef); 7] = [
            ("bool", Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]))),
            ("int", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(0), None]))),
            ("float", Arc::new(Float64Array::from(vec![Some(0.1), Some(f64::NAN), Some(1e300)]))),
            ("decimal", Arc::new(decimal.with_precision_and_scale(38, 2).expect("a type"))),
            ("date", Arc::new(Date32Array::from(vec![Some(-719_162), Some(2_932_896), None]))),
            ("instant", Arc::new(instants.with_timezone("UTC"))),
            ("list", Arc::new(lists.finish())),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let expected = format!(
            "bool,int,float,decimal,date,instant,list\r\n\
             true,-9223372036854775808,0.1,{}.99,0001-01-01,0001-01-01T00:00:00Z,\"[\"\"a\\\"\"b\"\",\"\"c,d\"\"]\"\r\n\
             false,0,,-0.05,9999-12-31,9999-12-31T23:59:59.999999Z,[]\r\n\
             ,,1e300,,,,\r\n",
            "9".repeat(36)
        );
        assert_eq!(written(&batch, &Style::default()), expected);
        let zone = Some(TimeZone::get("Asia/Tokyo").expect("a zone"));
        assert!(written(&batch, &Style { zone, ..Style::default() }).contains(",0001-01-01T09:18:00+09:18,"));
    }

    #[test]
    fn the_guard_is_for_texts_that_a_spreadsheet_would_compute() {
        let texts = ["=1+1", "+1", "-1", "@a", "\tx", "\rx", "\nx", "＝1", "a=1", "'=1", ""];
        let batch = RecordBatch::try_from_iter([
            ("text", Arc::new(StringArray::from(texts.to_vec())) as ArrayRef),
            ("number", Arc::new(Int64Array::from(vec![-1; texts.len()]))),
        ]);
        let batch = batch.expect("a batch");
        let guarded = read(&written(&batch, &Style { guarded: true, ..Style::default() }));
        let plain = read(&written(&batch, &Style::default()));
        for (index, text) in texts.iter().enumerate() {
            let expected = if index < 8 { format!("'{text}") } else { (*text).to_owned() };
            assert_eq!(guarded[index + 1], [Some(expected), Some("-1".into())]);
            assert_eq!(plain[index + 1], [Some((*text).to_owned()), Some("-1".into())]);
        }
    }

    #[test]
    fn no_record_is_an_empty_line() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, Some(2)]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).expect("a batch");
        assert_eq!(written(&batch, &Style::default()), "n\r\n1\r\n\"\"\r\n2\r\n");
    }
}
