//! What a caller is here, what that shows them, and what they have used up.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::private;
use crate::auth::{Principal, Right};
use crate::catalog::Revision;
use crate::config::duration::format_duration;
use crate::encode::MediaType;
use crate::http::{Caller, Context, left};
use crate::limit::Policy;
use crate::plan::View;

/// `GET /v1/me`
pub(super) async fn describe(State(context): State<Context>, Caller(principal): Caller) -> Response {
    let role = principal.role();
    let views = View::all(&context.engine.catalog, role);
    let datasets: Vec<Value> = views.iter().filter_map(|view| dataset(view, &principal)).collect();
    own(&json!({
        "subject": principal.subject(),
        "role": role.name,
        "tier": role.tier,
        "description": role.description,
        "graphql": role.graphql,
        "limits": role.limits,
        "datasets": datasets,
    }))
}

/// `GET /v1/usage`
pub(super) async fn usage(State(context): State<Context>, Caller(principal): Caller) -> Response {
    let left = left(&context, &principal).await;
    let policies = left.iter().map(|left| {
        let resets_at = i64::try_from(left.resets_at).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
        json!({
            "policy": left.policy.name(),
            "quota": left.quota,
            "used": left.quota.saturating_sub(left.remaining),
            "remaining": left.remaining,
            "window_seconds": left.policy.seconds(),
            "resets_at": resets_at.map(|instant| instant.to_string()),
        })
    });
    let rows = left.iter().find(|left| left.policy == Policy::Rows);
    own(&json!({
        "policies": policies.collect::<Vec<_>>(),
        "rows_today": rows.map(|left| left.quota.saturating_sub(left.remaining)),
    }))
}

/// Nobody keeps it: the next request makes another of it.
fn own(data: &Value) -> Response {
    let mut response = private(Json(json!({ "data": data })).into_response());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

fn dataset(view: &View, principal: &Principal) -> Option<Value> {
    let dataset = view.dataset();
    let grant = principal.role().grant(dataset.name.as_str())?;
    let columns = (dataset.columns.iter().enumerate()).filter_map(|(index, column)| match grant.right(index) {
        Right::Hidden => None,
        Right::Shown => Some(json!({ "name": column.name.as_str(), "mask": null })),
        Right::Masked(mask) => Some(json!({ "name": column.name.as_str(), "mask": mask.to_string() })),
    });
    Some(json!({
        "name": dataset.name.as_str(),
        "columns": columns.collect::<Vec<_>>(),
        "history": grant.history.map(|history| history.to_string()),
        "delay": grant.delay.map(format_duration),
        "revision": grant.revision.map(Revision::as_str),
        "formats": grant.media_types.iter().map(MediaType::format).collect::<Vec<_>>(),
        "rows_per_request": grant.rows_per_request,
        "aggregate": grant.aggregates,
        "export": grant.exports,
        "decision": principal.decision(dataset.name.as_str()).to_string(),
    }))
}
