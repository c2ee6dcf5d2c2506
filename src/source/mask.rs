//! Masks on record batches: what leaves this room shows no more of a value than the plan says. A mask keeps its column's
//! type, and null stays null.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{ArrayRef, RecordBatch, StringArray, new_null_array};
use futures_util::StreamExt as _;

use crate::auth::{Mask, MaskKey};
use crate::catalog::{Bucket, Type};
use crate::plan::Plan;

use super::{BatchStream, Error};

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The batches as the plan shows them.
pub(super) fn masked(batches: BatchStream, plan: &Plan) -> BatchStream {
    let fields = plan.fields().iter().enumerate();
    let masks: Vec<(usize, Mask, Type)> =
        fields.filter_map(|(place, field)| Some((place, field.mask?, field.data_type))).collect();
    if masks.is_empty() {
        return batches;
    }
    let key = plan.mask_key().cloned();
    Box::pin(batches.map(move |batch| {
        let batch = batch?;
        let schema = batch.schema();
        let mut columns = batch.columns().to_vec();
        for (place, mask, data_type) in &masks {
            columns[*place] = shown(&columns[*place], *mask, *data_type, key.as_ref());
        }
        RecordBatch::try_new(schema, columns).map_err(Error::Batch)
    }))
}

/// A column behind a mask. What does not fit the type, as no compiled matrix has it, shows nothing.
fn shown(column: &ArrayRef, mask: Mask, data_type: Type, key: Option<&MaskKey>) -> ArrayRef {
    match (mask, data_type, key) {
        (Mask::Hash, Type::String, Some(key)) => texts(column, |text| key.hash(text)),
        (Mask::Last(characters), Type::String, _) => texts(column, |text| last(text, characters).to_owned()),
        (Mask::Round(digits), Type::Int32, _) => Arc::new(column.as_primitive::<Int32Type>().unary::<_, Int32Type>(
            // A multiple of ten that is no int32 shows as the nearest one that is.
            |int| {
                round(int.into(), -i32::from(digits), i32::MIN.into(), i32::MAX.into()).try_into().unwrap_or_default()
            },
        )),
        (Mask::Round(digits), Type::Int64, _) => {
            Arc::new(column.as_primitive::<Int64Type>().unary::<_, Int64Type>(|int| {
                round(int.into(), -i32::from(digits), i64::MIN.into(), i64::MAX.into()).try_into().unwrap_or_default()
            }))
        }
        (Mask::Round(digits), Type::Decimal { precision, scale }, _) => {
            let greatest = 10_i128.pow(precision.into()) - 1;
            let dropped = i32::from(scale) - i32::from(digits);
            let decimals = column.as_primitive::<Decimal128Type>();
            let rounded = decimals.unary::<_, Decimal128Type>(|decimal| round(decimal, dropped, -greatest, greatest));
            Arc::new(rounded.with_data_type(column.data_type().clone()))
        }
        (Mask::Round(digits), Type::Float64, _) => {
            let floats = column.as_primitive::<Float64Type>();
            Arc::new(floats.unary::<_, Float64Type>(|float| round_float(float, digits)))
        }
        (Mask::Truncate(bucket), Type::Date, _) => {
            let dates = column.as_primitive::<Date32Type>();
            Arc::new(dates.unary::<_, Date32Type>(|days| bucket.first_day(days)))
        }
        (Mask::Truncate(bucket), Type::Timestamp, _) => {
            let instants = column.as_primitive::<TimestampMicrosecondType>();
            let begun = instants.unary::<_, TimestampMicrosecondType>(|micros| first_micro(bucket, micros));
            Arc::new(begun.with_data_type(column.data_type().clone()))
        }
        (Mask::Redact | Mask::Hash | Mask::Last(_) | Mask::Round(_) | Mask::Truncate(_), _, _) => {
            new_null_array(column.data_type(), column.len())
        }
    }
}

fn texts(column: &ArrayRef, shown: impl Fn(&str) -> String) -> ArrayRef {
    Arc::new(column.as_string::<i32>().iter().map(|text| text.map(&shown)).collect::<StringArray>())
}

fn last(text: &str, characters: u8) -> &str {
    let from = text.char_indices().rev().take(characters.into()).last();
    from.map_or("", |(at, _)| &text[at..])
}

/// Without so many of its last digits, half away from zero, and the least or the greatest where that is out of range.
fn round(value: i128, digits: i32, least: i128, greatest: i128) -> i128 {
    let Ok(digits) = u32::try_from(digits) else { return value };
    // More digits than a decimal has leave nothing.
    let Some(unit) = 10_i128.checked_pow(digits).filter(|_| digits <= 38) else { return 0 };
    let (whole, rest) = (value / unit, value % unit);
    let up = rest.unsigned_abs() >= unit.unsigned_abs().div_ceil(2) && unit > 1;
    let rounded = (whole + if up { value.signum() } else { 0 }).saturating_mul(unit);
    if (least..=greatest).contains(&rounded) { rounded } else { whole * unit }
}

fn round_float(value: f64, digits: i8) -> f64 {
    let unit = 10_f64.powi(i32::from(digits.unsigned_abs()));
    let rounded = if digits < 0 { (value / unit).round() * unit } else { (value * unit).round() / unit };
    // So large a number has no digits behind the point.
    if rounded.is_finite() { rounded + 0.0 } else { value }
}

fn first_micro(bucket: Bucket, micros: i64) -> i64 {
    let days = i32::try_from(micros.div_euclid(MICROS_PER_DAY)).unwrap_or_default();
    i64::from(bucket.first_day(days)) * MICROS_PER_DAY
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Date32Array, Float64Array, Int32Array};

    #[test]
    fn numbers_are_rounded_half_away_from_zero_and_stay_of_their_type() {
        let all = |value, digits| round(value, digits, i32::MIN.into(), i32::MAX.into());
        let cases = [(125, 1, 130), (-125, 1, -130), (124, 1, 120), (5, 1, 10), (4, 1, 0), (49, 2, 0), (50, 2, 100)];
        for (value, digits, expected) in cases {
            assert_eq!(all(value, digits), expected, "{value} {digits}");
        }
        assert_eq!((all(7, 0), all(7, -3), all(7, 39), all(7, 60)), (7, 7, 0, 0));
        assert_eq!(all(i32::MAX.into(), 1), 2_147_483_640, "2147483650 is no int32");
        let ints: ArrayRef = Arc::new(Int32Array::from(vec![Some(1250), None, Some(-1249)]));
        let expected: ArrayRef = Arc::new(Int32Array::from(vec![Some(1300), None, Some(-1200)]));
        assert_eq!(&shown(&ints, Mask::Round(-2), Type::Int32, None), &expected);
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.25, -0.001, 1e300]));
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![1.3, 0.0, 1e300]));
        assert_eq!(&shown(&floats, Mask::Round(1), Type::Float64, None), &expected);
    }

    #[test]
    fn texts_show_their_last_characters_or_their_hash() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("Zürich"), None, Some("é"), Some("")]));
        let column_of = |texts: [Option<&str>; 4]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
        let last = shown(&column, Mask::Last(5), Type::String, None);
        assert_eq!(&last, &column_of([Some("ürich"), None, Some("é"), Some("")]));
        let key = MaskKey::new(&[7; 32]);
        let hashed = shown(&column, Mask::Hash, Type::String, Some(&key));
        let hashed = hashed.as_string::<i32>();
        assert_eq!((hashed.value(0).len(), hashed.value(0)), (32, key.hash("Zürich").as_str()));
        assert!(hashed.value(0) != hashed.value(2) && hashed.value(0) != MaskKey::new(&[8; 32]).hash("Zürich"));
        // Without a key there is nothing to show.
        assert_eq!(shown(&column, Mask::Hash, Type::String, None).null_count(), 4);
    }

    #[test]
    fn days_show_the_first_of_their_interval() {
        let days = |text: &str| crate::plan::parse_date(text).expect("a date");
        let column: ArrayRef = Arc::new(Date32Array::from(vec![days("2024-05-16"), days("1969-12-31")]));
        for (bucket, expected) in [
            (Bucket::Day, ["2024-05-16", "1969-12-31"]),
            (Bucket::Week, ["2024-05-13", "1969-12-29"]),
            (Bucket::Month, ["2024-05-01", "1969-12-01"]),
            (Bucket::Quarter, ["2024-04-01", "1969-10-01"]),
            (Bucket::Year, ["2024-01-01", "1969-01-01"]),
        ] {
            let expected: ArrayRef = Arc::new(Date32Array::from(expected.map(days).to_vec()));
            assert_eq!(&shown(&column, Mask::Truncate(bucket), Type::Date, None), &expected, "{bucket:?}");
        }
        assert_eq!(first_micro(Bucket::Month, -1), i64::from(days("1969-12-01")) * MICROS_PER_DAY);
    }
}
