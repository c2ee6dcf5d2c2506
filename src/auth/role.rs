//! What a caller may be, and what of each dataset that shows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalog::{ColumnIndex, Name, Revision};
use crate::encode::{MediaType, MediaTypes};

use super::{History, Mask, RowRule};

/// What a caller may be.
#[derive(Debug)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// Clients, or the house itself.
    pub tier: Tier,
    /// What it is for.
    pub description: String,
    /// Who is this role.
    pub who: Claimed,
    /// Whether it may call GraphQL.
    pub graphql: bool,
    /// What it may use up.
    pub limits: Limits,
    /// The claims that its row rules refer to: what tells two callers of one role apart.
    pub claims_read: BTreeSet<String>,
    grants: BTreeMap<Name, Arc<Grant>>,
}

/// Who is a role: by what a token claims, or by having none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Claimed {
    /// Every one of these claims must hold, each as any of its texts. Without any, no token makes the role.
    pub claims: BTreeMap<String, Vec<String>>,
    /// None of these may hold: whoever claims one is not this role, whatever else is claimed.
    pub unless: BTreeMap<String, Vec<String>>,
    /// Whether it is the role of whoever brings no credential.
    pub anonymous: bool,
}

impl Claimed {
    /// Claims that are meant: of each, the first of its texts.
    #[must_use]
    pub fn example(&self) -> Map<String, Value> {
        let claims = self.claims.iter();
        claims.filter_map(|(name, texts)| Some((name.clone(), Value::from(texts.first()?.as_str())))).collect()
    }

    /// Whether a token with those claims is meant.
    fn fits(&self, claims: &Map<String, Value>) -> bool {
        let holds = |(claim, texts): (&String, &Vec<String>)| {
            claims.get(claim).is_some_and(|claimed| texts.iter().any(|text| says(claim, claimed, text)))
        };
        !self.claims.is_empty() && self.claims.iter().all(holds) && !self.unless.iter().any(holds)
    }
}

impl std::fmt::Display for Claimed {
    /// Who that is, in words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let claims = self.claims.iter().map(|(claim, texts)| format!("{claim} = {}", texts.join(" or ")));
        let unless = self.unless.iter().map(|(claim, texts)| format!("not {claim} = {}", texts.join(" or ")));
        let anonymous = self.anonymous.then(|| "no credential".to_owned());
        let all: Vec<String> = claims.chain(unless).chain(anonymous).collect();
        f.write_str(&all.join(" and "))
    }
}

/// Whether a claim says a text: as it is, or in a list of them. `scope` is a list in one text (RFC 8693, 4.2).
fn says(name: &str, claimed: &Value, text: &str) -> bool {
    match claimed {
        Value::String(words) if name == "scope" => words.split(' ').any(|word| word == text),
        Value::String(claimed) => claimed == text,
        Value::Array(items) => items.iter().any(|item| !item.is_array() && says(name, item, text)),
        Value::Bool(flag) => flag.to_string() == text,
        Value::Number(number) => number.to_string() == text,
        Value::Null | Value::Object(_) => false,
    }
}

/// Clients, or the house itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// Applications of clients.
    Client,
    /// People and jobs of the house.
    Internal,
}

/// What each caller of a role may use up; nothing bounds what is not stated. Rows of one answer are a grant's matter.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Limits {
    /// Requests in a second.
    pub requests_per_second: Option<u32>,
    /// Requests in a day of UTC.
    pub requests_per_day: Option<u64>,
    /// Rows delivered in a day of UTC.
    pub rows_per_day: Option<u64>,
    /// Bytes of files that are made for the caller in a day of UTC.
    pub export_bytes_per_day: Option<u64>,
    /// Requests under way at once.
    pub concurrent_requests: Option<u32>,
    /// The cost of one GraphQL request, in rows.
    pub graphql_cost: Option<u64>,
}

/// What a role may do with one column.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Right {
    /// It does not exist.
    Hidden,
    /// It is shown as it is, and questions may be about it.
    Shown,
    /// It can be selected, and is shown so. No question can be about it, or its values would show in the answer.
    Masked(Mask),
}

/// What a role may see of one dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// For each column of the contract, what may be done with it.
    columns: Box<[Right]>,
    /// For each of them, the line of the matrix that says so; none where nothing does.
    lines: Box<[Option<u64>]>,
    /// What rows must meet to exist.
    pub rows: Option<RowRule>,
    /// How far back the contract's `time` may lie.
    pub history: Option<History>,
    /// How long ago the contract's `known_at` must lie.
    pub delay: Option<Duration>,
    /// The one revision of each fact that exists; all of them without it.
    pub revision: Option<Revision>,
    /// Whether groups of rows may be asked for.
    pub aggregates: bool,
    /// Rows of one answer at most.
    pub rows_per_request: u32,
    /// What answers may be written as.
    pub media_types: MediaTypes,
    /// Whether all rows may be had at once, past what one answer may have.
    pub exports: bool,
}

impl Grant {
    /// A grant of those columns and of nothing else: one row at a time, as JSON.
    #[must_use]
    pub fn of(columns: Box<[Right]>) -> Self {
        Self {
            lines: vec![None; columns.len()].into(),
            columns,
            rows: None,
            history: None,
            delay: None,
            revision: None,
            aggregates: false,
            rows_per_request: 1,
            media_types: MediaType::Json.into(),
            exports: false,
        }
    }

    /// What may be done with the column.
    #[must_use]
    pub fn right(&self, column: ColumnIndex) -> Right {
        self.columns.get(column).copied().unwrap_or(Right::Hidden)
    }

    /// What may be done with each column, in the contract's order.
    pub(super) fn rights(&self) -> impl Iterator<Item = Right> {
        self.columns.iter().copied()
    }

    /// The same grant, with the line of the matrix that says what may be done with each column.
    pub(super) fn said_at(self, lines: Box<[Option<u64>]>) -> Self {
        Self { lines, ..self }
    }

    /// The line of the matrix that says what may be done with the column; none where nothing does, so that it is hidden.
    #[must_use]
    pub fn line(&self, column: ColumnIndex) -> Option<u64> {
        self.lines.get(column).copied().flatten()
    }

    /// The masked columns, with their masks.
    pub fn masks(&self) -> impl Iterator<Item = (ColumnIndex, Mask)> {
        self.columns.iter().enumerate().filter_map(|(index, right)| match right {
            Right::Masked(mask) => Some((index, *mask)),
            Right::Hidden | Right::Shown => None,
        })
    }

    /// Whether the column exists for the role, masked or not.
    #[must_use]
    pub fn shows(&self, column: ColumnIndex) -> bool {
        self.right(column) != Right::Hidden
    }

    /// What either of two grants on one dataset shows.
    pub(super) fn join(&self, other: &Self) -> Self {
        let either = |one: &Right, other: &Right| match (*one, *other) {
            (Right::Shown, _) | (_, Right::Shown) => Right::Shown,
            (Right::Masked(mask), _) | (_, Right::Masked(mask)) => Right::Masked(mask),
            (Right::Hidden, Right::Hidden) => Right::Hidden,
        };
        Self {
            columns: self.columns.iter().zip(&other.columns).map(|(one, other)| either(one, other)).collect(),
            lines: vec![None; self.columns.len()].into(),
            // For documents of a tier, which tell what there is, not whose it is.
            rows: None,
            history: None,
            delay: None,
            revision: self.revision.filter(|_| self.revision == other.revision),
            aggregates: self.aggregates || other.aggregates,
            rows_per_request: self.rows_per_request.max(other.rows_per_request),
            media_types: self.media_types.or(other.media_types),
            exports: self.exports || other.exports,
        }
    }
}

impl Role {
    /// A role that has these grants.
    #[must_use]
    pub fn new(
        name: String,
        tier: Tier,
        description: String,
        who: Claimed,
        limits: Limits,
        grants: BTreeMap<Name, Arc<Grant>>,
    ) -> Self {
        let rules = grants.values().filter_map(|grant| grant.rows.as_ref());
        let claims_read = rules.flat_map(RowRule::claims).map(str::to_owned).collect();
        Self { name, tier, description, who, graphql: false, limits, claims_read, grants }
    }

    /// Whether it is the role of whoever brings no credential.
    #[must_use]
    pub fn anonymous(&self) -> bool {
        self.who.anonymous
    }

    /// What the role may see of the dataset; `None` hides that the dataset exists.
    #[must_use]
    pub fn grant(&self, dataset: &str) -> Option<&Arc<Grant>> {
        self.grants.get(dataset)
    }

    /// What the role may see, by dataset.
    pub fn grants(&self) -> impl Iterator<Item = (&Name, &Arc<Grant>)> {
        self.grants.iter()
    }

    pub(super) fn is_claimed_by(&self, claims: &Map<String, Value>) -> bool {
        !self.who.anonymous && self.who.fits(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn claims_are_compared_as_tokens_write_them() {
        let texts = |text: &str| text.split('|').map(str::to_owned).collect();
        let one = |claim: &str, text: &str| BTreeMap::from([(claim.to_owned(), texts(text))]);
        let claimed = |claim, text| Claimed { claims: one(claim, text), ..Claimed::default() };
        let cases = [
            (claimed("plan", "pro"), json!({ "plan": "pro" }), true),
            (claimed("plan", "pro"), json!({ "plan": "PRO" }), false),
            (claimed("plan", "basic|pro"), json!({ "plan": "pro" }), true),
            (claimed("plan", "pro"), json!({ "plan": ["basic", "pro"] }), true),
            (claimed("plan", "pro"), json!({ "plan": [["pro"]] }), false),
            (claimed("plan", "pro"), json!({ "plan": { "pro": true } }), false),
            (claimed("plan", "null"), json!({ "plan": null }), false),
            (claimed("level", "3"), json!({ "level": 3 }), true),
            (claimed("staff", "true"), json!({ "staff": true }), true),
            (claimed("scope", "read"), json!({ "scope": "openid read" }), true),
            (claimed("scope", "read"), json!({ "scope": "readonly" }), false),
            (claimed("plan", "pro"), json!({ "plan": "basic pro" }), false),
            (Claimed::default(), json!({}), false),
        ];
        for (who, claims, expected) in cases {
            assert_eq!(who.fits(claims.as_object().expect("an object")), expected, "{who:?} {claims}");
        }
        let unless = Claimed { unless: one("groups", "former"), ..claimed("plan", "pro") };
        let fits = |claims: Value| unless.fits(claims.as_object().expect("an object"));
        assert!(fits(json!({ "plan": "pro", "groups": ["staff"] })));
        assert!(!fits(json!({ "plan": "pro", "groups": ["staff", "former"] })));
    }
}
