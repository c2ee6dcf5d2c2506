//! How far back a role sees, and how late: both become instants when a question is planned.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};

/// Instants of windows are multiples of this, so that the callers of one minute share answers.
pub const WINDOW_STEP: Duration = Duration::from_secs(60);

/// A part of the past, in calendar months and days.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct History {
    /// Months, twelve for each year.
    pub months: i32,
    /// Days.
    pub days: i32,
}

/// The instants of a moment's windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Instants {
    now: Timestamp,
    /// The last moment for which they hold.
    last: Timestamp,
}

impl Instants {
    /// The windows of that moment: it is rounded down to [`WINDOW_STEP`].
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let step = i64::try_from(WINDOW_STEP.as_secs()).unwrap_or(i64::MAX);
        let second = moment.as_second().div_euclid(step) * step;
        let now = Timestamp::from_second(second).unwrap_or(moment);
        Self { now, last: now }
    }

    /// The windows of what is kept for that long from a moment on: history as it will be at the end, delay as it is at the
    /// beginning, so that at no moment until then more is shown than there is to see.
    #[must_use]
    pub fn kept(moment: Timestamp, period: Duration) -> Self {
        let now = Self::of(moment).now;
        Self { now, last: now.checked_add(period).unwrap_or(Timestamp::MAX) }
    }

    /// When these windows end and others begin.
    #[must_use]
    pub fn until(self) -> Timestamp {
        self.last.checked_add(WINDOW_STEP).unwrap_or(self.last)
    }

    /// The first instant that is not too far back.
    #[must_use]
    pub fn since(self, history: History) -> Timestamp {
        let zoned = self.last.to_zoned(TimeZone::UTC);
        let span: Span = history.months.months().days(history.days);
        // What begins before time can be told hides nothing.
        zoned.checked_sub(span).map_or(Timestamp::MIN, |zoned| zoned.timestamp())
    }

    /// The first day that is not too far back.
    #[must_use]
    pub fn since_day(self, history: History) -> Date {
        self.since(history).to_zoned(TimeZone::UTC).date()
    }

    /// The last instant that is late enough.
    #[must_use]
    pub fn until_instant(self, delay: Duration) -> Timestamp {
        self.now.checked_sub(delay).unwrap_or(Timestamp::MIN)
    }

    /// The last day that is late enough: a delay counts in whole days, begun ones too.
    #[must_use]
    pub fn until_day(self, delay: Duration) -> Date {
        const DAY: u64 = 86_400;
        let days = i64::try_from(delay.as_secs().div_ceil(DAY)).unwrap_or(i64::MAX);
        let today = self.now.to_zoned(TimeZone::UTC).date();
        Span::new().try_days(days).and_then(|days| today.checked_sub(days)).unwrap_or(Date::MIN)
    }
}

impl std::fmt::Display for History {
    /// As the matrix writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.months, self.days) {
            (0, days) => write!(f, "{days}d"),
            (months, _) if months % 12 == 0 => write!(f, "{}y", months / 12),
            (months, _) => write!(f, "{months}mo"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_the_same_within_a_minute_and_days_count_whole() {
        let at = |text: &str| Instants::of(text.parse().expect("an instant"));
        let (early, late) = (at("2026-03-31T12:00:00Z"), at("2026-03-31T12:00:59.999Z"));
        assert_eq!(early, late);
        assert_eq!(early.until(), "2026-03-31T12:01:00Z".parse().expect("an instant"));
        let text = |history| early.since(history).to_string();
        assert_eq!(text(History { months: 24, days: 0 }), "2024-03-31T12:00:00Z");
        // A month that is shorter ends with its last day.
        assert_eq!(text(History { months: 1, days: 0 }), "2026-02-28T12:00:00Z");
        assert_eq!(early.since_day(History { months: 0, days: 90 }).to_string(), "2025-12-31");
        let delayed = |seconds| early.until_day(Duration::from_secs(seconds)).to_string();
        assert_eq!(early.until_instant(Duration::from_secs(900)).to_string(), "2026-03-31T11:45:00Z");
        assert_eq!(
            (delayed(0), delayed(900), delayed(86_400)),
            ("2026-03-31".into(), "2026-03-30".into(), "2026-03-30".into())
        );
        assert_eq!(delayed(86_401), "2026-03-29");
        let day = Duration::from_secs(86_400);
        let kept = Instants::kept("2026-03-31T12:00:30Z".parse().expect("an instant"), day);
        assert_eq!(kept.since_day(History { months: 0, days: 90 }).to_string(), "2026-01-01");
        assert_eq!(kept.until_instant(Duration::from_secs(900)).to_string(), "2026-03-31T11:45:00Z");
        assert_eq!(kept.until(), "2026-04-01T12:01:00Z".parse().expect("an instant"));
    }
}
