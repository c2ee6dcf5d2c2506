//! The admin listener's resources: probes, metrics, publishing and the access matrix. Never public.

mod auditing;
mod officer;
mod policy;
mod publishing;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::source::Sources;
use crate::telemetry;

pub use auditing::Auditing;
pub use policy::Policy;
pub use publishing::Publishing;

/// A probe that takes longer than this has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// What the admin listener knows.
#[derive(Clone)]
pub struct Admin {
    /// Renders metrics.
    pub metrics: PrometheusHandle,
    /// Asked whether they are there.
    pub sources: Sources,
    /// Whether the process is on its way out.
    pub draining: Arc<AtomicBool>,
    /// Publishes, where there is a control store.
    pub publishing: Option<Publishing>,
    /// Reloads the access matrix.
    pub policy: Policy,
    /// Tells who has read what.
    pub auditing: Auditing,
}

/// The routes of the admin listener.
pub fn routes(admin: Admin) -> Router {
    let publishing = admin.publishing.clone().map(publishing::routes).unwrap_or_default();
    let policy = policy::routes(admin.policy.clone());
    let auditing = auditing::routes(admin.auditing.clone());
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(admin)
        .merge(publishing)
        .merge(policy)
        .merge(auditing)
}

/// Whether the process answers. Asks nobody else: an orchestrator must not restart it for a database's sake.
async fn live() -> &'static str {
    "ok\n"
}

/// Whether requests would be answered, and which source is not there when they would not.
async fn ready(State(admin): State<Admin>) -> Response {
    if admin.draining.load(Ordering::Relaxed) {
        return (StatusCode::SERVICE_UNAVAILABLE, axum::Json(json!({ "status": "draining" }))).into_response();
    }
    let mut sources = Map::new();
    let mut all = true;
    for (name, source) in admin.sources.iter() {
        let state = match tokio::time::timeout(PROBE_TIMEOUT, source.ready()).await {
            Ok(Ok(())) => "ready".to_owned(),
            Ok(Err(error)) => {
                tracing::warn!(source = name, error = %telemetry::chain(&error), "a source is not ready");
                error.to_string()
            }
            Err(_) => "no answer in time".to_owned(),
        };
        all &= state == "ready";
        sources.insert(name.to_owned(), Value::from(state));
    }
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let word = if all { "ready" } else { "unavailable" };
    (status, axum::Json(json!({ "status": word, "sources": sources }))).into_response()
}

async fn render(State(admin): State<Admin>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], admin.metrics.render()).into_response()
}
