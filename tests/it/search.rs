//! Words: both sources find the same ones, by one rule, in what was loaded last.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use martello::catalog;
use martello::config::{self, Config};
use martello::source::{Loader, Mode, Sources};
use reqwest::Method;
use serde_json::json;

use crate::load::psql;
use crate::programs::{clickhouse, python, run};
use crate::support::{Backend, Server, config};

/// Two searchable columns, one of them in the key, and one that is not searched.
const CONTRACT: &str = r"
name: notes
family: news
title: Notes
description: Texts to be searched.
owner: notes@example.com
source: {name: marts, relation: RELATION}
primary_key: [id, code]
columns:
  - {name: id, type: int64, description: Number.}
  - {name: code, type: string, description: Code., searchable: true}
  - {name: title, type: string, nullable: true, description: Title., searchable: true}
  - {name: remark, type: string, nullable: true, description: Remark.}
sla: {business_need: a, expectation: b, delivery: c, affected: d, breach: e}
";

struct Row {
    id: i64,
    code: String,
    title: Option<String>,
    remark: Option<String>,
}

impl Row {
    fn titled(id: i64, title: impl Into<String>) -> Self {
        Self { id, code: "none".into(), title: Some(title.into()), remark: None }
    }
}

/// A dataset over a database schema or a file of its own.
struct Notes {
    _folder: tempfile::TempDir,
    config: Config,
    relation: String,
}

impl Notes {
    fn new(backend: Backend, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = config(backend);
        config.catalog = folder.path().join("catalog");
        std::fs::create_dir_all(config.catalog.join("datasets")).expect("a folder");
        let relation = match backend {
            Backend::Sqlite => {
                let url = format!("sqlite:{}", folder.path().join("marts.sqlite").display());
                config.sources.insert("marts".into(), config::Source::at(url));
                "notes".to_owned()
            }
            Backend::Postgres => {
                let columns = r#"id bigint, code text COLLATE "C", title text COLLATE "C", remark text COLLATE "C""#;
                run(psql(&format!("CREATE SCHEMA {name}"))).well();
                run(psql(&format!("CREATE TABLE {name}.notes ({columns}, PRIMARY KEY (id, code))"))).well();
                format!("{name}.notes")
            }
            Backend::ClickHouse => {
                let columns = "id Int64, code String, title Nullable(String), remark Nullable(String)";
                run(clickhouse(&format!("CREATE DATABASE {name}"))).well();
                let engine = "ENGINE = MergeTree ORDER BY (id, code)";
                run(clickhouse(&format!("CREATE TABLE {name}.notes ({columns}) {engine}"))).well();
                format!("{name}.notes")
            }
        };
        let access = "roles: [{name: any, tier: internal, claims: {a: b}, datasets: {notes: {columns: all}}}]";
        std::fs::write(config.catalog.join("access.yaml"), access).expect("written");
        let notes = Self { _folder: folder, config, relation };
        notes.write(CONTRACT);
        notes
    }

    fn write(&self, contract: &str) {
        let contract = contract.replace("RELATION", &self.relation);
        std::fs::write(self.config.catalog.join("datasets/notes.yaml"), contract).expect("written");
    }

    async fn load(&self, mode: Mode, rows: &[Row]) -> Result<(), martello::source::LoadError> {
        let catalog = catalog::load(&self.config.catalog).expect("a catalog");
        let columns: [(&str, ArrayRef); 4] = [
            ("id", Arc::new(rows.iter().map(|row| row.id).collect::<Int64Array>())),
            ("code", Arc::new(rows.iter().map(|row| Some(row.code.as_str())).collect::<StringArray>())),
            ("title", Arc::new(rows.iter().map(|row| row.title.as_deref()).collect::<StringArray>())),
            ("remark", Arc::new(rows.iter().map(|row| row.remark.as_deref()).collect::<StringArray>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let batches = std::iter::once(Ok::<_, Infallible>(batch));
        let loader = Loader::new(&self.config.sources["marts"]);
        loader.load(catalog.get("notes").expect("notes"), mode, batches, |_| {}).await.map(drop)
    }

    /// Runs a statement in SQLite's file.
    fn sqlite(&self, statement: &str) -> String {
        let file = self.config.sources["marts"].url.expose().trim_start_matches("sqlite:").to_owned();
        let script = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); [print(*row, sep='|') for row in base.execute(sys.argv[2])]; base.commit()";
        run(python(&["-c", script, &file, statement])).well().trim().to_owned()
    }

    async fn mismatches(&self) -> Vec<String> {
        let catalog = catalog::load(&self.config.catalog).expect("a catalog");
        let dataset = catalog.get("notes").expect("notes");
        let sources = Sources::open(&self.config.sources).expect("sources");
        let found = sources.get(&dataset.source).expect("a source").mismatches(dataset).await.expect("an answer");
        found.iter().map(ToString::to_string).collect()
    }
}

/// The numbers of the rows that a search finds.
async fn found(server: &Server, search: &str) -> BTreeSet<i64> {
    let request = server.request(Method::POST, "/v1/datasets/notes/query").bearer_auth(server.token("any"));
    let answer = server.send(request.json(&json!({ "search": search, "select": ["id"], "limit": 1000 }))).await;
    answer.rows().iter().map(|row| row["id"].as_i64().expect("a number")).collect()
}

/// The rule, told once more: runs of ASCII letters, digits and all that is beyond ASCII, in either case of ASCII.
fn words(text: &str) -> BTreeSet<String> {
    let apart = |c: char| matches!(c, '\0'..='/' | ':'..='@' | '['..='`' | '{'..='\u{7f}');
    text.split(apart).filter(|word| !word.is_empty()).map(str::to_ascii_lowercase).collect()
}

/// Texts that a tokenizer, a regular expression, a locale or a query language could take for something else.
fn nasty() -> Vec<String> {
    let ascii = (1..=127).map(|byte: u8| format!("a{}b", char::from(byte)));
    let beyond = [
        'é',
        'É',
        'ß',
        'İ',
        'ı',
        'ſ',
        'Σ',
        'ς',
        'Ǆ',
        '–',
        '—',
        '’',
        '“',
        '、',
        '。',
        '日',
        '😀',
        '\u{80}',
        '\u{85}',
        '\u{a0}',
        '\u{ad}',
        '\u{301}',
        '\u{2003}',
        '\u{200b}',
        '\u{2028}',
        '\u{212a}',
        '\u{3000}',
        '\u{d7ff}',
        '\u{e000}',
        '\u{feff}',
        '\u{ff21}',
        '\u{fffd}',
        '\u{ffff}',
        '\u{10ffff}',
    ];
    let beyond = beyond.into_iter().flat_map(|c| [format!("a{c}b"), format!("{c}"), format!("a {c} b")]);
    let told = [
        "",
        " ",
        "Zürich",
        "ZÜRICH",
        "zürich",
        "a b",
        "A B",
        "ab",
        "AB",
        "b a",
        "a\t\tb\n",
        "a\r\nb",
        "10-K/A",
        "10 k",
        "10k",
        "S&P 500",
        "AT&T",
        "C++",
        "O'Brien",
        "O''Brien",
        "\"quoted\"",
        "back\\slash",
        "\\x41",
        "\\",
        "a&b|!c",
        "NEAR(a b)",
        "AND",
        "OR NOT",
        "and or not",
        "null",
        "{title} : a",
        "title:a",
        "a*",
        "^a",
        "a:A",
        "'a' & 'b'",
        "$1 ?1 :a @a",
        "%41 100%",
        "a_b",
        "--a",
        "/*a*/",
        "0",
        "00",
        "Kelvin",
        "\u{212a}elvin",
        "e\u{301}cole",
        "école",
    ];
    ascii.chain(beyond).chain(told.map(str::to_owned)).collect()
}

#[tokio::test]
async fn a_search_finds_the_same_words_in_every_source() {
    let texts = nasty();
    let rows: Vec<Row> = (0..).zip(&texts).map(|(id, text)| Row::titled(id, text)).collect();
    let searches: BTreeSet<&String> = texts.iter().filter(|text| !words(text).is_empty()).collect();
    assert!(searches.len() > 150, "{}", searches.len());
    for backend in Backend::ALL {
        let notes = Notes::new(backend, "search_words");
        notes.load(Mode::Replace, &rows).await.expect("loaded");
        let server = Server::start(notes.config.clone()).await;
        for search in &searches {
            let wanted = words(search);
            let expected =
                rows.iter().filter(|row| words(row.title.as_deref().unwrap_or_default()).is_superset(&wanted));
            let expected: BTreeSet<i64> = expected.map(|row| row.id).collect();
            assert_eq!(found(&server, search).await, expected, "{backend:?} {search:?}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_search_reads_what_was_loaded_last_column_by_column() {
    let row = |id, code: &str, title: Option<&str>, remark: &str| Row {
        id,
        code: code.to_owned(),
        title: title.map(str::to_owned),
        remark: Some(remark.to_owned()),
    };
    let first = [row(1, "red", Some("one apple"), "hidden"), row(2, "green", None, "hidden")];
    let second = [row(3, "red", Some("green pear"), "hidden")];
    for backend in Backend::ALL {
        let notes = Notes::new(backend, "search_loads");
        let server = Server::start(notes.config.clone()).await;
        let is = async |search: &str, expected: &[i64]| {
            assert_eq!(found(&server, search).await, expected.iter().copied().collect(), "{backend:?} {search}");
        };
        notes.load(Mode::Replace, &first).await.expect("loaded");
        is("apple", &[1]).await;
        is("red", &[1]).await;
        is("hidden", &[]).await;
        notes.load(Mode::Append, &second).await.expect("loaded");
        is("apple", &[1]).await;
        is("red", &[1, 3]).await;
        is("green", &[2, 3]).await;
        // All of the words, and in one column.
        is("pear green", &[3]).await;
        is("red pear", &[]).await;
        // What is refused leaves the words as they were.
        notes.load(Mode::Append, &second).await.expect_err("the key is there");
        is("red", &[1, 3]).await;
        notes.load(Mode::Replace, &second).await.expect("loaded");
        is("apple", &[]).await;
        is("red", &[3]).await;
        server.stop().await;
    }
}

#[tokio::test]
async fn a_table_of_words_that_does_not_keep_the_contract_is_a_mismatch_until_the_next_load() {
    let notes = Notes::new(Backend::Sqlite, "");
    let rows = [Row::titled(1, "one")];
    let plain = CONTRACT.replace(", searchable: true", "");
    notes.write(&plain);
    notes.load(Mode::Replace, &rows).await.expect("loaded");
    assert_eq!(notes.sqlite("SELECT name FROM sqlite_schema WHERE name LIKE 'notes__search%'"), "");
    assert_eq!(notes.mismatches().await, [""; 0]);

    notes.write(CONTRACT);
    let missing =
        "notes: the contract says a table of words, notes__search has none of that name: load the dataset again";
    assert_eq!(notes.mismatches().await, [missing]);
    notes.load(Mode::Append, &[Row::titled(2, "two")]).await.expect("loaded");
    assert_eq!(notes.mismatches().await, [""; 0]);
    // What was there before is found too.
    assert_eq!(notes.sqlite("SELECT id FROM notes__search WHERE notes__search MATCH '{title} : (\"one\")'"), "1");

    notes.sqlite("DROP TABLE notes__search");
    notes.sqlite("CREATE VIRTUAL TABLE notes__search USING fts5(code, tokenize = 'ascii')");
    let lacks = |contract: &str| format!("notes.{contract}, notes__search has no such column: load the dataset again");
    assert_eq!(
        notes.mismatches().await,
        [lacks("title: the contract says searchable"), lacks("id: the contract says the key of what is searchable")]
    );
    notes.load(Mode::Replace, &rows).await.expect("loaded");
    assert_eq!(notes.mismatches().await, [""; 0]);
}

#[tokio::test]
async fn no_table_is_taken_for_one_of_words() {
    let notes = Notes::new(Backend::Sqlite, "");
    let rows = [Row::titled(1, "one")];
    notes.write(&CONTRACT.replace(", searchable: true", ""));
    notes.load(Mode::Replace, &rows).await.expect("loaded");
    notes.sqlite("CREATE TABLE notes__search AS SELECT 'ours' AS code");
    notes.write(CONTRACT);
    let refused = notes.load(Mode::Replace, &[]).await.expect_err("another table");
    assert_eq!(refused.to_string(), "make the table of words notes__search: another table has that name");
    assert_eq!(notes.sqlite("SELECT code, (SELECT count(*) FROM notes) FROM notes__search"), "ours|1");
}
