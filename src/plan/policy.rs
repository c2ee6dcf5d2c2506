//! What a grant adds to every question: which rows exist for the caller, of which revision, and how much of each is shown.

use jiff::Timestamp;

use crate::auth::{Instants, Principal};
use crate::catalog::{ColumnIndex, Dataset, Direction, Name, Revision, Type};

use super::bind::{self, Names};
use super::value::{epoch_days, epoch_micros};
use super::{Error, Predicate, Test, Value, View};

/// An end of time behind which rows do not exist for a caller. It is told, unlike a rule about rows: an empty page would
/// say that there is nothing.
#[derive(Clone, PartialEq, Debug)]
pub struct Window {
    /// The dataset whose rows are kept from the caller.
    pub dataset: Name,
    /// Which end.
    pub end: End,
    /// The column that is bound.
    pub column: Name,
    /// Its type: a date or a timestamp.
    pub data_type: Type,
    /// The first value, or the last, that exists.
    pub bound: Value,
}

/// An end of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// Nothing before it exists: `history`.
    History,
    /// Nothing behind it exists yet: `delay`.
    Delay,
}

impl End {
    /// The name that the matrix gives it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::History => "history",
            Self::Delay => "delay",
        }
    }
}

impl Window {
    /// The bound as the answer writes values of its type.
    #[must_use]
    pub fn shown(&self) -> String {
        self.bound.shown(self.data_type)
    }
}

/// What a grant adds to a question.
#[derive(Default)]
pub(super) struct Policy {
    /// What rows must meet to exist.
    pub(super) rows: Predicate,
    /// Of that, what does not move with time.
    pub(super) lasting: Predicate,
    /// How wide the windows are: what stays of them while they move.
    pub(super) spans: Vec<u64>,
    /// The one revision of each fact that exists.
    pub(super) revision: Option<Direction>,
    pub(super) windows: Vec<Window>,
    /// When the windows move.
    pub(super) until: Option<Timestamp>,
}

impl Policy {
    /// The policy of a caller's grant, in that moment.
    pub(super) fn of(view: &View, principal: &Principal, moment: Instants) -> Self {
        let (dataset, grant) = (view.dataset(), view.grant());
        let mut policy = Self::default();
        let mut parts = Vec::new();
        let mut windows = Vec::new();
        if let (Some(history), Some(time)) = (grant.history, dataset.time) {
            let bound = match dataset.columns[time].data_type {
                Type::Date => Value::Date(epoch_days(moment.since_day(history))),
                _ => Value::Timestamp(epoch_micros(moment.since(history))),
            };
            parts.push(Predicate::Test(time, Test::Gte(bound.clone())));
            windows.push((End::History, time, bound));
        }
        let known_at = dataset.point_in_time.as_ref().map(|point_in_time| point_in_time.known_at);
        if let (Some(delay), Some(known_at)) = (grant.delay, known_at) {
            let bound = match dataset.columns[known_at].data_type {
                Type::Date => Value::Date(epoch_days(moment.until_day(delay))),
                _ => Value::Timestamp(epoch_micros(moment.until_instant(delay))),
            };
            parts.push(Predicate::Test(known_at, Test::Lte(bound.clone())));
            windows.push((End::Delay, known_at, bound));
        }
        let history = grant.history.filter(|_| dataset.time.is_some());
        let delay = grant.delay.filter(|_| known_at.is_some());
        policy.spans.extend(
            history.iter().flat_map(|history| {
                [1, u64::from(history.months.unsigned_abs()), u64::from(history.days.unsigned_abs())]
            }),
        );
        policy.spans.extend(delay.iter().flat_map(|delay| [2, delay.as_secs(), u64::from(delay.subsec_nanos())]));
        policy.until = (!windows.is_empty()).then(|| moment.until());
        policy.windows = windows.into_iter().map(|(end, column, bound)| window(dataset, end, column, bound)).collect();
        // A rule that cannot be bound to this caller's claims hides every row: it must never show one more.
        let rule = grant.rows.as_ref().map(|rule| {
            let bound = rule.of(principal.claims()).map(|filter| bind::filter(Names::Rule(dataset), &filter));
            bound.and_then(Result::ok).unwrap_or_else(|| Predicate::Any(Vec::new()))
        });
        policy.lasting = Predicate::All(rule.clone().into_iter().collect()).canonical();
        parts.extend(rule);
        policy.rows = Predicate::All(parts).canonical();
        policy.revision = match grant.revision {
            Some(Revision::First) => Some(Direction::Ascending),
            Some(Revision::Latest) => Some(Direction::Descending),
            Some(Revision::All) | None => None,
        };
        policy
    }

    /// Refuses what names another revision than the one that exists, or a moment at which another one was the latest.
    pub(super) fn allows(&self, asked: Option<Revision>, dated: bool) -> Result<(), Error> {
        let (granted, other) = match self.revision {
            None => return Ok(()),
            Some(Direction::Ascending) => ("first", matches!(asked, Some(Revision::Latest | Revision::All))),
            Some(Direction::Descending) => ("latest", matches!(asked, Some(Revision::First | Revision::All))),
        };
        if other {
            return Err(Error::RevisionNotGranted { parameter: "revision", granted });
        }
        if dated && self.revision == Some(Direction::Descending) {
            return Err(Error::RevisionNotGranted { parameter: "as_of", granted });
        }
        Ok(())
    }
}

fn window(dataset: &Dataset, end: End, column: ColumnIndex, bound: Value) -> Window {
    let (name, column) = (dataset.name.clone(), &dataset.columns[column]);
    Window { dataset: name, end, column: column.name.clone(), data_type: column.data_type, bound }
}
