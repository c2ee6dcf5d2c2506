//! Every request of a caller is counted once, and every answer says what is left (draft-ietf-httpapi-ratelimit-headers-10).

use std::fmt::Write as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context as TaskContext, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use hyper::body::{Frame, SizeHint};

use super::account::Accesses;
use super::{Context, Problem};
use crate::auth::Principal;
use crate::limit::{Key, Left, Limiter, Permit, Quotas};

/// What there is of each policy in one window.
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left of it, and for how long.
const REMAINING: HeaderName = HeaderName::from_static("ratelimit");

/// How one request was counted. It begins empty at the public door; behind other doors nothing is counted.
#[derive(Clone, Default)]
pub struct Admission(Arc<OnceLock<Admitted>>);

struct Admitted {
    caller: Limited,
    /// Held until the answer has gone out.
    permit: Mutex<Option<Permit>>,
}

/// Who is counted, and up to where.
#[derive(Clone)]
struct Limited {
    key: Key,
    quotas: Quotas,
    policy: HeaderValue,
}

impl Limited {
    /// `None` where nothing bounds the caller.
    fn of(caller: &Principal) -> Option<Self> {
        let role = caller.role();
        let limits = role.limits;
        let quotas = Quotas::new(
            limits.requests_per_second.map(u64::from),
            limits.requests_per_day,
            limits.rows_per_day,
            limits.concurrent_requests,
        );
        if quotas.is_unlimited() {
            return None;
        }
        let mut policy = String::new();
        for (name, quota, seconds) in
            crate::limit::Policy::ALL.iter().filter_map(|one| Some((one.name(), quotas.of(*one)?, one.seconds())))
        {
            let comma = if policy.is_empty() { "" } else { ", " };
            // Writing to a text does not fail.
            let _ = write!(policy, "{comma}\"{name}\";q={quota};w={seconds}");
        }
        // Names and numbers are a header's text.
        let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static(""));
        Some(Self { key: Key::of(&role.name, caller.subject()), quotas, policy })
    }

    /// Says what is left, and holds the permit until the body has gone out.
    fn dress(&self, limiter: &Limiter, mut response: Response<Body>, permit: Option<Permit>) -> Response<Body> {
        if !self.policy.is_empty() {
            let mut text = String::with_capacity(80);
            for Left { policy, remaining, resets_in, .. } in limiter.left(self.key, &self.quotas).into_iter().flatten()
            {
                let comma = if text.is_empty() { "" } else { ", " };
                let _ = write!(text, "{comma}\"{}\";r={remaining};t={resets_in}", policy.name());
            }
            if let Ok(text) = HeaderValue::try_from(text) {
                response.headers_mut().insert(POLICY, self.policy.clone());
                response.headers_mut().insert(REMAINING, text);
            }
        }
        match permit {
            None => response,
            Some(permit) => response.map(|body| Body::new(Holding { body, permit: Some(permit) })),
        }
    }
}

impl Admission {
    /// Whether any row may still be delivered.
    ///
    /// # Errors
    /// When all that the caller may have are.
    pub async fn may_deliver(&self, context: &Context) -> Result<(), Problem> {
        let Some(Admitted { caller, .. }) = self.0.get() else { return Ok(()) };
        Ok(context.limiter.may_deliver(caller.key, &caller.quotas).await?)
    }

    /// Counts rows of an answer whose rows are known only as they go.
    pub fn delivered(&self, context: &Context, rows: u64) {
        if let Some(Admitted { caller, .. }) = self.0.get() {
            context.limiter.delivered(caller.key, &caller.quotas, rows);
        }
    }
}

/// What is left for a caller, of each policy that bounds them: what other instances hold is asked for anew.
pub async fn left(context: &Context, caller: &Principal) -> Vec<Left> {
    let Some(limited) = Limited::of(caller) else { return Vec::new() };
    context.limiter.refresh(limited.key, &limited.quotas).await;
    context.limiter.left(limited.key, &limited.quotas).into_iter().flatten().collect()
}

/// Counts a request, once, as soon as its caller is known.
pub(super) async fn admit(parts: &Parts, context: &Context, caller: &Principal) -> Result<(), Problem> {
    let Some(admission) = parts.extensions.get::<Admission>() else { return Ok(()) };
    if admission.0.get().is_some() {
        return Ok(());
    }
    let Some(caller) = Limited::of(caller) else { return Ok(()) };
    let admitted = context.limiter.admit(caller.key, &caller.quotas).await;
    let (permit, refused) = match admitted {
        Ok(permit) => (permit, None),
        Err(refused) => (None, Some(refused)),
    };
    // A refusal says what is left as well.
    let _ = admission.0.set(Admitted { caller, permit: Mutex::new(permit) });
    refused.map_or(Ok(()), |refused| Err(refused.into()))
}

/// Counts the rows of an answer before any of it is sent, or refuses it where they are too many, and says what is left.
pub(super) async fn settle(
    context: &Context,
    admission: &Admission,
    method: &Method,
    mut response: Response<Body>,
) -> Response<Body> {
    let Some(Admitted { caller, permit }) = admission.0.get() else { return response };
    let rows = match response.extensions().get::<Accesses>() {
        Some(accesses) if *method != Method::HEAD => rows(accesses, response.status()),
        _ => 0,
    };
    if let Err(refused) = context.limiter.deliver(caller.key, &caller.quotas, rows).await {
        let mut refusal = Problem::from(refused).into_response();
        for (name, value) in response.headers() {
            // A browser reads a refusal only where it may.
            if name.as_str().starts_with("access-control-") || name == header::VARY {
                refusal.headers_mut().append(name, value.clone());
            }
        }
        response = refusal;
    }
    let permit = permit.lock().unwrap_or_else(PoisonError::into_inner).take();
    caller.dress(&context.limiter, response, permit)
}

/// An answer that the client has already delivers nothing.
fn rows(accesses: &Accesses, status: StatusCode) -> u64 {
    if status.is_success() {
        accesses.0.iter().map(|access| access.rows + access.related.iter().sum::<u64>()).sum()
    } else {
        0
    }
}

/// What an answer that is given again counts for.
pub(super) struct Counted {
    caller: Option<Limited>,
    rows: u64,
}

impl Counted {
    pub(super) fn of(caller: &Principal, accesses: &Accesses, status: StatusCode) -> Self {
        Self { caller: Limited::of(caller), rows: rows(accesses, status) }
    }

    /// Counts one more request and its rows, if that can be done here and now.
    pub(super) fn again(&self, limiter: &Arc<Limiter>) -> Option<Option<Permit>> {
        let Some(caller) = &self.caller else { return Some(None) };
        limiter.take(caller.key, &caller.quotas, self.rows)
    }

    /// Says what is left.
    pub(super) fn dress(&self, limiter: &Limiter, response: Response<Body>, permit: Option<Permit>) -> Response<Body> {
        match &self.caller {
            None => response,
            Some(caller) => caller.dress(limiter, response, permit),
        }
    }
}

/// A body that holds a permit until it has ended or nobody wants it any more.
struct Holding {
    body: Body,
    permit: Option<Permit>,
}

impl HttpBody for Holding {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            this.permit = None;
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
