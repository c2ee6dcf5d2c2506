//! Statements of a plan: in which transaction each runs, and what it may cost.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What a statement may cost. Those who apply a plan allow each by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hazard {
    /// Rows or values are gone afterwards.
    DeletesData,
    /// The table is written anew, under a lock that shuts everybody out.
    RewritesTable,
    /// Readers or writers wait for as long as a scan takes.
    TakesLock,
    /// Questions that an index answers become slow.
    DropsIndex,
    /// It fails, or means something else, for some data or some callers.
    Correctness,
    /// Who may see or do what changes.
    Authorization,
}

impl Hazard {
    /// Every hazard, with its name.
    pub const ALL: [(&'static str, Self); 6] = [
        ("deletes-data", Self::DeletesData),
        ("rewrites-table", Self::RewritesTable),
        ("takes-lock", Self::TakesLock),
        ("drops-index", Self::DropsIndex),
        ("correctness", Self::Correctness),
        ("authorization", Self::Authorization),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, hazard)| *hazard == self).map_or("", |(name, _)| name)
    }
}

impl std::fmt::Display for Hazard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A hazard, and why the statement has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Risk {
    /// Which one.
    pub hazard: Hazard,
    /// Why.
    pub why: String,
}

/// A statement of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Statement {
    /// Its text, without a semicolon.
    pub sql: String,
    /// Whether it runs outside of a transaction: it cannot run in one, or would hold the locks of others for long.
    #[serde(default)]
    pub alone: bool,
    /// Whether it may wait for as long as it takes: it shuts nobody out meanwhile.
    #[serde(default)]
    pub patient: bool,
    /// What to run before it is tried once more: what a failed one leaves behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<String>,
    /// What it may cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<Risk>,
}

impl Statement {
    /// One that runs along with its neighbors.
    #[must_use]
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), alone: false, patient: false, sweep: None, hazards: Vec::new() }
    }

    /// The same, outside of a transaction.
    #[must_use]
    pub fn alone(mut self) -> Self {
        self.alone = true;
        self
    }

    /// The same, waiting for as long as it takes.
    #[must_use]
    pub fn patient(mut self) -> Self {
        (self.alone, self.patient) = (true, true);
        self
    }

    /// The same, with what to run before it is tried once more.
    #[must_use]
    pub fn swept(mut self, sweep: String) -> Self {
        self.sweep = Some(sweep);
        self
    }

    /// The same, with a hazard.
    #[must_use]
    pub fn risking(mut self, hazard: Hazard, why: impl Into<String>) -> Self {
        self.hazards.push(Risk { hazard, why: why.into() });
        self
    }
}

/// What every session of a plan begins with: names in plans are whole, and bodies may name what comes later.
pub(super) const SESSION: [&str; 2] = ["SET search_path = ''", "SET check_function_bodies = off"];

/// Statements by the transactions they run in.
pub(in crate::migrate) fn groups(statements: &[Statement]) -> impl Iterator<Item = &[Statement]> {
    statements.chunk_by(|one, other| !one.alone && !other.alone)
}

/// The plan as a script for psql; nothing where there is nothing to do.
#[must_use]
pub fn script(statements: &[Statement], lock_timeout: &str) -> String {
    let mut text = String::new();
    if statements.is_empty() {
        return text;
    }
    let in_time = format!("SET lock_timeout = '{lock_timeout}'");
    for line in SESSION.iter().copied().chain([in_time.as_str()]) {
        text += line;
        text += ";\n";
    }
    for group in groups(statements) {
        let [first, ..] = group else { continue };
        text.push('\n');
        let around = match (first.alone, first.patient) {
            (false, _) if group.len() > 1 => Some(("BEGIN", "COMMIT".to_owned())),
            // It waits for old transactions to end, which a limit on locks would take for a lock that is not had.
            (true, true) => Some(("SET lock_timeout = 0", in_time.clone())),
            _ => None,
        };
        if let Some((before, _)) = &around {
            text += before;
            text += ";\n";
        }
        for statement in group {
            for Risk { hazard, why } in &statement.hazards {
                // Written to a string, which cannot fail.
                let _ = writeln!(text, "-- {hazard}: {}", why.replace('\n', " "));
            }
            text += &statement.sql;
            text += ";\n";
        }
        if let Some((_, after)) = &around {
            text += after;
            text += ";\n";
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbors_share_a_transaction_and_those_alone_have_none() {
        let statements = [
            Statement::new("A"),
            Statement::new("B").risking(Hazard::DeletesData, "it does"),
            Statement::new("C").patient(),
            Statement::new("D").alone(),
            Statement::new("E"),
        ];
        let expected = "SET search_path = '';\nSET check_function_bodies = off;\nSET lock_timeout = '3s';\n\n\
             BEGIN;\nA;\n-- deletes-data: it does\nB;\nCOMMIT;\n\n\
             SET lock_timeout = 0;\nC;\nSET lock_timeout = '3s';\n\nD;\n\nE;\n";
        assert_eq!(script(&statements, "3s"), expected);
        assert_eq!(script(&[], "3s"), "");
    }
}
