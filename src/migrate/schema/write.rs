//! What makes an object, and what takes it away.

use super::model::{Key, Kind, Model, Object};
use super::statement::{Hazard, Statement};

/// What leads from one value of a JSON field to its items.
pub(super) fn items<T: serde::de::DeserializeOwned>(object: &Object, field: &str) -> Vec<T> {
    object.field(field).and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A text as SQL has it.
pub(super) fn quoted(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if doubled.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

/// The table of a column's default: all of the name but the column's own.
pub(super) fn table_of<'k>(key: &'k Key, object: &Object) -> &'k str {
    key.name.strip_suffix(object.local.as_str()).and_then(|name| name.strip_suffix('.')).unwrap_or(&key.name)
}

/// The rows of a table that exists are looked through, or it is another one's that is new.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    /// It is there, with rows, and others read and write it.
    Lives,
    /// It is there and partitioned: what would not disturb others cannot be had.
    LivesInParts,
    /// The plan makes it.
    IsNew,
}

/// Takes an object away.
pub(super) fn drop(key: &Key, object: &Object, table: Table) -> Vec<Statement> {
    let (name, local, parent) = (&key.name, &object.local, object.parent_name());
    let plain = |sql: String| vec![Statement::new(sql)];
    let deleting = |sql: String, why: &str| vec![Statement::new(sql).risking(Hazard::DeletesData, why)];
    match key.kind {
        Kind::Schema => plain(format!("DROP SCHEMA {name}")),
        Kind::Extension => vec![
            Statement::new(format!("DROP EXTENSION {name}"))
                .risking(Hazard::Correctness, format!("whoever calls what {name} brings fails")),
        ],
        Kind::Collation => plain(format!("DROP COLLATION {name}")),
        Kind::Enum | Kind::Range | Kind::Composite => plain(format!("DROP TYPE {name}")),
        Kind::Domain => plain(format!("DROP DOMAIN {name}")),
        Kind::DomainConstraint => plain(format!("ALTER DOMAIN {parent} DROP CONSTRAINT {local}")),
        Kind::Sequence => deleting(format!("DROP SEQUENCE {name}"), "where the sequence stood is forgotten"),
        Kind::Function => plain(format!("DROP FUNCTION {name}")),
        Kind::Procedure => plain(format!("DROP PROCEDURE {name}")),
        Kind::Aggregate => plain(format!("DROP AGGREGATE {name}")),
        Kind::Table => deleting(format!("DROP TABLE {name}"), "its rows are gone"),
        Kind::Column => {
            let sql = format!("ALTER TABLE {parent} DROP COLUMN {local}");
            if object.has("generated") { plain(sql) } else { deleting(sql, "its values are gone") }
        }
        Kind::Default => plain(format!("ALTER TABLE ONLY {} ALTER COLUMN {local} DROP DEFAULT", table_of(key, object))),
        Kind::Ownership => plain(format!("ALTER SEQUENCE {name} OWNED BY NONE")),
        Kind::Constraint => {
            let statement = Statement::new(format!("ALTER TABLE {parent} DROP CONSTRAINT {local}"));
            let index = object.has("_index");
            vec![if index { statement.risking(Hazard::DropsIndex, "its index goes with it") } else { statement }]
        }
        Kind::Index => {
            let how = if table == Table::Lives { "INDEX CONCURRENTLY" } else { "INDEX" };
            let statement = Statement::new(format!("DROP {how} {name}"));
            let statement = if table == Table::Lives { statement.patient() } else { statement };
            // One that is not valid answers no question.
            if object.has("invalid") {
                return vec![statement];
            }
            vec![statement.risking(Hazard::DropsIndex, "questions that it answers become slow")]
        }
        Kind::ReplicaIdentity => plain(format!("ALTER TABLE ONLY {parent} REPLICA IDENTITY DEFAULT")),
        Kind::Statistics => plain(format!("DROP STATISTICS {name}")),
        Kind::View => plain(format!("DROP VIEW {name}")),
        Kind::MaterializedView => plain(format!("DROP MATERIALIZED VIEW {name}")),
        Kind::ViewColumn => said(key, &Object { fields: [].into(), ..object.clone() }, Some(object)),
        Kind::Rule => plain(format!("DROP RULE {local} ON {parent}")),
        Kind::Trigger => vec![
            Statement::new(format!("DROP TRIGGER {local} ON {parent}"))
                .risking(Hazard::Correctness, "what it did for each row is done no more"),
        ],
        Kind::Policy => vec![
            Statement::new(format!("DROP POLICY {local} ON {parent}"))
                .risking(Hazard::Authorization, "who sees which rows changes"),
        ],
    }
}

/// A column as `CREATE TABLE` and `ADD COLUMN` have it.
pub(super) fn column(object: &Object, default: Option<&Object>) -> String {
    let mut text = format!("{} {}", object.local, object.field("type").unwrap_or_default());
    if let Some(compression) = object.field("compression") {
        text += &format!(" COMPRESSION {compression}");
    }
    if let Some(collation) = object.field("collation") {
        text += &format!(" COLLATE {collation}");
    }
    if let Some(expression) = object.field("generated") {
        text += &format!(" GENERATED ALWAYS AS {expression}");
    }
    if let Some(expression) = default.and_then(|default| default.field("expression")) {
        text += &format!(" DEFAULT {expression}");
    }
    if object.has("identity") {
        text += &format!(" {}", identity(object));
    }
    if object.has("not_null") {
        text += " NOT NULL";
    }
    text
}

/// The clause that numbers rows.
pub(super) fn identity(object: &Object) -> String {
    let field = |name| object.field(name).unwrap_or_default();
    let clause = format!("GENERATED {} AS IDENTITY", field("identity"));
    if object.has("_identity_plain") {
        return clause;
    }
    format!("{clause} (SEQUENCE NAME {} {})", field("identity_sequence"), field("identity_options"))
}

/// What a column has that only `ALTER TABLE` sets.
pub(super) fn column_settings(object: &Object) -> Vec<Statement> {
    let alter = format!("ALTER TABLE ONLY {} ALTER COLUMN {}", object.parent_name(), object.local);
    let mut statements = Vec::new();
    for (field, clause) in [("storage", "SET STORAGE"), ("statistics", "SET STATISTICS")] {
        if let Some(value) = object.field(field) {
            statements.push(Statement::new(format!("{alter} {clause} {value}")));
        }
    }
    if let Some(options) = object.field("options") {
        statements.push(Statement::new(format!("{alter} SET ({options})")));
    }
    statements
}

/// Makes a table with those of its parts that its statement can have: columns with their defaults, and constraints.
pub(super) fn table(key: &Key, object: &Object, parts: &[&Key], to: &Model) -> Vec<Statement> {
    let name = &key.name;
    let unlogged = if object.has("unlogged") { "UNLOGGED " } else { "" };
    let mut columns: Vec<&Object> = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    for part in parts.iter().filter(|part| part.kind == Kind::Column) {
        columns.extend(to.get(part).filter(|column| !column.has("_inherited")));
    }
    columns.sort_by_key(|column| column.field("_position"));
    for found in &columns {
        let default = Key::new(Kind::Default, format!("{name}.{}", found.local));
        let default = parts.contains(&&default).then(|| to.get(&default)).flatten();
        lines.push(column(found, default));
    }
    for part in parts.iter().filter(|part| part.kind == Kind::Constraint) {
        let constraint = to.get(part).map(|it| (it.local.as_str(), it.field("definition").unwrap_or_default()));
        lines.extend(constraint.map(|(local, definition)| format!("CONSTRAINT {local} {definition}")));
    }
    let body = if lines.is_empty() { "()".to_owned() } else { format!("(\n  {}\n)", lines.join(",\n  ")) };
    let mut sql = format!("CREATE {unlogged}TABLE {name} ");
    match object.field("partition_of") {
        Some(parent) => {
            sql += &format!("PARTITION OF {parent} ");
            if !lines.is_empty() {
                sql += &format!("{body} ");
            }
            sql += object.field("bound").unwrap_or_default();
        }
        None => sql += &body,
    }
    let inherits: Vec<String> = items(object, "inherits");
    if !inherits.is_empty() {
        sql += &format!(" INHERITS ({})", inherits.join(", "));
    }
    if let Some(partition_by) = object.field("partition_by") {
        sql += &format!(" PARTITION BY {partition_by}");
    }
    let options = options(object);
    if !options.is_empty() {
        let options: Vec<String> = options.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect();
        sql += &format!(" WITH ({})", options.join(", "));
    }
    let mut statements = vec![Statement::new(sql)];
    for (field, clause) in [("row_security", "ENABLE"), ("forced_row_security", "FORCE")] {
        if object.has(field) {
            statements.push(Statement::new(format!("ALTER TABLE {name} {clause} ROW LEVEL SECURITY")));
        }
    }
    for column in columns {
        statements.extend(column_settings(column));
    }
    statements.extend(said(key, object, None));
    for part in parts {
        if let Some(found) = to.get(part) {
            statements.extend(said(part, found, None));
        }
    }
    statements
}

/// Storage options of a table.
pub(super) fn options(object: &Object) -> Vec<(String, String)> {
    items(object, "options")
}

/// A view's statement.
pub(super) fn view(key: &Key, object: &Object, verb: &str) -> String {
    let kind = if key.kind == Kind::View { "VIEW" } else { "MATERIALIZED VIEW" };
    let options = object.field("options").map(|options| format!(" WITH ({options})")).unwrap_or_default();
    format!("{verb} {kind} {}{options} AS\n{}", key.name, object.field("definition").unwrap_or_default())
}

/// Makes an object that no statement of another has made.
pub(super) fn create(key: &Key, object: &Object, table: Table) -> Vec<Statement> {
    let (name, local, parent) = (&key.name, &object.local, object.parent_name());
    let definition = object.field("definition").unwrap_or_default();
    let field = |field| object.field(field).unwrap_or_default();
    let plain = |sql: String| vec![Statement::new(sql)];
    let mut statements = match key.kind {
        Kind::Schema => plain(format!("CREATE SCHEMA {name}")),
        Kind::Extension => plain(format!("CREATE EXTENSION {name} WITH SCHEMA {}", field("schema"))),
        Kind::Collation => plain(format!("CREATE COLLATION {name} ({definition})")),
        Kind::Enum => {
            let labels: Vec<String> = items::<String>(object, "labels").iter().map(|label| quoted(label)).collect();
            plain(format!("CREATE TYPE {name} AS ENUM ({})", labels.join(", ")))
        }
        Kind::Range => plain(format!("CREATE TYPE {name} AS RANGE ({definition})")),
        Kind::Composite => {
            let attributes: Vec<(String, String)> = items(object, "attributes");
            let attributes: Vec<String> = attributes.iter().map(|(name, kind)| format!("{name} {kind}")).collect();
            plain(format!("CREATE TYPE {name} AS ({})", attributes.join(", ")))
        }
        Kind::Domain => {
            let mut sql = format!("CREATE DOMAIN {name} AS {}", field("base"));
            for (word, clause) in [("collation", "COLLATE"), ("default", "DEFAULT")] {
                if let Some(value) = object.field(word) {
                    sql += &format!(" {clause} {value}");
                }
            }
            plain(sql + if object.has("not_null") { " NOT NULL" } else { "" })
        }
        Kind::DomainConstraint => plain(format!("ALTER DOMAIN {parent} ADD CONSTRAINT {local} {definition}")),
        Kind::Sequence => plain(format!(
            "CREATE {}SEQUENCE {name} AS {} START WITH {} INCREMENT BY {} MINVALUE {} MAXVALUE {} CACHE {}{}",
            if object.has("unlogged") { "UNLOGGED " } else { "" },
            field("type"),
            field("start"),
            field("increment"),
            field("min"),
            field("max"),
            field("cache"),
            if object.has("cycle") { " CYCLE" } else { "" },
        )),
        Kind::Function | Kind::Procedure => plain(definition.trim_end().to_owned()),
        Kind::Aggregate => plain(format!("CREATE AGGREGATE {name} ({definition})")),
        // Tables and columns are written with their parts.
        Kind::Table | Kind::Column => Vec::new(),
        Kind::Default => plain(format!(
            "ALTER TABLE ONLY {} ALTER COLUMN {local} SET DEFAULT {}",
            table_of(key, object),
            field("expression")
        )),
        Kind::Ownership => plain(format!("ALTER SEQUENCE {name} OWNED BY {}", field("column"))),
        Kind::Constraint => constraint(object, table),
        Kind::Index => index(key, object, table),
        Kind::ReplicaIdentity => plain(format!("ALTER TABLE ONLY {parent} REPLICA IDENTITY {}", field("identity"))),
        Kind::Statistics => plain(definition.to_owned()),
        Kind::View | Kind::MaterializedView => plain(view(key, object, "CREATE")),
        Kind::ViewColumn => Vec::new(),
        Kind::Rule => plain(definition.to_owned()),
        Kind::Trigger => {
            let mut statements = plain(definition.to_owned());
            statements.extend(trigger_state(object));
            statements
        }
        Kind::Policy => {
            let statement = Statement::new(format!("CREATE POLICY {local} ON {parent} {definition}"));
            let lives = table != Table::IsNew;
            vec![if lives {
                statement.risking(Hazard::Authorization, "who sees which rows changes")
            } else {
                statement
            }]
        }
    };
    statements.extend(said(key, object, None));
    statements
}

/// When a trigger fires, where that is not as usual.
pub(super) fn trigger_state(object: &Object) -> Option<Statement> {
    let state = object.field("enabled")?;
    Some(Statement::new(format!("ALTER TABLE {} {state} TRIGGER {}", object.parent_name(), object.local)))
}

/// A constraint: where there are rows, it holds for new ones first, and old ones are looked through without shutting
/// anybody out.
fn constraint(object: &Object, table: Table) -> Vec<Statement> {
    let (parent, local) = (object.parent_name(), &object.local);
    let definition = object.field("definition").unwrap_or_default();
    let kind = object.field("_type").unwrap_or_default();
    let add = format!("ALTER TABLE {parent} ADD CONSTRAINT {local} {definition}");
    let index = object.field("_index").unwrap_or_default();
    match (table, kind) {
        (Table::IsNew, _) => vec![Statement::new(add)],
        (Table::Lives, "c" | "f") | (Table::LivesInParts, "c") if !definition.ends_with(" NOT VALID") => vec![
            Statement::new(format!("{add} NOT VALID")),
            Statement::new(format!("ALTER TABLE {parent} VALIDATE CONSTRAINT {local}")).alone(),
        ],
        (Table::Lives, "p" | "u") if index.contains(" USING btree ") => {
            let kind = if kind == "p" { "PRIMARY KEY" } else { "UNIQUE" };
            let deferrable = definition.find(" DEFERRABLE").map_or("", |at| &definition[at..]);
            let name = format!("{}.{local}", object.field("_schema").unwrap_or_default());
            vec![
                concurrently(index, &name).risking(Hazard::Correctness, "it fails where two rows have one key"),
                Statement::new(format!(
                    "ALTER TABLE {parent} ADD CONSTRAINT {local} {kind} USING INDEX {local}{deferrable}"
                )),
            ]
        }
        (_, "c" | "f") if definition.ends_with(" NOT VALID") => vec![Statement::new(add)],
        _ => vec![Statement::new(add).risking(Hazard::TakesLock, "writers wait while its rows are looked through")],
    }
}

fn index(key: &Key, object: &Object, table: Table) -> Vec<Statement> {
    let definition = object.field("definition").unwrap_or_default();
    let unique = definition.starts_with("CREATE UNIQUE ");
    let all = definition.replacen(" ON ONLY ", " ON ", 1);
    let statement = match table {
        Table::Lives if !definition.contains(" ON ONLY ") => concurrently(definition, &key.name),
        Table::IsNew => Statement::new(all),
        _ => Statement::new(all).risking(Hazard::TakesLock, "writers wait while it is built"),
    };
    let fails = unique && table != Table::IsNew;
    let statement =
        if fails { statement.risking(Hazard::Correctness, "it fails where two rows have one key") } else { statement };
    let mut statements = vec![statement];
    statements.extend(clustered(object));
    statements
}

/// The index that `CLUSTER` goes by.
pub(super) fn clustered(object: &Object) -> Option<Statement> {
    let parent = object.parent_name();
    object.field("clustered").map(|_| Statement::new(format!("ALTER TABLE {parent} CLUSTER ON {}", object.local)))
}

/// An index built while others write. What fails leaves an index behind that is not valid.
pub(super) fn concurrently(definition: &str, name: &str) -> Statement {
    let sql = definition.replacen(" INDEX ", " INDEX CONCURRENTLY ", 1);
    Statement::new(sql).patient().swept(format!("DROP INDEX CONCURRENTLY IF EXISTS {name}"))
}

/// How `COMMENT ON` and `GRANT` name an object.
fn target(key: &Key, object: &Object) -> Option<(String, Option<String>)> {
    let (name, local, parent) = (&key.name, &object.local, object.parent_name());
    let same = |word: &str| Some((format!("{word} {name}"), Some(format!("{word} {name}"))));
    let named = |word: &str, grant: &str| Some((format!("{word} {name}"), Some(format!("{grant} {name}"))));
    let part = |word: &str| Some((format!("{word} {local} ON {parent}"), None));
    match key.kind {
        Kind::Schema => same("SCHEMA"),
        Kind::Sequence => same("SEQUENCE"),
        Kind::Function => same("FUNCTION"),
        Kind::Procedure => same("PROCEDURE"),
        Kind::Aggregate => named("AGGREGATE", "FUNCTION"),
        Kind::Domain => same("DOMAIN"),
        Kind::Enum | Kind::Range | Kind::Composite => same("TYPE"),
        Kind::Table => same("TABLE"),
        Kind::View => named("VIEW", "TABLE"),
        Kind::MaterializedView => named("MATERIALIZED VIEW", "TABLE"),
        Kind::Column | Kind::ViewColumn => Some((format!("COLUMN {name}"), Some(format!("TABLE {parent}")))),
        Kind::Extension => Some((format!("EXTENSION {name}"), None)),
        Kind::Collation => Some((format!("COLLATION {name}"), None)),
        Kind::Index => Some((format!("INDEX {name}"), None)),
        Kind::Statistics => Some((format!("STATISTICS {name}"), None)),
        Kind::DomainConstraint => Some((format!("CONSTRAINT {local} ON DOMAIN {parent}"), None)),
        Kind::Constraint => part("CONSTRAINT"),
        Kind::Rule => part("RULE"),
        Kind::Trigger => part("TRIGGER"),
        Kind::Policy => part("POLICY"),
        Kind::Default | Kind::Ownership | Kind::ReplicaIdentity => None,
    }
}

/// What is said about an object, as far as it differs: its comment, its grants, and a view column's default.
pub(super) fn said(key: &Key, object: &Object, before: Option<&Object>) -> Vec<Statement> {
    let mut statements = Vec::new();
    let Some((target, granted)) = target(key, object) else { return statements };
    let old = |field: &str| before.and_then(|before| before.field(field));
    if key.kind == Kind::ViewColumn && object.field("default") != old("default") {
        let alter = format!("ALTER VIEW {} ALTER COLUMN {}", object.parent_name(), object.local);
        statements.push(Statement::new(match object.field("default") {
            Some(expression) => format!("{alter} SET DEFAULT {expression}"),
            None => format!("{alter} DROP DEFAULT"),
        }));
    }
    if object.field("comment") != old("comment") {
        let text = object.field("comment").map_or_else(|| "NULL".to_owned(), quoted);
        statements.push(Statement::new(format!("COMMENT ON {target} IS {text}")));
    }
    let Some(granted) = granted else { return statements };
    let (now, was) = (object.field("grants").unwrap_or_default(), old("grants").unwrap_or_default());
    let columns = if matches!(key.kind, Kind::Column | Kind::ViewColumn) {
        format!(" ({})", object.local)
    } else {
        String::new()
    };
    for line in was.lines().filter(|line| !now.lines().any(|other| other == *line)) {
        if let Some((role, privilege)) = line.split_once(' ') {
            let privilege = privilege.trim_end_matches(" WITH GRANT OPTION");
            let sql = format!("REVOKE {privilege}{columns} ON {granted} FROM {role}");
            statements.push(Statement::new(sql).risking(Hazard::Authorization, format!("{role} may do less")));
        }
    }
    for line in now.lines().filter(|line| !was.lines().any(|other| other == *line)) {
        if let Some((role, privilege)) = line.split_once(' ') {
            let option = if privilege.ends_with(" WITH GRANT OPTION") { " WITH GRANT OPTION" } else { "" };
            let privilege = privilege.trim_end_matches(" WITH GRANT OPTION");
            let sql = format!("GRANT {privilege}{columns} ON {granted} TO {role}{option}");
            statements.push(Statement::new(sql).risking(Hazard::Authorization, format!("{role} may do more")));
        }
    }
    statements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_text_ends_where_it_should() {
        assert_eq!(quoted("a"), "'a'");
        assert_eq!(quoted("it's"), "'it''s'");
        assert_eq!(quoted("a\\'b"), "E'a\\\\''b'");
    }
}
