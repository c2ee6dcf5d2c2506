//! What was published of a dataset, and how fresh what is served is.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::private;
use crate::catalog::Dataset;
use crate::http::{Caller, Context, Problem};
use crate::plan;
use crate::plan::View;
use crate::store::Version;

/// The number of the version that an answer is from, and its id.
const DATASET_VERSION: HeaderName = HeaderName::from_static("martello-dataset-version");
/// When that version was published, through which day it reaches, and whether that is as fresh as was promised.
const FRESHNESS: HeaderName = HeaderName::from_static("martello-freshness");

/// `GET /v1/datasets/{dataset}/versions`
pub(super) async fn list(
    State(context): State<Context>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let engine = &context.engine;
    let view = View::of(&engine.catalog, &principal, &name).ok_or(plan::Error::UnknownDataset(name))?;
    let versions = engine.pointer.load();
    let name = view.dataset().name.as_str();
    let current = versions.of(name).map(|version| version.id);
    let listed = versions.history(name).iter().map(|version| {
        let mut listed = told(version, view.has_all_rows());
        listed["current"] = json!(current == Some(version.id));
        listed["available"] = json!(version.is_kept());
        listed["rollback_of"] = json!(version.rollback_of);
        // Names of relations and people are the house's own.
        if view.shows_prose_of_the_house() {
            listed["relation"] = json!(version.relation.to_string());
            listed["operator"] = json!(version.operator);
            listed["contract"] = json!(version.contract);
        }
        listed
    });
    let data: Vec<Value> = listed.collect();
    Ok(private(Json(json!({ "data": data })).into_response()))
}

/// A version as every caller may know it. The number of its rows is for those for whom all of them exist.
pub(super) fn told(version: &Version, has_all_rows: bool) -> Value {
    json!({
        "number": version.number,
        "id": version.id.to_string(),
        "published_at": version.published_at.to_string(),
        "data_through": version.data_through.map(|day| day.to_string()),
        "rows": Some(version.rows).filter(|_| has_all_rows),
    })
}

/// Whether the version is as young as the dataset's contract promises; nothing where it promises nothing.
pub(super) fn is_fresh(dataset: &Dataset, version: &Version) -> Option<bool> {
    dataset.sla.max_age.map(|max_age| version.is_younger_than(max_age))
}

/// The millisecond since 1970 from which a version that is still as young as promised will be so no more.
pub(super) fn fresh_until(dataset: &Dataset, version: &Version) -> Option<u64> {
    let ends_at = version.published_at.checked_add(dataset.sla.max_age?).ok()?;
    // The age counts whole seconds: one that has begun is still fresh.
    let ends_at = u64::try_from(ends_at.as_millisecond()).ok()?.saturating_add(1000);
    (ends_at > crate::clock::unix_millis()).then_some(ends_at)
}

/// Says in the head what `meta` says in a body of JSON, as structured fields (RFC 9651).
pub(super) fn tell(dataset: &Dataset, version: Option<&Version>, headers: &mut HeaderMap) {
    let Some(version) = version else { return };
    let mut freshness = format!("published=@{}", version.published_at.as_second());
    if let Some(day) = version.data_through {
        freshness += &format!(", through=\"{day}\"");
    }
    if let Some(fresh) = is_fresh(dataset, version) {
        freshness += if fresh { ", fresh" } else { ", fresh=?0" };
    }
    let number = format!("{};id=\"{}\"", version.number, version.id);
    for (name, value) in [(DATASET_VERSION, number), (FRESHNESS, freshness)] {
        // Numbers, dates and ids are a header's text.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
}
