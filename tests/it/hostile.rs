//! Hostile values in every place that takes one: each is answered or refused, and what is refused tells nothing of the
//! house. Nothing hangs, nothing breaks, nothing is repeated beyond what was sent.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use futures_util::future::join_all;
use martello::app::House;
use martello::catalog::{Column, Operator};
use martello::encode::MediaType;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::problems::Wire;
use crate::support::{Answer, Backend, Server, config};

/// A bound for one answer: longer than a statement may run, and far longer than any of these takes.
const SOON: Duration = Duration::from_secs(10);

/// Below the connections of a source, so that no question waits for another.
const AT_ONCE: usize = 8;

/// What a URL may hold as it is (RFC 3986, 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Words that only the inside of the house knows. An answer has them only where the request had them first.
const INSIDE: [&str; 24] = [
    "SELECT ",
    " FROM ",
    " WHERE ",
    "syntax error",
    "sqlx",
    "pg_",
    "sqlite",
    "postgres",
    "SQLSTATE",
    "constraint",
    "no such table",
    "does not exist",
    "invalid input",
    "collat",
    "panicked",
    "unwrap",
    "thread '",
    "backtrace",
    "src/",
    ".rs:",
    "/usr/",
    "/tmp/",
    "/home/",
    "martello::",
];

// --- Values -------------------------------------------------------------------------------------------------------

/// Bytes that someone may send on purpose; not all are UTF-8.
fn values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    let mut texts = |texts: &[&str]| values.extend(texts.iter().map(|text| text.as_bytes().to_vec()));
    // SQL, and what ends a literal or a comment in it.
    texts(&[
        "'",
        "''",
        "\"",
        "`",
        "';--",
        "' OR '1'='1",
        "' OR 1=1--",
        "\" OR \"\"=\"",
        "1 OR 1=1",
        "1; DROP TABLE price_daily",
        "'; DROP TABLE price_daily; --",
        "1 UNION SELECT NULL,NULL,NULL",
        "' UNION SELECT sqlite_version()--",
        "' UNION SELECT version()--",
        "(SELECT 1)",
        "(SELECT pg_sleep(10))",
        "'||pg_sleep(10)--",
        "1 AND (SELECT COUNT(*) FROM pg_class)>0",
        "1); ATTACH DATABASE 'x' AS y; --",
        "PRAGMA table_info(price_daily)",
        "load_extension('x')",
        "randomblob(1000000000)",
        "$1",
        "?1",
        "$$x$$",
        ":name",
        "@name",
        "E'\\047'",
        "U&'\\0027'",
        "\\'; --",
        "/*",
        "*/",
        "--",
        "#",
        ";",
        "%",
        "_",
        "%%",
        "%_%",
        "*",
        "[a-z]*",
        "NULL",
        "null",
        "DEFAULT",
        "CURRENT_USER",
        "rowid",
        "oid",
        "ctid",
        "tableoid",
        "close; SELECT 1",
        "close DESC",
        "close) DESC --",
        "close::text",
        "close COLLATE \"de_DE\"",
        "lower(symbol)",
        "price_daily.close",
        "public.price_daily",
        "information_schema.tables",
    ]);
    // What this API itself gives a meaning to.
    texts(&[
        "",
        ",",
        ",,",
        "a,b",
        "\"a\",\"b",
        "\"a\"b",
        "\"\"\"",
        "\",\"",
        "-",
        "--close",
        "-close,-close",
        "close.nulls_first.nulls_last",
        ".",
        "..",
        "...",
        "close.",
        ".close",
        "close.eq.eq",
        "close.EQ",
        "symbol.in",
        "symbol,symbol",
        "select",
        "limit",
        "cursor",
        "=",
        "==",
        "&",
        "a=b&c=d",
        "a;b",
        "+",
        " ",
        "  close  ",
        "\t",
        "AAAA",
        "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "____",
        "====",
        "json",
        "application/json",
        "csv",
        "exact",
        "string",
    ]);
    // Numbers at and beyond every edge.
    texts(&[
        "0",
        "-0",
        "+1",
        "1.",
        ".5",
        "1e3",
        "1e-400",
        "1e400",
        "-1e400",
        "1e32767",
        "1e-32768",
        "1e99999999999999999999",
        "0e99999",
        "NaN",
        "nan",
        "inf",
        "-Infinity",
        "Infinity",
        "0x10",
        "0b1",
        "0o7",
        "1_000",
        "1,000",
        "1 000",
        "٣",
        "１２３",
        "½",
        "∞",
        "127",
        "128",
        "32768",
        "2147483647",
        "2147483648",
        "-2147483648",
        "-2147483649",
        "4294967295",
        "4294967296",
        "9007199254740993",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "99999999.999999",
        "100000000",
        "0.0000001",
        "99999999999999.9999",
        "340282366920938463463374607431768211456",
        "1.7976931348623157e308",
        "4.9e-324",
        "2.2250738585072011e-308",
        "true",
        "TRUE",
        "false",
        "yes",
    ]);
    // Days and instants at and beyond every edge.
    texts(&[
        "0000-00-00",
        "0000-01-01",
        "0001-01-01",
        "-0001-01-01",
        "9999-12-31",
        "9999-99-99",
        "10000-01-01",
        "+12345-01-01",
        "2023-02-29",
        "2024-02-30",
        "2024-13-01",
        "2024-1-1",
        "20240101",
        "2024-W01-1",
        "2024-366",
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-23:59",
        "2024-01-01T24:00:00Z",
        "2024-01-01T23:59:60Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.1234567890123Z",
        "2024-01-01T00:00:00+99:99",
        "2024-01-01T00:00:00Z[Europe/Berlin]",
        "2024-01-01T00:00:00Z[u-ca=hebrew]",
        "2024-01-01 00:00:00Z",
        "now",
        "today",
        "epoch",
        "infinity",
        "-infinity",
        "4713-01-01 BC",
    ]);
    // Texts that look like others, turn round, hide, or have no end.
    texts(&[
        "\u{0}",
        "AAPL\u{0}",
        "\u{0}AAPL",
        "\u{1}\u{2}\u{1b}[2J\u{7f}",
        "\u{8}\u{c}",
        "\u{85}\u{9f}",
        "\u{a0}",
        "\u{200b}",
        "A\u{200b}APL",
        "\u{feff}AAPL",
        "\u{202e}LPAA",
        "\u{2066}AAPL\u{2069}",
        "\u{2028}",
        "\u{2029}",
        "\u{fffd}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{d7ff}",
        "\u{e000}",
        "ＡＡＰＬ",
        "АAPL",
        "ﬀ",
        "ß",
        "ẞ",
        "İ",
        "ı",
        "é",
        "e\u{301}",
        "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}",
        "👩‍👩‍👧‍👦",
        "🏳️‍🌈",
        "𝔸𝔸ℙ𝕃",
        "表ポあA鷗ŒéＢ逍Üßªąñ丂㐀𠀀",
        "שלום",
        "مرحبا",
        "\\u0000",
        "\\ud800",
        "\\ud800\\udc00",
        "\\x00",
        "\\0",
        "%00",
        "%",
        "%4",
        "%zz",
        "%25",
        "%2500",
        "%252e%252e",
        "%u0041",
        "%c0%af",
        "&#x27;",
        "&lt;",
    ]);
    // What other layers would act on.
    texts(&[
        "../../../../etc/passwd",
        "..\\..\\windows\\win.ini",
        "/etc/passwd",
        "file:///etc/passwd",
        "http://127.0.0.1:9090/metrics",
        "//example.com",
        "C:\\",
        "CON",
        "~",
        "\r\n",
        "\r\nset-cookie: x=1",
        "x\r\n\r\n<html>",
        "\n",
        "\r",
        "x\nset-cookie: x=1",
        "HTTP/1.1 200 OK\r\n\r\n",
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "javascript:alert(1)",
        "<?xml version=\"1.0\"?><!DOCTYPE x [<!ENTITY y SYSTEM \"file:///etc/passwd\">]><x>&y;</x>",
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "${jndi:ldap://127.0.0.1/x}",
        "{}",
        "{0}",
        "{:?}",
        "%s%s%s%n",
        "%x%x%x%x",
        "%n",
        "`id`",
        "$(id)",
        "| id",
        "; id",
        "&& id",
        "() { :;}; echo x",
        "=1+1",
        "@SUM(1)",
        "{\"a\": 1}",
        "[1, 2",
        "{\"$gt\": \"\"}",
        "[object Object]",
        "undefined",
        "__proto__",
        "constructor",
        "*)(uid=*))(|(uid=*",
        "(a+)+$",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
    ]);
    // Too much of one thing.
    for (piece, times) in [
        ("A", 300),
        ("A", 5000),
        ("A", 9000),
        ("9", 40),
        ("9", 400),
        ("9", 5000),
        ("0", 5000),
        ("1,", 1500),
        ("a,", 600),
        ("\"", 1000),
        ("\"\"", 1001),
        ("(", 2000),
        ("[", 2000),
        ("{\"a\":", 400),
        ("%", 1000),
        ("-", 2000),
        (".", 2000),
        (" ", 1000),
        ("\u{301}", 400),
        ("é", 1000),
        ("🏳️‍🌈", 200),
        ("/", 2000),
        ("../", 1000),
        ("\0", 1000),
        ("close,", 100),
        ("close.", 100),
        ("0.", 1000),
    ] {
        values.push(piece.repeat(times).into_bytes());
    }
    values.push(format!("0.{}1", "0".repeat(4000)).into_bytes());
    values.push(format!("{}.0", "9".repeat(400)).into_bytes());
    values.push(format!("1e{}", "9".repeat(400)).into_bytes());
    values.push(format!("2024-01-01T00:00:00.{}Z", "0".repeat(400)).into_bytes());
    // No UTF-8: bytes alone, an overlong slash and NUL, surrogates, beyond U+10FFFF, cut short.
    let bytes: [&[u8]; 12] = [
        b"\xff",
        b"\xfe\xff",
        b"\x80",
        b"AAPL\x80",
        b"\xc0\xaf",
        b"\xc0\x80",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xed\xa0\xbd\xed\xb8\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xe2\x82",
    ];
    values.extend(bytes.map(<[u8]>::to_vec));
    values
}

fn escaped(value: &[u8]) -> String {
    percent_encode(value, ESCAPED).to_string()
}

// --- Places -------------------------------------------------------------------------------------------------------

const DATASETS: [&str; 4] = ["price_daily", "fundamental", "news", "signal"];
const PARTS: [&str; 10] =
    ["select", "sort", "limit", "cursor", "latest_by", "as_of", "format", "numbers", "shape", "guard"];

/// Every operator of one column of each type in each of the datasets, the one with the most, as a parameter's name.
fn filters() -> Vec<String> {
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let mut names = Vec::new();
    for name in DATASETS {
        let dataset = house.catalog.get(name).expect(name);
        let mut chosen: BTreeMap<String, &Column> = BTreeMap::new();
        for column in &dataset.columns {
            let best = chosen.entry(column.data_type.to_string()).or_insert(column);
            if column.filter.len() > best.filter.len() {
                *best = column;
            }
        }
        for column in chosen.into_values() {
            let operators = column.filter.iter().map(|operator| operator.as_str());
            names.extend(operators.map(|operator| format!("{name}/rows?{}.{operator}", column.name)));
        }
    }
    names
}

/// How often each status was answered.
type Tally = BTreeMap<u16, usize>;

/// Asks a list of requests over some connections at once.
async fn ask(server: &Server, requests: Vec<(String, Vec<u8>)>) -> Tally {
    let count = requests.len();
    let (queue, tally) = (Mutex::new(requests.into_iter()), Mutex::new(Tally::default()));
    join_all((0..AT_ONCE).map(|_| async {
        let mut wire = Wire::to(server).await;
        loop {
            let Some((at, request)) = queue.lock().expect("a queue").next() else { return };
            wire.send(&request).await;
            let answer = tokio::time::timeout(SOON, wire.inbox.next()).await;
            let answer = answer.unwrap_or_else(|_| panic!("no answer in time: {at}"));
            let answer = answer.unwrap_or_else(|| panic!("the connection ended: {at}"));
            judge(&answer, &request, &at);
            // After some refusals the rest of the request is not read: the server says so, and ends the connection.
            if answer.header("connection") == Some("close") {
                wire = Wire::to(server).await;
            }
            *tally.lock().expect("a tally").entry(answer.status).or_default() += 1;
        }
    }))
    .await;
    let tally = tally.into_inner().expect("a tally");
    assert_eq!(tally.values().sum::<usize>(), count);
    let metrics = server.admin("/metrics").await.text();
    assert!(!metrics.contains("martello_panics_total"), "a handler panicked");
    tally
}

/// What every answer owes.
fn judge(answer: &Answer, request: &[u8], at: &str) {
    assert!(matches!(answer.status, 200 | 304 | 400..=499), "{at}: {} {}", answer.status, answer.text());
    if answer.status == 304 {
        // A client that has whatever there is has this, too.
        assert!(answer.body.is_empty() && answer.header("etag").is_some(), "{at}");
    } else if answer.status == 200 {
        let media_type = answer.header("content-type").and_then(|whole| whole.split(';').next()).unwrap_or_default();
        match MediaType::named(media_type) {
            Some(MediaType::Json) => drop(answer.json()),
            other => assert!(other.is_some(), "{at}: {media_type}"),
        }
    } else if let Some(errors) = answer.json().get("errors") {
        // As GraphQL words it.
        assert!(errors[0]["extensions"]["type"].is_string(), "{at}: {errors}");
    } else {
        answer.problem();
    }
    assert_eq!(answer.header("set-cookie"), None, "{at}");
    says_nothing_of_the_inside(&answer.text(), request, at);
    for (name, value) in &answer.headers {
        says_nothing_of_the_inside(&format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())), request, at);
    }
}

fn says_nothing_of_the_inside(text: &str, request: &[u8], at: &str) {
    for word in INSIDE.iter().filter(|word| text.contains(**word)) {
        let sent = String::from_utf8_lossy(request);
        let decoded = percent_decode_str(&sent).decode_utf8_lossy();
        assert!(sent.contains(word) || decoded.contains(word), "{at}: {word:?} in {text}");
    }
}

/// A GET with a token, on a connection that goes on.
fn get(target: &str, token: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
}

/// Every value in every one of the targets, where `*` stands for it, on every backend.
async fn in_every(targets: &[String]) {
    let mut tallies = Vec::new();
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let token = server.token("internal_scientist");
        let mut requests = Vec::new();
        for target in targets {
            for value in values() {
                let target = target.replace('*', &escaped(&value));
                let at = format!("{backend:?} {}", &target[..target.len().min(200)]);
                requests.push((at, get(&target, &token)));
            }
        }
        tallies.push(ask(&server, requests).await);
        server.stop().await;
    }
    // What is refused is refused before a source is chosen.
    assert_eq!(tallies[0], tallies[1]);
    assert!(tallies[0].keys().any(|status| *status >= 400), "{tallies:?}");
}

#[test]
fn there_are_many_values_and_none_comes_twice() {
    let values = values();
    let different: std::collections::BTreeSet<&Vec<u8>> = values.iter().collect();
    assert!(different.len() >= 200, "{}", different.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_a_part_of_a_question_breaks_it() {
    let parts = PARTS.iter().flat_map(|part| DATASETS.map(|name| format!("/v1/datasets/{name}/rows?limit=1&{part}=*")));
    let targets = parts.map(|target| target.replace("limit=1&limit=*", "limit=*"));
    in_every(&targets.collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_in_a_tree_a_group_or_an_expansion_breaks_it() {
    in_every(&[
        "/v1/datasets/price_daily/rows?or=*&limit=1".into(),
        "/v1/datasets/price_daily/rows?or=(symbol=*,not.and(close.gt=*))&limit=1".into(),
        "/v1/datasets/news/rows?not.or=(headline=%22*%22,symbols.has=%22*%22,category.in=(%22*%22))&limit=1".into(),
        "/v1/datasets/price_daily/rows?and=(*)&limit=1".into(),
        "/v1/datasets/news/rows?search=*&limit=1".into(),
        "/v1/datasets/news/rows?search=apple%20*&latest_by=category&tz=*&limit=1".into(),
        "/v1/datasets/fundamental/rows?revision=*&limit=1".into(),
        "/v1/datasets/price_daily/rows?count=*&limit=1".into(),
        "/v1/datasets/price_daily/rows?expand=*&limit=1".into(),
        "/v1/datasets/company_profile/rows?expand=prices(limit=*,sort=*)&limit=1".into(),
        "/v1/datasets/company_profile/rows?expand=prices(*,limit=1)&limit=1".into(),
        "/v1/datasets/price_daily/aggregate?group_by=*&measures=count()".into(),
        "/v1/datasets/price_daily/aggregate?measures=*".into(),
        "/v1/datasets/price_daily/aggregate?measures=max(*)".into(),
        "/v1/datasets/price_daily/aggregate?resample=*".into(),
        "/v1/datasets/price_daily/aggregate?group_by=symbol&measures=sum(volume)&having=(sum(volume).gt=*)&limit=1"
            .into(),
        "/v1/datasets/signal/aggregate?group_by=signal&measures=count()&having=*&sort=*&limit=1".into(),
        "/v1/datasets/price_daily/rows?dry_run=*&limit=1".into(),
        "/v1/datasets/price_daily/rows?explain=*&limit=1".into(),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_breaks_it() {
    let json = |value: &[u8]| serde_json::to_vec(&String::from_utf8_lossy(value)).expect("JSON");
    let forms: [(&str, &str); 12] = [
        ("", ""),
        ("{\"filter\":", "}"),
        ("{\"filter\":{\"symbol\":", "}}"),
        ("{\"filter\":{\"close\":{\"gt\":", "}}}"),
        ("{\"filter\":{\"symbol\":{\"in\":[", "]}}}"),
        ("{\"filter\":{\"or\":[{\"symbol\":", "}]}}"),
        ("{\"limit\":", "}"),
        ("{\"sort\":[", "],\"limit\":1}"),
        ("{\"expand\":{\"profile\":", "}}"),
        ("{\"measures\":[", "]}"),
        ("{\"measures\":[\"sum(volume)\"],\"having\":{\"sum(volume)\":{\"lt\":", "}}}"),
        ("{", ":1}"),
    ];
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let token = server.token("internal_scientist");
        let mut requests = Vec::new();
        for (before, behind) in forms {
            for value in values() {
                for value in [value.clone(), json(&value)] {
                    let body = [before.as_bytes(), &value, behind.as_bytes()].concat();
                    let at = format!("{backend:?} {}", String::from_utf8_lossy(&body[..body.len().min(200)]));
                    let head = format!(
                        "POST /v1/datasets/price_daily/query HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\
                         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
                        body.len()
                    );
                    requests.push((at, [head.into_bytes(), body].concat()));
                }
            }
        }
        let tally = ask(&server, requests).await;
        assert!(tally[&400] > 1_000, "{tally:?}");
        server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_of_a_filter_breaks_it() {
    let filters = filters();
    // Every operator, and every type that can be filtered.
    for operator in Operator::ALL {
        assert!(filters.iter().any(|name| name.ends_with(&format!(".{}", operator.as_str()))), "{operator:?}");
    }
    let targets: Vec<String> = filters.iter().map(|name| format!("/v1/datasets/{name}=*&limit=1")).collect();
    in_every(&targets).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_value_in_a_combination_breaks_it() {
    in_every(&[
        "/v1/datasets/price_daily/rows?symbol.in=*,AAPL&symbol.prefix=*&as_of=2010-01-01&limit=1".into(),
        "/v1/datasets/price_daily/rows?symbol.ne=*&latest_by=symbol&sort=-close&limit=2".into(),
        "/v1/datasets/fundamental/rows?symbol.nin=*&as_of=2012-01-01&latest_by=metric&limit=1".into(),
        "/v1/datasets/fundamental/rows?as_of=*&latest_by=symbol&limit=1".into(),
        "/v1/datasets/news/rows?headline.contains=*&symbols.has=*&as_of=*&limit=1".into(),
        "/v1/datasets/signal/rows?signal.gte=*&signal.prefix=*&limit=1".into(),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_name_of_a_parameter_breaks_it() {
    in_every(&[
        "/v1/datasets/price_daily/rows?*=1".into(),
        "/v1/datasets/price_daily/rows?*".into(),
        "/v1/datasets/price_daily/rows?*.gte=1&limit=1".into(),
        "/v1/datasets/price_daily/rows?close.*=1".into(),
        "/v1/datasets/news/rows?symbols.*=*".into(),
        "/v1/datasets/signal/rows/AAPL/2013-01-28/rsi_oversold_exit?*=*".into(),
        "/v1/datasets?*=*".into(),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_segment_of_a_path_breaks_it() {
    in_every(&[
        "/v1/datasets/*".into(),
        "/v1/datasets/*/rows".into(),
        "/v1/datasets/*/rows/AAPL/2005-02-28".into(),
        "/v1/datasets/price_daily/*".into(),
        "/v1/datasets/price_daily/rows/*".into(),
        "/v1/datasets/price_daily/rows/*/2005-02-28".into(),
        "/v1/datasets/price_daily/rows/AAPL/*".into(),
        "/v1/datasets/price_daily/rows/AAPL/2005-02-28/*".into(),
        "/v1/datasets/fundamental/rows/*".into(),
        "/v1/datasets/news/rows/*".into(),
        "/v1/datasets/signal/rows/*/*/*".into(),
        "/v1/datasets/signal/rows/AAPL/2013-01-28/*".into(),
        "/v1/*".into(),
        "/problems/*".into(),
        "/docs/*".into(),
        "/*".into(),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_document_and_no_value_in_one_breaks_graphql() {
    let of = |document: &str| format!("/graphql?query={}", escaped(document.as_bytes()).replace("%2A", "*"));
    let mut targets = vec!["/graphql?query=*".to_owned(), "/graphql?*=*".into()];
    targets.extend(["variables", "extensions", "operationName"].map(|name| format!("{}&{name}=*", of("{__typename}"))));
    let arguments = [
        "where: {headline: {contains: \"*\"}}",
        "where: {news_id: {eq: *}}",
        "where: {*: {eq: 1}}",
        "order_by: {field: *}",
        "search: \"*\"",
        "as_of: \"*\"",
        "tz: \"*\"",
        "after: \"*\"",
        "first: *",
        "*: 1",
    ];
    targets.extend(arguments.map(|argument| of(&format!("{{news({argument}) {{nodes {{headline}}}}}}"))));
    targets.push(of("{news(first: 1) {nodes {*}}}"));
    in_every(&targets).await;
}

// --- What is no HTTP ----------------------------------------------------------------------------------------------

/// Sends bytes as they are, each on a connection of its own, and judges all that comes until the server ends it.
async fn shout(server: &Server, requests: Vec<(String, Vec<u8>)>) -> Tally {
    let (queue, tally) = (Mutex::new(requests.into_iter()), Mutex::new(Tally::new()));
    join_all((0..AT_ONCE).map(|_| async {
        loop {
            let Some((at, request)) = queue.lock().expect("a queue").next() else { return };
            let mut wire = Wire::to(server).await;
            let heard = async {
                wire.send(&request).await;
                let mut answers = Vec::new();
                while let Some(answer) = wire.inbox.next().await {
                    answers.push(answer);
                }
                (answers, wire.inbox.rest().await.len())
            };
            let (answers, rest) =
                tokio::time::timeout(SOON, heard).await.unwrap_or_else(|_| panic!("it never ended: {at}"));
            assert_eq!(rest, 0, "half an answer: {at}");
            for answer in answers {
                // Bytes that are no HTTP are refused below us, without a body.
                let bare = matches!(answer.status, 400 | 414 | 431) && answer.body.is_empty();
                if !bare && answer.status != 100 {
                    judge(&answer, &request, &at);
                }
                *tally.lock().expect("a tally").entry(answer.status).or_default() += 1;
            }
        }
    }))
    .await;
    let metrics = server.admin("/metrics").await.text();
    assert!(!metrics.contains("martello_panics_total"), "a handler panicked");
    tally.into_inner().expect("a tally")
}

/// Every value as it is in the place of `*`, on every backend.
async fn as_it_is_in_every(places: &[&str]) {
    for backend in Backend::ALL {
        let mut config = config(backend);
        // Some heads never end.
        config.http.head_timeout = Duration::from_secs(1);
        let server = Server::start(config).await;
        let token = server.token("internal_scientist");
        let mut requests = Vec::new();
        for place in places {
            let place = place.replace("TOKEN", &token);
            let (before, behind) = place.split_once('*').expect("a place");
            for value in values() {
                let at = format!("{backend:?} {place:?} {:?}", String::from_utf8_lossy(&value[..value.len().min(60)]));
                requests.push((at, [before.as_bytes(), &value, behind.as_bytes()].concat()));
            }
        }
        let tally = shout(&server, requests).await;
        assert!(tally.keys().any(|status| *status >= 400), "{tally:?}");
        // And it serves on.
        assert_eq!(server.get("client_pro", "/v1/datasets").await.status, 200);
        server.stop().await;
    }
}

const TAIL: &str = " HTTP/1.1\r\nconnection: close\r\nauthorization: Bearer TOKEN\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_in_a_target_break_it() {
    let places = [
        "GET /v1/datasets/*/rows",
        "GET /v1/datasets/price_daily/rows?limit=1&symbol=*",
        "GET /v1/datasets/price_daily/rows?*=1",
        "GET /v1/datasets/price_daily/rows/AAPL/*",
        "GET /*",
        "GET *",
        "* /v1/datasets",
    ];
    let places = places.map(|place| format!("{place}{TAIL}"));
    as_it_is_in_every(&places.each_ref().map(String::as_str)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_bytes_in_a_header_break_it() {
    let page = "GET /v1/datasets/news/rows?limit=1 HTTP/1.1\r\nconnection: close\r\n";
    let places = [
        "accept: *",
        "x-request-id: *",
        "traceparent: *",
        "tracestate: *",
        "host: *",
        "origin: *",
        "content-length: *",
        "transfer-encoding: *",
        "expect: *",
        "if-none-match: *",
        "range: bytes=*",
        "*: x",
        "*",
    ];
    let places = places.map(|header| format!("{page}{header}\r\nauthorization: Bearer TOKEN\r\n\r\n"));
    let credential = format!("{page}authorization: Bearer *\r\n\r\n");
    let places: Vec<&str> = places.iter().map(String::as_str).chain([credential.as_str()]).collect();
    as_it_is_in_every(&places).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_protocol_breaks_it() {
    let mut config = config(Backend::Sqlite);
    config.http.head_timeout = Duration::from_secs(1);
    config.http.body_timeout = Duration::from_secs(1);
    let server = Server::start(config).await;
    let post = "POST /v1/datasets HTTP/1.1\r\nconnection: close\r\n";
    let mut requests: Vec<Vec<u8>> = [
        "OPTIONS * HTTP/1.1\r\nconnection: close\r\n\r\n",
        "CONNECT example.com:443 HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET http://example.com/v1/datasets HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET https://user:password@example.com HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /v1/datasets HTTP/1.0\r\n\r\n",
        "GET /v1/datasets HTTP/0.9\r\n\r\n",
        "GET /v1/datasets HTTP/2.0\r\n\r\n",
        "GET /v1/datasets HTTP/1.1 HTTP/1.1\r\n\r\n",
        "GET /v1/datasets\r\n\r\n",
        "GET  /v1/datasets  HTTP/1.1\r\n\r\n",
        "GET\t/v1/datasets\tHTTP/1.1\r\n\r\n",
        "get /v1/datasets HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /v1/datasets HTTP/1.1\nconnection: close\n\n",
        "GET /v1/datasets#fragment HTTP/1.1\r\nconnection: close\r\n\r\n",
        "GET /v1/datasets HTTP/1.1\r\nconnection: close\r\n folded: yes\r\n\r\n",
        "GET /v1/datasets HTTP/1.1\r\nconnection: close\r\nno colon\r\n\r\n",
        "GET /v1/datasets HTTP/1.1\r\nconnection: close\r\nspace : x\r\n\r\n",
        "GET /v1/datasets HTTP/1.1\r\nconnection: close\r\n: x\r\n\r\n",
        "GET /v1/datasets HTTP/1.1\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
        "GET /v1/datasets HTTP/1.1\r\nconnection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: \r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "EHLO example.com\r\n",
        "SSH-2.0-x\r\n",
        "*1\r\n$4\r\nPING\r\n",
        "\r\n\r\n\r\n\r\n",
        "",
    ]
    .map(|request| request.as_bytes().to_vec())
    .into();
    // One request must not hide another.
    for (headers, body) in [
        ("content-length: 3\r\ncontent-length: 4", "abcd"),
        ("content-length: 3, 3", "abc"),
        ("content-length: +3", "abc"),
        ("content-length: -1", ""),
        ("content-length: 0x3", "abc"),
        ("content-length: 3\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
        ("transfer-encoding: xchunked", "0\r\n\r\n"),
        ("transfer-encoding: chunked, identity", "0\r\n\r\n"),
        ("transfer-encoding: gzip, chunked", "0\r\n\r\n"),
        ("transfer-encoding: chunked", "-1\r\n\r\n"),
        ("transfer-encoding: chunked", "FFFFFFFFFFFFFFFFF\r\n\r\n"),
        ("transfer-encoding: chunked", "3\r\nabcX\r\n"),
        ("transfer-encoding: chunked", "3;extension=\"x\"\r\nabc\r\n0\r\ntrailer: x\r\n\r\n"),
        ("transfer-encoding: chunked", "zz\r\n"),
        ("expect: 100-continue\r\ncontent-length: 3", "abc"),
        ("expect: the unexpected\r\ncontent-length: 3", "abc"),
        ("content-encoding: gzip\r\ncontent-length: 3", "abc"),
    ] {
        requests.push(format!("{post}{headers}\r\n\r\n{body}").into_bytes());
    }
    // The beginning of a TLS handshake, and bytes of every kind.
    requests.push(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec());
    requests.push((0..=255).collect());
    requests.push((0..=255_u8).cycle().take(100_000).collect());
    requests.push(vec![0; 200_000]);
    requests.push(b"A".repeat(200_000));
    requests.push([b"GET /".as_slice(), &b"a".repeat(70_000), b" HTTP/1.1\r\n\r\n"].concat());
    let requests =
        requests.into_iter().map(|request| (String::from_utf8_lossy(&request).chars().take(120).collect(), request));
    let tally = shout(&server, requests.collect()).await;
    assert!(!tally.contains_key(&200) && tally.keys().all(|status| *status < 500), "{tally:?}");
    assert_eq!(server.get("client_pro", "/v1/datasets").await.status, 200);
    server.stop().await;
}
