//! `martello token`

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{record, say};
use crate::app::House;
use crate::audit::Event;
use crate::auth::{Claims, Minter, Revocation, inspect, revoke, revoked};
use crate::config::Config;
use crate::config::duration::parse_duration;
use crate::redis::Redis;

/// A command has the time that a request has not.
const REDIS_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Refuses a token, or all that a subject was given so far, at every instance; the list is in Redis.
    #[command(after_help = "Examples:\n  \
        martello token revoke --jti 5f0c7d --until 2026-12-01T00:00:00Z\n  \
        martello token revoke --subject ann --until 12h")]
    Revoke {
        /// The token with this id.
        #[arg(long, value_name = "JTI", required_unless_present = "subject", conflicts_with = "subject")]
        jti: Option<String>,
        /// All tokens and API keys of this subject that were issued until now. New ones are believed.
        #[arg(long)]
        subject: Option<String>,
        /// When the last of these tokens ends by itself, as an instant or as a time from now.
        #[arg(long, value_name = "INSTANT|DURATION", default_value = "366d", value_parser = moment)]
        until: u64,
    },
    /// Lists what is revoked and has not ended by itself.
    Revoked {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: &Command, config: impl Fn() -> anyhow::Result<Config>) -> anyhow::Result<()> {
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
        Command::Revoke { jti, subject, until } => {
            let (what, told) = match (jti, subject) {
                (Some(id), _) => (Revocation::Token(id.clone()), format!("token {id}")),
                (None, subject) => {
                    let subject = subject.clone().unwrap_or_default();
                    let told = format!("every token of {subject} until now");
                    (Revocation::of_subject(subject), told)
                }
            };
            let config = config()?;
            revoke(&redis(&config)?, &what, *until).await?;
            let (id, subject) = (jti.as_deref().unwrap_or_default(), subject.as_deref().unwrap_or_default());
            record(&config, Event::credential("token revoked", id, subject)).await?;
            say(&format!("{told} is revoked, until {}\n", instant(*until)))?;
        }
        Command::Revoked { json } => {
            let entries = revoked(&redis(&config()?)?).await?;
            if *json {
                let shown: Vec<Value> = entries.iter().map(|(what, until)| entry(what, *until)).collect();
                return say(&(serde_json::to_string_pretty(&shown).context("write the list")? + "\n"));
            }
            let lines = entries.iter().map(|(what, until)| match what {
                Revocation::Token(id) => format!("token    {id}  until {}\n", instant(*until)),
                Revocation::Subject { subject, before } => {
                    format!("subject  {subject}  issued before {}  until {}\n", instant(*before), instant(*until))
                }
            });
            say(&lines.collect::<String>())?;
        }
    }
    Ok(())
}

fn entry(what: &Revocation, until: u64) -> Value {
    match what {
        Revocation::Token(id) => json!({ "jti": id, "until": instant(until) }),
        Revocation::Subject { subject, before } => {
            json!({ "subject": subject, "issued_before": instant(*before), "until": instant(until) })
        }
    }
}

fn instant(second: u64) -> String {
    let at = i64::try_from(second).ok().and_then(|second| Timestamp::from_second(second).ok());
    at.map_or_else(|| second.to_string(), |at| at.to_string())
}

fn redis(config: &Config) -> anyhow::Result<Redis> {
    let Some(redis) = &config.redis else {
        bail!("find redis.url in the configuration: the list of revoked tokens is kept in Redis");
    };
    let mut redis = redis.clone();
    redis.timeout = redis.timeout.max(REDIS_TIMEOUT);
    Ok(Redis::open(&redis)?)
}

/// The second since 1970 of an instant, or of a time from now.
fn moment(text: &str) -> Result<u64, String> {
    if let Ok(after) = parse_duration(text) {
        return Ok(crate::clock::unix_seconds().saturating_add(after.as_secs()));
    }
    let at: Timestamp =
        text.parse().map_err(|_| "expected an instant such as 2026-12-01T00:00:00Z, or a time from now such as 12h")?;
    u64::try_from(at.as_second()).map_err(|_| "expected an instant after 1970".to_owned())
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
