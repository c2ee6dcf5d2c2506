//! A matrix from its text: every name looked up, every contradiction a fault with its line.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_saphyr::{Location, Spanned};

use crate::catalog::yaml::Checked;
use crate::catalog::{Bucket, Catalog, Dataset, Revision, Type};
use crate::config::duration::parse_duration;
use crate::encode::{MediaType, MediaTypes};

use super::form::{ClaimForm, ColumnsForm, FormatsForm, MaskForm, MatrixForm, RoleForm};
use super::inherit::{self, Whole, WholeGrant};
use super::role::Claimed;
use super::{Grant, History, Limits, Mask, Right, Role, row_form};

/// Rows of one answer at most, where the matrix sets no other limit.
const ROWS_PER_REQUEST: u32 = 1000;

/// What a role has, as far as its datasets do not say otherwise; they may only say less.
#[derive(Clone, Copy)]
struct Bounds {
    rows: u32,
    media_types: MediaTypes,
    exports: bool,
    aggregates: bool,
}

/// The roles of a file. `reads` says whether a text is a value of a type.
pub(super) fn roles(
    form: &MatrixForm,
    catalog: &Catalog,
    reads: fn(Type, &str) -> bool,
    checked: &mut Checked<'_>,
) -> Vec<Role> {
    let wholes = inherit::roles(form, checked);
    let anonymous = wholes.iter().filter(|whole| is_anonymous(&whole.form));
    for whole in anonymous.skip(1) {
        checked.at(whole.form.name.referenced, "a second anonymous role");
    }
    wholes.iter().map(|whole| role(whole, catalog, reads, checked)).collect()
}

fn is_anonymous(form: &RoleForm) -> bool {
    form.anonymous.as_ref().is_some_and(|flag| flag.value)
}

fn flag(form: Option<&Spanned<bool>>) -> bool {
    form.is_some_and(|flag| flag.value)
}

fn role(whole: &Whole, catalog: &Catalog, reads: fn(Type, &str) -> bool, checked: &mut Checked<'_>) -> Role {
    let form = &whole.form;
    let at = form.name.referenced;
    let anonymous = is_anonymous(form);
    let claims = form.claims.as_ref().map(|claims| claimed(claims, checked)).unwrap_or_default();
    let unless = form.unless.as_ref().map(|claims| claimed(claims, checked)).unwrap_or_default();
    match (&form.claims, anonymous) {
        (None, false) => checked.at(at, "expected claims: without them nobody has the role"),
        (Some(claims), false) if claims.value.is_empty() => {
            checked.at(claims.referenced, "expected at least one claim: without one, every token would be this role");
        }
        (Some(claims), true) => {
            checked.at(claims.referenced, "the anonymous role is that of who brings no token: it has no claims");
        }
        _ => {}
    }
    let tier = form.tier.as_ref().map(|tier| tier.value).unwrap_or_else(|| {
        checked.at(at, "expected tier: client or internal");
        super::Tier::Client
    });
    let bounds = Bounds {
        rows: positive(form.rows_per_request.as_ref(), checked).unwrap_or(ROWS_PER_REQUEST),
        media_types: media_types(form.formats.as_ref(), MediaType::Json.into(), checked),
        exports: flag(form.export.as_ref()),
        aggregates: flag(form.aggregate.as_ref()),
    };
    let limits = Limits {
        requests_per_second: positive(form.requests_per_second.as_ref(), checked),
        requests_per_day: positive(form.requests_per_day.as_ref(), checked),
        rows_per_day: positive(form.rows_per_day.as_ref(), checked),
        export_bytes_per_day: positive(form.export_bytes_per_day.as_ref(), checked),
        concurrent_requests: positive(form.concurrent_requests.as_ref(), checked),
        graphql_cost: positive(form.graphql_cost.as_ref(), checked),
    };
    let unknown = |dataset: &str| {
        let names: Vec<&str> = catalog.iter().map(|dataset| dataset.name.as_str()).collect();
        format!("no dataset {dataset:?}: expected one of {}", names.join(", "))
    };
    for (dataset, columns) in &whole.denied {
        if catalog.get(dataset).is_none() {
            checked.at(columns.referenced, unknown(dataset));
        }
    }
    let mut grants = BTreeMap::new();
    for (name, grant_form) in &whole.grants {
        let Some(dataset) = catalog.get(name) else {
            checked.at(grant_form.at, unknown(name));
            continue;
        };
        let denied: Vec<&Spanned<ColumnsForm>> =
            whole.denied.iter().filter(|(denied, _)| denied == name).map(|(_, columns)| columns).collect();
        let compiler = Compiler { dataset, bounds, reads };
        if let Some(grant) = compiler.grant(grant_form, &denied, checked) {
            grants.insert(dataset.name.clone(), Arc::new(grant));
        }
    }
    let description = form.description.trim().to_owned();
    let who = Claimed { claims, unless, anonymous };
    let mut role = Role::new(form.name.value.clone(), tier, description, who, limits, grants);
    role.graphql = flag(form.graphql.as_ref());
    role
}

/// Claims and the texts of each, any of which will do.
fn claimed(form: &Spanned<BTreeMap<String, ClaimForm>>, checked: &mut Checked<'_>) -> BTreeMap<String, Vec<String>> {
    let claims: BTreeMap<String, Vec<String>> =
        form.value.iter().map(|(claim, form)| (claim.clone(), form.texts())).collect();
    if let Some((claim, _)) = claims.iter().find(|(_, texts)| texts.is_empty()) {
        checked.at(form.referenced, format_args!("expected at least one text for claim {claim}"));
    }
    claims
}

fn positive<T: Copy + Default + PartialEq>(form: Option<&Spanned<T>>, checked: &mut Checked<'_>) -> Option<T> {
    let form = form?;
    if form.value == T::default() {
        checked.at(form.referenced, "expected at least 1");
        return None;
    }
    Some(form.value)
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

struct Compiler<'a> {
    dataset: &'a Dataset,
    bounds: Bounds,
    reads: fn(Type, &str) -> bool,
}

impl Compiler<'_> {
    fn grant(&self, form: &WholeGrant, denied: &[&Spanned<ColumnsForm>], checked: &mut Checked<'_>) -> Option<Grant> {
        if form.columns.is_empty() {
            checked.at(form.at, "expected columns: all, a list, or {all_but: […]}");
            return None;
        }
        let mut shown = vec![false; self.dataset.columns.len()];
        let mut lines: Vec<Option<u64>> = vec![None; shown.len()];
        for columns in &form.columns {
            let granted = self.marked(columns, checked)?;
            for (column, _) in granted.iter().enumerate().filter(|(_, granted)| **granted) {
                shown[column] = true;
                lines[column].get_or_insert(columns.referenced.line());
            }
        }
        for columns in denied {
            let denied = self.marked(columns, checked)?;
            if denied.iter().all(|denied| *denied) {
                return None;
            }
            for (column, _) in denied.iter().enumerate().filter(|(_, denied)| **denied) {
                shown[column] = false;
                lines[column] = Some(columns.referenced.line());
            }
        }
        let point_in_time = self.dataset.point_in_time.as_ref().map(|revision| revision.known_at);
        let mut carried: Vec<usize> = self.dataset.primary_key.clone();
        for column in self.dataset.time.into_iter().chain(point_in_time) {
            if !carried.contains(&column) {
                carried.push(column);
            }
        }
        for column in carried.iter().filter(|column| !shown[**column]) {
            let name = &self.dataset.columns[*column].name;
            let at = denied.first().map_or(form.at, |denied| denied.referenced);
            checked.at(at, format_args!("{name} must be granted: cursors carry key, time and known_at"));
        }
        let mut columns: Box<[Right]> =
            shown.into_iter().map(|shown| if shown { Right::Shown } else { Right::Hidden }).collect();
        for (name, mask) in &form.masks {
            let at = mask.referenced.line();
            if let Some((column, mask)) = self.mask(name, mask, &carried, &columns, checked) {
                columns[column] = Right::Masked(mask);
                lines[column] = Some(at);
            }
        }
        let mut grant = Grant::of(columns).said_at(lines.into());
        self.windows(form, &mut grant, checked);
        if let Some(rows) = &form.form.rows {
            match row_form::rule(&rows.value, self.dataset, self.reads) {
                Ok(rule) => grant.rows = Some(rule),
                Err(fault) => checked.at(rows.referenced, fault),
            }
        }
        self.bounded(form, &mut grant, checked);
        Some(grant)
    }

    /// For each column of the contract, whether it is among the named ones.
    fn marked(&self, form: &Spanned<ColumnsForm>, checked: &mut Checked<'_>) -> Option<Vec<bool>> {
        let (names, marked) = match &form.value {
            ColumnsForm::Word(word) if word == "all" => return Some(vec![true; self.dataset.columns.len()]),
            ColumnsForm::Word(found) => {
                let expected = format_args!("{found:?}: expected all, a list of columns, or {{all_but: […]}}");
                checked.at(form.referenced, expected);
                return None;
            }
            ColumnsForm::List(names) => (names, true),
            ColumnsForm::AllBut(but) => (&but.all_but, false),
        };
        let mut columns = vec![!marked; self.dataset.columns.len()];
        for found in names {
            match self.column(found) {
                Ok(column) => columns[column] = marked,
                Err(fault) => checked.at(form.referenced, fault),
            }
        }
        Some(columns)
    }

    fn column(&self, name: &str) -> Result<usize, String> {
        self.dataset.column(name).ok_or_else(|| {
            let known: Vec<&str> = self.dataset.columns.iter().map(|column| column.name.as_str()).collect();
            format!("{} has no column {name:?}: expected one of {}", self.dataset.name, known.join(", "))
        })
    }

    fn mask(
        &self,
        name: &str,
        form: &Spanned<MaskForm>,
        carried: &[usize],
        columns: &[Right],
        checked: &mut Checked<'_>,
    ) -> Option<(usize, Mask)> {
        let at = form.referenced;
        let column = match self.column(name) {
            Ok(column) => column,
            Err(fault) => {
                checked.at(at, fault);
                return None;
            }
        };
        let mask = match &form.value {
            MaskForm::Word(word) if word == "redact" => Some(Mask::Redact),
            MaskForm::Word(word) if word == "hash" => Some(Mask::Hash),
            MaskForm::Word(_) => None,
            MaskForm::Round(form) => Some(Mask::Round(form.round)),
            MaskForm::Truncate(form) => Bucket::named(&form.truncate).map(Mask::Truncate),
            MaskForm::Last(form) => Some(form.last).filter(|last| *last > 0).map(Mask::Last),
        };
        let Some(mask) = mask else {
            let expected = "expected redact, hash, {round: DIGITS}, {truncate: day, week, month, quarter or year} or \
                            {last: CHARACTERS}, of which there must be one";
            checked.at(at, expected);
            return None;
        };
        let data_type = self.dataset.columns[column].data_type;
        if columns[column] == Right::Hidden {
            checked.at(at, format_args!("{name} is not granted: there is nothing to mask"));
        } else if carried.contains(&column) {
            checked.at(at, format_args!("{name} must be granted unmasked: cursors carry key, time and known_at"));
        } else if !mask.fits(data_type) {
            checked.at(at, format_args!("{mask} does not go with {name}, which is {data_type}"));
        } else {
            return Some((column, mask));
        }
        None
    }

    fn windows(&self, form: &WholeGrant, grant: &mut Grant, checked: &mut Checked<'_>) {
        let timed = |at: Location, there: bool, lacks: &str, checked: &mut Checked<'_>| {
            if !there {
                checked.at(at, format_args!("the contract of {} has no {lacks}", self.dataset.name));
            }
            there
        };
        let known_at = self.dataset.point_in_time.is_some();
        if let Some(text) = &form.form.history
            && timed(text.referenced, self.dataset.time.is_some(), "time", checked)
        {
            grant.history = history(&text.value);
            if grant.history.is_none() {
                checked.at(text.referenced, "expected years, months or days, such as 2y, 18mo or 90d");
            }
        }
        if let Some(text) = &form.form.delay
            && timed(text.referenced, known_at, "point_in_time", checked)
        {
            match delay(&text.value) {
                Some(delay) => grant.delay = Some(delay),
                None => checked.at(text.referenced, "expected minutes, hours or days, such as 15m, 2h or 1d"),
            }
        }
        if let Some(text) = &form.form.revision
            && timed(text.referenced, known_at, "point_in_time", checked)
        {
            grant.revision = match text.value.as_str() {
                "first" => Some(Revision::First),
                "latest" => Some(Revision::Latest),
                _ => {
                    checked.at(text.referenced, "expected first or latest");
                    None
                }
            };
        }
    }

    /// What a dataset may have less of than its role.
    fn bounded(&self, form: &WholeGrant, grant: &mut Grant, checked: &mut Checked<'_>) {
        let (form, bounds) = (&form.form, self.bounds);
        grant.rows_per_request = positive(form.rows_per_request.as_ref(), checked).unwrap_or(bounds.rows);
        if let Some(limit) = &form.rows_per_request
            && limit.value > bounds.rows
        {
            checked.at(limit.referenced, format_args!("more than the role's own {}", bounds.rows));
        }
        grant.media_types = media_types(form.formats.as_ref(), bounds.media_types, checked);
        if let Some(formats) = &form.formats
            && grant.media_types.and(bounds.media_types) != grant.media_types
        {
            let own = bounds.media_types.formats();
            checked.at(formats.referenced, format_args!("more than the role's own: {own}"));
        }
        let mut right = |form: Option<&Spanned<bool>>, own: bool, act: &str| {
            if let Some(form) = form.filter(|form| form.value && !own) {
                checked.at(form.referenced, format_args!("more than the role's own: it may not {act}"));
            }
            form.map_or(own, |form| form.value)
        };
        grant.exports = right(form.export.as_ref(), bounds.exports, "export");
        grant.aggregates = right(form.aggregate.as_ref(), bounds.aggregates, "aggregate");
    }
}

/// `2y`, `18mo`, `90d`.
fn history(text: &str) -> Option<History> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: i32 = number.parse().ok().filter(|number| (1..=10_000).contains(number))?;
    match unit {
        "y" => Some(History { months: number.checked_mul(12)?, days: 0 }),
        "mo" => Some(History { months: number, days: 0 }),
        "d" => Some(History { months: 0, days: number }),
        _ => None,
    }
}

/// `15m`, `2h`, `1d`; nothing finer than a minute.
fn delay(text: &str) -> Option<Duration> {
    let delay = parse_duration(text).ok()?;
    (delay.as_secs() >= 60 && delay.subsec_nanos() == 0).then_some(delay)
}
