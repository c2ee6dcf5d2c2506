//! Every public route and every layer, on one page.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::from_fn_with_state;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::assets;
use crate::graphql;
use crate::http::{Context, Guard, guard, no_such_method, no_such_path, panicked};
use crate::rest;

/// The public router. A request passes the layers from the bottom of this list to its top.
pub(super) fn public(context: &Context, door: Arc<graphql::Door>, files: Arc<assets::Door>) -> Router {
    let origins = &context.limits.cors_origins;
    Router::new()
        .merge(rest::routes())
        .merge(graphql::routes(door))
        .merge(assets::routes(Arc::clone(&files)))
        .method_not_allowed_fallback(no_such_method)
        .fallback(no_such_path)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(option_layer((!origins.is_empty()).then(|| cors(origins))))
        // A link is good for pages of any origin, whatever else they may ask.
        .merge(assets::origin(files).layer(CatchPanicLayer::custom(panicked)))
        .layer(from_fn_with_state(Guard::of(context), guard))
        .with_state(context.clone())
}

/// Browsers of the configured origins may call, without cookies, and may read the headers that clients need.
fn cors(origins: &[String]) -> CorsLayer {
    let origins: Vec<HeaderValue> = origins.iter().filter_map(|origin| HeaderValue::try_from(origin).ok()).collect();
    let exposed = [
        "link",
        "location",
        "preference-applied",
        "etag",
        "age",
        "cache-status",
        "x-request-id",
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "deprecation",
        "sunset",
        "martello-next-cursor",
        "content-disposition",
        "martello-dataset-version",
        "martello-freshness",
        "repr-digest",
    ];
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::DELETE])
        .allow_headers([
            header::AUTHORIZATION,
            header::ACCEPT,
            header::CONTENT_TYPE,
            header::IF_NONE_MATCH,
            HeaderName::from_static("prefer"),
        ])
        .expose_headers(exposed.map(HeaderName::from_static))
}
