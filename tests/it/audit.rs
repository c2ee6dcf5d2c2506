//! The audit: one event for each access, never a value in it, and none that is lost without a word.

use std::io::BufReader;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use martello::config::{self, AuditTo, Config};
use martello::store::{Sought, Store};
use serde_json::{Value, json};

use crate::programs::{martello, run};
use crate::publish::{Proxy, Trial};
use crate::support::{Answer, Backend, Server, config, repository};

const ROWS: &str = "/v1/datasets/trial/rows";

/// Events go to that file, and answers are kept.
fn into_file(mut config: Config, path: &Path) -> Config {
    config.cache = config::Cache::default();
    config.audit.to = AuditTo::File;
    config.audit.path = Some(path.to_owned());
    config
}

fn read(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("a file of events");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn id(answer: &Answer) -> &str {
    answer.header("x-request-id").expect("an id")
}

async fn metric(server: &Server, name: &str) -> u64 {
    let metrics = server.admin("/metrics").await.text();
    let lines =
        metrics.lines().filter(|line| line.starts_with(&format!("{name} ")) || line.starts_with(&format!("{name}{{")));
    lines.map(|line| line.rsplit(' ').next().expect("a number").parse::<u64>().expect("a number")).sum()
}

#[tokio::test]
async fn there_is_one_event_for_each_access_however_it_was_answered_and_no_value_in_any() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let trial = Trial::new(Backend::Sqlite, "audited");
    trial.make("one", "v1");
    trial.publish("one").well();
    let server = Server::start(into_file(trial.config(), &path)).await;
    let token = server.token("reader");
    let get = async |target: &str, headers: &[(&str, &str)]| {
        let request = server.request(reqwest::Method::GET, &format!("{ROWS}{target}")).bearer_auth(&token);
        server.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    };
    let mut expected = Vec::new();
    // rows, format, cache, cost, status
    let mut expect = |answer: &Answer, rows: u64, format: &str, cache: &str, cost: Value, status: u16, bytes: usize| {
        assert_eq!(answer.status, status, "{}", answer.text());
        expected.push(json!([id(answer), rows, bytes, format, cache, cost, status]));
    };

    let answer = get("?origin=ZZSECRETZZ", &[]).await;
    expect(&answer, 0, "json", "source", Value::Null, 200, answer.body.len());
    let first = get("", &[]).await;
    expect(&first, 3, "json", "source", Value::Null, 200, first.body.len());
    // From memory, then before the routes.
    for again in 0..3_u64 {
        let answer = get("", &[]).await;
        expect(&answer, 3, "json", "l1", json!(0), 200, first.body.len());
        assert_eq!(metric(&server, "martello_http_replayed_total").await, again);
    }
    let packed = get("?limit=1", &[("accept-encoding", "gzip")]).await;
    expect(&packed, 1, "json", "source", Value::Null, 200, packed.body.len());
    let csv = get("?format=csv&limit=2", &[]).await;
    expect(&csv, 2, "csv", "source", Value::Null, 200, csv.body.len());
    let etag = first.header("etag").expect("a tag").to_owned();
    for _ in 0..2 {
        let unmodified = get("", &[("if-none-match", &etag)]).await;
        expect(&unmodified, 0, "json", "l1", json!(0), 304, 0);
    }
    let head = server.send(server.request(reqwest::Method::HEAD, ROWS).bearer_auth(&token)).await;
    expect(&head, 0, "json", "l1", json!(0), 200, 0);
    let question = json!({"filter": {"origin": "ZZSECRETZZ"}});
    let posted = server.request(reqwest::Method::POST, "/v1/datasets/trial/query").bearer_auth(&token).json(&question);
    let posted = server.send(posted).await;
    expect(&posted, 0, "json", "l1", json!(0), 200, posted.body.len());
    for format in ["ndjson", "csv", "parquet"] {
        let stream = server.get("internal_publisher", &format!("{ROWS}?limit=all&format={format}")).await;
        expect(&stream, 3, format, "source", Value::Null, 200, stream.body.len());
    }

    // What a known caller may not have: an event that does not say what was asked for.
    let mut refused = Vec::new();
    for (target, status, problem) in [
        ("/v1/datasets/zzsecretzz/rows", 404, "not-found"),
        (&*format!("{ROWS}?limit=all&origin=ZZSECRETZZ"), 403, "export-not-granted"),
    ] {
        let answer = server.send(server.request(reqwest::Method::GET, target).bearer_auth(&token)).await;
        assert_eq!((answer.status, &*answer.problem()), (status, problem));
        refused.push(json!([id(&answer), problem, status]));
    }
    // What nobody was refused: a question that is none, and a caller who is nobody.
    assert_eq!(get("?zzsecretzz=ZZSECRETZZ", &[]).await.status, 400);
    assert_eq!(get("/7", &[]).await.status, 404);
    assert_eq!(server.send(server.request(reqwest::Method::GET, ROWS)).await.status, 401);
    server.stop().await;

    let events = read(&path);
    let told: Vec<Value> = (events.iter().filter(|event| event["problem"].is_null()))
        .map(|event| {
            assert_eq!(event["kind"], "data_access");
            assert_eq!(
                (&event["dataset"], &event["version"], &event["door"], &event["subject"]),
                (&json!("trial"), &json!(1), &json!("rest"), &json!("tester")),
                "{event}"
            );
            assert_eq!(event["columns"], json!(["id", "day", "price", "origin"]), "{event}");
            let decision = event["decision"].as_str().expect("a decision");
            assert!(decision.len() == 16 && decision.bytes().all(|digit| digit.is_ascii_hexdigit()), "{event}");
            let members = ["request_id", "rows", "bytes", "format", "cache", "cost", "status"];
            Value::from(members.map(|member| event[member].clone()).to_vec())
        })
        .collect();
    assert_eq!(told, expected);
    let told: Vec<Value> = (events.iter().filter(|event| !event["problem"].is_null()))
        .map(|event| {
            assert_eq!((&event["dataset"], &event["role"]), (&Value::Null, &json!("reader")), "{event}");
            json!([event["request_id"], event["problem"], event["status"]])
        })
        .collect();
    assert_eq!(told, refused);
    assert_eq!(events.len(), expected.len() + refused.len());

    let text = std::fs::read_to_string(&path).expect("a file of events");
    assert!(!text.to_ascii_lowercase().contains("zzsecretzz"), "{text}");
    // Neither the token nor any part of it.
    assert!(token.split('.').all(|part| part.len() > 20 && !text.contains(part)), "{text}");
}

#[tokio::test]
async fn related_rows_are_an_access_of_their_own_dataset() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let server = Server::start(into_file(config(Backend::Sqlite), &path)).await;
    let target = "/v1/datasets/company_profile/rows?select=company_name\
                  &expand=prices(close,limit=2,expand=profile(symbol,expand=signals(signal,limit=2))),signals(signal,limit=3)";
    let first = server.get("client_pro", target).await;
    let again = server.get("client_pro", target).await;
    assert_eq!(again.header("cache-status"), Some("martello-l1; hit"));
    // Nobody has related rows where there are none to come with.
    let none = server.get("client_pro", &format!("{target}&symbol=NONE")).await;
    assert_eq!(none.rows().len(), 0);
    server.stop().await;

    let lists = |rows: &[Value], name: &str| -> Vec<Value> {
        rows.iter().flat_map(|row| row[name].as_array().expect("rows").clone()).collect()
    };
    let companies = first.rows();
    let prices = lists(&companies, "prices");
    let profiles: Vec<Value> = prices.iter().map(|price| price["profile"].clone()).filter(Value::is_object).collect();
    let (inner, outer) = (lists(&profiles, "signals"), lists(&companies, "signals"));
    assert!([&prices, &profiles, &inner, &outer].iter().all(|rows| rows.len() > 1), "{}", first.text());
    let mut expected = Vec::new();
    for (answer, rows) in [
        (&first, [companies.len(), prices.len(), profiles.len(), inner.len(), outer.len()]),
        (&again, [companies.len(), prices.len(), profiles.len(), inner.len(), outer.len()]),
        (&none, [0; 5]),
    ] {
        expected.extend([
            json!([id(answer), "company_profile", ["company_name"], rows[0], answer.body.len()]),
            json!([id(answer), "price_daily", ["close"], rows[1], null]),
            json!([id(answer), "company_profile", ["symbol"], rows[2], null]),
            json!([id(answer), "signal", ["signal"], rows[3], null]),
            json!([id(answer), "signal", ["signal"], rows[4], null]),
        ]);
    }
    let events = read(&path);
    let members = ["request_id", "dataset", "columns", "rows", "bytes"];
    let told: Vec<Value> =
        events.iter().map(|event| Value::from(members.map(|member| event[member].clone()).to_vec())).collect();
    assert_eq!(told, expected);
    let decisions: std::collections::BTreeSet<&str> =
        events.iter().filter_map(|event| event["decision"].as_str()).collect();
    assert_eq!(decisions.len(), 3);
}

/// Where events go to a table, commands and the admin listener read them back.
#[tokio::test]
async fn a_table_in_either_store_is_written_read_and_forgotten() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let trial = Trial::new(backend, "tabled");
        trial.configure("audit: {to: table}\n");
        let mut config = trial.config();
        config.audit.to = AuditTo::Table;
        let server = Server::start(config.clone()).await;
        let mut ids = Vec::new();
        for target in ["?limit=1", "?limit=2", "?limit=3"] {
            ids.push(id(&server.get("reader", &format!("{ROWS}{target}")).await).to_owned());
        }
        assert_eq!(server.get("reader", "/v1/datasets/nothing/rows").await.status, 404);
        // What is in the queue is written before the end.
        server.stop().await;

        let tail = trial.martello(&["audit", "tail", "--json", "--dataset", "trial"]);
        let events: Vec<Value> =
            tail.well().lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
        let told: Vec<(&str, &Value)> =
            events.iter().map(|event| (event["request_id"].as_str().expect("an id"), &event["rows"])).collect();
        let expected: Vec<(&str, Value)> =
            ids.iter().zip(1..).map(|(id, rows): (_, u64)| (id.as_str(), json!(rows))).collect();
        assert_eq!(told, expected.iter().map(|(id, rows)| (*id, rows)).collect::<Vec<_>>(), "{backend:?}");
        let newest = trial.martello(&["audit", "tail", "--lines", "1", "--role", "reader", "--since", "1h"]);
        assert!(newest.well().contains("404  reader") && newest.well().contains("not-found"), "{newest:?}");
        assert_eq!(trial.martello(&["audit", "tail", "--subject", "nobody"]).well(), "");
        let report = trial.martello(&["audit", "report", "--by", "dataset", "--format", "json"]);
        let report: Value = serde_json::from_str(report.well()).expect("a report");
        assert_eq!(
            (&report["data"][1]["name"], &report["data"][1]["events"], &report["data"][1]["rows"]),
            (&json!("trial"), &json!(3), &json!(6)),
            "{report}"
        );
        assert_eq!((&report["data"][0]["refused"], &report["lost"]), (&json!(1), &json!(0)), "{report}");

        // Events past their days go when a server starts, and then every hour.
        config.audit.keep = Duration::from_millis(1);
        let server = Server::start(config.clone()).await;
        let store = Store::open(config.control.as_ref().expect("a store").url.expose()).expect("a store");
        let sought = Sought { limit: 10, ..Sought::default() };
        for _ in 0..100 {
            if store.audited(&sought).await.expect("events").is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(store.audited(&sought).await.expect("events").is_empty(), "{backend:?}");
        server.stop().await;
    }
}

#[tokio::test]
async fn the_security_officer_reads_the_newest_events_and_nobody_else_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = config(Backend::Sqlite);
    config.control = Some(config::Control::at(format!("sqlite:{}", folder.path().join("control.sqlite").display())));
    let ask = async |server: &Server, role: &str, target: &str| {
        let url = format!("{}/v1/audit{target}", server.admin);
        let answer = reqwest::Client::new().get(url).bearer_auth(server.token(role)).send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.expect("JSON"))
    };
    let server = Server::start(config.clone()).await;
    let (status, problem) = ask(&server, "security_officer", "").await;
    assert_eq!(status, 404);
    assert!(problem["detail"].as_str().expect("a detail").contains("audit.to: table"), "{problem}");
    server.stop().await;

    config.audit.to = AuditTo::Table;
    let server = Server::start(config).await;
    for dataset in ["news", "signal", "news"] {
        assert_eq!(server.get("client_pro", &format!("/v1/datasets/{dataset}/rows?limit=1")).await.status, 200);
    }
    let mut events = Value::Null;
    for _ in 0..100 {
        events = ask(&server, "security_officer", "?since=1h").await.1["data"].take();
        if events.as_array().is_some_and(|events| events.len() == 3) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let datasets = |events: &Value| {
        let events = events.as_array().expect("events").iter();
        events.map(|event| event["dataset"].as_str().expect("a dataset").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(datasets(&events), ["news", "signal", "news"]);
    assert!(events[0]["time"].as_str() > events[2]["time"].as_str(), "{events}");
    for (target, expected) in [
        ("?limit=1", &["news"][..]),
        ("?dataset=signal", &["signal"]),
        ("?role=client_basic", &[]),
        ("?subject=tester&limit=2", &["news", "signal"]),
        ("?since=2100-01-01T00:00:00Z", &[]),
    ] {
        let (status, answer) = ask(&server, "security_officer", target).await;
        assert_eq!(
            (status, datasets(&answer["data"])),
            (200, expected.iter().map(ToString::to_string).collect()),
            "{target}"
        );
    }
    for (target, status) in [("?limit=0", 400), ("?since=soon", 400), ("?value=1", 400)] {
        assert_eq!(ask(&server, "security_officer", target).await.0, status, "{target}");
    }
    assert_eq!(ask(&server, "internal_publisher", "").await.0, 403);
    assert_eq!(server.admin("/v1/audit").await.status, 401);
    server.stop().await;
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_told_once_there_is_some() {
    const REQUESTS: u64 = 40;
    let trial = Trial::new(Backend::Postgres, "lossy");
    let mut config = trial.config();
    let control = config.control.take().expect("a store");
    let proxy = Proxy::before(control.url.expose()).await;
    config.control = Some(config::Control::at(proxy.url()));
    config.audit.to = AuditTo::Table;
    config.audit.queue = 4;
    let server = Server::start(config).await;
    proxy.cut();
    for _ in 0..REQUESTS {
        assert_eq!(server.get("reader", ROWS).await.status, 200);
    }
    let lost = metric(&server, "martello_audit_lost_total").await;
    // All but those in the queue and those that are just being written.
    assert!((1..REQUESTS).contains(&lost), "{lost}");
    proxy.mend();
    let store = Store::open(control.url.expose()).expect("a store");
    let (mut accesses, mut told) = (0, 0);
    for _ in 0..300 {
        let sought = Sought { limit: 100, ..Sought::default() };
        let events = store.audited(&sought).await.expect("events");
        let events: Vec<Value> =
            events.iter().map(|found| serde_json::from_str(&found.event).expect("an event")).collect();
        accesses = events.iter().filter(|event| event["kind"] == "data_access").count() as u64;
        told = events.iter().filter_map(|event| event["lost"].as_u64()).sum();
        if told == lost {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((told, accesses), (lost, REQUESTS - lost));
    assert!(metric(&server, "martello_audit_errors_total").await > 0);
    server.stop().await;
}

/// The address in the log's line that says where the server is.
fn served_at(log: impl std::io::BufRead) -> (String, impl Iterator<Item = std::io::Result<String>>) {
    let mut lines = log.lines();
    let address = lines.by_ref().find_map(|line| {
        let line: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        line["public"].as_str().map(str::to_owned)
    });
    (address.expect("an address"), lines)
}

#[tokio::test]
async fn without_a_setting_events_are_lines_on_standard_output_to_the_last() {
    let trial = Trial::new(Backend::Sqlite, "plain");
    trial.configure("http: {listen: '127.0.0.1:0'}\nadmin: {listen: '127.0.0.1:0'}\n");
    let token = trial.martello(&["token", "mint", "--role", "reader"]).well().trim().to_owned();
    let mut command = trial.command(&["serve"]);
    let mut server = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a server");
    let (address, log) = served_at(BufReader::new(server.stderr.take().expect("a log")));
    let client = reqwest::Client::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        let answer = client.get(format!("http://{address}{ROWS}")).bearer_auth(&token).send().await.expect("an answer");
        ids.push(answer.headers()["x-request-id"].to_str().expect("a text").to_owned());
    }
    let pid = server.id().to_string();
    assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let told = std::io::read_to_string(server.stdout.take().expect("an output")).expect("lines");
    assert!(server.wait().expect("an end").success());
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("an event")).collect();
    assert_eq!(told.iter().map(|event| event["request_id"].as_str().expect("an id")).collect::<Vec<_>>(), ids);
    // The log is another stream.
    assert!(log.map(|line| line.expect("a line")).all(|line| !line.contains("data_access")));
}

const EVENTS: &str = r#"{"time":"2026-01-05T09:00:00.000Z","request_id":"r1","kind":"data_access","subject":"app-1","role":"client_pro","decision":"00112233aabbccdd","dataset":"price_daily","version":7,"columns":["symbol","close"],"rows":100,"bytes":5120,"format":"json","door":"rest","cache":"source","cost":null,"status":200}
{"time":"2026-01-05T09:00:01.250Z","request_id":"r2","kind":"data_access","subject":"app-2","role":"client_pro","decision":"00112233aabbccdd","dataset":"price_daily","version":7,"columns":["symbol"],"rows":100,"bytes":2048,"format":"csv","door":"rest","cache":"l1","cost":0,"status":200}
{"time":"2026-01-06T00:00:00.000Z","request_id":"r3","kind":"data_access","subject":"app-2","role":"client_basic","decision":null,"dataset":null,"version":null,"columns":[],"rows":null,"bytes":null,"format":null,"door":"rest","cache":null,"cost":null,"status":404,"problem":"not-found"}
{"time":"2026-01-06T00:00:02.000Z","kind":"policy_change","what":"matrix","before":"0a0b","now":"0c0d"}
{"time":"2026-01-06T00:00:03.000Z","kind":"lost","lost":12}
"#;

#[test]
fn a_file_is_shown_and_summed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl").display().to_string();
    std::fs::write(&path, EVENTS).expect("written");
    let audit = |arguments: &[&str]| {
        let ran = run(martello(&[&["audit", arguments[0], "--file", &path], &arguments[1..]].concat()));
        ran.well().to_owned()
    };
    assert_eq!(audit(&["tail", "--json"]), EVENTS);
    assert_eq!(
        audit(&["tail", "--json", "--lines", "1", "--since", "2026-01-06T00:00:02Z"]),
        EVENTS.lines().last().map(|line| format!("{line}\n")).expect("a line")
    );
    let since = |by| ["report", "--since", "2026-01-01T00:00:00Z", "--by", by];
    let sums = ["dataset", "role", "subject", "column", "day"].map(|by| audit(&since(by))).join("\n");
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.set_snapshot_path(repository().join("tests/audit"));
    settings.bind(|| insta::assert_snapshot!("commands", audit(&["tail"]) + "\n" + &sums));
    let csv = audit(&[&since("subject")[..], &["--format", "csv"]].concat());
    assert_eq!(
        csv,
        "name,events,rows,bytes,subjects,refused\r\n\"app-1\",1,100,5120,1,0\r\n\"app-2\",2,100,2048,1,1\r\n"
    );
    // Nothing is read back from where nothing is kept.
    let nowhere = run(martello(&["audit", "tail"]));
    assert!(nowhere.complaint().contains("audit.to"), "{nowhere:?}");
}

/// Keys are made and revoked by commands: what becomes of them is an event where servers record theirs.
#[test]
fn a_key_that_is_made_or_revoked_is_an_event() {
    let trial = Trial::new(Backend::Sqlite, "keyed");
    let folder = trial.config().catalog.parent().expect("a folder").to_owned();
    let (path, file) = (folder.join("audit.jsonl"), folder.join("martello.yaml"));
    let config = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, format!("{config}audit: {{to: file, path: '{}'}}\n", path.display())).expect("written");
    let key = trial.martello(&["key", "create", "--role", "reader", "--name", "app", "--subject", "app-7"]);
    let key = key.well().trim().to_owned();
    let id = key.split('_').nth(1).expect("an id").to_owned();
    trial.martello(&["key", "revoke", &id]).well();
    let told: Vec<Value> =
        read(&path).iter().map(|event| json!([event["kind"], event["what"], event["id"], event["subject"]])).collect();
    let expected = [json!(["credential", "key created", id, "app-7"]), json!(["credential", "key revoked", id, ""])];
    assert_eq!(told, expected);
    let secret = key.rsplit('_').next().expect("a secret");
    assert!(!std::fs::read_to_string(&path).expect("events").contains(secret));
}

/// So are files beside a dataset: who has put one there, and who has removed it.
#[test]
fn a_file_that_is_put_or_removed_is_an_event() {
    let trial = Trial::new(Backend::Sqlite, "filed");
    let folder = trial.config().catalog.parent().expect("a folder").to_owned();
    let (path, paper) = (folder.join("audit.jsonl"), folder.join("paper.pdf"));
    trial.configure(&format!("audit: {{to: file, path: '{}'}}\n", path.display()));
    std::fs::write(&paper, "no paper at all").expect("written");
    let paper = paper.display().to_string();
    let put = |operator: &str| {
        let arguments = ["asset", "put", &paper, "--dataset", "trial", "--media-type", "application/pdf", "--operator"];
        trial.martello(&[&arguments[..], &[operator]].concat())
    };
    let id = put("one").well().split(' ').next().expect("an id").to_owned();
    // It is there already, so nothing has come of it.
    put("another").well();
    trial.martello(&["asset", "remove", &id, "--operator", "another"]).well();
    trial.martello(&["asset", "remove", &id, "--operator", "another"]).complaint();
    let told: Vec<Value> = read(&path)
        .iter()
        .map(|event| json!([event["kind"], event["what"], event["id"], event["dataset"], event["subject"]]))
        .collect();
    let expected =
        [json!(["asset", "asset put", id, "trial", "one"]), json!(["asset", "asset removed", id, "trial", "another"])];
    assert_eq!(told, expected);
    let lines = |filter: [&str; 2]| {
        let tail = trial.martello(&[&["audit", "tail"][..], &filter].concat());
        tail.well().lines().map(|line| line.split("  ").skip(1).collect()).collect::<Vec<String>>()
    };
    assert_eq!(lines(["--dataset", "trial"]).len(), 2);
    assert_eq!(lines(["--dataset", "none"]), Vec::<String>::new());
    assert_eq!(lines(["--subject", "another"]), [format!("asset removed {id} by another")]);
}
