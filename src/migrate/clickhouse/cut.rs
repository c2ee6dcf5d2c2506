//! Reads the server's own `CREATE` statements: cuts them into clauses, and understands none of them.

use super::connection::quoted;
use super::model::{Column, Dictionary, Object, Table, View};
use super::names::called;
use super::text::{DATABASE, Kind, Token, moved, split, tokens};

/// What the server itself gives every table of the `MergeTree` family.
const GIVEN_SETTINGS: [(&str, &str); 1] = [("index_granularity", "8192")];
/// Where the server keeps a replicated table that says nothing of it.
const GIVEN_PATHS: [&str; 1] = ["'/clickhouse/tables/{uuid}/{shard}', '{replica}'"];

/// A clause: the words that it begins with, and what stands behind them up to the next.
pub(super) struct Clauses<'t>(Vec<(&'static str, &'t str)>);

impl<'t> Clauses<'t> {
    /// Cuts a text at those keywords where no bracket is open.
    pub(super) fn of(text: &'t str, keywords: &[&'static str]) -> Self {
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

    /// Whether it is there.
    pub(super) fn has(&self, keyword: &str) -> bool {
        self.0.iter().any(|(name, _)| *name == keyword)
    }

    /// What it says; nothing where it is not there.
    pub(super) fn get(&self, keyword: &str) -> String {
        let found = self.0.iter().find(|(name, _)| *name == keyword);
        found.map_or(String::new(), |(_, text)| (*text).to_owned())
    }
}

/// Whether what follows a keyword is what follows it as a clause: `comment` may be a column's name.
fn fits(keyword: &str, next: Option<&Token<'_>>) -> bool {
    match keyword {
        "COMMENT" | "MODIFY COMMENT" => next.is_some_and(|token| token.kind == Kind::Text),
        "CODEC" | "STATISTICS" => next.is_some_and(|token| token.text == "("),
        "ENGINE" => next.is_some_and(|token| token.text == "=" || token.kind == Kind::Word),
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
    let bare = moved(create, databases, "", DATABASE);
    // In another database a bare name may mean one of its own.
    let create = if is_elsewhere(&bare) { moved(create, databases, &quoted(DATABASE), DATABASE) } else { bare };
    let words = tokens(&create);
    let mut place = 1;
    while words.get(place).is_some_and(|token| token.is("OR") || token.is("REPLACE") || token.is("MATERIALIZED")) {
        place += 1;
    }
    let kind = words.get(place)?.text.to_ascii_uppercase();
    let materialized = words.get(place - 1).is_some_and(|token| token.is("MATERIALIZED"));
    place += 1;
    let (name, of) = whole_name(&words[place..])?;
    place += if words.get(place + 1).is_some_and(|point| point.text == ".") { 2 } else { 0 };
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
    Some((of, object))
}

/// Whether what a statement makes has the name of a database before its own.
fn is_elsewhere(create: &str) -> bool {
    let words = tokens(create);
    let kind = words.iter().position(|word| ["TABLE", "VIEW", "DICTIONARY"].iter().any(|kind| word.is(kind)));
    kind.and_then(|at| words.get(at + 2)).is_some_and(|point| point.text == ".")
}

/// The last word of the name that a text begins with, and what is so called.
fn whole_name<'t>(words: &[Token<'t>]) -> Option<(Token<'t>, String)> {
    match words {
        [database, point, name, ..] if point.text == "." => Some((*name, called(Some(&database.name()), &name.name()))),
        [name, ..] => Some((*name, called(None, &name.name()))),
        [] => None,
    }
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
    view.to = whole_name(&tokens(&view.to)).map(|(_, of)| of).unwrap_or_default();
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
        // Whose a table is that one of another database names is said.
        let Object::View(view) = object("CREATE MATERIALIZED VIEW x.v TO m.t (`k` String) AS SELECT k FROM m.u", "")
        else {
            panic!("a view")
        };
        assert_eq!((view.to.as_str(), view.query.as_str()), ("{database}.t", "SELECT k FROM `{database}`.u"));
        let create = "CREATE MATERIALIZED VIEW m.v (`k` String) ENGINE = SummingMergeTree ORDER BY k SETTINGS \
                      index_granularity = 8192 AS SELECT k FROM m.u";
        let Object::View(view) = object(create, "") else { panic!("a view") };
        assert_eq!((view.engine.as_str(), view.columns.as_str()), ("SummingMergeTree ORDER BY k", "`k` String"));
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
    }
}
