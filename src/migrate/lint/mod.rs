//! What new migrations would do to those who use the database: looked at before they are merged.
//!
//! They are run, not read: on a scratch database that the older files have made, with a look at the schema after each
//! statement. Codes are those of Atlas where it has one; what only a look at the text can tell is asked of squawk's rules.

mod analyze;
mod clickhouse;
mod contract;
mod format;
mod replay;
mod rules;
mod since;
mod squawk;

use std::collections::BTreeMap;

use serde::Serialize;

use super::clickhouse as engine;
use super::folder::{File, Folder, directives};
use super::schema;
use super::statements::{Language, Statement};
use super::target::Target;
use crate::catalog::Dataset;
use crate::config::Source;

pub use format::{github, sarif, text};
pub use rules::{Level, RULES, Rule};
pub use since::New;

use analyze::words;
use contract::Contracts;
use replay::Replayed;

/// Something that a new migration does, and what could be done instead.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// Of which kind it is.
    pub code: String,
    /// How bad that is.
    pub level: Level,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// What happens.
    pub text: String,
    /// What to do about it.
    pub instead: String,
}

/// What was looked at, and what was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
    /// The folder.
    pub folder: String,
    /// The new files.
    pub files: Vec<String>,
    /// What was found, in the order of files and lines.
    pub findings: Vec<Finding>,
}

impl Report {
    /// How many findings there are of a level.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

/// How new files are looked at.
#[derive(Clone, Debug)]
pub struct Options<'o> {
    /// Which files are new.
    pub new: New,
    /// The server of the scratch databases.
    pub server: String,
    /// What a ClickHouse is called whose files they are, where it is not the one of that URL.
    pub database: Option<String>,
    /// The URL of the database that the files are for, where it is given: a ClickHouse is asked how large its tables are.
    pub meant: Option<String>,
    /// The roles that serve.
    pub grantees: Vec<String>,
    /// What is promised of the database.
    pub datasets: Vec<&'o Dataset>,
    /// The sources of the configuration, by their names.
    pub sources: BTreeMap<String, Source>,
}

/// Why nothing can be said of a folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A schema is not read.
    #[error(transparent)]
    Schema(#[from] schema::Error),
    /// A schema of a ClickHouse is not read.
    #[error(transparent)]
    ClickHouse(#[from] engine::Error),
    /// The server is none.
    #[error(transparent)]
    Server(#[from] super::error::Error),
    /// The folder is not read.
    #[error(transparent)]
    Folder(#[from] super::folder::Error),
    /// A relation is not compared with its contract.
    #[error("compare {dataset} with the scratch database")]
    Contract {
        /// The dataset.
        dataset: String,
        /// Why.
        #[source]
        source: crate::source::Error,
    },
    /// A source is not opened.
    #[error("open the scratch database")]
    Source(#[source] crate::source::Error),
    /// The server does not know the role that serves.
    #[error("find role {role:?} on the server of the scratch database: make it there, or name another with --grantee")]
    Role {
        /// Its name.
        role: String,
    },
    /// Git does not say what is new.
    #[error("ask git for {asked}: {why}")]
    Git {
        /// What was asked for.
        asked: String,
        /// What it said.
        why: String,
    },
}

/// A finding before it is known whether it is told: of a statement of the file, or of the whole.
struct Found {
    code: &'static str,
    statement: Option<usize>,
    text: String,
}

impl Found {
    fn new(code: &'static str, statement: usize, text: String) -> Self {
        Self { code, statement: Some(statement), text }
    }
}

/// Looks at the new files of a folder.
///
/// # Errors
/// When there is no scratch database, or nothing can be known. What is wrong with the files are findings.
pub async fn lint(folder: &Folder, options: &Options<'_>) -> Result<Report, Error> {
    let mut findings = Vec::new();
    let mut whole = |code, file: &str, text: String| findings.push(told(code, file, 1, text));
    if let Err(error) = folder.check() {
        use super::folder::Error as Fault;
        match &error {
            Fault::Changed { file, .. } => whole("MT003", file, error.to_string()),
            Fault::NoSum { .. } | Fault::Sum { .. } => whole("MT003", super::folder::SUM_FILE, error.to_string()),
            _ => return Err(error.into()),
        }
    }
    if let Err(error) = folder.distinct() {
        whole("MT003", super::folder::SUM_FILE, error.to_string());
    }
    let split = since::split(folder, &options.new)?;
    for (file, newest) in &split.behind {
        whole("MT002", file, format!("it comes before {newest}, which is applied wherever that is merged"));
    }
    for (file, how) in &split.edited {
        whole("MT004", file, format!("it has been merged, and was {how} since"));
    }
    let contracts = Contracts::of(options);
    match Target::read(&options.server)?.language() {
        Language::ClickHouse => findings.extend(clickhouse::look(&split, options, &contracts).await?),
        Language::Postgres => findings.extend(of_postgres(&split, options, &contracts).await?),
    }
    let place = |finding: &Finding| (finding.file.clone(), finding.line, finding.code.clone());
    findings.sort_by_key(place);
    findings.dedup();
    let files = split.new.iter().map(|file| file.name.clone()).collect();
    Ok(Report { folder: folder.path().display().to_string(), files, findings })
}

async fn of_postgres(
    split: &since::Split<'_>,
    options: &Options<'_>,
    contracts: &Contracts<'_>,
) -> Result<Vec<Finding>, Error> {
    let mut findings = Vec::new();
    let replayed = replay::replay(&split.old, &split.new, &options.server, contracts).await?;
    for (file, replayed) in &replayed.files {
        findings.extend(of_file(file, replayed, contracts)?);
    }
    for (file, line, why) in &replayed.broken {
        let explained = |finding: &Finding| finding.code == "PG103" && finding.file == *file;
        if !findings.iter().any(explained) {
            findings.push(told("MT001", file, *line, why.clone()));
        }
    }
    Ok(findings)
}

/// What is found in one file and not silenced there.
fn of_file(file: &File, replayed: &Replayed, contracts: &Contracts<'_>) -> Result<Vec<Finding>, Error> {
    let statements = file.statements()?;
    let words: Vec<Vec<String>> = statements.iter().map(|statement| words(&statement.text)).collect();
    let mut found = analyze::analyze(file, &words, replayed)?;
    found.extend(contracts.judge(&statements, &words, replayed));
    let mut findings = Vec::new();
    for Found { code, statement, text } in found {
        let statement = statement.and_then(|at| statements.get(at));
        if !is_silenced(file, statement, code) {
            findings.push(told(code, &file.name, statement.map_or(1, |statement| file.line(statement.at)), text));
        }
    }
    for violation in squawk::lint(file)? {
        let within =
            |statement: &&Statement| (statement.at..statement.at + statement.text.len()).contains(&violation.at);
        if !is_silenced(file, statements.iter().find(within), &violation.code) {
            findings.push(Finding {
                line: file.line(violation.at),
                file: file.name.clone(),
                level: Level::Warning,
                code: violation.code,
                text: violation.text,
                instead: violation.instead,
            });
        }
    }
    Ok(findings)
}

fn told(code: &str, file: &str, line: usize, text: String) -> Finding {
    let rule = RULES.iter().find(|rule| rule.code == code);
    Finding {
        code: code.to_owned(),
        level: rule.map_or(Level::Error, |rule| rule.level),
        file: file.to_owned(),
        line,
        text,
        instead: rule.map_or("", |rule| rule.instead).to_owned(),
    }
}

/// Whether a directive of the file or of the statement asks for silence: of all, of some rules, or of a code.
fn is_silenced(file: &File, statement: Option<&Statement>, code: &str) -> bool {
    let analyzer = RULES.iter().find(|rule| rule.code == code).map_or("squawk", |rule| rule.analyzer);
    let means = |argument: &str| {
        let mut names = argument.split_whitespace().peekable();
        names.peek().is_none()
            || names.any(|name| {
                name.eq_ignore_ascii_case(code) || name == analyzer || code.strip_prefix("squawk:") == Some(name)
            })
    };
    let above = statement.into_iter().flat_map(|statement| statement.comments.iter());
    let above = above.flat_map(|comment| comment.lines()).flat_map(directives);
    file.directive("nolint").into_iter().any(means)
        || above.filter(|(name, _)| *name == "nolint").any(|(_, argument)| means(argument))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn silence_is_of_all_of_an_analyzer_or_of_a_code_and_reaches_as_far_as_its_comment() {
        let is_silenced = |text: &str, code: &str| {
            let folder = Folder::of(Path::new("m"), vec![("1.sql".to_owned(), text.to_owned())]);
            let file = &folder.files()[0];
            let statements = file.statements().expect("statements");
            is_silenced(file, statements.last(), code)
        };
        for (text, code, expected) in [
            ("-- atlas:nolint\n\nSELECT 1;", "DS101", true),
            ("-- atlas:nolint\nSELECT 1;", "DS101", true),
            ("-- atlas:nolint\nSELECT 1;\nSELECT 2;", "DS101", false),
            ("-- atlas:nolint destructive\nSELECT 1;", "DS101", true),
            ("-- atlas:nolint destructive\nSELECT 1;", "MF101", false),
            ("-- atlas:nolint MF101 ds101\nSELECT 1;", "DS101", true),
            ("-- atlas:nolint squawk\nSELECT 1;", "squawk:ban-char-field", true),
            ("-- atlas:nolint ban-char-field\nSELECT 1;", "squawk:ban-char-field", true),
            ("-- atlas:nolint ban-char-field\nSELECT 1;", "squawk:prefer-identity", false),
            ("SELECT 1;", "DS101", false),
        ] {
            assert_eq!(is_silenced(text, code), expected, "{text:?} {code}");
        }
    }
}
