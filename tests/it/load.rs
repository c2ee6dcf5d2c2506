//! `martello load`: all of a file or nothing of it, and a complaint that names the row and the column.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::programs::{Ran, clickhouse, martello, python, run};
use crate::support::{Backend, variable};

/// Every type, with the columns of `tests/python/parquet.py`.
const CONTRACT: &str = r"
name: trial
family: signal
title: A trial
description: Rows to be loaded.
owner: trial@example.com
source: {name: marts, relation: RELATION}
primary_key: [id]
columns:
  - {name: id, type: int64, description: Key.}
  - {name: note, type: string, nullable: true, description: A text.}
  - {name: day, type: date, description: A day.}
  - {name: seen, type: timestamp, description: An instant.}
  - {name: price, type: 'decimal(9,2)', description: A price.}
  - {name: ratio, type: float64, description: A ratio.}
  - {name: small, type: int32, description: A small number.}
  - {name: good, type: bool, description: A flag.}
  - {name: tags, type: list<string>, description: Tags.}
  - {name: doc, type: json, description: A document.}
sla: {business_need: a, expectation: b, delivery: c, affected: d, breach: e}
";
const TABLE: &str = r#"(id bigint PRIMARY KEY, note text COLLATE "C", day date NOT NULL, seen timestamptz NOT NULL,
  price numeric(9,2) NOT NULL, ratio double precision NOT NULL, small integer NOT NULL, good boolean NOT NULL,
  tags text[] COLLATE "C" NOT NULL, doc jsonb NOT NULL)"#;

const CLICKHOUSE_TABLE: &str = "(id Int64, note Nullable(String), day Date32, seen DateTime64(6, 'UTC'),
  price Decimal(9, 2), ratio Float64, small Int32, good Bool, tags Array(String), doc String) ENGINE = MergeTree ORDER BY id";

/// A catalog of one dataset, a configuration and the files, over a database schema or a file of its own.
struct Trial {
    folder: tempfile::TempDir,
    backend: Backend,
    relation: String,
}

impl Trial {
    fn new(backend: Backend, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let relation = match backend {
            Backend::Sqlite => "trial".to_owned(),
            Backend::Postgres | Backend::ClickHouse => format!("{name}.trial"),
        };
        let trial = Self { folder, backend, relation };
        let write = |file: &str, text: &str| std::fs::write(trial.folder.path().join(file), text).expect("written");
        std::fs::create_dir_all(trial.folder.path().join("catalog/datasets")).expect("a folder");
        write("catalog/datasets/trial.yaml", &CONTRACT.replace("RELATION", &trial.relation));
        write(
            "catalog/access.yaml",
            "roles: [{name: any, tier: internal, claims: {a: b}, datasets: {trial: {columns: all}}}]",
        );
        let url = match backend {
            Backend::Sqlite => format!("sqlite:{}", trial.path("marts.sqlite")),
            Backend::Postgres | Backend::ClickHouse => backend.url(),
        };
        let secret = "a secret of the tests, of 32 bytes or more";
        let config = format!(
            "catalog: '{}'\nsources: {{marts: {{url: '{url}'}}}}\nauth: {{hs256: '{secret}'}}\npaging: {{cursor_key: '{secret}'}}\n",
            trial.path("catalog")
        );
        write("martello.yaml", &config);
        run(python(&["tests/python/parquet.py", &trial.path("")])).well();
        match backend {
            Backend::Sqlite => {}
            Backend::Postgres => {
                trial.sql(&format!("CREATE SCHEMA {name}"));
                trial.sql(&format!("CREATE TABLE {} {TABLE}", trial.relation));
            }
            Backend::ClickHouse => {
                trial.sql(&format!("CREATE DATABASE {name}"));
                trial.sql(&format!("CREATE TABLE {} {CLICKHOUSE_TABLE}", trial.relation));
            }
        }
        trial
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// What a statement answers, as text.
    fn sql(&self, statement: &str) -> String {
        let command = match self.backend {
            Backend::Postgres => psql(statement),
            Backend::ClickHouse => clickhouse(&format!(
                "{statement} FORMAT CustomSeparated SETTINGS format_custom_field_delimiter='|', format_custom_escaping_rule='Raw'"
            )),
            Backend::Sqlite => {
                let script = "import sqlite3, sys; [print(*row, sep='|') for row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])]";
                python(&["-c", script, &self.path("marts.sqlite"), statement])
            }
        };
        run(command).well().trim().to_owned()
    }

    fn rows(&self) -> String {
        self.sql(&format!("SELECT count(*), min(id), max(id) FROM {}", self.relation))
    }

    fn load(&self, file: &str, more: &[&str]) -> Ran {
        let (config, file) = (self.path("martello.yaml"), self.path(&format!("{file}.parquet")));
        let mut arguments = vec!["load", "--config", &config, "--source", "marts", "--dataset", "trial"];
        arguments.extend(more);
        arguments.push(&file);
        run(martello(&arguments))
    }
}

/// psql in the database of the marts, as its owner.
pub fn psql(statement: &str) -> Command {
    let mut command = Command::new(Path::new(&variable("MARTELLO_TEST_PG_BIN")).join("psql"));
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--tuples-only",
        "--no-align",
        "--set=ON_ERROR_STOP=1",
        "--command",
        statement,
    ]);
    command.arg(Backend::Postgres.url());
    command
}

#[test]
fn a_file_replaces_the_rows_or_is_appended_and_the_command_says_how_many() {
    for backend in Backend::ALL {
        let trial = Trial::new(backend, "load_whole");
        for file in ["good", "good"] {
            let said = trial.load(file, &[]);
            let said = said.well();
            let expected = format!("20000 rows into {} of marts in ", trial.relation);
            assert!(said.starts_with(&expected) && said.ends_with(" s\n"), "{said}");
            assert_eq!(trial.rows(), "20000|1|20000");
        }
        assert!(trial.load("second", &["--append"]).well().starts_with("3 rows into"));
        assert_eq!(trial.rows(), "20003|1|20003");
        assert!(trial.load("second", &[]).well().starts_with("3 rows into"));
        assert_eq!(trial.rows(), "3|20001|20003");
        assert!(trial.load("empty", &[]).well().starts_with("0 rows into"));
        assert!(trial.rows().starts_with("0|"));
    }
}

#[tokio::test]
async fn what_was_loaded_is_served_digit_for_digit_from_every_source() {
    let mut answers = Vec::new();
    for backend in Backend::ALL {
        let trial = Trial::new(backend, "load_served");
        trial.load("good", &[]).well();
        let config = martello::config::load(Some(Path::new(&trial.path("martello.yaml")))).expect("a configuration");
        let mut config = config;
        config.http.listen = "127.0.0.1:0".parse().expect("an address");
        config.admin.listen = config.http.listen;
        let server = crate::support::Server::start(config).await;
        let row = server.get("any", "/v1/datasets/trial/rows/10").await;
        let value: Value = row.json()["data"].clone();
        assert_eq!(value["note"], "tab\tquote\"back\\slash\nline 10");
        assert_eq!(value["tags"], serde_json::json!(["a10", "b\"\\,{}"]));
        assert_eq!(value["seen"], "2020-01-01T00:00:00.000010Z");
        assert!(row.text().contains(r#""price":0.10,"ratio":1.25,"small":10,"good":true"#), "{}", row.text());
        assert!(row.text().contains(r#""doc":{"a":[10],"b":1.50}"#), "{}", row.text());
        answers.push(server.get("any", "/v1/datasets/trial/rows?limit=1000").await.text());
        server.stop().await;
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{}", answers.join("\n"));
}

#[test]
fn a_file_that_does_not_fit_changes_nothing_and_is_told_why() {
    for backend in Backend::ALL {
        let trial = Trial::new(backend, "load_unfit");
        trial.load("second", &[]).well();
        // A key that is there already is the database's to find.
        let twice: &[&str] = match backend {
            Backend::Sqlite => &["load trial", "UNIQUE constraint failed: trial.id"],
            Backend::Postgres => &["load trial", "line 18000", "Key (id)=(5) already exists"],
            Backend::ClickHouse => &["load trial", "keep one row a key: two have 5"],
        };
        let cases: [(&str, &[&str]); 12] = [
            ("missing", &["missing.parquet", "find column price (decimal(9,2))", "the file has id, note, day"]),
            ("type", &["type.parquet", "read column day as date", "the file has LargeUtf8"]),
            ("zone", &["zone.parquet", "read column seen as timestamp", "the file has Timestamp"]),
            ("null", &["accept null in row 12345 of column day", "never null"]),
            ("range", &["read row 15001 of column small as int32 exactly"]),
            ("digits", &["read row 19999 of column price as decimal(9,2) exactly"]),
            ("scale", &["read row 1 of column price as decimal(9,2) exactly"]),
            ("nul", &["read row 17000 of column note as string exactly"]),
            ("json", &["read row 16500 of column doc as JSON"]),
            ("twice", twice),
            ("text", &["text.parquet as Parquet"]),
            ("cut", &["cut.parquet as Parquet"]),
        ];
        for mode in [&[] as &[&str], &["--append"]] {
            for (file, expected) in cases {
                let ran = trial.load(file, mode);
                let complaint = ran.complaint();
                for expected in expected {
                    assert!(
                        complaint.to_lowercase().contains(&expected.to_lowercase()),
                        "{backend:?} {file}: {complaint}"
                    );
                }
                assert_eq!(complaint.lines().count(), 1, "{backend:?} {file}: {complaint}");
                assert_eq!(trial.rows(), "3|20001|20003", "{backend:?} {file}");
            }
        }
        let ran = trial.load("none", &[]);
        assert!(ran.complaint().contains("none.parquet: No such file"), "{}", ran.err);
    }
}

#[test]
fn a_refused_first_load_leaves_no_table_behind() {
    let trial = Trial::new(Backend::Sqlite, "load_first");
    trial.load("range", &[]).complaint();
    assert_eq!(trial.sql("SELECT count(*) FROM sqlite_schema"), "0");
}

#[test]
fn an_unknown_dataset_or_source_is_told_the_known_ones() {
    let trial = Trial::new(Backend::Sqlite, "load_unknown");
    let (config, file) = (trial.path("martello.yaml"), trial.path("good.parquet"));
    for (source, dataset, expected) in [
        ("marts", "trail", r#"find dataset "trail": expected one of trial"#),
        ("mart", "trial", r#"find source "mart" in the configuration: expected one of marts"#),
    ] {
        let ran = run(martello(&["load", "--config", &config, "--source", source, "--dataset", dataset, &file]));
        assert!(ran.complaint().ends_with(expected), "{}", ran.err);
    }
}

#[test]
fn a_table_that_does_not_keep_the_contract_is_not_loaded_into() {
    let trial = Trial::new(Backend::Postgres, "load_mismatch");
    trial.sql("ALTER TABLE load_mismatch.trial ALTER COLUMN small TYPE text, DROP COLUMN doc");
    let ran = trial.load("good", &[]);
    let complaint = ran.complaint();
    assert!(complaint.contains("trial.small: the contract says int32, load_mismatch.trial has text"), "{complaint}");
    assert!(
        complaint.contains("trial.doc: the contract says json, load_mismatch.trial has no such column"),
        "{complaint}"
    );
    trial.sql("DROP TABLE load_mismatch.trial");
    let ran = trial.load("good", &[]);
    assert!(ran.complaint().contains("load_mismatch.trial has none of that name"), "{}", ran.err);
}
