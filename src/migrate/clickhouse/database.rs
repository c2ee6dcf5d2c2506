//! Databases beside the one of the URL: what a statement says of one, and what leads from one to another.

use serde::Serialize;

use super::super::schema::Hazard;
use super::connection::literal;
use super::cut::Clauses;
use super::model::Model;
use super::names::parted;
use super::step::Step;
use super::text::{Token, tokens};
use super::write::{CLUSTER, OWN, REPLICAS, name};

/// Engines of databases whose tables are their own.
const WITH_TABLES: [&str; 5] = ["Atomic", "Ordinary", "Replicated", "Shared", "Memory"];

/// A database.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Database {
    /// Its engine with its arguments; nothing where that is left to the server.
    pub engine: String,
    /// `COMMENT`.
    pub comment: String,
}

impl Database {
    /// The name of its engine.
    #[must_use]
    pub fn engine_name(&self) -> &str {
        self.engine.split('(').next().unwrap_or_default().trim()
    }

    /// Whether its tables are its own, and no view of another server's.
    #[must_use]
    pub fn has_tables(&self) -> bool {
        self.engine.is_empty() || WITH_TABLES.contains(&self.engine_name())
    }

    /// Whether it is of another engine. Where its replicas are in Keeper is not looked at.
    #[must_use]
    pub fn is_of_another_engine(&self, other: &Self) -> bool {
        !self.engine.is_empty() && !other.engine.is_empty() && self.engine_name() != other.engine_name()
    }
}

/// What a statement does with a database.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// Makes it.
    Made(String, Database),
    /// Drops it.
    Dropped(String),
    /// Gives it a comment.
    Told(String, String),
    /// Gives it another name.
    Renamed(String, String),
}

/// What a statement does with a database, where it is one of those that are understood.
pub(super) fn change(sql: &str) -> Option<Change> {
    let words = tokens(sql);
    let [verb, kind, rest @ ..] = &words[..] else { return None };
    if !kind.is("DATABASE") {
        return None;
    }
    let rest: Vec<&Token<'_>> =
        rest.iter().skip_while(|word| ["IF", "NOT", "EXISTS"].iter().any(|it| word.is(it))).collect();
    let [of, behind @ ..] = &rest[..] else { return None };
    let clauses = Clauses::of(&sql[of.end()..], &["ENGINE", "SETTINGS", "MODIFY COMMENT", "COMMENT"]);
    let said = |clause: &str| tokens(&clauses.get(clause)).first().map(Token::name).unwrap_or_default();
    if verb.is("CREATE") {
        let engine = clauses.get("ENGINE").trim_start_matches('=').trim().to_owned();
        Some(Change::Made(of.name(), Database { engine, comment: said("COMMENT") }))
    } else if verb.is("DROP") {
        Some(Change::Dropped(of.name()))
    } else if verb.is("ALTER") && clauses.has("MODIFY COMMENT") {
        Some(Change::Told(of.name(), said("MODIFY COMMENT")))
    } else if verb.is("RENAME") {
        match behind {
            [to, other, ..] if to.is("TO") => Some(Change::Renamed(of.name(), other.name())),
            _ => None,
        }
    } else {
        None
    }
}

/// The statement that makes a database, by the name that SQL has for it.
fn create(of: &str, it: &Database) -> String {
    let mut text = format!("CREATE DATABASE {of}{CLUSTER}");
    if !it.engine.is_empty() {
        // A scratch database is of the one engine that can do everything.
        text += &format!("{REPLICAS} ENGINE = {}{REPLICAS}", it.engine);
    }
    if !it.comment.is_empty() {
        text += &format!(" COMMENT {}", literal(&it.comment));
    }
    text
}

/// What makes databases as they are wished, before anything in them. What is said of the one that is compared is left out
/// where a plan is tried, since the scratch database stands for it.
pub(super) fn begun(from: &Model, to: &Model) -> Vec<Step> {
    let mut steps = Vec::new();
    let told = |of: &str, comment: &str| format!("ALTER DATABASE {of}{CLUSTER} MODIFY COMMENT {}", literal(comment));
    match (&from.own, &to.own) {
        (None, Some(wished)) if from.missing => {
            let text = create(OWN, wished).replace(REPLICAS, "");
            steps.push(Step::new(format!("{REPLICAS}{text}{REPLICAS}")));
        }
        (Some(is), Some(wished)) if is.comment != wished.comment => {
            steps.push(Step::new(format!("{REPLICAS}{}{REPLICAS}", told(OWN, &wished.comment))));
        }
        _ => {}
    }
    for (of, wished) in &to.databases {
        match from.databases.get(of) {
            None => steps.push(Step::new(create(&name(of), wished))),
            Some(is) if is.comment != wished.comment => steps.push(Step::new(told(&name(of), &wished.comment))),
            Some(_) => {}
        }
    }
    steps
}

/// What drops databases that are not wished, after everything else: those first that lean on others.
pub(super) fn ended(from: &Model, to: &Model) -> Vec<Step> {
    let ordered: Vec<_> = from.ordered().into_iter().rev().map(|of| parted(of).0).collect();
    let mut gone: Vec<&String> = from.databases.keys().filter(|of| !to.databases.contains_key(*of)).collect();
    gone.sort_by_key(|of| ordered.iter().position(|database| database.as_ref() == Some(of)));
    gone.into_iter()
        .map(|of| {
            let step = Step::new(format!("DROP DATABASE {}{CLUSTER}", name(of)));
            step.risking(Hazard::DeletesData, "the database goes with all that is in it")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_statement_does_with_a_database_is_understood() {
        let made = |engine: &str, comment: &str| {
            Some(Change::Made("x".to_owned(), Database { engine: engine.to_owned(), comment: comment.to_owned() }))
        };
        for (sql, expected) in [
            ("CREATE DATABASE x", made("", "")),
            (
                "create database if not exists `x` ON CLUSTER c ENGINE = Replicated('/a', '{shard}') COMMENT 'it\\'s'",
                made("Replicated('/a', '{shard}')", "it's"),
            ),
            ("CREATE DATABASE x ENGINE Atomic", made("Atomic", "")),
            ("DROP DATABASE IF EXISTS x SYNC", Some(Change::Dropped("x".to_owned()))),
            ("ALTER DATABASE x MODIFY COMMENT 'y'", Some(Change::Told("x".to_owned(), "y".to_owned()))),
            ("ALTER DATABASE x MODIFY SETTING a = 1", None),
            ("RENAME DATABASE x TO y", Some(Change::Renamed("x".to_owned(), "y".to_owned()))),
            ("CREATE TABLE database (x UInt8)", None),
        ] {
            assert_eq!(change(sql), expected, "{sql}");
        }
    }

    #[test]
    fn a_database_goes_last_and_only_with_a_word_of_warning() {
        let mut from = Model::default();
        from.databases.insert("x".to_owned(), Database::default());
        let steps = ended(&from, &Model::default());
        assert_eq!(steps[0].sql, format!("DROP DATABASE x{CLUSTER}"));
        assert_eq!(steps[0].hazards[0].hazard, Hazard::DeletesData);
        assert!(ended(&from, &from).is_empty() && begun(&from, &from).is_empty());
    }
}
