//! A schema of a ClickHouse database, and of others that belong to it: objects, and what each of them names.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

use super::database::Database;
use super::names::{called, parted};
use super::text::{DATABASE, Kind, tokens};

/// A schema.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Model {
    /// Its objects; whatever they are, they share their names. Those of other databases are called `database.name`.
    pub objects: BTreeMap<String, Object>,
    /// The other databases.
    pub databases: BTreeMap<String, Database>,
    /// The database itself, where anything is said of it.
    pub own: Option<Database>,
    /// Whether the database is still to be made.
    #[serde(skip)]
    pub missing: bool,
    /// Other databases in which something is left alone: they stay.
    #[serde(skip)]
    pub held: BTreeSet<String>,
    /// What was found and is not looked at, in words.
    #[serde(skip)]
    pub unseen: Vec<String>,
    /// Tables that a rebuild has left.
    #[serde(skip)]
    pub left: Vec<String>,
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Object {
    /// A table.
    Table(Table),
    /// A view, materialized or not.
    View(View),
    /// A dictionary.
    Dictionary(Dictionary),
}

/// A table.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Table {
    /// Its engine with its arguments, but for whether it is replicated.
    pub engine: String,
    /// Whether its engine is replicated; with arguments, where they are not those that the server gives.
    pub replicated: Option<String>,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// Its skipping indexes: name and definition.
    pub indexes: Vec<(String, String)>,
    /// Its projections: name and definition.
    pub projections: Vec<(String, String)>,
    /// Its constraints: name and definition.
    pub constraints: BTreeMap<String, String>,
    /// `PARTITION BY`.
    pub partition_by: String,
    /// `PRIMARY KEY`, that of the order where it has none of its own.
    pub primary_key: String,
    /// `ORDER BY`.
    pub order_by: String,
    /// `SAMPLE BY`.
    pub sample_by: String,
    /// `TTL`.
    pub ttl: String,
    /// `SETTINGS`.
    pub settings: BTreeMap<String, String>,
    /// `COMMENT`.
    pub comment: String,
}

/// A column.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub data_type: String,
    /// `DEFAULT`, `MATERIALIZED`, `ALIAS` or `EPHEMERAL`, with an expression.
    pub default: String,
    /// `COMMENT`.
    pub comment: String,
    /// `CODEC`.
    pub codec: String,
    /// `STATISTICS`.
    pub statistics: String,
    /// `TTL`.
    pub ttl: String,
    /// `SETTINGS`.
    pub settings: String,
}

/// A view.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct View {
    /// Whether it keeps or passes on what comes in.
    pub materialized: bool,
    /// `REFRESH`.
    pub refresh: String,
    /// The table that it passes rows to.
    pub to: String,
    /// Its columns.
    pub columns: String,
    /// The engine of what it keeps, with its clauses.
    pub engine: String,
    /// `DEFINER` and `SQL SECURITY`.
    pub security: String,
    /// What it asks.
    pub query: String,
    /// `COMMENT`.
    pub comment: String,
}

/// A dictionary.
#[derive(Clone, Eq, Debug, Default, Serialize)]
pub struct Dictionary {
    /// What stands behind its name.
    pub definition: String,
    /// As it was written, secrets and all, where that is known.
    #[serde(skip)]
    pub written: Option<String>,
}

impl Dictionary {
    /// Whether the server keeps something of it to itself.
    #[must_use]
    pub fn is_hidden(&self) -> bool {
        self.definition.contains(HIDDEN)
    }
}

impl PartialEq for Dictionary {
    fn eq(&self, other: &Self) -> bool {
        self.definition == other.definition
    }
}

/// What the server shows in place of a secret.
pub(super) const HIDDEN: &str = "[HIDDEN]";
/// What a table that a rebuild has left is called, with eight hexadecimal digits behind it.
pub(super) const LEFT: &str = "__old_";

/// What a table is called while it is built anew, behind its own name.
pub(super) const NEW: &str = "__new";

/// What the table of rows is called that come while another is built anew, behind its name.
pub(super) const LATE: &str = "__late";

/// Whether a table is one that a rebuild has left.
pub(in crate::migrate) fn is_left(name: &str) -> bool {
    name.rsplit_once(LEFT).is_some_and(|(_, mark)| mark.len() == 8 && mark.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

impl Object {
    /// Its kind, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Table(_) => "table",
            Self::View(View { materialized: true, .. }) => "materialized view",
            Self::View(_) => "view",
            Self::Dictionary(_) => "dictionary",
        }
    }

    /// All that it says in which other objects may be named.
    fn words(&self) -> Vec<&str> {
        match self {
            Self::Table(table) => {
                let defaults = table.columns.iter().map(|column| column.default.as_str());
                let others = [table.engine.as_str(), table.ttl.as_str()];
                let parts = table.constraints.values().chain(table.projections.iter().map(|(_, it)| it));
                defaults.chain(others).chain(parts.map(String::as_str)).collect()
            }
            Self::View(view) => vec![&view.query, &view.to, &view.engine, &view.refresh],
            Self::Dictionary(dictionary) => vec![&dictionary.definition],
        }
    }
}

impl Table {
    /// Whether its engine keeps rows of its own.
    #[must_use]
    pub fn keeps_rows(&self) -> bool {
        let name = self.engine_name();
        const OTHERS: [&str; 8] =
            ["Log", "TinyLog", "StripeLog", "Memory", "Join", "Set", "EmbeddedRocksDB", "KeeperMap"];
        self.is_merge_tree() || OTHERS.contains(&name)
    }

    /// The name of its engine.
    #[must_use]
    pub fn engine_name(&self) -> &str {
        self.engine.split('(').next().unwrap_or_default()
    }

    /// Whether it is of the family that merges.
    #[must_use]
    pub fn is_merge_tree(&self) -> bool {
        self.engine_name().ends_with("MergeTree")
    }

    /// A column.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// Whether a column is in one of its keys.
    #[must_use]
    pub fn has_in_keys(&self, name: &str) -> bool {
        let keys = [&self.partition_by, &self.primary_key, &self.order_by, &self.sample_by];
        keys.iter().any(|key| tokens(key).iter().any(|token| token.kind != Kind::Text && token.name() == name))
    }
}

impl Model {
    /// What tells this one from every other: two that are the same have the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut context = Context::new(&SHA256);
        context.update(format!("{:?}", self.compared()).as_bytes());
        // Their engines are theirs for good, and need not be said.
        let databases =
            self.databases.iter().map(|(name, it)| (name.as_str(), it)).chain(self.own.iter().map(|it| ("", it)));
        let databases: Vec<_> = databases.map(|(name, it)| (name, &it.comment)).collect();
        context.update(format!("{databases:?}{}", self.missing).as_bytes());
        context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn compared(&self) -> Vec<(&String, String)> {
        // A value of it is always text.
        self.objects.iter().map(|(name, it)| (name, serde_json::to_string(it).unwrap_or_default())).collect()
    }

    /// A table.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&Table> {
        match self.objects.get(name) {
            Some(Object::Table(table)) => Some(table),
            _ => None,
        }
    }

    /// The objects that one names.
    #[must_use]
    pub fn named_by(&self, name: &str) -> BTreeSet<&str> {
        let Some(object) = self.objects.get(name) else { return BTreeSet::new() };
        let mut found = BTreeSet::new();
        for words in object.words() {
            let words = tokens(words);
            for (place, token) in words.iter().enumerate() {
                let text = token.name();
                let text = text.strip_prefix(DATABASE).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&text);
                let whole = match (token.kind, &words[place + 1..]) {
                    // A text may be a whole name.
                    (Kind::Text, _) => text.split_once('.').map(|(database, of)| called(Some(database), of)),
                    (_, [point, of, ..]) if point.text == "." => Some(called(Some(text), &of.name())),
                    _ => None,
                };
                for so in whole.into_iter().chain([called(None, text)]) {
                    if let Some((other, _)) = self.objects.get_key_value(&so)
                        && other != name
                    {
                        found.insert(other.as_str());
                    }
                }
            }
        }
        found
    }

    /// Its objects, each after those that it names.
    #[must_use]
    pub fn ordered(&self) -> Vec<&str> {
        fn visit<'m>(model: &'m Model, name: &'m str, seen: &mut BTreeSet<&'m str>, out: &mut Vec<&'m str>) {
            // A circle is cut where it closes.
            if seen.insert(name) {
                for other in model.named_by(name) {
                    visit(model, other, seen, out);
                }
                out.push(name);
            }
        }
        let (mut seen, mut out) = (BTreeSet::new(), Vec::new());
        // Tables first, so that a circle is cut at a view.
        let is_view = |object: &Object| !matches!(object, Object::Table(_));
        for views in [false, true] {
            for (name, _) in self.objects.iter().filter(|(_, object)| is_view(object) == views) {
                visit(self, name, &mut seen, &mut out);
            }
        }
        out
    }

    /// Takes out what matches a pattern, a name with `*` for any run of characters; a database goes with all that is in it.
    pub fn ignore(&mut self, patterns: &[String]) {
        let is_meant = |name: &str| patterns.iter().any(|pattern| matches(pattern, name));
        self.databases.retain(|name, _| !is_meant(name));
        let (databases, held) = (&self.databases, &mut self.held);
        self.objects.retain(|name, _| {
            let database = parted(name).0;
            let stays = !is_meant(name) && database.as_ref().is_none_or(|of| databases.contains_key(of));
            held.extend(database.filter(|_| !stays));
            stays
        });
    }
}

/// Whether a text is one that a pattern with `*` means.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cut::read;
    use super::*;

    #[test]
    fn what_is_named_comes_first() {
        let mut model = Model::default();
        for create in [
            "CREATE VIEW m.a (`x` UInt8) AS SELECT x FROM m.b",
            "CREATE VIEW m.b (`x` UInt8) AS SELECT x, dictGet('m.d', 'x', 1) FROM m.t",
            "CREATE DICTIONARY m.d (`x` UInt8) PRIMARY KEY x SOURCE(CLICKHOUSE(TABLE 't' DB 'm')) LAYOUT(FLAT())",
            "CREATE TABLE m.t (`x` UInt8) ENGINE = Memory",
        ] {
            let (name, object) = read(create, &["m"], "").expect("an object");
            model.objects.insert(name, object);
        }
        assert_eq!(model.ordered(), ["t", "d", "b", "a"]);
    }

    #[test]
    fn a_database_in_which_something_is_left_alone_is_held() {
        let model = |patterns: &[&str]| {
            let mut model = Model::default();
            for database in ["x", "y"] {
                model.databases.insert(database.to_owned(), Database::default());
                for name in ["a", "b"] {
                    let (name, object) =
                        read(&format!("CREATE TABLE {database}.{name} (`x` UInt8) ENGINE = Memory"), &["m"], "")
                            .expect("an object");
                    model.objects.insert(name, object);
                }
            }
            model.ignore(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>());
            model
        };
        let one = model(&["x.a"]);
        assert_eq!(one.objects.keys().collect::<Vec<_>>(), ["x.b", "y.a", "y.b"]);
        assert_eq!((one.databases.len(), one.held.iter().collect::<Vec<_>>()), (2, vec![&"x".to_owned()]));
        let whole = model(&["x"]);
        assert_eq!(whole.objects.keys().collect::<Vec<_>>(), ["y.a", "y.b"]);
        assert_eq!(whole.databases.keys().collect::<Vec<_>>(), ["y"]);
    }

    #[test]
    fn what_a_rebuild_leaves_is_known_by_its_name() {
        assert!(is_left("t__old_0123abcd") && !is_left("t__old_x"));
    }
}
