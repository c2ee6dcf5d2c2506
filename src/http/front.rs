//! The first who sees a request: what was answered a moment ago, to the same caller in the same words, is answered again
//! from here, with nothing read, planned or looked up twice.
//!
//! An answer is given again only while all that it depends on is what it was: the token's end, the keys, the matrix, the
//! versions, and the moments at which its windows move or its freshness ends.

use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::BoxError;
use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use futures_util::future::{BoxFuture, Either, FutureExt as _, Ready, ready};
use tower::{Service, ServiceExt as _};

use super::Context;
use super::account::{Accesses, Account, Meters, Settled};
use super::audited::Told;
use super::limits::{Admission, Counted};
use super::middleware::{REQUEST_ID, Unread, collected, identify, method_label, request_id};
use crate::auth::{Matrix, Principal};
use crate::bounded::Bounded;
use crate::cache::{Tally, Tier};
use crate::engine::Writing;
use crate::plan::Plan;
use crate::store::Versions;
use crate::telemetry;

/// What stands around an answer's body in memory, about.
const AROUND_BYTES: u64 = 3 * 1024;
/// Where questions are bodies whose answers may be given again.
const GRAPHQL: &str = "/graphql";
/// A longer question goes the long way.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// The control store is asked twice a second: one that has not been heard of for so long makes answers that say so.
const HEARD_MAX: Duration = Duration::from_secs(5);
/// Headers that tell who is on the way and not what is asked; no answer depends on them.
const UNREAD: [&str; 9] = [
    "x-request-id",
    "traceparent",
    "tracestate",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-real-ip",
    "forwarded",
    "via",
];

/// What an answer of a door depends on, where it may be given again. Doors put it beside the answer.
#[derive(Clone)]
pub struct Replay {
    /// The whole body, as it is sent.
    pub body: Bytes,
    /// The snapshot of versions that it was planned with.
    pub versions: Weak<Versions>,
    /// The millisecond since 1970 from which another answer would be given; the token's own end is not in it.
    pub until: u64,
    /// Of each of its accesses, where its dataset's figures are kept, and how it was written.
    pub parts: Arc<[(Arc<Tally>, Writing)]>,
}

/// Answers that may be given again.
pub(super) struct Answers(Bounded<[u8; 16], Arc<Answer>>);

struct Answer {
    method: &'static str,
    status: StatusCode,
    headers: HeaderMap,
    replay: Replay,
    caller: Principal,
    accesses: Accesses,
    /// What the audit is told each time.
    told: Option<Told>,
    counted: Counted,
    matrix: Weak<Matrix>,
    keys: u64,
    meters: Meters,
    /// How often it was given again.
    given: AtomicU64,
}

impl Answers {
    /// No answers yet; bodies and what stands around them take so many bytes at most.
    pub(super) fn new(bytes_max: u64) -> Self {
        Self(Bounded::new(bytes_max, |_, answer: &Arc<Answer>| AROUND_BYTES + answer.replay.body.len() as u64))
    }
}

impl Answers {
    /// The plans that were answered again most often, with their writing; no plan twice.
    fn hottest(&self, count: usize) -> Vec<(Arc<Plan>, Writing)> {
        let mut answers: Vec<Arc<Answer>> = self.0.values().collect();
        answers.sort_by_key(|answer| std::cmp::Reverse(answer.given.load(Ordering::Relaxed)));
        let mut hottest: Vec<(Arc<Plan>, Writing)> = Vec::new();
        for answer in answers {
            for (access, (_, writing)) in answer.accesses.0.iter().zip(&*answer.replay.parts) {
                let known = |(plan, _): &(Arc<Plan>, Writing)| plan.fingerprint() == access.plan.fingerprint();
                if hottest.len() < count && !hottest.iter().any(known) {
                    hottest.push((Arc::clone(&access.plan), writing.clone()));
                }
            }
        }
        hottest
    }
}

/// After each publish, makes anew so many of the answers that were asked for most, one after the other: whoever asks for
/// one meanwhile waits for that and for no other. Ends with the pointer.
pub async fn warm_up(context: Context, count: usize) {
    let mut swaps = context.engine.pointer.subscribe();
    while swaps.changed().await.is_ok() {
        let versions = Arc::clone(&swaps.borrow_and_update());
        for (plan, writing) in context.answers.hottest(count) {
            let Some(plan) = plan.over(&versions).filter(|new| new.versions_read() != plan.versions_read()) else {
                continue;
            };
            let outcome = match context.engine.serve(&Arc::new(plan), writing).await {
                Ok(_) => "made",
                Err(error) => {
                    tracing::debug!(error = telemetry::chain(error.as_ref()), "an answer was not made in advance");
                    "failed"
                }
            };
            metrics::counter!("martello_cache_warmed_total", "outcome" => outcome).increment(1);
        }
    }
}

impl Answer {
    /// Whether the same would be answered now.
    fn holds(&self, context: &Context) -> bool {
        let now = crate::clock::unix_millis();
        now < self.replay.until
            && now / 1000 < self.caller.ends_at()
            && context.keys.generation() == self.keys
            && context.engine.access.is(&self.matrix)
            && context.engine.pointer.is(&self.replay.versions)
            && context.engine.pointer.age() <= HEARD_MAX
    }
}

/// The service in front of the routes.
#[derive(Clone)]
pub struct Front {
    context: Context,
    routes: Router,
}

impl Front {
    /// Stands before those routes.
    #[must_use]
    pub fn new(context: Context, routes: Router) -> Self {
        Self { context, routes }
    }

    /// The answer of a moment ago to the same words, as far as it still holds.
    fn again(&self, words: &[u8; 16], headers: &HeaderMap) -> Option<Response<Body>> {
        let begun = crate::clock::instant();
        let answer = self.context.answers.0.get(words)?;
        if !answer.holds(&self.context) {
            self.context.answers.0.remove(words);
            return None;
        }
        // What cannot be counted here goes the long way, and hears there why not.
        let permit = answer.counted.again(&self.context.limiter)?;
        let mut response = Response::new(Body::from(answer.replay.body.clone()));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers.clone();
        let request_id = request_id(headers);
        identify(response.headers_mut(), &request_id);
        response = answer.counted.dress(&self.context.limiter, response, permit);
        answer.given.fetch_add(1, Ordering::Relaxed);
        answer.replay.parts.iter().for_each(|(tally, _)| tally.hit(Tier::Memory));
        answer.meters.again();
        if let Some(told) = &answer.told {
            self.context.auditor.accesses(&request_id, &*told.0);
        }
        let settled =
            Settled { request_id: &request_id, method: answer.method, status: answer.status, elapsed: begun.elapsed() };
        settled.tell(&answer.meters);
        Some(response)
    }
}

impl<B> Service<Request<B>> for Front
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future =
        Either<Ready<Result<Response<Body>, Infallible>>, BoxFuture<'static, Result<Response<Body>, Infallible>>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let front = self.clone();
        if asks_by_body(&request) {
            return Either::Right(front.read(request).boxed());
        }
        let words = words(&request, None, self.context.limits.head_bytes_max);
        match words.and_then(|words| self.again(&words, request.headers())) {
            Some(response) => Either::Left(ready(Ok(response))),
            None => Either::Right(front.pass(request, words).boxed()),
        }
    }
}

impl Front {
    /// A question that is a body: its words are there when the whole of it is.
    async fn read<B>(self, request: Request<B>) -> Result<Response<Body>, Infallible>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut head, body) = request.into_parts();
        let (body, words) = match collected(body, &self.context.limits).await {
            Ok(body) => {
                let request = Request::from_parts(head, ());
                let words = words(&request, Some(&body), self.context.limits.head_bytes_max);
                if let Some(response) = words.and_then(|words| self.again(&words, request.headers())) {
                    return Ok(response);
                }
                head = request.into_parts().0;
                (Body::from(body), words)
            }
            Err(problem) => {
                head.extensions.insert(Unread(problem));
                (Body::empty(), None)
            }
        };
        self.pass(Request::from_parts(head, body), words).await
    }

    /// The long way. Its answer is remembered under those words, if it may be given again.
    async fn pass<B>(self, mut request: Request<B>, words: Option<[u8; 16]>) -> Result<Response<Body>, Infallible>
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let Self { context, routes } = self;
        let account = Account::default();
        request.extensions_mut().insert(account.clone());
        request.extensions_mut().insert(Admission::default());
        let method = method_label(request.method());
        // Found out before the answer is made: what changes meanwhile makes it one that does not hold.
        let (keys, matrix) = (context.keys.generation(), Arc::downgrade(&context.engine.access.load()));
        let mut response = routes.oneshot(request).await?;
        let extensions = response.extensions_mut();
        let told = extensions.remove::<Told>();
        let parts = (extensions.remove::<Replay>(), extensions.remove::<Meters>(), extensions.remove::<Accesses>());
        if let ((Some(replay), Some(meters), Some(accesses)), Some(words), Some(caller)) =
            (parts, words, account.caller())
        {
            let mut headers = response.headers().clone();
            headers.remove(REQUEST_ID);
            let (status, caller) = (response.status(), caller.clone());
            let counted = Counted::of(&caller, &accesses, status);
            let answer = Answer {
                method,
                status,
                headers,
                replay,
                caller,
                accesses,
                told,
                counted,
                matrix,
                keys,
                meters,
                given: AtomicU64::new(0),
            };
            context.answers.0.insert(words, Arc::new(answer));
        }
        Ok(response)
    }
}

/// Whether the question is in the body, which is short enough to be looked at before anything else is.
fn asks_by_body<B>(request: &Request<B>) -> bool {
    let length = || {
        let length = request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?;
        length.parse::<usize>().ok().filter(|length| *length <= BODY_BYTES_MAX)
    };
    request.method() == Method::POST && request.uri().path() == GRAPHQL && length().is_some()
}

/// What a request says, all of it but what no answer depends on, as 128 bits of a SHA-256: no token is kept. `None` where
/// the answer is not one to be given again.
fn words<B>(request: &Request<B>, body: Option<&[u8]>, head_bytes_max: usize) -> Option<[u8; 16]> {
    if body.is_none() && request.method() != Method::GET {
        return None;
    }
    let target = request.uri().path_and_query()?.as_str();
    let mut words = Vec::with_capacity(1024 + body.map_or(0, <[u8]>::len));
    words.extend_from_slice(target.as_bytes());
    let mut bytes = 0;
    for (name, value) in request.headers() {
        bytes += name.as_str().len() + value.len() + 4;
        match *name {
            // The body itself is among the words.
            header::CONTENT_LENGTH if body.is_some() => {}
            // With a body, or not to be answered yet.
            header::CONTENT_LENGTH | header::TRANSFER_ENCODING | header::EXPECT => return None,
            header::HOST | header::USER_AGENT | header::CONNECTION => {}
            _ if UNREAD.contains(&name.as_str()) => {}
            _ => {
                // No header's name or value has these bytes in it, so no two heads have the same words.
                words.push(0);
                words.extend_from_slice(name.as_str().as_bytes());
                words.push(1);
                words.extend_from_slice(value.as_bytes());
            }
        }
    }
    if bytes > head_bytes_max {
        return None;
    }
    if let Some(body) = body {
        words.push(2);
        words.extend_from_slice(body);
    }
    let mut short = [0; 16];
    short.copy_from_slice(&digest(&SHA256, &words).as_ref()[..16]);
    Some(short)
}
