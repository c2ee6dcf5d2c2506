//! What a caller may know of the datasets themselves: facts of contracts and versions, through the caller's view.

use async_graphql::dynamic::Object;
use serde_json::{Value, json};

use super::document::{Document, Selected, Selections};
use super::schema::{Root, Types, argument, field};
use crate::catalog::Name;
use crate::http::Problem;
use crate::plan::View;
use crate::store::{Version, Versions};

/// A type of facts: its name, what it is, and its fields with their types and meanings.
type Facts = (&'static str, &'static str, &'static [(&'static str, &'static str, &'static str)]);

/// The types, whose fields are members of the values below.
const TYPES: [Facts; 6] = [
    (
        "Dataset",
        "A dataset, as its contract describes it.",
        &[
            ("name", "String!", "Its name in every door."),
            ("family", "String!", "Its family."),
            ("title", "String!", "A short title."),
            ("description", "String!", "What it holds."),
            ("owner", "String!", "Whom to ask."),
            ("primary_key", "[String!]!", "The columns of its primary key."),
            ("time", "String", "The column that says when a row is of."),
            ("columns", "[Column!]!", "Its columns."),
            ("relations", "[Relation!]!", "Where its rows lead."),
            ("version", "Version", "What is served now; null while it is written in place."),
            ("fresh", "Boolean", "Whether the version is as young as was promised; null where nothing was."),
            ("expectation", "String!", "What may be expected of the data."),
            ("delivery", "String!", "When it is due."),
            ("derived_from", "[String!]!", "Datasets that it is derived from."),
            ("deprecation", "Deprecation", "Since when it is on its way out."),
            ("rows_per_request", "Int!", "Rows of one answer at most."),
        ],
    ),
    (
        "Column",
        "A column of a dataset.",
        &[
            ("name", "String!", "Its name in every door."),
            ("type", "String!", "Its type in the contract."),
            ("nullable", "Boolean!", "Whether it may be null."),
            ("unit", "String", "The unit of its values."),
            ("description", "String!", "What it means."),
            ("example", "JSON", "A value that occurs."),
            ("filter", "[String!]!", "The operators of its conditions."),
            ("sort", "Boolean!", "Whether rows may be ordered by it."),
            ("searchable", "Boolean!", "Whether search reads it."),
            ("aggregate", "[String!]!", "The functions that measure it."),
            ("mask", "String", "How it is masked for you."),
        ],
    ),
    (
        "Relation",
        "A path from rows of one dataset to rows of another.",
        &[
            ("name", "String!", "Its name."),
            ("dataset", "String!", "Where it leads."),
            ("kind", "String!", "To `one` row or to `many`."),
            ("description", "String!", "What it means."),
        ],
    ),
    (
        "Version",
        "A version of a dataset.",
        &[
            ("number", "BigInt!", "Its number."),
            ("id", "String!", "Its id."),
            ("published_at", "DateTime!", "When it was published."),
            ("data_through", "Date", "The day through which it reaches."),
            ("rows", "BigInt", "How many rows it has, where all of them exist for you."),
        ],
    ),
    (
        "Publication",
        "A version that was published.",
        &[("dataset", "String!", "Of which dataset."), ("version", "Version!", "The version.")],
    ),
    (
        "Deprecation",
        "A dataset on its way out.",
        &[
            ("since", "Date!", "The day from which it is deprecated."),
            ("sunset", "Date", "The day on which it goes."),
            ("replacement", "String", "What to use instead."),
        ],
    ),
];

/// Adds the types and their root fields.
pub(super) fn add(types: &mut Types) {
    for (name, description, fields) in TYPES {
        let object = Object::new(name).description(description);
        types.object(fields.iter().fold(object, |object, (name, data_type, description)| {
            object.field(field(name, data_type).description(*description))
        }));
    }
    let all = field("datasets", "[Dataset!]!").description("Every dataset that you may see.");
    types.root("datasets".into(), Root::Datasets, all);
    let one = field("dataset", "Dataset").description("One dataset, or null.");
    types.root("dataset".into(), Root::Dataset, one.argument(argument("name", "String!", "Its name.")));
}

/// The facts of a dataset.
pub(super) fn of(view: &View, versions: &Versions, known: impl Fn(&str) -> bool) -> Value {
    let dataset = view.dataset();
    let version = versions.of(dataset.name.as_str());
    let name = |index: usize| dataset.columns[index].name.as_str();
    json!({
        "name": dataset.name.as_str(),
        "family": dataset.family,
        "title": dataset.title,
        "description": dataset.description,
        "owner": dataset.owner,
        "primary_key": view.primary_key().map(|column| column.name.as_str()).collect::<Vec<_>>(),
        "time": dataset.time.map(name),
        "columns": view.columns().map(|column| json!({
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
            "mask": view.mask_of(column.name.as_str()).map(|mask| mask.to_string()),
        })).collect::<Vec<_>>(),
        "relations": view.relations().map(|relation| json!({
            "name": relation.name.as_str(),
            "dataset": relation.dataset.as_str(),
            "kind": relation.kind,
            "description": relation.description,
        })).collect::<Vec<_>>(),
        "version": version.map(|one| self::version(view, one)),
        "fresh": version.zip(dataset.sla.max_age).map(|(version, max_age)| version.is_younger_than(max_age)),
        "expectation": dataset.sla.expectation,
        "delivery": dataset.sla.delivery,
        "derived_from": dataset.lineage.derived_from.iter().map(Name::as_str).filter(|name| known(name)).collect::<Vec<_>>(),
        "deprecation": dataset.deprecation.as_ref().map(|deprecation| json!({
            "since": deprecation.since.to_string(),
            "sunset": deprecation.sunset.map(|sunset| sunset.to_string()),
            "replacement": deprecation.replacement.as_ref().map(Name::as_str).filter(|name| known(name)),
        })),
        "rows_per_request": view.rows_per_request(),
    })
}

/// The facts of a version.
pub(super) fn version(view: &View, version: &Version) -> Value {
    json!({
        "number": version.number.to_string(),
        "id": version.id.to_string(),
        "published_at": version.published_at.to_string(),
        "data_through": version.data_through.map(|day| day.to_string()),
        "rows": Some(version.rows.to_string()).filter(|_| view.has_all_rows()),
    })
}

/// What a selection takes of facts, as JSON.
pub(super) fn selected<'d>(
    document: &'d Document,
    facts: &Value,
    kind: &str,
    of: &Selections<'d>,
) -> Result<Value, Problem> {
    match facts {
        Value::Array(items) => items.iter().map(|item| selected(document, item, kind, of)).collect(),
        Value::Object(members) => {
            let fields = TYPES.iter().find(|(name, ..)| *name == kind).map_or(&[][..], |(_, _, fields)| *fields);
            let taken = document.fields(kind, of)?.into_iter().map(|Selected { key, name, within, .. }| {
                if name == "__typename" {
                    return Ok((key.to_owned(), json!(kind)));
                }
                let value = members.get(name).unwrap_or(&Value::Null);
                let inner = fields.iter().find(|(field, ..)| *field == name).map_or("", |(_, data_type, _)| *data_type);
                let inner = inner.trim_matches(['[', ']', '!']);
                // JSON is a scalar, whatever it holds.
                let whole = TYPES.iter().all(|(name, ..)| *name != inner);
                let value = if whole { value.clone() } else { selected(document, value, inner, &within)? };
                Ok((key.to_owned(), value))
            });
            Ok(Value::Object(taken.collect::<Result<_, Problem>>()?))
        }
        other => Ok(other.clone()),
    }
}
