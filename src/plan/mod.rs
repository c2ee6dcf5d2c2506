//! Joins a question with the catalog and the caller's grant: every name resolved, every literal typed, policy inside.
//!
//! No I/O. Refuses everything refusable. Past this room nobody asks about permission: a [`Plan`] has private fields and
//! one maker, so holding one is the permission.

mod bind;
mod cursor;
mod error;
mod explain;
mod fingerprint;
mod predicate;
mod value;
mod view;

use std::sync::Arc;

use crate::auth::Principal;
use crate::catalog::{Catalog, Column, ColumnIndex, Dataset, Direction, Name, Relation};
use crate::query::{CursorKey, Nulls, Query};

pub use bind::{CONDITIONS_MAX, IN_VALUES_MAX, SORT_KEYS_MAX};
pub use cursor::Keyset;
pub use error::{Error, Expected, Place};
pub use fingerprint::Fingerprint;
pub use predicate::{Predicate, Test};
pub use value::{Value, date as parse_date};
pub use view::View;

use fingerprint::Canonical;

/// Rows of a page when the question names no limit.
pub const LIMIT_DEFAULT: u32 = 100;

/// A question that was bound, authorized and bounded. Only [`plan`] makes one, so holding a `Plan` is the permission.
///
/// Rows are what is left after policy, revision, filter and latest, in this order; then come order, `after` and limit.
#[derive(Clone, Debug)]
pub struct Plan {
    dataset: Arc<Dataset>,
    /// What a statement reads: the shown columns, then keys of the order that are not shown.
    columns: Vec<ColumnIndex>,
    shown: usize,
    revision: Option<Revision>,
    filter: Predicate,
    latest: Option<Latest>,
    order: Vec<SortKey>,
    after: Option<Keyset>,
    limit: u32,
    single: bool,
    question: Fingerprint,
    fingerprint: Fingerprint,
}

/// Keeps, of the revisions of one fact, the newest that was known.
#[derive(Clone, PartialEq, Debug)]
pub struct Revision {
    /// What was known: a condition on `known_at`, and the part of the filter that reads only the identity. That part
    /// takes whole facts or none, so it may come first, where an index serves it.
    pub among: Predicate,
    /// What makes two rows revisions of one fact.
    pub identity: Vec<ColumnIndex>,
    /// Greatest first: `known_at`, then the primary key.
    pub newest: Vec<ColumnIndex>,
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
    /// The column.
    pub column: ColumnIndex,
    /// Which end comes first.
    pub direction: Direction,
    /// Whether nulls come before every value; null sorts greatest where the question says nothing.
    pub nulls_first: bool,
    /// Whether there can be nulls at all.
    pub nullable: bool,
}

impl SortKey {
    fn new(column: ColumnIndex, direction: Direction, nulls: Option<Nulls>, nullable: bool) -> Self {
        let nulls_first = nulls.map_or(direction == Direction::Descending, |nulls| nulls == Nulls::First);
        Self { column, direction, nulls_first, nullable }
    }
}

/// Plans a question for a caller.
///
/// # Errors
/// Whatever makes the question unanswerable, in terms of what the caller may know.
pub fn plan(query: &Query, catalog: &Catalog, principal: &Principal, cursors: &CursorKey) -> Result<Plan, Error> {
    let view =
        View::of(catalog, principal, &query.dataset).ok_or_else(|| Error::UnknownDataset(query.dataset.clone()))?;
    let dataset = view.arc();

    let shown = bind::select(&view, query.select.as_deref())?;
    let mut filter = bind::filter(&view, &query.filter)?;
    if let Some(key) = &query.key {
        filter = Predicate::All(vec![filter, bind::key(&view, key)?]).canonical();
    }
    let latest_by = bind::latest_by(&view, &query.latest_by)?;
    let order = bind::order(&view, query.order.as_deref())?;
    let known = query.as_of.as_deref().map(|as_of| bind::known(&view, as_of)).transpose()?.flatten();
    let limit = limit(&view, query)?;
    let single = query.key.is_some();

    // The question before policy: what a cursor is bound to.
    let mut canonical = Canonical::default();
    canonical
        .part("dataset", |out| out.extend(dataset.name.as_str().bytes()))
        .part("filter", |out| filter.write(out))
        .part("known", |out| {
            if let Some((column, test)) = &known {
                Predicate::Test(*column, test.clone()).write(out);
            }
        })
        .part("latest_by", |out| write_columns(&latest_by, out))
        .part("order", |out| order.iter().for_each(|key| key.write(out)));
    let question = canonical.fingerprint();
    let after = match &query.page.cursor {
        Some(cursor) => Some(cursor::open(cursor, cursors, question, &order, &dataset)?),
        None => None,
    };

    let (revision, filter) = revision(&dataset, known, filter);
    let latest = (!latest_by.is_empty()).then(|| Latest { newest: newest(&dataset), by: latest_by });
    let mut columns = shown.clone();
    for key in &order {
        if !columns.contains(&key.column) {
            columns.push(key.column);
        }
    }
    canonical
        .part("select", |out| write_columns(&shown, out))
        .part("limit", |out| out.extend(limit.to_le_bytes()))
        .part("single", |out| out.push(u8::from(single)))
        .part("after", |out| after.iter().flatten().for_each(|value| Value::write(value.as_ref(), out)));
    let fingerprint = canonical.fingerprint();
    let shown = shown.len();
    Ok(Plan { dataset, columns, shown, revision, filter, latest, order, after, limit, single, question, fingerprint })
}

fn limit(view: &View, query: &Query) -> Result<u32, Error> {
    let max = view.rows_per_request();
    match query.page.limit {
        None => Ok(LIMIT_DEFAULT.min(max)),
        Some(asked) => {
            u32::try_from(asked).ok().filter(|limit| (1..=max).contains(limit)).ok_or(Error::Limit { asked, max })
        }
    }
}

/// Parts of the filter that read only the identity move before the choice of revisions, where they take whole facts.
fn revision(dataset: &Dataset, known: Option<(ColumnIndex, Test)>, filter: Predicate) -> (Option<Revision>, Predicate) {
    let (Some((known_at, test)), Some(point_in_time)) = (known, &dataset.point_in_time) else {
        return (None, filter);
    };
    let identity = point_in_time.identity.clone();
    let (mut among, filter): (Vec<_>, Vec<_>) =
        filter.conjuncts().into_iter().partition(|part| part.reads_only(&identity));
    among.push(Predicate::Test(known_at, test));
    let mut newest = vec![known_at];
    newest.extend(dataset.primary_key.iter().copied().filter(|key| *key != known_at));
    let revision = Revision { among: Predicate::All(among).canonical(), identity, newest };
    (Some(revision), Predicate::All(filter).canonical())
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

impl SortKey {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend((self.column as u64).to_le_bytes());
        out.push(u8::from(self.direction == Direction::Descending));
        out.push(u8::from(self.nulls_first && self.nullable));
    }
}

impl Plan {
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

    /// What is read.
    #[must_use]
    pub fn relation(&self) -> &Relation {
        &self.dataset.relation
    }

    /// The columns that a statement reads; the first [`Self::shown`] are the answer's.
    pub fn columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().map(|index| &self.dataset.columns[*index])
    }

    /// How many of the columns are the answer's.
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
}
