//! Publishes as they happen: told once, to who may know, and again to who was cut.

use std::time::Duration;

use serde_json::{Value, json};

use crate::publish::Trial;
use crate::support::{Backend, Server};

const EVENTS: &str = "/v1/events";
const PATIENCE: Duration = Duration::from_secs(10);

/// A stream of events as a client reads it.
struct Listening {
    response: reqwest::Response,
    text: String,
}

impl Listening {
    async fn to(server: &Server, target: &str, last: Option<&str>) -> Self {
        let request = server.request(reqwest::Method::GET, target).bearer_auth(server.token("reader"));
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "private, no-store");
        Self { response, text: String::new() }
    }

    /// The next event: its id and its data; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let found = field("id: ").zip(field("data: "));
                if found.is_some() {
                    assert_eq!(field("event: ").as_deref(), Some("dataset_published"));
                }
                self.text = rest.to_owned();
                match found {
                    Some((id, data)) => return Some((id, serde_json::from_str(&data).expect("JSON"))),
                    // A comment: the connection still is one.
                    None => continue,
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("an event in time");
            self.text += std::str::from_utf8(&chunk.expect("a connection")?).expect("UTF-8");
        }
    }
}

#[tokio::test]
async fn a_publish_is_told_at_once_and_who_was_cut_hears_what_was_missed_from_any_instance() {
    let trial = Trial::new(Backend::Postgres, "events");
    for table in ["one", "two", "three"] {
        trial.make(table, table);
    }
    let mut config = trial.config();
    config.http.heartbeat = Duration::from_millis(50);
    let (here, there) = (Server::start(config.clone()).await, Server::start(config).await);
    let mut listening = Listening::to(&here, EVENTS, None).await;
    trial.publish("one").well();
    let (first, told) = listening.next().await.expect("an event");
    assert_eq!((&told["dataset"], &told["number"], &told["rows"]), (&json!("trial"), &json!(1), &json!(3)));
    assert_eq!(told["id"], json!(first));
    // Whoever is told of a version is served it.
    let served = here.get("reader", "/v1/datasets/trial/rows").await;
    assert_eq!(served.json()["meta"]["version"], json!(1));
    drop(listening);
    trial.publish("two").well();
    trial.publish("three").well();
    crate::publish::serves(&there, Some(3)).await;
    let mut again = Listening::to(&there, "/v1/events?dataset=trial", Some(&first)).await;
    let numbers = [again.next().await, again.next().await].map(|event| event.expect("an event").1["number"].clone());
    assert_eq!(numbers, [json!(2), json!(3)]);
    // A stop ends what has no end of its own.
    let ended = async { while again.next().await.is_some() {} };
    tokio::join!(ended, there.stop());
    here.stop().await;
}

#[tokio::test]
async fn only_who_may_know_of_a_dataset_hears_of_it_and_only_so_many_at_once() {
    let trial = Trial::new(Backend::Sqlite, "heard");
    let mut config = trial.config();
    config.http.listeners_max = 1;
    let server = Server::start(config).await;
    let problem = async |target: &str, headers: &[(&str, &str)]| {
        let answer = server.get_with("reader", target, headers).await;
        (answer.status, answer.problem())
    };
    let document = crate::openapi::committed();
    let operation = &document["paths"][EVENTS]["get"];
    let listed = |status: u16| operation["responses"].get(status.to_string()).is_some();
    let named = |place: &str, name: &str| {
        let mut parameters = operation["parameters"].as_array().expect("parameters").iter();
        parameters.any(|it| it["in"] == place && it["name"].as_str().is_some_and(|it| it.eq_ignore_ascii_case(name)))
    };
    assert!(named("query", "dataset") && named("header", "last-event-id"), "{operation}");
    assert!(operation["responses"]["200"]["content"].get("text/event-stream").is_some(), "{operation}");
    for (target, headers, expected) in [
        ("/v1/events?dataset=other", vec![], (404, "not-found")),
        ("/v1/events?name=trial", vec![], (400, "unknown-parameter")),
        (EVENTS, vec![("last-event-id", "7")], (400, "malformed-request")),
    ] {
        let (status, kind) = problem(target, &headers).await;
        assert_eq!((status, kind.as_str()), expected, "{target}");
        assert!(listed(status), "{status}");
    }
    assert!(listed(401) && listed(503));
    let anonymous = server.send(server.request(reqwest::Method::GET, EVENTS)).await;
    assert_eq!(anonymous.status, 401);
    let listening = Listening::to(&server, EVENTS, None).await;
    assert_eq!(problem(EVENTS, &[]).await, (503, "overloaded".to_owned()));
    drop(listening);
    let until = martello::clock::instant() + PATIENCE;
    while server
        .request(reqwest::Method::GET, EVENTS)
        .bearer_auth(server.token("reader"))
        .send()
        .await
        .expect("an answer")
        .status()
        != 200
    {
        assert!(martello::clock::instant() < until, "room is never made");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}
