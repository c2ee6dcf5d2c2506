//! The types of live columns, and what they hold of a contract's.

use crate::catalog::{Column, Type};
use crate::source::shape::{Conversion, Digits};

/// A live column's type.
pub(in crate::source) struct Live {
    text: String,
    kind: Kind,
}

/// A type without what only says how it is stored: `LowCardinality`, `Nullable`, zones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Bool,
    /// Bits without a sign: 31 for `Int32`, 32 for `UInt32`.
    Int {
        bits: u8,
        signed: bool,
    },
    Float32,
    Float64,
    Decimal {
        precision: u8,
        scale: u8,
    },
    String,
    /// What has a text form, but is stored as a number or as bytes of a fixed length.
    Named,
    Json,
    Date,
    Instant,
    Strings,
    Other,
}

impl Live {
    /// Reads a type as `system.columns` has it.
    pub(super) fn read(text: &str) -> Self {
        Self { text: text.to_owned(), kind: kind(text) }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether every value of the column is one of the contract's. Of nanoseconds and of integers without a sign this
    /// is seen as they come.
    pub(super) fn holds(&self, column: &Column) -> bool {
        match (column.data_type, self.kind) {
            (Type::Bool, Kind::Bool | Kind::Int { bits: 8, signed: false })
            | (Type::Int64, Kind::Int { .. })
            | (Type::Float64, Kind::Float32 | Kind::Float64)
            | (Type::String, Kind::String | Kind::Named)
            | (Type::Json, Kind::String | Kind::Json)
            | (Type::Date, Kind::Date)
            | (Type::Timestamp, Kind::Instant)
            | (Type::StringList, Kind::Strings) => true,
            (Type::Int32, Kind::Int { bits, .. }) => bits <= 31,
            (Type::Decimal { precision, scale }, Kind::Decimal { precision: live, scale: live_scale }) => {
                live_scale <= scale && live - live_scale <= precision - scale
            }
            // So many digits hold every value of the width.
            (Type::Decimal { precision, scale }, Kind::Int { bits, .. }) => {
                let digits = match bits {
                    0..=8 => 3,
                    9..=16 => 5,
                    17..=32 => 10,
                    33..=63 => 19,
                    _ => 20,
                };
                precision - scale >= digits
            }
            _ => false,
        }
    }

    /// The integer that a decimal of the contract is stored as.
    pub(super) fn digits(&self, column: &Column) -> Option<Digits> {
        match (column.data_type, self.kind) {
            (Type::Decimal { scale, .. }, Kind::Decimal { precision, scale: live }) if live == scale => match precision
            {
                ..=9 => Some(Digits::Int32),
                10..=18 => Some(Digits::Int64),
                _ => None,
            },
            _ => None,
        }
    }

    /// What makes a value of the column the contract's; `None` where it is one.
    pub(super) fn conversion(&self, column: &Column) -> Option<Conversion> {
        match (column.data_type, self.kind) {
            (Type::String, Kind::Named) | (Type::Json, Kind::Json) => Some(Conversion::Text),
            (Type::Float64, _) if column.nullable => Some(Conversion::FloatOrNull),
            (Type::Float64, _) => Some(Conversion::Float),
            _ => None,
        }
    }
}

fn kind(text: &str) -> Kind {
    let (name, arguments) = match text.split_once('(') {
        Some((name, arguments)) => (name, arguments.strip_suffix(')').unwrap_or(arguments)),
        None => (text, ""),
    };
    let int = |bits, signed| Kind::Int { bits, signed };
    match name {
        "LowCardinality" | "Nullable" => kind(arguments),
        // The function, then the type.
        "SimpleAggregateFunction" => arguments.split_once(", ").map_or(Kind::Other, |(_, inner)| kind(inner)),
        "Bool" => Kind::Bool,
        "Int8" => int(7, true),
        "Int16" => int(15, true),
        "Int32" => int(31, true),
        "Int64" => int(63, true),
        "UInt8" => int(8, false),
        "UInt16" => int(16, false),
        "UInt32" => int(32, false),
        "UInt64" => int(64, false),
        "Float32" => Kind::Float32,
        "Float64" => Kind::Float64,
        "Decimal" => decimal(arguments).unwrap_or(Kind::Other),
        "String" => Kind::String,
        "Enum8" | "Enum16" | "FixedString" | "UUID" | "IPv4" | "IPv6" => Kind::Named,
        "JSON" => Kind::Json,
        "Date" | "Date32" => Kind::Date,
        "DateTime" | "DateTime64" => Kind::Instant,
        "Array" if kind(arguments) == Kind::String => Kind::Strings,
        _ => Kind::Other,
    }
}

/// More than 38 digits are no decimal of a contract.
fn decimal(arguments: &str) -> Option<Kind> {
    let (precision, scale) = arguments.split_once(", ")?;
    let (precision, scale) = (precision.parse().ok()?, scale.parse().ok()?);
    (precision <= crate::catalog::DECIMAL_DIGITS_MAX).then_some(Kind::Decimal { precision, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_whatever_it_is_wrapped_in() {
        for (text, expected) in [
            ("LowCardinality(Nullable(String))", Kind::String),
            ("Array(LowCardinality(String))", Kind::Strings),
            ("Array(Nullable(String))", Kind::Strings),
            ("Array(Int8)", Kind::Other),
            ("Nullable(Decimal(18, 4))", Kind::Decimal { precision: 18, scale: 4 }),
            ("Decimal(76, 4)", Kind::Other),
            ("DateTime64(9, 'Europe/Berlin')", Kind::Instant),
            ("DateTime('UTC')", Kind::Instant),
            ("Enum8('a' = 1, 'b (c)' = 2)", Kind::Named),
            ("SimpleAggregateFunction(sum, Float64)", Kind::Float64),
            ("AggregateFunction(sum, Float64)", Kind::Other),
            ("Map(String, String)", Kind::Other),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
