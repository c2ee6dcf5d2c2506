//! A circuit breaker: who has failed several times in a row is left alone for a while, then asked once.

use std::sync::Mutex;
use std::time::{Duration, Instant};

/// So many failures in a row open the circuit.
const FAILURES_MAX: u32 = 3;
/// An open circuit lets one request try after so long, and another after so long again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whether a service is worth asking.
#[derive(Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failures: u32,
    /// Nobody asks before, where the circuit is open.
    until: Option<Instant>,
}

impl Breaker {
    /// Whether the caller may ask now. In an open circuit one caller may, once in a while.
    pub(super) fn admits(&self, now: Instant) -> bool {
        let mut state = self.lock();
        match state.until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.until = Some(now + PAUSE);
                true
            }
        }
    }

    /// Notes how asking went; returns whether that opened or closed the circuit.
    pub(super) fn note(&self, answered: bool, now: Instant) -> bool {
        let mut state = self.lock();
        let was_open = state.until.is_some();
        if answered {
            *state = State::default();
        } else {
            state.failures = state.failures.saturating_add(1);
            if state.failures >= FAILURES_MAX {
                state.until = Some(now + PAUSE);
            }
        }
        was_open != state.until.is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while it is held, and a state is whole at any time.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_fails_is_left_alone_and_tried_once_in_a_while() {
        let breaker = Breaker::default();
        let begun = crate::clock::instant();
        let after = |millis| begun + Duration::from_millis(millis);
        for failure in 0..FAILURES_MAX {
            assert!(breaker.admits(begun));
            assert_eq!(breaker.note(false, begun), failure + 1 == FAILURES_MAX);
        }
        assert!(!breaker.admits(begun) && !breaker.admits(after(999)));
        assert!(breaker.admits(after(1000)) && !breaker.admits(after(1000)), "one alone tries");
        assert!(!breaker.note(false, after(1100)) && !breaker.admits(after(2000)));
        assert!(breaker.admits(after(2100)) && breaker.note(true, after(2200)));
        assert!(breaker.admits(after(2200)) && breaker.admits(after(2200)));
    }

    #[test]
    fn failures_that_are_not_in_a_row_open_nothing() {
        let breaker = Breaker::default();
        let now = crate::clock::instant();
        for answered in [false, false, true, false, false, true] {
            assert!(!breaker.note(answered, now) && breaker.admits(now));
        }
    }
}
