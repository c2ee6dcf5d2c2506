//! Values of arguments to the parts of a question: the same filters and orders as every door writes.

use std::collections::HashMap;

use async_graphql::Value;

use crate::http::Problem;
use crate::http::problem;
use crate::http::problem::shown;
use crate::query::{Comparison, Direction, Filter, Nulls, Operand, Operator, OrderKey};

/// What an argument says; null says nothing.
pub(super) fn argument<'a>(arguments: &'a HashMap<String, Value>, name: &str) -> Option<&'a Value> {
    arguments.get(name).filter(|value| **value != Value::Null)
}

pub(super) fn wrong(place: &str, expected: &str) -> Problem {
    Problem::new(problem::INVALID_LITERAL, expected).parameter(place)
}

/// A text, or a name of an enumeration, which variables write as a text.
pub(super) fn text(arguments: &HashMap<String, Value>, name: &str) -> Result<Option<String>, Problem> {
    argument(arguments, name).map(|value| word(value, name)).transpose()
}

fn word(value: &Value, place: &str) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Enum(name) => Ok(name.to_string()),
        _ => Err(wrong(place, "expected a text")),
    }
}

/// A list of names; one alone is a list of one.
pub(super) fn names(arguments: &HashMap<String, Value>, name: &str) -> Result<Vec<String>, Problem> {
    argument(arguments, name).map_or(Ok(Vec::new()), |value| items(value).iter().map(|one| word(one, name)).collect())
}

/// GraphQL takes one value for a list of one.
fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) => items,
        one => std::slice::from_ref(one),
    }
}

/// A literal as it is written: its type is the column's business.
pub(super) fn literal(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Boolean(flag) => Some(flag.to_string()),
        Value::Null | Value::Binary(_) | Value::Enum(_) | Value::List(_) | Value::Object(_) => None,
    }
}

/// The keys of an order.
pub(super) fn order(value: Option<&Value>, place: &str) -> Result<Option<Vec<OrderKey>>, Problem> {
    let Some(value) = value else { return Ok(None) };
    let keys = items(value).iter().map(|key| {
        let Value::Object(members) = key else { return Err(wrong(place, "expected keys of an order")) };
        let member = |name: &str| members.get(name).filter(|value| **value != Value::Null);
        let field = member("field").ok_or_else(|| wrong(place, "expected a field"))?;
        let said = |name: &str| member(name).map(|value| word(value, place)).transpose();
        let direction = match said("direction")?.as_deref() {
            None | Some("ASC") => Direction::Ascending,
            Some("DESC") => Direction::Descending,
            Some(_) => return Err(wrong(place, "expected ASC or DESC")),
        };
        let nulls = match said("nulls")?.as_deref() {
            None => None,
            Some("FIRST") => Some(Nulls::First),
            Some("LAST") => Some(Nulls::Last),
            Some(_) => return Err(wrong(place, "expected FIRST or LAST")),
        };
        Ok(OrderKey { field: word(field, place)?, direction, nulls })
    });
    keys.collect::<Result<_, _>>().map(Some)
}

/// The conditions of an argument, all of which hold.
pub(super) fn filter(value: Option<&Value>, place: &str) -> Result<Filter, Problem> {
    value.map_or(Ok(Filter::default()), |value| Ok(Filter::All(conditions(value, place)?)))
}

fn conditions(value: &Value, place: &str) -> Result<Vec<Filter>, Problem> {
    let Value::Object(members) = value else { return Err(wrong(place, "expected conditions")) };
    let mut filters = Vec::with_capacity(members.len());
    for (name, value) in members {
        match name.as_str() {
            "not" => filters.push(Filter::Not(Box::new(alone(value, place)?))),
            "and" => filters.push(Filter::All(connected(value, place)?)),
            "or" => filters.push(Filter::Any(connected(value, place)?)),
            name => comparisons(name, value, place, &mut filters)?,
        }
    }
    Ok(filters)
}

fn connected(value: &Value, place: &str) -> Result<Vec<Filter>, Problem> {
    let parts = items(value);
    if parts.is_empty() {
        return Err(wrong(place, "expected at least one condition behind and and or"));
    }
    parts.iter().map(|part| alone(part, place)).collect()
}

/// One condition stands for itself; none says nothing, and nobody means that.
fn alone(value: &Value, place: &str) -> Result<Filter, Problem> {
    let mut filters = conditions(value, place)?;
    match filters.len() {
        0 => Err(wrong(place, "expected at least one condition inside and, or and not")),
        1 => Ok(filters.remove(0)),
        _ => Ok(Filter::All(filters)),
    }
}

fn comparisons(field: &str, value: &Value, place: &str, filters: &mut Vec<Filter>) -> Result<(), Problem> {
    let parameter = format!("{place}.{field}");
    let Value::Object(members) = value else {
        return Err(wrong(&parameter, "expected operators"));
    };
    if members.is_empty() {
        // An operator whose variable nothing was said of is not there: nothing is compared.
        return Ok(());
    }
    for (word, value) in members {
        let parameter = format!("{parameter}.{}", shown(word));
        let operator = Operator::named(word).ok_or_else(|| wrong(&parameter, "expected an operator"))?;
        // Null compares with nothing: a condition that is left out by it would let every row through.
        let read =
            |value: &Value| literal(value).ok_or_else(|| wrong(&parameter, "expected a value: is_null asks for null"));
        let operand = if operator.takes_list() {
            Operand::Many(items(value).iter().map(read).collect::<Result<_, _>>()?)
        } else {
            Operand::One(read(value)?)
        };
        filters.push(Filter::Compare(Comparison { field: field.to_owned(), operator, operand }));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_graphql::value;

    #[test]
    fn conditions_are_the_filters_that_every_door_writes() {
        let compare = |field: &str, operator, operand: &str| {
            Filter::Compare(Comparison { field: field.into(), operator, operand: Operand::One(operand.into()) })
        };
        let read = |value: &Value| filter(Some(value), "where").map_err(|problem| problem.kind.slug);
        let cases = [
            (value!({}), Filter::All(vec![])),
            (value!({ "a": { "eq": "x" } }), Filter::All(vec![compare("a", Operator::Eq, "x")])),
            (
                value!({ "or": [{ "a": { "gt": 1, "lt": 2 } }, { "not": { "b": { "is_null": true } } }] }),
                Filter::All(vec![Filter::Any(vec![
                    Filter::All(vec![compare("a", Operator::Gt, "1"), compare("a", Operator::Lt, "2")]),
                    Filter::Not(Box::new(compare("b", Operator::IsNull, "true"))),
                ])]),
            ),
            // One for a list of one.
            (
                value!({ "a": { "in": "x" } }),
                Filter::All(vec![Filter::Compare(Comparison {
                    field: "a".into(),
                    operator: Operator::In,
                    operand: Operand::Many(vec!["x".into()]),
                })]),
            ),
            (value!({ "a": {} }), Filter::All(vec![])),
        ];
        for (value, expected) in cases {
            assert_eq!(read(&value), Ok(expected), "{value}");
        }
        for value in [
            value!({ "a": { "eq": null } }),
            value!({ "a": { "in": [null] } }),
            value!({ "a": "x" }),
            value!({ "or": [] }),
            value!({ "not": {} }),
            value!({ "a": { "like": "x" } }),
        ] {
            assert_eq!(read(&value), Err("invalid-literal"), "{value}");
        }
    }
}
