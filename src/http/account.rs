//! What is told of a request when it has been answered: who asked, which data went out, and how it went. Limits, log and
//! metrics read it; nothing in it is a value of a row, and no credential is.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::http::StatusCode;
use metrics::{Counter, Histogram};

use crate::auth::Principal;
use crate::encode::MediaType;
use crate::plan::Plan;

/// One request's account. It begins empty, and whoever finds something out writes it down, once.
#[derive(Clone, Default)]
pub struct Account(Arc<OnceLock<Principal>>);

impl Account {
    /// Notes who calls.
    pub fn note(&self, principal: &Principal) {
        // A request has one caller, whoever asks for it first.
        let _ = self.0.set(principal.clone());
    }

    /// Who calls, once that is known.
    #[must_use]
    pub fn caller(&self) -> Option<&Principal> {
        self.0.get()
    }
}

/// Data that an answer holds. Every answer with rows, of whatever number, carries one; one without rows carries none.
#[derive(Clone)]
pub struct Accesses(pub Arc<[Access]>);

/// Rows of one dataset in an answer.
#[derive(Clone)]
pub struct Access {
    /// Which rows and columns, of which version, by which grant.
    pub plan: Arc<Plan>,
    /// How many, its related ones not counted.
    pub rows: u64,
    /// How many related ones, of each relation in the order of [`Plan::versions_read`].
    pub related: Vec<u64>,
    /// Likewise, up to now, where rows go out one by one and nobody knows how many there will be.
    pub streamed: Option<Arc<AtomicU64>>,
    /// As what they were written.
    pub media_type: MediaType,
    /// Where they are from, in the words of `Cache-Status`.
    pub cache: &'static str,
}

impl Accesses {
    /// An answer of one plan.
    #[must_use]
    pub fn of(plan: &Arc<Plan>, rows: usize, related: Vec<u64>, media_type: MediaType, cache: &'static str) -> Self {
        let (plan, rows) = (Arc::clone(plan), rows as u64);
        Self(Arc::new([Access { plan, rows, related, streamed: None, media_type, cache }]))
    }

    /// An answer of all rows of a plan, which are counted as they go.
    #[must_use]
    pub fn streamed(plan: Arc<Plan>, rows: Arc<AtomicU64>, media_type: MediaType) -> Self {
        Self(Arc::new([Access {
            plan,
            rows: 0,
            related: Vec::new(),
            streamed: Some(rows),
            media_type,
            cache: "source",
        }]))
    }
}

/// Where requests of one method, route and status are counted. Finding these by their labels costs as much as an answer.
#[derive(Clone)]
pub(super) struct Meters {
    route: Arc<str>,
    requests: Counter,
    seconds: Histogram,
    /// Answers that were given again.
    again: Counter,
}

impl Meters {
    pub(super) fn of(method: &'static str, route: &str, status: StatusCode) -> Self {
        let labels =
            [("method", method.to_owned()), ("route", route.to_owned()), ("status", status.as_str().to_owned())];
        Self {
            route: route.into(),
            requests: metrics::counter!("martello_http_requests_total", &labels),
            seconds: metrics::histogram!("martello_http_request_seconds", "route" => route.to_owned()),
            again: metrics::counter!("martello_http_replayed_total", "route" => route.to_owned()),
        }
    }
}

impl Meters {
    /// Counts an answer that was given again.
    pub(super) fn again(&self) {
        self.again.increment(1);
    }
}

/// What is known of a request once its answer has a head.
pub(super) struct Settled<'a> {
    pub(super) request_id: &'a str,
    pub(super) method: &'a str,
    pub(super) status: StatusCode,
    pub(super) elapsed: Duration,
}

impl Settled<'_> {
    /// Counts it, and writes its line of the log.
    pub(super) fn tell(&self, meters: &Meters) {
        meters.requests.increment(1);
        meters.seconds.record(self.elapsed);
        let (request_id, method, route) = (self.request_id, self.method, &*meters.route);
        let (status, seconds) = (self.status.as_u16(), self.elapsed.as_secs_f64());
        tracing::info!(request_id, method, route, status, seconds, "request");
    }
}
