//! `martello asset`

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{ArgAction, Subcommand};
use tokio::fs::File;

use super::publish::Operator;
use super::{record, say};
use crate::app::House;
use crate::audit::Event;
use crate::catalog::{Catalog, Dataset};
use crate::config::Config;
use crate::publish::files::{AssetId, Document, Files, Library, NewDocument};

/// A title or name has so many letters at most.
const TITLE_MAX: usize = 200;

#[derive(Subcommand)]
pub(super) enum Asset {
    /// Puts a file beside a dataset: whoever may know of the dataset may fetch it.
    #[command(after_help = "Examples:\n  martello asset put method.pdf --dataset signal --media-type application/pdf \
                            --title 'How the signal is made'")]
    Put(Put),
    /// Lists files beside datasets, the newest of each first.
    List {
        /// Of this dataset [default: all].
        #[arg(long)]
        dataset: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Removes a file: links to it lead nowhere from then on, but for what a CDN has kept.
    Remove {
        /// Its id, as list has it.
        id: String,
        #[command(flatten)]
        by: Operator,
    },
}

#[derive(clap::Args)]
pub(super) struct Put {
    /// The file.
    file: PathBuf,
    /// A dataset of the catalog.
    #[arg(long)]
    dataset: String,
    /// What it is written as, such as application/pdf.
    #[arg(long)]
    media_type: String,
    /// What it is called, for people [default: the file's name].
    #[arg(long)]
    title: Option<String>,
    /// Only for this role; may be given again [default: every role that may know of the dataset].
    #[arg(long, action = ArgAction::Append)]
    role: Vec<String>,
    #[command(flatten)]
    by: Operator,
}

pub(super) async fn asset(command: Asset, config: &Config) -> anyhow::Result<()> {
    let House { catalog, matrix } = House::load(config)?;
    let library = Library::new(Files::open(&config.assets.store).context("open the store of files")?);
    match command {
        Asset::Put(put) => {
            for name in &put.role {
                matrix.role(name).with_context(|| {
                    let names: Vec<&str> = matrix.roles().map(|role| role.name.as_str()).collect();
                    format!("find role {name:?}: expected one of {}", names.join(", "))
                })?;
            }
            let dataset = find(&catalog, &put.dataset)?;
            let (document, new) = self::put(&library, dataset, put).await?;
            // What is there already was told of when it came.
            if let Some(id) = document.asset().filter(|_| new) {
                let event = Event::asset("asset put", &id.to_string(), &dataset.name, &document.operator);
                record(config, event).await?;
            }
            say(&line(&document))
        }
        Asset::List { dataset, json } => {
            let datasets: Vec<&Dataset> = match &dataset {
                Some(name) => vec![find(&catalog, name)?],
                None => catalog.iter().map(AsRef::as_ref).collect(),
            };
            let mut found = Vec::new();
            for dataset in datasets {
                found.extend(library.documents(&dataset.name).await?);
            }
            if json {
                return say(&(serde_json::to_string_pretty(&found).context("write the list")? + "\n"));
            }
            say(&found.iter().map(line).collect::<String>())
        }
        Asset::Remove { id, by } => {
            let known = id.parse::<AssetId>().ok().filter(AssetId::is_document);
            let removed = match known {
                Some(known) if library.remove(&known).await? => known,
                _ => bail!("find asset {id:?}: expected one of martello asset list"),
            };
            record(config, Event::asset("asset removed", &id, &removed.dataset, &by.operator)).await?;
            say(&format!("{id} is removed\n"))
        }
    }
}

async fn put(library: &Library, dataset: &Dataset, put: Put) -> anyhow::Result<(Document, bool)> {
    let name = put.file.file_name().and_then(|name| name.to_str());
    let name = name.with_context(|| format!("name {}: expected a file whose name is a text", put.file.display()))?;
    let title = put.title.unwrap_or_else(|| name.to_owned());
    for text in [name, title.as_str()] {
        if text.is_empty() || text.chars().count() > TITLE_MAX || text.chars().any(char::is_control) {
            bail!("call a file {text:?}: expected a line of at most {TITLE_MAX} letters");
        }
    }
    if !is_media_type(&put.media_type) {
        bail!("take media type {:?}: expected such as application/pdf", put.media_type);
    }
    let mut roles = put.role;
    roles.sort();
    roles.dedup();
    let mut file = File::open(&put.file).await.with_context(|| format!("open {}", put.file.display()))?;
    let new = NewDocument {
        dataset: dataset.name.clone(),
        title,
        name: name.to_owned(),
        media_type: put.media_type,
        roles,
        operator: put.by.operator,
    };
    Ok(library.put(new, &mut file).await?)
}

fn find<'c>(catalog: &'c Catalog, name: &str) -> anyhow::Result<&'c Dataset> {
    catalog.get(name).map(AsRef::as_ref).with_context(|| {
        let names: Vec<&str> = catalog.iter().map(|dataset| dataset.name.as_str()).collect();
        format!("find dataset {name:?}: expected one of {}", names.join(", "))
    })
}

/// `type/subtype`, as RFC 6838 restricts them: it becomes a header.
fn is_media_type(text: &str) -> bool {
    let word = |word: &str| {
        word.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
            && word.len() <= 127
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    text.split_once('/').is_some_and(|(kind, name)| word(kind) && word(name))
}

fn line(document: &Document) -> String {
    let roles = if document.roles.is_empty() { String::new() } else { format!(" for {}", document.roles.join(", ")) };
    let id = document.asset().map(|id| id.to_string()).unwrap_or_default();
    let size = indicatif::HumanBytes(document.bytes);
    format!("{id}  {}  {size}  {}{roles} by {}\n", document.media_type, document.title, document.operator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_media_type_is_two_words() {
        for text in ["application/pdf", "image/svg+xml", "application/vnd.apache.parquet"] {
            assert!(is_media_type(text), "{text}");
        }
        for text in ["", "pdf", "/pdf", "a/", "a/b/c", "a b/c", "text/html; charset=utf-8", "a/b\r\nx: y"] {
            assert!(!is_media_type(text), "{text}");
        }
    }
}
