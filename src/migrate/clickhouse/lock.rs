//! One apply at a time, on a database without locks: a table of that name can be made once. Who made it holds the lock, and
//! beats in it as a heart does; it goes when the apply ends.
//!
//! An apply that was killed leaves it behind. Once it has not beaten for long, and no statement of it runs any more, another
//! may take over. It renames the table to a name that has its holder in it, which only one can do, and only once: whoever
//! comes too late finds that name taken, and the new lock where it was. A holder that was only asleep sees before its next
//! statement that the lock is another's, and stops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::super::error::Error;
use super::super::folder::Transactions;
use super::super::session::stopped;
use super::super::target::Target;
use super::connection::{Connection, Failure, literal, quoted};
use crate::clock;

/// The table. One that was taken over has `_` and its holder behind its name.
pub(super) const TABLE: &str = "martello_migrate_lock";
/// A holder tells so often that it lives.
const BEAT: Duration = Duration::from_secs(2);
/// One that has not told for so long does nothing more by itself.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// One that has not told for so long is taken for dead; it is longer, so that the two never both act.
const EXPIRY: Duration = Duration::from_secs(20);
/// How often the lock is tried.
const PAUSE: Duration = Duration::from_millis(250);
/// A lock that was taken over is kept for so long: until nobody can still be about to take the same one over.
const BURIED_HOURS: u32 = 24;

/// `TABLE_ALREADY_EXISTS`.
const EXISTS: u16 = 57;

/// What a lock says of its holder, in the comment of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Holder {
    holder: String,
    host: String,
    process: u32,
}

/// A lock as it is found.
#[derive(Debug, Deserialize)]
struct Found {
    comment: String,
    /// Since it was made.
    age: f64,
}

impl Found {
    fn holder(&self) -> Option<Holder> {
        serde_json::from_str(&self.comment).ok()
    }
}

/// A lock that is held.
pub(super) struct Lock {
    connection: Connection,
    table: String,
    holder: String,
    beating: JoinHandle<()>,
    /// Whether it has not beaten for too long.
    silent: Arc<AtomicBool>,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.beating.abort();
    }
}

/// What a lock is in the way of: the database in which it is, and whether there are replicas that have to see it.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) connection: Connection,
    pub(super) replicated: bool,
    /// The engine of tables that are only added to.
    pub(super) engine: fn(&Ground, &str) -> String,
}

fn failed(failure: Failure) -> Error {
    Error::Database { what: "take the lock of migrations", why: failure.said }
}

impl Lock {
    /// Takes it within that time.
    pub(super) async fn take(
        ground: &Ground,
        holder: &str,
        timeout: Duration,
        stop: &mut watch::Receiver<bool>,
    ) -> Result<Self, Error> {
        let begun = clock::instant();
        loop {
            if let Some(lock) = Self::tried(ground, holder).await? {
                return Ok(lock);
            }
            let found = found(&ground.connection, TABLE).await.map_err(failed)?;
            if let Some(found) = &found
                && take_over(ground, found).await?
            {
                continue;
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let holder = match found {
                    Some(found) => told(&ground.connection, &found).await,
                    None => "somebody".to_owned(),
                };
                return Err(Error::Locked { waited: timeout, holder });
            }
            if tokio::time::timeout(PAUSE.min(left), stopped(stop)).await.is_ok() {
                let at = "while another apply was waited for".to_owned();
                return Err(Error::Interrupted { at, mode: Transactions::All });
            }
        }
    }

    /// Makes the table, if nobody has.
    async fn tried(ground: &Ground, holder: &str) -> Result<Option<Self>, Error> {
        let connection = &ground.connection;
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let facts = Holder { holder: holder.to_owned(), host, process: std::process::id() };
        let facts = serde_json::to_string(&facts).unwrap_or_default();
        // A path of its own for each holder: the data of the one before may still be there.
        let engine = (ground.engine)(ground, &format!("{TABLE}_{holder}"));
        let table = quoted(TABLE);
        let create = format!(
            "CREATE TABLE {table}{} (holder String, at DateTime64(3, 'UTC')) ENGINE = {engine} ORDER BY (holder, at) \
             COMMENT {}",
            connection.on_cluster(),
            literal(&facts)
        );
        match connection.execute(&create).await {
            Ok(()) => {}
            Err(failure) if failure.code == Some(EXISTS) || failure.said.contains("TABLE_ALREADY_EXISTS") => {
                return Ok(None);
            }
            Err(failure) => return Err(failed(failure)),
        }
        let silent = Arc::new(AtomicBool::new(false));
        let beating = tokio::spawn(beat(connection.clone(), holder.to_owned(), Arc::clone(&silent)));
        Ok(Some(Self { connection: connection.clone(), table, holder: holder.to_owned(), beating, silent }))
    }

    /// Whether it is held still.
    pub(super) async fn is_held(&self) -> Result<(), Error> {
        let found = found(&self.connection, TABLE).await.map_err(failed)?;
        let holder = found.as_ref().and_then(Found::holder);
        if holder.as_ref().is_some_and(|it| it.holder == self.holder) && !self.silent.load(Ordering::Relaxed) {
            return Ok(());
        }
        let holder = match holder {
            Some(holder) if holder.holder == self.holder => {
                "nobody could be told that it lives, so by now another".to_owned()
            }
            Some(holder) => holder.holder,
            None => "nobody".to_owned(),
        };
        Err(Error::LockLost { holder })
    }

    /// Lets it go.
    pub(super) async fn release(self) {
        self.beating.abort();
        if self.is_held().await.is_ok() {
            let drop = format!("DROP TABLE IF EXISTS {}{}", self.table, self.connection.on_cluster());
            // One that stays is taken over in time.
            if let Err(failure) = self.connection.execute(&drop).await {
                tracing::debug!(%failure, "a lock is left behind");
            }
        }
    }
}

/// Tells again and again that the holder lives.
async fn beat(connection: Connection, holder: String, silent: Arc<AtomicBool>) {
    let insert = format!("INSERT INTO {} SELECT {}, now64(3, 'UTC')", quoted(TABLE), literal(&holder));
    let mut last = clock::instant();
    loop {
        if tokio::time::timeout(BEAT, connection.execute(&insert)).await.is_ok_and(|told| told.is_ok()) {
            last = clock::instant();
        } else if last.elapsed() > SILENT_MAX {
            // It does not live again: whoever took over may be at it.
            silent.store(true, Ordering::Relaxed);
        }
        tokio::time::sleep(BEAT).await;
    }
}

/// A lock of that name, if there is one.
async fn found(connection: &Connection, table: &str) -> Result<Option<Found>, Failure> {
    let question = format!(
        "SELECT comment, toFloat64(dateDiff('second', metadata_modification_time, now())) AS age FROM system.tables \
         WHERE database = currentDatabase() AND name = {}",
        literal(table)
    );
    Ok(connection.rows(&question).await?.into_iter().next())
}

/// How long its holder has not been heard of, by the clock of the server.
async fn silence(connection: &Connection, found: &Found, holder: &str) -> f64 {
    let question = format!(
        "SELECT toFloat64(dateDiff('millisecond', max(at), now64(3, 'UTC'))) / 1000 FROM {} WHERE holder = {}",
        quoted(TABLE),
        literal(holder)
    );
    let heard = connection.texts(&question).await.ok().and_then(|it| it.first().and_then(|it| it.parse::<f64>().ok()));
    // Whoever has just made it has not beaten yet.
    heard.map_or(found.age, |heard| heard.min(found.age))
}

/// Whether a statement of a holder runs still: it goes on where its client is gone.
async fn runs(connection: &Connection, holder: &str) -> Result<bool, Failure> {
    let processes = match connection.cluster() {
        Some(cluster) => format!("clusterAllReplicas({}, system.processes)", literal(cluster)),
        None => "system.processes".to_owned(),
    };
    let question = format!(
        "SELECT count() FROM {processes} WHERE position(Settings['log_comment'], {}) > 0",
        literal(&comment(holder))
    );
    // A user sees at least its own.
    Ok(connection.texts(&question).await?.first().is_some_and(|count| count != "0"))
}

/// What the statements of a holder are known by.
pub(super) fn comment(holder: &str) -> String {
    format!("martello migrate {holder}")
}

/// Puts aside a lock whose holder is dead; whether it did.
async fn take_over(ground: &Ground, found: &Found) -> Result<bool, Error> {
    let connection = &ground.connection;
    let Some(holder) = found.holder() else { return Ok(false) };
    let silent = silence(connection, found, &holder.holder).await;
    if silent < EXPIRY.as_secs_f64() || runs(connection, &holder.holder).await.map_err(failed)? {
        return Ok(false);
    }
    bury(connection, &holder.holder).await
}

/// Renames a lock; whether there was one to be renamed, and nobody else was quicker.
async fn bury(connection: &Connection, holder: &str) -> Result<bool, Error> {
    let aside = quoted(&format!("{TABLE}_{holder}"));
    let rename = format!("RENAME TABLE {} TO {aside}{}", quoted(TABLE), connection.on_cluster());
    let buried = connection.execute(&rename).await.is_ok();
    let old = format!(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, '{TABLE}_') \
         AND metadata_modification_time < now() - INTERVAL {BURIED_HOURS} HOUR"
    );
    for name in connection.texts(&old).await.map_err(failed)? {
        let drop = format!("DROP TABLE IF EXISTS {}{}", quoted(&name), connection.on_cluster());
        connection.execute(&drop).await.map_err(failed)?;
    }
    Ok(buried)
}

/// Who holds a lock, and what can be done about it.
async fn told(connection: &Connection, found: &Found) -> String {
    let Some(Holder { holder, host, process }) = found.holder() else {
        return format!("a table {TABLE} that says nothing of its holder");
    };
    let silent = silence(connection, found, &holder).await;
    let seconds = EXPIRY.as_secs();
    format!(
        "{holder} (process {process} of {host}, last heard of {silent:.0} s ago; it is taken for dead after {seconds} s, or \
         once told so: martello migrate unlock {holder})"
    )
}

/// Breaks the lock of a holder that is known to be dead.
///
/// # Errors
/// When the server is not reached, or the lock is not that holder's.
pub async fn unlock(target: &Target, revisions_schema: Option<&str>, holder: &str) -> Result<(), Error> {
    let ground = super::session::ground(target, revisions_schema).await?;
    let found = found(&ground.connection, TABLE).await.map_err(failed)?;
    let held = found.as_ref().and_then(Found::holder).map(|found| found.holder);
    if held.as_deref() == Some(holder) && bury(&ground.connection, holder).await? {
        return Ok(());
    }
    let held = held.map_or_else(|| "nobody holds it".to_owned(), |held| format!("{held} holds it"));
    Err(Error::NotHeld { asked: holder.to_owned(), held })
}
