//! Reads the schema of a database out of the server's own tables.

use serde::Deserialize;

use super::OWN;
use super::connection::{Connection, literal};
use super::cut::read;
use super::database::Database;
use super::error::Error;
use super::model::{LATE, Model, NEW, is_left};
use super::names::called;
use super::scratch::other;
use super::text::moved;
use super::write;

/// What is said of tables that are left.
pub(in crate::migrate) const LEFT_OF_REBUILDS: &str = "which is left of rebuilds (--drop-old drops it)";

/// An object as the server tells of it.
#[derive(Deserialize)]
struct Row {
    database: String,
    name: String,
    engine: String,
    create: String,
    comment: String,
}

/// A database as the server tells of it.
#[derive(Deserialize)]
struct DatabaseRow {
    name: String,
    engine: String,
    comment: String,
}

/// The schema of the database of a connection, and of those others; a scratch database has its others along. Names of the
/// `live` ones stand for its own.
///
/// # Errors
/// When the server cannot be asked.
pub async fn inspect(connection: &Connection, live: &[&str], others: &[String]) -> Result<Model, Error> {
    let own = connection.database();
    let failed = |source| Error::Inspect { source };
    let question = "SELECT name, engine_full AS engine, comment FROM system.databases ORDER BY name";
    let found: Vec<DatabaseRow> = connection.rows(question).await.map_err(failed)?;
    let mut model = Model { missing: found.iter().all(|row| row.name != own), ..Model::default() };
    // What others are called here, and what they are called there.
    let mut beside: Vec<(String, String)> = Vec::new();
    for row in found {
        let it = Database { engine: row.engine, comment: row.comment };
        if row.name == own {
            model.own = Some(it);
            continue;
        }
        let is_named = || others.contains(&row.name).then_some(row.name.as_str());
        if let Some(so) = other(own, &row.name).or_else(is_named) {
            if it.has_tables() {
                beside.push((row.name.clone(), so.to_owned()));
            }
            model.databases.insert(so.to_owned(), it);
        }
    }
    let here: Vec<String> = beside.iter().map(|(name, _)| name.as_str()).chain([own]).map(literal).collect();
    // A temporary table is in no database, and a secret stays one.
    let question = format!(
        "SELECT database, name, engine, create_table_query AS create, comment FROM system.tables \
         WHERE database IN ({}) AND NOT startsWith(name, '.inner') ORDER BY database, name",
        here.join(", ")
    );
    let connection = connection.with("show_table_uuid_in_table_create_query_if_not_nil", "0");
    let rows: Vec<Row> = connection.rows(&question).await.map_err(failed)?;
    let mut databases = vec![own];
    databases.extend(live.iter().copied().filter(|it| !it.is_empty()));
    let names: Vec<(String, String)> = rows.iter().map(|row| (row.database.clone(), row.name.clone())).collect();
    for mut row in rows {
        let database = beside.iter().find(|(name, _)| *name == row.database).map(|(_, so)| so.as_str());
        if OWN.iter().any(|own| row.name.starts_with(own)) {
            // A ledger may be in a database of its own.
            model.held.extend(database.map(str::to_owned));
            continue;
        }
        let so = called(database, &row.name);
        let begun = [NEW, LATE].iter().any(|end| {
            let of = row.name.strip_suffix(end);
            of.is_some_and(|of| names.iter().any(|(database, name)| *database == row.database && name == of))
        });
        if is_left(&row.name) || begun {
            model.left.push(so);
            continue;
        }
        for (name, so) in beside.iter().filter(|(name, so)| name != so) {
            row.create = moved(&row.create, &[name], &write::name(so), so);
        }
        match read(&row.create, &databases, &row.comment) {
            Some((_, object)) => drop(model.objects.insert(so, object)),
            None => model.unseen.push(format!("{so} ({})", row.engine)),
        }
    }
    if !model.left.is_empty() {
        let left = model.left.join(", ");
        model.unseen.push(format!("{left}, {LEFT_OF_REBUILDS}"));
    }
    Ok(model)
}
