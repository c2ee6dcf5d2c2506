//! What happens around every request: an id, the limits of its head and body, a deadline, a log line, metrics, and the
//! headers that every answer carries.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt as _, Limited};
use tracing::Instrument as _;
use uuid::Uuid;

use super::Context;
use super::account::{Account, Meters, Settled};
use super::audited::Answered;
use super::front::Replay;
use super::limits::{Admission, settle};
use super::problem::{self, Problem, Worded};
use crate::config;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A client's own id is taken up to this length.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Headers of one request at most, as most servers have it.
const HEADERS_MAX: usize = 100;

/// What a guard knows: the listener's limits, and how long an answer may take.
#[derive(Clone)]
pub struct Guard {
    /// Whose limits hold.
    pub context: Context,
    /// An answer must have begun within so long.
    pub request_timeout: Duration,
}

impl Guard {
    /// The guard of a listener's own limits.
    #[must_use]
    pub fn of(context: &Context) -> Self {
        Self { context: context.clone(), request_timeout: context.limits.request_timeout }
    }
}

/// Guards one request from head to answer.
pub async fn guard(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let context = &guard.context;
    let begun = crate::clock::instant();
    let request_id = request_id(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    let account = request.extensions().get::<Account>().cloned();
    let admission = request.extensions().get::<Admission>().cloned();
    let span = tracing::info_span!("request", request_id, trace_id = trace_id(request.headers()));

    let answer = async {
        let limits = &context.limits;
        if let Some(problem) = refuse(&request, limits) {
            return problem.into_response();
        }
        match whole(request, limits).await {
            Ok(request) => within(guard.request_timeout, next.run(request)).await,
            Err(problem) => problem.into_response(),
        }
    };
    let mut response = answer.instrument(span.clone()).await;
    let mut refused = None;
    if let Some(admission) = &admission {
        response = settle(context, admission, &method, response).await;
    }
    if let Some(Worded(problem)) = response.extensions_mut().remove::<Worded>() {
        let _entered = span.enter();
        problem.log(&request_id);
        refused = Some(problem.kind);
    } else if let Some(problem) = response.extensions_mut().remove::<Problem>().or_else(|| bare(&response)) {
        let _entered = span.enter();
        refused = Some(problem.kind);
        let mut rendered = problem.render(&request_id);
        // What a layer set on the way out, such as Allow and CORS, holds for the problem too.
        for (name, value) in response.headers() {
            if !rendered.headers().contains_key(name) && name != header::CONTENT_LENGTH {
                rendered.headers_mut().append(name, value.clone());
            }
        }
        response = rendered;
    }
    dress(response.headers_mut(), &request_id, context.limits.tls.is_some());

    let answered = Answered {
        auditor: &context.auditor,
        account: account.as_ref(),
        request_id: &request_id,
        route: &route,
        head: method == Method::HEAD,
        problem: refused,
    };
    response = answered.tell(response);

    let (status, elapsed) = (response.status(), begun.elapsed());
    let meters = Meters::of(method_label(&method), &route, status);
    let _entered = span.enter();
    Settled { request_id: &request_id, method: method.as_str(), status, elapsed }.tell(&meters);
    if response.extensions().get::<Replay>().is_some() {
        response.extensions_mut().insert(meters);
    }
    response
}

/// Refuses a request by its head alone.
fn refuse(request: &Request, limits: &config::Http) -> Option<Problem> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.target_bytes_max {
        let detail = format!("the target has {target} bytes; at most {} are read", limits.target_bytes_max);
        return Some(Problem::new(problem::TARGET_TOO_LONG, detail));
    }
    let headers = request.headers();
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > limits.head_bytes_max || headers.len() > HEADERS_MAX {
        let detail = format!("at most {HEADERS_MAX} headers of {} bytes together are read", limits.head_bytes_max);
        return Some(Problem::new(problem::HEAD_TOO_LARGE, detail));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > limits.body_bytes_max as u64) {
        let detail = format!("at most {} bytes are read", limits.body_bytes_max);
        return Some(Problem::new(problem::CONTENT_TOO_LARGE, detail));
    }
    // Nothing public reads a body yet: what a GET brings would only be left unread on the connection.
    let brings_body = length.is_some_and(|length| length > 0) || headers.contains_key(header::TRANSFER_ENCODING);
    let reads_none = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    (brings_body && reads_none).then(|| Problem::new(problem::UNSUPPORTED_MEDIA_TYPE, "this method reads no body"))
}

/// Why a body could not be read, where that was tried before.
#[derive(Clone)]
pub(super) struct Unread(pub(super) Problem);

/// The request with its whole body.
async fn whole(request: Request, limits: &config::Http) -> Result<Request, Problem> {
    let (mut head, body) = request.into_parts();
    if let Some(Unread(problem)) = head.extensions.remove() {
        return Err(problem);
    }
    if body.is_end_stream() {
        return Ok(Request::from_parts(head, body));
    }
    let body = collected(body, limits).await?;
    Ok(Request::from_parts(head, Body::from(body)))
}

/// A whole body, which must arrive in time: whoever drips it is cut here, for every route alike.
pub(super) async fn collected<B>(body: B, limits: &config::Http) -> Result<Bytes, Problem>
where
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let limited = Limited::new(body, limits.body_bytes_max);
    match tokio::time::timeout(limits.body_timeout, limited.collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(problem::CONTENT_TOO_LARGE, format!("at most {} bytes are read", limits.body_bytes_max)))
        }
        Ok(Err(_)) => Err(Problem::new(problem::MALFORMED_REQUEST, "the body broke off")),
        Err(_) => Err(Problem::new(problem::REQUEST_TIMEOUT, "the body did not arrive in time")),
    }
}

/// The answer, or a problem when it has not begun in time. What was under way is dropped, and its statement with it.
async fn within(timeout: Duration, answer: impl Future<Output = Response>) -> Response {
    match tokio::time::timeout(timeout, answer).await {
        Ok(response) => response,
        Err(_) => Problem::new(problem::TIMEOUT, "the answer was not ready in time").into_response(),
    }
}

/// The problem of an error that a library answered without a body of ours.
fn bare(response: &Response) -> Option<Problem> {
    let status = response.status();
    let ours = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|media_type| media_type.as_bytes().starts_with(b"application/problem+json"));
    if ours || !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    Some(match status {
        StatusCode::NOT_FOUND => no_such_path_problem(),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(problem::METHOD_NOT_ALLOWED, "see the Allow header"),
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(problem::CONTENT_TOO_LARGE, "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::new(problem::UNSUPPORTED_MEDIA_TYPE, "the body is not read"),
        status if status.is_client_error() => Problem::new(problem::MALFORMED_REQUEST, "the request cannot be read"),
        _ => problem::internal(),
    })
}

/// Headers of every answer.
fn dress(headers: &mut HeaderMap, request_id: &str, tls: bool) {
    identify(headers, request_id);
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in fixed {
        // A page of ours states its own, wider policy.
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if tls {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
}

/// Says by which id a log knows the request.
pub(super) fn identify(headers: &mut HeaderMap, request_id: &str) {
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
}

/// The client's id where it is a short plain word, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let plain = |id: &&str| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok()).filter(plain);
    given.map_or_else(new_id, str::to_owned)
}

/// A UUID of version 7 (RFC 9562, 5.7): milliseconds, then what tells this process from others, then a counter. Drawing
/// each one from the kernel's randomness would be the dearest part of an answer from memory.
fn new_id() -> String {
    static PROCESS: LazyLock<[u8; 16]> = LazyLock::new(|| *Uuid::new_v4().as_bytes());
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let mut rest = [0; 10];
    rest[..6].copy_from_slice(&PROCESS[10..]);
    rest[6..].copy_from_slice(&COUNTER.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    let id = uuid::Builder::from_unix_timestamp_millis(crate::clock::unix_millis(), &rest).into_uuid();
    id.simple().to_string()
}

/// The trace that the request belongs to (W3C Trace Context). An invalid header is no header.
fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, parent, flags] = parts[..] else { return None };
    let hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let valid = hex(version, 2) && version != "ff" && hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
    (valid && trace.bytes().any(|b| b != b'0') && parent.bytes().any(|b| b != b'0')).then_some(trace)
}

/// A label of few values, whatever clients send.
pub(super) fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Answers paths that no route has.
pub async fn no_such_path() -> Problem {
    no_such_path_problem()
}

fn no_such_path_problem() -> Problem {
    Problem::new(problem::NOT_FOUND, "there is no such resource")
}

/// Answers methods that a route does not have: OPTIONS by the list of those that it has, others by a problem. The
/// router adds `Allow` to both.
pub async fn no_such_method(method: Method, uri: Uri) -> Response {
    if method == Method::OPTIONS {
        return StatusCode::NO_CONTENT.into_response();
    }
    let detail = format!("{} is not allowed on {}", problem::shown(method.as_str()), problem::shown(uri.path()));
    Problem::new(problem::METHOD_NOT_ALLOWED, detail).into_response()
}

/// Answers a request whose handler panicked.
#[must_use]
pub fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> axum::http::Response<Body> {
    metrics::counter!("martello_panics_total").increment(1);
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    tracing::error!(panic = text, "a handler panicked");
    problem::internal().into_response().map(|body| Body::new(body.boxed_unsync()))
}
