//! Joins a question with the catalog and the caller's grant: every name resolved, every literal typed, policy inside.
//!
//! No I/O. Refuses everything refusable. Past this room nobody asks about permission: a [`Plan`] has private fields and
//! one maker, so holding one is the permission.

mod bind;
mod changes;
mod cursor;
mod error;
mod explain;
mod field;
mod fingerprint;
mod group;
mod names;
mod policy;
mod predicate;
mod read;
mod related;
mod value;
mod view;

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::auth::{Instants, Mask, MaskKey, Principal};
use crate::catalog::{Catalog, ColumnIndex, Dataset, Direction};
use crate::encode::MediaTypes;
use crate::query::{Count, CursorKey, EXPAND_DEPTH_MAX, Limit, Nulls, Query};
use crate::store::{Version, Versions};

pub use bind::{CONDITIONS_MAX, IN_VALUES_MAX, SEARCH_WORD_BYTES_MAX, SEARCH_WORDS_MAX, SORT_KEYS_MAX};
pub use changes::{CHANGE, Change, changes};
pub use cursor::Keyset;
pub use error::{Error, Expected, Place};
pub use field::{Field, Output, measured};
pub use fingerprint::Fingerprint;
pub use group::{GROUPS_MAX, MEASURES_MAX};
pub use policy::{End, Window};
pub use predicate::{Predicate, Test};
pub use related::{EXPANSIONS_MAX, RELATED_DEFAULT, Related};
pub use value::{Value, date as parse_date, reads};
pub use view::View;

use bind::Names;
use fingerprint::Canonical;
use policy::Policy;
use related::Parent;

/// Rows of a page when the question names no limit.
pub const LIMIT_DEFAULT: u32 = 100;

/// A question that was bound, authorized and bounded. Only [`plan`] makes one, so holding a `Plan` is the permission.
///
/// Rows are what is left after policy, revision, filter and latest, in this order; then they are grouped, where groups
/// are asked for; then come order, `after` and limit.
#[derive(Clone, Debug)]
pub struct Plan {
    dataset: Arc<Dataset>,
    /// What is read; `None` while the dataset is live.
    version: Option<Arc<Version>>,
    /// Whether the page before was of another version.
    version_changed: bool,
    /// The same question of two versions, where what is asked is their difference; the later one's is the version above.
    sides: Option<Arc<[Self; 2]>>,
    /// What a statement reads: the answer's fields, then those that only order or relations need.
    fields: Vec<Field>,
    shown: usize,
    revision: Option<Revision>,
    filter: Predicate,
    latest: Option<Latest>,
    having: Option<Predicate>,
    order: Vec<SortKey>,
    after: Option<Keyset>,
    limit: u32,
    backward: bool,
    whole: bool,
    single: bool,
    related: Vec<Related>,
    joined: Vec<usize>,
    count: Count,
    zone: Option<TimeZone>,
    windows: Vec<Window>,
    /// When the windows move, its own or those of what comes along.
    until: Option<Timestamp>,
    /// The key of fields that show hashes; there is none where there are no such fields.
    masks: Option<MaskKey>,
    explains: bool,
    role: Arc<str>,
    media_types: MediaTypes,
    question: Fingerprint,
    shape: Fingerprint,
    fingerprint: Fingerprint,
}

/// Keeps one of the revisions of each fact.
#[derive(Clone, PartialEq, Debug)]
pub struct Revision {
    /// What was known: a condition on `known_at`, and the part of the filter that reads only the identity. That part
    /// takes whole facts or none, so it may come first, where an index serves it.
    pub among: Predicate,
    /// What makes two rows revisions of one fact.
    pub identity: Vec<ColumnIndex>,
    /// `known_at`, then the primary key: what makes one revision newer than another.
    pub newest: Vec<ColumnIndex>,
    /// Which end is kept: the least of them for the first revision, the greatest for the latest.
    pub direction: Direction,
}

/// Keeps, of the rows that agree in some columns, the newest.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Latest {
    /// The columns that agree.
    pub by: Vec<ColumnIndex>,
    /// Greatest first: time, `known_at`, the primary key.
    pub newest: Vec<ColumnIndex>,
}

/// One key of a total order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SortKey {
    /// Where its field stands in [`Plan::fields`].
    pub field: usize,
    /// Which end comes first.
    pub direction: Direction,
    /// Whether nulls come before every value; null sorts greatest where the question says nothing.
    pub nulls_first: bool,
    /// Whether there can be nulls at all.
    pub nullable: bool,
}

impl SortKey {
    fn new(field: usize, direction: Direction, nulls: Option<Nulls>, nullable: bool) -> Self {
        let nulls_first = nulls.map_or(direction == Direction::Descending, |nulls| nulls == Nulls::First);
        Self { field, direction, nulls_first, nullable }
    }

    /// The key of the opposite order.
    fn turned(self) -> Self {
        let direction = match self.direction {
            Direction::Ascending => Direction::Descending,
            Direction::Descending => Direction::Ascending,
        };
        Self { direction, nulls_first: !self.nulls_first, ..self }
    }
}

/// What a question is planned with.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// What there is.
    pub catalog: &'a Catalog,
    /// Which version of each dataset is current.
    pub versions: &'a Versions,
    /// Who asks.
    pub principal: &'a Principal,
    /// Opens cursors.
    pub cursors: &'a CursorKey,
    /// The key of masks that hash.
    pub masks: &'a MaskKey,
    /// The moment that windows are of.
    pub moment: Instants,
}

/// Plans a question for a caller.
///
/// # Errors
/// Whatever makes the question unanswerable, in terms of what the caller may know.
pub fn plan(query: &Query, scope: &Scope<'_>) -> Result<Plan, Error> {
    let view = View::of(scope.catalog, scope.principal, &query.dataset);
    let view = view.ok_or_else(|| Error::UnknownDataset(query.dataset.clone()))?;
    build(scope, &view, query, None)
}

/// Plans a question, or the part of one that is about related rows.
fn build(scope: &Scope<'_>, view: &View, query: &Query, mut parent: Option<Parent<'_>>) -> Result<Plan, Error> {
    let dataset = view.arc();
    let single = query.key.is_some();
    let policy = Policy::of(view, scope.principal, scope.moment);
    policy.allows(query.revision, query.as_of.is_some())?;

    let (mut fields, having) = match &query.aggregate {
        None => (bind::select(view, query.select.as_deref())?, None),
        Some(_) if query.select.is_some() => return Err(Error::OfRows { parameter: "select" }),
        Some(_) if !query.expand.is_empty() => return Err(Error::OfRows { parameter: "expand" }),
        Some(_) if !view.aggregates() => return Err(Error::NotAggregated),
        Some(aggregate) => {
            let fields = group::fields(view, aggregate)?;
            let having = bind::filter(Names::Fields(&fields), &aggregate.having)?;
            (fields, Some(having))
        }
    };
    let shown = fields.len();
    let order = match having {
        None => bind::order(view, query.order.as_deref(), &mut fields)?,
        Some(_) => bind::order_of_groups(query.order.as_deref(), &fields)?,
    };
    let mut conditions = vec![bind::filter(Names::Columns(view), &query.filter)?];
    conditions.extend(query.search.as_deref().map(|text| bind::search(view, text)).transpose()?);
    conditions.extend(query.key.as_deref().map(|key| bind::key(view, key)).transpose()?);
    let filter = Predicate::All(conditions).canonical();
    let latest_by = bind::latest_by(view, &query.latest_by)?;
    let known = query.as_of.as_deref().map(|as_of| bind::known(view, as_of)).transpose()?;
    let chosen = bind::revision(view, query.revision, known.is_some())?;
    let zone = query.tz.as_deref().map(bind::zone).transpose()?;
    let limit = match &parent {
        Some(parent) => parent.limit(query.page.limit, view.rows_per_request())?,
        None => limit(view, query)?,
    };
    let whole = parent.is_none() && query.page.limit == Some(Limit::All);
    if whole {
        bind::whole(view, query)?;
    }
    // All rows come as the source has them, unless an order was asked for: to order a mart takes longer than to read it.
    let order = if whole && query.order.is_none() && !query.page.in_order { Vec::new() } else { order };

    // The question before policy: what a cursor is bound to.
    let mut canonical = Canonical::default();
    canonical
        .part("dataset", |out| out.extend(dataset.name.as_str().bytes()))
        .part("filter", |out| filter.write(out))
        .part("known", |out| known.iter().for_each(|known| known.write(out)))
        .part("revision", |out| out.extend(chosen.map(|direction| direction as u8)))
        .part("latest_by", |out| write_columns(&latest_by, out))
        .part("groups", |out| {
            if let Some(having) = &having {
                fields[..shown].iter().for_each(|field| field.write(out));
                having.write(out);
            }
        })
        .part("order", |out| order.iter().for_each(|key| key.write(&fields, out)))
        .part("zone", |out| out.extend(zone.iter().flat_map(|zone| zone.iana_name()).flat_map(str::bytes)));
    let question = canonical.fingerprint();
    let after = match &query.page.cursor {
        Some(cursor) => Some(cursor::open(cursor, scope.cursors, question, &order, &fields)?),
        None => None,
    };
    let name = dataset.name.as_str();
    let current = scope.versions.of(name);
    // A walk stays on its version while that is kept, and then goes on with the current one.
    let begun_on = after.as_ref().map(|(version, _)| *version);
    let kept = begun_on.flatten().and_then(|id| scope.versions.kept(name, id));
    let version = kept.or(current).cloned();
    let version_changed = begun_on.is_some_and(|begun_on| begun_on != version.as_ref().map(|version| version.id));
    let after = after.map(|(_, keyset)| keyset);
    // The same question from its other end: what comes last stands first.
    let backward = query.page.backward;
    let order: Vec<SortKey> = if backward { order.into_iter().map(SortKey::turned).collect() } else { order };

    let (revision, filter) = revision(&dataset, &policy, known, chosen, filter);
    let latest = latest(&dataset, latest_by);
    let joined: Vec<usize> = (parent.iter().flat_map(|parent| &parent.on))
        .map(|index| bind::place_of(&mut fields, *index, &dataset.columns[*index]))
        .collect();
    let mut related = Vec::with_capacity(query.expand.len());
    let mut own_left = EXPANSIONS_MAX;
    let (rows, depth, left) = match &mut parent {
        Some(parent) => (parent.rows * u64::from(limit), parent.depth, &mut *parent.left),
        None => (u64::from(limit), EXPAND_DEPTH_MAX, &mut own_left),
    };
    for (relation, expansion) in related::of(view, &query.expand)?.into_iter().zip(&query.expand) {
        let plan = related::plan(scope, query, expansion, relation, rows, depth, left)?;
        let on = (relation.on.iter()).map(|(ours, _)| bind::place_of(&mut fields, *ours, &dataset.columns[*ours]));
        let on = on.collect();
        let name = related::name(expansion, relation)?;
        related.push(Related { name, kind: relation.kind, on, plan });
    }
    let hashes = fields[..shown].iter().any(|field| field.mask == Some(Mask::Hash));
    let masks = hashes.then(|| scope.masks.clone());
    // The plan's name, and what all plans of this question by this grant share while windows move.
    let named = |moving: bool| {
        let mut canonical = canonical.clone();
        canonical
            .part("policy", |out| {
                if moving {
                    policy.rows.write(out);
                } else {
                    policy.lasting.write(out);
                };
                out.extend(policy.revision.map(|direction| direction as u8));
            })
            .part("masks", |out| out.extend(masks.iter().flat_map(MaskKey::id)))
            .part("select", |out| fields[..shown].iter().for_each(|field| field.write(out)))
            .part("limit", |out| out.extend(limit.to_le_bytes()))
            .part("whole", |out| out.push(u8::from(whole)))
            .part("single", |out| out.push(u8::from(single)))
            .part("after", |out| after.iter().flatten().for_each(|value| Value::write(value.as_ref(), out)))
            .part("backward", |out| out.push(u8::from(backward)))
            .part("count", |out| out.push(query.count as u8))
            .part("version_changed", |out| out.push(u8::from(version_changed)))
            .part("related", |out| {
                for Related { name, plan, .. } in &related {
                    out.extend(name.as_str().bytes());
                    out.push(0);
                    out.extend(if moving { plan.fingerprint.0 } else { plan.shape.0 });
                }
            });
        if !moving {
            canonical.part("windows", |out| out.extend(policy.spans.iter().flat_map(|span| span.to_le_bytes())));
        }
        canonical.fingerprint()
    };
    let (fingerprint, shape) = (named(true), named(false));
    let mut windows = policy.windows;
    windows.extend(related.iter().flat_map(|related| related.plan.windows.iter().cloned()));
    let until = related.iter().filter_map(|related| related.plan.until).chain(policy.until).min();
    let count = query.count;
    // What comes along is granted by its own grant.
    let media_types = related.iter().fold(view.media_types(), |all, related| all.and(related.plan.media_types));
    Ok(Plan {
        dataset,
        version,
        version_changed,
        sides: None,
        fields,
        shown,
        revision,
        filter,
        latest,
        having,
        order,
        after,
        limit,
        backward,
        whole,
        single,
        related,
        joined,
        count,
        zone,
        windows,
        until,
        masks,
        explains: view.is_of_the_house(),
        role: scope.principal.role().name.as_str().into(),
        media_types,
        question,
        shape,
        fingerprint,
    })
}

fn limit(view: &View, query: &Query) -> Result<u32, Error> {
    let max = view.rows_per_request();
    match query.page.limit {
        None => Ok(LIMIT_DEFAULT.min(max)),
        Some(Limit::All) => Ok(u32::MAX),
        Some(Limit::Rows(asked)) => {
            u32::try_from(asked).ok().filter(|limit| (1..=max).contains(limit)).ok_or(Error::Limit { asked, max })
        }
    }
}

/// Parts of the filter that read only the identity move before the choice of revisions, where they take whole facts.
///
/// Where the identity has the primary key in it, no fact has two rows, and there is nothing to choose.
fn revision(
    dataset: &Dataset,
    policy: &Policy,
    known: Option<Predicate>,
    chosen: Option<Direction>,
    filter: Predicate,
) -> (Option<Revision>, Predicate) {
    let point_in_time = dataset
        .point_in_time
        .as_ref()
        .filter(|point_in_time| dataset.primary_key.iter().any(|key| !point_in_time.identity.contains(key)));
    let rows = policy.rows.clone();
    let (Some(direction), Some(point_in_time)) = (policy.revision.or(chosen), point_in_time) else {
        return (None, Predicate::All([rows, filter].into_iter().chain(known).collect()).canonical());
    };
    let identity = point_in_time.identity.clone();
    let (mut among, filter): (Vec<_>, Vec<_>) =
        filter.conjuncts().into_iter().partition(|part| part.reads_only(&identity));
    // Rows that do not exist for the caller are chosen by nobody. What was known at a moment is chosen among what was known
    // then; a revision that the grant chooses is chosen before anything is asked.
    among.push(rows);
    let mut filter = filter;
    match policy.revision {
        Some(_) => filter.extend(known),
        None => among.extend(known),
    }
    let known_at = point_in_time.known_at;
    let mut newest = vec![known_at];
    newest.extend(dataset.primary_key.iter().copied().filter(|key| *key != known_at));
    let revision = Revision { among: Predicate::All(among).canonical(), identity, newest, direction };
    (Some(revision), Predicate::All(filter).canonical())
}

/// Where rows that agree are one row already, there is nothing to choose.
fn latest(dataset: &Dataset, by: Vec<ColumnIndex>) -> Option<Latest> {
    let chooses = !by.is_empty() && dataset.primary_key.iter().any(|key| !by.contains(key));
    chooses.then(|| Latest { newest: newest(dataset), by })
}

/// Time, `known_at` and key, none twice: the greatest of them is the newest row.
fn newest(dataset: &Dataset) -> Vec<ColumnIndex> {
    let known_at = dataset.point_in_time.iter().map(|point_in_time| point_in_time.known_at);
    let all = dataset.time.into_iter().chain(known_at).chain(dataset.primary_key.iter().copied());
    let mut newest = Vec::new();
    for column in all {
        if !newest.contains(&column) {
            newest.push(column);
        }
    }
    newest
}

fn write_columns(columns: &[ColumnIndex], out: &mut Vec<u8>) {
    out.extend(columns.iter().flat_map(|column| (*column as u64).to_le_bytes()));
}
