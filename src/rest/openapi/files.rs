//! Snapshots and exports: the shapes of `rest/snapshots.rs` and `rest/exports.rs`, member by member, and their operations.

use axum::http::StatusCode;
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{AdditionalProperties, ArrayBuilder, ObjectBuilder, SchemaType, Type as JsonType};
use utoipa::openapi::{ContentBuilder, RefOr, Required, Schema};

use super::operations::{answer, bare_answer, header, list_of, path, query};
use super::problems;
use super::schema::{
    Named, components, count, described, either, instant, list, named, nullable, nullable_count, object, text, word,
};
use crate::encode::MediaType;
use crate::publish::files::Partition;
use crate::store::JobState;

pub(super) fn schemas() -> Vec<Named> {
    let formats =
        || MediaType::ALL.into_iter().filter(|media_type| *media_type != MediaType::Json).map(MediaType::format);
    let key = |which: &str| -> RefOr<Schema> {
        ArrayBuilder::new()
            .schema_type(SchemaType::from_iter([JsonType::Array, JsonType::Null]))
            .items(RefOr::<Schema>::from(text()))
            .description(Some(format!("The primary key of its {which} row; null where the rows have none.")))
            .into()
    };
    let file = object(
        "One file.",
        [
            ("id", described("What names it.").into()),
            ("href", described("Where it is fetched.").into()),
            ("rows", count("Its rows.").into()),
            ("bytes", count("Its bytes.").into()),
            ("sha256", described("The SHA-256 of its bytes, in hexadecimal.").into()),
            ("first_key", key("first")),
            ("last_key", key("last")),
            ("partition", nullable("The year or month of its rows; null where files are not parted by time.").into()),
        ],
    );
    let bound = object(
        "An end of time behind which rows were kept back.",
        [
            ("window", word("Which end.", ["history", "delay"]).into()),
            ("column", described("On which column.").into()),
            ("bound", described("The first value, or the last, that is there.").into()),
        ],
    );
    let shared = || {
        [
            (
                "partition_by",
                nullable("What each file holds the rows of: `year` or `month`; null where rows stand as they come.")
                    .into(),
            ),
            ("rows", count("Rows of all files.").into()),
            ("bytes", count("Bytes of all files.").into()),
        ]
    };
    let set = |about: &str, version: RefOr<Schema>| {
        let members = [
            ("id", described("What names its manifest.").into()),
            ("href", described("Where its manifest is fetched.").into()),
            ("dataset", described("Of which dataset.").into()),
            ("version", version),
            (
                "since",
                nullable_count("The version since which its rows are what has changed; null of whole versions.").into(),
            ),
            ("format", word("What the files are written as.", formats()).into()),
            ("created_at", described("When it was made.").format(instant()).into()),
            (
                "expires_at",
                nullable(
                    "From when on it shows more of the past than you may see, and is yours no more; null for never.",
                )
                .format(instant())
                .into(),
            ),
            ("order", list("The keys of the rows' order, a `-` before those that descend.", text())),
            ("columns", list("The columns, in their order.", text())),
            ("limited_by", list("Ends of time behind which there may be rows that are not in it.", named("FileBound"))),
            ("files", list("The files, in the order of their rows.", named("File"))),
        ];
        object(about, members.into_iter().chain(shared()))
    };
    let snapshot = set("Every row that you may have of a version, as files.", count("The version's number.").into());
    let file_set = set(
        "The files of a snapshot or of an export.",
        nullable_count("The number of the version that the rows are of; null of a live dataset.").into(),
    );
    let state = word("What has become of it.", JobState::ALL.map(JobState::as_str));
    let maybe = |about: &str, items: RefOr<Schema>| -> RefOr<Schema> {
        ArrayBuilder::new()
            .schema_type(SchemaType::from_iter([JsonType::Array, JsonType::Null]))
            .items(items)
            .description(Some(about))
            .into()
    };
    let summary = || {
        [
            ("id", described("What names it.").into()),
            ("href", described("Where it is told of.").into()),
            ("state", state.clone().into()),
            ("dataset", described("Of which dataset.").into()),
            ("version", nullable_count("The number of the version that is read; null of a live dataset.").into()),
            ("format", word("What the files are written as.", formats()).into()),
            ("created_at", described("When it was asked for.").format(instant()).into()),
            ("started_at", nullable("When it was last begun.").format(instant()).into()),
            ("finished_at", nullable("When it came to its end.").format(instant()).into()),
            ("expires_at", nullable("When its files go; null where there are none.").format(instant()).into()),
            ("parts", count("Files that are whole.").into()),
            ("failure", nullable("Why it has failed: `cancelled`, `access_changed`, `version_gone`, `quota_exceeded`, `time_exceeded` or `internal`; null where it has not.").into()),
        ]
        .into_iter()
        .chain(shared())
    };
    let export = object(
        "An export with its files, once they are there.",
        summary().chain([
            ("manifest", nullable("Where the manifest of its files is fetched; null until it is done.").into()),
            ("order", maybe("The keys of the rows' order; none where they are as the source has them.", text().into())),
            ("columns", maybe("The columns, in their order.", text().into())),
            (
                "limited_by",
                maybe("Ends of time behind which there may be rows that are not in it.", named("FileBound")),
            ),
            ("files", maybe("The files, in the order of their rows; null until it is done.", named("File"))),
        ]),
    );
    let asset = object(
        "A file that you may fetch.",
        [
            ("id", described("What names it.").into()),
            ("href", described("Where it is fetched.").into()),
            ("kind", word("What it is.", ["snapshot", "export", "document"]).into()),
            ("dataset", described("Of which dataset.").into()),
            ("version", nullable_count("The number of the version that its rows are of; null of a document.").into()),
            (
                "since",
                nullable_count("The version since which its rows are what has changed; null of whole versions.").into(),
            ),
            ("title", nullable("What a document is called; null of rows.").into()),
            ("media_type", nullable("What it is written as.").into()),
            ("rows", nullable_count("Its rows; null of a document.").into()),
            ("bytes", count("Its bytes.").into()),
            ("sha256", described("The SHA-256 of its bytes, in hexadecimal.").into()),
            ("partition", nullable("The year or month of its rows; null where files are not parted by time.").into()),
            ("created_at", described("When it was made.").format(instant()).into()),
            ("expires_at", nullable("From when on it is yours no more; null for never.").format(instant()).into()),
        ],
    );
    let asset = asset
        .property("url", described("A link that needs no token, where one file was asked for."))
        .property("url_expires_at", described("When that link ends.").format(instant()));
    let any = AdditionalProperties::FreeForm(true);
    let question = ObjectBuilder::new()
        .description(Some(
            "A question of all rows: the dataset, how its files are written, and whatever `POST …/query` of that dataset \
             takes but `limit`, `cursor`, `count`, `expand`, `dry_run` and `explain`.",
        ))
        .property("dataset", named("DatasetName"))
        .required("dataset")
        .property("format", word("What the files are written as.", formats()))
        .required("format")
        .property("partition_by", word("Files of one interval of the dataset's time each. `sort` must begin with that time.", Partition::ALL.map(Partition::as_str)))
        .additional_properties(Some(any));
    components([
        ("Asset", asset),
        ("AssetDetail", object("A file that you may fetch, or a set of them.", [("data", either("Asset", "FileSet"))])),
        (
            "AssetList",
            object(
                "Files that you may fetch.",
                [("data", list("By dataset; documents first, then rows, the newest first.", named("Asset")))],
            ),
        ),
        ("File", file),
        ("FileBound", bound),
        ("FileSet", file_set),
        ("Snapshot", snapshot),
        ("SnapshotList", object("Snapshots.", [("data", list("The newest first.", named("Snapshot")))])),
        ("ExportSummary", object("An export.", summary())),
        ("Export", export),
        ("ExportDetail", object("An export.", [("data", named("Export"))])),
        ("ExportList", object("Exports.", [("data", list("The newest first.", named("ExportSummary")))])),
        ("ExportQuestion", question),
    ])
}

pub(super) fn list_snapshots() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("listSnapshots"))
        .tag("files")
        .summary(Some("Lists files that hold all rows that you may have of a dataset"))
        .description(Some(
            "Of every version that is kept, the newest first. Nothing where all rows are not granted to you.",
        ))
        .parameter(path("dataset", "The dataset's name.", named("DatasetName")))
        .response("200", answer("The snapshots.", "SnapshotList"));
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn create_export() -> OperationBuilder {
    let content = ContentBuilder::new().schema(Some(named("ExportQuestion"))).build();
    let body = RequestBodyBuilder::new()
        .description(Some("The question, and how its files are written."))
        .content("application/json", content)
        .required(Some(Required::True));
    let location = || header("Where the export is told of.");
    let operation = OperationBuilder::new()
        .operation_id(Some("createExport"))
        .tag("files")
        .summary(Some("Asks for files of all rows of a question"))
        .description(Some(
            "They are made beside requests; ask again where Location says until `state` is `done`. The same question of \
             the same version has one export: asking again answers with the one that there is. A GET of rows with \
             `limit=all` and the header `Prefer: respond-async` asks for the same.",
        ))
        .request_body(Some(body.build()))
        .response("202", answer("A new export.", "ExportDetail").header("Location", location()))
        .response("200", answer("The export that there is already.", "ExportDetail").header("Location", location()));
    let statuses = [StatusCode::NOT_FOUND, StatusCode::NOT_ACCEPTABLE, StatusCode::UNSUPPORTED_MEDIA_TYPE];
    problems::with(operation, problems::ANY.into_iter().chain(statuses))
}

pub(super) fn list_exports() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("listExports"))
        .tag("files")
        .summary(Some("Lists the exports that you have asked for"))
        .description(Some("The newest first, a hundred at most."))
        .response("200", answer("The exports.", "ExportList"));
    problems::with(operation, problems::ANY)
}

pub(super) fn get_export() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("getExport"))
        .tag("files")
        .summary(Some("Says how far an export is"))
        .description(Some("Its files, once it is done. What it holds must still be granted to you."))
        .parameter(path("id", "The export's id.", text()))
        .response("200", answer("The export.", "ExportDetail"));
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn cancel_export() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("cancelExport"))
        .tag("files")
        .summary(Some("Ends an export that is not wanted any more"))
        .description(Some("Its files go, where there are any."))
        .parameter(path("id", "The export's id.", text()))
        .response("204", bare_answer("It has come to its end."));
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn list_assets() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("listAssets"))
        .tag("files")
        .summary(Some("Lists files that you may fetch"))
        .description(Some("Snapshots of versions that are kept, and documents beside datasets; a thousand at most."))
        .parameter(query("dataset", "Of this dataset only.", named("DatasetName")))
        .parameter(query("limit", "Files at most.", count("Files at most.").minimum(Some(1)).maximum(Some(1000))))
        .response("200", answer("The files.", "AssetList"));
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn get_asset() -> OperationBuilder {
    let redirected = bare_answer("Where the file is, for as long as the link is good.")
        .header("Location", header("A link that needs no token. It speaks ranges, and names the file's SHA-256."));
    let operation = OperationBuilder::new()
        .operation_id(Some("getAsset"))
        .tag("files")
        .summary(Some("Leads to a file"))
        .description(Some(
            "By a redirection to a link that ends; whoever accepts `application/json`, and not anything, is told of the \
             file and its link instead. The id of a set of files leads to its manifest.",
        ))
        .parameter(path("id", "The file's id.", text()))
        .response("200", answer("What is known of the file, and a link to it; of a set of files, which files it has.", "AssetDetail"))
        .response("302", redirected);
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn list_changes() -> OperationBuilder {
    let streams = MediaType::ALL.into_iter().filter(|media_type| *media_type != MediaType::Json);
    let rows = streams.fold(bare_answer("The rows."), |answer, media_type| {
        answer.content(media_type.as_str(), ContentBuilder::new().schema(Some(RefOr::<Schema>::from(text()))).build())
    });
    let rows = rows
        .header("Martello-Dataset-Version", header("The version that the rows lead to; ask for changes from it next."))
        .header("Link", header("The same question from there on, as rel=\"monitor\" (RFC 5989)."));
    let operation = OperationBuilder::new()
        .operation_id(Some("listChanges"))
        .tag("datasets")
        .summary(Some("Streams what has become of rows between two versions"))
        .description(Some(
            "Rows that were inserted, updated or deleted, as `_change` says, each with the columns as they are in the \
             later version; of a row that is deleted the key alone. Compared is what you may see. In every format but \
             JSON. Nothing of a dataset that is live.",
        ))
        .parameter(path("dataset", "The dataset's name.", named("DatasetName")))
        .parameter(
            query("from", "The number of the version that you have.", count("A version.")).required(Required::True),
        )
        .parameter(query(
            "to",
            "The number of the version that you want; the current one without it.",
            count("A version."),
        ))
        .parameter(list_of("select", "Columns to return beside the key; all that you may see without it.", text()))
        .parameter(query("format", "The format of the answer; goes before the Accept header.", named("Format")))
        .response("200", rows);
    let statuses = [StatusCode::NOT_FOUND, StatusCode::NOT_ACCEPTABLE, StatusCode::GONE, StatusCode::GATEWAY_TIMEOUT];
    problems::with(operation, problems::ANY.into_iter().chain(statuses))
}
