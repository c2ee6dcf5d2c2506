//! A schema of a ClickHouse database, as its own `CREATE` statements tell it: cut into clauses, never understood further.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

use super::text::{DATABASE, Kind, Token, moved, split, tokens};

/// A schema.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Model {
    /// Its objects; whatever they are, they share their names.
    pub objects: BTreeMap<String, Object>,
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
/// What the server itself gives every table of the `MergeTree` family.
const GIVEN_SETTINGS: [(&str, &str); 1] = [("index_granularity", "8192")];
/// Where the server keeps a replicated table that says nothing of it.
const GIVEN_PATHS: [&str; 1] = ["'/clickhouse/tables/{uuid}/{shard}', '{replica}'"];

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
            for token in tokens(words) {
                let text = token.name();
                let text = text.strip_prefix(DATABASE).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&text);
                if let Some((other, _)) = self.objects.get_key_value(text)
                    && other != name
                {
                    found.insert(other.as_str());
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

    /// Takes out what matches a pattern, a name with `*` for any run of characters.
    pub fn ignore(&mut self, patterns: &[String]) {
        self.objects.retain(|name, _| !patterns.iter().any(|pattern| matches(pattern, name)));
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

/// A clause: the words that it begins with, and what stands behind them up to the next.
struct Clauses<'t>(Vec<(&'static str, &'t str)>);

impl<'t> Clauses<'t> {
    /// Cuts a text at those keywords where no bracket is open.
    fn of(text: &'t str, keywords: &[&'static str]) -> Self {
        let words = tokens(text);
        let mut found: Vec<(&'static str, usize, usize)> = Vec::new();
        let mut place = 0;
        while place < words.len() {
            let begins = |keyword: &&&'static str| {
                keyword.split(' ').enumerate().all(|(offset, word)| {
                    words.get(place + offset).is_some_and(|token| token.depth == 0 && token.is(word))
                }) && fits(keyword, words.get(place + keyword.split(' ').count()))
            };
            match keywords.iter().find(begins) {
                Some(keyword) => {
                    let length = keyword.split(' ').count();
                    found.push((keyword, words[place].at, words[place + length - 1].end()));
                    place += length;
                }
                None => place += 1,
            }
        }
        let ends = found.iter().skip(1).map(|(_, at, _)| *at).chain([text.len()]);
        let head = found.first().map_or(text.len(), |(_, at, _)| *at);
        let cut = found.iter().zip(ends).map(|((keyword, _, from), to)| (*keyword, text[*from..to].trim()));
        Self([("", text[..head].trim())].into_iter().chain(cut).collect())
    }

    fn get(&self, keyword: &str) -> String {
        let found = self.0.iter().find(|(name, _)| *name == keyword);
        found.map_or(String::new(), |(_, text)| (*text).to_owned())
    }
}

/// Whether what follows a keyword is what follows it as a clause: `comment` may be a column's name.
fn fits(keyword: &str, next: Option<&Token<'_>>) -> bool {
    match keyword {
        "COMMENT" => next.is_some_and(|token| token.kind == Kind::Text),
        "CODEC" | "STATISTICS" => next.is_some_and(|token| token.text == "("),
        "ENGINE" => next.is_some_and(|token| token.text == "="),
        "AS" => next.is_some_and(|token| token.is("SELECT") || token.is("WITH") || token.text == "("),
        _ => next.is_some(),
    }
}

/// The text in quotes that a clause is.
fn text_of(clause: &str) -> String {
    tokens(clause).first().map(Token::name).unwrap_or_default()
}

/// Reads what a server says of an object: its name, and the object. Names of those databases are its own.
pub(super) fn read(create: &str, databases: &[&str], comment: &str) -> Option<(String, Object)> {
    let create = moved(create, databases, "", DATABASE);
    let words = tokens(&create);
    let mut place = 1;
    while words.get(place).is_some_and(|token| token.is("OR") || token.is("REPLACE") || token.is("MATERIALIZED")) {
        place += 1;
    }
    let kind = words.get(place)?.text.to_ascii_uppercase();
    let materialized = words.get(place - 1).is_some_and(|token| token.is("MATERIALIZED"));
    place += 1;
    let name = words.get(place)?;
    let mut rest = &create[name.end()..];
    // A server may tell the number of an object, which is another in every database.
    if let [Token { .. }, number, ..] = &words[place..]
        && number.is("UUID")
    {
        rest = &create[words.get(place + 2)?.end()..];
    }
    let object = match kind.as_str() {
        "TABLE" => Object::Table(table(rest.trim())),
        "VIEW" => Object::View(view(rest.trim(), materialized, comment)),
        "DICTIONARY" => Object::Dictionary(Dictionary { definition: rest.trim().to_owned(), written: None }),
        _ => return None,
    };
    Some((name.name(), object))
}

/// The text in the first brackets, and what stands behind them.
fn bracketed(text: &str) -> (&str, &str) {
    if !text.starts_with('(') {
        return ("", text);
    }
    let end = tokens(text).into_iter().skip(1).find(|token| token.depth == 0 && token.text == ")");
    end.map_or(("", text), |end| (text[1..end.at].trim(), text[end.end()..].trim()))
}

fn table(text: &str) -> Table {
    let (elements, rest) = bracketed(text);
    let mut table = Table::default();
    for element in split(elements, ',') {
        let words = tokens(element);
        let [first, second, ..] = &words[..] else { continue };
        let named = || (second.name(), element[second.end()..].trim().to_owned());
        match first.kind {
            Kind::Word if first.is("INDEX") => table.indexes.push(named()),
            Kind::Word if first.is("PROJECTION") => table.projections.push(named()),
            Kind::Word if first.is("CONSTRAINT") => {
                let (name, definition) = named();
                table.constraints.insert(name, definition);
            }
            // A key among the columns is one of a table that keeps no parts.
            Kind::Word if first.is("PRIMARY") => table.primary_key = element[second.end()..].trim().to_owned(),
            _ => table.columns.push(column(first.name(), element[first.end()..].trim())),
        }
    }
    let clauses = Clauses::of(
        rest,
        &["ENGINE", "PARTITION BY", "PRIMARY KEY", "ORDER BY", "SAMPLE BY", "TTL", "SETTINGS", "COMMENT"],
    );
    let engine = clauses.get("ENGINE");
    (table.engine, table.replicated) = unreplicated(engine.trim_start_matches('=').trim());
    table.partition_by = clauses.get("PARTITION BY");
    table.order_by = clauses.get("ORDER BY");
    let key = clauses.get("PRIMARY KEY");
    if !key.is_empty() {
        table.primary_key = key;
    } else if table.primary_key.is_empty() {
        table.primary_key.clone_from(&table.order_by);
    }
    table.sample_by = clauses.get("SAMPLE BY");
    table.ttl = clauses.get("TTL");
    table.comment = text_of(&clauses.get("COMMENT"));
    for setting in split(&clauses.get("SETTINGS"), ',') {
        if let Some((name, value)) = setting.split_once('=') {
            table.settings.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    for (name, value) in GIVEN_SETTINGS {
        if table.settings.get(name).is_some_and(|found| found == value) {
            table.settings.remove(name);
        }
    }
    table
}

/// An engine without what makes it replicated or shared, and that: its arguments where they are not those given by default.
pub(super) fn unreplicated(engine: &str) -> (String, Option<String>) {
    let (name, arguments) = match engine.split_once('(') {
        Some((name, arguments)) => (name.trim(), arguments.trim_end().strip_suffix(')').unwrap_or(arguments)),
        None => (engine, ""),
    };
    let Some(plain) = name.strip_prefix("Replicated").or_else(|| name.strip_prefix("Shared")) else {
        return (engine.trim_end_matches("()").to_owned(), None);
    };
    let arguments = split(arguments, ',');
    let is_text = |place: usize| arguments.get(place).is_some_and(|it| it.starts_with('\''));
    let own = if is_text(0) && is_text(1) { 2 } else { 0 };
    let path = arguments[..own].join(", ");
    let path = if GIVEN_PATHS.contains(&path.as_str()) || name.starts_with("Shared") { String::new() } else { path };
    let rest = arguments[own..].join(", ");
    let engine = if rest.is_empty() { plain.to_owned() } else { format!("{plain}({rest})") };
    // What is shared is so by the service, whatever a statement says.
    (engine, name.starts_with("Replicated").then_some(path))
}

fn column(name: String, text: &str) -> Column {
    const DEFAULTS: [&str; 4] = ["DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL"];
    let clauses = Clauses::of(
        text,
        &["DEFAULT", "MATERIALIZED", "ALIAS", "EPHEMERAL", "COMMENT", "CODEC", "STATISTICS", "TTL", "SETTINGS"],
    );
    let default = DEFAULTS.iter().find(|kind| clauses.0.iter().any(|(name, _)| name == *kind));
    // One that has no expression ends with its keyword.
    let bare = clauses.get("").strip_suffix(" EPHEMERAL").map(str::to_owned);
    let expression = |kind: &str| {
        // An alteration writes out what a table is made without.
        let text = clauses.get(kind);
        if kind == "EPHEMERAL" && text.starts_with("defaultValueOfTypeName(") { String::new() } else { text }
    };
    Column {
        name,
        data_type: bare.clone().unwrap_or_else(|| clauses.get("")),
        default: match default {
            Some(kind) => format!("{kind} {}", expression(kind)).trim().to_owned(),
            None if bare.is_some() => "EPHEMERAL".to_owned(),
            None => String::new(),
        },
        comment: text_of(&clauses.get("COMMENT")),
        codec: clauses.get("CODEC"),
        statistics: clauses.get("STATISTICS"),
        ttl: clauses.get("TTL"),
        settings: clauses.get("SETTINGS"),
    }
}

fn view(text: &str, materialized: bool, comment: &str) -> View {
    let words = tokens(text);
    let asks = words.windows(2).find(|pair| pair[0].depth == 0 && pair[0].is("AS") && fits("AS", Some(&pair[1])));
    let (head, query) = asks.map_or((text, ""), |pair| (text[..pair[0].at].trim(), text[pair[1].at..].trim()));
    let mut query = query.to_owned();
    // The comment stands behind the question, which may end alike.
    let last = tokens(&query).len().checked_sub(2).and_then(|place| {
        let words = tokens(&query);
        (words[place].is("COMMENT") && !comment.is_empty()).then(|| (words[place].at, words[place + 1].name()))
    });
    if let Some((at, said)) = last
        && said == comment
    {
        query.truncate(at);
        query.truncate(query.trim_end().len());
    }
    let clauses = Clauses::of(head, &["REFRESH", "TO", "ENGINE", "DEFINER", "SQL SECURITY", "COMMENT"]);
    let mut view = View { materialized, query, comment: comment.to_owned(), ..View::default() };
    // The columns stand behind what comes last before them.
    let cut = |clause: String, view: &mut View| {
        let begin =
            tokens(&clause).into_iter().find(|token| token.depth == 0 && token.text == "(").map(|token| token.at);
        match begin {
            Some(at) => {
                let (columns, rest) = bracketed(&clause[at..]);
                view.columns = columns.to_owned();
                format!("{} {rest}", clause[..at].trim()).trim().to_owned()
            }
            None => clause,
        }
    };
    let first = clauses.get("");
    cut(first, &mut view);
    let to = clauses.get("TO");
    let refresh = clauses.get("REFRESH");
    view.refresh = if to.is_empty() { cut(refresh, &mut view) } else { refresh };
    view.to = cut(to, &mut view);
    view.to = tokens(&view.to).first().map(Token::name).unwrap_or_default();
    let engine = clauses.get("ENGINE");
    view.engine =
        engine.trim_start_matches('=').trim().trim_end_matches(" SETTINGS index_granularity = 8192").to_owned();
    view.engine = view.engine.trim_end_matches(", index_granularity = 8192").to_owned();
    let definer = clauses.get("DEFINER");
    let security = clauses.get("SQL SECURITY");
    view.security = match (definer.is_empty(), security.is_empty()) {
        (true, true) => String::new(),
        (true, false) => format!("SQL SECURITY {security}"),
        (false, true) => format!("DEFINER {definer}"),
        (false, false) => format!("DEFINER {definer} SQL SECURITY {security}"),
    };
    view
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(create: &str, comment: &str) -> Object {
        read(create, &["m"], comment).expect("an object").1
    }

    #[test]
    fn a_table_is_cut_into_its_clauses() {
        let create = "CREATE TABLE m.t (`a` UInt64 COMMENT 'x, (y', `b` String DEFAULT upper('COMMENT') CODEC(ZSTD(3)) TTL c + \
                      toIntervalDay(1), `e` UInt8 EPHEMERAL, INDEX i b TYPE bloom_filter(0.01) GRANULARITY 3, CONSTRAINT k \
                      CHECK a > 0, PROJECTION p (SELECT b, count() GROUP BY b)) ENGINE = \
                      ReplicatedReplacingMergeTree('/clickhouse/tables/{uuid}/{shard}', '{replica}', a) PARTITION BY \
                      toYYYYMM(c) PRIMARY KEY a ORDER BY (a, b) TTL c + toIntervalMonth(3) SETTINGS x = 'y, z', \
                      index_granularity = 8192 COMMENT 'it\\'s'";
        let Object::Table(table) = object(create, "") else { panic!("a table") };
        assert_eq!((table.engine.as_str(), table.replicated.as_deref()), ("ReplacingMergeTree(a)", Some("")));
        assert_eq!(table.columns[0].comment, "x, (y");
        assert_eq!(table.columns[1].default, "DEFAULT upper('COMMENT')");
        assert_eq!(
            (table.columns[1].codec.as_str(), table.columns[1].ttl.as_str()),
            ("(ZSTD(3))", "c + toIntervalDay(1)")
        );
        assert_eq!((table.columns[2].data_type.as_str(), table.columns[2].default.as_str()), ("UInt8", "EPHEMERAL"));
        assert_eq!(table.indexes[0].1, "b TYPE bloom_filter(0.01) GRANULARITY 3");
        assert_eq!(table.projections[0].1, "(SELECT b, count() GROUP BY b)");
        assert_eq!(table.constraints["k"], "CHECK a > 0");
        assert_eq!((table.primary_key.as_str(), table.order_by.as_str()), ("a", "(a, b)"));
        assert_eq!((table.ttl.as_str(), table.comment.as_str()), ("c + toIntervalMonth(3)", "it's"));
        assert_eq!(table.settings.keys().collect::<Vec<_>>(), ["x"]);
        assert!(table.has_in_keys("c") && !table.has_in_keys("e"));
    }

    #[test]
    fn a_view_is_cut_into_its_clauses() {
        let create = "CREATE MATERIALIZED VIEW m.v REFRESH EVERY 1 HOUR TO m.t (`k` String, `s` UInt64) DEFINER = d SQL \
                      SECURITY DEFINER AS SELECT b AS k, count() AS s FROM m.u GROUP BY b COMMENT 'said'";
        let Object::View(view) = object(create, "said") else { panic!("a view") };
        assert_eq!((view.refresh.as_str(), view.to.as_str()), ("EVERY 1 HOUR", "t"));
        assert_eq!(view.columns, "`k` String, `s` UInt64");
        assert_eq!(view.security, "DEFINER = d SQL SECURITY DEFINER");
        assert_eq!(view.query, "SELECT b AS k, count() AS s FROM u GROUP BY b");
        let create = "CREATE MATERIALIZED VIEW m.v (`k` String) ENGINE = SummingMergeTree ORDER BY k SETTINGS \
                      index_granularity = 8192 AS SELECT k FROM m.u";
        let Object::View(view) = object(create, "") else { panic!("a view") };
        assert_eq!((view.engine.as_str(), view.columns.as_str()), ("SummingMergeTree ORDER BY k", "`k` String"));
    }

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
    fn what_is_replicated_is_told_from_its_arguments() {
        for (engine, plain, replicated) in [
            ("MergeTree", "MergeTree", None),
            ("MergeTree()", "MergeTree", None),
            ("ReplicatedMergeTree", "MergeTree", Some("")),
            ("ReplicatedMergeTree('/a/{shard}', '{replica}')", "MergeTree", Some("'/a/{shard}', '{replica}'")),
            ("ReplicatedReplacingMergeTree(v)", "ReplacingMergeTree(v)", Some("")),
            ("SharedSummingMergeTree('/x', 'y', (a, b))", "SummingMergeTree((a, b))", None),
        ] {
            assert_eq!(unreplicated(engine), (plain.to_owned(), replicated.map(str::to_owned)), "{engine}");
        }
        assert!(is_left("t__old_0123abcd") && !is_left("t__old_x"));
    }
}
