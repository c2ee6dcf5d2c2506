//! Publishes as they happen, to whoever subscribes: GraphQL over server-sent events, a connection for each subscription.

use std::convert::Infallible;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde_json::json;
use uuid::Uuid;

use super::conditions;
use super::document::Document;
use super::facts;
use super::refusal::Refusal;
use super::schema::{PUBLISHED, Shape};
use crate::auth::Principal;
use crate::http::problem;
use crate::http::{Context, Problem, announced};
use crate::store::VersionId;

/// Where a client that was cut goes on (HTML, 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// Whether the client reads events.
pub(super) fn is_accepted(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut names = ranges.flat_map(|text| text.split(',')).filter_map(|range| range.split(';').next());
    names.any(|name| name.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// Answers a subscription that was validated.
pub(super) fn answer(
    context: &Context,
    principal: &Principal,
    headers: &HeaderMap,
    shape: Arc<Shape>,
    document: Document,
) -> Result<Response, Refusal> {
    let roots = document.roots()?;
    let [root] = roots.as_slice() else {
        let detail = "a subscription has one root field";
        return Err(Problem::new(problem::INVALID_DOCUMENT, detail).into());
    };
    if root.name != PUBLISHED {
        let detail = format!("a subscription is to {PUBLISHED}");
        return Err(Problem::new(problem::INVALID_DOCUMENT, detail).into());
    }
    let arguments = document.arguments(root);
    let datasets = conditions::argument(&arguments, "datasets").map(|_| conditions::names(&arguments, "datasets"));
    let since = headers.get(LAST_EVENT_ID).map(|id| {
        let id = id.to_str().ok().and_then(|id| Uuid::parse_str(id).ok());
        id.map(VersionId).ok_or_else(|| {
            let detail = "expected the id of an event that was sent before";
            Problem::new(problem::MALFORMED_REQUEST, detail).parameter("Last-Event-ID")
        })
    });
    let published = announced(context, principal.clone(), datasets.transpose()?.as_deref(), since.transpose()?)?;
    let events = published.filter_map(move |version| {
        let event = shape.known(version.dataset.as_str()).and_then(|known| {
            let told = json!({ "dataset": version.dataset.as_str(), "version": facts::version(&known.view, &version) });
            // What is selected was validated, so that there is nothing to refuse any more.
            let roots = document.roots().ok()?;
            let root = roots.first()?;
            let data = facts::selected(&document, &told, "Publication", &root.within).ok()?;
            let body = json!({ "data": { root.key: data } }).to_string();
            Some(Ok::<_, Infallible>(Event::default().event("next").id(version.id.to_string()).data(body)))
        });
        std::future::ready(event)
    });
    let complete = stream::once(std::future::ready(Ok(Event::default().event("complete").data(""))));
    let alive = KeepAlive::new().interval(context.limits.heartbeat);
    let mut response = Sse::new(events.chain(complete)).keep_alive(alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Accept"));
    // A proxy that collects an answer before it passes it on would pass on nothing.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}
