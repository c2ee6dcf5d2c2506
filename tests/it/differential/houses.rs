//! The same rows in three databases, and a server over each.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::{
    BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{ArrowError, DataType, Field, Schema};
use martello::auth::Claims;
use martello::catalog::{Dataset, Type};
use martello::config::{self, Config, Secret};
use martello::source::{Loader, Mode};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use super::value::{Cell, Value};
use super::world::World;
use crate::programs;
use crate::support::{Answer, Backend, SECRET, Server, repository};

/// The role of `tests/catalog/access.yaml`.
const ROLE: &str = "reader";
/// The source of datasets that SQLite cannot hold.
const WIDE: &str = "wide";

/// Three servers over equal rows: the marts of one are in SQLite, those of the others in Postgres and ClickHouse.
pub struct Houses {
    pub world: World,
    servers: [Server; 3],
    database: String,
    _folder: tempfile::TempDir,
}

impl Houses {
    /// Fills a file and a database of its own, and starts the servers.
    pub async fn open() -> Self {
        let access = std::fs::read_to_string(repository().join("tests/catalog/access.yaml")).expect("a matrix");
        Self::open_with(&access).await
    }

    /// Likewise, with another matrix.
    pub async fn open_with(access: &str) -> Self {
        let world = World::make();
        let folder = tempfile::tempdir().expect("a folder");
        // A process has one test, and a test one database.
        let database = format!("differential_{}", std::process::id());
        administer(&format!("CREATE DATABASE {database}")).await;
        let administrator = administrator();
        let postgres =
            format!("postgres://postgres@{}:{}/{database}", administrator.get_host(), administrator.get_port());
        let sqlite = format!("sqlite:{}", folder.path().join("marts.sqlite").display());
        clickhouse(format!("CREATE DATABASE {database}")).await;
        let marts = Backend::ClickHouse.url();
        let clickhouse_url = format!("{}/{database}", marts.rsplit_once('/').expect("a database").0);
        let mut connection = PgConnection::connect(&postgres).await.expect("a connection");
        for dataset in world.catalog.iter() {
            connection.execute(AssertSqlSafe(table(dataset))).await.expect("a table");
            load(&world, dataset, &postgres).await;
            clickhouse(clickhouse_table(dataset, &database)).await;
            load(&world, dataset, &clickhouse_url).await;
            if dataset.source.as_str() != WIDE {
                load(&world, dataset, &sqlite).await;
            }
        }
        connection.close().await.expect("a farewell");
        let contracts = folder.path().join("datasets");
        std::fs::create_dir(&contracts).expect("a folder");
        for file in std::fs::read_dir(repository().join("tests/catalog/datasets")).expect("contracts") {
            let file = file.expect("a contract");
            std::fs::copy(file.path(), contracts.join(file.file_name())).expect("copied");
        }
        std::fs::write(folder.path().join("access.yaml"), access).expect("written");
        let config = |marts: &str, wide: &str| {
            let mut config = Config { catalog: folder.path().to_owned(), ..Config::default() };
            config.access.mask_key = Some(Secret::from(SECRET.to_owned()));
            config.http.listen = "127.0.0.1:0".parse().expect("an address");
            // A count has all the time that a machine with much to do may need.
            config.paging.count_budget = Duration::from_secs(30);
            config.admin.listen = config.http.listen;
            for (name, url) in [("marts", marts), (WIDE, wide)] {
                // As has a connection.
                let patient = config::Source { acquire_timeout: Duration::from_secs(30), ..config::Source::at(url) };
                config.sources.insert(name.into(), patient);
            }
            config.auth.hs256 = Some(Secret::from(SECRET.to_owned()));
            config.paging.cursor_key = Some(Secret::from(SECRET.to_owned()));
            config
        };
        let servers = [
            Server::start(config(&sqlite, &postgres)).await,
            Server::start(config(&postgres, &postgres)).await,
            Server::start(config(&clickhouse_url, &clickhouse_url)).await,
        ];
        Self { world, servers, database, _folder: folder }
    }

    /// Asks all; a question with a body is posted.
    pub async fn ask(&self, target: &str, body: Option<&str>) -> [(Backend, Answer); 3] {
        let [sqlite, postgres, clickhouse] = &self.servers;
        let (sqlite, postgres, clickhouse) =
            tokio::join!(ask(sqlite, target, body), ask(postgres, target, body), ask(clickhouse, target, body));
        [(Backend::Sqlite, sqlite), (Backend::Postgres, postgres), (Backend::ClickHouse, clickhouse)]
    }

    /// Asks all as a role of the matrix, with claims besides those that make it.
    pub async fn ask_as(
        &self,
        role: &str,
        claims: &Claims,
        target: &str,
        body: Option<&str>,
    ) -> [(Backend, Answer); 3] {
        let ask = async |server: &Server| {
            let token = server.token_with(role, claims);
            let method = if body.is_some() { reqwest::Method::POST } else { reqwest::Method::GET };
            let request = server.request(method, target).bearer_auth(token);
            server
                .send(match body {
                    None => request,
                    Some(body) => request.header("content-type", "application/json").body(body.to_owned()),
                })
                .await
        };
        let [sqlite, postgres, clickhouse] = &self.servers;
        let (sqlite, postgres, clickhouse) = tokio::join!(ask(sqlite), ask(postgres), ask(clickhouse));
        [(Backend::Sqlite, sqlite), (Backend::Postgres, postgres), (Backend::ClickHouse, clickhouse)]
    }

    /// Each server's URL, and a token for it.
    pub fn doors(&self) -> [(Backend, String, String); 3] {
        let [sqlite, postgres, clickhouse] = &self.servers;
        [(Backend::Sqlite, sqlite), (Backend::Postgres, postgres), (Backend::ClickHouse, clickhouse)]
            .map(|(backend, server)| (backend, server.url.clone(), server.token(ROLE)))
    }

    /// Changes rows of Postgres, so that it has what no row of both has.
    pub async fn change_postgres(&self, statement: &str) {
        let mut connection =
            PgConnection::connect_with(&administrator().database(&self.database)).await.expect("a connection");
        connection.execute(AssertSqlSafe(statement.to_owned())).await.expect("a change");
        connection.close().await.expect("a farewell");
    }

    /// Stops the servers, and nothing is left of the database.
    pub async fn close(self) {
        for server in self.servers {
            server.stop().await;
        }
        administer(&format!("DROP DATABASE {} WITH (FORCE)", self.database)).await;
        clickhouse(format!("DROP DATABASE {}", self.database)).await;
    }
}

async fn clickhouse(statement: String) {
    programs::ran(programs::clickhouse(&statement)).await.well();
}

async fn ask(server: &Server, target: &str, body: Option<&str>) -> Answer {
    match body {
        None => server.get(ROLE, target).await,
        Some(body) => {
            let request = server.request(reqwest::Method::POST, target).bearer_auth(server.token(ROLE));
            server.send(request.header("content-type", "application/json").body(body.to_owned())).await
        }
    }
}

fn administrator() -> PgConnectOptions {
    let options: PgConnectOptions = Backend::Postgres.url().parse().expect("a URL");
    options.username("postgres").database("postgres")
}

async fn administer(statement: &str) {
    let mut connection = PgConnection::connect_with(&administrator()).await.expect("a connection");
    connection
        .execute(AssertSqlSafe(statement.to_owned()))
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    connection.close().await.expect("a farewell");
}

/// A table as `catalog/README.md` asks for one.
fn table(dataset: &Dataset) -> String {
    let mut text = format!("CREATE TABLE {} (", dataset.relation);
    for column in &dataset.columns {
        let kind = match column.data_type {
            Type::Bool => "boolean".to_owned(),
            Type::Int32 => "integer".to_owned(),
            Type::Int64 => "bigint".to_owned(),
            Type::Float64 => "double precision".to_owned(),
            Type::Decimal { precision, scale } => format!("numeric({precision},{scale})"),
            Type::String => "text COLLATE \"C\"".to_owned(),
            Type::Date => "date".to_owned(),
            Type::Timestamp => "timestamptz".to_owned(),
            Type::Json => "jsonb".to_owned(),
            Type::StringList => "text[] COLLATE \"C\"".to_owned(),
        };
        let null = if column.nullable { "" } else { " NOT NULL" };
        write!(text, "\"{}\" {kind}{null}, ", column.name).expect("a text");
    }
    let key: Vec<String> =
        dataset.primary_key.iter().map(|index| format!("\"{}\"", dataset.columns[*index].name)).collect();
    write!(text, "PRIMARY KEY ({}))", key.join(", ")).expect("a text");
    text
}

/// The same for ClickHouse. Types that hold the contract's in other ways are for `tests/it/clickhouse.rs`.
fn clickhouse_table(dataset: &Dataset, database: &str) -> String {
    let mut text = format!("CREATE TABLE {database}.{} (", dataset.relation);
    for column in &dataset.columns {
        let kind = match column.data_type {
            Type::Bool => "Bool".to_owned(),
            Type::Int32 => "Int32".to_owned(),
            Type::Int64 => "Int64".to_owned(),
            Type::Float64 => "Float64".to_owned(),
            Type::Decimal { precision, scale } => format!("Decimal({precision}, {scale})"),
            Type::String | Type::Json => "String".to_owned(),
            Type::Date => "Date32".to_owned(),
            Type::Timestamp => "DateTime64(6, 'UTC')".to_owned(),
            Type::StringList => "Array(Nullable(String))".to_owned(),
        };
        let nullable = column.nullable && column.data_type != Type::StringList;
        let kind = if nullable { format!("Nullable({kind})") } else { kind };
        write!(text, "\"{}\" {kind}, ", column.name).expect("a text");
    }
    let key: Vec<String> =
        dataset.primary_key.iter().map(|index| format!("\"{}\"", dataset.columns[*index].name)).collect();
    text.truncate(text.len() - 2);
    write!(text, ") ENGINE = MergeTree ORDER BY ({})", key.join(", ")).expect("a text");
    text
}

async fn load(world: &World, dataset: &Dataset, url: &str) {
    let rows = world.rows(dataset.name.as_str());
    let arrays = dataset.columns.iter().enumerate();
    let arrays = arrays.map(|(index, column)| array(column.data_type, rows.iter().map(|row| &row[index]))).collect();
    let fields = dataset.columns.iter().map(|column| column.data_type.field(column.name.as_str(), column.nullable));
    let schema = Schema::new(fields.collect::<Vec<_>>());
    let batch: Result<RecordBatch, ArrowError> = RecordBatch::try_new(Arc::new(schema), arrays);
    let source = config::Source::at(url);
    let loaded = Loader::new(&source).load(dataset, Mode::Replace, std::iter::once(batch), |_| {}).await;
    assert_eq!(loaded.unwrap_or_else(|error| panic!("{}: {error:?}", dataset.name)), rows.len() as u64);
}

/// A column of cells as the Arrow array of its type.
fn array<'c>(data_type: Type, cells: impl Iterator<Item = &'c Cell>) -> ArrayRef {
    macro_rules! built {
        ($builder:expr, $($value:pat => $as:expr),+) => {{
            let mut builder = $builder;
            for cell in cells {
                match cell {
                    None => builder.append_null(),
                    $(Some($value) => builder.append_value($as),)+
                    other => panic!("{other:?} as {data_type}"),
                }
            }
            Arc::new(builder.finish())
        }};
    }
    match data_type {
        Type::Bool => built!(BooleanBuilder::new(), Value::Bool(bool) => *bool),
        Type::Int32 => built!(Int32Builder::new(), Value::Int(int) => i32::try_from(*int).expect("32 bits")),
        Type::Int64 => built!(Int64Builder::new(), Value::Int(int) => *int),
        Type::Float64 => built!(Float64Builder::new(), Value::Float(float) => *float),
        Type::Decimal { .. } => {
            built!(Decimal128Builder::new().with_data_type(data_type.arrow()), Value::Decimal(digits) => *digits)
        }
        Type::String | Type::Json => built!(StringBuilder::new(), Value::Text(text) | Value::Json(text) => text),
        Type::Date => built!(Date32Builder::new(), Value::Date(days) => *days),
        Type::Timestamp => {
            built!(TimestampMicrosecondBuilder::new().with_timezone("UTC"), Value::Instant(micros) => *micros)
        }
        Type::StringList => {
            let items = Arc::new(Field::new("item", DataType::Utf8, false));
            built!(ListBuilder::new(StringBuilder::new()).with_field(items), Value::List(items) => items.iter().map(Some))
        }
    }
}
