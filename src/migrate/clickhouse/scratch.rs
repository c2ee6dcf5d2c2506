//! Databases that are there for a moment: a folder of SQL becomes one, and plans are tried on one.
//!
//! A scratch database is on a server that has others, and a statement may name any of them. So what a folder changes is
//! looked at before it runs: the database that is compared stands for the scratch one, and any other is refused.

use std::collections::BTreeMap;

use super::super::folder::File;
use super::super::statements::{Language, Statement};
use super::connection::{Connection, quoted};
use super::error::Error;
use super::inspect::inspect;
use super::model::{Model, Object, unreplicated};
use super::step::Step;
use super::text::{DATABASE, Token, moved, tokens};
use super::write;

/// What a scratch database is called, with random letters behind it.
const PREFIX: &str = "martello_scratch_";

/// Does something in one that is gone afterwards, however that ends.
pub(in crate::migrate) async fn within<T, E: From<Error>>(
    server: &Connection,
    work: impl AsyncFnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let failed = |source| E::from(Error::Scratch { source });
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("{PREFIX}{}", &id[..12]);
    // Nothing of it is to be on other servers.
    let server = server.of_cluster(None);
    server.execute(&format!("CREATE DATABASE {} ENGINE = Atomic", quoted(&name))).await.map_err(failed)?;
    let done = work(&server.within(&name)).await;
    let dropped = server.execute(&format!("DROP DATABASE {} SYNC", quoted(&name))).await;
    // What went wrong first is what to tell.
    done.and_then(|done| dropped.map_err(failed).map(|()| done))
}

/// What a folder says that its server does not: which tables are replicated, and dictionaries with their secrets.
#[derive(Default)]
struct Written {
    replicated: BTreeMap<String, String>,
    dictionaries: BTreeMap<String, String>,
    /// Statements that are not run, in words.
    unseen: Vec<String>,
}

impl Written {
    /// Goes on with what is called otherwise by now, and without what is gone.
    fn follow(&mut self, sql: &str) {
        let words = tokens(sql);
        let [first, second, rest @ ..] = &words[..] else { return };
        let exchange = first.is("EXCHANGE");
        if first.is("DROP")
            && let Some(gone) = made(&words)
        {
            self.replicated.remove(&gone);
            self.dictionaries.remove(&gone);
        }
        if !(exchange || first.is("RENAME")) || second.is("DATABASE") {
            return;
        }
        for pair in rest.split(|word| word.text == ",") {
            let sides = pair.split(|word| word.is("TO") || word.is("AND"));
            let names: Vec<String> = sides.filter_map(|side| side.last()).map(Token::name).collect();
            let [one, other] = &names[..] else { continue };
            for known in [&mut self.replicated, &mut self.dictionaries] {
                let (was, then) = (known.remove(one), known.remove(other));
                known.extend(was.map(|was| (other.clone(), was)));
                known.extend(then.filter(|_| exchange).map(|then| (one.clone(), then)));
            }
        }
    }

    /// Puts it where it is missing.
    fn complete(&self, model: &mut Model) {
        for (name, object) in &mut model.objects {
            match object {
                Object::Table(table) => table.replicated = self.replicated.get(name).cloned(),
                Object::Dictionary(dictionary) if dictionary.definition.contains(super::model::HIDDEN) => {
                    dictionary.written = self.dictionaries.get(name).cloned();
                }
                _ => {}
            }
        }
        model.unseen.extend(self.unseen.iter().cloned());
    }
}

/// Files that are run in a scratch database, one statement after another.
pub(in crate::migrate) struct Replay<'s> {
    scratch: &'s Connection,
    /// The names by which they may call it.
    live: &'s [&'s str],
    /// The same, with what the file has set.
    connection: Connection,
    written: Written,
}

impl<'s> Replay<'s> {
    pub(in crate::migrate) fn within(scratch: &'s Connection, live: &'s [&'s str]) -> Self {
        Self { scratch, live, connection: scratch.clone(), written: Written::default() }
    }

    /// Runs files whole.
    pub(in crate::migrate) async fn files(&mut self, files: &[&File]) -> Result<(), Error> {
        for file in files {
            self.begin();
            for statement in file.statements_in(Language::ClickHouse)? {
                self.statement(file, &statement).await?;
            }
        }
        Ok(())
    }

    /// Forgets what a file has set.
    pub(in crate::migrate) fn begin(&mut self) {
        self.connection = self.scratch.clone();
    }

    /// Runs a statement of a file.
    pub(in crate::migrate) async fn statement(&mut self, file: &File, statement: &Statement) -> Result<(), Error> {
        let line = file.line(statement.at);
        let sql = statement.text.trim_end_matches(|c: char| c == ';' || c.is_whitespace());
        let words = tokens(sql);
        if let Some(what) = server_wide(&words) {
            self.written.unseen.push(format!("{what} ({}, line {line})", file.name));
            return Ok(());
        }
        if words.first().is_some_and(|word| word.is("USE")) {
            return Ok(());
        }
        let sql = self.adapted(sql);
        if let Some(database) = elsewhere(&sql, self.scratch.database()) {
            return Err(Error::Elsewhere { file: file.name.clone(), line, database });
        }
        let failed = |source| Error::Wish { file: file.name.clone(), line, source };
        self.connection.execute(&sql).await.map_err(failed)?;
        for (name, value) in super::session::settings(&sql).unwrap_or_default() {
            self.connection = self.connection.with(&name, &value);
        }
        self.written.follow(&sql);
        Ok(())
    }

    /// Runs a step of a plan, as it is for the database.
    pub(in crate::migrate) async fn step(&mut self, step: &Step) -> Result<(), Error> {
        let sql = self.adapted(&step.sql);
        let ran = self.scratch.execute(&sql).await;
        self.written.follow(&sql);
        ran.map_err(|source| Error::Statement { sql, done: 0, source })
    }

    /// What they have made.
    pub(in crate::migrate) async fn look(&self) -> Result<Model, Error> {
        let mut model = inspect(self.scratch, self.live).await?;
        self.written.complete(&mut model);
        Ok(model)
    }

    fn adapted(&mut self, sql: &str) -> String {
        adapted(sql, self.live, self.scratch.database(), &mut self.written)
    }
}

/// What a statement makes that belongs to the server and not to a database, in words.
fn server_wide(words: &[Token<'_>]) -> Option<String> {
    const KINDS: [&str; 11] =
        ["DATABASE", "USER", "ROLE", "QUOTA", "SETTINGS", "ROW", "POLICY", "FUNCTION", "NAMED", "RESOURCE", "WORKLOAD"];
    let first = words.first()?;
    let told = |count: usize| words.iter().take(count).map(|word| word.text.to_ascii_uppercase()).collect::<Vec<_>>();
    if ["GRANT", "REVOKE", "SYSTEM", "KILL"].iter().any(|word| first.is(word)) {
        return Some(told(1).join(" "));
    }
    let changes = ["CREATE", "ALTER", "DROP"].iter().any(|word| first.is(word));
    let kind = words.iter().skip(1).find(|word| !word.is("OR") && !word.is("REPLACE"))?;
    (changes && KINDS.iter().any(|word| kind.is(word))).then(|| told(2).join(" "))
}

/// A statement of a folder as it runs in a scratch database: there, on no cluster, and without replicas.
fn adapted(sql: &str, live: &[&str], scratch: &str, written: &mut Written) -> String {
    let words = tokens(sql);
    let mut out = String::with_capacity(sql.len());
    let mut done = 0;
    let made = made(&words);
    for (place, word) in words.iter().enumerate() {
        let next = |offset: usize| words.get(place + offset);
        if word.is("ON")
            && next(1).is_some_and(|word| word.is("CLUSTER"))
            && let Some(mut last) = next(2)
        {
            // A name with a macro or a dash in it is in quotes; a bare one in braces is four words.
            while let Some(more) =
                words.iter().find(|more| more.at == last.end() && !matches!(more.text, "(" | "," | ";"))
            {
                last = more;
            }
            out += &sql[done..word.at];
            done = last.end();
        } else if word.is("ENGINE")
            && let Some(begin) = next(1)
                .filter(|sign| sign.text == "=")
                .and(next(2))
                .or(next(1))
                .filter(|it| it.text.starts_with("Replicated") && it.text.ends_with("MergeTree"))
        {
            let open = words.iter().position(|it| it.at == begin.at).and_then(|at| words.get(at + 1));
            let end = match open.filter(|open| open.text == "(") {
                Some(open) => words
                    .iter()
                    .find(|it| it.at > open.at && it.depth == open.depth && it.text == ")")
                    .map_or(begin.end(), Token::end),
                None => begin.end(),
            };
            let (plain, replicated) = unreplicated(&sql[begin.at..end]);
            if let (Some(made), Some(replicated)) = (&made, replicated) {
                written.replicated.insert(made.clone(), replicated);
            }
            out += &sql[done..begin.at];
            out += &plain;
            done = end;
        }
    }
    out += &sql[done..];
    if words.iter().take(4).any(|word| word.is("DICTIONARY"))
        && let Some(made) = made
    {
        written.dictionaries.insert(made, moved(&out, live, "", DATABASE));
    }
    moved(&out, live, scratch, scratch)
}

/// The name of what a statement makes.
fn made(words: &[Token<'_>]) -> Option<String> {
    let kind = words.iter().position(|word| ["TABLE", "VIEW", "DICTIONARY"].iter().any(|kind| word.is(kind)))?;
    let mut names = words[kind + 1..].iter().skip_while(|word| ["IF", "NOT", "EXISTS"].iter().any(|it| word.is(it)));
    let first = names.next()?;
    match (names.next(), names.next()) {
        (Some(point), Some(second)) if point.text == "." => Some(second.name()),
        _ => Some(first.name()),
    }
}

/// Another database than that one which a statement would change.
fn elsewhere(sql: &str, own: &str) -> Option<String> {
    const BEFORE: [&str; 9] = ["TABLE", "TABLES", "VIEW", "DICTIONARY", "INTO", "TO", "AND", "EXISTS", "TRUNCATE"];
    let words = tokens(sql);
    if words.first().is_none_or(|word| ["SELECT", "WITH", "SET", "SHOW", "DESCRIBE"].iter().any(|it| word.is(it))) {
        return None;
    }
    // Behind the question of a view, or the rows of an insert, nothing is changed.
    let end =
        words.iter().position(|word| word.depth == 0 && (word.is("AS") || word.is("SELECT"))).unwrap_or(words.len());
    let mut places = (0..end).filter(|place| words[*place].depth == 0);
    places.find_map(|place| {
        let (name, point) = (words.get(place + 1)?, words.get(place + 2)?);
        let named = BEFORE.iter().any(|word| words[place].is(word)) || words[place].text == ",";
        let whole = point.text == "." && point.at == name.end();
        let other = name.name();
        (named && whole && other != own).then_some(other)
    })
}

/// Runs steps where nobody else is.
pub(super) async fn rehearse(scratch: &Connection, steps: &[Step]) -> Result<(), Error> {
    for (done, step) in steps.iter().enumerate() {
        let sql = write::tried(&step.sql, scratch.database());
        scratch.execute(&sql).await.map_err(|source| Error::Statement { sql, done, source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_runs_in_the_scratch_database_and_on_no_cluster() {
        let mut written = Written::default();
        for (sql, expected) in [
            (
                "CREATE TABLE m.t ON CLUSTER '{cluster}' (x UInt8) ENGINE = Memory",
                "CREATE TABLE s.t  (x UInt8) ENGINE = Memory",
            ),
            ("CREATE TABLE t ON CLUSTER c (x UInt8) ENGINE = Memory", "CREATE TABLE t  (x UInt8) ENGINE = Memory"),
            (
                "CREATE TABLE r (x UInt8) ENGINE = ReplicatedReplacingMergeTree('/p/{shard}', '{replica}', x) ORDER BY x",
                "CREATE TABLE r (x UInt8) ENGINE = ReplacingMergeTree(x) ORDER BY x",
            ),
            (
                "CREATE TABLE d AS m.t ENGINE = Distributed('c', 'm', 't')",
                "CREATE TABLE d AS s.t ENGINE = Distributed('c', 's', 't')",
            ),
        ] {
            assert_eq!(adapted(sql, &["m"], "s", &mut written), expected);
        }
        assert_eq!(written.replicated["r"], "'/p/{shard}', '{replica}'");
        // Wherever it goes, it stays so.
        written.follow("EXCHANGE TABLES s.r AND s.t");
        assert_eq!(written.replicated.keys().collect::<Vec<_>>(), ["t"]);
        written.follow("RENAME TABLE t TO u, v TO w");
        assert_eq!(written.replicated.keys().collect::<Vec<_>>(), ["u"]);
        written.follow("DROP TABLE IF EXISTS u SYNC");
        assert!(written.replicated.is_empty());
    }

    #[test]
    fn what_would_change_another_database_is_seen() {
        for (sql, database) in [
            ("CREATE TABLE other.t (x UInt8) ENGINE = Memory", Some("other")),
            ("CREATE TABLE IF NOT EXISTS other.t (x UInt8) ENGINE = Memory", Some("other")),
            ("CREATE TABLE s.t (x UInt8) ENGINE = Memory", None),
            ("CREATE VIEW v AS SELECT x FROM other.t", None),
            ("CREATE MATERIALIZED VIEW v TO other.t AS SELECT 1", Some("other")),
            ("INSERT INTO other.t SELECT 1", Some("other")),
            ("INSERT INTO t SELECT x FROM other.t", None),
            ("RENAME TABLE a TO b, c TO other.d", Some("other")),
            ("EXCHANGE TABLES a AND other.b", Some("other")),
            ("TRUNCATE TABLE other.b", Some("other")),
            ("SELECT * FROM other.t", None),
        ] {
            assert_eq!(elsewhere(sql, "s").as_deref(), database, "{sql}");
        }
    }

    #[test]
    fn what_belongs_to_the_server_is_left_alone() {
        let told = |sql: &str| server_wide(&tokens(sql));
        assert_eq!(told("CREATE USER a"), Some("CREATE USER".to_owned()));
        assert!(told("create or replace function f AS x -> x").is_some());
        assert_eq!(told("GRANT SELECT ON a.* TO b"), Some("GRANT".to_owned()));
        assert_eq!(told("CREATE TABLE t (x UInt8)"), None);
    }
}
