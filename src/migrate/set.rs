//! Says what a database has, without doing anything to it: for what was done to it by hand.

use std::time::Duration;

use sqlx::Connection as _;
use tokio::sync::watch;

use super::error::{Error, failed};
use super::folder::{File, Folder};
use super::ledger::{Kind, Revision};
use super::pending::unknown;
use super::report::{Changed, Changes};
use super::session::Session;
use super::target::Target;

/// Makes the ledger say that everything up to a version is applied, and nothing behind it. Without a version it is the
/// folder's newest, which needs a ledger that has rows.
///
/// # Errors
/// When no file has that version, or the ledger cannot be written.
pub async fn set(
    folder: &Folder,
    target: &Target,
    revisions_schema: Option<&str>,
    version: Option<&str>,
    timeout: Duration,
    stop: &mut watch::Receiver<bool>,
) -> Result<Changes, Error> {
    let files = folder.files();
    if let Some(version) = version.filter(|version| !files.iter().any(|file| file.version() == *version)) {
        return Err(unknown(version, files));
    }
    let mut session = Session::open(target, revisions_schema).await?;
    session.lock(timeout, stop).await?;
    let rows = session.rows().await?;
    if version.is_none() && rows.is_empty() {
        // Whoever means the newest of all says so: an empty ledger may be that of another database than was meant.
        return Err(unknown("(none was given)", files));
    }
    session.ledger.make(&mut session.connection).await?;
    let version = version.or_else(|| files.last().map(File::version)).unwrap_or_default();
    let mut changes = Changes::default();
    let ledger = session.ledger.clone();
    let mut transaction = session.connection.begin().await.map_err(failed("write the ledger"))?;
    let mut newest = None;
    for mut row in rows {
        if row.version.as_str() > version {
            ledger.delete(&mut transaction, &row.version).await?;
            changes.revisions.push(Changed { revision: row, op: "remove" });
            continue;
        }
        if row.version == version && (!row.error.is_empty() || row.applied != row.total) {
            row.kind = Kind::APPLIED_AND_SET;
            ledger.write(&mut transaction, &row).await?;
            changes.revisions.push(Changed { revision: row.clone(), op: "set" });
        }
        newest = Some(row);
    }
    let known = newest.as_ref().map_or(String::new(), |row| row.version.clone());
    for file in files.iter().filter(|file| file.version() > known.as_str() && file.version() <= version) {
        let hash = file.hash.as_ref().ok_or_else(|| Error::Unsummed { file: file.name.clone() })?;
        let row = Revision::new(file.version(), file.description(), Kind::SET, hash);
        ledger.write(&mut transaction, &row).await?;
        changes.revisions.push(Changed { revision: row.clone(), op: "set" });
        newest = Some(row);
    }
    transaction.commit().await.map_err(failed("write the ledger"))?;
    session.close().await;
    changes.revisions.sort_by(|one, other| one.revision.version.cmp(&other.revision.version));
    changes.latest = newest;
    Ok(changes)
}
