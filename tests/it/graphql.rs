//! GraphQL gives the rows that REST gives, to the same callers, in as few statements; what would cost more than it may is
//! refused before anything runs.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest;
use martello::app::{self, House};
use martello::config::{AuditTo, Config};
use martello::telemetry;
use reqwest::Method;
use serde_json::{Value, json};

use crate::caching::{counted, statements, with_caches};
use crate::programs::{martello, node, python, ran, run};
use crate::publish::Trial;
use crate::support::{Answer, Backend, Server, config, escaped, repository, variable};

const RESPONSE: &str = "application/graphql-response+json";

/// Where clients may send documents of their own.
fn open(backend: Backend) -> Config {
    let mut config = config(backend);
    config.graphql.client_documents_only = false;
    config
}

async fn post(server: &Server, role: &str, body: &Value) -> Answer {
    let request = server.request(Method::POST, "/graphql").bearer_auth(server.token(role));
    server.send(request.header("accept", RESPONSE).json(body)).await
}

async fn ask(server: &Server, role: &str, document: &str) -> Answer {
    post(server, role, &json!({ "query": document })).await
}

/// The data of an answer that has some.
async fn data(server: &Server, role: &str, document: &str) -> Value {
    let answer = ask(server, role, document).await;
    assert_eq!(answer.status, 200, "{role}: {document}\n{}", answer.text());
    answer.json()["data"].clone()
}

/// The kind of the first error and the parameter that it names.
#[track_caller]
fn refused(answer: &Answer) -> (u16, String, String) {
    let errors = answer.json();
    let error = &errors["errors"][0];
    assert!(errors.get("data").is_none() && error["message"].is_string(), "{errors}");
    let text = |name: &str| error["extensions"][name].as_str().unwrap_or_default().to_owned();
    (answer.status, text("type").trim_start_matches("/problems/").to_owned(), text("parameter"))
}

fn sha256(text: &str) -> String {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_page_comes_as_it_is_selected_and_goes_on_in_both_directions() {
    let server = Server::over(Backend::Sqlite).await;
    let role = "internal_scientist";
    let page = |part: &str| {
        format!(
            "{{ all: price_daily({part} where: {{symbol: {{eq: \"AAPL\"}}, date: {{gte: \"2014-12-29\"}}}}) {{
               __typename totalCount pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
               edges {{ cursor node {{ day: date close ...Volume }} }} }} }}
             fragment Volume on price_daily {{ volume profile {{ company_name }} }}"
        )
    };
    let first = data(&server, role, &page("first: 2,")).await["all"].clone();
    let node = json!({"day": "2014-12-29", "close": "113.910000", "volume": "27598920", "profile": {"company_name": "Apple Inc."}});
    assert_eq!(first["edges"][0]["node"], node);
    assert_eq!((&first["totalCount"], &first["__typename"]), (&json!("3"), &json!("price_dailyConnection")));
    let cursor = |at: usize| first["edges"][at]["cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(
        first["pageInfo"],
        json!({"hasNextPage": true, "hasPreviousPage": false, "startCursor": cursor(0), "endCursor": cursor(1)})
    );
    let second = data(&server, role, &page(&format!("first: 2, after: \"{}\",", cursor(1)))).await["all"].clone();
    assert_eq!(second["edges"].as_array().map(Vec::len), Some(1));
    assert_eq!(second["edges"][0]["node"]["day"], "2014-12-31");
    let last = data(&server, role, &page("last: 1,")).await["all"].clone();
    assert_eq!(last["edges"][0]["node"], second["edges"][0]["node"]);
    assert_eq!((&last["pageInfo"]["hasPreviousPage"], &last["pageInfo"]["hasNextPage"]), (&json!(true), &json!(false)));
    let before = last["edges"][0]["cursor"].as_str().expect("a cursor").to_owned();
    let back = data(&server, role, &page(&format!("last: 2, before: \"{before}\","))).await["all"].clone();
    assert_eq!(back["edges"], first["edges"]);
    for part in ["first: 1, last: 1,", "first: 1, before: \"x\",", "before: \"x\","] {
        let answer = ask(&server, role, &page(part)).await;
        assert_eq!((answer.status, refused(&answer).1.as_str()), (400, "invalid-literal"), "{part}");
    }
    server.stop().await;
}

#[tokio::test]
async fn groups_bars_keys_and_facts_are_asked_for_as_well() {
    let server = Server::over(Backend::Sqlite).await;
    let found = data(
        &server,
        "internal_scientist",
        "query Q($symbols: [String!], $unsaid: String) {
           groups: price_daily_aggregate(group_by: [symbol, date_year], where: {symbol: {in: $symbols, eq: $unsaid}, date: {gte: \"2014-01-01\"}},
             having: {count: {gt: 200}, not: {max_high: {lt: \"1\"}}}, order_by: {field: sum_volume, direction: DESC}) {
             nodes { symbol date_year count sum_volume } totalCount }
           all: price_daily_aggregate(where: {symbol: {eq: \"AAPL\"}}) { totalCount nodes { __typename } }
           bars: price_daily_resample(interval: month, where: {symbol: {eq: \"AAPL\"}}, last: 1) { nodes { date open close volume } }
           price_daily_by_key(symbol: \"AAPL\", date: \"2014-12-31\") { close }
           none: price_daily_by_key(symbol: \"AAPL\", date: \"2015-12-31\") { close }
           dataset(name: \"price_daily\") { name __typename primary_key columns { name type } relations { name kind } version { number } }
           unknown: dataset(name: \"secrets\") { name }
         }"
        .replace("$symbols: [String!], ", "$symbols: [String!] = [\"AAPL\", \"MSFT\"], ")
        .as_str(),
    )
    .await;
    let groups = json!({"nodes": [
        {"symbol": "AAPL", "date_year": "2014-01-01", "count": "252", "sum_volume": "8734011985"},
        {"symbol": "MSFT", "date_year": "2014-01-01", "count": "252", "sum_volume": "8398458837"},
    ], "totalCount": "2"});
    assert_eq!(found["groups"], groups);
    assert_eq!(found["all"], json!({"totalCount": "1", "nodes": [{"__typename": "price_dailyGroup"}]}));
    let bar = json!({"date": "2014-12-01", "open": "118.810000", "close": "110.380000", "volume": "1073775862"});
    assert_eq!(found["bars"]["nodes"], json!([bar]));
    assert_eq!((&found["price_daily_by_key"], &found["none"]), (&json!({"close": "110.380000"}), &Value::Null));
    let dataset = &found["dataset"];
    assert_eq!((&dataset["__typename"], &dataset["primary_key"]), (&json!("Dataset"), &json!(["symbol", "date"])));
    assert_eq!(dataset["relations"], json!([{"name": "profile", "kind": "one"}]));
    assert_eq!(dataset["columns"][0], json!({"name": "symbol", "type": "string"}));
    assert_eq!((&dataset["version"], &found["unknown"]), (&Value::Null, &Value::Null));
    let keys: Vec<&String> = found.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["groups", "all", "bars", "price_daily_by_key", "none", "dataset", "unknown"]);

    let ungrouped = "{ price_daily_aggregate(group_by: [symbol]) { nodes { date_year } } }";
    let answer = ask(&server, "internal_scientist", ungrouped).await;
    assert_eq!(refused(&answer), (400, "invalid-literal".into(), "group_by".into()));
    server.stop().await;
}

/// Numbers that look random and are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }

    /// Some of the items, one at least.
    fn some<T: Clone>(&mut self, items: &[T]) -> Vec<T> {
        let mut some: Vec<T> = items.iter().filter(|_| self.below(3) == 0).cloned().collect();
        if some.is_empty() {
            some.push(items[self.below(items.len())].clone());
        }
        some
    }
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|one| one.as_str().expect("a text").to_owned()).collect()
}

/// One question in both languages.
struct Question {
    rest: String,
    graphql: String,
}

impl Question {
    /// A random question about a dataset, as a caller finds it described.
    fn about(described: &Value, related: &[(String, Vec<String>)], chance: &mut Chance) -> Self {
        let name = described["name"].as_str().expect("a name");
        let columns = described["columns"].as_array().expect("columns");
        let names: Vec<String> = columns.iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect();
        let select = chance.some(&names);
        let limit = 1 + chance.below(20);
        let (mut rest, mut arguments) = (format!("limit={limit}&numbers=string"), format!("first: {limit}"));
        let sortable: Vec<&Value> = columns.iter().filter(|column| column["sort"] == true).collect();
        if chance.below(2) == 0 && !sortable.is_empty() {
            let column = sortable[chance.below(sortable.len())]["name"].as_str().expect("a name");
            let (sign, direction) = if chance.below(2) == 0 { ("-", "DESC") } else { ("", "ASC") };
            let _ = write!(rest, "&sort={sign}{column}");
            let _ = write!(arguments, ", order_by: [{{field: {column}, direction: {direction}}}]");
        }
        let mut conditions = String::new();
        for column in columns.iter().filter(|column| !column["example"].is_null()) {
            let operators = texts(&column["filter"]);
            if operators.is_empty() || chance.below(3) > 0 {
                continue;
            }
            let (name, operator) =
                (column["name"].as_str().expect("a name"), &operators[chance.below(operators.len())]);
            let text = match (&column["example"], operator.as_str()) {
                (_, "is_null") => "false".to_owned(),
                (Value::String(text), _) => text.clone(),
                // A list has elements, and what is compared with it is one of them.
                (Value::Array(items), _) => items[0].as_str().expect("a text").to_owned(),
                (other, _) => other.to_string(),
            };
            let bare = operator == "is_null" || ["int32", "float64", "bool"].iter().any(|one| column["type"] == *one);
            let literal = if bare { text.clone() } else { json!(text).to_string() };
            let literal = if ["in", "nin"].contains(&operator.as_str()) { format!("[{literal}]") } else { literal };
            // A comma parts the items of a list.
            let text = if literal.starts_with('[') && !bare { json!(text).to_string() } else { text };
            let suffix = if operator == "eq" { String::new() } else { format!(".{operator}") };
            let _ = write!(rest, "&{name}{suffix}={}", escaped(&text));
            let _ = write!(conditions, "{name}: {{{operator}: {literal}}} ");
        }
        if !conditions.is_empty() {
            let _ = write!(arguments, ", where: {{{conditions}}}");
        }
        let mut selection = select.join(" ");
        let _ = write!(rest, "&select={}", select.join(","));
        if let Some((relation, columns)) = related.get(chance.below(related.len() + 1)) {
            let some = chance.some(columns);
            let _ = write!(rest, "&expand={relation}({})", some.join(","));
            let _ = write!(selection, " {relation} {{ {} }}", some.join(" "));
        }
        Self {
            rest: format!("/v1/datasets/{name}/rows?{rest}"),
            graphql: format!("{{ {name}({arguments}) {{ nodes {{ {selection} }} }} }}"),
        }
    }
}

/// The catalog of the repository with every role in the house, which may read how it is answered: what a role may see
/// stays what it is.
fn all_in_the_house(folder: &Path) -> Config {
    let from = repository().join("catalog");
    let access = std::fs::read_to_string(from.join("access.yaml")).expect("the matrix");
    let inside = access.replace("\n    tier: client", "\n    tier: internal");
    assert_ne!(access, inside);
    std::fs::create_dir_all(folder.join("datasets")).expect("a folder");
    std::fs::write(folder.join("access.yaml"), inside).expect("the matrix is written");
    for file in std::fs::read_dir(from.join("datasets")).expect("the contracts") {
        let file = file.expect("a contract");
        std::fs::copy(file.path(), folder.join("datasets").join(file.file_name())).expect("a contract is copied");
    }
    Config { catalog: folder.to_owned(), ..open(Backend::Sqlite) }
}

#[tokio::test]
async fn every_role_gets_the_rows_that_rest_gives_by_the_same_plan() {
    let server = Server::start(open(Backend::Sqlite)).await;
    let folder = tempfile::tempdir().expect("a folder");
    let explaining = Server::start(all_in_the_house(folder.path())).await;
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let (mut chance, mut compared) = (Chance(7), 0);
    for role in house.matrix.roles() {
        let role_name = role.name.as_str();
        if !role.graphql {
            let answer = ask(&server, role_name, "{ __typename }").await;
            assert_eq!((answer.status, answer.problem().as_str()), (403, "graphql-not-granted"));
            continue;
        }
        let mut all = Vec::new();
        for dataset in server.get(role_name, "/v1/datasets").await.rows() {
            let target = dataset["href"].as_str().expect("a path").to_owned();
            all.push(server.get(role_name, &target).await.json()["data"].clone());
        }
        for described in &all {
            let relations = described["relations"].as_array().expect("relations").iter();
            let related: Vec<(String, Vec<String>)> = relations
                .map(|relation| {
                    let other = all.iter().find(|other| other["name"] == relation["dataset"]).expect("a dataset");
                    let columns = other["columns"].as_array().expect("columns").iter();
                    let names = columns.map(|one| one["name"].as_str().expect("a name").to_owned()).collect();
                    (relation["name"].as_str().expect("a name").to_owned(), names)
                })
                .collect();
            for _ in 0..8 {
                let question = Question::about(described, &related, &mut chance);
                let rest = server.get(role_name, &question.rest).await;
                assert_eq!(rest.status, 200, "{role_name}: {}\n{}", question.rest, rest.text());
                let graphql = data(&server, role_name, &question.graphql).await;
                let nodes = graphql[described["name"].as_str().expect("a name")]["nodes"].clone();
                assert_eq!(json!(rest.rows()), nodes, "{role_name}\n{}\n{}", question.rest, question.graphql);
                compared += rest.rows().len();
                let rest = explaining.get(role_name, &format!("{}&explain=plan", question.rest)).await;
                assert_eq!(rest.status, 200, "{role_name}: {}\n{}", question.rest, rest.text());
                let asked = json!({ "query": question.graphql, "extensions": { "explain": "plan" } });
                let graphql = post(&explaining, role_name, &asked).await;
                assert_eq!(graphql.status, 200, "{role_name}: {}\n{}", question.graphql, graphql.text());
                let name = described["name"].as_str().expect("a name");
                assert_eq!(
                    rest.json()["data"]["fingerprint"],
                    graphql.json()["extensions"]["explain"][name]["fingerprint"],
                    "{role_name}\n{}\n{}",
                    question.rest,
                    question.graphql
                );
            }
        }
    }
    assert!(compared > 500, "{compared}");
    server.stop().await;
    explaining.stop().await;
}

#[tokio::test]
async fn a_schema_has_what_its_role_may_see_and_nothing_else() {
    let server = Server::start(open(Backend::Sqlite)).await;
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    for role in house.matrix.roles().filter(|role| role.graphql) {
        let names = |types: &Value, of: &str| -> Vec<String> {
            let fields = types[of]["fields"].as_array().or(types[of]["inputFields"].as_array());
            fields.into_iter().flatten().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
        };
        for dataset in house.catalog.iter() {
            let name = dataset.name.as_str();
            let document = format!(
                "{{ row: __type(name: \"{name}\") {{ fields {{ name }} }} \
                   conditions: __type(name: \"{name}Where\") {{ inputFields {{ name }} }} }}"
            );
            let types = data(&server, &role.name, &document).await;
            let described = server.get(&role.name, &format!("/v1/datasets/{name}")).await;
            if described.status == 404 {
                assert_eq!(types, json!({ "row": null, "conditions": null }));
                continue;
            }
            let described = described.json()["data"].clone();
            let listed = |part: &str| described[part].as_array().expect("a list").clone();
            let named = |all: Vec<Value>| -> Vec<String> {
                all.iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
            };
            let shown = [named(listed("columns")), named(listed("relations"))].concat();
            assert_eq!(names(&types, "row"), shown, "{} {name}", role.name);
            let filtered = listed("columns").into_iter().filter(|one| one["filter"] != json!([])).collect();
            let filtered: Vec<String> = [named(filtered), vec!["and".into(), "or".into(), "not".into()]].concat();
            assert_eq!(names(&types, "conditions"), filtered, "{} {name}", role.name);
        }
    }
    // A masked column can be selected, and nothing can be asked about it.
    data(&server, "client_pro", "{ social_daily(first: 1) { nodes { unique_authors } } }").await;
    for argument in ["where: {unique_authors: {eq: 1}}", "order_by: {field: unique_authors}"] {
        let answer = ask(&server, "client_pro", &format!("{{ social_daily({argument}) {{ totalCount }} }}")).await;
        assert_eq!(refused(&answer).1, "invalid-document", "{argument}");
    }
    let document = format!("{{ __schema {{ types {{ name description }} }} {} }}", "x: __typename");
    let seen = data(&server, "client_pro", &document).await.to_string();
    assert!(seen.contains("signalWhere") && !seen.contains("inputs"), "{seen}");
    server.stop().await;
}

#[test]
fn the_committed_schema_is_what_the_code_makes() {
    let ran = run(martello(&["graphql-schema", "--role", "internal_scientist"]));
    let committed =
        std::fs::read_to_string(repository().join("openapi/martello.graphql")).expect("the committed schema");
    assert!(
        ran.well() == committed,
        "openapi/martello.graphql is out of date: run `cargo run -- graphql-schema --role internal_scientist --output openapi/martello.graphql`"
    );
    let ran = run(martello(&["graphql-schema", "--role", "nobody"]));
    assert!(ran.complaint().contains("find role \"nobody\": expected one of client_basic, client_pro"), "{}", ran.err);
}

#[tokio::test]
async fn related_rows_take_a_statement_for_each_level_and_equal_selections_share_theirs() {
    let server = Server::over(Backend::Sqlite).await;
    let role = "internal_scientist";
    let before = statements(&server).await;
    let levels = "{ price_daily(first: 100) { nodes { date profile { symbol signals(first: 2) { signal } } } } }";
    let found = data(&server, role, levels).await;
    assert_eq!(found["price_daily"]["nodes"].as_array().map(Vec::len), Some(100));
    assert_eq!(statements(&server).await - before, 3);

    let before = statements(&server).await;
    let aliases = "{ a: price_daily(first: 3) { nodes { date } } b: price_daily(first: 3) { nodes { date } } \
                     c: company_profile(first: 2, where: {symbol: {in: [\"AAPL\", \"MSFT\"]}}) { nodes { x: prices(first: 1) { date } y: prices(first: 1) { close } \
                        z: prices(first: 2) { date } } } }";
    let answer = ask(&server, role, aliases).await.json();
    assert_eq!(answer["data"]["a"], answer["data"]["b"]);
    let node = &answer["data"]["c"]["nodes"][0];
    assert_eq!(node["x"][0]["date"], node["z"][0]["date"]);
    assert!(node["y"][0]["close"].is_string() && node["z"].as_array().map(Vec::len) == Some(2), "{node}");
    // One for a and b; for c its own, one for x and y together, and one for z.
    assert_eq!(statements(&server).await - before, 4);
    // 3 rows; and 2 with 1 and 2 with each.
    assert_eq!(answer["extensions"]["cost"], json!({ "requested": 3 + 2 * (1 + 1 + 2), "actual": 11 }));
    server.stop().await;
}

#[tokio::test]
async fn what_would_cost_more_than_it_may_is_refused_before_anything_runs() {
    let server = Server::start(open(Backend::Sqlite)).await;
    let repeated = |count: usize, of: &dyn Fn(usize) -> String| (0..count).map(of).collect::<String>();
    let nested = |levels: usize| {
        let (open, close) = ("{ prices { profile ".repeat(levels), "} }".repeat(levels));
        format!("{{ company_profile {{ nodes {open} {{ symbol }} {close} }} }}")
    };
    let doubled = repeated(15, &|at| format!("fragment F{at} on Query {{ ...F{0} ...F{0} }} ", at + 1));
    let documents = [
        (
            format!("{{ {} }}", repeated(1000, &|at| format!("a{at}: __typename "))),
            "too-complex",
            "graphql.aliases_max",
        ),
        (format!("{{ __typename {} }}", "@skip(if: false) ".repeat(500)), "too-complex", "graphql.directives_max"),
        ("{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }".into(), "invalid-document", ""),
        ("{ __typename } fragment A on Query { ...A }".into(), "invalid-document", ""),
        (nested(50), "too-complex", "depth"),
        (nested(6), "too-complex", "graphql.depth_max"),
        ("{ price_daily(first: 2147483647) { totalCount } }".into(), "limit-out-of-range", "first"),
        ("{ price_daily(first: 0) { totalCount } }".into(), "limit-out-of-range", "first"),
        ("{ price_daily(last: -1) { totalCount } }".into(), "limit-out-of-range", "first"),
        ("{ __typename }".to_owned() + &"a ".repeat(6000), "too-complex", "graphql.tokens_max"),
        (
            format!("{{ {} }}", repeated(11, &|at| format!("a{at}: datasets {{ name }} "))),
            "too-complex",
            "graphql.root_fields_max",
        ),
        (
            "{ __typename } ".to_owned() + &repeated(21, &|at| format!("fragment F{at} on Query {{ __typename }} ")),
            "too-complex",
            "graphql.fragments_max",
        ),
        (format!("{{ ...F0 }} {doubled} fragment F15 on Query {{ __typename }}"), "too-complex", "graphql.fields_max"),
        (
            "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }".into(),
            "too-complex",
            "lists",
        ),
        ("{ price_daily(where: {symbol: {eq: null}}) { totalCount } }".into(), "invalid-literal", "where.symbol.eq"),
        ("{ price_daily(where: {close: {gt: 1.5}}) { totalCount } }".into(), "invalid-document", ""),
        ("{ secrets { totalCount } }".into(), "invalid-document", ""),
        ("{".into(), "invalid-document", ""),
    ];
    let before = statements(&server).await;
    for (document, kind, parameter) in documents {
        let answer = ask(&server, "internal_scientist", &document).await;
        let shown = &document[..document.len().min(100)];
        assert_eq!(refused(&answer), (400, kind.into(), parameter.into()), "{shown}\n{}", answer.text());
        if kind == "too-complex" {
            assert!(answer.json()["errors"][0]["extensions"]["hint"].is_string(), "{shown}");
        }
    }
    let large = json!({ "query": format!("{{ __typename }} #{}", "x".repeat(1_000_000)) });
    let answer = post(&server, "internal_scientist", &large).await;
    assert_eq!((answer.status, answer.problem().as_str()), (413, "content-too-large"));

    let part = |name: &str| {
        let filter = format!("where: {{symbol: {{ne: \"{name}\"}}}}");
        format!("{name}: company_profile(first: 1000, {filter}) {{ nodes {{ prices(first: 10) {{ date }} }} }} ")
    };
    let answer = ask(&server, "client_pro", &format!("{{ {} {} }}", part("a"), part("b"))).await;
    assert_eq!(refused(&answer), (400, "too-complex".into(), "graphql_cost".into()));
    assert!(answer.text().contains("22000 rows; graphql_cost is 20000"), "{}", answer.text());
    assert_eq!(statements(&server).await, before);
    server.stop().await;
}

#[tokio::test]
async fn the_audits_of_graphql_over_http_are_met() {
    let server = Server::over(Backend::Sqlite).await;
    let modules = format!("{}/node_modules", variable("MARTELLO_TEST_NODE"));
    let token = server.token("internal_scientist");
    let ran = ran(node(&["tests/node/graphql.mjs", &modules, &server.url, &token])).await;
    let found: Value = serde_json::from_str(ran.well()).expect("JSON");
    assert_eq!(found, json!({ "audits": 61, "missed": [] }));

    // What they do not look at.
    let mutation = json!({ "query": "mutation { __typename }" });
    let answer = post(&server, "internal_scientist", &mutation).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, POST")));
    let answer = post(&server, "internal_scientist", &json!([{ "query": "{ __typename }" }])).await;
    assert_eq!(refused(&answer), (400, "malformed-request".into(), "body".into()));
    let request = server.request(Method::POST, "/graphql").bearer_auth(&token).header("accept", "text/csv");
    let answer = server.send(request.json(&json!({ "query": "{ __typename }" }))).await;
    assert_eq!((answer.status, answer.problem().as_str()), (406, "not-acceptable"));
    let answer = server.send(server.request(Method::GET, "/graphql?query=%7B__typename%7D")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"));
    server.stop().await;
}

#[tokio::test]
async fn clients_ask_by_documents_that_are_registered_and_the_house_by_any() {
    let server = Server::over(Backend::Sqlite).await;
    let file = repository().join("catalog/documents/latest_signals.graphql");
    let document = std::fs::read_to_string(file).expect("a document");
    let variables = json!({ "symbol": "AAPL", "first": 1 });
    let asked = post(&server, "client_pro", &json!({ "query": document, "variables": variables })).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    assert_eq!(asked.json()["data"]["company_profile"]["nodes"][0]["prices"][0]["close"], "110.380000");
    let by_hash = |hash: &str| {
        let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
        let (variables, extensions) = (escaped(&variables.to_string()), escaped(&extensions.to_string()));
        format!("/graphql?variables={variables}&extensions={extensions}")
    };
    for text in [document.as_str(), document.trim()] {
        let got = server.get_with("client_pro", &by_hash(&sha256(text)), &[("accept", RESPONSE)]).await;
        assert_eq!((got.status, &got.body), (200, &asked.body), "{}", got.text());
    }
    let own = "{ company_profile(first: 1) { nodes { symbol } } }";
    let answer = ask(&server, "client_pro", own).await;
    assert_eq!(refused(&answer), (403, "document-not-registered".into(), String::new()));

    let target = by_hash(&sha256(own));
    let unknown = async |role: &str| {
        let answer = server.get_with(role, &target, &[("accept", RESPONSE)]).await;
        assert_eq!(refused(&answer).1, "document-not-found");
        assert_eq!((answer.status, &answer.json()["errors"][0]["message"]), (404, &json!("PersistedQueryNotFound")));
    };
    unknown("internal_scientist").await;
    let wrong = json!({ "query": own, "extensions": { "persistedQuery": { "sha256Hash": sha256("x") } } });
    assert_eq!(refused(&post(&server, "internal_scientist", &wrong).await).1, "malformed-request");
    let along = json!({ "query": own, "extensions": { "persistedQuery": { "sha256Hash": sha256(own) } } });
    assert_eq!(post(&server, "internal_scientist", &along).await.status, 200);
    let target_known = by_hash(&sha256(own));
    assert_eq!(server.get("internal_scientist", &target_known).await.status, 200);
    // What the house has sent along is no client's.
    unknown("client_pro").await;
    server.stop().await;
}

#[tokio::test]
async fn a_document_that_does_not_fit_its_readers_keeps_the_server_from_starting() {
    let folder = tempfile::tempdir().expect("a folder");
    for part in ["datasets", "documents"] {
        std::fs::create_dir(folder.path().join(part)).expect("a folder");
    }
    for from in ["access.yaml", "datasets"] {
        let from = repository().join("catalog").join(from);
        let files = if from.is_dir() {
            from.read_dir().expect("a folder").map(|one| one.expect("a file").path()).collect()
        } else {
            vec![from]
        };
        for file in files {
            let to = file.strip_prefix(repository().join("catalog")).expect("below it").to_owned();
            std::fs::copy(&file, folder.path().join(to)).expect("copied");
        }
    }
    let file = folder.path().join("documents/hidden.graphql");
    for (text, line, expected) in [
        ("query {\n  signal(first: 1) {\n    nodes { inputs }\n  }\n}\n", 3, "client_pro: Unknown field \"inputs\""),
        ("query {\n  signal(first: 1) {\n", 3, "document: "),
        ("mutation {\n  x\n}\n", 1, "document: expected queries and subscriptions only"),
    ] {
        std::fs::write(&file, text).expect("written");
        let mut config = config(Backend::Sqlite);
        config.catalog = folder.path().to_owned();
        let started = Box::pin(app::start(config, telemetry::collect().expect("metrics"))).await;
        let error = started.err().expect("a fault");
        let told = anyhow::Error::from(error).chain().map(ToString::to_string).collect::<Vec<_>>().join(": ");
        assert!(told.contains(&format!("{}:{line}: {expected}", file.display())), "{told}");
    }
}

#[tokio::test]
async fn a_published_answer_is_known_by_its_tag_before_anything_runs() {
    let trial = Trial::new(Backend::Sqlite, "graphql");
    let matrix = trial.config().catalog.join("access.yaml");
    let access = std::fs::read_to_string(&matrix).expect("a matrix");
    let open = access.replace("claims: {a: reader}", "claims: {a: reader}, graphql: true");
    assert_ne!(access, open);
    std::fs::write(matrix, open).expect("written");
    trial.make("one", "v1");
    trial.publish("one").well();
    let mut config = with_caches(trial.config(), "graphql");
    config.graphql.client_documents_only = false;
    let folder = tempfile::tempdir().expect("a folder");
    let events = folder.path().join("audit.jsonl");
    (config.audit.to, config.audit.path) = (AuditTo::File, Some(events.clone()));
    let server = Server::start(config).await;
    let target = format!("/graphql?query={}", escaped("{ trial(first: 2) { nodes { id price } } __typename }"));
    let token = server.token("reader");
    let get = async |target: &str, headers: &[(&str, &str)]| {
        let request = server.request(Method::GET, target).bearer_auth(&token);
        server.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let first = get(&target, &[]).await;
    assert_eq!((first.status, first.header("cache-control")), (200, Some("private, max-age=60")), "{}", first.text());
    let etag = first.header("etag").expect("a tag").to_owned();
    let before = statements(&server).await;
    let again = get(&target, &[]).await;
    assert_eq!((&again.body, again.header("etag")), (&first.body, Some(&*etag)));
    let unmodified = get(&target, &[("if-none-match", &etag)]).await;
    assert_eq!((unmodified.status, unmodified.body.len(), unmodified.header("etag")), (304, 0, Some(&*etag)));
    assert_eq!(statements(&server).await, before);
    // Both are given again, to the same words, by who stands in front of all routes.
    let replayed = counted(&server, "martello_http_replayed_total").await;
    for (headers, answer) in [(vec![], &again), (vec![("if-none-match", &*etag)], &unmodified)] {
        let given = get(&target, &headers).await;
        assert_eq!((given.status, &given.body, given.header("etag")), (answer.status, &answer.body, Some(&*etag)));
    }
    assert_eq!(counted(&server, "martello_http_replayed_total").await, replayed + 2);
    // Other names, another wording or another page is another answer.
    let other = format!("/graphql?query={}", escaped("{ trial(first: 2) { nodes { id cost: price } } __typename }"));
    for (target, accept) in [(&other, "application/json"), (&target, RESPONSE)] {
        let answer = get(target, &[("if-none-match", &etag), ("accept", accept)]).await;
        assert_eq!(answer.status, 200, "{target} {accept}");
    }
    trial.make("two", "v2");
    trial.publish("two").well();
    // Until the instance has heard of it, the version before is the current one.
    loop {
        let answer = get(&target, &[("if-none-match", &etag)]).await;
        if answer.status == 200 {
            assert_ne!(answer.header("etag"), Some(&*etag));
            break;
        }
        assert_eq!(answer.status, 304);
    }
    // What is posted has no address to be kept under.
    let posted = ask(&server, "reader", "{ trial { nodes { id } } }").await;
    assert_eq!((posted.header("etag"), posted.header("cache-control")), (None, Some("private, no-cache")));
    // It is given again all the same, to who says the same, and to nobody else.
    let post = async |token: &str, document: &str| {
        let request = server.request(Method::POST, "/graphql").bearer_auth(token);
        server.send(request.header("accept", RESPONSE).json(&json!({ "query": document }))).await
    };
    let document = "{ trial(first: 2) { nodes { price } } }";
    for _ in 0..2 {
        post(&token, document).await;
    }
    let replayed = counted(&server, "martello_http_replayed_total").await;
    let (one, other) = (post(&token, document).await, post(&token, document).await);
    assert_eq!(counted(&server, "martello_http_replayed_total").await, replayed + 2);
    assert_eq!((one.status, &one.body), (200, &other.body));
    assert_ne!(one.header("x-request-id"), other.header("x-request-id"));
    let shorter = post(&token, "{ trial(first: 1) { nodes { price } } }").await.json();
    assert_eq!(shorter["data"]["trial"]["nodes"].as_array().map(Vec::len), Some(1));
    assert_eq!(post("no.such.token", document).await.status, 401);
    let version = data(&server, "reader", "{ dataset(name: \"trial\") { fresh version { number } } }").await;
    assert_eq!(version["dataset"], json!({ "fresh": true, "version": { "number": "2" } }));
    server.stop().await;

    // Each answer with rows, given again or not, is an event of this door.
    let events = std::fs::read_to_string(events).expect("events");
    let events: Vec<Value> = events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told = |of: &Answer| {
        let id = of.header("x-request-id").expect("an id");
        let event = events.iter().find(|event| event["request_id"] == id).unwrap_or_else(|| panic!("{id}: {events:?}"));
        json!([event["door"], event["dataset"], event["version"], event["columns"], event["rows"], event["status"]])
    };
    let columns = json!(["id", "price"]);
    assert_eq!(told(&first), json!(["graphql", "trial", 1, columns, 2, 200]));
    assert_eq!(told(&again), json!(["graphql", "trial", 1, columns, 2, 200]));
    assert_eq!(told(&unmodified), json!(["graphql", "trial", 1, columns, 0, 304]));
}

#[tokio::test]
async fn a_document_that_is_asked_again_means_what_its_variables_say() {
    let server = Server::start(with_caches(config(Backend::Sqlite), "asked-again")).await;
    let document =
        "query A($symbol: String!, $rows: Int = 1) { price_daily(where: {symbol: {eq: $symbol}}, first: $rows)
        { nodes { symbol date open high low close volume } } } query B { price_daily(first: 1) { totalCount } }";
    let asked = async |operation: &str, variables: Value, coding: &str| {
        let body = json!({ "query": document, "operationName": operation, "variables": variables });
        let request = server.request(Method::POST, "/graphql").bearer_auth(server.token("internal_scientist"));
        server.send(request.header("accept-encoding", coding).json(&body)).await
    };
    for _ in 0..3 {
        for (symbol, rows) in [("AAPL", 1), ("MSFT", 1), ("AAPL", 2)] {
            let answer = asked("A", json!({ "symbol": symbol, "rows": rows }), "identity").await.json();
            let nodes = answer["data"]["price_daily"]["nodes"].as_array().expect("rows").clone();
            assert_eq!((nodes.len(), &nodes[0]["symbol"]), (rows, &json!(symbol)));
        }
        assert!(asked("B", json!({}), "identity").await.json()["data"]["price_daily"]["totalCount"].is_string());
        let answer = asked("A", json!({}), "identity").await;
        assert_eq!((answer.status, refused(&answer).2.as_str()), (200, "variables.symbol"));
    }
    // Long answers are packed, by the same bytes each time.
    let many = json!({ "symbol": "AAPL", "rows": 100 });
    let plain = asked("A", many.clone(), "identity").await;
    let packed = asked("A", many.clone(), "gzip").await;
    assert_eq!((plain.header("content-encoding"), packed.header("content-encoding")), (None, Some("gzip")));
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&packed.body[..]), &mut unpacked).expect("gzip");
    assert!(unpacked == plain.body && packed.body.len() < plain.body.len() / 3);
    assert!(asked("A", many, "gzip").await.body == packed.body);
    server.stop().await;
}

#[tokio::test]
async fn how_it_is_answered_is_told_to_those_who_may_read_it() {
    let server = Server::start(open(Backend::Sqlite)).await;
    let body = |word: &str| json!({ "query": "{ bars: price_daily(first: 1) { nodes { close } } __typename }", "extensions": { "explain": word } });
    let answer = post(&server, "internal_scientist", &body("plan")).await;
    let told = answer.json();
    assert_eq!(told["data"]["bars"]["nodes"].as_array().map(Vec::len), Some(1), "{told}");
    let explained = &told["extensions"]["explain"];
    assert!(explained["bars"]["plan"].is_string() && explained["bars"]["fingerprint"].is_string(), "{told}");
    assert!(explained.get("__typename").is_none(), "{told}");
    let wrong = post(&server, "internal_scientist", &body("all")).await;
    assert_eq!((wrong.status, refused(&wrong).2.as_str()), (400, "extensions.explain"));
    let client = post(&server, "client_pro", &body("plan")).await;
    let rest = server.get("client_pro", "/v1/datasets/price_daily/rows?explain=plan").await;
    assert_eq!((client.status, refused(&client).1), (rest.status, rest.problem()));
    server.stop().await;
}

#[tokio::test]
async fn a_subscription_is_told_of_publishes_as_it_selects() {
    let trial = Trial::new(Backend::Sqlite, "subscribed");
    let matrix = trial.config().catalog.join("access.yaml");
    let access = std::fs::read_to_string(&matrix).expect("a matrix");
    std::fs::write(matrix, access.replace("claims: {a: reader}", "claims: {a: reader}, graphql: true"))
        .expect("written");
    let mut config = trial.config();
    config.graphql.client_documents_only = false;
    let server = Server::start(config).await;
    let subscribe = |document: &str, accept: &str| {
        let request = server.request(Method::POST, "/graphql").bearer_auth(server.token("reader"));
        request.header("accept", accept).json(&json!({ "query": document }))
    };
    let document =
        "subscription { heard: dataset_published(datasets: [\"trial\"]) { __typename dataset version { number } } }";
    let mut response = subscribe(document, "text/event-stream").send().await.expect("an answer");
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().expect("a value"))
    );
    trial.make("one", "v1");
    trial.publish("one").well();
    let mut text = String::new();
    while !text.contains("\n\n") || text.starts_with(':') {
        text =
            text.split_once("\n\n").filter(|_| text.starts_with(':')).map_or(text.clone(), |(_, rest)| rest.to_owned());
        let chunk = tokio::time::timeout(Duration::from_secs(15), response.chunk()).await.expect("an event in time");
        text += std::str::from_utf8(&chunk.expect("a connection").expect("a chunk")).expect("UTF-8");
    }
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    assert_eq!(line("event: "), "next");
    let told: Value = serde_json::from_str(line("data: ")).expect("JSON");
    let publication = json!({ "__typename": "Publication", "dataset": "trial", "version": { "number": "1" } });
    assert_eq!(told, json!({ "data": { "heard": publication } }));

    for (document, accept, status, kind) in [
        (document, RESPONSE, 406, "not-acceptable"),
        ("{ __typename }", "text/event-stream", 406, "not-acceptable"),
        ("subscription { __typename }", "text/event-stream", 400, "invalid-document"),
        ("subscription { dataset_published { secret } }", "text/event-stream", 400, "invalid-document"),
        (
            "subscription { dataset_published(datasets: [\"secrets\"]) { dataset } }",
            "text/event-stream",
            404,
            "not-found",
        ),
    ] {
        let answer = server.send(subscribe(document, accept)).await;
        let (found, slug, _) = refused(&answer);
        assert_eq!((found, slug.as_str()), (status, kind), "{document}");
    }
    drop(response);
    server.stop().await;
}

/// The blocks of a language in the document of this door.
fn blocks(language: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository().join("docs/graphql.md")).expect("the document");
    let begins = format!("```{language}\n");
    let blocks = text.split(&begins).skip(1).map(|rest| rest.split("```").next().expect("a block"));
    blocks.map(str::to_owned).collect()
}

#[tokio::test]
async fn the_examples_of_the_document_give_the_same_answer_in_every_store() {
    let sqlite = Server::over(Backend::Sqlite).await;
    let others = [Server::over(Backend::Postgres).await, Server::over(Backend::ClickHouse).await];
    let examples = blocks("graphql");
    assert!(examples.len() >= 6, "{}", examples.len());
    for example in &examples {
        let one = data(&sqlite, "internal_scientist", example).await;
        assert!(one.to_string().contains("[{"), "no row: {example}");
        for other in &others {
            let other = data(other, "internal_scientist", example).await;
            assert!(crate::examples::alike(&one, &other), "{example}\n{one}\n{other}");
        }
    }
    let script = blocks("python").concat();
    let script = format!("import json, sys\nurl, token = sys.argv[1:]\n{script}\nprint(json.dumps(bars))");
    let ran = ran(python(&["-c", &script, &sqlite.url, &sqlite.token("internal_scientist")])).await;
    let bars: Value = serde_json::from_str(ran.well()).expect("JSON");
    assert_eq!(bars.as_array().map(Vec::len), Some(22));
    assert_eq!(bars[21], json!({ "date": "2014-12-31", "close": "110.380000" }));
    sqlite.stop().await;
    for other in others {
        other.stop().await;
    }
}
