//! What would really be lost: a table without rows and a column without values hold nobody's data. And how much there is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::super::schema::Hazard;
use super::connection::{Connection, Failure, literal, quoted};
use super::diff::VALUES_GO;
use super::model::{Column, Model, Object, Table, View};
use super::names::{called, relation, relation_quoted};
use super::scratch::other;
use super::step::Step;

/// A table with rows.
#[derive(Deserialize)]
struct Filled {
    database: String,
    name: String,
}

/// The objects that a scratch database has, and its others, with rows, as far as
/// the server counts them.
pub(in crate::migrate) async fn filled(connection: &Connection, model: &Model) -> Result<Vec<String>, Failure> {
    let question = "SELECT database, name FROM system.tables WHERE total_rows > 0 ORDER BY database, name";
    let own = connection.database();
    let found: Vec<Filled> = connection.rows(question).await?;
    let names = found.into_iter().filter_map(|Filled { database, name }| match database == own {
        true => Some(called(None, &name)),
        false => Some(called(Some(other(own, &database)?), &name)),
    });
    Ok(names.filter(|name| model.objects.contains_key(name)).collect())
}

/// How large tables are, in words, by what they are called.
pub(in crate::migrate) type Sizes = BTreeMap<String, String>;

/// A table, and how large it is.
#[derive(Deserialize)]
struct Sized {
    database: String,
    name: String,
    rows: u64,
    bytes: String,
}

/// How large the tables of a database are, and those of others.
pub(in crate::migrate) async fn sizes(connection: &Connection, others: &BTreeSet<&String>) -> Result<Sizes, Failure> {
    let own = connection.database();
    let names: Vec<String> = others.iter().map(|name| name.as_str()).chain([own]).map(literal).collect();
    let question = format!(
        "SELECT database, name, ifNull(total_rows, 0) AS rows, formatReadableSize(ifNull(total_bytes, 0)) AS bytes \
         FROM system.tables WHERE database IN ({}) AND total_rows IS NOT NULL ORDER BY database, name",
        names.join(", ")
    );
    let place = if connection.cluster().is_some() { " on one server" } else { "" };
    let sized = |Sized { database, name, rows, bytes }| {
        let database = Some(database).filter(|database| database != own);
        (called(database.as_deref(), &name), format!("{rows} rows in {bytes}{place}"))
    };
    Ok(connection.rows(&question).await?.into_iter().map(sized).collect())
}

/// Takes the hazard of lost data off a step that takes none away. One server of many does not know.
pub(in crate::migrate) async fn spare(connection: &Connection, is: &Model, wished: &Model, step: &mut Step) {
    if connection.cluster().is_some() || !step.hazards.iter().any(|risk| risk.hazard == Hazard::DeletesData) {
        return;
    }
    for (of, object) in &is.objects {
        let says = |words: &str| step.sql == words || step.sql.starts_with(&format!("{words} "));
        let word = match object {
            Object::Table(_) => "TABLE",
            Object::View(View { materialized: true, .. }) => "VIEW",
            _ => continue,
        };
        if !(says(&format!("DROP {word} {}", relation(of))) || says(&format!("ALTER TABLE {}", relation(of)))) {
            continue;
        }
        if is_empty(connection, of, "1").await {
            step.hazards.retain(|risk| risk.hazard != Hazard::DeletesData);
        } else if let (Object::Table(table), Some(then)) = (object, wished.table(of))
            && have_no_values(connection, of, table, then).await
        {
            step.hazards.retain(|risk| risk.why != VALUES_GO);
        }
    }
}

async fn have_no_values(connection: &Connection, of: &str, is: &Table, wished: &Table) -> bool {
    for Column { name, data_type, .. } in is.columns.iter().filter(|it| wished.column(&it.name).is_none()) {
        let column = quoted(name);
        let has = match data_type.trim_start_matches("LowCardinality(").starts_with("Nullable(") {
            true => format!("{column} IS NOT NULL"),
            false => format!("ifNull({column} != defaultValueOfArgumentType({column}), 1)"),
        };
        if !is_empty(connection, of, &has).await {
            return false;
        }
    }
    true
}

/// Whether there is no row of that kind; what cannot be asked may have some.
async fn is_empty(connection: &Connection, of: &str, which: &str) -> bool {
    let question = format!("SELECT count() FROM (SELECT 1 FROM {} WHERE {which} LIMIT 1)", relation_quoted(of));
    let found = connection.texts(&question).await;
    found.is_ok_and(|found| found.first().is_some_and(|count| count == "0"))
}
