//! Postgres' binary forms: how values are read from rows and parameters written, exactly or not at all.

use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo};

use super::decode::{Cell, Unfit};
use super::sql::Parameter;
use crate::catalog::Type;
use crate::plan::Value;

// Type OIDs: fixed in pg_type.dat since Postgres has them.
const BOOL: u32 = 16;
const INT8: u32 = 20;
const INT2: u32 = 21;
const INT4: u32 = 23;
const TEXT: u32 = 25;
const JSON: u32 = 114;
const FLOAT4: u32 = 700;
const FLOAT8: u32 = 701;
const BOOL_ARRAY: u32 = 1000;
const INT4_ARRAY: u32 = 1007;
const TEXT_ARRAY: u32 = 1009;
const VARCHAR_ARRAY: u32 = 1015;
const INT8_ARRAY: u32 = 1016;
const FLOAT8_ARRAY: u32 = 1022;
const BPCHAR: u32 = 1042;
const VARCHAR: u32 = 1043;
const DATE: u32 = 1082;
const DATE_ARRAY: u32 = 1182;
const TIMESTAMPTZ: u32 = 1184;
const TIMESTAMPTZ_ARRAY: u32 = 1185;
const NUMERIC_ARRAY: u32 = 1231;
pub(super) const NUMERIC: u32 = 1700;
const JSONB: u32 = 3802;

/// Days from 1970-01-01 to Postgres' epoch, 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// How the binary form of a Postgres type is read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    Bool,
    Int2,
    Int4,
    Int8,
    /// An integer at a decimal's scale.
    IntDecimal {
        width: u8,
        scale: u8,
    },
    Float4,
    Float8,
    Numeric {
        precision: u8,
        scale: u8,
    },
    Text,
    Jsonb,
    Date,
    Timestamp,
    List,
}

impl Reader {
    /// The reader of a contract's type from a Postgres type; `None` when the one cannot be read from the other exactly.
    pub(super) fn of(data_type: Type, oid: u32) -> Option<Self> {
        Some(match (data_type, oid) {
            (Type::Bool, BOOL) => Self::Bool,
            (Type::Int32 | Type::Int64, INT2) => Self::Int2,
            (Type::Int32 | Type::Int64, INT4) => Self::Int4,
            (Type::Int64, INT8) => Self::Int8,
            (Type::Float64, FLOAT4) => Self::Float4,
            (Type::Float64, FLOAT8) => Self::Float8,
            (Type::Decimal { precision, scale }, NUMERIC) => Self::Numeric { precision, scale },
            // So many digits hold every value of the width.
            (Type::Decimal { precision, scale }, INT2) if precision - scale >= 5 => {
                Self::IntDecimal { width: 2, scale }
            }
            (Type::Decimal { precision, scale }, INT4) if precision - scale >= 10 => {
                Self::IntDecimal { width: 4, scale }
            }
            (Type::Decimal { precision, scale }, INT8) if precision - scale >= 19 => {
                Self::IntDecimal { width: 8, scale }
            }
            (Type::String, TEXT | VARCHAR | BPCHAR) | (Type::Json, JSON) => Self::Text,
            (Type::Json, JSONB) => Self::Jsonb,
            (Type::Date, DATE) => Self::Date,
            (Type::Timestamp, TIMESTAMPTZ) => Self::Timestamp,
            (Type::StringList, TEXT_ARRAY | VARCHAR_ARRAY) => Self::List,
            _ => return None,
        })
    }

    pub(super) fn read(self, bytes: &[u8]) -> Result<Cell<'_>, Unfit> {
        Ok(match self {
            Self::Bool => Cell::Bool(bytes != [0]),
            Self::Int2 => Cell::Int(i16::from_be_bytes(exact(bytes)?).into()),
            Self::Int4 => Cell::Int(i32::from_be_bytes(exact(bytes)?).into()),
            Self::Int8 => Cell::Int(i64::from_be_bytes(exact(bytes)?)),
            Self::IntDecimal { width, scale } => {
                let int = match width {
                    2 => i16::from_be_bytes(exact(bytes)?).into(),
                    4 => i32::from_be_bytes(exact(bytes)?).into(),
                    _ => i64::from_be_bytes(exact(bytes)?),
                };
                Cell::Decimal(i128::from(int).checked_mul(10_i128.pow(scale.into())).ok_or(Unfit)?)
            }
            Self::Float4 => Cell::Float(f32::from_be_bytes(exact(bytes)?).into()),
            Self::Float8 => Cell::Float(f64::from_be_bytes(exact(bytes)?)),
            Self::Numeric { precision, scale } => Cell::Decimal(numeric(bytes, precision, scale)?),
            Self::Text => Cell::Text(std::str::from_utf8(bytes).map_err(|_| Unfit)?),
            Self::Jsonb => {
                // A version byte, then the text.
                let text = bytes.strip_prefix(&[1]).ok_or(Unfit)?;
                Cell::Text(std::str::from_utf8(text).map_err(|_| Unfit)?)
            }
            // `infinity` is the greatest value: it overflows, and so is refused.
            Self::Date => {
                let days = i32::from_be_bytes(exact(bytes)?);
                Cell::Date(days.checked_add(EPOCH_DAYS).filter(|_| days != i32::MIN).ok_or(Unfit)?)
            }
            Self::Timestamp => {
                let micros = i64::from_be_bytes(exact(bytes)?);
                Cell::Timestamp(micros.checked_add(EPOCH_MICROS).filter(|_| micros != i64::MIN).ok_or(Unfit)?)
            }
            Self::List => Cell::List(list(bytes).ok_or(Unfit)?),
        })
    }
}

fn exact<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Unfit> {
    bytes.try_into().map_err(|_| Unfit)
}

/// 10^0 to 10^38: what a cell needs of them must not be computed cell by cell.
const POWERS: [i128; 39] = {
    let mut powers = [1; 39];
    let mut exponent = 1;
    while exponent < powers.len() {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// A numeric's binary form at a fixed scale, exactly: base-10000 digits, the weight of the first, sign, display scale
/// (see numeric.c, numeric_send). A longer fraction, NaN and infinities are refused.
fn numeric(bytes: &[u8], precision: u8, scale: u8) -> Result<i128, Unfit> {
    let (head, groups) = bytes.split_first_chunk::<8>().ok_or(Unfit)?;
    let count = usize::from(u16::from_be_bytes([head[0], head[1]]));
    let weight = i16::from_be_bytes([head[2], head[3]]);
    let negative = match u16::from_be_bytes([head[4], head[5]]) {
        0x0000 => false,
        0x4000 => true,
        _ => return Err(Unfit),
    };
    let mut groups = groups.get(..count * 2).ok_or(Unfit)?;
    // The last group stands for its digits × 10^shift at the scale.
    let mut shift = (i32::from(weight) - i32::try_from(count).map_err(|_| Unfit)? + 1) * 4 + i32::from(scale);
    // Groups wholly behind the scale say nothing, or say too much.
    while shift <= -4
        && let Some((rest, last)) = groups.split_last_chunk::<2>()
    {
        if *last != [0, 0] {
            return Err(Unfit);
        }
        (groups, shift) = (rest, shift + 4);
    }
    let Some((front, last)) = groups.split_last_chunk::<2>() else { return Ok(0) };
    let last = u64::from(u16::from_be_bytes(*last));
    let digits = front.chunks_exact(2).map(|pair| u64::from(u16::from_be_bytes([pair[0], pair[1]])));
    // A group that reaches behind the scale brings only its leading digits.
    let (factor, last) = match u32::try_from(shift) {
        Ok(_) => (10_000, last),
        Err(_) => {
            let behind = 10_u64.pow(shift.unsigned_abs());
            if last % behind != 0 {
                return Err(Unfit);
            }
            (10_000 / behind, last / behind)
        }
    };
    // Four groups are 16 digits, which a machine word holds.
    let value = if front.len() <= 6 {
        i128::from(digits.fold(0, |value, digit| value * 10_000 + digit) * factor + last)
    } else {
        let mut value: i128 = 0;
        for digit in digits {
            value = value.checked_mul(10_000).and_then(|value| value.checked_add(digit.into())).ok_or(Unfit)?;
        }
        value.checked_mul(factor.into()).and_then(|value| value.checked_add(last.into())).ok_or(Unfit)?
    };
    let value = match usize::try_from(shift) {
        Ok(0) | Err(_) => value,
        Ok(shift) => POWERS.get(shift).and_then(|power| value.checked_mul(*power)).ok_or(Unfit)?,
    };
    if value >= POWERS[usize::from(precision)] {
        return Err(Unfit);
    }
    Ok(if negative { -value } else { value })
}

/// A one-dimensional text array without nulls.
fn list(bytes: &[u8]) -> Option<Vec<&str>> {
    let mut rest = bytes;
    let mut int = || rest.split_off(..4).and_then(|int| int.try_into().ok()).map(i32::from_be_bytes);
    let (dimensions, _has_null, _element) = (int()?, int()?, int()?);
    if dimensions == 0 {
        return Some(Vec::new());
    }
    let (length, _lower) = (int()?, int()?);
    if dimensions != 1 {
        return None;
    }
    let mut items = Vec::new();
    for _ in 0..length {
        let bytes = rest.split_off(..4)?;
        // A null element has the length -1.
        let length = usize::try_from(i32::from_be_bytes(bytes.try_into().ok()?)).ok()?;
        items.push(std::str::from_utf8(rest.split_off(..length)?).ok()?);
    }
    Some(items)
}

/// A parameter in Postgres' binary form, with its type stated, so that the server never guesses.
pub(super) struct Bound<'p>(pub(super) &'p Parameter);

impl sqlx::Type<sqlx::Postgres> for Bound<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(TEXT))
    }
}

impl<'q> sqlx::Encode<'q, sqlx::Postgres> for Bound<'_> {
    fn produces(&self) -> Option<PgTypeInfo> {
        let oid = match self.0 {
            Parameter::One(data_type, _) => oid(*data_type).0,
            Parameter::Many(data_type, _) => oid(*data_type).1,
        };
        Some(PgTypeInfo::with_oid(Oid(oid)))
    }

    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<sqlx::encode::IsNull, BoxDynError> {
        match self.0 {
            Parameter::One(data_type, value) => write(*data_type, value, buffer),
            Parameter::Many(data_type, values) => {
                buffer.extend(1_i32.to_be_bytes());
                buffer.extend(0_i32.to_be_bytes());
                buffer.extend(oid(*data_type).0.to_be_bytes());
                buffer.extend(i32::try_from(values.len())?.to_be_bytes());
                buffer.extend(1_i32.to_be_bytes());
                for value in values {
                    let at = buffer.len();
                    buffer.extend(0_i32.to_be_bytes());
                    write(*data_type, value, buffer);
                    let length = i32::try_from(buffer.len() - at - 4)?;
                    buffer[at..at + 4].copy_from_slice(&length.to_be_bytes());
                }
            }
        }
        Ok(sqlx::encode::IsNull::No)
    }
}

/// The type that a parameter is sent as, and that of a list of them.
fn oid(data_type: Type) -> (u32, u32) {
    match data_type {
        Type::Bool => (BOOL, BOOL_ARRAY),
        Type::Int32 => (INT4, INT4_ARRAY),
        Type::Int64 => (INT8, INT8_ARRAY),
        Type::Float64 => (FLOAT8, FLOAT8_ARRAY),
        Type::Decimal { .. } => (NUMERIC, NUMERIC_ARRAY),
        Type::String | Type::Json | Type::StringList => (TEXT, TEXT_ARRAY),
        Type::Date => (DATE, DATE_ARRAY),
        Type::Timestamp => (TIMESTAMPTZ, TIMESTAMPTZ_ARRAY),
    }
}

fn write(data_type: Type, value: &Value, buffer: &mut Vec<u8>) {
    match value {
        Value::Bool(bool) => buffer.push(u8::from(*bool)),
        Value::Int(int) => match data_type {
            // A plan has checked the range of an int32.
            #[expect(clippy::cast_possible_truncation, reason = "in range: a plan has checked it")]
            Type::Int32 => buffer.extend((*int as i32).to_be_bytes()),
            _ => buffer.extend(int.to_be_bytes()),
        },
        Value::Float(float) => buffer.extend(float.to_be_bytes()),
        Value::Decimal(digits) => {
            let scale = if let Type::Decimal { scale, .. } = data_type { scale } else { 0 };
            write_numeric(*digits, scale, buffer);
        }
        Value::String(text) => buffer.extend(text.as_bytes()),
        Value::Date(days) => buffer.extend(days.saturating_sub(EPOCH_DAYS).to_be_bytes()),
        Value::Timestamp(micros) => buffer.extend(micros.saturating_sub(EPOCH_MICROS).to_be_bytes()),
    }
}

/// The type of a parameter, by its name.
pub(super) fn name(parameter: &Parameter) -> &'static str {
    let (data_type, many) = match parameter {
        Parameter::One(data_type, _) => (data_type, false),
        Parameter::Many(data_type, _) => (data_type, true),
    };
    let (one, list) = match data_type {
        Type::Bool => ("boolean", "boolean[]"),
        Type::Int32 => ("integer", "integer[]"),
        Type::Int64 => ("bigint", "bigint[]"),
        Type::Float64 => ("double precision", "double precision[]"),
        Type::Decimal { .. } => ("numeric", "numeric[]"),
        Type::String | Type::Json | Type::StringList => ("text", "text[]"),
        Type::Date => ("date", "date[]"),
        Type::Timestamp => ("timestamptz", "timestamptz[]"),
    };
    if many { list } else { one }
}

/// A parameter's text, which its type reads.
pub(super) fn text(parameter: &Parameter) -> String {
    let one = |data_type: Type, value: &Value| match value {
        Value::String(text) => text.clone(),
        value => value.shown(data_type),
    };
    match parameter {
        Parameter::One(data_type, value) => one(*data_type, value),
        Parameter::Many(data_type, values) => {
            let quoted = values.iter().map(|value| {
                let text = one(*data_type, value);
                format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
            });
            format!("{{{}}}", quoted.collect::<Vec<_>>().join(","))
        }
    }
}

/// The inverse of [`numeric`].
fn write_numeric(digits: i128, scale: u8, buffer: &mut Vec<u8>) {
    // Groups of four digits are counted from the point: the fraction is filled up to a multiple of four.
    let fill = (4 - scale % 4) % 4;
    let fraction_groups = i16::from((scale + fill) / 4);
    let mut rest = digits.unsigned_abs();
    let mut groups: Vec<u16> = Vec::new();
    // The lowest group is the filled one; 10^38 × 10^3 would not fit, so it is split off first.
    let first = 10_u128.pow(u32::from(4 - fill));
    #[expect(clippy::cast_possible_truncation, reason = "below 10000")]
    if rest > 0 {
        groups.push((rest % first) as u16 * 10_u16.pow(fill.into()));
        rest /= first;
        while rest > 0 {
            groups.push((rest % 10_000) as u16);
            rest /= 10_000;
        }
    }
    groups.reverse();
    let count = i16::try_from(groups.len()).unwrap_or(i16::MAX);
    let sign: u16 = if digits < 0 { 0x4000 } else { 0 };
    buffer.extend(count.to_be_bytes());
    buffer.extend((count - fraction_groups - 1).to_be_bytes());
    buffer.extend(sign.to_be_bytes());
    buffer.extend(u16::from(scale).to_be_bytes());
    for group in groups {
        buffer.extend(group.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_numeric_reads_back_as_it_was_written(digits in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_u8..=38) {
            let mut bytes = Vec::new();
            write_numeric(digits, scale, &mut bytes);
            prop_assert_eq!(numeric(&bytes, 38, scale), Ok(digits));
        }
    }

    #[test]
    fn a_numeric_that_does_not_fit_is_refused() {
        let bytes = |digits, scale| {
            let mut bytes = Vec::new();
            write_numeric(digits, scale, &mut bytes);
            bytes
        };
        assert_eq!(numeric(&bytes(1_234_500, 6), 14, 4), Ok(12_345));
        assert_eq!(numeric(&bytes(1_234_567, 6), 14, 4), Err(Unfit));
        assert_eq!(numeric(&bytes(12_345, 0), 4, 0), Err(Unfit));
        assert_eq!(numeric(&[0, 0, 0, 0, 0xC0, 0, 0, 0], 4, 0), Err(Unfit));
    }
}
