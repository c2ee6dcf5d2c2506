//! Which files a caller may have, and the links to them.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::origin::{Place, described};
use super::{Door, PREFIX};
use crate::audit;
use crate::audit::Delivery;
use crate::auth::Principal;
use crate::catalog::Name;
use crate::encode::MediaType;
use crate::http::extract::parameters;
use crate::http::problem::shown;
use crate::http::sets;
use crate::http::{Admission, Caller, Context, Handed, Problem, problem};
use crate::plan;
use crate::plan::View;
use crate::publish::files::{AssetId, Document, Manifest, Part};

/// Files of one list at most.
const FILES_MAX: usize = 1000;

/// `GET /v1/assets`
pub(super) async fn list(
    State(context): State<Context>,
    Caller(principal): Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (mut wanted, mut limit) = (None, None);
    for (name, value) in parameters(query.as_deref())? {
        let given = match name.as_str() {
            "dataset" => wanted.replace(value).is_some(),
            "limit" => limit.replace(within(&value)?).is_some(),
            _ => {
                let detail = format!("there is no parameter {}", shown(&name));
                let problem = Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(shown(&name));
                return Err(problem.hint("there are: dataset, limit"));
            }
        };
        if given {
            let detail = format!("{name} is given twice");
            return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter(name));
        }
    }
    let engine = &context.engine;
    let views = match wanted {
        None => View::all(&engine.catalog, principal.role()),
        Some(name) => {
            let view = View::of(&engine.catalog, &principal, &name);
            vec![view.ok_or(plan::Error::UnknownDataset(name))?]
        }
    };
    let mut data = Vec::new();
    for view in views {
        let dataset = view.dataset();
        let documents = context.shelf.documents(&principal, dataset).await?;
        data.extend(documents.iter().filter_map(|document| Some(of_document(&document.asset()?, document))));
        for manifest in context.shelf.snapshots(engine, &principal, dataset).await? {
            let files = manifest.files.iter().enumerate();
            data.extend(
                files.filter_map(|(place, file)| Some(of_part(&manifest.asset(Some(place))?, &manifest, file))),
            );
        }
    }
    data.truncate(limit.unwrap_or(FILES_MAX));
    Ok(own(Json(json!({ "data": data })).into_response()))
}

fn within(text: &str) -> Result<usize, Problem> {
    let limit = text.parse::<usize>().ok().filter(|limit| (1..=FILES_MAX).contains(limit));
    limit.ok_or_else(|| {
        let detail = format!("limit must be between 1 and {FILES_MAX}");
        Problem::new(problem::LIMIT_OUT_OF_RANGE, detail)
            .parameter("limit")
            .hint("dataset= asks for those of one dataset")
    })
}

/// A file that the caller may have.
struct Found {
    told: Value,
    path: String,
    /// What it counts for: the link is as good as an answer with so many rows.
    rows: u64,
    access: audit::Access,
}

/// `GET /v1/assets/{id}`: where the file is fetched from, as a redirection, or what is known of it for whoever reads JSON.
pub(super) async fn fetch(
    State(context): State<Context>,
    Extension(door): Extension<Arc<Door>>,
    admission: Option<Extension<Admission>>,
    Caller(principal): Caller,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let missing = || Problem::new(problem::NOT_FOUND, "there is no such resource");
    let id: AssetId = id.parse().map_err(|()| missing())?;
    let found = match id.part {
        Some(_) if id.is_document() => document(&context, &principal, &id).await?,
        Some(place) => {
            let manifest = context.shelf.manifest(&context.engine, &principal, &id).await?;
            let file = manifest.files.get(place).ok_or_else(missing)?;
            Found {
                told: of_part(&id, &manifest, file),
                path: file.path.clone(),
                // Those of an export were counted when it was made.
                rows: if id.is_snapshot() { file.rows } else { 0 },
                access: access_to_part(&principal, &manifest, file),
            }
        }
        None => {
            let manifest = context.shelf.manifest(&context.engine, &principal, &id).await?;
            // It tells of files, and is none.
            return Ok(own(Json(json!({ "data": sets::set(&manifest) })).into_response()));
        }
    };
    let Found { mut told, path, rows, access } = found;
    let Extension(admission) = admission.unwrap_or_default();
    if rows > 0 {
        // As with `limit=all`, one row that is left is enough: a file is not cut.
        admission.may_deliver(&context).await?;
    }
    let now = crate::clock::unix_millis() / 1000;
    let expires = now.saturating_add(door.ttl.as_secs());
    let path = format!("{PREFIX}{path}");
    let link = match door.signer.link(&door.base, &path, expires).map_err(|error| problem::internal().cause(&error))? {
        Some(link) => Some(link),
        None => {
            let library = &context.shelf.library;
            let place = Place::read(&path).ok_or_else(problem::internal)?;
            let file = described(library, &place).await?.ok_or_else(missing)?;
            let (media_type, disposition) = (&file.media_type, file.disposition());
            library.files().presigned(place.path, door.ttl, media_type, &disposition).await?.map(String::from)
        }
    };
    let link = link.ok_or_else(problem::internal)?;
    admission.delivered(&context, rows);
    let mut response = if reads_json(&headers) {
        let ends = i64::try_from(expires).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        told["url"] = json!(link);
        told["url_expires_at"] = json!(ends.map(|ends| ends.to_string()));
        Json(json!({ "data": told })).into_response()
    } else {
        let location = HeaderValue::try_from(link).map_err(|_| problem::internal())?;
        (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("Authorization, Accept"));
    response.extensions_mut().insert(Handed(Arc::new(access)));
    Ok(response)
}

async fn document(context: &Context, principal: &Principal, id: &AssetId) -> Result<Found, Problem> {
    let document = context.shelf.document(&context.engine, principal, id).await?;
    let access = access(principal, &id.dataset, None)
        .delivering(Delivery { bytes: Some(document.bytes), ..Delivery::default() });
    Ok(Found { told: of_document(id, &document), path: document.path, rows: 0, access })
}

/// What the audit is told: a link is as good as the file.
fn access_to_part(principal: &Principal, manifest: &Manifest, file: &Part) -> audit::Access {
    let columns: Vec<Name> = manifest.columns.iter().filter_map(|name| name.parse().ok()).collect();
    let by =
        audit::Access::by(principal.subject(), &principal.role().name, audit::Door::Assets, StatusCode::FOUND.as_u16());
    let Ok(dataset) = manifest.dataset.parse::<Name>() else { return by };
    by.to(&dataset, manifest.version, principal.decision(&manifest.dataset).0, columns.iter()).delivering(Delivery {
        rows: Some(file.rows),
        bytes: Some(file.bytes),
        format: manifest.media_type().map(MediaType::format),
        ..Delivery::default()
    })
}

fn access(principal: &Principal, dataset: &Name, version: Option<u64>) -> audit::Access {
    let by =
        audit::Access::by(principal.subject(), &principal.role().name, audit::Door::Assets, StatusCode::FOUND.as_u16());
    by.to(dataset, version, principal.decision(dataset.as_str()).0, std::iter::empty())
}

/// Whether the client wants to be told of the file, rather than to have it.
fn reads_json(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut json = false;
    for item in accepted.flat_map(|value| value.split(',')) {
        match item.split(';').next().unwrap_or_default().trim() {
            "application/json" => json = true,
            "*/*" => return false,
            _ => {}
        }
    }
    json
}

fn of_part(id: &AssetId, manifest: &Manifest, file: &Part) -> Value {
    let media_type = manifest.media_type().map(MediaType::as_str);
    json!({
        "id": id.to_string(),
        "href": format!("/v1/assets/{id}"),
        "kind": if id.is_snapshot() { "snapshot" } else { "export" },
        "dataset": manifest.dataset,
        "version": manifest.version,
        "since": manifest.since,
        "title": Value::Null,
        "media_type": media_type,
        "rows": file.rows,
        "bytes": file.bytes,
        "sha256": file.sha256,
        "partition": file.partition,
        "created_at": manifest.created_at.to_string(),
        "expires_at": manifest.valid_until.map(|until| until.to_string()),
    })
}

fn of_document(id: &AssetId, document: &Document) -> Value {
    json!({
        "id": id.to_string(),
        "href": format!("/v1/assets/{id}"),
        "kind": "document",
        "dataset": document.dataset,
        "version": Value::Null,
        "since": Value::Null,
        "title": document.title,
        "media_type": document.media_type,
        "rows": Value::Null,
        "bytes": document.bytes,
        "sha256": document.sha256,
        "partition": Value::Null,
        "created_at": document.created_at.to_string(),
        "expires_at": Value::Null,
    })
}

/// The caller's own, kept by nobody else and asked for again each time.
fn own(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(header::VARY, HeaderValue::from_static("Authorization, Accept"));
    response
}
