//! Rows of a dataset: a page, or the one with a key.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use axum::body::{Body, Bytes};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt as _;
use http_body_util::StreamBody;
use hyper::body::Frame;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::asked::{Act, Asked};
use super::kept::{Keepers, Kept};
use super::{body, exports, kept, params, private, representation, versions};
use crate::auth::Principal;
use crate::catalog::Dataset;
use crate::encode::MediaType;
use crate::engine::{Entry, Piece, Representation};
use crate::http::extract::{parameters, segments};
use crate::http::problem;
use crate::http::problem::shown;
use crate::http::{Accesses, Admission, Caller, Context, Problem, Questions, Replay};
use crate::plan;
use crate::plan::{End, Plan};
use crate::query::Cursor;
use crate::store::Versions;

/// What stands unescaped in a query value (RFC 3986, 3.4), so that links stay readable.
const ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b',').remove(b':').remove(b'/');

/// Where the next page begins, as `page.next_cursor` of JSON says.
const NEXT_CURSOR: HeaderName = HeaderName::from_static("martello-next-cursor");

/// Whether the page before was of another version, as `page.version_changed` of JSON says.
const VERSION_CHANGED: HeaderName = HeaderName::from_static("martello-version-changed");

/// The ends of time behind which rows are kept from the caller, as `meta.limited_by` of JSON says.
const LIMITED_BY: HeaderName = HeaderName::from_static("martello-limited-by");

/// How access to the dataset was decided: audit and `martello access explain` know it.
const DECISION: HeaderName = HeaderName::from_static("martello-decision");

/// RFC 9530.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");

/// A request about a dataset that its caller may know of: one that is not there is a 404 whatever else is wrong.
pub(super) struct Asking {
    context: Context,
    principal: Principal,
    admission: Admission,
    dataset: String,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// The question, where it stands in the body.
    body: Option<Bytes>,
}

impl FromRequestParts<Context> for Asking {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let Caller(principal) = Caller::from_request_parts(parts, context).await?;
        // `/v1/datasets/{dataset}/…`
        let dataset = segments(parts.uri.path().split('/').nth(3).unwrap_or_default())?.remove(0);
        if context.engine.catalog.get(&dataset).is_none() || principal.role().grant(&dataset).is_none() {
            return Err(plan::Error::UnknownDataset(dataset).into());
        }
        // Nobody behind reads them.
        let headers = std::mem::take(&mut parts.headers);
        let (context, uri) = (context.clone(), parts.uri.clone());
        let admission = parts.extensions.get::<Admission>().cloned().unwrap_or_default();
        let method = parts.method.clone();
        Ok(Self { context, principal, admission, dataset, method, uri, headers, body: None })
    }
}

/// What the words of a request mean for a role, of those versions.
struct Meaning {
    parameters: Vec<(String, String)>,
    asked: Asked,
    plan: Arc<Plan>,
    /// Only looked at for its place: a snapshot that nobody else holds is let go.
    versions: Weak<Versions>,
}

/// `GET /v1/datasets/{dataset}/rows`
pub(super) async fn page(asking: Asking) -> Result<Response, Problem> {
    asking.page(params::page).await
}

/// `GET /v1/datasets/{dataset}/aggregate`
pub(super) async fn aggregate(asking: Asking) -> Result<Response, Problem> {
    asking.page(params::aggregate).await
}

/// `GET /v1/datasets/{dataset}/changes`: what has become of rows from one version to another.
pub(super) async fn changes(asking: Asking) -> Result<Response, Problem> {
    let parameters = parameters(asking.uri.query())?;
    let params::Changes { asked, from, to } = params::changes(&asking.dataset, parameters.clone())?;
    let Asking { context, principal, admission, uri, headers, .. } = &asking;
    let versions = context.engine.pointer.load();
    let plan = context.engine.plan_changes(&asked.query, &versions, principal, (from, to))?;
    let representation = representation::choose(headers, &asked, &plan)?;
    admission.may_deliver(context).await?;
    if let Some(number) = context.engine.outgrown(&plan).await? {
        let detail = format!("version {number} was published under a contract with other columns");
        let hint = "fetch a whole version, and go on from there";
        return Err(Problem::new(problem::VERSION_GONE, detail).parameter("from").hint(hint));
    }
    let plan = Arc::new(plan);
    let mut response = asking.stream(&plan, representation).await?;
    if let Some(version) = plan.version() {
        // The same request from there on: RFC 5989 calls it what changes can be heard of by.
        let others = parameters.into_iter().filter(|(name, _)| !matches!(name.as_str(), "from" | "to"));
        let from = ("from".to_owned(), version.number.to_string());
        let further: Vec<(String, String)> = std::iter::once(from).chain(others).collect();
        let base = context.limits.public_url.as_deref();
        if let Ok(link) = HeaderValue::try_from(link(base, uri.path(), &further, "monitor")) {
            response.headers_mut().append(header::LINK, link);
        }
    }
    Ok(response)
}

/// `GET /v1/datasets/{dataset}/rows/{key}`, a segment for each column of the key.
pub(super) async fn row(asking: Asking) -> Result<Response, Problem> {
    // Cut from the raw path: an escaped slash belongs to its segment.
    let key: Vec<&str> = asking.uri.path().splitn(6, '/').collect();
    let key = segments(key.last().copied().unwrap_or_default())?;
    let asked = params::row(&asking.dataset, key, parameters(asking.uri.query())?)?;
    asking.once(&asked).await
}

/// `POST /v1/datasets/{dataset}/query`: the question is the body. Nothing is changed by it; a URL would be too short.
pub(super) async fn query(mut asking: Asking, bytes: Bytes) -> Result<Response, Problem> {
    if let Some((name, _)) = parameters(asking.uri.query())?.first() {
        let detail = format!("the question stands in the body, and {} in the URL", shown(name));
        return Err(Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(shown(name)));
    }
    expect_json(&asking.headers)?;
    let asked = body::read(&asking.dataset, &bytes)?;
    asking.body = Some(bytes);
    asking.once(&asked).await
}

impl Asking {
    /// Plans a question and answers it.
    async fn once(&self, asked: &Asked) -> Result<Response, Problem> {
        let versions = self.context.engine.pointer.load();
        let plan = match self.context.engine.plan(&asked.query, &versions, &self.principal) {
            Err(error) if self.is_over(&error) => return self.deferred(asked, &versions, error).await,
            plan => plan?,
        };
        Ok(self.answer(asked, &Arc::new(plan), &Arc::downgrade(&versions)).await?.0)
    }

    /// A page whose head tells where the next one is.
    async fn page(
        &self,
        read: impl Fn(&str, Vec<(String, String)>) -> Result<Asked, Problem>,
    ) -> Result<Response, Problem> {
        let versions = self.context.engine.pointer.load();
        let words = self.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let key = Questions::key(&self.principal, &[words.as_bytes()]);
        let questions = &self.context.questions;
        let known = questions.get::<Meaning>(key).filter(|meaning| {
            Weak::ptr_eq(&meaning.versions, &Arc::downgrade(&versions))
                && meaning.plan.until().is_none_or(|until| crate::clock::now() < until)
        });
        let meaning = match known {
            Some(meaning) => meaning,
            None => {
                let parameters = parameters(self.uri.query())?;
                let asked = read(&self.dataset, parameters.clone())?;
                let plan = match self.context.engine.plan(&asked.query, &versions, &self.principal) {
                    Err(error) if self.is_over(&error) => return self.deferred(&asked, &versions, error).await,
                    plan => Arc::new(plan?),
                };
                let versions = Arc::downgrade(&versions);
                let meaning = Arc::new(Meaning { parameters, asked, plan, versions });
                questions.insert(key, words.len(), Arc::clone(&meaning));
                meaning
            }
        };
        let (mut response, next) = self.answer(&meaning.asked, &meaning.plan, &meaning.versions).await?;
        if let Some(next) = &next {
            let base = self.context.limits.public_url.as_deref();
            // The link is escaped, so it is a header's text.
            if let Ok(link) = HeaderValue::try_from(next_link(base, self.uri.path(), &meaning.parameters, next)) {
                response.headers_mut().append(header::LINK, link);
            }
        }
        Ok(response)
    }

    /// The answer, and where the next page begins.
    async fn answer(
        &self,
        asked: &Asked,
        plan: &Arc<Plan>,
        versions: &Weak<Versions>,
    ) -> Result<(Response, Option<Cursor>), Problem> {
        let engine = &self.context.engine;
        let representation = representation::choose(&self.headers, asked, plan)?;
        let told = |entry: Entry| Kept {
            response: private(entry.body.into_response()),
            next: None,
            current: true,
            origin: "source",
            rows: 0,
            related: Vec::new(),
            again: None,
        };
        let keepers = match self.method {
            Method::GET | Method::HEAD if self.principal.role().anonymous() => Keepers::Everybody,
            Method::GET | Method::HEAD => Keepers::Caller,
            _ => Keepers::Nobody,
        };
        // Who has no row left asks no source. An answer that the client may have already costs it none.
        if asked.act == Act::Answer && (plan.whole() || !self.headers.contains_key(header::IF_NONE_MATCH)) {
            self.admission.may_deliver(&self.context).await?;
        }
        let kept = match asked.act {
            Act::Answer if plan.whole() => {
                // Who would rather not wait for all rows comes back for files, where there is somebody to make them.
                let response = match self.context.shelf.exports.as_ref().filter(|_| self.prefers_async()) {
                    Some(exports) => {
                        let question = self.question();
                        exports::begin(exports, &self.principal, plan, representation, &question, None).await?
                    }
                    None => self.stream(plan, representation).await?,
                };
                return Ok((response, None));
            }
            Act::Answer => kept::answer(engine, plan, representation, &self.headers, keepers).await?,
            Act::DryRun => told(engine.estimate(plan, representation).await?),
            Act::Explain => told(engine.explain(plan).await?),
        };
        let Kept { mut response, next, current, origin, rows, related, again } = kept;
        let unmodified = response.status() == StatusCode::NOT_MODIFIED;
        let headers = response.headers_mut();
        if !unmodified {
            represent(plan.dataset(), representation.media_type, next.as_ref(), headers);
        }
        versions::tell(plan.dataset(), plan.version().map(Arc::as_ref).filter(|_| current), headers);
        if plan.version_changed() && representation.media_type != MediaType::Json {
            headers.insert(VERSION_CHANGED, HeaderValue::from_static("?1"));
        }
        deprecate(plan.dataset(), headers);
        limited(plan, headers);
        self.decided(headers);
        let extensions = response.extensions_mut();
        extensions.insert(Accesses::of(plan, rows, related, representation.media_type, origin));
        if let Some(body) = again {
            let fresh = plan.version().and_then(|version| versions::fresh_until(plan.dataset(), version));
            let moved = plan.until().and_then(|until| u64::try_from(until.as_millisecond()).ok());
            let until = fresh.into_iter().chain(moved).min();
            let (versions, until) = (Weak::clone(versions), until.unwrap_or(u64::MAX));
            let parts = Arc::new([(engine.tally(plan), representation.into())]);
            extensions.insert(Replay { body, versions, until, parts });
        }
        Ok((response, next))
    }

    /// Whether the client would rather come back than wait (RFC 7240, 4.1).
    fn prefers_async(&self) -> bool {
        let preferences = self.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
        let named =
            |preference: &str| preference.split([';', '=']).next().unwrap_or_default().trim().to_ascii_lowercase();
        self.method != Method::HEAD
            && preferences.flat_map(|value| value.split(',')).any(|preference| named(preference) == "respond-async")
    }

    /// Whether what was asked for are more rows than one answer may have, by a client that would rather come back.
    fn is_over(&self, error: &plan::Error) -> bool {
        matches!(error, plan::Error::Limit { asked, max } if *asked > u64::from(*max)) && self.prefers_async()
    }

    /// An export in place of a page that is too long.
    async fn deferred(&self, asked: &Asked, versions: &Versions, error: plan::Error) -> Result<Response, Problem> {
        let exports = self.context.shelf.exports.as_ref().filter(|_| asked.act == Act::Answer);
        let (Some(exports), Some(all)) = (exports, exports::of(asked)) else { return Err(error.into()) };
        let plan = self.context.engine.plan(&all.query, versions, &self.principal)?;
        let representation = representation::choose(&self.headers, asked, &plan)?;
        self.admission.may_deliver(&self.context).await?;
        exports::begin(exports, &self.principal, &plan, representation, &self.question(), None).await
    }

    /// The question as it was asked, to be read again by [`exports::asked_again`].
    fn question(&self) -> String {
        match &self.body {
            Some(body) => String::from_utf8_lossy(body).into_owned(),
            None => {
                let what = self.uri.path().split('/').nth(4).unwrap_or_default();
                format!("{what}?{}", self.uri.query().unwrap_or_default())
            }
        }
    }

    /// Names the decision by which the caller sees what is answered.
    fn decided(&self, headers: &mut HeaderMap) {
        // Hexadecimal is a header's text.
        if let Ok(decision) = HeaderValue::try_from(self.principal.decision(&self.dataset).to_string()) {
            headers.insert(DECISION, decision);
        }
    }

    /// Every row, with the digest of all of them in a trailer for a client that reads trailers. A failure behind the first
    /// rows leaves the body unfinished, which no client takes for a whole one.
    async fn stream(&self, plan: &Arc<Plan>, representation: Representation) -> Result<Response, Problem> {
        let (dataset, version) = (plan.dataset_arc(), plan.version().cloned());
        let trailers = self.headers.get_all(header::TE).iter().any(takes_trailers);
        let tier = self.principal.role().tier;
        let pieces = self.context.engine.stream(Plan::clone(plan), representation, tier, trailers).await?;
        let counted = Arc::new(AtomicU64::new(0));
        let accesses = Accesses::streamed(Arc::clone(plan), Arc::clone(&counted), representation.media_type);
        let (context, admission) = (self.context.clone(), self.admission.clone());
        let frames = pieces.map_ok(move |piece| match piece {
            Piece::Bytes(bytes, rows) => {
                counted.fetch_add(rows, Ordering::Relaxed);
                admission.delivered(&context, rows);
                Frame::data(bytes)
            }
            Piece::Digest(digest) => {
                let digest = format!("sha-256=:{}:", STANDARD.encode(digest));
                // Base64 is a header's text.
                let value = HeaderValue::try_from(digest).ok();
                Frame::trailers(value.map(|value| (REPR_DIGEST, value)).into_iter().collect())
            }
        });
        let mut response = private(Body::new(StreamBody::new(frames)).into_response());
        response.extensions_mut().insert(accesses);
        let headers = response.headers_mut();
        // It passes by every cache: it is as large as it is, and never asked for twice.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        if trailers {
            headers.insert(header::TRAILER, HeaderValue::from(REPR_DIGEST));
        }
        represent(&dataset, representation.media_type, None, headers);
        versions::tell(&dataset, version.as_deref(), headers);
        deprecate(&dataset, headers);
        limited(plan, headers);
        self.decided(headers);
        Ok(response)
    }
}

/// Whether `TE` names trailers (RFC 9110, 10.1.4).
fn takes_trailers(value: &HeaderValue) -> bool {
    value.to_str().is_ok_and(|text| text.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")))
}

/// Says what an answer is written as, under which name a browser keeps it, and where the next page begins, where no
/// document of JSON says so.
fn represent(dataset: &Dataset, media_type: MediaType, next: Option<&Cursor>, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type.content_type()));
    // Names and cursors are plain ASCII.
    let mut insert = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    if let Some(ending) = media_type.file_ending() {
        insert(header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}.{ending}\"", dataset.name));
    }
    if let Some(next) = next.filter(|_| media_type != MediaType::Json) {
        insert(NEXT_CURSOR, next.0.clone());
    }
}

/// Refuses a body that does not say that it is JSON.
pub(super) fn expect_json(headers: &HeaderMap) -> Result<(), Problem> {
    let mut media_types = headers.get_all(header::CONTENT_TYPE).iter();
    let json = media_types.next().and_then(|media_type| media_type.to_str().ok()).is_some_and(is_json);
    if !json || media_types.next().is_some() {
        return Err(Problem::new(problem::UNSUPPORTED_MEDIA_TYPE, "expected a question as application/json")
            .parameter("Content-Type"));
    }
    Ok(())
}

/// `application/json`, and nothing else but its one harmless parameter (RFC 8259 has no other encoding than UTF-8).
fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().is_some_and(|name| name == "application/json")
        && parts.all(|part| matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""))
}

/// Tells of a dataset on its way out: RFC 9745 dates its deprecation, RFC 8594 its end.
fn deprecate(dataset: &Dataset, headers: &mut HeaderMap) {
    let Some(deprecation) = &dataset.deprecation else { return };
    let seconds = |date: jiff::civil::Date| {
        date.to_zoned(jiff::tz::TimeZone::UTC).map_or(0, |instant| instant.timestamp().as_second())
    };
    let mut add = |name: &'static str, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.append(HeaderName::from_static(name), value);
        }
    };
    add("deprecation", format!("@{}", seconds(deprecation.since)));
    if let Some(sunset) = deprecation.sunset {
        add("sunset", sunset.strftime("%a, %d %b %Y 00:00:00 GMT").to_string());
    }
    if let Some(replacement) = &deprecation.replacement {
        add("link", format!("</v1/datasets/{replacement}>; rel=\"successor-version\""));
    }
}

/// Says in the head what `meta.limited_by` says in a body of JSON, as a list of structured fields (RFC 9651).
fn limited(plan: &Plan, headers: &mut HeaderMap) {
    let windows = plan.windows().iter().map(|window| {
        let end = if window.end == End::History { "from" } else { "to" };
        let (name, dataset, column) = (window.end.as_str(), &window.dataset, &window.column);
        format!("{name};dataset=\"{dataset}\";column=\"{column}\";{end}=\"{}\"", window.shown())
    });
    let windows: Vec<String> = windows.collect();
    // Names and instants are plain ASCII.
    if let Some(Ok(value)) = (!windows.is_empty()).then(|| HeaderValue::try_from(windows.join(", "))) {
        headers.insert(LIMITED_BY, value);
    }
}

/// The same request, further on.
fn next_link(base: Option<&str>, path: &str, parameters: &[(String, String)], next: &Cursor) -> String {
    let others = parameters.iter().filter(|(name, _)| name != "cursor").cloned();
    let further: Vec<(String, String)> = others.chain([("cursor".to_owned(), next.0.clone())]).collect();
    link(base, path, &further, "next")
}

/// RFC 8288.
fn link(base: Option<&str>, path: &str, parameters: &[(String, String)], rel: &str) -> String {
    let pairs = parameters
        .iter()
        .map(|(name, value)| format!("{}={}", utf8_percent_encode(name, ESCAPED), utf8_percent_encode(value, ESCAPED)));
    let query: Vec<String> = pairs.collect();
    format!("<{}{path}?{}>; rel=\"{rel}\"", base.unwrap_or_default().trim_end_matches('/'), query.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_link_asks_the_same_question_further_on() {
        let parameters = [("symbol.in", "A,\"B C\""), ("cursor", "old"), ("limit", "2")];
        let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let next = Cursor("new".into());
        assert_eq!(
            next_link(Some("https://api.example/"), "/v1/datasets/d/rows", &parameters, &next),
            "<https://api.example/v1/datasets/d/rows?symbol.in=A,%22B%20C%22&limit=2&cursor=new>; rel=\"next\""
        );
    }
}
