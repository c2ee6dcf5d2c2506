//! Files: what a role may have of a version, whole or not at all, made ahead or asked for.

use std::path::{Path, PathBuf};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use martello::auth::Claims;
use martello::config::Config;
use martello::publish::files::Manifest;
use martello::store::{Reach, Store};
use reqwest::Method;
use serde_json::{Value, json};

use crate::openapi;
use crate::programs::{Ran, ran, run};
use crate::publish::{Trial, serves};
use crate::support::{Answer, Backend, Server};

const ACCESS: &str = "
roles:
  - {name: internal_publisher, tier: internal, claims: {a: publisher}, datasets: {trial: {columns: all}}}
  - {name: reader, tier: client, claims: {a: reader}, formats: all, export: true, aggregate: true, datasets: {trial: {columns: all}}}
  - {name: twin, tier: client, claims: {a: twin}, formats: all, export: true, rows_per_request: 7, datasets: {trial: {columns: [day, id, price, origin]}}}
  - {name: narrow, tier: client, claims: {a: narrow}, formats: all, export: true, datasets: {trial: {columns: {all_but: [origin]}, mask: {price: {round: -2}}, rows: {id: {gte: 2}}}}}
  - {name: recent, tier: client, claims: {a: recent}, formats: all, export: true, datasets: {trial: {columns: all, history: 30d}}}
  - {name: bound, tier: client, claims: {a: bound}, formats: all, export: true, datasets: {trial: {columns: all, rows: {origin: $claims.origin}}}}
  - {name: pages, tier: client, claims: {a: pages}, formats: all, datasets: {trial: {columns: all}}}
  - {name: small, tier: client, claims: {a: small}, formats: all, export: true, export_bytes_per_day: 10, datasets: {trial: {columns: all}}}
  - {name: nobody, tier: client, claims: {a: nobody}, datasets: {}}
";

const FORMATS: [&str; 4] = ["ndjson", "csv", "arrow", "parquet"];

/// A trial of which a version of five rows is published, one of them of a day that is always recent.
fn published(backend: Backend, name: &str) -> Trial {
    let trial = Trial::new(backend, name);
    trial.amend("description: A day.}", "description: A day., filter: [gte], sort: true}");
    std::fs::write(trial.config().catalog.join("access.yaml"), ACCESS).expect("written");
    trial.make("trial_1", "v1");
    trial.insert("trial_1", &[(4, "'2023-12-31'", "7", "v1"), (5, "'2099-01-01'", "123.45", "other")]);
    trial.publish("trial_1").well();
    trial
}

/// The folder of files that commands and servers of the trial share.
fn folder(trial: &Trial) -> PathBuf {
    trial.config().catalog.parent().expect("a folder").join("assets")
}

fn config(trial: &Trial) -> Config {
    let mut config = trial.config();
    config.assets.store.url = Some(folder(trial).display().to_string());
    config.assets.exports.poll = Duration::from_millis(50);
    config
}

fn export(trial: &Trial, more: &[&str]) -> Ran {
    trial.martello(&[&["export", "trial", "--operator", "tester"], more].concat())
}

/// Every file below a folder.
fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

/// Every manifest in a store, after each file that it lists was found as it says.
#[track_caller]
fn listed(store: &Path) -> Vec<Manifest> {
    let manifests = below(store).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "json"));
    let read = manifests.map(|path| {
        let manifest: Manifest =
            serde_json::from_slice(&std::fs::read(&path).expect("a text")).expect("a whole manifest");
        for file in &manifest.files {
            let bytes = std::fs::read(store.join(&file.path)).expect("a file that is listed");
            assert_eq!((bytes.len() as u64, hash(&bytes)), (file.bytes, file.sha256.clone()), "{}", file.path);
        }
        assert_eq!(manifest.rows, manifest.files.iter().map(|file| file.rows).sum::<u64>());
        manifest
    });
    read.collect()
}

fn hash(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of the one file of a set.
#[track_caller]
fn content(store: &Path, manifest: &Manifest) -> Vec<u8> {
    let [file] = &manifest.files[..] else { panic!("{manifest:?}") };
    std::fs::read(store.join(&file.path)).expect("a file")
}

async fn snapshots(server: &Server, role: &str) -> Vec<Value> {
    server.get(role, "/v1/datasets/trial/snapshots").await.rows()
}

async fn ask(server: &Server, role: &str, body: &Value) -> Answer {
    let request = server.request(Method::POST, "/v1/exports").bearer_auth(server.token(role));
    server.send(request.json(body)).await
}

/// Asks for an export that nobody has asked for yet; returns its id.
#[track_caller]
fn taken(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["data"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), Some(format!("/v1/exports/{id}").as_str()));
    id
}

async fn told(server: &Server, role: &str, id: &str) -> Value {
    let answer = server.get(role, &format!("/v1/exports/{id}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["data"].clone()
}

/// Waits until an export is in that state.
async fn reaches(server: &Server, role: &str, id: &str, state: &str) -> Value {
    for _ in 0..400 {
        let export = told(server, role, id).await;
        if export["state"] == state {
            return export;
        }
        assert!(export["state"] != "failed", "{export}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{id} does not become {state}: {}", told(server, role, id).await);
}

/// The manifest that an export leads to.
#[track_caller]
fn manifest_of(store: &Path, export: &Value) -> Manifest {
    let href = export["manifest"].as_str().expect("a manifest");
    let name = href.rsplit('.').next().expect("a name").to_owned();
    listed(store).into_iter().find(|manifest| manifest.id == name).unwrap_or_else(|| panic!("{href}"))
}

#[tokio::test]
async fn a_snapshot_is_what_its_role_reads_in_every_format() {
    for backend in Backend::ALL {
        let trial = published(backend, "snapshots");
        let store = folder(&trial);
        let server = Server::start(config(&trial)).await;
        serves(&server, Some(1)).await;
        for format in FORMATS {
            let told = export(&trial, &["--format", format]);
            assert_eq!(told.well().matches("5 rows in 1 files").count(), 1, "{told:?}");
            assert!(
                told.out.contains("for reader, twin, small: ") || told.out.contains("for reader, small: "),
                "{told:?}"
            );
            assert!(told.out.contains("bound: its rows depend on the caller's origin"), "{told:?}");
            assert!(told.out.contains("pages: it may not have all rows at once"), "{told:?}");
            assert!(told.out.contains("nobody: it has nothing of the dataset"), "{told:?}");
        }
        let made = listed(&store);
        for format in FORMATS {
            for role in ["reader", "twin", "narrow", "recent"] {
                let target = format!("/v1/datasets/trial/rows?limit=all&sort=id&format={format}");
                let streamed = server.get(role, &target).await;
                assert_eq!(streamed.status, 200, "{}", streamed.text());
                let own = snapshots(&server, role).await;
                let own: Vec<&Value> = own.iter().filter(|snapshot| snapshot["format"] == format).collect();
                let [own] = own[..] else { panic!("{role} {format}: {own:?}") };
                let manifest = made.iter().find(|one| own["id"].as_str().is_some_and(|id| id.ends_with(&one.id)));
                let manifest = manifest.expect("a manifest");
                let bytes = content(&store, manifest);
                assert!(bytes == streamed.body, "{backend:?} {role} {format}");
                assert_eq!(own["files"][0]["sha256"], json!(hash(&streamed.body)));
                assert_eq!((&own["order"], &own["version"]), (&json!(["id"]), &json!(1)));
                let last = own["files"][0]["last_key"].clone();
                assert_eq!(last, json!(["5"]), "{own}");
                assert_eq!(own["expires_at"].is_null(), role != "recent", "{own}");
                assert_eq!(own["limited_by"].as_array().map(Vec::len), Some(usize::from(role == "recent")));
            }
        }
        // Columns, masks, rules and windows are those of the role.
        let columns = |role: &str, own: &[Value]| {
            own.iter()
                .find(|one| one["format"] == "csv")
                .map(|one| (role.to_owned(), one["columns"].as_array().map(Vec::len), one["rows"].as_u64()))
        };
        for (role, width, rows) in [("reader", 4, 5), ("narrow", 3, 4), ("recent", 4, 1)] {
            let own = snapshots(&server, role).await;
            assert_eq!(columns(role, &own), Some((role.to_owned(), Some(width), Some(rows))));
        }
        let ids = |own: Vec<Value>| own.into_iter().map(|one| one["id"].to_string()).collect::<Vec<_>>();
        let (reader, narrow) = (ids(snapshots(&server, "reader").await), ids(snapshots(&server, "narrow").await));
        assert!(reader.len() == 4 && narrow.len() == 4 && reader.iter().all(|id| !narrow.contains(id)));
        for role in ["bound", "pages"] {
            assert_eq!(snapshots(&server, role).await, Vec::<Value>::new(), "{role}");
        }
        assert_eq!(server.get("nobody", "/v1/datasets/trial/snapshots").await.problem(), "not-found");
        // Made once more, it is the one that there is. That of a window is good for longer, and another one.
        let before = below(&store).len();
        export(&trial, &["--format", "csv", "--role", "reader", "--role", "narrow"]).well();
        assert_eq!(below(&store).len(), before);
        server.stop().await;
    }
}

#[tokio::test]
async fn files_are_parted_by_time_and_by_size() {
    for backend in Backend::ALL {
        let trial = published(backend, "parted");
        let store = folder(&trial);
        let text = export(&trial, &["--format", "csv", "--partition-by", "month", "--role", "reader", "--json"]);
        let told: Value = serde_json::from_str(text.well()).expect("a report");
        let manifest = &told["written"][0]["manifest"];
        let parts: Vec<(String, u64)> = (manifest["files"].as_array().expect("files").iter())
            .map(|file| (file["partition"].as_str().expect("a month").to_owned(), file["rows"].as_u64().expect("rows")))
            .collect();
        let expected = [("2023-12", 1), ("2024-01", 2), ("2024-02", 1), ("2099-01", 1)];
        assert_eq!(parts, expected.map(|(month, rows)| (month.to_owned(), rows)), "{backend:?}");
        assert_eq!(manifest["order"], json!(["day", "id"]));
        export(&trial, &["--format", "csv", "--partition-by", "year", "--role", "reader"]).well();
        trial.configure("assets: {part_rows: 2}\n");
        export(&trial, &["--format", "parquet", "--role", "narrow"]).well();
        let parquet = listed(&store).into_iter().find(|manifest| manifest.format == "parquet").expect("a set");
        let keys: Vec<_> = parquet.files.iter().map(|file| (file.first_key.clone(), file.rows)).collect();
        assert_eq!(keys, [(Some(vec!["2".to_owned()]), 2), (Some(vec!["4".to_owned()]), 2)]);
        let server = Server::start(config(&trial)).await;
        serves(&server, Some(1)).await;
        let partitions: Vec<Value> =
            snapshots(&server, "reader").await.iter().map(|one| one["partition_by"].clone()).collect();
        assert_eq!(partitions, [json!("year"), json!("month")]);
        server.stop().await;
    }
}

#[tokio::test]
async fn a_snapshot_goes_with_its_version_and_is_not_taken_for_another() {
    let trial = published(Backend::Sqlite, "versioned");
    let refused = |more: &[&str]| export(&trial, more).complaint().to_owned();
    assert!(refused(&["--format", "csv", "--role", "pages"]).contains("no role may have all of it so"));
    assert!(refused(&["--format", "csv", "--role", "noone"]).contains("find role \"noone\""));
    let parted = ["--format", "csv", "--since-version", "1", "--partition-by", "year"];
    assert!(refused(&parted).contains("leave out --partition-by or --since-version"));
    assert!(refused(&["--format", "csv", "--since-version", "9"]).contains("plan the files of"));
    export(&trial, &["--format", "csv"]).well();
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(1)).await;
    assert_eq!(snapshots(&server, "reader").await.len(), 1);
    trial.make("trial_2", "v2");
    trial.publish("trial_2").well();
    serves(&server, Some(2)).await;
    // It is still that of version 1, and version 2 has none.
    let versions: Vec<Value> = snapshots(&server, "reader").await.iter().map(|one| one["version"].clone()).collect();
    assert_eq!(versions, [json!(1)]);
    export(&trial, &["--format", "csv"]).well();
    let versions: Vec<Value> = snapshots(&server, "reader").await.iter().map(|one| one["version"].clone()).collect();
    assert_eq!(versions, [json!(2), json!(1)]);
    // Past its time it is nobody's: it may show what has left the window.
    assert_eq!(snapshots(&server, "recent").await.len(), 2);
    server.stop().await;
    for path in below(&folder(&trial)).iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let mut manifest: Value = serde_json::from_slice(&std::fs::read(path).expect("a text")).expect("a manifest");
        if !manifest["valid_until"].is_null() {
            manifest["valid_until"] = json!("2026-01-01T00:00:00Z");
            std::fs::write(path, manifest.to_string()).expect("written");
        }
    }
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(2)).await;
    assert_eq!((snapshots(&server, "recent").await.len(), snapshots(&server, "reader").await.len()), (0, 2));
    server.stop().await;
    // Under another contract its columns may be others.
    trial.amend("description: Key.", "description: The key.");
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(2)).await;
    assert_eq!(snapshots(&server, "reader").await, Vec::<Value>::new());
    server.stop().await;
}

#[test]
fn a_live_dataset_is_exported_into_a_folder_alone() {
    let trial = Trial::new(Backend::Sqlite, "live");
    std::fs::write(trial.config().catalog.join("access.yaml"), ACCESS).expect("written");
    assert!(export(&trial, &["--format", "csv"]).complaint().contains("goes into a folder (--out)"));
    let out = tempfile::tempdir().expect("a folder");
    export(&trial, &["--format", "csv", "--role", "reader", "--out", &out.path().display().to_string()]).well();
    let [manifest] = &listed(out.path())[..] else { panic!("one set of files") };
    assert_eq!((manifest.version, manifest.rows), (None, 3));
    assert!(below(&folder(&trial)).is_empty());
}

/// Killed at whatever moment, an export has listed all of its files or none.
#[tokio::test]
async fn a_killed_export_leaves_no_set_of_files_that_is_not_whole() {
    const KILLS: u32 = 10;
    let trial = published(Backend::Sqlite, "killed");
    trial.make("trial_2", "v2");
    trial.sql(
        "INSERT INTO trial_2 WITH RECURSIVE n (i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM n WHERE i < 30000) \
         SELECT i, '2024-01-01', i % 1000 * 100, 'a text that takes some room, so that files are of a size ' || i FROM n",
    );
    trial.publish("trial_2").well();
    trial.configure("assets: {part_rows: 1000}\n");
    let whole = tempfile::tempdir().expect("a folder");
    let command = |out: &Path| {
        let out = out.display().to_string();
        trial.command(&["export", "trial", "--format", "parquet", "--role", "reader", "--out", &out])
    };
    let begun = martello::clock::instant();
    run(command(whole.path())).well();
    let takes = begun.elapsed();
    let [expected] = &listed(whole.path())[..] else { panic!("one set of files") };
    assert_eq!((expected.rows, expected.files.len()), (30_000, 30));
    let mut unlisted = 0;
    for kill in 0..KILLS {
        let out = tempfile::tempdir().expect("a folder");
        let mut program = command(out.path()).stdout(std::process::Stdio::null()).spawn().expect("a program");
        tokio::time::sleep(takes * (kill + 1) / (KILLS + 1)).await;
        program.kill().expect("killed, or ended");
        let ended = program.wait().expect("an end");
        let found = listed(out.path());
        assert!(found.len() <= 1 && found.iter().all(|manifest| manifest.files.len() == 30), "{ended}: {found:?}");
        assert!(!ended.success() || found.len() == 1, "{ended}");
        unlisted += usize::from(found.is_empty());
        // Whatever is left there, the next one goes on to the very same end.
        run(command(out.path())).well();
        let [again] = &listed(out.path())[..] else { panic!("one set of files") };
        assert_eq!((&again.id, &again.files), (&expected.id, &expected.files));
    }
    assert!(unlisted > 0, "none was killed before its end");
}

#[tokio::test]
async fn an_export_is_what_its_question_streams() {
    for backend in [Backend::Sqlite, Backend::Postgres, Backend::ClickHouse] {
        let trial = published(backend, "jobs");
        let store = folder(&trial);
        let server = Server::start(config(&trial)).await;
        serves(&server, Some(1)).await;
        for format in FORMATS {
            for role in ["reader", "narrow", "recent"] {
                let body = json!({
                    "dataset": "trial", "format": format, "select": ["price", "id"], "filter": {"id": {"gte": 1}}, "sort": ["-id"],
                });
                let id = taken(&ask(&server, role, &body).await);
                let done = reaches(&server, role, &id, "done").await;
                let target =
                    format!("/v1/datasets/trial/rows?limit=all&select=price,id&id.gte=1&sort=-id&format={format}");
                let streamed = server.get(role, &target).await;
                let manifest = manifest_of(&store, &done);
                assert!(content(&store, &manifest) == streamed.body, "{backend:?} {role} {format}");
                assert_eq!(done["files"][0]["sha256"], json!(hash(&streamed.body)));
                assert_eq!((&done["rows"], &done["parts"]), (&json!(manifest.rows), &json!(1)), "{done}");
                // The same question, said another way, is the same export.
                let again = ask(
                    &server,
                    role,
                    &json!({
                        "format": format, "dataset": "trial", "limit": "all", "sort": ["-id"], "select": ["price", "id"],
                        "filter": {"and": [{"id": {"gte": 1}}]},
                    }),
                )
                .await;
                assert_eq!((again.status, again.json()["data"]["id"].as_str()), (200, Some(id.as_str())));
            }
        }
        // Groups are rows of another kind.
        let body = json!({
            "dataset": "trial", "format": "ndjson", "measures": ["sum(price)"], "group_by": ["day:year"], "sort": ["day:year"], "partition_by": "year",
        });
        let id = taken(&ask(&server, "reader", &body).await);
        let done = reaches(&server, "reader", &id, "done").await;
        let years: Vec<&str> =
            done["files"].as_array().expect("files").iter().filter_map(|file| file["partition"].as_str()).collect();
        assert_eq!(years, ["2023", "2024", "2099"]);
        // No file of an export is a snapshot.
        assert!(snapshots(&server, "reader").await.is_empty());
        server.stop().await;
    }
}

#[tokio::test]
async fn an_export_is_its_callers_alone() {
    let trial = published(Backend::Sqlite, "own");
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(1)).await;
    let body = json!({"dataset": "trial", "format": "csv"});
    let id = taken(&ask(&server, "reader", &body).await);
    reaches(&server, "reader", &id, "done").await;
    let target = format!("/v1/exports/{id}");
    let other = Claims::from_iter([("sub".to_owned(), json!("somebody else"))]);
    for token in [server.token("twin"), server.token("narrow"), server.token_with("reader", &other)] {
        for method in [Method::GET, Method::DELETE] {
            let answer = server.send(server.request(method, &target).bearer_auth(&token)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (404, "not-found"));
        }
        let list = server.send(server.request(Method::GET, "/v1/exports").bearer_auth(&token)).await;
        assert_eq!(list.rows(), Vec::<Value>::new());
    }
    let own = server.get("reader", "/v1/exports").await.rows();
    assert_eq!((own.len(), own[0]["id"].as_str()), (1, Some(id.as_str())));
    // Two callers with one role and other claims have two exports, each of their own rows.
    let mut rows = Vec::new();
    for origin in ["v1", "other"] {
        let claims = Claims::from_iter([("origin".to_owned(), json!(origin))]);
        let token = server.token_with("bound", &claims);
        let answer = server.send(server.request(Method::POST, "/v1/exports").bearer_auth(&token).json(&body)).await;
        let id = taken(&answer);
        for turn in 0.. {
            let answer =
                server.send(server.request(Method::GET, &format!("/v1/exports/{id}")).bearer_auth(&token)).await;
            if answer.json()["data"]["state"] == "done" {
                rows.push(answer.json()["data"]["rows"].clone());
                break;
            }
            assert!(turn < 400, "{}", answer.text());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    assert_eq!(rows, [json!(4), json!(1)]);
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_exported_says_why() {
    let trial = published(Backend::Sqlite, "refused");
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(1)).await;
    for (role, body, problem, parameter) in [
        ("pages", json!({"dataset": "trial", "format": "csv"}), "export-not-granted", Some("limit")),
        ("nobody", json!({"dataset": "trial", "format": "csv"}), "not-found", None),
        ("reader", json!({"dataset": "none", "format": "csv"}), "not-found", None),
        ("reader", json!({"format": "csv"}), "malformed-request", Some("dataset")),
        ("reader", json!({"dataset": "trial"}), "malformed-request", Some("format")),
        ("reader", json!({"dataset": "trial", "format": "json"}), "not-in-format", Some("limit")),
        ("reader", json!({"dataset": "trial", "format": "csv", "limit": 5}), "malformed-request", Some("limit")),
        ("reader", json!({"dataset": "trial", "format": "csv", "dry_run": true}), "malformed-request", Some("dry_run")),
        ("reader", json!({"dataset": "trial", "format": "csv", "colour": 1}), "unknown-parameter", Some("colour")),
        (
            "reader",
            json!({"dataset": "trial", "format": "csv", "partition_by": "week"}),
            "invalid-literal",
            Some("partition_by"),
        ),
        (
            "reader",
            json!({"dataset": "trial", "format": "csv", "partition_by": "year"}),
            "not-parted",
            Some("partition_by"),
        ),
        ("narrow", json!({"dataset": "trial", "format": "csv", "filter": {"price": 1}}), "column-masked", None),
        (
            "narrow",
            json!({"dataset": "trial", "format": "csv", "select": ["origin"]}),
            "unknown-column",
            Some("select"),
        ),
    ] {
        let answer = ask(&server, role, &body).await;
        assert_eq!(answer.problem(), problem, "{body}: {}", answer.text());
        if let Some(parameter) = parameter {
            assert_eq!(answer.json()["parameter"], parameter, "{body}");
        }
    }
    server.stop().await;
    // Without a control store there is nowhere to keep them.
    let mut alone = config(&trial);
    alone.control = None;
    let server = Server::start(alone).await;
    for (method, target) in
        [(Method::GET, "/v1/exports"), (Method::GET, "/v1/exports/x"), (Method::DELETE, "/v1/exports/x")]
    {
        let answer = server.send(server.request(method, target).bearer_auth(server.token("reader"))).await;
        assert_eq!((answer.status, answer.problem().as_str()), (501, "not-served"));
    }
    assert_eq!(ask(&server, "reader", &json!({"dataset": "trial", "format": "csv"})).await.status, 501);
    // A preference that cannot be met is none.
    let answer =
        server.get_with("reader", "/v1/datasets/trial/rows?limit=all&format=csv", &[("prefer", "respond-async")]).await;
    assert_eq!((answer.status, answer.header("preference-applied")), (200, None));
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_would_rather_not_wait_becomes_an_export() {
    let trial = published(Backend::Sqlite, "preferred");
    let store = folder(&trial);
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(1)).await;
    let prefer = [("prefer", "wait=5, respond-async; x=1")];
    let target = "/v1/datasets/trial/rows?limit=all&format=csv&id.gte=2&guard=formulas";
    let answer = server.get_with("reader", target, &prefer).await;
    assert_eq!(answer.header("preference-applied"), Some("respond-async"));
    let done = reaches(&server, "reader", &taken(&answer), "done").await;
    let streamed = server.get("reader", target).await;
    assert!(content(&store, &manifest_of(&store, &done)) == streamed.body);
    // So does a page that is longer than an answer may be, in the order of pages and up to that row.
    let target = "/v1/datasets/trial/rows?format=csv&limit=";
    let long = server.get_with("reader", &format!("{target}2000000"), &[]).await;
    assert_eq!((long.status, long.problem().as_str()), (400, "limit-out-of-range"));
    let done = reaches(
        &server,
        "reader",
        &taken(&server.get_with("reader", &format!("{target}2000000"), &prefer).await),
        "done",
    )
    .await;
    let page = server.get("reader", &format!("{target}100")).await;
    assert!(content(&store, &manifest_of(&store, &done)) == page.body);
    let pages = server.get_with("pages", &format!("{target}2000000"), &prefer).await;
    assert_eq!((pages.status, pages.problem().as_str()), (403, "export-not-granted"));
    // The question of a body is read again from its body.
    let question = json!({"limit": "all", "format": "ndjson", "numbers": "string", "filter": {"id": 5}});
    let post = |prefer: Option<&str>| {
        let request = server.request(Method::POST, "/v1/datasets/trial/query").bearer_auth(server.token("reader"));
        let request = request.json(&question);
        prefer.iter().fold(request, |request, prefer| request.header("prefer", *prefer))
    };
    let done = reaches(&server, "reader", &taken(&server.send(post(Some("respond-async"))).await), "done").await;
    let streamed = server.send(post(None)).await;
    assert!(streamed.text().contains("\"5\"") && content(&store, &manifest_of(&store, &done)) == streamed.body);
    // A page is answered at once, whatever is preferred.
    let page = server.get_with("reader", "/v1/datasets/trial/rows", &prefer).await;
    assert_eq!((page.status, page.rows().len()), (200, 5));
    server.stop().await;
}

/// An instance that is gone has its export taken by another, which begins it anew; one that comes back changes nothing.
#[tokio::test]
async fn a_lost_export_is_made_by_another_instance() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let trial = published(backend, "lost");
        let mut idle = config(&trial);
        idle.assets.exports.workers = 0;
        let door = Server::start(idle).await;
        serves(&door, Some(1)).await;
        let id = taken(&ask(&door, "reader", &json!({"dataset": "trial", "format": "csv"})).await);
        let control = trial.config().control.expect("a store");
        let store = Store::open(control.url.expose()).expect("a store");
        // Whoever has leased it says nothing more.
        let now = martello::clock::now();
        let gone = store.lease_job(now, now).await.expect("leased").expect("an export");
        assert_eq!((gone.id.to_string(), gone.attempt), (id.clone(), 1));
        assert_eq!(told(&door, "reader", &id).await["state"], "running");
        let other = Server::start(config(&trial)).await;
        let done = reaches(&door, "reader", &id, "done").await;
        let manifest = manifest_of(&folder(&trial), &done);
        assert!(manifest.id.ends_with("-2") && manifest.rows == 5, "{}", manifest.id);
        let until = now.checked_add(Duration::from_secs(60)).expect("an instant");
        assert!(!store.hold_job(&gone, Reach::default(), until).await.expect("an answer"));
        assert!(!store.finish_job(&gone, Ok("e-0-1"), Reach::default(), now, now).await.expect("an answer"));
        store.return_job(&gone).await.expect("an answer");
        assert_eq!(told(&door, "reader", &id).await["manifest"], done["manifest"]);
        assert!(store.lease_job(until, until).await.expect("an answer").is_none());
        other.stop().await;
        door.stop().await;
    }
}

/// Each of many exports is leased once, however many instances look for some.
#[tokio::test]
async fn an_export_is_leased_by_one_instance() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let trial = published(backend, "leased");
        let mut idle = config(&trial);
        idle.assets.exports.workers = 0;
        idle.assets.exports.pending_max = 8;
        let door = Server::start(idle).await;
        serves(&door, Some(1)).await;
        for least in 1..=8 {
            taken(
                &ask(&door, "reader", &json!({"dataset": "trial", "format": "csv", "filter": {"id": {"gte": least}}}))
                    .await,
            );
        }
        let more = ask(&door, "reader", &json!({"dataset": "trial", "format": "parquet"})).await;
        assert_eq!((more.status, more.problem().as_str()), (429, "quota-exceeded"));
        assert_eq!(more.json()["violated-policies"], json!(["pending-exports"]));
        let control = trial.config().control.expect("a store");
        let now = martello::clock::now();
        let until = now.checked_add(Duration::from_secs(600)).expect("an instant");
        let leases = (0..4).map(|_| {
            let store = Store::open(control.url.expose()).expect("a store");
            async move {
                let mut leased = Vec::new();
                while let Some(job) = store.lease_job(now, until).await.expect("an answer") {
                    leased.push(job.id);
                }
                leased
            }
        });
        let mut leased: Vec<_> = futures_util::future::join_all(leases).await.concat();
        leased.sort();
        let count = leased.len();
        leased.dedup();
        assert_eq!((count, leased.len()), (8, 8), "{backend:?}");
        door.stop().await;
    }
}

#[tokio::test]
async fn an_export_is_cancelled_and_its_files_go() {
    let trial = published(Backend::Sqlite, "cancelled");
    let mut idle = config(&trial);
    idle.assets.exports.workers = 0;
    let door = Server::start(idle).await;
    serves(&door, Some(1)).await;
    let body = json!({"dataset": "trial", "format": "csv"});
    let cancel = async |server: &Server, id: &str| {
        let request = server.request(Method::DELETE, &format!("/v1/exports/{id}")).bearer_auth(server.token("reader"));
        assert_eq!(server.send(request).await.status, 204);
    };
    let id = taken(&ask(&door, "reader", &body).await);
    cancel(&door, &id).await;
    let export = told(&door, "reader", &id).await;
    assert_eq!((&export["state"], &export["failure"]), (&json!("failed"), &json!("cancelled")));
    // It stands in nobody's way.
    let next = taken(&ask(&door, "reader", &body).await);
    assert_ne!(next, id);
    let server = Server::start(config(&trial)).await;
    reaches(&server, "reader", &next, "done").await;
    let is_kept = || below(&folder(&trial)).len();
    assert_eq!(is_kept(), 2);
    cancel(&server, &next).await;
    let export = told(&server, "reader", &next).await;
    assert_eq!((&export["state"], &export["files"]), (&json!("expired"), &Value::Null));
    for turn in 0.. {
        if is_kept() == 0 {
            break;
        }
        assert!(turn < 400, "files are left: {:?}", below(&folder(&trial)));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    server.stop().await;
    door.stop().await;
}

#[tokio::test]
async fn files_of_an_export_go_when_their_time_is_over() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let trial = published(backend, "expired");
        let mut brief = config(&trial);
        brief.assets.exports.keep = Duration::from_millis(10);
        let server = Server::start(brief).await;
        serves(&server, Some(1)).await;
        let body = json!({"dataset": "trial", "format": "csv"});
        let id = taken(&ask(&server, "reader", &body).await);
        let export = reaches(&server, "reader", &id, "expired").await;
        assert_eq!((&export["files"], &export["manifest"], &export["rows"]), (&Value::Null, &Value::Null, &json!(5)));
        for turn in 0.. {
            if below(&folder(&trial)).is_empty() {
                break;
            }
            assert!(turn < 400, "files are left: {:?}", below(&folder(&trial)));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // The same may be asked for again.
        assert_ne!(taken(&ask(&server, "reader", &body).await), id);
        server.stop().await;
    }
}

#[tokio::test]
async fn the_bytes_of_a_day_have_an_end() {
    let trial = published(Backend::Sqlite, "bytes");
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(1)).await;
    let body = json!({"dataset": "trial", "format": "csv"});
    let id = taken(&ask(&server, "small", &body).await);
    for turn in 0.. {
        let export = told(&server, "small", &id).await;
        if export["state"] == "failed" {
            assert_eq!(export["failure"], "quota_exceeded");
            break;
        }
        assert!(turn < 400 && export["state"] != "done", "{export}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let more = ask(&server, "small", &json!({"dataset": "trial", "format": "ndjson"})).await;
    assert_eq!((more.status, more.problem().as_str()), (429, "quota-exceeded"));
    assert_eq!(more.json()["violated-policies"], json!(["export-bytes"]));
    assert!(
        more.header("retry-after").is_some_and(|seconds| seconds.parse::<u32>().is_ok_and(|seconds| seconds <= 86_400))
    );
    server.stop().await;
}

#[tokio::test]
async fn an_export_that_takes_too_long_fails_and_leaves_nothing() {
    let trial = published(Backend::Sqlite, "endless");
    trial.make("trial_2", "v2");
    trial.sql(
        "INSERT INTO trial_2 WITH RECURSIVE n (i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) \
         SELECT i, '2024-01-01', i % 1000 * 100, 'v2' FROM n",
    );
    trial.publish("trial_2").well();
    let mut hurried = config(&trial);
    hurried.assets.exports.time_max = Duration::from_millis(1);
    let server = Server::start(hurried).await;
    serves(&server, Some(2)).await;
    let body = json!({"dataset": "trial", "format": "csv"});
    let id = taken(&ask(&server, "reader", &body).await);
    for turn in 0.. {
        let export = told(&server, "reader", &id).await;
        if export["state"] == "failed" {
            assert_eq!((&export["failure"], &export["files"]), (&json!("time_exceeded"), &Value::Null));
            break;
        }
        assert!(turn < 400 && export["state"] != "done", "{export}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(listed(&folder(&trial)).is_empty());
    server.stop().await;
    // It stands in nobody's way: the same is made where there is time.
    let server = Server::start(config(&trial)).await;
    let again = taken(&ask(&server, "reader", &body).await);
    assert_eq!(reaches(&server, "reader", &again, "done").await["rows"], 200_000);
    server.stop().await;
}

/// What a grant has lost is lost to what was asked for before: when its turn comes, and when it is there already.
#[tokio::test]
async fn an_export_ends_with_the_grant_that_it_was_asked_under() {
    let trial = published(Backend::Sqlite, "narrowed");
    let mut idle = config(&trial);
    idle.assets.exports.workers = 0;
    let door = Server::start(idle).await;
    let wide = Server::start(config(&trial)).await;
    serves(&door, Some(1)).await;
    serves(&wide, Some(1)).await;
    let done = taken(&ask(&wide, "reader", &json!({"dataset": "trial", "format": "csv"})).await);
    reaches(&wide, "reader", &done, "done").await;
    wide.stop().await;
    let waiting = taken(&ask(&door, "reader", &json!({"dataset": "trial", "format": "ndjson"})).await);
    export(&trial, &["--format", "csv"]).well();
    assert_eq!(snapshots(&door, "reader").await.len(), 1);
    let matrix = trial.config().catalog.join("access.yaml");
    let narrowed = ACCESS.replacen("datasets: {trial: {columns: all}}}", "datasets: {}}", 1);
    let narrowed = narrowed.replacen(
        "datasets: {trial: {columns: all}}}",
        "datasets: {trial: {columns: all, mask: {price: redact}}}}",
        1,
    );
    std::fs::write(matrix, narrowed).expect("written");
    let narrow = Server::start(config(&trial)).await;
    assert!(snapshots(&narrow, "reader").await.is_empty());
    for id in [&done, &waiting] {
        assert_eq!(narrow.get("reader", &format!("/v1/exports/{id}")).await.problem(), "not-found");
    }
    let control = trial.config().control.expect("a store");
    let store = Store::open(control.url.expose()).expect("a store");
    let id = uuid::Uuid::parse_str(&waiting).expect("an id");
    for turn in 0.. {
        let job = store.job(id).await.expect("an answer").expect("an export");
        if job.outcome.is_some() {
            assert_eq!(job.outcome.as_deref(), Some("access_changed"));
            break;
        }
        assert!(turn < 400, "{job:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    narrow.stop().await;
    door.stop().await;
}

#[tokio::test]
async fn files_are_told_of_as_the_document_says() {
    let trial = published(Backend::Sqlite, "documented");
    export(&trial, &["--format", "csv"]).well();
    let server = Server::start(config(&trial)).await;
    serves(&server, Some(1)).await;
    let document = server.get("reader", "/openapi.json").await.json();
    let mut lines = Vec::new();
    let snapshots = server.get("recent", "/v1/datasets/trial/snapshots").await;
    assert_eq!(snapshots.rows().len(), 1);
    lines.push(openapi::line("listSnapshots", "/v1/datasets/trial/snapshots", &snapshots));
    let body = json!({"dataset": "trial", "format": "csv", "sort": ["day"], "partition_by": "year"});
    let new = ask(&server, "reader", &body).await;
    let id = taken(&new);
    lines.push(openapi::line("createExport", "/v1/exports", &new));
    reaches(&server, "reader", &id, "done").await;
    lines.push(openapi::line("createExport", "/v1/exports", &ask(&server, "reader", &body).await));
    lines.push(openapi::line("createExport", "/v1/exports", &ask(&server, "pages", &body).await));
    let target = format!("/v1/exports/{id}");
    lines.push(openapi::line("getExport", &target, &server.get("reader", &target).await));
    lines.push(openapi::line("listExports", "/v1/exports", &server.get("reader", "/v1/exports").await));
    let export = told(&server, "reader", &id).await;
    for href in [&export["manifest"], &export["files"][0]["href"]] {
        let href = href.as_str().expect("a path");
        let answer = server.get_with("reader", href, &[("accept", "application/json")]).await;
        lines.push(openapi::line("getAsset", href, &answer));
    }
    let gone = server.request(Method::DELETE, &target).bearer_auth(server.token("reader"));
    assert_eq!(server.send(gone).await.status, 204);
    lines.push(openapi::line("getExport", &target, &server.get("reader", &target).await));
    openapi::judged(&document, &lines).await;
    server.stop().await;
}

#[tokio::test]
async fn the_audit_tells_who_files_were_made_for() {
    let trial = published(Backend::Sqlite, "told");
    trial.configure("audit: {to: table}\n");
    export(&trial, &["--format", "csv", "--role", "narrow"]).well();
    let events = ran(trial.command(&["audit", "tail", "--json"])).await;
    let line = events.well().lines().find(|line| line.contains("\"door\":\"assets\"")).expect("an event").to_owned();
    let event: Value = serde_json::from_str(&line).expect("an event");
    assert_eq!(
        (&event["role"], &event["subject"], &event["rows"], &event["columns"]),
        (&json!("narrow"), &json!("tester"), &json!(4), &json!(["id", "day", "price"]))
    );
}
