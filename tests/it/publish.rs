//! Publishing: a relation becomes what everybody reads, checked, whole and at once, or nothing changes.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use martello::config::{self, Config};
use martello::publish::{Publisher, Request};
use martello::source::Sources;
use martello::store::Store;
use serde_json::{Value, json};

use crate::load::psql;
use crate::programs::{Ran, clickhouse, martello, python, ran, run};
use crate::support::{Answer, Backend, SECRET, Server, config};

const CONTRACT: &str = "
name: trial
family: signal
title: A trial
description: Rows of versions.
owner: trial@example.com
source: {name: marts, relation: RELATION}
primary_key: [id]
time: day
columns:
  - {name: id, type: int64, description: Key., filter: [eq, gte], sort: true}
  - {name: day, type: date, description: A day.}
  - {name: price, type: 'decimal(9,2)', nullable: true, description: A price., aggregate: [sum]}
  - {name: origin, type: string, description: Which version., filter: [eq]}
sla: {business_need: a, expectation: b, delivery: c, affected: d, breach: e, max_age: 1d}
checks:
  - range: {column: price, min: 0, max: 1000.5}
  - row_count: {min: 2}
  - unique: [id, day]
  - not_null: [origin]
versions: {keep: 2, for: 1h}
";
const ACCESS: &str = "
roles:
  - {name: internal_publisher, tier: internal, claims: {a: publisher}, formats: all, export: true, aggregate: true, datasets: {trial: {columns: all}}}
  - {name: reader, tier: client, claims: {a: reader}, formats: all, aggregate: true, datasets: {trial: {columns: all}}}
";

/// A catalog of one dataset over a schema or a file of its own, and a control store.
pub struct Trial {
    folder: tempfile::TempDir,
    backend: Backend,
    name: String,
    control: String,
}

impl Trial {
    /// SQLite goes with a store in a file, the others with one in Postgres.
    pub fn new(backend: Backend, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| folder.path().join(name).display().to_string();
        let control = match backend {
            Backend::Sqlite => format!("sqlite:{}", file("control.sqlite")),
            Backend::Postgres | Backend::ClickHouse => {
                let database = format!("control_{name}_{backend:?}").to_lowercase();
                run(psql(&format!("DROP DATABASE IF EXISTS {database}"))).well();
                run(as_administrator(&format!("CREATE DATABASE {database} OWNER martello"))).well();
                format!("{}/{database}", Backend::Postgres.url().rsplit_once('/').expect("a database").0)
            }
        };
        let trial = Self { backend, name: format!("{name}_{backend:?}").to_lowercase(), control, folder };
        let path = trial.folder.path();
        std::fs::create_dir_all(path.join("catalog/datasets")).expect("a folder");
        let contract = CONTRACT.replace("RELATION", &trial.relation("trial"));
        std::fs::write(path.join("catalog/datasets/trial.yaml"), contract).expect("written");
        std::fs::write(path.join("catalog/access.yaml"), ACCESS).expect("written");
        let written = format!(
            "catalog: '{}'\nsources: {{marts: {{url: '{}'}}}}\ncontrol: {{url: '{}'}}\nauth: {{hs256: '{SECRET}'}}\n",
            path.join("catalog").display(),
            trial.source(),
            trial.control,
        );
        std::fs::write(path.join("martello.yaml"), written).expect("written");
        match backend {
            Backend::Sqlite => {}
            Backend::Postgres => trial.sql(&format!("CREATE SCHEMA {}", trial.name)),
            Backend::ClickHouse => trial.sql(&format!("CREATE DATABASE {}", trial.name)),
        }
        trial.make("trial", "live");
        assert!(trial.martello(&["control", "init"]).well().contains(match backend {
            Backend::Sqlite => "has its tables",
            _ => "applied 20261125120000_versions",
        }));
        assert!(trial.martello(&["control", "init"]).well().contains("has its tables"));
        trial
    }

    fn source(&self) -> String {
        match self.backend {
            Backend::Sqlite => format!("sqlite:{}", self.folder.path().join("marts.sqlite").display()),
            other => other.url(),
        }
    }

    pub fn relation(&self, table: &str) -> String {
        match self.backend {
            Backend::Sqlite => table.to_owned(),
            _ => format!("{}.{table}", self.name),
        }
    }

    pub fn sql(&self, statement: &str) {
        let command = match self.backend {
            Backend::Postgres => psql(statement),
            Backend::ClickHouse => clickhouse(statement),
            Backend::Sqlite => {
                let script = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); base.execute(sys.argv[2]); base.commit()";
                python(&["-c", script, &self.folder.path().join("marts.sqlite").display().to_string(), statement])
            }
        };
        run(command).well();
    }

    /// A table like the contract's, with three rows.
    pub fn make(&self, table: &str, origin: &str) {
        let relation = self.relation(table);
        let columns = match self.backend {
            Backend::Sqlite => {
                "(id INTEGER PRIMARY KEY, day TEXT NOT NULL, price INTEGER, origin TEXT NOT NULL) STRICT"
            }
            Backend::Postgres => {
                "(id bigint PRIMARY KEY, day date NOT NULL, price numeric(9,2), origin text COLLATE \"C\" NOT NULL)"
            }
            Backend::ClickHouse => {
                "(id Int64, day Date32, price Nullable(Decimal(9, 2)), origin String) ENGINE = MergeTree ORDER BY id"
            }
        };
        self.sql(&format!("CREATE TABLE {relation} {columns}"));
        self.insert(
            table,
            &[
                (1, "'2024-01-01'", "1", origin),
                (2, "'2024-01-02'", "NULL", origin),
                (3, "'2024-02-29'", "100", origin),
            ],
        );
    }

    pub fn insert(&self, table: &str, rows: &[(i64, &str, &str, &str)]) {
        // SQLite's decimals are integers at their scale.
        let price =
            |price: &str| if self.backend == Backend::Sqlite { format!("{price} * 100") } else { price.to_owned() };
        let rows = rows.iter().map(|(id, day, value, origin)| format!("({id}, {day}, {}, '{origin}')", price(value)));
        let rows: Vec<String> = rows.collect();
        self.sql(&format!("INSERT INTO {} VALUES {}", self.relation(table), rows.join(", ")));
    }

    pub fn command(&self, arguments: &[&str]) -> std::process::Command {
        let file = self.folder.path().join("martello.yaml").display().to_string();
        martello(&[&["--config", &file], arguments].concat())
    }

    pub fn martello(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments))
    }

    pub fn publish(&self, table: &str) -> Ran {
        self.martello(&["publish", "trial", "--relation", &self.relation(table), "--operator", "tester"])
    }

    pub fn config(&self) -> Config {
        let mut config = config(self.backend);
        config.catalog = self.folder.path().join("catalog");
        config.sources.insert("marts".into(), config::Source::at(self.source()));
        config.control = Some(config::Control::at(&self.control));
        config
    }

    /// Adds to the configuration that commands read.
    pub fn configure(&self, text: &str) {
        let file = self.folder.path().join("martello.yaml");
        let written = std::fs::read_to_string(&file).expect("a configuration");
        std::fs::write(file, written + text).expect("written");
    }

    /// Changes the contract's text, for servers and commands that start from now on.
    pub fn amend(&self, text: &str, with: &str) {
        let file = self.folder.path().join("catalog/datasets/trial.yaml");
        let contract = std::fs::read_to_string(&file).expect("a contract");
        assert!(contract.contains(text), "{contract}");
        std::fs::write(file, contract.replacen(text, with, 1)).expect("written");
    }

    fn listed(&self) -> Vec<Value> {
        serde_json::from_str(self.martello(&["versions", "list", "trial", "--json"]).well()).expect("a list")
    }
}

/// A wire to a database that can be cut and mended.
pub struct Proxy {
    address: std::net::SocketAddr,
    url: String,
    open: tokio::sync::watch::Sender<bool>,
}

impl Proxy {
    pub async fn before(url: &str) -> Self {
        let (head, rest) = url.split_once("127.0.0.1:").expect("a local server");
        let (port, tail) = rest.split_once('/').expect("a database");
        let target = format!("127.0.0.1:{port}");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (open, is_open) = tokio::sync::watch::channel(true);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (target, mut is_open) = (target.clone(), is_open.clone());
                tokio::spawn(async move {
                    if !*is_open.borrow() {
                        return;
                    }
                    let Ok(mut far) = tokio::net::TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, url: format!("{head}{address}/{tail}"), open }
    }

    pub fn url(&self) -> String {
        assert!(self.url.contains(&self.address.to_string()));
        self.url.clone()
    }

    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }
}

fn as_administrator(statement: &str) -> std::process::Command {
    let mut command = psql(statement);
    command.args(["--username", "postgres", "--dbname", "postgres"]);
    let url = Backend::Postgres.url().replacen("//martello@", "//postgres@", 1);
    let url = format!("{}/postgres", url.rsplit_once('/').expect("a database").0);
    let program = command.get_program().to_owned();
    let mut command = std::process::Command::new(program);
    command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement, &url]);
    command
}

async fn page(server: &Server, target: &str) -> Answer {
    server.get("reader", &format!("/v1/datasets/trial/{target}")).await
}

/// Waits until the server serves that version, a second at most.
pub async fn serves(server: &Server, number: Option<u64>) -> Answer {
    for _ in 0..20 {
        let answer = page(server, "rows").await;
        if answer.json()["meta"]["version"] == json!(number) {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("version {number:?} is not served within a second: {}", page(server, "rows").await.text());
}

#[tokio::test]
async fn a_publish_is_read_by_every_instance_within_a_second() {
    for backend in Backend::ALL {
        let trial = Trial::new(backend, "seen");
        let servers = [Server::start(trial.config()).await, Server::start(trial.config()).await];
        for server in &servers {
            let live = serves(server, None).await;
            assert_eq!(
                (live.rows()[0]["origin"].as_str(), live.header("martello-dataset-version")),
                (Some("live"), None)
            );
        }
        for number in 1..=2_u64 {
            let table = format!("trial_{number}");
            trial.make(&table, &format!("v{number}"));
            let told = trial.publish(&table);
            assert!(
                told.well().contains(&format!(
                    "trial is at version {number}: {}, 3 rows, through 2024-02-29",
                    trial.relation(&table)
                )),
                "{told:?}"
            );
            for server in &servers {
                let answer = serves(server, Some(number)).await;
                let meta = &answer.json()["meta"];
                assert_eq!(answer.rows()[0]["origin"], json!(format!("v{number}")), "{backend:?}");
                assert_eq!(meta["data_through"], json!("2024-02-29"));
                let version = answer.header("martello-dataset-version").expect("a version").to_owned();
                assert!(version.starts_with(&format!("{number};id=\"")), "{version}");
                let freshness = answer.header("martello-freshness").expect("a freshness");
                assert!(
                    freshness.starts_with("published=@") && freshness.ends_with(", through=\"2024-02-29\", fresh"),
                    "{freshness}"
                );
                let dataset = page(server, "").await;
                assert_eq!(dataset.status, 404);
                let dataset = server.get("reader", "/v1/datasets/trial").await.json();
                assert_eq!((&dataset["data"]["version"], &dataset["data"]["fresh"]), (&json!(number), &json!(true)));
                let sum = page(server, "aggregate?measures=sum(price),count()").await.rows();
                assert_eq!(sum, [json!({"sum_price": 101.0, "count": 3})]);
            }
        }
        let versions = page(&servers[0], "versions").await.json()["data"].clone();
        assert_eq!(versions[0]["number"], json!(2));
        assert_eq!(
            (&versions[0]["current"], &versions[1]["current"], &versions[1]["available"]),
            (&json!(true), &json!(false), &json!(true))
        );
        assert!(versions[0].get("relation").is_none() && versions[0].get("operator").is_none(), "{versions}");
        let inside = servers[0].get("internal_publisher", "/v1/datasets/trial/versions").await.json();
        assert_eq!(
            (&inside["data"][0]["operator"], &inside["data"][0]["relation"]),
            (&json!("tester"), &json!(trial.relation("trial_2")))
        );
        // The facts of a file say which version it is of.
        let parquet = page(&servers[1], "rows?format=arrow").await.body;
        let reader = arrow_ipc::reader::StreamReader::try_new(parquet.as_slice(), None).expect("a stream");
        assert_eq!(reader.schema().metadata()["martello.version"], "2");
        for server in servers {
            server.stop().await;
        }
    }
}

#[tokio::test]
async fn what_does_not_meet_its_checks_changes_nothing_and_says_all_that_is_wrong() {
    for backend in Backend::ALL {
        let trial = Trial::new(backend, "checked");
        let complaint = |table: &str| trial.publish(table).complaint().to_owned();
        let none = complaint("nowhere");
        assert!(none.contains("does not keep its contract") && none.contains("none of that name"), "{none}");
        trial.make("outside", "v1");
        trial.insert("outside", &[(4, "'2024-03-01'", "1001", "v1"), (5, "'2024-03-01'", "-1", "v1")]);
        let outside = complaint("outside");
        assert!(outside.contains("price lies between 0 and 1000.5: 2 rows lie outside"), "{outside}");
        trial.make("empty", "v1");
        let emptied = if backend == Backend::ClickHouse { "TRUNCATE TABLE" } else { "DELETE FROM" };
        trial.sql(&format!("{emptied} {}", trial.relation("empty")));
        let empty = complaint("empty");
        assert!(empty.contains("rows between 2 and any: there are 0"), "{empty}");
        // Views have no constraints, and ClickHouse none at all.
        trial.make("once", "v1");
        let twice = format!(
            "CREATE VIEW {} AS SELECT id, day, price, origin FROM {once} UNION ALL SELECT id, day, price, NULL FROM {once} WHERE id > 1",
            trial.relation("twice"),
            once = trial.relation("once"),
        );
        trial.sql(&twice);
        let twice = complaint("twice");
        for said in [
            "(id) is in one row: 2 are in more than one row",
            "(id, day) is in one row: 2",
            "origin is never null: 2 rows have none",
        ] {
            assert!(twice.contains(said), "{backend:?}: {said}\n{twice}");
        }
        assert_eq!(trial.listed(), [] as [Value; 0]);
        let server = Server::start(trial.config()).await;
        serves(&server, None).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_walk_of_pages_stays_on_its_version_while_that_is_kept() {
    let trial = Trial::new(Backend::Postgres, "walked");
    trial.make("one", "v1");
    trial.publish("one").well();
    let server = Server::start(trial.config()).await;
    let first = page(&server, "rows?limit=1&sort=id").await.json();
    let cursor = first["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
    assert_eq!(first["data"][0]["origin"], "v1");
    trial.make("two", "v2");
    trial.publish("two").well();
    serves(&server, Some(2)).await;
    let target = format!("rows?limit=1&sort=id&cursor={cursor}");
    let second = page(&server, &target).await;
    assert_eq!((&second.rows()[0]["origin"], &second.json()["meta"]["version"]), (&json!("v1"), &json!(1)));
    assert!(second.json()["page"].get("version_changed").is_none());
    // Two versions more and some time, and the first is dropped.
    for table in ["three", "four"] {
        trial.make(table, table);
        trial.publish(table).well();
    }
    assert_eq!(trial.martello(&["versions", "prune"]).well(), "", "what was current a moment ago is kept");
    let earlier = "UPDATE martello.version SET retired_at = retired_at - interval '2 hours'";
    let mut command = psql(earlier);
    command.arg(format!("--dbname={}", trial.control));
    run(command).well();
    let pruned = trial.martello(&["versions", "prune", "trial"]);
    assert_eq!(pruned.well().lines().count(), 2, "{pruned:?}");
    assert!(pruned.well().contains("trial lost version 1: walked_postgres.one"), "{pruned:?}");
    let gone = run(psql(
        "SELECT to_regclass('walked_postgres.one') IS NULL AND to_regclass('walked_postgres.three') IS NOT NULL",
    ));
    assert_eq!(gone.well().trim(), "t");
    serves(&server, Some(4)).await;
    let changed = page(&server, &target).await;
    assert_eq!(
        (&changed.json()["page"]["version_changed"], &changed.rows()[0]["origin"]),
        (&json!(true), &json!("four"))
    );
    assert_eq!(page(&server, &format!("{target}&format=csv")).await.header("martello-version-changed"), Some("?1"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishes_at_the_same_time_come_one_after_another() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let trial = Trial::new(backend, "serial");
        let tables: Vec<String> = (0..6).map(|place| format!("table_{place}")).collect();
        tables.iter().for_each(|table| trial.make(table, table));
        let catalog = martello::catalog::load(&trial.folder.path().join("catalog")).expect("a catalog");
        let dataset = catalog.get("trial").expect("a dataset");
        let config = trial.config();
        let sources = Sources::open(&config.sources).expect("sources");
        let source = sources.get(&dataset.source).expect("a source");
        let store = Store::open(&trial.control).expect("a store");
        let publishes = tables.iter().map(|table| {
            let relation = trial.relation(table).parse().expect("a relation");
            let request = Request { relation, data_through: None, operator: "tester".into() };
            let publisher = Publisher { store: &store, dataset };
            async move { publisher.publish(source.as_ref(), request).await.expect("a version").number }
        });
        let mut numbers: Vec<u64> = join_all(publishes).await;
        numbers.sort_unstable();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "{backend:?}");
        let listed = trial.listed();
        let current: Vec<&Value> = listed.iter().filter(|version| version["current"] == json!(true)).collect();
        assert!(current.len() == 1 && current[0]["number"] == json!(6), "{listed:?}");
    }
}

#[tokio::test]
async fn a_rollback_serves_an_older_version_as_a_new_one() {
    let trial = Trial::new(Backend::Postgres, "rolled");
    let complaint = trial.martello(&["rollback", "trial"]);
    assert!(complaint.complaint().contains("nothing was published"), "{complaint:?}");
    for table in ["one", "two"] {
        trial.make(table, table);
        trial.publish(table).well();
    }
    let server = Server::start(trial.config()).await;
    let told = trial.martello(&["rollback", "trial"]);
    assert!(
        told.well().contains("trial is at version 3: rolled_postgres.one") && told.well().contains("as 1 was"),
        "{told:?}"
    );
    assert_eq!(serves(&server, Some(3)).await.rows()[0]["origin"], "one");
    trial.martello(&["rollback", "trial", "--to", "2"]).well();
    assert_eq!(serves(&server, Some(4)).await.rows()[0]["origin"], "two");
    let unknown = trial.martello(&["rollback", "trial", "--to", "9"]);
    assert!(unknown.complaint().contains("version 9 of trial: kept are 4, 3, 2, 1, and 4 is current"), "{unknown:?}");
    // A relation is never written again, and so never published again but by a rollback.
    let again = trial.publish("one");
    assert!(again.complaint().contains("martello rollback serves it again"), "{again:?}");
    server.stop().await;
}

/// Writes a file of rows for `load`.
fn parquet(folder: &Path, name: &str, rows: &str) -> String {
    let file = folder.join(name).display().to_string();
    let script = "import sys, datetime, decimal, polars as pl
rows = eval(sys.argv[2])
pl.DataFrame({'id': [row[0] for row in rows], 'day': [datetime.date(2024, 1, row[0]) for row in rows],
    'price': pl.Series([decimal.Decimal(row[1]) for row in rows], dtype=pl.Decimal(9, 2)),
    'origin': [row[2] for row in rows]}).write_parquet(sys.argv[1])";
    run(python(&["-c", script, &file, rows])).well();
    file
}

#[tokio::test]
async fn a_load_may_publish_and_leaves_nothing_when_it_may_not() {
    for backend in Backend::ALL {
        let trial = Trial::new(backend, "loaded");
        let server = Server::start(trial.config()).await;
        let load = |file: &str| {
            trial.martello(&[
                "load",
                "--source",
                "marts",
                "--dataset",
                "trial",
                "--publish",
                "--operator",
                "tester",
                file,
            ])
        };
        let good = parquet(trial.folder.path(), "good", "[(1, '1.50', 'file'), (2, '2', 'file'), (3, '3', 'file')]");
        let told = load(&good);
        assert!(
            told.well().contains(&format!(
                "trial is at version 1: {}, 3 rows, through 2024-01-03",
                trial.relation("trial__v1")
            )),
            "{told:?}"
        );
        assert_eq!(serves(&server, Some(1)).await.rows()[0]["origin"], "file", "{backend:?}");
        let bad = parquet(trial.folder.path(), "bad", "[(1, '1.50', 'file'), (2, '5000', 'file')]");
        let refused = load(&bad);
        assert!(
            refused.complaint().contains("price lies between") && !refused.complaint().contains("left behind"),
            "{refused:?}"
        );
        // Its place is free again.
        let again = load(&good);
        assert!(
            again.well().contains("trial is at version 2") && again.well().contains("trial__v2"),
            "{backend:?} {again:?}"
        );
        serves(&server, Some(2)).await;
        server.stop().await;
    }
}

async fn post(server: &Server, role: Option<&str>, target: &str, body: &str) -> Answer {
    let client = reqwest::Client::new();
    let mut request = client.post(format!("{}{target}", server.admin)).body(body.to_owned());
    if let Some(role) = role {
        request = request.bearer_auth(server.token(role));
    }
    server.send(request).await
}

#[tokio::test]
async fn a_pipeline_publishes_by_one_call_on_the_admin_listener() {
    let trial = Trial::new(Backend::Postgres, "called");
    trial.make("one", "v1");
    trial.make("two", "v2");
    trial.sql("DELETE FROM called_postgres.two WHERE id > 1");
    let server = Server::start(trial.config()).await;
    let target = "/v1/datasets/trial/publish";
    let body = json!({"relation": "called_postgres.one", "data_through": "2024-02-28"}).to_string();
    for (role, target, body, status, problem) in [
        (None, target, body.as_str(), 401, "unauthenticated"),
        (Some("reader"), target, &body, 403, "not-a-publisher"),
        (Some("internal_publisher"), "/v1/datasets/none/publish", &body, 404, "not-found"),
        (Some("internal_publisher"), target, "{", 400, "malformed-request"),
        (Some("internal_publisher"), target, r#"{"relation": "x", "more": 1}"#, 400, "malformed-request"),
        (Some("internal_publisher"), target, r#"{"relation": "A B"}"#, 400, "invalid-literal"),
        (Some("internal_publisher"), target, r#"{"relation": "x", "data_through": "soon"}"#, 400, "invalid-literal"),
        (Some("internal_publisher"), target, r#"{"relation": "called_postgres.two"}"#, 422, "not-published"),
        (Some("internal_publisher"), target, r#"{"relation": "called_postgres.none"}"#, 422, "not-published"),
        (Some("internal_publisher"), "/v1/datasets/trial/rollback", "", 422, "not-published"),
    ] {
        let answer = post(&server, role, target, body).await;
        assert_eq!(
            (answer.status, answer.problem().as_str()),
            (status, problem),
            "{role:?} {target} {body}: {}",
            answer.text()
        );
    }
    assert!(
        post(&server, Some("internal_publisher"), target, r#"{"relation": "called_postgres.two"}"#)
            .await
            .text()
            .contains("there are 1")
    );
    let answer = post(&server, Some("internal_publisher"), target, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let version = answer.json()["data"].clone();
    assert_eq!(
        (&version["number"], &version["rows"], &version["data_through"]),
        (&json!(1), &json!(3), &json!("2024-02-28"))
    );
    assert_eq!(serves(&server, Some(1)).await.json()["meta"]["data_through"], "2024-02-28");
    // Asked again, it is the same version.
    assert_eq!(post(&server, Some("internal_publisher"), target, &body).await.json()["data"], version);
    // On the public listener there is no such thing.
    let request = server.request(reqwest::Method::POST, target).bearer_auth(server.token("internal_publisher"));
    assert_eq!(server.send(request.body(body.clone())).await.status, 404);
    // The store goes: what is published stays, and nothing can be.
    run(as_administrator("DROP DATABASE control_called_postgres WITH (FORCE)")).well();
    let refused = post(&server, Some("internal_publisher"), "/v1/datasets/trial/rollback", "").await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "control-unavailable"));
    assert!(refused.header("retry-after").is_some());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(page(&server, "rows").await.json()["meta"]["version"], json!(1));
    let metrics = server.admin("/metrics").await.text();
    assert!(
        metrics.contains("martello_dataset_version{dataset=\"trial\"} 1")
            && metrics.contains("martello_store_errors_total"),
        "{metrics}"
    );
    server.stop().await;
}

#[tokio::test]
async fn a_store_without_tables_says_how_to_make_them() {
    let trial = Trial::new(Backend::Postgres, "untold");
    let mut config = trial.config();
    config.control = Some(config::Control::at(Backend::Postgres.url()));
    let told = martello::app::start(config, martello::telemetry::collect().expect("metrics")).await;
    let error = told.err().map(|error| martello::telemetry::chain(&error)).expect("a refusal");
    assert!(error.contains("martello control init"), "{error}");
    let without = ran({
        let file = trial.folder.path().join("without.yaml");
        let text = std::fs::read_to_string(trial.folder.path().join("martello.yaml")).expect("a file");
        let text: String =
            text.lines().filter(|line| !line.starts_with("control")).map(|line| format!("{line}\n")).collect();
        std::fs::write(&file, text).expect("written");
        martello(&["--config", &file.display().to_string(), "versions", "list", "trial"])
    })
    .await;
    assert!(without.complaint().contains("expected control.url"), "{without:?}");
}
