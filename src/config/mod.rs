//! The configuration: `martello.yaml`, then the environment, read as typed and checked whole.
//!
//! `MARTELLO__HTTP__LISTEN=0.0.0.0:8080` sets `http.listen`: two underscores part the keys. Nothing else in Martello
//! reads the environment.

mod assets;
mod audit;
pub mod duration;
mod graphql;
mod load;
mod secret;
pub mod size;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use assets::{Assets, Exports, FileStore, Signer, SignerKind};
pub use audit::{Audit, AuditTo};
pub use graphql::Graphql;
pub use load::load;
pub use secret::{Kept, Secret};

/// Everything an operator may set. Each field says its default.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The folder of contracts and the access matrix. `catalog`.
    pub catalog: PathBuf,
    /// The public listener.
    pub http: Http,
    /// The listener for probes and metrics, never public.
    pub admin: Admin,
    /// Named sources, as contracts name them. At least one.
    pub sources: BTreeMap<String, Source>,
    /// Where it is kept what was published. Without it every dataset is live.
    pub control: Option<Control>,
    /// Who may call.
    pub auth: Auth,
    /// Who may see what.
    pub access: Access,
    /// Pages.
    pub paging: Paging,
    /// Streams of all rows.
    pub streams: Streams,
    /// Answers that are kept in memory.
    pub cache: Cache,
    /// Answers that all instances share; without it each keeps its own only.
    pub redis: Option<Redis>,
    /// Files of datasets.
    pub assets: Assets,
    /// Who has read what.
    pub audit: Audit,
    /// What callers may use up, where Redis does not say.
    pub limits: Limits,
    /// What one GraphQL document may be.
    pub graphql: Graphql,
    /// Logs.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            catalog: "catalog".into(),
            http: Http::default(),
            admin: Admin::default(),
            sources: BTreeMap::new(),
            control: None,
            auth: Auth::default(),
            access: Access::default(),
            paging: Paging::default(),
            streams: Streams::default(),
            cache: Cache::default(),
            redis: None,
            assets: Assets::default(),
            audit: Audit::default(),
            limits: Limits::default(),
            graphql: Graphql::default(),
            log: Log::default(),
        }
    }
}

/// The public listener and its limits.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where it listens. `127.0.0.1:8080`.
    pub listen: SocketAddr,
    /// How clients reach it, for absolute links. Links are relative without it.
    pub public_url: Option<String>,
    /// TLS; plain HTTP without it, as behind a balancer.
    pub tls: Option<Tls>,
    /// Open connections at most; more wait in the backlog. 10000.
    pub connections_max: usize,
    /// A request's head must have arrived within so long. `10s`.
    #[serde(with = "crate::config::duration::text")]
    pub head_timeout: Duration,
    /// A request's body must have arrived within so long. `10s`.
    #[serde(with = "crate::config::duration::text")]
    pub body_timeout: Duration,
    /// A client that reads nothing of its answer for so long is cut. `20s`.
    #[serde(with = "crate::config::duration::text")]
    pub write_timeout: Duration,
    /// An answer must have begun within so long, or the client hears 504. `10s`.
    #[serde(with = "crate::config::duration::text")]
    pub request_timeout: Duration,
    /// Bytes of a request's head at most. 16384.
    pub head_bytes_max: usize,
    /// Bytes of a request's target (path and query) at most. 8192.
    pub target_bytes_max: usize,
    /// Bytes of a request's body at most. 65536.
    pub body_bytes_max: usize,
    /// After SIGTERM, requests under way may take so long. `10s`.
    #[serde(with = "crate::config::duration::text")]
    pub drain_timeout: Duration,
    /// Clients that wait for publishes (`/v1/events`) at most; one more hears 503. 256.
    pub listeners_max: usize,
    /// So often they are told that the connection still is one. `15s`.
    #[serde(with = "crate::config::duration::text")]
    pub heartbeat: Duration,
    /// Origins of browsers that may call, exactly as browsers send them. None.
    pub cors_origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            tls: None,
            connections_max: 10_000,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(20),
            request_timeout: Duration::from_secs(10),
            head_bytes_max: 16 * 1024,
            target_bytes_max: 8 * 1024,
            body_bytes_max: 64 * 1024,
            drain_timeout: Duration::from_secs(10),
            listeners_max: 256,
            heartbeat: Duration::from_secs(15),
            cors_origins: Vec::new(),
        }
    }
}

/// A certificate chain and its key, both PEM.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The chain, leaf first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// The admin listener.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Where it listens. `127.0.0.1:9090`.
    pub listen: SocketAddr,
    /// TLS; plain HTTP without it.
    pub tls: Option<Tls>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9090)), tls: None }
    }
}

/// One database that holds marts.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// `postgres://user:password@host/database?sslmode=verify-full`,
    /// `clickhouse://user:password@host:8443/database?secure=true` or `sqlite:path/to/file.sqlite`.
    pub url: Secret,
    /// Connections at most. 16.
    #[serde(default = "connections_max")]
    pub connections_max: u32,
    /// Requests that may wait for a connection; one more hears 503 at once. 256.
    #[serde(default = "waiting_max")]
    pub waiting_max: usize,
    /// How long a request waits for a connection before it hears 503. `1s`.
    #[serde(default = "acquire_timeout", with = "crate::config::duration::text")]
    pub acquire_timeout: Duration,
    /// How long a statement may run. `5s`.
    #[serde(default = "statement_timeout", with = "crate::config::duration::text")]
    pub statement_timeout: Duration,
}

impl Source {
    /// One of which only its URL is said.
    #[must_use]
    pub fn of(url: Secret) -> Self {
        Self {
            url,
            connections_max: connections_max(),
            waiting_max: waiting_max(),
            acquire_timeout: acquire_timeout(),
            statement_timeout: statement_timeout(),
        }
    }
}

fn connections_max() -> u32 {
    16
}

fn waiting_max() -> usize {
    256
}

fn acquire_timeout() -> Duration {
    Duration::from_secs(1)
}

fn statement_timeout() -> Duration {
    Duration::from_secs(5)
}

impl Source {
    /// A source at that URL, with every default.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: Secret::from(url.into()),
            connections_max: connections_max(),
            waiting_max: waiting_max(),
            acquire_timeout: acquire_timeout(),
            statement_timeout: statement_timeout(),
        }
    }
}

/// The control store: which relation is which version of a dataset.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// `postgres://user:password@host/database`, with the tables of `migrations/control`, or `sqlite:path/to/file.sqlite`
    /// for one instance.
    pub url: Secret,
}

impl Control {
    /// A store at that URL.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self { url: Secret::from(url.into()) }
    }
}

/// Which tokens are believed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// The `iss` of every token. `martello`.
    pub issuer: String,
    /// The `aud` that a token must name. `martello`.
    pub audience: String,
    /// The `typ` that a token may have (RFC 9068 asks for `at+jwt`). `[at+jwt]`.
    pub token_types: Vec<String>,
    /// Clock skew that is forgiven, 60 s at most. `30s`.
    #[serde(with = "crate::config::duration::text")]
    pub leeway: Duration,
    /// A shared secret of at least 32 bytes for HS256: development, and `martello token mint`.
    pub hs256: Option<Secret>,
    /// Public keys of an identity provider.
    pub jwks: Option<Jwks>,
    /// The list of revoked tokens is asked for this often, where there is a Redis to hold it: by then, at the latest,
    /// a revocation holds at every instance. `2s`.
    #[serde(with = "crate::config::duration::text")]
    pub revocation_poll: Duration,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            issuer: "martello".into(),
            audience: "martello".into(),
            token_types: vec!["at+jwt".into()],
            leeway: Duration::from_secs(30),
            hs256: None,
            jwks: None,
            revocation_poll: Duration::from_secs(2),
        }
    }
}

/// A JSON Web Key Set (RFC 7517), from a file or a URL.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Jwks {
    /// A file, read again whenever it changes.
    pub file: Option<PathBuf>,
    /// An https URL (http only on a loopback address).
    pub url: Option<String>,
    /// Algorithms that its keys may use. `[RS256, ES256, EdDSA]`.
    #[serde(default = "algorithms")]
    pub algorithms: Vec<String>,
    /// How often the set is read again. `5m`.
    #[serde(default = "refresh", with = "crate::config::duration::text")]
    pub refresh: Duration,
    /// An unknown key id asks for the set at most this often. `10s`.
    #[serde(default = "refetch", with = "crate::config::duration::text")]
    pub refetch: Duration,
    /// A key id that the set did not have when it was read again asks for nothing for so long. `1m`.
    #[serde(default = "unknown_for", with = "crate::config::duration::text")]
    pub unknown_for: Duration,
}

fn algorithms() -> Vec<String> {
    ["RS256", "ES256", "EdDSA"].map(Into::into).into()
}

fn refresh() -> Duration {
    Duration::from_secs(300)
}

fn refetch() -> Duration {
    Duration::from_secs(10)
}

/// How the access matrix is kept.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Access {
    /// Makes the hashes of masks that hash; at least 32 bytes, the same for all instances. A matrix that has such a mask
    /// needs it.
    pub mask_key: Option<Secret>,
    /// So often the matrix's file is looked at for changes, which are taken without a restart. `2s`.
    #[serde(with = "crate::config::duration::text")]
    pub watch: Duration,
}

impl Default for Access {
    fn default() -> Self {
        Self { mask_key: None, watch: Duration::from_secs(2) }
    }
}

fn unknown_for() -> Duration {
    Duration::from_secs(60)
}

/// How pages are walked.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Paging {
    /// Signs cursors; at least 32 bytes, the same for all instances. Without it each start makes its own, and cursors
    /// end with the process.
    pub cursor_key: Option<Secret>,
    /// What counting all rows of a question may take, behind which the page comes without their number. `1s`.
    #[serde(with = "duration::text")]
    pub count_budget: Duration,
}

impl Default for Paging {
    fn default() -> Self {
        Self { cursor_key: None, count_budget: Duration::from_secs(1) }
    }
}

/// How many answers of `limit=all` may be under way. Each holds a connection of its source for as long as its reader
/// takes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Streams {
    /// Those of client roles, all together. 2.
    pub client: usize,
    /// Those of internal roles, all together. 4.
    pub internal: usize,
}

impl Default for Streams {
    fn default() -> Self {
        Self { client: 2, internal: 4 }
    }
}

/// Answers that are kept in memory.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// What they may take together, with their compressed forms. `256MiB`.
    #[serde(with = "size::text")]
    pub memory: u64,
    /// A longer answer is not kept. `16MiB`.
    #[serde(with = "size::text")]
    pub entry_max: u64,
    /// After a publish, so many of the answers that were asked for most are made anew before anybody asks. 0.
    pub warm_up: usize,
}

impl Cache {
    /// The part of the memory for whole answers that are given again as they are; the other parts hold bodies.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.memory / 4
    }

    /// The part of the memory for bodies.
    #[must_use]
    pub fn bodies(&self) -> u64 {
        self.memory - self.answers()
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self { memory: 256 << 20, entry_max: 16 << 20, warm_up: 0 }
    }
}

/// A Redis that all instances share. Nothing in it is needed, and its failure is nobody's.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// `redis://user:password@host:6379/0`, or `rediss://` with TLS.
    pub url: Secret,
    /// What every key begins with: who shares it shares answers. `martello`.
    #[serde(default = "redis_prefix")]
    pub prefix: String,
    /// An answer of Redis is awaited so long, connecting included. `100ms`.
    #[serde(default = "redis_timeout", with = "duration::text")]
    pub timeout: Duration,
    /// Answers of a version are kept so long, a tenth more or less. `1h`.
    #[serde(default = "redis_ttl", with = "duration::text")]
    pub ttl: Duration,
    /// A longer answer, once compressed, is not shared. `1MiB`.
    #[serde(default = "redis_entry_max", with = "size::text")]
    pub entry_max: u64,
}

impl Redis {
    /// A Redis at that URL, with every default.
    #[must_use]
    pub fn at(url: impl Into<String>) -> Self {
        Self {
            url: Secret::from(url.into()),
            prefix: redis_prefix(),
            timeout: redis_timeout(),
            ttl: redis_ttl(),
            entry_max: redis_entry_max(),
        }
    }
}

fn redis_prefix() -> String {
    "martello".into()
}

fn redis_timeout() -> Duration {
    Duration::from_millis(100)
}

fn redis_ttl() -> Duration {
    Duration::from_secs(3600)
}

fn redis_entry_max() -> u64 {
    1 << 20
}

/// What callers may use up is a role's matter, in the access matrix; this is how instances share it out.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// What is done while Redis does not answer: `share` or `deny`. `share`.
    pub fallback: Fallback,
    /// So many instances are taken to serve for as long as no Redis has said how many do. 1.
    pub instances: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fallback: Fallback::Share, instances: 1 }
    }
}

/// What an instance does without Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// It lets each caller have its part of what all instances may give.
    Share,
    /// It gives what it was lent, and refuses what it does not know of.
    Deny,
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `json`, or `text` for people. `json`.
    pub format: LogFormat,
    /// A level or a filter such as `info,sqlx=warn`. `info`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Json, level: "info".into() }
    }
}

/// A log line's form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For a terminal.
    Text,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("read {}", path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is at fault.
    #[error("accept {}: {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Where, and what was expected.
        fault: String,
    },
    /// A variable of the environment is at fault.
    #[error("accept {name} of the environment: {expected}")]
    Variable {
        /// Its name.
        name: String,
        /// What was expected.
        expected: String,
    },
    /// A value contradicts another or a limit.
    #[error("accept {key}: {expected}")]
    Value {
        /// The key, dotted.
        key: String,
        /// What was expected.
        expected: String,
    },
}
