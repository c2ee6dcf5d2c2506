//! JSON Schemas of what is answered.

use serde_json::Value;
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, Object, ObjectBuilder, SchemaFormat, SchemaType, Type as JsonType,
};
use utoipa::openapi::{Ref, RefOr, Schema};

use super::pascal;
use crate::catalog::{Column, Type};
use crate::plan::View;

type Named = (String, RefOr<Schema>);

/// Schemas that every document has.
pub(super) fn shared() -> Vec<Named> {
    let text = || ObjectBuilder::new().schema_type(JsonType::String);
    let described = |builder: ObjectBuilder, description: &str| builder.description(Some(description)).build();
    let nullable_text = |description: &str| {
        let types = SchemaType::from_iter([JsonType::String, JsonType::Null]);
        ObjectBuilder::new().schema_type(types).description(Some(description)).build()
    };
    let count = |description: &str| {
        ObjectBuilder::new().schema_type(JsonType::Integer).minimum(Some(0)).description(Some(description)).build()
    };
    let problem = ObjectBuilder::new()
        .description(Some("What went wrong (RFC 9457). Branch on type: it is stable; texts are for people."))
        .property("type", described(text(), "A stable, documented kind, such as /problems/unknown-column."))
        .property("title", described(text(), "The kind in words."))
        .property("status", count("The HTTP status."))
        .property("detail", described(text(), "What happened this time."))
        .property("request_id", described(text(), "Quote it when you ask."))
        .property("parameter", described(text(), "The parameter at fault."))
        .property("hint", described(text(), "What may help."));
    let problem = required(problem, &["type", "title", "status", "detail", "request_id"]);
    let page = ObjectBuilder::new()
        .property("limit", count("Rows of this page at most."))
        .property("count", count("Rows of this page."))
        .property(
            "has_more",
            described(ObjectBuilder::new().schema_type(JsonType::Boolean), "Whether there are rows behind it."),
        )
        .property("next_cursor", nullable_text("The cursor of the next page; null on the last."));
    let page = required(page, &["limit", "count", "has_more", "next_cursor"]);
    let meta = ObjectBuilder::new()
        .property("dataset", described(text(), "The dataset."))
        .property("version", nullable_text("The version that answered; null while the dataset is live."))
        .property("published_at", nullable_text("When that version was published."))
        .property("data_through", nullable_text("Up to when its data reaches."));
    let meta = required(meta, &["dataset", "version", "published_at", "data_through"]);
    let summary = ObjectBuilder::new()
        .property("name", text().build())
        .property("family", text().build())
        .property("title", text().build())
        .property("description", text().build())
        .property("href", text().build())
        .property("version", nullable_text("The version; null while the dataset is live."))
        .property("deprecated", ObjectBuilder::new().schema_type(JsonType::Boolean).build());
    let summary = required(summary, &["name", "family", "title", "description", "href", "version", "deprecated"]);
    let list =
        ObjectBuilder::new().property("data", ArrayBuilder::new().items(Ref::from_schema_name("DatasetSummary")));
    let list = required(list, &["data"]);
    let detail = ObjectBuilder::new().property(
        "data",
        ObjectBuilder::new()
            .description(Some("The contract as you may know it."))
            .property("name", text().build())
            .property("primary_key", ArrayBuilder::new().items(text()))
            .property("columns", ArrayBuilder::new().items(Ref::from_schema_name("DatasetColumn")))
            .required("name")
            .required("primary_key")
            .required("columns"),
    );
    let detail = required(detail, &["data"]);
    let column = ObjectBuilder::new()
        .property("name", text().build())
        .property("type", text().build())
        .property("nullable", ObjectBuilder::new().schema_type(JsonType::Boolean).build())
        .property("unit", nullable_text("The unit of its values."))
        .property("description", text().build())
        .property("example", Object::with_type(SchemaType::AnyValue))
        .property("filter", ArrayBuilder::new().items(text()))
        .property("sort", ObjectBuilder::new().schema_type(JsonType::Boolean).build())
        .property("aggregate", ArrayBuilder::new().items(text()));
    let column = required(
        column,
        &["name", "type", "nullable", "unit", "description", "example", "filter", "sort", "aggregate"],
    );
    [
        ("Problem", problem),
        ("PageInfo", page),
        ("Meta", meta),
        ("DatasetSummary", summary),
        ("DatasetList", list),
        ("DatasetDetail", detail),
        ("DatasetColumn", column),
    ]
    .map(|(name, schema)| (name.to_owned(), RefOr::T(Schema::Object(schema))))
    .into()
}

fn required(builder: ObjectBuilder, names: &[&str]) -> Object {
    names.iter().fold(builder, |builder, name| builder.required(*name)).build()
}

/// Row, page and item of a dataset.
pub(super) fn of(view: &View) -> Vec<Named> {
    let dataset = view.dataset();
    let name = pascal(dataset.name.as_str());
    // No column is required: select leaves out what it does not name.
    let row = view.columns().fold(ObjectBuilder::new().description(Some(dataset.title.as_str())), |row, column| {
        row.property(column.name.as_str(), value(column))
    });
    let row_name = format!("{name}Row");
    let reference = || Ref::from_schema_name(&row_name);
    let page = ObjectBuilder::new()
        .property("data", ArrayBuilder::new().items(reference()))
        .property("page", Ref::from_schema_name("PageInfo"))
        .property("meta", Ref::from_schema_name("Meta"));
    let item = ObjectBuilder::new().property("data", reference()).property("meta", Ref::from_schema_name("Meta"));
    [
        (row_name.clone(), row.build()),
        (format!("{name}Page"), required(page, &["data", "page", "meta"])),
        (format!("{name}Item"), required(item, &["data", "meta"])),
    ]
    .map(|(name, schema)| (name, RefOr::T(Schema::Object(schema))))
    .into()
}

/// What a literal of the column is in a URL.
pub(super) fn literal(column: &Column) -> Object {
    let (types, format) = json_type(column.data_type);
    let first = types.into_iter().next().unwrap_or(JsonType::String);
    ObjectBuilder::new().schema_type(first).format(format).build()
}

/// A column's values in an answer.
fn value(column: &Column) -> RefOr<Schema> {
    let mut description = column.description.clone();
    if let Some(unit) = &column.unit {
        description = format!("{} Unit: {unit}.", description.trim_end());
    }
    let example = column.example.clone().map(|example| exampled(column.data_type, example));
    if column.data_type == Type::Json {
        let any = ObjectBuilder::new().schema_type(SchemaType::AnyValue).description(Some(description));
        return any.examples(example).into();
    }
    let nulls = |mut types: Vec<JsonType>| {
        if column.nullable {
            types.push(JsonType::Null);
        }
        match types.as_slice() {
            [one] => SchemaType::Type(one.clone()),
            _ => SchemaType::Array(types),
        }
    };
    if column.data_type == Type::StringList {
        let items = ObjectBuilder::new().schema_type(JsonType::String);
        let list = ArrayBuilder::new().schema_type(nulls(vec![JsonType::Array])).items(items);
        return Schema::Array(list.description(Some(description)).examples(example).build()).into();
    }
    let (types, format) = json_type(column.data_type);
    ObjectBuilder::new()
        .schema_type(nulls(types))
        .format(format)
        .description(Some(description))
        .examples(example)
        .into()
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

fn json_type(data_type: Type) -> (Vec<JsonType>, Option<SchemaFormat>) {
    let known = |format| Some(SchemaFormat::KnownFormat(format));
    match data_type {
        Type::Bool => (vec![JsonType::Boolean], None),
        Type::Int32 => (vec![JsonType::Integer], known(KnownFormat::Int32)),
        // A string under numbers=string.
        Type::Int64 => (vec![JsonType::Integer, JsonType::String], known(KnownFormat::Int64)),
        Type::Decimal { .. } => {
            (vec![JsonType::Number, JsonType::String], Some(SchemaFormat::Custom("decimal".into())))
        }
        Type::Float64 => (vec![JsonType::Number], known(KnownFormat::Double)),
        Type::String | Type::Json | Type::StringList => (vec![JsonType::String], None),
        Type::Date => (vec![JsonType::String], known(KnownFormat::Date)),
        Type::Timestamp => (vec![JsonType::String], known(KnownFormat::DateTime)),
    }
}
