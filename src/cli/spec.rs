//! `martello openapi` and `martello graphql-schema`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};

use super::say;
use crate::app::House;
use crate::auth::{Role, Tier};
use crate::config::Config;
use crate::graphql;
use crate::rest::openapi;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Where to write it; - is standard output.
    #[arg(long, default_value = "openapi/openapi.json")]
    output: PathBuf,
    /// What a role sees, instead of all that any client may see.
    #[arg(long)]
    role: Option<String>,
    /// Write nothing; fail when the file differs.
    #[arg(long)]
    check: bool,
}

#[derive(clap::Args)]
pub(super) struct GraphqlArguments {
    /// Whose schema.
    #[arg(long)]
    role: String,
    /// Where to write it; - is standard output.
    #[arg(long, default_value = "-")]
    output: PathBuf,
}

/// Writes the GraphQL schema of what a role may see.
pub(super) fn graphql_schema(arguments: &GraphqlArguments, config: &Config) -> anyhow::Result<ExitCode> {
    let house = House::load(config)?;
    let role = role(&house, &arguments.role)?;
    let text = graphql::sdl(&house.catalog, &role).map_err(|error| anyhow!("write the schema: {error}"))?;
    write(&arguments.output, &text)?;
    Ok(ExitCode::SUCCESS)
}

fn role(house: &House, name: &str) -> anyhow::Result<Arc<Role>> {
    house.matrix.role(name).map(Arc::clone).ok_or_else(|| {
        let names: Vec<&str> = house.matrix.roles().map(|role| role.name.as_str()).collect();
        anyhow!("find role {name:?}: expected one of {}", names.join(", "))
    })
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    if file.as_os_str() == "-" {
        return say(text);
    }
    std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    say(&format!("{} is written\n", file.display()))
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let house = House::load(config)?;
    let role = match &arguments.role {
        None => house.matrix.tier(Tier::Client),
        Some(name) => role(&house, name)?,
    };
    let document = openapi::document(&house.catalog, &role, None);
    let mut text = document.to_pretty_json().context("write the document")?;
    text.push('\n');
    let file = &arguments.output;
    if arguments.check {
        let found = std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        if found != text {
            bail!("find {} up to date: run martello openapi", file.display());
        }
    } else {
        write(file, &text)?;
    }
    Ok(ExitCode::SUCCESS)
}
