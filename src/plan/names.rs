//! Names to columns and fields, and what may have been meant by one that there is not.

use crate::catalog::{Column, ColumnIndex};
use crate::query::PARTS;

use super::{Error, Field, Place, View};

/// Names as alike as this are taken for slips of each other (1 is equal).
const LIKENESS_MIN: f64 = 0.6;

/// The field of that name, or what may have been meant.
pub(super) fn field(view: &View, place: Place, name: &str) -> Result<ColumnIndex, Error> {
    if let Some(index) = view.column(name) {
        return match place {
            Place::Select => Ok(index),
            _ if view.answers_about(index) => Ok(index),
            _ => Err(Error::Masked { place, field: name.to_owned() }),
        };
    }
    Err({
        let fits = |column: &Column| match place {
            Place::Filter => !column.filter.is_empty(),
            Place::Select | Place::Having | Place::Expand | Place::Search | Place::Resample => true,
            Place::Sort | Place::LatestBy | Place::GroupBy => column.sort,
            Place::Measures => !column.aggregate.is_empty(),
        };
        let allowed: Vec<String> =
            view.columns().filter(|column| fits(column)).map(|column| column.name.to_string()).collect();
        let parts: &[&str] = if place == Place::Filter { &PARTS } else { &[] };
        let nearest = nearest(name, allowed.iter().map(String::as_str).chain(parts.iter().copied()));
        Error::UnknownField { place, name: name.into(), nearest, allowed }
    })
}

/// The candidate that was most likely meant.
pub(super) fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<String> {
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(candidate, name), candidate))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate.to_owned())
}

/// The field of that name in the answer, as `having` and the order of groups name it.
pub(super) fn of_answer(fields: &[Field], place: Place, name: &str) -> Result<usize, Error> {
    fields.iter().position(|field| field.name.as_str() == name).ok_or_else(|| {
        let allowed: Vec<String> = fields.iter().map(|field| field.name.to_string()).collect();
        let nearest = nearest(name, allowed.iter().map(String::as_str));
        Error::UnknownField { place, name: name.into(), nearest, allowed }
    })
}
