//! The matrix as a person reads it: every role, dataset and column in plain words, and what changes between two of them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::catalog::{Catalog, Dataset, Revision};
use crate::config::duration::format_duration;

use super::{Grant, Limits, Matrix, Right, Role, Tier};

/// Everything that a matrix grants.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Sheet {
    /// In the order of the file.
    pub roles: Vec<RoleSheet>,
}

/// Everything that a role is granted.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct RoleSheet {
    /// Its name.
    pub name: String,
    /// Clients, or the house itself.
    pub tier: Tier,
    /// What it is for.
    pub description: String,
    /// Who has it, in words.
    pub who: String,
    /// Whether it may call GraphQL.
    pub graphql: bool,
    /// What each of its callers may use up.
    pub limits: Limits,
    /// By dataset, every one of the catalog; `None` does not exist for the role.
    pub datasets: BTreeMap<String, Option<GrantSheet>>,
}

/// Everything that a role is granted of one dataset.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct GrantSheet {
    /// By column, every one of the contract in its order: `shown`, `hidden`, or a mask.
    pub columns: Vec<(String, String)>,
    /// What rows must meet to exist.
    pub rows: Option<String>,
    /// How far back time may lie.
    pub history: Option<String>,
    /// How long ago what is known must have become known.
    pub delay: Option<String>,
    /// The one revision of each fact that exists.
    pub revision: Option<&'static str>,
    /// Whether groups may be asked for.
    pub aggregate: bool,
    /// Whether all rows may be had at once.
    pub export: bool,
    /// What answers may be written as.
    pub formats: Vec<&'static str>,
    /// Rows of one answer at most.
    pub rows_per_request: u32,
}

/// What is shown of a column, in the word of a sheet.
#[must_use]
pub fn shown(right: Right) -> String {
    match right {
        Right::Hidden => "hidden".to_owned(),
        Right::Shown => "shown".to_owned(),
        Right::Masked(mask) => mask.to_string(),
    }
}

impl Sheet {
    /// The sheet of a matrix over a catalog.
    #[must_use]
    pub fn of(matrix: &Matrix, catalog: &Catalog) -> Self {
        Self { roles: matrix.roles().map(|role| RoleSheet::of(role, catalog)).collect() }
    }
}

impl RoleSheet {
    fn of(role: &Role, catalog: &Catalog) -> Self {
        let granted = |dataset: &Dataset| role.grant(dataset.name.as_str()).map(|grant| GrantSheet::of(grant, dataset));
        Self {
            name: role.name.clone(),
            tier: role.tier,
            description: role.description.clone(),
            who: role.who.to_string(),
            graphql: role.graphql,
            limits: role.limits,
            datasets: catalog.iter().map(|dataset| (dataset.name.to_string(), granted(dataset))).collect(),
        }
    }
}

impl GrantSheet {
    /// The sheet of a grant on a dataset.
    #[must_use]
    pub fn of(grant: &Grant, dataset: &Dataset) -> Self {
        let columns = dataset.columns.iter().enumerate();
        Self {
            columns: columns.map(|(index, column)| (column.name.to_string(), shown(grant.right(index)))).collect(),
            rows: grant.rows.as_ref().map(ToString::to_string),
            history: grant.history.map(|history| history.to_string()),
            delay: grant.delay.map(format_duration),
            revision: grant.revision.map(Revision::as_str),
            aggregate: grant.aggregates,
            export: grant.exports,
            formats: grant.media_types.iter().map(crate::encode::MediaType::format).collect(),
            rows_per_request: grant.rows_per_request,
        }
    }
}

/// What a change does to who sees what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// More can be seen or used than before.
    Opens,
    /// Less can be.
    Closes,
    /// It depends on rows and callers: a person must read it.
    Changes,
}

/// One difference of two matrices.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The role.
    pub role: String,
    /// The dataset; the role itself without one.
    pub dataset: Option<String>,
    /// The column or the right.
    pub what: String,
    /// As it was; nothing where it was not.
    pub before: Option<String>,
    /// As it is; nothing where it is not.
    pub after: Option<String>,
    /// What that does.
    pub effect: Effect,
}

/// What differs from one matrix to another, in the order of roles, datasets and columns.
#[must_use]
pub fn changes(before: &Sheet, after: &Sheet) -> Vec<Change> {
    let mut names: Vec<&str> = after.roles.iter().map(|role| role.name.as_str()).collect();
    names.extend(
        before.roles.iter().map(|role| role.name.as_str()).filter(|name| !names.contains(name)).collect::<Vec<_>>(),
    );
    let mut changes = Vec::new();
    for name in names {
        let of = |sheet: &'_ Sheet| sheet.roles.iter().find(|role| role.name == name).map(facts);
        differences(name, &of(before).unwrap_or_default(), &of(after).unwrap_or_default(), &mut changes);
    }
    changes
}

/// How two values of a fact compare.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    /// A column: shown is more than masked, masked more than hidden.
    Column,
    /// A flag, or a list of which more is more.
    More,
    /// A number of which more is more, and none is without end.
    Number,
    /// A bound that closes something: none is more than any.
    Bound,
    /// What only a person can compare.
    Words,
}

type Facts = BTreeMap<(Option<String>, usize, String), (Scale, String)>;

/// What a role is granted as single facts. A fact that is not there is nothing granted, or nothing bound.
fn facts(role: &RoleSheet) -> Facts {
    let mut facts = Facts::new();
    let mut add = |dataset: Option<&String>, what: &str, scale: Scale, value: Option<String>| {
        let place = facts.len();
        facts.extend(value.map(|value| ((dataset.cloned(), place, what.to_owned()), (scale, value))));
    };
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let limits = role.limits;
    add(None, "who", Scale::Words, Some(role.who.clone()));
    add(None, "tier", Scale::Words, Some(format!("{:?}", role.tier).to_lowercase()));
    add(None, "graphql", Scale::More, role.graphql.then(|| "yes".to_owned()));
    add(None, "requests_per_second", Scale::Number, number(limits.requests_per_second.map(u64::from)));
    add(None, "requests_per_day", Scale::Number, number(limits.requests_per_day));
    add(None, "rows_per_day", Scale::Number, number(limits.rows_per_day));
    add(None, "export_bytes_per_day", Scale::Number, number(limits.export_bytes_per_day));
    add(None, "concurrent_requests", Scale::Number, number(limits.concurrent_requests.map(u64::from)));
    add(None, "graphql_cost", Scale::Number, number(limits.graphql_cost));
    for (dataset, grant) in &role.datasets {
        let Some(grant) = grant else { continue };
        for (column, right) in &grant.columns {
            add(Some(dataset), column, Scale::Column, Some(right.clone()).filter(|right| right != "hidden"));
        }
        add(Some(dataset), "rows", Scale::Words, grant.rows.clone());
        add(Some(dataset), "history", Scale::Bound, grant.history.clone());
        add(Some(dataset), "delay", Scale::Bound, grant.delay.clone());
        add(Some(dataset), "revision", Scale::Bound, grant.revision.map(str::to_owned));
        add(Some(dataset), "aggregate", Scale::More, grant.aggregate.then(|| "yes".to_owned()));
        add(Some(dataset), "export", Scale::More, grant.export.then(|| "yes".to_owned()));
        add(Some(dataset), "formats", Scale::More, Some(grant.formats.join(" ")));
        add(Some(dataset), "rows_per_request", Scale::Number, number(Some(grant.rows_per_request.into())));
    }
    facts
}

fn differences(role: &str, before: &Facts, after: &Facts, changes: &mut Vec<Change>) {
    let named = |facts: &Facts| -> BTreeMap<(Option<String>, String), (usize, Scale, String)> {
        let all = facts.iter().map(|((dataset, place, what), (scale, value))| {
            ((dataset.clone(), what.clone()), (*place, *scale, value.clone()))
        });
        all.collect()
    };
    let (whole, before, after) = ((before.is_empty(), after.is_empty()), named(before), named(after));
    let datasets = |facts: &BTreeMap<(Option<String>, String), _>| -> BTreeSet<Option<String>> {
        facts.keys().map(|(dataset, _)| dataset.clone()).collect()
    };
    let (had, has) = (datasets(&before), datasets(&after));
    let mut keys: Vec<&(Option<String>, String)> = before.keys().chain(after.keys()).collect();
    keys.sort_by_key(|key| (key.0.clone(), after.get(*key).or(before.get(*key)).map(|fact| fact.0)));
    keys.dedup();
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        if old.map(|fact| &fact.2) == new.map(|fact| &fact.2) {
            continue;
        }
        let scale = old.or(new).map_or(Scale::Words, |fact| fact.1);
        let value = |fact: Option<&(usize, Scale, String)>| fact.map(|fact| fact.2.clone());
        // What comes or goes with its whole role or dataset opens or closes with it.
        let effect = match (had.contains(&key.0) && !whole.0, has.contains(&key.0) && !whole.1) {
            (false, _) => Effect::Opens,
            (_, false) => Effect::Closes,
            _ => effect(scale, value(old).as_deref(), value(new).as_deref()),
        };
        let (dataset, what) = key.clone();
        changes.push(Change { role: role.to_owned(), dataset, what, before: value(old), after: value(new), effect });
    }
}

/// What it does that a fact is another one.
fn effect(scale: Scale, before: Option<&str>, after: Option<&str>) -> Effect {
    let or = |opens: bool, closes: bool| match (opens, closes) {
        (true, false) => Effect::Opens,
        (false, true) => Effect::Closes,
        _ => Effect::Changes,
    };
    match (scale, before, after) {
        (Scale::Column | Scale::More, None, Some(_)) | (Scale::Number | Scale::Bound | Scale::Words, Some(_), None) => {
            Effect::Opens
        }
        (Scale::Column | Scale::More, Some(_), None) | (Scale::Number | Scale::Bound | Scale::Words, None, Some(_)) => {
            Effect::Closes
        }
        (Scale::Column, Some(before), Some(after)) => or(after == "shown", before == "shown"),
        (Scale::More, Some(before), Some(after)) => {
            let words = |text: &str| text.split(' ').map(str::to_owned).collect::<BTreeSet<String>>();
            let (before, after) = (words(before), words(after));
            or(after.is_superset(&before), before.is_superset(&after))
        }
        (Scale::Number, Some(before), Some(after)) => {
            let number = |text: &str| text.parse::<u64>().unwrap_or_default();
            or(number(after) > number(before), number(after) < number(before))
        }
        _ => Effect::Changes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_opens_less_closes_and_words_are_for_people() {
        let cases = [
            (Scale::Column, None, Some("shown"), Effect::Opens),
            (Scale::Column, None, Some("redact"), Effect::Opens),
            (Scale::Column, Some("redact"), Some("shown"), Effect::Opens),
            (Scale::Column, Some("shown"), Some("redact"), Effect::Closes),
            (Scale::Column, Some("last: 2"), Some("last: 4"), Effect::Changes),
            (Scale::More, Some("json csv"), Some("json"), Effect::Closes),
            (Scale::More, Some("json csv"), Some("json arrow"), Effect::Changes),
            (Scale::Number, Some("100"), Some("99"), Effect::Closes),
            (Scale::Number, Some("99"), Some("100"), Effect::Opens),
            (Scale::Number, Some("100"), None, Effect::Opens),
            (Scale::Bound, None, Some("2y"), Effect::Closes),
            (Scale::Bound, Some("2y"), Some("3y"), Effect::Changes),
            (Scale::Words, Some("a = 1"), None, Effect::Opens),
        ];
        for (scale, before, after, expected) in cases {
            assert_eq!(effect(scale, before, after), expected, "{before:?} {after:?}");
        }
    }
}
