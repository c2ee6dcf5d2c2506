//! Objects as statements that make them. Marks stand in them until it is known where they run: one for the cluster, one for
//! the database, and one around what is left out where a plan is tried.

use super::connection::{literal, quoted};
use super::model::{Column, Object, Table, View};
use super::names::relation;
use super::text::{DATABASE, moved};

/// Where ` ON CLUSTER` stands, if anywhere.
pub(super) const CLUSTER: &str = "\u{1}";
/// The name of the database, where nothing but that stands.
pub(super) const OWN: &str = "\u{3}";
/// Around what needs replicas, or a database that is no scratch one.
pub(super) const REPLICAS: char = '\u{2}';

/// A name as it is written: in backticks where it must be.
pub(super) fn name(name: &str) -> String {
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let begins = name.as_bytes().first().is_some_and(|byte| !byte.is_ascii_digit());
    const WORDS: [&str; 10] = ["table", "view", "index", "order", "group", "select", "from", "to", "all", "dictionary"];
    if plain && begins && !WORDS.contains(&name) { name.to_owned() } else { quoted(name) }
}

/// The statement as it runs: in a database, on a cluster or on none.
pub(super) fn live(sql: &str, database: &str, on_cluster: &str) -> String {
    let own = if database.is_empty() { String::new() } else { name(database) };
    let sql = sql.replace(CLUSTER, on_cluster).replace(REPLICAS, "").replace(OWN, &own);
    moved(&sql, &[DATABASE], &own, database)
}

/// The statement as it is tried: in a scratch database, on one server, without replicas. Nothing where it is about a database
/// that the scratch one stands for.
pub(super) fn tried(sql: &str, database: &str) -> String {
    let sql: String = sql.replace(CLUSTER, "").split(REPLICAS).step_by(2).collect();
    moved(&sql, &[DATABASE], &name(database), database)
}

/// A column with all that it has.
pub(super) fn column(column: &Column) -> String {
    let mut text = format!("{} {}", quoted(&column.name), column.data_type);
    if !column.default.is_empty() {
        text += &format!(" {}", column.default);
    }
    // What follows would be read as its expression.
    if !column.comment.is_empty() || column.default == "EPHEMERAL" {
        text += &format!(" COMMENT {}", literal(&column.comment));
    }
    for (word, clause) in [
        ("CODEC", &column.codec),
        ("STATISTICS", &column.statistics),
        (" TTL ", &column.ttl),
        ("SETTINGS ", &column.settings),
    ] {
        if !clause.is_empty() {
            text += &format!(" {}{clause}", word.trim_start());
        }
    }
    text
}

/// The statement that makes an object.
pub(super) fn create(of: &str, object: &Object) -> String {
    match object {
        Object::Table(it) => table(of, it),
        Object::View(it) => view(of, it, "CREATE"),
        Object::Dictionary(it) => match &it.written {
            Some(written) => written.clone(),
            None => format!("CREATE DICTIONARY {}{CLUSTER} {}", relation(of), it.definition),
        },
    }
}

fn engine(table: &Table) -> String {
    let Some(path) = &table.replicated else { return table.engine.clone() };
    let (plain, arguments) = match table.engine.split_once('(') {
        Some((plain, arguments)) => (plain, arguments.strip_suffix(')').unwrap_or(arguments)),
        None => (table.engine.as_str(), ""),
    };
    let head = format!("{REPLICAS}Replicated{REPLICAS}{plain}");
    match (path.is_empty(), arguments.is_empty()) {
        (true, true) => head,
        (true, false) => format!("{head}({arguments})"),
        (false, true) => format!("{head}{REPLICAS}({path}){REPLICAS}"),
        (false, false) => format!("{head}({REPLICAS}{path}, {REPLICAS}{arguments})"),
    }
}

/// The statement that makes a table.
pub(super) fn table(of: &str, table: &Table) -> String {
    let columns = table.columns.iter().map(column);
    let indexes = table.indexes.iter().map(|(of, definition)| format!("INDEX {} {definition}", name(of)));
    let constraints = table.constraints.iter().map(|(of, definition)| format!("CONSTRAINT {} {definition}", name(of)));
    let projections = table.projections.iter().map(|(of, definition)| format!("PROJECTION {} {definition}", name(of)));
    let elements: Vec<String> = columns.chain(indexes).chain(constraints).chain(projections).collect();
    let mut text = format!(
        "CREATE TABLE {}{CLUSTER} (\n  {}\n)\nENGINE = {}",
        relation(of),
        elements.join(",\n  "),
        engine(table)
    );
    let own_key = if table.primary_key == table.order_by { "" } else { table.primary_key.as_str() };
    let clauses = [
        ("PARTITION BY", table.partition_by.as_str()),
        ("PRIMARY KEY", own_key),
        ("ORDER BY", &table.order_by),
        ("SAMPLE BY", &table.sample_by),
        ("TTL", &table.ttl),
    ];
    for (word, clause) in clauses.into_iter().filter(|(_, clause)| !clause.is_empty()) {
        text += &format!("\n{word} {clause}");
    }
    let settings: Vec<String> = table.settings.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if !settings.is_empty() {
        text += &format!("\nSETTINGS {}", settings.join(", "));
    }
    if !table.comment.is_empty() {
        text += &format!("\nCOMMENT {}", literal(&table.comment));
    }
    text
}

/// The statement that makes a view, with the word that it begins with.
pub(super) fn view(of: &str, view: &View, word: &str) -> String {
    let kind = if view.materialized { "MATERIALIZED VIEW" } else { "VIEW" };
    let mut text = format!("{word} {kind} {}{CLUSTER}", relation(of));
    if !view.refresh.is_empty() {
        text += &format!(" REFRESH {}", view.refresh);
    }
    if !view.to.is_empty() {
        text += &format!(" TO {}", relation(&view.to));
    }
    if !view.columns.is_empty() {
        text += &format!(" ({})", view.columns);
    }
    if !view.engine.is_empty() {
        text += &format!(" ENGINE = {}", view.engine);
    }
    if !view.security.is_empty() {
        text += &format!(" {}", view.security);
    }
    text += &format!("\nAS {}", view.query);
    if !view.comment.is_empty() {
        text += &format!("\nCOMMENT {}", literal(&view.comment));
    }
    // What is made names what it means in the database where that is said, whatever it is called.
    moved(&text, &[DATABASE], "", DATABASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_cluster_or_replicas_is_left_out_where_a_plan_is_tried() {
        let mut made = Table { engine: "ReplacingMergeTree(v)".to_owned(), ..Table::default() };
        made.columns.push(Column { name: "v".to_owned(), data_type: "UInt8".to_owned(), ..Column::default() });
        (made.order_by, made.primary_key) = ("v".to_owned(), "v".to_owned());
        for (replicated, engine) in [
            (None, "ReplacingMergeTree(v)"),
            (Some(""), "ReplicatedReplacingMergeTree(v)"),
            (Some("'/a/{shard}', '{replica}'"), "ReplicatedReplacingMergeTree('/a/{shard}', '{replica}', v)"),
        ] {
            made.replicated = replicated.map(str::to_owned);
            let sql = table("t", &made);
            let text = |cluster: &str, engine: &str| {
                format!("CREATE TABLE t{cluster} (\n  `v` UInt8\n)\nENGINE = {engine}\nORDER BY v")
            };
            assert_eq!(live(&sql, "m", " ON CLUSTER `c`"), text(" ON CLUSTER `c`", engine));
            assert_eq!(tried(&sql, "s"), text("", "ReplacingMergeTree(v)"));
        }
        made.engine = "MergeTree".to_owned();
        assert!(
            live(&table("t", &made), "m", "").contains("ENGINE = ReplicatedMergeTree('/a/{shard}', '{replica}')\n")
        );
        assert_eq!(live("SELECT dictGet('{database}.d', '{database}')", "m", ""), "SELECT dictGet('m.d', 'm')");
    }

    #[test]
    fn a_name_is_quoted_where_it_must_be() {
        assert_eq!(["a_1", "A", "1a", "a b", "order"].map(name), ["a_1", "`A`", "`1a`", "`a b`", "`order`"]);
    }
}
