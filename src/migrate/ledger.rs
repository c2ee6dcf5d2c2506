//! What was applied to a database: the table `atlas_schema_revisions`, as Atlas has it and to the column.
//!
//! Atlas drops columns that it does not know, and so none is added.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::error::{Error, failed};
use super::target::quoted;

/// The table, and the schema that Atlas gives it where none is named.
pub const TABLE: &str = "atlas_schema_revisions";

/// The row in which Atlas keeps a name for the database, which is no migration.
const NAME_ROW: &str = ".atlas_cloud_identifier";

/// How a row came to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind(i64);

impl Kind {
    /// Said to be there when the ledger began.
    pub const BASELINE: Self = Self(1);
    /// Applied.
    pub const APPLIED: Self = Self(2);
    /// Said to be there.
    pub const SET: Self = Self(4);
    /// Begun, and then said to be there.
    pub const APPLIED_AND_SET: Self = Self(6);

    /// As the ledger has it.
    pub(super) fn number(self) -> i64 {
        self.0
    }

    /// What a ledger has.
    pub(super) fn numbered(number: i64) -> Self {
        Self(number)
    }

    fn is_set(self) -> bool {
        self.0 & Self::SET.0 != 0
    }
}

/// In Atlas's words.
impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&match *self {
            Self::BASELINE => "baseline".to_owned(),
            Self::APPLIED => "applied".to_owned(),
            Self::SET => "manually set".to_owned(),
            Self::APPLIED_AND_SET => "applied + manually set".to_owned(),
            Self(other) => format!("unknown ({other:04b})"),
        })
    }
}

/// A row: one migration that was applied, wholly or partly. It is written as Atlas's reports have it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Revision {
    /// Of which file.
    pub version: String,
    /// What its name says.
    pub description: String,
    /// How it came to be.
    #[serde(rename = "Type")]
    pub kind: Kind,
    /// Statements that are applied.
    pub applied: usize,
    /// Statements that the file has.
    pub total: usize,
    /// When that began.
    #[serde(serialize_with = "instant")]
    pub executed_at: Timestamp,
    /// How long it took.
    #[serde(serialize_with = "nanoseconds")]
    pub execution_time: Duration,
    /// What the database said of the statement that failed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// That statement.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error_stmt: String,
    /// The file's hash, without `h1:`.
    #[serde(skip)]
    pub hash: String,
    /// Hashes of the statements that are applied, while others of the file are not.
    #[serde(skip)]
    pub partial_hashes: Vec<String>,
    /// Who wrote it.
    pub operator_version: String,
}

fn nanoseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

/// As RFC 3339 has it.
pub(super) fn instant<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(instant)
}

impl Revision {
    /// A row of a migration of which nothing is applied yet.
    pub(super) fn new(version: &str, description: &str, kind: Kind, hash: &str) -> Self {
        Self {
            version: version.to_owned(),
            description: description.to_owned(),
            kind,
            applied: 0,
            total: 0,
            executed_at: crate::clock::now(),
            execution_time: Duration::ZERO,
            error: String::new(),
            error_stmt: String::new(),
            hash: hash.to_owned(),
            partial_hashes: Vec::new(),
            operator_version: operator(),
        }
    }

    /// Whether statements of it are left to apply.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.applied != self.total && !self.kind.is_set()
    }
}

/// Who writes rows.
pub(super) fn operator() -> String {
    concat!("Martello v", env!("CARGO_PKG_VERSION")).to_owned()
}

/// The table, in a schema.
#[derive(Clone, Debug)]
pub struct Ledger {
    schema: String,
}

impl Ledger {
    pub(super) fn of(schema: &str) -> Self {
        Self { schema: schema.to_owned() }
    }

    /// The schema that it is in.
    #[must_use]
    pub fn schema(&self) -> &str {
        &self.schema
    }

    pub(super) fn table(&self) -> String {
        format!("{}.{}", quoted(&self.schema), quoted(TABLE))
    }

    /// Whether it is there.
    pub(super) async fn exists(&self, connection: &mut PgConnection) -> Result<bool, Error> {
        const FIND: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = $2)";
        let found =
            sqlx::query_scalar(FIND).persistent(false).bind(&self.schema).bind(TABLE).fetch_one(connection).await;
        found.map_err(failed("look for the ledger"))
    }

    /// Makes it where it is not there.
    pub(super) async fn make(&self, connection: &mut PgConnection) -> Result<(), Error> {
        const SCHEMA: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
        if self.exists(connection).await? {
            return Ok(());
        }
        let found = sqlx::query_scalar(SCHEMA).persistent(false).bind(&self.schema).fetch_one(&mut *connection).await;
        // Not `IF NOT EXISTS`: that asks for the right to make schemas even where there is nothing to make.
        if !found.map_err(failed("look for the ledger"))? {
            let create = format!("CREATE SCHEMA {}", quoted(&self.schema));
            sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await.map_err(failed("make the ledger"))?;
        }
        let create = format!(
            "CREATE TABLE {} (\"version\" character varying NOT NULL, \"description\" character varying NOT NULL, \
             \"type\" bigint NOT NULL DEFAULT 2, \"applied\" bigint NOT NULL DEFAULT 0, \
             \"total\" bigint NOT NULL DEFAULT 0, \"executed_at\" timestamptz NOT NULL, \
             \"execution_time\" bigint NOT NULL, \"error\" text NULL, \"error_stmt\" text NULL, \
             \"hash\" character varying NOT NULL, \"partial_hashes\" jsonb NULL, \
             \"operator_version\" character varying NOT NULL, PRIMARY KEY (\"version\"))",
            self.table()
        );
        let made = sqlx::raw_sql(AssertSqlSafe(create)).execute(connection).await;
        made.map(drop).map_err(failed("make the ledger"))
    }

    /// Its rows, in the order of their versions.
    pub(super) async fn read(&self, connection: &mut PgConnection) -> Result<Vec<Revision>, Error> {
        let select = format!(
            "SELECT version, description, type, applied, total, \
             (extract(epoch FROM executed_at) * 1000000)::bigint AS executed_at, execution_time, \
             coalesce(error, '') AS error, coalesce(error_stmt, '') AS error_stmt, hash, \
             coalesce(partial_hashes::text, 'null') AS partial_hashes, operator_version \
             FROM {} WHERE version <> $1 ORDER BY version COLLATE \"C\"",
            self.table()
        );
        let rows = sqlx::query(AssertSqlSafe(select)).persistent(false).bind(NAME_ROW).fetch_all(connection).await;
        rows.map_err(failed("read the ledger"))?.iter().map(revision).collect()
    }

    /// Writes a row, over the one of that version.
    pub(super) async fn write(&self, connection: &mut PgConnection, revision: &Revision) -> Result<(), Error> {
        let insert = format!(
            "INSERT INTO {} (version, description, type, applied, total, executed_at, execution_time, error, error_stmt, \
             hash, partial_hashes, operator_version) VALUES ($1, $2, $3, $4, $5, \
             timestamptz 'epoch' + $6 * interval '1 microsecond', $7, nullif($8, ''), nullif($9, ''), $10, \
             $11::text::jsonb, $12) ON CONFLICT (version) DO UPDATE SET description = excluded.description, \
             type = excluded.type, applied = excluded.applied, total = excluded.total, \
             executed_at = excluded.executed_at, execution_time = excluded.execution_time, error = excluded.error, \
             error_stmt = excluded.error_stmt, hash = excluded.hash, partial_hashes = excluded.partial_hashes, \
             operator_version = excluded.operator_version",
            self.table()
        );
        let hashes =
            (!revision.partial_hashes.is_empty()).then(|| serde_json::json!(revision.partial_hashes).to_string());
        let written = sqlx::query(AssertSqlSafe(insert))
            .persistent(false)
            .bind(&revision.version)
            .bind(&revision.description)
            .bind(revision.kind.0)
            .bind(signed(revision.applied))
            .bind(signed(revision.total))
            .bind(revision.executed_at.as_microsecond())
            .bind(i64::try_from(revision.execution_time.as_nanos()).unwrap_or(i64::MAX))
            .bind(&revision.error)
            .bind(&revision.error_stmt)
            .bind(&revision.hash)
            .bind(hashes)
            .bind(&revision.operator_version)
            .execute(connection)
            .await;
        written.map(drop).map_err(failed("write the ledger"))
    }

    /// Takes a row away.
    pub(super) async fn delete(&self, connection: &mut PgConnection, version: &str) -> Result<(), Error> {
        let delete = format!("DELETE FROM {} WHERE version = $1", self.table());
        let deleted = sqlx::query(AssertSqlSafe(delete)).persistent(false).bind(version).execute(connection).await;
        deleted.map(drop).map_err(failed("write the ledger"))
    }
}

fn signed(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn revision(row: &PgRow) -> Result<Revision, Error> {
    let read = failed("read the ledger");
    let version: String = row.try_get("version").map_err(&read)?;
    let fault = |column, found: String| Error::Row { version: version.clone(), column, found };
    let number = |column: &'static str| -> Result<usize, Error> {
        let found: i64 = row.try_get(column).map_err(&read)?;
        usize::try_from(found).map_err(|_| fault(column, found.to_string()))
    };
    let micros: i64 = row.try_get("executed_at").map_err(&read)?;
    let nanos: i64 = row.try_get("execution_time").map_err(&read)?;
    let hashes: String = row.try_get("partial_hashes").map_err(&read)?;
    let hashes: Option<Vec<String>> =
        serde_json::from_str(&hashes).map_err(|_| fault("partial_hashes", hashes.clone()))?;
    Ok(Revision {
        description: row.try_get("description").map_err(&read)?,
        kind: Kind(row.try_get("type").map_err(&read)?),
        applied: number("applied")?,
        total: number("total")?,
        executed_at: Timestamp::from_microsecond(micros).map_err(|_| fault("executed_at", micros.to_string()))?,
        execution_time: Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)),
        error: row.try_get("error").map_err(&read)?,
        error_stmt: row.try_get("error_stmt").map_err(&read)?,
        hash: row.try_get("hash").map_err(&read)?,
        partial_hashes: hashes.unwrap_or_default(),
        operator_version: row.try_get("operator_version").map_err(&read)?,
        version,
    })
}
