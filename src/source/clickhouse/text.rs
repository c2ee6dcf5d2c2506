//! Parameters as ClickHouse reads them: a type in the statement, a text beside it.

use crate::catalog::Type;
use crate::encode::{write_date, write_decimal, write_timestamp};
use crate::plan::Value;
use crate::source::sql::Parameter;

/// What stands around a parameter's placeholder. An instant comes as its microseconds: the end of the calendar's last day
/// is no instant that its text could be read as, and can be compared with all the same.
pub(in crate::source) fn around(parameter: &Parameter) -> (&'static str, &'static str) {
    match parameter {
        Parameter::One(Type::Timestamp, _) => ("fromUnixTimestamp64Micro(", ", 'UTC')"),
        _ => ("", ""),
    }
}

/// The type that stands in a parameter's placeholder.
pub(in crate::source) fn parameter_type(parameter: &Parameter) -> String {
    match parameter {
        Parameter::One(Type::Timestamp, _) => type_of(Type::Int64),
        Parameter::One(data_type, _) => type_of(*data_type),
        Parameter::Many(data_type, _) => format!("Array({})", type_of(*data_type)),
    }
}

/// ClickHouse's type for the values of a contract's. An element stands for a list, a text for JSON.
pub(super) fn type_of(data_type: Type) -> String {
    match data_type {
        Type::Bool => "Bool".into(),
        Type::Int32 => "Int32".into(),
        Type::Int64 => "Int64".into(),
        Type::Float64 => "Float64".into(),
        Type::Decimal { precision, scale } => format!("Decimal({precision}, {scale})"),
        Type::String | Type::Json | Type::StringList => "String".into(),
        Type::Date => "Date32".into(),
        Type::Timestamp => "DateTime64(6, 'UTC')".into(),
    }
}

/// A parameter's text, in the escaped form that values have in tab-separated rows.
pub(super) fn parameter(parameter: &Parameter) -> String {
    let mut out = Vec::new();
    match parameter {
        Parameter::One(Type::Timestamp, Value::Timestamp(micros)) => {
            out.extend_from_slice(itoa::Buffer::new().format(*micros).as_bytes());
        }
        Parameter::One(data_type, value) => write(*data_type, value, &mut out),
        Parameter::Many(data_type, values) => {
            out.push(b'[');
            for (place, value) in values.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                let quoted = matches!(value, Value::String(_) | Value::Date(_) | Value::Timestamp(_));
                out.extend(quoted.then_some(b'\''));
                write(*data_type, value, &mut out);
                out.extend(quoted.then_some(b'\''));
            }
            out.push(b']');
        }
    }
    // Every writer writes UTF-8.
    String::from_utf8(out).unwrap_or_default()
}

fn write(data_type: Type, value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Bool(bool) => out.extend_from_slice(if *bool { b"true" } else { b"false" }),
        Value::Int(int) => out.extend_from_slice(itoa::Buffer::new().format(*int).as_bytes()),
        Value::Float(float) => out.extend_from_slice(ryu::Buffer::new().format(*float).as_bytes()),
        Value::Decimal(digits) => {
            let scale = if let Type::Decimal { scale, .. } = data_type { scale } else { 0 };
            write_decimal(*digits, scale, out);
        }
        Value::String(text) => escaped(text, out),
        Value::Date(days) => write_date(*days, out),
        Value::Timestamp(micros) => {
            // `2020-02-29 12:30:00.000001`: no `T`, no `Z`.
            let from = out.len();
            write_timestamp(*micros, out);
            out[from..].iter_mut().filter(|byte| **byte == b'T').for_each(|byte| *byte = b' ');
            out.pop();
        }
    }
}

fn escaped(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'\\' | b'\'' => out.extend_from_slice(&[b'\\', byte]),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_the_text_that_clickhouse_reads() {
        let one = |data_type, value| parameter(&Parameter::One(data_type, value));
        let decimal = Type::Decimal { precision: 10, scale: 4 };
        assert_eq!(one(decimal, Value::Decimal(-5)), "-0.0005");
        assert_eq!(one(Type::Timestamp, Value::Timestamp(-1)), "-1");
        let instants = Parameter::Many(Type::Timestamp, vec![Value::Timestamp(-1)]);
        assert_eq!(parameter(&instants), "['1969-12-31 23:59:59.999999']");
        assert_eq!(one(Type::Date, Value::Date(0)), "1970-01-01");
        assert_eq!(one(Type::String, Value::String("a\\'\t\n".into())), "a\\\\\\'\\t\\n");
        let texts = ["a'b", "c,d"].map(|text| Value::String(text.into()));
        assert_eq!(parameter(&Parameter::Many(Type::String, texts.into())), "['a\\'b','c,d']");
        assert_eq!(parameter_type(&Parameter::Many(decimal, Vec::new())), "Array(Decimal(10, 4))");
    }
}
