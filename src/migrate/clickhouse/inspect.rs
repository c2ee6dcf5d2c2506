//! Reads the schema of a database out of the server's own tables.

use serde::Deserialize;

use super::OWN;
use super::connection::{Connection, literal};
use super::error::Error;
use super::model::{LATE, Model, NEW, is_left, read};

/// What is said of tables that are left.
pub(in crate::migrate) const LEFT_OF_REBUILDS: &str = "which is left of rebuilds (--drop-old drops it)";

/// An object as the server tells of it.
#[derive(Deserialize)]
struct Row {
    name: String,
    engine: String,
    create: String,
    comment: String,
}

/// The schema of the database of a connection. Names of those other databases stand for its own.
///
/// # Errors
/// When the server cannot be asked.
pub async fn inspect(connection: &Connection, others: &[&str]) -> Result<Model, Error> {
    // A temporary table is in no database, and a secret stays one.
    let question = format!(
        "SELECT name, engine, create_table_query AS create, comment FROM system.tables \
         WHERE database = {} AND NOT startsWith(name, '.inner') ORDER BY name",
        literal(connection.database())
    );
    let connection = connection.with("show_table_uuid_in_table_create_query_if_not_nil", "0");
    let rows: Vec<Row> = connection.rows(&question).await.map_err(|source| Error::Inspect { source })?;
    let mut databases = vec![connection.database()];
    databases.extend(others.iter().copied().filter(|other| !other.is_empty()));
    let names: Vec<String> = rows.iter().map(|row| row.name.clone()).collect();
    let mut model = Model::default();
    for row in rows {
        if OWN.iter().any(|own| row.name.starts_with(own)) {
            continue;
        }
        let begun = [NEW, LATE]
            .iter()
            .any(|end| row.name.strip_suffix(end).is_some_and(|of| names.iter().any(|name| name == of)));
        if is_left(&row.name) || begun {
            model.left.push(row.name);
            continue;
        }
        match read(&row.create, &databases, &row.comment) {
            Some((_, object)) => drop(model.objects.insert(row.name, object)),
            None => model.unseen.push(format!("{} ({})", row.name, row.engine)),
        }
    }
    if !model.left.is_empty() {
        let left = model.left.join(", ");
        model.unseen.push(format!("{left}, {LEFT_OF_REBUILDS}"));
    }
    Ok(model)
}
