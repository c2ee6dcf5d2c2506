//! `martello demo`: what the README promises to someone who has just built the binary.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use martello::clock;
use serde_json::Value;

use crate::programs::{martello, run};

/// Loading all of the demo's data takes seconds; on a machine that is busy with other tests, more.
const START_MAX: Duration = Duration::from_secs(90);
/// What an orchestrator gives a process before it kills it.
const STOP_MAX: Duration = Duration::from_secs(15);
const PAUSE: Duration = Duration::from_millis(50);

/// A demo that runs. Its temporary folders are made in a folder of its own.
struct Demo {
    child: Child,
    folder: tempfile::TempDir,
    variables: BTreeMap<String, String>,
    client: reqwest::Client,
}

impl Drop for Demo {
    fn drop(&mut self) {
        // After a failed assertion; one that has ended is only reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command, with its temporary folder and its file of variables in a folder.
fn command(folder: &Path, arguments: &[&str]) -> (Command, PathBuf) {
    let file = folder.join("demo.env");
    let temporary = folder.join("tmp");
    std::fs::create_dir_all(&temporary).expect("a folder");
    let mut command = martello(&["demo", "--admin-listen", "127.0.0.1:0", "--env-file"]);
    command.arg(&file).args(arguments).env("TMPDIR", temporary);
    (command, file)
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut command, file) = command(folder.path(), &[&["--listen", "127.0.0.1:0"], arguments].concat());
        let output = |name: &str| Stdio::from(File::create(folder.path().join(name)).expect("a file"));
        let mut child = command.stdout(output("out")).stderr(output("err")).spawn().expect("a process");
        let said = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect("a text");
        let begun = clock::instant();
        while !(file.exists() && said("out").ends_with("Ctrl-C ends it.\n")) {
            if let Some(status) = child.try_wait().expect("a state") {
                panic!("the demo ended with {status}: {}", said("err"));
            }
            assert!(begun.elapsed() < START_MAX, "the demo does not start");
            std::thread::sleep(PAUSE);
        }
        let text = std::fs::read_to_string(&file).expect("a text");
        let pair = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = text.lines().map(|line| pair(line).expect("NAME=VALUE")).collect();
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().expect("a client");
        Self { child, folder, variables, client }
    }

    #[track_caller]
    fn variable(&self, name: &str) -> &str {
        self.variables.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.variables.keys()))
    }

    async fn get(&self, token: Option<&str>, url: &str) -> (u16, String) {
        let url = if url.starts_with('/') { format!("{}{url}", self.variable("MARTELLO_URL")) } else { url.to_owned() };
        let request = self.client.get(url);
        let request = if let Some(token) = token { request.bearer_auth(token) } else { request };
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a text"))
    }

    /// A page that was answered with 200.
    async fn page(&self, who: &str, target: &str) -> Value {
        let (status, text) = self.get(Some(self.variable(&format!("MARTELLO_{who}_TOKEN"))), target).await;
        assert_eq!(status, 200, "{target}: {text}");
        serde_json::from_str(&text).expect("JSON")
    }

    async fn rows(&self, who: &str, target: &str) -> Vec<Value> {
        self.page(who, target).await["data"].as_array().expect("rows").clone()
    }

    /// What it has printed.
    fn said(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).expect("a text")
    }

    /// Ends it as an orchestrator does. Nothing temporary is left.
    fn stop(mut self) {
        let kill = format!("kill -TERM {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
        let begun = clock::instant();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("a state") {
                break status;
            }
            assert!(begun.elapsed() < STOP_MAX, "SIGTERM does not end the demo");
            std::thread::sleep(PAUSE);
        };
        assert_eq!(status.code(), Some(0));
        let temporary = self.folder.path().join("tmp");
        let left: Vec<_> = std::fs::read_dir(&temporary).expect("a folder").collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

#[tokio::test]
async fn the_demo_answers_what_the_readme_promises_and_goes_without_a_trace() {
    let demo = Demo::start(&[]);
    let url = demo.variable("MARTELLO_URL").to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(Path::new(demo.variable("MARTELLO_DATA")).join("price_daily.parquet").is_file());
    assert!(Path::new(demo.variable("MARTELLO_FOLDER")).join("martello.yaml").is_file());
    let ready = format!("{}/readyz", demo.variable("MARTELLO_ADMIN_URL"));
    assert_eq!(demo.get(None, &ready).await.0, 200);

    let bars = demo.rows("CLIENT", "/v1/datasets/price_daily/rows?symbol=AAPL&sort=-date&limit=100").await;
    assert_eq!((bars.len(), &bars[0]["date"]), (100, &Value::from("2014-12-31")));
    assert!(bars.windows(2).all(|pair| pair[0]["date"].as_str() > pair[1]["date"].as_str()));

    for (as_of, revenue) in [("2009-12-31", 36_537_000_000.0), ("2010-02-01", 42_905_000_000.0)] {
        let question = "symbol=AAPL&metric=revenue&period_type=fiscal_year&period_end=2009-09-26";
        let target = format!("/v1/datasets/fundamental/rows?{question}&as_of={as_of}");
        for who in ["INTERNAL", "CLIENT"] {
            let rows = demo.rows(who, &target).await;
            assert_eq!((rows.len(), rows[0]["value"].as_f64()), (1, Some(revenue)), "{who} {as_of}");
        }
    }

    let crosses = |signal| format!("/v1/datasets/signal/rows?symbol=IBM&signal={signal}&sort=active_from&limit=100");
    let golden = demo.rows("CLIENT", &crosses("golden_cross")).await;
    let death = demo.rows("CLIENT", &crosses("death_cross")).await;
    assert_eq!((golden.len(), death.len()), (10, 9));
    assert_eq!((&golden[0]["active_from"], &golden[9]["active_from"]), (&"2001-05-29".into(), &"2013-02-13".into()));

    let mut facts = HashSet::new();
    let mut cursor = String::new();
    loop {
        let target = format!("/v1/datasets/fundamental/rows?symbol=AAPL&select=fact_id&limit=20{cursor}");
        let page = demo.page("CLIENT", &target).await;
        for row in page["data"].as_array().expect("rows") {
            assert!(facts.insert(row["fact_id"].as_i64().expect("an id")), "{row} comes twice");
        }
        match page["page"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(facts.len(), 2_514);

    let columns = async |who| {
        let row = demo.rows(who, "/v1/datasets/price_daily/rows?limit=1").await.remove(0);
        row.as_object().expect("a row").keys().cloned().collect::<HashSet<String>>()
    };
    let (basic, client, internal) = (columns("BASIC").await, columns("CLIENT").await, columns("INTERNAL").await);
    assert!(basic.is_subset(&client) && client.contains("adj_close") && !basic.contains("adj_close"), "{basic:?}");
    assert!(client.is_subset(&internal) && internal.contains("source") && !client.contains("source"), "{internal:?}");
    let (status, text) = demo.get(Some(demo.variable("MARTELLO_BASIC_TOKEN")), "/v1/datasets/fundamental/rows").await;
    assert_eq!(status, 404, "{text}");

    let mut forged = demo.variable("MARTELLO_INTERNAL_TOKEN").to_owned();
    forged.replace_range(forged.len() - 8.., "AAAAAAAA");
    for token in [None, Some("wrong"), Some(forged.as_str())] {
        let (status, text) = demo.get(token, "/v1/datasets").await;
        assert_eq!(status, 401, "{text}");
    }

    // What it prints can be pasted: each line of curl is answered, with the token that it names.
    let said = demo.said();
    assert!(said.contains(&format!("serves 7 datasets at {url}")), "{said}");
    let exported = |line: &str| {
        line.strip_prefix("export ")
            .and_then(|line| line.split_once('=').map(|(name, value)| (format!("${name}"), value.to_owned())))
    };
    let tokens: Vec<(String, String)> = said.lines().filter_map(exported).collect();
    let mut pasted = 0;
    for line in said.lines().filter(|line| line.starts_with("curl ")) {
        let target = line.rsplit(' ').next().expect("a word").trim_matches('\'');
        let token = tokens.iter().find(|(name, _)| line.contains(name.as_str())).map(|(_, token)| token.as_str());
        if let Some((_, body)) = line.split_once("--json '") {
            let body = body.split_once('\'').expect("the end of the body").0.to_owned();
            let request = reqwest::Client::new().post(target).header("content-type", "application/json").body(body);
            let answer = request.bearer_auth(token.expect("a token")).send().await.expect("an answer");
            assert_eq!(answer.status(), 202, "{line}");
            let place = answer.headers()["location"].to_str().expect("a place").to_owned();
            while demo.page("INTERNAL", &place).await["data"]["state"] != "done" {}
        } else {
            let (status, text) = demo.get(token, target).await;
            assert_eq!(status, 200, "{line}: {text}");
        }
        pasted += 1;
    }
    assert_eq!((tokens.len(), pasted), (2, 5), "{said}");
    let docs = said.lines().find(|line| line.ends_with("/docs")).expect("the documentation");
    assert_eq!(demo.get(None, docs).await.0, 200);
    demo.stop();
}

#[tokio::test]
async fn a_named_folder_is_kept_with_its_keys_and_a_configuration_for_other_commands() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kept").display().to_string();
    let demo = Demo::start(&["--folder", &path]);
    assert_eq!(demo.variable("MARTELLO_FOLDER"), path);
    let early = demo.variable("MARTELLO_BASIC_TOKEN").to_owned();
    let bars = "/v1/datasets/price_daily/rows?symbol=AAPL&limit=2";
    let cursor = demo.page("BASIC", bars).await["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
    demo.stop();

    let configuration = format!("{path}/martello.yaml");
    let minted = run(martello(&["token", "mint", "--config", &configuration, "--role", "client_basic"]));
    let minted = minted.well().trim().to_owned();
    run(martello(&["catalog", "check", "--config", &configuration, "--against", "marts"])).well();

    let demo = Demo::start(&["--folder", &path]);
    for token in [early, minted] {
        let (status, text) = demo.get(Some(&token), &format!("{bars}&cursor={cursor}")).await;
        assert_eq!(status, 200, "{text}");
    }
    demo.stop();
}

#[test]
fn a_second_demo_on_the_same_port_says_which_address_is_taken() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let (command, file) = command(folder.path(), &["--listen", &address]);
    let ran = run(command);
    let complaint = ran.complaint();
    assert!(complaint.contains(&format!("listen on {address}")) && complaint.lines().count() == 1, "{complaint}");
    assert!(!file.exists());
    assert_eq!(std::fs::read_dir(folder.path().join("tmp")).expect("a folder").count(), 0);
}
