//! Snapshots of a dataset: every row that a role may have, as files that were made ahead.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::private;
use crate::http::sets;
use crate::http::{Caller, Context, Problem};
use crate::plan;
use crate::plan::View;

/// `GET /v1/datasets/{dataset}/snapshots`
pub(super) async fn list(
    State(context): State<Context>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let engine = &context.engine;
    let view = View::of(&engine.catalog, &principal, &name).ok_or(plan::Error::UnknownDataset(name))?;
    let found = context.shelf.snapshots(engine, &principal, view.dataset()).await?;
    let data: Vec<Value> = found.iter().map(|manifest| sets::set(manifest)).collect();
    Ok(private(Json(json!({ "data": data })).into_response()))
}
