//! Snapshots of a dataset: every row that a role may have, as files that were made ahead.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::private;
use crate::http::{Caller, Context, Problem};
use crate::plan;
use crate::plan::View;
use crate::publish::files::{Bound, Manifest};

/// `GET /v1/datasets/{dataset}/snapshots`
pub(super) async fn list(
    State(context): State<Context>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let engine = &context.engine;
    let view = View::of(&engine.catalog, &principal, &name).ok_or(plan::Error::UnknownDataset(name))?;
    let found = context.shelf.snapshots(engine, &principal, view.dataset()).await?;
    let data: Vec<Value> = found.iter().map(|manifest| snapshot(manifest)).collect();
    Ok(private(Json(json!({ "data": data })).into_response()))
}

fn snapshot(manifest: &Manifest) -> Value {
    json!({
        "id": manifest.asset(None).map(|id| id.to_string()),
        "href": href(manifest, None),
        "version": manifest.version,
        "since": manifest.since,
        "format": manifest.format,
        "created_at": manifest.created_at.to_string(),
        "expires_at": manifest.valid_until.map(|until| until.to_string()),
        "partition_by": manifest.partition_by,
        "order": manifest.order,
        "columns": manifest.columns,
        "limited_by": manifest.limited_by.iter().map(bound).collect::<Vec<_>>(),
        "rows": manifest.rows,
        "bytes": manifest.bytes,
        "files": files(manifest),
    })
}

/// The files of a set, as those who may have them are told.
pub(super) fn files(manifest: &Manifest) -> Vec<Value> {
    let told = manifest.files.iter().enumerate().map(|(place, file)| {
        json!({
            "id": manifest.asset(Some(place)).map(|id| id.to_string()),
            "href": href(manifest, Some(place)),
            "rows": file.rows,
            "bytes": file.bytes,
            "sha256": file.sha256,
            "first_key": file.first_key,
            "last_key": file.last_key,
            "partition": file.partition,
        })
    });
    told.collect()
}

/// Where a file is fetched, or the manifest of all of them.
pub(super) fn href(manifest: &Manifest, part: Option<usize>) -> Option<String> {
    manifest.asset(part).map(|id| format!("/v1/assets/{id}"))
}

pub(super) fn bound(bound: &Bound) -> Value {
    json!({ "window": bound.window, "column": bound.column, "bound": bound.bound })
}
