//! One question, written as a URL and as a body: the same query, the same plan, the same fingerprint, in whatever order
//! its parts come.

use std::sync::{Arc, LazyLock};

use martello::app::House;
use martello::auth::Principal;
use martello::plan::Fingerprint;
use martello::query::Query;
use martello::rest::{question, question_of_body};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::support::{escaped, planned, repository};

/// A condition on bars, or several.
#[derive(Clone, Debug)]
enum Condition {
    Compare(&'static str, &'static str, Literal),
    Or(Vec<Condition>),
    And(Vec<Condition>),
    Not(Box<Condition>),
}

/// What is compared with.
#[derive(Clone, Debug)]
enum Literal {
    Text(String),
    /// Digits that a body may have as a number.
    Number(String),
    Flag(bool),
    List(Vec<String>),
}

impl Literal {
    fn text(&self) -> String {
        match self {
            Self::Text(text) | Self::Number(text) => text.clone(),
            Self::Flag(flag) => flag.to_string(),
            Self::List(items) => items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(","),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(digits) => serde_json::from_str(digits).expect("a number"),
            Self::Flag(flag) => json!(flag),
            Self::List(items) => json!(items),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

impl Condition {
    /// As an item of a tree.
    fn item(&self) -> String {
        let all = |parts: &[Self]| parts.iter().map(Self::item).collect::<Vec<_>>().join(",");
        match self {
            Self::Compare(field, operator, literal @ Literal::List(_)) => {
                format!("{field}.{operator}=({})", literal.text())
            }
            Self::Compare(field, operator, literal) => format!("{field}.{operator}={}", quoted(&literal.text())),
            Self::Or(parts) => format!("or({})", all(parts)),
            Self::And(parts) => format!("and({})", all(parts)),
            Self::Not(part) => format!("not.{}", part.item()),
        }
    }

    /// As a parameter.
    fn parameter(&self) -> (String, String) {
        let all = |parts: &[Self]| format!("({})", parts.iter().map(Self::item).collect::<Vec<_>>().join(","));
        match self {
            Self::Compare(field, operator, literal) => (format!("{field}.{operator}"), literal.text()),
            Self::Or(parts) => ("or".into(), all(parts)),
            Self::And(parts) => ("and".into(), all(parts)),
            Self::Not(part) => {
                let (name, value) = part.parameter();
                (format!("not.{name}"), value)
            }
        }
    }

    /// As a filter object.
    fn object(&self) -> Value {
        let all = |parts: &[Self]| parts.iter().map(Self::object).collect::<Vec<_>>();
        match self {
            Self::Compare(field, "eq", literal) => json!({ *field: literal.json() }),
            Self::Compare(field, operator, literal) => json!({ *field: { *operator: literal.json() } }),
            Self::Or(parts) => json!({ "or": all(parts) }),
            Self::And(parts) => json!({ "and": all(parts) }),
            Self::Not(part) => json!({ "not": part.object() }),
        }
    }
}

/// A whole question.
#[derive(Clone, Debug)]
struct Asked {
    conditions: Vec<Condition>,
    /// Parameters that are texts in both forms.
    texts: Vec<(&'static str, String)>,
    /// Parameters that are lists in a body.
    lists: Vec<(&'static str, Vec<String>)>,
    limit: Option<u32>,
    having: Vec<(&'static str, &'static str, String)>,
    groups: bool,
}

impl Asked {
    fn target(&self, reversed: bool) -> String {
        let mut parameters: Vec<(String, String)> = self.conditions.iter().map(Condition::parameter).collect();
        parameters.extend(self.texts.iter().map(|(name, text)| ((*name).to_owned(), text.clone())));
        parameters.extend(self.lists.iter().map(|(name, items)| ((*name).to_owned(), items.join(","))));
        parameters.extend(self.limit.map(|limit| ("limit".into(), limit.to_string())));
        if !self.having.is_empty() {
            let items: Vec<String> =
                self.having.iter().map(|(field, operator, digits)| format!("{field}.{operator}={digits}")).collect();
            parameters.push(("having".into(), format!("({})", items.join(","))));
        }
        if reversed {
            parameters.reverse();
        }
        let place = if self.groups { "aggregate" } else { "rows" };
        let pairs = parameters.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
        format!("/v1/datasets/price_daily/{place}?{}", pairs.collect::<Vec<_>>().join("&"))
    }

    fn body(&self) -> Vec<u8> {
        let mut body = Map::new();
        if !self.conditions.is_empty() {
            // One member each: two conditions may be on one field.
            let all: Vec<Value> = self.conditions.iter().map(Condition::object).collect();
            body.insert("filter".into(), json!({ "and": all }));
        }
        body.extend(self.texts.iter().map(|(name, text)| ((*name).to_owned(), json!(text))));
        body.extend(self.lists.iter().map(|(name, items)| ((*name).to_owned(), json!(items))));
        body.extend(self.limit.map(|limit| ("limit".into(), json!(limit))));
        if !self.having.is_empty() {
            let all = self.having.iter().map(|(field, operator, digits)| {
                json!({ *field: { *operator: serde_json::from_str::<Value>(digits).expect("a number") } })
            });
            body.insert("having".into(), json!({ "and": all.collect::<Vec<_>>() }));
        }
        serde_json::to_vec(&body).expect("JSON")
    }
}

fn comparisons() -> impl Strategy<Value = Condition> {
    let text = || r#"[A-C,().="é 😀']{0,4}"#.prop_map(String::from);
    let decimal =
        || (0_i64..1_000_000_000).prop_map(|digits| format!("{}.{:06}", digits / 1_000_000, digits % 1_000_000));
    let day =
        || (2000_i32..2015, 1_i32..13, 1_i32..29).prop_map(|(year, month, day)| format!("{year}-{month:02}-{day:02}"));
    let among = |names: &'static [&'static str]| prop::sample::select(names);
    prop_oneof![
        (among(&["eq", "ne", "prefix"]), text()).prop_map(|(by, text)| Condition::Compare(
            "symbol",
            by,
            Literal::Text(text)
        )),
        (among(&["in", "nin"]), prop::collection::vec(text(), 1..4)).prop_map(|(by, items)| Condition::Compare(
            "symbol",
            by,
            Literal::List(items)
        )),
        (among(&["eq", "gt", "gte", "lt", "lte"]), decimal()).prop_map(|(by, digits)| Condition::Compare(
            "close",
            by,
            Literal::Number(digits)
        )),
        (among(&["gt", "lte"]), 0_i64..i64::MAX).prop_map(|(by, int)| Condition::Compare(
            "volume",
            by,
            Literal::Number(int.to_string())
        )),
        (among(&["gte", "lt"]), day()).prop_map(|(by, day)| Condition::Compare("date", by, Literal::Text(day))),
        any::<bool>().prop_map(|flag| Condition::Compare("ex_dividend", "is_null", Literal::Flag(flag))),
    ]
}

fn conditions() -> impl Strategy<Value = Condition> {
    comparisons().prop_recursive(3, 12, 3, |inner| {
        // `not.` stands before a connective or a comparison, and not before another `not.`.
        let positive = prop_oneof![
            comparisons(),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::Or),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Condition::And),
        ];
        prop_oneof![positive.clone(), positive.prop_map(|part| Condition::Not(Box::new(part)))]
    })
}

fn some_of(names: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    prop::sample::subsequence(names, 0..=names.len())
        .prop_shuffle()
        .prop_map(|names| names.into_iter().map(String::from).collect())
}

fn questions() -> impl Strategy<Value = Asked> {
    let text = |name: &'static str, values: &'static [&'static str]| {
        prop::option::of(prop::sample::select(values))
            .prop_map(move |value| value.map(|value| (name, value.to_owned())))
    };
    let texts = (
        text("as_of", &["2012-01-31", "2010-06-30T12:00:00Z"]),
        text("revision", &["first", "latest", "all"]),
        text("count", &["none", "exact", "estimated"]),
        text("tz", &["America/New_York", "UTC"]),
    );
    let shared =
        (prop::collection::vec(conditions(), 0..4), texts, some_of(&["symbol"]), prop::option::of(1_u32..5000));
    let rows =
        (some_of(&["close", "date", "symbol", "volume"]), some_of(&["-close", "date", "-ex_dividend.nulls_last"]));
    let groups = (
        some_of(&["symbol", "date:month", "date:week", "close"]),
        some_of(&["count()", "sum(volume)", "avg(close)", "median(close)", "first(open)"]),
        prop::collection::vec(
            (
                prop::sample::select(&["sum(volume)", "sum_volume"][..]),
                prop::sample::select(&["gt", "lte"][..]),
                0_u64..u64::MAX,
            ),
            0..3,
        ),
        any::<bool>(),
    );
    (shared, rows, groups).prop_map(|((conditions, (as_of, revision, count, tz), latest_by, limit), rows, groups)| {
        let (select, sort) = rows;
        let (group_by, mut measures, having, is_aggregate) = groups;
        let mut texts: Vec<_> = [as_of, revision, count, tz].into_iter().flatten().collect();
        let mut lists = vec![("latest_by", latest_by)];
        let mut conditions_on_groups = Vec::new();
        if is_aggregate {
            if !measures.iter().any(|measure| measure == "sum(volume)") {
                measures.push("sum(volume)".into());
            }
            lists.extend([("group_by", group_by), ("measures", measures), ("sort", vec!["-sum(volume)".into()])]);
            conditions_on_groups =
                having.into_iter().map(|(field, by, digits)| (field, by, digits.to_string())).collect();
        } else {
            lists.extend([("select", select), ("sort", sort)]);
        }
        lists.retain(|(_, items)| !items.is_empty());
        texts.dedup_by_key(|(name, _)| *name);
        Asked { conditions, texts, lists, limit, having: conditions_on_groups, groups: is_aggregate }
    })
}

static HOUSE: LazyLock<House> = LazyLock::new(|| {
    let config = martello::config::Config { catalog: repository().join("catalog"), ..Default::default() };
    House::load(&config).expect("a catalog")
});

fn fingerprint(query: &Query) -> Fingerprint {
    let role = Arc::clone(HOUSE.matrix.role("internal_scientist").expect("a role"));
    let plan = planned(&HOUSE.catalog, &Principal::acting_as(role), query);
    plan.unwrap_or_else(|error| panic!("{error:?}: {query:?}")).fingerprint()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn a_question_has_one_fingerprint_by_url_and_by_body(asked in questions()) {
        let by_url = question(&asked.target(false)).expect("a question");
        let reversed = question(&asked.target(true)).expect("a question");
        let by_body = question_of_body("price_daily", &asked.body()).expect("a question");
        prop_assert_eq!(&Query { filter: by_url.filter.clone(), aggregate: by_url.aggregate.clone(), ..by_body.clone() }, &by_url);
        let fingerprints = [fingerprint(&by_url), fingerprint(&by_body), fingerprint(&reversed)];
        prop_assert_eq!(fingerprints[0], fingerprints[1]);
        prop_assert_eq!(fingerprints[0], fingerprints[2]);
    }

    #[test]
    fn no_text_breaks_the_reader_of_a_question(text in r#"[a-c()=.,":not\-or and{}\[\]0-9é]{0,60}"#, name in "(or|and|not\\.or|having|expand|sort|measures|group_by|symbol\\.in)") {
        // Whatever comes of it, it comes.
        let _ = question(&format!("/v1/datasets/price_daily/rows?{}={}", escaped(&name), escaped(&text)));
        let _ = question(&format!("/v1/datasets/price_daily/aggregate?{}={}", escaped(&name), escaped(&text)));
        let _ = question_of_body("price_daily", text.as_bytes());
    }
}
