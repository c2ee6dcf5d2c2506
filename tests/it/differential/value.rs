//! Values of the reference: read from literals, compared and written without a line of the code under test.

use std::cmp::Ordering;
use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use martello::catalog::Type;

pub const MICROS_PER_DAY: i64 = 86_400_000_000;
const EPOCH: Date = Date::constant(1970, 1, 1);
const FIRST_DAY: Date = Date::constant(1, 1, 1);
const LAST_DAY: Date = Date::constant(9999, 12, 31);

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
        // Negative zero is zero, and equal values have equal bytes.
        (Value::Float(float), _) => ryu::Buffer::new().format(float + 0.0).to_owned(),
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

/// The instant of RFC 3339, or the first one of a day: from 0001-01-01 to the last microsecond of 9999-12-31.
pub fn instant(literal: &str) -> i64 {
    if let Some(days) = day(literal) {
        return i64::from(days) * MICROS_PER_DAY;
    }
    let (local, offset) = match literal.strip_suffix('Z') {
        Some(local) => (local, 0),
        None => {
            let (local, offset) = literal.split_at(literal.len() - "+00:00".len());
            let (hours, minutes) = offset[1..].split_once(':').expect("an offset");
            let seconds = hours.parse::<i64>().expect("hours") * 3600 + minutes.parse::<i64>().expect("minutes") * 60;
            (local, if offset.starts_with('-') { -seconds } else { seconds })
        }
    };
    let local: DateTime = local.parse().expect("a date and a time");
    let of_day = local.time().duration_since(Time::midnight()).as_micros();
    i64::from(days(local.date())) * MICROS_PER_DAY + i64::try_from(of_day).expect("a day") - offset * 1_000_000
}

/// How many seconds a zone's clocks are ahead of UTC. The library's instants end some hours before the calendar.
fn ahead(micros: i64, zone: &TimeZone) -> i64 {
    let end = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    let instant = Timestamp::from_microsecond(micros).unwrap_or(end);
    zone.to_offset(instant).seconds().into()
}

/// The day of an instant in a zone, or in UTC. Clocks that leave the calendar at its ends stay at its first or last day.
pub fn day_of(micros: i64, zone: Option<&TimeZone>) -> Date {
    let local = micros + zone.map_or(0, |zone| ahead(micros, zone)) * 1_000_000;
    let day = local.div_euclid(MICROS_PER_DAY).clamp(days(FIRST_DAY).into(), days(LAST_DAY).into());
    date(i32::try_from(day).expect("a day"))
}

/// RFC 3339 with six digits behind the point or none: in UTC with a Z, in a zone with its offset, which has no seconds
/// even where clocks had. Clocks that leave the calendar are not asked.
pub fn instant_text(micros: i64, zone: Option<&TimeZone>) -> String {
    let minutes = zone.map(|zone| ahead(micros, zone) / 60);
    let local = micros + minutes.unwrap_or(0) * 60_000_000;
    let calendar = i64::from(days(FIRST_DAY)) * MICROS_PER_DAY..(i64::from(days(LAST_DAY)) + 1) * MICROS_PER_DAY;
    if !calendar.contains(&local) {
        return instant_text(micros, None);
    }
    let seconds = local.rem_euclid(MICROS_PER_DAY) / 1_000_000;
    let (hour, minute) = (seconds / 3600, seconds / 60 % 60);
    let mut text = format!("{}T{hour:02}:{minute:02}:{:02}", day_of(local, None), seconds % 60);
    let fraction = micros.rem_euclid(1_000_000);
    if fraction > 0 {
        write!(text, ".{fraction:06}").expect("a text");
    }
    match minutes {
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            write!(text, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60).expect("a text");
        }
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
