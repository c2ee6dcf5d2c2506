//! Applies what is pending of a folder, statement by statement, and keeps the ledger with each.
//!
//! Everything that can be refused is refused before the first statement. From then on the ledger says at any moment which
//! statements are in the database, so that whatever ends an apply, the next one goes on there.

use std::time::Duration;

use tokio::sync::watch;

use super::database::{Database, Refusal};
use super::error::Error;
use super::folder::{File, Folder, Transactions, partial_hashes};
use super::ledger::{Kind, Revision, operator};
use super::pending::{Order, pending, unknown};
use super::report::{Applied, Failure, Report};
use super::session::stopped;
use super::statements::{Language, Statement};
use super::target::Target;
use crate::clock;

/// How migrations are applied.
#[derive(Clone, Debug)]
pub struct Options {
    /// The schema of the ledger, where it is not the URL's or Atlas's own.
    pub revisions_schema: Option<String>,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
    /// The version that a database without a ledger is at.
    pub baseline: Option<String>,
    /// Begin in a database that is not empty.
    pub allow_dirty: bool,
    /// In which transactions, where files do not say; as the database has them where nobody does.
    pub transactions: Option<Transactions>,
    /// What becomes of files that are new among those that were applied.
    pub order: Order,
    /// How long others are waited for.
    pub lock_timeout: Duration,
    /// So many files at most.
    pub amount: Option<usize>,
    /// Up to this version.
    pub to: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            revisions_schema: None,
            dry_run: false,
            baseline: None,
            allow_dirty: false,
            transactions: None,
            order: Order::Linear,
            lock_timeout: Duration::from_secs(10),
            amount: None,
            to: None,
        }
    }
}

/// What happens while migrations are applied.
#[derive(Debug)]
pub enum Event<'e> {
    /// A file begins.
    File {
        /// Which one.
        file: &'e File,
        /// Its statements.
        total: usize,
        /// Those that are applied already.
        skipped: usize,
    },
    /// A statement begins.
    Statement {
        /// Which one, from 1.
        number: usize,
        /// Its text.
        text: &'e str,
    },
    /// A file is done.
    Done {
        /// Which one.
        file: &'e File,
        /// Statements of it that this apply applied.
        statements: usize,
        /// How long that took.
        took: Duration,
    },
}

/// Is told what happens.
pub type Watcher<'w> = dyn FnMut(Event<'_>) + Send + 'w;

/// Applies what is pending. What was done is told however it ended.
pub async fn apply(
    folder: &Folder,
    target: &Target,
    options: &Options,
    stop: &mut watch::Receiver<bool>,
    watcher: &mut Watcher<'_>,
) -> (Report, Result<(), Error>) {
    let mut report = Report::new(folder, target);
    let outcome = applied(folder, target, options, stop, watcher, &mut report).await;
    report.finish(&outcome);
    (report, outcome)
}

async fn applied(
    folder: &Folder,
    target: &Target,
    options: &Options,
    stop: &mut watch::Receiver<bool>,
    watcher: &mut Watcher<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    if let Some(version) = &options.to
        && !folder.files().iter().any(|file| file.version() == version)
    {
        return Err(unknown(version, folder.files()));
    }
    let mode = options.transactions.unwrap_or(target.transactions());
    if target.language() == Language::ClickHouse && mode != Transactions::None {
        return Err(Error::Untransacted { asked: format!("--tx-mode {}", mode.as_str()) });
    }
    let mut database = Database::open(target, options.revisions_schema.as_deref()).await?;
    let outcome = within(&mut database, folder, mode, options, stop, watcher, report).await;
    database.close(outcome.is_ok()).await;
    outcome
}

async fn within(
    database: &mut Database,
    folder: &Folder,
    mode: Transactions,
    options: &Options,
    stop: &mut watch::Receiver<bool>,
    watcher: &mut Watcher<'_>,
    report: &mut Report,
) -> Result<(), Error> {
    if !options.dry_run {
        database.lock(options.lock_timeout, stop).await?;
    }
    let rows = database.rows().await?;
    if rows.is_empty() && options.baseline.is_none() && !options.allow_dirty {
        database.clean().await?;
    }
    let baseline = options.baseline.as_deref().filter(|_| rows.is_empty());
    let files = chosen(folder, &rows, baseline, options)?;
    let tasks =
        files.iter().map(|file| Task::of(file, &rows, mode, database.language())).collect::<Result<Vec<_>, _>>()?;
    report.plan(&rows, files.iter().copied());
    if !options.dry_run && (!tasks.is_empty() || baseline.is_some()) {
        database.make().await?;
    }
    if let Some(file) = baseline.and_then(|version| folder.files().iter().find(|file| file.version() == version)) {
        let row = Revision::new(file.version(), file.description(), Kind::BASELINE, "");
        if !options.dry_run {
            database.write(&row).await?;
        }
        report.current.clone_from(&row.version);
    }
    Run { database, stop, watcher, report, mode, dry: options.dry_run }.all(tasks).await
}

/// The files to apply now.
fn chosen<'f>(
    folder: &'f Folder,
    rows: &[Revision],
    baseline: Option<&str>,
    options: &Options,
) -> Result<Vec<&'f File>, Error> {
    let mut files = folder.files();
    if let Some(to) = &options.to
        && let Some(at) = files.iter().rposition(|file| file.version() == to)
        && files[at + 1..].iter().any(File::is_checkpoint)
    {
        // A checkpoint behind it would stand for more than was asked for.
        files = &files[..=at];
    }
    let mut chosen = pending(files, rows, baseline)?.in_order(options.order)?;
    if let Some(to) = &options.to {
        // It is applied already where it is not pending.
        let end = chosen.iter().rposition(|file| file.version() == to).map_or(0, |at| at + 1);
        chosen.truncate(end);
    }
    chosen.truncate(options.amount.unwrap_or(usize::MAX));
    Ok(chosen)
}

/// A file that is to be applied, cut and checked.
struct Task<'f> {
    file: &'f File,
    statements: Vec<Statement>,
    hashes: Vec<String>,
    mode: Transactions,
    row: Revision,
}

impl<'f> Task<'f> {
    fn of(file: &'f File, rows: &[Revision], mode: Transactions, language: Language) -> Result<Self, Error> {
        let name = || file.name.clone();
        let hash = file.hash.as_ref().ok_or_else(|| Error::Unsummed { file: name() })?;
        if !file.directive("txtar").is_empty() {
            return Err(Error::Checks { file: name() });
        }
        let mode = match (file.transactions()?, mode) {
            (Some(asked), _) if language == Language::ClickHouse && asked != Transactions::None => {
                return Err(Error::Untransacted { asked: format!("txmode {} of {}", asked.as_str(), file.name) });
            }
            (Some(mode), Transactions::All) => {
                return Err(Error::Transactions { file: name(), mode: mode.as_str() });
            }
            (Some(mode), _) | (None, mode) => mode,
        };
        let statements = file.statements_in(language)?;
        let hashes = partial_hashes(&statements);
        let mut row = match rows.iter().find(|row| row.version == file.version()) {
            Some(row) => row.clone(),
            None => Revision::new(file.version(), file.description(), Kind::APPLIED, hash),
        };
        // What was applied must stand there still; one that is gone was edited at its place.
        let differs =
            (0..row.applied).find(|at| hashes.get(*at).is_none() || hashes.get(*at) != row.partial_hashes.get(*at));
        if let Some(at) = differs {
            let line =
                statements.get(at).map_or_else(|| file.text.lines().count(), |statement| file.line(statement.at));
            return Err(Error::History { file: name(), number: at + 1, line, applied: row.applied });
        }
        (row.total, row.hash, row.operator_version) = (statements.len(), hash.clone(), operator());
        Ok(Self { file, statements, hashes, mode, row })
    }

    /// Settings of the session that statements made which are applied already: what follows them was written for those.
    fn settings(&self) -> Vec<&str> {
        let is_setting = |text: &str| {
            let words: Vec<String> = text.split_whitespace().take(2).map(str::to_ascii_lowercase).collect();
            match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["set", second] => !matches!(second, "local" | "constraints" | "transaction"),
                ["reset" | "use", _] => true,
                ["select", second] => second.trim_start_matches("pg_catalog.").starts_with("set_config("),
                _ => false,
            }
        };
        let applied = &self.statements[..self.row.applied];
        applied.iter().map(|statement| statement.text.as_str()).filter(|text| is_setting(text)).collect()
    }
}

struct Run<'r, 'w> {
    database: &'r mut Database,
    stop: &'r mut watch::Receiver<bool>,
    watcher: &'r mut Watcher<'w>,
    report: &'r mut Report,
    mode: Transactions,
    dry: bool,
}

impl Run<'_, '_> {
    async fn all(&mut self, tasks: Vec<Task<'_>>) -> Result<(), Error> {
        let together = self.mode == Transactions::All && !tasks.is_empty() && !self.dry;
        let last = tasks.last().map(|task| task.file.name.clone()).unwrap_or_default();
        if together {
            self.database.begin().await?;
        }
        for task in tasks {
            self.report.applied.push(Applied {
                file: task.file.into(),
                start: clock::now(),
                end: clock::now(),
                skipped: task.row.applied,
                statements: Vec::new(),
                error: None,
            });
            let begun = clock::instant();
            let (file, count) = (task.file, task.statements.len() - task.row.applied);
            let outcome = self.one(task).await;
            if let Some(applied) = self.report.applied.last_mut() {
                applied.end = clock::now();
            }
            outcome?;
            (self.watcher)(Event::Done { file, statements: count, took: begun.elapsed() });
        }
        if together {
            self.database.commit().await.map_err(|why| Error::Commit { file: last, why })?;
        }
        Ok(())
    }

    async fn one(&mut self, mut task: Task<'_>) -> Result<(), Error> {
        let total = task.statements.len();
        (self.watcher)(Event::File { file: task.file, total, skipped: task.row.applied });
        if self.dry {
            for (at, statement) in task.statements.iter().enumerate().skip(task.row.applied) {
                self.begin_statement(at + 1, &statement.text);
            }
            return Ok(());
        }
        let alone = task.mode == Transactions::File;
        if alone {
            self.database.begin().await?;
        }
        for text in task.settings() {
            let set = self.database.execute(text).await;
            set.map_err(|refusal| Error::Database { what: "set what the file set", why: refusal.why })?;
        }
        let begun = clock::instant();
        task.row.executed_at = clock::now();
        self.write(&task.row).await?;
        for at in task.row.applied..total {
            self.statement(&mut task, at).await?;
            task.row.partial_hashes.push(task.hashes[at].clone());
            task.row.applied = at + 1;
            task.row.error.clear();
            task.row.error_stmt.clear();
            task.row.execution_time = begun.elapsed();
            self.write(&task.row).await?;
        }
        task.row.partial_hashes.clear();
        self.write(&task.row).await?;
        if alone {
            let committed = self.database.commit().await;
            committed.map_err(|why| Error::Commit { file: task.file.name.clone(), why })?;
        }
        self.database.reset().await
    }

    fn begin_statement(&mut self, number: usize, text: &str) {
        (self.watcher)(Event::Statement { number, text });
        if let Some(applied) = self.report.applied.last_mut() {
            applied.statements.push(text.to_owned());
        }
    }

    async fn write(&mut self, row: &Revision) -> Result<(), Error> {
        self.database.write(row).await
    }

    async fn statement(&mut self, task: &mut Task<'_>, at: usize) -> Result<(), Error> {
        let statement = &task.statements[at];
        let interrupted = || {
            let Task { file, statements, mode, .. } = &*task;
            let at = format!("before statement {} of {} of {}", at + 1, statements.len(), file.name);
            Error::Interrupted { at, mode: *mode }
        };
        if *self.stop.borrow() {
            return Err(interrupted());
        }
        self.database.note(&task.row, &task.hashes[at]).await?;
        self.begin_statement(at + 1, &statement.text);
        let executed = self.database.execute(&statement.text);
        let executed = match task.mode {
            // It is in the database when it ends, and the ledger must know: it is waited for.
            Transactions::None => executed.await,
            Transactions::File | Transactions::All => tokio::select! {
                executed = executed => executed,
                () = stopped(self.stop) => return Err(interrupted()),
            },
        };
        match executed {
            Ok(()) => Ok(()),
            Err(refusal) => Err(self.failed(task, at, refusal).await),
        }
    }

    /// A statement failed: what stands in the database stays in the ledger, and what it said besides.
    async fn failed(&mut self, task: &mut Task<'_>, at: usize, refusal: Refusal) -> Error {
        let (why, text) = (refusal.why, task.statements[at].text.clone());
        if task.mode != Transactions::None {
            // A connection that is gone has rolled back by itself.
            self.database.rollback().await;
            // A file that commits on its own has left what it committed.
            let rows = self.database.rows().await.unwrap_or_default();
            if let Some(row) = rows.into_iter().find(|row| row.version == task.row.version && row.is_partial()) {
                (task.row, task.mode) = (row, Transactions::None);
            }
        }
        if task.mode == Transactions::None {
            (task.row.error, task.row.error_stmt) = (why.clone(), text.clone());
            // The row is as good without: it says how many statements are applied.
            let _ = self.write(&task.row).await;
        }
        let line = task.file.line(task.statements[at].at + refusal.at);
        if let Some(applied) = self.report.applied.last_mut() {
            applied.error = Some(Failure { stmt: text, text: why.clone() });
        }
        let (file, total, mode) = (task.file.name.clone(), task.statements.len(), task.mode);
        Error::Statement { file, number: at + 1, total, line, why, mode }
    }
}
