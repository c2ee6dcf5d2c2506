//! Schemas of groups and measures: every one that the contract allows, with the type that it answers with.

use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder};
use utoipa::openapi::{RefOr, Schema};

use super::questions::met_by;
use super::rows::{name, sortable, typed};
use super::schema::{Named, described, list, named, object, word_called};
use crate::catalog::{Column, Function, Type};
use crate::plan::{View, measured};
use crate::query::{Bucket, Group, Measure};

/// What makes a group, what is measured, a group, and a page of them.
pub(super) fn schemas(view: &View) -> Vec<Named> {
    let groups: Vec<(String, String)> =
        groups(view).map(|(group, _)| (written(&group), called(&group.name()))).collect();
    let measures: Vec<(String, String)> =
        measures(view).map(|(measure, _)| (call(&measure), called(&measure.name()))).collect();
    let page = object(
        "A page of groups.",
        [
            ("data", list("The groups.", named(&name(view, "Group")))),
            ("page", named("PageInfo")),
            ("meta", named("Meta")),
        ],
    );
    let mut schemas: Vec<(&str, RefOr<Schema>)> = Vec::new();
    if !groups.is_empty() {
        schemas.push(("GroupKey", word_called("What makes a group: a column, or an interval of one.", &groups).into()));
    }
    schemas.push(("Measure", word_called("What is measured in a group.", &measures).into()));
    schemas.push(("Group", group(view).into()));
    schemas.push(("GroupPage", page.into()));
    schemas.push(("Having", having(view).into()));
    schemas.into_iter().map(|(what, schema)| (name(view, what), schema)).collect()
}

/// Every group that may be asked for, with its column.
fn groups(view: &View) -> impl Iterator<Item = (Group, &Column)> {
    sortable(view).into_iter().flat_map(|column| {
        let field = column.name.to_string();
        let buckets = match column.data_type {
            Type::Date | Type::Timestamp => Bucket::ALL.as_slice(),
            _ => &[],
        };
        let whole = Group { field: field.clone(), bucket: None };
        let buckets = buckets.iter().map(move |bucket| Group { field: field.clone(), bucket: Some(*bucket) });
        [whole].into_iter().chain(buckets).map(move |group| (group, column))
    })
}

/// Every measure that may be asked for, with its column.
fn measures(view: &View) -> impl Iterator<Item = (Measure, Option<&Column>)> {
    let rows = Measure { function: Function::Count, field: None };
    let of_columns = view.columns().flat_map(|column| {
        let measure = |function: &Function| Measure { function: *function, field: Some(column.name.to_string()) };
        column.aggregate.iter().map(move |function| (measure(function), Some(column)))
    });
    [(rows, None)].into_iter().chain(of_columns)
}

/// What the answer calls groups and measures, each with its column and type.
fn fields(view: &View) -> impl Iterator<Item = (String, Type)> {
    let groups = groups(view)
        .map(|(group, column)| (group.name(), if group.bucket.is_some() { Type::Date } else { column.data_type }));
    let of = |column: &Column| column.data_type;
    groups.chain(
        measures(view).map(move |(measure, column)| (measure.name(), measured(measure.function, column.map(of)))),
    )
}

/// Conditions on groups, by their names in the answer.
fn having(view: &View) -> ObjectBuilder {
    let filters = |about: &str| list(about, named(&name(view, "Having")));
    let about = "What groups must meet: every member must hold. The members are groups and measures that the question \
                 asks for, by their names in the answer or as they are asked for: `avg_close` or `avg(close)`.";
    fields(view)
        .fold(ObjectBuilder::new().description(Some(about)), |having, (name, data_type)| {
            having.property(name, met_by(data_type, true))
        })
        .property("or", filters("At least one of these must hold."))
        .property("and", filters("Every one of these must hold."))
        .property("not", named(&name(view, "Having")))
        .additional_properties(Some(AdditionalProperties::<Schema>::FreeForm(true)))
}

fn group(view: &View) -> ObjectBuilder {
    let title = view.dataset().title.trim_end_matches('.');
    let about =
        format!("A group of: {title}. What makes it, and what is measured in it, as far as the question asked.");
    let mut row = ObjectBuilder::new().description(Some(about));
    for (group, column) in groups(view) {
        let (data_type, about) = match group.bucket {
            Some(bucket) => (Type::Date, format!("The first day of the {} of `{}`.", bucket.as_str(), column.name)),
            None => (column.data_type, column.description.clone()),
        };
        row = row.property(group.name(), typed(data_type, column.nullable, about, None));
    }
    for (measure, column) in measures(view) {
        let about = match column {
            Some(column) => format!("`{}({})`.", measure.function.as_str(), column.name),
            None => "The rows of the group.".to_owned(),
        };
        let data_type = measured(measure.function, column.map(|column| column.data_type));
        let counts = matches!(measure.function, Function::Count | Function::CountDistinct);
        row = row.property(measure.name(), typed(data_type, !counts, about, None));
    }
    if let (Some(bars), Some(time)) = (view.bars(), view.dataset().time) {
        let dataset = view.dataset();
        let column = &dataset.columns[time];
        let about = "The first day of the interval of a bar, or itself where it makes a group.";
        row = match column.data_type {
            Type::Date => row.property(column.name.as_str(), typed(Type::Date, false, about.to_owned(), None)),
            // A day or an instant: a text without a format of its own.
            _ => row.property(column.name.as_str(), described(about)),
        };
        for (index, function) in bars.measures() {
            let column = &dataset.columns[index];
            let about = format!("`{}({})`, in a bar of `resample`.", function.as_str(), column.name);
            let data_type = measured(function, Some(column.data_type));
            // Without groups of its own a column of a bar may also be grouped by.
            row = row.property(column.name.as_str(), typed(data_type, column.nullable, about, None));
        }
    }
    row
}

/// `date:month`.
fn written(group: &Group) -> String {
    match group.bucket {
        Some(bucket) => format!("{}:{}", group.field, bucket.as_str()),
        None => group.field.clone(),
    }
}

/// `avg(close)`.
fn call(measure: &Measure) -> String {
    format!("{}({})", measure.function.as_str(), measure.field.as_deref().unwrap_or_default())
}

/// What code calls a word.
fn called(name: &str) -> String {
    name.to_ascii_uppercase()
}
