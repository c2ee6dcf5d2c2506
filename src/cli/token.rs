//! `martello token`

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use super::say;
use crate::app::House;
use crate::auth::{Claims, Minter, inspect};
use crate::config::Config;
use crate::config::duration::parse_duration;

#[derive(Subcommand)]
pub(super) enum Command {
    /// Mints a token whose claims make a role, signed with auth.hs256. For development and scripts.
    Mint {
        /// A role of the access matrix.
        #[arg(long)]
        role: String,
        /// A further claim, as NAME=VALUE; a value that is JSON is taken as JSON. May be repeated.
        #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
        claims: Vec<(String, Value)>,
        /// How long it is valid.
        #[arg(long, default_value = "1h", value_parser = parse_duration)]
        ttl: Duration,
        /// Whom it is for.
        #[arg(long, default_value = "martello-cli")]
        subject: String,
    },
    /// Shows what a token says, without believing it.
    Inspect {
        /// The token; read from standard input without it.
        token: Option<String>,
    },
}

pub(super) fn run(command: &Command, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
    match command {
        Command::Mint { role, claims, ttl, subject } => {
            let config = config()?;
            let house = House::load(&config)?;
            let Some(role) = house.matrix.role(role) else {
                let names: Vec<&str> = house.matrix.roles().map(|role| role.name.as_str()).collect();
                bail!("find role {role:?}: expected one of {}", names.join(", "));
            };
            let minter = minter(&config)?;
            let claims: Claims = claims.iter().cloned().collect();
            say(&(minter.mint(role, subject, *ttl, &claims).context("sign the token")? + "\n"))?;
        }
        Command::Inspect { token } => {
            let token = match token {
                Some(token) => token.clone(),
                None => std::io::read_to_string(std::io::stdin()).context("read standard input")?,
            };
            let (header, claims) = inspect(token.trim()).context("read the token")?;
            let shown = json!({ "believed": false, "header": header, "claims": claims });
            say(&(serde_json::to_string_pretty(&shown).context("write the token")? + "\n"))?;
        }
    }
    Ok(())
}

/// A minter of the configuration's shared secret.
pub(super) fn minter(config: &Config) -> anyhow::Result<Minter> {
    let Some(secret) = &config.auth.hs256 else {
        bail!("find auth.hs256 in the configuration: tokens of an identity provider are minted there");
    };
    Ok(Minter::new(secret.expose().as_bytes(), &config.auth.issuer, &config.auth.audience))
}

pub(super) fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((name.to_owned(), value))
}
