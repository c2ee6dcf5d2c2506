//! Exports that callers have asked for, as the store has them. Any instance leases one, and says so again and again; what
//! nobody has spoken of for a while is begun anew by another, whose attempt has the next number.

use jiff::Timestamp;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{Error, Kind, Store, failed, sqlite};

/// Exports of one caller that are told of, the newest.
const LISTED_MAX: i64 = 100;
/// Exports that are swept at once.
const SWEPT_MAX: i64 = 32;

/// An export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// What names it.
    pub id: Uuid,
    /// Who has asked.
    pub subject: String,
    /// As what.
    pub role: String,
    /// For which dataset.
    pub dataset: String,
    /// The question, and all that its plan is made of, as JSON.
    pub asked: String,
    /// What has become of it.
    pub state: JobState,
    /// How often it was begun.
    pub attempt: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was last begun.
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    pub finished_at: Option<Timestamp>,
    /// Until when its files are kept.
    pub kept_until: Option<Timestamp>,
    /// How far it is.
    pub reach: Reach,
    /// The name of its manifest once it is done; why there is none where it has failed.
    pub outcome: Option<String>,
}

/// How far an export is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reach {
    /// Rows that were written.
    pub rows: u64,
    /// Bytes of files.
    pub bytes: u64,
    /// Files.
    pub parts: u64,
}

/// What has become of an export.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobState {
    /// It waits for its turn.
    Queued,
    /// An instance makes it.
    Running,
    /// Its files are there.
    Done,
    /// It has no files, and will have none.
    Failed,
    /// Its files are there no more.
    Expired,
}

impl JobState {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Done, Self::Failed, Self::Expired];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// What has become of asking for an export.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Added {
    /// There is one more.
    New(Job),
    /// The same was asked for already.
    Known(Job),
    /// The caller has as many pending as there may be.
    Crowded,
}

/// An export as a row of either database: texts and whole numbers.
type Row = (
    String,
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
    i64,
    i64,
    Option<String>,
);

/// Both databases speak of jobs alike, but for names and instants: `@3` is an instant that is the third parameter.
fn of_postgres(template: &str) -> String {
    let mut text = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(at) = rest.find('@') {
        let digits = rest[at + 1..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, behind) = rest[at + 1..].split_at(digits);
        text += &rest[..at];
        text += &format!("(timestamptz 'epoch' + ${number} * interval '1 microsecond')");
        rest = behind;
    }
    text += rest;
    let columns = [
        "id, subject, role, dataset, asked, state, attempt",
        "(extract(epoch FROM created_at) * 1000000)::bigint",
        "(extract(epoch FROM started_at) * 1000000)::bigint",
        "(extract(epoch FROM finished_at) * 1000000)::bigint",
        "(extract(epoch FROM kept_until) * 1000000)::bigint",
        "rows, bytes, parts, outcome",
    ];
    text.replace("{job}", "martello.job")
        .replace("{columns}", &columns.join(", "))
        .replace("{locked}", "FOR UPDATE SKIP LOCKED")
        .replace("{sum}", "coalesce(sum(bytes), 0)::bigint")
}

fn of_sqlite(template: &str) -> String {
    const COLUMNS: &str = "id, subject, role, dataset, asked, state, attempt, created_at, started_at, finished_at, kept_until, \
        rows, bytes, parts, outcome";
    // It has one writer: whoever updates is alone.
    template
        .replace('@', "$")
        .replace("{job}", "martello_job")
        .replace("{columns}", COLUMNS)
        .replace("{locked}", "")
        .replace("{sum}", "coalesce(sum(bytes), 0)")
}

/// Asks either database, by a template that stands in this file.
macro_rules! asked {
    ($store:expr, $doing:literal, $kind:ident, $template:expr, [$($bind:expr),* $(,)?], $method:ident) => {
        match &$store.0 {
            Kind::Postgres(pool) => {
                sqlx::$kind(AssertSqlSafe(of_postgres($template)))$(.bind($bind))*.$method(pool).await.map_err(failed($doing))
            }
            Kind::Sqlite(pool) => {
                let text = of_sqlite($template);
                let found = sqlx::$kind(AssertSqlSafe(text.clone()))$(.bind($bind))*.$method(pool).await;
                match found {
                    // A file of the time when there were no jobs.
                    Err(error) if sqlite::is_without_tables(&error) => {
                        sqlite::init(pool).await?;
                        sqlx::$kind(AssertSqlSafe(text))$(.bind($bind))*.$method(pool).await
                    }
                    found => found,
                }
                .map_err(failed($doing))
            }
        }
    };
}

/// Likewise, for how many rows have changed.
macro_rules! changed {
    ($store:expr, $doing:literal, $template:expr, [$($bind:expr),* $(,)?]) => {
        match &$store.0 {
            Kind::Postgres(pool) => sqlx::query(AssertSqlSafe(of_postgres($template)))$(.bind($bind))*
                .execute(pool).await.map(|done| done.rows_affected()).map_err(failed($doing)),
            Kind::Sqlite(pool) => {
                sqlite::init(pool).await?;
                sqlx::query(AssertSqlSafe(of_sqlite($template)))$(.bind($bind))*
                    .execute(pool).await.map(|done| done.rows_affected()).map_err(failed($doing))
            }
        }
    };
}

impl Store {
    /// Keeps an export that is asked for, unless the same was, or its caller has as many pending as that.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn add_job(&self, job: &Job, same: &str, pending_max: u32) -> Result<Added, Error> {
        const INSERT: &str = "INSERT INTO {job} (id, subject, role, dataset, same, asked, state, created_at) \
            SELECT $1, $2, $3, $4, $5, $6, 'queued', @7 \
            WHERE (SELECT count(*) FROM {job} WHERE subject = $2 AND state IN ('queued', 'running')) < $8 \
            ON CONFLICT DO NOTHING";
        const SAME: &str = "SELECT {columns} FROM {job} WHERE same = $1 AND state IN ('queued', 'running', 'done')";
        let known = async || -> Result<Option<Job>, Error> {
            let row: Option<Row> = asked!(self, "look into", query_as, SAME, [same], fetch_optional)?;
            row.map(read).transpose()
        };
        if let Some(known) = known().await? {
            return Ok(Added::Known(known));
        }
        let added = changed!(
            self,
            "keep an export in",
            INSERT,
            [
                job.id.to_string(),
                &job.subject,
                &job.role,
                &job.dataset,
                same,
                &job.asked,
                job.created_at.as_microsecond(),
                i64::from(pending_max),
            ]
        )?;
        if added > 0 {
            return Ok(Added::New(job.clone()));
        }
        // Somebody was faster, or there are too many.
        Ok(known().await?.map_or(Added::Crowded, Added::Known))
    }

    /// The export of that id.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn job(&self, id: Uuid) -> Result<Option<Job>, Error> {
        const ONE: &str = "SELECT {columns} FROM {job} WHERE id = $1";
        let row: Option<Row> = asked!(self, "look into", query_as, ONE, [id.to_string()], fetch_optional)?;
        row.map(read).transpose()
    }

    /// The exports of a caller, the newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn jobs_of(&self, subject: &str) -> Result<Vec<Job>, Error> {
        const OWN: &str = "SELECT {columns} FROM {job} WHERE subject = $1 ORDER BY created_at DESC, id DESC LIMIT $2";
        let rows: Vec<Row> = asked!(self, "look into", query_as, OWN, [subject, LISTED_MAX], fetch_all)?;
        rows.into_iter().map(read).collect()
    }

    /// Bytes that were written for a caller since that instant.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn bytes_exported(&self, subject: &str, since: Timestamp) -> Result<u64, Error> {
        const SUM: &str = "SELECT {sum} FROM {job} WHERE subject = $1 AND created_at >= @2";
        let (bytes,): (i64,) = asked!(self, "look into", query_as, SUM, [subject, since.as_microsecond()], fetch_one)?;
        Ok(u64::try_from(bytes).unwrap_or_default())
    }

    /// Leases the export that has waited longest, or that was given up by who had it; it is begun anew.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn lease_job(&self, now: Timestamp, until: Timestamp) -> Result<Option<Job>, Error> {
        const LEASE: &str = "UPDATE {job} SET state = 'running', attempt = attempt + 1, started_at = @1, lease_until = @2, \
            rows = 0, bytes = 0, parts = 0 WHERE id = (SELECT id FROM {job} \
            WHERE state = 'queued' OR (state = 'running' AND lease_until < @1) ORDER BY created_at, id LIMIT 1 {locked}) \
            RETURNING {columns}";
        let row: Option<Row> = asked!(
            self,
            "lease an export of",
            query_as,
            LEASE,
            [now.as_microsecond(), until.as_microsecond()],
            fetch_optional
        )?;
        row.map(read).transpose()
    }

    /// Says how far a leased export is, and holds it for longer; returns whether it is still one's own.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn hold_job(&self, job: &Job, reach: Reach, until: Timestamp) -> Result<bool, Error> {
        const HOLD: &str = "UPDATE {job} SET lease_until = @3, rows = $4, bytes = $5, parts = $6 \
            WHERE id = $1 AND attempt = $2 AND state = 'running'";
        let held = changed!(
            self,
            "hold an export of",
            HOLD,
            [
                job.id.to_string(),
                i64::from(job.attempt),
                until.as_microsecond(),
                signed(reach.rows),
                signed(reach.bytes),
                signed(reach.parts),
            ]
        )?;
        Ok(held > 0)
    }

    /// Gives a leased export back, to be begun anew by whoever is first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn return_job(&self, job: &Job) -> Result<(), Error> {
        const RETURN: &str = "UPDATE {job} SET state = 'queued', lease_until = NULL \
            WHERE id = $1 AND attempt = $2 AND state = 'running'";
        changed!(self, "return an export to", RETURN, [job.id.to_string(), i64::from(job.attempt)]).map(drop)
    }

    /// Ends a leased export: with files and the name of their manifest, or without, and why. Returns whether it was still
    /// one's own.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn finish_job(
        &self,
        job: &Job,
        ended: Result<&str, &str>,
        reach: Reach,
        now: Timestamp,
        kept_until: Timestamp,
    ) -> Result<bool, Error> {
        const FINISH: &str = "UPDATE {job} SET state = $3, outcome = $4, rows = $5, bytes = $6, parts = $7, \
            finished_at = @8, kept_until = @9, lease_until = NULL WHERE id = $1 AND attempt = $2 AND state = 'running'";
        let (state, outcome) = match ended {
            Ok(manifest) => (JobState::Done, manifest),
            Err(why) => (JobState::Failed, why),
        };
        let finished = changed!(
            self,
            "end an export of",
            FINISH,
            [
                job.id.to_string(),
                i64::from(job.attempt),
                state.as_str(),
                outcome,
                signed(reach.rows),
                signed(reach.bytes),
                signed(reach.parts),
                now.as_microsecond(),
                kept_until.as_microsecond(),
            ]
        )?;
        Ok(finished > 0)
    }

    /// Ends an export that its caller does not want any more; what is left of it may be deleted from that instant on.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn cancel_job(&self, id: Uuid, now: Timestamp, kept_until: Timestamp) -> Result<(), Error> {
        const CANCEL: &str = "UPDATE {job} SET outcome = CASE state WHEN 'done' THEN outcome ELSE 'cancelled' END, \
            state = CASE state WHEN 'done' THEN 'expired' ELSE 'failed' END, finished_at = coalesce(finished_at, @2), \
            kept_until = @3, lease_until = NULL WHERE id = $1 AND state IN ('queued', 'running', 'done')";
        let binds = (id.to_string(), now.as_microsecond(), kept_until.as_microsecond());
        changed!(self, "cancel an export of", CANCEL, [&binds.0, binds.1, binds.2]).map(drop)
    }

    /// Exports whose files are to be deleted: those that are past their time are expired from now on.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn jobs_to_sweep(&self, now: Timestamp) -> Result<Vec<Job>, Error> {
        const EXPIRE: &str = "UPDATE {job} SET state = 'expired' WHERE state = 'done' AND kept_until <= @1";
        const PAST: &str = "SELECT {columns} FROM {job} WHERE state IN ('expired', 'failed') AND kept_until <= @1 \
            ORDER BY created_at, id LIMIT $2";
        changed!(self, "expire exports of", EXPIRE, [now.as_microsecond()])?;
        let rows: Vec<Row> = asked!(self, "look into", query_as, PAST, [now.as_microsecond(), SWEPT_MAX], fetch_all)?;
        rows.into_iter().map(read).collect()
    }

    /// The files of an export are deleted.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn swept_job(&self, id: Uuid) -> Result<(), Error> {
        const SWEPT: &str = "UPDATE {job} SET kept_until = NULL WHERE id = $1 AND state IN ('expired', 'failed')";
        changed!(self, "expire exports of", SWEPT, [id.to_string()]).map(drop)
    }

    /// Forgets exports that have had no files since that instant.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn forget_jobs(&self, before: Timestamp) -> Result<u64, Error> {
        const FORGET: &str =
            "DELETE FROM {job} WHERE state IN ('expired', 'failed') AND kept_until IS NULL AND finished_at < @1";
        changed!(self, "forget exports of", FORGET, [before.as_microsecond()])
    }
}

fn read(row: Row) -> Result<Job, Error> {
    let (
        id,
        subject,
        role,
        dataset,
        asked,
        state,
        attempt,
        created,
        started,
        finished,
        kept,
        rows,
        bytes,
        parts,
        outcome,
    ) = row;
    let instant = |column, micros: i64| {
        Timestamp::from_microsecond(micros).map_err(|_| Error::Row { column, found: micros.to_string() })
    };
    let instants = |column, micros: Option<i64>| micros.map(|micros| instant(column, micros)).transpose();
    let whole =
        |column, number: i64| u64::try_from(number).map_err(|_| Error::Row { column, found: number.to_string() });
    Ok(Job {
        id: Uuid::parse_str(&id).map_err(|_| Error::Row { column: "id", found: id.clone() })?,
        subject,
        role,
        dataset,
        asked,
        state: (JobState::ALL.into_iter().find(|one| one.as_str() == state))
            .ok_or_else(|| Error::Row { column: "state", found: state.clone() })?,
        attempt: u32::try_from(attempt).map_err(|_| Error::Row { column: "attempt", found: attempt.to_string() })?,
        created_at: instant("created_at", created)?,
        started_at: instants("started_at", started)?,
        finished_at: instants("finished_at", finished)?,
        kept_until: instants("kept_until", kept)?,
        reach: Reach { rows: whole("rows", rows)?, bytes: whole("bytes", bytes)?, parts: whole("parts", parts)? },
        outcome,
    })
}

/// Neither database has unsigned numbers; nothing is counted so far.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
