//! What one caller may know of one dataset: the only way to metadata for doors, OpenAPI and GraphQL.

use std::sync::Arc;

use crate::auth::{Grant, Mask, Principal, Right, Role, Tier};
use crate::catalog::{Bars, Catalog, Column, ColumnIndex, Dataset, Name, Relationship};
use crate::encode::MediaTypes;

/// A dataset through a grant.
#[derive(Clone, Debug)]
pub struct View {
    dataset: Arc<Dataset>,
    grant: Arc<Grant>,
    /// The relations that may be known of, by their places.
    relations: Vec<usize>,
    /// Relations that may be known of but for a masked column that they are on, with its name.
    masked_on: Vec<(usize, String)>,
    /// Columns as masks leave them, by their places.
    masked: Vec<(ColumnIndex, Column)>,
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
        let (mut relations, mut masked_on) = (Vec::new(), Vec::new());
        for (place, relation) in dataset.relations.iter().enumerate() {
            match leads_on(catalog, role, &dataset, &grant, relation) {
                Lead::Hidden => {}
                Lead::Masked(column) => masked_on.push((place, column)),
                Lead::Shown => relations.push(place),
            }
        }
        let masked = grant.masks().map(|(index, mask)| (index, left(&dataset.columns[index], mask))).collect();
        let internal = role.tier == Tier::Internal;
        Some(Self { dataset, grant, relations, masked_on, masked, internal })
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

    /// The visible columns, in the contract's order; of a masked one, what is left of it.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.shown().map(|index| {
            let masked = self.masked.iter().find(|(masked, _)| *masked == index);
            masked.map_or(&self.dataset.columns[index], |(_, column)| column)
        })
    }

    /// How a visible column is masked, by its name.
    #[must_use]
    pub fn mask_of(&self, name: &str) -> Option<Mask> {
        self.mask(self.dataset.column(name)?)
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
        self.dataset.bars.filter(|bars| bars.measures().all(|(column, _)| self.answers_about(column)))
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

    /// Whether groups may be asked for.
    #[must_use]
    pub fn aggregates(&self) -> bool {
        self.grant.aggregates
    }

    /// Whether all rows of the dataset exist for the caller: only then may their number be told.
    #[must_use]
    pub fn has_all_rows(&self) -> bool {
        let Grant { rows, history, delay, revision, .. } = &*self.grant;
        rows.is_none() && history.is_none() && delay.is_none() && revision.is_none()
    }

    /// The grant that is looked through.
    #[must_use]
    pub fn grant(&self) -> &Grant {
        &self.grant
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

    /// Whether the column is visible, masked or not.
    pub(super) fn shows(&self, index: ColumnIndex) -> bool {
        self.grant.shows(index)
    }

    /// Whether questions may be about the column, and not only show it.
    pub(super) fn answers_about(&self, index: ColumnIndex) -> bool {
        self.grant.right(index) == Right::Shown
    }

    pub(super) fn mask(&self, index: ColumnIndex) -> Option<Mask> {
        match self.grant.right(index) {
            Right::Masked(mask) => Some(mask),
            Right::Hidden | Right::Shown => None,
        }
    }

    /// The masked column for which a relation of that name, else visible, leads nowhere.
    pub(super) fn masked_on(&self, relation: &str) -> Option<String> {
        let on = |(place, _): &&(usize, String)| self.dataset.relations[*place].name.as_str() == relation;
        self.masked_on.iter().find(on).map(|(_, column)| column.clone())
    }

    /// The visible column of that name.
    pub(super) fn column(&self, name: &str) -> Option<ColumnIndex> {
        self.dataset.column(name).filter(|index| self.grant.shows(*index))
    }
}

/// What is left of a column behind a mask: it can be shown, and no question can be about it. A value that occurs in it is
/// no example of what is shown.
fn left(column: &Column, mask: Mask) -> Column {
    Column {
        nullable: column.nullable || mask == Mask::Redact,
        example: None,
        filter: Vec::new(),
        sort: false,
        aggregate: Vec::new(),
        searchable: false,
        ..column.clone()
    }
}

/// Whether a relation can be followed.
enum Lead {
    /// It tells of what is hidden.
    Hidden,
    /// It is on that column, which is masked.
    Masked(String),
    /// It can be.
    Shown,
}

/// Rows that are joined on a column tell its values.
fn leads_on(catalog: &Catalog, role: &Role, dataset: &Dataset, grant: &Grant, relation: &Relationship) -> Lead {
    let (Some(other), Some(theirs)) = (catalog.get(relation.dataset.as_str()), role.grant(relation.dataset.as_str()))
    else {
        return Lead::Hidden;
    };
    let rights = |(ours, name): &(ColumnIndex, Name)| {
        let right = other.column(name.as_str()).map_or(Right::Hidden, |column| theirs.right(column));
        [(dataset.columns[*ours].name.to_string(), grant.right(*ours)), (format!("{}.{name}", other.name), right)]
    };
    let all: Vec<(String, Right)> = relation.on.iter().flat_map(rights).collect();
    if all.iter().any(|(_, right)| *right == Right::Hidden) {
        return Lead::Hidden;
    }
    match all.into_iter().find(|(_, right)| *right != Right::Shown) {
        Some((column, _)) => Lead::Masked(column),
        None => Lead::Shown,
    }
}
