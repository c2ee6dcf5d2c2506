//! Scalars, and the inputs that datasets share.

use async_graphql::Value;
use async_graphql::dynamic::{InputObject, Object, Scalar};

use super::{Types, field, plain};
use crate::catalog::{Bucket, Operator, Revision, Type};

/// The scalar of a type.
pub(super) fn named(data_type: Type) -> &'static str {
    match data_type {
        Type::Bool => "Boolean",
        Type::Int32 => "Int",
        Type::Int64 => "BigInt",
        Type::Float64 => "Float",
        Type::Decimal { .. } => "Decimal",
        Type::String => "String",
        Type::Date => "Date",
        Type::Timestamp => "DateTime",
        Type::Json => "JSON",
        Type::StringList => "[String!]",
    }
}

/// The type of a field. A double that is no number leaves Martello as null, whatever the contract says.
pub(super) fn output(data_type: Type, nullable: bool) -> String {
    let required = if nullable || data_type == Type::Float64 { "" } else { "!" };
    format!("{}{required}", named(data_type))
}

/// What an operator is compared with.
pub(super) fn operand(operator: Operator, data_type: Type) -> String {
    match operator {
        Operator::In | Operator::Nin => format!("[{}!]", named(data_type)),
        Operator::IsNull => "Boolean".to_owned(),
        Operator::Prefix | Operator::Contains | Operator::Has => "String".to_owned(),
        Operator::Eq | Operator::Ne | Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => {
            named(data_type).to_owned()
        }
    }
}

/// The conditions that operators make.
pub(super) fn conditions(name: &str, operators: impl IntoIterator<Item = Operator>, data_type: Type) -> InputObject {
    operators.into_iter().fold(InputObject::new(name), |input, operator| {
        input.field(plain(operator.as_str(), &operand(operator, data_type)))
    })
}

/// The name of the conditions of a measure: they depend on its type alone.
pub(super) fn condition_of(data_type: Type) -> String {
    format!("{}Condition", named(data_type).trim_matches(['[', ']', '!']))
}

pub(super) fn add(types: &mut Types) {
    let text = |value: &Value| matches!(value, Value::String(_));
    let integer = |value: &Value| match value {
        Value::String(_) => true,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    };
    let scalars = [
        Scalar::new("Date")
            .description("A day of the Gregorian calendar, as `2014-12-31`.")
            .specified_by_url("https://scalars.graphql.org/andimarek/local-date")
            .validator(text),
        Scalar::new("DateTime")
            .description("An instant, as `2014-12-31T21:00:00.000000Z`; with another offset where `tz` says so.")
            .specified_by_url("https://scalars.graphql.org/andimarek/date-time")
            .validator(text),
        Scalar::new("Decimal")
            .description("An exact decimal with all its digits, as the text `\"110.380000\"`. A JSON number would be rounded by many readers.")
            .specified_by_url("https://www.rfc-editor.org/rfc/rfc8259#section-6")
            .validator(integer),
        Scalar::new("BigInt")
            .description("A whole number of 64 bits, as the text `\"41403351\"`.")
            .specified_by_url("https://www.rfc-editor.org/rfc/rfc8259#section-6")
            .validator(integer),
        Scalar::new("JSON").description("Any JSON value.").specified_by_url("https://www.rfc-editor.org/rfc/rfc8259"),
    ];
    for scalar in scalars {
        types.scalar(scalar);
    }
    types.object(
        Object::new("PageInfo")
            .description("Where a page stands among others.")
            .field(field("hasNextPage", "Boolean!").description("Whether rows come behind it."))
            .field(field("hasPreviousPage", "Boolean!").description("Whether rows come before it."))
            .field(field("startCursor", "String").description("The cursor of its first row."))
            .field(field("endCursor", "String").description("The cursor of its last row.")),
    );
    types.names("Direction", "Which end of an order comes first: the least, or the greatest.", ["ASC", "DESC"]);
    let nulls = "Where nulls stand in an order; they sort greatest where nothing is said.";
    types.names("Nulls", nulls, ["FIRST", "LAST"]);
    let revisions =
        "Which of the revisions of a fact: the one that was known first, the one that was known last, or all.";
    types.names("Revision", revisions, Revision::ALL.map(|(name, _)| name));
    let intervals = "An interval of the calendar, named by its first day.";
    types.names("Interval", intervals, Bucket::ALL.map(Bucket::as_str));
    for data_type in [
        Type::Bool,
        Type::Int32,
        Type::Int64,
        Type::Float64,
        Type::Decimal { precision: 1, scale: 0 },
        Type::String,
        Type::Date,
        Type::Timestamp,
    ] {
        let operators = Operator::ALL.into_iter().filter(|operator| operator.fits(data_type));
        let input = conditions(&condition_of(data_type), operators, data_type);
        types.input(input.description("What a field of a group is compared with."));
    }
}
