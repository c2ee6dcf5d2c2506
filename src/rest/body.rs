//! A question as a JSON body: the members are the URL's parameters, and the filter is a tree of objects.
//!
//! Literals are taken as they are written, so that a number keeps all its digits.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::http::Problem;
use crate::http::problem;
use crate::http::problem::shown;
use crate::query::{
    Comparison, Count, Cursor, EXPAND_DEPTH_MAX, Expansion, FILTER_DEPTH_MAX, Filter, Limit, Operand, Operator, Query,
    Revision,
};

use super::asked::{
    Asked, Flags, GUARDS, Groups, SHAPES, group, group_key, measure, one_of, order_key, read_numbers, resample,
};
use super::tree::{CONNECTIVES, Connective, Names, field_of, unknown_operator};

/// The members of a question.
const MEMBERS: [&str; 22] = [
    "select",
    "filter",
    "search",
    "sort",
    "limit",
    "cursor",
    "latest_by",
    "as_of",
    "revision",
    "count",
    "tz",
    "expand",
    "group_by",
    "measures",
    "having",
    "resample",
    "format",
    "numbers",
    "shape",
    "guard",
    "dry_run",
    "explain",
];

/// The question of a body, as this door reads it.
///
/// # Errors
/// When it cannot be read.
pub fn question_of_body(dataset: &str, body: &[u8]) -> Result<Query, Problem> {
    Ok(read(dataset, body)?.query)
}

/// Reads a body.
pub(super) fn read(dataset: &str, body: &[u8]) -> Result<Asked, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| malformed("body", "the body is no UTF-8"))?;
    let members: Members<'_> = serde_json::from_str(text)
        .map_err(|error| malformed("body", &format!("the body is no JSON object that can be read: {error}")))?;
    let mut asked = Asked::about(dataset);
    let query = &mut asked.query;
    let (mut groups, mut flags, mut having, mut sort) = (Groups::default(), Flags::default(), None, None);
    for (name, value) in &members.0 {
        match name.as_str() {
            "select" => query.select = Some(texts(name, value)?),
            "filter" => query.filter = Filter::All(conditions(name, value, Names::Columns, Level::default())?),
            "search" => query.search = Some(text_of(name, value)?),
            "sort" => sort = Some(texts(name, value)?),
            "limit" if value.get() == "\"all\"" => query.page.limit = Some(Limit::All),
            "limit" => {
                query.page.limit = Some(Limit::Rows(read_as(name, value, "a whole number, such as 100, or \"all\"")?));
            }
            "cursor" => query.page.cursor = Some(Cursor(text_of(name, value)?)),
            "latest_by" => query.latest_by = texts(name, value)?,
            "as_of" => query.as_of = Some(text_of(name, value)?),
            "revision" => query.revision = Some(one_of(name, &text_of(name, value)?, &Revision::ALL)?),
            "count" => query.count = one_of(name, &text_of(name, value)?, &Count::ALL)?,
            "tz" => query.tz = Some(text_of(name, value)?),
            "expand" => query.expand = expansions(name, value, 1)?,
            "group_by" => {
                groups.group_by = texts(name, value)?.iter().map(|text| group(text)).collect::<Result<_, _>>()?;
            }
            "measures" => {
                groups.measures = texts(name, value)?.iter().map(|text| measure(text)).collect::<Result<_, _>>()?;
            }
            "having" => having = Some(conditions(name, value, Names::Measures, Level::default())?),
            "resample" => groups.resample = Some(resample(&text_of(name, value)?)?),
            "format" => asked.format = Some(text_of(name, value)?),
            "numbers" => asked.numbers = read_numbers(&text_of(name, value)?)?,
            "shape" => asked.shape = one_of(name, &text_of(name, value)?, &SHAPES)?,
            "guard" => asked.guarded = one_of(name, &text_of(name, value)?, &GUARDS)?,
            "dry_run" => flags.dry_run = read_as(name, value, "true or false")?,
            "explain" => flags.explain = one_of(name, &text_of(name, value)?, &[("plan", true)])?,
            _ => return Err(unknown(name, &MEMBERS)),
        }
    }
    if groups.is_asked() {
        groups.having = having.unwrap_or_default();
        query.aggregate = Some(groups.aggregate()?);
        query.order = sort.map(|keys| keys.iter().map(|key| group_key(key)).collect());
        // The plan refuses select and expand, whatever door they came by.
    } else {
        if having.is_some() {
            return Err(malformed("having", "having is about groups: expected group_by, measures or resample too"));
        }
        query.order = sort.map(|keys| keys.iter().map(|key| order_key(key)).collect());
    }
    asked.act = flags.act()?;
    Ok(asked)
}

/// How deep a filter object stands in others.
#[derive(Clone, Copy, Default)]
struct Level {
    /// In so many lists of `or` and `and`.
    connectives: usize,
    /// In so many objects and lists at all, those of `not` too.
    all: usize,
}

impl Level {
    /// A `not` before each connective and before the innermost conditions.
    const ALL_MAX: usize = 2 * FILTER_DEPTH_MAX + 1;

    fn below(self, connectives: usize) -> Self {
        Self { connectives: self.connectives + connectives, all: self.all + 1 }
    }
}

/// The conditions of a filter object, in its order.
fn conditions(place: &str, value: &RawValue, names: Names, level: Level) -> Result<Vec<Filter>, Problem> {
    if level.connectives > FILTER_DEPTH_MAX || level.all > Level::ALL_MAX {
        let detail = format!("there may be at most {FILTER_DEPTH_MAX} levels of and, or");
        return Err(Problem::new(problem::TOO_COMPLEX, detail).parameter(shown(place)));
    }
    let members: Members<'_> = read_as(place, value, "an object of fields, or, and, not")?;
    let mut filters = Vec::with_capacity(members.0.len());
    for (name, value) in &members.0 {
        if let Some((_, connective)) = CONNECTIVES.iter().find(|(word, _)| word == name) {
            filters.push(connected(place, value, *connective, names, level)?);
        } else if name == "not" {
            let inner = conditions(place, value, names, level.below(0))?;
            filters.push(Filter::Not(Box::new(alone(place, inner)?)));
        } else {
            filters.append(&mut comparisons(place, name, value, names)?);
        }
    }
    Ok(filters)
}

fn connected(
    place: &str,
    value: &RawValue,
    connective: Connective,
    names: Names,
    level: Level,
) -> Result<Filter, Problem> {
    let parts: Vec<&RawValue> = read_as(place, value, "a list of filters behind or and and")?;
    if parts.is_empty() {
        return Err(malformed(place, "expected at least one filter behind or and and"));
    }
    let parts = parts.into_iter().map(|part| alone(place, conditions(place, part, names, level.below(1))?));
    Ok(connective(parts.collect::<Result<_, _>>()?))
}

/// One condition stands for itself; none says nothing, and nobody means that.
fn alone(place: &str, mut filters: Vec<Filter>) -> Result<Filter, Problem> {
    match filters.len() {
        0 => Err(malformed(place, "expected at least one condition inside or, and and not")),
        1 => Ok(filters.remove(0)),
        _ => Ok(Filter::All(filters)),
    }
}

/// `"field": literal` or `"field": {"operator": operand}`.
fn comparisons(place: &str, name: &str, value: &RawValue, names: Names) -> Result<Vec<Filter>, Problem> {
    let field = field_of(name, names);
    let compare = |operator, operand| Filter::Compare(Comparison { field: field.clone(), operator, operand });
    if !value.get().starts_with('{') {
        let parameter = format!("{place}.{name}");
        return Ok(vec![compare(Operator::Eq, Operand::One(literal(&parameter, value)?))]);
    }
    let members: Members<'_> = read_as(place, value, "an object of operators")?;
    if members.0.is_empty() {
        return Err(malformed(&format!("{place}.{name}"), "expected at least one operator"));
    }
    let filters = members.0.iter().map(|(word, value)| {
        let parameter = format!("{place}.{name}.{word}");
        let operator = Operator::named(word).ok_or_else(|| unknown_operator(&parameter, word))?;
        let operand = if operator.takes_list() {
            let items: Vec<&RawValue> = read_as(&parameter, value, "a list")?;
            let items = items.into_iter().map(|item| literal(&parameter, item));
            Operand::Many(items.collect::<Result<_, _>>()?)
        } else {
            Operand::One(literal(&parameter, value)?)
        };
        Ok(compare(operator, operand))
    });
    filters.collect()
}

/// A string's text, or a number's or a boolean's as it is written.
fn literal(parameter: &str, value: &RawValue) -> Result<String, Problem> {
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => text_of(parameter, value),
        Some(b'-' | b'0'..=b'9' | b't' | b'f') => Ok(text.to_owned()),
        _ => {
            Err(literal_problem(parameter, "a string, a number, true or false").hint("null is asked for with is_null"))
        }
    }
}

fn expansions(place: &str, value: &RawValue, level: usize) -> Result<Vec<Expansion>, Problem> {
    const MEMBERS: [&str; 5] = ["select", "filter", "sort", "limit", "expand"];
    let relations: Members<'_> = read_as(place, value, "an object of relations")?;
    if level > EXPAND_DEPTH_MAX && !relations.0.is_empty() {
        let detail = format!("there may be at most {EXPAND_DEPTH_MAX} levels of expand");
        return Err(Problem::new(problem::TOO_COMPLEX, detail).parameter("expand"));
    }
    let mut found = Vec::with_capacity(relations.0.len());
    for (relation, value) in relations.0 {
        let place = format!("{place}.{relation}");
        let members: Members<'_> = read_as(&place, value, "an object")?;
        let mut expansion = Expansion { relation, ..Expansion::default() };
        for (name, value) in members.0 {
            let parameter = format!("{place}.{name}");
            match name.as_str() {
                "select" => expansion.select = Some(texts(&parameter, value)?),
                "filter" => {
                    expansion.filter = Filter::All(conditions(&parameter, value, Names::Columns, Level::default())?);
                }
                "sort" => {
                    expansion.order = Some(texts(&parameter, value)?.iter().map(|key| order_key(key)).collect());
                }
                "limit" => expansion.limit = Some(read_as(&parameter, value, "a whole number, such as 5")?),
                "expand" => expansion.expand = expansions(&parameter, value, level + 1)?,
                _ => return Err(unknown(&name, &MEMBERS)),
            }
        }
        found.push(expansion);
    }
    Ok(found)
}

/// At least one, as a URL cannot say less.
fn texts(parameter: &str, value: &RawValue) -> Result<Vec<String>, Problem> {
    let texts: Vec<String> = read_as(parameter, value, "a list of strings")?;
    if texts.is_empty() {
        return Err(malformed(parameter, "expected at least one name: leave the member out for none"));
    }
    Ok(texts)
}

fn text_of(parameter: &str, value: &RawValue) -> Result<String, Problem> {
    read_as(parameter, value, "a string")
}

fn read_as<'v, T: Deserialize<'v>>(parameter: &str, value: &'v RawValue, expected: &str) -> Result<T, Problem> {
    serde_json::from_str(value.get()).map_err(|error| {
        if error.to_string().starts_with(TWICE) {
            return malformed(parameter, &error.to_string());
        }
        literal_problem(parameter, expected)
    })
}

fn literal_problem(parameter: &str, expected: &str) -> Problem {
    Problem::new(problem::INVALID_LITERAL, format!("expected {expected}")).parameter(shown(parameter))
}

fn malformed(parameter: &str, detail: &str) -> Problem {
    Problem::new(problem::MALFORMED_REQUEST, shown_detail(detail)).parameter(shown(parameter))
}

/// What the reader of JSON says repeats no more of the body than a problem may.
fn shown_detail(detail: &str) -> String {
    detail.chars().take(200).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn unknown(name: &str, members: &[&str]) -> Problem {
    let detail = format!("there is no member {} in a question", shown(name));
    Problem::new(problem::UNKNOWN_PARAMETER, detail)
        .parameter(shown(name))
        .hint(format!("there are: {}", members.join(", ")))
}

/// How the message of a repeated member begins.
const TWICE: &str = "a member is given twice";

/// The members of an object in their order, each with its value as it is written; none twice.
pub(super) struct Members<'v>(pub(super) Vec<(String, &'v RawValue)>);

impl<'v> Deserialize<'v> for Members<'v> {
    fn deserialize<D: Deserializer<'v>>(input: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'v> Visitor<'v> for Read {
            type Value = Members<'v>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'v>>(self, mut input: A) -> Result<Members<'v>, A::Error> {
                let mut members: Vec<(String, &'v RawValue)> = Vec::new();
                let mut seen = HashSet::new();
                while let Some((name, value)) = input.next_entry::<String, &'v RawValue>()? {
                    if !seen.insert(name.clone()) {
                        return Err(A::Error::custom(format_args!("{TWICE}: {}", shown(&name))));
                    }
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slug(body: &str) -> Result<(), &'static str> {
        read("d", body.as_bytes()).map(|_| ()).map_err(|problem| problem.kind.slug)
    }

    #[test]
    fn a_body_asks_what_a_url_asks() {
        for (url, body) in [
            ("", "{}"),
            (
                "symbol=MSFT&close.gte=1.50&close.lt=2&symbol.in=A,\"B,C\"&select=date,close&sort=-date&limit=5",
                r#"{"filter": {"symbol": {"eq": "MSFT", "in": ["A", "B,C"]}, "close": {"gte": 1.50, "lt": "2"}},
                    "select": ["date", "close"], "sort": ["-date"], "limit": 5}"#,
            ),
            (
                "or=(pe.lt=15,not.and(sector=Energy,country=US))&not.a=true",
                r#"{"filter": {"or": [{"pe": {"lt": 15}}, {"not": {"and": [{"sector": "Energy"}, {"country": "US"}]}}],
                    "not": {"a": true}}}"#,
            ),
            (
                "latest_by=symbol&as_of=2012-01-01&revision=first&count=exact&tz=UTC&search=annual",
                r#"{"latest_by": ["symbol"], "as_of": "2012-01-01", "revision": "first", "count": "exact", "tz": "UTC",
                    "search": "annual"}"#,
            ),
            (
                "expand=profile(company_name),signals(limit=5,sort=-active_from,direction.gte=1,expand=profile)",
                r#"{"expand": {"profile": {"select": ["company_name"]}, "signals": {"limit": 5, "sort": ["-active_from"],
                    "filter": {"direction": {"gte": 1}}, "expand": {"profile": {}}}}}"#,
            ),
        ] {
            let by_url = crate::rest::question(&format!("/v1/datasets/d/rows?{url}")).expect(url);
            let by_body = question_of_body("d", body.as_bytes()).expect(body);
            assert_eq!(flat(by_body.filter.clone()), flat(by_url.filter.clone()), "{url}");
            let without = |query: Query| Query { filter: Filter::default(), ..query };
            assert_eq!(without(by_body), without(by_url), "{url}");
        }
    }

    /// The same conditions in whatever order of fields.
    fn flat(filter: Filter) -> Vec<String> {
        let Filter::All(parts) = filter else { panic!("{filter:?}") };
        let mut parts: Vec<String> = parts.iter().map(|part| format!("{part:?}")).collect();
        parts.sort();
        parts
    }

    #[test]
    fn an_aggregate_in_a_body_is_the_url_s() {
        let url = "group_by=symbol,date:month&measures=count(),sum(volume)&having=(sum(volume).gt=1000000000000000000001)\
                   &sort=-sum(volume),date:month";
        let body = r#"{"group_by": ["symbol", "date:month"], "measures": ["count()", "sum(volume)"],
            "having": {"sum(volume)": {"gt": 1000000000000000000001}}, "sort": ["-sum(volume)", "date:month"]}"#;
        let by_url = crate::rest::question(&format!("/v1/datasets/d/aggregate?{url}")).expect("a question");
        assert_eq!(question_of_body("d", body.as_bytes()).expect("a question"), by_url);
    }

    #[test]
    fn a_body_that_cannot_be_read_is_refused() {
        for (body, expected) in [
            ("", "malformed-request"),
            ("[]", "malformed-request"),
            ("{", "malformed-request"),
            ("{}x", "malformed-request"),
            (r#"{"limit": 1, "limit": 2}"#, "malformed-request"),
            (r#"{"filter": {"a": 1, "a": 2}}"#, "malformed-request"),
            (r#"{"limits": 1}"#, "unknown-parameter"),
            (r#"{"expand": {"profile": {"where": 1}}}"#, "unknown-parameter"),
            (r#"{"limit": "1"}"#, "invalid-literal"),
            (r#"{"limit": -1}"#, "invalid-literal"),
            (r#"{"limit": 1.5}"#, "invalid-literal"),
            (r#"{"select": "a"}"#, "invalid-literal"),
            (r#"{"select": [1]}"#, "invalid-literal"),
            (r#"{"filter": []}"#, "invalid-literal"),
            (r#"{"filter": {"a": null}}"#, "invalid-literal"),
            (r#"{"filter": {"a": []}}"#, "invalid-literal"),
            (r#"{"filter": {"a": {}}}"#, "malformed-request"),
            (r#"{"filter": {"a": {"in": 1}}}"#, "invalid-literal"),
            (r#"{"filter": {"a": {"like": 1}}}"#, "operator-not-allowed"),
            (r#"{"filter": {"or": []}}"#, "malformed-request"),
            (r#"{"filter": {"or": [{}]}}"#, "malformed-request"),
            (r#"{"filter": {"not": {}}}"#, "malformed-request"),
            (r#"{"select": []}"#, "malformed-request"),
            (r#"{"sort": []}"#, "malformed-request"),
            (r#"{"group_by": []}"#, "malformed-request"),
            (r#"{"filter": {"or": {"a": 1}}}"#, "invalid-literal"),
            (r#"{"having": {"count": 1}}"#, "malformed-request"),
            (r#"{"resample": "1mo", "group_by": ["a"]}"#, "malformed-request"),
            (r#"{"resample": "2mo"}"#, "invalid-literal"),
            (r#"{"dry_run": "true"}"#, "invalid-literal"),
            (r#"{"measures": ["volume"]}"#, "malformed-request"),
            (r#"{"measures": ["mode(volume)"]}"#, "invalid-literal"),
            (r#"{"group_by": ["date:decade"]}"#, "invalid-literal"),
        ] {
            assert_eq!(slug(body), Err(expected), "{body}");
        }
        let deep =
            |levels: usize| format!("{{\"filter\":{}{{\"a\":1}}{}}}", "{\"or\":[".repeat(levels), "]}".repeat(levels));
        assert_eq!(slug(&deep(FILTER_DEPTH_MAX)), Ok(()));
        let negated = |levels: usize| {
            format!("{{\"filter\":{}{{\"a\":1}}{}}}", "{\"not\":{\"and\":[".repeat(levels), "]}}".repeat(levels))
        };
        assert_eq!(slug(&negated(FILTER_DEPTH_MAX)), Ok(()));
        assert_eq!(slug(&negated(FILTER_DEPTH_MAX + 1)), Err("too-complex"));
        let nots =
            |levels: usize| format!("{{\"filter\":{}{{\"a\":1}}{}}}", "{\"not\":".repeat(levels), "}".repeat(levels));
        assert_eq!(slug(&nots(7_000)), Err("too-complex"));
        assert_eq!(slug(r#"{"expand": {"a": {"expand": {"b": {"expand": {"c": {"expand": {}}}}}}}}"#), Ok(()));
        assert_eq!(slug(&deep(FILTER_DEPTH_MAX + 1)), Err("too-complex"));
        // Deeper than the stack.
        assert_eq!(slug(&format!("{{\"filter\":{}", "[".repeat(60_000))), Err("malformed-request"));
        assert_eq!(slug(&deep(10_000)), Err("too-complex"));
    }
}
