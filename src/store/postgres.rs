//! The control store in Postgres, in the schema `martello`. Its tables come as migrations; nothing makes them unasked.

use std::str::FromStr as _;
use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _};
use uuid::Uuid;

use super::change::{Change, Connection};
use super::version::{Version, VersionId, Versions};
use super::{ACQUIRE_TIMEOUT, CHANNEL, Epoch, Error, HISTORY_MAX, TURN_TIMEOUT, failed, row};
use crate::name::Name;

/// One to look, one to listen, one for who asks besides.
const CONNECTIONS_MAX: u32 = 3;

/// What a version is read as: the columns that `row` names.
macro_rules! columns {
    () => {
        "v.id::text AS id, v.dataset, v.number, v.relation, v.rows, v.contract, v.operator, v.rollback_of, \
         v.data_through::text AS data_through, v.statistics::text AS statistics, v.checks::text AS checks, \
         (extract(epoch FROM v.published_at) * 1000000)::bigint AS published_at, \
         (extract(epoch FROM v.retired_at) * 1000000)::bigint AS retired_at, \
         (extract(epoch FROM v.dropped_at) * 1000000)::bigint AS dropped_at, \
         (v.id = p.version)::int::bigint AS current "
    };
}

/// The newest versions of every dataset, by its index one after another.
const VERSIONS: &str = concat!(
    "SELECT ",
    columns!(),
    "FROM martello.pointer p CROSS JOIN LATERAL (SELECT * FROM martello.version WHERE dataset = p.dataset \
     ORDER BY number DESC LIMIT $1) v"
);

pub(super) fn pool(url: &str) -> Result<PgPool, Error> {
    let options = PgConnectOptions::from_str(url).map_err(Error::Url)?;
    let options = options.application_name("martello control").disable_statement_logging();
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS_MAX).acquire_timeout(ACQUIRE_TIMEOUT);
    Ok(pool.connect_lazy_with(options))
}

pub(super) async fn epoch(pool: &PgPool) -> Result<Epoch, Error> {
    let found = sqlx::query("SELECT store::text, counter FROM martello.change").fetch_optional(pool).await;
    let Some(found) = found.map_err(failed("look into"))? else { return Ok(None) };
    let store: String = found.try_get(0).map_err(failed("read"))?;
    let counter = found.try_get(1).map_err(failed("read"))?;
    let store = Uuid::parse_str(&store).map_err(|_| Error::Row { column: "store", found: store.clone() })?;
    Ok(Some((store, counter)))
}

pub(super) async fn versions(pool: &PgPool) -> Result<Versions, Error> {
    let rows = sqlx::query(VERSIONS).bind(i64::from(HISTORY_MAX)).fetch_all(pool).await;
    row::versions(&rows.map_err(failed("look into"))?)
}

/// A connection of its own, so that those who wait take none from those who look. The lock ends with the transaction,
/// and that with the connection.
pub(super) async fn begin(pool: &PgPool, dataset: &Name) -> Result<Change, Error> {
    let options = pool.connect_options().as_ref().clone().application_name("martello publish").options([
        // While the checks of a publish run, its transaction has nothing to do but to hold the lock.
        ("idle_in_transaction_session_timeout", "0".to_owned()),
        ("lock_timeout", milliseconds(TURN_TIMEOUT)),
    ]);
    let mut connection = PgConnection::connect_with(&options).await.map_err(failed("reach"))?;
    connection.execute("BEGIN").await.map_err(failed("reach"))?;
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('martello publish ' || $1, 0))")
        .bind(dataset.as_str())
        .execute(&mut connection)
        .await
        .map_err(|error| match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
            // lock_not_available.
            Some("55P03") => Error::Busy(dataset.to_string()),
            _ => failed("lock")(error),
        })?;
    let rows = sqlx::query(VERSIONS).bind(i64::from(HISTORY_MAX)).fetch_all(&mut connection).await;
    let versions = row::versions(&rows.map_err(failed("look into"))?)?;
    Ok(Change { dataset: dataset.clone(), connection: Connection::Postgres(Box::new(connection)), versions })
}

fn milliseconds(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

pub(super) async fn publish(connection: &mut PgConnection, version: &Version) -> Result<(), Error> {
    const INSERT: &str = "INSERT INTO martello.version (id, dataset, number, relation, published_at, data_through, rows, \
        statistics, checks, contract, operator, rollback_of) VALUES ($1::text::uuid, $2, $3, $4, \
        timestamptz 'epoch' + $5 * interval '1 microsecond', $6::text::date, $7, $8::text::jsonb, $9::text::jsonb, \
        $10, $11, $12)";
    let moved = async {
        sqlx::query(
            "UPDATE martello.version v SET retired_at = timestamptz 'epoch' + $2 * interval '1 microsecond' \
             FROM martello.pointer p WHERE p.dataset = $1 AND v.id = p.version",
        )
        .bind(version.dataset.as_str())
        .bind(version.published_at.as_microsecond())
        .execute(&mut *connection)
        .await?;
        sqlx::query(INSERT)
            .bind(version.id.to_string())
            .bind(version.dataset.as_str())
            .bind(signed(version.number))
            .bind(version.relation.to_string())
            .bind(version.published_at.as_microsecond())
            .bind(version.data_through.map(|day| day.to_string()))
            .bind(signed(version.rows))
            .bind(&version.statistics)
            .bind(&version.checks)
            .bind(&version.contract)
            .bind(&version.operator)
            .bind(version.rollback_of.map(signed))
            .execute(&mut *connection)
            .await?;
        sqlx::query(
            "INSERT INTO martello.pointer (dataset, version) VALUES ($1, $2::text::uuid) \
             ON CONFLICT (dataset) DO UPDATE SET version = excluded.version",
        )
        .bind(version.dataset.as_str())
        .bind(version.id.to_string())
        .execute(&mut *connection)
        .await?;
        announce(connection).await
    };
    moved.await.map_err(failed("publish in"))
}

pub(super) async fn give_up(
    connection: &mut PgConnection,
    versions: &[VersionId],
    now: Timestamp,
) -> Result<(), Error> {
    let ids: Vec<String> = versions.iter().map(ToString::to_string).collect();
    let given_up = async {
        sqlx::query(
            "UPDATE martello.version SET dropped_at = timestamptz 'epoch' + $2 * interval '1 microsecond' \
             WHERE id::text = ANY($1)",
        )
        .bind(&ids)
        .bind(now.as_microsecond())
        .execute(&mut *connection)
        .await?;
        announce(connection).await
    };
    given_up.await.map_err(failed("change"))
}

/// Counts the change and says that there was one. Who does not hear it counts with the next poll.
pub(super) async fn announce(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Last of all: changes of other datasets wait here for this one to commit.
    connection
        .execute(
            "INSERT INTO martello.change AS c (singleton) VALUES (true) \
             ON CONFLICT (singleton) DO UPDATE SET counter = c.counter + 1",
        )
        .await?;
    sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(&mut *connection).await?;
    connection.execute("COMMIT").await.map(drop)
}

/// Postgres has no unsigned numbers; nothing is counted so far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
