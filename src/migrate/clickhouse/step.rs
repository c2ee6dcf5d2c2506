//! Steps of a plan, and the plan as a script.

use serde::{Deserialize, Serialize};

use super::super::schema::{Hazard, Risk};

/// A step of a plan.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Its text, without a semicolon.
    pub sql: String,
    /// What it may cost.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<Risk>,
    /// The rows that it copies, part by part; its text says the same in one statement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<Copying>,
}

/// Rows that go from one table to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Copying {
    /// Where they are.
    pub from: String,
    /// Where they go.
    pub to: String,
    /// Their columns, as SQL has them.
    pub columns: String,
    /// Whether parts are copied one at a time, since which row came last decides.
    pub ordered: bool,
    /// Whether it only brings what has come since the first time.
    pub again: bool,
}

impl Step {
    /// A step without hazards.
    #[must_use]
    pub fn new(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), hazards: Vec::new(), copy: None }
    }

    /// The same, with a hazard.
    #[must_use]
    pub fn risking(mut self, hazard: Hazard, why: impl Into<String>) -> Self {
        self.hazards.push(Risk { hazard, why: why.into() });
        self
    }
}

/// The plan as a script for `clickhouse-client`; nothing where there is nothing to do.
#[must_use]
pub fn script(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        for Risk { hazard, why } in &step.hazards {
            text += &format!("-- {hazard}: {}\n", why.replace('\n', " "));
        }
        if step.copy.as_ref().is_some_and(|copy| copy.again) {
            // Which parts are new is known to whoever copied the others.
            text += "-- martello schema apply brings here what has come since it was copied:\n-- ";
            text += &step.sql.replace('\n', " ");
        } else {
            text += &step.sql;
        }
        text += ";\n";
    }
    text
}
