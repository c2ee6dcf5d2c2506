//! Schemas of what is said of the datasets themselves: the shape of `rest/datasets.rs`, member by member.
//!
//! Words that may become more (datasets, operators, functions) are texts in an answer and no enums, so that a client that
//! is older than a word can still read it.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType};

use super::schema::{
    Named, components, count, date, described, flag, instant, list, map, named, nullable, nullable_count,
    nullable_flag, object, optional, text, word,
};
use crate::catalog::{Operator, TYPES};
use crate::encode::MediaType;
use crate::plan::View;

const FAMILIES: [&str; 6] = ["profile", "fundamental", "technical", "news", "social", "signal"];
const VERSION: &str = "The version that is served; null while the dataset is live.";

pub(super) fn schemas(views: &[View]) -> Vec<Named> {
    let names = views.iter().map(|view| view.dataset().name.as_str());
    let words = [
        ("DatasetName", word("A dataset that you may ask.", names)),
        ("Family", word("What kind of investor data it is.", FAMILIES)),
        ("RelationKind", word("Whether a row leads to one row at most, or to any number.", ["one", "many"])),
    ];
    let mut schemas: Vec<Named> = words.map(|(name, word)| (name.to_owned(), RefOr::T(Schema::Object(word)))).into();
    schemas.extend(lists());
    schemas.extend(contract());
    schemas.extend(promises());
    schemas
}

fn formats() -> RefOr<Schema> {
    list("The formats that you may have its rows in.", text().examples(MediaType::ALL.map(MediaType::format)))
}

fn lists() -> Vec<Named> {
    let summary = object(
        "A dataset in short.",
        [
            ("name", described("Its name.").into()),
            ("family", named("Family")),
            ("title", described("A short title.").into()),
            ("description", described("What it holds.").into()),
            ("href", described("Where it is described.").into()),
            ("formats", formats()),
            ("version", nullable_count(VERSION).into()),
            ("deprecated", flag("Whether it is on its way out.").into()),
        ],
    );
    let version = object(
        "What was published at one time.",
        [
            ("number", count("The how manieth of the dataset, from 1.").into()),
            ("id", described("Its name, which nothing else ever had.").into()),
            ("current", flag("Whether it is what is served.").into()),
            ("available", flag("Whether it is kept: walks of pages that began on it stay on it.").into()),
            ("published_at", described("When it was published.").format(instant()).into()),
            ("data_through", nullable("The day up to which its data reaches.").into()),
            ("rows", nullable_count("How many rows it has; null where not all of them are yours to see.").into()),
            ("rollback_of", nullable_count("The older version that it serves again; null where it is new.").into()),
        ],
    );
    let version = [
        ("relation", "Where it stands in its source. For the house only."),
        ("operator", "Who published it. For the house only."),
        ("contract", "The SHA-256 of the contract that it was published under. For the house only."),
    ]
    .into_iter()
    .fold(version, |version, (name, about)| version.property(name, described(about)));
    let versions = list("The newest first.", named("DatasetVersion"));
    let every = list("Every dataset that you may ask.", named("DatasetSummary"));
    components([
        ("DatasetSummary", summary),
        ("DatasetList", object("Datasets.", [("data", every)])),
        ("DatasetVersion", version),
        ("DatasetVersionList", object("Versions.", [("data", versions)])),
        ("DatasetDetail", object("A dataset.", [("data", named("Dataset"))])),
    ])
}

fn contract() -> Vec<Named> {
    let said = |description: &str| -> RefOr<Schema> { described(description).into() };
    let dataset = object(
        "The contract of a dataset, as you may know it, and your limits.",
        [
            ("name", described("Its name.").into()),
            ("family", named("Family")),
            ("title", described("A short title.").into()),
            ("description", described("What it holds.").into()),
            ("owner", described("Whom to ask.").into()),
            ("version", nullable_count(VERSION).into()),
            ("published_at", nullable("When that version was published.").format(instant()).into()),
            ("data_through", nullable("The day up to which its data reaches.").into()),
            (
                "fresh",
                nullable_flag(
                    "Whether that version is as young as the contract promises; null where it promises nothing.",
                )
                .into(),
            ),
            ("primary_key", list("The columns that make a row the only one, in their order.", text())),
            (
                "default_order",
                list("How rows are ordered when you do not say; a minus puts the greatest first.", text()),
            ),
            ("time", nullable("The column that says which of two rows is the newer.").into()),
            (
                "point_in_time",
                optional("DatasetPointInTime", "How revisions are told apart; null where there are none."),
            ),
            (
                "bars",
                optional(
                    "DatasetBars",
                    "The columns that resample reads; null where rows are no bars, or hidden in part.",
                ),
            ),
            ("columns", list("The columns that you may see.", named("DatasetColumn"))),
            ("relations", list("Datasets that its rows lead to.", named("DatasetRelation"))),
            ("sla", named("DatasetSla")),
            ("lineage", named("DatasetLineage")),
            ("deprecation", optional("DatasetDeprecation", "Since when it is on its way out; null where it is not.")),
            ("cache", named("DatasetCache")),
            ("formats", formats()),
            ("limits", named("DatasetLimits")),
            ("links", named("DatasetLinks")),
        ],
    );
    let operators = Operator::ALL.map(Operator::as_str);
    let example = ObjectBuilder::new()
        .schema_type(SchemaType::AnyValue)
        .description(Some("A value that occurs, as JSON of the column's type; null where none is stated."));
    let column = object(
        "A column.",
        [
            ("name", said("Its name.")),
            ("type", described(&format!("Its type: {TYPES}.")).examples(["decimal(14,6)"]).into()),
            ("nullable", flag("Whether it may be null.").into()),
            ("unit", nullable("The unit of its values.").into()),
            ("description", said("What it means.")),
            ("example", example.into()),
            ("filter", list("How rows may be filtered by it.", text().examples(operators))),
            ("sort", flag("Whether rows may be ordered by it.").into()),
            ("searchable", flag("Whether search reads its words.").into()),
            ("aggregate", list("What may be computed over it.", text().examples(["avg", "max"]))),
            (
                "mask",
                nullable("What is shown in place of its values; null where they are. A masked column is only shown.")
                    .into(),
            ),
        ],
    );
    let point_in_time = object(
        "How revisions of one fact are told apart.",
        [
            ("known_at", said("The column that says when a row became known.")),
            ("identity", list("Columns that revisions of one fact share.", text())),
            ("period", nullable("The column that says which period the fact is about.").into()),
        ],
    );
    let bars = object(
        "The columns of a price bar: resample makes longer ones of them.",
        [
            ("open", said("The first price.")),
            ("high", said("The highest price.")),
            ("low", said("The lowest price.")),
            ("close", said("The last price.")),
            ("volume", nullable("What changed hands.").into()),
        ],
    );
    let relation = object(
        "A path from its rows to those of another dataset.",
        [
            ("name", said("The path's name.")),
            ("dataset", said("The other dataset.")),
            ("kind", named("RelationKind")),
            ("on", map("Its own columns, each with the column of the other that it equals.")),
            ("description", said("What it means.")),
        ],
    );
    components([
        ("Dataset", dataset),
        ("DatasetColumn", column),
        ("DatasetPointInTime", point_in_time),
        ("DatasetBars", bars),
        ("DatasetRelation", relation),
    ])
}

fn promises() -> Vec<Named> {
    let duration = |description: &str| described(description).examples(["36h"]);
    let sla = object(
        "What is promised, to whom, and what happens when it is not kept.",
        [
            ("expectation", described("What is expected of the data.").into()),
            ("delivery", described("When it is due.").into()),
        ],
    );
    let sla = sla
        .property("business_need", described("Why the business needs the dataset: told within the house."))
        .property("affected", described("Who is affected when it is not there: told within the house."))
        .property("breach", described("How a breach is known, and what is then done: told within the house."))
        .property("max_age", duration("How old the newest publication may be."))
        .property("due", described("The UTC time of day by which a new version is due.").examples(["05:00"]));
    let lineage = object(
        "Where the dataset comes from.",
        [("derived_from", list("Datasets that it is computed from, as far as you may know of them.", text()))],
    );
    let lineage = lineage.property("description", described("Everything else: told within the house."));
    let deprecation = object(
        "A dataset on its way out (RFC 9745, RFC 8594).",
        [
            ("since", described("The day from which it is deprecated.").format(date()).into()),
            ("sunset", nullable("The day on which it goes.").format(date()).into()),
            ("replacement", nullable("The dataset to use instead.").into()),
        ],
    );
    let cache = object(
        "How long answers may be kept (RFC 9111, RFC 5861).",
        [
            ("max_age", duration("Fresh for so long.").into()),
            ("stale_while_revalidate", duration("Then served stale for so long while it is fetched anew.").into()),
            ("stale_if_error", duration("Served stale for so long while the source is out.").into()),
        ],
    );
    let limits = object(
        "What you may have at once.",
        [
            ("rows_per_request", count("Rows of a page at most.").into()),
            ("rows_by_default", count("Rows of a page when you do not say.").into()),
            ("export", flag("Whether you may have all rows at once, by `limit=all`.").into()),
            ("aggregate", flag("Whether you may ask for groups.").into()),
            ("history", nullable("How far back the time of rows may lie, such as 2y; null without a limit.").into()),
            ("delay", nullable("How long ago rows must have become known, such as 1d; null without a delay.").into()),
            ("revision", nullable("The one revision of each fact that you have; null where you have all.").into()),
        ],
    );
    let links = object(
        "Where to go on.",
        [
            ("rows", described("Its rows.").into()),
            ("aggregate", described("Groups of its rows.").into()),
            ("query", described("Where either is asked with a JSON body, by POST.").into()),
            ("versions", described("What was published of it.").into()),
        ],
    );
    components([
        ("DatasetSla", sla),
        ("DatasetLineage", lineage),
        ("DatasetDeprecation", deprecation),
        ("DatasetCache", cache),
        ("DatasetLimits", limits),
        ("DatasetLinks", links),
    ])
}
