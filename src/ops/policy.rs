//! The access matrix, for security officers.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::json;

use crate::auth::{ReloadError, Reloaded, Reloader};
use crate::http::problem;
use crate::http::{Caller, Context, Guard, Problem, guard};

/// The one role that may change who sees what.
const ROLE: &str = "security_officer";

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

/// A caller who may change who sees what.
struct Officer;

impl FromRequestParts<Policy> for Officer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, policy: &Policy) -> Result<Self, Problem> {
        let Caller(principal) = Caller::from_request_parts(parts, &policy.context).await?;
        if principal.role().name == ROLE {
            return Ok(Self);
        }
        Err(Problem::new(problem::NOT_AN_OFFICER, format!("your role is {}", principal.role().name)))
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
