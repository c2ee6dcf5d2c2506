//! A path and its query string to a [`Query`]: what is written, well-formed, with no name looked up.

use crate::http::Problem;
use crate::http::extract;
use crate::http::problem;
use crate::http::problem::shown;
use crate::query::{Comparison, Count, Cursor, Filter, Limit, Operand, Page, Query, Revision};

use super::asked::{
    Asked, Flags, GUARDS, Groups, SHAPES, extent, group, group_key, measure, one_of, order_key, read_numbers, resample,
};
use super::expand;
use super::tree::{CONNECTIVES, Names, Reader, operator_of};

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
        ["", "v1", "datasets", dataset, "aggregate"] => Ok(aggregate(dataset, parameters)?.query),
        _ => Err(Problem::new(problem::NOT_FOUND, "there is no such resource")),
    }
}

/// Reads the parameters of a page.
pub(super) fn page(dataset: &str, parameters: Vec<(String, String)>) -> Result<Asked, Problem> {
    read(dataset, parameters, Of::Rows)
}

/// Reads the parameters of a page of groups.
pub(super) fn aggregate(dataset: &str, parameters: Vec<(String, String)>) -> Result<Asked, Problem> {
    read(dataset, parameters, Of::Groups)
}

/// Reads the parameters of one row: its key stands in the path.
pub(super) fn row(dataset: &str, key: Vec<String>, parameters: Vec<(String, String)>) -> Result<Asked, Problem> {
    const ALLOWED: [&str; 10] =
        ["select", "expand", "as_of", "revision", "tz", "format", "numbers", "guard", "dry_run", "explain"];
    if let Some((name, _)) = parameters.iter().find(|(name, _)| !ALLOWED.contains(&name.as_str())) {
        let detail = format!("one row by its key takes no parameter {}", shown(name));
        let problem = Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(shown(name));
        return Err(problem.hint(format!("there are: {}", ALLOWED.join(", "))));
    }
    let mut asked = page(dataset, parameters)?;
    asked.query.key = Some(key);
    asked.query.page = Page { limit: Some(Limit::Rows(1)), ..Page::default() };
    Ok(asked)
}

/// What is asked of changes: columns and how they are written, and between which versions.
pub(super) struct Changes {
    pub(super) asked: Asked,
    pub(super) from: u64,
    pub(super) to: Option<u64>,
}

/// Reads the parameters of changes.
pub(super) fn changes(dataset: &str, parameters: Vec<(String, String)>) -> Result<Changes, Problem> {
    const ALLOWED: [&str; 7] = ["from", "to", "select", "tz", "format", "numbers", "guard"];
    let (mut from, mut to, mut rest) = (None, None, Vec::new());
    for (name, value) in parameters {
        let end = match name.as_str() {
            "from" => &mut from,
            "to" => &mut to,
            known if ALLOWED.contains(&known) => {
                rest.push((name, value));
                continue;
            }
            _ => {
                let detail = format!("changes take no parameter {}", shown(&name));
                let problem = Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(shown(&name));
                return Err(problem.hint(format!("there are: {}", ALLOWED.join(", "))));
            }
        };
        let number = value.parse::<u64>().map_err(|_| {
            Problem::new(problem::INVALID_LITERAL, "expected the number of a version, such as 42")
                .parameter(name.clone())
        })?;
        if end.replace(number).is_some() {
            let detail = format!("{name} is given twice");
            return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter(name));
        }
    }
    let from = from.ok_or_else(|| {
        Problem::new(problem::MALFORMED_REQUEST, "expected the number of the version that you have").parameter("from")
    })?;
    Ok(Changes { asked: page(dataset, rest)?, from, to })
}

/// What a question is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Rows,
    Groups,
}

fn read(dataset: &str, parameters: Vec<(String, String)>, of: Of) -> Result<Asked, Problem> {
    let mut asked = Asked::about(dataset);
    let query = &mut asked.query;
    let mut groups = Groups::default();
    let mut flags = Flags::default();
    let mut conditions = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in parameters {
        if ONCE.contains(&name.as_str()) && seen.contains(&name) {
            let detail = format!("{name} is given twice");
            return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter(name));
        }
        match (name.as_str(), of) {
            ("select", Of::Rows) => query.select.get_or_insert_default().extend(names("select", &value)?),
            ("expand", Of::Rows) => query.expand.extend(expand::read(&value)?),
            ("group_by", Of::Groups) => {
                for name in names("group_by", &value)? {
                    groups.group_by.push(group(&name)?);
                }
            }
            ("measures", Of::Groups) => {
                for name in names("measures", &value)? {
                    groups.measures.push(measure(&name)?);
                }
            }
            ("resample", Of::Groups) => groups.resample = Some(resample(&value)?),
            ("having", Of::Groups) => groups.having.extend(Reader::tree("having", &value, Names::Measures)?),
            ("latest_by", _) => query.latest_by.extend(names("latest_by", &value)?),
            ("sort", _) => {
                let keys = names("sort", &value)?;
                let keys = keys.iter().map(|key| if of == Of::Groups { group_key(key) } else { order_key(key) });
                query.order.get_or_insert_default().extend(keys);
            }
            ("limit", _) => query.page.limit = Some(extent(&value)?),
            ("cursor", _) => query.page.cursor = Some(Cursor(value)),
            ("as_of", _) => query.as_of = Some(value),
            ("revision", _) => query.revision = Some(one_of("revision", &value, &Revision::ALL)?),
            ("count", _) => query.count = one_of("count", &value, &Count::ALL)?,
            ("search", _) => query.search = Some(value),
            ("tz", _) => query.tz = Some(value),
            ("format", _) => asked.format = Some(value),
            ("numbers", _) => asked.numbers = read_numbers(&value)?,
            ("shape", _) => asked.shape = one_of("shape", &value, &SHAPES)?,
            ("guard", _) => asked.guarded = one_of("guard", &value, &GUARDS)?,
            ("dry_run", _) => flags.dry_run = one_of("dry_run", &value, &[("true", true), ("false", false)])?,
            ("group_by" | "measures" | "having" | "resample", Of::Rows) | ("select" | "expand", Of::Groups) => {
                let place = if of == Of::Rows { "aggregate" } else { "rows" };
                let detail = format!("{name} is a parameter of /v1/datasets/{}/{place}", shown(dataset));
                return Err(Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(name));
            }
            ("explain", _) => flags.explain = one_of("explain", &value, &[("plan", true)])?,
            _ => conditions.push(condition(&name, value)?),
        }
        seen.push(name);
    }
    query.filter = Filter::All(conditions);
    if of == Of::Groups {
        query.aggregate = Some(groups.aggregate()?);
    }
    asked.act = flags.act()?;
    Ok(asked)
}

/// Parameters that are one value and no list.
const ONCE: [&str; 14] = [
    "limit", "cursor", "as_of", "revision", "count", "search", "tz", "resample", "format", "numbers", "shape", "guard",
    "dry_run", "explain",
];

/// `field=value`, `field.operator=value`, `or=(…)`, `and=(…)`, and each of them behind `not.`.
fn condition(name: &str, value: String) -> Result<Filter, Problem> {
    let (negated, positive) = match name.strip_prefix("not.") {
        Some(positive) => (true, positive),
        None => (false, name),
    };
    if name == "not" {
        let detail = "not stands before what it negates: not.or=(…), or not. before a column";
        return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter("not"));
    }
    let filter = match CONNECTIVES.iter().find(|(word, _)| *word == positive) {
        Some((_, connective)) => connective(Reader::tree(name, &value, Names::Columns)?),
        None => comparison(name, positive, value)?,
    };
    Ok(if negated { Filter::Not(Box::new(filter)) } else { filter })
}

fn comparison(parameter: &str, name: &str, value: String) -> Result<Filter, Problem> {
    let (field, operator) = operator_of(name)?;
    let operand = if operator.takes_list() {
        Operand::Many(list(&value).ok_or_else(|| {
            let detail = "a list has an open quote, or a text behind a closing one";
            Problem::new(problem::MALFORMED_REQUEST, detail).parameter(shown(parameter))
        })?)
    } else {
        Operand::One(value)
    };
    Ok(Filter::Compare(Comparison { field: field.to_owned(), operator, operand }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::{Direction, Nulls, Operator, OrderKey};
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
            ("shape=table", "invalid-literal"),
            ("guard=all", "invalid-literal"),
            ("guard=none&guard=formulas", "malformed-request"),
            ("count=all", "invalid-literal"),
            ("revision=newest", "invalid-literal"),
            ("dry_run=yes", "invalid-literal"),
            ("explain=sql", "invalid-literal"),
            ("explain=plan&dry_run=true", "malformed-request"),
            ("or=a=1", "malformed-request"),
            ("not.or=(a=1", "malformed-request"),
            ("search=a&search=b", "malformed-request"),
            ("group_by=a", "unknown-parameter"),
            ("having=(a=1)", "unknown-parameter"),
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
