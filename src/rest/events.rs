//! Publishes as they happen, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde_json::json;
use uuid::Uuid;

use super::{private, versions};
use crate::http::extract::parameters;
use crate::http::problem::{self, shown};
use crate::http::{Caller, Context, Problem, announced};
use crate::plan::View;
use crate::store::VersionId;

/// Where a client that was cut goes on (HTML, 9.2.4).
const LAST_EVENT_ID: &str = "last-event-id";

/// `GET /v1/events`
pub(super) async fn listen(
    State(context): State<Context>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let mut names: Option<Vec<String>> = None;
    for (name, value) in parameters(query.as_deref())? {
        if name != "dataset" {
            let problem = Problem::new(problem::UNKNOWN_PARAMETER, format!("there is no parameter {}", shown(&name)));
            return Err(problem.parameter(shown(&name)).hint("there is: dataset"));
        }
        names.get_or_insert_default().extend(value.split(',').map(str::to_owned));
    }
    let since = headers.get(LAST_EVENT_ID).map(|id| id.to_str().unwrap_or_default());
    let since = since.map(|id| {
        let id = Uuid::parse_str(id).map_err(|_| {
            let detail = "expected the id of an event that was sent before";
            Problem::new(problem::MALFORMED_REQUEST, detail).parameter("Last-Event-ID")
        });
        id.map(VersionId)
    });
    let (catalog, caller) = (Arc::clone(&context.engine.catalog), principal.clone());
    let published = announced(&context, principal, names.as_deref(), since.transpose()?)?;
    let events = published.map(move |version| {
        let mut told = json!({ "dataset": version.dataset.as_str() });
        let view = View::of(&catalog, &caller, version.dataset.as_str());
        let version_told = versions::told(&version, view.is_some_and(|view| view.has_all_rows()));
        if let (Some(told), Some(version)) = (told.as_object_mut(), version_told.as_object()) {
            told.extend(version.clone());
        }
        let event = Event::default().event("dataset_published").id(version.id.to_string());
        Ok::<_, Infallible>(event.data(told.to_string()))
    });
    let alive = KeepAlive::new().interval(context.limits.heartbeat);
    let mut response = private(Sse::new(events).keep_alive(alive).into_response());
    let headers = response.headers_mut();
    headers.insert(axum::http::header::CACHE_CONTROL, axum::http::HeaderValue::from_static("private, no-store"));
    // A proxy that collects an answer before it passes it on would pass on nothing.
    headers.insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    Ok(response)
}
