//! The audit's newest events by one HTTP call, for who reviews access.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::{Uri, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use jiff::Timestamp;
use serde_json::json;

use super::officer::Officer;
use crate::audit::{Error, Filter, Trail};
use crate::clock;
use crate::config::duration::parse_duration;
use crate::http::extract::parameters;
use crate::http::problem;
use crate::http::problem::shown;
use crate::http::{Context, Guard, Problem, guard};
use crate::store::Store;
use crate::telemetry;

/// Events when nobody says how many, and at most.
const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 10_000;

/// What reading the audit needs.
#[derive(Clone)]
pub struct Auditing {
    /// Knows callers.
    pub context: Context,
    /// Has the events, where they go to a table.
    pub table: Option<Arc<Store>>,
}

pub(super) fn routes(auditing: Auditing) -> Router {
    let guarded = Guard::of(&auditing.context);
    Router::new().route("/v1/audit", get(newest)).layer(from_fn_with_state(guarded, guard)).with_state(auditing)
}

impl FromRef<Auditing> for Context {
    fn from_ref(auditing: &Auditing) -> Self {
        auditing.context.clone()
    }
}

/// `GET /v1/audit?limit=&dataset=&role=&subject=&since=`: the newest first.
async fn newest(State(auditing): State<Auditing>, _: Officer, uri: Uri) -> Result<Response, Problem> {
    let Some(table) = auditing.table else {
        let detail = "events are not kept in a table here: that takes audit.to: table";
        return Err(Problem::new(problem::NOT_FOUND, detail));
    };
    let (mut filter, mut limit) = (Filter::default(), LIMIT_DEFAULT);
    for (name, value) in parameters(uri.query())? {
        let invalid = |expected: &str| {
            Problem::new(problem::INVALID_LITERAL, format!("expected {expected}")).parameter(name.as_str())
        };
        match name.as_str() {
            "limit" => {
                let read = value.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
                limit = read.ok_or_else(|| invalid("a number from 1 to 10000"))?;
            }
            "dataset" => filter.dataset = Some(value),
            "role" => filter.role = Some(value),
            "subject" => filter.subject = Some(value),
            "since" => {
                let read = since(&value);
                filter.since = Some(read.ok_or_else(|| invalid("an instant, or how long ago, such as 24h"))?);
            }
            _ => {
                let detail = format!("there is no parameter {}", shown(&name));
                return Err(Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(shown(&name)));
            }
        }
    }
    let events = Trail::Table(table).newest(&filter, limit).await.map_err(|error| out(&error))?;
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(json!({ "data": events }))).into_response())
}

/// An instant, or a duration before now.
fn since(text: &str) -> Option<Timestamp> {
    text.parse().ok().or_else(|| clock::now().checked_sub(parse_duration(text).ok()?).ok())
}

fn out(error: &Error) -> Problem {
    tracing::error!(error = telemetry::chain(error), "the audit could not be read");
    Problem::new(problem::CONTROL_UNAVAILABLE, "the control store does not answer now")
}
