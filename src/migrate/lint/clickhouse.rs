//! The same for a ClickHouse: new files run in a scratch database, with a look at its schema after each statement.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::super::clickhouse::lint::findings;
use super::super::clickhouse::{
    Connection, Error as Fault, Failure, Model, Object, Replay, Sizes, Token, View, connect, is_left, quoted_text,
    sizes, tokens, url_of, within,
};
use super::super::folder::{File, replayed};
use super::super::statements::{Language, Statement};
use super::contract::{Contracts, Seen};
use super::since::Split;
use super::{Error, Finding, Found, Options, is_silenced, told};
use crate::catalog::Dataset;

/// What is told only of what was there before the file.
const OF_OLD: [&str; 5] = ["CH101", "CH102", "CH106", "CH107", "CH108"];

/// What costs by the size of its table.
const OF_SIZE: [&str; 3] = ["CH101", "CH102", "CH106"];

/// What a statement did: which one, and the schema before and after it.
struct Step {
    statement: usize,
    before: Arc<Model>,
    after: Arc<Model>,
}

/// What a file did.
struct Replayed<'f> {
    file: &'f File,
    statements: Vec<Statement>,
    first: Arc<Model>,
    last: Arc<Model>,
    steps: Vec<Step>,
    kept: [Seen; 2],
}

/// What is found in new files, and where one fails.
pub(super) async fn look(
    split: &Split<'_>,
    options: &Options<'_>,
    contracts: &Contracts<'_>,
) -> Result<Vec<Finding>, Error> {
    let server = connect(&options.server).await?;
    let server = match &options.database {
        Some(name) => server.within_name(name),
        None => server,
    };
    let live = [server.database()];
    // That a checkpoint is what it should be is for `validate` to say.
    let new: Vec<&File> = split.new.iter().copied().filter(|file| !file.is_checkpoint()).collect();
    let all: Vec<&File> = split.old.iter().chain(&split.new).copied().collect();
    let (files, broken) = within(&server, async |scratch| {
        let url = url_of(&options.server, scratch.database());
        let mut replay = Replay::within(scratch, &live);
        if let Err(error) = replay.files(&replayed(split.old.iter().copied())).await {
            return Ok((Vec::new(), Some(fault(error)?)));
        }
        let mut files = Vec::new();
        let mut kept = contracts.mismatches(&url).await?;
        let mut state = Arc::new(replay.look().await?);
        for file in &new {
            let (first, mut steps, mut broken) = (state.clone(), Vec::new(), None);
            let statements = file.statements_in(Language::ClickHouse)?;
            replay.begin();
            for (at, statement) in statements.iter().enumerate() {
                if let Err(error) = replay.statement(file, statement).await {
                    broken = Some(fault(error)?);
                    break;
                }
                let after = Arc::new(replay.look().await?);
                steps.push(Step { statement: at, before: state, after: after.clone() });
                state = after;
            }
            let now = contracts.mismatches(&url).await?;
            let last = state.clone();
            files.push(Replayed { file, statements, first, last, steps, kept: [kept, now.clone()] });
            kept = now;
            if broken.is_some() {
                return Ok((files, broken));
            }
        }
        Ok::<_, Error>((files, None))
    })
    .await?;
    let mut findings = Vec::new();
    let sizes = match &options.meant {
        Some(url) if files.iter().any(|replayed| !replayed.steps.is_empty()) => measured(url, &files).await,
        _ => Sizes::new(),
    };
    for replayed in &files {
        let mut found = replayed.found(&sizes);
        found.extend(replayed.unread(&server, options, &all).await?);
        for Found { code, statement, text } in found.into_iter().chain(replayed.lost(&options.datasets)) {
            let (file, statement) = (replayed.file, statement.and_then(|at| replayed.statements.get(at)));
            if !is_silenced(file, statement, code) {
                findings.push(told(code, &file.name, statement.map_or(1, |statement| file.line(statement.at)), text));
            }
        }
    }
    findings.extend(broken.map(|(file, line, why)| told("MT001", &file, line, why)));
    Ok(findings)
}

/// How large tables are where the files are for; nothing where nobody says.
async fn measured(url: &str, files: &[Replayed<'_>]) -> Sizes {
    let others: BTreeSet<&String> = files.iter().flat_map(|replayed| replayed.first.databases.keys()).collect();
    match connect(url).await {
        Ok(connection) => sizes(&connection, &others).await.unwrap_or_default(),
        Err(_) => Sizes::new(),
    }
}

/// A failure of a file, which is a finding; others are not.
fn fault(error: Fault) -> Result<(String, usize, String), Error> {
    match error {
        Fault::Wish { file, line, source } => Ok((file, line, source.said)),
        Fault::Elsewhere { ref file, line, .. } => Ok((file.clone(), line, error.to_string())),
        other => Err(other.into()),
    }
}

/// Whether an object has rows that go with it.
fn keeps_rows(object: &Object) -> bool {
    match object {
        Object::Table(table) => table.keeps_rows(),
        Object::View(View { materialized, to, .. }) => *materialized && to.is_empty(),
        Object::Dictionary(_) => false,
    }
}

impl Replayed<'_> {
    fn found(&self, sizes: &Sizes) -> Vec<Found> {
        let mut found = Vec::new();
        for (at, statement) in self.statements.iter().enumerate() {
            let words = tokens(&statement.text);
            if let [first, second, rest @ ..] = &words[..]
                && first.is("DROP")
                && second.is("DATABASE")
            {
                let name = rest.iter().find(|word| !word.is("IF") && !word.is("EXISTS"));
                let name = name.map(Token::name).unwrap_or_default();
                // One that the file itself has made had nobody's rows.
                let is_new = !self.first.databases.contains_key(&name)
                    && self.steps.iter().any(|step| step.before.databases.contains_key(&name));
                if is_new {
                    continue;
                }
                found.push(Found::new("DS101", at, format!("database {name} is dropped, and all that is in it")));
            }
        }
        for step in &self.steps {
            self.of_step(step, sizes, &mut found);
        }
        found
    }

    fn of_step(&self, step: &Step, sizes: &Sizes, found: &mut Vec<Found>) {
        let Step { statement, before, after } = step;
        let mut find = |code, text: String| found.push(Found::new(code, *statement, text));
        let words = tokens(&self.statements[*statement].text);
        // What goes with its database has been told of with that.
        if let [first, second, ..] = &words[..]
            && first.is("DROP")
            && second.is("DATABASE")
        {
            return;
        }
        let renames = words.iter().any(|word| word.is("RENAME"));
        for (name, object) in before.objects.iter().filter(|(name, _)| self.first.objects.contains_key(*name)) {
            match (object, after.objects.get(name)) {
                (object, None) if renames => {
                    let came = |same_name: bool| {
                        after.objects.iter().find(|(other, it)| {
                            let is_new = !before.objects.contains_key(*other) && it.kind() == object.kind();
                            is_new && (!same_name || other.rsplit('.').next() == name.rsplit('.').next())
                        })
                    };
                    // In another database it may be called the same.
                    let came = came(true).or_else(|| came(false));
                    // Readers of the old name go on by a view of it.
                    if let Some((to, _)) = came.filter(|_| !self.last.objects.contains_key(name)) {
                        let kind = object.kind();
                        find("BC101", format!("{kind} {name} is called {to} now: whoever asks by the old name fails"));
                    }
                }
                (object, None) if keeps_rows(object) => {
                    find("DS102", format!("{} {name} is dropped, and its rows are gone", object.kind()));
                }
                (Object::Table(was), Some(Object::Table(now))) => {
                    let old = self.first.table(name);
                    let old = |column: &str| old.is_some_and(|table| table.column(column).is_some());
                    let mut came = now.columns.iter().filter(|column| was.column(&column.name).is_none());
                    for column in was.columns.iter().filter(|it| now.column(&it.name).is_none() && old(&it.name)) {
                        match came.next().filter(|_| renames) {
                            Some(to) => find(
                                "BC102",
                                format!(
                                    "column {name}.{} is called {} now: whoever asks by the old name fails",
                                    column.name, to.name
                                ),
                            ),
                            None => find(
                                "DS103",
                                format!("column {name}.{} is dropped, and its values are gone", column.name),
                            ),
                        }
                    }
                }
                _ => {}
            }
        }
        let left = before.left.iter().filter(|name| is_left(name) && self.first.left.contains(name));
        for name in left.filter(|name| !after.left.contains(name) && !renames) {
            find("DS102", format!("table {name}, which a rebuild has left, is dropped, and its rows are gone"));
        }
        for finding in findings(before, after) {
            let is_old = self.first.objects.contains_key(&finding.object);
            // What has another name is not dropped.
            let is_moved = renames && matches!(finding.code, "CH102" | "CH106");
            if (is_old || !OF_OLD.contains(&finding.code)) && !is_moved {
                let size = sizes.get(&finding.object).filter(|_| OF_SIZE.contains(&finding.code));
                let size = size.map(|size| format!("; it has {size} now")).unwrap_or_default();
                find(finding.code, format!("{}: {}{size}", finding.object, finding.text));
            }
        }
    }

    /// What contracts lose by the file.
    fn lost(&self, datasets: &[&Dataset]) -> Vec<Found> {
        let [before, after] = &self.kept;
        let lost = after.mismatches.difference(&before.mismatches);
        let found = lost.map(|(name, column, text)| {
            let dataset = datasets.iter().find(|dataset| dataset.name.as_str() == name);
            let relation = dataset.map(|dataset| dataset.relation.table.to_string()).unwrap_or_default();
            Found { code: "MT101", statement: self.blame(&relation, column), text: format!("dataset {text}") }
        });
        found.collect()
    }

    /// The statement that took a relation or a column away, or changed it, or made it; else the last that names it.
    fn blame(&self, relation: &str, column: &str) -> Option<usize> {
        let part = |model: &Model| match model.objects.get(relation) {
            Some(Object::Table(table)) if !column.is_empty() => table.column(column).map(|it| format!("{it:?}")),
            other => other.map(|it| format!("{it:?}")),
        };
        let changed = self.steps.iter().rev().find(|step| part(&step.before) != part(&step.after));
        let names = |at: &usize| tokens(&self.statements[*at].text).iter().any(|word| word.name() == relation);
        changed.map(|step| step.statement).or_else(|| (0..self.statements.len()).rev().find(names))
    }

    /// Relations of datasets that the file makes and a serving user may not read. Grants are the server's: they are looked
    /// up there as far as it tells; where it does not, files count that grant the same user something else.
    async fn unread(&self, server: &Connection, options: &Options<'_>, files: &[&File]) -> Result<Vec<Found>, Error> {
        let mut found = Vec::new();
        let made = options.datasets.iter().filter(|dataset| {
            let relation = dataset.relation.table.to_string();
            self.last.objects.contains_key(&relation) && !self.first.objects.contains_key(&relation)
        });
        for dataset in made {
            let relation = dataset.relation.table.to_string();
            for role in &options.grantees {
                let by_files = granted(files, role, &relation)?;
                let reads = match reads(server, role, &relation).await {
                    Ok(Some(reads)) => reads || by_files == Some(true),
                    Ok(None) => return Err(Error::Role { role: role.clone() }),
                    // Not everybody may ask who may do what.
                    Err(_) => by_files != Some(false),
                };
                if !reads {
                    let text = format!("{role} may not read {relation}, which dataset {} is made of", dataset.name);
                    found.push(Found { code: "MT103", statement: self.blame(&relation, ""), text });
                }
            }
        }
        Ok(found)
    }
}

/// Whether a user or a role may read a relation; nothing where there is none of that name.
async fn reads(server: &Connection, role: &str, relation: &str) -> Result<Option<bool>, Failure> {
    let role = quoted_text(role);
    let known = format!(
        "SELECT count() FROM (SELECT name FROM system.users UNION ALL SELECT name FROM system.roles) WHERE name = {role}"
    );
    if server.texts(&known).await?.first().is_none_or(|count| count == "0") {
        return Ok(None);
    }
    let granted = format!(
        "SELECT count() FROM system.grants WHERE (user_name = {role} OR role_name = {role} OR role_name IN \
         (SELECT granted_role_name FROM system.role_grants WHERE user_name = {role} OR role_name = {role})) \
         AND access_type IN ('SELECT', 'ALL') AND is_partial_revoke = 0 AND column IS NULL AND (database IS NULL OR database IN ('', {})) \
         AND (table IS NULL OR table IN ('', {}))",
        quoted_text(server.database()),
        quoted_text(relation)
    );
    Ok(Some(server.texts(&granted).await?.first().is_some_and(|count| count != "0")))
}

/// Whether files say that somebody may read a relation; nothing where they grant them nothing at all.
fn granted(files: &[&File], role: &str, relation: &str) -> Result<Option<bool>, Error> {
    let mut found = None;
    for file in files {
        for statement in file.statements_in(Language::ClickHouse)? {
            let words = tokens(&statement.text);
            let names: BTreeSet<String> = words.iter().map(Token::name).collect();
            let is_grant = words.first().is_some_and(|word| word.is("GRANT"));
            let may = words.iter().any(|word| word.is("SELECT") || word.is("ALL"));
            if is_grant && may && names.contains(role) {
                let is_of_it = names.contains(relation) || names.contains("*");
                found = Some(is_of_it || found == Some(true));
            }
        }
    }
    Ok(found)
}
