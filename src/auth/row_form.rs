//! Row rules as they are written: the filter of a question's body, whose values may be the caller's claims.

use serde_json::{Map, Value};

use crate::catalog::{Comparison, Dataset, Filter, Operand, Operator, Type};

use super::RowRule;

/// What a value begins with that is a claim.
const CLAIM: &str = "$claims.";
/// Connectives inside each other at most, as in questions.
const DEPTH_MAX: usize = 8;
/// A number with more digits has lost some on its way through the file.
const DIGITS_MAX: usize = 15;

/// Reads a rule about rows of a dataset. `reads` says whether a text is a value of a type.
///
/// # Errors
/// What is wrong with it, and what was expected.
pub(super) fn rule(value: &Value, dataset: &Dataset, reads: fn(Type, &str) -> bool) -> Result<RowRule, String> {
    let reader = Reader { dataset, reads };
    Ok(RowRule::new(reader.object(value, 0)?))
}

struct Reader<'d> {
    dataset: &'d Dataset,
    reads: fn(Type, &str) -> bool,
}

impl Reader<'_> {
    fn object(&self, value: &Value, depth: usize) -> Result<Filter, String> {
        let Value::Object(members) = value else {
            return Err("expected a mapping of columns, or, and, not".into());
        };
        if depth > DEPTH_MAX {
            return Err(format!("expected at most {DEPTH_MAX} levels of and, or, not"));
        }
        if members.is_empty() {
            return Err("expected at least one condition".into());
        }
        let mut filters = Vec::with_capacity(members.len());
        for (name, value) in members {
            match name.as_str() {
                "or" => filters.push(Filter::Any(self.list(name, value, depth)?)),
                "and" => filters.push(Filter::All(self.list(name, value, depth)?)),
                "not" => filters.push(Filter::Not(Box::new(self.object(value, depth + 1)?))),
                _ => self.comparisons(name, value, &mut filters)?,
            }
        }
        Ok(if filters.len() == 1 { filters.remove(0) } else { Filter::All(filters) })
    }

    fn list(&self, name: &str, value: &Value, depth: usize) -> Result<Vec<Filter>, String> {
        let Some(parts) = value.as_array().filter(|parts| !parts.is_empty()) else {
            return Err(format!("expected a list of conditions behind {name}"));
        };
        parts.iter().map(|part| self.object(part, depth + 1)).collect()
    }

    fn comparisons(&self, name: &str, value: &Value, filters: &mut Vec<Filter>) -> Result<(), String> {
        let Some(column) = self.dataset.column(name).map(|index| &self.dataset.columns[index]) else {
            let known: Vec<&str> = self.dataset.columns.iter().map(|column| column.name.as_str()).collect();
            return Err(format!("{} has no column {name:?}: expected one of {}", self.dataset.name, known.join(", ")));
        };
        let alone: Map<String, Value>;
        let operators = match value {
            Value::Object(operators) if operators.is_empty() => {
                return Err(format!("expected at least one operator behind {name}"));
            }
            Value::Object(operators) => operators,
            one => {
                alone = Map::from_iter([(Operator::Eq.as_str().to_owned(), one.clone())]);
                &alone
            }
        };
        for (word, value) in operators {
            let fitting = || {
                let fitting = Operator::ALL.into_iter().filter(|operator| operator.fits(column.data_type));
                fitting.map(Operator::as_str).collect::<Vec<_>>().join(", ")
            };
            let operator = Operator::named(word).filter(|operator| operator.fits(column.data_type));
            let operator =
                operator.ok_or_else(|| format!("{name} cannot be compared by {word:?}: expected {}", fitting()))?;
            let operand = self.operand(name, operator, column.data_type, value)?;
            filters.push(Filter::Compare(Comparison { field: name.to_owned(), operator, operand }));
        }
        Ok(())
    }

    fn operand(&self, name: &str, operator: Operator, data_type: Type, value: &Value) -> Result<Operand, String> {
        if let Some(claim) = value.as_str().and_then(|text| text.strip_prefix(CLAIM)) {
            return match claim {
                "" => Err(format!("expected a claim's name behind {CLAIM}")),
                claim => Ok(Operand::Claim(claim.to_owned())),
            };
        }
        // What a list is asked for is a text itself.
        let data_type = match (operator, data_type) {
            (Operator::Has, _) => Type::String,
            (Operator::IsNull, _) => Type::Bool,
            (_, data_type) => data_type,
        };
        let literal = |value: &Value| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(flag) => flag.to_string(),
                Value::Number(number) => {
                    let text = number.to_string();
                    if number.is_f64() && text.bytes().filter(u8::is_ascii_digit).count() > DIGITS_MAX {
                        return Err(format!("{name}: expected so many digits in quotes"));
                    }
                    text
                }
                Value::Null => return Err(format!("{name}: null is asked for with is_null")),
                Value::Array(_) | Value::Object(_) => return Err(format!("{name}: expected one value")),
            };
            if (self.reads)(data_type, &text) {
                Ok(text)
            } else {
                Err(format!("{name}: expected a {data_type}, found {text:?}"))
            }
        };
        if !operator.takes_list() {
            return literal(value).map(Operand::One);
        }
        let Value::Array(items) = value else {
            return Err(format!("{name}: expected a list behind {}, or $claims.NAME", operator.as_str()));
        };
        items.iter().map(literal).collect::<Result<_, _>>().map(Operand::Many)
    }
}
