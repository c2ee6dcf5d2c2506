//! Joins the two engines: what a folder of migrations makes is compared with what is wished, and what a database has with
//! what the folder made of it. Both sides are databases again, of the folder by way of a scratch database.
//!
//! Nothing is written before it is proved: a new file is replayed with the whole folder, and what comes out is compared.

mod check;
mod checkpoint;
pub mod clickhouse;
mod diff;
mod down;
mod write;

use std::path::PathBuf;

use serde::Serialize;
use sqlx::PgConnection;

use super::clickhouse as engine;
use super::error;
use super::folder::{File, Folder};
use super::schema::{self, Hazard, Model, Risk, Scope, Scratch, replay, scoped};

pub use check::validate;
pub use checkpoint::checkpoint;
pub use diff::{Change, diff};
pub use down::{Down, Options, Until, down};

/// A file that is to be written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Draft {
    /// Its name.
    pub name: String,
    /// What it says.
    pub sql: String,
    /// What its statements may cost.
    pub hazards: Vec<Risk>,
}

/// Why a folder and a schema do not come together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A schema is not read, planned or made.
    #[error(transparent)]
    Schema(#[from] schema::Error),
    /// A schema of a ClickHouse is not read, planned or made.
    #[error(transparent)]
    ClickHouse(#[from] engine::Error),
    /// The folder or the ledger is at fault.
    #[error(transparent)]
    Migrate(#[from] error::Error),
    /// The files that would be written do not lead to the wish.
    #[error("prove the new files: {what}")]
    Unproven {
        /// What happens instead.
        what: String,
    },
    /// A checkpoint is something else than the files before it.
    #[error("believe the checkpoint {file}: it is not what the files before it make; from them to it leads: {what}")]
    Checkpoint {
        /// The checkpoint.
        file: String,
        /// A statement that leads from one to the other.
        what: String,
    },
    /// A checkpoint could not have all that is there.
    #[error("make a checkpoint: it cannot hold {}", what.join(", "))]
    Unheld {
        /// What it cannot hold.
        what: Vec<String>,
    },
    /// A checkpoint would leave rows out.
    #[error(
        "make a checkpoint: it holds no rows, but migrations put some into {}. Fill these elsewhere, or accept with --leave-rows",
        tables.join(", ")
    )]
    Rows {
        /// The tables that have some.
        tables: Vec<String>,
    },
    /// A database is not what the ledger says.
    #[error(
        "lead the database down: it is not what the files up to {version} make. From them to it leads: {what}. Bring it back with \
         martello schema plan, or write a migration for it"
    )]
    Drift {
        /// The version that it should be at.
        version: String,
        /// A statement that leads from the one to the other.
        what: String,
    },
    /// A plan has hazards that nobody has accepted.
    #[error("lead the database down: it has hazards; if they are meant, add --allow {}", names(refused))]
    Hazards {
        /// Each, and the statement that has it.
        refused: Vec<(Hazard, String)>,
    },
    /// A file is partly applied.
    #[error(
        "lead the database down: {version} is partly applied. Apply the rest, or say with martello migrate set what is there"
    )]
    Partial {
        /// Its version.
        version: String,
    },
    /// What was there before the ledger is nobody's to take away.
    #[error(
        "lead the database down below {version}: it is a baseline, and what was there before it is not the ledger's"
    )]
    Baseline {
        /// Its version.
        version: String,
    },
    /// There is nothing to take away.
    #[error("lead the database down: its ledger has no row")]
    Nothing,
    /// There is no such version to go down to.
    #[error("lead the database down to {version}: expected one that was applied: {}", applied.join(", "))]
    Unapplied {
        /// What was asked for.
        version: String,
        /// What was applied.
        applied: Vec<String>,
    },
    /// A part of a database is not compared.
    #[error("lead one schema down: expected a URL without ?search_path=, for the whole database")]
    Part,
}

impl From<super::folder::Error> for Error {
    fn from(error: super::folder::Error) -> Self {
        Self::Migrate(error.into())
    }
}

fn names(refused: &[(Hazard, String)]) -> String {
    let names: std::collections::BTreeSet<&str> = refused.iter().map(|(hazard, _)| hazard.as_str()).collect();
    names.into_iter().collect::<Vec<_>>().join(",")
}

/// What those files make of an empty database.
async fn made(server: &str, files: &[&File], scope: &Scope) -> Result<Model, Error> {
    Scratch::within(server, async |connection| made_in(connection, files, scope).await).await
}

async fn made_in(connection: &mut PgConnection, files: &[&File], scope: &Scope) -> Result<Model, Error> {
    replay(connection, files).await?;
    Ok(scoped(connection, scope).await?)
}

/// A statement that leads from one model to the other; none where they are the same.
pub(super) fn difference(from: &Model, to: &Model) -> Option<String> {
    // What one way of looking does not see, the other does.
    let forth = schema::diff(from, to).into_iter().next();
    forth.or_else(|| schema::diff(to, from).into_iter().next()).map(|statement| statement.sql)
}

/// The folder as it will be with those files.
fn with(folder: &Folder, drafts: &[Draft]) -> Folder {
    let texts = folder.files().iter().map(|file| (file.name.clone(), file.text.clone()));
    let new = drafts.iter().map(|draft| (draft.name.clone(), draft.sql.clone()));
    Folder::of(folder.path(), texts.chain(new).collect())
}

/// Writes files and the hashes of the folder. Where one cannot be written, none stays.
///
/// # Errors
/// When one cannot be written.
pub fn keep(folder: &Folder, drafts: &[Draft]) -> Result<Vec<PathBuf>, Error> {
    use super::folder::Error as Fault;
    super::import::make(folder.path())?;
    let mut written = Vec::new();
    let kept = drafts.iter().try_for_each(|draft| {
        let path = folder.path().join(&draft.name);
        let made = std::fs::File::create_new(&path)
            .and_then(|mut file| std::io::Write::write_all(&mut file, draft.sql.as_bytes()));
        written.push(path.clone());
        made.map_err(|source| Fault::Unwritable { path, source })
    });
    let kept = kept.and_then(|()| with(folder, drafts).write_sum());
    if let Err(error) = kept {
        for path in &written {
            // What is left behind is told by the next command: it was not hashed.
            let _ = std::fs::remove_file(path);
        }
        return Err(error.into());
    }
    Ok(written)
}
