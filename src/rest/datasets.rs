//! What a caller may know of the datasets themselves.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::{private, versions};
use crate::auth::Mask;
use crate::catalog::{Column, Dataset, Direction, Name, Revision};
use crate::config::duration::format_duration;
use crate::encode::MediaType;
use crate::http::{Caller, Context, Problem};
use crate::plan::{self, LIMIT_DEFAULT, View};
use crate::store::Versions;

/// `GET /v1/datasets`
pub(super) async fn list(State(context): State<Context>, Caller(principal): Caller) -> Response {
    let views = View::all(&context.engine.catalog, principal.role());
    let versions = context.engine.pointer.load();
    let data: Vec<Value> = views.iter().map(|view| summary(view, &versions)).collect();
    private(Json(json!({ "data": data })).into_response())
}

/// `GET /v1/datasets/{dataset}`
pub(super) async fn describe(
    State(context): State<Context>,
    Caller(principal): Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let view = View::of(&context.engine.catalog, &principal, &name).ok_or(plan::Error::UnknownDataset(name))?;
    let known = |dataset: &str| principal.role().grant(dataset).is_some();
    let versions = context.engine.pointer.load();
    let mut data = detail(&view, known);
    if let Some(version) = versions.of(view.dataset().name.as_str()) {
        let told = versions::told(version, view.has_all_rows());
        data["version"] = told["number"].clone();
        data["published_at"] = told["published_at"].clone();
        data["data_through"] = told["data_through"].clone();
        data["fresh"] = json!(versions::is_fresh(view.dataset(), version));
    }
    Ok(private(Json(json!({ "data": data })).into_response()))
}

fn summary(view: &View, versions: &Versions) -> Value {
    let dataset = view.dataset();
    let version = versions.of(dataset.name.as_str());
    json!({
        "name": dataset.name.as_str(),
        "family": dataset.family,
        "title": dataset.title,
        "description": dataset.description,
        "href": format!("/v1/datasets/{}", dataset.name),
        "formats": formats(view),
        "version": version.map(|version| version.number),
        "deprecated": dataset.deprecation.is_some(),
    })
}

fn detail(view: &View, known: impl Fn(&str) -> bool) -> Value {
    let dataset = view.dataset();
    let visible = |column: &Column| view.columns().any(|shown| shown.name == column.name);
    let names = |indices: &[usize]| -> Vec<&str> {
        let columns = indices.iter().map(|index| &dataset.columns[*index]);
        columns.filter(|column| visible(column)).map(|column| column.name.as_str()).collect()
    };
    let relations: Vec<Value> = view
        .relations()
        .map(|relation| {
            let on: serde_json::Map<String, Value> = (relation.on.iter())
                .map(|(ours, theirs)| (dataset.columns[*ours].name.to_string(), json!(theirs.as_str())))
                .collect();
            json!({
                "name": relation.name.as_str(),
                "dataset": relation.dataset.as_str(),
                "kind": relation.kind,
                "on": on,
                "description": relation.description,
            })
        })
        .collect();
    let derived_from: Vec<&str> =
        dataset.lineage.derived_from.iter().map(Name::as_str).filter(|name| known(name)).collect();
    let mut sla = json!(dataset.sla);
    let mut lineage = json!({ "derived_from": derived_from, "description": dataset.lineage.description });
    if !view.shows_prose_of_the_house() {
        for (prose, names) in
            [(&mut sla, &["business_need", "affected", "breach"][..]), (&mut lineage, &["description"])]
        {
            for name in names {
                prose.as_object_mut().and_then(|members| members.shift_remove(*name));
            }
        }
    }
    json!({
        "name": dataset.name.as_str(),
        "family": dataset.family,
        "title": dataset.title,
        "description": dataset.description,
        "owner": dataset.owner,
        "version": null,
        "published_at": null,
        "data_through": null,
        "fresh": null,
        "primary_key": names(&dataset.primary_key),
        "default_order": default_order(dataset, visible),
        "time": dataset.time.map(|column| dataset.columns[column].name.as_str()),
        "point_in_time": dataset.point_in_time.as_ref().map(|point_in_time| json!({
            "known_at": dataset.columns[point_in_time.known_at].name.as_str(),
            "identity": names(&point_in_time.identity),
            "period": names(&[point_in_time.period]).first(),
        })),
        "bars": view.bars().map(|bars| {
            let name = |index: usize| dataset.columns[index].name.as_str();
            json!({
                "open": name(bars.open),
                "high": name(bars.high),
                "low": name(bars.low),
                "close": name(bars.close),
                "volume": bars.volume.map(name),
            })
        }),
        "columns": view.columns().map(|shown| column(shown, view.mask_of(shown.name.as_str()))).collect::<Vec<_>>(),
        "relations": relations,
        "sla": sla,
        "lineage": lineage,
        "deprecation": dataset.deprecation.as_ref().map(|deprecation| json!({
            "since": deprecation.since.to_string(),
            "sunset": deprecation.sunset.map(|sunset| sunset.to_string()),
            "replacement": deprecation.replacement.as_ref().map(Name::as_str).filter(|name| known(name)),
        })),
        "cache": dataset.cache,
        "formats": formats(view),
        "limits": {
            "rows_per_request": view.rows_per_request(),
            "rows_by_default": LIMIT_DEFAULT.min(view.rows_per_request()),
            "export": view.exports(),
            "aggregate": view.aggregates(),
            "history": view.grant().history.map(|history| history.to_string()),
            "delay": view.grant().delay.map(format_duration),
            "revision": view.grant().revision.map(Revision::as_str),
        },
        "links": {
            "rows": format!("/v1/datasets/{}/rows", dataset.name),
            "aggregate": format!("/v1/datasets/{}/aggregate", dataset.name),
            "query": format!("/v1/datasets/{}/query", dataset.name),
            "versions": format!("/v1/datasets/{}/versions", dataset.name),
        },
    })
}

fn formats(view: &View) -> Vec<&'static str> {
    view.media_types().iter().map(MediaType::format).collect()
}

fn default_order(dataset: &Dataset, visible: impl Fn(&Column) -> bool) -> Vec<String> {
    let keys = dataset.default_order.iter().map(|(index, direction)| (&dataset.columns[*index], direction));
    keys.filter(|(column, _)| visible(column))
        .map(|(column, direction)| match direction {
            Direction::Ascending => column.name.to_string(),
            Direction::Descending => format!("-{}", column.name),
        })
        .collect()
}

fn column(column: &Column, mask: Option<Mask>) -> Value {
    json!({
        "name": column.name.as_str(),
        "type": column.data_type.to_string(),
        "nullable": column.nullable,
        "unit": column.unit,
        "description": column.description,
        "example": column.example,
        "filter": column.filter.iter().map(|operator| operator.as_str()).collect::<Vec<_>>(),
        "sort": column.sort,
        "searchable": column.searchable,
        "aggregate": column.aggregate.iter().map(|function| function.as_str()).collect::<Vec<_>>(),
        "mask": mask.map(|mask| mask.to_string()),
    })
}
