//! Publishing by one HTTP call, for pipelines that run elsewhere.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{FromRequestParts, Path, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::civil::Date;
use serde::Deserialize;
use serde_json::json;

use crate::auth::Principal;
use crate::catalog::Dataset;
use crate::http::problem;
use crate::http::problem::shown;
use crate::http::{Caller, Context, Guard, Problem, guard};
use crate::publish::{Publisher, Request};
use crate::redis::{self, Redis};
use crate::store::{Store, Version};

/// The one role that may publish.
const ROLE: &str = "internal_publisher";

/// The checks read the whole relation.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(600);

/// What publishing needs.
#[derive(Clone)]
pub struct Publishing {
    /// Knows callers, datasets and sources.
    pub context: Context,
    /// Keeps what is published.
    pub store: Arc<Store>,
    /// Told of every publish, where there is one.
    pub redis: Option<Arc<Redis>>,
}

pub(super) fn routes(publishing: Publishing) -> Router {
    let patient = Guard { context: publishing.context.clone(), request_timeout: PUBLISH_TIMEOUT };
    Router::new()
        .route("/v1/datasets/{dataset}/publish", post(publish))
        .route("/v1/datasets/{dataset}/rollback", post(roll_back))
        .layer(from_fn_with_state(patient, guard))
        .with_state(publishing)
}

/// A caller who may publish.
struct Operator(Principal);

impl FromRequestParts<Publishing> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, publishing: &Publishing) -> Result<Self, Problem> {
        let Caller(principal) = Caller::from_request_parts(parts, &publishing.context).await?;
        if principal.role().name == ROLE {
            return Ok(Self(principal));
        }
        Err(Problem::new(problem::NOT_A_PUBLISHER, format!("your role is {}", principal.role().name)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PublishForm {
    relation: String,
    data_through: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RollbackForm {
    to: Option<u64>,
}

async fn publish(
    State(publishing): State<Publishing>,
    Operator(principal): Operator,
    Path(dataset): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let dataset = publishing.dataset(&dataset)?;
    let form: PublishForm = read(&body)?;
    let relation = form.relation.parse().map_err(|_| {
        let detail = format!("{} is no relation: expected NAME or SCHEMA.NAME", shown(&form.relation));
        Problem::new(problem::INVALID_LITERAL, detail).parameter("relation")
    })?;
    let data_through = form.data_through.as_deref().map(str::parse::<Date>).transpose().map_err(|_| {
        Problem::new(problem::INVALID_LITERAL, "expected a date, such as 2024-02-29").parameter("data_through")
    })?;
    let operator = principal.subject().to_owned();
    let request = Request { relation, data_through, operator };
    let source = publishing.context.engine.sources.get(&dataset.source).map_err(|error| Problem::from(&error))?;
    let version = publishing.publisher(dataset).publish(source.as_ref(), request).await?;
    Ok(publishing.told(&version))
}

async fn roll_back(
    State(publishing): State<Publishing>,
    Operator(principal): Operator,
    Path(dataset): Path<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let dataset = publishing.dataset(&dataset)?;
    let form: RollbackForm = if body.is_empty() { RollbackForm::default() } else { read(&body)? };
    let version = publishing.publisher(dataset).roll_back(form.to, principal.subject().to_owned()).await?;
    Ok(publishing.told(&version))
}

fn read<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| Problem::new(problem::MALFORMED_REQUEST, error.to_string()))
}

impl Publishing {
    fn dataset(&self, name: &str) -> Result<&Dataset, Problem> {
        let dataset = self.context.engine.catalog.get(name);
        dataset.map(Arc::as_ref).ok_or_else(|| Problem::new(problem::NOT_FOUND, format!("no dataset {}", shown(name))))
    }

    fn publisher<'p>(&'p self, dataset: &'p Dataset) -> Publisher<'p> {
        Publisher { store: &self.store, dataset }
    }

    /// This instance need not wait to hear of it.
    fn told(&self, version: &Version) -> Response {
        self.context.engine.pointer.hint();
        if let Some(shared) = self.redis.clone() {
            // Nobody waits for it: whoever does not hear polls.
            let dataset = version.dataset.to_string();
            tokio::spawn(async move { shared.publish(redis::PUBLISHED, &dataset).await });
        }
        let data = json!({
            "dataset": version.dataset.as_str(),
            "number": version.number,
            "id": version.id.to_string(),
            "relation": version.relation.to_string(),
            "published_at": version.published_at.to_string(),
            "data_through": version.data_through.map(|day| day.to_string()),
            "rows": version.rows,
            "rollback_of": version.rollback_of,
        });
        let cache = [(header::CACHE_CONTROL, "no-store")];
        (StatusCode::OK, cache, axum::Json(json!({ "data": data }))).into_response()
    }
}
