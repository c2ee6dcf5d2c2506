//! `martello load`

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};

use super::publish::{Desk, Operator, publish_into, told};
use super::say;
use crate::app::House;
use crate::catalog::Dataset;
use crate::config::{self, Config};
use crate::publish::{Input, Mode, Request, next_relation};
use crate::source::{Loader, Sources};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A source of the configuration.
    #[arg(long)]
    source: String,
    /// A dataset of the catalog.
    #[arg(long)]
    dataset: String,
    /// Keep the rows that are there. Without it they are replaced, in the same transaction.
    #[arg(long, conflicts_with = "publish")]
    append: bool,
    /// Fill a new relation beside the dataset's own, like it, and publish that as the next version.
    #[arg(long)]
    publish: bool,
    #[command(flatten)]
    by: Operator,
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
    if arguments.publish {
        return load_and_publish(arguments, dataset, source, config).await;
    }
    let sqlite = source.url.expose().starts_with("sqlite:");
    if !sqlite {
        check(dataset, &arguments.source, source).await?;
    }
    let begun = crate::clock::instant();
    let mode = if arguments.append { Mode::Append } else { Mode::Replace };
    let rows = fill(dataset, &arguments.file, source, mode).await?;
    let relation = &dataset.relation;
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!("{rows} rows into {relation} of {} in {seconds:.2} s\n", arguments.source))
}

async fn fill(dataset: &Dataset, file: &Path, source: &config::Source, mode: Mode) -> anyhow::Result<u64> {
    let input = Input::open(dataset, file)?;
    let bar = progress(input.rows);
    bar.set_message(dataset.name.to_string());
    let rows = input.load(source, mode, |rows| bar.set_position(rows)).await?;
    bar.finish_and_clear();
    Ok(rows)
}

/// Fills a relation beside the others and publishes it; when either fails, the relation goes again.
async fn load_and_publish(
    arguments: &Arguments,
    dataset: &Dataset,
    source: &config::Source,
    config: &Config,
) -> anyhow::Result<()> {
    if dataset.source.as_str() != arguments.source {
        bail!("publish {} from source {:?}: its contract says {:?}", dataset.name, arguments.source, dataset.source);
    }
    let desk = Desk::open(config)?;
    let versions = desk.store.versions().await?;
    let relation = next_relation(dataset, versions.history(dataset.name.as_str()));
    let relation = relation.context("name a relation for the next version: the contract's own name is too long")?;
    let loader = Loader::new(source);
    loader.make_beside(dataset, &relation).await.with_context(|| format!("make {relation}"))?;
    let published = async {
        fill(&dataset.over(relation.clone()), &arguments.file, source, Mode::Replace).await?;
        let operator = arguments.by.operator.clone();
        let request = Request { relation: relation.clone(), data_through: None, operator };
        publish_into(&desk, config, dataset, request).await
    };
    match published.await {
        Ok(version) => told(&version),
        Err(error) => {
            // What went wrong is told; that the clean-up went wrong, too, only adds where to look.
            match loader.drop(&relation).await {
                Ok(()) => Err(error),
                Err(left) => Err(error.context(format!("publish {relation}, which is left behind ({left})"))),
            }
        }
    }
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
