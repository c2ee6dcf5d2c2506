//! Why migrations are not applied. Each says what was found where, and what to do about it.

use std::time::Duration;

use super::folder;
use super::folder::{SUM_FILE, Transactions};

/// Why a command of migrations does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder is at fault.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The URL of the database cannot be read.
    #[error("read the URL of the database: {0}")]
    Url(String),
    /// The place of the folder cannot be read.
    #[error("read the folder {found:?}: expected file:// and a path, such as file://migrations/postgres")]
    Place {
        /// What was given.
        found: String,
    },
    /// The folder has no migrations, but folders.
    #[error("find migrations in {folder}: it has folders of them, {}: say which, as --dir file://{folder}/{}", folders.join(", "), folders[0])]
    Nested {
        /// The folder.
        folder: String,
        /// Those in it that have migrations.
        folders: Vec<String>,
    },
    /// The database is not there, or lets nobody in.
    #[error("reach {place}: {why}")]
    Unreachable {
        /// Where it should be, without any secret.
        place: String,
        /// Why not.
        why: String,
    },
    /// Something in front of the database lends its connections out for a transaction each.
    #[error(
        "lock {place}: a pooler in front of it hands each transaction to another connection, so no lock would hold: \
         connect to Postgres itself, or to a pool by session"
    )]
    Pooled {
        /// Where.
        place: String,
    },
    /// Others are at it.
    #[error(
        "take the lock of migrations within {}: {holder} has it. Wait until that is done, or give --lock-timeout more",
        seconds(*waited)
    )]
    Locked {
        /// How long was waited.
        waited: Duration,
        /// Who has it.
        holder: String,
    },
    /// The database did not do what the ledger needs.
    #[error("{what}: {why}")]
    Database {
        /// What was to be done.
        what: &'static str,
        /// Why it was not.
        why: String,
    },
    /// There are two places where the ledger could be.
    #[error(
        "choose a ledger: schema {schema} of the URL has none, but schema atlas_schema_revisions has one. Say which with \
         --revisions-schema"
    )]
    Ambiguous {
        /// The schema of the URL.
        schema: String,
    },
    /// A row of the ledger says what Martello and Atlas never write.
    #[error("read the ledger: row {version} has {column} {found}")]
    Row {
        /// The row.
        version: String,
        /// The column.
        column: &'static str,
        /// What stands there.
        found: String,
    },
    /// The first migration would be applied to a database with something in it.
    #[error(
        "begin with a database that is not empty: {found} is there and no ledger. If it is what a migration makes, say \
         up to which with --baseline VERSION; if it has nothing to do with them, --allow-dirty"
    )]
    NotClean {
        /// What was found.
        found: String,
    },
    /// There are new files among those that were applied.
    #[error(
        "apply {} behind {current}, which was applied already: give {them} a version after it and run martello migrate \
         hash, or apply with --exec-order non-linear",
        files.join(", ")
    )]
    OutOfOrder {
        /// The files.
        files: Vec<String>,
        /// The version that the database is at.
        current: String,
        /// How they are spoken of.
        them: &'static str,
    },
    /// A file is partly applied, and gone.
    #[error(
        "go on with version {version}: {applied} of its {total} statements are applied, but no file has that version. \
         Restore the file, or, with the database in order, run martello migrate set"
    )]
    Missing {
        /// The version.
        version: String,
        /// Statements that are applied.
        applied: usize,
        /// Statements that there were.
        total: usize,
    },
    /// A file is partly applied, and what was applied of it now reads otherwise.
    #[error(
        "go on with {file}: its statement {number} (line {line}) was applied and has been edited since. Restore what \
         stood there, and correct only what comes after statement {applied}"
    )]
    History {
        /// The file.
        file: String,
        /// The statement, from 1.
        number: usize,
        /// Its line, from 1.
        line: usize,
        /// Statements that are applied.
        applied: usize,
    },
    /// No file has that version.
    #[error("find version {version}: expected one of {}", known.join(", "))]
    Unknown {
        /// What was asked for.
        version: String,
        /// What there is.
        known: Vec<String>,
    },
    /// A file wants other transactions than all of them are to have.
    #[error(
        "apply {file} in one transaction with the others: its directive says txmode {mode}. Apply with --tx-mode file"
    )]
    Transactions {
        /// The file.
        file: String,
        /// What it says.
        mode: &'static str,
    },
    /// Transactions are asked of a database that has none.
    #[error(
        "apply in transactions ({asked}): ClickHouse has none, and each statement stands by itself. Leave it out, or say none"
    )]
    Untransacted {
        /// What asks for them.
        asked: String,
    },
    /// Somebody else has taken the lock in the meantime.
    #[error("go on: the lock of migrations is no longer held by this apply ({holder} has it). Nothing more was begun")]
    LockLost {
        /// Who has it.
        holder: String,
    },
    /// Nobody of that name holds the lock.
    #[error("break the lock of {asked}: {held}")]
    NotHeld {
        /// Whose lock was to be broken.
        asked: String,
        /// Who holds it.
        held: String,
    },
    /// A file is not summed, so the ledger could not say which it was.
    #[error(
        "apply {file}: it says sum ignore, so {SUM_FILE} has no hash that the ledger could keep. Take that line out"
    )]
    Unsummed {
        /// The file.
        file: String,
    },
    /// A file brings checks, which nobody here runs.
    #[error("apply {file}: its checks (atlas:txtar) are not understood, and it is not applied without them")]
    Checks {
        /// The file.
        file: String,
    },
    /// A statement failed.
    #[error("apply {file}: statement {number} of {total}, line {line}: {why}. {}", after(*mode, file, *number))]
    Statement {
        /// The file.
        file: String,
        /// The statement, from 1.
        number: usize,
        /// How many there are.
        total: usize,
        /// The line at which the database found fault, from 1.
        line: usize,
        /// What it said.
        why: String,
        /// In which transactions.
        mode: Transactions,
    },
    /// The end of a transaction failed.
    #[error("commit {file}: {why}. Nothing of its transaction is in the database")]
    Commit {
        /// The file, the last of them where there are several.
        file: String,
        /// What the database said.
        why: String,
    },
    /// Somebody asked to stop.
    #[error("go on: interrupted {at}. {}", stopped(*mode))]
    Interrupted {
        /// Where.
        at: String,
        /// In which transactions.
        mode: Transactions,
    },
    /// A target of an import has migrations.
    #[error("import into {folder}: it has migrations already, the first of them {file}. Name an empty folder")]
    NotEmpty {
        /// The folder.
        folder: String,
        /// A file of it.
        file: String,
    },
    /// A file is not in the form that it was said to be in.
    #[error("import {file}: {why}")]
    Import {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// No time and no number comes behind the newest file.
    #[error(
        "name a migration behind {newest}: versions are ordered by their bytes, and neither the time nor the next number \
         comes after it. Rename the files of the folder, and run martello migrate hash"
    )]
    Late {
        /// The newest version.
        newest: String,
    },
    /// A name would not be one of a file.
    #[error("name a migration {found:?}: expected letters, digits, - and _")]
    Name {
        /// What was given.
        found: String,
    },
}

fn seconds(waited: Duration) -> String {
    if waited.subsec_millis() == 0 { format!("{} s", waited.as_secs()) } else { format!("{} ms", waited.as_millis()) }
}

fn after(mode: Transactions, file: &str, number: usize) -> String {
    match mode {
        Transactions::None => format!(
            "The {} before it stay: correct it and all after it in {file}, run martello migrate hash and apply again, which \
             goes on there",
            number - 1
        ),
        Transactions::File => {
            format!("Nothing of {file} is in the database: correct it, run martello migrate hash and apply again")
        }
        Transactions::All => {
            "Nothing of any file is in the database: correct it, run martello migrate hash and apply again".to_owned()
        }
    }
}

fn stopped(mode: Transactions) -> &'static str {
    match mode {
        Transactions::None => "The next apply goes on there",
        Transactions::File => "Nothing of that file is in the database; the next apply begins with it",
        Transactions::All => "Nothing was applied",
    }
}

/// What a database said, with all that it said besides.
pub(super) fn said(error: &sqlx::Error) -> String {
    use sqlx::postgres::PgDatabaseError;
    let Some(database) = error.as_database_error() else { return chain(error) };
    let Some(postgres) = database.try_downcast_ref::<PgDatabaseError>() else { return database.message().to_owned() };
    let mut text = format!("{} ({})", postgres.message(), postgres.code());
    for (label, more) in [("", postgres.detail()), ("hint: ", postgres.hint())] {
        if let Some(more) = more {
            text += &format!("; {label}{}", more.trim_end_matches('.'));
        }
    }
    text.replace('\n', " ")
}

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text += &format!(": {more}");
        }
        cause = error.source();
    }
    text
}

/// A failure of the database at something that the ledger needs.
pub(super) fn failed(what: &'static str) -> impl Fn(sqlx::Error) -> Error {
    move |error| Error::Database { what, why: said(&error) }
}
