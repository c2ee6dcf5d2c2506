//! Files in an S3: written in pieces, listed when they are whole, fetched from the bucket itself, and deleted.

use std::process::Stdio;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use martello::config::{Config, FileStore, Secret, SignerKind};
use martello::publish::files::{Files, Manifest};
use reqwest::Method;
use serde_json::{Value, json};

use crate::programs::{Ran, Running, python, ran, run, started};
use crate::publish::{Trial, serves};
use crate::support::{Backend, Server};

const ACCESS: &str = "
roles:
  - {name: internal_publisher, tier: internal, claims: {a: publisher}, datasets: {trial: {columns: all}}}
  - {name: reader, tier: client, claims: {a: reader}, formats: all, export: true, datasets: {trial: {columns: all}}}
";
const BUCKET: &str = "martello-tests";
const KEY_ID: &str = "a-key-id";
const KEY: &str = "what nobody else knows";
/// What a file is cut into on its way: one that is longer goes up in pieces.
pub const PIECE_BYTES: u64 = 8 << 20;

/// A private S3, which ends with it.
struct S3 {
    _running: Running,
    url: String,
}

impl S3 {
    fn start() -> Self {
        let key = format!("{KEY_ID}:{KEY}");
        let mut command = python(&["tests/support/s3.py", "--key", &key, "--bucket", BUCKET]);
        let (running, url) = started(&mut command, "S3 on ");
        Self { _running: running, url }
    }

    /// What a store in a folder of the bucket is called.
    fn store(&self, folder: &str) -> FileStore {
        let options = self.options(KEY).map(|(name, value)| (name.to_owned(), Secret::from(value)));
        FileStore { url: Some(format!("s3://{BUCKET}/{folder}")), options: options.into_iter().collect() }
    }

    fn options(&self, key: &str) -> [(&'static str, String); 5] {
        [
            ("endpoint", self.url.clone()),
            ("region", "eu-central-1".to_owned()),
            ("access_key_id", KEY_ID.to_owned()),
            ("secret_access_key", key.to_owned()),
            ("allow_http", "true".to_owned()),
        ]
    }

    /// Leads commands of the trial to a folder of the bucket.
    fn configure(&self, trial: &Trial, folder: &str, more: &str) {
        self.configure_with(trial, folder, KEY, more);
    }

    fn configure_with(&self, trial: &Trial, folder: &str, key: &str, more: &str) {
        configure(trial, &format!("s3://{BUCKET}/{folder}"), &self.options(key), more);
    }
}

/// Leads commands of the trial to a store of files.
pub fn configure(trial: &Trial, url: &str, options: &[(&str, String)], more: &str) {
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}: '{value}'")).collect();
    let store = format!("{{url: '{url}', options: {{{}}}}}", options.join(", "));
    trial.configure(&format!("assets: {{store: {store}{more}}}\n"));
}

/// A trial of whose second version the files are longer than a piece.
pub fn large(name: &str, rows: u32) -> Trial {
    let trial = Trial::new(Backend::Sqlite, name);
    std::fs::write(trial.config().catalog.join("access.yaml"), ACCESS).expect("written");
    trial.make("trial_1", "v1");
    trial.sql(&format!(
        "INSERT INTO trial_1 WITH RECURSIVE n (i) AS (SELECT 4 UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) \
         SELECT i, '2024-01-01', i % 1000 * 100, printf('%.*c', 380, 'x') || i FROM n"
    ));
    trial.publish("trial_1").well();
    trial
}

pub fn config(trial: &Trial, store: FileStore) -> Config {
    let mut config = trial.config();
    config.assets.store = store;
    config.assets.exports.poll = Duration::from_millis(50);
    config
}

fn signed_by_s3(mut config: Config, ttl: Duration) -> Config {
    config.assets.signer.kind = SignerKind::S3;
    config.assets.signer.ttl = ttl;
    config
}

pub fn export(trial: &Trial) -> Ran {
    trial.martello(&["export", "trial", "--format", "csv", "--operator", "tester"])
}

pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The sets of files of a version that are listed, after each file was found as its set says.
pub async fn listed(files: &Files, edition: &str) -> Vec<Manifest> {
    let folder = format!("trial/{edition}/manifests");
    let mut found = Vec::new();
    for name in files.names(&folder).await.expect("names") {
        let text = files.read(&format!("{folder}/{name}")).await.expect("an answer").expect("a manifest");
        let manifest: Manifest = serde_json::from_slice(&text).expect("a whole manifest");
        for file in &manifest.files {
            let bytes = files.read(&file.path).await.expect("an answer").expect("a file that is listed");
            assert_eq!((bytes.len() as u64, sha256(&bytes)), (file.bytes, file.sha256.clone()), "{}", file.path);
        }
        found.push(manifest);
    }
    found
}

/// Asks for a file's link, without following it.
pub async fn link(server: &Server, href: &str) -> String {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().expect("a client");
    let request = client.get(format!("{}{href}", server.url)).bearer_auth(server.token("reader"));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), 302);
    answer.headers()["location"].to_str().expect("a text").to_owned()
}

/// The bytes behind a link, and what their store calls them.
pub async fn fetched(link: &str) -> (u16, String, Vec<u8>) {
    let answer = reqwest::get(link).await.expect("an answer");
    let etag = answer.headers().get("etag").map(|tag| tag.to_str().expect("a text").to_owned());
    (answer.status().as_u16(), etag.unwrap_or_default(), answer.bytes().await.expect("a body").to_vec())
}

/// The one file of the one snapshot.
pub async fn only(server: &Server) -> Value {
    let snapshots = server.get("reader", "/v1/datasets/trial/snapshots").await.rows();
    let [snapshot] = &snapshots[..] else { panic!("{snapshots:?}") };
    let files = snapshot["files"].as_array().expect("files");
    assert_eq!(files.len(), 1, "{snapshot}");
    files[0].clone()
}

#[tokio::test]
async fn a_snapshot_in_s3_is_fetched_from_there_by_whoever_has_its_link() {
    let s3 = S3::start();
    let trial = large("s3_links", 30_000);
    s3.configure(&trial, "some/where", "");
    export(&trial).well();
    let before = Files::open(&s3.store("some/where")).expect("a store");
    let server = Server::start(signed_by_s3(config(&trial, s3.store("some/where")), Duration::from_secs(600))).await;
    serves(&server, Some(1)).await;
    let file = only(&server).await;
    let (bytes, hash) = (file["bytes"].as_u64().expect("bytes"), file["sha256"].as_str().expect("a hash").to_owned());
    assert!(bytes > PIECE_BYTES, "{file}");
    let href = file["href"].as_str().expect("a path");
    let link = link(&server, href).await;
    assert!(link.starts_with(&format!("{}/{BUCKET}/some/where/trial/1-", s3.url)), "{link}");
    assert!(!link.contains(KEY) && !link.contains("nobody"), "{link}");
    let (status, etag, body) = fetched(&link).await;
    assert_eq!((status, body.len() as u64, sha256(&body)), (200, bytes, hash.clone()));
    let pieces = bytes.div_ceil(PIECE_BYTES);
    assert!(etag.ends_with(&format!("-{pieces}\"")), "S3 says so of what came in {pieces} pieces: {etag}");
    let rows = server.get("reader", "/v1/datasets/trial/rows?limit=all&sort=id&format=csv").await;
    assert!(rows.body == body, "the file is what a request of all rows gives");
    let part = reqwest::Client::new().get(&link).header("range", "bytes=5-9").send().await.expect("an answer");
    let name = format!("attachment; filename=\"trial-1-{}.csv\"", &hash[..8]);
    for (header, expected) in
        [("content-disposition", name.as_str()), ("content-type", "text/csv; charset=utf-8; header=present")]
    {
        assert_eq!(part.headers().get(header).and_then(|value| value.to_str().ok()), Some(expected), "{header}");
    }
    assert_eq!((part.status().as_u16(), &part.bytes().await.expect("a body")[..]), (206, &body[5..10]));
    // What is told of the file for programs has a link as well.
    let told = server.get_with("reader", href, &[("accept", "application/json")]).await.json();
    assert_eq!(fetched(told["data"]["url"].as_str().expect("a link")).await.0, 200);
    // It is good for this file, as long as it was said.
    let manifest = before.names(&format!("trial/{}/manifests", edition(&server).await)).await.expect("names").remove(0);
    let set = link.split_once("/csv/").expect("a format").0;
    let query = link.split_once('?').expect("a query").1;
    for forged in [
        format!("{set}/manifests/{manifest}?{query}"),
        link.replace("X-Amz-Expires=600", "X-Amz-Expires=601"),
        link.replace("response-content-type=text%2Fcsv", "response-content-type=text%2Fhtml"),
        link.split_once('?').expect("a query").0.to_owned(),
    ] {
        assert_ne!(forged, link);
        assert_eq!(fetched(&forged).await.0, 403, "{forged}");
    }
    server.stop().await;
    let brief = Server::start(signed_by_s3(config(&trial, s3.store("some/where")), Duration::from_secs(1))).await;
    serves(&brief, Some(1)).await;
    let link = self::link(&brief, href).await;
    let ended = async {
        loop {
            let (status, _, body) = fetched(&link).await;
            if status != 200 {
                return (status, String::from_utf8_lossy(&body).into_owned());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (status, said) = tokio::time::timeout(Duration::from_secs(30), ended).await.expect("the link ends");
    assert_eq!(status, 403);
    assert!(said.contains("Request has expired"), "{said}");
    brief.stop().await;
}

/// The folder of the current version.
pub async fn edition(server: &Server) -> String {
    let snapshots = server.get("reader", "/v1/datasets/trial/snapshots").await.rows();
    snapshots[0]["id"].as_str().and_then(|id| id.split('.').nth(1)).expect("an id").to_owned()
}

#[tokio::test]
async fn links_of_this_server_lead_to_what_is_in_s3_too() {
    let s3 = S3::start();
    let trial = large("s3_origin", 30_000);
    s3.configure(&trial, "", "");
    export(&trial).well();
    let server = Server::start(config(&trial, s3.store(""))).await;
    serves(&server, Some(1)).await;
    let file = only(&server).await;
    let link = link(&server, file["href"].as_str().expect("a path")).await;
    let get = async |method: Method, range: Option<&str>| {
        let request = server.request(method, &link);
        server.send(range.into_iter().fold(request, |request, range| request.header("range", range))).await
    };
    let whole = get(Method::GET, None).await;
    assert_eq!((whole.status, json!(sha256(&whole.body))), (200, file["sha256"].clone()));
    let size = whole.body.len();
    let part = get(Method::GET, Some("bytes=9000000-9000009")).await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[9_000_000..9_000_010]));
    let end = get(Method::GET, Some("bytes=-7")).await;
    assert_eq!((end.status, &end.body[..]), (206, &whole.body[size - 7..]));
    let several = get(Method::GET, Some("bytes=0-1,8388607-8388608")).await;
    assert!(several.status == 206 && several.body.windows(2).any(|two| two == &whole.body[8_388_607..8_388_609]));
    let head = get(Method::HEAD, None).await;
    assert_eq!((head.status, head.header("content-length")), (200, Some(size.to_string().as_str())));
    server.stop().await;
}

/// Killed at whatever moment, an export has listed all of its files or none, and the next one goes on to the same end.
#[tokio::test]
async fn a_killed_export_lists_nothing_in_s3_that_is_not_whole() {
    const KILLS: u32 = 6;
    let s3 = S3::start();
    let trial = large("s3_killed", 75_000);
    let file = trial.config().catalog.parent().expect("a folder").join("martello.yaml");
    let plain = std::fs::read_to_string(&file).expect("a configuration");
    let into = |folder: &str| {
        std::fs::write(&file, &plain).expect("written");
        s3.configure(&trial, folder, ", part_rows: 25000");
        Files::open(&s3.store(folder)).expect("a store")
    };
    let command = || trial.command(&["export", "trial", "--format", "csv", "--operator", "tester"]);
    let whole = into("whole");
    let begun = martello::clock::instant();
    ran(command()).await.well();
    let takes = begun.elapsed();
    let server = Server::start(config(&trial, s3.store("whole"))).await;
    serves(&server, Some(1)).await;
    let edition = edition(&server).await;
    server.stop().await;
    let [expected] = &listed(&whole, &edition).await[..] else { panic!("one set of files") };
    assert_eq!((expected.rows, expected.files.len()), (75_000, 3));
    assert!(expected.files.iter().all(|file| file.bytes > PIECE_BYTES), "{expected:?}");
    let mut unlisted = 0;
    for kill in 0..KILLS {
        let files = into(&format!("killed/{kill}"));
        let mut program = command().stdout(Stdio::null()).spawn().expect("a program");
        tokio::time::sleep(takes * (kill + 1) / (KILLS + 1)).await;
        program.kill().expect("killed, or ended");
        let ended = program.wait().expect("an end");
        let found = listed(&files, &edition).await;
        assert!(found.len() <= 1 && found.iter().all(|manifest| manifest.files == expected.files), "{ended}");
        assert!(!ended.success() || found.len() == 1, "{ended}");
        unlisted += usize::from(found.is_empty());
        ran(command()).await.well();
        let [again] = &listed(&files, &edition).await[..] else { panic!("one set of files") };
        assert_eq!((&again.id, &again.files), (&expected.id, &expected.files));
    }
    assert!(unlisted > 0, "none was killed before its end");
}

/// How many files have begun to go up and are not there yet.
async fn begun(s3: &S3) -> usize {
    let script = "import boto3, sys; s3 = boto3.client('s3', endpoint_url=sys.argv[1], region_name='eu-central-1', \
         aws_access_key_id=sys.argv[2], aws_secret_access_key=sys.argv[3]); \
         print(len(s3.list_multipart_uploads(Bucket=sys.argv[4]).get('Uploads', [])))";
    let listed = ran(python(&["-c", script, &s3.url, KEY_ID, KEY, BUCKET])).await;
    listed.well().trim().parse().expect("a number")
}

/// An export that is cancelled, or has taken too long, leaves no pieces that somebody pays for.
#[tokio::test]
async fn what_is_given_up_takes_back_its_pieces() {
    let s3 = S3::start();
    let files = Files::open(&s3.store("given/up")).expect("a store");
    // It never ends by itself.
    let mut endless = tokio::fs::File::open("/dev/zero").await.expect("a file");
    let keeping = tokio::spawn(async move { files.keep("endless", &mut endless, u64::MAX).await });
    let wait = async |expected: usize| {
        while begun(&s3).await != expected {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait(1)).await.expect("an upload begins");
    assert!(!keeping.is_finished());
    keeping.abort();
    tokio::time::timeout(Duration::from_secs(60), wait(0)).await.expect("its pieces go");
    assert_eq!(Files::open(&s3.store("given/up")).expect("a store").size("endless").await.expect("an answer"), None);
}

#[tokio::test]
async fn of_two_who_write_the_same_into_s3_one_writes() {
    let s3 = S3::start();
    let trial = large("s3_twice", 30_000);
    s3.configure(&trial, "twice", "");
    let exports = ["one", "two", "three"]
        .map(|operator| trial.command(&["export", "trial", "--format", "csv", "--json", "--operator", operator]));
    let told = futures_util::future::join_all(exports.map(ran)).await;
    let ids: Vec<Value> = told
        .iter()
        .map(|told| serde_json::from_str::<Value>(told.well()).expect("a report")["written"][0]["manifest"].clone())
        .collect();
    // All of them tell of the one that is there, with the instant at which it was made.
    assert!(ids.iter().all(|manifest| *manifest == ids[0] && manifest["rows"] == 30_000), "{ids:?}");
    let files = Files::open(&s3.store("twice")).expect("a store");
    let edition = ids[0]["edition"].as_str().expect("a version");
    assert_eq!(listed(&files, edition).await.len(), 1);
    once_of_sixteen(&files).await;
}

/// Of all who write one path at once, one does, and what it wrote is there.
pub async fn once_of_sixteen(files: &Files) {
    let puts = (0..16).map(|turn| {
        let files = files.clone();
        async move { files.put("once", turn.to_string().into()).await.expect("an answer").then_some(turn) }
    });
    let won: Vec<i32> = futures_util::future::join_all(puts).await.into_iter().flatten().collect();
    let [won] = won[..] else { panic!("{won:?} have written") };
    assert_eq!(files.read("once").await.expect("an answer").expect("a file"), won.to_string());
}

#[tokio::test]
async fn files_in_s3_go_with_their_version() {
    let s3 = S3::start();
    let trial = large("s3_pruned", 100);
    s3.configure(&trial, "pruned", "");
    export(&trial).well();
    let files = Files::open(&s3.store("pruned")).expect("a store");
    let server = Server::start(config(&trial, s3.store("pruned"))).await;
    serves(&server, Some(1)).await;
    let first = edition(&server).await;
    for number in 2..=4 {
        let table = format!("trial_{number}");
        trial.make(&table, "kept");
        trial.publish(&table).well();
        export(&trial).well();
    }
    assert_eq!(listed(&files, &first).await.len(), 1);
    // Long enough ago for everything that is past the contract's `keep`.
    let script = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); \
         base.execute('UPDATE martello_version SET retired_at = 1 WHERE retired_at IS NOT NULL'); base.commit()";
    let control = trial.config().control.expect("a store").url.expose().trim_start_matches("sqlite:").to_owned();
    run(python(&["-c", script, &control])).well();
    trial.martello(&["versions", "prune", "trial"]).well();
    assert_eq!(files.remove(&format!("trial/{first}")).await.expect("an answer"), 0, "files are left");
    serves(&server, Some(4)).await;
    let versions: Vec<Value> = (server.get("reader", "/v1/datasets/trial/snapshots").await.rows().iter())
        .map(|one| one["version"].clone())
        .collect();
    assert_eq!(versions, [json!(4), json!(3)]);
    server.stop().await;
}

#[tokio::test]
async fn an_export_is_made_in_s3_and_deleted_there() {
    let s3 = S3::start();
    let trial = large("s3_jobs", 30_000);
    let server = Server::start(signed_by_s3(config(&trial, s3.store("jobs")), Duration::from_secs(600))).await;
    serves(&server, Some(1)).await;
    let request = server.request(Method::POST, "/v1/exports").bearer_auth(server.token("reader"));
    let answer = server.send(request.json(&json!({"dataset": "trial", "format": "csv", "sort": ["-id"]}))).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let target = answer.header("location").expect("a place").to_owned();
    let done = async {
        loop {
            let export = server.get("reader", &target).await.json()["data"].clone();
            assert_ne!(export["state"], "failed", "{export}");
            if export["state"] == "done" {
                return export;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let export = tokio::time::timeout(Duration::from_secs(60), done).await.expect("an end");
    let file = &export["files"][0];
    assert!(file["bytes"].as_u64().is_some_and(|bytes| bytes > PIECE_BYTES), "{export}");
    let link = link(&server, file["href"].as_str().expect("a path")).await;
    let (status, _, body) = fetched(&link).await;
    assert_eq!((status, json!(sha256(&body))), (200, file["sha256"].clone()));
    let gone = server.send(server.request(Method::DELETE, &target).bearer_auth(server.token("reader"))).await;
    assert_eq!(gone.status, 204);
    let deleted = async {
        while fetched(&link).await.0 != 404 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), deleted).await.expect("its file goes");
    server.stop().await;
    assert_eq!(Files::open(&s3.store("jobs")).expect("a store").remove("trial").await.expect("an answer"), 0);
}

#[tokio::test]
async fn any_file_is_put_into_s3_listed_and_removed() {
    let s3 = S3::start();
    let trial = large("s3_documents", 10);
    s3.configure(&trial, "documents", "");
    let folder = tempfile::tempdir().expect("a folder");
    let paper = folder.path().join("paper.pdf");
    std::fs::write(&paper, vec![7; 9_000_000]).expect("written");
    let put = ["asset", "put", &paper.display().to_string(), "--dataset", "trial", "--media-type", "application/pdf"];
    let told = trial.martello(&put);
    let id = told.well().split(' ').next().expect("an id").to_owned();
    assert_eq!(trial.martello(&put).well(), told.out, "it is there once");
    let list = trial.martello(&["asset", "list", "--json"]);
    let list: Value = serde_json::from_str(list.well()).expect("a list");
    assert_eq!((list.as_array().map(Vec::len), &list[0]["bytes"]), (Some(1), &json!(9_000_000)));
    let server = Server::start(signed_by_s3(config(&trial, s3.store("documents")), Duration::from_secs(600))).await;
    serves(&server, Some(1)).await;
    let href = format!("/v1/assets/{id}");
    let link = link(&server, &href).await;
    let (status, _, body) = fetched(&link).await;
    assert_eq!((status, json!(sha256(&body))), (200, list[0]["sha256"].clone()));
    trial.martello(&["asset", "remove", &id]).well();
    assert_eq!(fetched(&link).await.0, 404);
    assert_eq!(server.get("reader", &href).await.problem(), "not-found");
    assert_eq!(trial.martello(&["asset", "list"]).well(), "");
    server.stop().await;
}

#[tokio::test]
async fn an_s3_that_refuses_or_is_out_is_told_of_in_words() {
    let s3 = S3::start();
    let trial = large("s3_out", 10);
    let file = trial.config().catalog.parent().expect("a folder").join("martello.yaml");
    let plain = std::fs::read_to_string(&file).expect("a configuration");
    s3.configure_with(&trial, "out", "another key", "");
    let refused = export(&trial);
    assert!(refused.complaint().contains("in the store of files") && !refused.err.contains("another key"));
    assert!(refused.err.contains("403") || refused.err.contains("SignatureDoesNotMatch"), "{refused:?}");
    std::fs::write(&file, &plain).expect("written");
    s3.configure(&trial, "out", "");
    export(&trial).well();
    let server = Server::start(config(&trial, s3.store("out"))).await;
    serves(&server, Some(1)).await;
    only(&server).await;
    let gone = s3.url.clone();
    drop(s3);
    for target in ["/v1/datasets/trial/snapshots", "/v1/assets", "/v1/assets/trial.files.f-0.0"] {
        let answer = server.get("reader", target).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "files-unavailable"), "{target}");
        assert!(answer.header("retry-after").is_some());
    }
    server.stop().await;
    let list = ran(trial.command(&["asset", "list"])).await;
    assert!(list.complaint().contains("failed to list trial/files/manifests in the store of files"), "{list:?}");
    // One that takes every connection and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").expect("a listener");
    let url = format!("http://{}", mute.local_addr().expect("an address"));
    let text = std::fs::read_to_string(&file).expect("a configuration");
    std::fs::write(&file, text.replace(&gone, &url)).expect("written");
    let list = ran(trial.command(&["asset", "list"])).await;
    assert!(list.complaint().contains("in the store of files: no answer in 5 s"), "{list:?}");
}
