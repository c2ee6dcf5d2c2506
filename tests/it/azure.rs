//! Files in an Azure, which Azurite stands for: as in an S3, but that it signs no links.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use martello::config::{FileStore, Secret};
use martello::publish::files::Files;
use reqwest::Method;
use serde_json::{Value, json};

use crate::programs::{node, python, ran, run};
use crate::publish::{Trial, serves};
use crate::s3::{PIECE_BYTES, config, export, large, link, listed, only, sha256};
use crate::support::{Server, variable};

const ACCOUNT: &str = "martello";
const CONTAINER: &str = "martello-tests";

/// A private Azurite with one container, which ends with it.
struct Azure {
    running: Child,
    url: String,
    key: String,
}

impl Azure {
    fn start() -> Self {
        let program = Path::new(&variable("MARTELLO_TEST_AZURITE")).join("node_modules/azurite/dist/src/blob/main.js");
        let key = STANDARD.encode("a key of the tests, of 32 bytes or more");
        let mut command = node(&[&program.display().to_string(), "--blobPort", "0", "--inMemoryPersistence"]);
        command.args(["--disableTelemetry", "--silent"]).env("AZURITE_ACCOUNTS", format!("{ACCOUNT}:{key}"));
        let mut running = command.stdout(Stdio::piped()).spawn().expect("an Azurite");
        let said = BufReader::new(running.stdout.take().expect("an output"));
        let mut lines = said.lines().map(|line| line.expect("a line"));
        let url = lines.find_map(|line| line.split_once("listens on ").map(|(_, url)| url.to_owned()));
        let azure = Self { running, url: url.expect("an Azurite that answers"), key };
        let account = format!("{ACCOUNT}:{}", azure.key);
        run(python(&["tests/support/azure.py", &azure.url, &account, CONTAINER])).well();
        azure
    }

    fn options(&self) -> [(&'static str, String); 4] {
        [
            ("account_name", ACCOUNT.to_owned()),
            ("account_key", self.key.clone()),
            ("endpoint", format!("{}/{ACCOUNT}", self.url)),
            ("allow_http", "true".to_owned()),
        ]
    }

    fn store(&self, folder: &str) -> FileStore {
        let options = self.options().map(|(name, value)| (name.to_owned(), Secret::from(value)));
        FileStore { url: Some(format!("az://{CONTAINER}/{folder}")), options: options.into_iter().collect() }
    }

    fn configure(&self, trial: &Trial, folder: &str) {
        crate::s3::configure(trial, &format!("az://{CONTAINER}/{folder}"), &self.options(), "");
    }
}

impl Drop for Azure {
    fn drop(&mut self) {
        // Nothing of it is to be kept; where it has ended already, that is what is wanted.
        let _ = self.running.kill();
        let _ = self.running.wait();
    }
}

#[tokio::test]
async fn files_are_kept_in_azure_and_fetched_through_this_server() {
    let azure = Azure::start();
    let trial = large("azure", 30_000);
    azure.configure(&trial, "some/where");
    export(&trial).well();
    let files = Files::open(&azure.store("some/where")).expect("a store");
    let server = Server::start(config(&trial, azure.store("some/where"))).await;
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
    drop(azure);
    assert_eq!(server.get("reader", "/v1/assets").await.problem(), "files-unavailable");
    server.stop().await;
}

#[tokio::test]
async fn of_two_who_write_the_same_into_azure_one_writes() {
    let azure = Azure::start();
    let trial = large("azure_twice", 30_000);
    azure.configure(&trial, "twice");
    let exports = ["one", "two"]
        .map(|operator| trial.command(&["export", "trial", "--format", "csv", "--json", "--operator", operator]));
    let told = futures_util::future::join_all(exports.map(ran)).await;
    let told: Vec<Value> = told.iter().map(|told| serde_json::from_str(told.well()).expect("a report")).collect();
    let manifests: Vec<&Value> = told.iter().map(|told| &told["written"][0]["manifest"]).collect();
    assert!(manifests[0] == manifests[1] && manifests[0]["rows"] == 30_000, "{manifests:?}");
    let files = Files::open(&azure.store("twice")).expect("a store");
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
    let puts = (0..16).map(|turn| {
        let files = files.clone();
        async move { files.put("once", turn.to_string().into()).await.expect("an answer").then_some(turn) }
    });
    let won: Vec<i32> = futures_util::future::join_all(puts).await.into_iter().flatten().collect();
    let [won] = won[..] else { panic!("{won:?} have written") };
    assert_eq!(files.read("once").await.expect("an answer").expect("a file"), won.to_string());
}
