//! Every example of docs/query.md and docs/rest.md is asked of both stores, which give the same answer: the same bytes, but for doubles
//! that are computed, and for guesses.

use serde_json::Value;

use crate::support::{Answer, Backend, Server, repository};

/// A request of the document.
#[derive(Debug)]
struct Example {
    method: reqwest::Method,
    target: String,
    body: Option<String>,
}

/// The requests in a document's `http` blocks: each line that begins with GET, or POST with all that follows.
fn examples(document: &str) -> Vec<Example> {
    let text = std::fs::read_to_string(repository().join(document)).expect("the document");
    let mut examples = Vec::new();
    for block in text.split("```http\n").skip(1) {
        let block = block.split("```").next().expect("a block");
        if let Some(post) = block.strip_prefix("POST ") {
            let (target, body) = post.split_once('\n').expect("a body");
            examples.push(Example {
                method: reqwest::Method::POST,
                target: target.to_owned(),
                body: Some(body.to_owned()),
            });
            continue;
        }
        for line in block.lines() {
            let target = line.strip_prefix("GET ").unwrap_or_else(|| panic!("no request: {line}")).to_owned();
            examples.push(Example { method: reqwest::Method::GET, target, body: None });
        }
    }
    examples
}

async fn ask(server: &Server, example: &Example) -> Answer {
    let mut request =
        server.request(example.method.clone(), &example.target).bearer_auth(server.token("internal_scientist"));
    if let Some(body) = &example.body {
        request = request.header("content-type", "application/json").body(body.clone());
    }
    server.send(request).await
}

/// Equal, but for doubles within 1e-9 of each other.
pub fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) if one != other => {
            let (one, other) = (one.as_f64().expect("a double"), other.as_f64().expect("a double"));
            (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| alike(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|((key, one), (other_key, other))| key == other_key && alike(one, other))
        }
        _ => one == other,
    }
}

#[tokio::test]
async fn every_example_of_the_language_gives_the_same_answer_in_every_store() {
    let sqlite = Server::over(Backend::Sqlite).await;
    let others = [Server::over(Backend::Postgres).await, Server::over(Backend::ClickHouse).await];
    let examples = examples("docs/query.md");
    assert!(examples.len() > 40, "{}", examples.len());
    for example in &examples {
        let one = ask(&sqlite, example).await;
        for other in &others {
            compare(example, &one, &ask(other, example).await);
        }
    }
    sqlite.stop().await;
    for other in others {
        other.stop().await;
    }
}

fn compare(example: &Example, one: &Answer, other: &Answer) {
    assert_eq!((one.status, other.status), (200, 200), "{example:?}\n{}\n{}", one.text(), other.text());
    let told = |parameter: &str| example.target.contains(parameter);
    if told("dry_run") || told("explain") {
        assert_eq!(one.json()["data"]["fingerprint"], other.json()["data"]["fingerprint"], "{example:?}");
        return;
    }
    assert!(one.text().contains("\"data\":[{") || one.text().contains("\"data\":{"), "no row: {example:?}");
    if one.body != other.body {
        let doubles = ["avg", "stddev", "median"].iter().any(|function| told(function))
            || example.body.as_ref().is_some_and(|body| body.contains("avg"));
        assert!(doubles && alike(&one.json(), &other.json()), "{example:?}\n{}\n{}", one.text(), other.text());
    }
}

/// Rows of each format are compared where they are read, in `formats`; here they come, and the text is the same.
#[tokio::test]
async fn every_example_of_the_formats_is_answered_in_every_store() {
    let sqlite = Server::over(Backend::Sqlite).await;
    let others = [Server::over(Backend::Postgres).await, Server::over(Backend::ClickHouse).await];
    let examples = examples("docs/rest.md");
    assert!(examples.len() >= 8, "{}", examples.len());
    for example in &examples {
        let one = ask(&sqlite, example).await;
        for other in &others {
            let other = ask(other, example).await;
            assert_eq!((one.status, other.status), (200, 200), "{example:?}\n{}\n{}", one.text(), other.text());
            assert_eq!(one.header("content-type"), other.header("content-type"), "{example:?}");
            assert!(one.body.len() > 50, "no row: {example:?}");
            let binary = ["arrow", "parquet"].iter().any(|format| example.target.contains(format));
            assert!(binary || one.body == other.body, "{example:?}\n{}\n{}", one.text(), other.text());
        }
    }
    sqlite.stop().await;
    for other in others {
        other.stop().await;
    }
}
