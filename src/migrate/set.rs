//! Says what a database has, without doing anything to it: for what was done to it by hand.

use std::time::Duration;

use tokio::sync::watch;

use super::database::Database;
use super::error::Error;
use super::folder::{File, Folder};
use super::ledger::{Kind, Revision};
use super::pending::unknown;
use super::report::{Changed, Changes};
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
    let mut database = Database::open(target, revisions_schema).await?;
    let set = within(&mut database, files, version, timeout, stop).await;
    database.close(set.is_ok()).await;
    set
}

async fn within(
    database: &mut Database,
    files: &[File],
    version: Option<&str>,
    timeout: Duration,
    stop: &mut watch::Receiver<bool>,
) -> Result<Changes, Error> {
    database.lock(timeout, stop).await?;
    let rows = database.rows().await?;
    if version.is_none() && rows.is_empty() {
        // Whoever means the newest of all says so: an empty ledger may be that of another database than was meant.
        return Err(unknown("(none was given)", files));
    }
    database.make().await?;
    let version = version.or_else(|| files.last().map(File::version)).unwrap_or_default();
    let mut changes = Changes::default();
    database.begin().await?;
    let mut newest = None;
    for mut row in rows {
        if row.version.as_str() > version {
            database.delete(&row.version).await?;
            changes.revisions.push(Changed { revision: row, op: "remove" });
            continue;
        }
        if row.version == version && (!row.error.is_empty() || row.applied != row.total) {
            row.kind = Kind::APPLIED_AND_SET;
            database.write(&row).await?;
            changes.revisions.push(Changed { revision: row.clone(), op: "set" });
        }
        newest = Some(row);
    }
    let known = newest.as_ref().map_or(String::new(), |row| row.version.clone());
    for file in files.iter().filter(|file| file.version() > known.as_str() && file.version() <= version) {
        let hash = file.hash.as_ref().ok_or_else(|| Error::Unsummed { file: file.name.clone() })?;
        let row = Revision::new(file.version(), file.description(), Kind::SET, hash);
        database.write(&row).await?;
        changes.revisions.push(Changed { revision: row.clone(), op: "set" });
        newest = Some(row);
    }
    database.commit().await.map_err(|why| Error::Database { what: "write the ledger", why })?;
    changes.revisions.sort_by(|one, other| one.revision.version.cmp(&other.revision.version));
    changes.latest = newest;
    Ok(changes)
}
