//! `martello catalog`

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::Subcommand;

use super::say;
use crate::app::House;
use crate::catalog::{Dataset, Direction};
use crate::config::Config;
use crate::graphql::Door;
use crate::source::Sources;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Checks contracts, access matrix and documents; with --against also the live relations of a source.
    Check {
        /// A source of the configuration.
        #[arg(long, value_name = "SOURCE")]
        against: Option<String>,
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
        Command::Check { against: None } => {
            let (datasets, roles) = (house.catalog.iter().count(), house.matrix.roles().count());
            say(&format!("{datasets} datasets and {roles} roles are in order\n"))?;
        }
        Command::Check { against: Some(name) } => return check_against(&house, config, name).await,
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
    let sources = Sources::open(&[(name.to_owned(), source.clone())].into()).context("open the source")?;
    let mut compared = 0;
    let mut mismatches = Vec::new();
    for dataset in house.catalog.iter().filter(|dataset| dataset.source.as_str() == name) {
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
