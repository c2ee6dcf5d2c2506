//! What one caller may know of one dataset: the only way to metadata for doors, OpenAPI and GraphQL.

use std::sync::Arc;

use crate::auth::{Grant, Principal, Role, Tier};
use crate::catalog::{Bars, Catalog, Column, ColumnIndex, Dataset, Relationship};
use crate::encode::MediaTypes;

/// A dataset through a grant.
#[derive(Clone, Debug)]
pub struct View {
    dataset: Arc<Dataset>,
    grant: Arc<Grant>,
    /// The relations that may be known of, by their places.
    relations: Vec<usize>,
    internal: bool,
}

impl View {
    /// What the caller may know of the dataset; `None` when that is nothing, as if it did not exist.
    #[must_use]
    pub fn of(catalog: &Catalog, principal: &Principal, dataset: &str) -> Option<Self> {
        Self::of_role(catalog, principal.role(), dataset)
    }

    /// What the role may know of the dataset.
    #[must_use]
    pub fn of_role(catalog: &Catalog, role: &Role, dataset: &str) -> Option<Self> {
        let dataset = Arc::clone(catalog.get(dataset)?);
        let grant = Arc::clone(role.grant(dataset.name.as_str())?);
        let relations = (0..dataset.relations.len())
            .filter(|place| leads_on(catalog, role, &grant, &dataset.relations[*place]))
            .collect();
        Some(Self { dataset, grant, relations, internal: role.tier == Tier::Internal })
    }

    /// Everything the role may know of, in the order of names.
    #[must_use]
    pub fn all(catalog: &Catalog, role: &Role) -> Vec<Self> {
        catalog.iter().filter_map(|dataset| Self::of_role(catalog, role, dataset.name.as_str())).collect()
    }

    /// The dataset's own facts: names, prose, promises. Its columns are to be had from [`Self::columns`] alone.
    #[must_use]
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// The visible columns, in the contract's order.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.shown().map(|index| &self.dataset.columns[index])
    }

    /// The visible columns of the primary key: all of it, since a grant without them is refused.
    pub fn primary_key(&self) -> impl Iterator<Item = &Column> {
        self.dataset.primary_key.iter().map(|index| &self.dataset.columns[*index])
    }

    /// Relations whose other end the role may know of, and whose columns are visible on both ends.
    pub fn relations(&self) -> impl Iterator<Item = &Relationship> {
        self.relations.iter().map(|place| &self.dataset.relations[*place])
    }

    /// The columns of price bars, where all of them are visible.
    #[must_use]
    pub fn bars(&self) -> Option<Bars> {
        self.dataset.bars.filter(|bars| bars.measures().all(|(column, _)| self.grant.shows(column)))
    }

    /// Whether the house's own prose is shown: who is affected, what breaches cost and where data is from name datasets
    /// and columns that a client may not see.
    #[must_use]
    pub fn shows_prose_of_the_house(&self) -> bool {
        self.internal
    }

    /// Whether the caller is one of the house.
    pub(super) fn is_of_the_house(&self) -> bool {
        self.internal
    }

    /// Rows of one answer at most.
    #[must_use]
    pub fn rows_per_request(&self) -> u32 {
        self.grant.rows_per_request
    }

    /// Whether all rows may be had at once.
    #[must_use]
    pub fn exports(&self) -> bool {
        self.grant.exports
    }

    /// What answers may be written as.
    #[must_use]
    pub fn media_types(&self) -> MediaTypes {
        self.grant.media_types
    }

    pub(super) fn arc(&self) -> Arc<Dataset> {
        Arc::clone(&self.dataset)
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = ColumnIndex> {
        (0..self.dataset.columns.len()).filter(|index| self.grant.shows(*index))
    }

    /// The visible column of that name.
    pub(super) fn column(&self, name: &str) -> Option<ColumnIndex> {
        self.dataset.column(name).filter(|index| self.grant.shows(*index))
    }
}

/// Whether a relation shows nothing that is hidden: rows that are joined on a hidden column would tell its values.
fn leads_on(catalog: &Catalog, role: &Role, grant: &Grant, relation: &Relationship) -> bool {
    let (Some(other), Some(theirs)) = (catalog.get(relation.dataset.as_str()), role.grant(relation.dataset.as_str()))
    else {
        return false;
    };
    let shown = |name: &str| other.column(name).is_some_and(|column| theirs.shows(column));
    relation.on.iter().all(|(column, name)| grant.shows(*column) && shown(name.as_str()))
}
