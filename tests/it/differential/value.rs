//! Values of the reference: read from literals, compared and written without a line of the code under test.

use std::cmp::Ordering;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use martello::catalog::Type;

pub const MICROS_PER_DAY: i64 = 86_400_000_000;
const EPOCH: Date = Date::constant(1970, 1, 1);

/// A value that is not null.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    Bool(bool),
    Int(i64),
    Float(f64),
    /// Digits at the column's scale.
    Decimal(i128),
    Text(String),
    Json(String),
    /// Days since 1970-01-01.
    Date(i32),
    /// Microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
    List(Vec<String>),
}

/// A value or null.
pub type Cell = Option<Value>;

impl Value {
    /// The value that a literal of a question means.
    pub fn of(data_type: Type, literal: &str) -> Self {
        match data_type {
            Type::Bool => Self::Bool(literal == "true"),
            Type::Int32 | Type::Int64 => Self::Int(literal.parse().expect("an integer")),
            Type::Float64 => Self::Float(literal.parse().expect("a float")),
            Type::Decimal { scale, .. } => Self::Decimal(decimal(literal, scale)),
            Type::String | Type::StringList => Self::Text(literal.to_owned()),
            Type::Json => Self::Json(literal.to_owned()),
            Type::Date => Self::Date(day(literal).expect("a date")),
            Type::Timestamp => Self::Instant(instant(literal)),
        }
    }

    /// The order of values of one type: texts bytewise, negative zero equal to zero.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(one), Self::Bool(other)) => one.cmp(other),
            (Self::Int(one), Self::Int(other)) | (Self::Instant(one), Self::Instant(other)) => one.cmp(other),
            (Self::Float(one), Self::Float(other)) => one.partial_cmp(other).expect("no NaN"),
            (Self::Decimal(one), Self::Decimal(other)) => one.cmp(other),
            (Self::Text(one), Self::Text(other)) => one.as_bytes().cmp(other.as_bytes()),
            (Self::Date(one), Self::Date(other)) => one.cmp(other),
            _ => panic!("{self:?} and {other:?} have no order"),
        }
    }

    /// The number that statistics are computed from.
    pub fn number(&self, scale: u8) -> f64 {
        match self {
            Self::Int(int) => *int as f64,
            Self::Float(float) => *float,
            Self::Decimal(digits) => *digits as f64 / 10_f64.powi(scale.into()),
            _ => panic!("{self:?} is no number"),
        }
    }
}

/// The order of cells in which two nulls are equal and null is the greatest.
pub fn order(one: &Cell, other: &Cell) -> Ordering {
    match (one, other) {
        (Some(one), Some(other)) => one.order(other),
        (one, other) => one.is_none().cmp(&other.is_none()),
    }
}

/// How an answer writes values.
#[derive(Clone, Default)]
pub struct Form {
    /// Numbers that a double cannot hold are texts.
    pub numbers_as_text: bool,
    /// Timestamps are those of a zone.
    pub zone: Option<TimeZone>,
}

/// A cell as JSON.
pub fn json(cell: &Cell, data_type: Type, form: &Form) -> String {
    let Some(value) = cell else { return "null".to_owned() };
    let number = |digits: String| if form.numbers_as_text { format!("\"{digits}\"") } else { digits };
    match (value, data_type) {
        (Value::Bool(bool), _) => bool.to_string(),
        (Value::Int(int), Type::Int64) => number(int.to_string()),
        (Value::Int(int), _) => int.to_string(),
        (Value::Float(float), _) => ryu::Buffer::new().format(*float).to_owned(),
        (Value::Decimal(digits), Type::Decimal { scale, .. }) => number(decimal_text(*digits, scale)),
        (Value::Text(text), _) => serde_json::to_string(text).expect("JSON"),
        (Value::Json(text), _) => text.clone(),
        (Value::Date(days), _) => format!("\"{}\"", date(*days)),
        (Value::Instant(micros), _) => format!("\"{}\"", instant_text(*micros, form.zone.as_ref())),
        (Value::List(items), _) => serde_json::to_string(items).expect("JSON"),
        (Value::Decimal(_), other) => panic!("a decimal as {other}"),
    }
}

/// The day so many days after 1970-01-01.
pub fn date(days: i32) -> Date {
    EPOCH + jiff::Span::new().days(days)
}

/// Days since 1970-01-01.
pub fn days(date: Date) -> i32 {
    EPOCH.until(date).expect("a span").get_days()
}

/// The day of `YYYY-MM-DD`; `None` for anything else, such as an instant.
pub fn day(literal: &str) -> Option<i32> {
    (literal.len() == 10).then(|| days(literal.parse().expect("a date")))
}

/// The instant of RFC 3339, or the first one of a day.
pub fn instant(literal: &str) -> i64 {
    match day(literal) {
        Some(days) => i64::from(days) * MICROS_PER_DAY,
        None => literal.parse::<Timestamp>().expect("RFC 3339").as_microsecond(),
    }
}

/// The day of an instant in a zone, or in UTC.
pub fn day_of(micros: i64, zone: Option<&TimeZone>) -> Date {
    let instant = Timestamp::from_microsecond(micros).expect("an instant");
    instant.to_zoned(zone.cloned().unwrap_or(TimeZone::UTC)).date()
}

/// RFC 3339 with six digits behind the point or none: in UTC with a Z, in a zone with its offset.
pub fn instant_text(micros: i64, zone: Option<&TimeZone>) -> String {
    let instant = Timestamp::from_microsecond(micros).expect("an instant");
    let zoned = instant.to_zoned(zone.cloned().unwrap_or(TimeZone::UTC));
    let mut text = zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let fraction = micros.rem_euclid(1_000_000);
    if fraction > 0 {
        write!(text, ".{fraction:06}").expect("a text");
    }
    match zone {
        Some(_) => text.push_str(&zoned.strftime("%:z").to_string()),
        None => text.push('Z'),
    }
    text
}

/// `-0.05` for -5 at scale 2.
pub fn decimal_text(digits: i128, scale: u8) -> String {
    let sign = if digits < 0 { "-" } else { "" };
    let scale = usize::from(scale);
    let text = format!("{:0>width$}", digits.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = text.split_at(text.len() - scale);
    if scale == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

/// The digits of a literal at a scale: `1.5`, `-0.050`, `2e3`.
fn decimal(literal: &str, scale: u8) -> i128 {
    let (mantissa, exponent) = literal.split_once('e').unwrap_or((literal, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().expect("digits");
    let shift = i32::from(scale) + exponent.parse::<i32>().expect("an exponent") - fraction.len() as i32;
    let power = 10_i128.pow(shift.unsigned_abs());
    if shift >= 0 { digits * power } else { digits / power }
}
