//! Literals with a type. Everything that a request says reaches a database as one of these, bound, never as text.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::temporal::{Pieces, PiecesOffset};

use crate::catalog::Type;

/// A literal of a column's type.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// For `bool`.
    Bool(bool),
    /// For `int32` and `int64`.
    Int(i64),
    /// For `float64`: never NaN, never negative zero.
    Float(f64),
    /// For `decimal(p,s)`: the digits without the point, at the column's scale.
    Decimal(i128),
    /// For `string`, and an element of `list<string>`: without NUL, which Postgres cannot hold.
    String(String),
    /// For `date`: days since 1970-01-01.
    Date(i32),
    /// For `timestamp`: microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
}

/// Whether a text is a literal of the type.
#[must_use]
pub fn reads(data_type: Type, text: &str) -> bool {
    Value::parse(data_type, text).is_some()
}

impl Value {
    /// Reads a literal as the type writes it; `None` when it is none.
    #[must_use]
    pub fn parse(data_type: Type, text: &str) -> Option<Self> {
        match data_type {
            Type::Bool => text.parse().ok().map(Self::Bool),
            Type::Int32 => text.parse::<i32>().ok().map(|int| Self::Int(int.into())),
            Type::Int64 => text.parse().ok().map(Self::Int),
            // Adding positive zero turns -0 into 0 and nothing else: the two are equal, so they share a fingerprint.
            Type::Float64 => float(text).map(|float| Self::Float(float + 0.0)),
            Type::Decimal { precision, scale } => decimal(text, precision, scale).map(Self::Decimal),
            Type::String | Type::StringList | Type::Json => (!text.contains('\0')).then(|| Self::String(text.into())),
            Type::Date => date(text).map(Self::Date),
            Type::Timestamp => timestamp(text).map(Self::Timestamp),
        }
    }

    /// The value in a row of an array of that type; `None` is null.
    #[must_use]
    pub fn at(data_type: Type, array: &ArrayRef, row: usize) -> Option<Self> {
        if array.is_null(row) {
            return None;
        }
        Some(match data_type {
            Type::Bool => Self::Bool(array.as_boolean().value(row)),
            Type::Int32 => Self::Int(array.as_primitive::<Int32Type>().value(row).into()),
            Type::Int64 => Self::Int(array.as_primitive::<Int64Type>().value(row)),
            Type::Float64 => Self::Float(array.as_primitive::<Float64Type>().value(row) + 0.0),
            Type::Decimal { .. } => Self::Decimal(array.as_primitive::<Decimal128Type>().value(row)),
            Type::String | Type::StringList | Type::Json => Self::String(array.as_string::<i32>().value(row).into()),
            Type::Date => Self::Date(array.as_primitive::<Date32Type>().value(row)),
            Type::Timestamp => Self::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        })
    }

    /// Whether it is a literal of that type.
    pub(super) fn fits(&self, data_type: Type) -> bool {
        match self {
            Self::Bool(_) => data_type == Type::Bool,
            Self::Int(int) => data_type == Type::Int64 || (data_type == Type::Int32 && i32::try_from(*int).is_ok()),
            Self::Float(_) => data_type == Type::Float64,
            Self::Decimal(_) => matches!(data_type, Type::Decimal { .. }),
            Self::String(_) => data_type == Type::String,
            Self::Date(_) => data_type == Type::Date,
            Self::Timestamp(_) => data_type == Type::Timestamp,
        }
    }

    /// Writes the canonical bytes: equal values have equal ones.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        Self::write(Some(self), out);
    }

    /// Writes the canonical bytes: a tag, then the value. [`Self::read`] undoes it.
    pub(super) fn write(value: Option<&Self>, out: &mut Vec<u8>) {
        match value {
            None => out.push(0),
            Some(Self::Bool(bool)) => out.extend([1, u8::from(*bool)]),
            Some(Self::Int(int)) => {
                out.push(2);
                out.extend(int.to_le_bytes());
            }
            Some(Self::Float(float)) => {
                out.push(3);
                out.extend(float.to_bits().to_le_bytes());
            }
            Some(Self::Decimal(decimal)) => {
                out.push(4);
                out.extend(decimal.to_le_bytes());
            }
            Some(Self::String(text)) => {
                out.push(5);
                out.extend((text.len() as u64).to_le_bytes());
                out.extend(text.as_bytes());
            }
            Some(Self::Date(days)) => {
                out.push(6);
                out.extend(days.to_le_bytes());
            }
            Some(Self::Timestamp(micros)) => {
                out.push(7);
                out.extend(micros.to_le_bytes());
            }
        }
    }

    /// Reads what [`Self::write`] wrote, and moves past it; the outer `None` is no value at all.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Option<Self>> {
        let (tag, rest) = bytes.split_first()?;
        *bytes = rest;
        Some(Some(match tag {
            0 => return Some(None),
            1 => Self::Bool(take::<1>(bytes)? != [0]),
            2 => Self::Int(i64::from_le_bytes(take(bytes)?)),
            3 => Self::Float(f64::from_bits(u64::from_le_bytes(take(bytes)?))),
            4 => Self::Decimal(i128::from_le_bytes(take(bytes)?)),
            5 => {
                let length = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
                let (text, rest) = bytes.split_at_checked(length)?;
                *bytes = rest;
                Self::String(std::str::from_utf8(text).ok()?.into())
            }
            6 => Self::Date(i32::from_le_bytes(take(bytes)?)),
            7 => Self::Timestamp(i64::from_le_bytes(take(bytes)?)),
            _ => return None,
        }))
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Rust's own parser takes `inf`, `nan` and hexadecimal-free decimal forms; only finite numbers are literals.
fn float(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|float| float.is_finite())
}

/// Digits at the scale, exactly: `1.50` at scale 1 is 15, `1.55` at scale 1 is refused, and nothing is rounded.
fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i16>().ok()?),
        None => (text, 0),
    };
    let (negative, digits) = match mantissa.as_bytes().first()? {
        b'-' => (true, &mantissa[1..]),
        b'+' => (false, &mantissa[1..]),
        _ => (false, mantissa),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value: i128 = 0;
    let mut shift = i32::from(scale) + i32::from(exponent) - i32::try_from(fraction.len()).ok()?;
    let all: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
    let mut significant = all.as_slice();
    // Zeros behind the scale say nothing; any other digit there would have to be rounded.
    while shift < 0 && significant.last() == Some(&b'0') {
        significant = &significant[..significant.len() - 1];
        shift += 1;
    }
    for digit in significant {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    if value == 0 {
        return Some(0);
    }
    if shift < 0 {
        return None;
    }
    let value = value.checked_mul(10_i128.checked_pow(shift.unsigned_abs())?)?;
    (value < 10_i128.pow(precision.into())).then_some(if negative { -value } else { value })
}

/// Days since 1970-01-01 of `YYYY-MM-DD`, in the years 0001 to 9999: the range that every source and encoding shares.
pub fn date(text: &str) -> Option<i32> {
    let date: Date = Some(text).filter(|text| text.len() == 10)?.parse().ok()?;
    (date.year() >= 1).then(|| days(date))
}

/// Microseconds since 1970-01-01T00:00:00Z, of a year that every source knows.
pub(super) fn epoch_micros(instant: Timestamp) -> i64 {
    let first = i64::from(epoch_days(Date::MIN)) * MICROS_PER_DAY;
    instant.as_microsecond().max(first)
}

/// Days since 1970-01-01, of a year that every source knows.
pub(super) fn epoch_days(date: Date) -> i32 {
    days(date.max(Date::constant(1, 1, 1)))
}

pub(super) fn days(date: Date) -> i32 {
    let epoch = Date::constant(1970, 1, 1);
    // Between the years 1 and 9999 there are fewer than four million days.
    epoch.until(date).map_or(0, |span| span.get_days())
}

/// RFC 3339 with an offset, or a date for its first instant in UTC. Finer than a microsecond is refused.
pub(super) fn timestamp(text: &str) -> Option<i64> {
    if let Some(days) = date(text) {
        return Some(i64::from(days) * MICROS_PER_DAY);
    }
    // Shorter forms that the parser would take (`2020-01-01T00Z`) are not RFC 3339.
    if text.len() < "2020-01-01T00:00:00Z".len() || !text.is_ascii() {
        return None;
    }
    // Piece by piece, since the library's own instants end a day before the calendar does.
    let pieces = Pieces::parse(text).ok()?;
    let seconds = match pieces.offset()? {
        PiecesOffset::Numeric(offset) => i64::from(offset.offset().seconds()),
        _ => 0,
    };
    let time = pieces.time().filter(|time| time.subsec_nanosecond() % 1000 == 0)?;
    if pieces.time_zone_annotation().is_some() {
        return None;
    }
    let of_day = i64::from(time.hour()) * 3600 + i64::from(time.minute()) * 60 + i64::from(time.second());
    let micros = i64::from(days(pieces.date())) * MICROS_PER_DAY
        + (of_day - seconds) * 1_000_000
        + i64::from(time.subsec_nanosecond() / 1000);
    (MICROS_MIN..=MICROS_MAX).contains(&micros).then_some(micros)
}

pub(super) const MICROS_PER_DAY: i64 = 86_400_000_000;
/// 0001-01-01T00:00:00Z.
const MICROS_MIN: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
const MICROS_MAX: i64 = 253_402_300_799_999_999;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(data_type: &str, text: &str, expected: Option<Value>) {
        assert_eq!(Value::parse(data_type.parse().expect("a type"), text), expected, "{data_type} {text}");
    }

    #[test]
    fn literals_are_read_exactly_or_not_at_all() {
        check("int32", "2147483647", Some(Value::Int(2_147_483_647)));
        check("int32", "2147483648", None);
        check("int64", "9007199254740993", Some(Value::Int(9_007_199_254_740_993)));
        check("int64", "1.0", None);
        check("float64", "-0", Some(Value::Float(0.0)));
        for text in ["NaN", "inf", "-Infinity", "1e999", "", "0x10"] {
            check("float64", text, None);
        }
        check("bool", "true", Some(Value::Bool(true)));
        check("bool", "1", None);
        check("string", "a\0b", None);
        check("string", "", Some(Value::String(String::new())));
    }

    #[test]
    fn decimals_keep_every_digit() {
        check("decimal(14,6)", "1.5", Some(Value::Decimal(1_500_000)));
        check("decimal(14,6)", "-0.000001", Some(Value::Decimal(-1)));
        check("decimal(14,6)", "1.50000000", Some(Value::Decimal(1_500_000)));
        check("decimal(14,6)", "1e3", Some(Value::Decimal(1_000_000_000)));
        check("decimal(14,6)", "15e-7", None);
        check("decimal(14,6)", "1.0000001", None);
        check("decimal(14,6)", "99999999.999999", Some(Value::Decimal(99_999_999_999_999)));
        check("decimal(14,6)", "100000000", None);
        check("decimal(38,0)", "99999999999999999999999999999999999999", Some(Value::Decimal(10_i128.pow(38) - 1)));
        check("decimal(38,0)", "100000000000000000000000000000000000000", None);
        check("decimal(14,6)", "0e30000", Some(Value::Decimal(0)));
        for text in ["", ".", "-", "1.2.3", "1e", "1e99999", "1 ", "NaN", "٣"] {
            check("decimal(14,6)", text, None);
        }
    }

    #[test]
    fn instants_are_dates_or_rfc_3339() {
        check("date", "1970-01-02", Some(Value::Date(1)));
        check("date", "2024-02-29", Some(Value::Date(19_782)));
        check("timestamp", "1970-01-01", Some(Value::Timestamp(0)));
        check("timestamp", "1970-01-01T01:00:00+01:00", Some(Value::Timestamp(0)));
        check("timestamp", "1970-01-01T00:00:00.000001Z", Some(Value::Timestamp(1)));
        for text in ["2023-02-29", "20200101", "2020-1-1", "0000-01-01", "2020-01-01T00:00:00Z", "yesterday"] {
            check("date", text, None);
        }
        for text in ["2020-01-01T00:00:00", "2020-01-01T00:00:00.0000001Z", "2020-01-01T25:00:00Z", "now"] {
            check("timestamp", text, None);
        }
    }

    proptest! {
        #[test]
        fn canonical_bytes_read_back(int: i64, text in "[^\0]{0,20}", decimal: i128, flag: bool) {
            let values = [Some(Value::Int(int)), None, Some(Value::String(text)), Some(Value::Decimal(decimal)), Some(Value::Bool(flag))];
            let mut bytes = Vec::new();
            for value in &values {
                Value::write(value.as_ref(), &mut bytes);
            }
            let mut rest = bytes.as_slice();
            for value in &values {
                prop_assert_eq!(Value::read(&mut rest), Some(value.clone()));
            }
            prop_assert!(rest.is_empty());
        }
    }
}
