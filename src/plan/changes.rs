//! What has changed of a dataset between two versions, as a grant shows it: all rows of the one and of the other, by the
//! same policy, and what is told of their difference.

use std::sync::Arc;

use crate::catalog::{Name, Type};
use crate::query::{Limit, Query};
use crate::store::{Version, Versions};

use super::fingerprint::Canonical;
use super::{Error, Field, Output, Plan, Scope, View, build};

/// What has become of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It was not there, or not for the caller.
    Insert,
    /// Something that is shown of it is another.
    Update,
    /// It is there no more, or not for the caller.
    Delete,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Insert, Self::Update, Self::Delete];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// The column of an answer that holds [`Change`]s. No contract has a column whose name begins so.
pub const CHANGE: &str = "_change";

/// Plans the question of what has changed from one version to another, or to the current one. Of the question, dataset,
/// columns and zone are read: changes are of all rows.
///
/// # Errors
/// Whatever makes the question unanswerable, in terms of what the caller may know.
pub fn changes(query: &Query, scope: &Scope<'_>, from: u64, to: Option<u64>) -> Result<Plan, Error> {
    let view = View::of(scope.catalog, scope.principal, &query.dataset);
    let view = view.ok_or_else(|| Error::UnknownDataset(query.dataset.clone()))?;
    let mut rows = Query { dataset: query.dataset.clone(), tz: query.tz.clone(), ..Query::default() };
    rows.page.limit = Some(Limit::All);
    rows.select = query.select.as_ref().map(|names| {
        let key = view.primary_key().map(|column| column.name.to_string());
        key.filter(|name| !names.contains(name)).chain(names.iter().cloned()).collect()
    });
    // Rights and names first: who may not ask hears nothing of versions.
    let current = build(scope, &view, &rows, None)?;
    let [from, to] = span(scope.versions, &query.dataset, from, to)?;
    let side = |version: &Arc<Version>| Plan { version: Some(Arc::clone(version)), ..current.clone() };
    Ok(between(side(&from), side(&to)))
}

/// Both versions, which must be there to be read.
fn span(versions: &Versions, dataset: &str, from: u64, to: Option<u64>) -> Result<[Arc<Version>; 2], Error> {
    let backwards = |to: u64| Error::Backwards { from, to };
    if let Some(to) = to.filter(|to| *to < from) {
        return Err(backwards(to));
    }
    let history = versions.history(dataset);
    let find = |parameter: &'static str, number: u64| {
        let found = history.iter().find(|version| version.number == number);
        match found {
            Some(version) if version.is_kept() => Ok(Arc::clone(version)),
            // Versions are numbered without gaps, and the oldest are told of no more.
            None if number == 0 || history.first().is_none_or(|newest| newest.number < number) => {
                Err(Error::UnknownVersion { parameter, number })
            }
            _ => {
                let kept = history.iter().filter(|version| version.is_kept()).map(|version| version.number);
                Err(Error::VersionGone { parameter, number, kept: kept.collect() })
            }
        }
    };
    let to = match to {
        Some(to) => find("to", to)?,
        None => versions.of(dataset).cloned().ok_or(Error::UnknownVersion { parameter: "from", number: from })?,
    };
    let from = find("from", from)?;
    if from.number > to.number { Err(backwards(to.number)) } else { Ok([from, to]) }
}

/// The plan of the difference: what has become of a row, its columns, and behind what is shown those that the database
/// cannot compare, since they are shown behind a mask, as they were.
fn between(from: Plan, to: Plan) -> Plan {
    let key = |field: &Field| matches!(field.output, Output::Column(index) if to.dataset.primary_key.contains(&index));
    let change = Field {
        name: Name::ours("change"),
        data_type: Type::String,
        nullable: false,
        output: Output::Change,
        mask: None,
    };
    // Of a row that is gone nothing but its key is told.
    let columns = to.fields.iter().map(|field| Field { nullable: field.nullable || !key(field), ..field.clone() });
    let mut fields: Vec<Field> = std::iter::once(change).chain(columns).collect();
    let shown = fields.len();
    let masked = to.fields.iter().enumerate().filter(|(_, field)| field.mask.is_some());
    fields.extend(masked.filter_map(|(place, field)| {
        let output = Output::Was(field.made_of()?);
        Some(Field { name: Name::ours(&format!("was_{place}")), nullable: true, output, ..field.clone() })
    }));
    let named = |own: fn(&Plan) -> [u8; 16]| {
        let mut canonical = Canonical::default();
        canonical
            .part("changes", |out| out.extend(own(&to)))
            .part("from", |out| out.extend(from.version.iter().flat_map(|version| version.id.0.into_bytes())));
        canonical.fingerprint()
    };
    let (fingerprint, shape) = (named(|plan| plan.fingerprint.0), named(|plan| plan.shape.0));
    let sides = Some(Arc::new([from, to.clone()]));
    Plan { fields, shown, sides, fingerprint, shape, ..to }
}
