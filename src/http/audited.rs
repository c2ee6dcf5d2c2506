//! What the audit is told of an answer. It is made of plan and principal, neither of which is the request: what was asked
//! for in which words has no way in.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll};

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::account::{Access, Accesses, Account};
use super::problem;
use crate::audit::{self, Auditor, Delivery, Door};
use crate::auth::Principal;
use crate::plan::{Output, Plan};

/// Accesses of an answer, as they are told each time it is given.
#[derive(Clone)]
pub(super) struct Told(pub(super) Arc<[Arc<audit::Access>]>);

/// A file was handed out, or a link that is as good as one. Doors put it beside the answer; it is of no plan.
#[derive(Clone)]
pub struct Handed(pub Arc<audit::Access>);

/// What is known of a request that has an answer.
pub(super) struct Answered<'a> {
    pub(super) auditor: &'a Auditor,
    pub(super) account: Option<&'a Account>,
    pub(super) request_id: &'a str,
    pub(super) route: &'a str,
    /// Whether the answer is the head of one.
    pub(super) head: bool,
    /// Why there is none.
    pub(super) problem: Option<problem::Kind>,
}

impl Answered<'_> {
    /// Records what went out, now or when the body has ended.
    pub(super) fn tell(&self, mut response: Response) -> Response {
        let Some(caller) = self.account.and_then(Account::caller).filter(|_| self.auditor.is_on()) else {
            return response;
        };
        let (status, door) = (response.status(), door(self.route));
        if let Some(Handed(access)) = response.extensions_mut().remove::<Handed>() {
            self.auditor.accesses(self.request_id, [&access]);
        }
        let Some(accesses) = response.extensions().get::<Accesses>().cloned() else {
            if let Some(problem) = self.problem.filter(|kind| is_refusal(*kind)) {
                let access = audit::Access::by(caller.subject(), &caller.role().name, door, status.as_u16());
                self.auditor.accesses(self.request_id, [&Arc::new(access.refused(problem.slug))]);
            }
            return response;
        };
        let telling = Telling { caller: caller.clone(), accesses, status, door, head: self.head };
        if let Some(bytes) = response.body().size_hint().exact() {
            let told: Arc<[_]> = telling.events(bytes).into();
            self.auditor.accesses(self.request_id, &*told);
            response.extensions_mut().insert(Told(told));
            return response;
        }
        let (auditor, request_id) = (self.auditor.clone(), self.request_id.to_owned());
        response.map(|body| Body::new(Counted { body, bytes: 0, auditor, request_id, telling }))
    }
}

/// What a caller may not have. That a row is not there is an answer, and so is a question that cannot be answered.
fn is_refusal(kind: problem::Kind) -> bool {
    kind == problem::NOT_FOUND || matches!(kind.status, StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
}

fn door(route: &str) -> Door {
    if route.starts_with("/graphql") || route.starts_with("/v1/graphql") {
        Door::Graphql
    } else if route.starts_with("/v1/assets") {
        Door::Assets
    } else {
        Door::Rest
    }
}

/// Everything but the bytes, which come last.
struct Telling {
    caller: Principal,
    accesses: Accesses,
    status: StatusCode,
    door: Door,
    head: bool,
}

impl Telling {
    /// One event for each dataset: that of the answer's own has its bytes.
    fn events(&self, bytes: u64) -> Vec<Arc<audit::Access>> {
        // The head of an answer is made of a whole one, which nobody sends.
        let bytes = if self.head { 0 } else { bytes };
        let mut events = Vec::new();
        for (place, access) in self.accesses.0.iter().enumerate() {
            let rows = access.streamed.as_ref().map_or(access.rows, |rows| rows.load(Ordering::Relaxed));
            let rows = if self.head { 0 } else { rows };
            let mut counts = std::iter::once(rows).chain(access.related.iter().copied().filter(|_| rows > 0));
            let bytes = (place == 0).then_some(bytes);
            self.of(access, &access.plan, &mut counts, bytes, &mut events);
        }
        events
    }

    fn of(
        &self,
        access: &Access,
        plan: &Plan,
        counts: &mut impl Iterator<Item = u64>,
        bytes: Option<u64>,
        events: &mut Vec<Arc<audit::Access>>,
    ) {
        let (caller, name) = (&self.caller, &plan.dataset().name);
        let fields = plan.fields().iter().take(plan.shown()).filter(|field| field.output != Output::Change);
        let columns = fields.map(|field| &field.name);
        let version = plan.version().map(|version| version.number);
        let delivery = Delivery {
            // Of no rows there are no related ones, and nobody has counted any.
            rows: Some(counts.next().unwrap_or(0)),
            bytes,
            format: Some(access.media_type.format()),
            cache: Some(access.cache),
            // What is given again was read before.
            cost: (access.cache != "source").then_some(0),
        };
        let event = audit::Access::by(caller.subject(), &caller.role().name, self.door, self.status.as_u16())
            .to(name, version, caller.decision(name.as_str()).0, columns)
            .delivering(delivery);
        events.push(Arc::new(event));
        plan.related().iter().for_each(|inner| self.of(access, &inner.plan, counts, None, events));
    }
}

/// A body whose length shows when it has ended. One that is broken off has delivered what it has delivered.
struct Counted {
    body: Body,
    bytes: u64,
    auditor: Auditor,
    request_id: String,
    telling: Telling,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.auditor.accesses(&self.request_id, &self.telling.events(self.bytes));
    }
}
