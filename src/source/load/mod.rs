//! Fills a relation from record batches, all or nothing. Only SQLite may create it: elsewhere tables come by migration.

mod clickhouse;
mod side;

use std::fmt::Write as _;
use std::str::FromStr as _;

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions, SqliteConnection};
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, Executor as _};

use super::sql::SEARCH_TABLE;
use super::{Cause, canonical_json, scheme, sqlite};
use crate::catalog::{Column, Dataset, Relation, Type};
use crate::config;

/// SQLite's own bound on parameters of a statement is 32766; half of it is as fast.
const SQLITE_PARAMETERS: usize = 16_000;
/// COPY is sent in pieces of about this size.
const COPY_BYTES: usize = 1 << 20;

/// What happens to the rows that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// They go: afterwards the relation holds exactly what was loaded.
    Replace,
    /// They stay.
    Append,
}

/// Why nothing was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The database refused, or cannot be reached.
    #[error("{0}")]
    Database(&'static str, #[source] Cause),
    /// Postgres refused a row.
    #[error("copy the rows: {place}")]
    Row {
        /// Which one, and what stands there, in Postgres' words.
        place: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// The source cannot store the type exactly.
    #[error(
        "store column {column} as {contract}: SQLite holds decimals of at most {} digits",
        sqlite::DECIMAL_DIGITS_MAX
    )]
    Type {
        /// The column.
        column: String,
        /// The contract's type.
        contract: String,
    },
    /// Two rows have the same key.
    #[error("keep one row a key: two have {key}")]
    Duplicate {
        /// The key, in the database's words.
        key: String,
    },
    /// The table of words would take the place of somebody's own.
    #[error("make the table of words {table}: another table has that name")]
    Taken {
        /// Its name.
        table: String,
    },
    /// A value is no JSON.
    #[error("read row {row} of column {column} as JSON")]
    Json {
        /// The row, counted from 1.
        row: u64,
        /// The column.
        column: String,
    },
    /// The batches could not be had.
    #[error("read the rows")]
    Rows(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Fills relations of one source.
pub struct Loader<'c> {
    config: &'c config::Source,
}

impl<'c> Loader<'c> {
    /// A loader for that source.
    #[must_use]
    pub fn new(config: &'c config::Source) -> Self {
        Self { config }
    }

    /// Loads batches whose columns are the contract's, in its order and types; calls `loaded` with the rows so far.
    ///
    /// # Errors
    /// Whatever goes wrong; the relation is then as it was.
    pub async fn load<E>(
        &self,
        dataset: &Dataset,
        mode: Mode,
        batches: impl Iterator<Item = Result<RecordBatch, E>>,
        loaded: impl FnMut(u64),
    ) -> Result<u64, LoadError>
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        let batches = batches.map(|batch| batch.map_err(|error| LoadError::Rows(Box::new(error))));
        match scheme(self.config) {
            "clickhouse" => clickhouse::load(self.config, dataset, mode, batches, loaded).await,
            "sqlite" => self.load_sqlite(dataset, mode, batches, loaded).await,
            _ => self.load_postgres(dataset, mode, batches, loaded).await,
        }
    }

    async fn load_postgres(
        &self,
        dataset: &Dataset,
        mode: Mode,
        batches: impl Iterator<Item = Result<RecordBatch, LoadError>>,
        mut loaded: impl FnMut(u64),
    ) -> Result<u64, LoadError> {
        let failed = |what| move |error: sqlx::Error| LoadError::Database(what, error.into());
        let options = PgConnectOptions::from_str(self.config.url.expose()).map_err(failed("read the source's URL"))?;
        let mut connection =
            PgConnection::connect_with(&options.application_name("martello load")).await.map_err(failed("connect"))?;
        let relation = quoted_relation(dataset);
        let mut transaction = connection.begin().await.map_err(failed("begin a transaction"))?;
        if mode == Mode::Replace {
            // Not TRUNCATE: readers go on with the rows that are there until this commits.
            let delete = format!("DELETE FROM {relation}");
            transaction.execute(AssertSqlSafe(delete)).await.map_err(failed("delete the rows that are there"))?;
        }
        let copy = format!("COPY {relation} ({}) FROM STDIN", quoted_columns(dataset));
        let mut sink = transaction.copy_in_raw(&copy).await.map_err(failed("begin COPY"))?;
        let mut rows = 0;
        let mut text = String::with_capacity(COPY_BYTES * 2);
        for batch in batches {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                for (index, column) in dataset.columns.iter().enumerate() {
                    if index > 0 {
                        text.push('\t');
                    }
                    let cell = cell(column.data_type, batch.column(index), row);
                    if matches!(cell, Cell::Json(json) if canonical_json(json).is_none()) {
                        let row = rows + row as u64 + 1;
                        return Err(LoadError::Json { row, column: column.name.to_string() });
                    }
                    write_copy(&cell, &mut text);
                }
                text.push('\n');
                if text.len() >= COPY_BYTES {
                    sink.send(text.as_bytes()).await.map_err(failed("send rows"))?;
                    text.clear();
                }
            }
            rows += batch.num_rows() as u64;
            loaded(rows);
        }
        sink.send(text.as_bytes()).await.map_err(failed("send rows"))?;
        sink.finish().await.map_err(refused)?;
        transaction.commit().await.map_err(failed("commit"))?;
        let analyze = format!("ANALYZE {relation}");
        connection.execute(AssertSqlSafe(analyze)).await.map_err(failed("analyze the relation"))?;
        Ok(rows)
    }

    async fn load_sqlite(
        &self,
        dataset: &Dataset,
        mode: Mode,
        batches: impl Iterator<Item = Result<RecordBatch, LoadError>>,
        mut loaded: impl FnMut(u64),
    ) -> Result<u64, LoadError> {
        let failed = |what| move |error: sqlx::Error| LoadError::Database(what, error.into());
        let options = SqliteConnectOptions::from_str(self.config.url.expose())
            .map_err(failed("read the source's URL"))?
            .create_if_missing(true);
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(failed("open the file"))?;
        let mut transaction = connection.begin().await.map_err(failed("begin a transaction"))?;
        let create = create_table(dataset)?;
        transaction.execute(AssertSqlSafe(create)).await.map_err(failed("create the table"))?;
        let relation = quoted_relation(dataset);
        if mode == Mode::Replace {
            let delete = format!("DELETE FROM {relation}");
            transaction.execute(AssertSqlSafe(delete)).await.map_err(failed("delete the rows that are there"))?;
        }
        let at_once = (SQLITE_PARAMETERS / dataset.columns.len()).max(1);
        let mut rows = 0;
        for batch in batches {
            let batch = batch?;
            let mut from = 0;
            while from < batch.num_rows() {
                let length = at_once.min(batch.num_rows() - from);
                let mut arguments = SqliteArguments::default();
                for row in from..from + length {
                    for (index, column) in dataset.columns.iter().enumerate() {
                        let cell = cell(column.data_type, batch.column(index), row);
                        add_sqlite(&cell, &mut arguments).ok_or_else(|| LoadError::Json {
                            row: rows + row as u64 + 1,
                            column: column.name.to_string(),
                        })?;
                    }
                }
                let insert = insert(dataset, &relation, length);
                sqlx::query_with(AssertSqlSafe(insert), arguments)
                    .execute(&mut *transaction)
                    .await
                    .map_err(failed("insert rows"))?;
                from += length;
            }
            rows += batch.num_rows() as u64;
            loaded(rows);
        }
        if let Some(words) = Words::of(dataset) {
            if words.is_taken(&mut transaction).await.map_err(failed("look for the table of words"))? {
                return Err(LoadError::Taken { table: words.table });
            }
            for statement in words.statements(dataset) {
                transaction.execute(AssertSqlSafe(statement)).await.map_err(failed("fill the table of words"))?;
            }
        }
        transaction.commit().await.map_err(failed("commit"))?;
        connection.execute("ANALYZE").await.map_err(failed("analyze the table"))?;
        connection.close().await.map_err(failed("close the file"))?;
        Ok(rows)
    }
}

/// Postgres says where it stopped (`COPY trial, line 7`: a line is a row), and of a key which one was there already.
fn refused(error: sqlx::Error) -> LoadError {
    let postgres = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let place = postgres.and_then(|error| Some([error.r#where()?, error.detail().unwrap_or_default()].join(": ")));
    match place {
        Some(place) => LoadError::Row { place: place.trim_end_matches([' ', ':']).to_owned(), source: error.into() },
        None => LoadError::Database("copy the rows", error.into()),
    }
}

fn quoted_relation(dataset: &Dataset) -> String {
    quoted(&dataset.relation)
}

fn quoted(relation: &Relation) -> String {
    match &relation.schema {
        Some(schema) => format!("\"{schema}\".\"{}\"", relation.table),
        None => format!("\"{}\"", relation.table),
    }
}

fn quoted_columns(dataset: &Dataset) -> String {
    let names: Vec<String> = dataset.columns.iter().map(|column| format!("\"{}\"", column.name)).collect();
    names.join(", ")
}

/// A strict table in the order of its key.
fn create_table(dataset: &Dataset) -> Result<String, LoadError> {
    let mut text = format!("CREATE TABLE IF NOT EXISTS {} (", quoted_relation(dataset));
    for column in &dataset.columns {
        let storage = sqlite::storage(column.data_type).ok_or_else(|| LoadError::Type {
            column: column.name.to_string(),
            contract: column.data_type.to_string(),
        })?;
        let null = if column.nullable { "" } else { " NOT NULL" };
        let _ = write!(text, "\"{}\" {storage}{null}, ", column.name);
    }
    let key: Vec<String> =
        dataset.primary_key.iter().map(|index| format!("\"{}\"", dataset.columns[*index].name)).collect();
    let _ = write!(text, "PRIMARY KEY ({})) STRICT, WITHOUT ROWID", key.join(", "));
    Ok(text)
}

/// The table of words beside a relation: each row's key with its searchable texts. FTS5's `ascii` tokenizer keeps the one
/// rule that every source can keep: words are runs of ASCII letters, digits and all that is beyond ASCII.
struct Words<'d> {
    table: String,
    searchable: Vec<&'d Column>,
    /// Columns of the key that are not searchable themselves.
    keys: Vec<&'d Column>,
}

impl<'d> Words<'d> {
    /// `None` when the contract has nothing to search in.
    fn of(dataset: &'d Dataset) -> Option<Self> {
        let searchable: Vec<&Column> = dataset.columns.iter().filter(|column| column.searchable).collect();
        let keys = dataset.primary_key.iter().map(|index| &dataset.columns[*index]);
        let keys = keys.filter(|key| !key.searchable).collect();
        let table = format!("{}{SEARCH_TABLE}", dataset.relation.table);
        (!searchable.is_empty()).then_some(Self { table, searchable, keys })
    }

    /// Whether a table that is none of words has the name: it is somebody's, and to be left alone.
    async fn is_taken(&self, connection: &mut SqliteConnection) -> sqlx::Result<bool> {
        const TAKEN: &str = "SELECT EXISTS (SELECT 1 FROM sqlite_schema
          WHERE name = ?1 AND sql NOT LIKE 'CREATE VIRTUAL TABLE % USING fts5(%')";
        sqlx::query_scalar(TAKEN).bind(&self.table).fetch_one(connection).await
    }

    /// They make the table anew from the relation, so that it holds what the relation holds, whatever was there.
    fn statements(&self, dataset: &Dataset) -> [String; 3] {
        let table = &self.table;
        let quoted = |columns: &[&Column], behind: &str| {
            columns.iter().map(|column| format!("\"{}\"{behind}", column.name)).collect::<Vec<_>>()
        };
        let columns = [quoted(&self.searchable, ""), quoted(&self.keys, "")].concat().join(", ");
        let declared = [quoted(&self.searchable, ""), quoted(&self.keys, " UNINDEXED")].concat().join(", ");
        [
            format!("DROP TABLE IF EXISTS \"{table}\""),
            format!("CREATE VIRTUAL TABLE \"{table}\" USING fts5({declared}, tokenize = 'ascii')"),
            format!("INSERT INTO \"{table}\" ({columns}) SELECT {columns} FROM {}", quoted_relation(dataset)),
        ]
    }
}

fn insert(dataset: &Dataset, relation: &str, rows: usize) -> String {
    let row = format!("({})", vec!["?"; dataset.columns.len()].join(", "));
    format!("INSERT INTO {relation} ({}) VALUES {}", quoted_columns(dataset), vec![row; rows].join(", "))
}

/// A cell of a batch in the contract's types.
enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Decimal(i128, u8),
    Text(&'a str),
    Json(&'a str),
    Date(i32),
    Timestamp(i64),
    List(Vec<String>),
}

fn cell(data_type: Type, array: &ArrayRef, row: usize) -> Cell<'_> {
    if array.is_null(row) {
        return Cell::Null;
    }
    match data_type {
        Type::Bool => Cell::Bool(array.as_boolean().value(row)),
        Type::Int32 => Cell::Int(array.as_primitive::<Int32Type>().value(row).into()),
        Type::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
        Type::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
        Type::Decimal { scale, .. } => Cell::Decimal(array.as_primitive::<Decimal128Type>().value(row), scale),
        Type::String => Cell::Text(array.as_string::<i32>().value(row)),
        Type::Json => Cell::Json(array.as_string::<i32>().value(row)),
        Type::Date => Cell::Date(array.as_primitive::<Date32Type>().value(row)),
        Type::Timestamp => Cell::Timestamp(array.as_primitive::<TimestampMicrosecondType>().value(row)),
        Type::StringList => {
            let items = array.as_list::<i32>().value(row);
            Cell::List(items.as_string::<i32>().iter().flatten().map(str::to_owned).collect())
        }
    }
}

/// COPY's text format: backslash escapes, `\N` for null.
fn write_copy(cell: &Cell<'_>, out: &mut String) {
    let escaped = |text: &str, out: &mut String| {
        for char in text.chars() {
            match char {
                '\\' => out.push_str("\\\\"),
                '\t' => out.push_str("\\t"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                char => out.push(char),
            }
        }
    };
    // Writing to a string does not fail.
    let _ = match cell {
        Cell::Null => write!(out, "\\N"),
        Cell::Bool(bool) => write!(out, "{bool}"),
        Cell::Int(int) => write!(out, "{int}"),
        Cell::Float(float) => write!(out, "{float}"),
        Cell::Decimal(digits, scale) => {
            let mut text = Vec::new();
            crate::encode::write_decimal(*digits, *scale, &mut text);
            write!(out, "{}", String::from_utf8_lossy(&text))
        }
        Cell::Text(text) | Cell::Json(text) => {
            escaped(text, out);
            Ok(())
        }
        Cell::Date(days) => write!(out, "{}", sqlite::iso_date(*days)),
        Cell::Timestamp(micros) => {
            let mut text = Vec::new();
            crate::encode::write_timestamp(*micros, &mut text);
            write!(out, "{}", String::from_utf8_lossy(&text))
        }
        Cell::List(items) => {
            let quoted: Vec<String> =
                items.iter().map(|item| format!("\"{}\"", item.replace('\\', "\\\\").replace('"', "\\\""))).collect();
            escaped(&format!("{{{}}}", quoted.join(",")), out);
            Ok(())
        }
    };
}

/// Binds a cell as SQLite stores it; `None` when a JSON value is none.
fn add_sqlite(cell: &Cell<'_>, arguments: &mut SqliteArguments) -> Option<()> {
    let added = match cell {
        Cell::Null => arguments.add(None::<i64>),
        Cell::Bool(bool) => arguments.add(i64::from(*bool)),
        Cell::Int(int) | Cell::Timestamp(int) => arguments.add(*int),
        Cell::Float(float) => arguments.add(*float),
        Cell::Decimal(digits, _) => arguments.add(i64::try_from(*digits).ok()?),
        Cell::Text(text) => arguments.add((*text).to_owned()),
        Cell::Json(text) => arguments.add(canonical_json(text)?),
        Cell::Date(days) => arguments.add(sqlite::iso_date(*days)),
        Cell::List(items) => arguments.add(serde_json::to_string(items).ok()?),
    };
    added.ok()
}
