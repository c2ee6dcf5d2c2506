//! The REST door: paths and query strings to questions, entries to responses. Nothing of planning or permission.

mod asked;
mod body;
mod datasets;
mod docs;
mod events;
mod expand;
mod exports;
mod kept;
mod me;
pub mod openapi;
mod params;
mod representation;
mod rows;
mod snapshots;
mod tree;
mod versions;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{get, post};

use crate::http::Context;

pub use body::question_of_body;
pub use exports::asked_again;
pub use params::question;

/// The routes of this door.
pub fn routes() -> Router<Context> {
    Router::new()
        .route("/v1/datasets", get(datasets::list))
        .route("/v1/datasets/{dataset}", get(datasets::describe))
        .route("/v1/datasets/{dataset}/rows", get(rows::page))
        .route("/v1/datasets/{dataset}/rows/{*key}", get(rows::row))
        .route("/v1/datasets/{dataset}/aggregate", get(rows::aggregate))
        .route("/v1/datasets/{dataset}/query", post(rows::query))
        .route("/v1/datasets/{dataset}/changes", get(rows::changes))
        .route("/v1/datasets/{dataset}/versions", get(versions::list))
        .route("/v1/datasets/{dataset}/snapshots", get(snapshots::list))
        .route("/v1/exports", get(exports::list).post(exports::create))
        .route("/v1/exports/{id}", get(exports::describe).delete(exports::cancel))
        .route("/v1/me", get(me::describe))
        .route("/v1/usage", get(me::usage))
        .route("/v1/events", get(events::listen))
        .route("/openapi.json", get(docs::document))
        .route("/docs", get(docs::page))
        .route("/docs/{file}", get(docs::asset))
        .route("/problems/{slug}", get(docs::kind))
}

/// Marks an answer as its caller's own: kept by no shared cache, and asked for again each time.
fn private(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Accept"));
    response
}
