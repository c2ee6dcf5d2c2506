//! API keys as the store has them: everything but the keys themselves.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::sqlite::{SqliteConnection, SqlitePool};
use sqlx::{Connection as _, Executor as _};

use super::{Epoch, Error, Kind, LOOK_TIMEOUT, Store, failed, postgres, sqlite};

/// Keys that may be used, at most: every instance holds all of them.
pub const KEYS_MAX: usize = 10_000;

/// An API key, without the key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiKey {
    /// What names it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whom it is for.
    pub subject: String,
    /// What it claims, as a JSON object.
    pub claims: String,
    /// The SHA-256 of its secret, in hexadecimal.
    pub hash: String,
    /// Who made it.
    pub operator: String,
    /// When.
    pub created_at: Timestamp,
    /// Until when it may be used, where it has an end.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// A key as a row of either database: texts and microseconds.
type Row = (String, String, String, String, String, String, i64, Option<i64>, Option<i64>);

/// Those that may be used come first, so that a long past costs none of them its place.
macro_rules! order {
    () => {
        " ORDER BY revoked_at IS NOT NULL, created_at DESC, id LIMIT "
    };
}

const OF_POSTGRES: &str = concat!(
    "SELECT id, name, subject, claims::text, hash, operator, (extract(epoch FROM created_at) * 1000000)::bigint, \
     (extract(epoch FROM expires_at) * 1000000)::bigint, (extract(epoch FROM revoked_at) * 1000000)::bigint \
     FROM martello.api_key",
    order!(),
    "$1"
);
const OF_SQLITE: &str = concat!(
    "SELECT id, name, subject, claims, hash, operator, created_at, expires_at, revoked_at FROM martello_api_key",
    order!(),
    "?1"
);

impl Store {
    /// All API keys, those that may be used first, the newest before others.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, Error> {
        self.api_keys_since(None).await.map(|(_, keys)| keys.unwrap_or_default())
    }

    /// All API keys, unless nothing has changed since that epoch.
    pub(crate) async fn api_keys_since(&self, known: Option<Epoch>) -> Result<(Epoch, Option<Vec<ApiKey>>), Error> {
        let looked = async {
            // The counter first: what changes in between is read again with the next look.
            let epoch = self.epoch().await?;
            if known == Some(epoch) {
                return Ok((epoch, None));
            }
            let rows = match &self.0 {
                Kind::Postgres(pool) => of_postgres(pool).await?,
                Kind::Sqlite(pool) => of_sqlite(pool).await?,
            };
            Ok((epoch, Some(rows.into_iter().map(read).collect::<Result<_, _>>()?)))
        };
        tokio::time::timeout(LOOK_TIMEOUT, looked).await.map_err(|_| Error::Timeout)?
    }

    /// Keeps a new key, and announces it.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn add_api_key(&self, key: &ApiKey) -> Result<(), Error> {
        let micros = |at: Option<Timestamp>| at.map(Timestamp::as_microsecond);
        match &self.0 {
            Kind::Postgres(pool) => {
                let mut connection = begin_postgres(pool).await?;
                sqlx::query(
                    "INSERT INTO martello.api_key (id, name, subject, claims, hash, operator, created_at, expires_at) \
                     VALUES ($1, $2, $3, $4::text::jsonb, $5, $6, timestamptz 'epoch' + $7 * interval '1 microsecond', \
                     timestamptz 'epoch' + $8 * interval '1 microsecond')",
                )
                .bind(&key.id)
                .bind(&key.name)
                .bind(&key.subject)
                .bind(&key.claims)
                .bind(&key.hash)
                .bind(&key.operator)
                .bind(key.created_at.as_microsecond())
                .bind(micros(key.expires_at))
                .execute(&mut connection)
                .await
                .map_err(failed("keep a key in"))?;
                postgres::announce(&mut connection).await.map_err(failed("keep a key in"))
            }
            Kind::Sqlite(pool) => {
                let mut connection = begin_sqlite(pool).await?;
                sqlx::query(
                    "INSERT INTO martello_api_key (id, name, subject, claims, hash, operator, created_at, expires_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                )
                .bind(&key.id)
                .bind(&key.name)
                .bind(&key.subject)
                .bind(&key.claims)
                .bind(&key.hash)
                .bind(&key.operator)
                .bind(key.created_at.as_microsecond())
                .bind(micros(key.expires_at))
                .execute(&mut connection)
                .await
                .map_err(failed("keep a key in"))?;
                sqlite::commit(&mut connection).await.map_err(failed("keep a key in"))
            }
        }
    }

    /// Revokes the key with that id, and announces it; returns whether there was one that was not revoked yet.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn revoke_api_key(&self, id: &str) -> Result<bool, Error> {
        let now = crate::clock::now().as_microsecond();
        let what = "revoke a key in";
        let revoked = match &self.0 {
            Kind::Postgres(pool) => {
                let mut connection = begin_postgres(pool).await?;
                let revoked = sqlx::query(
                    "UPDATE martello.api_key SET revoked_at = timestamptz 'epoch' + $2 * interval '1 microsecond' \
                     WHERE id = $1 AND revoked_at IS NULL",
                )
                .bind(id)
                .bind(now)
                .execute(&mut connection)
                .await
                .map_err(failed(what))?
                .rows_affected();
                postgres::announce(&mut connection).await.map_err(failed(what))?;
                revoked
            }
            Kind::Sqlite(pool) => {
                let mut connection = begin_sqlite(pool).await?;
                let revoked =
                    sqlx::query("UPDATE martello_api_key SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")
                        .bind(id)
                        .bind(now)
                        .execute(&mut connection)
                        .await
                        .map_err(failed(what))?
                        .rows_affected();
                sqlite::commit(&mut connection).await.map_err(failed(what))?;
                revoked
            }
        };
        Ok(revoked > 0)
    }
}

async fn of_postgres(pool: &PgPool) -> Result<Vec<Row>, Error> {
    sqlx::query_as(OF_POSTGRES).bind(limit()).fetch_all(pool).await.map_err(failed("look into"))
}

async fn of_sqlite(pool: &SqlitePool) -> Result<Vec<Row>, Error> {
    let asked = || sqlx::query_as(OF_SQLITE).bind(limit()).fetch_all(pool);
    let found = match asked().await {
        // A file of the time when there were no keys.
        Err(error) if sqlite::is_without_tables(&error) => {
            sqlite::init(pool).await?;
            asked().await
        }
        found => found,
    };
    found.map_err(failed("look into"))
}

fn limit() -> i64 {
    i64::try_from(KEYS_MAX).unwrap_or(i64::MAX)
}

/// A transaction on a connection of its own, and over with it.
async fn begin_postgres(pool: &PgPool) -> Result<PgConnection, Error> {
    let mut connection = PgConnection::connect_with(pool.connect_options().as_ref()).await.map_err(failed("reach"))?;
    connection.execute("BEGIN").await.map_err(failed("reach"))?;
    Ok(connection)
}

async fn begin_sqlite(pool: &SqlitePool) -> Result<SqliteConnection, Error> {
    sqlite::init(pool).await?;
    let mut connection =
        SqliteConnection::connect_with(pool.connect_options().as_ref()).await.map_err(failed("reach"))?;
    connection.execute("BEGIN IMMEDIATE").await.map_err(failed("lock"))?;
    Ok(connection)
}

fn read(row: Row) -> Result<ApiKey, Error> {
    let (id, name, subject, claims, hash, operator, created_at, expires_at, revoked_at) = row;
    let instant = |column, micros: i64| {
        Timestamp::from_microsecond(micros).map_err(|_| Error::Row { column, found: micros.to_string() })
    };
    let instants = |column, micros: Option<i64>| micros.map(|micros| instant(column, micros)).transpose();
    Ok(ApiKey {
        id,
        name,
        subject,
        claims,
        hash,
        operator,
        created_at: instant("created_at", created_at)?,
        expires_at: instants("expires_at", expires_at)?,
        revoked_at: instants("revoked_at", revoked_at)?,
    })
}
