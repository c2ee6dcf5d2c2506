//! `martello migrate`

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::watch;

use super::publish::control_url;
use super::say;
use super::serve::until_told;
use super::versioned;
use crate::config::Config;
use crate::config::duration::parse_duration;
use crate::migrate::apply::{self, Event, Options};
use crate::migrate::clickhouse::unlock;
use crate::migrate::control;
use crate::migrate::folder::{Folder, Transactions};
use crate::migrate::import::{self, Format};
use crate::migrate::pending::Order;
use crate::migrate::report::{self, Changes, Report};
use crate::migrate::set;
use crate::migrate::statements::Language;
use crate::migrate::target::{self, Target};

/// Where migrations are when nobody says; that of Atlas.
const DIR: &str = "file://migrations";
/// Those of the control store.
const CONTROL_DIR: &str = "file://migrations/control";
/// What `status --exit-code` ends with when something is pending.
const PENDING: u8 = 2;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Writes the hashes of a folder (atlas.sum), once its files are as they were reviewed.
    Hash(Dir),
    /// Checks a folder: its hashes, its versions, its directives, and whether each file can be cut into statements; with
    /// --dev-url also whether each of them runs, and whether checkpoints are what they stand for.
    Validate(Validate),
    /// Writes the next files of a folder: what is missing between it and the schema that is wished.
    #[command(after_help = versioned::DIFF_EXAMPLES)]
    Diff(versioned::Diff),
    /// Looks at what new files would do to those who use the database.
    #[command(after_help = versioned::LINT_EXAMPLES)]
    Lint(versioned::Lint),
    /// Leads a database back to an older version.
    #[command(after_help = versioned::DOWN_EXAMPLES)]
    Down(versioned::Down),
    /// Adds a file that is the sum of all before it: new databases begin there.
    Checkpoint(versioned::Checkpoint),
    /// Adds an empty migration to a folder.
    New(New),
    /// Shows how far a database is. Nothing is written.
    Status(Status),
    /// Applies what is pending.
    Apply(Apply),
    /// Says which version a database is at, without doing anything to it but in its ledger.
    Set(Set),
    /// Breaks the lock of an apply of ClickHouse that is known to be dead, without waiting until it is taken for that.
    Unlock(Unlock),
    /// Makes a folder out of that of flyway, goose, dbmate, golang-migrate or liquibase.
    Import(Import),
}

#[derive(clap::Args)]
pub(super) struct Dir {
    /// The folder of migrations [default: file://migrations, or file://migrations/control with --control].
    #[arg(long, value_name = "URL")]
    dir: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Validate {
    #[command(flatten)]
    dir: Dir,
    /// A server, postgres://… or clickhouse://…: all files are replayed on a scratch database there.
    #[arg(long, value_name = "URL")]
    dev_url: Option<String>,
}

impl Dir {
    pub(super) fn read(&self, control: bool) -> anyhow::Result<Folder> {
        let default = if control { CONTROL_DIR } else { DIR };
        Ok(target::folder(self.dir.as_deref().unwrap_or(default))?)
    }

    /// As it is, or one without files where there is none yet.
    pub(super) fn begun(&self) -> anyhow::Result<Folder> {
        let path = target::place(self.dir.as_deref().unwrap_or(DIR))?.0;
        if path.exists() { self.read(false) } else { Ok(Folder::of(&path, Vec::new())) }
    }

    /// As it was hashed, and fit to be applied.
    pub(super) fn checked(&self, control: bool) -> anyhow::Result<Folder> {
        let folder = self.read(control)?;
        folder.check()?;
        folder.distinct()?;
        Ok(folder)
    }
}

/// Which database.
#[derive(clap::Args)]
pub(super) struct At {
    /// The database, as postgres://user:password@host/database; ?search_path= names the one schema that is worked in. Or
    /// clickhouse://user:password@host:8123/database; with ?cluster= it is changed on all servers of that cluster.
    #[arg(long, short, value_name = "URL", conflicts_with_all = ["source", "control"])]
    url: Option<String>,
    /// A source of the configuration [default: the only one].
    #[arg(long, value_name = "NAME", conflicts_with = "control")]
    source: Option<String>,
    /// The control store of the configuration.
    #[arg(long)]
    pub(super) control: bool,
    /// The schema of the ledger, in ClickHouse the database [default: that of ?search_path=, or atlas_schema_revisions].
    #[arg(long, value_name = "SCHEMA")]
    revisions_schema: Option<String>,
}

impl At {
    pub(super) fn target(&self, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<Target> {
        if let Some(url) = &self.url {
            return Ok(Target::read(url)?);
        }
        let config = config()?;
        if self.control {
            return Ok(Target::read(control_url(&config)?)?);
        }
        let names: Vec<&str> = config.sources.keys().map(String::as_str).collect();
        let name = match (&self.source, &names[..]) {
            (Some(name), _) => name.as_str(),
            (None, [only]) => only,
            (None, _) => {
                bail!("choose a database: expected --url postgres://… or clickhouse://…, --source NAME or --control")
            }
        };
        let Some(source) = config.sources.get(name) else {
            bail!("find source {name:?} in the configuration: expected one of {}", names.join(", "));
        };
        Ok(Target::read(source.url.expose())?)
    }

    pub(super) fn schema(&self) -> Option<String> {
        self.revisions_schema.clone().or_else(|| self.control.then(|| control::LEDGER.to_owned()))
    }
}

#[derive(clap::Args)]
pub(super) struct New {
    /// What its name says besides the time.
    name: Option<String>,
    #[command(flatten)]
    dir: Dir,
}

#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    dir: Dir,
    /// As JSON, in the form of Atlas.
    #[arg(long)]
    json: bool,
    /// End with 2 when something is pending.
    #[arg(long)]
    exit_code: bool,
}

#[derive(clap::Args)]
pub(super) struct Apply {
    /// So many files at most [default: all].
    #[arg(conflicts_with = "to_version")]
    amount: Option<NonZeroUsize>,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    dir: Dir,
    /// Up to this version.
    #[arg(long, value_name = "VERSION")]
    to_version: Option<String>,
    /// Tell what would be applied, and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// The version that a database without a ledger is at: begin behind it.
    #[arg(long, value_name = "VERSION", conflicts_with = "allow_dirty")]
    baseline: Option<String>,
    /// Begin in a database that has something else in it.
    #[arg(long)]
    allow_dirty: bool,
    /// A transaction for each file, one for all, or none. A file may say otherwise (-- atlas:txmode none).
    /// [default: file; in ClickHouse, which has none, none]
    #[arg(long, value_enum, value_name = "MODE")]
    tx_mode: Option<TxMode>,
    /// What becomes of files that are new among those that were applied: linear refuses, linear-skip leaves them out,
    /// non-linear applies them first.
    #[arg(long, value_enum, default_value_t = ExecOrder::Linear, value_name = "ORDER")]
    exec_order: ExecOrder,
    /// How long another apply is waited for.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    lock_timeout: Duration,
    /// As JSON, in the form of Atlas.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Set {
    /// The version [default: the newest of the folder, where the ledger has rows].
    #[arg(value_name = "VERSION")]
    to: Option<String>,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    dir: Dir,
    /// How long an apply is waited for.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    lock_timeout: Duration,
    /// As JSON, in the form of Atlas.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Unlock {
    /// Who has it, as an apply that waited for it was told.
    holder: String,
    #[command(flatten)]
    at: At,
}

#[derive(clap::Args)]
pub(super) struct Import {
    /// The other tool's folder, and which tool that is: file://path?format=goose.
    #[arg(long, value_name = "URL")]
    from: String,
    /// The folder to be made.
    #[arg(long, value_name = "URL", default_value = DIR)]
    to: String,
}

#[derive(Clone, Copy, ValueEnum)]
enum TxMode {
    File,
    All,
    None,
}

#[derive(Clone, Copy, ValueEnum)]
enum ExecOrder {
    Linear,
    LinearSkip,
    NonLinear,
}

pub(super) async fn run(command: Command, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Hash(dir) => {
            let folder = dir.read(false)?;
            folder.distinct()?;
            folder.write_sum()?;
            say(&format!("hashed {} of {}\n", files(folder.files().len()), folder.path().display()))?;
        }
        Command::Validate(Validate { dir, dev_url }) => {
            let folder = dir.checked(false)?;
            for file in folder.files() {
                file.transactions()?;
                // Whose SQL it is shows only where it is applied.
                file.statements().or_else(|fault| file.statements_in(Language::ClickHouse).map_err(|_| fault))?;
            }
            say(&format!("{} of {} are as they were hashed\n", files(folder.files().len()), folder.path().display()))?;
            if let Some(server) = dev_url {
                versioned::validate(&folder, &server).await?;
            }
        }
        Command::Diff(command) => return versioned::diff(command, config).await,
        Command::Lint(command) => return versioned::lint(&command, config).await,
        Command::Down(command) => versioned::down(command, config).await?,
        Command::Checkpoint(command) => versioned::checkpoint(&command, config).await?,
        Command::New(new) => {
            import::make(&target::place(new.dir.dir.as_deref().unwrap_or(DIR))?.0)?;
            let path = import::add(&new.dir.read(false)?, new.name.as_deref())?;
            say(&format!("{}\n", path.display()))?;
        }
        Command::Status(command) => return status(command, config).await,
        Command::Apply(command) => apply(command, config).await?,
        Command::Set(command) => set(command, config).await?,
        Command::Unlock(Unlock { holder, at }) => {
            let target = at.target(config)?;
            if target.language() != Language::ClickHouse {
                bail!("break a lock of Postgres: it ends with the session that holds it; end that session instead");
            }
            unlock(&target, at.schema().as_deref(), &holder).await?;
            say(&format!("the lock of {holder} is broken\n"))?;
        }
        Command::Import(command) => {
            let (from, format) = target::place(&command.from)?;
            let format = Format::ALL.iter().find(|(name, _)| Some(*name) == format.as_deref());
            let Some((_, format)) = format else {
                let names: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                bail!("read --from: expected file://path?format= and one of {}", names.join(", "));
            };
            let (to, _) = target::place(&command.to)?;
            let count = import::import(&from, *format, &to)?;
            say(&format!("imported {} into {}\n", files(count), to.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn files(count: usize) -> String {
    counted(count, "file")
}

pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Is told when somebody asks to stop, by Ctrl-C or SIGTERM. Who asks twice is not kept waiting.
pub(super) fn interruptible() -> watch::Receiver<bool> {
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        if until_told().await.is_ok() {
            eprintln!("stopping; once more stops at once");
            sender.send_replace(true);
            if until_told().await.is_ok() {
                std::process::exit(1);
            }
        }
        sender.closed().await;
    });
    receiver
}

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<()> {
    say(&(serde_json::to_string_pretty(value).context("write the report")? + "\n"))
}

async fn status(command: Status, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let folder = command.dir.checked(command.at.control)?;
    let target = command.at.target(config)?;
    let status = report::status(&folder, &target, command.at.schema().as_deref()).await?;
    if command.json {
        json(&status)?;
    } else {
        say(&shown(&status))?;
    }
    Ok(if command.exit_code && !status.is_settled() { PENDING.into() } else { ExitCode::SUCCESS })
}

fn shown(status: &report::Status) -> String {
    let mut text = format!("status   {}\ncurrent  {}\n", status.status, status.current);
    let next = if status.next.is_empty() { "-" } else { &status.next };
    text += &format!("next     {next}\napplied  {}\n", files(status.applied.len()));
    text += &format!("pending  {}\n", files(status.pending.len()));
    for file in &status.pending {
        text += &format!("  {}\n", file.name);
    }
    if !status.out_of_order.is_empty() {
        let names: Vec<&str> = status.out_of_order.iter().map(|file| file.name.as_str()).collect();
        text += &format!("new among the applied: {}\n", names.join(", "));
    }
    if status.total > 0 {
        text += &format!("{} of {} statements of {} are applied\n", status.count, status.total, status.next);
        if !status.sql.is_empty() {
            text += &format!("then     {}\nfailed   {}\n", status.sql, status.error);
        }
    }
    text
}

async fn apply(command: Apply, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let folder = command.dir.checked(command.at.control)?;
    let target = command.at.target(config)?;
    let options = Options {
        revisions_schema: command.at.schema(),
        dry_run: command.dry_run,
        baseline: command.baseline,
        allow_dirty: command.allow_dirty,
        transactions: command.tx_mode.map(|mode| match mode {
            TxMode::File => Transactions::File,
            TxMode::All => Transactions::All,
            TxMode::None => Transactions::None,
        }),
        order: match command.exec_order {
            ExecOrder::Linear => Order::Linear,
            ExecOrder::LinearSkip => Order::LinearSkip,
            ExecOrder::NonLinear => Order::NonLinear,
        },
        lock_timeout: command.lock_timeout,
        amount: command.amount.map(NonZeroUsize::get),
        to: command.to_version,
    };
    let (quiet, dry) = (command.json, command.dry_run);
    let mut bar = ProgressBar::hidden();
    let mut watcher = |event: Event<'_>| match event {
        Event::File { file, total, skipped } => {
            if dry && !quiet {
                tell(&format!("-- {}\n", file.name));
            } else if !dry {
                bar = progress(&file.name, total, skipped);
            }
        }
        Event::Statement { text, .. } if dry && !quiet => tell(&format!("{text}\n")),
        Event::Statement { number, text } => {
            bar.set_position(u64::try_from(number).unwrap_or(u64::MAX));
            bar.set_message(text.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        Event::Done { file, statements, took } => {
            bar.finish_and_clear();
            if !dry && !quiet {
                let statements = counted(statements, "statement");
                tell(&format!("{}: {statements} in {:.2} s\n", file.name, took.as_secs_f64()));
            }
        }
    };
    let (report, outcome) = apply::apply(&folder, &target, &options, &mut interruptible(), &mut watcher).await;
    bar.finish_and_clear();
    if quiet {
        json(&report)?;
    }
    outcome?;
    if quiet { Ok(()) } else { told(&report, dry) }
}

/// What goes on while statements run has no way to fail: the end is told again.
fn tell(text: &str) {
    let _ = say(text);
}

fn told(report: &Report, dry: bool) -> anyhow::Result<()> {
    let Report { current, target, pending, .. } = report;
    let from = if current.is_empty() { "nothing" } else { current };
    match (pending.len(), dry) {
        (0, _) if current.is_empty() => say("nothing is pending\n"),
        (0, _) => say(&format!("nothing is pending: the database is at {current}\n")),
        (count, true) => say(&format!("-- {} would lead from {from} to {target}\n", files(count))),
        (count, false) => say(&format!("the database is at {target}: {} from {from}\n", files(count))),
    }
}

/// Which statement of a file runs, and for how long; hidden where nobody watches.
fn progress(name: &str, total: usize, skipped: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix}: statement {pos} of {len}, {elapsed}  {wide_msg}");
    let bar = ProgressBar::new(u64::try_from(total).unwrap_or(u64::MAX));
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(name.to_owned());
    bar.set_position(u64::try_from(skipped).unwrap_or(u64::MAX));
    // A statement may take hours: the time goes on.
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

async fn set(command: Set, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let folder = command.dir.checked(command.at.control)?;
    let target = command.at.target(config)?;
    let (schema, version) = (command.at.schema(), command.to.as_deref());
    let mut stop = interruptible();
    let changes = set::set(&folder, &target, schema.as_deref(), version, command.lock_timeout, &mut stop).await?;
    if command.json { json(&changes) } else { say(&listed(&changes)) }
}

fn listed(changes: &Changes) -> String {
    let mut text = match &changes.latest {
        Some(latest) => format!("the database is at {}\n", latest.version),
        None => "the ledger is empty\n".to_owned(),
    };
    for changed in &changes.revisions {
        let sign = if changed.op == "set" { '+' } else { '-' };
        let described = match changed.revision.description.as_str() {
            "" => String::new(),
            description => format!(" ({description})"),
        };
        text += &format!("  {sign} {}{described}\n", changed.revision.version);
    }
    text
}
