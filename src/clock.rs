//! The only reader of the time.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since 1970-01-01T00:00:00Z, as JWTs count them.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the time")]
pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds since 1970-01-01T00:00:00Z: for ages that instances tell each other.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the time")]
pub fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Now, as a monotonic instant: for deadlines and durations.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the time")]
pub fn instant() -> std::time::Instant {
    std::time::Instant::now()
}

/// Now, to the microsecond, as databases keep it.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the time")]
pub fn now() -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
