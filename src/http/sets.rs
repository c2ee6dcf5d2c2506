//! How a set of files is told of, whichever door tells: what a manifest says to those who may have it, and nothing that the
//! house keeps to itself.

use serde_json::{Value, json};

use crate::publish::files::{Bound, Manifest};

/// A set of files, with each of them.
#[must_use]
pub fn set(manifest: &Manifest) -> Value {
    json!({
        "id": manifest.asset(None).map(|id| id.to_string()),
        "href": href(manifest, None),
        "dataset": manifest.dataset,
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

/// Its files, in the order of their rows.
#[must_use]
pub fn files(manifest: &Manifest) -> Vec<Value> {
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
#[must_use]
pub fn href(manifest: &Manifest, part: Option<usize>) -> Option<String> {
    manifest.asset(part).map(|id| format!("/v1/assets/{id}"))
}

/// An end of time behind which rows were kept back.
#[must_use]
pub fn bound(bound: &Bound) -> Value {
    json!({ "window": bound.window, "column": bound.column, "bound": bound.bound })
}
