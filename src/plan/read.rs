//! What a plan tells those who execute, cache and write it. Nothing here changes one.

use std::sync::Arc;

use arrow_array::RecordBatch;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::auth::MaskKey;
use crate::catalog::{Column, ColumnIndex, Dataset, Name, Relation};
use crate::encode::{Facts, MediaTypes, Note};
use crate::query::Count;
use crate::store::{Version, VersionId, Versions};

use super::{Field, Fingerprint, Latest, Output, Plan, Predicate, Related, Revision, SortKey, Value, Window};

impl Plan {
    /// The same question of other versions: what a caller may see does not depend on them. `None` for a page that a cursor
    /// binds to the version of the one before, and for the difference of two versions.
    #[must_use]
    pub fn over(&self, versions: &Versions) -> Option<Self> {
        if self.after.is_some() || self.sides.is_some() {
            return None;
        }
        let mut plan = self.clone();
        plan.version = versions.of(plan.dataset.name.as_str()).cloned();
        for related in &mut plan.related {
            related.plan = related.plan.over(versions)?;
        }
        Some(plan)
    }

    /// The dataset that is asked.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The source that holds it.
    #[must_use]
    pub fn source(&self) -> &Name {
        &self.dataset.source
    }

    /// What is read: the relation of the version, or the one that is written in place.
    #[must_use]
    pub fn relation(&self) -> &Relation {
        self.version.as_ref().map_or(&self.dataset.relation, |version| &version.relation)
    }

    /// The version that is read; `None` while the dataset is live.
    #[must_use]
    pub fn version(&self) -> Option<&Arc<Version>> {
        self.version.as_ref()
    }

    /// Whether the page before this one was of another version.
    #[must_use]
    pub fn version_changed(&self) -> bool {
        self.version_changed
    }

    /// The versions of all datasets that are read, with a gap for each that is live: its own, then those of its relations
    /// in their order, each followed by its own relations'.
    #[must_use]
    pub fn versions_read(&self) -> Vec<Option<VersionId>> {
        let related = self.related.iter().flat_map(|related| related.plan.versions_read());
        std::iter::once(self.version.as_ref().map(|version| version.id)).chain(related).collect()
    }

    /// The hashes of the contracts of all datasets that are read, in the order of their versions.
    #[must_use]
    pub fn contracts(&self) -> Vec<&str> {
        let related = self.related.iter().flat_map(|related| related.plan.contracts());
        std::iter::once(self.dataset.contract.as_str()).chain(related).collect()
    }

    /// When the newest of the versions that are read was published: what was answered before was right until then. `None`
    /// when any dataset is live.
    #[must_use]
    pub fn published_at(&self) -> Option<Timestamp> {
        let own = self.version.as_ref()?.published_at;
        self.related.iter().try_fold(own, |newest, related| Some(newest.max(related.plan.published_at()?)))
    }

    /// The same question of an earlier version and of this one, where what is asked is their difference.
    #[must_use]
    pub fn sides(&self) -> Option<&[Self; 2]> {
        self.sides.as_deref()
    }

    /// What a statement reads; the first [`Self::shown`] are the answer's.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// How many of the fields are the answer's.
    #[must_use]
    pub fn shown(&self) -> usize {
        self.shown
    }

    /// The column in that place of the contract.
    #[must_use]
    pub fn column(&self, index: ColumnIndex) -> &Column {
        &self.dataset.columns[index]
    }

    /// Which revisions are kept.
    #[must_use]
    pub fn revision(&self) -> Option<&Revision> {
        self.revision.as_ref()
    }

    /// What rows must meet.
    #[must_use]
    pub fn filter(&self) -> &Predicate {
        &self.filter
    }

    /// Which of the rows are kept as the newest.
    #[must_use]
    pub fn latest(&self) -> Option<&Latest> {
        self.latest.as_ref()
    }

    /// What groups must meet, by the places of their fields; `None` where rows are asked for and no groups.
    #[must_use]
    pub fn having(&self) -> Option<&Predicate> {
        self.having.as_ref()
    }

    /// Rows of other datasets that come with each row.
    #[must_use]
    pub fn related(&self) -> &[Related] {
        &self.related
    }

    /// Fields whose values these rows share with those of the parents that they come with; empty without parents.
    #[must_use]
    pub fn joined(&self) -> &[usize] {
        &self.joined
    }

    /// Whether all rows are counted.
    #[must_use]
    pub fn count(&self) -> Count {
        self.count
    }

    /// The zone of timestamps in the answer and of the days of groups; UTC without it.
    #[must_use]
    pub fn zone(&self) -> Option<&TimeZone> {
        self.zone.as_ref()
    }

    /// The ends of time behind which rows are kept from the caller.
    #[must_use]
    pub fn windows(&self) -> &[Window] {
        &self.windows
    }

    /// When those windows move: from then on the same question has another plan.
    #[must_use]
    pub fn until(&self) -> Option<Timestamp> {
        self.until
    }

    /// The key of fields that show hashes.
    #[must_use]
    pub fn mask_key(&self) -> Option<&MaskKey> {
        self.masks.as_ref()
    }

    /// Whether the caller may read how the house answers: plans and SQL tell of what a client may not see.
    #[must_use]
    pub fn explains(&self) -> bool {
        self.explains
    }

    /// What the answer may be written as.
    #[must_use]
    pub fn media_types(&self) -> MediaTypes {
        self.media_types
    }

    /// The values of those fields in a row of an answer to this plan; `None` when one of them is null.
    #[must_use]
    pub fn values_at(&self, fields: &[usize], batch: &RecordBatch, row: usize) -> Option<Vec<Value>> {
        fields.iter().map(|field| Value::at(self.fields[*field].data_type, batch.column(*field), row)).collect()
    }

    /// The dataset, to be kept.
    #[must_use]
    pub fn dataset_arc(&self) -> Arc<Dataset> {
        Arc::clone(&self.dataset)
    }

    /// Whether every row is asked for, not a page of them.
    #[must_use]
    pub fn whole(&self) -> bool {
        self.whole
    }

    /// The role of the first caller that asked so.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The total order of rows.
    #[must_use]
    pub fn order(&self) -> &[SortKey] {
        &self.order
    }

    /// Behind which sort key the page begins.
    #[must_use]
    pub fn after(&self) -> Option<&[Option<Value>]> {
        self.after.as_deref()
    }

    /// Rows of the page at most. A statement asks for one more, to know whether there is more.
    #[must_use]
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// Whether rows come from the end of the question's order, the last one first.
    #[must_use]
    pub fn backward(&self) -> bool {
        self.backward
    }

    /// Whether the one row of a primary key is asked for, rather than a page.
    #[must_use]
    pub fn single(&self) -> bool {
        self.single
    }

    /// The plan's own name: equal plans have equal ones.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// What the plans of one question by one grant share while their windows move; it tells them from all others.
    #[must_use]
    pub fn shape(&self) -> Fingerprint {
        self.shape
    }

    /// What a document of this plan's rows says of itself.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let notes = self.fields.iter().take(self.shown).filter_map(|field| match field.output {
            Output::Column(index) => {
                let column = self.column(index);
                let note = Note { unit: column.unit.clone(), description: column.description.clone() };
                Some((field.name.to_string(), note))
            }
            _ => None,
        });
        Facts {
            dataset: self.dataset.name.to_string(),
            version: self.version.as_ref().map(|version| version.number.to_string()),
            contract: self.dataset.contract.clone(),
            zone: self.zone.as_ref().and_then(|zone| zone.iana_name()).map(str::to_owned),
            notes: notes.collect(),
        }
    }
}
