//! What a change of a ClickHouse schema costs that its statements do not show: a look at the schema before and after.

use super::diff::{is_wider, rebuilt_for};
use super::model::{Column, Model, Object, Table, View};
use super::text::{Kind, split, tokens};

/// Something that is to be known before a change is applied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Its code, such as `CH101`.
    pub code: &'static str,
    /// The object that it is about.
    pub object: String,
    /// What it is, and what to do.
    pub text: String,
}

/// What is to be known of the way from one schema to another, in the order of the objects' names.
#[must_use]
pub fn findings(before: &Model, after: &Model) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, object) in &before.objects {
        match (object, after.objects.get(name)) {
            (Object::Table(is), Some(Object::Table(wished))) => {
                for (code, text) in changed(name, is, wished, after) {
                    found.push(Finding { code, object: name.clone(), text });
                }
            }
            (Object::Table(table), None) if table.keeps_rows() => {
                let text =
                    "the table is dropped: beyond max_table_size_to_drop (50 GB, where nothing else is set) the \
                            server refuses"
                        .to_owned();
                found.push(Finding { code: "CH106", object: name.clone(), text });
            }
            _ => {}
        }
    }
    let has_replicas =
        after.objects.values().any(|it| matches!(it, Object::Table(table) if table.replicated.is_some()));
    for (name, object) in &after.objects {
        let is_new = before.objects.get(name) != Some(object);
        let mut add = |code, text: String| found.push(Finding { code, object: name.clone(), text });
        match object {
            Object::Table(table) if is_new => {
                let was = before.table(name);
                let same_keys =
                    was.is_some_and(|was| (&was.order_by, &was.primary_key) == (&table.order_by, &table.primary_key));
                for column in table.columns.iter().filter(|column| !same_keys && is_in(&table.order_by, &column.name)) {
                    if let Some(text) = costly_key(column) {
                        add("CH103", text);
                    }
                }
                if has_replicas && table.is_merge_tree() && table.replicated.is_none() {
                    let text = format!(
                        "{} keeps its rows on one server, while other tables are replicated",
                        table.engine_name()
                    );
                    add("CH105", text);
                }
            }
            Object::View(View { materialized: true, to, .. }) if is_new && to.is_empty() => {
                let was = matches!(before.objects.get(name), Some(Object::View(view)) if view.materialized && view.to.is_empty());
                if !was {
                    let text = "the view keeps its rows in a table of its own, which goes when the view is made anew: make \
                                the table, and say TO";
                    add("CH104", text.to_owned());
                }
            }
            _ => {}
        }
    }
    found.sort_by(|one, other| (&one.object, one.code).cmp(&(&other.object, other.code)));
    found
}

/// Whether a name is among those of an expression.
fn is_in(expression: &str, name: &str) -> bool {
    tokens(expression).iter().any(|token| token.kind != Kind::Text && token.name() == name)
}

fn costly_key(column: &Column) -> Option<String> {
    let Column { name, data_type, .. } = column;
    if data_type.contains("Nullable(") {
        return Some(format!("{name} of the key is {data_type}: a key with nulls is slower; give nulls a value"));
    }
    (data_type == "String").then(|| {
        format!("{name} of the key is String: where it has few values, LowCardinality(String) is smaller and faster")
    })
}

fn changed(name: &str, is: &Table, wished: &Table, after: &Model) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if is.keeps_rows()
        && wished.keeps_rows()
        && let Some(why) = rebuilt_for(is, wished)
    {
        found.push(("CH101", format!("{why}: the table is built anew, and every row is copied")));
    }
    for column in &is.columns {
        match wished.column(&column.name) {
            None => {
                let stored = !column.default.starts_with("ALIAS") && !column.default.starts_with("EPHEMERAL");
                if stored {
                    found.push(("CH102", format!("{} goes: a mutation takes it out of every part", column.name)));
                }
                let readers = after.objects.iter().filter_map(|(other, object)| match object {
                    Object::View(view) if view.materialized => {
                        (after.named_by(other).contains(name) && is_in(&view.query, &column.name)).then_some(other)
                    }
                    _ => None,
                });
                for reader in readers {
                    let text =
                        format!("{} goes, and {reader} reads it: inserts fail until the view is changed", column.name);
                    found.push(("CH108", text));
                }
            }
            Some(wish) if wish.data_type != column.data_type && !is_wider(&column.data_type, &wish.data_type) => {
                let text =
                    format!("{} becomes {}: a mutation writes it anew in every part", column.name, wish.data_type);
                found.push(("CH102", text));
            }
            Some(wish) => {
                if let Some(text) = shortened(&column.ttl, &wish.ttl) {
                    found.push(("CH107", format!("values of {} {text}", column.name)));
                }
            }
        }
    }
    if let Some(text) = shortened(&is.ttl, &wished.ttl) {
        found.push(("CH107", format!("rows {text}")));
    }
    found
}

/// What is said of a time to live that takes more away than the one before.
fn shortened(is: &str, wished: &str) -> Option<String> {
    if wished.is_empty() || is == wished {
        return None;
    }
    if is.is_empty() {
        return Some(format!("that are older than {wished} go"));
    }
    match (lives(is), lives(wished)) {
        (Some((one, days)), Some((other, wished_days))) if one == other => {
            (wished_days < days).then(|| format!("go after {wished_days} days instead of {days}"))
        }
        _ => Some(format!("that are older than {wished} go, where it was {is}")),
    }
}

/// From when, and for how many days, where it says just that.
fn lives(ttl: &str) -> Option<(String, u64)> {
    const DAYS: [(&str, u64); 5] = [("Day", 1), ("Week", 7), ("Month", 30), ("Quarter", 91), ("Year", 365)];
    let [one] = split(ttl, ',')[..] else { return None };
    let (from, length) = one.split_once(" + toInterval")?;
    let (unit, count) = length.split_once('(')?;
    let days = DAYS.iter().find(|(name, _)| *name == unit)?.1;
    Some((from.to_owned(), days * count.strip_suffix(')')?.parse::<u64>().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::cut::read;
    use super::*;

    fn model(creates: &[&str]) -> Model {
        let mut model = Model::default();
        for create in creates {
            let (name, object) = read(create, &["m"], "").expect("an object");
            model.objects.insert(name, object);
        }
        model
    }

    fn told(before: &[&str], after: &[&str]) -> Vec<String> {
        let found = findings(&model(before), &model(after));
        found.into_iter().map(|it| format!("{} {}: {}", it.code, it.object, it.text)).collect()
    }

    const TABLE: &str =
        "CREATE TABLE m.t (`a` UInt64, `b` String, `c` Date) ENGINE = MergeTree ORDER BY a TTL c + toIntervalMonth(3)";

    #[test]
    fn what_changes_nothing_is_not_told() {
        assert!(told(&[TABLE], &[TABLE]).is_empty());
        let said = TABLE.replace("`b` String", "`b` String COMMENT 'x'").replace("Month(3)", "Year(1)");
        assert!(told(&[TABLE], &[&said]).is_empty(), "longer is not shorter");
    }

    #[test]
    fn each_code_has_its_case() {
        let view = "CREATE MATERIALIZED VIEW m.v TO m.s (`b` String) AS SELECT b FROM m.t";
        let cases: [(&[&str], &[&str], &[&str]); 9] = [
            (&[TABLE], &[&TABLE.replace("ORDER BY a", "ORDER BY c")], &["CH101"]),
            (&[TABLE], &[&TABLE.replace("`b` String", "`b` UInt8")], &["CH102"]),
            (&[TABLE], &[&TABLE.replace(", `b` String", "")], &["CH102"]),
            (&[], &[&TABLE.replace("ORDER BY a", "ORDER BY (b, a)")], &["CH103"]),
            (
                &[],
                &["CREATE MATERIALIZED VIEW m.v (`x` UInt8) ENGINE = MergeTree ORDER BY x AS SELECT 1 AS x"],
                &["CH104"],
            ),
            (&[], &[TABLE, "CREATE TABLE m.r (`a` UInt64) ENGINE = ReplicatedMergeTree ORDER BY a"], &["CH105"]),
            (&[TABLE], &[], &["CH106"]),
            (&[TABLE], &[&TABLE.replace("Month(3)", "Day(3)")], &["CH107"]),
            (&[TABLE, view], &[&TABLE.replace(", `b` String", ""), view], &["CH102", "CH108"]),
        ];
        for (before, after, codes) in cases {
            let found = told(before, after);
            let of: Vec<&str> = found.iter().map(|text| &text[..5]).collect();
            assert_eq!(of, codes, "{found:?}");
        }
        let nullable = TABLE.replace("`a` UInt64", "`a` Nullable(UInt64)");
        assert_eq!(
            told(&[], &[&nullable]),
            ["CH103 t: a of the key is Nullable(UInt64): a key with nulls is slower; give nulls a value"]
        );
    }
}
