//! `martello key`

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::publish::{Operator, store};
use super::token::claim;
use super::{record, say};
use crate::app::House;
use crate::audit::Event;
use crate::auth::{Claims, OWN_CLAIMS, draw};
use crate::clock;
use crate::config::Config;
use crate::config::duration::parse_duration;
use crate::store::{ApiKey, KEYS_MAX};

#[derive(Subcommand)]
pub(super) enum Command {
    /// Makes a key and prints it: it is shown this once.
    #[command(after_help = "Examples:\n  \
        martello key create --role client_basic --name \"Acme's dashboard\" --expires 365d\n  \
        martello key create --claims tier=client,plan=basic --name batch --subject acme")]
    Create {
        /// A role of the access matrix, whose claims the key has.
        #[arg(long, required_unless_present = "claims")]
        role: Option<String>,
        /// Claims of the key, as NAME=VALUE,NAME=VALUE; a value that is JSON is taken as JSON. May be repeated.
        #[arg(long, value_name = "NAME=VALUE", value_delimiter = ',', value_parser = claim)]
        claims: Vec<(String, Value)>,
        /// What people will know it by.
        #[arg(long)]
        name: String,
        /// Whom it is for, as a token's sub [default: key-ID].
        #[arg(long)]
        subject: Option<String>,
        /// How long it may be used [default: until it is revoked].
        #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
        expires: Option<Duration>,
        #[command(flatten)]
        by: Operator,
    },
    /// Lists keys, those that may be used first. No key can be seen again.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Revokes a key, at every instance.
    Revoke {
        /// Its id: what stands between the underscores of the key.
        id: String,
    },
}

pub(super) async fn run(command: Command, config: &Config) -> anyhow::Result<()> {
    let store = store(config)?;
    match command {
        Command::Create { role, claims, name, subject, expires, by } => {
            let claims = made(&House::load(config)?, role.as_deref(), claims)?;
            if store.api_keys().await?.iter().filter(|key| key.revoked_at.is_none()).count() >= KEYS_MAX {
                bail!("keep more than {KEYS_MAX} keys: revoke some");
            }
            let drawn = draw();
            let created_at = clock::now();
            let expires_at = expires.map(|expires| created_at.checked_add(expires)).transpose();
            let key = ApiKey {
                name,
                subject: subject.unwrap_or_else(|| format!("key-{}", drawn.id)),
                claims: Value::Object(claims).to_string(),
                hash: drawn.hash,
                operator: by.operator,
                created_at,
                expires_at: expires_at.context("accept --expires")?,
                revoked_at: None,
                id: drawn.id,
            };
            store.add_api_key(&key).await?;
            record(config, Event::credential("key created", &key.id, &key.subject)).await?;
            say(&format!("{}\n", drawn.text.expose()))?;
            eprintln!("key {} is made for {}; it is shown this once", key.id, key.subject);
        }
        Command::List { json } => {
            let keys = store.api_keys().await?;
            if json {
                let shown: Vec<Value> = keys.iter().map(shown).collect();
                return say(&(serde_json::to_string_pretty(&shown).context("write the keys")? + "\n"));
            }
            let now = clock::now();
            let lines = keys.iter().map(|key| {
                let state = match (key.revoked_at, key.expires_at) {
                    (Some(at), _) => format!("revoked {}", day(at)),
                    (None, Some(at)) if at <= now => format!("expired {}", day(at)),
                    (None, Some(at)) => format!("until {}", day(at)),
                    (None, None) => "until revoked".to_owned(),
                };
                let ApiKey { id, name, subject, claims, operator, created_at, .. } = key;
                format!("{id}  {state:18}  {subject}  {claims}  {name}  made {} by {operator}\n", day(*created_at))
            });
            say(&lines.collect::<String>())?;
        }
        Command::Revoke { id } => {
            if !store.revoke_api_key(&id).await? {
                bail!("find a key {id:?} that is not revoked: see martello key list");
            }
            record(config, Event::credential("key revoked", &id, "")).await?;
            say(&format!("key {id} is revoked\n"))?;
        }
    }
    Ok(())
}

/// The claims of a new key, which make exactly one role.
fn made(house: &House, role: Option<&str>, more: Vec<(String, Value)>) -> anyhow::Result<Claims> {
    let mut claims = Claims::new();
    if let Some(name) = role {
        let Some(role) = house.matrix.role(name) else {
            let names: Vec<&str> = house.matrix.roles().map(|role| role.name.as_str()).collect();
            bail!("find role {name:?}: expected one of {}", names.join(", "));
        };
        claims.extend(role.who.example());
    }
    claims.extend(more);
    if let Some(own) = OWN_CLAIMS.iter().find(|own| claims.contains_key(**own)) {
        bail!("give a key the claim {own}: it has its own");
    }
    house.matrix.role_of(&claims).context("make a key of these claims")?;
    Ok(claims)
}

fn shown(key: &ApiKey) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "subject": key.subject,
        "claims": serde_json::from_str::<Value>(&key.claims).unwrap_or_default(),
        "operator": key.operator,
        "created_at": key.created_at.to_string(),
        "expires_at": key.expires_at.map(|at| at.to_string()),
        "revoked_at": key.revoked_at.map(|at| at.to_string()),
    })
}

fn day(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d").to_string()
}
