//! What files there are, as their manifests tell.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::manifest::{AssetId, Edition, Manifest};
use super::store::{Error, Files};
use crate::bounded::Bounded;
use crate::name::Name;
use crate::plan::Plan;

/// Manifests that are kept in memory, at most: one is written once, so what was read stays true.
const KNOWN_MAX: u64 = 4096;
/// Files whose length is kept in memory, at most: it never changes.
const SIZES_MAX: u64 = 16_384;
/// Manifests that are read at once.
pub(super) const READS_MAX: usize = 8;

/// Every file that a manifest lists. A file that none does is not there, whatever left it behind.
#[derive(Clone)]
pub struct Library {
    files: Files,
    known: Bounded<String, Arc<Manifest>>,
    /// How many bytes files have that were asked for.
    sizes: Bounded<String, u64>,
}

impl Library {
    /// A library over that store.
    #[must_use]
    pub fn new(files: Files) -> Self {
        Self { files, known: Bounded::new(KNOWN_MAX, |_, _| 1), sizes: Bounded::new(SIZES_MAX, |_, _| 1) }
    }

    /// The store.
    #[must_use]
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The snapshots of a dataset's state, the newest first. Which of them a caller may have, [`Self::is_of`] says.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, dataset: &Name, edition: &Edition) -> Result<Vec<Arc<Manifest>>, Error> {
        let folder = format!("{}/manifests", AssetId::folder(dataset, edition));
        let names = self.files.names(&folder).await?;
        let ids = names.iter().filter_map(|name| name.strip_suffix(".json")).filter(|id| id.starts_with("s-"));
        let ids = ids.map(|id| AssetId {
            dataset: dataset.clone(),
            edition: edition.clone(),
            manifest: id.to_owned(),
            part: None,
        });
        let ids: Vec<AssetId> = ids.collect();
        let read = stream::iter(ids).map(|id| async move { self.manifest(&id).await }).buffer_unordered(READS_MAX);
        let mut found: Vec<Arc<Manifest>> =
            read.try_filter_map(|manifest| std::future::ready(Ok(manifest))).try_collect().await?;
        found.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        Ok(found)
    }

    /// The set of files that an id is of; `None` where there is none.
    ///
    /// # Errors
    /// When the store does not answer, or has something else there.
    pub async fn manifest(&self, id: &AssetId) -> Result<Option<Arc<Manifest>>, Error> {
        let path = id.manifest_path();
        if let Some(known) = self.known.get(&path) {
            return Ok(Some(known));
        }
        let Some(bytes) = self.files.read(&path).await? else { return Ok(None) };
        let manifest: Manifest = serde_json::from_slice(&bytes)
            .map_err(|source| Error::Foreign { path: path.clone(), source: source.into() })?;
        let manifest = Arc::new(manifest);
        self.known.insert(path, Arc::clone(&manifest));
        Ok(Some(manifest))
    }

    /// How many bytes a file of that path has; `None` where there is none. What is remembered may be of a file that was
    /// deleted meanwhile, so it is for those who open it next.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn size(&self, path: &str, remembered: bool) -> Result<Option<u64>, Error> {
        if let Some(size) = self.sizes.get(&path.to_owned()).filter(|_| remembered) {
            return Ok(Some(size));
        }
        let size = self.files.size(path).await?;
        if let Some(size) = size {
            self.sizes.insert(path.to_owned(), size);
        }
        Ok(size)
    }

    /// Whether that set holds, now, what the plan of a caller gives: rows of the same version by an equal grant, and no
    /// more of the past than the grant still shows.
    #[must_use]
    pub fn is_of(manifest: &Manifest, plan: &Plan) -> bool {
        let version = plan.version().map(|version| version.id.to_string());
        manifest.version_id.is_some()
            && manifest.version_id == version
            && manifest.dataset == plan.dataset().name.as_str()
            && manifest.contract == plan.dataset().contract
            && manifest.shape == plan.shape().to_string()
            && manifest.media_type().is_some_and(|media_type| plan.media_types().has(media_type))
            && manifest.holds_at(crate::clock::now())
    }

    /// Forgets and deletes a manifest: its files are listed no more.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn forget(&self, id: &AssetId) -> Result<(), Error> {
        let path = id.manifest_path();
        self.files.remove_file(&path).await?;
        self.known.remove(&path);
        Ok(())
    }
}
