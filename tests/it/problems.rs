//! Problems: whatever a client does wrong has a type, a page that explains it, and tells nothing that is not the
//! client's to know.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use martello::app::House;
use martello::http::problem::{self, Kind};
use martello::plan::View;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::support::{Answer, Backend, Server, config};

/// A bound for what should happen at once: the tests wait for events, and this only ends a wait that would be for ever.
const SOON: Duration = Duration::from_secs(15);

/// One connection, written to byte by byte: for what a client library would mend or refuse to send.
pub struct Wire {
    pub inbox: Inbox,
    pub write: OwnedWriteHalf,
}

impl Wire {
    pub async fn to(server: &Server) -> Self {
        let address = server.url.strip_prefix("http://").expect("plain HTTP");
        let (read, write) = TcpStream::connect(address).await.expect("a connection").into_split();
        Self { inbox: Inbox { read, arrived: Vec::new() }, write }
    }

    /// Writes as much as the server takes: one that has answered may have closed.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.write.write_all(bytes).await;
    }

    /// The next answer: see [`Inbox::answer`].
    pub async fn answer(&mut self) -> Answer {
        self.inbox.answer().await
    }
}

/// What the server writes on a connection.
pub struct Inbox {
    read: OwnedReadHalf,
    /// What has arrived and was not taken yet.
    arrived: Vec<u8>,
}

impl Inbox {
    /// The next answer. Panics when the connection ends before, or nothing comes.
    pub async fn answer(&mut self) -> Answer {
        let answer = tokio::time::timeout(SOON, self.next()).await.expect("an answer in time");
        answer.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&self.arrived)))
    }

    /// The next answer (not one to HEAD), or nothing when the connection ends before it is whole.
    pub async fn next(&mut self) -> Option<Answer> {
        let end = loop {
            match self.arrived.windows(4).position(|end| end == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None if self.more().await => {}
                None => return None,
            }
        };
        let head = String::from_utf8(self.arrived.drain(..end).collect()).expect("a head of text");
        let (status, headers) = head.split_once("\r\n").expect("a status line");
        let status = status.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {head:?}"));
        let headers: HeaderMap = (headers.lines().take_while(|line| !line.is_empty()))
            .map(|line| {
                let (name, value) = line.split_once(": ").expect("a header");
                (name.parse::<HeaderName>().expect("a name"), value.parse::<HeaderValue>().expect("a value"))
            })
            .collect();
        let length = headers
            .get("content-length")
            .map_or(0, |length| length.to_str().ok().and_then(|length| length.parse().ok()).expect("a length"));
        while self.arrived.len() < length {
            if !self.more().await {
                return None;
            }
        }
        Some(Answer { status, headers, body: self.arrived.drain(..length).collect() })
    }

    /// All that is still to come, when the server has ended the connection.
    pub async fn rest(&mut self) -> &[u8] {
        while self.more().await {}
        &self.arrived
    }

    async fn more(&mut self) -> bool {
        // A connection that was reset has ended too.
        self.read.read_buf(&mut self.arrived).await.is_ok_and(|read| read > 0)
    }
}

/// A whole request without a body.
fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: test\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The headers that must not differ between equal answers.
fn lasting(answer: &Answer) -> HeaderMap {
    let mut headers = answer.headers.clone();
    headers.remove("date");
    headers.remove("x-request-id");
    // Each of them is one request fewer that is left.
    headers.remove("ratelimit");
    headers
}

/// The body without the request's id.
fn told(answer: &Answer) -> String {
    answer.text().replace(answer.header("x-request-id").expect("an id"), "")
}

/// Problems that a client has no part in: `faults` causes them, and `differential` sums of numbers that the demo has not.
/// `publish` and `access` those of the admin listener, `differential` those of grants that the demo
/// has not, `limits` those of what is used up, `changes` and `assets` those of versions and files.
const OURS: [Kind; 23] = [
    problem::INTERNAL,
    problem::OVERLOADED,
    problem::SOURCE_UNAVAILABLE,
    problem::SUM_TOO_LARGE,
    problem::TIMEOUT,
    problem::NOT_A_PUBLISHER,
    problem::NOT_PUBLISHED,
    problem::CONTROL_UNAVAILABLE,
    problem::AGGREGATE_NOT_GRANTED,
    problem::REVISION_NOT_GRANTED,
    problem::NOT_AN_OFFICER,
    problem::MATRIX_REFUSED,
    problem::INVALID_DOCUMENT,
    problem::GRAPHQL_NOT_GRANTED,
    problem::DOCUMENT_NOT_REGISTERED,
    problem::DOCUMENT_NOT_FOUND,
    problem::QUOTA_EXCEEDED,
    problem::TEMPORARY_REDUCED_CAPACITY,
    problem::NOT_SERVED,
    problem::NOT_PARTED,
    problem::FILES_UNAVAILABLE,
    problem::VERSION_GONE,
    problem::RANGE_NOT_SATISFIABLE,
];

#[tokio::test]
async fn every_problem_that_a_client_can_cause_is_told_by_its_type() {
    let mut config = config(Backend::Sqlite);
    config.http.body_timeout = Duration::from_millis(100);
    let server = Server::start(config).await;
    let rows = "/v1/datasets/price_daily/rows";
    let (groups, question) = ("/v1/datasets/price_daily/aggregate", "/v1/datasets/price_daily/query");
    let bearer = format!("Bearer {}", server.token("client_pro"));
    let deep = format!("{rows}?or={}(close=1{}", "(or".repeat(8), ")".repeat(9));
    let page = server.get("client_pro", &format!("{rows}?symbol=AAPL&limit=1")).await;
    let cursor = page.json()["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
    let mut caused = BTreeSet::new();

    let many_conditions = format!("{rows}?{}", "close.gt=1&".repeat(65));
    let many_parameters = format!("{rows}?{}", "close.gt=1&".repeat(129));
    let many_keys = format!("{rows}?sort=open,high,low,close,adj_close,volume,symbol,date,split_ratio");
    let many_values = format!("{rows}?volume.in={}", (0..1001).map(|n| format!("{n},")).collect::<String>());
    let other_question = format!("{rows}?symbol=MSFT&cursor={cursor}");
    let long_target = format!("{rows}?symbol={}", "A".repeat(8192));
    let long_path = format!("/{}", "a".repeat(8192));
    let long_header = "x".repeat(17_000);
    for (method, target, header, kind) in [
        ("GET", &format!("{rows}?symbol=%"), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{rows}?symbol=%ff"), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{rows}?symbol.in=%22A"), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{rows}?limit=1&limit=1"), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{rows}?select="), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{rows}/AAPL/%ff"), None, problem::MALFORMED_REQUEST),
        ("GET", &"/v1/datasets/%ff/rows".to_owned(), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{rows}?colour=red"), None, problem::UNKNOWN_PARAMETER),
        ("GET", &format!("{rows}/AAPL/2005-02-28?limit=1"), None, problem::UNKNOWN_PARAMETER),
        ("GET", &format!("{rows}?select=symbol,colour"), None, problem::UNKNOWN_COLUMN),
        ("GET", &format!("{rows}?sort=-colour"), None, problem::UNKNOWN_COLUMN),
        ("GET", &format!("{rows}?latest_by=colour"), None, problem::UNKNOWN_COLUMN),
        ("GET", &format!("{rows}?expand=profil"), None, problem::UNKNOWN_RELATION),
        ("GET", &format!("{rows}?expand=profile(colour)"), None, problem::UNKNOWN_COLUMN),
        ("GET", &format!("{rows}?group_by=symbol"), None, problem::UNKNOWN_PARAMETER),
        ("GET", &format!("{groups}?group_by=colour"), None, problem::UNKNOWN_COLUMN),
        ("GET", &format!("{groups}?measures=count()&having=(colour=1)"), None, problem::UNKNOWN_COLUMN),
        ("GET", &format!("{groups}?measures=count()&select=symbol"), None, problem::UNKNOWN_PARAMETER),
        ("GET", &format!("{groups}?measures=sum(close)"), None, problem::FUNCTION_NOT_ALLOWED),
        ("GET", &format!("{groups}?measures=count(),count()"), None, problem::REPEATED_COLUMN),
        ("GET", &format!("{groups}?measures=mode(close)"), None, problem::INVALID_LITERAL),
        ("GET", &format!("{groups}?group_by=symbol:month"), None, problem::INVALID_LITERAL),
        ("GET", &groups.to_owned(), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{groups}?resample=1mo&group_by=symbol"), None, problem::MALFORMED_REQUEST),
        ("GET", &"/v1/datasets/news/aggregate?resample=1mo".to_owned(), None, problem::NO_BARS),
        ("GET", &format!("{rows}?search=apple"), None, problem::NOT_SEARCHABLE),
        ("GET", &"/v1/datasets/news/rows?search=...".to_owned(), None, problem::INVALID_LITERAL),
        ("GET", &format!("{rows}?tz=Mars/Olympus"), None, problem::INVALID_LITERAL),
        ("GET", &format!("{rows}?revision=newest"), None, problem::INVALID_LITERAL),
        ("GET", &"/v1/datasets/company_profile/rows?revision=first".to_owned(), None, problem::NOT_TIMED),
        ("GET", &format!("{rows}?as_of=2012-01-01&expand=profile"), None, problem::NOT_TIMED),
        (
            "GET",
            &"/v1/datasets/company_profile/rows?expand=prices(limit=1000)".to_owned(),
            None,
            problem::LIMIT_OUT_OF_RANGE,
        ),
        ("GET", &format!("{rows}?explain=plan"), None, problem::NOT_EXPLAINED),
        ("GET", &format!("{rows}?explain=plan&dry_run=true"), None, problem::MALFORMED_REQUEST),
        ("GET", &format!("{rows}?or=(close=1"), None, problem::MALFORMED_REQUEST),
        ("GET", &deep, None, problem::TOO_COMPLEX),
        ("POST", &question.to_owned(), None, problem::UNSUPPORTED_MEDIA_TYPE),
        ("POST", &question.to_owned(), Some(("content-type", "application/json")), problem::MALFORMED_REQUEST),
        ("GET", &question.to_owned(), None, problem::METHOD_NOT_ALLOWED),
        ("GET", &format!("{rows}?symbol.like=A"), None, problem::OPERATOR_NOT_ALLOWED),
        ("GET", &format!("{rows}?symbol.contains=A"), None, problem::OPERATOR_NOT_ALLOWED),
        ("GET", &format!("{rows}?close=much"), None, problem::INVALID_LITERAL),
        ("GET", &format!("{rows}?limit=many"), None, problem::INVALID_LITERAL),
        ("GET", &format!("{rows}?as_of=now"), None, problem::INVALID_LITERAL),
        ("GET", &format!("{rows}?numbers=roman"), None, problem::INVALID_LITERAL),
        ("GET", &format!("{rows}/AAPL/yesterday"), None, problem::INVALID_LITERAL),
        ("GET", &"/v1/datasets/news/rows?sort=headline".to_owned(), None, problem::NOT_SORTABLE),
        ("GET", &"/v1/datasets/news/rows?latest_by=symbols".to_owned(), None, problem::NOT_SORTABLE),
        ("GET", &"/v1/datasets/social_daily/rows?sort=unique_authors".to_owned(), None, problem::COLUMN_MASKED),
        ("GET", &format!("{rows}?select=close,close"), None, problem::REPEATED_COLUMN),
        ("GET", &format!("{rows}?sort=close,-close"), None, problem::REPEATED_COLUMN),
        ("GET", &many_conditions, None, problem::TOO_COMPLEX),
        ("GET", &many_parameters, None, problem::TOO_COMPLEX),
        ("GET", &many_keys, None, problem::TOO_COMPLEX),
        ("GET", &many_values, None, problem::TOO_COMPLEX),
        ("GET", &format!("{rows}?limit=0"), None, problem::LIMIT_OUT_OF_RANGE),
        ("GET", &format!("{rows}?limit=10001"), None, problem::LIMIT_OUT_OF_RANGE),
        ("GET", &format!("{rows}/AAPL"), None, problem::INVALID_KEY),
        ("GET", &format!("{rows}/AAPL/2005-02-28/1"), None, problem::INVALID_KEY),
        ("GET", &format!("{rows}?cursor=AAAA"), None, problem::INVALID_CURSOR),
        ("GET", &other_question, None, problem::CURSOR_MISMATCH),
        ("GET", &"/v1/datasets/company_profile/rows?as_of=2020-01-01".to_owned(), None, problem::NOT_TIMED),
        ("GET", &"/v1/datasets/company_profile/rows?latest_by=country".to_owned(), None, problem::NOT_TIMED),
        ("GET", &format!("{rows}?token=x"), None, problem::CREDENTIAL_IN_URL),
        ("GET", &"/v1/datasets/fundamentals".to_owned(), None, problem::NOT_FOUND),
        ("GET", &"/v1/datasets/fundamentals/rows?limit=0".to_owned(), None, problem::NOT_FOUND),
        ("GET", &"/".to_owned(), None, problem::NOT_FOUND),
        ("POST", &"/v2/datasets".to_owned(), None, problem::NOT_FOUND),
        ("GET", &"/problems/too-cheap".to_owned(), None, problem::NOT_FOUND),
        ("GET", &"/docs/passwords.txt".to_owned(), None, problem::NOT_FOUND),
        ("GET", &"/v1/datasets/price_daily/changes?from=1&format=csv".to_owned(), None, problem::UNKNOWN_VERSION),
        ("GET", &"/assets/price_daily/1-0/a.csv".to_owned(), None, problem::LINK_REFUSED),
        ("GET", &format!("{rows}/AAPL/2005-02-27"), None, problem::ROW_NOT_FOUND),
        ("DELETE", &format!("{rows}/AAPL/2005-02-28"), None, problem::METHOD_NOT_ALLOWED),
        ("BREW", &"/v1/datasets".to_owned(), None, problem::METHOD_NOT_ALLOWED),
        ("GET", &rows.to_owned(), Some(("accept", "image/png")), problem::NOT_ACCEPTABLE),
        ("GET", &format!("{rows}?format=png"), None, problem::NOT_ACCEPTABLE),
        ("GET", &format!("{rows}?format=csv&count=exact"), None, problem::NOT_IN_FORMAT),
        ("POST", &rows.to_owned(), Some(("content-length", "65537")), problem::CONTENT_TOO_LARGE),
        ("GET", &long_target, None, problem::TARGET_TOO_LONG),
        ("GET", &long_path, None, problem::TARGET_TOO_LONG),
        ("GET", &rows.to_owned(), Some(("content-length", "2")), problem::UNSUPPORTED_MEDIA_TYPE),
        ("GET", &rows.to_owned(), Some(("transfer-encoding", "chunked")), problem::UNSUPPORTED_MEDIA_TYPE),
        ("GET", &rows.to_owned(), Some(("x-long", long_header.as_str())), problem::HEAD_TOO_LARGE),
        ("POST", &rows.to_owned(), Some(("content-length", "2")), problem::REQUEST_TIMEOUT),
    ] {
        let headers: Vec<(&str, &str)> = [("authorization", bearer.as_str())].into_iter().chain(header).collect();
        let mut wire = Wire::to(&server).await;
        wire.send(&request(method, target, &headers)).await;
        let answer = wire.answer().await;
        let shown = &target[..target.len().min(100)];
        assert_eq!(answer.status, kind.status.as_u16(), "{method} {shown}");
        assert_eq!(answer.problem(), kind.slug, "{method} {shown}");
        assert_eq!(answer.json()["title"], kind.title);
        caused.insert(kind.slug);
    }

    // Who asks is the question of `tokens`; here is one of each.
    let basic = server.token("client_basic");
    for (headers, kind) in [
        (vec![], problem::UNAUTHENTICATED),
        (vec![format!("Bearer {basic}"), format!("Bearer {basic}")], problem::MALFORMED_CREDENTIAL),
        (vec!["Bearer a.b.c".to_owned()], problem::INVALID_TOKEN),
        (vec![format!("Bearer {}", crate::tokens::roleless())], problem::NO_ROLE),
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|value| ("authorization", value.as_str())).collect();
        let mut wire = Wire::to(&server).await;
        wire.send(&request("GET", rows, &headers)).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.problem().as_str()), (kind.status.as_u16(), kind.slug));
        caused.insert(kind.slug);
    }

    for (asked, kind) in
        [("format=parquet", problem::FORMAT_NOT_GRANTED), ("format=csv&limit=all", problem::EXPORT_NOT_GRANTED)]
    {
        let answer = server.get("client_basic", &format!("{rows}?{asked}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (kind.status.as_u16(), kind.slug));
        caused.insert(kind.slug);
    }

    let ours = OURS.iter().map(|kind| kind.slug);
    let all: BTreeSet<&str> = problem::ALL.iter().map(|kind| kind.slug).collect();
    assert_eq!(caused.into_iter().chain(ours).collect::<BTreeSet<&str>>(), all);
    server.stop().await;
}

#[tokio::test]
async fn every_type_of_problem_has_a_page_that_anyone_can_read() {
    let server = Server::over(Backend::Sqlite).await;
    for kind in problem::ALL {
        let answer = server.send(server.request(Method::GET, &format!("/problems/{}", kind.slug))).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; charset=utf-8")));
        let text = answer.text();
        assert!(text.contains(kind.title) && text.contains(kind.meaning), "{text}");
        assert!(text.contains(&kind.status.as_u16().to_string()), "{text}");
    }
    server.stop().await;
}

const ROUTES: [&str; 9] = [
    "/v1/datasets",
    "/v1/datasets/price_daily",
    "/v1/datasets/price_daily/rows",
    "/v1/datasets/price_daily/rows/AAPL/2005-02-28",
    "/v1/datasets/price_daily/aggregate",
    "/openapi.json",
    "/docs",
    "/docs/docs.js",
    "/problems/not-found",
];

#[tokio::test]
async fn another_method_hears_which_ones_there_are() {
    let server = Server::over(Backend::Sqlite).await;
    for target in ROUTES {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE] {
            let answer = server.send(server.request(method.clone(), target)).await;
            assert_eq!((answer.status, answer.problem().as_str()), (405, "method-not-allowed"), "{method} {target}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {target}");
        }
        let answer = server.send(server.request(Method::OPTIONS, target)).await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{target}");
        assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{target}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_head_is_a_get_without_its_body() {
    let server = Server::over(Backend::Sqlite).await;
    let errors = [
        "/nowhere",
        "/problems/nothing",
        "/v1/datasets/nothing",
        "/v1/datasets/price_daily/rows?limit=0",
        "/v1/datasets/price_daily/rows?limit=1&format=png",
        "/v1/datasets/price_daily/rows?token=x",
        "/v1/datasets/price_daily/rows/AAPL/2005-02-27",
    ];
    let pages = ["/v1/datasets/price_daily/rows?limit=2&symbol=AAPL"];
    for target in ROUTES.iter().chain(&errors).chain(&pages) {
        for authorized in [true, false] {
            let ask = |method| {
                let request = server.request(method, target);
                server.send(if authorized { request.bearer_auth(server.token("client_pro")) } else { request })
            };
            let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
            assert_eq!(get.status, head.status, "{target}");
            assert_eq!(lasting(&get), lasting(&head), "{target}");
            assert!(!get.body.is_empty() && head.body.is_empty(), "{target}");
            let length = get.header("content-length").and_then(|length| length.parse().ok());
            assert_eq!(length, Some(get.body.len()), "{target}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_acceptable_hears_what_is_offered() {
    let server = Server::over(Backend::Sqlite).await;
    let rows = "/v1/datasets/price_daily/rows?limit=1";
    let token = server.token("client_pro");
    for accept in ["text/html", "application/json;q=0", "image/*, text/html", "", "nonsense"] {
        let request = server.request(Method::GET, rows).bearer_auth(&token).header("accept", accept);
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.problem().as_str()), (406, "not-acceptable"), "{accept}");
        assert!(answer.json()["hint"].as_str().is_some_and(|hint| hint.contains("application/json")), "{accept}");
    }
    for accept in ["application/json", "*/*", "application/*;q=0.1", "text/html, */*;q=0.01"] {
        let request = server.request(Method::GET, rows).bearer_auth(&token).header("accept", accept);
        assert_eq!(server.send(request).await.status, 200, "{accept}");
    }
    // Two headers are one list.
    let request = server.request(Method::GET, rows).bearer_auth(&token).header("accept", "text/html");
    assert_eq!(server.send(request.header("accept", "application/json")).await.status, 200);
    let answer = server.get("client_pro", &format!("{rows}&format=png")).await;
    assert_eq!((answer.status, answer.json()["parameter"].as_str()), (406, Some("format")));
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_whether_or_not_it_says_so() {
    let server = Server::over(Backend::Sqlite).await;
    for (head, body) in [
        ("content-length: 65537", String::new()),
        ("content-length: 9223372036854775807", String::new()),
        ("transfer-encoding: chunked", format!("10001\r\n{}", "x".repeat(65_537))),
    ] {
        let mut wire = Wire::to(&server).await;
        wire.send(format!("POST /v1/datasets HTTP/1.1\r\nhost: test\r\n{head}\r\n\r\n{body}").as_bytes()).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.problem().as_str()), (413, "content-too-large"), "{head}");
    }
    // What is within the limit is read, so that the connection can go on.
    let mut wire = Wire::to(&server).await;
    for _ in 0..2 {
        wire.send(b"POST /v1/datasets HTTP/1.1\r\nhost: test\r\ncontent-length: 3\r\n\r\nabc").await;
        assert_eq!(wire.answer().await.status, 405);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_head_may_have_a_hundred_headers_and_sixteen_kilobytes() {
    let server = Server::over(Backend::Sqlite).await;
    let ask = async |headers: usize, bytes: usize| {
        let mut wire = Wire::to(&server).await;
        let mut head = "GET /problems/internal HTTP/1.1\r\n".to_owned();
        for number in 0..headers {
            head.push_str(&format!("x-{number:03}: {}\r\n", "x".repeat(bytes / headers)));
        }
        wire.send(format!("{head}\r\n").as_bytes()).await;
        wire.answer().await
    };
    for (headers, bytes) in [(100, 0), (1, 16_000), (100, 15_000)] {
        assert_eq!(ask(headers, bytes).await.status, 200, "{headers} {bytes}");
    }
    for (headers, bytes) in [(101, 0), (250, 0), (1, 16_384), (100, 17_000), (2, 100_000)] {
        let answer = ask(headers, bytes).await;
        assert_eq!((answer.status, answer.problem().as_str()), (431, "head-too-large"), "{headers} {bytes}");
    }
    // Far beyond the limit the head is not even kept: there is an answer without a body, and the connection ends.
    for (headers, bytes) in [(300, 0), (3, 200_000)] {
        let answer = ask(headers, bytes).await;
        assert_eq!((answer.status, answer.body.len()), (431, 0), "{headers} {bytes}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_body_that_is_dripped_is_cut() {
    let mut config = config(Backend::Sqlite);
    config.http.body_timeout = Duration::from_millis(300);
    let server = Server::start(config).await;
    for head in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut wire = Wire::to(&server).await;
        wire.send(format!("POST /v1/datasets HTTP/1.1\r\nhost: test\r\n{head}\r\n\r\n").as_bytes()).await;
        let Wire { mut inbox, mut write } = wire;
        let drip = async {
            let mut beat = tokio::time::interval(Duration::from_millis(50));
            let byte: &[u8] = if head.starts_with("content") { b"x" } else { b"1\r\nx\r\n" };
            while write.write_all(byte).await.is_ok() {
                beat.tick().await;
            }
            // That the connection has ended is for the reader to see.
            std::future::pending().await
        };
        let answer = tokio::select! {
            answer = inbox.answer() => answer,
            never = drip => never,
        };
        assert_eq!((answer.status, answer.problem().as_str()), (408, "request-timeout"), "{head}");
        // Nobody waits for the rest.
        tokio::time::timeout(SOON, inbox.rest()).await.expect("an end");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_plain_request_id_is_kept_and_any_other_replaced() {
    let server = Server::over(Backend::Sqlite).await;
    let longest = "x".repeat(64);
    for id in ["a", "018f-4c5e_7.Z", longest.as_str()] {
        for target in ["/v1/datasets", "/nowhere", "/docs"] {
            let answer = server.send(server.request(Method::GET, target).header("x-request-id", id)).await;
            assert_eq!(answer.header("x-request-id"), Some(id), "{target}");
            if answer.status >= 400 {
                answer.problem();
            }
        }
    }
    let too_long = "x".repeat(65);
    for id in ["", "a b", "a;b", "<a>", "a\"b", "é", "%0d%0a", "a\tb", too_long.as_str()] {
        let id = HeaderValue::from_bytes(id.as_bytes()).expect("a value");
        let answer = server.send(server.request(Method::GET, "/nowhere").header("x-request-id", id)).await;
        answer.problem();
        let own = answer.header("x-request-id").expect("an id");
        assert!(own.len() == 32 && own.bytes().all(|b| b.is_ascii_hexdigit()), "{own}");
    }
    // Ids of our own never come twice.
    let answers = join_all((0..50).map(|_| server.send(server.request(Method::GET, "/nowhere")))).await;
    let ids: BTreeSet<&str> = answers.iter().filter_map(|answer| answer.header("x-request-id")).collect();
    assert_eq!(ids.len(), 50);
    server.stop().await;
}

#[tokio::test]
async fn a_trace_that_cannot_be_read_is_no_fault() {
    let server = Server::over(Backend::Sqlite).await;
    let long = "0".repeat(4000);
    for trace in [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "",
        "-",
        "---",
        "é",
        "nonsense",
        long.as_str(),
    ] {
        let value = HeaderValue::from_bytes(trace.as_bytes()).expect("a value");
        let request = server.request(Method::GET, "/v1/datasets").bearer_auth(server.token("client_pro"));
        let answer = server.send(request.header("traceparent", value.clone()).header("tracestate", value)).await;
        assert_eq!(answer.status, 200, "{trace}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_hidden_dataset_is_told_apart_from_a_missing_one_by_nothing() {
    let server = Server::over(Backend::Sqlite).await;
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let role = house.matrix.role("client_basic").expect("a role");
    let hidden: Vec<&str> = (house.catalog.iter().map(|dataset| dataset.name.as_str()))
        .filter(|name| View::of_role(&house.catalog, role, name).is_none())
        .collect();
    assert!(hidden.contains(&"fundamental") && hidden.contains(&"signal"), "{hidden:?}");
    let targets = [
        "",
        "?select=symbol",
        "/rows",
        "/rows?limit=0",
        "/rows?symbol.in=%22x",
        "/rows?cursor=AAAA",
        "/rows?token=x",
        "/rows?%",
        "/rows/1",
        "/rows/AAPL/2013-01-28/rsi_oversold_exit",
        "/rows/%ff",
        "/columns",
    ];
    for name in &hidden {
        for target in targets {
            for method in [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS] {
                let ask = async |name: &str| {
                    let target = format!("/v1/datasets/{name}{target}");
                    let token = server.token("client_basic");
                    server.send(server.request(method.clone(), &target).bearer_auth(token)).await
                };
                // As long as the other, since a length could tell.
                let missing = "x".repeat(name.len());
                let (one, other) = (ask(name).await, ask(&missing).await);
                assert_eq!(one.status, other.status, "{method} {name}{target}");
                assert_eq!(told(&one), told(&other).replace(&missing, name), "{method} {name}{target}");
                assert_eq!(lasting(&one), lasting(&other), "{method} {name}{target}");
            }
        }
    }
    // What is listed, described and documented links to none of them.
    let visible =
        View::all(&house.catalog, role).into_iter().map(|view| format!("/v1/datasets/{}", view.dataset().name));
    for target in visible.chain(["/v1/datasets".to_owned(), "/openapi.json".to_owned()]) {
        let answer = server.get("client_basic", &target).await;
        assert_eq!(answer.status, 200);
        let mut document = answer.json();
        // Families are the same for all, and some datasets are named like their family.
        document["components"]["schemas"]["Family"].take();
        let text = document.to_string().to_lowercase();
        for name in &hidden {
            let schema = name.replace('_', "");
            for trace in [format!("datasets/{name}"), format!("\"{name}\""), format!("schemas/{schema}")] {
                assert!(!text.contains(&trace), "{target} tells of {name}");
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_hidden_column_is_told_apart_from_a_missing_one_by_nothing() {
    let server = Server::over(Backend::Sqlite).await;
    let house = House::load(&config(Backend::Sqlite)).expect("a catalog");
    let mut pairs = 0;
    for role in ["client_basic", "client_pro"] {
        let role = house.matrix.role(role).expect("a role");
        for view in View::all(&house.catalog, role) {
            let dataset = view.dataset();
            let shown: Vec<&str> = view.columns().map(|column| column.name.as_str()).collect();
            let columns = dataset.columns.iter().map(|column| column.name.as_str());
            for hidden in columns.filter(|name| !shown.contains(name)) {
                // As long as the other, and as little like any visible column.
                let missing = "z".repeat(hidden.len());
                for question in [
                    "select=COLUMN",
                    "select=symbol,COLUMN,symbol",
                    "sort=COLUMN",
                    "sort=-COLUMN.nulls_first",
                    "latest_by=COLUMN",
                    "COLUMN=1",
                    "COLUMN.gt=1",
                    "COLUMN.is_null=true",
                    "COLUMN.in=%221",
                    "COLUMN.has=1",
                    "COLUMN.like=1",
                    "select=COLUMN&sort=COLUMN&COLUMN=1&limit=0",
                ] {
                    let ask = async |name: &str| {
                        let question = question.replace("COLUMN", name);
                        server.get(&role.name, &format!("/v1/datasets/{}/rows?{question}", dataset.name)).await
                    };
                    let (one, other) = (ask(hidden).await, ask(&missing).await);
                    let at = format!("{} {}.{hidden} {question}", role.name, dataset.name);
                    assert_eq!((one.status, other.status), (400, 400), "{at}");
                    assert_eq!(told(&one), told(&other).replace(&missing, hidden), "{at}");
                    pairs += 1;
                }
            }
        }
    }
    assert!(pairs > 100, "{pairs}");
    server.stop().await;
}

#[tokio::test]
async fn every_answer_carries_the_headers_that_keep_browsers_safe() {
    let server = Server::over(Backend::Sqlite).await;
    let token = server.token("client_pro");
    let others = ["/nowhere", "/v1/datasets/nothing", "/v1/datasets/price_daily/rows?limit=0", "/problems/nothing"];
    for target in ROUTES.iter().chain(&others) {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::OPTIONS] {
            for authorized in [true, false] {
                let request = server.request(method.clone(), target);
                let request = if authorized { request.bearer_auth(&token) } else { request };
                let answer = server.send(request).await;
                let at = format!("{method} {target} {}", answer.status);
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{at}");
                assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{at}");
                let policy = answer.header("content-security-policy").unwrap_or_default();
                assert!(policy.starts_with("default-src 'none';"), "{at}: {policy}");
                assert!(policy.contains("frame-ancestors 'none'"), "{at}: {policy}");
                assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{at}");
                for telling in ["server", "x-powered-by", "via", "set-cookie", "access-control-allow-origin"] {
                    assert_eq!(answer.header(telling), None, "{at}");
                }
                // RFC 9111, 3.5: these three would open an authorized answer to shared caches.
                let caching = answer.header("cache-control").unwrap_or_default();
                for opening in ["public", "s-maxage", "must-revalidate"] {
                    assert!(!caching.contains(opening), "{at}: {caching}");
                }
                if answer.status >= 400 {
                    assert_eq!(caching, "no-store", "{at}");
                } else if target.starts_with("/v1") && answer.status == 200 {
                    assert!(caching.starts_with("private"), "{at}: {caching}");
                }
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn slow_heads_are_all_cut_while_others_are_served() {
    let mut config = config(Backend::Sqlite);
    config.http.head_timeout = Duration::from_millis(500);
    let server = Server::start(config).await;
    // Some say nothing, some half of a head, and some never stop saying it.
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut wire = Wire::to(&server).await;
        if number % 4 > 0 {
            wire.send(b"GET /v1/datasets HTTP/1.1\r\nhost: test\r\nx-slow: ").await;
        }
        slow.push(wire);
    }
    let cut = join_all(slow.into_iter().enumerate().map(async |(number, wire)| {
        let Wire { mut inbox, mut write } = wire;
        let drip = async {
            let mut beat = tokio::time::interval(Duration::from_millis(100));
            while number % 4 == 3 && write.write_all(b"x").await.is_ok() {
                beat.tick().await;
            }
            // That the connection has ended is for the reader to see.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            rest = inbox.rest() => assert_eq!(rest, b"", "{}", String::from_utf8_lossy(rest)),
            () = drip => unreachable!("it waits for ever"),
        }
    }));
    let honest = async {
        for _ in 0..20 {
            assert_eq!(server.get("client_pro", "/v1/datasets/price_daily/rows?limit=1").await.status, 200);
        }
    };
    let bound = Duration::from_millis(1500);
    let (cut, ()) = tokio::join!(tokio::time::timeout(bound, cut), honest);
    cut.expect("every slow head is cut within its time");
    server.stop().await;
}

#[tokio::test]
async fn no_more_connections_are_served_than_are_allowed() {
    let mut config = config(Backend::Sqlite);
    config.http.connections_max = 2;
    let server = Server::start(config).await;
    let ask = request("GET", "/problems/internal", &[]);
    let mut served = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::to(&server).await;
        wire.send(&ask).await;
        assert_eq!(wire.answer().await.status, 200);
        served.push(wire);
    }
    // One more waits in the backlog, though those before it are idle.
    let mut waiting = Wire::to(&server).await;
    waiting.send(&ask).await;
    tokio::time::timeout(Duration::from_millis(300), waiting.inbox.next())
        .await
        .expect_err("an answer beyond the limit");
    for wire in &mut served {
        wire.send(&ask).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    served.pop();
    assert_eq!(waiting.answer().await.status, 200);
    server.stop().await;
}

/// A client that asks and never reads would hold its connection, and its place among them, for ever.
#[tokio::test]
async fn whoever_does_not_read_its_answers_is_cut() {
    let mut config = config(Backend::Sqlite);
    config.http.connections_max = 1;
    config.http.write_timeout = Duration::from_millis(300);
    let server = Server::start(config).await;
    let mut greedy = TcpStream::connect(server.url.trim_start_matches("http://")).await.expect("a connection");
    let requests = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: t\r\n\r\n".repeat(30);
    greedy.write_all(requests.as_bytes()).await.expect("sent");
    // The only place is taken: an honest client is served as soon as it is given back.
    assert_eq!(server.get("client_pro", "/v1/datasets").await.status, 200);
    drop(greedy);
    server.stop().await;
}

#[tokio::test]
async fn a_client_is_not_told_the_prose_of_the_house() {
    let server = Server::over(Backend::Sqlite).await;
    for (role, told) in [("client_basic", false), ("client_pro", false), ("internal_scientist", true)] {
        let dataset = server.get(role, "/v1/datasets/price_daily").await.json()["data"].clone();
        for prose in ["business_need", "affected", "breach"] {
            assert_eq!(dataset["sla"].get(prose).is_some(), told, "{role} {prose}");
        }
        assert_eq!(dataset["lineage"].get("description").is_some(), told, "{role}");
        assert!(dataset["sla"]["expectation"].is_string() && dataset["sla"]["delivery"].is_string());
    }
    server.stop().await;
}
