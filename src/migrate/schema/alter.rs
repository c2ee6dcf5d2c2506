//! How an object becomes another in its place, where that can be had.

use super::model::{Key, Kind, Object};
use super::statement::{Hazard, Statement};
use super::write::{clustered, column_settings, identity, items, options, quoted, said, trigger_state, view};

/// The statements that make one object the other; nothing where it has to be dropped and made anew.
pub(super) fn alter(key: &Key, from: &Object, to: &Object) -> Option<Vec<Statement>> {
    let name = &key.name;
    let mut statements = match key.kind {
        _ if from.is_made_like(to) => Vec::new(),
        Kind::Extension => vec![Statement::new(format!("ALTER EXTENSION {name} SET SCHEMA {}", to.field("schema")?))],
        Kind::Enum => labels(name, &items(from, "labels"), &items(to, "labels"))?,
        Kind::Composite => attributes(name, &items(from, "attributes"), &items(to, "attributes"))?,
        Kind::Domain => domain(name, from, to)?,
        Kind::Sequence => sequence(name, from, to),
        Kind::Function | Kind::Procedure => {
            let defaults = |object: &Object| object.field("_defaults").and_then(|count| count.parse::<u32>().ok());
            let fits = from.field("_shape") == to.field("_shape") && defaults(from) <= defaults(to);
            fits.then(|| vec![Statement::new(to.field("definition").unwrap_or_default().trim_end())])?
        }
        Kind::Table => table(name, from, to)?,
        Kind::Column => column(from, to)?,
        Kind::Default => super::write::create(key, to, super::write::Table::Lives),
        Kind::Ownership => vec![Statement::new(format!("ALTER SEQUENCE {name} OWNED BY {}", to.field("column")?))],
        Kind::Constraint => {
            let (was, now) = (from.field("definition")?, to.field("definition")?);
            if was.strip_suffix(" NOT VALID") != Some(now) {
                return None;
            }
            let (parent, local) = (to.parent_name(), &to.local);
            vec![Statement::new(format!("ALTER TABLE {parent} VALIDATE CONSTRAINT {local}")).alone()]
        }
        Kind::Index if from.field("definition") == to.field("definition") && !from.has("invalid") => {
            match clustered(to) {
                Some(statement) => vec![statement],
                None => vec![Statement::new(format!("ALTER TABLE {} SET WITHOUT CLUSTER", to.parent_name()))],
            }
        }
        Kind::ReplicaIdentity => super::write::create(key, to, super::write::Table::Lives),
        Kind::View => {
            let columns = |object: &Object| format!("{}\n", object.field("_columns").unwrap_or_default());
            columns(to).starts_with(&columns(from)).then(|| vec![Statement::new(view(key, to, "CREATE OR REPLACE"))])?
        }
        Kind::Trigger if from.field("definition") == to.field("definition") => {
            let usual = format!("ALTER TABLE {} ENABLE TRIGGER {}", to.parent_name(), to.local);
            let statement = trigger_state(to).unwrap_or_else(|| Statement::new(usual));
            vec![statement.risking(Hazard::Correctness, "what it does for each row begins or ends")]
        }
        Kind::ViewColumn => Vec::new(),
        _ => return None,
    };
    statements.extend(said(key, to, Some(from)));
    Some(statements)
}

/// New labels take their places; none can go, and none can move.
fn labels(name: &str, from: &[String], to: &[String]) -> Option<Vec<Statement>> {
    let mut kept = to.iter().filter(|label| from.contains(label));
    if !from.iter().all(|label| kept.next() == Some(label)) {
        return None;
    }
    let mut statements = Vec::new();
    for (at, label) in to.iter().enumerate().filter(|(_, label)| !from.contains(label)) {
        let place = match (at.checked_sub(1).map(|before| &to[before]), from.first()) {
            // At the very end none has to be named.
            (Some(before), Some(_)) if from.iter().any(|label| to[at..].contains(label)) => {
                format!(" AFTER {}", quoted(before))
            }
            (None, Some(first)) => format!(" BEFORE {}", quoted(first)),
            _ => String::new(),
        };
        // It cannot be used in the transaction that adds it.
        statements.push(Statement::new(format!("ALTER TYPE {name} ADD VALUE {}{place}", quoted(label))).alone());
    }
    Some(statements)
}

fn attributes(name: &str, from: &[(String, String)], to: &[(String, String)]) -> Option<Vec<Statement>> {
    let has = |list: &[(String, String)], name: &str| list.iter().any(|(other, _)| other == name);
    let kept: Vec<&(String, String)> = from.iter().filter(|(name, _)| has(to, name)).collect();
    let order: Vec<&String> = kept.iter().map(|(name, _)| name).collect();
    // New ones come last.
    if !to.iter().take(kept.len()).map(|(name, _)| name).eq(order) {
        return None;
    }
    let gone = from.iter().filter(|(name, _)| !has(to, name)).map(|(attribute, _)| {
        Statement::new(format!("ALTER TYPE {name} DROP ATTRIBUTE {attribute}"))
            .risking(Hazard::DeletesData, "its values are gone")
    });
    let changed = kept.iter().zip(to).filter(|((_, was), (_, now))| was != now).map(|(_, (attribute, now))| {
        Statement::new(format!("ALTER TYPE {name} ALTER ATTRIBUTE {attribute} SET DATA TYPE {now}"))
    });
    let new = to
        .iter()
        .skip(kept.len())
        .map(|(attribute, kind)| Statement::new(format!("ALTER TYPE {name} ADD ATTRIBUTE {attribute} {kind}")));
    Some(gone.chain(changed).chain(new).collect())
}

fn domain(name: &str, from: &Object, to: &Object) -> Option<Vec<Statement>> {
    if from.field("base") != to.field("base") || from.field("collation") != to.field("collation") {
        return None;
    }
    let mut statements = Vec::new();
    if from.field("default") != to.field("default") {
        let clause =
            to.field("default").map_or_else(|| "DROP DEFAULT".to_owned(), |value| format!("SET DEFAULT {value}"));
        statements.push(Statement::new(format!("ALTER DOMAIN {name} {clause}")));
    }
    if from.has("not_null") != to.has("not_null") {
        let sets = to.has("not_null");
        let statement = Statement::new(format!("ALTER DOMAIN {name} {} NOT NULL", if sets { "SET" } else { "DROP" }));
        let risk = "every column of the domain is looked through";
        statements.push(if sets { statement.risking(Hazard::TakesLock, risk) } else { statement });
    }
    Some(statements)
}

fn sequence(name: &str, from: &Object, to: &Object) -> Vec<Statement> {
    let mut clauses = Vec::new();
    for (field, clause) in [
        ("type", "AS"),
        ("increment", "INCREMENT BY"),
        ("min", "MINVALUE"),
        ("max", "MAXVALUE"),
        ("start", "START WITH"),
        ("cache", "CACHE"),
    ] {
        if from.field(field) != to.field(field) {
            clauses.push(format!("{clause} {}", to.field(field).unwrap_or_default()));
        }
    }
    if from.has("cycle") != to.has("cycle") {
        clauses.push(if to.has("cycle") { "CYCLE".to_owned() } else { "NO CYCLE".to_owned() });
    }
    let mut statements = Vec::new();
    let bound = |object: &Object, field: &str| object.field(field).and_then(|text| text.parse::<i64>().ok());
    let (above, below) = (bound(to, "min") > bound(from, "max"), bound(to, "max") < bound(from, "min"));
    if above || below {
        // Nothing is within both: it takes its new place with its new bounds.
        let place = to.field(if above { "min" } else { "max" }).unwrap_or_default();
        clauses.push(format!("RESTART WITH {place}"));
    } else if bound(to, "min") > bound(from, "min") || bound(to, "max") < bound(from, "max") {
        // Where it stands outside of its new bounds, it could not have them.
        let (min, max) = (to.field("min").unwrap_or_default(), to.field("max").unwrap_or_default());
        statements.push(
            Statement::new(format!(
                "SELECT pg_catalog.setval({}, least(greatest(last_value, {min}), {max}), is_called) FROM {name} \
                 WHERE last_value NOT BETWEEN {min} AND {max}",
                quoted(name)
            ))
            .risking(Hazard::Correctness, "a sequence outside of its new bounds is moved into them"),
        );
    }
    if !clauses.is_empty() {
        let statement = Statement::new(format!("ALTER SEQUENCE {name} {}", clauses.join(" ")));
        let risk = "a sequence outside of its new bounds begins anew within them";
        statements.push(if above || below { statement.risking(Hazard::Correctness, risk) } else { statement });
    }
    if from.has("unlogged") != to.has("unlogged") {
        let how = if to.has("unlogged") { "UNLOGGED" } else { "LOGGED" };
        statements.push(Statement::new(format!("ALTER SEQUENCE {name} SET {how}")));
    }
    statements
}

fn table(name: &str, from: &Object, to: &Object) -> Option<Vec<Statement>> {
    if from.field("partition_by") != to.field("partition_by") {
        return None;
    }
    let alter = |clause: String| Statement::new(format!("ALTER TABLE {name} {clause}"));
    let mut statements = Vec::new();
    if from.has("unlogged") != to.has("unlogged") {
        let how = if to.has("unlogged") { "SET UNLOGGED" } else { "SET LOGGED" };
        statements
            .push(alter(how.to_owned()).risking(Hazard::RewritesTable, "it is written anew, and its indexes too"));
    }
    let (was, now) = (options(from), options(to));
    let gone: Vec<&str> = was
        .iter()
        .filter(|(name, _)| !now.iter().any(|(other, _)| other == name))
        .map(|(name, _)| name.as_str())
        .collect();
    if !gone.is_empty() {
        statements.push(alter(format!("RESET ({})", gone.join(", "))));
    }
    let set: Vec<String> = now
        .iter()
        .filter(|option| !was.contains(option))
        .map(|(name, value)| format!("{name} = {}", quoted(value)))
        .collect();
    if !set.is_empty() {
        statements.push(alter(format!("SET ({})", set.join(", "))));
    }
    if (from.field("partition_of"), from.field("bound")) != (to.field("partition_of"), to.field("bound")) {
        if let Some(parent) = from.field("partition_of") {
            statements.push(
                Statement::new(format!("ALTER TABLE {parent} DETACH PARTITION {name}"))
                    .risking(Hazard::Correctness, "its rows leave the partitioned table"),
            );
        }
        if let (Some(parent), Some(bound)) = (to.field("partition_of"), to.field("bound")) {
            statements.push(
                Statement::new(format!("ALTER TABLE {parent} ATTACH PARTITION {name} {bound}"))
                    .risking(Hazard::TakesLock, "its rows are looked through"),
            );
        }
    }
    let (was, now): (Vec<String>, Vec<String>) = (items(from, "inherits"), items(to, "inherits"));
    for parent in was.iter().filter(|parent| !now.contains(parent)) {
        statements.push(alter(format!("NO INHERIT {parent}")));
    }
    for parent in now.iter().filter(|parent| !was.contains(parent)) {
        statements.push(alter(format!("INHERIT {parent}")));
    }
    for (field, on, off) in [("row_security", "ENABLE", "DISABLE"), ("forced_row_security", "FORCE", "NO FORCE")] {
        if from.has(field) != to.has(field) {
            let how = if to.has(field) { on } else { off };
            let statement = alter(format!("{how} ROW LEVEL SECURITY"));
            statements.push(statement.risking(Hazard::Authorization, "who sees which rows changes"));
        }
    }
    Some(statements)
}

fn column(from: &Object, to: &Object) -> Option<Vec<Statement>> {
    let (table, local) = (to.parent_name(), &to.local);
    let alter = |clause: String| Statement::new(format!("ALTER TABLE {table} ALTER COLUMN {local} {clause}"));
    let differs = |field: &str| from.field(field) != to.field(field);
    // What is computed is computed anew.
    if to.has("generated") && (differs("generated") || differs("type") || differs("collation")) {
        return None;
    }
    let mut statements = Vec::new();
    // What is computed as it is read has no values to keep.
    if from.field("generated").is_some_and(|text| text.ends_with("VIRTUAL")) && !to.has("generated") {
        return None;
    }
    if from.has("generated") && !to.has("generated") {
        statements.push(alter("DROP EXPRESSION".to_owned()));
    }
    // The table that it is inherited from hands this on.
    if (differs("type") || differs("collation")) && !to.has("_inherited") {
        statements.push(retype(from, to));
    }
    // Partitions have the numbering of their table.
    let own = |object: &Object| object.has("identity_sequence");
    if own(from) && from.has("identity") && !to.has("identity") {
        statements.push(alter("DROP IDENTITY".to_owned()).risking(Hazard::Correctness, "rows are numbered no more"));
    }
    if differs("not_null") && !to.has("_inherited") {
        statements.extend(if to.has("not_null") {
            not_null(table, local)
        } else {
            vec![alter("DROP NOT NULL".to_owned())]
        });
    }
    if own(to) && !from.has("identity") {
        statements.push(alter(format!("ADD {}", identity(to))));
        // The numbers that are there are not given once more.
        let name = |text: &str| quoted(text);
        statements.push(
            Statement::new(format!(
                "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence({}, {}), coalesce(max({local}), 0) + 1, false) \
                 FROM {table}",
                name(table),
                name(&unquoted(local))
            ))
            .risking(Hazard::Correctness, "numbering goes on behind the greatest number that is there"),
        );
    } else if own(to) && own(from) {
        statements.extend(identity_changes(from, to, &alter));
    }
    if differs("compression") {
        statements.push(alter(format!("SET COMPRESSION {}", to.field("compression").unwrap_or("default"))));
    }
    if differs("storage") && !to.has("storage") {
        statements.push(alter(format!("SET STORAGE {}", to.field("_storage").unwrap_or("EXTENDED"))));
    }
    if differs("statistics") && !to.has("statistics") {
        statements.push(alter("SET STATISTICS -1".to_owned()));
    }
    if let Some(options) = from.field("options").filter(|_| differs("options")) {
        let names: Vec<&str> = options.split(", ").filter_map(|option| option.split('=').next()).collect();
        statements.push(alter(format!("RESET ({})", names.join(", "))));
    }
    if differs("storage") || differs("statistics") || differs("options") {
        statements.extend(column_settings(to));
    }
    Some(statements)
}

fn identity_changes(from: &Object, to: &Object, alter: &dyn Fn(String) -> Statement) -> Vec<Statement> {
    let mut statements = Vec::new();
    let differs = |field: &str| from.field(field) != to.field(field);
    if differs("identity") {
        statements.push(alter(format!("SET GENERATED {}", to.field("identity").unwrap_or_default())));
    }
    let plain = from.has("_identity_plain") && to.has("_identity_plain");
    if let (Some(was), Some(now)) = (from.field("identity_sequence"), to.field("identity_sequence"))
        && was != now
    {
        let local = now.rsplit('.').next().unwrap_or(now);
        statements.push(Statement::new(format!("ALTER SEQUENCE {was} RENAME TO {local}")));
    }
    if differs("identity_options") && !plain {
        let options = to.field("identity_options").unwrap_or_default();
        let set = ["START", "INCREMENT", "MINVALUE", "MAXVALUE", "CACHE", "NO CYCLE", "CYCLE"];
        let mut clauses: Vec<String> = Vec::new();
        let mut rest = options;
        while let Some(word) = set.iter().find(|word| rest.starts_with(**word)) {
            let after = &rest[word.len()..];
            let end = set.iter().filter_map(|next| after.find(&format!(" {next}"))).min().unwrap_or(after.len());
            clauses.push(format!("SET {word}{}", &after[..end]));
            rest = after[end..].trim_start();
        }
        statements.push(alter(clauses.join(" ")));
    }
    statements
}

/// A name as texts have it.
fn unquoted(name: &str) -> String {
    name.strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
        .map_or(name.to_owned(), |name| name.replace("\"\"", "\""))
}

/// A check holds for new rows at once and is looked through while others write; then the constraint needs no scan.
fn not_null(table: &str, local: &str) -> Vec<Statement> {
    let check: String = format!("martello_{}_not_null", unquoted(local)).chars().take(60).collect();
    let check = format!("\"{}\"", check.replace('"', "\"\""));
    vec![
        Statement::new(format!("ALTER TABLE {table} ADD CONSTRAINT {check} CHECK ({local} IS NOT NULL) NOT VALID"))
            .risking(Hazard::Correctness, "it fails where a row has no value"),
        Statement::new(format!("ALTER TABLE {table} VALIDATE CONSTRAINT {check}")).alone(),
        Statement::new(format!("ALTER TABLE {table} ALTER COLUMN {local} SET NOT NULL")),
        Statement::new(format!("ALTER TABLE {table} DROP CONSTRAINT {check}")),
    ]
}

/// Gives a column another type.
fn retype(from: &Object, to: &Object) -> Statement {
    let (was, now) = (from.field("type").unwrap_or_default(), to.field("type").unwrap_or_default());
    let local = &to.local;
    let collation = to.field("collation").map(|collation| format!(" COLLATE {collation}")).unwrap_or_default();
    let using = if was == now { String::new() } else { format!(" USING {}", cast(local, was, now)) };
    let sql = format!("ALTER TABLE {} ALTER COLUMN {local} TYPE {now}{collation}{using}", to.parent_name());
    let statement = Statement::new(sql);
    if was == now {
        return statement.risking(Hazard::TakesLock, "indexes of the column are built anew");
    }
    if is_wider(was, now) {
        return statement;
    }
    let statement = statement.risking(Hazard::RewritesTable, format!("each {was} becomes a {now}"));
    let fits = matches!((was, now), ("smallint", "integer" | "bigint") | ("integer", "bigint") | (_, "text"));
    if fits { statement } else { statement.risking(Hazard::Correctness, "a value that does not fit fails, or is cut") }
}

/// A value as one of another type: by the cast that there is, otherwise by its text.
fn cast(local: &str, was: &str, now: &str) -> String {
    fn family(name: &str) -> (&str, bool) {
        let (name, array) = name.strip_suffix("[]").map_or((name, false), |name| (name, true));
        let family = match name.split('(').next().unwrap_or(name).trim_end() {
            "smallint" | "integer" | "bigint" | "numeric" | "real" | "double precision" => "number",
            "text" | "character varying" | "character" | "name" => "text",
            "json" | "jsonb" => "json",
            name if name == "date" || name.starts_with("timestamp") => "day",
            name => name,
        };
        (family, array)
    }
    let ((one, of_many), (other, to_many)) = (family(was), family(now));
    let by_text = one != other && one != "text" && other != "text" && (one, other) != ("boolean", "number");
    match (by_text || of_many != to_many, of_many && to_many) {
        (false, _) => format!("{local}::{now}"),
        (true, false) => format!("{local}::text::{now}"),
        (true, true) => format!("{local}::text[]::{now}"),
    }
}

/// Takes a column over to a type that was made anew under the same name.
pub(super) fn retake(column: &Object) -> Vec<Statement> {
    let (table, local) = (column.parent_name(), &column.local);
    let now = column.field("type").unwrap_or_default();
    let text = if now.ends_with("[]") { "text[]" } else { "text" };
    if column.has("_inherited") {
        return Vec::new();
    }
    let sql = format!("ALTER TABLE {table} ALTER COLUMN {local} TYPE {now} USING {local}::{text}::{now}");
    vec![
        Statement::new(sql)
            .risking(Hazard::RewritesTable, format!("{now} is another type now"))
            .risking(Hazard::Correctness, "a value that the new type has not fails"),
    ]
}

/// Whether every value of a type is one of the other as it is stored, so that no row is written.
fn is_wider(was: &str, now: &str) -> bool {
    fn parts(text: &str) -> (String, Vec<u32>) {
        let Some((head, rest)) = text.split_once('(') else { return (text.to_owned(), Vec::new()) };
        let (inside, tail) = rest.split_once(')').unwrap_or((rest, ""));
        (format!("{head}{tail}"), inside.split(',').filter_map(|part| part.trim().parse().ok()).collect())
    }
    let ((was, old), (now, new)) = (parts(was), parts(now));
    match (was.as_str(), now.as_str()) {
        ("character varying", "text") | ("text", "character varying") if new.is_empty() => true,
        ("character varying", "character varying") | ("bit varying", "bit varying") => {
            new.is_empty() || old.first().is_some_and(|old| new[0] >= *old)
        }
        ("numeric", "numeric") => {
            new.is_empty() || (old.len() == 2 && new.len() == 2 && new[0] >= old[0] && new[1] == old[1])
        }
        ("cidr", "inet") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(labels: &str) -> Vec<String> {
        labels.chars().map(String::from).collect()
    }

    #[test]
    fn labels_are_added_in_their_places_and_never_moved() {
        let told = |from: &str, to: &str| {
            labels("e", &list(from), &list(to)).map(|statements| {
                statements.into_iter().map(|it| it.sql.replace("ALTER TYPE e ADD VALUE ", "")).collect()
            })
        };
        let told = |from: &str, to: &str| -> Option<Vec<String>> { told(from, to) };
        assert_eq!(told("ac", "abcd").expect("added"), ["'b' AFTER 'a'", "'d'"]);
        assert_eq!(told("b", "ab").expect("added"), ["'a' BEFORE 'b'"]);
        assert_eq!(told("", "ab").expect("added"), ["'a'", "'b'"]);
        assert_eq!(told("ab", "a"), None);
        assert_eq!(told("ab", "ba"), None);
    }

    #[test]
    fn a_value_is_cast_as_it_can_be() {
        for (was, now, cast_to) in [
            ("integer", "numeric(10,2)", "a::numeric(10,2)"),
            ("public.e", "text", "a::text"),
            ("public.e", "integer", "a::text::integer"),
            ("public.e[]", "integer[]", "a::text[]::integer[]"),
            ("text", "text[]", "a::text::text[]"),
            ("timestamp(3) without time zone", "date", "a::date"),
            ("integer", "date", "a::text::date"),
        ] {
            assert_eq!(cast("a", was, now), cast_to, "{was} {now}");
        }
    }

    #[test]
    fn a_wider_type_writes_no_row() {
        for (was, now, wider) in [
            ("character varying(10)", "character varying(20)", true),
            ("character varying(20)", "character varying(10)", false),
            ("character varying(20)", "text", true),
            ("character varying", "character varying(10)", false),
            ("text", "character varying(10)", false),
            ("numeric(10,2)", "numeric(12,2)", true),
            ("numeric(10,2)", "numeric(12,3)", false),
            ("numeric", "numeric(12,3)", false),
            ("integer", "bigint", false),
        ] {
            assert_eq!(is_wider(was, now), wider, "{was} {now}");
        }
    }
}
