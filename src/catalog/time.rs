//! Words about time that questions and access rules share.

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
}
