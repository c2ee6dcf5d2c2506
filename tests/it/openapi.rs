//! The OpenAPI document says what the server does, no less and to no one more.

use std::collections::BTreeSet;

use martello::app::House;
use martello::auth::Tier;
use martello::rest::openapi;
use serde_json::{Value, json};

use crate::programs::{python, ran, run};
use crate::support::{Answer, Backend, Server, config, escaped, repository};

/// Parameters that are no filters.
const PARTS: [&str; 16] = [
    "select",
    "sort",
    "latest_by",
    "as_of",
    "revision",
    "search",
    "expand",
    "count",
    "tz",
    "or",
    "and",
    "limit",
    "cursor",
    "format",
    "numbers",
    "guard",
];

pub fn committed() -> Value {
    let text = std::fs::read_to_string(repository().join("openapi/openapi.json")).expect("the committed document");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_committed_document_is_what_the_code_generates() {
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let document = openapi::document(&house.catalog, &house.matrix.tier(Tier::Client), None);
    let generated = document.to_pretty_json().expect("JSON") + "\n";
    let committed = std::fs::read_to_string(repository().join("openapi/openapi.json")).expect("the committed document");
    let differs = committed.lines().zip(generated.lines()).position(|(one, other)| one != other);
    assert!(
        committed == generated,
        "openapi/openapi.json is out of date from line {}: run `cargo run -- openapi`, read the diff, and commit it",
        differs.map_or(committed.lines().count().min(generated.lines().count()), |line| line + 1),
    );
}

#[test]
fn the_document_of_every_role_is_valid_openapi_and_its_examples_fit() {
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let folder = tempfile::tempdir().expect("a folder");
    let mut arguments = vec!["tests/python/document.py".to_owned(), "valid".into(), "openapi/openapi.json".into()];
    for role in house.matrix.roles() {
        let file = folder.path().join(format!("{}.json", role.name));
        let document = openapi::document(&house.catalog, role, Some("https://api.example.com"));
        std::fs::write(&file, document.to_json().expect("JSON")).expect("written");
        arguments.push(file.display().to_string());
    }
    run(python(&arguments.iter().map(String::as_str).collect::<Vec<_>>())).well();
}

/// The texts of a list.
fn texts(list: &Value) -> BTreeSet<String> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}

fn keys(object: &Value) -> BTreeSet<String> {
    object.as_object().expect("an object").keys().cloned().collect()
}

/// `price_daily` as `PriceDaily`.
pub fn pascal(name: &str) -> String {
    name.split('_').map(|word| word[..1].to_ascii_uppercase() + &word[1..]).collect()
}

#[tokio::test]
async fn the_document_of_a_role_names_the_datasets_columns_and_filters_of_that_role_and_no_others() {
    let server = Server::over(Backend::Sqlite).await;
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    for role in house.matrix.roles() {
        let answer = server.get(&role.name, "/openapi.json").await;
        let document = answer.json();
        let listed = server.get(&role.name, "/v1/datasets").await.rows();
        let names: BTreeSet<String> =
            listed.iter().map(|dataset| dataset["name"].as_str().expect("a name").to_owned()).collect();

        let schemas = &document["components"]["schemas"];
        assert_eq!(texts(&schemas["DatasetName"]["enum"]), names, "{}", role.name);
        let tags = document["tags"]
            .as_array()
            .expect("tags")
            .iter()
            .map(|tag| tag["name"].as_str().expect("a name").to_owned());
        assert_eq!(
            tags.filter(|tag| !["datasets", "files", "caller"].contains(&tag.as_str())).collect::<BTreeSet<_>>(),
            names,
            "{}",
            role.name
        );
        let paths = keys(&document["paths"]);
        assert_eq!(paths.len(), 12 + 4 * names.len(), "{paths:?}");

        let mut shown_somewhere = BTreeSet::new();
        for name in &names {
            let described = server.get(&role.name, &format!("/v1/datasets/{name}")).await.json()["data"].clone();
            let columns = described["columns"].as_array().expect("columns");
            let shown: BTreeSet<String> =
                columns.iter().map(|column| column["name"].as_str().expect("a name").to_owned()).collect();
            let sortable: BTreeSet<String> = (columns.iter().filter(|column| column["sort"] == true))
                .map(|column| column["name"].as_str().expect("a name").to_owned())
                .collect();
            let mut filters = BTreeSet::new();
            for column in columns {
                let name = column["name"].as_str().expect("a name");
                filters.extend(texts(&column["filter"]).into_iter().map(|operator| match operator.as_str() {
                    "eq" => name.to_owned(),
                    operator => format!("{name}.{operator}"),
                }));
            }

            let schema = |what: &str| &schemas[format!("{}{what}", pascal(name))];
            let related = described["relations"].as_array().expect("relations").iter();
            let related = related.map(|relation| relation["name"].as_str().expect("a name").to_owned());
            let with_related: BTreeSet<String> = shown.iter().cloned().chain(related).collect();
            assert_eq!(keys(&schema("Row")["properties"]), with_related, "{} {name}", role.name);
            let filtered =
                columns.iter().filter(|column| column["filter"].as_array().is_some_and(|all| !all.is_empty()));
            let filtered = filtered.map(|column| column["name"].as_str().expect("a name").to_owned());
            let filtered: BTreeSet<String> = filtered.chain(["or", "and", "not"].map(str::to_owned)).collect();
            assert_eq!(keys(&schema("Filter")["properties"]), filtered, "{} {name}", role.name);
            let measures = columns.iter().flat_map(|column| {
                let name = column["name"].as_str().expect("a name");
                texts(&column["aggregate"]).into_iter().map(move |function| format!("{function}({name})"))
            });
            let measures: BTreeSet<String> = measures.chain(["count()".to_owned()]).collect();
            assert_eq!(texts(&schema("Measure")["enum"]), measures, "{} {name}", role.name);
            assert_eq!(texts(&schema("ColumnName")["enum"]), shown, "{} {name}", role.name);
            let bare = |key: String| key.trim_start_matches('-').split('.').next().map(str::to_owned);
            let sorted: BTreeSet<String> = texts(&schema("SortKey")["enum"]).into_iter().filter_map(bare).collect();
            assert_eq!(sorted, sortable, "{} {name}", role.name);

            let rows = &document["paths"][format!("/v1/datasets/{name}/rows")]["get"];
            let parameters = rows["parameters"].as_array().expect("parameters").iter();
            let parameters = parameters.map(|parameter| parameter["name"].as_str().expect("a name").to_owned());
            let is_part = |name: &str| PARTS.contains(&name.trim_start_matches("not."));
            let parameters: BTreeSet<String> = parameters.filter(|name| !is_part(name)).collect();
            assert_eq!(parameters, filters, "{} {name}", role.name);

            let key = texts(&described["primary_key"]);
            let path = described["primary_key"].as_array().expect("a key").iter();
            let path: String = path.map(|column| format!("/{{{}}}", column.as_str().expect("a name"))).collect();
            let row = &document["paths"][format!("/v1/datasets/{name}/rows{path}")]["get"];
            let parameters = row["parameters"].as_array().expect("parameters").iter();
            let in_path = parameters.filter(|parameter| parameter["in"] == "path");
            let in_path = in_path.map(|parameter| parameter["name"].as_str().expect("a name").to_owned());
            assert_eq!(in_path.collect::<BTreeSet<_>>(), key, "{} {name}", role.name);
            shown_somewhere.extend(shown);
        }

        // Neither does its prose: a name of several words stands for nothing else.
        for dataset in house.catalog.iter() {
            let hidden = dataset
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .filter(|name| !shown_somewhere.contains(*name));
            let hidden = hidden.chain(Some(dataset.name.as_str()).filter(|name| !names.contains(*name)));
            for name in hidden.filter(|name| name.contains('_')) {
                assert!(!answer.text().contains(name), "{} reads of {name}", role.name);
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn without_a_token_there_is_no_document() {
    let server = Server::over(Backend::Sqlite).await;
    let answer = server.send(server.request(reqwest::Method::GET, "/openapi.json")).await;
    assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"));
    server.stop().await;
}

/// The schema, or the component that it refers to.
pub fn resolved<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("a component"),
        None => schema,
    }
}

/// The value as it stands in a URL before it is escaped.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Every value that the document itself gives for a schema, or one that fits it.
pub fn values(document: &Value, schema: &Value) -> Vec<String> {
    let schema = resolved(document, schema);
    if schema["type"] == "array" {
        let items = values(document, &schema["items"]);
        // What select, sort and latest_by name is asked one by one, then the first with the last.
        if resolved(document, &schema["items"])["enum"].is_array() {
            let both = format!("{},{}", items[0], items[items.len() - 1]);
            return items.into_iter().chain([both]).collect();
        }
        return items;
    }
    for given in ["enum", "examples"] {
        if let Some(values) = schema[given].as_array() {
            return values.iter().map(written).collect();
        }
    }
    if !schema["default"].is_null() {
        return vec![written(&schema["default"])];
    }
    vec![
        match (schema["type"].as_str(), schema["format"].as_str()) {
            (Some("boolean"), _) => return vec!["true".into(), "false".into()],
            (Some("string"), Some("date")) => "2013-03-01",
            (Some("string"), Some("date-time")) => "2013-03-01T00:00:00Z",
            (Some("string"), _) => "x",
            _ => "1",
        }
        .to_owned(),
    ]
}

/// A path with its parameters filled in from their examples.
fn filled(document: &Value, path: &str, parameters: &[Value]) -> String {
    parameters.iter().filter(|parameter| parameter["in"] == "path").fold(path.to_owned(), |path, parameter| {
        let name = parameter["name"].as_str().expect("a name");
        path.replace(&format!("{{{name}}}"), &escaped(&values(document, &parameter["schema"])[0]))
    })
}

/// One line for `document.py answers`.
pub fn line(operation: &str, target: &str, answer: &Answer) -> String {
    // The document speaks of media types without their parameters.
    let media_type = answer.header("content-type").and_then(|whole| whole.split(';').next());
    let body: Value = match media_type {
        Some("application/json" | "application/problem+json") => answer.json(),
        _ => answer.text().into(),
    };
    json!({ "operation": operation, "target": target, "status": answer.status, "media_type": media_type, "body": body })
        .to_string()
}

#[tokio::test]
async fn every_operation_and_parameter_of_the_document_is_answered_as_the_document_says() {
    let document = committed();
    let mut lines = Vec::new();
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let mut asked = 0;
        for (path, methods) in document["paths"].as_object().expect("paths") {
            let operation = &methods["get"];
            let kept = ["/v1/exports", "/v1/assets/{id}", "/v1/datasets/{dataset}/changes", "/v1/events"];
            if operation.is_null() || kept.iter().any(|kept| path.starts_with(kept)) {
                // What a body may ask has examples of its own below. Exports, files and changes are of a house that keeps
                // some, and events have no end: `exports`, `assets`, `changes` and `events` ask for them.
                continue;
            }
            let id = operation["operationId"].as_str().expect("an id");
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let target = filled(&document, path, &parameters);
            // Groups need a measure.
            let whole = |name: &str| {
                let own = id.starts_with("aggregate") && !["measures", "resample"].contains(&name);
                if own { "&measures=count()" } else { "" }
            };
            let target = if id.starts_with("aggregate") { format!("{target}?measures=count()") } else { target };
            let answer = server.get("client_pro", &target).await;
            assert_eq!(answer.status, 200, "{backend:?} {target}: {}", answer.text());
            lines.push(line(id, &target, &answer));
            let bare = target.split('?').next().expect("a path").to_owned();
            let first = server.get("client_pro", &format!("{bare}?limit=1{}", whole("limit"))).await;
            let cursor = first.json()["page"]["next_cursor"].as_str().map(str::to_owned);

            for parameter in parameters.iter().filter(|parameter| parameter["in"] == "query") {
                let name = parameter["name"].as_str().expect("a name");
                let values = match &cursor {
                    Some(cursor) if name == "cursor" => vec![cursor.clone()],
                    // All rows are one group, which no page follows.
                    None if name == "cursor" => continue,
                    _ => values(&document, &parameter["schema"]),
                };
                for value in values {
                    // Another page size would be answered as well; a small one is answered sooner.
                    let small = if !id.starts_with("get") && name != "limit" { "&limit=2" } else { "" };
                    let format = if name == "guard" { "&format=csv" } else { "" };
                    let target = format!("{bare}?{name}={}{small}{format}{}", escaped(&value), whole(name));
                    let answer = server.get("client_pro", &target).await;
                    // A row may not have been known then, or another revision of its fact is the one that is kept.
                    let may_lack = id.starts_with("get") && ["as_of", "revision"].contains(&name);
                    let status = if may_lack && answer.status == 404 { 404 } else { 200 };
                    assert_eq!(answer.status, status, "{backend:?} {target}: {}", answer.text());
                    lines.push(line(id, &target, &answer));
                    asked += 1;
                }
            }
        }
        assert!(asked > 1_000, "the document has almost no parameter: {asked}");

        // A body asks what URLs ask, and what has no URL of its own in the document.
        let prices = json!({
            "select": ["symbol", "close"], "filter": {"symbol": {"in": ["AAPL"]}, "not": {"close": {"lt": "1.5"}}},
            "sort": ["-date"], "limit": 2, "count": "exact", "tz": "America/New_York",
            "expand": {"profile": {"select": ["company_name"]}},
        });
        let groups = json!({"group_by": ["date:year"], "measures": ["count()", "avg(close)"], "limit": 2});
        let names = document["components"]["schemas"]["DatasetName"]["enum"].as_array().expect("names").clone();
        let names = names.iter().map(|name| name.as_str().expect("a name"));
        let plain = [
            json!({}),
            json!({"measures": ["count()"]}),
            json!({"dry_run": true, "count": "estimated"}),
            json!({"shape": "columns"}),
            json!({"shape": "columns", "measures": ["count()"]}),
            json!({"format": "csv", "guard": "formulas"}),
        ];
        let bodies = names.flat_map(|name| plain.iter().map(move |body| (name, body)));
        for (name, body) in bodies.chain([("price_daily", &prices), ("price_daily", &groups)]) {
            let target = format!("/v1/datasets/{name}/query");
            let request = server.request(reqwest::Method::POST, &target).bearer_auth(server.token("client_pro"));
            let answer = server.send(request.json(body)).await;
            assert_eq!(answer.status, 200, "{backend:?} {target} {body}: {}", answer.text());
            lines.push(line(&format!("query{}", pascal(name)), &target, &answer));
        }

        // What goes wrong is described as well.
        for (id, target, status) in [
            ("listPriceDailyRows", "/v1/datasets/price_daily/rows?clsoe=1", 400),
            ("listPriceDailyRows", "/v1/datasets/price_daily/rows?limit=0", 400),
            ("listPriceDailyRows", "/v1/datasets/price_daily/rows?format=xml", 406),
            ("getPriceDailyRow", "/v1/datasets/price_daily/rows/AAPL/1999-01-01", 404),
            ("getDataset", "/v1/datasets/none", 404),
            ("aggregatePriceDaily", "/v1/datasets/price_daily/aggregate?measures=sum(close)", 400),
            ("aggregatePriceDaily", "/v1/datasets/price_daily/aggregate?measures=count()&format=xml", 406),
        ] {
            let answer = server.get("client_pro", target).await;
            assert_eq!(answer.status, status, "{target}");
            lines.push(line(id, target, &answer));
        }
        let long = format!("/v1/datasets/news/rows?symbols.has={}", "x".repeat(9_000));
        let answer = server.get("client_pro", &long).await;
        assert_eq!(answer.status, 414);
        lines.push(line("listNewsRows", "a long target", &answer));
        let answer = server.send(server.request(reqwest::Method::GET, "/v1/datasets")).await;
        assert_eq!(answer.status, 401);
        lines.push(line("listDatasets", "no token", &answer));
        server.stop().await;
    }
    judged(&document, &lines).await;
}

/// Every line is what the document says of it.
pub async fn judged(document: &Value, lines: &[String]) {
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str, text: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (document, answers) = (written("document.json", document.to_string()), written("answers", lines.join("\n")));
    let judged = ran(python(&["tests/python/document.py", "answers", &document, &answers])).await;
    assert_eq!(judged.well().trim(), lines.len().to_string());
}
