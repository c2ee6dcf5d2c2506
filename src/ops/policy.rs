//! The access matrix, for security officers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::header;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;

use super::officer::Officer;
use crate::auth::{ReloadError, Reloaded, Reloader};
use crate::http::problem;
use crate::http::{Context, Guard, Problem, guard};

/// What the access matrix's resources need.
#[derive(Clone)]
pub struct Policy {
    /// Knows callers.
    pub context: Context,
    /// Keeps the matrix at what its file says.
    pub reloader: Arc<Reloader>,
}

pub(super) fn routes(policy: Policy) -> Router {
    let guarding = Guard::of(&policy.context);
    Router::new().route("/v1/access/reload", post(reload)).layer(from_fn_with_state(guarding, guard)).with_state(policy)
}

impl FromRef<Policy> for Context {
    fn from_ref(policy: &Policy) -> Self {
        policy.context.clone()
    }
}

/// `POST /v1/access/reload`: takes what the file says now, or says why the matrix before stays.
async fn reload(State(policy): State<Policy>, _: Officer) -> Result<Response, Problem> {
    let reloader = Arc::clone(&policy.reloader);
    // A file is read, and all of it checked.
    let turned = tokio::task::spawn_blocking(move || reloader.turn()).await.map_err(|error| {
        let problem = problem::internal();
        problem.cause(&error)
    })?;
    let hex = |id: [u8; 16]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let data = match turned.map_err(refused)? {
        Reloaded::Unchanged => json!({ "changed": false, "matrix": hex(policy.context.engine.access.load().id()) }),
        Reloaded::Swapped { before, now } => json!({ "changed": true, "before": hex(before), "matrix": hex(now) }),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(json!({ "data": data }))).into_response())
}

fn refused(error: ReloadError) -> Problem {
    let detail = match &error {
        ReloadError::Matrix(source) => source.to_string(),
        ReloadError::NoMaskKey => error.to_string(),
    };
    Problem::new(problem::MATRIX_REFUSED, detail)
}
