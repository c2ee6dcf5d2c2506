//! The tables of the control store, by the same engine as everybody's: the program carries `migrations/control` along.

use std::path::Path;
use std::time::Duration;

use tokio::sync::watch;

use super::apply::{Options, apply};
use super::error::{Error, failed};
use super::folder::Folder;
use super::ledger::{Ledger, TABLE};
use super::session::Session;
use super::target::Target;

/// The schema of its tables.
pub const SCHEMA: &str = "martello";
/// The schema of its ledger, so that it shares a database with marts without sharing their ledger.
pub const LEDGER: &str = "martello_revisions";

/// How long others who make the same tables are waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);

/// The files of `migrations/control`, each with a table that it makes.
const FILES: [(&str, &str, &str); 4] = [
    (
        "20261125120000_versions.sql",
        "martello.version",
        include_str!("../../migrations/control/20261125120000_versions.sql"),
    ),
    ("20261126120000_audit.sql", "martello.audit", include_str!("../../migrations/control/20261126120000_audit.sql")),
    (
        "20261126210000_api_keys.sql",
        "martello.api_key",
        include_str!("../../migrations/control/20261126210000_api_keys.sql"),
    ),
    ("20261127010000_jobs.sql", "martello.job", include_str!("../../migrations/control/20261127010000_jobs.sql")),
];

fn folder() -> Folder {
    let texts = FILES.map(|(name, _, text)| (name.to_owned(), text.to_owned()));
    Folder::of(Path::new("migrations/control"), texts.into())
}

/// Makes what the control store at that URL does not have yet; returns the names of what was applied. Tables that are there
/// without a ledger were made before there was one, and are taken as they are.
///
/// # Errors
/// When the store cannot be reached, or its tables cannot be made.
pub async fn init(url: &str, stop: &mut watch::Receiver<bool>) -> Result<Vec<String>, Error> {
    let (target, folder) = (Target::read(url)?, folder());
    let mut session = Session::open(&target, Some(LEDGER)).await?;
    let known = known(&mut session, &folder).await;
    session.close().await;
    let (schema, baseline) = known?;
    let options = Options {
        revisions_schema: Some(schema),
        baseline,
        allow_dirty: true,
        lock_timeout: LOCK_TIMEOUT,
        ..Options::default()
    };
    let (report, outcome) = apply(&folder, &target, &options, stop, &mut |_| ()).await;
    outcome?;
    Ok(report.pending.into_iter().map(|file| file.name.trim_end_matches(".sql").to_owned()).collect())
}

/// The schema of its ledger, and up to which version its tables are there where the ledger does not say.
async fn known(session: &mut Session, folder: &Folder) -> Result<(String, Option<String>), Error> {
    // Whoever has applied the folder with Atlas, and named no schema, goes on so.
    let atlas = Ledger::of(TABLE);
    if !session.ledger.exists(&mut session.connection).await? && atlas.exists(&mut session.connection).await? {
        let rows = atlas.read(&mut session.connection).await?;
        let first = &folder.files()[0];
        if rows.iter().any(|row| row.version == first.version() && row.description == first.description()) {
            return Ok((TABLE.to_owned(), None));
        }
    }
    if !session.rows().await?.is_empty() {
        return Ok((LEDGER.to_owned(), None));
    }
    let mut baseline = None;
    for ((_, table, _), file) in FILES.iter().zip(folder.files()) {
        let found = sqlx::query_scalar("SELECT pg_catalog.to_regclass($1) IS NOT NULL").persistent(false).bind(table);
        if !found.fetch_one(&mut session.connection).await.map_err(failed("look for tables of the control store"))? {
            break;
        }
        baseline = Some(file.version().to_owned());
    }
    Ok((LEDGER.to_owned(), baseline))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_carried_along_is_the_folder() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/control");
        let written = Folder::read(&path).expect("a folder");
        written.check().expect("its hashes");
        assert_eq!(folder().files(), written.files());
        for (name, table, text) in FILES {
            assert!(text.contains(&format!("CREATE TABLE {table} (")), "{name} makes {table}");
        }
    }
}
