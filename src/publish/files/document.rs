//! Any file beside a dataset: a paper about its method, a list of its codes. Whoever may know of the dataset may have it,
//! or those of the roles that it names.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::library::{Library, READS_MAX};
use super::manifest::{AssetId, Edition, hex, instant};
use super::store::Error;
use crate::name::Name;

/// Bytes that are read at once to be hashed.
const READ_BYTES: usize = 256 << 10;
/// A file's ending has so many letters at most.
const ENDING_MAX: usize = 10;

/// What is known of such a file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Its name among those of the dataset.
    pub id: String,
    /// The dataset.
    pub dataset: String,
    /// What it is called, for people.
    pub title: String,
    /// What it is called where it is kept.
    pub name: String,
    /// What it is written as.
    pub media_type: String,
    /// The roles that may have it; all that may know of the dataset where none is named.
    pub roles: Vec<String>,
    /// Where it is in the store.
    pub path: String,
    /// Its bytes.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// When it was put there.
    #[serde(with = "instant")]
    pub created_at: Timestamp,
    /// Who has put it there.
    pub operator: String,
}

/// A file that is to be put beside a dataset.
pub struct NewDocument {
    /// The dataset.
    pub dataset: Name,
    /// What it is called, for people.
    pub title: String,
    /// What it is called where it is kept.
    pub name: String,
    /// What it is written as.
    pub media_type: String,
    /// The roles that may have it.
    pub roles: Vec<String>,
    /// Who puts it there.
    pub operator: String,
}

impl Document {
    /// What names it for those who fetch it.
    #[must_use]
    pub fn asset(&self) -> Option<AssetId> {
        let id = AssetId::of_document(self.dataset.parse().ok()?, &self.id, Some(0));
        id.to_string().parse().ok()
    }

    /// Whether the role is one of those that it is for.
    #[must_use]
    pub fn is_for(&self, role: &str) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|other| other == role)
    }
}

impl Library {
    /// The files beside a dataset, the newest first.
    ///
    /// # Errors
    /// When the store does not answer, or has something else there.
    pub async fn documents(&self, dataset: &Name) -> Result<Vec<Document>, Error> {
        let folder = format!("{}/manifests", AssetId::folder(dataset, &Edition::documents()));
        let names = self.files().names(&folder).await?;
        let ids = names.iter().filter_map(|name| name.strip_suffix(".json"));
        let ids: Vec<AssetId> = ids.map(|id| AssetId::of_document(dataset.clone(), id, None)).collect();
        let read = stream::iter(ids).map(|id| async move { self.document(&id).await }).buffer_unordered(READS_MAX);
        let mut found: Vec<Document> =
            read.try_filter_map(|document| std::future::ready(Ok(document))).try_collect().await?;
        found.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        Ok(found)
    }

    /// The file beside a dataset that an id names; `None` where there is none. It is read each time: whoever removes it
    /// tells nobody.
    ///
    /// # Errors
    /// When the store does not answer, or has something else there.
    pub async fn document(&self, id: &AssetId) -> Result<Option<Document>, Error> {
        let path = id.manifest_path();
        let Some(bytes) = self.files().read(&path).await? else { return Ok(None) };
        let document =
            serde_json::from_slice(&bytes).map_err(|source| Error::Foreign { path, source: source.into() })?;
        Ok(Some(document))
    }

    /// Puts a file beside a dataset; the same file under the same words is there once. Returns whether it is a new one.
    ///
    /// # Errors
    /// When it cannot be read, or the store does not take it.
    pub async fn put(&self, new: NewDocument, file: &mut File) -> Result<(Document, bool), Error> {
        let NewDocument { dataset, title, name, media_type, roles, operator } = new;
        let unread = |source| Error::Spool { path: name.clone(), source };
        file.rewind().await.map_err(unread)?;
        let (mut context, mut bytes, mut buffer) = (Context::new(&SHA256), 0, vec![0; READ_BYTES]);
        loop {
            let read = file.read(&mut buffer).await.map_err(unread)?;
            if read == 0 {
                break;
            }
            context.update(&buffer[..read]);
            bytes += read as u64;
        }
        let sha256 = hex(context.finish().as_ref());
        let mut words = Context::new(&SHA256);
        for word in [&sha256, &title, &name, &media_type].into_iter().chain(&roles) {
            words.update(word.as_bytes());
            words.update(b"\0");
        }
        let id = format!("f-{}", &hex(words.finish().as_ref())[..24]);
        let folder = AssetId::folder(&dataset, &Edition::documents());
        let path = format!("{folder}/{id}/{sha256}.{}", ending(&name));
        self.files().keep(&path, file, bytes).await?;
        let created_at = crate::clock::now();
        let dataset_name = dataset.to_string();
        let document = Document {
            id,
            dataset: dataset_name,
            title,
            name,
            media_type,
            roles,
            path,
            bytes,
            sha256,
            created_at,
            operator,
        };
        let place = AssetId::of_document(dataset, &document.id, None);
        let text = serde_json::to_vec_pretty(&document)
            .map_err(|source| Error::Foreign { path: place.manifest_path(), source: source.into() })?;
        let new = self.files().put(&place.manifest_path(), text.into()).await?;
        if new {
            return Ok((document, true));
        }
        // Where an answer of the store was lost, what is there already may be what was put there just now.
        let there = self.document(&place).await?.unwrap_or_else(|| document.clone());
        let new = there == document;
        Ok((there, new))
    }

    /// Removes a file from beside a dataset; whether it was there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remove(&self, id: &AssetId) -> Result<bool, Error> {
        let Some(document) = self.document(id).await? else { return Ok(false) };
        // What is listed no more is there no more, whatever ends this here.
        self.files().remove_file(&id.manifest_path()).await?;
        self.files().remove_file(&document.path).await?;
        Ok(true)
    }
}

/// The ending of a name, where it is a plain one.
fn ending(name: &str) -> String {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let plain = ending.filter(|ending| {
        (1..=ENDING_MAX).contains(&ending.len()) && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
    });
    plain.unwrap_or_else(|| "bin".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_plain_or_none() {
        for (name, expected) in [
            ("a.PDF", "pdf"),
            ("a.tar.gz", "gz"),
            ("a", "bin"),
            ("a.", "bin"),
            ("a.b/c", "bin"),
            ("a.toolongtobeone", "bin"),
        ] {
            assert_eq!(ending(name), expected, "{name}");
        }
    }
}
