//! The operations: their parameters, and what they answer.

use axum::http::StatusCode;
use utoipa::openapi::path::{OperationBuilder, ParameterBuilder, ParameterIn, ParameterStyle};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, KnownFormat, ObjectBuilder, SchemaFormat, Type as JsonType};
use utoipa::openapi::{ContentBuilder, Deprecated, HeaderBuilder, RefOr, Required, ResponseBuilder, Schema};

use serde_json::Value;

use super::schema::{named, text};
use super::{pascal, problems, rows};
use crate::auth::Role;
use crate::catalog::{Column, Operator, Type};
use crate::encode::MediaType;
use crate::plan::{LIMIT_DEFAULT, View};
use crate::query::Bucket;

pub(super) fn list_datasets() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("listDatasets"))
        .tag("datasets")
        .summary(Some("Lists the datasets that you may ask"))
        .description(Some("In the order of their names. A dataset that is not in it does not exist for you."))
        .response("200", answer("The datasets.", "DatasetList"));
    problems::with(operation, problems::ANY)
}

pub(super) fn get_dataset() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("getDataset"))
        .tag("datasets")
        .summary(Some("Describes a dataset"))
        .description(Some("Its columns, key, promises and lineage as you may know them, and your limits."))
        .parameter(path("dataset", "The dataset's name.", named("DatasetName")))
        .response("200", answer("The dataset.", "DatasetDetail"));
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn list_versions() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("listVersions"))
        .tag("datasets")
        .summary(Some("Lists what was published of a dataset"))
        .description(Some("The newest first; nothing of a dataset that is live."))
        .parameter(path("dataset", "The dataset's name.", named("DatasetName")))
        .response("200", answer("The versions.", "DatasetVersionList"));
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn listen_to_publishes() -> OperationBuilder {
    let last = ParameterBuilder::new()
        .name("Last-Event-ID")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The id of the last event that you have heard: what was published since comes first."))
        .schema(Some(text()));
    let events = ContentBuilder::new().schema(Some(RefOr::<Schema>::from(text()))).build();
    let operation = OperationBuilder::new()
        .operation_id(Some("listenToPublishes"))
        .tag("datasets")
        .summary(Some("Tells of publishes as they happen"))
        .description(Some(
            "Server-sent events without an end; a comment now and then shows that the connection lives. Of each version \
             there is one event, `dataset_published`, whose data is what `…/versions` tells of it, with its `dataset` \
             before that. It ends with your token, and when the server stops: come again with the last id, to any \
             instance.",
        ))
        .parameter(list_of("dataset", "Of these datasets alone.", named("DatasetName")))
        .parameter(last)
        .response("200", bare_answer("The events.").content("text/event-stream", events));
    problems::with(operation, problems::ANY.into_iter().chain([StatusCode::NOT_FOUND]))
}

pub(super) fn get_me() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("getMe"))
        .tag("caller")
        .summary(Some("Says who you are here"))
        .description(Some("Your role, what it shows you of each dataset, and what you may use up."))
        .response("200", answer("You.", "CallerDetail"));
    problems::with(operation, problems::ANY)
}

pub(super) fn get_usage() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("getUsage"))
        .tag("caller")
        .summary(Some("Says what you have used up"))
        .description(Some(
            "Of each quota that your role has. What other instances of the server were lent for you counts as used.",
        ))
        .response("200", answer("What you have used up.", "UsageDetail"));
    problems::with(operation, problems::ANY)
}

/// What a dataset is, and whether it is on its way out.
pub(super) fn about(view: &View, role: &Role) -> String {
    let dataset = view.dataset();
    let mut about = dataset.description.clone();
    if let Some(deprecation) = &dataset.deprecation {
        about.push_str(&format!("\n\nDeprecated since {}", deprecation.since));
        if let Some(sunset) = deprecation.sunset {
            about.push_str(&format!("; it goes on {sunset}"));
        }
        if let Some(replacement) = deprecation.replacement.as_ref().filter(|name| role.grant(name.as_str()).is_some()) {
            about.push_str(&format!("; use {replacement}"));
        }
        about.push('.');
    }
    about
}

pub(super) fn list_rows(view: &View, about: &str) -> OperationBuilder {
    let dataset = view.dataset();
    let mut operation = operation(view, "list", "Rows")
        .summary(Some(format!("Rows of {}, a page at a time", dataset.name)))
        .description(Some(about))
        .parameter(select(view));
    if !rows::sortable(view).is_empty() {
        operation = operation.parameter(list_of(
            "sort",
            "Keys of the order, the first first; a minus puts the greatest first. Null sorts greatest, unless \
             `.nulls_first` or `.nulls_last` says otherwise. The primary key breaks ties.",
            named(&rows::name(view, "SortKey")),
        ));
    }
    let parameters = expand(view).into_iter().chain(asked(view)).chain(representation(view)).chain(filters(view));
    operation = parameters.fold(operation, OperationBuilder::parameter);
    let page = rows_answer(view, "A page of rows.", "Page");
    let page = page.header("Link", header("The next page, as rel=\"next\" (RFC 8288), where there is one."));
    problems::with(operation.response("200", page), problems::ANY.into_iter().chain(problems::OF_ROWS))
}

pub(super) fn get_row(view: &View) -> OperationBuilder {
    let dataset = view.dataset();
    let key: Vec<&str> = view.primary_key().map(|column| column.name.as_str()).collect();
    let mut operation = operation(view, "get", "Row")
        .summary(Some(format!("The row of {} with that key", dataset.name)))
        .description(Some(format!("Found by its primary key: {}.", key.join(", "))));
    for column in view.primary_key() {
        operation = operation.parameter(path(column.name.as_str(), &column.description, rows::literal(column)));
    }
    let parameters = [select(view)].into_iter().chain(expand(view)).chain(known(view)).chain([zone()]);
    operation = parameters.chain(representation(view)).fold(operation, OperationBuilder::parameter);
    let row = rows_answer(view, "The row.", "Item");
    problems::with(operation.response("200", row), problems::ANY.into_iter().chain(problems::OF_ROWS))
}

pub(super) fn aggregate(view: &View) -> OperationBuilder {
    let dataset = view.dataset();
    let mut operation = operation(view, "aggregate", "")
        .summary(Some(format!("Groups of rows of {}, a page at a time", dataset.name)))
        .description(Some(
            "What makes a group, and what is measured in it; without `group_by`, all rows are one group. An answer calls \
             a measure by its function and column, and an interval by its column and name: `avg_close`, `date_month`.",
        ));
    let ordered = !rows::sortable(view).is_empty();
    if ordered {
        let key = named(&rows::name(view, "GroupKey"));
        let about = "What makes a group: columns, and intervals of dates and timestamps, told by their first day.";
        operation = operation.parameter(list_of("group_by", about, key));
    }
    let measure = named(&rows::name(view, "Measure"));
    operation = operation.parameter(list_of("measures", "What is measured in each group.", measure)).parameter(query(
        "having",
        "Conditions on groups, every one of which must hold, in parentheses: of measures and groups, as they are asked \
         for or by their names in the answer.",
        text().examples(["(count().gte=1)", "(or(count().gt=1,count().lt=5))"]),
    ));
    if view.bars().is_some() {
        let codes = ObjectBuilder::new().schema_type(JsonType::String).enum_values(Some(Bucket::ALL.map(Bucket::code)));
        let about = "Bars of a longer interval: first open, greatest high, least low, last close, summed volume.";
        operation = operation.parameter(query("resample", about, codes));
    }
    operation = operation.parameter(list_of(
        "sort",
        "Keys of the order: measures and groups, as they are asked for or by their names in the answer; a minus puts the \
         greatest first.",
        text().examples(["-count()"]),
    ));
    operation =
        asked(view).chain(representation(view)).chain(filters(view)).fold(operation, OperationBuilder::parameter);
    let page = rows_answer(view, "A page of groups.", "GroupPage");
    let page = page.header("Link", header("The next page, as rel=\"next\" (RFC 8288), where there is one."));
    problems::with(operation.response("200", page), problems::ANY.into_iter().chain(problems::OF_ROWS))
}

pub(super) fn post_query(view: &View) -> OperationBuilder {
    let content = ContentBuilder::new().schema(Some(named(&rows::name(view, "Question")))).build();
    let body = RequestBodyBuilder::new()
        .description(Some("The question. Its parts are the parameters of the other operations, and mean the same."))
        .content("application/json", content)
        .required(Some(Required::True));
    let operation = operation(view, "query", "")
        .summary(Some(format!("Asks {} a question that stands in the body", view.dataset().name)))
        .description(Some(
            "For questions that are too long for a URL, and for those that ask for something other than rows: groups, \
             what an answer would cost (`dry_run`), and how it would be given (`explain`). Every URL of rows and groups \
             takes `dry_run` and `explain` as well.",
        ))
        .request_body(Some(body.build()));
    let statuses = problems::ANY.into_iter().chain(problems::OF_ROWS).chain([StatusCode::UNSUPPORTED_MEDIA_TYPE]);
    problems::with(operation.response("200", rows_answer(view, "The answer.", "Answer")), statuses)
}

/// What every question may have: revisions, the newest rows, words, trees, pages, counts, a zone.
fn asked(view: &View) -> impl Iterator<Item = ParameterBuilder> {
    let mut parameters = Vec::new();
    if view.dataset().time.is_some() && !rows::sortable(view).is_empty() {
        parameters.push(list_of(
            "latest_by",
            "Of the rows that are left after the filters, only the newest for each value of these columns.",
            named(&rows::name(view, "OrderedColumn")),
        ));
    }
    parameters.extend(known(view));
    if view.columns().any(|column| column.searchable) {
        let about = "Rows that have all of these words in one searchable column. Words are runs of letters and digits; \
                     the case of ASCII letters does not matter.";
        parameters.push(query("search", about, text().examples(["annual report"])));
    }
    let about_limit = if view.exports() {
        "Rows of a page at most: the page's size, never a cut of the whole. The word `all` in its place gives every row as a \
         stream, in any format but JSON."
    } else {
        "Rows of a page at most: the page's size, never a cut of the whole."
    };
    let limit = ObjectBuilder::new()
        .schema_type(JsonType::Integer)
        .minimum(Some(1))
        .maximum(Some(view.rows_per_request()))
        .default(Some(LIMIT_DEFAULT.min(view.rows_per_request()).into()));
    parameters.extend([
        query("limit", about_limit, limit),
        query(
            "cursor",
            "Where the page before ended: its `page.next_cursor`. All but `select`, `expand`, `count` and `limit` must be \
             as it was.",
            text(),
        ),
        query("count", "Whether to count all rows, not only those of the page.", named("CountMode")),
        zone(),
    ]);
    parameters.into_iter()
}

/// What was known when.
fn known(view: &View) -> impl Iterator<Item = ParameterBuilder> {
    let as_of = || {
        query(
            "as_of",
            "Only what was known then, and of each fact its newest revision then: a date (its end is meant) or a \
             timestamp with an offset.",
            text().examples(["2015-03-31", "2015-03-31T12:00:00Z"]),
        )
    };
    let revision = || query("revision", "Which of the revisions of a fact.", named("Revision"));
    view.dataset().point_in_time.iter().flat_map(move |_| [as_of(), revision()])
}

fn zone() -> ParameterBuilder {
    let about = "The IANA time zone of timestamps in the answer and of the days of groups; UTC without it.";
    query("tz", about, text().examples(["America/New_York"]))
}

/// Related rows, where there are relations.
fn expand(view: &View) -> Option<ParameterBuilder> {
    let names: Vec<&str> = view.relations().map(|relation| relation.name.as_str()).collect();
    let (first, ..) = names.split_first()?;
    let about = format!(
        "Rows of other datasets that come with each row: {}. In parentheses stand their columns, and for relations to \
         many `limit=` for each row, `sort=`, conditions, and `expand=` again.",
        names.join(", ")
    );
    Some(query("expand", &about, text().examples([*first])))
}

/// Trees of conditions, then each column by each operator that its contract offers.
fn filters(view: &View) -> impl Iterator<Item = ParameterBuilder> {
    let example = tree_example(view);
    let tree = |name: &str, about: &str| {
        let about = format!(
            "{about} In parentheses, parted by commas: `column.operator=value`, `or(…)`, `and(…)`, and `not.` before any."
        );
        query(name, &about, text().examples(example.clone()))
    };
    let trees = [
        tree("or", "At least one of these conditions holds."),
        tree("and", "Every one of these conditions holds."),
        tree("not.or", "None of these conditions holds."),
        tree("not.and", "Not every one of these conditions holds."),
    ];
    let columns: Vec<ParameterBuilder> = (view.columns())
        .flat_map(|column| column.filter.iter().map(move |operator| filter(column, *operator)))
        .collect();
    trees.into_iter().chain(columns)
}

/// A tree of one condition that the dataset can answer.
fn tree_example(view: &View) -> Option<String> {
    let text = |column: &Column| match (&column.example, column.data_type) {
        (Some(Value::String(text)), Type::String | Type::Date | Type::Timestamp) => {
            Some(format!("({}=\"{}\")", column.name, text.replace('"', "\"\"")))
        }
        (Some(Value::Number(number)), _) => Some(format!("({}={number})", column.name)),
        _ => None,
    };
    view.columns().filter(|column| column.filter.contains(&Operator::Eq)).find_map(text)
}

/// An operation on rows: `listPriceDailyRows`.
fn operation(view: &View, verb: &str, noun: &str) -> OperationBuilder {
    let dataset = view.dataset();
    OperationBuilder::new()
        .operation_id(Some(format!("{verb}{}{noun}", pascal(dataset.name.as_str()))))
        .tag(dataset.name.as_str())
        .deprecated(dataset.deprecation.as_ref().map(|_| Deprecated::True))
}

fn select(view: &View) -> ParameterBuilder {
    let name = rows::name(view, "ColumnName");
    list_of("select", "Columns to return, in this order; all that you may see without it.", named(&name))
}

/// How an answer is written, whatever it holds.
fn representation(view: &View) -> impl Iterator<Item = ParameterBuilder> {
    let format = query("format", "The format of the answer; goes before the Accept header.", named("Format"));
    let numbers = query("numbers", "How numbers that a double cannot hold are written.", named("Numbers"));
    let guard = || query("guard", "What texts of a CSV are kept from being taken for.", named("Guard"));
    [format, numbers].into_iter().chain(view.media_types().has(MediaType::Csv).then(guard))
}

pub(super) fn path(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(schema))
}

pub(super) fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

/// A list parted by commas. Clients that repeat the parameter instead are understood as well.
pub(super) fn list_of(name: &str, description: &str, items: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    let list = ArrayBuilder::new().items(items.into());
    query(name, description, list).style(Some(ParameterStyle::Form)).explode(Some(false))
}

fn filter(column: &Column, operator: Operator) -> ParameterBuilder {
    let name = match operator {
        Operator::Eq => column.name.to_string(),
        _ => format!("{}.{}", column.name, operator.as_str()),
    };
    let meaning = match operator {
        Operator::Eq => "equals this",
        Operator::Ne => "is not this, and not null",
        Operator::Gt => "is greater than this",
        Operator::Gte => "is this or greater",
        Operator::Lt => "is less than this",
        Operator::Lte => "is this or less",
        Operator::In => "is one of these",
        Operator::Nin => "is none of these, and not null",
        Operator::Prefix => "begins with this",
        Operator::Contains => "has this in it",
        Operator::IsNull => "is null (true), or is not (false)",
        Operator::Has => "has this element",
    };
    let description = format!("`{}` {meaning}.", column.name);
    match operator {
        // One text, not an array: generators write arrays as a repeated parameter, which means AND here, and none quotes
        // an item that has a comma.
        Operator::In | Operator::Nin => {
            let description = format!(
                "{description} A list parted by commas; an item with a comma or a quote in it stands in double quotes, as in RFC 4180."
            );
            let list = ObjectBuilder::new().schema_type(JsonType::String);
            query(&name, &description, list.examples(column.example.as_ref().and_then(list_example)))
        }
        Operator::IsNull => query(&name, &description, ObjectBuilder::new().schema_type(JsonType::Boolean)),
        _ => query(&name, &description, rows::literal(column)),
    }
}

/// A list of one item, as a URL writes it.
fn list_example(example: &Value) -> Option<String> {
    match example {
        Value::String(text) if text.contains([',', '"']) => Some(format!("\"{}\"", text.replace('"', "\"\""))),
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn rows_answer(view: &View, description: &str, schema: &str) -> ResponseBuilder {
    let media_types = view.media_types();
    let mut answer = media_types.iter().fold(bare_answer(description), |answer, media_type| {
        let schema = match media_type {
            MediaType::Json => named(&rows::name(view, schema)),
            MediaType::Ndjson | MediaType::Csv => text().into(),
            MediaType::Arrow | MediaType::Parquet => {
                text().format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary))).into()
            }
        };
        answer.content(media_type.as_str(), ContentBuilder::new().schema(Some(schema)).build())
    });
    if media_types != MediaType::Json.into() {
        let about = "Where the next page begins, where there is one and the answer is no JSON, which has it inside.";
        answer = answer
            .header("Content-Disposition", header("A name for the file, where the answer is one."))
            .header("Martello-Next-Cursor", header(about));
    }
    if view.dataset().deprecation.is_none() {
        return answer;
    }
    answer
        .header("Deprecation", header("Since when the dataset is deprecated (RFC 9745)."))
        .header("Sunset", header("When it goes (RFC 8594), where that is known."))
}

pub(super) fn answer(description: &str, schema: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(named(schema))).build();
    bare_answer(description).content("application/json", content)
}

pub(super) fn bare_answer(description: &str) -> ResponseBuilder {
    let answer = ResponseBuilder::new().description(description).header_ref("X-Request-Id", problems::request_id());
    problems::QUOTAS.iter().fold(answer, |answer, (name, _)| answer.header_ref(*name, problems::header(name)))
}

pub(super) fn header(description: &str) -> utoipa::openapi::Header {
    HeaderBuilder::new().description(Some(description)).schema(Some(text())).build()
}
