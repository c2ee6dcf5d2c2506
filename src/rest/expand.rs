//! Related rows: `expand=profile(company_name),signals(limit=5,sort=-active_from)`.

use crate::http::Problem;
use crate::http::problem;
use crate::query::{EXPAND_DEPTH_MAX, Expansion, Filter};

use super::asked::{limit, order_key};
use super::tree::{Names, Reader};

/// Every expansion of a parameter's value.
pub(super) fn read(text: &str) -> Result<Vec<Expansion>, Problem> {
    let mut reader = Reader::new("expand", text, Names::Columns);
    let expansions = several(&mut reader, 1)?;
    reader.end()?;
    Ok(expansions)
}

fn several(reader: &mut Reader<'_>, level: usize) -> Result<Vec<Expansion>, Problem> {
    let mut expansions = vec![one(reader, level)?];
    while reader.eat(",") {
        expansions.push(one(reader, level)?);
    }
    Ok(expansions)
}

/// `relation` or `relation(argument,argument…)`.
fn one(reader: &mut Reader<'_>, level: usize) -> Result<Expansion, Problem> {
    if level > EXPAND_DEPTH_MAX {
        let detail = format!("there may be at most {EXPAND_DEPTH_MAX} levels of expand");
        return Err(Problem::new(problem::TOO_COMPLEX, detail).parameter("expand"));
    }
    let relation = reader.until(&['(', ')', ',', '=', '"']).trim();
    if relation.is_empty() {
        return Err(reader.malformed("the name of a relation"));
    }
    let mut expansion = Expansion { relation: relation.to_owned(), ..Expansion::default() };
    if !reader.eat("(") {
        return Ok(expansion);
    }
    let mut conditions = Vec::new();
    if !reader.eat(")") {
        loop {
            argument(reader, level, &mut expansion, &mut conditions)?;
            if !reader.eat(",") {
                break;
            }
        }
        reader.expect(")", "a comma or a closing parenthesis")?;
    }
    expansion.filter = Filter::All(conditions);
    Ok(expansion)
}

fn argument(
    reader: &mut Reader<'_>,
    level: usize,
    expansion: &mut Expansion,
    conditions: &mut Vec<Filter>,
) -> Result<(), Problem> {
    if reader.eat("limit=") {
        if expansion.limit.is_some() {
            return Err(reader.malformed("one limit"));
        }
        expansion.limit = Some(limit("expand", &reader.value()?)?);
    } else if reader.eat("sort=") {
        let keys = expansion.order.get_or_insert_default();
        if reader.eat("(") {
            loop {
                keys.push(order_key(reader.until(&[',', '(', ')', '"']).trim()));
                if !reader.eat(",") {
                    break;
                }
            }
            reader.expect(")", "a comma or a closing parenthesis")?;
        } else {
            keys.push(order_key(&reader.value()?));
        }
    } else if reader.eat("expand=") {
        if reader.eat("(") {
            expansion.expand.extend(several(reader, level + 1)?);
            reader.expect(")", "a comma or a closing parenthesis")?;
        } else {
            expansion.expand.push(one(reader, level + 1)?);
        }
    } else if matches!(reader.ahead(&['=', ',', '(', ')']), Some('=' | '(')) {
        conditions.push(reader.condition()?);
    } else {
        let field = reader.until(&[',', '(', ')', '"']).trim();
        if field.is_empty() {
            return Err(reader.malformed("a field, limit=, sort=, expand= or a condition"));
        }
        expansion.select.get_or_insert_default().push(field.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Comparison, Direction, Operand, Operator, OrderKey};

    #[test]
    fn expansions_are_read_with_their_arguments() {
        let plain = |relation: &str| Expansion { relation: relation.into(), ..Expansion::default() };
        let direction = Filter::Compare(Comparison {
            field: "direction".into(),
            operator: Operator::Gte,
            operand: Operand::One("1".into()),
        });
        let key = OrderKey { field: "active_from".into(), direction: Direction::Descending, nulls: None };
        let signals = Expansion {
            select: Some(vec!["signal".into()]),
            filter: Filter::All(vec![direction]),
            order: Some(vec![key.clone()]),
            limit: Some(5),
            expand: vec![plain("profile")],
            ..plain("signals")
        };
        let names = Expansion { select: Some(vec!["company_name".into(), "country".into()]), ..plain("profile") };
        let cases = [
            ("profile", vec![plain("profile")]),
            ("profile()", vec![plain("profile")]),
            ("profile,signals", vec![plain("profile"), plain("signals")]),
            (
                "profile(company_name,country),signals(limit=5,sort=-active_from,direction.gte=1,signal,expand=profile)",
                vec![names, signals.clone()],
            ),
            ("signals(signal,sort=(-active_from),limit=5,expand=(profile),direction.gte=1)", vec![signals]),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).map_err(|problem| problem.kind.slug), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_expansion_is_refused() {
        for text in ["", ",", "a(", "a)", "a(b", "a(b,)", "a(limit=1,limit=2)", "a(b)c", "a=1", "(a)", "a(sort=(b)"] {
            assert_eq!(read(text).map_err(|problem| problem.kind.slug), Err("malformed-request"), "{text}");
        }
        assert_eq!(read("a(limit=x)").map_err(|problem| problem.kind.slug), Err("invalid-literal"));
        assert_eq!(read(&"a(expand=".repeat(10_000)).map_err(|problem| problem.kind.slug), Err("too-complex"));
    }
}
