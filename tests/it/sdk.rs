//! Clients that are generated from the committed document compile, and speak to the server.

use std::path::Path;

use serde_json::{Value, json};

use crate::programs::{Ran, node, python, ran};
use crate::support::{Backend, Server, repository, variable};

/// What either client must have got, whatever its language.
#[track_caller]
fn check(ran: &Ran) -> Value {
    let got: Value = serde_json::from_str(ran.well()).expect("JSON");
    assert_eq!(
        got["rows"],
        json!([
            ["AAPL", "2014-12-31", 110.38],
            ["MSFT", "2014-12-31", 46.45],
            ["AAPL", "2014-12-30", 112.52],
            ["MSFT", "2014-12-30", 47.02]
        ])
    );
    assert_eq!(got["more"], json!([true, false]));
    assert_eq!(got["exact"], "110.380000");
    let groups =
        json!([["AAPL", "2014-01-01", 252, 8_734_011_985_u64], ["MSFT", "2014-01-01", 252, 8_398_458_837_u64]]);
    assert_eq!(got["groups"], groups);
    let posted = json!([{"date": "2014-12-31", "close": 110.38, "profile": {"company_name": "Apple Inc."}}]);
    assert_eq!(got["posted"], posted);
    assert_eq!(got["having"], json!([{"date_year": "2012-01-01", "count": 250, "max_high": 705.07}]));
    assert_eq!(got["stopped_by"], "limit");
    assert_eq!(got["status"], 400);
    assert_eq!(got["problem"], json!(["/problems/limit-out-of-range", 400, "limit"]));
    assert_eq!(got["dataset"], json!([["symbol", "date"], "date", "22:30", 10_000]));
    got
}

#[tokio::test]
async fn a_generated_python_client_reads_pages_and_typed_problems() {
    let server = Server::over(Backend::Sqlite).await;
    let folder = tempfile::tempdir().expect("a folder");
    let package = folder.path().join("client").display().to_string();
    let generate = [
        "-m",
        "openapi_python_client",
        "generate",
        "--fail-on-warning",
        "--path",
        "openapi/openapi.json",
        "--output-path",
        &package,
    ];
    ran(python(&generate)).await.well();
    let mut script = python(&["tests/python/sdk.py", &server.url, &server.token("client_pro")]);
    script.env("PYTHONPATH", package);
    check(&ran(script).await);
    server.stop().await;
}

#[tokio::test]
async fn a_generated_typescript_client_compiles_strictly_and_reads_pages_and_typed_problems() {
    let server = Server::over(Backend::Sqlite).await;
    let folder = tempfile::tempdir().expect("a folder");
    let modules = Path::new(&variable("MARTELLO_TEST_NODE")).join("node_modules");
    std::os::unix::fs::symlink(&modules, folder.path().join("node_modules")).expect("a link");
    std::fs::write(folder.path().join("package.json"), r#"{"type": "module"}"#).expect("written");
    for file in ["sdk.ts", "tsconfig.json"] {
        std::fs::copy(repository().join("tests/node").join(file), folder.path().join(file)).expect("copied");
    }
    let tool = |name: &str| modules.join(name).display().to_string();
    let file = |name: &str| folder.path().join(name).display().to_string();

    let types = file("martello.d.ts");
    ran(node(&[&tool("openapi-typescript/bin/cli.js"), "openapi/openapi.json", "--output", &types])).await.well();
    ran(node(&[&tool("typescript/bin/tsc"), "--project", &file("tsconfig.json")])).await.well();
    let got = check(&ran(node(&[&file("out/sdk.js"), &server.url, &server.token("client_pro")])).await);
    assert_eq!(got["misspelt"], json!(["/problems/unknown-column", "did you mean close?"]));
    server.stop().await;
}
