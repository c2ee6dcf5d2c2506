//! Files in Azure and in Google Cloud Storage: as in an S3, but that neither signs links.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use martello::config::{FileStore, Secret};
use martello::publish::files::Files;
use reqwest::Method;
use serde_json::{Value, json};

use crate::programs::{Running, node, python, ran, run, started};
use crate::publish::{Trial, serves};
use crate::s3::{PIECE_BYTES, config, export, large, link, listed, once_of_sixteen, only, sha256};
use crate::support::{Server, variable};
use crate::tokens::key_file;

const ACCOUNT: &str = "martello";
const CONTAINER: &str = "martello-tests";
const EMAIL: &str = "files@martello.example";

/// A private store of objects with one container, which ends with it.
struct Cloud {
    _running: Running,
    scheme: &'static str,
    options: Vec<(&'static str, String)>,
}

impl Cloud {
    /// Azurite stands for Azure.
    fn azure() -> Self {
        let program = Path::new(&variable("MARTELLO_TEST_AZURITE")).join("node_modules/azurite/dist/src/blob/main.js");
        let key = STANDARD.encode("a key of the tests, of 32 bytes or more");
        let account = format!("{ACCOUNT}:{key}");
        let mut command = node(&[&program.display().to_string(), "--blobPort", "0", "--inMemoryPersistence"]);
        command.args(["--disableTelemetry", "--silent"]).env("AZURITE_ACCOUNTS", &account);
        let (running, url) = started(&mut command, "listens on ");
        let endpoint = format!("{url}/{ACCOUNT}");
        let options = vec![
            ("account_name", ACCOUNT.to_owned()),
            ("account_key", key),
            ("endpoint", endpoint),
            ("allow_http", "true".to_owned()),
        ];
        let cloud = Self { _running: running, scheme: "az", options };
        run(python(&["tests/support/azure.py", &url, &account, CONTAINER])).well();
        cloud
    }

    /// The S3 of the tests stands for Google Cloud Storage, told what is asked in its own language.
    fn google() -> Self {
        let public_key = key_file("rs256.public.pem").display().to_string();
        let service = ["tests/support/gcs.py", "--public-key", &public_key, "--email", EMAIL, "--bucket", CONTAINER];
        let (running, url) = started(&mut python(&service), "Google Cloud Storage on ");
        let options =
            vec![("service_account_key", service_account()), ("base_url", url), ("allow_http", "true".to_owned())];
        Self { _running: running, scheme: "gs", options }
    }

    fn url(&self, folder: &str) -> String {
        format!("{}://{CONTAINER}/{folder}", self.scheme)
    }

    fn store(&self, folder: &str) -> FileStore {
        let options = self.options.iter().map(|(name, value)| ((*name).to_owned(), Secret::from(value.clone())));
        FileStore { url: Some(self.url(folder)), options: options.collect() }
    }

    fn configure(&self, trial: &Trial, folder: &str) {
        crate::s3::configure(trial, &self.url(folder), &self.options, "");
    }
}

/// What Google hands out for an account of a program.
fn service_account() -> String {
    let key = std::fs::read_to_string(key_file("rs256.pem")).expect("a key");
    json!({"type": "service_account", "client_email": EMAIL, "private_key_id": "one", "private_key": key}).to_string()
}

#[tokio::test]
async fn files_are_kept_in_azure_and_fetched_through_this_server() {
    are_kept(Cloud::azure(), "azure").await;
}

#[tokio::test]
async fn files_are_kept_in_google_cloud_storage_and_fetched_through_this_server() {
    are_kept(Cloud::google(), "google").await;
}

#[tokio::test]
async fn of_two_who_write_the_same_into_azure_one_writes() {
    are_kept_once(Cloud::azure(), "azure_twice").await;
}

#[tokio::test]
async fn of_two_who_write_the_same_into_google_cloud_storage_one_writes() {
    are_kept_once(Cloud::google(), "google_twice").await;
}

/// Neither a token that nobody has signed nor one of another account opens anything.
#[tokio::test]
async fn google_cloud_storage_believes_only_the_account_that_it_knows() {
    let mut google = Cloud::google();
    let trial = large("google_stranger", 10);
    let file = trial.config().catalog.parent().expect("a folder").join("martello.yaml");
    let plain = std::fs::read_to_string(&file).expect("a configuration");
    let mut names = google.options.iter().map(|(name, _)| *name);
    let at = names.position(|name| name == "service_account_key").expect("an option");
    let stranger = service_account().replace(EMAIL, "stranger@martello.example");
    for (option, expected) in [
        (("service_account_key", stranger), "lacked valid authentication credentials"),
        (("skip_signature", "true".to_owned()), "lacked valid authentication credentials"),
        (("service_account_key", "{}".to_owned()), "read assets.store.url"),
    ] {
        google.options[at] = option;
        std::fs::write(&file, &plain).expect("written");
        google.configure(&trial, "some/where");
        let ran = export(&trial);
        let complaint = ran.complaint();
        assert!(complaint.contains(expected) && !complaint.contains("PRIVATE KEY"), "{complaint}");
    }
}

async fn are_kept(cloud: Cloud, name: &str) {
    let trial = large(name, 30_000);
    cloud.configure(&trial, "some/where");
    export(&trial).well();
    let files = Files::open(&cloud.store("some/where")).expect("a store");
    let server = Server::start(config(&trial, cloud.store("some/where"))).await;
    serves(&server, Some(1)).await;
    let file = only(&server).await;
    assert!(file["bytes"].as_u64().is_some_and(|bytes| bytes > PIECE_BYTES), "{file}");
    let link = link(&server, file["href"].as_str().expect("a path")).await;
    let whole = server.send(server.request(Method::GET, &link)).await;
    assert_eq!((whole.status, json!(sha256(&whole.body))), (200, file["sha256"].clone()));
    let part = server.send(server.request(Method::GET, &link).header("range", "bytes=8388600-8388615")).await;
    assert_eq!((part.status, &part.body[..]), (206, &whole.body[8_388_600..8_388_616]));
    // Any other file, as well.
    let paper = trial.config().catalog.join("access.yaml").display().to_string();
    let put = ["asset", "put", &paper, "--dataset", "trial", "--media-type", "text/plain"];
    let id = trial.martello(&put).well().split(' ').next().expect("an id").to_owned();
    assert_eq!(
        server.get("reader", &format!("/v1/assets/{id}")).await.text(),
        std::fs::read_to_string(&paper).expect("a text")
    );
    trial.martello(&["asset", "remove", &id]).well();
    assert_eq!(server.get("reader", &format!("/v1/assets/{id}")).await.problem(), "not-found");
    let edition = crate::s3::edition(&server).await;
    assert_eq!(listed(&files, &edition).await.len(), 1);
    assert!(files.remove("trial").await.expect("an answer") >= 2, "a file and what lists it");
    assert_eq!(files.remove("trial").await.expect("an answer"), 0);
    // What is out is told of as such.
    drop(cloud);
    assert_eq!(server.get("reader", "/v1/assets").await.problem(), "files-unavailable");
    server.stop().await;
}

async fn are_kept_once(cloud: Cloud, name: &str) {
    let trial = large(name, 30_000);
    cloud.configure(&trial, "twice");
    let exports = ["one", "two"]
        .map(|operator| trial.command(&["export", "trial", "--format", "csv", "--json", "--operator", operator]));
    let told = futures_util::future::join_all(exports.map(ran)).await;
    let told: Vec<Value> = told.iter().map(|told| serde_json::from_str(told.well()).expect("a report")).collect();
    let manifests: Vec<&Value> = told.iter().map(|told| &told["written"][0]["manifest"]).collect();
    assert!(manifests[0] == manifests[1] && manifests[0]["rows"] == 30_000, "{manifests:?}");
    let files = Files::open(&cloud.store("twice")).expect("a store");
    // Large enough to go up in chunks, by turns: whoever is done first takes away those of the others.
    let spool = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(spool.path(), vec![7; 20 << 20]).expect("a file");
    let keeps = (0..4).map(|_| async {
        let mut file = tokio::fs::File::open(spool.path()).await.expect("a file");
        files.keep("large", &mut file, 20 << 20).await
    });
    for kept in futures_util::future::join_all(keeps).await {
        kept.expect("a file that is kept");
    }
    assert_eq!(files.size("large").await.expect("an answer"), Some(20 << 20));
    once_of_sixteen(&files).await;
}
