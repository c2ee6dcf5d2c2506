//! Whatever the document says that a body may ask is asked, and answered as the document says.

use std::collections::BTreeSet;

use martello::app::House;
use martello::rest::openapi;
use serde_json::{Map, Value, json};

use crate::openapi::{committed, judged, line, pascal, resolved, values};
use crate::support::{Backend, Server, config};

/// Fields of `group_by` in one question, fewer than there may be.
const GROUPS: usize = 6;
/// Measures in one question, fewer than there may be.
const MEASURES: usize = 20;

/// Asks one dataset, and keeps what was asked and answered for the judge.
struct Asking<'a> {
    server: &'a Server,
    role: &'a str,
    dataset: String,
    lines: Vec<String>,
}

impl Asking<'_> {
    async fn ask(&mut self, body: &Value) {
        let target = format!("/v1/datasets/{}/query", self.dataset);
        let request = self.server.request(reqwest::Method::POST, &target).bearer_auth(self.server.token(self.role));
        let answer = self.server.send(request.json(body)).await;
        assert_eq!(answer.status, 200, "{target} {body}: {}", answer.text());
        let id = format!("query{}", pascal(&self.dataset));
        let mut said: Value = serde_json::from_str(&line(&id, &format!("{target} {body}"), &answer)).expect("JSON");
        said["request"] = body.clone();
        self.lines.push(said.to_string());
    }

    /// The question with a few rows at most.
    async fn rows(&mut self, member: &str, value: Value) {
        self.ask(&json!({ member: value, "limit": 2 })).await;
    }
}

fn properties<'d>(document: &'d Value, schema: &'d Value) -> &'d Map<String, Value> {
    resolved(document, schema)["properties"].as_object().expect("properties")
}

/// Each value that the document gives for a schema, as JSON.
fn literals(document: &Value, schema: &Value) -> Vec<Value> {
    values(document, schema).into_iter().map(|text| serde_json::from_str(&text).unwrap_or(json!(text))).collect()
}

/// A value that the schema's type has, for a URL's text.
fn literal(types: &Value, text: &str) -> Value {
    let is = |name: &str| types == name || types.as_array().is_some_and(|types| types.contains(&json!(name)));
    match serde_json::from_str(text) {
        Ok(value @ Value::Number(_)) if is("number") || is("integer") => value,
        Ok(value @ Value::Bool(_)) if is("boolean") => value,
        _ => json!(text),
    }
}

/// The conditions on a column, whether or not a value may stand in their place.
fn conditions<'d>(document: &'d Value, schema: &'d Value) -> &'d Map<String, Value> {
    let schema = resolved(document, schema);
    let alternatives = schema["anyOf"].as_array().and_then(|either| either.last());
    properties(document, alternatives.unwrap_or(schema))
}

/// The filters that URLs of rows have, as members of a body: of each column all conditions, and its plainest one.
fn filters(document: &Value, dataset: &str) -> Vec<(String, Map<String, Value>, Option<Value>)> {
    let rows = &document["paths"][format!("/v1/datasets/{dataset}/rows")]["get"]["parameters"];
    let offered = properties(document, &document["components"]["schemas"][format!("{}Filter", pascal(dataset))]);
    let mut filters: Vec<(String, Map<String, Value>, Option<Value>)> = Vec::new();
    for parameter in rows.as_array().expect("parameters") {
        let (column, operator) =
            parameter["name"].as_str().map(|name| name.split_once('.').unwrap_or((name, "eq"))).expect("a name");
        if !offered.contains_key(column) || ["or", "and", "not"].contains(&column) {
            continue;
        }
        let text = values(document, &parameter["schema"]).remove(0);
        let said = &conditions(document, &offered[column])[operator];
        let operand = match said["type"].as_str() {
            // A list is a text in a URL.
            Some("array") => json!([literal(&said["items"]["type"], text.trim_matches('"'))]),
            _ => literal(&said["type"], &text),
        };
        if filters.last().is_none_or(|(last, ..)| last != column) {
            filters.push((column.to_owned(), Map::new(), None));
        }
        let (_, conditions, plain) = filters.last_mut().expect("a column");
        if operator == "eq" {
            *plain = Some(operand.clone());
        }
        conditions.insert(operator.to_owned(), operand);
    }
    filters
}

async fn members(document: &Value, asking: &mut Asking<'_>) -> BTreeSet<String> {
    let dataset = asking.dataset.clone();
    let schema = |what: &str| &document["components"]["schemas"][format!("{}{what}", pascal(&dataset))];
    let question = properties(document, schema("Question")).clone();
    let enums = |what: &str| -> Vec<Value> { schema(what)["enum"].as_array().expect("words").clone() };
    for (member, described) in &question {
        match member.as_str() {
            "select" | "latest_by" => {
                for name in literals(document, &described["items"]) {
                    asking.rows(member, json!([name])).await;
                }
            }
            "sort" => asking.rows(member, json!([enums("SortKey")[0]])).await,
            "filter" => {
                for (column, conditions, plain) in filters(document, &dataset) {
                    asking.rows(member, json!({ &column: conditions })).await;
                    if let Some(plain) = plain {
                        let plain = json!({ &column: plain });
                        asking.rows(member, json!({ "or": [plain], "and": [plain, plain], "not": plain })).await;
                        asking.rows(member, plain).await;
                    }
                }
            }
            "limit" => asking.ask(&json!({ "limit": 1 })).await,
            "cursor" => {
                let url = format!("/v1/datasets/{dataset}/rows?limit=2");
                let first = asking.server.get(asking.role, &url).await.json();
                asking.rows(member, first["page"]["next_cursor"].clone()).await;
            }
            "count" | "revision" | "format" | "numbers" | "shape" | "dry_run" | "explain" => {
                for value in literals(document, described) {
                    asking.rows(member, value).await;
                }
            }
            "guard" => {
                for value in literals(document, described) {
                    asking.ask(&json!({ "guard": value, "format": "csv", "limit": 2 })).await;
                }
            }
            "as_of" => asking.rows(member, json!("2015-03-31T12:00:00Z")).await,
            "tz" => asking.rows(member, json!("America/New_York")).await,
            "search" => asking.rows(member, json!("annual report")).await,
            "expand" => {
                for (relation, related) in properties(document, described) {
                    // The demo's rows of a relation are few enough to come all with two rows.
                    let related = properties(document, related);
                    let said =
                        json!({ "limit": 1, "select": ["symbol"], "filter": {"symbol": "AAPL"}, "sort": ["symbol"] });
                    assert!(said.as_object().expect("members").keys().all(|member| related.contains_key(member)));
                    asking.rows(member, json!({ relation: {} })).await;
                    asking.rows(member, json!({ relation: said })).await;
                }
            }
            "group_by" | "having" => {
                let all = enums(if member == "having" { "Measure" } else { "GroupKey" });
                let (part, most) = if member == "having" { ("measures", MEASURES) } else { ("group_by", GROUPS) };
                for some in all.chunks(most) {
                    let named = |word: &Value| -> String {
                        let word = word.as_str().expect("a word").trim_end_matches([')', '(']);
                        word.replace(['(', ':'], "_")
                    };
                    let having = properties(document, &question["having"]).clone();
                    let conditions: Map<String, Value> =
                        some.iter().map(|word| (named(word), json!({ "is_null": false }))).collect();
                    let offered = conditions.keys().all(|name| having.contains_key(name));
                    assert!(offered, "{conditions:?}");
                    asking.ask(&json!({ part: some, "having": conditions, "limit": 2 })).await;
                    let as_asked: Map<String, Value> = (some.iter())
                        .map(|word| (word.as_str().expect("a word").to_owned(), json!({ "is_null": false })))
                        .collect();
                    asking.ask(&json!({ part: some, "having": { "or": [as_asked] }, "limit": 2 })).await;
                }
            }
            "measures" => asking.ask(&json!({ "measures": ["count()"], "having": { "count": 0 } })).await,
            "resample" => {
                for value in literals(document, described) {
                    asking.ask(&json!({ "resample": value, "having": { "close": { "gt": 1 } }, "limit": 2 })).await;
                }
            }
            other => panic!("nothing asks for {other}"),
        }
    }
    question.keys().cloned().collect()
}

async fn every_member(document: &Value, role: &str) {
    let mut lines = Vec::new();
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let names = &document["components"]["schemas"]["DatasetName"]["enum"];
        let mut asked = BTreeSet::new();
        for name in names.as_array().expect("names") {
            let dataset = name.as_str().expect("a name").to_owned();
            let mut asking = Asking { server: &server, role, dataset, lines: Vec::new() };
            asked.extend(members(document, &mut asking).await);
            lines.append(&mut asking.lines);
        }
        let may_be_asked = ["search", "revision", "resample", "expand", "latest_by", "having"];
        assert!(may_be_asked.iter().all(|member| asked.contains(*member)), "{asked:?}");
        assert_eq!(asked.contains("explain"), role.starts_with("internal"));
        server.stop().await;
    }
    judged(document, &lines).await;
}

#[tokio::test]
async fn whatever_the_document_says_that_a_body_may_ask_is_answered_as_it_says() {
    every_member(&committed(), "client_pro").await;
}

#[tokio::test]
async fn the_house_may_ask_bodies_for_more_and_its_document_says_so() {
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let role = house.matrix.role("internal_scientist").expect("a role");
    let document = openapi::document(&house.catalog, role, None).to_json().expect("JSON");
    every_member(&serde_json::from_str(&document).expect("JSON"), "internal_scientist").await;
}
