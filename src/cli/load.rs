//! `martello load`

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::say;
use crate::app::House;
use crate::catalog::Dataset;
use crate::config::{self, Config};
use crate::publish::{Input, Mode};
use crate::source::Sources;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A source of the configuration.
    #[arg(long)]
    source: String,
    /// A dataset of the catalog.
    #[arg(long)]
    dataset: String,
    /// Keep the rows that are there. Without it they are replaced, in the same transaction.
    #[arg(long)]
    append: bool,
    /// A Parquet file with the contract's columns, found by name.
    file: PathBuf,
}

pub(super) async fn load(arguments: &Arguments, config: &Config) -> anyhow::Result<()> {
    let house = House::load(config)?;
    let Some(dataset) = house.catalog.get(&arguments.dataset) else {
        let names: Vec<&str> = house.catalog.iter().map(|dataset| dataset.name.as_str()).collect();
        bail!("find dataset {:?}: expected one of {}", arguments.dataset, names.join(", "));
    };
    let Some(source) = config.sources.get(&arguments.source) else {
        let names: Vec<&str> = config.sources.keys().map(String::as_str).collect();
        bail!("find source {:?} in the configuration: expected one of {}", arguments.source, names.join(", "));
    };
    let sqlite = source.url.expose().starts_with("sqlite:");
    if !sqlite {
        check(dataset, &arguments.source, source).await?;
    }
    let begun = crate::clock::instant();
    let mode = if arguments.append { Mode::Append } else { Mode::Replace };
    let input = Input::open(dataset, &arguments.file)?;
    let bar = progress(input.rows);
    bar.set_message(dataset.name.to_string());
    let rows = input.load(source, mode, |rows| bar.set_position(rows)).await?;
    bar.finish_and_clear();
    let relation = &dataset.relation;
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!("{rows} rows into {relation} of {} in {seconds:.2} s\n", arguments.source))
}

/// Only SQLite may create a relation: elsewhere it must be there, and fit.
async fn check(dataset: &Dataset, name: &str, source: &config::Source) -> anyhow::Result<()> {
    let sources = Sources::open(&[(name.to_owned(), source.clone())].into()).context("open the source")?;
    for (_, source) in sources.iter() {
        let mismatches = source.mismatches(dataset).await.context("compare the relation with its contract")?;
        if !mismatches.is_empty() {
            let list: Vec<String> = mismatches.iter().map(|mismatch| format!("  {mismatch}")).collect();
            bail!("load into a relation that does not keep its contract:\n{}", list.join("\n"));
        }
    }
    Ok(())
}

/// A bar over rows; hidden where nobody watches.
pub(super) fn progress(rows: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:16} {wide_bar} {human_pos}/{human_len} rows, {per_sec}, {eta}");
    let bar = ProgressBar::new(rows);
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar
}
