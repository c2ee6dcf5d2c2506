//! Words about time that questions and access rules share.

use jiff::ToSpan as _;
use jiff::civil::Date;

/// An interval of the calendar, named by its first day.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Bucket {
    /// A day.
    Day,
    /// A week of ISO 8601: it begins on Monday.
    Week,
    /// A month.
    Month,
    /// A quarter of the calendar year.
    Quarter,
    /// A calendar year.
    Year,
}

impl Bucket {
    /// Every interval, the shortest first.
    pub const ALL: [Self; 5] = [Self::Day, Self::Week, Self::Month, Self::Quarter, Self::Year];

    /// The name behind a field's colon: `date:month`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// The interval of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.as_str() == name)
    }

    /// The first day of the interval that a day lies in, both as days since 1970-01-01.
    #[must_use]
    pub fn first_day(self, days: i32) -> i32 {
        const EPOCH: Date = Date::constant(1970, 1, 1);
        let begun = |date: Date| match self {
            Self::Day => date,
            Self::Week => date.saturating_sub(i64::from(date.weekday().to_monday_zero_offset()).days()),
            Self::Month => date.first_of_month(),
            Self::Quarter => Date::constant(date.year(), (date.month() - 1) / 3 * 3 + 1, 1),
            Self::Year => date.first_of_year(),
        };
        // Days that no calendar has show themselves: sources have none.
        let first = EPOCH.checked_add(i64::from(days).days()).and_then(|date| EPOCH.until(begun(date)));
        first.map_or(days, |span| span.get_days())
    }

    /// The short form that `resample` takes.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Day => "1d",
            Self::Week => "1w",
            Self::Month => "1mo",
            Self::Quarter => "1q",
            Self::Year => "1y",
        }
    }

    /// The interval of that short form.
    #[must_use]
    pub fn coded(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bucket| bucket.code() == code)
    }
}

/// Which of the revisions of a fact.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revision {
    /// The one that was known first.
    First,
    /// The one that was known last.
    Latest,
    /// Every one.
    All,
}

impl Revision {
    /// Every choice, with its name.
    pub const ALL: [(&'static str, Self); 3] = [("first", Self::First), ("latest", Self::Latest), ("all", Self::All)];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Latest => "latest",
            Self::All => "all",
        }
    }
}
