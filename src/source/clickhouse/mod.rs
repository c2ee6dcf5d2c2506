//! ClickHouse over HTTP: parameters bound by the server, rows as Arrow, one query id a statement.
//!
//! Every statement is read-only and can be asked again, so that one that broke before its first byte is. A caller that
//! goes away ends its statement twice over: the connection is closed, and the query is killed by its id.

mod arrays;
mod live;
mod text;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray as _;
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use clickhouse::{Client, Compression};
use futures_util::TryStreamExt as _;
use futures_util::future::BoxFuture;
use url::Url;

use super::gate::Gate;
use super::shape::Shape;
use super::sql::{Dialect, Parameter, Statement};
use super::{BatchStream, Error, Mismatch, Reading, Source, count};
use crate::catalog::{Column, Dataset, Relation, Type};
use crate::config;
use crate::plan::Value;

pub(super) use live::Live;
pub(super) use text::{around, parameter_type};

/// A connection that broke before its first byte is replaced so often.
const ATTEMPTS_MAX: usize = 3;

/// What the answers of this room depend on, whatever the server's profile says.
const SETTINGS: [(&str, &str); 10] = [
    // Other settings may still be set, nothing may be written.
    ("readonly", "2"),
    ("cancel_http_readonly_queries_on_client_close", "1"),
    // As bytes: whether a text is UTF-8 is looked at here, once.
    ("output_format_arrow_string_as_string", "0"),
    ("output_format_arrow_low_cardinality_as_dictionary", "0"),
    // The answer is compressed as a whole.
    ("output_format_arrow_compression_method", "none"),
    // Intervals before 1970 and behind 2149.
    ("enable_extended_results_for_datetime_functions", "1"),
    // A measure may have a column's name.
    ("prefer_column_name_to_alias", "1"),
    ("enable_positional_arguments", "1"),
    ("transform_null_in", "0"),
    ("group_by_use_nulls", "0"),
];

/// Rows of a block where all rows are read.
const WHOLE_BLOCK_ROWS: &str = "16384";

/// Relations whose columns are remembered at most: each version of a dataset has its own.
const SHAPES_MAX: usize = 1024;

/// One ClickHouse database, or any node of a cluster.
pub struct ClickHouse {
    name: Arc<str>,
    /// Without any setting.
    plain: Client,
    client: Client,
    gate: Gate,
    statement_timeout: Duration,
    /// Of each dataset and relation that was asked for.
    shapes: Arc<Mutex<HashMap<String, Arc<Shape>>>>,
}

impl ClickHouse {
    /// No connection is made yet.
    ///
    /// # Errors
    /// When the URL cannot be read.
    pub fn open(name: &str, config: &config::Source) -> Result<Self, Error> {
        let plain =
            client(config).map_err(|source| Error::Url { source_name: name.to_owned(), source: source.into() })?;
        let client =
            SETTINGS.iter().fold(plain.clone(), |client, (setting, value)| client.with_setting(*setting, *value));
        let gate = Gate::new(config.connections_max, config.waiting_max, config.acquire_timeout);
        let statement_timeout = config.statement_timeout;
        Ok(Self { name: name.into(), plain, client, gate, statement_timeout, shapes: Arc::default() })
    }

    /// A statement that is ready to be sent, but for its id.
    fn prepared(&self, statement: &Statement, reading: &Reading) -> Client {
        let mut client = self.client.clone();
        let mut set = |name: &str, value: String| {
            client.set_setting(name, value);
        };
        for (place, parameter) in statement.parameters.iter().enumerate() {
            set(&format!("param_p{}", place + 1), text::parameter(parameter));
        }
        match reading.rows_max {
            // Rows that a slow reader takes as they come, in blocks that stay in a processor's cache on their way through.
            None => {
                set("max_execution_time", "0".into());
                set("max_block_size", WHOLE_BLOCK_ROWS.into());
            }
            Some(rows) => {
                set("max_execution_time", self.statement_timeout.as_secs_f64().to_string());
                set("max_result_rows", rows.to_string());
            }
        }
        if statement.steady {
            set("max_threads", "1".into());
        }
        if !reading.about.is_empty() {
            set("log_comment", format!("martello {}", reading.about));
        }
        if !reading.asked_by.is_empty() {
            set("quota_key", reading.asked_by.clone());
        }
        client
    }

    /// The live columns of a relation, by name; none when there is no such relation.
    async fn live(&self, relation: &Relation) -> Result<HashMap<String, Live>, Error> {
        let text = |text: &str| Parameter::One(Type::String, Value::String(text.to_owned()));
        let statement = Statement {
            text: "SELECT name, type FROM system.columns \
                WHERE database = if({p1:String} = '', currentDatabase(), {p1:String}) AND table = {p2:String}"
                .to_owned(),
            parameters: vec![
                text(relation.schema.as_ref().map_or("", |schema| schema.as_str())),
                text(relation.table.as_str()),
            ],
            planned_anew: false,
            steady: false,
        };
        let reading = Reading::columns(&[("name", Type::String), ("type", Type::String)]);
        let batches: Vec<RecordBatch> = self.run(statement, reading).try_collect().await?;
        let rows = batches.iter().flat_map(|batch| {
            batch.column(0).as_string::<i32>().iter().flatten().zip(batch.column(1).as_string::<i32>().iter().flatten())
        });
        Ok(rows.map(|(name, kind)| (name.to_owned(), Live::read(kind))).collect())
    }
}

impl Source for ClickHouse {
    fn dialect(&self) -> Dialect {
        Dialect::ClickHouse
    }

    fn shape<'a>(&'a self, dataset: &'a Dataset, relation: &'a Relation) -> BoxFuture<'a, Result<Arc<Shape>, Error>> {
        Box::pin(async move {
            let name = format!("{} {relation}", dataset.name);
            let known = |shapes: &HashMap<String, Arc<Shape>>| shapes.get(&name).cloned();
            if let Some(shape) = known(&self.shapes.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Ok(shape);
            }
            let live = self.live(relation).await?;
            let conversions = dataset
                .columns
                .iter()
                .enumerate()
                .filter_map(|(index, column)| Some((index, live.get(column.name.as_str())?.conversion(column)?)));
            let digits = (dataset.columns.iter().enumerate())
                .filter_map(|(index, column)| Some((index, live.get(column.name.as_str())?.digits(column)?)));
            let shape = Arc::new(Shape::converted(Dialect::ClickHouse, conversions).with_digits(digits));
            let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
            if shapes.len() >= SHAPES_MAX {
                shapes.clear();
            }
            shapes.insert(name, Arc::clone(&shape));
            Ok(shape)
        })
    }

    fn run(&self, statement: Statement, reading: Reading) -> BatchStream {
        let (name, gate) = (Arc::clone(&self.name), self.gate.clone());
        // All rows have no time of their own, and a sum over them comes when it comes.
        let patience = reading.rows_max.map_or(WHOLE_TIMEOUT, |_| self.statement_timeout + GRACE);
        let (plain, client) = (self.plain.clone(), self.prepared(&statement, &reading));

        let stream = async_stream::try_stream! {
            let _place = gate.enter().await?;
            let begun = crate::clock::instant();
            for attempt in 1.. {
                let running = Running::begin(&plain);
                let query = client.query_raw(&statement.text).with_setting("query_id", running.id.clone());
                let mut cursor = query.fetch_bytes("ArrowStream").map_err(statement_error)?;
                let mut decoder = StreamDecoder::new();
                let mut received = false;
                let broken = loop {
                    // The server keeps its own time; this is for one that does not answer at all.
                    let next = tokio::time::timeout(patience, cursor.next()).await;
                    match next.map_err(|_| Error::Timeout)? {
                        Ok(Some(bytes)) => {
                            received = true;
                            let mut buffer = Buffer::from(bytes);
                            while let Some(batch) = decoder.decode(&mut buffer).map_err(Error::Batch)? {
                                yield arrays::read(&reading, &batch)?;
                            }
                        }
                        Ok(None) => break None,
                        Err(error) => {
                            if !received && is_network(&error) && attempt < ATTEMPTS_MAX {
                                break Some(error);
                            }
                            if !is_network(&error) {
                                // The server has ended it itself.
                                running.finish();
                            }
                            Err(statement_error(error))?;
                            return;
                        }
                    }
                };
                if let Some(error) = broken {
                    tracing::debug!(%error, attempt, "a statement is sent again");
                    continue;
                }
                running.finish();
                decoder.finish().map_err(Error::Batch)?;
                metrics::histogram!("martello_source_seconds", "source" => name.to_string())
                    .record(begun.elapsed());
                break;
            }
        };
        let (name, shapes) = (Arc::clone(&self.name), Arc::clone(&self.shapes));
        Box::pin(stream.inspect_err(move |error| {
            // The relation may have been altered: it is looked at again.
            if matches!(error, Error::Statement(_) | Error::Type { .. }) {
                shapes.lock().unwrap_or_else(PoisonError::into_inner).clear();
            }
            count(&name, error);
        }))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), Error>> {
        let asked = self.client.query_raw("SELECT 1").execute();
        Box::pin(async { asked.await.map_err(statement_error) })
    }

    fn mismatches<'a>(&'a self, dataset: &'a Dataset) -> BoxFuture<'a, Result<Vec<Mismatch>, Error>> {
        Box::pin(async move {
            let live = self.live(&dataset.relation).await?;
            let mismatch = |column: Option<&Column>, contract: String, found: &str| Mismatch {
                dataset: dataset.name.to_string(),
                column: column.map(|column| column.name.to_string()),
                contract,
                relation: dataset.relation.to_string(),
                found: found.to_owned(),
            };
            if live.is_empty() {
                return Ok(vec![mismatch(None, "a relation".into(), "none of that name")]);
            }
            let of = |column: &Column| {
                let contract = column.data_type.to_string();
                match live.get(column.name.as_str()) {
                    None => Some(mismatch(Some(column), contract, "no such column")),
                    Some(live) => (!live.holds(column)).then(|| mismatch(Some(column), contract, live.as_str())),
                }
            };
            Ok(dataset.columns.iter().filter_map(of).collect())
        })
    }
}

/// Beyond a statement's own time: the way there and back.
const GRACE: Duration = Duration::from_secs(1);
/// A server that sends nothing of all rows for so long is out.
const WHOLE_TIMEOUT: Duration = Duration::from_secs(600);

/// A statement under way. Dropped before it is finished, it is killed.
struct Running {
    client: Client,
    id: String,
    finished: bool,
}

impl Running {
    fn begin(client: &Client) -> Self {
        Self { client: client.clone(), id: uuid::Uuid::now_v7().to_string(), finished: false }
    }

    fn finish(mut self) {
        self.finished = true;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.finished {
            return;
        }
        let kill = self.client.query_raw("KILL QUERY WHERE query_id = {id:String} ASYNC").param("id", &self.id);
        let id = std::mem::take(&mut self.id);
        runtime.spawn(async move {
            // A user may kill nothing but its own queries; one that may not kill at all relies on the closed connection.
            if let Err(error) = kill.execute().await {
                tracing::debug!(%error, query_id = id, "a query that nobody waits for was not killed");
            }
        });
    }
}

/// Why a URL of ClickHouse is none.
#[derive(Debug, thiserror::Error)]
pub(super) enum UrlError {
    #[error("{0}: expected clickhouse://user:password@host:8123/database?secure=true&compression=lz4")]
    Malformed(#[from] url::ParseError),
    #[error("no host: expected clickhouse://user:password@host:8123/database")]
    NoHost,
    #[error("{0:?}: expected secure=true|false or compression=lz4|none")]
    Parameter(String),
}

/// A client for the URL of a source, without any setting.
///
/// # Errors
/// When the URL cannot be read; the words are for people and repeat none of its secrets.
pub fn connect(url: &str) -> Result<Client, String> {
    client_at(url).map_err(|error| error.to_string())
}

/// A client for `clickhouse://user:password@host:port/database`: port 8123, or 8443 with `secure=true`.
pub(super) fn client(config: &config::Source) -> Result<Client, UrlError> {
    client_at(config.url.expose())
}

fn client_at(url: &str) -> Result<Client, UrlError> {
    let url = Url::parse(url)?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or(UrlError::NoHost)?;
    let local = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
    // To save a wire that is not there costs more than it brings.
    let (mut secure, mut compression) = (false, if local { Compression::None } else { Compression::Lz4 });
    for (name, value) in url.query_pairs() {
        match (&*name, &*value) {
            ("secure", "true") => secure = true,
            ("secure", "false") => secure = false,
            ("compression", "lz4") => compression = Compression::Lz4,
            ("compression", "none") => compression = Compression::None,
            // It says where schemas are changed.
            ("cluster", _) => {}
            _ => return Err(UrlError::Parameter(format!("{name}={value}"))),
        }
    }
    let (scheme, port) = if secure { ("https", 8443) } else { ("http", 8123) };
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let mut client = Client::default()
        .with_url(format!("{scheme}://{host}:{}", url.port().unwrap_or(port)))
        .with_compression(compression)
        .with_product_info("martello", env!("CARGO_PKG_VERSION"));
    if !url.username().is_empty() {
        client = client.with_user(decoded(url.username()));
    }
    if let Some(password) = url.password() {
        client = client.with_password(decoded(password));
    }
    let database = decoded(url.path().trim_start_matches('/'));
    Ok(if database.is_empty() { client } else { client.with_database(database) })
}

/// Whether the way to the server, not the statement, is at fault.
fn is_network(error: &clickhouse::error::Error) -> bool {
    matches!(error, clickhouse::error::Error::Network(_))
}

/// Codes are those of `ErrorCodes.cpp`.
fn statement_error(error: clickhouse::error::Error) -> Error {
    if is_network(&error) {
        return Error::Unavailable(error.into());
    }
    match code(&error) {
        // TIMEOUT_EXCEEDED, TOO_SLOW, QUERY_WAS_CANCELLED.
        Some(159 | 160 | 394) => Error::Timeout,
        // QUOTA_EXCEEDED, TOO_MANY_SIMULTANEOUS_QUERIES.
        Some(201 | 202) => Error::Busy,
        // SOCKET_TIMEOUT, NETWORK_ERROR, MEMORY_LIMIT_EXCEEDED, TABLE_IS_READ_ONLY, ALL_CONNECTION_TRIES_FAILED,
        // ALL_REPLICAS_ARE_STALE, KEEPER_EXCEPTION.
        Some(209 | 210 | 241 | 242 | 279 | 369 | 999) => Error::Unavailable(error.into()),
        _ => Error::Statement(error.into()),
    }
}

/// The code of ClickHouse's `Code: 159. DB::Exception: …`.
fn code(error: &clickhouse::error::Error) -> Option<u16> {
    let clickhouse::error::Error::BadResponse(text) = error else { return None };
    let digits = text.split_once("Code: ")?.1;
    digits.split(|char: char| !char.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_read_says_what_was_expected() {
        for (url, said) in [
            ("clickhouse://host:8123/marts?secure=yes", "secure=yes"),
            ("clickhouse:///marts", "no host"),
            ("clickhouse://host:port/", "invalid port"),
        ] {
            let Err(error) = client(&config::Source::at(url)) else { panic!("{url}") };
            let error = error.to_string();
            assert!(error.contains(said) && error.contains("expected"), "{url}: {error}");
        }
        assert!(client(&config::Source::at("clickhouse://reader:p%40ss@host/marts?secure=true")).is_ok());
    }

    #[test]
    fn an_exception_is_known_by_its_code() {
        let said = |text: &str| statement_error(clickhouse::error::Error::BadResponse(text.into()));
        assert!(matches!(said("Code: 159. DB::Exception: Timeout exceeded"), Error::Timeout));
        assert!(matches!(said("Code: 202. DB::Exception: Too many"), Error::Busy));
        assert!(matches!(said("Code: 60. DB::Exception: no table"), Error::Statement(_)));
        assert!(matches!(said("502 Bad Gateway"), Error::Statement(_)));
    }
}
