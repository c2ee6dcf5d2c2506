//! What is ClickHouse's alone: columns that are stored in other types than the contract's, statements that nobody waits
//! for, settings and the server's own words.

use std::time::Duration;

use martello::config::{self, Config};
use martello::source::Sources;
use serde_json::json;

use crate::programs::{clickhouse, run};
use crate::support::{Backend, Server, config};

const CONTRACT: &str = "
name: odd
family: signal
title: A trial
description: Rows in other types than their contract's.
owner: trial@example.com
source: {name: marts, relation: RELATION}
primary_key: [id]
time: day
columns:
  - {name: id, type: int64, description: Key., filter: [eq, gt, gte], sort: true}
  - {name: kind, type: string, description: An enum., filter: [eq, gt, in, prefix], sort: true, aggregate: [min, max, count_distinct]}
  - {name: tag, type: string, nullable: true, description: A dictionary., filter: [eq, is_null], sort: true}
  - {name: code, type: string, description: A UUID., filter: [eq]}
  - {name: fixed, type: string, description: Four letters., filter: [eq]}
  - {name: address, type: string, description: An address., filter: [eq]}
  - {name: small, type: int32, description: A byte., filter: [lt], aggregate: [sum]}
  - {name: big, type: int64, description: Without a sign., aggregate: [sum]}
  - {name: flag, type: bool, description: A number of one bit., filter: [eq]}
  - {name: price, type: 'decimal(18,4)', description: A shorter decimal., filter: [eq, gt], sort: true, aggregate: [sum, avg]}
  - {name: whole, type: 'decimal(12,2)', description: An integer., filter: [eq]}
  - {name: ratio, type: float64, nullable: true, description: A float that may be no number., filter: [gt, is_null], sort: true, aggregate: [avg, count]}
  - {name: day, type: date, description: A day., filter: [gte, in], sort: true}
  - {name: at, type: timestamp, description: Seconds in a zone., filter: [gte, eq], sort: true}
  - {name: precise, type: timestamp, nullable: true, description: Milliseconds., filter: [eq]}
  - {name: tags, type: list<string>, description: A dictionary's., filter: [has]}
  - {name: doc, type: json, nullable: true, description: A document.}
sla: {business_need: a, expectation: b, delivery: c, affected: d, breach: e}
";
const COLUMNS: &str =
    "id UInt32, kind Enum8('zeta' = 1, 'alpha' = 2, 'mid' = 3), tag LowCardinality(Nullable(String)), code UUID,
  fixed FixedString(4), address IPv4, small Int8, big UInt64, flag UInt8, price Decimal(9, 2), whole Int32,
  ratio Float32, day Date, at DateTime('Europe/Berlin'), precise Nullable(DateTime64(3, 'Asia/Tokyo')),
  tags Array(LowCardinality(String)), doc Nullable(String)";
const ROWS: &str = r#"
  (1, 'zeta', 'x', '00000000-0000-0000-0000-00000000000a', 'abcd', '10.0.0.1', -5, 7, 1, 1.25, 3, 0.5, '2020-02-29', '2020-02-29 12:00:00', '2020-02-29 12:00:00.123', ['a', 'b'], '{"b": 1, "a": [1.50]}'),
  (2, 'alpha', NULL, '00000000-0000-0000-0000-00000000000b', 'ab', '10.0.0.2', 127, 9223372036854775807, 0, -0.01, -4, nan, '1970-01-01', '1970-01-01 01:00:00', NULL, [], NULL),
  (3, 'mid', '', '00000000-0000-0000-0000-00000000000c', '', '10.0.0.3', 0, 0, 1, 9999999.99, 0, -0.0, '2149-06-06', '2105-12-31 23:59:59', '1999-12-31 23:59:59.999', ['c'], '7')"#;

/// A catalog of one dataset over a database of the test's own.
struct Trial {
    folder: tempfile::TempDir,
    database: String,
}

impl Trial {
    fn new(name: &str, columns: &str, rows: &str) -> Self {
        let trial = Self { folder: tempfile::tempdir().expect("a folder"), database: name.to_owned() };
        trial.sql(&format!("CREATE DATABASE {name}"));
        trial.sql(&format!("CREATE TABLE {name}.odd ({columns}) ENGINE = MergeTree ORDER BY id"));
        trial.sql(&format!("INSERT INTO {name}.odd VALUES {rows}"));
        let path = trial.folder.path();
        std::fs::create_dir_all(path.join("datasets")).expect("a folder");
        let contract = CONTRACT.replace("RELATION", &format!("{name}.odd"));
        std::fs::write(path.join("datasets/odd.yaml"), contract).expect("written");
        let access = "roles: [{name: any, tier: internal, claims: {a: b}, formats: all, export: true, aggregate: true, datasets: {odd: {columns: all}}}]";
        std::fs::write(path.join("access.yaml"), access).expect("written");
        trial
    }

    fn sql(&self, statement: &str) -> String {
        run(clickhouse(statement)).well().trim().to_owned()
    }

    fn config(&self) -> Config {
        Config { catalog: self.folder.path().to_owned(), ..config(Backend::ClickHouse) }
    }

    async fn mismatches(&self) -> Vec<String> {
        let catalog = martello::catalog::load(self.folder.path()).expect("a catalog");
        let sources = Sources::open(&self.config().sources).expect("sources");
        let dataset = catalog.get("odd").expect("a dataset");
        let found = sources.get(&dataset.source).expect("a source").mismatches(dataset).await.expect("an answer");
        found.iter().map(ToString::to_string).collect()
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        self.sql(&format!("DROP DATABASE {}", self.database));
    }
}

#[tokio::test]
async fn columns_come_in_the_contract_s_types_whatever_the_table_has() {
    let trial = Trial::new("clickhouse_odd", COLUMNS, ROWS);
    assert_eq!(trial.mismatches().await, [] as [&str; 0]);
    let server = Server::start(trial.config()).await;
    let ask = async |question: &str| server.get("any", &format!("/v1/datasets/odd/{question}")).await;
    let first = ask("rows/1").await;
    let expected = concat!(
        r#"{"data":{"id":1,"kind":"zeta","tag":"x","code":"00000000-0000-0000-0000-00000000000a","fixed":"abcd","#,
        r#""address":"10.0.0.1","small":-5,"big":7,"flag":true,"price":1.2500,"whole":3.00,"ratio":0.5,"#,
        r#""day":"2020-02-29","at":"2020-02-29T11:00:00Z","precise":"2020-02-29T03:00:00.123000Z","tags":["a","b"],"#,
        r#""doc":{"a":[1.50],"b":1}}"#
    );
    assert!(first.text().starts_with(expected), "{}", first.text());
    let ids = async |question: &str| {
        let answer = ask(&format!("rows?{question}")).await;
        answer.rows().iter().map(|row| row["id"].as_i64().expect("an id")).collect::<Vec<_>>()
    };
    for (question, expected) in [
        // An enum sorts and compares as its names, not as its numbers.
        ("sort=kind", vec![2, 3, 1]),
        ("kind.gt=alpha&sort=kind", vec![3, 1]),
        ("kind=none", vec![]),
        ("kind.in=zeta,none", vec![1]),
        ("kind.prefix=a", vec![2]),
        ("tag.is_null=true", vec![2]),
        ("tag=", vec![3]),
        ("code=00000000-0000-0000-0000-00000000000b", vec![2]),
        ("code=no%20UUID", vec![]),
        ("fixed=ab", vec![2]),
        ("address=10.0.0.3", vec![3]),
        ("flag=true&sort=id", vec![1, 3]),
        ("price=-0.01", vec![2]),
        ("price.gt=1.2499&sort=price", vec![1, 3]),
        ("whole=-4", vec![2]),
        // What is no number is null, here as in the answer.
        ("ratio.is_null=true", vec![2]),
        ("sort=ratio", vec![3, 1, 2]),
        ("not.ratio.gt=0.1", vec![3]),
        // Days and instants that the column's type cannot hold are compared with all the same.
        ("day.gte=0001-01-01&sort=day", vec![2, 1, 3]),
        ("day.gte=9999-12-31", vec![]),
        ("day.in=1900-01-01,1970-01-01,2200-01-01", vec![2]),
        ("at.gte=0001-01-01T00:00:00Z&sort=-at", vec![3, 1, 2]),
        ("at.gte=2106-02-07T06:28:16Z", vec![]),
        ("at=2020-02-29T12:00:00%2B01:00", vec![1]),
        ("precise=1999-12-31T14:59:59.999Z", vec![3]),
        ("tags.has=b", vec![1]),
        ("as_of=1970-01-01", vec![]),
    ] {
        if question.starts_with("as_of") {
            assert_eq!(ask(&format!("rows?{question}")).await.problem(), "not-timed");
            continue;
        }
        assert_eq!(ids(question).await, expected, "{question}");
    }
    let groups = ask("aggregate?group_by=kind&measures=sum(big),avg(price),count(ratio)&sort=kind").await.rows();
    assert_eq!(
        groups[0],
        json!({"kind": "alpha", "sum_big": 9_223_372_036_854_775_807_i64, "avg_price": -0.01, "count_ratio": 0})
    );
    // Pages go on by key over columns that are stored otherwise.
    let mut walked = Vec::new();
    let mut target = "rows?sort=-kind&limit=1".to_owned();
    loop {
        let page = ask(&target).await;
        walked.extend(page.rows().iter().map(|row| row["id"].as_i64()));
        match page.json()["page"]["next_cursor"].as_str() {
            Some(cursor) => target = format!("rows?sort=-kind&limit=1&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(walked, [Some(1), Some(3), Some(2)]);
    server.stop().await;
}

/// Where all rows are read, decimals come as the integers that they are stored as.
#[tokio::test]
async fn decimals_are_the_same_in_streams_and_in_pages() {
    let columns = COLUMNS
        .replace("price Decimal(9, 2)", "price Nullable(Decimal(18, 4))")
        .replace("whole Int32", "whole Decimal(9, 2)");
    let rows = ROWS
        .replace(" 1.25, 3,", " -99999999999999.9999, -9999999.99,")
        .replace(" -0.01, -4,", " NULL, -0.01,")
        .replace(" 9999999.99, 0,", " 0.0001, 9999999.99,");
    let trial = Trial::new("clickhouse_digits", &columns, &rows);
    let file = trial.folder.path().join("datasets/odd.yaml");
    let contract = std::fs::read_to_string(&file).expect("a contract");
    let nullable = contract.replace("type: 'decimal(18,4)',", "type: 'decimal(18,4)', nullable: true,");
    assert_ne!(contract, nullable);
    std::fs::write(&file, nullable).expect("written");
    let server = Server::start(trial.config()).await;
    let streamed = async |more: &str| {
        let target = format!("/v1/datasets/odd/rows?limit=all&select=id,price,whole&{more}");
        server.get("any", &target).await.text()
    };
    let lines = [
        r#"{"id":1,"price":-99999999999999.9999,"whole":-9999999.99}"#,
        r#"{"id":2,"price":null,"whole":-0.01}"#,
        r#"{"id":3,"price":0.0001,"whole":9999999.99}"#,
    ];
    assert_eq!(streamed("format=ndjson&sort=id").await.lines().collect::<Vec<_>>(), lines);
    assert_eq!(streamed("format=ndjson&sort=-price").await.lines().collect::<Vec<_>>(), [lines[1], lines[2], lines[0]]);
    assert_eq!(streamed("format=ndjson&price.gt=-1").await.lines().collect::<Vec<_>>(), [lines[2]]);
    let csv = "id,price,whole\r\n1,-99999999999999.9999,-9999999.99\r\n2,,-0.01\r\n3,0.0001,9999999.99\r\n";
    assert_eq!(streamed("format=csv&sort=id").await, csv);
    let page = server.get("any", "/v1/datasets/odd/rows?select=id,price,whole&sort=id").await.text();
    assert!(page.starts_with(&format!("{{\"data\":[{}]", lines.join(","))), "{page}");
    server.stop().await;
}

#[tokio::test]
async fn a_type_that_cannot_hold_the_contract_s_is_told_with_both_names() {
    let columns = COLUMNS
        .replace("price Decimal(9, 2)", "price Decimal(18, 6)")
        .replace("small Int8", "small Int64")
        .replace("at DateTime('Europe/Berlin')", "at String")
        .replace("whole Int32", "whole Decimal(76, 2)");
    let trial = Trial::new(
        "clickhouse_unfit",
        &columns,
        "(1, 'mid', '', generateUUIDv4(), '', '10.0.0.1', 1, 1, 1, 1, 1, 1, '2020-01-01', '', NULL, [], NULL)",
    );
    let told = trial.mismatches().await;
    for (column, contract, live) in [
        ("price", "decimal(18,4)", "Decimal(18, 6)"),
        ("small", "int32", "Int64"),
        ("at", "timestamp", "String"),
        ("whole", "decimal(12,2)", "Decimal(76, 2)"),
    ] {
        let line = format!("odd.{column}: the contract says {contract}, clickhouse_unfit.odd has {live}");
        assert!(told.contains(&line), "{line}\n{told:?}");
    }
    assert_eq!(told.len(), 4, "{told:?}");
    let refused = martello::app::start(trial.config(), martello::telemetry::collect().expect("metrics")).await;
    assert!(refused.is_err(), "a server starts over it");
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_told_with_its_row_and_never_rounded() {
    for (database, columns, value, told) in [
        ("clickhouse_nanos", "precise Nullable(DateTime64(9))", "precise = '2020-01-01 00:00:00.000000001'", "precise"),
        ("clickhouse_unsigned", "", "big = 9223372036854775808", "big"),
        ("clickhouse_flag", "", "flag = 2", "flag"),
        ("clickhouse_bytes", "", "tag = unhex('ff')", "tag"),
        ("clickhouse_document", "", "doc = '{'", "doc"),
    ] {
        let columns = match columns {
            "" => COLUMNS.to_owned(),
            columns => COLUMNS.replace("precise Nullable(DateTime64(3, 'Asia/Tokyo'))", columns),
        };
        let trial = Trial::new(database, &columns, ROWS);
        trial.sql(&format!("ALTER TABLE {database}.odd UPDATE {value} WHERE id = 2 SETTINGS mutations_sync = 2"));
        let catalog = martello::catalog::load(trial.folder.path()).expect("a catalog");
        let house = martello::app::House::load(&trial.config()).expect("a house");
        let sources = Sources::open(&trial.config().sources).expect("sources");
        let dataset = catalog.get("odd").expect("a dataset");
        let source = sources.get(&dataset.source).expect("a source");
        let query = martello::rest::question("/v1/datasets/odd/rows").expect("a question");
        let principal =
            martello::auth::Principal::acting_as(std::sync::Arc::clone(house.matrix.role("any").expect("a role")));
        let plan = crate::support::planned(&house.catalog, &principal, &query).expect("a plan");
        let rows = martello::source::execute(source.as_ref(), &plan, None).await.expect("a stream");
        let rows: Result<Vec<_>, _> = futures_util::TryStreamExt::try_collect(rows).await;
        let error = rows.expect_err(database).to_string();
        assert!(error.contains(&format!("column {told} ")) && error.ends_with("in the row of id 2"), "{error}");
        let server = Server::start(trial.config()).await;
        assert_eq!(server.get("any", "/v1/datasets/odd/rows").await.problem(), "internal", "{database}");
        assert_eq!(server.get("any", "/v1/datasets/odd/rows/1").await.status, 200, "{database}");
        server.stop().await;
    }
}

/// Statements about a database that run now.
fn running(database: &str) -> usize {
    let count = format!(
        "SELECT count() FROM system.processes WHERE query LIKE '%{database}%' AND query NOT LIKE '%processes%'"
    );
    run(clickhouse(&count)).well().trim().parse().expect("a number")
}

/// A relation whose every row takes its time.
fn slow(database: &str) -> Trial {
    let trial = Trial::new(database, COLUMNS, ROWS);
    trial.sql(&format!("DROP TABLE {database}.odd"));
    let odd = "toInt64(number) AS id, toString(sleepEachRow(0.2)) AS kind, NULL::Nullable(String) AS tag, '' AS code, \
        '' AS fixed, '' AS address, 1::Int32 AS small, 1::Int64 AS big, true AS flag, 1::Decimal(9, 2) AS price, \
        1::Int32 AS whole, 1.0 AS ratio, today() AS day, now() AS at, NULL::Nullable(DateTime) AS precise, \
        []::Array(String) AS tags, NULL::Nullable(String) AS doc";
    trial.sql(&format!("CREATE VIEW {database}.odd AS SELECT {odd} FROM system.numbers SETTINGS max_block_size = 1"));
    trial
}

#[tokio::test]
async fn a_statement_that_nobody_waits_for_is_ended() {
    let trial = slow("clickhouse_slow");
    let mut config = trial.config();
    for source in config.sources.values_mut() {
        source.statement_timeout = Duration::from_secs(60);
    }
    let server = Server::start(config).await;
    let waiting = server.request(reqwest::Method::GET, "/v1/datasets/odd/rows?limit=500");
    let gone = tokio::time::timeout(Duration::from_millis(1500), waiting.bearer_auth(server.token("any")).send()).await;
    assert!(gone.is_err(), "it answers at once");
    for attempt in 0.. {
        if running("clickhouse_slow") == 0 {
            break;
        }
        assert!(attempt < 50, "the statement goes on without its caller");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn a_statement_has_its_time_and_no_more() {
    let trial = slow("clickhouse_time");
    let mut config = trial.config();
    for source in config.sources.values_mut() {
        source.statement_timeout = Duration::from_secs(1);
    }
    let server = Server::start(config).await;
    let answer = server.get("any", "/v1/datasets/odd/rows?limit=500").await;
    assert_eq!(answer.problem(), "timeout");
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_out_is_told_as_such() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = nobody.local_addr().expect("an address");
    drop(nobody);
    let mut config = config(Backend::ClickHouse);
    config.sources.insert("marts".into(), config::Source::at(format!("clickhouse://default@{address}/marts")));
    let server = Server::start(config).await;
    let answer = server.get("client_pro", "/v1/datasets/price_daily/rows").await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "source-unavailable"));
    assert!(answer.header("retry-after").is_some());
    server.stop().await;
}

/// A wire that is there: answers are compressed on their way, and the same.
#[tokio::test]
async fn compressed_answers_are_the_same() {
    let mut compressed = config(Backend::ClickHouse);
    let url = format!("{}?compression=lz4", Backend::ClickHouse.url());
    compressed.sources.insert("marts".into(), config::Source::at(url));
    let (plain, compressed) = (Server::over(Backend::ClickHouse).await, Server::start(compressed).await);
    for target in
        ["price_daily/rows?limit=1000", "news/rows?limit=all&format=csv&sort=news_id", "signal/rows?symbol=NONE"]
    {
        let ask = async |server: &Server| server.get("client_pro", &format!("/v1/datasets/{target}")).await;
        let (one, other) = (ask(&plain).await, ask(&compressed).await);
        assert_eq!((one.status, other.status), (200, 200), "{target}: {}", other.text());
        assert!(one.body == other.body, "{target}");
    }
    plain.stop().await;
    compressed.stop().await;
}

/// A user who may only read is enough, and a wrong password is told to the log alone.
#[tokio::test]
async fn a_reader_is_enough_and_a_stranger_is_refused() {
    let url = Backend::ClickHouse.url();
    for (user, status) in [("reader:secret@", 200), ("reader:wrong@", 500)] {
        let mut config = config(Backend::ClickHouse);
        let url = url.replacen("default@", user, 1);
        config.sources.insert("marts".into(), config::Source::at(url));
        let server = Server::start(config).await;
        let answer = server.get("client_pro", "/v1/datasets/price_daily/rows?symbol=AAPL&limit=2").await;
        assert_eq!(answer.status, status, "{user}: {}", answer.text());
        assert!(!answer.text().contains("reader"), "{}", answer.text());
        server.stop().await;
    }
}
