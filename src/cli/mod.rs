//! The command line: each command reads its configuration, calls one room, and says what it did.
#![expect(clippy::print_stderr, reason = "what a command has to complain of goes to its caller's terminal")]

mod access;
mod asset;
mod audit;
mod catalog;
mod demo;
mod export;
mod key;
mod load;
mod migrate;
mod publish;
mod schema;
mod serve;
mod spec;
mod token;
mod versioned;

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::audit::{Auditor, Event};
use crate::config::{self, AuditTo, Config};

/// What an event of a command has to be written in.
const AUDIT_TIMEOUT: Duration = Duration::from_secs(10);

/// The file that is read when none is named, if it is there.
const CONFIG_FILE: &str = "martello.yaml";

/// Curated tables as a governed public data API.
#[derive(Parser)]
#[command(version, about, max_term_width = 100, propagate_version = true, arg_required_else_help = true)]
struct Arguments {
    /// The configuration file [default: martello.yaml, if it is there]; MARTELLO__… variables lie over it.
    #[arg(long, global = true, env = "MARTELLO_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the catalog: what production runs.
    Serve,
    /// Serves the demo data from an embedded store, with tokens to try.
    Demo(demo::Arguments),
    /// Checks and shows contracts.
    #[command(subcommand)]
    Catalog(catalog::Command),
    /// Shows, explains, compares and tests who sees what.
    #[command(subcommand)]
    Access(access::Command),
    /// Mints, inspects and revokes tokens.
    #[command(subcommand)]
    Token(token::Command),
    /// Makes, lists and revokes API keys.
    #[command(subcommand)]
    Key(key::Command),
    /// Writes the OpenAPI document of a tier or a role.
    Openapi(spec::Arguments),
    /// Writes the GraphQL schema of a role.
    GraphqlSchema(spec::GraphqlArguments),
    /// Fills the relation of a dataset from a Parquet file.
    Load(load::Arguments),
    /// Checks a relation, and makes it the version of a dataset that everybody reads.
    Publish(publish::Publish),
    /// Serves an older version of a dataset again, as a new one.
    Rollback(publish::Rollback),
    /// Writes snapshots of a dataset's current version into the store of files, for each grant that may have them.
    Export(export::Arguments),
    /// Puts any files beside datasets, lists and removes them.
    #[command(subcommand)]
    Asset(asset::Asset),
    /// Lists and prunes versions.
    #[command(subcommand)]
    Versions(publish::Versions),
    /// Looks after the control store.
    #[command(subcommand)]
    Control(publish::Control),
    /// Applies migrations, as Atlas has them in a folder.
    #[command(subcommand)]
    Migrate(migrate::Command),
    /// Shows who has read what.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Compares schemas of Postgres, and leads a database to the one that is wished.
    #[command(subcommand)]
    Schema(schema::Command),
    /// Checks the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Writes a completion script for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Reads file and environment, checks the whole, and prints what holds; secrets print as ***.
    Check,
}

/// Runs the command of the process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: failed to start the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(arguments)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: failed to {}", told(&error));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let config = || read(arguments.config.as_deref());
    match arguments.command {
        Command::Serve => serve::serve(config()?).await?,
        Command::Demo(demo) => demo::demo(demo).await?,
        Command::Catalog(command) => return catalog::run(&command, &config()?).await,
        Command::Access(command) => return access::run(&command, &config()?),
        Command::Token(command) => token::run(&command, config).await?,
        Command::Key(command) => key::run(command, &config()?).await?,
        Command::Openapi(spec) => return spec::run(&spec, &config()?),
        Command::GraphqlSchema(spec) => return spec::graphql_schema(&spec, &config()?),
        Command::Load(load) => load::load(&load, &config()?).await?,
        Command::Publish(publish) => publish::publish(publish, &config()?).await?,
        Command::Rollback(rollback) => publish::roll_back(rollback, &config()?).await?,
        Command::Export(export) => export::export(&export, &config()?).await?,
        Command::Asset(command) => asset::asset(command, &config()?).await?,
        Command::Versions(command) => publish::versions(command, &config()?).await?,
        Command::Control(command) => publish::control(command, &config()?).await?,
        Command::Migrate(command) => return migrate::run(command, config).await,
        Command::Audit(command) => audit::run(command, config).await?,
        Command::Schema(command) => return schema::run(command, &config()?).await,
        Command::Config(ConfigCommand::Check) => {
            let config = config()?;
            say(&(serde_json::to_string_pretty(&config).context("write the configuration")? + "\n"))?;
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "martello", &mut script);
            say(&String::from_utf8_lossy(&script))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// An error and its causes, without those that the one before has told already: some libraries print theirs.
fn told(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// Records what a command has done where servers record their events. Standard output is the command's own.
async fn record(config: &Config, event: Event) -> anyhow::Result<()> {
    record_all(config, vec![event]).await
}

/// Likewise, for several.
async fn record_all(config: &Config, events: Vec<Event>) -> anyhow::Result<()> {
    if matches!(config.audit.to, AuditTo::Stdout | AuditTo::Off) {
        return Ok(());
    }
    let store = config.control.is_some().then(|| publish::store(config)).transpose()?;
    let (auditor, writing) = Auditor::begin(&config.audit, store.map(Arc::new)).await.context("open the audit")?;
    events.into_iter().for_each(|event| auditor.record(event));
    if let Some(writing) = writing {
        writing.end(AUDIT_TIMEOUT).await;
    }
    Ok(())
}

/// Writes to standard output. A reader that went away, such as `head`, has read enough: that is no fault.
fn say(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("write to standard output"),
        _ => Ok(()),
    }
}

/// The configuration of the named file, of `martello.yaml` where it is there, or of the environment alone.
fn read(file: Option<&Path>) -> anyhow::Result<Config> {
    let found = Path::new(CONFIG_FILE);
    let file = file.or_else(|| found.is_file().then_some(found));
    config::load(file).context("read the configuration")
}
