//! An answer that may have been given before: conditional requests, codings, and what caches on the way may do with it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::private;
use crate::encode::{Coding, Codings};
use crate::engine::{Engine, Origin, Representation, Served, Stale, Tag};
use crate::http::Problem;
use crate::http::conditional::{codings, etag, matched, matches_any};
use crate::plan::Plan;
use crate::query::Cursor;

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
/// The control store is asked twice a second.
const UNHEARD: std::time::Duration = std::time::Duration::from_secs(5);
const VARY: &str = "Authorization, Accept, Accept-Encoding";

/// What is said of an answer once it is there.
pub(super) struct Kept {
    pub(super) response: Response,
    pub(super) next: Option<Cursor>,
    /// Whether it is of the plan's version: one that has outlived the source may be of the one before.
    pub(super) current: bool,
    /// Where it is from.
    pub(super) origin: &'static str,
    /// Rows that it delivers, and those of each relation.
    pub(super) rows: usize,
    pub(super) related: Vec<u64>,
    /// The whole body, where nothing but the words, the caller and the versions make it what it is, and it was there before.
    pub(super) again: Option<Bytes>,
}

/// For whom an answer may be kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Keepers {
    /// Nobody on the way, and no client: the method's answers are not kept.
    Nobody,
    /// The caller alone.
    Caller,
    /// Everybody who brings no credential either.
    Everybody,
}

/// Answers a plan, or says that the client has the answer already.
pub(super) async fn answer(
    engine: &Arc<Engine>,
    plan: &Arc<Plan>,
    representation: Representation,
    headers: &HeaderMap,
    keepers: Keepers,
) -> Result<Kept, Problem> {
    let conditional = keepers != Keepers::Nobody;
    let codings = codings(headers);
    // Of what is published the tag is known before anything runs: a client that has it needs no database and no Redis.
    // `*` needs an answer, of which there may be none.
    if let Some(tag) = engine.tag(plan, representation).filter(|_| conditional && !matches_any(headers))
        && let Some(known) = matched(headers, tag, codings)
    {
        let mut response = not_modified(known);
        caching(&mut response, plan, None, keepers);
        response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static("martello-l1; hit"));
        engine.unmodified(plan);
        let again = Some(Bytes::new());
        return Ok(Kept { response, next: None, current: true, origin: "l1", rows: 0, related: Vec::new(), again });
    }
    let served = engine.serve(plan, representation).await.map_err(|error| Problem::from(error.as_ref()))?;
    let tag = served.tag(plan).filter(|_| conditional);
    let (mut response, body, rows, related) = match tag.and_then(|tag| matched(headers, tag, codings)) {
        Some(known) => (not_modified(known), Bytes::new(), 0, Vec::new()),
        None => {
            let (response, body) = whole(engine, &served, representation, codings, tag).await;
            (response, body, served.entry.rows, served.entry.related.clone())
        }
    };
    if conditional && tag.is_some() {
        caching(&mut response, plan, Some(&served), keepers);
    } else {
        response = private(response);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static(VARY));
    }
    response.headers_mut().insert(CACHE_STATUS, status(&served));
    if served.stale.is_some() || (served.origin != Origin::Source && plan.version().is_none()) {
        response.headers_mut().insert(header::AGE, HeaderValue::from(served.age() / 1000));
    }
    // Whether it is still the current version has not been heard of for a while.
    let heard = engine.pointer.age();
    if heard > UNHEARD && plan.version().is_some() {
        response.headers_mut().insert(header::AGE, HeaderValue::from(heard.as_secs()));
    }
    let next = served.entry.next.clone().map(Cursor);
    let origin = match (served.stale, served.origin) {
        (Some(_), _) => "stale",
        (None, Origin::Memory) => "l1",
        (None, Origin::Shared) => "l2",
        (None, Origin::Source) => "source",
    };
    let again = (origin == "l1" && conditional && tag.is_some() && plan.published_at().is_some()).then_some(body);
    let current = served.stale != Some(Stale::IfError);
    Ok(Kept { response, next, current, origin, rows, related, again })
}

fn not_modified(known: HeaderValue) -> Response {
    (StatusCode::NOT_MODIFIED, [(header::ETAG, known)]).into_response()
}

async fn whole(
    engine: &Engine,
    served: &Served,
    representation: Representation,
    codings: Codings,
    tag: Option<Tag>,
) -> (Response, Bytes) {
    let (coding, body) = engine.packed(served, representation.media_type, codings).await;
    let mut response = body.clone().into_response();
    let headers = response.headers_mut();
    if coding != Coding::Identity {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    if let Some(tag) = tag {
        headers.insert(header::ETAG, etag(tag, coding));
    }
    (response, body)
}

/// What caches may do: keep it for as long as the contract says. An answer to a credential is its caller's, `private`, with
/// none of the words that open it to shared caches in spite of the token (RFC 9111, 3.5). What anybody gets, any cache may
/// keep for whoever brings no credential: `Vary` tells the others apart.
fn caching(response: &mut Response, plan: &Plan, served: Option<&Served>, keepers: Keepers) {
    let cache = &plan.dataset().cache;
    let published_at = plan.published_at();
    let left = match served {
        Some(served) if served.stale.is_some() => 0,
        Some(served) if published_at.is_none() => cache.max_age.as_secs().saturating_sub(served.age() / 1000),
        _ => cache.max_age.as_secs(),
    };
    let control = format!(
        "{}, max-age={left}, stale-while-revalidate={}, stale-if-error={}",
        if keepers == Keepers::Everybody { "public" } else { "private" },
        cache.stale_while_revalidate.as_secs(),
        cache.stale_if_error.as_secs()
    );
    let headers = response.headers_mut();
    // Numbers are a header's text.
    if let Ok(control) = HeaderValue::try_from(control) {
        headers.insert(header::CACHE_CONTROL, control);
    }
    headers.insert(header::VARY, HeaderValue::from_static(VARY));
    let published = published_at.filter(|_| served.is_none_or(|served| served.stale.is_none()));
    let published = published.map(|at| at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    if let Some(Ok(published)) = published.map(HeaderValue::try_from) {
        headers.insert(header::LAST_MODIFIED, published);
    }
}

/// How the caches have handled a request, the nearest to the client last (RFC 9211).
fn status(served: &Served) -> HeaderValue {
    let stored = if served.stored { "; stored" } else { "" };
    let collapsed = if served.coalesced { "; collapsed" } else { "" };
    let text = match (served.stale, served.origin) {
        (Some(Stale::WhileRevalidate), _) => "martello-l1; hit; detail=stale-while-revalidate".to_owned(),
        (Some(Stale::IfError), Origin::Shared) => {
            "martello-l2; hit; detail=stale-if-error, martello-l1; fwd=stale".to_owned()
        }
        (Some(Stale::IfError), _) => "martello-l1; hit; detail=stale-if-error".to_owned(),
        (None, Origin::Memory) => "martello-l1; hit".to_owned(),
        (None, Origin::Shared) => format!("martello-l2; hit, martello-l1; fwd=miss{stored}{collapsed}"),
        (None, Origin::Source) if served.is_kept() => format!("martello-l1; fwd=miss{stored}{collapsed}"),
        (None, Origin::Source) => "martello-l1; fwd=bypass".to_owned(),
    };
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("martello-l1; fwd=miss"))
}
