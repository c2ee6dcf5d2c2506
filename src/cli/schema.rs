//! `martello schema`

mod columnar;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::say;
use crate::config::Config;
use crate::config::duration::parse_duration;
use crate::migrate::schema;
use crate::migrate::schema::{Done, Hazard, Model, Origin, Plan, Rehearsal, Rename, Running, Scope, Wish};
use crate::store::Store;

/// The schema of the control store.
const CONTROL_SCHEMA: &str = "martello";

#[derive(Subcommand)]
pub(super) enum Command {
    /// Shows the schema of a database or a folder.
    #[command(after_help = "Examples:\n  \
        martello schema inspect postgres://martello@localhost/marts > schema.sql\n  \
        martello schema inspect schema/postgres --dev-url postgres://localhost/postgres --format json")]
    Inspect {
        /// A database's URL, a folder of SQL, a folder of migrations, or a source of the configuration.
        of: String,
        /// As statements that make it, or as objects with what defines them.
        #[arg(long, value_enum, default_value = "sql")]
        format: Format,
        #[command(flatten)]
        looking: Looking,
    },
    /// Prints the statements from one schema to another, ready for psql; nothing where they are equal.
    #[command(after_help = "Examples:\n  \
        martello schema diff --from postgres://martello@localhost/marts --to schema/postgres\n  \
        martello schema diff --from migrations/postgres --to schema/postgres --dev-url postgres://localhost/postgres --exit-code")]
    Diff {
        #[command(flatten)]
        between: Between,
        /// Ends with 2 where they differ.
        #[arg(long)]
        exit_code: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Prints the statements from one schema to another after it has tried them on a scratch copy.
    #[command(after_help = "Examples:\n  \
        martello schema plan --from postgres://martello@localhost/marts --to schema/postgres --out plan.json\n  \
        martello schema apply --from postgres://martello@localhost/marts --plan plan.json --allow drops-index")]
    Plan {
        #[command(flatten)]
        between: Between,
        /// The file that is written, for apply.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Does not try it.
        #[arg(long)]
        no_rehearsal: bool,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Makes a database what is wished, by a plan that has been written or one of now.
    #[command(after_help = "Examples:\n  \
        martello schema apply --from postgres://martello@localhost/marts --to schema/postgres --allow deletes-data\n  \
        martello schema apply --from postgres://martello@localhost/marts --plan plan.json")]
    Apply {
        /// The database that is changed: its URL, or a source of the configuration.
        #[arg(long, value_name = "URL")]
        from: String,
        /// What it becomes: as with plan.
        #[arg(long, value_name = "ORIGIN", required_unless_present = "plan")]
        to: Option<String>,
        /// A plan that was written with --out; refused where the database is no longer what it was.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["to", "ignore", "grantee", "rename", "database"])]
        plan: Option<PathBuf>,
        /// A hazard that is accepted, or several with commas between them.
        #[arg(long, value_name = "HAZARD", value_delimiter = ',', value_parser = hazard)]
        allow: Vec<Hazard>,
        /// Names that have changed, as OLD=NEW. May be repeated.
        #[arg(long, value_name = "OLD=NEW", value_parser = rename)]
        rename: Vec<Rename>,
        #[command(flatten)]
        looking: Looking,
        /// Does not try the plan on a scratch copy first.
        #[arg(long)]
        no_rehearsal: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Format {
    // Statements that make it.
    Sql,
    // Objects, with what defines them.
    Json,
}

#[derive(clap::Args)]
pub(super) struct Looking {
    /// The server on which scratch databases are made [default: that of the database].
    #[arg(long, value_name = "URL")]
    dev_url: Option<String>,
    /// A role whose grants are part of the schema, such as the one that serves. May be repeated.
    #[arg(long, value_name = "ROLE")]
    grantee: Vec<String>,
    /// Names that are left alone, of a schema or in one, with * for any characters. May be repeated.
    #[arg(long, value_name = "PATTERN")]
    ignore: Vec<String>,
    /// A database of ClickHouse that is compared besides that of the URL and those that a folder makes. May be repeated.
    #[arg(long, value_name = "NAME")]
    database: Vec<String>,
    /// The cluster of ClickHouse on which every statement runs [default: that of ?cluster= in the URL].
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// Drops what is left of ClickHouse's tables when they are built anew, instead of keeping it under another name.
    #[arg(long)]
    drop_old: bool,
    /// How long a statement waits for a lock before it is tried later; with ClickHouse, how long another apply is waited for.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = parse_duration)]
    lock_timeout: Duration,
}

#[derive(clap::Args)]
pub(super) struct Between {
    /// What is: a database's URL, a folder of SQL, a folder of migrations, or a source of the configuration.
    #[arg(long, value_name = "ORIGIN")]
    from: String,
    /// What is wished: the same.
    #[arg(long, value_name = "ORIGIN")]
    to: String,
    /// Names that have changed, as OLD=NEW. May be repeated.
    #[arg(long, value_name = "OLD=NEW", value_parser = rename)]
    rename: Vec<Rename>,
    #[command(flatten)]
    looking: Looking,
}

pub(super) fn hazard(text: &str) -> Result<Hazard, String> {
    let names: Vec<&str> = Hazard::ALL.iter().map(|(name, _)| *name).collect();
    let found = Hazard::ALL.iter().find(|(name, _)| *name == text);
    found.map(|(_, hazard)| *hazard).ok_or_else(|| format!("expected one of {}", names.join(", ")))
}

pub(super) fn rename(text: &str) -> Result<Rename, String> {
    let (old, new) = text.split_once('=').ok_or("expected OLD=NEW")?;
    Ok(Rename { old: old.to_owned(), new: new.to_owned() })
}

/// Says something that is no part of what a program reads.
pub(super) fn remark(text: &str) {
    eprintln!("{text}");
}

/// Where a schema is found: by URL, in a folder, or in a source of the configuration.
pub(super) fn origin(text: &str, config: &Config) -> Origin {
    let source = config.sources.get(text).filter(|_| !PathBuf::from(text).is_dir());
    let named = source.map_or(text, |source| source.url.expose());
    // Whatever is no URL is a folder.
    named.parse().unwrap_or_else(|never: std::convert::Infallible| match never {})
}

impl Looking {
    fn server(&self, origins: &[&Origin]) -> Option<String> {
        let first = origins.iter().find_map(|origin| match origin {
            Origin::Database(url) => Some(url.clone()),
            Origin::Folder(_) => None,
        });
        self.dev_url.clone().or(first)
    }

    /// What is looked at: without what the control store has as versions, and without its own tables.
    async fn scope(&self, config: &Config) -> anyhow::Result<Scope> {
        let mut ignore = self.ignore.clone();
        if let Some(control) = &config.control {
            let versions = Store::open(control.url.expose())?.versions().await.context("read the versions")?;
            for relation in versions.relations() {
                let any = if relation.schema.is_some() { "" } else { "*." };
                ignore.push(format!("{any}{relation}"));
            }
        }
        Ok(Scope { grantees: self.grantee.clone(), ignore })
    }

    fn lock_timeout(&self) -> String {
        format!("{}ms", self.lock_timeout.as_millis())
    }
}

/// Both sides, and what is looked at of them.
struct Sides {
    from: Model,
    wish: Wish,
    scope: Scope,
    server: Option<String>,
}

impl Sides {
    async fn read(
        from: &str,
        to: &str,
        renames: &[Rename],
        looking: &Looking,
        config: &Config,
    ) -> anyhow::Result<Self> {
        let (from, to) = (origin(from, config), origin(to, config));
        let mut scope = looking.scope(config).await?;
        let server = looking.server(&[&from, &to]);
        let mut wish = schema::read(&to, server.as_deref(), &scope).await.context("read what is wished")?;
        wish.renames.extend(renames.iter().cloned());
        // Who wishes for the marts does not wish the control store away.
        let wished = wish.model.objects.keys().any(|key| key.name == CONTROL_SCHEMA);
        if config.control.is_some() && !wished {
            scope.ignore.push(CONTROL_SCHEMA.to_owned());
        }
        let is = schema::read(&from, server.as_deref(), &scope).await.context("read what is")?.model;
        let unseen: BTreeSet<&String> = is.unseen.iter().chain(&wish.model.unseen).collect();
        for what in unseen {
            remark(&format!("left alone: {what}"));
        }
        Ok(Self { from: is, wish, scope, server })
    }

    async fn plan(&self, rehearsal: Rehearsal) -> anyhow::Result<Plan> {
        let plan = schema::plan(&self.from, &self.wish, &self.scope, self.server.as_deref(), rehearsal);
        plan.await.context("plan")
    }
}

pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    if columnar::is_concerned(&command, config) {
        return columnar::run(command, config).await;
    }
    match command {
        Command::Inspect { of, format, looking } => {
            let of = origin(&of, config);
            let scope = looking.scope(config).await?;
            let model = schema::read(&of, looking.server(&[&of]).as_deref(), &scope).await?.model;
            say(&match format {
                Format::Sql => schema::script(&schema::diff(&model.pristine(), &model), &looking.lock_timeout()),
                Format::Json => shown(&model)?,
            })?;
        }
        Command::Diff { between, exit_code, json } => {
            let sides = Sides::read(&between.from, &between.to, &between.rename, &between.looking, config).await?;
            let plan = sides.plan(Rehearsal::Skipped).await?;
            tell(&plan, json, &between.looking)?;
            if exit_code && !plan.statements.is_empty() {
                return Ok(ExitCode::from(2));
            }
        }
        Command::Plan { between, out, no_rehearsal, json } => {
            let sides = Sides::read(&between.from, &between.to, &between.rename, &between.looking, config).await?;
            let plan = sides.plan(rehearsal(no_rehearsal)).await?;
            tell(&plan, json, &between.looking)?;
            if let Some(file) = out {
                let text = serde_json::to_string_pretty(&plan).context("write the plan")? + "\n";
                std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
                remark(&format!("{} is written", file.display()));
            }
        }
        Command::Apply { from, to, plan, allow, rename, looking, no_rehearsal } => {
            let Origin::Database(url) = origin(&from, config) else {
                bail!("apply to {from}: expected a database's URL, or a source of the configuration");
            };
            let plan = match (plan, to) {
                (Some(file), _) => bound(&file, &url).await?,
                (None, Some(to)) => {
                    let sides = Sides::read(&url, &to, &rename, &looking, config).await?;
                    sides.plan(rehearsal(no_rehearsal)).await?
                }
                (None, None) => bail!("apply to {from}: expected --to or --plan"),
            };
            apply(&plan, &url, &allow, &looking).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn rehearsal(skipped: bool) -> Rehearsal {
    if skipped { Rehearsal::Skipped } else { Rehearsal::Done }
}

/// A plan that was written, while the database is what it was made for.
async fn bound(file: &std::path::Path, url: &str) -> anyhow::Result<Plan> {
    let plan = Plan::read(file)?;
    let now = schema::read(&Origin::Database(url.to_owned()), None, &plan.scope()).await?.model;
    if now.fingerprint() != plan.from {
        bail!("apply {}: the database is not what the plan was made for; plan anew", file.display());
    }
    Ok(plan)
}

async fn apply(plan: &Plan, url: &str, allow: &[Hazard], looking: &Looking) -> anyhow::Result<()> {
    let refused = plan.refused(allow);
    if !refused.is_empty() {
        for (hazard, sql) in &refused {
            remark(&format!("{hazard}: {sql}"));
        }
        let names: BTreeSet<&str> = refused.iter().map(|(hazard, _)| hazard.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        bail!("apply the plan: it has hazards; if they are meant, add --allow {}", names.join(","));
    }
    let running = Running { lock_timeout: looking.lock_timeout() };
    let mut told = |done: Done<'_>| match done {
        Done::Ran(statement) => remark(&format!("ran {}", statement.sql)),
        Done::Waits(statement) => remark(&format!("waits for a lock: {}", statement.sql)),
    };
    schema::run(url, &plan.statements, &running, &mut told).await.context("apply the plan")?;
    let now = schema::read(&Origin::Database(url.to_owned()), None, &plan.scope()).await?.model;
    if now.fingerprint() != plan.to {
        bail!("find the database as it was planned: somebody else has changed it; run diff to see what is left");
    }
    say(&match plan.statements.len() {
        0 => "the schema is as it should be\n".to_owned(),
        1 => "the schema is as it should be, by 1 statement\n".to_owned(),
        count => format!("the schema is as it should be, by {count} statements\n"),
    })
}

fn tell(plan: &Plan, json: bool, looking: &Looking) -> anyhow::Result<()> {
    if json {
        return say(&(serde_json::to_string_pretty(plan).context("write the plan")? + "\n"));
    }
    let hazards: BTreeSet<&str> = plan.refused(&[]).iter().map(|(hazard, _)| hazard.as_str()).collect();
    let hazards: Vec<&str> = hazards.into_iter().collect();
    if plan.statements.is_empty() {
        remark("nothing is to be done");
    } else if !hazards.is_empty() {
        remark(&format!("hazards: {}", hazards.join(", ")));
    }
    say(&schema::script(&plan.statements, &looking.lock_timeout()))
}

fn shown(model: &Model) -> anyhow::Result<String> {
    let objects: Vec<_> = model
        .objects
        .iter()
        .map(|(key, object)| {
            let fields: std::collections::BTreeMap<&str, &str> = object.compared().collect();
            json!({ "kind": key.kind, "name": key.name, "fields": fields })
        })
        .collect();
    let whole = json!({ "fingerprint": model.fingerprint(), "objects": objects, "unseen": model.unseen });
    Ok(serde_json::to_string_pretty(&whole).context("write the schema")? + "\n")
}
