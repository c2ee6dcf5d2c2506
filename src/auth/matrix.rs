//! The access matrix: which claims make which role, and what each role may see. Deny by default.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest;
use serde::Deserialize;
use serde_json::{Map, Value};
use serde_saphyr::Spanned;

use crate::catalog::yaml::Checked;
use crate::catalog::{self, Catalog, Dataset, Name};
use crate::encode::{MediaType, MediaTypes};

use super::{Error, Grant, Limits, Right, Role, Tier};

/// Rows of one answer at most, where the matrix sets no other limit.
const ROWS_PER_REQUEST: u32 = 1000;

/// Roles, as `access.yaml` states them.
#[derive(Debug)]
pub struct Matrix {
    roles: Vec<Arc<Role>>,
    id: [u8; 16],
}

impl Matrix {
    /// Reads `access.yaml` in the catalog's folder.
    ///
    /// # Errors
    /// When the file cannot be read, or with every fault in it.
    pub fn load(folder: &Path, catalog: &Catalog) -> Result<Self, catalog::Error> {
        let path = folder.join("access.yaml");
        let text = std::fs::read_to_string(&path)
            .map_err(|source| catalog::Error::Unreadable { path: path.clone(), source })?;
        Self::compile(&path, &text, catalog)
    }

    /// Compiles a matrix from its text.
    ///
    /// # Errors
    /// With every fault in it.
    pub fn compile(path: &Path, text: &str, catalog: &Catalog) -> Result<Self, catalog::Error> {
        let mut checked = Checked::new(path, text);
        let form: Option<MatrixForm> = checked.read();
        let roles = form.map_or_else(Vec::new, |form| roles(&form, catalog, &mut checked));
        if checked.faults.is_empty() {
            let id = hash([text.as_bytes()]);
            Ok(Self { roles: roles.into_iter().map(Arc::new).collect(), id })
        } else {
            Err(catalog::Error::Faults(checked.faults))
        }
    }

    /// What tells this matrix from others: equal texts have equal ones.
    #[must_use]
    pub fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Every role, in the order of the file.
    pub fn roles(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.iter()
    }

    /// The role of that name.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.iter().find(|role| role.name == name)
    }

    /// All that any role of a tier may see, as one role that no claims make: for documents of the whole tier.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> Arc<Role> {
        let mut grants: BTreeMap<Name, Arc<Grant>> = BTreeMap::new();
        for role in self.roles.iter().filter(|role| role.tier == tier) {
            for (dataset, grant) in role.grants() {
                let joined = match grants.get(dataset) {
                    Some(other) => Arc::new(grant.join(other)),
                    None => Arc::clone(grant),
                };
                grants.insert(dataset.clone(), joined);
            }
        }
        let name = format!("{tier:?}").to_lowercase();
        Arc::new(Role::new(name, tier, String::new(), BTreeMap::new(), Limits::default(), grants))
    }

    /// The one role that the claims make.
    ///
    /// # Errors
    /// When they make none, or more than one: which of two rights holds must never be a matter of order.
    pub fn role_of(&self, claims: &Map<String, Value>) -> Result<&Arc<Role>, Error> {
        let mut claimed = self.roles.iter().filter(|role| role.is_claimed_by(claims));
        match (claimed.next(), claimed.next()) {
            (Some(role), None) => Ok(role),
            (None, _) => Err(Error::NoRole),
            (Some(one), Some(other)) => Err(Error::TwoRoles { one: one.name.clone(), other: other.name.clone() }),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MatrixForm {
    roles: Vec<RoleForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleForm {
    name: Spanned<String>,
    tier: Tier,
    #[serde(default)]
    description: String,
    claims: Spanned<BTreeMap<String, String>>,
    rows_per_request: Option<Spanned<u32>>,
    formats: Option<Spanned<FormatsForm>>,
    #[serde(default)]
    export: bool,
    requests_per_second: Option<u32>,
    requests_per_day: Option<u64>,
    rows_per_day: Option<u64>,
    concurrent_requests: Option<u32>,
    graphql_cost: Option<u64>,
    #[serde(default)]
    datasets: BTreeMap<String, Spanned<GrantForm>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantForm {
    columns: ColumnsForm,
    rows_per_request: Option<Spanned<u32>>,
    formats: Option<Spanned<FormatsForm>>,
    export: Option<Spanned<bool>>,
}

/// serde buffers what it tries in turn, and places are lost on the way: faults stand where the grant does.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected all, a list of columns, or {all_but: […]}")]
enum ColumnsForm {
    Word(String),
    List(Vec<String>),
    AllBut(AllButForm),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllButForm {
    all_but: Vec<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected all, or a list of formats")]
enum FormatsForm {
    Word(String),
    List(Vec<String>),
}

/// What a role has, as far as its datasets do not say otherwise.
#[derive(Clone, Copy)]
struct Otherwise {
    rows: u32,
    media_types: MediaTypes,
    exports: bool,
}

fn roles(form: &MatrixForm, catalog: &Catalog, checked: &mut Checked<'_>) -> Vec<Role> {
    let mut roles: Vec<Role> = Vec::with_capacity(form.roles.len());
    for form in &form.roles {
        let name = &form.name.value;
        if roles.iter().any(|role| role.name == *name) {
            checked.at(form.name.referenced, format_args!("a second role {name}"));
        }
        if form.claims.value.is_empty() {
            checked
                .at(form.claims.referenced, "expected at least one claim: without one, every token would be this role");
        }
        let limits = Otherwise {
            rows: rows_limit(form.rows_per_request.as_ref(), ROWS_PER_REQUEST, checked),
            media_types: media_types(form.formats.as_ref(), MediaType::Json.into(), checked),
            exports: form.export,
        };
        let mut grants = BTreeMap::new();
        for (dataset, grant_form) in &form.datasets {
            let Some(dataset) = catalog.get(dataset) else {
                let names: Vec<&str> = catalog.iter().map(|dataset| dataset.name.as_str()).collect();
                let expected = format!("no dataset {dataset:?}: expected one of {}", names.join(", "));
                checked.at(grant_form.referenced, expected);
                continue;
            };
            if let Some(grant) = grant(grant_form, limits, dataset, checked) {
                grants.insert(dataset.name.clone(), Arc::new(grant));
            }
        }
        let description = form.description.trim().to_owned();
        let claims = form.claims.value.clone();
        let limits = Limits {
            requests_per_second: form.requests_per_second,
            requests_per_day: form.requests_per_day,
            rows_per_day: form.rows_per_day,
            concurrent_requests: form.concurrent_requests,
            graphql_cost: form.graphql_cost,
        };
        roles.push(Role::new(name.clone(), form.tier, description, claims, limits, grants));
    }
    roles
}

fn grant(form: &Spanned<GrantForm>, limits: Otherwise, dataset: &Dataset, checked: &mut Checked<'_>) -> Option<Grant> {
    let columns = match &form.value.columns {
        ColumnsForm::Word(word) if word == "all" => vec![true; dataset.columns.len()],
        ColumnsForm::Word(found) => {
            checked
                .at(form.referenced, format_args!("{found:?}: expected all, a list of columns, or {{all_but: […]}}"));
            return None;
        }
        ColumnsForm::List(names) => marked(names, true, form, dataset, checked),
        ColumnsForm::AllBut(but) => marked(&but.all_but, false, form, dataset, checked),
    };
    let point_in_time = dataset.point_in_time.iter().map(|revision| revision.known_at);
    let carried = dataset.primary_key.iter().copied().chain(dataset.time).chain(point_in_time);
    for column in carried.filter(|column| !columns[*column]) {
        let name = &dataset.columns[column].name;
        checked.at(form.referenced, format_args!("{name} must be granted: cursors carry key, time and known_at"));
    }
    let rows_per_request = rows_limit(form.value.rows_per_request.as_ref(), limits.rows, checked);
    if let Some(limit) = &form.value.rows_per_request
        && limit.value > limits.rows
    {
        checked.at(limit.referenced, format_args!("more than the role's own {}", limits.rows));
    }
    let media_types = media_types(form.value.formats.as_ref(), limits.media_types, checked);
    if let Some(formats) = &form.value.formats
        && media_types.and(limits.media_types) != media_types
    {
        checked.at(formats.referenced, format_args!("more than the role's own: {}", limits.media_types.formats()));
    }
    let exports = form.value.export.as_ref().map_or(limits.exports, |export| export.value);
    if let Some(export) = form.value.export.as_ref().filter(|export| export.value && !limits.exports) {
        checked.at(export.referenced, "more than the role's own: it may not export");
    }
    let columns = columns.into_iter().map(|shown| if shown { Right::Shown } else { Right::Hidden }).collect();
    let mut grant = Grant::of(columns);
    (grant.rows_per_request, grant.media_types) = (rows_per_request, media_types);
    (grant.exports, grant.aggregates) = (exports, true);
    Some(grant)
}

fn media_types(form: Option<&Spanned<FormatsForm>>, otherwise: MediaTypes, checked: &mut Checked<'_>) -> MediaTypes {
    let Some(form) = form else { return otherwise };
    let named = |name: &String| MediaType::ALL.into_iter().find(|media_type| media_type.format() == name);
    let found: Option<MediaTypes> = match &form.value {
        FormatsForm::Word(word) if word == "all" => Some(MediaTypes::ALL),
        FormatsForm::Word(_) => None,
        FormatsForm::List(names) => names.iter().map(named).collect(),
    };
    match found {
        Some(found) if found != MediaTypes::default() => found,
        _ => {
            let all = MediaTypes::ALL.formats();
            checked.at(form.referenced, format_args!("expected all, or a list of at least one of {all}"));
            otherwise
        }
    }
}

/// For each column of the contract, whether it is visible: the named ones are `visible`, the others are not so.
fn marked(
    names: &[String],
    visible: bool,
    form: &Spanned<GrantForm>,
    dataset: &Dataset,
    checked: &mut Checked<'_>,
) -> Vec<bool> {
    let mut columns = vec![!visible; dataset.columns.len()];
    for found in names {
        if let Some(column) = dataset.column(found) {
            columns[column] = visible;
        } else {
            let known: Vec<&str> = dataset.columns.iter().map(|column| column.name.as_str()).collect();
            let expected = format!("{} has no column {found:?}: expected one of {}", dataset.name, known.join(", "));
            checked.at(form.referenced, expected);
        }
    }
    columns
}

fn rows_limit(form: Option<&Spanned<u32>>, otherwise: u32, checked: &mut Checked<'_>) -> u32 {
    match form {
        Some(limit) if limit.value == 0 => {
            checked.at(limit.referenced, "expected at least 1");
            otherwise
        }
        Some(limit) => limit.value,
        None => otherwise,
    }
}

/// 128 bits of a SHA-256 over parts, each with its length.
pub(super) fn hash<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> [u8; 16] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut hash = [0; 16];
    hash.copy_from_slice(&context.finish().as_ref()[..16]);
    hash
}
