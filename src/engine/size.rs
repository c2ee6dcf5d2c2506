//! About how long an answer is, from the contract alone: values are taken to be as long as its examples.

use arrow_schema::DataType;

use super::document;
use crate::catalog::{RelationKind, Type};
use crate::encode::{MediaType, Style};
use crate::plan::{Field, Output, Plan};

/// `{"data":[],"page":{…},"meta":{…}}` without the rows.
const ENVELOPE_BYTES: u64 = 220;

/// Bytes of a page of so many rows; `None` where nobody can tell. That is Parquet, whose length hangs on how alike values
/// are, and what has no place for the answer.
pub(super) fn page_bytes(plan: &Plan, media_type: MediaType, rows: u64) -> Option<u64> {
    // Without rows, each is as long as it says itself.
    let empty = || document(plan, &[], &Style::default(), media_type).ok().map(|empty| empty.len() as u64);
    match media_type {
        // A row has its braces, and a comma or an end of the line.
        MediaType::Json => Some(rows * (json_row(plan) + 2) + ENVELOPE_BYTES),
        MediaType::Ndjson => Some(rows * (json_row(plan) + 2)),
        MediaType::Csv if plan.related().is_empty() => Some(rows * csv_row(plan) + empty()?),
        MediaType::Arrow => Some(rows * arrow_row_bits(plan) / 8 + empty()?),
        MediaType::Csv | MediaType::Parquet => None,
    }
}

/// Bytes of the members of a row of JSON: its fields, and as many related rows as there may be.
fn json_row(plan: &Plan) -> u64 {
    let own = shown(plan).map(|field| (field.name.as_str().len() + "\"\":,".len()) as u64 + value(plan, field));
    let related = plan.related().iter().map(|related| {
        let rows = u64::from(related.plan.limit()) * (json_row(&related.plan) + 2);
        (related.name.as_str().len() + "\"\":[],".len()) as u64 + rows
    });
    own.sum::<u64>() + related.sum::<u64>()
}

/// Each value has a comma or the end of the line behind it, which is one byte longer.
fn csv_row(plan: &Plan) -> u64 {
    shown(plan).map(|field| value(plan, field).saturating_sub(quotes(field)) + 1).sum::<u64>() + 1
}

/// Bits, since a null takes one.
fn arrow_row_bits(plan: &Plan) -> u64 {
    let own = shown(plan).map(|field| {
        let bytes = match field.data_type.arrow() {
            DataType::Boolean => return 2,
            DataType::Int32 | DataType::Date32 => 4,
            DataType::Int64 | DataType::Float64 | DataType::Timestamp(..) => 8,
            DataType::Decimal128(..) => 16,
            // An offset, and the text.
            _ => 4 + value(plan, field).saturating_sub(quotes(field)),
        };
        bytes * 8 + u64::from(field.nullable)
    });
    let related = plan.related().iter().map(|related| {
        let offset = if related.kind == RelationKind::Many { 32 } else { 1 };
        offset + u64::from(related.plan.limit()) * arrow_row_bits(&related.plan)
    });
    own.sum::<u64>() + related.sum::<u64>()
}

fn shown(plan: &Plan) -> impl Iterator<Item = &Field> {
    plan.fields().iter().take(plan.shown())
}

/// What JSON puts around a value of the type, and nothing else does.
fn quotes(field: &Field) -> u64 {
    match field.data_type {
        Type::String | Type::Date | Type::Timestamp => 2,
        _ => 0,
    }
}

/// Bytes of a value in JSON: as long as the contract's example, or as values of its type mostly are.
fn value(plan: &Plan, field: &Field) -> u64 {
    let example = match field.output {
        Output::Column(index) => plan.column(index).example.as_ref(),
        _ => None,
    };
    let bytes = match example {
        Some(example) if field.data_type != Type::Bool => example.to_string().len(),
        _ => match field.data_type {
            Type::Bool => 5,
            Type::Int32 => 6,
            Type::Int64 => 9,
            Type::Float64 => 18,
            Type::Decimal { precision, .. } => usize::from(precision) / 2 + 2,
            Type::Date => 12,
            Type::Timestamp => 22,
            Type::String | Type::StringList => 16,
            Type::Json => 60,
        },
    };
    bytes as u64
}
