//! Why there is no schema of a ClickHouse, no plan, or no end of one.

use std::path::PathBuf;

use super::super::error;
use super::super::folder;
use super::connection::Failure;

/// Why there is no schema, no plan, or no end of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server is not reached.
    #[error("reach the database")]
    Connect {
        /// Why.
        #[source]
        source: Failure,
    },
    /// Its tables are not read.
    #[error("read the schema of the database")]
    Inspect {
        /// Why.
        #[source]
        source: Failure,
    },
    /// No scratch database is had.
    #[error(
        "make a scratch database on the server: grant CREATE DATABASE and DROP DATABASE, or name another with --dev-url"
    )]
    Scratch {
        /// Why.
        #[source]
        source: Failure,
    },
    /// There is no server to make one on.
    #[error("find a server to apply {} on: name one with --dev-url", path.display())]
    NoServer {
        /// The folder that has to be applied.
        path: PathBuf,
    },
    /// A side is no ClickHouse's.
    #[error("compare {found} with a ClickHouse: expected clickhouse://… or a folder")]
    Foreign {
        /// What it is.
        found: &'static str,
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
        source: Failure,
    },
    /// A statement of a folder would change a database that is no scratch one.
    #[error(
        "apply {file}, line {line}: it changes database {database}, and only the one that is compared may be changed, and those \
         that the folder makes: leave the name of the database out, or say CREATE DATABASE IF NOT EXISTS {database} first"
    )]
    Elsewhere {
        /// The file.
        file: String,
        /// The line of the statement, from 1.
        line: usize,
        /// The other database.
        database: String,
    },
    /// A database would have to be of another engine.
    #[error(
        "plan database {database}: its engine is {is}, and the wish says {wished}, which no statement makes of it: make another \
         database, or leave ENGINE out"
    )]
    Engine {
        /// The database.
        database: String,
        /// What it is.
        is: String,
        /// What it should be.
        wished: String,
    },
    /// A database that is wished is not there.
    #[error("compare with a database that is not there: make it first, or correct the URL of --to")]
    Missing,
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
    #[error("run {sql:?} (statements before it, which stay: {done})")]
    Statement {
        /// Its text.
        sql: String,
        /// How many ran before it.
        done: usize,
        /// Why.
        #[source]
        source: Failure,
    },
    /// The plan does not lead to the wish.
    #[error("prove the plan on a scratch copy: {what}")]
    Unproven {
        /// What happened instead.
        what: String,
    },
    /// The lock is not had.
    #[error(transparent)]
    Lock(#[from] error::Error),
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
