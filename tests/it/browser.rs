//! The documentation in a real browser that can reach nobody but the server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::programs::{node, ran};
use crate::support::{Backend, Server, config};

fn texts(list: &Value) -> BTreeSet<&str> {
    list.as_array().expect("a list").iter().map(|text| text.as_str().expect("a text")).collect()
}

#[tokio::test]
async fn the_documentation_shows_each_token_its_own_datasets_and_asks_no_other_host() {
    let server = Server::over(Backend::Sqlite).await;
    let (basic, pro) = (server.token("client_basic"), server.token("client_pro"));
    let script = node(&["tests/node/docs.mjs", &server.url, &pro, "wrong", &basic]);
    let seen: Value = serde_json::from_str(ran(script).await.well()).expect("JSON");

    assert!(
        seen["welcome"].as_str().is_some_and(|text| text.contains(&format!("{}/v1/datasets", server.url))),
        "{seen}"
    );
    let [pro, wrong, basic] = seen["shown"].as_array().expect("what was shown").as_slice() else {
        panic!("{seen}");
    };
    let names = [
        "caller",
        "company_profile",
        "datasets",
        "files",
        "fundamental",
        "news",
        "price_daily",
        "signal",
        "social_daily",
        "technical_daily",
    ];
    assert_eq!(texts(&pro["datasets"]), BTreeSet::from(names));
    assert_eq!((&pro["said"], &pro["welcomes"]), (&"This token may ask 7 datasets.".into(), &false.into()));
    assert!(texts(&pro["parameters"]).is_superset(&BTreeSet::from(["select", "sort", "symbol.in", "adj_close.gte"])));
    assert_eq!(pro["answer"][0], "200");
    assert!(pro["answer"][1].as_str().is_some_and(|body| body.contains("adj_close")), "{}", pro["answer"]);

    // A token that is refused leaves nothing of the one before on the page.
    assert_eq!((&wrong["welcomes"], &wrong["text"]), (&true.into(), &"".into()));
    assert!(wrong["said"].as_str().is_some_and(|said| said.starts_with("The token is not accepted: ")), "{wrong}");

    let names = ["caller", "company_profile", "datasets", "files", "news", "price_daily"];
    assert_eq!(texts(&basic["datasets"]), BTreeSet::from(names));
    assert!(!basic["text"].as_str().expect("a text").contains("adj_close"));
    assert_eq!(basic["answer"][0], "200");
    assert!(basic["answer"][1].as_str().is_some_and(|body| !body.contains("adj_close")), "{}", basic["answer"]);

    let own = |url: &&str| url.starts_with("data:") || url.starts_with(&format!("{}/", server.url));
    let requests = texts(&seen["requests"]);
    assert!(requests.len() > 5 && requests.iter().all(own), "{requests:?}");
    assert_eq!((&seen["stored"], &seen["complaints"]), (&0.into(), &Value::Array(Vec::new())));
    server.stop().await;
}

#[tokio::test]
async fn graphiql_completes_what_a_token_may_ask_and_asks_no_other_host() {
    let mut config = config(Backend::Sqlite);
    // A client asks by registered documents only, and an editor's are none.
    config.graphql.client_documents_only = false;
    let server = Server::start(config).await;
    let folder = tempfile::tempdir().expect("a folder");
    let picture = folder.path().join("graphiql.png");
    let tokens = ["client_pro", "client_basic", "internal_scientist"].map(|role| server.token(role));
    let mut arguments = vec!["tests/node/graphiql.mjs", &server.url, picture.to_str().expect("a path")];
    arguments.extend(tokens.iter().map(String::as_str));
    arguments.push("wrong");
    let seen: Value = serde_json::from_str(ran(node(&arguments)).await.well()).expect("JSON");
    let [pro, basic, scientist, wrong] = seen["shown"].as_array().expect("what was shown").as_slice() else {
        panic!("{seen}");
    };
    for (shown, sees) in [(pro, false), (scientist, true)] {
        assert!(shown["said"].as_str().is_some_and(|said| said.starts_with("This token may ask ")), "{shown}");
        let answer: Value = serde_json::from_str(shown["answer"].as_str().expect("an answer")).expect("JSON");
        let datasets = answer["data"]["datasets"].as_array().expect("datasets");
        assert_eq!(datasets.len(), 7);
        let columns = datasets.iter().flat_map(|dataset| dataset["columns"].as_array().expect("columns"));
        assert_eq!(columns.filter(|column| column["name"] == "inputs").count(), usize::from(sees), "{shown}");
        assert!(shown["documentation"].as_str().is_some_and(|text| text.contains("price_daily")), "{shown}");
    }
    assert!(basic["said"].as_str().is_some_and(|said| said.contains("may not call GraphQL")), "{basic}");
    assert!(wrong["said"].as_str().is_some_and(|said| said.starts_with("The token is not accepted: ")), "{wrong}");
    let own = |url: &&str| url.starts_with("data:") || url.starts_with(&format!("{}/", server.url));
    let requests = texts(&seen["requests"]);
    assert!(requests.len() > 4 && requests.iter().all(own), "{requests:?}");
    assert_eq!((&seen["stored"], &seen["complaints"]), (&0.into(), &Value::Array(Vec::new())));
    assert!(std::fs::metadata(&picture).expect("a picture").len() > 10_000);
    // For whoever is no browser, the address asks as ever.
    let asked = server.send(server.request(reqwest::Method::GET, "/graphql")).await;
    assert_eq!((asked.status, asked.problem().as_str()), (401, "unauthenticated"));
    let plain = server.send(server.request(reqwest::Method::GET, "/graphql/bundle.js")).await;
    assert_eq!(plain.status, 406);
    server.stop().await;
}
