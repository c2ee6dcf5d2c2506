//! Sums events: how much of what went to whom.

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use super::{Access, Event, What};

/// What events are summed by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// Who asked, as what.
    Role,
    /// Of which dataset.
    Dataset,
    /// Who asked.
    Subject,
    /// Which column, as `dataset.column`.
    Column,
    /// On which day, in UTC.
    Day,
}

/// Sums of events, each under what they have in common.
pub struct Report {
    by: By,
    groups: BTreeMap<String, Group>,
    lost: u64,
}

#[derive(Default)]
struct Group {
    events: u64,
    rows: u64,
    bytes: u64,
    subjects: HashSet<String>,
    refused: u64,
}

/// What was summed under one name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Sum {
    /// What the events have in common; `-` where they have none of it, as refusals have no dataset.
    pub name: String,
    /// How many there are.
    pub events: u64,
    /// Rows that went out.
    pub rows: u64,
    /// Bytes that went out.
    pub bytes: u64,
    /// How many subjects there are among them.
    pub subjects: u64,
    /// How many of them were refusals.
    pub refused: u64,
}

impl Report {
    /// Nothing summed yet.
    #[must_use]
    pub fn by(by: By) -> Self {
        Self { by, groups: BTreeMap::new(), lost: 0 }
    }

    /// Adds an event; only accesses are summed.
    pub fn add(&mut self, event: &Event) {
        match event.what() {
            What::DataAccess(access) => {
                for name in self.names(event, access) {
                    self.groups.entry(name).or_default().add(access);
                }
            }
            What::Lost { lost } => self.lost += lost,
            What::PolicyChange(_) | What::Credential(_) | What::Asset(_) => {}
        }
    }

    fn names(&self, event: &Event, access: &Access) -> Vec<String> {
        let dataset = access.dataset().unwrap_or("-");
        match self.by {
            By::Role => vec![access.role().to_owned()],
            By::Dataset => vec![dataset.to_owned()],
            By::Subject => vec![access.subject().to_owned()],
            By::Column if access.columns().is_empty() => vec![dataset.to_owned()],
            By::Column => access.columns().iter().map(|column| format!("{dataset}.{column}")).collect(),
            By::Day => vec![event.time().strftime("%Y-%m-%d").to_string()],
        }
    }

    /// Events that found no room, and are in no sum.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The sums, in the order of their names.
    #[must_use]
    pub fn sums(&self) -> Vec<Sum> {
        let sum = |(name, group): (&String, &Group)| {
            let Group { events, rows, bytes, subjects, refused } = group;
            let (name, subjects) = (name.clone(), subjects.len() as u64);
            Sum { name, events: *events, rows: *rows, bytes: *bytes, subjects, refused: *refused }
        };
        self.groups.iter().map(sum).collect()
    }
}

impl Group {
    fn add(&mut self, access: &Access) {
        self.events += 1;
        self.rows += access.rows().unwrap_or(0);
        self.bytes += access.bytes().unwrap_or(0);
        self.refused += u64::from(access.problem().is_some());
        if !self.subjects.contains(access.subject()) {
            self.subjects.insert(access.subject().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::audit::{Delivery, Door};
    use crate::name::Name;

    #[test]
    fn events_are_summed_by_what_they_have_in_common() {
        let columns = ["symbol", "close"].map(|name| name.parse::<Name>().expect("a name"));
        let dataset: Name = "price_daily".parse().expect("a name");
        let access = |subject: &str, columns: &[Name]| {
            let delivery = Delivery { rows: Some(3), bytes: Some(50), ..Delivery::default() };
            let access = Access::by(subject, "reader", Door::Rest, 200);
            Event::access("r", Arc::new(access.to(&dataset, None, [0; 8], columns.iter()).delivering(delivery)))
        };
        let refused = Access::by("c", "reader", Door::Rest, 404).refused("not-found");
        let events = [
            access("a", &columns),
            access("a", &columns),
            access("b", &columns[..1]),
            Event::access("r", Arc::new(refused)),
            Event::lost(4),
        ];
        let sums = |by| {
            let mut report = Report::by(by);
            events.iter().for_each(|event| report.add(event));
            assert_eq!(report.lost(), 4);
            let sum = |sum: Sum| (sum.name, [sum.events, sum.rows, sum.bytes, sum.subjects, sum.refused]);
            report.sums().into_iter().map(sum).collect::<Vec<_>>()
        };
        let named = |name: &str, sums| (name.to_owned(), sums);
        assert_eq!(sums(By::Role), [named("reader", [4, 9, 150, 3, 1])]);
        assert_eq!(sums(By::Dataset), [named("-", [1, 0, 0, 1, 1]), named("price_daily", [3, 9, 150, 2, 0])]);
        assert_eq!(
            sums(By::Subject),
            [named("a", [2, 6, 100, 1, 0]), named("b", [1, 3, 50, 1, 0]), named("c", [1, 0, 0, 1, 1])]
        );
        assert_eq!(
            sums(By::Column),
            [
                named("-", [1, 0, 0, 1, 1]),
                named("price_daily.close", [2, 6, 100, 1, 0]),
                named("price_daily.symbol", [3, 9, 150, 2, 0]),
            ]
        );
    }
}
