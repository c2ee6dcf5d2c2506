//! A path and its query string to a [`Query`]: what is written, well-formed, with no name looked up.

use crate::catalog::Operator;
use crate::encode::Numbers;
use crate::http::extract;
use crate::http::problem::{self, Problem, shown};
use crate::query::{Comparison, Cursor, Direction, Filter, Nulls, Operand, OrderKey, Page, Query};

/// What a rows request asks, and how it wants to be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) format: Option<String>,
    pub(super) numbers: Numbers,
}

/// The question of a target such as `/v1/datasets/price_daily/rows?symbol=MSFT`, as this door reads it.
///
/// # Errors
/// When it cannot be read.
pub fn question(target: &str) -> Result<Query, Problem> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let parameters = extract::parameters(query)?;
    match path.splitn(6, '/').collect::<Vec<_>>()[..] {
        ["", "v1", "datasets", dataset, "rows"] => Ok(page(dataset, parameters)?.query),
        ["", "v1", "datasets", dataset, "rows", key] => Ok(row(dataset, extract::segments(key)?, parameters)?.query),
        _ => Err(Problem::new(problem::NOT_FOUND, "there is no such resource")),
    }
}

/// Reads the parameters of a page.
pub(super) fn page(dataset: &str, parameters: Vec<(String, String)>) -> Result<Asked, Problem> {
    let mut query = Query { dataset: dataset.to_owned(), ..Query::default() };
    let mut format = None;
    let mut numbers = Numbers::default();
    let mut conditions = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in parameters {
        let once = matches!(name.as_str(), "limit" | "cursor" | "as_of" | "format" | "numbers");
        if once && seen.contains(&name) {
            let detail = format!("{name} is given twice");
            return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter(name));
        }
        match name.as_str() {
            "select" => query.select.get_or_insert_default().extend(names("select", &value)?),
            "latest_by" => query.latest_by.extend(names("latest_by", &value)?),
            "sort" => {
                let keys = names("sort", &value)?;
                query.order.get_or_insert_default().extend(keys.iter().map(|key| order_key(key)));
            }
            "limit" => query.page.limit = Some(limit(&value)?),
            "cursor" => query.page.cursor = Some(Cursor(value)),
            "as_of" => query.as_of = Some(value),
            "format" => format = Some(value),
            "numbers" => numbers = read_numbers(&value)?,
            _ => conditions.push(condition(&name, value)?),
        }
        seen.push(name);
    }
    query.filter = Filter::All(conditions);
    Ok(Asked { query, format, numbers })
}

/// Reads the parameters of one row: its key stands in the path.
pub(super) fn row(dataset: &str, key: Vec<String>, parameters: Vec<(String, String)>) -> Result<Asked, Problem> {
    const ALLOWED: [&str; 3] = ["select", "format", "numbers"];
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !ALLOWED.contains(&name.as_str())) {
        let detail = format!("one row by its key takes no parameter {}", shown(name));
        let problem = Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(shown(name));
        return Err(problem.hint(format!("there are: {}", ALLOWED.join(", "))));
    }
    let mut asked = page(dataset, parameters)?;
    asked.query.key = Some(key);
    asked.query.page = Page { limit: Some(1), cursor: None };
    Ok(asked)
}

/// `field=value` or `field.operator=value`.
fn condition(name: &str, value: String) -> Result<Filter, Problem> {
    let (field, operator) = match name.split_once('.') {
        None => (name, Operator::Eq),
        Some((field, word)) => (field, Operator::named(word).ok_or_else(|| unknown_operator(name, word))?),
    };
    let operand = if operator.takes_list() {
        Operand::Many(list(&value).ok_or_else(|| {
            let detail = "a list has an open quote, or a text behind a closing one";
            Problem::new(problem::MALFORMED_REQUEST, detail).parameter(shown(name))
        })?)
    } else {
        Operand::One(value)
    };
    Ok(Filter::Compare(Comparison { field: field.to_owned(), operator, operand }))
}

fn unknown_operator(name: &str, word: &str) -> Problem {
    let all: Vec<&str> = Operator::ALL.into_iter().map(Operator::as_str).collect();
    Problem::new(problem::OPERATOR_NOT_ALLOWED, format!("there is no operator {}", shown(word)))
        .parameter(shown(name))
        .hint(format!("there are: {}", all.join(", ")))
}

/// A list as RFC 4180 writes a record: commas part, quotes keep, two quotes are one. The empty text is the empty list.
fn list(text: &str) -> Option<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = text;
    if rest.is_empty() {
        return Some(items);
    }
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut item = String::new();
            let mut after = quoted;
            loop {
                let (inside, behind) = after.split_once('"')?;
                item.push_str(inside);
                match behind.strip_prefix('"') {
                    Some(further) => {
                        item.push('"');
                        after = further;
                    }
                    None => {
                        rest = behind;
                        break;
                    }
                }
            }
            items.push(item);
            match rest.strip_prefix(',') {
                Some(further) => rest = further,
                None => return rest.is_empty().then_some(items),
            }
        } else {
            match rest.split_once(',') {
                Some((item, further)) => {
                    items.push(item.to_owned());
                    rest = further;
                }
                None => {
                    items.push(rest.to_owned());
                    return Some(items);
                }
            }
        }
    }
}

/// Names parted by commas, at least one.
fn names(parameter: &str, text: &str) -> Result<Vec<String>, Problem> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.iter().any(String::is_empty) {
        return Err(Problem::new(problem::MALFORMED_REQUEST, "expected names parted by commas").parameter(parameter));
    }
    Ok(names)
}

/// `field`, `-field`, and either with `.nulls_first` or `.nulls_last`.
fn order_key(text: &str) -> OrderKey {
    let (direction, text) = match text.strip_prefix('-') {
        Some(text) => (Direction::Descending, text),
        None => (Direction::Ascending, text),
    };
    let (field, nulls) = match text.split_once('.') {
        Some((field, "nulls_first")) => (field, Some(Nulls::First)),
        Some((field, "nulls_last")) => (field, Some(Nulls::Last)),
        // Anything else behind a point makes a name that no column has.
        _ => (text, None),
    };
    OrderKey { field: field.to_owned(), direction, nulls }
}

fn limit(text: &str) -> Result<u64, Problem> {
    text.parse()
        .map_err(|_| Problem::new(problem::INVALID_LITERAL, "expected a whole number, such as 100").parameter("limit"))
}

fn read_numbers(text: &str) -> Result<Numbers, Problem> {
    match text {
        "exact" => Ok(Numbers::Exact),
        "string" => Ok(Numbers::Text),
        _ => Err(Problem::new(problem::INVALID_LITERAL, "expected exact or string").parameter("numbers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asked(query: &str) -> Result<Asked, &'static str> {
        let parameters = extract::parameters(Some(query)).map_err(|problem| problem.kind.slug)?;
        page("d", parameters).map_err(|problem| problem.kind.slug)
    }

    #[test]
    fn conditions_are_read_with_their_operators() {
        let query = asked("symbol=MSFT&close.gte=1.5&symbol.in=A,\"B,\"\"C\",").expect("a question").query;
        let compare =
            |field: &str, operator, operand| Filter::Compare(Comparison { field: field.into(), operator, operand });
        let many = ["A", "B,\"C", ""].map(String::from).to_vec();
        assert_eq!(
            query.filter,
            Filter::All(vec![
                compare("symbol", Operator::Eq, Operand::One("MSFT".into())),
                compare("close", Operator::Gte, Operand::One("1.5".into())),
                compare("symbol", Operator::In, Operand::Many(many)),
            ])
        );
    }

    #[test]
    fn a_list_of_names_may_come_as_its_parameter_repeated() {
        for (repeated, once) in [
            ("select=a&select=b,c", "select=a,b,c"),
            ("sort=-a&sort=b.nulls_first", "sort=-a,b.nulls_first"),
            ("latest_by=a&latest_by=b", "latest_by=a,b"),
        ] {
            assert_eq!(asked(repeated), asked(once), "{repeated}");
        }
        let conditions = |query| match asked(query).expect("a question").query.filter {
            Filter::All(conditions) => conditions.len(),
            _ => 0,
        };
        // A filter that is repeated is two conditions, and both must hold.
        assert_eq!(conditions("a=1&a=2&a.in=1&a.in=2&b.in=1&a.nin=1"), 6);
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for (query, slug) in [
            ("limit=1&limit=2", "malformed-request"),
            ("limit=-1", "invalid-literal"),
            ("limit=1e3", "invalid-literal"),
            ("limit=99999999999999999999", "invalid-literal"),
            ("select=", "malformed-request"),
            ("sort=a,,b", "malformed-request"),
            ("a.like=x", "operator-not-allowed"),
            ("a.in=\"x", "malformed-request"),
            ("a.in=\"x\"y", "malformed-request"),
            ("numbers=float", "invalid-literal"),
        ] {
            assert_eq!(asked(query).map(|_| ()), Err(slug), "{query}");
        }
    }

    #[test]
    fn an_order_says_direction_and_place_of_nulls() {
        let order = asked("sort=-a,b.nulls_first,-c.nulls_last").expect("a question").query.order.expect("an order");
        let key = |field: &str, direction, nulls| OrderKey { field: field.into(), direction, nulls };
        assert_eq!(
            order,
            [
                key("a", Direction::Descending, None),
                key("b", Direction::Ascending, Some(Nulls::First)),
                key("c", Direction::Descending, Some(Nulls::Last)),
            ]
        );
    }

    proptest! {
        #[test]
        fn a_quoted_list_reads_back(items in prop::collection::vec("[a\",. é]{0,6}", 1..5)) {
            let written: Vec<String> = items.iter().map(|item| format!("\"{}\"", item.replace('"', "\"\""))).collect();
            prop_assert_eq!(list(&written.join(",")), Some(items));
        }
    }
}
