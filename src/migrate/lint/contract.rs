//! What the contracts of datasets lose by a file. They are compared with a database as everywhere: by their source.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::PgConnection;

use super::super::schema::{self, Key, Kind, Model, Object, Scratch};
use super::super::statements::Statement;
use super::analyze::relations;
use super::replay::Replayed;
use super::{Error, Found, Options};
use crate::catalog::Dataset;
use crate::config;
use crate::source::Sources;

/// Whether a role may read a relation; nothing where there is no such role.
const READS: &str =
    "SELECT has_schema_privilege(r.oid, c.relnamespace, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT')
   FROM pg_catalog.pg_roles r, pg_catalog.pg_class c WHERE r.rolname = $1 AND c.oid = to_regclass($2)";

/// What is promised of a database.
pub(super) struct Contracts<'o> {
    datasets: &'o [&'o Dataset],
    sources: &'o BTreeMap<String, config::Source>,
    grantees: &'o [String],
}

/// How contracts are kept at a moment.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// Dataset, column, and what differs.
    pub(super) mismatches: BTreeSet<(String, String, String)>,
    /// Relations that a role may not read.
    unread: BTreeSet<(String, String)>,
}

impl<'o> Contracts<'o> {
    pub(super) fn of(options: &'o Options<'o>) -> Self {
        Self { datasets: &options.datasets, sources: &options.sources, grantees: &options.grantees }
    }

    /// Compares them with a scratch database.
    pub(super) async fn look(&self, scratch: &Scratch, connection: &mut PgConnection) -> Result<Seen, Error> {
        let mut seen = self.mismatches(&scratch.url()).await?;
        for dataset in self.datasets {
            for role in self.grantees {
                let relation = dataset.relation.to_string();
                if self.reads(connection, role, &relation).await? == Some(false) {
                    seen.unread.insert((relation, role.clone()));
                }
            }
        }
        Ok(seen)
    }

    /// What they lack in a scratch database, by its URL.
    pub(super) async fn mismatches(&self, url: &str) -> Result<Seen, Error> {
        let mut seen = Seen::default();
        if self.datasets.is_empty() {
            return Ok(seen);
        }
        let sources = self.datasets.iter().map(|dataset| {
            let name = dataset.source.to_string();
            let source = self.sources.get(&name).cloned().unwrap_or_else(|| config::Source::of(url.to_owned().into()));
            (name, config::Source { url: url.to_owned().into(), ..source })
        });
        let sources = Sources::open(&sources.collect()).map_err(Error::Source)?;
        for dataset in self.datasets {
            let failed = |source| Error::Contract { dataset: dataset.name.to_string(), source };
            let source = sources.get(&dataset.source).map_err(failed)?;
            for mismatch in source.mismatches(dataset).await.map_err(failed)? {
                let column = mismatch.column.clone().unwrap_or_default();
                seen.mismatches.insert((mismatch.dataset.clone(), column, mismatch.to_string()));
            }
        }
        Ok(seen)
    }

    async fn reads(&self, connection: &mut PgConnection, role: &str, relation: &str) -> Result<Option<bool>, Error> {
        const KNOWN: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = $1)";
        let failed = |source| schema::Error::Inspect { source };
        let known = sqlx::query_scalar(KNOWN).persistent(false).bind(role).fetch_one(&mut *connection).await;
        if !known.map_err(failed)? {
            return Err(Error::Role { role: role.to_owned() });
        }
        let reads = sqlx::query_scalar(READS).persistent(false).bind(role).bind(relation).fetch_optional(connection);
        Ok(reads.await.map_err(failed)?)
    }

    /// What a file took from them.
    pub(super) fn judge(&self, statements: &[Statement], words: &[Vec<String>], replayed: &Replayed) -> Vec<Found> {
        let mut found = Vec::new();
        let [before, after] = &replayed.kept;
        let relation_of = |name: &str| {
            self.datasets.iter().find(|dataset| dataset.name.as_str() == name).map(|dataset| whole(dataset))
        };
        for (dataset, column, text) in after.mismatches.difference(&before.mismatches) {
            let relation = relation_of(dataset).unwrap_or_default();
            let at = blame(&relation, column, statements.len(), words, replayed);
            found.push(Found { code: "MT101", statement: at, text: format!("dataset {text}") });
        }
        let old = relations(&replayed.first.model);
        for (relation, role) in &after.unread {
            let is_new =
                |dataset: &&&Dataset| dataset.relation.to_string() == *relation && !old.contains(&whole(dataset));
            let lost = !before.unread.contains(&(relation.clone(), role.clone()));
            for dataset in self.datasets.iter().filter(is_new).filter(|_| lost) {
                let at = blame(&whole(dataset), "", statements.len(), words, replayed);
                let text = format!("{role} may not read {relation}, which dataset {} is made of", dataset.name);
                found.push(Found { code: "MT103", statement: at, text });
            }
        }
        for dataset in self.datasets {
            lost(dataset, replayed, &mut found);
        }
        found
    }
}

/// What a dataset is made of, with its schema.
fn whole(dataset: &Dataset) -> String {
    let schema = dataset.relation.schema.as_ref().map_or("public", |schema| schema.as_str());
    format!("{schema}.{}", dataset.relation.table)
}

fn named(key: &Key, name: &str) -> bool {
    key.name.replace('"', "") == name
}

/// The statement that took a relation or a column away, or changed it, or made it; else the last that names the relation.
fn blame(relation: &str, column: &str, count: usize, words: &[Vec<String>], replayed: &Replayed) -> Option<usize> {
    let part = format!("{relation}.{column}");
    let is_about = |key: &Key| match key.kind {
        Kind::Column => named(key, &part),
        Kind::Table | Kind::View | Kind::MaterializedView => named(key, relation),
        _ => false,
    };
    let changed = replayed.steps.iter().rev().find(|step| {
        let objects = &step.before.model.objects;
        objects.iter().filter(|(key, _)| is_about(key)).any(|(key, was)| {
            step.after.model.get(key).is_none_or(|now| key.kind != Kind::Table && !was.is_made_like(now))
        })
    });
    let made = replayed.steps.iter().find(|step| {
        let before = &step.before.model;
        step.after.model.objects.keys().any(|key| is_about(key) && before.get(key).is_none())
    });
    let local = relation.rsplit('.').next().unwrap_or_default().to_uppercase();
    let says = |at: &usize| words.get(*at).is_some_and(|words| words.contains(&local));
    changed.or(made).map(|step| step.statement).or_else(|| (0..count).rev().find(says))
}

/// The indexes of a relation, by the first column of each; nothing where that is an expression.
fn first_columns(model: &Model, relation: &str) -> BTreeSet<String> {
    let of = |object: &&Object| object.parent.as_ref().is_some_and(|parent| named(parent, relation));
    let definitions = model.objects.values().filter(of).filter(|object| !object.has("invalid")).filter_map(|object| {
        object.field("_index").or_else(|| object.field("definition").filter(|text| text.contains(" INDEX ")))
    });
    let columns = definitions.filter_map(|definition| {
        let (_, behind) = definition.split_once(" USING ")?;
        let (_, columns) = behind.split_once('(')?;
        // One of some rows only answers for these.
        (!definition.contains(" WHERE ")).then_some(())?;
        let end = columns.find([',', ' ', ')'])?;
        Some(columns[..end].trim_matches('"').to_owned())
    });
    columns.filter(|column| !column.is_empty() && !column.starts_with('(')).collect()
}

/// Indexes behind what a contract lets people filter and order by, that were there and are there no more.
fn lost(dataset: &Dataset, replayed: &Replayed, found: &mut Vec<Found>) {
    let relation = whole(dataset);
    let (first, last) = (&replayed.first.model, &replayed.last.model);
    if !relations(last).contains(&relation) {
        return;
    }
    let (before, after) = (first_columns(first, &relation), first_columns(last, &relation));
    for (place, column) in dataset.columns.iter().enumerate() {
        let name = column.name.as_str();
        let is_key = dataset.primary_key.contains(&place);
        let used = is_key || column.sort || !column.filter.is_empty();
        if !used || !before.contains(name) || after.contains(name) {
            continue;
        }
        let step = replayed.steps.iter().rev().find(|step| {
            let had = first_columns(&step.before.model, &relation).contains(name);
            had && !first_columns(&step.after.model, &relation).contains(name)
        });
        let what = if is_key { "its primary key" } else { "a filter or an order" };
        let text =
            format!("dataset {} has no index any more that begins with {name}, which {what} needs", dataset.name);
        found.push(Found { code: "MT102", statement: step.map(|step| step.statement), text });
    }
}
