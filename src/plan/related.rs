//! Expansions: plans for rows of other datasets that come with each row of an answer.

use crate::catalog::{ColumnIndex, Name, RelationKind, Relationship};
use crate::query::{EXPAND_DEPTH_MAX, Expansion, Limit, Page, Query};

use super::names::nearest;
use super::{Error, Place, Plan, Scope, View, build};

/// Expansions of one question at most, on every level together.
pub const EXPANSIONS_MAX: usize = 8;
/// Related rows for each row when the question names no limit.
pub const RELATED_DEFAULT: u32 = 10;

/// Rows of another dataset that come with each row.
#[derive(Clone, Debug)]
pub struct Related {
    /// What the rows are called in the answer.
    pub name: Name,
    /// One or many.
    pub kind: RelationKind,
    /// The parent's fields whose values the related rows share, in the order of [`Plan::joined`].
    pub on: Vec<usize>,
    /// The related rows; its limit is that of each parent.
    pub plan: Plan,
}

/// What a plan is to the one that it comes with.
pub(super) struct Parent<'p> {
    /// The columns whose values rows share with their parent's.
    pub(super) on: Vec<ColumnIndex>,
    /// One or many.
    pub(super) kind: RelationKind,
    /// Parents at most.
    pub(super) rows: u64,
    /// Levels that may still come below.
    pub(super) depth: usize,
    /// Expansions that may still come anywhere.
    pub(super) left: &'p mut usize,
}

/// What related rows are called in the answer.
pub(super) fn name(expansion: &Expansion, relation: &Relationship) -> Result<Name, Error> {
    let Some(alias) = &expansion.alias else { return Ok(relation.name.clone()) };
    let (place, allowed) = (Place::Expand, Vec::new());
    alias.parse().map_err(|_| Error::UnknownField { place, name: alias.clone(), nearest: None, allowed })
}

/// The relation of an expansion, as far as the caller may know of it.
fn relation<'v>(view: &'v View, name: &str) -> Result<&'v Relationship, Error> {
    let visible = || view.relations();
    visible().find(|relation| relation.name.as_str() == name).ok_or_else(|| {
        if let Some(field) = view.masked_on(name) {
            return Error::Masked { place: Place::Expand, field };
        }
        let allowed: Vec<String> = visible().map(|relation| relation.name.to_string()).collect();
        let nearest = nearest(name, allowed.iter().map(String::as_str));
        Error::UnknownField { place: Place::Expand, name: name.into(), nearest, allowed }
    })
}

/// The relations that a question expands, with the columns of this dataset that each hangs on.
pub(super) fn of<'v>(view: &'v View, expand: &[Expansion]) -> Result<Vec<&'v Relationship>, Error> {
    for (place, expansion) in expand.iter().enumerate() {
        if expand[..place].iter().any(|other| other.name() == expansion.name()) {
            return Err(Error::Twice { place: Place::Expand, field: expansion.name().to_owned() });
        }
    }
    expand.iter().map(|expansion| relation(view, &expansion.relation)).collect()
}

/// Plans one expansion of a question.
pub(super) fn plan(
    scope: &Scope<'_>,
    query: &Query,
    expansion: &Expansion,
    relation: &Relationship,
    parent_rows: u64,
    depth: usize,
    left: &mut usize,
) -> Result<Plan, Error> {
    let failed = |source| Error::Related { relation: expansion.relation.clone(), source: Box::new(source) };
    let depth = depth.checked_sub(1).ok_or(Error::TooMany { what: "levels of expand", max: EXPAND_DEPTH_MAX })?;
    *left = left.checked_sub(1).ok_or(Error::TooMany { what: "expansions", max: EXPANSIONS_MAX })?;
    // A relation that the caller may know of has a dataset that the caller may know of.
    let view = View::of(scope.catalog, scope.principal, relation.dataset.as_str())
        .ok_or_else(|| Error::UnknownDataset(relation.dataset.to_string()))?;
    // What nobody can date must not come along with what was known then.
    if query.as_of.is_some() && view.dataset().point_in_time.is_none() {
        return Err(failed(Error::NotTimed { parameter: "as_of", lacks: "point in time" }));
    }
    let on = relation.on.iter().map(|(_, theirs)| view.column(theirs.as_str()));
    // Rows that are joined on a hidden column would tell its values.
    let on = on.collect::<Option<_>>().ok_or_else(|| Error::UnknownField {
        place: Place::Expand,
        name: expansion.relation.clone(),
        nearest: None,
        allowed: Vec::new(),
    })?;
    let related = Query {
        dataset: relation.dataset.to_string(),
        select: expansion.select.clone(),
        filter: expansion.filter.clone(),
        as_of: query.as_of.clone(),
        tz: query.tz.clone(),
        order: expansion.order.clone(),
        expand: expansion.expand.clone(),
        page: Page { limit: expansion.limit.map(Limit::Rows), ..Page::default() },
        ..Query::default()
    };
    let parent = Parent { on, kind: relation.kind, rows: parent_rows, depth, left };
    build(scope, &view, &related, Some(parent)).map_err(failed)
}

impl Parent<'_> {
    /// Related rows for each parent: all parents together get no more than the related dataset's own grant allows.
    pub(super) fn limit(&self, asked: Option<Limit>, max: u32) -> Result<u32, Error> {
        let fair = u32::try_from(u64::from(max) / self.rows.max(1)).unwrap_or(max);
        let limit = match (self.kind, asked) {
            (RelationKind::One, _) => 1,
            (RelationKind::Many, None) => u64::from(RELATED_DEFAULT.min(fair).max(1)),
            (RelationKind::Many, Some(Limit::Rows(asked))) => asked,
            // An expansion has a number or none.
            (RelationKind::Many, Some(Limit::All)) => u64::MAX,
        };
        let all = limit.saturating_mul(self.rows);
        match u32::try_from(limit) {
            Ok(limit @ 1..) if all <= u64::from(max) => Ok(limit),
            _ => Err(Error::RelatedLimit { asked: all, max }),
        }
    }
}
