//! What a client hears when a request fails (RFC 9457). The only place that knows which status an error has.
//!
//! Types are stable and documented: each is a path on this server that explains it. A 5xx tells nothing internal; its
//! cause goes to the log, once, under the request's id.

mod failures;
mod kinds;

use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub use self::kinds::*;
use crate::telemetry;

/// One failure, as the client hears it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its kind.
    pub kind: Kind,
    /// What happened this time.
    pub detail: String,
    /// The parameter at fault.
    pub parameter: Option<String>,
    /// What may help.
    pub hint: Option<String>,
    /// Names of the quotas that are used up.
    pub violated_policies: Vec<&'static str>,
    /// The internal cause of a 5xx, for the log only.
    cause: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of that kind.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (detail, violated_policies, headers) = (detail.into(), Vec::new(), Vec::new());
        Self { kind, detail, parameter: None, hint: None, violated_policies, cause: None, headers }
    }

    /// Names the parameter at fault.
    #[must_use]
    pub fn parameter(mut self, parameter: impl Into<String>) -> Self {
        self.parameter = Some(parameter.into());
        self
    }

    /// Adds what may help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the internal cause for the log.
    #[must_use]
    pub fn cause(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(telemetry::chain(error));
        self
    }

    /// Headers that go along with it, such as when to try again.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter().map(|(name, value)| (name, value))
    }

    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Logs a failure of ours.
    pub(super) fn log(&self, request_id: &str) {
        if self.kind.status.is_server_error() {
            let cause = self.cause.as_deref().unwrap_or_default();
            tracing::error!(request_id, problem = self.kind.slug, cause, "a request failed");
        }
    }

    /// Writes the response. A failure of ours is logged here, once.
    pub(super) fn render(&self, request_id: &str) -> Response {
        self.log(request_id);
        let body = Body {
            kind: format!("/problems/{}", self.kind.slug),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: &self.detail,
            request_id,
            parameter: self.parameter.as_deref(),
            hint: self.hint.as_deref(),
            violated_policies: &self.violated_policies,
        };
        // A body of texts and a number serializes.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.kind.status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        response
    }
}

/// Stands beside a response that tells a problem in the words of its door: it is logged and recorded as any other, and
/// its body stays.
#[derive(Clone, Debug)]
pub struct Worded(pub Problem);

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    violated_policies: &'a [&'static str],
}

impl IntoResponse for Problem {
    /// The status, with the problem beside it: the outermost layer knows the request's id and writes the body.
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A text of the request as a problem may repeat it: short, and without what a terminal or a log would act on.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// A fault of ours, of which the client hears nothing more.
#[must_use]
pub fn internal() -> Problem {
    Problem::new(INTERNAL, "the request could not be answered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_problem_repeats_is_short_and_plain() {
        assert_eq!(shown("a\u{0}\u{1b}[2Jb"), "a\u{FFFD}\u{FFFD}[2Jb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 65);
    }
}
