//! The matrix as a security officer writes it: what each key may hold, nothing looked up yet.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::Tier;

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MatrixForm {
    #[serde(default)]
    pub(super) templates: Vec<RoleForm>,
    pub(super) roles: Vec<RoleForm>,
}

/// A role, or a template of roles.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleForm {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) extends: Vec<Spanned<String>>,
    pub(super) tier: Option<Spanned<Tier>>,
    #[serde(default)]
    pub(super) description: String,
    pub(super) claims: Option<Spanned<BTreeMap<String, ClaimForm>>>,
    pub(super) unless: Option<Spanned<BTreeMap<String, ClaimForm>>>,
    pub(super) anonymous: Option<Spanned<bool>>,
    pub(super) graphql: Option<Spanned<bool>>,
    pub(super) aggregate: Option<Spanned<bool>>,
    pub(super) export: Option<Spanned<bool>>,
    pub(super) formats: Option<Spanned<FormatsForm>>,
    pub(super) rows_per_request: Option<Spanned<u32>>,
    pub(super) requests_per_second: Option<Spanned<u32>>,
    pub(super) requests_per_day: Option<Spanned<u64>>,
    pub(super) rows_per_day: Option<Spanned<u64>>,
    pub(super) export_bytes_per_day: Option<Spanned<u64>>,
    pub(super) concurrent_requests: Option<Spanned<u32>>,
    pub(super) graphql_cost: Option<Spanned<u64>>,
    #[serde(default)]
    pub(super) datasets: BTreeMap<String, Spanned<GrantForm>>,
    #[serde(default)]
    pub(super) deny: BTreeMap<String, Spanned<ColumnsForm>>,
}

/// What a role may see of one dataset.
#[derive(Deserialize, Clone, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct GrantForm {
    pub(super) columns: Option<Spanned<ColumnsForm>>,
    pub(super) mask: Option<BTreeMap<String, Spanned<MaskForm>>>,
    pub(super) rows: Option<Spanned<Value>>,
    pub(super) history: Option<Spanned<String>>,
    pub(super) delay: Option<Spanned<String>>,
    pub(super) revision: Option<Spanned<String>>,
    pub(super) aggregate: Option<Spanned<bool>>,
    pub(super) export: Option<Spanned<bool>>,
    pub(super) formats: Option<Spanned<FormatsForm>>,
    pub(super) rows_per_request: Option<Spanned<u32>>,
}

/// What a claim must be: one of some texts.
#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "expected a text, or a list of texts any of which will do")]
pub(super) enum ClaimForm {
    One(String),
    Flag(bool),
    Any(Vec<String>),
}

impl ClaimForm {
    /// The texts, any of which will do.
    pub(super) fn texts(&self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text.clone()],
            Self::Flag(flag) => vec![flag.to_string()],
            Self::Any(texts) => texts.clone(),
        }
    }
}

/// serde buffers what it tries in turn, and places are lost on the way: faults stand where the whole does.
#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "expected all, a list of columns, or {all_but: […]}")]
pub(super) enum ColumnsForm {
    Word(String),
    List(Vec<String>),
    AllBut(AllButForm),
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct AllButForm {
    pub(super) all_but: Vec<String>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged, expecting = "expected all, or a list of formats")]
pub(super) enum FormatsForm {
    Word(String),
    List(Vec<String>),
}

#[derive(Deserialize, Clone)]
#[serde(
    untagged,
    expecting = "expected redact, hash, {round: DIGITS}, {truncate: day, week, month, quarter or year} or {last: CHARACTERS}"
)]
pub(super) enum MaskForm {
    Word(String),
    Round(RoundForm),
    Truncate(TruncateForm),
    Last(LastForm),
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct RoundForm {
    pub(super) round: i8,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct TruncateForm {
    pub(super) truncate: String,
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct LastForm {
    pub(super) last: u8,
}
