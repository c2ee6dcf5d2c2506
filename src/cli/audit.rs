//! `martello audit`

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::{Subcommand, ValueEnum};
use jiff::Timestamp;

use super::say;
use crate::audit::{By, Event, Filter, Follower, Report, Trail};
use crate::clock;
use crate::config::Config;
use crate::config::duration::parse_duration;
use crate::store::Store;

/// How often a trail that is followed is looked at.
const FOLLOW_EVERY: Duration = Duration::from_secs(1);

#[derive(Subcommand)]
pub(super) enum Command {
    /// Shows the newest events, the oldest of them first.
    Tail(Tail),
    /// Sums accesses: events, rows, bytes, subjects and refusals.
    Report(Summing),
}

#[derive(clap::Args)]
struct Sought {
    /// A file of events [default: the file or the table of the configuration].
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Those of a role.
    #[arg(long)]
    role: Option<String>,
    /// Those of a dataset.
    #[arg(long)]
    dataset: Option<String>,
    /// Those of a subject.
    #[arg(long)]
    subject: Option<String>,
}

#[derive(clap::Args)]
pub(super) struct Tail {
    #[command(flatten)]
    sought: Sought,
    /// Those from an instant on, or of the last 1h, 7d and so on [default: all].
    #[arg(long, value_name = "WHEN", value_parser = instant)]
    since: Option<Timestamp>,
    /// So many at most.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    lines: u32,
    /// Go on with what comes, until Ctrl-C.
    #[arg(long, short)]
    follow: bool,
    /// As JSON, an event a line.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
pub(super) struct Summing {
    #[command(flatten)]
    sought: Sought,
    /// Those from an instant on, or of the last 1h, 7d and so on.
    #[arg(long, value_name = "WHEN", value_parser = instant, default_value = "7d")]
    since: Timestamp,
    /// What events are summed by.
    #[arg(long, value_enum, default_value_t = Grouping::Dataset)]
    by: Grouping,
    /// As what the sums are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Grouping {
    Role,
    Dataset,
    Subject,
    Column,
    Day,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
    Csv,
}

impl From<Grouping> for By {
    fn from(grouping: Grouping) -> Self {
        match grouping {
            Grouping::Role => Self::Role,
            Grouping::Dataset => Self::Dataset,
            Grouping::Subject => Self::Subject,
            Grouping::Column => Self::Column,
            Grouping::Day => Self::Day,
        }
    }
}

/// An instant, or a duration before now.
fn instant(text: &str) -> Result<Timestamp, String> {
    let ago = || clock::now().checked_sub(parse_duration(text).ok()?).ok();
    let expected = || "expected an instant, such as 2026-01-31T12:00:00Z, or how long ago, such as 1h or 7d".to_owned();
    text.parse().ok().or_else(ago).ok_or_else(expected)
}

impl Sought {
    /// Where events are read from, and which; a file that is named needs no configuration.
    fn open(self, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<(Trail, Filter)> {
        let trail = match self.file {
            Some(file) => Trail::File(file),
            None => {
                let config = config()?;
                let store = config.control.as_ref().map(|control| Store::open(control.url.expose()).map(Arc::new));
                Trail::of(&config.audit, store.transpose()?)?
            }
        };
        Ok((trail, Filter { since: None, dataset: self.dataset, role: self.role, subject: self.subject }))
    }
}

pub(super) async fn run(command: Command, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    match command {
        Command::Tail(tail) => show(tail, config).await,
        Command::Report(summing) => sum(summing, config).await,
    }
}

async fn show(tail: Tail, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let (trail, mut filter) = tail.sought.open(config)?;
    filter.since = tail.since;
    let written = |events: &[Event]| {
        events.iter().fold(String::new(), |mut text, event| {
            let _ = if tail.json { writeln!(text, "{}", event.line()) } else { writeln!(text, "{event}") };
            text
        })
    };
    // Before the newest are read: what comes between is told twice rather than never.
    let follower = match tail.follow {
        true => Some(Follower::begin(trail.clone(), filter.clone()).await?),
        false => None,
    };
    let mut newest = trail.newest(&filter, tail.lines).await?;
    newest.reverse();
    say(&written(&newest))?;
    let Some(mut follower) = follower else { return Ok(()) };
    loop {
        let events = follower.next().await?;
        say(&written(&events))?;
        tokio::select! {
            () = tokio::time::sleep(FOLLOW_EVERY) => {}
            told = tokio::signal::ctrl_c() => return told.context("listen for Ctrl-C"),
        }
    }
}

async fn sum(summing: Summing, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    let (trail, mut filter) = summing.sought.open(config)?;
    filter.since = Some(summing.since);
    let mut report = Report::by(summing.by.into());
    trail.each(&filter, |event| report.add(event)).await?;
    let sums = report.sums();
    let text = match summing.format {
        Format::Table => {
            let longest = sums.iter().map(|sum| sum.name.chars().count()).max().unwrap_or(0).max(4);
            let mut text = format!(
                "{:longest$}  {:>10}  {:>14}  {:>16}  {:>8}  {:>8}\n",
                "", "events", "rows", "bytes", "subjects", "refused"
            );
            for sum in &sums {
                text += &format!(
                    "{:longest$}  {:>10}  {:>14}  {:>16}  {:>8}  {:>8}\n",
                    sum.name, sum.events, sum.rows, sum.bytes, sum.subjects, sum.refused
                );
            }
            if report.lost() > 0 {
                text += &format!("{} events were lost, and are in no sum\n", report.lost());
            }
            text
        }
        Format::Json => {
            let document = serde_json::json!({ "data": sums, "lost": report.lost() });
            serde_json::to_string_pretty(&document).map_err(|error| anyhow!(error))? + "\n"
        }
        Format::Csv => {
            let mut text = "name,events,rows,bytes,subjects,refused\r\n".to_owned();
            for sum in &sums {
                let name = format!("\"{}\"", sum.name.replace('"', "\"\""));
                text +=
                    &format!("{name},{},{},{},{},{}\r\n", sum.events, sum.rows, sum.bytes, sum.subjects, sum.refused);
            }
            text
        }
    };
    say(&text)
}
