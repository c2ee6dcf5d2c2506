//! Starts servers and asks them.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use martello::app::{self, House, Running};
use martello::auth::{Claims, Instants, MaskKey, Minter, Principal};
use martello::catalog::Catalog;
use martello::config::{self, Config, Secret};
use martello::plan::{self, Plan, Scope};
use martello::query::{CursorKey, Query};
use martello::store::Versions;
use martello::telemetry;
use serde_json::Value;

/// The shared secret of every test server.
pub const SECRET: &str = "a secret of the tests, of 32 bytes or more";

/// Which database holds the marts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    Sqlite,
    Postgres,
    ClickHouse,
}

impl Backend {
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Postgres, Self::ClickHouse];

    /// The URL of the database that `scripts/test` has filled.
    pub fn url(self) -> String {
        variable(match self {
            Self::Sqlite => "MARTELLO_TEST_SQLITE",
            Self::Postgres => "MARTELLO_TEST_POSTGRES",
            Self::ClickHouse => "MARTELLO_TEST_CLICKHOUSE",
        })
    }
}

/// A variable that `scripts/test` sets. A missing one fails the test: nothing is skipped.
#[expect(clippy::disallowed_methods, reason = "what the script promises to the tests stands in the environment")]
pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run ./scripts/test"))
}

/// The repository's own folder.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The text as a URL's query holds it, with all escaped that could mean something there.
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' => out.push(char::from(byte)),
            _ => write!(out, "%{byte:02X}").expect("written"),
        }
        out
    })
}

/// The configuration of a test server: free ports, the repository's catalog, one source.
pub fn config(backend: Backend) -> Config {
    let mut config = Config { catalog: repository().join("catalog"), ..Config::default() };
    config.http.listen = "127.0.0.1:0".parse().expect("an address");
    config.admin.listen = config.http.listen;
    config.sources.insert("marts".into(), config::Source::at(backend.url()));
    config.auth.hs256 = Some(Secret::from(SECRET.to_owned()));
    config.paging.cursor_key = Some(Secret::from(SECRET.to_owned()));
    config.access.mask_key = Some(Secret::from(SECRET.to_owned()));
    // Each question is asked of the source, and tables may be written in between: `caching` turns it on.
    config.cache.memory = 0;
    // Tests of the audit say where theirs goes.
    config.audit.to = config::AuditTo::Off;
    config
}

/// Plans a question as a server with the keys of the tests does, long after all that there is.
pub fn planned(catalog: &Catalog, principal: &Principal, query: &Query) -> Result<Plan, plan::Error> {
    let moment = Instants::of("2030-01-01T00:00:00Z".parse().expect("an instant"));
    let (versions, cursors, masks) = (Versions::default(), CursorKey::new(&[7; 32]), MaskKey::new(&[7; 32]));
    let (versions, cursors, masks) = (&versions, &cursors, &masks);
    plan::plan(query, &Scope { catalog, versions, principal, cursors, masks, moment })
}

/// A running server.
pub struct Server {
    running: Running,
    pub url: String,
    pub admin: String,
    house: House,
    minter: Minter,
    client: reqwest::Client,
}

impl Server {
    /// A server over the demo data.
    pub async fn over(backend: Backend) -> Self {
        Self::start(config(backend)).await
    }

    pub async fn start(config: Config) -> Self {
        let house = House::load(&config).expect("a catalog");
        let minter = Minter::new(SECRET.as_bytes(), &config.auth.issuer, &config.auth.audience);
        let metrics = telemetry::collect().expect("metrics");
        // A connection on which no head arrives for so long is cut: no request is to meet one that is just being cut.
        let idle = config.http.head_timeout / 2;
        let running = Box::pin(app::start(config, metrics)).await.expect("a server");
        let url = format!("http://{}", running.public);
        let admin = format!("http://{}", running.admin);
        let client = reqwest::Client::builder().timeout(Duration::from_secs(30)).pool_idle_timeout(idle);
        let client = client.build().expect("a client");
        Self { running, url, admin, house, minter, client }
    }

    /// A token whose claims make the role.
    pub fn token(&self, role: &str) -> String {
        self.token_for(role, Duration::from_secs(600))
    }

    /// Likewise, for so long.
    pub fn token_for(&self, role: &str, ttl: Duration) -> String {
        let role = self.house.matrix.role(role).expect("a role");
        self.minter.mint(role, "tester", ttl, &Claims::new()).expect("a token")
    }

    /// Likewise, with claims besides.
    pub fn token_with(&self, role: &str, claims: &Claims) -> String {
        let role = self.house.matrix.role(role).expect("a role");
        self.minter.mint(role, "tester", Duration::from_secs(600), claims).expect("a token")
    }

    /// Asks as a role.
    pub async fn get(&self, role: &str, target: &str) -> Answer {
        self.send(self.request(reqwest::Method::GET, target).bearer_auth(self.token(role))).await
    }

    /// A request to be completed and sent.
    pub fn request(&self, method: reqwest::Method, target: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{target}", self.url))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Answer {
        Answer::of(request.send().await.expect("an answer")).await
    }

    /// Asks as a role, with headers besides.
    pub async fn get_with(&self, role: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.request(reqwest::Method::GET, target).bearer_auth(self.token(role));
        self.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// Asks the admin listener.
    pub async fn admin(&self, target: &str) -> Answer {
        Answer::of(self.client.get(format!("{}{target}", self.admin)).send().await.expect("an answer")).await
    }

    pub async fn stop(self) {
        self.running.stop().await;
    }

    pub async fn drain(self) {
        self.running.drain().await;
    }
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a body").to_vec();
        Self { status, headers, body }
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("a text"))
    }

    /// The rows of a page that was answered with 200.
    #[track_caller]
    pub fn rows(&self) -> Vec<Value> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.json()["data"].as_array().expect("rows").clone()
    }

    /// The last segment of a problem's type, after everything that a problem owes was checked.
    #[track_caller]
    pub fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{}", self.text());
        let problem = self.json();
        assert_eq!(problem["status"], self.status, "{problem}");
        for member in ["title", "detail", "request_id"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        assert_eq!(problem["request_id"].as_str(), self.header("x-request-id"));
        let kind = problem["type"].as_str().and_then(|kind| kind.strip_prefix("/problems/"));
        kind.unwrap_or_else(|| panic!("{problem}")).to_owned()
    }
}
