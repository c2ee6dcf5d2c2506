//! Exports: files of a question, which are made while its caller does something else.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::asked::{Act, Asked};
use super::body::Members;
use super::rows::expect_json;
use super::{body, params, private, representation};
use crate::auth::Principal;
use crate::engine::Representation;
use crate::http::extract::parameters;
use crate::http::problem;
use crate::http::sets::{bound, files, href};
use crate::http::{Admission, Caller, Context, Problem};
use crate::plan::Plan;
use crate::publish::files::{Manifest, Partition};
use crate::publish::jobs;
use crate::publish::jobs::{Export, Exports, Order};
use crate::query::Limit;
use crate::store::JobState;

/// RFC 7240.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Reads a question that was kept: the JSON of a body, or what stands behind a dataset's name in a URL.
#[must_use]
pub fn asked_again(dataset: &str, question: &str) -> Option<jobs::Asked> {
    let asked = if question.starts_with('{') {
        body::read(dataset, question.as_bytes()).ok()?
    } else {
        let (what, query) = question.split_once('?')?;
        let parameters = parameters(Some(query)).ok()?;
        match what {
            "rows" => params::page(dataset, parameters).ok()?,
            "aggregate" => params::aggregate(dataset, parameters).ok()?,
            _ => return None,
        }
    };
    of(&asked)
}

/// The question of all rows, of which the first are taken where it was of fewer. A page that begins behind another one has
/// no files.
pub(super) fn of(asked: &Asked) -> Option<jobs::Asked> {
    let mut query = asked.query.clone();
    let rows_max = match query.page.limit? {
        Limit::All => None,
        Limit::Rows(rows) => {
            // The first of a page are the first of all.
            query.page.in_order = true;
            Some(rows)
        }
    };
    if query.page.cursor.is_some() {
        return None;
    }
    query.page.limit = Some(Limit::All);
    Some(jobs::Asked { query, numbers: asked.numbers, guarded: asked.guarded, rows_max })
}

/// `POST /v1/exports`: the question of `POST …/query`, with its dataset, for all rows.
pub(super) async fn create(
    State(context): State<Context>,
    admission: Option<Extension<Admission>>,
    Caller(principal): Caller,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Problem> {
    let exports = context.shelf.exports()?;
    expect_json(&headers)?;
    let Body { dataset, partition_by, question } = Body::read(&bytes)?;
    let asked = body::read(&dataset, question.as_bytes())?;
    if asked.act != Act::Answer {
        return Err(malformed("dry_run", "an export makes files: POST …/query tells what a question costs"));
    }
    let versions = context.engine.pointer.load();
    let plan = context.engine.plan(&asked.query, &versions, &principal)?;
    if asked.format.is_none() {
        let formats = plan.media_types().formats();
        return Err(
            malformed("format", "expected what the files are written as").hint(format!("you may have {formats}"))
        );
    }
    let representation = representation::choose(&HeaderMap::new(), &asked, &plan)?;
    // Who has no row left asks no source.
    admission.unwrap_or_default().0.may_deliver(&context).await?;
    begin(exports, &principal, &plan, representation, &question, partition_by).await
}

/// Takes an export of a plan: 202 where it is new, 200 where the same was asked for already.
pub(super) async fn begin(
    exports: &Exports,
    principal: &Principal,
    plan: &Plan,
    representation: Representation,
    question: &str,
    partition_by: Option<Partition>,
) -> Result<Response, Problem> {
    let asked = asked_again(plan.dataset().name.as_str(), question).ok_or_else(problem::internal)?;
    let order = Order { question, asked: &asked, media_type: representation.media_type, partition_by };
    let (export, new) = exports.begin(principal, plan, order).await?;
    let manifest = exports.files(&export).await?;
    let status = if new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let mut response = own(status, &told(&export, manifest.as_deref()));
    let headers = response.headers_mut();
    // Ids are a header's text.
    if let Ok(location) = HeaderValue::try_from(place(&export)) {
        headers.insert(header::LOCATION, location);
    }
    headers.insert(PREFERENCE_APPLIED, HeaderValue::from_static("respond-async"));
    Ok(response)
}

/// `GET /v1/exports`
pub(super) async fn list(State(context): State<Context>, Caller(principal): Caller) -> Result<Response, Problem> {
    let found = context.shelf.exports()?.list(&principal).await?;
    let data: Vec<Value> = found.iter().map(summary).collect();
    Ok(own(StatusCode::OK, &Value::Array(data)))
}

/// `GET /v1/exports/{id}`
pub(super) async fn describe(
    State(context): State<Context>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let exports = context.shelf.exports()?;
    let export = find(exports, &principal, &id).await?;
    let manifest = exports.files(&export).await?;
    let mut response = own(StatusCode::OK, &told(&export, manifest.as_deref()));
    if matches!(export.job.state, JobState::Queued | JobState::Running) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

/// `DELETE /v1/exports/{id}`
pub(super) async fn cancel(
    State(context): State<Context>,
    Caller(principal): Caller,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let exports = context.shelf.exports()?;
    let export = find(exports, &principal, &id).await?;
    exports.cancel(&export).await?;
    Ok(private(StatusCode::NO_CONTENT.into_response()))
}

async fn find(exports: &Arc<Exports>, principal: &Principal, id: &str) -> Result<Export, Problem> {
    let missing = || Problem::new(problem::NOT_FOUND, "there is no such resource");
    let id = Uuid::try_parse(id).map_err(|_| missing())?;
    exports.find(principal, id).await?.ok_or_else(missing)
}

fn place(export: &Export) -> String {
    format!("/v1/exports/{}", export.job.id)
}

fn summary(export: &Export) -> Value {
    let Export { job, terms } = export;
    let failed = job.state == JobState::Failed;
    json!({
        "id": job.id.to_string(),
        "href": place(export),
        "state": job.state.as_str(),
        "dataset": job.dataset,
        "version": terms.version,
        "format": terms.format,
        "partition_by": terms.partition_by,
        "created_at": job.created_at.to_string(),
        "started_at": job.started_at.map(|at| at.to_string()),
        "finished_at": job.finished_at.map(|at| at.to_string()),
        "expires_at": job.kept_until.filter(|_| job.state == JobState::Done).map(|at| at.to_string()),
        "rows": job.reach.rows,
        "bytes": job.reach.bytes,
        "parts": job.reach.parts,
        "failure": job.outcome.as_ref().filter(|_| failed),
    })
}

/// An export with its files, once they are there.
fn told(export: &Export, manifest: Option<&Manifest>) -> Value {
    let mut data = summary(export);
    data["manifest"] = json!(manifest.and_then(|manifest| href(manifest, None)));
    data["order"] = json!(manifest.map(|manifest| &manifest.order));
    data["columns"] = json!(manifest.map(|manifest| &manifest.columns));
    data["limited_by"] = json!(manifest.map(|manifest| manifest.limited_by.iter().map(bound).collect::<Vec<_>>()));
    data["files"] = json!(manifest.map(files));
    data
}

/// Nobody keeps it: it goes on.
fn own(status: StatusCode, data: &Value) -> Response {
    let mut response = private((status, Json(json!({ "data": data }))).into_response());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

/// What a body asks for.
struct Body {
    dataset: String,
    partition_by: Option<Partition>,
    /// All that `POST …/query` would read.
    question: String,
}

impl Body {
    /// Takes out what is about files, and leaves the question as it is written.
    fn read(bytes: &[u8]) -> Result<Self, Problem> {
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("body", "the body is no UTF-8"))?;
        let members: Members<'_> = serde_json::from_str(text)
            .map_err(|error| malformed("body", &format!("the body is no JSON object that can be read: {error}")))?;
        let (mut dataset, mut partition_by, mut rest) = (None, None, Vec::new());
        for (name, value) in &members.0 {
            let word = || serde_json::from_str::<String>(value.get()).map_err(|_| malformed(name, "expected a string"));
            match name.as_str() {
                "dataset" => dataset = Some(word()?),
                "partition_by" if value.get() == "null" => {}
                "partition_by" => {
                    let word = word()?;
                    partition_by = Some(word.parse().map_err(|expected: String| {
                        Problem::new(problem::INVALID_LITERAL, expected).parameter("partition_by")
                    })?);
                }
                "limit" if value.get() == "\"all\"" => {}
                "limit" => return Err(malformed("limit", "an export has all rows: leave out limit")),
                _ => rest.push(format!("{}:{}", Value::from(name.as_str()), value.get())),
            }
        }
        rest.push("\"limit\":\"all\"".to_owned());
        let dataset = dataset.ok_or_else(|| malformed("dataset", "expected the name of a dataset"))?;
        Ok(Self { dataset, partition_by, question: format!("{{{}}}", rest.join(",")) })
    }
}

fn malformed(parameter: &str, detail: &str) -> Problem {
    Problem::new(problem::MALFORMED_REQUEST, detail).parameter(parameter)
}
