//! Files as doors hand them out: whoever asks is looked at again, by the plan that they would get now.

use std::sync::Arc;

use super::problem::{self, Problem};
use crate::auth::Principal;
use crate::catalog::Dataset;
use crate::engine::Engine;
use crate::plan::{Plan, View};
use crate::publish::files::{AssetId, Document, Edition, Library, Manifest, Partition, snapshot_question};
use crate::publish::jobs::Exports;
use crate::query::Query;
use crate::store::{Version, Versions};

/// The files, and those who make more of them.
#[derive(Clone)]
pub struct Shelf {
    /// The files.
    pub library: Library,
    /// Exports; none without a control store.
    pub exports: Option<Arc<Exports>>,
}

impl Shelf {
    /// Those who make exports.
    ///
    /// # Errors
    /// When there is no control store to keep them in.
    pub fn exports(&self) -> Result<&Arc<Exports>, Problem> {
        self.exports.as_ref().ok_or_else(|| {
            Problem::new(problem::NOT_SERVED, "exports are kept in a control store, and this server has none")
        })
    }

    /// The snapshots of a dataset that the caller may have, the newest version's first and of one version the newest
    /// first.
    ///
    /// # Errors
    /// When the store of files does not answer.
    pub async fn snapshots(
        &self,
        engine: &Engine,
        principal: &Principal,
        dataset: &Dataset,
    ) -> Result<Vec<Arc<Manifest>>, Problem> {
        let versions = engine.pointer.load();
        let plans = Plans::of(engine, &versions, principal, dataset);
        let mut found = Vec::new();
        for version in versions.history(dataset.name.as_str()).iter().filter(|version| version.is_kept()) {
            let Some(plans) = plans.over(version) else { continue };
            let listed = self.library.list(&dataset.name, &Edition::of(version)).await?;
            let granted = |manifest: &Arc<Manifest>| match manifest.since {
                Some(since) => changes(engine, &versions, principal, manifest, since),
                None => plans.grant(manifest),
            };
            found.extend(listed.into_iter().filter(granted));
        }
        Ok(found)
    }

    /// The files beside a dataset that the caller may have, who is known to know of the dataset; the newest first.
    ///
    /// # Errors
    /// When the store of files does not answer.
    pub async fn documents(&self, principal: &Principal, dataset: &Dataset) -> Result<Vec<Document>, Problem> {
        let mut found = self.library.documents(&dataset.name).await?;
        found.retain(|document| document.is_for(&principal.role().name));
        Ok(found)
    }

    /// The file beside a dataset that an id names, where the caller may have it; else there is none.
    ///
    /// # Errors
    /// When there is none, or the store of files does not answer.
    pub async fn document(&self, engine: &Engine, principal: &Principal, id: &AssetId) -> Result<Document, Problem> {
        let missing = || Problem::new(problem::NOT_FOUND, "there is no such resource");
        View::of(&engine.catalog, principal, id.dataset.as_str()).ok_or_else(missing)?;
        let document = self.library.document(id).await?.filter(|_| id.part == Some(0));
        document.filter(|document| document.is_for(&principal.role().name)).ok_or_else(missing)
    }

    /// The set of files that an id is of, where the caller may have it now; else there is none.
    ///
    /// # Errors
    /// When there is none, or a store does not answer.
    pub async fn manifest(
        &self,
        engine: &Engine,
        principal: &Principal,
        id: &AssetId,
    ) -> Result<Arc<Manifest>, Problem> {
        let missing = || Problem::new(problem::NOT_FOUND, "there is no such resource");
        if let Some(export) = id.export() {
            let exports = self.exports.as_ref().ok_or_else(missing)?;
            let export = exports.find(principal, export).await?.ok_or_else(missing)?;
            let manifest = exports.files(&export).await?.filter(|manifest| manifest.id == id.manifest);
            return manifest.ok_or_else(missing);
        }
        let dataset = engine.catalog.get(id.dataset.as_str()).filter(|_| id.is_snapshot()).ok_or_else(missing)?;
        let versions = engine.pointer.load();
        let mut kept = versions.history(id.dataset.as_str()).iter().filter(|version| version.is_kept());
        let version = kept.find(|version| Edition::of(version) == id.edition).ok_or_else(missing)?;
        let plans = Plans::of(engine, &versions, principal, dataset).over(version).ok_or_else(missing)?;
        let manifest = self.library.manifest(id).await?;
        let granted = |manifest: &Arc<Manifest>| match manifest.since {
            Some(since) => changes(engine, &versions, principal, manifest, since),
            None => plans.grant(manifest),
        };
        manifest.filter(granted).ok_or_else(missing)
    }
}

/// Whether the files hold what the caller would be told now of what has changed since that version, which must be kept.
fn changes(engine: &Engine, versions: &Versions, principal: &Principal, manifest: &Manifest, since: u64) -> bool {
    let question = Query { dataset: manifest.dataset.clone(), ..Query::default() };
    let plan = engine.plan_changes(&question, versions, principal, (since, manifest.version));
    plan.is_ok_and(|plan| Library::is_of(manifest, &plan))
}

/// What the caller gets of all rows of a dataset: as they are kept whole, and as they are parted by time.
struct Plans {
    whole: Option<Plan>,
    parted: Option<Plan>,
}

impl Plans {
    /// Who may not have all rows has no plan.
    fn of(engine: &Engine, versions: &Versions, principal: &Principal, dataset: &Dataset) -> Self {
        let plan = |partition| engine.plan(&snapshot_question(dataset, partition), versions, principal).ok();
        // Years and months are in one order.
        Self { whole: plan(None), parted: plan(Some(Partition::Year)) }
    }

    /// The same of another version; `None` where there are none.
    fn over(&self, version: &Version) -> Option<Self> {
        let versions = Versions::new([version.clone()], &[version.id]);
        let over = |plan: &Option<Plan>| plan.as_ref().and_then(|plan| plan.over(&versions));
        let plans = Self { whole: over(&self.whole), parted: over(&self.parted) };
        (plans.whole.is_some() || plans.parted.is_some()).then_some(plans)
    }

    fn grant(&self, manifest: &Manifest) -> bool {
        let plan = if manifest.partition_by.is_some() { &self.parted } else { &self.whole };
        plan.as_ref().is_some_and(|plan| Library::is_of(manifest, plan))
    }
}
