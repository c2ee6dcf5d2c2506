//! `martello schema`, where a ClickHouse is concerned.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::super::migrate::interruptible;
use super::{Between, Command, Format, Looking, origin, rehearsal, remark, say};
use crate::config::Config;
use crate::migrate::clickhouse::{
    Connection, Done, Making, Model, Plan, Wish, connect, plan as made, read, run as ran, script, text,
};
use crate::migrate::schema::{Hazard, Origin, Rehearsal, Rename};

/// Whether a command is about a ClickHouse: one side is one, or the server for folders.
pub(super) fn is_concerned(command: &Command, config: &Config) -> bool {
    let (origins, looking) = match command {
        Command::Inspect { of, looking, .. } => (vec![of.as_str()], looking),
        Command::Diff { between, .. } | Command::Plan { between, .. } => {
            (vec![between.from.as_str(), between.to.as_str()], &between.looking)
        }
        Command::Apply { from, to, looking, .. } => (vec![from.as_str(), to.as_deref().unwrap_or_default()], looking),
    };
    let is_one = |url: &str| url.starts_with("clickhouse://");
    let of_origin = |text: &&str| matches!(origin(text, config), Origin::Database(url) if is_one(&url));
    looking.dev_url.as_deref().is_some_and(is_one) || origins.iter().any(of_origin)
}

/// Where things are: the database that is compared, and the server for scratch databases.
struct Where {
    server: Option<Connection>,
    /// Names by which a folder may call the database.
    live: Vec<String>,
}

impl Where {
    async fn find(origins: &[&Origin], looking: &Looking) -> anyhow::Result<Self> {
        let mut live = Vec::new();
        let mut server = None;
        for origin in origins {
            if let Origin::Database(url) = origin {
                if !url.starts_with("clickhouse://") {
                    bail!("compare a Postgres with a ClickHouse: expected clickhouse://… or a folder");
                }
                let connection = connect(url).await?;
                live.push(connection.database().to_owned());
                server = server.or(Some(connection));
            }
        }
        if let Some(url) = &looking.dev_url {
            let dev = connect(url).await?;
            // What is written into the plan is the database that it is for.
            let name = live.first().cloned().unwrap_or_else(|| dev.database().to_owned());
            if live.is_empty() {
                live.push(name.clone());
            }
            server = Some(dev.within_name(&name));
        }
        Ok(Self { server, live })
    }

    /// The schema that an origin has, of the databases that are named too.
    async fn read(&self, origin: &Origin, databases: &[String], looking: &Looking) -> anyhow::Result<Wish> {
        let live: Vec<&str> = self.live.iter().map(String::as_str).collect();
        let others: Vec<String> = databases.iter().filter(|it| !self.live.contains(it)).cloned().collect();
        Ok(read(origin, self.server.as_ref(), &live, &others, &looking.ignore).await?)
    }
}

fn making(looking: &Looking, from: &Origin) -> Making {
    let of_url = match from {
        Origin::Database(url) => {
            url.split_once("cluster=").map(|(_, rest)| rest.split('&').next().unwrap_or(rest).to_owned())
        }
        Origin::Folder(_) => None,
    };
    Making { ignore: looking.ignore.clone(), cluster: looking.cluster.clone().or(of_url), drop_old: looking.drop_old }
}

async fn planned(
    from: &Origin,
    to: &Origin,
    renames: &[Rename],
    looking: &Looking,
    rehearsal: Rehearsal,
) -> anyhow::Result<Plan> {
    let places = Where::find(&[from, to], looking).await?;
    // A folder says itself which databases it is about, and the other side is asked for the same.
    let mut databases = looking.database.clone();
    let mut is = None;
    if matches!(from, Origin::Folder(_)) {
        let made = places.read(from, &databases, looking).await.context("read what is")?.model;
        databases.extend(made.databases.keys().cloned());
        is = Some(made);
    }
    let mut wish = places.read(to, &databases, looking).await.context("read what is wished")?;
    wish.renames.extend(renames.iter().cloned());
    // What a server was set up as is nobody's wish for another.
    if let (Origin::Database(_), Some(own)) = (to, &mut wish.model.own) {
        own.engine.clear();
    }
    databases.extend(wish.model.databases.keys().cloned());
    let is = match is {
        Some(made) => made,
        None => places.read(from, &databases, looking).await.context("read what is")?.model,
    };
    let unseen: BTreeSet<&String> = is.unseen.iter().chain(&wish.model.unseen).collect();
    for what in unseen {
        remark(&format!("left alone: {what}"));
    }
    let making = making(looking, from);
    made(&is, &wish, places.server.as_ref(), &making, rehearsal).await.context("plan")
}

pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<ExitCode> {
    match command {
        Command::Inspect { of, format, looking } => {
            let of = origin(&of, config);
            let places = Where::find(&[&of], &looking).await?;
            let model = places.read(&of, &looking.database, &looking).await?.model;
            say(&match format {
                Format::Sql => text(&model, places.live.first().map_or("", String::as_str)),
                Format::Json => shown(&model)?,
            })?;
        }
        Command::Diff { between, exit_code, json } => {
            let plan = between_both(&between, Rehearsal::Skipped, config).await?;
            tell(&plan, json)?;
            if exit_code && !plan.statements.is_empty() {
                return Ok(ExitCode::from(2));
            }
        }
        Command::Plan { between, out, no_rehearsal, json } => {
            let plan = between_both(&between, rehearsal(no_rehearsal), config).await?;
            tell(&plan, json)?;
            if let Some(file) = out {
                let text = serde_json::to_string_pretty(&plan).context("write the plan")? + "\n";
                std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
                remark(&format!("{} is written", file.display()));
            }
        }
        Command::Apply { from, to, plan, allow, rename, looking, no_rehearsal } => {
            let target = origin(&from, config);
            let Origin::Database(url) = &target else {
                bail!("apply to {from}: expected a database's URL, or a source of the configuration");
            };
            let plan = match (plan, to) {
                (Some(file), _) => bound(&file, &target).await?,
                (None, Some(to)) => {
                    planned(&target, &origin(&to, config), &rename, &looking, rehearsal(no_rehearsal)).await?
                }
                (None, None) => bail!("apply to {from}: expected --to or --plan"),
            };
            apply(&plan, &target, url, &allow, &looking).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn between_both(between: &Between, rehearsal: Rehearsal, config: &Config) -> anyhow::Result<Plan> {
    let (from, to) = (origin(&between.from, config), origin(&between.to, config));
    planned(&from, &to, &between.rename, &between.looking, rehearsal).await
}

/// A plan that was written, while the database is what it was made for.
async fn bound(file: &Path, target: &Origin) -> anyhow::Result<Plan> {
    let plan = Plan::read(file)?;
    let now = read(target, None, &[], &plan.databases, &plan.ignore).await?.model;
    if now.fingerprint() != plan.from {
        bail!("apply {}: the database is not what the plan was made for; plan anew", file.display());
    }
    Ok(plan)
}

async fn apply(plan: &Plan, target: &Origin, url: &str, allow: &[Hazard], looking: &Looking) -> anyhow::Result<()> {
    let refused = plan.refused(allow);
    if !refused.is_empty() {
        for (hazard, sql) in &refused {
            remark(&format!("{hazard}: {sql}"));
        }
        let names: BTreeSet<&str> = refused.iter().map(|(hazard, _)| hazard.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        bail!("apply the plan: it has hazards; if they are meant, add --allow {}", names.join(","));
    }
    let mut told = |done: Done<'_>| match done {
        Done::Ran(step) => remark(&format!("ran {}", step.sql)),
        Done::Copied { table, rows, total } => remark(&format!("copied {rows} of {total} rows of {table}")),
    };
    let mut stop = interruptible();
    let running = ran(url, &plan.statements, looking.lock_timeout, &mut stop, &mut told);
    running.await.context("apply the plan")?;
    let now = read(target, None, &[], &plan.databases, &plan.ignore).await?.model;
    if now.fingerprint() != plan.to {
        bail!("find the database as it was planned: somebody else has changed it; run diff to see what is left");
    }
    say(&match plan.statements.len() {
        0 => "the schema is as it should be\n".to_owned(),
        1 => "the schema is as it should be, by 1 statement\n".to_owned(),
        count => format!("the schema is as it should be, by {count} statements\n"),
    })
}

fn tell(plan: &Plan, json: bool) -> anyhow::Result<()> {
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
    say(&script(&plan.statements))
}

fn shown(model: &Model) -> anyhow::Result<String> {
    let whole = json!({ "fingerprint": model.fingerprint(), "databases": model.databases, "objects": model.objects, "unseen": model.unseen });
    Ok(serde_json::to_string_pretty(&whole).context("write the schema")? + "\n")
}
