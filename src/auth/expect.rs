//! What a matrix is expected to grant, beside it in a file of its own: whoever changes the one is told by the other.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use crate::catalog::yaml::Checked;
use crate::catalog::{self, Catalog};

use super::{Claims, Error, GrantSheet, Matrix};

/// The file of the expectations, in the catalog's folder.
pub const EXPECTATIONS_FILE: &str = "access_tests.yaml";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    tests: Vec<ExpectationForm>,
}

/// One expectation. What it leaves out it does not expect.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectationForm {
    name: Spanned<String>,
    role: Option<String>,
    claims: Option<BTreeMap<String, Value>>,
    #[serde(rename = "is")]
    is: Option<String>,
    dataset: Option<String>,
    granted: Option<bool>,
    #[serde(default)]
    shown: Vec<String>,
    #[serde(default)]
    hidden: Vec<String>,
    #[serde(default)]
    masked: BTreeMap<String, String>,
    rows: Option<String>,
    history: Option<String>,
    delay: Option<String>,
    revision: Option<String>,
    aggregate: Option<bool>,
    export: Option<bool>,
    formats: Option<Vec<String>>,
    graphql: Option<bool>,
}

/// What became of one expectation.
#[derive(Debug)]
pub struct Verdict {
    /// Its name.
    pub name: String,
    /// The line of the file on which it stands.
    pub line: u64,
    /// What was expected, and what was found instead; nothing where it holds.
    pub faults: Vec<String>,
}

/// Reads the expectations and holds a matrix against them.
///
/// # Errors
/// When the text is none of expectations, or names a role, dataset or column that there is not.
pub fn verdicts(path: &Path, text: &str, matrix: &Matrix, catalog: &Catalog) -> Result<Vec<Verdict>, catalog::Error> {
    let mut checked = Checked::new(path, text);
    let form: Option<FileForm> = checked.read();
    let tests = form.map_or_else(Vec::new, |form| form.tests);
    let verdicts = tests.iter().filter_map(|test| verdict(test, matrix, catalog, &mut checked)).collect();
    if checked.faults.is_empty() { Ok(verdicts) } else { Err(catalog::Error::Faults(checked.faults)) }
}

fn verdict(test: &ExpectationForm, matrix: &Matrix, catalog: &Catalog, checked: &mut Checked<'_>) -> Option<Verdict> {
    let at = test.name.referenced;
    let mut faults = Vec::new();
    let role = match (&test.role, &test.claims) {
        (Some(name), None) => {
            let role = matrix.role(name);
            if role.is_none() {
                checked.at(at, format_args!("there is no role {name:?}"));
                return None;
            }
            role
        }
        (None, Some(claims)) => {
            let claims: Claims = claims.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            let found = matrix.role_of(&claims);
            let word = match &found {
                Ok(role) => role.name.clone(),
                Err(Error::TwoRoles { one, other }) => format!("both {one} and {other}"),
                Err(_) => "nobody".to_owned(),
            };
            if let Some(expected) = &test.is
                && *expected != word
            {
                faults.push(format!("expected {expected}, found {word}"));
            }
            found.ok()
        }
        _ => {
            checked.at(at, "expected either role or claims");
            return None;
        }
    };
    let done = |faults| Some(Verdict { name: test.name.value.clone(), line: at.line(), faults });
    let Some(role) = role else {
        if test.dataset.is_some() && test.granted != Some(false) {
            faults.push("these claims make no role, which is granted nothing".to_owned());
        }
        return done(faults);
    };
    if let Some(expected) = test.graphql
        && expected != role.graphql
    {
        faults.push(format!("graphql: expected {expected}, found {}", role.graphql));
    }
    let Some(name) = &test.dataset else { return done(faults) };
    let Some(dataset) = catalog.get(name) else {
        checked.at(at, format_args!("there is no dataset {name:?}"));
        return None;
    };
    let mut columns = test.shown.iter().chain(&test.hidden).chain(test.masked.keys());
    if let Some(column) = columns.find(|column| dataset.column(column).is_none()) {
        checked.at(at, format_args!("{name} has no column {column:?}"));
        return None;
    }
    let grant = role.grant(name).map(|grant| GrantSheet::of(grant, dataset));
    if let Some(expected) = test.granted
        && expected != grant.is_some()
    {
        faults.push(format!("granted: expected {expected}, found {}", grant.is_some()));
        return done(faults);
    }
    let Some(grant) = grant else {
        if test.granted.is_none() {
            faults.push(format!("{name} is not granted at all"));
        }
        return done(faults);
    };
    let found = |column: &str| {
        let found = grant.columns.iter().find(|(name, _)| name == column);
        found.map_or("hidden", |(_, right)| right.as_str())
    };
    let expected = (test.shown.iter().map(|column| (column, "shown")))
        .chain(test.hidden.iter().map(|column| (column, "hidden")))
        .chain(test.masked.iter().map(|(column, mask)| (column, mask.as_str())));
    for (column, expected) in expected.filter(|(column, expected)| found(column) != *expected) {
        faults.push(format!("{column}: expected {expected}, found {}", found(column)));
    }
    let words = [
        ("rows", &test.rows, grant.rows.as_deref()),
        ("history", &test.history, grant.history.as_deref()),
        ("delay", &test.delay, grant.delay.as_deref()),
        ("revision", &test.revision, grant.revision),
    ];
    for (what, expected, found) in words {
        // `all` expects that nothing is bound.
        if let Some(expected) = expected
            && expected != found.unwrap_or("all")
        {
            faults.push(format!("{what}: expected {expected}, found {}", found.unwrap_or("all")));
        }
    }
    for (what, expected, found) in
        [("aggregate", test.aggregate, grant.aggregate), ("export", test.export, grant.export)]
    {
        if let Some(expected) = expected
            && expected != found
        {
            faults.push(format!("{what}: expected {expected}, found {found}"));
        }
    }
    if let Some(expected) = &test.formats
        && *expected != grant.formats
    {
        faults.push(format!("formats: expected {}, found {}", expected.join(", "), grant.formats.join(", ")));
    }
    done(faults)
}
