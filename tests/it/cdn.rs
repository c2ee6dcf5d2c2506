//! nginx before the files, configured as `deploy/cdn/nginx.conf` says: it checks links before its cache, and its cache knows
//! paths alone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use martello::config::Secret;
use reqwest::Method;
use serde_json::Value;

use crate::assets::{Library, export};
use crate::programs::{free_port, python, ran, run};
use crate::publish::serves;
use crate::support::{Answer, repository, variable};

const SECRET: &str = "a secret that nginx and Martello share";

/// A private nginx, which ends with it.
struct Nginx {
    folder: tempfile::TempDir,
    url: String,
    running: Option<Child>,
}

impl Nginx {
    /// Where one will be: whoever hands out links must know before.
    fn reserved() -> Self {
        let port = free_port();
        Self { folder: tempfile::tempdir().expect("a folder"), url: format!("http://127.0.0.1:{port}"), running: None }
    }

    async fn start(&mut self, origin: &str) {
        let folder = self.folder.path();
        let template = std::fs::read_to_string(repository().join("deploy/cdn/nginx.conf")).expect("a template");
        let filled = [
            ("${CDN_LISTEN}", self.url.trim_start_matches("http://").to_owned()),
            ("${CDN_CACHE}", folder.join("cache").display().to_string()),
            ("${CDN_CACHE_SIZE}", "64m".to_owned()),
            ("${MARTELLO_ORIGIN}", origin.trim_start_matches("http://").to_owned()),
            ("${MARTELLO_LINK_SECRET}", SECRET.to_owned()),
        ];
        let (head, body) = template.split_once("worker_processes").expect("a comment first");
        assert!(filled.iter().all(|(word, _)| head.contains(word.trim_matches(['$', '{', '}']))), "{head}");
        let body = filled.iter().fold(body.to_owned(), |text, (word, value)| text.replace(word, value));
        assert!(!body.contains("${"), "{body}");
        std::fs::write(folder.join("nginx.conf"), format!("worker_processes{body}")).expect("written");
        let mut command = Command::new("nginx");
        command.env("PATH", format!("{}:/usr/sbin", variable("PATH"))).stdin(Stdio::null());
        // Its folder is private, and so are those of a distribution's own user.
        let mut globals = "daemon off;".to_owned();
        if run(as_whom()).well().trim() == "0" {
            globals += " user root;";
        }
        command.args(["-p", &folder.display().to_string(), "-c", "nginx.conf", "-e", "error.log", "-g", &globals]);
        self.running = Some(command.spawn().expect("nginx"));
        let answers = async {
            while reqwest::get(&self.url).await.is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), answers).await.expect("nginx answers");
    }

    /// What it has written into a file of its own.
    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("a text")
    }

    /// The keys of its cache.
    fn keys(&self) -> Vec<String> {
        let mut keys = Vec::new();
        for file in below(&self.folder.path().join("cache")) {
            let content = std::fs::read(file).expect("an entry");
            let head = String::from_utf8_lossy(&content[..content.len().min(4096)]).into_owned();
            keys.extend(head.lines().find_map(|line| line.strip_prefix("KEY: ")).map(str::to_owned));
        }
        keys.sort();
        keys
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            // SIGTERM, so that its workers end, too.
            let _ = Command::new("kill").arg(running.id().to_string()).status();
            let _ = running.wait();
        }
    }
}

fn as_whom() -> Command {
    let mut command = Command::new("id");
    command.arg("-u");
    command
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.flat_map(|path| if path.is_dir() { below(&path) } else { vec![path] }).collect()
}

/// A library whose links lead to an nginx.
async fn behind(name: &str, ttl: Duration) -> (Library, Nginx) {
    let mut nginx = Nginx::reserved();
    let url = nginx.url.clone();
    let library = Library::new(name, |config| {
        config.assets.public_url = Some(url);
        config.assets.signer.kind = martello::config::SignerKind::SecureLink;
        config.assets.signer.keys = vec![Secret::from(SECRET.to_owned())];
        config.assets.signer.ttl = ttl;
    })
    .await;
    nginx.start(&library.server.url).await;
    (library, nginx)
}

async fn fetch(library: &Library, link: &str, headers: &[(&str, &str)]) -> (Answer, String) {
    let request = library.client.request(Method::GET, link);
    let answer =
        library.server.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value)));
    let answer = answer.await;
    let cached = answer.header("x-cache-status").unwrap_or("-").to_owned();
    (answer, cached)
}

#[tokio::test]
async fn a_file_is_fetched_once_and_served_to_every_good_link() {
    let (library, nginx) = behind("cdn", Duration::from_secs(600)).await;
    let paper = nginx.folder.path().join("paper.bin");
    let content: Vec<u8> = (0..3_500_000_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    std::fs::write(&paper, &content).expect("written");
    let media_type = ["--media-type", "application/octet-stream"];
    let put = ["asset", "put", &paper.display().to_string(), "--dataset", "trial", media_type[0], media_type[1]];
    library.trial.martello(&put).well();
    let href = |own: Vec<Value>, kind: &str| {
        let file = own.iter().find(|file| file["kind"] == kind).expect("a file");
        file["href"].as_str().expect("a path").to_owned()
    };
    let paper = href(library.list("reader").await, "document");
    let rows = href(library.list("reader").await, "snapshot");
    let link = library.link("reader", &paper).await;
    assert!(link.starts_with(&nginx.url), "{link}");
    let (first, missed) = fetch(&library, &link, &[]).await;
    assert_eq!((first.status, missed.as_str()), (200, "MISS"));
    assert!(first.body == content);
    assert_eq!(first.header("cache-control"), Some("public, max-age=31536000, immutable"));
    assert!(first.header("repr-digest").is_some() && first.header("access-control-allow-origin") == Some("*"));
    let (again, hit) = fetch(&library, &link, &[]).await;
    assert_eq!((again.status, hit.as_str()), (200, "HIT"));
    assert!(again.body == content);
    let before = library.link("reader", &rows).await;
    let (v1, _) = fetch(&library, &before, &[]).await;
    assert_eq!(v1.status, 200);

    // A new version has new paths: nothing is purged, and links to the one before lead to the one before.
    library.trial.make("trial_2", "v2");
    library.trial.publish("trial_2").well();
    export(&library.trial, "csv").well();
    serves(&library.server, Some(2)).await;
    let newest = href(library.list("reader").await, "snapshot");
    assert_ne!(newest, rows);
    let after = library.link("reader", &newest).await;
    let (v2, missed) = fetch(&library, &after, &[]).await;
    assert_eq!((v2.status, missed.as_str()), (200, "MISS"));
    assert!(v2.text().contains("v2") && v1.text().contains("v1"));
    let (still, hit) = fetch(&library, &before, &[]).await;
    assert_eq!((still.body, hit.as_str()), (v1.body, "HIT"));

    // Another caller's link, of another moment, without any origin: the cache knows the path.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let other = library.link("pages", &paper).await;
    assert_ne!(other, link);
    let etag = first.header("etag").expect("a tag").to_owned();
    library.server.stop().await;
    let client = reqwest::Client::new();
    let get = async |link: &str, range: &str| {
        let request = client.get(link).header("range", range).header("if-range", &etag);
        let answer = request.send().await.expect("an answer");
        let cached = answer.headers().get("x-cache-status").map(|value| value.to_str().expect("a text").to_owned());
        let content_range =
            answer.headers().get("content-range").map(|value| value.to_str().expect("a text").to_owned());
        (answer.status().as_u16(), cached, content_range, answer.bytes().await.expect("a body"))
    };
    for (range, expected) in
        [("bytes=0-99", 0..100), ("bytes=1000000-3200000", 1_000_000..3_200_001), ("bytes=-9", 3_499_991..3_500_000)]
    {
        let (status, cached, content_range, body) = get(&other, range).await;
        assert_eq!((status, cached.as_deref()), (206, Some("HIT")), "{range}");
        assert_eq!(content_range, Some(format!("bytes {}-{}/3500000", expected.start, expected.end - 1)));
        assert!(body[..] == content[expected], "{range}");
    }
    // Without a good link nobody gets what is there.
    let (path, query) = link.split_once('?').expect("a query");
    for forged in [
        path.to_owned(),
        format!("{path}?{}", query.replace("expires=", "expires=9")),
        format!("{path}?{}", query.replace("md5=", "md5=x")),
        format!("{}?{query}", before.split_once('?').expect("a query").0),
        link.replace("/assets/", "/"),
    ] {
        let status = client.get(&forged).send().await.expect("an answer").status().as_u16();
        assert!([403, 404].contains(&status), "{forged}: {status}");
    }
    let keys = nginx.keys();
    assert_eq!(keys.len(), 6, "{keys:?}");
    assert!(keys.iter().all(|key| key.starts_with("/assets/trial/") && !key.contains('?')), "{keys:?}");
    let logged = nginx.text("access.log");
    assert!(logged.contains(" HIT\n") && !logged.contains("md5") && !logged.contains("expires"), "{logged}");
}

#[tokio::test]
async fn a_link_that_has_ended_is_refused_before_the_cache() {
    let (library, nginx) = behind("ended", Duration::from_secs(2)).await;
    let file = library.list("reader").await.remove(0);
    let link = library.link("reader", file["href"].as_str().expect("a path")).await;
    assert_eq!(fetch(&library, &link, &[]).await.0.status, 200);
    let ended = async {
        while fetch(&library, &link, &[]).await.0.status == 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.expect("the link ends");
    assert_eq!(fetch(&library, &link, &[]).await.0.status, 403);
    assert_eq!(nginx.keys().len(), 1);
    let link = library.link("reader", file["href"].as_str().expect("a path")).await;
    assert_eq!(fetch(&library, &link, &[]).await.1, "HIT");
    library.server.stop().await;
}

/// The script that docs/cdn.md shows.
#[tokio::test]
async fn a_copy_follows_the_dataset_from_version_to_version() {
    let (library, nginx) = behind("copied", Duration::from_secs(600)).await;
    let trial = &library.trial;
    export(trial, "ndjson").well();
    let copy = nginx.folder.path().join("copy");
    let sync = async || {
        let mut command = python(&["docs/sync.py", &library.server.url, "trial", &copy.display().to_string()]);
        command.env("MARTELLO_TOKEN", library.server.token("reader"));
        ran(command).await
    };
    let equal = async |rows: usize| {
        let script = "import json, sqlite3, sys; print(json.dumps([json.loads(row) for (row,) in \
                      sqlite3.connect(sys.argv[1]).execute('SELECT row FROM row')]))";
        let copied = ran(python(&["-c", script, &copy.join("rows.sqlite").display().to_string()])).await;
        let mut copied: Vec<Value> = serde_json::from_str(copied.well()).expect("rows");
        copied.sort_by_key(|row| row["id"].as_i64());
        let mart = library.server.get("reader", "/v1/datasets/trial/rows?sort=id").await.rows();
        assert_eq!((copied, mart.len()), (mart.clone(), rows));
    };
    // A line broke before: some of the file is there already.
    let snapshots = library.server.get("reader", "/v1/datasets/trial/snapshots").await.rows();
    let file = snapshots.iter().find(|one| one["format"] == "ndjson").expect("a snapshot")["files"][0].clone();
    let whole = library.link("reader", file["href"].as_str().expect("a path")).await;
    let (whole, _) = fetch(&library, &whole, &[]).await;
    std::fs::create_dir(&copy).expect("a folder");
    let part = copy.join(file["sha256"].as_str().expect("a hash")).with_extension("part");
    std::fs::write(part, &whole.body[..50]).expect("written");
    let first = sync().await;
    assert!(first.well().contains("resumed at 50") && first.out.contains("trial is at version 1: 3 rows"), "{first:?}");
    equal(3).await;
    assert_eq!(sync().await.well(), "trial is at version 1: 3 rows\n");

    trial.make("trial_2", "v2");
    trial.insert("trial_2", &[(4, "'2024-03-01'", "4.5", "v2")]);
    trial.publish("trial_2").well();
    serves(&library.server, Some(2)).await;
    assert_eq!(sync().await.well(), "trial is at version 2: 4 rows\n");
    equal(4).await;
    trial.martello(&["rollback", "trial"]).well();
    serves(&library.server, Some(3)).await;
    assert_eq!(sync().await.well(), "trial is at version 3: 3 rows\n");
    equal(3).await;
    library.server.stop().await;
}
