//! A ClickHouse over HTTP: statements that change something, and rows of its own tables.

use std::time::Duration;

use clickhouse::Client;
use serde::de::DeserializeOwned;
use url::Url;

use super::super::error::chain;
use crate::source::clickhouse_client;

/// How long a server may take to answer the first question.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// What every statement runs with, whatever the profile of its user says: it has ended when it says so, on every replica.
const SETTINGS: [(&str, &str); 9] = [
    ("mutations_sync", "2"),
    ("alter_sync", "2"),
    ("distributed_ddl_output_mode", "throw"),
    ("async_insert", "0"),
    ("output_format_json_quote_64bit_integers", "0"),
    // A connection on which nothing goes would be cut by what is in between.
    ("send_progress_in_http_headers", "1"),
    ("http_headers_progress_interval_ms", "10000"),
    // A statement takes as long as it takes.
    ("max_execution_time", "0"),
    ("max_result_rows", "0"),
];
/// The code of a server that has no such database.
const UNKNOWN_DATABASE: u16 = 81;

/// What reading and writing what the house keeps needs besides, where there are replicas.
const REPLICATED: [(&str, &str); 2] = [("select_sequential_consistency", "1"), ("insert_quorum", "auto")];

/// A database of a server.
#[derive(Clone)]
pub struct Connection {
    client: Client,
    database: String,
    cluster: Option<String>,
    place: String,
    missing: bool,
}

/// That a statement failed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{said}")]
pub struct Failure {
    /// What the server said.
    pub said: String,
    /// Its code, of `ErrorCodes.cpp`.
    pub code: Option<u16>,
}

impl From<clickhouse::error::Error> for Failure {
    fn from(error: clickhouse::error::Error) -> Self {
        let text = match error {
            clickhouse::error::Error::BadResponse(text) => text,
            other => return Self { said: chain(&other), code: None },
        };
        let digits = text.split_once("Code: ").map(|(_, rest)| rest);
        let code =
            digits.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next()).and_then(|it| it.parse().ok());
        let text = text.trim().split(" (version ").next().unwrap_or_default();
        let text = match code {
            Some(code) => text.trim_start_matches(&format!("Code: {code}. DB::Exception: ")),
            None => text,
        };
        let said = match code {
            Some(code) => format!("{} ({code})", text.trim_end_matches('.').replace('\n', " ")),
            None => text.replace('\n', " "),
        };
        Self { said, code }
    }
}

impl Failure {
    /// That an answer is not what was asked for.
    fn answer(error: &dyn std::fmt::Display) -> Self {
        Self { said: format!("the answer is not as expected: {error}"), code: None }
    }

    /// The line and column at which the server found fault, from 1.
    #[must_use]
    pub fn place(&self) -> Option<(usize, usize)> {
        let (_, rest) = self.said.split_once("(line ")?;
        let (line, rest) = rest.split_once(", col ")?;
        Some((line.parse().ok()?, rest.split_once(')')?.0.parse().ok()?))
    }
}

impl Connection {
    /// Reaches a server.
    ///
    /// # Errors
    /// When the URL cannot be read, or nobody answers there.
    pub async fn open(url: &str) -> Result<Self, Failure> {
        let failed = |said: String| Failure { said, code: None };
        let client = clickhouse_client(url).map_err(failed)?;
        let client = SETTINGS.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value));
        let parsed = Url::parse(url).map_err(|error| failed(error.to_string()))?;
        let cluster = parsed.query_pairs().find(|(name, _)| name == "cluster").map(|(_, value)| value.into_owned());
        let port = parsed.port().map(|port| format!(":{port}")).unwrap_or_default();
        let place = format!("ClickHouse at {}{port}", parsed.host_str().unwrap_or_default());
        let cluster = cluster.filter(|cluster| !cluster.is_empty());
        let mut connection = Self { client, database: String::new(), cluster, place, missing: false };
        let asked = tokio::time::timeout(CONNECT_TIMEOUT, connection.texts("SELECT currentDatabase()")).await;
        let asked = asked.map_err(|_| failed(format!("no answer in {} s", CONNECT_TIMEOUT.as_secs())))??;
        connection.database = asked.into_iter().next().unwrap_or_default();
        Ok(connection)
    }

    /// Reaches a server whose database need not be there yet.
    ///
    /// # Errors
    /// When the URL cannot be read, or nobody answers there.
    pub(super) async fn open_any(url: &str) -> Result<Self, Failure> {
        let failure = match Self::open(url).await {
            Err(failure) if failure.code == Some(UNKNOWN_DATABASE) => failure,
            done => return done,
        };
        let Ok(parsed) = Url::parse(url) else { return Err(failure) };
        let mut other = parsed.clone();
        // One that every server has: nothing is to be made in it.
        other.set_path("system");
        let name = percent_encoding::percent_decode_str(parsed.path().trim_start_matches('/')).decode_utf8_lossy();
        Ok(Self { database: name.into_owned(), missing: true, ..Self::open(other.as_str()).await? })
    }

    /// Whether its database is still to be made; only questions with whole names mean anything until then.
    pub(super) fn is_missing(&self) -> bool {
        self.missing
    }

    /// The same server, in another database.
    #[must_use]
    pub fn within(&self, database: &str) -> Self {
        let client = self.client.clone().with_database(database);
        Self { client, database: database.to_owned(), missing: false, ..self.clone() }
    }

    /// The same, under the name of another database: of one on another server.
    #[must_use]
    pub fn within_name(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The same, of a cluster or of none.
    #[must_use]
    pub fn of_cluster(&self, cluster: Option<&str>) -> Self {
        Self { cluster: cluster.map(str::to_owned), ..self.clone() }
    }

    /// The same, with a setting.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        Self { client: self.client.clone().with_setting(name, value), ..self.clone() }
    }

    /// The same, for what is read and written on several replicas.
    #[must_use]
    pub(super) fn consistent(&self) -> Self {
        REPLICATED.iter().fold(self.clone(), |connection, (name, value)| connection.with(name, value))
    }

    /// Its database.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The cluster that is changed as a whole.
    #[must_use]
    pub fn cluster(&self) -> Option<&str> {
        self.cluster.as_deref()
    }

    /// Where it is, without any secret.
    #[must_use]
    pub fn place(&self) -> String {
        format!("{}/{}", self.place, self.database)
    }

    /// ` ON CLUSTER`, where there is one.
    #[must_use]
    pub fn on_cluster(&self) -> String {
        self.cluster.as_ref().map(|cluster| format!(" ON CLUSTER {}", quoted(cluster))).unwrap_or_default()
    }

    /// Runs a statement to its end.
    ///
    /// # Errors
    /// When the server refuses it, or is gone.
    pub async fn execute(&self, sql: &str) -> Result<(), Failure> {
        Ok(self.client.query_raw(sql).execute().await?)
    }

    /// The rows of a question.
    ///
    /// # Errors
    /// When the server refuses it, is gone, or answers something else.
    pub async fn rows<T: DeserializeOwned>(&self, sql: &str) -> Result<Vec<T>, Failure> {
        let bytes = self.client.query_raw(sql).fetch_bytes("JSONEachRow")?.collect().await?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.map(serde_json::from_slice).collect::<Result<_, _>>().map_err(|error| Failure::answer(&error))
    }

    /// The first column of a question, as text.
    ///
    /// # Errors
    /// As with rows.
    pub async fn texts(&self, sql: &str) -> Result<Vec<String>, Failure> {
        let bytes = self.client.query_raw(sql).fetch_bytes("JSONCompactEachRow")?.collect().await?;
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(|line| {
                let row: Vec<serde_json::Value> =
                    serde_json::from_slice(line).map_err(|error| Failure::answer(&error))?;
                Ok(match row.into_iter().next() {
                    Some(serde_json::Value::String(text)) => text,
                    Some(other) => other.to_string(),
                    None => String::new(),
                })
            })
            .collect()
    }
}

/// A name as SQL has it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as SQL has it, whatever is in it.
pub(in crate::migrate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_says_is_told_without_what_everybody_knows() {
        let text = "Code: 62. DB::Exception: Syntax error: failed at position 8 (+) (line 1, col 8): +.\nExpected x. \
                    (SYNTAX_ERROR) (version 26.9.2.1 (official build))\n";
        let failure = Failure::from(clickhouse::error::Error::BadResponse(text.to_owned()));
        assert_eq!(
            failure.said,
            "Syntax error: failed at position 8 (+) (line 1, col 8): +. Expected x. (SYNTAX_ERROR) (62)"
        );
        assert_eq!((failure.code, failure.place()), (Some(62), Some((1, 8))));
    }

    #[test]
    fn names_and_texts_are_quoted_whatever_is_in_them() {
        assert_eq!(quoted("a`b\\c"), "`a\\`b\\\\c`");
        assert_eq!(literal("it's \\"), "'it\\'s \\\\'");
    }
}
