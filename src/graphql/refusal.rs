//! What a client hears when there is no data: errors as GraphQL has them, each with the problem that REST would tell.

use async_graphql::{Pos, ServerError};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::request::Wording;
use crate::http::problem;
use crate::http::{Problem, Worded};

/// Why there is no data.
#[derive(Debug)]
pub(super) struct Refusal {
    /// What it is, for status, log and audit.
    pub(super) problem: Problem,
    errors: Vec<Value>,
    /// Whether it was asked in a well-formed way, so that what is wrong is the document or what it asks.
    well_formed: bool,
}

impl Refusal {
    /// A request that is none of GraphQL's.
    pub(super) fn malformed(problem: Problem) -> Self {
        Self { well_formed: false, ..problem.into() }
    }

    /// One field of the document cannot be answered.
    pub(super) fn of_field(problem: Problem, key: &str, pos: Pos) -> Self {
        let mut refusal = Self::from(in_words_of_this_door(problem));
        for error in &mut refusal.errors {
            error["locations"] = json!([{ "line": pos.line, "column": pos.column }]);
            error["path"] = json!([key]);
        }
        refusal
    }

    /// What the library has found, so many at most.
    pub(super) fn found(errors: Vec<ServerError>, max: usize) -> Self {
        let problem = Problem::new(problem::INVALID_DOCUMENT, "the document cannot be answered: see errors");
        let errors = errors.into_iter().take(max).map(|error| {
            let locations: Vec<Value> =
                error.locations.iter().map(|pos| json!({ "line": pos.line, "column": pos.column })).collect();
            let mut told = json!({ "message": error.message });
            if !locations.is_empty() {
                told["locations"] = json!(locations);
            }
            told["extensions"] = extensions(&problem);
            told
        });
        let errors = errors.collect();
        Self { problem, errors, well_formed: true }
    }

    /// The first error, in words.
    pub(super) fn message(&self) -> (u64, String) {
        let first = self.errors.first();
        let line = first.and_then(|error| error["locations"][0]["line"].as_u64()).unwrap_or(1);
        (line, first.and_then(|error| error["message"].as_str()).unwrap_or_default().to_owned())
    }

    /// The response. Who accepts `application/json` alone hears 200 where the document is at fault, and only there.
    pub(super) fn into_response(self, wording: Wording) -> Response {
        let Self { problem, errors, well_formed } = self;
        let old = wording == Wording::Json && well_formed && problem.kind.status == StatusCode::BAD_REQUEST;
        let status = if old { StatusCode::OK } else { problem.kind.status };
        let body = json!({ "errors": errors }).to_string();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, wording.content_type());
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in problem.headers() {
            headers.insert(name, value.clone());
        }
        if problem.kind == problem::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST"));
        }
        response.extensions_mut().insert(Worded(problem));
        response
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        let mut error = json!({ "message": problem.detail });
        error["extensions"] = extensions(&problem);
        Self { errors: vec![error], problem, well_formed: true }
    }
}

/// Parts of a question have names of their own here.
fn in_words_of_this_door(mut problem: Problem) -> Problem {
    let own = |name: &str| match name {
        "limit" => Some("first"),
        "cursor" => Some("after"),
        "sort" => Some("order_by"),
        "select" | "measures" => Some("the selection"),
        "resample" => Some("interval"),
        _ => None,
    };
    if let Some(own) = problem.parameter.as_deref().and_then(own) {
        problem.parameter = Some(own.to_owned());
    }
    if problem.kind == problem::LIMIT_OUT_OF_RANGE {
        problem.detail = problem.detail.replacen("limit must", "first or last must", 1);
        if problem.parameter.as_deref() == Some("first") {
            problem.hint = Some("go on with after: pageInfo.endCursor for what is behind a page".to_owned());
        }
    }
    problem
}

/// What a problem says besides its detail.
fn extensions(problem: &Problem) -> Value {
    let mut extensions = json!({
        "type": format!("/problems/{}", problem.kind.slug),
        "title": problem.kind.title,
        "status": problem.kind.status.as_u16(),
    });
    if let Some(parameter) = &problem.parameter {
        extensions["parameter"] = json!(parameter);
    }
    if let Some(hint) = &problem.hint {
        extensions["hint"] = json!(hint);
    }
    // What clients that persist documents by themselves look for.
    if problem.kind == problem::DOCUMENT_NOT_FOUND {
        extensions["code"] = json!("PERSISTED_QUERY_NOT_FOUND");
    }
    extensions
}
