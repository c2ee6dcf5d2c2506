//! What each caller may use up: requests of a second and a day, rows of a day, requests at once. All instances together keep
//! to it: each lends slices of a window from Redis before it needs them, and asks nobody for what it was lent.
//!
//! This room knows keys and numbers: who calls, and what a refusal looks like, is told elsewhere.

mod limiter;
mod window;

use aws_lc_rs::digest::{Context, SHA256};

pub use limiter::{Limiter, Permit};

/// A number that is counted by windows of fixed length, which begin with the seconds and days of UTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Policy {
    /// Requests of a second.
    Second,
    /// Requests of a day.
    Day,
    /// Rows of a day.
    Rows,
}

impl Policy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Second, Self::Day, Self::Rows];

    /// How clients know it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Day => "day",
            Self::Rows => "rows",
        }
    }

    /// How long its windows are.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Self::Second => 1,
            Self::Day | Self::Rows => 86_400,
        }
    }

    fn millis(self) -> u64 {
        self.seconds() * 1000
    }
}

/// How requests at once are known among the policies.
pub const CONCURRENT: &str = "concurrent";

/// What a caller may use up; nothing bounds what is not stated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quotas {
    /// By policy, in the order of [`Policy::ALL`].
    windows: [Option<u64>; 3],
    concurrent: Option<u32>,
}

/// Redis counts in doubles, which are exact up to here.
const QUOTA_MAX: u64 = 1 << 50;

impl Quotas {
    /// Those numbers.
    #[must_use]
    pub fn new(
        requests_per_second: Option<u64>,
        requests_per_day: Option<u64>,
        rows_per_day: Option<u64>,
        concurrent_requests: Option<u32>,
    ) -> Self {
        let windows = [requests_per_second, requests_per_day, rows_per_day];
        let windows = windows.map(|quota| quota.map(|quota| quota.min(QUOTA_MAX)));
        Self { windows, concurrent: concurrent_requests }
    }

    /// Whether nothing is bounded.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// The number of a policy.
    #[must_use]
    pub fn of(&self, policy: Policy) -> Option<u64> {
        self.windows[policy as usize]
    }

    /// Requests at once.
    #[must_use]
    pub fn concurrent(&self) -> Option<u32> {
        self.concurrent
    }

    fn windows(&self) -> impl Iterator<Item = (Policy, u64)> {
        Policy::ALL.into_iter().filter_map(|policy| Some((policy, self.of(policy)?)))
    }
}

/// Who is counted: one subject in one role. Neither can be read from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Key([u8; 16]);

impl Key {
    /// The key of a subject in a role.
    #[must_use]
    pub fn of(role: &str, subject: &str) -> Self {
        let mut hash = Context::new(&SHA256);
        // With its length, so that no two pairs are one text.
        hash.update(&(role.len() as u64).to_le_bytes());
        hash.update(role.as_bytes());
        hash.update(subject.as_bytes());
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self(key)
    }

    fn name(self) -> String {
        self.0.iter().fold(String::from("limit-"), |name, byte| name + &format!("{byte:02x}"))
    }
}

/// What is left of one policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Which one.
    pub policy: Policy,
    /// What there is in a window.
    pub quota: u64,
    /// What is left of it, as far as this instance knows: what others were lent is gone.
    pub remaining: u64,
    /// The second since 1970 at which it begins anew.
    pub resets_at: u64,
    /// Whole seconds until then, the one that has begun too.
    pub resets_in: u64,
}

/// Why a caller may not go on now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Something is used up.
    Spent {
        /// The names of what is.
        policies: Vec<&'static str>,
        /// Whole seconds after which there is more of all of it.
        retry_after: u64,
    },
    /// Redis does not say what is left, and nothing is given without it.
    Unknown,
}

/// Where a caller's numbers come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// From Redis: what it has lent.
    Lent,
    /// From nobody: one of so many parts.
    Share(u64),
}
