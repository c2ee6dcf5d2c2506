//! Events of the audit in the control store: put there, looked for, and forgotten past their days. What an event says is
//! not this room's affair: it is an object with `time`, `kind`, `dataset`, `role` and `subject`.

use std::time::Duration;

use jiff::Timestamp;
use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{ColumnIndex, Decode, Executor as _, Row, Type};
use uuid::Uuid;

use super::{Error, Kind, Store, failed, sqlite};

/// How long the store may take for a batch, or for one look.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to forget.
const PRUNE_TIMEOUT: Duration = Duration::from_secs(60);

/// Which events are looked for.
#[derive(Clone, Debug, Default)]
pub struct Sought {
    /// At that instant or later.
    pub since: Option<Timestamp>,
    /// Before that one, in the order in which they are told.
    pub before: Option<(Timestamp, Uuid)>,
    /// Of that dataset.
    pub dataset: Option<String>,
    /// Of that role.
    pub role: Option<String>,
    /// Of that subject.
    pub subject: Option<String>,
    /// So many at most, the newest first.
    pub limit: u32,
}

/// An event that was found.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its own name.
    pub id: Uuid,
    /// Its JSON.
    pub event: String,
}

/// As the events themselves have it: three digits behind the second, so that texts are in the order of time.
fn text(time: Timestamp) -> String {
    format!("{time:.3}")
}

async fn timely<T>(timeout: Duration, asked: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(timeout, asked).await.map_err(|_| Error::Timeout)?
}

impl Store {
    /// Makes sure that events can be put here.
    ///
    /// # Errors
    /// When the store does not answer, or has no table for them.
    pub async fn prepare_audit(&self) -> Result<(), Error> {
        timely(TIMEOUT, async {
            match &self.0 {
                Kind::Postgres(pool) => {
                    pool.execute("SELECT 1 FROM martello.audit LIMIT 1").await.map(drop).map_err(failed("look into"))
                }
                Kind::Sqlite(pool) => sqlite::init(pool).await,
            }
        })
        .await
    }

    /// Puts events there: a JSON array of objects, each with an `id` besides. One that is there already is not put again.
    ///
    /// # Errors
    /// When the store does not answer in time; then all of them are there or none is.
    pub async fn append_audit(&self, events: &str) -> Result<(), Error> {
        timely(TIMEOUT, async {
            match &self.0 {
                Kind::Postgres(pool) => append_to_postgres(pool, events).await,
                Kind::Sqlite(pool) => append_to_sqlite(pool, events).await,
            }
        })
        .await
    }

    /// Looks for events.
    ///
    /// # Errors
    /// When the store does not answer in time.
    pub async fn audited(&self, sought: &Sought) -> Result<Vec<Recorded>, Error> {
        timely(TIMEOUT, async {
            match &self.0 {
                Kind::Postgres(pool) => find_in_postgres(pool, sought).await,
                Kind::Sqlite(pool) => {
                    sqlite::init(pool).await?;
                    find_in_sqlite(pool, sought).await
                }
            }
        })
        .await
    }

    /// Forgets events before that instant; tells how many.
    ///
    /// # Errors
    /// When the store does not answer in time.
    pub async fn prune_audit(&self, before: Timestamp) -> Result<u64, Error> {
        let before = text(before);
        timely(PRUNE_TIMEOUT, async {
            let gone = match &self.0 {
                Kind::Postgres(pool) => sqlx::query("DELETE FROM martello.audit WHERE time < $1::text::timestamptz")
                    .bind(before)
                    .execute(pool)
                    .await
                    .map(|done| done.rows_affected()),
                Kind::Sqlite(pool) => sqlx::query("DELETE FROM martello_audit WHERE time < ?1")
                    .bind(before)
                    .execute(pool)
                    .await
                    .map(|done| done.rows_affected()),
            };
            gone.map_err(failed("forget events in"))
        })
        .await
    }
}

async fn append_to_postgres(pool: &PgPool, events: &str) -> Result<(), Error> {
    const INSERT: &str = "INSERT INTO martello.audit (id, time, kind, dataset, role, subject, event) \
        SELECT (e->>'id')::uuid, (e->>'time')::timestamptz, e->>'kind', e->>'dataset', e->>'role', e->>'subject', e - 'id' \
        FROM jsonb_array_elements($1::text::jsonb) e ON CONFLICT (id) DO NOTHING";
    sqlx::query(INSERT).bind(events).execute(pool).await.map(drop).map_err(failed("put events into"))
}

async fn append_to_sqlite(pool: &SqlitePool, events: &str) -> Result<(), Error> {
    const INSERT: &str = "INSERT OR IGNORE INTO martello_audit (id, time, kind, dataset, role, subject, event) \
        SELECT value->>'id', value->>'time', value->>'kind', value->>'dataset', value->>'role', value->>'subject', \
        json_remove(value, '$.id') FROM json_each(?1)";
    let put = || sqlx::query(INSERT).bind(events).execute(pool);
    let done = match put().await {
        // Another file has taken its place.
        Err(error) if sqlite::is_without_tables(&error) => {
            sqlite::init(pool).await?;
            put().await
        }
        done => done,
    };
    done.map(drop).map_err(failed("put events into"))
}

async fn find_in_postgres(pool: &PgPool, sought: &Sought) -> Result<Vec<Recorded>, Error> {
    const SELECT: &str = "SELECT id::text AS id, event::text AS event FROM martello.audit \
        WHERE ($1::text IS NULL OR time >= $1::timestamptz) \
        AND ($2::text IS NULL OR (time, id) < ($2::timestamptz, $3::text::uuid)) \
        AND ($4::text IS NULL OR dataset = $4) AND ($5::text IS NULL OR role = $5) \
        AND ($6::text IS NULL OR subject = $6) ORDER BY time DESC, id DESC LIMIT $7";
    let rows = sqlx::query(SELECT)
        .bind(sought.since.map(text))
        .bind(sought.before.map(|(time, _)| text(time)))
        .bind(sought.before.map(|(_, id)| id.to_string()))
        .bind(sought.dataset.as_deref())
        .bind(sought.role.as_deref())
        .bind(sought.subject.as_deref())
        .bind(i64::from(sought.limit))
        .fetch_all(pool)
        .await;
    rows.map_err(failed("look into"))?.iter().map(recorded).collect()
}

async fn find_in_sqlite(pool: &SqlitePool, sought: &Sought) -> Result<Vec<Recorded>, Error> {
    const SELECT: &str = "SELECT id, event FROM martello_audit WHERE (?1 IS NULL OR time >= ?1) \
        AND (?2 IS NULL OR (time, id) < (?2, ?3)) AND (?4 IS NULL OR dataset = ?4) AND (?5 IS NULL OR role = ?5) \
        AND (?6 IS NULL OR subject = ?6) ORDER BY time DESC, id DESC LIMIT ?7";
    let rows = sqlx::query(SELECT)
        .bind(sought.since.map(text))
        .bind(sought.before.map(|(time, _)| text(time)))
        .bind(sought.before.map(|(_, id)| id.to_string()))
        .bind(sought.dataset.as_deref())
        .bind(sought.role.as_deref())
        .bind(sought.subject.as_deref())
        .bind(i64::from(sought.limit))
        .fetch_all(pool)
        .await;
    rows.map_err(failed("look into"))?.iter().map(recorded).collect()
}

fn recorded<R>(row: &R) -> Result<Recorded, Error>
where
    R: Row,
    &'static str: ColumnIndex<R>,
    for<'r> String: Decode<'r, R::Database> + Type<R::Database>,
{
    let text = |column: &'static str| row.try_get::<String, _>(column).map_err(failed("read"));
    let (id, event) = (text("id")?, text("event")?);
    let id = Uuid::parse_str(&id).map_err(|_| Error::Row { column: "id", found: id })?;
    Ok(Recorded { id, event })
}
