//! `martello publish`, `martello rollback`, `martello versions`, `martello control`

use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use jiff::civil::Date;
use serde_json::json;

use super::migrate::interruptible;
use super::say;
use crate::app::House;
use crate::catalog::{Dataset, Relation};
use crate::config::{self, Config};
use crate::migrate::control;
use crate::publish::files::{AssetId, Edition, Files};
use crate::publish::{Publisher, Request};
use crate::redis::{PUBLISHED, Redis};
use crate::source::Sources;
use crate::store::{Store, Version};

#[derive(clap::Args)]
pub(super) struct Publish {
    /// A dataset of the catalog.
    dataset: String,
    /// The relation that holds the new version, in the dataset's source: NAME or SCHEMA.NAME. It is never written again.
    #[arg(long)]
    relation: Relation,
    /// The day up to which the data reaches [default: the greatest of the contract's time].
    #[arg(long, value_name = "DATE")]
    data_through: Option<Date>,
    #[command(flatten)]
    by: Operator,
}

#[derive(clap::Args)]
pub(super) struct Rollback {
    /// A dataset of the catalog.
    dataset: String,
    /// The number of the version to serve again [default: the one before the current].
    #[arg(long)]
    to: Option<u64>,
    #[command(flatten)]
    by: Operator,
}

#[derive(clap::Args)]
pub(super) struct Operator {
    /// Who does it, for the record.
    #[arg(long, env = "USER", default_value = "unknown", hide_env_values = true)]
    pub(super) operator: String,
}

#[derive(Subcommand)]
pub(super) enum Versions {
    /// Lists what was published of a dataset, the newest first.
    List {
        /// A dataset of the catalog.
        dataset: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Drops relations of versions past their contract's retention.
    Prune {
        /// A dataset of the catalog [default: all].
        dataset: Option<String>,
    },
}

#[derive(Subcommand)]
pub(super) enum Control {
    /// Makes the tables of the control store that are not there yet: what migrations/control has.
    Init,
}

/// What every one of these commands needs.
pub(super) struct Desk {
    pub(super) house: House,
    pub(super) store: Store,
}

impl Desk {
    pub(super) fn open(config: &Config) -> anyhow::Result<Self> {
        Ok(Self { house: House::load(config)?, store: store(config)? })
    }

    pub(super) fn dataset(&self, name: &str) -> anyhow::Result<&Arc<Dataset>> {
        self.house.catalog.get(name).with_context(|| {
            let names: Vec<&str> = self.house.catalog.iter().map(|dataset| dataset.name.as_str()).collect();
            format!("find dataset {name:?}: expected one of {}", names.join(", "))
        })
    }
}

pub(super) fn store(config: &Config) -> anyhow::Result<Store> {
    Ok(Store::open(control_url(config)?)?)
}

pub(super) fn control_url(config: &Config) -> anyhow::Result<&str> {
    let Some(control) = &config.control else {
        bail!("find the control store in the configuration: expected control.url");
    };
    Ok(control.url.expose())
}

pub(super) fn source_of<'c>(config: &'c Config, dataset: &Dataset) -> anyhow::Result<&'c config::Source> {
    let name = dataset.source.as_str();
    config.sources.get(name).with_context(|| format!("find source {name:?} of {} in the configuration", dataset.name))
}

pub(super) async fn publish(arguments: Publish, config: &Config) -> anyhow::Result<()> {
    let desk = Desk::open(config)?;
    let dataset = desk.dataset(&arguments.dataset)?;
    let request =
        Request { relation: arguments.relation, data_through: arguments.data_through, operator: arguments.by.operator };
    let version = publish_into(&desk, config, dataset, request).await?;
    told(&version)
}

/// Publishes a relation of the dataset's source.
pub(super) async fn publish_into(
    desk: &Desk,
    config: &Config,
    dataset: &Dataset,
    request: Request,
) -> anyhow::Result<Version> {
    source_of(config, dataset)?;
    let sources = Sources::open(&config.sources).context("open the sources")?;
    let source = sources.get(&dataset.source)?;
    let version = Publisher { store: &desk.store, dataset }.publish(source.as_ref(), request).await?;
    tell_instances(config, dataset).await?;
    Ok(version)
}

/// Instances would know by their next poll; where the store announces nothing by itself, a hint makes that now.
async fn tell_instances(config: &Config, dataset: &Dataset) -> anyhow::Result<()> {
    let Some(redis) = &config.redis else { return Ok(()) };
    Redis::open(redis)?.publish(PUBLISHED, dataset.name.as_str()).await;
    Ok(())
}

pub(super) fn told(version: &Version) -> anyhow::Result<()> {
    let through = version.data_through.map(|day| format!(", through {day}")).unwrap_or_default();
    let back = version.rollback_of.map(|number| format!(", as {number} was")).unwrap_or_default();
    let Version { dataset, number, relation, rows, .. } = version;
    say(&format!("{dataset} is at version {number}: {relation}, {rows} rows{through}{back}\n"))
}

pub(super) async fn roll_back(arguments: Rollback, config: &Config) -> anyhow::Result<()> {
    let desk = Desk::open(config)?;
    let dataset = desk.dataset(&arguments.dataset)?;
    let publisher = Publisher { store: &desk.store, dataset };
    let version = publisher.roll_back(arguments.to, arguments.by.operator).await?;
    tell_instances(config, dataset).await?;
    told(&version)
}

pub(super) async fn versions(command: Versions, config: &Config) -> anyhow::Result<()> {
    let desk = Desk::open(config)?;
    match command {
        Versions::List { dataset, json } => {
            let name = &desk.dataset(&dataset)?.name;
            let versions = desk.store.versions().await?;
            let current = versions.of(name.as_str()).map(|version| version.id);
            let history = versions.history(name.as_str());
            if json {
                let listed: Vec<_> =
                    history.iter().map(|version| listed(version, current == Some(version.id))).collect();
                return say(&(serde_json::to_string_pretty(&listed).context("write the versions")? + "\n"));
            }
            if history.is_empty() {
                return say(&format!("{name} is live: nothing was published of it\n"));
            }
            let mut text = String::new();
            for version in history {
                let mark = if current == Some(version.id) { "*" } else { " " };
                let state = if version.is_kept() { version.relation.to_string() } else { "dropped".to_owned() };
                let through = version.data_through.map_or_else(|| "-".to_owned(), |day| day.to_string());
                text += &format!(
                    "{mark} {:>5}  {}  {:>12} rows  through {through:10}  {state}  by {}\n",
                    version.number,
                    version.published_at.strftime("%Y-%m-%d %H:%M:%SZ"),
                    version.rows,
                    version.operator,
                );
            }
            say(&text)
        }
        Versions::Prune { dataset } => {
            let datasets: Vec<&Arc<Dataset>> = match &dataset {
                Some(name) => vec![desk.dataset(name)?],
                None => desk.house.catalog.iter().collect(),
            };
            let files = Files::open(&config.assets.store)?;
            for dataset in datasets {
                let dropped = Publisher { store: &desk.store, dataset }.prune(source_of(config, dataset)?).await?;
                for version in dropped {
                    // Files of rows that are gone go with them.
                    files.remove(&AssetId::folder(&dataset.name, &Edition::of(&version))).await?;
                    say(&format!("{} lost version {}: {}\n", dataset.name, version.number, version.relation))?;
                }
            }
            Ok(())
        }
    }
}

fn listed(version: &Version, current: bool) -> serde_json::Value {
    json!({
        "number": version.number,
        "id": version.id.to_string(),
        "current": current,
        "relation": version.relation.to_string(),
        "published_at": version.published_at.to_string(),
        "data_through": version.data_through.map(|day| day.to_string()),
        "rows": version.rows,
        "operator": version.operator,
        "rollback_of": version.rollback_of,
        "retired_at": version.retired_at.map(|at| at.to_string()),
        "dropped_at": version.dropped_at.map(|at| at.to_string()),
        "contract": version.contract,
    })
}

pub(super) async fn control(command: Control, config: &Config) -> anyhow::Result<()> {
    match command {
        Control::Init => {
            let url = control_url(config)?;
            if url.starts_with("sqlite:") {
                store(config)?.init().await?;
                return say("the control store has its tables\n");
            }
            let applied =
                control::init(url, &mut interruptible()).await.context("make the tables of the control store")?;
            match applied.as_slice() {
                [] => say("the control store has its tables\n"),
                applied => say(&format!("applied {}\n", applied.join(", "))),
            }
        }
    }
}
