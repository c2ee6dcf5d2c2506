//! Links to files: who gets one, what is behind it, and what is not.

use std::time::Duration;

use martello::config::{Config, Secret};
use reqwest::{Method, redirect};
use serde_json::{Value, json};

use crate::programs::Ran;
use crate::publish::{Trial, serves};
use crate::support::{Answer, Backend, Server};

const ACCESS: &str = "
roles:
  - {name: internal_publisher, tier: internal, claims: {a: publisher}, datasets: {trial: {columns: all}}}
  - {name: reader, tier: client, claims: {a: reader}, formats: all, export: true, datasets: {trial: {columns: all}}}
  - {name: narrow, tier: client, claims: {a: narrow}, formats: all, export: true, datasets: {trial: {columns: {all_but: [origin]}, rows: {id: {gte: 2}}}}}
  - {name: pages, tier: client, claims: {a: pages}, datasets: {trial: {columns: all}}}
  - {name: nobody, tier: client, claims: {a: nobody}, datasets: {}}
";
const KEY: &str = "a key of links, of 32 bytes or more";

/// A trial with a version and its snapshot, and a server over it.
pub struct Library {
    pub trial: Trial,
    pub server: Server,
    /// Follows nothing.
    pub client: reqwest::Client,
}

pub fn config(trial: &Trial) -> Config {
    let mut config = trial.config();
    let folder = config.catalog.parent().expect("a folder").join("assets");
    config.assets.store.url = Some(folder.display().to_string());
    config
}

impl Library {
    pub async fn new(name: &str, set: impl FnOnce(&mut Config)) -> Self {
        let trial = Trial::new(Backend::Sqlite, name);
        std::fs::write(trial.config().catalog.join("access.yaml"), ACCESS).expect("written");
        trial.make("trial_1", "v1");
        trial.publish("trial_1").well();
        export(&trial, "csv").well();
        let mut config = config(&trial);
        set(&mut config);
        let server = Server::start(config).await;
        serves(&server, Some(1)).await;
        let client = reqwest::Client::builder().redirect(redirect::Policy::none()).build().expect("a client");
        Self { trial, server, client }
    }

    /// Asks without following where the answer leads.
    pub async fn ask(&self, role: &str, target: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{target}", self.server.url)).bearer_auth(self.server.token(role));
        request.send().await.expect("an answer")
    }

    /// The files that a role may have.
    pub async fn list(&self, role: &str) -> Vec<Value> {
        self.server.get(role, "/v1/assets").await.rows()
    }

    /// The link to a file.
    pub async fn link(&self, role: &str, href: &str) -> String {
        let answer = self.ask(role, href).await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["cache-control"]),
            (302, &"no-store".parse().expect("a text"))
        );
        answer.headers()["location"].to_str().expect("a text").to_owned()
    }

    /// What is behind a link, asked for with these headers and no token.
    pub async fn fetch(&self, method: Method, link: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.server.request(method, link);
        self.server.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    pub async fn get(&self, link: &str, headers: &[(&str, &str)]) -> Answer {
        self.fetch(Method::GET, link, headers).await
    }
}

pub fn export(trial: &Trial, format: &str) -> Ran {
    trial.martello(&["export", "trial", "--format", format, "--operator", "tester"])
}

fn keyed(config: &mut Config) {
    config.assets.signer.keys = vec![Secret::from(KEY.to_owned())];
}

#[tokio::test]
async fn who_may_have_a_file_is_led_to_it_and_nobody_else() {
    let library = Library::new("links", keyed).await;
    let own = library.list("reader").await;
    let [file] = &own[..] else { panic!("{own:?}") };
    assert_eq!(
        (&file["kind"], &file["version"], &file["media_type"], &file["rows"]),
        (&json!("snapshot"), &json!(1), &json!("text/csv"), &json!(3))
    );
    let href = file["href"].as_str().expect("a path");
    let narrow = library.list("narrow").await;
    assert_eq!((narrow.len(), &narrow[0]["rows"]), (1, &json!(2)));
    assert_ne!(narrow[0]["id"], file["id"]);
    assert_eq!(library.list("pages").await, Vec::<Value>::new());
    assert_eq!(library.list("nobody").await, Vec::<Value>::new());
    for role in ["narrow", "pages", "nobody"] {
        assert_eq!(library.server.get(role, href).await.problem(), "not-found", "{role}");
    }
    assert_eq!(library.server.send(library.server.request(Method::GET, href)).await.status, 401);

    let link = library.link("reader", href).await;
    assert!(link.starts_with("/assets/trial/1-") && link.contains("?expires="), "{link}");
    let rows = library.server.get("reader", "/v1/datasets/trial/rows?limit=all&sort=id&format=csv").await;
    let fetched = library.get(&link, &[]).await;
    assert_eq!((fetched.status, &fetched.body), (200, &rows.body));
    // A program that reads JSON is told of the file instead.
    let told = library.server.get_with("reader", href, &[("accept", "application/json")]).await;
    assert_eq!(told.header("cache-control"), Some("no-store"));
    let told = told.json()["data"].clone();
    assert_eq!((&told["sha256"], &told["bytes"]), (&file["sha256"], &json!(rows.body.len())));
    let url = told["url"].as_str().expect("a link").to_owned();
    assert_eq!(library.get(&url, &[]).await.status, 200);
    assert!(told["url_expires_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{told}");
    // The set of files tells of them, and of nothing that the house keeps to itself.
    let set = href.rsplit_once('.').expect("a part").0;
    let set = library.server.get("reader", set).await.json()["data"].clone();
    assert_eq!((&set["rows"], &set["files"][0]["id"], &set["order"]), (&json!(3), &file["id"], &json!(["id"])));
    for hidden in ["contract", "shape", "version_id"] {
        assert_eq!(set[hidden], Value::Null, "{set}");
    }
    assert_eq!(library.server.get("narrow", set["href"].as_str().expect("a path")).await.problem(), "not-found");
    for id in ["trial", "trial.1-0.s-0.0", &format!("{}0", file["id"].as_str().expect("an id")), "..%2f..%2fetc"] {
        assert_eq!(library.server.get("reader", &format!("/v1/assets/{id}")).await.problem(), "not-found", "{id}");
    }
    assert_eq!(library.server.get("reader", "/v1/assets?dataset=trial").await.rows(), own);
    assert_eq!(library.server.get("nobody", "/v1/assets?dataset=trial").await.problem(), "not-found");
    assert_eq!(library.server.get("reader", "/v1/assets?limit=1").await.rows(), own);
    for (query, kind) in [
        ("limit=0", "limit-out-of-range"),
        ("limit=1001", "limit-out-of-range"),
        ("limit=1&limit=1", "malformed-request"),
        ("size=1", "unknown-parameter"),
    ] {
        assert_eq!(library.server.get("reader", &format!("/v1/assets?{query}")).await.problem(), kind, "{query}");
    }
    library.server.stop().await;
}

#[tokio::test]
async fn a_file_is_told_of_in_full_and_sent_in_any_parts() {
    let library = Library::new("ranges", keyed).await;
    let file = library.list("reader").await.remove(0);
    let link = library.link("reader", file["href"].as_str().expect("a path")).await;
    let whole = library.get(&link, &[]).await;
    let (size, sha256) = (whole.body.len(), file["sha256"].as_str().expect("a hash").to_owned());
    let etag = format!("\"{sha256}\"");
    let all = |answer: &Answer| {
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
        assert_eq!(answer.header("cache-control"), Some("public, max-age=31536000, immutable"));
        assert_eq!(answer.header("accept-ranges"), Some("bytes"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let digest =
            answer.header("repr-digest").and_then(|digest| digest.strip_prefix("sha-256=:")?.strip_suffix(':'));
        let digest = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, digest.expect("a digest"));
        let digest: String = digest.expect("base64").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest, sha256);
        let name = format!("attachment; filename=\"trial-1-{}.csv\"", &sha256[..8]);
        assert_eq!(answer.header("content-disposition"), Some(name.as_str()));
    };
    all(&whole);
    assert_eq!(whole.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let head = library.fetch(Method::HEAD, &link, &[("range", "bytes=0-1")]).await;
    all(&head);
    assert_eq!((head.status, head.header("content-length")), (200, Some(size.to_string().as_str())));

    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=5-9", 5..10),
        ("bytes=10-", 10..size),
        ("bytes=-7", size - 7..size),
        ("bytes=3-99999999", 3..size),
        ("bytes=-99999999", 0..size),
    ] {
        let part = library.get(&link, &[("range", range)]).await;
        all(&part);
        assert_eq!((part.status, &part.body[..]), (206, &whole.body[expected.clone()]), "{range}");
        let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(part.header("content-range"), Some(content_range.as_str()), "{range}");
        assert_eq!(part.header("content-length"), Some(expected.len().to_string().as_str()), "{range}");
    }
    let several = library.get(&link, &[("range", "bytes=0-2, 8-9,-1")]).await;
    assert_eq!(several.status, 206);
    let boundary = several.header("content-type").and_then(|kind| kind.strip_prefix("multipart/byteranges; boundary="));
    let boundary = boundary.expect("a boundary");
    let part = |first: usize, last: usize| {
        let head = format!(
            "\r\n--{boundary}\r\ncontent-type: text/csv; charset=utf-8; header=present\r\ncontent-range: bytes {first}-{last}/{size}\r\n\r\n"
        );
        [head.as_bytes(), &whole.body[first..=last]].concat()
    };
    let end = format!("\r\n--{boundary}--\r\n").into_bytes();
    assert_eq!(several.body, [part(0, 2), part(8, 9), part(size - 1, size - 1), end].concat());
    // What cannot be read, or is asked for twice, is answered by the whole.
    let many: Vec<String> = (0..17).map(|at| format!("{}-{}", at * 2, at * 2)).collect();
    for range in ["bytes=0-5,3-7", "bytes=5-3", "rows=0-1", "bytes=x", &format!("bytes={}", many.join(","))] {
        let answer = library.get(&link, &[("range", range)]).await;
        assert_eq!((answer.status, &answer.body), (200, &whole.body), "{range}");
    }
    let behind = library.get(&link, &[("range", &format!("bytes={size}-"))]).await;
    assert_eq!((behind.status, behind.problem().as_str()), (416, "range-not-satisfiable"));
    assert_eq!(behind.header("content-range"), Some(format!("bytes */{size}").as_str()));
    assert_eq!(behind.header("cache-control"), Some("no-store"));

    for (if_range, status) in [
        (etag.clone(), 206),
        (format!("W/{etag}"), 200),
        ("\"another\"".to_owned(), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200),
    ] {
        let answer = library.get(&link, &[("range", "bytes=0-0"), ("if-range", &if_range)]).await;
        assert_eq!(answer.status, status, "{if_range}");
    }
    for (tags, status) in
        [(etag.clone(), 304), (format!("\"x\", W/{etag}"), 304), ("*".to_owned(), 304), ("\"x\"".to_owned(), 200)]
    {
        let answer = library.get(&link, &[("if-none-match", &tags), ("range", "bytes=0-0")]).await;
        assert_eq!(answer.status, if status == 304 { 304 } else { 206 }, "{tags}");
        assert_eq!(answer.header("etag"), Some(etag.as_str()));
        assert!(status != 304 || answer.body.is_empty());
    }
    library.server.stop().await;
}

#[tokio::test]
async fn what_is_no_link_of_ours_tells_nothing() {
    let library = Library::new("forged", |config| {
        keyed(config);
        config.assets.signer.ttl = Duration::from_secs(2);
        config.assets.origin_key = Some(Secret::from("what a CDN shows to this server only".to_owned()));
    })
    .await;
    let file = library.list("reader").await.remove(0);
    let href = file["href"].as_str().expect("a path").to_owned();
    let link = library.link("reader", &href).await;
    let narrow = library.list("narrow").await.remove(0);
    let other = library.link("narrow", narrow["href"].as_str().expect("a path")).await;
    let (path, query) = link.split_once('?').expect("a query");
    let (other_path, _) = other.split_once('?').expect("a query");
    let refused = library.get(path, &[]).await;
    let said = refused.json();
    let same = |answer: &Answer| {
        assert_eq!((answer.status, answer.problem().as_str()), (403, "link-refused"), "{}", answer.text());
        let (mut one, mut two) = (answer.json(), said.clone());
        (one["request_id"], two["request_id"]) = (Value::Null, Value::Null);
        assert_eq!(one, two);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    };
    same(&refused);
    let missing = path.replace(&path[path.len() - 8..path.len() - 4], "0000");
    for forged in [
        format!("{other_path}?{query}"),
        format!("{missing}?{query}"),
        format!("{path}?{query}&x=1"),
        format!("{path}?{}", query.replace("expires=", "expires=9")),
        format!("{path}?{}", query.replace("kid=", "kid=x")),
        format!("{}?{query}", path.replace("/trial/", "/%74rial/")),
        format!("{}?{query}", path.replace("/assets/", "/assets/x/../")),
        format!("/assets/..%2f..%2fmartello.yaml?{query}"),
        format!("/assets/trial/%2e%2e/%2e%2e/martello.yaml?{query}"),
        "/assets/".to_owned() + "x",
    ] {
        // As it is written: a client would tidy it up.
        let host = library.server.url.trim_start_matches("http://").to_owned();
        let mut wire = crate::problems::Wire::to(&library.server).await;
        wire.send(format!("GET {forged} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await;
        same(&wire.answer().await);
    }
    // A token is no link, and what a link is good for is to read.
    same(&library.server.get("reader", path).await);
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = library.fetch(method.clone(), &link, &[]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD, OPTIONS")), "{method}");
        assert_eq!(answer.problem(), "method-not-allowed");
    }
    let preflight = library
        .fetch(
            Method::OPTIONS,
            path,
            &[
                ("origin", "https://app.example"),
                ("access-control-request-method", "GET"),
                ("access-control-request-headers", "range"),
            ],
        )
        .await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-origin")), (204, Some("*")));
    assert!(preflight.header("access-control-allow-headers").is_some_and(|headers| headers.contains("range")));
    // A CDN that looks at links by itself shows that it is one.
    let key = [("martello-origin-key", "what a CDN shows to this server only")];
    assert_eq!(library.get(path, &key).await.status, 200);
    assert_eq!(library.get(&missing, &key).await.problem(), "not-found");
    same(&library.get(path, &[("martello-origin-key", "what a CDN shows to this server onlx")]).await);
    // It ends.
    assert_eq!(library.get(&link, &[]).await.status, 200);
    let ended = async {
        while library.get(&link, &[]).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the link ends");
    same(&library.get(&link, &[]).await);
    library.server.stop().await;
}

#[tokio::test]
async fn any_file_is_put_beside_a_dataset_and_granted_with_it() {
    let library = Library::new("documents", keyed).await;
    let trial = &library.trial;
    let folder = tempfile::tempdir().expect("a folder");
    let paper = folder.path().join("Méthode.PDF");
    std::fs::write(&paper, b"%PDF-1.7 no paper at all").expect("written");
    let paper = paper.display().to_string();
    let put = |more: &[&str]| {
        let all =
            ["asset", "put", &paper, "--dataset", "trial", "--media-type", "application/pdf", "--operator", "tester"];
        trial.martello(&[&all[..], more].concat())
    };
    let told = put(&["--title", "How it is made"]);
    assert!(told.well().contains("How it is made by tester"), "{told:?}");
    let id = told.out.split(' ').next().expect("an id").to_owned();
    // The same once more is the one that there is.
    assert_eq!(put(&["--title", "How it is made"]).well(), told.out);
    put(&["--title", "For one", "--role", "narrow"]).well();
    let titles = |own: Vec<Value>| {
        let mut titles: Vec<String> = own.iter().filter_map(|one| one["title"].as_str()).map(str::to_owned).collect();
        titles.sort();
        titles
    };
    assert_eq!(titles(library.list("reader").await), ["How it is made"]);
    assert_eq!(titles(library.list("pages").await), ["How it is made"]);
    assert_eq!(titles(library.list("narrow").await), ["For one", "How it is made"]);
    assert_eq!(titles(library.list("nobody").await), Vec::<String>::new());
    let href = format!("/v1/assets/{id}");
    assert_eq!(library.server.get("nobody", &href).await.problem(), "not-found");
    let link = library.link("pages", &href).await;
    let fetched = library.get(&link, &[]).await;
    assert_eq!((fetched.status, fetched.text().as_str()), (200, "%PDF-1.7 no paper at all"));
    assert_eq!(fetched.header("content-type"), Some("application/pdf"));
    assert_eq!(
        fetched.header("content-disposition"),
        Some("attachment; filename=\"M_thode.PDF\"; filename*=UTF-8''M%C3%A9thode.PDF")
    );
    // Of one role: others are told that there is none.
    let narrow = library.list("narrow").await;
    let for_one = narrow.iter().find(|one| one["title"] == "For one").expect("a file");
    assert_eq!(library.server.get("reader", for_one["href"].as_str().expect("a path")).await.problem(), "not-found");

    let listed: Value = serde_json::from_str(trial.martello(&["asset", "list", "--json"]).well()).expect("a list");
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
    trial.martello(&["asset", "remove", &id]).well();
    assert_eq!(library.server.get("pages", &href).await.problem(), "not-found");
    assert_eq!(library.get(&link, &[]).await.problem(), "not-found");
    assert!(trial.martello(&["asset", "remove", &id]).complaint().contains("martello asset list"));
    assert!(put(&["--role", "readers"]).complaint().contains("expected one of internal_publisher, "));
    assert!(put(&["--title", "a\nb"]).complaint().contains("expected a line"));
    library.server.stop().await;
}

#[tokio::test]
async fn a_link_is_an_event_of_the_audit_and_fetching_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.ndjson");
    let library = Library::new("audited", |config| {
        keyed(config);
        config.audit.to = martello::config::AuditTo::File;
        config.audit.path = Some(path.clone());
    })
    .await;
    let file = library.list("reader").await.remove(0);
    let href = file["href"].as_str().expect("a path").to_owned();
    let link = library.link("reader", &href).await;
    library.get(&link, &[]).await;
    library.server.get_with("reader", &href, &[("accept", "application/json")]).await;
    library.server.get("narrow", &href).await;
    library.server.stop().await;
    let text = std::fs::read_to_string(&path).expect("events");
    let events = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let of_files: Vec<Value> = events.filter(|event| event["door"] == "assets").collect();
    let [one, other, refused] = &of_files[..] else { panic!("{of_files:?}") };
    for event in [one, other] {
        assert_eq!(
            (&event["role"], &event["dataset"], &event["version"]),
            (&json!("reader"), &json!("trial"), &json!(1))
        );
        assert_eq!((&event["rows"], &event["bytes"], &event["format"]), (&json!(3), &file["bytes"], &json!("csv")));
        assert_eq!((&event["columns"], &event["status"]), (&json!(["id", "day", "price", "origin"]), &json!(302)));
        assert!(event["decision"].is_string() && event["request_id"].is_string(), "{event}");
    }
    assert_eq!((&refused["role"], &refused["problem"]), (&json!("narrow"), &json!("not-found")));
    assert!(!text.contains("sig="), "{text}");
}

#[tokio::test]
async fn links_are_signed_as_the_configuration_says() {
    for (kind, has) in [("secure_link", ["?md5=", "&expires="]), ("hmac", ["?expires=", "&sig="])] {
        let library = Library::new(kind, |config| {
            keyed(config);
            config.assets.signer.kind = serde_json::from_value(json!(kind)).expect("a kind");
            config.assets.public_url = Some("https://cdn.example".to_owned());
        })
        .await;
        let file = library.list("reader").await.remove(0);
        let link = library.link("reader", file["href"].as_str().expect("a path")).await;
        let here = link.strip_prefix("https://cdn.example").expect("a link to the CDN");
        assert!(has.iter().all(|part| here.contains(part)), "{link}");
        assert_eq!(library.get(here, &[]).await.status, 200, "the server knows its own links");
        library.server.stop().await;
    }
    let trial = Trial::new(Backend::Sqlite, "signers");
    let complaint = |text: &str| {
        let file = trial.config().catalog.parent().expect("a folder").join("martello.yaml");
        let before = std::fs::read_to_string(&file).expect("a configuration");
        trial.configure(text);
        let said = trial.martello(&["asset", "list"]).complaint().to_owned();
        std::fs::write(&file, before).expect("written");
        said
    };
    for (text, expected) in [
        ("assets: {signer: {keys: [short]}}\n", "at least 32 bytes"),
        ("assets: {signer: {kind: secure_link}}\n", "the secret that nginx has"),
        ("assets: {signer: {kind: s3}}\n", "begin with s3://"),
        ("assets: {signer: {kind: s3, ttl: 8d}, store: {url: 's3://bucket'}}\n", "expected at most 7d"),
        ("assets: {store: {url: 's3://bucket', options: {regoin: x}}}\n", "s3://bucket has no option \"regoin\""),
        ("assets: {exports: {time_max: 0s}}\n", "exports.time_max of more than 0"),
        ("assets: {signer: {kind: cloudfront}}\n", "key_pair_id"),
        ("assets: {signer: {ttl: 0s}}\n", "more than 0"),
        ("assets: {public_url: cdn.example}\n", "begins with http:// or https://"),
    ] {
        let said = complaint(text);
        assert!(said.contains(expected), "{text}: {said}");
    }
}
