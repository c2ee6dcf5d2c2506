//! Roles with all that they extend laid under them: own words before extended ones, later ones before earlier ones.
//! Columns add up; what is denied anywhere is denied.

use std::collections::BTreeMap;

use serde_saphyr::{Location, Spanned};

use crate::catalog::yaml::Checked;

use super::form::{ColumnsForm, GrantForm, MaskForm, MatrixForm, RoleForm};

/// Roles below roles at most.
const DEPTH_MAX: usize = 8;

/// A role with what it extends.
#[derive(Clone)]
pub(super) struct Whole {
    /// Its own words; scalars that it leaves out are those of what it extends.
    pub(super) form: RoleForm,
    /// By dataset.
    pub(super) grants: BTreeMap<String, WholeGrant>,
    /// Dataset and columns, wherever they were denied.
    pub(super) denied: Vec<(String, Spanned<ColumnsForm>)>,
}

/// What a role and all that it extends say of one dataset.
#[derive(Clone)]
pub(super) struct WholeGrant {
    /// Where it was said last.
    pub(super) at: Location,
    /// Every one of them grants.
    pub(super) columns: Vec<Spanned<ColumnsForm>>,
    pub(super) masks: BTreeMap<String, Spanned<MaskForm>>,
    /// The other members; its columns and masks are those above.
    pub(super) form: GrantForm,
}

/// Every role of the file, whole, in its order.
pub(super) fn roles(form: &MatrixForm, checked: &mut Checked<'_>) -> Vec<Whole> {
    let all = || form.templates.iter().chain(&form.roles);
    for (place, one) in all().enumerate() {
        if all().take(place).any(|other| other.name.value == one.name.value) {
            checked.at(one.name.referenced, format_args!("a second role or template {}", one.name.value));
        }
    }
    for template in &form.templates {
        let of_roles = [
            ("tier", template.tier.as_ref().map(|tier| tier.referenced)),
            ("claims", template.claims.as_ref().map(|claims| claims.referenced)),
            ("unless", template.unless.as_ref().map(|claims| claims.referenced)),
            ("anonymous", template.anonymous.as_ref().map(|flag| flag.referenced)),
        ];
        for (key, at) in of_roles {
            if let Some(at) = at {
                checked.at(at, format_args!("a template has no {key}: it is nobody's until a role extends it"));
            }
        }
    }
    form.roles.iter().map(|role| whole(role, form, &mut Vec::new(), checked)).collect()
}

fn whole(role: &RoleForm, form: &MatrixForm, path: &mut Vec<String>, checked: &mut Checked<'_>) -> Whole {
    path.push(role.name.value.clone());
    let mut whole = Whole { form: bare(role), grants: BTreeMap::new(), denied: Vec::new() };
    for extended in &role.extends {
        let name = &extended.value;
        let Some(base) = form.templates.iter().chain(&form.roles).find(|other| other.name.value == *name) else {
            let names: Vec<&str> =
                form.templates.iter().chain(&form.roles).map(|other| other.name.value.as_str()).collect();
            checked.at(extended.referenced, format_args!("no template {name:?}: expected one of {}", names.join(", ")));
            continue;
        };
        if path.contains(name) || path.len() > DEPTH_MAX {
            checked.at(extended.referenced, format_args!("{name} extends itself: {} > {name}", path.join(" > ")));
            continue;
        }
        let base = self::whole(base, form, path, checked);
        lay(&mut whole, base.form, base.grants);
        whole.denied.extend(base.denied);
    }
    path.pop();
    let own = role.datasets.iter().map(|(dataset, grant)| {
        let form = GrantForm { columns: None, mask: None, ..grant.value.clone() };
        let columns = grant.value.columns.iter().cloned().collect();
        let masks = grant.value.mask.clone().unwrap_or_default();
        (dataset.clone(), WholeGrant { at: grant.referenced, columns, masks, form })
    });
    lay(&mut whole, role.clone(), own.collect());
    whole.denied.extend(role.deny.iter().map(|(dataset, columns)| (dataset.clone(), columns.clone())));
    whole
}

/// A role of which only the name is said.
fn bare(role: &RoleForm) -> RoleForm {
    RoleForm {
        name: role.name.clone(),
        extends: Vec::new(),
        tier: None,
        description: String::new(),
        claims: None,
        unless: None,
        anonymous: None,
        graphql: None,
        aggregate: None,
        export: None,
        formats: None,
        rows_per_request: None,
        requests_per_second: None,
        requests_per_day: None,
        rows_per_day: None,
        export_bytes_per_day: None,
        concurrent_requests: None,
        graphql_cost: None,
        datasets: BTreeMap::new(),
        deny: BTreeMap::new(),
    }
}

/// Lays nearer words over those that are there. Who has a role, and what it is for, is never extended.
fn lay(whole: &mut Whole, nearer: RoleForm, grants: BTreeMap<String, WholeGrant>) {
    let under = std::mem::replace(&mut whole.form, nearer);
    let form = &mut whole.form;
    if form.name.value != under.name.value {
        (form.tier, form.claims, form.unless, form.anonymous) = (None, None, None, None);
        form.description.clear();
        form.name = under.name;
    }
    form.graphql = form.graphql.take().or(under.graphql);
    form.aggregate = form.aggregate.take().or(under.aggregate);
    form.export = form.export.take().or(under.export);
    form.formats = form.formats.take().or(under.formats);
    form.rows_per_request = form.rows_per_request.take().or(under.rows_per_request);
    form.requests_per_second = form.requests_per_second.take().or(under.requests_per_second);
    form.requests_per_day = form.requests_per_day.take().or(under.requests_per_day);
    form.rows_per_day = form.rows_per_day.take().or(under.rows_per_day);
    form.export_bytes_per_day = form.export_bytes_per_day.take().or(under.export_bytes_per_day);
    form.concurrent_requests = form.concurrent_requests.take().or(under.concurrent_requests);
    form.graphql_cost = form.graphql_cost.take().or(under.graphql_cost);
    for (dataset, mut grant) in grants {
        if let Some(under) = whole.grants.remove(&dataset) {
            grant.columns.extend(under.columns);
            for (column, mask) in under.masks {
                grant.masks.entry(column).or_insert(mask);
            }
            let form = &mut grant.form;
            form.rows = form.rows.take().or(under.form.rows);
            form.history = form.history.take().or(under.form.history);
            form.delay = form.delay.take().or(under.form.delay);
            form.revision = form.revision.take().or(under.form.revision);
            form.aggregate = form.aggregate.take().or(under.form.aggregate);
            form.export = form.export.take().or(under.form.export);
            form.formats = form.formats.take().or(under.form.formats);
            form.rows_per_request = form.rows_per_request.take().or(under.form.rows_per_request);
        }
        whole.grants.insert(dataset, grant);
    }
}
