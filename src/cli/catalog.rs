//! `martello catalog`

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::say;
use crate::app::House;
use crate::catalog::{Dataset, Direction};
use crate::config::{self, Config};
use crate::graphql::Door;
use crate::migrate::clickhouse::filled_with;
use crate::migrate::schema::{Scratch, fill};
use crate::migrate::statements::Language;
use crate::migrate::target::Target;
use crate::source::Sources;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Checks contracts, access matrix and documents; with --against also the relations of a source, as they live or as a
    /// folder of SQL would make them.
    #[command(after_help = "Examples:\n  \
        martello catalog check --against marts\n  \
        martello catalog check --against schema/postgres --dev-url postgres://localhost/postgres\n  \
        martello catalog check --against schema/clickhouse --dev-url clickhouse://localhost:8123/marts")]
    Check {
        /// A source of the configuration; or a folder of SQL or of migrations, such as schema/postgres.
        #[arg(long, value_name = "SOURCE|FOLDER")]
        against: Option<String>,
        /// The server on which the folder is applied to a scratch database [default: that of the datasets' source].
        #[arg(long, value_name = "URL", requires = "against")]
        dev_url: Option<String>,
    },
    /// Shows every dataset, or one with its columns.
    Show {
        /// A dataset.
        name: Option<String>,
    },
}

pub(super) async fn run(command: &Command, config: &Config) -> anyhow::Result<ExitCode> {
    let house = House::load(config)?;
    if matches!(command, Command::Check { .. }) {
        Door::open(&config.catalog, &house.catalog, &house.matrix, &config.graphql).await?;
    }
    match command {
        Command::Check { against: None, .. } => {
            let (datasets, roles) = (house.catalog.iter().count(), house.matrix.roles().count());
            say(&format!("{datasets} datasets and {roles} roles are in order\n"))?;
        }
        Command::Check { against: Some(name), dev_url } => {
            let folder = Path::new(name.strip_prefix("file://").unwrap_or(name));
            return match !config.sources.contains_key(name) && folder.is_dir() {
                true => check_folder(&house, config, folder, dev_url.as_deref()).await,
                false => check_against(&house, config, name).await,
            };
        }
        Command::Show { name: None } => {
            let line = |dataset: &Arc<Dataset>| {
                let family = format!("{:?}", dataset.family).to_lowercase();
                let (name, columns) = (dataset.name.as_str(), dataset.columns.len());
                format!("{name:20} {family:12} {columns:3} columns  {}\n", dataset.title)
            };
            say(&house.catalog.iter().map(line).collect::<String>())?;
        }
        Command::Show { name: Some(name) } => match house.catalog.get(name) {
            Some(dataset) => say(&shown(dataset))?,
            None => {
                let names: Vec<&str> = house.catalog.iter().map(|dataset| dataset.name.as_str()).collect();
                bail!("find dataset {name:?}: expected one of {}", names.join(", "));
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

async fn check_against(house: &House, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let Some(source) = config.sources.get(name) else {
        let names: Vec<&str> = config.sources.keys().map(String::as_str).collect();
        bail!("find source {name:?} in the configuration: expected one of {}", names.join(", "));
    };
    compare(house, &[(name.to_owned(), source.clone())].into(), name).await
}

/// Contracts are compared with what a folder makes of an empty database, by the very check of a live one.
async fn check_folder(
    house: &House,
    config: &Config,
    folder: &Path,
    dev_url: Option<&str>,
) -> anyhow::Result<ExitCode> {
    let urls = || config.sources.values().map(|source| source.url.expose());
    let of_scheme = |scheme: &str| urls().find(|url| url.starts_with(scheme));
    let server = dev_url.or_else(|| of_scheme("postgres")).or_else(|| of_scheme("clickhouse"));
    let Some(server) = server else {
        bail!("find a server to apply {} on: name one with --dev-url", folder.display());
    };
    let checked = match Target::read(server)?.language() {
        Language::ClickHouse => {
            filled_with(server, folder, async |url| compare_scratch(house, config, folder, "clickhouse", url).await)
                .await
        }
        Language::Postgres => {
            Scratch::at(server, async |scratch| -> anyhow::Result<ExitCode> {
                let mut connection = scratch.open().await?;
                fill(&mut connection, folder).await?;
                compare_scratch(house, config, folder, "postgres", &scratch.url()).await
            })
            .await
        }
    };
    checked.with_context(|| format!("check contracts against {}", folder.display()))
}

/// A folder for one engine says nothing of what others have.
async fn compare_scratch(
    house: &House,
    config: &Config,
    folder: &Path,
    scheme: &str,
    url: &str,
) -> anyhow::Result<ExitCode> {
    let meant = config.sources.iter().filter(|(_, source)| source.url.expose().starts_with(scheme));
    let over = |source: &config::Source| config::Source { url: url.to_owned().into(), ..source.clone() };
    let mut sources: BTreeMap<String, config::Source> =
        meant.map(|(name, source)| (name.clone(), over(source))).collect();
    if config.sources.is_empty() {
        // Without a configuration, every dataset is one of the folder's.
        let names = house.catalog.iter().map(|dataset| dataset.source.to_string());
        sources.extend(names.map(|name| (name, config::Source::of(url.to_owned().into()))));
    }
    compare(house, &sources, &folder.display().to_string()).await
}

async fn compare(house: &House, configs: &BTreeMap<String, config::Source>, name: &str) -> anyhow::Result<ExitCode> {
    let sources = Sources::open(configs).context("open the source")?;
    let mut compared = 0;
    let mut mismatches = Vec::new();
    for dataset in house.catalog.iter().filter(|dataset| configs.contains_key(dataset.source.as_str())) {
        compared += 1;
        let source = sources.get(&dataset.source).context("open the source")?;
        let found = source.mismatches(dataset).await;
        mismatches.extend(found.with_context(|| format!("compare {} with {name}", dataset.name))?);
    }
    for mismatch in &mismatches {
        eprintln!("{mismatch}");
    }
    say(&format!("{compared} datasets compared with {name}: {} mismatches\n", mismatches.len()))?;
    Ok(if mismatches.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shown(dataset: &Dataset) -> String {
    let names = |columns: &[usize]| {
        columns.iter().map(|index| dataset.columns[*index].name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let order: Vec<String> = (dataset.default_order.iter())
        .map(|(index, direction)| {
            let minus = if *direction == Direction::Descending { "-" } else { "" };
            format!("{minus}{}", dataset.columns[*index].name)
        })
        .collect();
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(format!("{} — {}", dataset.name, dataset.title));
    line(dataset.description.clone());
    line(String::new());
    line(format!("owner        {}", dataset.owner));
    line(format!("source       {} of {}", dataset.relation, dataset.source));
    line(format!("primary key  {}", names(&dataset.primary_key)));
    line(format!("order        {}", order.join(", ")));
    if let Some(time) = dataset.time {
        line(format!("time         {}", dataset.columns[time].name));
    }
    if let Some(point_in_time) = &dataset.point_in_time {
        let known_at = &dataset.columns[point_in_time.known_at].name;
        line(format!("known at     {known_at}, by {}", names(&point_in_time.identity)));
    }
    if let Some(bars) = dataset.bars {
        let columns: Vec<usize> = bars.measures().map(|(column, _)| column).collect();
        line(format!("bars         {}", names(&columns)));
    }
    line(String::new());
    for column in &dataset.columns {
        let null = if column.nullable { "null" } else { "" };
        let operators: Vec<&str> = column.filter.iter().map(|operator| operator.as_str()).collect();
        let sort = if column.sort { " sort" } else { "" };
        let search = if column.searchable { " search" } else { "" };
        let data_type = column.data_type.to_string();
        line(format!("{:24} {data_type:14} {null:5} {}{sort}{search}", column.name.as_str(), operators.join(" ")));
    }
    text
}
