//! `limit=all`: every row as a stream, whole or visibly not, and no more of them at once than there may be.

use std::fmt::Write as _;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use martello::config::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::differential::houses::Houses;
use crate::load::psql;
use crate::programs::run;
use crate::support::{Backend, Server, config};

/// Questions whose literals go to Postgres as settings: every type, every list, every character that a text may have.
const QUESTIONS: [&str; 16] = [
    "edge/rows?sort=id",
    "edge/rows?sort=-word,id&word.gte=%27",
    "edge/rows?sort=id&word.in=%22don%27t%22,back%5C%5Cslash,%22q%22%22uote%22,a%0Ab,%7B%7D",
    "edge/rows?sort=id&word.nin=A,B&flag=true&small.lt=100",
    "edge/rows?sort=id&price.in=1.50,-0.01,99999.99&ratio.gt=-1e300",
    "edge/rows?sort=id&big.in=9223372036854775807,-9223372036854775808,0",
    "edge/rows?sort=id&day.in=0001-01-01,9999-12-31,2012-02-29&seen.gte=1955-06-15T12:34:56.000001Z",
    "edge/rows?sort=id&tags.has=a&word.prefix=%C3%A9",
    "edge/rows?sort=id&or=(word.contains=%25,word.contains=_,word.is_null=true)",
    "edge/rows?sort=id&select=id,doc,tags&seen.in=1969-12-31T23:59:59.999999Z,2012-02-29T23:59:59.999999Z",
    "edge/rows?latest_by=word&sort=word,id",
    "edge_fact/rows?as_of=2012-06-01&sort=id",
    "edge_notice/rows?as_of=9999-12-31&sort=kind,number",
    "edge/aggregate?group_by=flag,day:month&measures=count(),sum(price),min(word),last(big)&sort=flag,day_month",
    "edge/aggregate?group_by=seen:week&measures=count()&tz=America/New_York&having=(count.gt=1)&sort=seen_week",
    "edge_wide/rows?sort=id",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_the_rows_of_the_pages() {
    let houses = Houses::open().await;
    let mut rows = 0;
    for question in QUESTIONS {
        let target = |limit: &str| format!("/v1/datasets/{question}&format=ndjson&limit={limit}");
        let pages = houses.ask(&target("100000"), None).await;
        let streams = houses.ask(&target("all"), None).await;
        for ((backend, page), (_, stream)) in pages.iter().zip(&streams) {
            assert_eq!((page.status, stream.status), (200, 200), "{backend:?} {question}\n{}", stream.text());
            assert_eq!(stream.text(), page.text(), "{backend:?} {question}");
        }
        rows += streams[0].1.text().lines().count();
    }
    assert!(rows > 1000, "the questions find almost nothing: {rows}");
    houses.close().await;
}

#[tokio::test]
async fn a_mart_comes_whole_in_every_format_from_every_store() {
    let mut all: Vec<String> = Vec::new();
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let get = async |target: &str| {
            let answer =
                server.get("internal_scientist", &format!("/v1/datasets/price_daily/rows?limit=all&{target}")).await;
            assert_eq!(answer.status, 200, "{backend:?} {target}: {}", answer.text());
            answer
        };
        let csv = get("format=csv&sort=symbol,date").await;
        assert_eq!(csv.header("cache-control"), Some("private, no-store"));
        assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"price_daily.csv\""));
        assert_eq!((csv.header("content-length"), csv.header("link")), (None, None));
        // Without an order rows come as the store has them: the same ones.
        let mut unordered: Vec<String> = get("format=csv").await.text().lines().map(str::to_owned).collect();
        let mut ordered: Vec<String> = csv.text().lines().map(str::to_owned).collect();
        unordered[1..].sort_unstable();
        ordered[1..].sort_unstable();
        assert!(unordered == ordered, "{backend:?}");
        let rows = get("format=ndjson&select=symbol").await.text().lines().count();
        assert_eq!(rows, ordered.len() - 1, "{backend:?}");
        let arrow = get("format=arrow").await.body;
        let reader = arrow_ipc::reader::StreamReader::try_new(arrow.as_slice(), None).expect("a stream");
        assert_eq!(reader.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>(), rows, "{backend:?}");
        let parquet = get("format=parquet").await.body;
        assert!(parquet.starts_with(b"PAR1") && parquet.ends_with(b"PAR1"), "{backend:?}");
        all.push(csv.text());
        server.stop().await;
    }
    assert!(all.iter().all(|csv| *csv == all[0]), "the stores differ");
    assert!(all[0].lines().count() > 10_000, "{}", all[0].lines().count());
}

#[tokio::test]
async fn what_goes_with_pages_alone_is_refused() {
    let server = Server::over(Backend::Sqlite).await;
    for (role, target, problem, said) in [
        ("internal_scientist", "limit=all", "not-in-format", "ndjson, csv, arrow, parquet"),
        ("internal_scientist", "limit=all&format=json", "not-in-format", "ndjson"),
        ("internal_scientist", "limit=all&format=ndjson&expand=profile", "malformed-request", "expand"),
        ("internal_scientist", "limit=all&format=ndjson&count=exact", "malformed-request", "count"),
        (
            "internal_scientist",
            "limit=all&format=ndjson&cursor=abc",
            "cursor-mismatch|invalid-cursor|malformed-request",
            "",
        ),
        ("internal_scientist", "limit=every&format=ndjson", "invalid-literal", "or all"),
        ("client_basic", "limit=all&format=csv", "export-not-granted", "next_cursor"),
        ("client_basic", "limit=all&format=arrow", "export-not-granted", "next_cursor"),
    ] {
        let answer = server.get(role, &format!("/v1/datasets/price_daily/rows?{target}")).await;
        let found = answer.problem();
        assert!(problem.split('|').any(|problem| problem == found), "{role} {target}: {}", answer.text());
        assert!(answer.text().contains(said), "{role} {target}: {}", answer.text());
    }
    let body = r#"{"limit": "all", "filter": {"symbol": "AAPL"}, "select": ["date"], "format": "csv"}"#;
    let request = server.request(reqwest::Method::POST, "/v1/datasets/price_daily/query");
    let request = request.bearer_auth(server.token("client_pro")).header("content-type", "application/json").body(body);
    let answer = server.send(request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().lines().count() > 1000, "{}", answer.text().lines().count());
    server.stop().await;
}

/// A connection on which a question was asked and nothing was read yet.
async fn asked(server: &Server, role: &str, target: &str, more: &str) -> TcpStream {
    let address = server.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let token = server.token(role);
    let request = format!(
        "GET {target} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n{more}\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    stream
}

/// The head, the data of all chunks, and what stands behind the last one; nothing when there is no last one.
fn chunks(answer: &[u8]) -> (String, Vec<u8>, Option<String>) {
    let split = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..split]).to_lowercase();
    let (mut rest, mut data) = (&answer[split + 4..], Vec::new());
    loop {
        let Some(end) = rest.windows(2).position(|two| two == b"\r\n") else { return (head, data, None) };
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).expect("a size"), 16).expect("a size");
        rest = &rest[end + 2..];
        if size == 0 {
            return (head, data, Some(String::from_utf8_lossy(rest).to_lowercase()));
        }
        let Some(chunk) = rest.get(..size + 2) else { return (head, data, None) };
        data.extend_from_slice(&chunk[..size]);
        rest = &rest[size + 2..];
    }
}

#[tokio::test]
async fn a_reader_of_trailers_hears_the_digest_of_what_it_got() {
    let server = Server::over(Backend::Postgres).await;
    let target = "/v1/datasets/news/rows?limit=all&format=csv";
    for (more, told) in [("TE: gzip, trailers\r\n", true), ("", false)] {
        let mut answer = Vec::new();
        asked(&server, "client_pro", target, more).await.read_to_end(&mut answer).await.expect("an answer");
        let (head, data, trailers) = chunks(&answer);
        let trailers = trailers.expect("a last chunk");
        let digest = STANDARD.encode(digest::digest(&digest::SHA256, &data));
        assert_eq!(head.contains("trailer: repr-digest"), told, "{head}");
        let expected = format!("repr-digest: sha-256=:{digest}:").to_lowercase();
        assert_eq!(trailers.contains(&expected), told, "{trailers}");
        assert!(data.len() > 10_000);
    }
    server.stop().await;
}

const CONTRACT: &str = "
name: broken
family: signal
title: A trial
description: Rows of which a late one cannot be had.
owner: trial@example.com
source: {name: marts, relation: RELATION}
primary_key: [id]
columns:
  - {name: id, type: int64, description: Key.}
  - {name: share, type: int64, description: What a late row has no value of.}
sla: {business_need: a, expectation: b, delivery: c, affected: d, breach: e}
";

/// More than every buffer on the way holds.
const LONG: &str = "SELECT n::bigint AS id, (n * 7)::bigint AS share FROM generate_series(1, 5000000) n";
/// It breaks in its two hundred thousandth row.
const BROKEN: &str = "SELECT n::bigint AS id, (1 / (200000 - n))::bigint AS share FROM generate_series(1, 300000) n";
/// The same for ClickHouse, which reads some blocks ahead.
const BROKEN_LATER: &str = "SELECT toInt64(number) AS id, toInt64(throwIf(number = 2500000, 'too late')) AS share \
    FROM system.numbers LIMIT 3000000";

/// A catalog of one dataset, which is a view.
fn trial(backend: Backend, name: &str, view: &str, folder: &std::path::Path) -> Config {
    let mut config = config(backend);
    config.catalog = folder.to_owned();
    let relation = match backend {
        Backend::Postgres => {
            run(psql(&format!("CREATE SCHEMA {name}"))).well();
            run(psql(&format!("CREATE VIEW {name}.broken AS {view}"))).well();
            format!("{name}.broken")
        }
        Backend::ClickHouse => {
            run(crate::programs::clickhouse(&format!("CREATE DATABASE {name}"))).well();
            run(crate::programs::clickhouse(&format!("CREATE VIEW {name}.broken AS {view}"))).well();
            format!("{name}.broken")
        }
        Backend::Sqlite => unreachable!("SQLite's views are no other than its tables"),
    };
    std::fs::create_dir_all(folder.join("datasets")).expect("a folder");
    std::fs::write(folder.join("datasets/broken.yaml"), CONTRACT.replace("RELATION", &relation)).expect("written");
    let access = "roles: [{name: any, tier: internal, claims: {a: b}, formats: all, export: true, aggregate: true, datasets: {broken: {columns: all}}}]";
    std::fs::write(folder.join("access.yaml"), access).expect("written");
    config
}

#[tokio::test]
async fn a_failure_among_the_rows_leaves_a_document_that_does_not_look_whole() {
    for (backend, view) in [(Backend::Postgres, BROKEN), (Backend::ClickHouse, BROKEN_LATER)] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(trial(backend, "streams_broken", view, folder.path())).await;
        for format in ["csv", "ndjson", "arrow", "parquet"] {
            let target = format!("/v1/datasets/broken/rows?limit=all&format={format}");
            let mut answer = Vec::new();
            // Whether the end is a farewell or a reset is the system's affair.
            let _ = asked(&server, "any", &target, "").await.read_to_end(&mut answer).await;
            let (head, data, end) = chunks(&answer);
            assert!(head.starts_with("http/1.1 200"), "{backend:?} {format}: {head}");
            assert!(!data.is_empty() || format == "parquet", "{backend:?} {format}");
            assert_eq!(end, None, "{backend:?} {format}: {} bytes", data.len());
            let request = server.request(reqwest::Method::GET, &target).bearer_auth(server.token("any"));
            let response = request.send().await.expect("a head");
            // The failure may come before the first rows, and is then told.
            let begun = response.status().as_u16() == 200;
            assert!(!begun || response.bytes().await.is_err(), "{backend:?} {format}: a client takes it for whole");
        }
        server.stop().await;
    }
}

/// The driver knows a statement by its text, and what it knows may be older than a migration.
#[tokio::test]
async fn a_stream_comes_in_the_types_of_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let view = "SELECT n::bigint AS id, n::bigint AS share FROM generate_series(1, 3) n";
    let mut config = trial(Backend::Postgres, "streams_altered", view, folder.path());
    let contract = CONTRACT.replace("name: share, type: int64", "name: share, type: 'decimal(38,2)'");
    let contract = contract.replace("RELATION", "streams_altered.broken");
    std::fs::write(folder.path().join("datasets/broken.yaml"), contract).expect("written");
    // One connection, besides those that streams may not take.
    config.streams.client = 0;
    config.streams.internal = 1;
    let server = Server::start(config).await;
    let target = "/v1/datasets/broken/rows?limit=all&format=csv";
    let expected = "id,share\r\n1,1.00\r\n2,2.00\r\n3,3.00\r\n";
    assert_eq!(server.get("any", target).await.text(), expected);
    let altered = "SELECT n::bigint AS id, n::numeric(38,2) AS share FROM generate_series(1, 3) n";
    run(psql(&format!("DROP VIEW streams_altered.broken; CREATE VIEW streams_altered.broken AS {altered}"))).well();
    assert_eq!(server.get("any", target).await.text(), expected);
    server.stop().await;
}

/// Connections of this server that stream.
fn streaming() -> usize {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'COPY (%streams_long%' AND state = 'active'";
    run(psql(count)).well().trim().parse().expect("a number")
}

#[tokio::test]
async fn a_tier_has_so_many_streams_and_who_goes_away_gives_its_place_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = trial(Backend::Postgres, "streams_long", LONG, folder.path());
    config.streams.internal = 1;
    let server = Server::start(config).await;
    let target = "/v1/datasets/broken/rows?limit=all&format=ndjson";
    let mut held = asked(&server, "any", target, "").await;
    let mut head = [0; 64];
    held.read_exact(&mut head).await.expect("a beginning");
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    // The reader takes no more, and so the store sends no more.
    assert_eq!(streaming(), 1);
    let refused = server.get("any", target).await;
    assert_eq!((refused.status, refused.problem().as_str()), (503, "overloaded"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(server.get("any", "/v1/datasets/broken/rows?limit=5").await.rows().len(), 5);
    drop(held);
    let other = "/v1/datasets/broken/aggregate?measures=count()&limit=all&format=csv";
    let mut waited = String::new();
    for attempt in 0.. {
        let answer = server.get("any", other).await;
        if answer.status == 200 && streaming() == 0 {
            break;
        }
        write!(waited, "{} ", answer.status).expect("written");
        assert!(attempt < 50, "no place is given back: {waited}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    server.stop().await;
}
