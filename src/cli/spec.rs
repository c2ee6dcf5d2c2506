//! `martello openapi`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::say;
use crate::app::House;
use crate::auth::Tier;
use crate::config::Config;
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

pub(super) fn run(arguments: &Arguments, config: &Config) -> anyhow::Result<ExitCode> {
    let house = House::load(config)?;
    let role = match &arguments.role {
        None => house.matrix.tier(Tier::Client),
        Some(name) => match house.matrix.role(name) {
            Some(role) => std::sync::Arc::clone(role),
            None => {
                let names: Vec<&str> = house.matrix.roles().map(|role| role.name.as_str()).collect();
                bail!("find role {name:?}: expected one of {}", names.join(", "));
            }
        },
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
    } else if file.as_os_str() == "-" {
        say(&text)?;
    } else {
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
        say(&format!("{} is written\n", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
