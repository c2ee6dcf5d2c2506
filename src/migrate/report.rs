//! What commands of migrations tell, in the shapes of Atlas's own reports.

use jiff::Timestamp;
use serde::Serialize;

use super::database::Database;
use super::error::Error;
use super::folder::{File, Folder};
use super::ledger::{Revision, instant};
use super::pending::pending;
use super::target::Target;
use crate::clock;

/// Where it was done.
#[derive(Debug, Serialize)]
pub struct Env {
    #[serde(rename = "Driver")]
    driver: &'static str,
    #[serde(rename = "URL")]
    url: Target,
    #[serde(rename = "Dir")]
    dir: String,
}

impl Env {
    pub(super) fn of(folder: &Folder, target: &Target) -> Self {
        Self { driver: target.driver(), url: target.clone(), dir: format!("file://{}", folder.path().display()) }
    }
}

/// A file, by its name.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Named {
    /// The whole of it.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it says besides.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub description: String,
}

impl From<&File> for Named {
    fn from(file: &File) -> Self {
        Self { name: file.name.clone(), version: file.version().to_owned(), description: file.description().to_owned() }
    }
}

fn named<'f>(files: impl IntoIterator<Item = &'f File>) -> Vec<Named> {
    files.into_iter().map(Named::from).collect()
}

/// How far a database is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Status {
    env: Env,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    available: Vec<Named>,
    /// Files that are new among those that were applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub out_of_order: Vec<Named>,
    /// Files that are left to apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Named>,
    /// What was applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<Revision>,
    /// The version that the database is at.
    pub current: String,
    /// The version that comes next.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub next: String,
    /// Statements of the newest file that are applied, where it is partly.
    #[serde(skip_serializing_if = "is_zero")]
    pub count: usize,
    /// Statements of that file.
    #[serde(skip_serializing_if = "is_zero")]
    pub total: usize,
    /// `OK`, or `PENDING`.
    pub status: &'static str,
    /// What went wrong at last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// The statement at which it did.
    #[serde(rename = "SQL", skip_serializing_if = "String::is_empty")]
    pub sql: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Status {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.status == "OK"
    }
}

/// Asks a database how far it is. Nothing is written, not even a ledger.
///
/// # Errors
/// When it cannot be asked, or the folder does not go with its ledger.
pub async fn status(folder: &Folder, target: &Target, revisions_schema: Option<&str>) -> Result<Status, Error> {
    let mut database = Database::open(target, revisions_schema).await?;
    let rows = database.rows().await;
    database.close(rows.is_ok()).await;
    let rows = rows?;
    let left = pending(folder.files(), &rows, None)?;
    let disorder = (!left.out_of_order.is_empty()).then(|| left.disorder().to_string());
    let mut status = Status {
        env: Env::of(folder, target),
        available: named(if rows.is_empty() { left.files.clone() } else { folder.files().iter().collect() }),
        out_of_order: named(left.out_of_order),
        pending: named(left.files),
        current: rows.last().map_or_else(|| "No migration applied yet".to_owned(), |row| row.version.clone()),
        next: String::new(),
        count: 0,
        total: 0,
        status: "OK",
        error: disorder.unwrap_or_default(),
        sql: String::new(),
        applied: rows,
    };
    match status.pending.first() {
        Some(next) => next.version.clone_into(&mut status.next),
        None if status.out_of_order.is_empty() => "Already at latest version".clone_into(&mut status.next),
        None => {}
    }
    if !(status.pending.is_empty() && status.out_of_order.is_empty()) {
        status.status = "PENDING";
    }
    if let Some(last) = status.applied.iter().find(|row| row.is_partial()) {
        let file = folder.files().iter().find(|file| file.version() == last.version);
        status.sql = last.error_stmt.replace('\n', " ");
        status.error = last.error.replace('\n', " ");
        status.count = last.applied;
        status.total = match file {
            Some(file) => file.statements_in(target.language())?.len(),
            None => last.total,
        };
    }
    Ok(status)
}

/// What an apply did.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Report {
    #[serde(flatten)]
    env: Env,
    /// Files that there were to apply.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending: Vec<Named>,
    /// Files that were begun.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub applied: Vec<Applied>,
    /// The version before.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub current: String,
    /// The version that was to be reached.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// When it began.
    #[serde(serialize_with = "instant")]
    pub start: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "instant")]
    pub end: Timestamp,
    /// Why it ended too soon.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// A file that was begun.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Applied {
    /// Which one.
    #[serde(flatten)]
    pub file: Named,
    /// When.
    #[serde(serialize_with = "instant")]
    pub start: Timestamp,
    /// When it ended.
    #[serde(serialize_with = "instant")]
    pub end: Timestamp,
    /// Statements that had been applied before.
    #[serde(skip_serializing_if = "is_zero")]
    pub skipped: usize,
    /// Statements that were applied; the last of them failed where there is an error.
    #[serde(rename = "Applied", skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<String>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
}

/// What a database said of a statement.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Failure {
    /// The statement.
    pub stmt: String,
    /// What it said.
    pub text: String,
}

impl Report {
    pub(super) fn new(folder: &Folder, target: &Target) -> Self {
        let now = clock::now();
        Self {
            env: Env::of(folder, target),
            pending: Vec::new(),
            applied: Vec::new(),
            current: String::new(),
            target: String::new(),
            start: now,
            end: now,
            error: String::new(),
            message: String::new(),
        }
    }

    pub(super) fn plan<'f>(&mut self, rows: &[Revision], files: impl IntoIterator<Item = &'f File>) {
        self.pending = named(files);
        self.current = rows.last().map(|row| row.version.clone()).unwrap_or_default();
        self.target = self.pending.last().map(|file| file.version.clone()).unwrap_or_default();
    }

    pub(super) fn finish(&mut self, outcome: &Result<(), Error>) {
        self.end = clock::now();
        match outcome {
            Err(error) => self.error = error.to_string(),
            Ok(()) if self.applied.is_empty() => "No migration files to execute".clone_into(&mut self.message),
            Ok(()) => {
                let Self { target, current, pending, .. } = self;
                self.message =
                    format!("Migrated to version {target} from {current} ({} migrations in total)", pending.len());
            }
        }
    }
}

/// What `set` changed in a ledger.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Changes {
    /// The rows, by their versions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revisions: Vec<Changed>,
    /// The newest row, now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<Revision>,
}

/// A row that was written or taken away.
#[derive(Debug, Serialize)]
pub struct Changed {
    /// Which one.
    #[serde(flatten)]
    pub revision: Revision,
    /// `set`, or `remove`.
    #[serde(rename = "Op")]
    pub op: &'static str,
}
