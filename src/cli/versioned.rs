//! `martello migrate diff`, `lint`, `down`, `checkpoint` and `validate --dev-url`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::migrate::{At, Dir, counted, files, interruptible, json};
use super::say;
use super::schema::{hazard, origin, remark, rename};
use crate::catalog::{self, Catalog};
use crate::config::Config;
use crate::config::duration::parse_duration;
use crate::migrate::clickhouse as engine;
use crate::migrate::folder::Folder;
use crate::migrate::lint;
use crate::migrate::lint::{Level, New};
use crate::migrate::schema::{Done, Hazard, Rename, Risk, Scope};
use crate::migrate::statements::Language;
use crate::migrate::target::place;
use crate::migrate::versioned;
use crate::migrate::versioned::clickhouse::Place;
use crate::migrate::versioned::{Draft, Error, Options, Until};

/// What `diff --exit-code` ends with where something is missing.
const CHANGES: u8 = 2;

pub(super) const DIFF_EXAMPLES: &str = "Examples:\n  \
    martello migrate diff add_sectors --dir file://migrations/postgres --to schema/postgres --dev-url postgres://localhost/postgres\n  \
    martello migrate diff --dir file://migrations/postgres --to schema/postgres --source marts --dry-run --exit-code\n  \
    martello migrate diff --dir file://migrations/clickhouse --to schema/clickhouse --dev-url clickhouse://localhost:8123/marts";
pub(super) const LINT_EXAMPLES: &str = "Examples:\n  \
    martello migrate lint --dir file://migrations/postgres --dev-url postgres://localhost/postgres --latest 1\n  \
    martello migrate lint --dir file://migrations/postgres --source marts --git-base origin/main --format github";
pub(super) const DOWN_EXAMPLES: &str = "Examples:\n  \
    martello migrate down --source marts --dir file://migrations/postgres --dry-run\n  \
    martello migrate down --source marts --dir file://migrations/postgres --to-version 20261125000000 --allow drops-index";

/// A server for scratch databases.
#[derive(clap::Args)]
struct On {
    /// The server on which scratch databases are made, by the URL of any database of it [default: that of --url or --source].
    #[arg(long, value_name = "URL")]
    dev_url: Option<String>,
    /// A database whose server may have them.
    #[arg(long, short, value_name = "URL", conflicts_with = "source")]
    url: Option<String>,
    /// The same, a source of the configuration [default: the only one for Postgres, or else for ClickHouse].
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

impl On {
    fn server(&self, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<String> {
        if let Some(url) = self.dev_url.as_ref().or(self.url.as_ref()) {
            return Ok(url.clone());
        }
        let config = config()?;
        if let Some(name) = &self.source {
            return source_url(&config, name);
        }
        for scheme in ["postgres", "clickhouse"] {
            let urls = config.sources.values().map(|source| source.url.expose());
            match urls.filter(|url| url.starts_with(scheme)).collect::<Vec<_>>()[..] {
                [] => {}
                [only] => return Ok(only.to_owned()),
                _ => break,
            }
        }
        bail!("choose a server for scratch databases: expected --dev-url postgres://… or clickhouse://…")
    }

    /// The URL of the database that files are for, where one is given.
    fn meant(&self, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<Option<String>> {
        match (&self.url, &self.source) {
            (Some(url), _) => Ok(Some(url.clone())),
            (None, Some(name)) => source_url(&config()?, name).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// The same where it is a ClickHouse, and the database that is meant.
    fn place(
        &self,
        server: &str,
        looking: &Looking,
        config: impl Fn() -> anyhow::Result<Config>,
    ) -> anyhow::Result<Option<Place>> {
        if !is_clickhouse(server) {
            return Ok(None);
        }
        let meant = self.meant(config)?.filter(|_| self.dev_url.is_some());
        let place = Place::of(server, meant.as_deref());
        let cluster = looking.cluster.clone().or(place.cluster);
        Ok(Some(Place { cluster, ignore: looking.ignore.clone(), ..place }))
    }
}

fn source_url(config: &Config, name: &str) -> anyhow::Result<String> {
    match config.sources.get(name) {
        Some(source) => Ok(source.url.expose().to_owned()),
        None => bail!("find source {name:?} in the configuration"),
    }
}

fn is_clickhouse(url: &str) -> bool {
    url.starts_with("clickhouse://")
}

/// What is looked at.
#[derive(clap::Args, Default)]
struct Looking {
    /// A role whose grants are part of the schema, such as the one that serves. May be repeated.
    #[arg(long, value_name = "ROLE")]
    grantee: Vec<String>,
    /// Names that are left alone, of a schema or in one, with * for any characters. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    ignore: Vec<String>,
    /// A cluster of ClickHouse that is changed as a whole, by ON CLUSTER [default: that of ?cluster= in the URL].
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

impl Looking {
    fn scope(&self) -> Scope {
        Scope { grantees: self.grantee.clone(), ignore: self.ignore.clone() }
    }
}

#[derive(clap::Args)]
pub(super) struct Diff {
    /// What the names of the files say besides the time.
    name: Option<String>,
    #[command(flatten)]
    dir: Dir,
    /// What is wished: a folder of SQL such as schema/postgres, or a database's URL.
    #[arg(long, value_name = "ORIGIN")]
    to: String,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    looking: Looking,
    /// Names that have changed, as OLD=NEW. May be repeated.
    #[arg(long, value_name = "OLD=NEW", value_parser = rename)]
    rename: Vec<Rename>,
    /// A database of ClickHouse that is wished besides those that folders make, where the wish is a database. May be repeated.
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// Show the files, and write none.
    #[arg(long)]
    dry_run: bool,
    /// End with 2 where something was missing.
    #[arg(long)]
    exit_code: bool,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn diff(command: Diff, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let folder = command.dir.begun()?;
    let wished = match command.to.strip_prefix("file://") {
        Some(_) => crate::migrate::schema::Origin::Folder(place(&command.to)?.0),
        None if Path::new(&command.to).is_dir() || command.to.contains("://") => {
            origin(&command.to, &Config::default())
        }
        None => origin(&command.to, &config()?),
    };
    let (server, scope) = (command.on.server(&config)?, command.looking.scope());
    let (renames, name) = (&command.rename, command.name.as_deref());
    let change = match command.on.place(&server, &command.looking, &config)? {
        Some(place) => {
            let place = Place { databases: command.database, ..place };
            versioned::clickhouse::diff(&folder, &wished, renames, &place, name).await?
        }
        None => versioned::diff(&folder, &wished, renames, &server, &scope, name).await?,
    };
    for what in &change.unseen {
        remark(&format!("left alone: {what}"));
    }
    let written = if command.dry_run { Vec::new() } else { kept(&folder, &change.files)? };
    if command.json {
        json(&change)?;
    } else if change.files.is_empty() {
        say("synced: the folder makes what is wished\n")?;
    } else if command.dry_run {
        for Draft { name, sql, .. } in &change.files {
            say(&format!("-- {name}\n{sql}"))?;
        }
    } else {
        say(&written.iter().map(|path| format!("{}\n", path.display())).collect::<String>())?;
        let hazards = change.files.iter().flat_map(|file| &file.hazards).map(|Risk { hazard, .. }| hazard.as_str());
        let hazards: std::collections::BTreeSet<&str> = hazards.collect();
        if !hazards.is_empty() {
            remark(&format!("hazards: {}", hazards.into_iter().collect::<Vec<_>>().join(", ")));
        }
    }
    Ok(if command.exit_code && !change.files.is_empty() { CHANGES.into() } else { ExitCode::SUCCESS })
}

/// Writes the files, where there are any: the hashes of a folder that lacks nothing are left alone.
fn kept(folder: &Folder, drafts: &[Draft]) -> anyhow::Result<Vec<std::path::PathBuf>> {
    if drafts.is_empty() { Ok(Vec::new()) } else { Ok(versioned::keep(folder, drafts)?) }
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Json,
    Sarif,
    Github,
}

#[derive(clap::Args)]
pub(super) struct Lint {
    #[command(flatten)]
    dir: Dir,
    #[command(flatten)]
    on: On,
    /// So many of the last files are new [default: 1].
    #[arg(long, value_name = "N")]
    latest: Option<NonZeroUsize>,
    /// Files are new that this branch, tag or commit of git does not have.
    #[arg(long, value_name = "BRANCH", conflicts_with = "latest")]
    git_base: Option<String>,
    /// How findings are shown: for people, for programs, for code scanning, or beside the lines of a change.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    format: Format,
    /// A role that serves, and must be let read what datasets are made of. May be repeated.
    #[arg(long, value_name = "ROLE")]
    grantee: Vec<String>,
}

pub(super) async fn lint(command: &Lint, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<ExitCode> {
    let folder = command.dir.read(false)?;
    let server = command.on.server(&config)?;
    let place = command.on.place(&server, &Looking::default(), &config)?;
    let meant = command.on.meant(&config)?;
    let scheme = if place.is_some() { "clickhouse" } else { "postgres" };
    let config = config()?;
    // Whoever has only migrations has promised nothing.
    let catalog: Option<Catalog> = match config.catalog.is_dir() {
        true => Some(catalog::load(&config.catalog).context("load the catalog")?),
        false => None,
    };
    let sources: BTreeMap<_, _> =
        config.sources.iter().filter(|(_, source)| source.url.expose().starts_with(scheme)).collect();
    let is_meant = |name: &str| match &command.on.source {
        Some(source) => name == source,
        None => config.sources.is_empty() || sources.keys().any(|source| *source == name),
    };
    let datasets = catalog.iter().flat_map(Catalog::iter).filter(|dataset| is_meant(dataset.source.as_str()));
    let options = lint::Options {
        new: match &command.git_base {
            Some(base) => New::Since(base.clone()),
            None => New::Latest(command.latest.map_or(1, NonZeroUsize::get)),
        },
        server,
        database: place.and_then(|place| place.database),
        meant,
        grantees: command.grantee.clone(),
        datasets: datasets.map(|dataset| &**dataset).collect(),
        sources: sources.iter().map(|(name, source)| ((*name).clone(), (*source).clone())).collect(),
    };
    let report = lint::lint(&folder, &options).await?;
    match command.format {
        Format::Text => say(&lint::text(&report))?,
        Format::Json => json(&report)?,
        Format::Sarif => json(&lint::sarif(&report))?,
        Format::Github => say(&lint::github(&report))?,
    }
    Ok(if report.count(Level::Error) > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[derive(clap::Args)]
pub(super) struct Down {
    /// So many versions less [default: 1].
    #[arg(conflicts_with = "to_version")]
    amount: Option<NonZeroUsize>,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    dir: Dir,
    /// To the state right after this version.
    #[arg(long, value_name = "VERSION")]
    to_version: Option<String>,
    /// The server on which scratch databases are made [default: that of the database].
    #[arg(long, value_name = "URL")]
    dev_url: Option<String>,
    /// Tell what would be done, and do nothing.
    #[arg(long)]
    dry_run: bool,
    /// A hazard that is accepted, or several with commas between them.
    #[arg(long, value_name = "HAZARD", value_delimiter = ',', value_parser = hazard)]
    allow: Vec<Hazard>,
    #[command(flatten)]
    looking: Looking,
    /// How long an apply is waited for; a lock of a table is waited for 3 s, and tried again.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "DURATION")]
    lock_timeout: Duration,
    /// As JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn down(command: Down, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let folder = command.dir.checked(command.at.control)?;
    let target = command.at.target(config)?;
    let options = Options {
        revisions_schema: command.at.schema(),
        dev_url: command.dev_url,
        until: match command.to_version {
            Some(version) => Until::Version(version),
            None => Until::Less(command.amount.map_or(1, NonZeroUsize::get)),
        },
        dry_run: command.dry_run,
        allowed: command.allow,
        scope: command.looking.scope(),
        lock_timeout: command.lock_timeout,
        statement_lock_timeout: "3s".to_owned(),
    };
    let mut stop = interruptible();
    let done = match target.language() {
        Language::ClickHouse => {
            let cluster = command.looking.cluster.as_deref();
            let mut told = |done: engine::Done<'_>| match done {
                engine::Done::Ran(step) => remark(&format!("ran {}", step.sql)),
                engine::Done::Copied { table, rows, total } => {
                    remark(&format!("copied {rows} of {total} rows of {table}"));
                }
            };
            versioned::clickhouse::down(&folder, &target, &options, cluster, &mut stop, &mut told).await
        }
        Language::Postgres => {
            let mut told = |done: Done<'_>| match done {
                Done::Ran(statement) => remark(&format!("ran {}", statement.sql)),
                Done::Waits(statement) => remark(&format!("waits for a lock: {}", statement.sql)),
            };
            versioned::down(&folder, &target, &options, &mut stop, &mut told).await
        }
    };
    if let Err(Error::Hazards { refused }) = &done {
        for (hazard, sql) in refused {
            remark(&format!("{hazard}: {sql}"));
        }
    }
    let done = done?;
    if command.json {
        return json(&done);
    }
    let to = done.to.as_deref().unwrap_or("nothing");
    if command.dry_run {
        for statement in &done.statements {
            let hazards = statement.hazards.iter().map(|Risk { hazard, why }| format!("-- {hazard}: {why}\n"));
            say(&format!("{}{};\n", hazards.collect::<String>(), statement.sql))?;
        }
        let count = counted(done.statements.len(), "statement");
        return say(&format!("-- {count} would lead from {} to {to}\n", done.from));
    }
    say(&format!("the database is at {to}, by {}\n", counted(done.statements.len(), "statement")))
}

#[derive(clap::Args)]
pub(super) struct Checkpoint {
    /// What it is called, such as the release that it stands for.
    tag: Option<String>,
    #[command(flatten)]
    dir: Dir,
    #[command(flatten)]
    on: On,
    #[command(flatten)]
    looking: Looking,
    /// Accept that rows which migrations insert are not in it.
    #[arg(long)]
    leave_rows: bool,
}

pub(super) async fn checkpoint(
    command: &Checkpoint,
    config: impl Fn() -> anyhow::Result<Config>,
) -> anyhow::Result<()> {
    let folder = command.dir.checked(false)?;
    if folder.files().is_empty() {
        bail!("make a checkpoint: the folder has no migrations");
    }
    let plain = |tag: &&String| tag.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if let Some(tag) = command.tag.iter().find(|tag| !plain(tag)) {
        bail!("name a checkpoint {tag:?}: expected letters, digits, ., - and _");
    }
    let (server, scope) = (command.on.server(&config)?, command.looking.scope());
    let (tag, leave_rows) = (command.tag.as_deref(), command.leave_rows);
    let draft = match command.on.place(&server, &command.looking, &config)? {
        Some(place) => versioned::clickhouse::checkpoint(&folder, tag, leave_rows, &place).await?,
        None => versioned::checkpoint(&folder, tag, leave_rows, &server, &scope).await?,
    };
    let written = versioned::keep(&folder, &[draft])?;
    say(&written.iter().map(|path| format!("{}\n", path.display())).collect::<String>())
}

pub(super) async fn validate(folder: &Folder, server: &str) -> anyhow::Result<()> {
    let (count, checkpoints) = match is_clickhouse(server) {
        true => versioned::clickhouse::validate(folder, &Place::of(server, None)).await?,
        false => versioned::validate(folder, server, &Scope::default()).await?,
    };
    say(&match checkpoints {
        0 => format!("{} run on an empty database\n", files(count)),
        _ => {
            let checkpoints = counted(checkpoints, "checkpoint");
            format!(
                "{} run on an empty database, and {checkpoints} of them hold what the files before make\n",
                files(count)
            )
        }
    })
}
