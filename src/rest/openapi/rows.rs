//! Schemas of rows and pages, of the names that a question may use, and of literals.

use serde_json::Value;
use utoipa::openapi::schema::{
    AdditionalProperties, ArrayBuilder, KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type as JsonType,
};
use utoipa::openapi::{RefOr, Schema};

use super::pascal;
use super::schema::{
    Named, components, count, date, described, flag, instant, list, named, nullable, nullable_count, object, optional,
    text, word, word_called,
};
use crate::catalog::{Column, RelationKind, Type};
use crate::encode::{MediaType, MediaTypes};
use crate::plan::View;
use crate::query::{Count, Revision};

/// Schemas that every page and every question share.
pub(super) fn shared(media_types: MediaTypes) -> Vec<Named> {
    let page = object(
        "Where the page stands among all rows.",
        [
            ("limit", count("Rows of this page at most.").into()),
            ("count", count("Rows of this page.").into()),
            ("has_more", flag("Whether there are rows behind it.").into()),
            ("next_cursor", nullable("The cursor of the next page; null on the last.").into()),
        ],
    );
    let total = ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([JsonType::Integer, JsonType::Null]))
        .description(Some("Rows of all pages, where `count` asked for their number and it is known."));
    let status = described(
        "What `total_count` is: `exact`, `estimated`, or why it is null, `budget` where the time for counting ran out and \
         `unavailable` where the source did not count.",
    );
    let changed = flag("True where the page before was of another version, which is no longer kept; absent otherwise.");
    let page =
        page.property("total_count", total).property("count_status", status).property("version_changed", changed);
    let meta = object(
        "What the rows are from.",
        [
            ("dataset", described("The dataset.").into()),
            ("version", nullable_count("The version that answered; null while the dataset is live.").into()),
            ("published_at", nullable("When that version was published.").format(instant()).into()),
            ("data_through", nullable("The day up to which its data reaches.").into()),
        ],
    );
    let meta = meta.property("tz", described("The time zone of timestamps, where `tz` asked for one."));
    let limited = list(
        "Ends of time behind which rows are kept from you; absent where none are. There may be rows beyond them.",
        named("Window"),
    );
    let meta = meta.property("limited_by", limited);
    let window = object(
        "An end of time behind which rows are kept from you.",
        [
            ("window", described("Which end.").enum_values(Some(["history", "delay"])).into()),
            ("dataset", described("Whose rows.").into()),
            ("column", described("The column that is bound.").into()),
        ],
    );
    let window = window
        .property("from", described("Nothing before this date or instant is yours to see."))
        .property("to", described("Nothing behind this date or instant is yours to see yet."));
    let formats = media_types.iter().map(MediaType::format);
    let format = described("A format of answers. Without it and an Accept header, the first that you may have.");
    let format = format.enum_values(Some(formats));
    let numbers = described(
        "`exact` writes int64 and decimals as JSON numbers with all their digits; `string` as strings, for readers \
         that would round them. Arrow and Parquet have types for them, and no `string`.",
    );
    let numbers = numbers.enum_values(Some(["exact", "string"])).default(Some("exact".into()));
    let shape = described(
        "How a JSON page is laid out: `rows` is a list of objects, and `columns` an object of lists, a list for each column.",
    );
    let shape = shape.enum_values(Some(["rows", "columns"])).default(Some("rows".into()));
    let guard = described(
        "`formulas` puts an apostrophe before texts of a CSV that a spreadsheet would take for formulas. `none` leaves them \
         as they are.",
    );
    let guard = guard.enum_values(Some(["formulas", "none"])).default(Some("none".into()));
    let revision = described(
        "Which of the revisions of a fact: the one that was known `first`, the `latest`, or `all`, the default without \
         `as_of`.",
    );
    let revision = revision.enum_values(Some(Revision::ALL.map(|(name, _)| name)));
    let count = described("Whether all rows are counted, not only those of the page.");
    let count = count.enum_values(Some(Count::ALL.map(|(name, _)| name))).default(Some("none".into()));
    components([
        ("PageInfo", page),
        ("Meta", meta),
        ("Window", window),
        ("Format", format),
        ("Numbers", numbers),
        ("Shape", shape),
        ("Guard", guard),
        ("Revision", revision),
        ("CountMode", count),
    ])
}

/// The name of a schema of a dataset.
pub(super) fn name(view: &View, what: &str) -> String {
    format!("{}{what}", pascal(view.dataset().name.as_str()))
}

/// The columns that rows may be ordered by.
pub(super) fn sortable(view: &View) -> Vec<&Column> {
    view.columns().filter(|column| column.sort).collect()
}

/// Row, page and item of a dataset, and what select, sort and `latest_by` may name.
pub(super) fn schemas(view: &View) -> Vec<Named> {
    let title = view.dataset().title.trim_end_matches('.');
    // No column is required: select leaves out what it does not name.
    let about = format!("A row of: {title}. Every column that you may see, or those that `select` names.");
    let row = view.columns().fold(ObjectBuilder::new().description(Some(about)), |row, column| {
        row.property(column.name.as_str(), value(column))
    });
    let row = view.relations().fold(row, |row, relation| {
        let related = format!("{}Row", pascal(relation.dataset.as_str()));
        let about = format!("{} Only where `expand` names it.", relation.description);
        match relation.kind {
            RelationKind::One => row.property(relation.name.as_str(), optional(&related, &about)),
            RelationKind::Many => row.property(relation.name.as_str(), list(&about, named(&related))),
        }
    });
    let reference = || named(&name(view, "Row"));
    let page = object(
        "A page of rows.",
        [("data", list("The rows.", reference())), ("page", named("PageInfo")), ("meta", named("Meta"))],
    );
    let item = object("One row.", [("data", reference()), ("meta", named("Meta"))]);
    let columns = view.columns().fold(ObjectBuilder::new(), |columns, column| {
        columns.property(column.name.as_str(), list("Its values, a row each.", value(column)))
    });
    let about = "The same columns, a list each: those of rows, or those of groups where the question is about groups.";
    let columns =
        columns.description(Some(about)).additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)));
    let by_columns = object(
        "A page by its columns, as `shape` asks for it.",
        [("data", named(&name(view, "Columns"))), ("page", named("PageInfo")), ("meta", named("Meta"))],
    );
    let names = view.columns().map(|column| column.name.as_str());
    let names = word("A column that you may see.", names);
    let sortable = sortable(view);
    let mut schemas: Vec<(&str, RefOr<Schema>)> =
        vec![("Row", row.into()), ("Page", page.into()), ("Item", item.into()), ("ColumnName", names.into())];
    schemas.push(("Columns", columns.into()));
    schemas.push(("ColumnsPage", by_columns.into()));
    if !sortable.is_empty() {
        schemas.push(("SortKey", word_called("A key of an order.", &sort_keys(&sortable)).into()));
    }
    if !sortable.is_empty() && view.dataset().time.is_some() {
        let names = sortable.iter().map(|column| column.name.as_str());
        schemas.push(("OrderedColumn", word("A column whose values have an order.", names).into()));
    }
    schemas.into_iter().map(|(what, schema)| (name(view, what), schema)).collect()
}

/// Every key of an order, and what it is called in code: `-close.nulls_last` is `CLOSE_DESC_NULLS_LAST`.
fn sort_keys(columns: &[&Column]) -> Vec<(String, String)> {
    let mut keys = Vec::new();
    for column in columns {
        let upper = column.name.as_str().to_ascii_uppercase();
        for (sign, direction) in [("", ""), ("-", "_DESC")] {
            keys.push((format!("{sign}{}", column.name), format!("{upper}{direction}")));
            let nulls = if column.nullable { ["nulls_first", "nulls_last"].as_slice() } else { &[] };
            keys.extend(nulls.iter().map(|nulls| {
                let called = format!("{upper}{direction}_{}", nulls.to_ascii_uppercase());
                (format!("{sign}{}.{nulls}", column.name), called)
            }));
        }
    }
    keys
}

/// What a literal of the column is in a URL.
pub(super) fn literal(column: &Column) -> Object {
    let (types, format) = json_type(column.data_type);
    // A list is asked for one of its elements.
    let example = match (&column.example, column.data_type) {
        (Some(Value::Array(items)), Type::StringList) => items.first().cloned(),
        (example, _) => example.clone().map(|example| exampled(column.data_type, example)),
    };
    ObjectBuilder::new().schema_type(one_or_many(types)).format(format).examples(example).build()
}

/// A column's values in an answer.
fn value(column: &Column) -> RefOr<Schema> {
    let mut description = column.description.clone();
    if let Some(unit) = &column.unit {
        description = format!("{} Unit: {unit}.", description.trim_end());
    }
    let example = column.example.clone().map(|example| exampled(column.data_type, example));
    typed(column.data_type, column.nullable, description, example)
}

/// Values of a type.
pub(super) fn typed(data_type: Type, nullable: bool, description: String, example: Option<Value>) -> RefOr<Schema> {
    if data_type == Type::Json {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(description));
        return any.examples(example).into();
    }
    let nulls = |mut types: Vec<JsonType>| {
        if nullable {
            types.push(JsonType::Null);
        }
        one_or_many(types)
    };
    if data_type == Type::StringList {
        let list = ArrayBuilder::new().schema_type(nulls(vec![JsonType::Array])).items(text());
        return Schema::Array(list.description(Some(description)).examples(example).build()).into();
    }
    let (types, format) = json_type(data_type);
    ObjectBuilder::new()
        .schema_type(nulls(types))
        .format(format)
        .description(Some(description))
        .examples(example)
        .into()
}

pub(super) fn one_or_many(types: Vec<JsonType>) -> SchemaType {
    match types.as_slice() {
        [one] => SchemaType::Type(one.clone()),
        _ => SchemaType::Array(types),
    }
}

/// An example as an answer would write it.
fn exampled(data_type: Type, example: Value) -> Value {
    match (data_type, &example) {
        (Type::Float64 | Type::Decimal { .. }, Value::String(text)) => {
            text.parse::<serde_json::Number>().map_or(example, Value::Number)
        }
        _ => example,
    }
}

pub(super) fn json_type(data_type: Type) -> (Vec<JsonType>, Option<SchemaFormat>) {
    let known = |format| Some(SchemaFormat::KnownFormat(format));
    match data_type {
        Type::Bool => (vec![JsonType::Boolean], None),
        Type::Int32 => (vec![JsonType::Integer], known(KnownFormat::Int32)),
        // A string under numbers=string, and in a question wherever a double would round it.
        Type::Int64 => (vec![JsonType::Integer, JsonType::String], known(KnownFormat::Int64)),
        Type::Decimal { .. } => {
            (vec![JsonType::Number, JsonType::String], Some(SchemaFormat::Custom("decimal".into())))
        }
        Type::Float64 => (vec![JsonType::Number], known(KnownFormat::Double)),
        Type::String | Type::Json | Type::StringList => (vec![JsonType::String], None),
        Type::Date => (vec![JsonType::String], date()),
        Type::Timestamp => (vec![JsonType::String], instant()),
    }
}
