//! Databases that are there for a moment: a folder of SQL becomes one, and plans are tried on one.
//!
//! A scratch database is on a server that has others, and a statement may name any of them. So what a folder changes is
//! looked at before it runs: the database that is compared stands for the scratch one, each that the folder makes for one
//! whose name begins like the scratch one's, and any other is refused.

use std::collections::BTreeMap;

use super::super::folder::File;
use super::super::statements::{Language, Statement};
use super::connection::{Connection, Failure, literal, quoted};
use super::cut::unreplicated;
use super::database::{Change, Database, change};
use super::error::Error;
use super::inspect::inspect;
use super::model::{Model, Object};
use super::names::{called, parted};
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
    let dropped = drop_all(&server, &name).await;
    // What went wrong first is what to tell.
    done.and_then(|done| dropped.map_err(failed).map(|()| done))
}

/// Drops a scratch database and its others, even where one of them does not go.
async fn drop_all(server: &Connection, scratch: &str) -> Result<(), Failure> {
    let others = format!("SELECT name FROM system.databases WHERE startsWith(name, {})", literal(&inner(scratch, "")));
    // They may lean on one another, and all of them go.
    let server = ["check_table_dependencies", "check_referential_table_dependencies"]
        .iter()
        .fold(server.clone(), |server, setting| server.with(setting, "0"));
    let (others, mut dropped) = match server.texts(&others).await {
        Ok(others) => (others, Ok(())),
        Err(failure) => (Vec::new(), Err(failure)),
    };
    for name in others.iter().map(String::as_str).chain([scratch]) {
        let gone = server.execute(&format!("DROP DATABASE {} SYNC", quoted(name))).await;
        dropped = dropped.and(gone);
    }
    dropped
}

/// The scratch database that stands for another than the one that is compared.
fn inner(scratch: &str, of: &str) -> String {
    format!("{scratch}_{of}")
}

/// Which other database one stands for beside a scratch one.
pub(super) fn other<'n>(scratch: &str, name: &'n str) -> Option<&'n str> {
    if !scratch.starts_with(PREFIX) {
        return None;
    }
    name.strip_prefix(scratch)?.strip_prefix('_')
}

/// What a folder says that its server does not: which tables are replicated, and dictionaries with their secrets.
#[derive(Default)]
struct Written {
    replicated: BTreeMap<String, String>,
    dictionaries: BTreeMap<String, String>,
    /// The other databases, with the engines that they should have.
    databases: BTreeMap<String, Database>,
    /// What is said of the database that the scratch one stands for.
    own: Option<Database>,
    /// Statements that are not run, in words.
    unseen: Vec<String>,
}

impl Written {
    /// Goes on with what is called otherwise by now, and without what is gone, after a statement that ran in a database.
    fn follow(&mut self, sql: &str, scratch: &str, within: &str) {
        let words = tokens(sql);
        let [first, second, rest @ ..] = &words[..] else { return };
        let exchange = first.is("EXCHANGE");
        let named = |words: &[Token<'_>]| so_called(words, &[], scratch, within);
        if first.is("DROP")
            && let Some(gone) = made(&words).map(named)
        {
            self.replicated.remove(&gone);
            self.dictionaries.remove(&gone);
        }
        if !(exchange || first.is("RENAME")) || second.is("DATABASE") {
            return;
        }
        for pair in rest.split(|word| word.text == ",") {
            let sides = pair.split(|word| word.is("TO") || word.is("AND"));
            let names: Vec<String> = sides.map(|side| named(&side[side.len().saturating_sub(3)..])).collect();
            let [one, other] = &names[..] else { continue };
            for known in [&mut self.replicated, &mut self.dictionaries] {
                let (was, then) = (known.remove(one), known.remove(other));
                known.extend(was.map(|was| (other.clone(), was)));
                known.extend(then.filter(|_| exchange).map(|then| (one.clone(), then)));
            }
        }
    }

    /// Goes on after a statement about a database.
    fn changed(&mut self, change: Change) {
        match change {
            Change::Made(of, it) => drop(self.databases.insert(of, it)),
            Change::Told(of, comment) => self.databases.entry(of).or_default().comment = comment,
            Change::Dropped(of) => self.moved(&of, None),
            Change::Renamed(of, to) => self.moved(&of, Some(&to)),
        }
    }

    /// A database is gone, or called otherwise, with all that is in it.
    fn moved(&mut self, of: &str, to: Option<&str>) {
        let it = self.databases.remove(of);
        self.databases.extend(to.map(str::to_owned).zip(it));
        for known in [&mut self.replicated, &mut self.dictionaries] {
            let all = std::mem::take(known).into_iter().filter_map(|(so, it)| match parted(&so) {
                (Some(database), name) if database == of => Some((called(Some(to?), &name), it)),
                _ => Some((so, it)),
            });
            known.extend(all);
        }
    }

    /// Puts it where it is missing.
    fn complete(&self, model: &mut Model) {
        model.own.clone_from(&self.own);
        for (name, it) in &mut model.databases {
            it.engine = self.databases.get(name).map(|it| it.engine.clone()).unwrap_or_default();
        }
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
        let scratch = self.scratch.database();
        let elsewhere_is = |database| Error::Elsewhere { file: file.name.clone(), line, database };
        let failed = |source| Error::Wish { file: file.name.clone(), line, source };
        if let Some(change) = change(sql)
            && self.of_database(change).await.map_err(failed)?
        {
            return Ok(());
        }
        if let Some(what) = server_wide(&words) {
            self.written.unseen.push(format!("{what} ({}, line {line})", file.name));
            return Ok(());
        }
        if let [first, database, ..] = &words[..]
            && first.is("USE")
        {
            let of = database.name();
            let to = match self.written.databases.contains_key(&of) {
                true => inner(scratch, &of),
                false if self.live.is_empty() || self.live.contains(&of.as_str()) => scratch.to_owned(),
                false => return Err(elsewhere_is(of)),
            };
            self.connection = self.connection.within(&to);
            return Ok(());
        }
        let sql = self.adapted(sql);
        if let Some(database) = elsewhere(&sql, scratch) {
            return Err(elsewhere_is(database));
        }
        self.connection.execute(&sql).await.map_err(failed)?;
        for (name, value) in super::session::settings(&sql).unwrap_or_default() {
            self.connection = self.connection.with(&name, &value);
        }
        self.written.follow(&sql, scratch, self.connection.database());
        Ok(())
    }

    /// Does with a scratch database what a statement does with the one that it stands for; whether there is one.
    async fn of_database(&mut self, change: Change) -> Result<bool, Failure> {
        let scratch = self.scratch.database();
        let stands = |of: &str| quoted(&inner(scratch, of));
        let is_known = |of: &String| self.written.databases.contains_key(of);
        let sql = match &change {
            Change::Made(of, it) if self.live.contains(&of.as_str()) => {
                self.written.own = Some(it.clone());
                return Ok(true);
            }
            Change::Told(of, comment) if self.live.contains(&of.as_str()) => {
                self.written.own.get_or_insert_default().comment.clone_from(comment);
                return Ok(true);
            }
            // Whether it may be there already is for the database to know, and not for an empty one.
            Change::Made(of, _) if is_known(of) => return Ok(true),
            Change::Made(of, it) => {
                let comment = match it.comment.as_str() {
                    "" => String::new(),
                    comment => format!(" COMMENT {}", literal(comment)),
                };
                format!("CREATE DATABASE {} ENGINE = Atomic{comment}", stands(of))
            }
            Change::Told(of, comment) if is_known(of) => {
                format!("ALTER DATABASE {} MODIFY COMMENT {}", stands(of), literal(comment))
            }
            Change::Dropped(of) if is_known(of) => format!("DROP DATABASE {} SYNC", stands(of)),
            Change::Renamed(of, to) if is_known(of) => format!("RENAME DATABASE {} TO {}", stands(of), stands(to)),
            Change::Told(..) | Change::Dropped(_) | Change::Renamed(..) => return Ok(false),
        };
        self.scratch.execute(&sql).await?;
        self.written.changed(change);
        Ok(true)
    }

    /// Runs a step of a plan, as it is for the database.
    pub(in crate::migrate) async fn step(&mut self, step: &Step) -> Result<(), Error> {
        self.begin();
        let failed = |sql: &str, source| Error::Statement { sql: sql.to_owned(), done: 0, source };
        if let Some(change) = change(&step.sql) {
            return self.of_database(change).await.map(drop).map_err(|source| failed(&step.sql, source));
        }
        let sql = self.adapted(&step.sql);
        let ran = self.scratch.execute(&sql).await;
        self.written.follow(&sql, self.scratch.database(), self.scratch.database());
        ran.map_err(|source| failed(&sql, source))
    }

    /// What they have made.
    pub(in crate::migrate) async fn look(&self) -> Result<Model, Error> {
        let mut model = inspect(self.scratch, self.live, &[]).await?;
        self.written.complete(&mut model);
        Ok(model)
    }

    fn adapted(&mut self, sql: &str) -> String {
        adapted(sql, self.live, self.scratch.database(), self.connection.database(), &mut self.written)
    }
}

/// What a statement makes that belongs to the server and not to a database, in words.
fn server_wide(words: &[Token<'_>]) -> Option<String> {
    const KINDS: [&str; 10] =
        ["USER", "ROLE", "QUOTA", "SETTINGS", "ROW", "POLICY", "FUNCTION", "NAMED", "RESOURCE", "WORKLOAD"];
    let first = words.first()?;
    let told = |count: usize| words.iter().take(count).map(|word| word.text.to_ascii_uppercase()).collect::<Vec<_>>();
    if ["GRANT", "REVOKE", "SYSTEM", "KILL", "BACKUP", "RESTORE"].iter().any(|word| first.is(word)) {
        return Some(told(1).join(" "));
    }
    // Rows that go to another server, or to a file.
    if first.is("INSERT") && words.iter().take(4).any(|word| word.is("FUNCTION")) {
        return Some("INSERT INTO FUNCTION".to_owned());
    }
    let changes = ["CREATE", "ALTER", "DROP"].iter().any(|word| first.is(word));
    let kind = words.iter().skip(1).find(|word| !word.is("OR") && !word.is("REPLACE"))?;
    // Those of databases that are understood have been seen to.
    let of_database = kind.is("DATABASE") || first.is("TRUNCATE") && (kind.is("ALL") || kind.is("TABLES"));
    ((changes && KINDS.iter().any(|word| kind.is(word))) || of_database).then(|| told(2).join(" "))
}

/// A statement of a folder as it runs in a scratch database: there, on no cluster, and without replicas.
fn adapted(sql: &str, live: &[&str], scratch: &str, within: &str, written: &mut Written) -> String {
    let words = tokens(sql);
    let mut out = String::with_capacity(sql.len());
    let mut done = 0;
    let named = made(&words);
    // Where a `USE` says whose it is, the text alone does not.
    let is_whole = within == scratch || named.is_some_and(|words| words.len() > 1);
    let made = named.map(|words| so_called(words, live, scratch, within));
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
        && let Some(made) = made.filter(|_| is_whole)
    {
        written.dictionaries.insert(made, moved(&out, live, "", DATABASE));
    }
    out = moved(&out, live, scratch, scratch);
    for of in written.databases.keys() {
        let stands = inner(scratch, of);
        out = moved(&out, &[of], &quoted(&stands), &stands);
    }
    out
}

/// The words that name what a statement makes.
fn made<'w, 't>(words: &'w [Token<'t>]) -> Option<&'w [Token<'t>]> {
    let kind = words.iter().position(|word| ["TABLE", "VIEW", "DICTIONARY"].iter().any(|kind| word.is(kind)))?;
    let rest = &words[kind + 1..];
    let skipped = rest.iter().take_while(|word| ["IF", "NOT", "EXISTS"].iter().any(|it| word.is(it))).count();
    let names = &rest[skipped..];
    let is_whole = names.get(1).is_some_and(|point| point.text == ".");
    names.get(..if is_whole { 3 } else { 1 })
}

/// What something is called that a statement names in a database.
fn so_called(words: &[Token<'_>], live: &[&str], scratch: &str, within: &str) -> String {
    let (database, name) = match words {
        [.., database, point, name] if point.text == "." => (database.name(), name.name()),
        [.., name] => (within.to_owned(), name.name()),
        [] => return String::new(),
    };
    if database == scratch || live.contains(&database.as_str()) {
        return called(None, &name);
    }
    called(Some(database.strip_prefix(&inner(scratch, "")).unwrap_or(&database)), &name)
}

/// Another database than that one which a statement would change.
fn elsewhere(sql: &str, own: &str) -> Option<String> {
    const BEFORE: [&str; 10] =
        ["TABLE", "TABLES", "VIEW", "DICTIONARY", "INTO", "TO", "AND", "EXISTS", "TRUNCATE", "UPDATE"];
    let words = tokens(sql);
    let first = words.first()?;
    // What is asked first may have a name that an insert behind it uses.
    let begin = match first.is("WITH") {
        true => words.iter().position(|word| word.depth == 0 && word.is("INSERT"))?,
        false => 0,
    };
    if ["SELECT", "SET", "SHOW", "DESCRIBE"].iter().any(|it| first.is(it)) {
        return None;
    }
    // Behind the question of a view, or the rows of an insert, nothing is changed.
    let ends = |word: &Token<'_>| word.depth == 0 && (word.is("AS") || word.is("SELECT"));
    let end = words.iter().skip(begin).position(ends).map_or(words.len(), |length| begin + length);
    let deletes = first.is("DELETE");
    let mut places = (begin..end).filter(|place| words[*place].depth == 0);
    places.find_map(|place| {
        let (name, point) = (words.get(place + 1)?, words.get(place + 2)?);
        let before = &words[place];
        let named = BEFORE.iter().any(|word| before.is(word)) || before.text == "," || (deletes && before.is("FROM"));
        let whole = point.text == "." && point.at == name.end();
        let other = name.name();
        let is_scratch = other.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'));
        (named && whole && !is_scratch).then_some(other)
    })
}

/// A statement with the scratch database that stands for another one.
fn stood_for(sql: &str, of: &str, scratch: &str) -> String {
    let stands = inner(scratch, of);
    let words = tokens(sql);
    if let [_, kind, database, ..] = &words[..]
        && kind.is("DATABASE")
        && database.name() == of
    {
        return format!("{}{}{}", &sql[..database.at], quoted(&stands), &sql[database.end()..]);
    }
    moved(sql, &[of], &quoted(&stands), &stands)
}

/// Runs steps where nobody else is; those others are stood for as well.
pub(super) async fn rehearse(scratch: &Connection, steps: &[Step], others: &[&String]) -> Result<(), Error> {
    for (done, step) in steps.iter().enumerate() {
        let mut sql = write::tried(&step.sql, scratch.database());
        for of in others {
            sql = stood_for(&sql, of, scratch.database());
        }
        if sql.is_empty() {
            continue;
        }
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
            assert_eq!(adapted(sql, &["m"], "s", "s", &mut written), expected);
        }
        assert_eq!(written.replicated["r"], "'/p/{shard}', '{replica}'");
        // Wherever it goes, it stays so.
        written.follow("EXCHANGE TABLES s.r AND s.t", "s", "s");
        assert_eq!(written.replicated.keys().collect::<Vec<_>>(), ["t"]);
        written.follow("RENAME TABLE t TO u, v TO w", "s", "s");
        assert_eq!(written.replicated.keys().collect::<Vec<_>>(), ["u"]);
        written.follow("DROP TABLE IF EXISTS u SYNC", "s", "s");
        assert!(written.replicated.is_empty());
    }

    #[test]
    fn a_database_that_a_folder_makes_has_a_scratch_database_of_its_own() {
        let mut written = Written::default();
        written.changed(Change::Made("x".to_owned(), Database::default()));
        let sql = "CREATE TABLE x.r ON CLUSTER c (x UInt8) ENGINE = ReplicatedMergeTree ORDER BY x";
        let adapted = adapted(sql, &["m"], "s", "s", &mut written);
        assert_eq!(adapted, "CREATE TABLE `s_x`.r  (x UInt8) ENGINE = MergeTree ORDER BY x");
        assert_eq!(elsewhere(&adapted, "s"), None);
        assert_eq!(written.replicated.keys().collect::<Vec<_>>(), ["x.r"]);
        written.follow("RENAME TABLE `s_x`.r TO s.r", "s", "s");
        written.follow("RENAME TABLE r TO t", "s", "s_x");
        assert_eq!(written.replicated.keys().collect::<Vec<_>>(), ["r"]);
        written.follow("RENAME TABLE s.r TO q", "s", "s_x");
        written.changed(Change::Renamed("x".to_owned(), "y".to_owned()));
        assert_eq!(written.replicated.keys().collect::<Vec<_>>(), ["y.q"]);
        written.changed(Change::Dropped("y".to_owned()));
        assert!(written.replicated.is_empty() && written.databases.is_empty());
        assert_eq!(stood_for("DROP DATABASE x", "x", "s"), "DROP DATABASE `s_x`");
        assert_eq!(stood_for("DROP TABLE x.t", "x", "s"), "DROP TABLE `s_x`.t");
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
            ("DELETE FROM other.t WHERE 1", Some("other")),
            ("UPDATE other.t SET x = 1 WHERE 1", Some("other")),
            ("WITH a AS (SELECT 1) INSERT INTO other.t SELECT * FROM a", Some("other")),
            ("WITH a AS (SELECT 1) SELECT * FROM other.t", None),
            ("CREATE TABLE s_x.t (x UInt8) ENGINE = Memory", None),
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
        assert_eq!(told("DETACH DATABASE a"), Some("DETACH DATABASE".to_owned()));
        assert_eq!(told("TRUNCATE ALL TABLES FROM a"), Some("TRUNCATE ALL".to_owned()));
        assert!(told("INSERT INTO TABLE FUNCTION url('http://a') SELECT 1").is_some());
        assert!(told("BACKUP DATABASE a TO Disk('b', 'c')").is_some());
        assert_eq!(told("CREATE TABLE t (x UInt8)"), None);
    }
}
