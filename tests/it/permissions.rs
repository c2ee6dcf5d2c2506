//! The whole matrix, printed: a change of permission is a diff that a person reads. And the server keeps to it.

use std::fmt::Write as _;

use martello::app::House;
use martello::config::Config;
use martello::plan::View;
use serde_json::{Value, json};

use crate::support::{Backend, Server, config, repository};

#[test]
fn the_matrix_is_as_it_was_reviewed() {
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let mut text = String::new();
    for role in house.matrix.roles() {
        let who = &role.who;
        let claims = who.claims.iter().map(|(claim, texts)| format!("{claim}={}", texts.join("|")));
        let unless = who.unless.iter().map(|(claim, texts)| format!("not {claim}={}", texts.join("|")));
        let anonymous = who.anonymous.then(|| "no token".to_owned());
        let claims: Vec<String> = claims.chain(unless).chain(anonymous).collect();
        writeln!(text, "{} ({:?}, {})", role.name, role.tier, claims.join(" ")).expect("written");
        let graphql = if role.graphql { "GraphQL" } else { "no GraphQL" };
        writeln!(text, "  {graphql}; {}", serde_json::to_string(&role.limits).expect("JSON")).expect("written");
        for dataset in house.catalog.iter() {
            let Some(view) = View::of_role(&house.catalog, role, dataset.name.as_str()) else {
                writeln!(text, "  {}: nothing", dataset.name).expect("written");
                continue;
            };
            let shown: Vec<&str> = view.columns().map(|column| column.name.as_str()).collect();
            let hidden = dataset.columns.iter().map(|column| column.name.as_str()).filter(|name| !shown.contains(name));
            let hidden: Vec<&str> = hidden.collect();
            let but = if hidden.is_empty() { String::new() } else { format!(", hides {}", hidden.join(" ")) };
            let (rows, formats) = (view.rows_per_request(), view.media_types().formats());
            write!(text, "  {}: {rows} rows of {}{but}; as {formats}", dataset.name, shown.join(" ")).expect("written");
            let grant = view.grant();
            let masks = grant.masks().map(|(index, mask)| format!("{} {mask}", dataset.columns[index].name));
            let rule = grant.rows.as_ref().map(|rule| format!("rows {:?}", rule.filter()));
            let history = grant.history.map(|history| format!("history {history}"));
            let delay = grant.delay.map(|delay| format!("delay {delay:?}"));
            let revision = grant.revision.map(|revision| format!("revision {}", revision.as_str()));
            let rights = [(grant.aggregates, "aggregates"), (grant.exports, "exports")];
            let rights = rights.into_iter().filter(|(granted, _)| *granted).map(|(_, right)| right.to_owned());
            let more = masks.chain(rule).chain(history).chain(delay).chain(revision).chain(rights);
            writeln!(text, "{}", more.fold(String::new(), |all, one| format!("{all}; {one}"))).expect("written");
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(repository().join("tests/permissions"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("matrix", text));
}

#[test]
fn a_relation_on_a_column_that_is_hidden_at_its_other_end_is_hidden() {
    let folder = tempfile::tempdir().expect("a folder");
    let datasets = folder.path().join("datasets");
    std::fs::create_dir(&datasets).expect("a folder");
    for file in std::fs::read_dir(repository().join("catalog/datasets")).expect("contracts") {
        let file = file.expect("a contract");
        // The first relation of a company leads to its prices.
        let text = std::fs::read_to_string(file.path()).expect("a text");
        let text = if file.file_name() == "company_profile.yaml" {
            text.replacen("on: {symbol: symbol}", "on: {symbol: source}", 1)
        } else {
            text
        };
        std::fs::write(datasets.join(file.file_name()), text).expect("written");
    }
    std::fs::copy(repository().join("catalog/access.yaml"), folder.path().join("access.yaml")).expect("copied");
    let config = Config { catalog: folder.path().to_owned(), ..config(Backend::Sqlite) };
    let house = House::load(&config).expect("a catalog");
    let leads_to_prices = |role: &str| {
        let role = house.matrix.role(role).expect("a role");
        let view = View::of_role(&house.catalog, role, "company_profile").expect("a view");
        view.relations().any(|relation| relation.name.as_str() == "prices")
    };
    assert!(leads_to_prices("internal_scientist"));
    assert!(!leads_to_prices("client_pro"));
}

#[tokio::test]
async fn every_role_gets_its_columns_and_no_other_in_every_place() {
    let server = Server::over(Backend::Sqlite).await;
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    for role in house.matrix.roles() {
        let listed = server.get(&role.name, "/v1/datasets").await.rows();
        let listed: Vec<&str> = listed.iter().map(|dataset| dataset["name"].as_str().expect("a name")).collect();
        for dataset in house.catalog.iter() {
            let name = dataset.name.as_str();
            let base = format!("/v1/datasets/{name}");
            let view = View::of_role(&house.catalog, role, name);
            assert_eq!(listed.contains(&name), view.is_some(), "{} {name}", role.name);
            let page = server.get(&role.name, &format!("{base}/rows?limit=1")).await;
            let described = server.get(&role.name, &base).await;
            let Some(view) = view else {
                assert_eq!((page.problem().as_str(), described.problem().as_str()), ("not-found", "not-found"));
                continue;
            };
            let shown: Vec<&str> = view.columns().map(|column| column.name.as_str()).collect();
            let row = page.rows().remove(0);
            let answered: Vec<&str> = row.as_object().expect("a row").keys().map(String::as_str).collect();
            assert_eq!(answered, shown, "{} {name}", role.name);
            let columns = described.json()["data"]["columns"].clone();
            let columns = columns.as_array().expect("columns").iter().map(|column| column["name"].as_str());
            assert_eq!(columns.collect::<Option<Vec<_>>>().expect("names"), shown);
            for hidden in dataset.columns.iter().filter(|column| !shown.contains(&column.name.as_str())) {
                let column = &hidden.name;
                for (question, problem) in [
                    (format!("select={column}"), "unknown-column"),
                    (format!("sort={column}"), "unknown-column"),
                    (
                        format!("latest_by={column}"),
                        if dataset.time.is_some() { "unknown-column" } else { "not-timed" },
                    ),
                    (format!("{column}=1"), "unknown-parameter"),
                    (format!("{column}.is_null=true"), "unknown-parameter"),
                ] {
                    let answer = server.get(&role.name, &format!("{base}/rows?{question}")).await;
                    assert_eq!(answer.problem(), problem, "{} {name} {question}", role.name);
                }
            }
        }
    }
    server.stop().await;
}

/// A bar of which a part is hidden is none: neither described nor made longer.
#[tokio::test]
async fn bars_are_described_to_a_role_that_sees_all_of_them() {
    let whole = json!({ "open": "open", "high": "high", "low": "low", "close": "close", "volume": "volume" });
    let folder = tempfile::tempdir().expect("a folder");
    let (catalog, contracts) = (repository().join("catalog"), folder.path().join("datasets"));
    std::fs::create_dir(&contracts).expect("a folder");
    for entry in std::fs::read_dir(catalog.join("datasets")).expect("a folder") {
        let file = entry.expect("an entry").path();
        std::fs::copy(&file, contracts.join(file.file_name().expect("a name"))).expect("copied");
    }
    let access = std::fs::read_to_string(catalog.join("access.yaml")).expect("a text");
    let hiding = access.replacen("[symbol, date, open, high, low, close, volume]", "[symbol, date, close, volume]", 1);
    assert_ne!(hiding, access);
    for (access, bars, status) in [(access, whole, 200), (hiding, Value::Null, 400)] {
        std::fs::write(folder.path().join("access.yaml"), access).expect("written");
        let config = Config { catalog: folder.path().to_owned(), ..config(Backend::Sqlite) };
        let server = Server::start(config).await;
        let described = server.get("client_basic", "/v1/datasets/price_daily").await.json()["data"].clone();
        assert_eq!(described["bars"], bars);
        let link = described["links"]["aggregate"].as_str().expect("a link");
        let resampled = server.get("client_basic", &format!("{link}?resample=1y&limit=1")).await;
        assert_eq!(resampled.status, status, "{}", resampled.text());
        // News has no bars, and words.
        let news = server.get("client_basic", "/v1/datasets/news").await.json()["data"].clone();
        assert_eq!(news["bars"], Value::Null);
        let searchable =
            news["columns"].as_array().expect("columns").iter().filter(|column| column["searchable"] == true);
        assert_eq!(searchable.map(|column| &column["name"]).collect::<Vec<_>>(), ["headline"]);
        let query = server.request(reqwest::Method::POST, news["links"]["query"].as_str().expect("a link"));
        let query = query.bearer_auth(server.token("client_basic")).json(&json!({ "search": "apple", "limit": 1 }));
        assert_eq!(server.send(query).await.rows().len(), 1);
        server.stop().await;
    }
}
