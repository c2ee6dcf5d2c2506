//! A Postgres schema as it should be, and the statements that lead there from what is.
//!
//! Nothing here parses SQL: both sides are databases whose catalogs are read, a folder of SQL by way of a scratch database
//! on the same server. What Postgres says of itself is written one way, so what is equal looks equal.

mod alter;
mod diff;
mod inspect;
mod model;
mod order;
mod plan;
mod queries;
mod run;
mod scratch;
mod statement;
mod write;

use std::path::PathBuf;
use std::str::FromStr as _;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection};

use super::folder;

pub use diff::diff;
pub use inspect::inspect;
pub use model::{Key, Kind, Model, Object};
pub use plan::{Plan, Rehearsal, Rename, Wish, plan, read};
pub use run::{Done, Running, run};
pub use scratch::{Scratch, fill};
pub use statement::{Hazard, Risk, Statement, script};

pub(super) use plan::scoped;
pub(super) use run::run_on;
pub(super) use scratch::{rehearse, replay};
pub(super) use statement::groups;

/// What is never looked at: the ledger of applied migrations, in a schema of its own or not.
pub const LEDGERS: [&str; 2] = ["atlas_schema_revisions", "*.atlas_schema_revisions"];

/// What is looked at of a database.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scope {
    /// The roles whose grants are part of the schema; `public` is everybody.
    pub grantees: Vec<String>,
    /// Patterns of names that are left alone.
    pub ignore: Vec<String>,
}

/// Where a schema is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// In a database, by its URL.
    Database(String),
    /// In a folder of SQL, or of migrations where it has their hashes.
    Folder(PathBuf),
}

impl std::str::FromStr for Origin {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let schemes = ["postgres://", "postgresql://", "clickhouse://"];
        let database = schemes.iter().any(|scheme| text.starts_with(scheme));
        Ok(if database { Self::Database(text.to_owned()) } else { Self::Folder(text.into()) })
    }
}

/// Why there is no schema, no plan, or no end of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A database is not reached.
    #[error("reach the database")]
    Connect {
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Its catalogs are not read.
    #[error("read the schema of the database")]
    Inspect {
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// No scratch database is had.
    #[error("make a scratch database on the server: give the role CREATEDB, or name another server with --dev-url")]
    Scratch {
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// There is no server to make one on.
    #[error("find a server to apply {} on: name one with --dev-url", path.display())]
    NoServer {
        /// The folder that has to be applied.
        path: PathBuf,
    },
    /// A folder is not taken.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A statement of a folder fails.
    #[error("apply {file}, line {line}")]
    Wish {
        /// The file.
        file: String,
        /// The line of the statement, from 1.
        line: usize,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// A rename cannot be had.
    #[error("rename {old} to {new}: {why}")]
    Rename {
        /// What it is called.
        old: String,
        /// What it should be called.
        new: String,
        /// Why not.
        why: &'static str,
    },
    /// A statement fails.
    #[error("run {sql:?} (statements before it that stay: {done})")]
    Statement {
        /// Its text.
        sql: String,
        /// How many ran before it and stay.
        done: usize,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The plan does not lead to the wish.
    #[error("prove the plan on a scratch copy: {what}")]
    Unproven {
        /// What happened instead.
        what: String,
    },
    /// Somebody else is at it.
    #[error("have the database for itself: another apply is running")]
    Busy,
    /// A plan's file is none.
    #[error("read the plan of {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A session in a database. Its names are those of a client without settings of its own.
pub(crate) async fn connect(url: &str) -> Result<PgConnection, Error> {
    let options = PgConnectOptions::from_str(url).map_err(|source| Error::Connect { source })?;
    open(&options).await
}

async fn open(options: &PgConnectOptions) -> Result<PgConnection, Error> {
    let options = options.clone().application_name("martello schema").disable_statement_logging();
    options.connect().await.map_err(|source| Error::Connect { source })
}
