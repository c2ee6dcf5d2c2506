//! Rules about rows: a filter that rows must meet to exist for a role, which may refer to what the caller claims.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::catalog::{Comparison, Filter, Operand};

/// What rows must meet to exist for a caller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RowRule(Filter);

impl RowRule {
    /// A rule. Its names and literals are checked where the matrix is compiled.
    #[must_use]
    pub fn new(filter: Filter) -> Self {
        Self(filter)
    }

    /// The rule as it is written.
    #[must_use]
    pub fn filter(&self) -> &Filter {
        &self.0
    }

    /// The claims that it refers to.
    #[must_use]
    pub fn claims(&self) -> BTreeSet<&str> {
        fn collect<'f>(filter: &'f Filter, into: &mut BTreeSet<&'f str>) {
            match filter {
                Filter::All(parts) | Filter::Any(parts) => parts.iter().for_each(|part| collect(part, into)),
                Filter::Not(part) => collect(part, into),
                Filter::Compare(Comparison { operand: Operand::Claim(name), .. }) => {
                    into.insert(name);
                }
                Filter::Compare(_) => {}
            }
        }
        let mut claims = BTreeSet::new();
        collect(&self.0, &mut claims);
        claims
    }

    /// The rule for a caller with those claims. `None` when the caller lacks one that it refers to, or has it in a form
    /// that compares with nothing: then no row exists for that caller, whatever the rule negates.
    #[must_use]
    pub fn of(&self, claims: &Map<String, Value>) -> Option<Filter> {
        fn resolve(filter: &Filter, claims: &Map<String, Value>) -> Option<Filter> {
            let all = |parts: &[Filter]| parts.iter().map(|part| resolve(part, claims)).collect::<Option<Vec<_>>>();
            Some(match filter {
                Filter::All(parts) => Filter::All(all(parts)?),
                Filter::Any(parts) => Filter::Any(all(parts)?),
                Filter::Not(part) => Filter::Not(Box::new(resolve(part, claims)?)),
                Filter::Compare(comparison) => {
                    let operand = match &comparison.operand {
                        Operand::Claim(name) => operand(claims.get(name)?, comparison.operator.takes_list())?,
                        other => other.clone(),
                    };
                    Filter::Compare(Comparison { operand, ..comparison.clone() })
                }
            })
        }
        resolve(&self.0, claims)
    }
}

impl std::fmt::Display for RowRule {
    /// As a person reads it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&words(&self.0, false))
    }
}

fn words(filter: &Filter, inside: bool) -> String {
    let joined = |parts: &[Filter], by: &str| {
        let all: Vec<String> = parts.iter().map(|part| words(part, true)).collect();
        let all = all.join(by);
        if inside && parts.len() > 1 { format!("({all})") } else { all }
    };
    match filter {
        Filter::All(parts) => joined(parts, " and "),
        Filter::Any(parts) => joined(parts, " or "),
        Filter::Not(part) => format!("not {}", words(part, true)),
        Filter::Compare(Comparison { field, operator, operand }) => {
            let operand = match operand {
                Operand::One(text) => text.clone(),
                Operand::Many(texts) => format!("[{}]", texts.join(", ")),
                Operand::Claim(claim) => format!("$claims.{claim}"),
            };
            format!("{field} {} {operand}", operator.as_str())
        }
    }
}

/// A claim as an operand: one value is a list of one where a list is wanted; a list where one value is wanted is none.
fn operand(claim: &Value, list: bool) -> Option<Operand> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    match claim {
        Value::Array(items) if list => Some(Operand::Many(items.iter().map(text).collect::<Option<_>>()?)),
        one if list => Some(Operand::Many(vec![text(one)?])),
        one => Some(Operand::One(text(one)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Operator;
    use serde_json::json;

    fn compare(operator: Operator, operand: Operand) -> Filter {
        Filter::Compare(Comparison { field: "symbol".into(), operator, operand })
    }

    #[test]
    fn a_claim_that_is_missing_hides_every_row_whatever_is_negated() {
        let claim = || Operand::Claim("symbols".into());
        let none = compare(Operator::In, claim());
        let rule = RowRule::new(Filter::Not(Box::new(Filter::Any(vec![none]))));
        assert_eq!(rule.claims(), BTreeSet::from(["symbols"]));
        let of = |claims: Value| rule.of(claims.as_object().expect("an object"));
        for claims in [json!({}), json!({ "symbols": null }), json!({ "symbols": [{}] }), json!({ "other": "A" })] {
            assert_eq!(of(claims), None);
        }
        let many = |texts: &[&str]| Operand::Many(texts.iter().map(|text| (*text).to_owned()).collect());
        for (claims, expected) in [
            (json!({ "symbols": ["A", "B"] }), many(&["A", "B"])),
            (json!({ "symbols": "A" }), many(&["A"])),
            (json!({ "symbols": [] }), many(&[])),
        ] {
            let expected = Filter::Not(Box::new(Filter::Any(vec![compare(Operator::In, expected)])));
            assert_eq!(of(claims), Some(expected));
        }
        let one = RowRule::new(compare(Operator::Eq, claim()));
        assert_eq!(one.of(json!({ "symbols": ["A"] }).as_object().expect("an object")), None);
    }
}
