//! The contract's types and what each allows: one list of types for every source, door and encoding.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use serde::Deserialize;

/// Decimal128 holds 38 digits; so does a contract.
pub const DECIMAL_DIGITS_MAX: u8 = 38;

/// A column's type as its contract states it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Type {
    /// True or false.
    Bool,
    /// Signed, 32 bits.
    Int32,
    /// Signed, 64 bits.
    Int64,
    /// IEEE 754 binary64. NaN and infinities leave Martello as null.
    Float64,
    /// An exact decimal.
    Decimal {
        /// All digits, 1 to 38.
        precision: u8,
        /// Digits behind the point, 0 to `precision`.
        scale: u8,
    },
    /// UTF-8, compared bytewise.
    String,
    /// A day of the proleptic Gregorian calendar.
    Date,
    /// An instant in UTC, in microseconds.
    Timestamp,
    /// Any JSON value, kept as compact text with sorted keys.
    Json,
    /// A list of strings without nulls.
    StringList,
}

/// The texts that [`Type::from_str`] reads, for messages.
pub const TYPES: &str = "bool, int32, int64, float64, decimal(p,s), string, date, timestamp, json or list<string>";

/// Why a text is no type.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown type {0:?}: expected {TYPES}, with 1 <= p <= 38 and 0 <= s <= p")]
pub struct TypeError(String);

impl FromStr for Type {
    type Err = TypeError;

    fn from_str(text: &str) -> Result<Self, TypeError> {
        Ok(match text {
            "bool" => Self::Bool,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "string" => Self::String,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            "json" => Self::Json,
            "list<string>" => Self::StringList,
            _ => decimal(text).ok_or_else(|| TypeError(text.into()))?,
        })
    }
}

fn decimal(text: &str) -> Option<Type> {
    let inner = text.strip_prefix("decimal(")?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',')?;
    let precision = precision.trim().parse().ok()?;
    let scale = scale.trim().parse().ok()?;
    ((1..=DECIMAL_DIGITS_MAX).contains(&precision) && scale <= precision).then_some(Type::Decimal { precision, scale })
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool => f.write_str("bool"),
            Self::Int32 => f.write_str("int32"),
            Self::Int64 => f.write_str("int64"),
            Self::Float64 => f.write_str("float64"),
            Self::Decimal { precision, scale } => write!(f, "decimal({precision},{scale})"),
            Self::String => f.write_str("string"),
            Self::Date => f.write_str("date"),
            Self::Timestamp => f.write_str("timestamp"),
            Self::Json => f.write_str("json"),
            Self::StringList => f.write_str("list<string>"),
        }
    }
}

impl Type {
    /// The Arrow type that every source yields for this one.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float64 => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale.cast_signed()),
            Self::String | Self::Json => DataType::Utf8,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            Self::StringList => DataType::List(Arc::new(Field::new("item", DataType::Utf8, false))),
        }
    }

    /// The Arrow field of a column: JSON carries Arrow's canonical extension name, so that an encoder can tell it
    /// from text.
    #[must_use]
    pub fn field(self, name: &str, nullable: bool) -> Field {
        let field = Field::new(name, self.arrow(), nullable);
        match self {
            Self::Json => field.with_metadata(std::collections::HashMap::from([(
                "ARROW:extension:name".to_owned(),
                "arrow.json".to_owned(),
            )])),
            _ => field,
        }
    }

    /// Whether values of this type have an order.
    #[must_use]
    pub fn is_ordered(self) -> bool {
        !matches!(self, Self::Json | Self::StringList)
    }
}

/// How a filter compares a column with its operand.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Equal.
    Eq,
    /// Not equal; null is neither equal nor unequal.
    Ne,
    /// Greater.
    Gt,
    /// Greater or equal.
    Gte,
    /// Less.
    Lt,
    /// Less or equal.
    Lte,
    /// One of a list.
    In,
    /// None of a list.
    Nin,
    /// A string that starts so.
    Prefix,
    /// A string that contains this.
    Contains,
    /// Null (`true`) or not (`false`).
    IsNull,
    /// A list that contains this element.
    Has,
}

impl Operator {
    /// Every operator, in the order of the documentation.
    pub const ALL: [Self; 12] = [
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Gte,
        Self::Lt,
        Self::Lte,
        Self::In,
        Self::Nin,
        Self::Prefix,
        Self::Contains,
        Self::IsNull,
        Self::Has,
    ];

    /// The operator's name in URLs, contracts and GraphQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Gte => "gte",
            Self::Lt => "lt",
            Self::Lte => "lte",
            Self::In => "in",
            Self::Nin => "nin",
            Self::Prefix => "prefix",
            Self::Contains => "contains",
            Self::IsNull => "is_null",
            Self::Has => "has",
        }
    }

    /// The operator of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.as_str() == name)
    }

    /// Whether the operator means anything on the type: a contract that lists another is refused.
    #[must_use]
    pub fn fits(self, data_type: Type) -> bool {
        match self {
            Self::Eq | Self::Ne | Self::In | Self::Nin => data_type.is_ordered(),
            Self::Gt | Self::Gte | Self::Lt | Self::Lte => data_type.is_ordered() && data_type != Type::Bool,
            Self::Prefix | Self::Contains => data_type == Type::String,
            Self::IsNull => true,
            Self::Has => data_type == Type::StringList,
        }
    }

    /// Whether the operand is a list.
    #[must_use]
    pub fn takes_list(self) -> bool {
        matches!(self, Self::In | Self::Nin)
    }
}

/// An aggregate function that a contract may allow on a column.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// Values that are not null.
    Count,
    /// Different values.
    CountDistinct,
    /// The sum; exact for integers and decimals.
    Sum,
    /// The mean, as float64.
    Avg,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The value of the first row by time, then key.
    First,
    /// The value of the last row by time, then key.
    Last,
    /// The sample standard deviation, as float64.
    Stddev,
    /// The interpolated median, as float64.
    Median,
}

impl Function {
    /// Every function, in the order of the documentation.
    pub const ALL: [Self; 10] = [
        Self::Count,
        Self::CountDistinct,
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::First,
        Self::Last,
        Self::Stddev,
        Self::Median,
    ];

    /// The function of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.as_str() == name)
    }

    /// The function's name in URLs, contracts and GraphQL.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::CountDistinct => "count_distinct",
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::First => "first",
            Self::Last => "last",
            Self::Stddev => "stddev",
            Self::Median => "median",
        }
    }

    /// Whether the function means anything on the type.
    #[must_use]
    pub fn fits(self, data_type: Type) -> bool {
        let numeric = matches!(data_type, Type::Int32 | Type::Int64 | Type::Float64 | Type::Decimal { .. });
        match self {
            Self::Count => true,
            Self::CountDistinct | Self::Min | Self::Max | Self::First | Self::Last => data_type.is_ordered(),
            Self::Sum | Self::Avg | Self::Stddev | Self::Median => numeric,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_back_as_they_were_written() {
        for text in [
            "bool",
            "int32",
            "int64",
            "float64",
            "decimal(18,4)",
            "decimal(38,0)",
            "string",
            "date",
            "timestamp",
            "json",
            "list<string>",
        ] {
            assert_eq!(text.parse::<Type>().expect(text).to_string(), text);
        }
    }

    #[test]
    fn impossible_decimals_are_refused() {
        for text in ["decimal", "decimal(0,0)", "decimal(39,0)", "decimal(4,5)", "decimal(4)", "decimal(4,-1)"] {
            assert!(text.parse::<Type>().is_err(), "{text}");
        }
    }
}
