//! The OpenAPI 3.1 document of what a role may see: each dataset a concrete path with typed parameters and rows.
//!
//! It reads views only, so what a role may not see is not in it.

mod schemas;

use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, ParameterStyle, PathItem};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type as JsonType};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContentBuilder, Deprecated, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder,
    Ref, RefOr, Required, Response, ResponseBuilder, Schema, SecurityRequirement, ServerBuilder,
};

use crate::auth::Role;
use crate::catalog::{Catalog, Column, Operator};
use crate::http::problem::{self, Kind};
use crate::plan::{LIMIT_DEFAULT, View};

/// Problems that every operation on rows may answer with.
const ROWS_PROBLEMS: [Kind; 9] = [
    problem::MALFORMED_REQUEST,
    problem::UNAUTHENTICATED,
    problem::NO_ROLE,
    problem::NOT_FOUND,
    problem::NOT_ACCEPTABLE,
    problem::TARGET_TOO_LONG,
    problem::INTERNAL,
    problem::SOURCE_UNAVAILABLE,
    problem::TIMEOUT,
];
/// Problems that every operation on metadata may answer with.
const METADATA_PROBLEMS: [Kind; 5] =
    [problem::MALFORMED_REQUEST, problem::UNAUTHENTICATED, problem::NO_ROLE, problem::NOT_FOUND, problem::INTERNAL];

/// The document for a role.
#[must_use]
pub fn document(catalog: &Catalog, role: &Role, public_url: Option<&str>) -> OpenApi {
    let views = View::all(catalog, role);
    let mut components = ComponentsBuilder::new()
        .security_scheme(
            "bearer",
            SecurityScheme::Http(
                HttpBuilder::new()
                    .scheme(HttpAuthScheme::Bearer)
                    .bearer_format("JWT")
                    .description(Some("An access token (RFC 9068), in the Authorization header only."))
                    .build(),
            ),
        )
        .schemas_from_iter(schemas::shared());
    for kind in ROWS_PROBLEMS {
        components = components.response(response_name(kind), problem_response(kind));
    }
    let mut paths = PathsBuilder::new()
        .path("/v1/datasets", PathItem::new(HttpMethod::Get, list_datasets()))
        .path("/v1/datasets/{dataset}", PathItem::new(HttpMethod::Get, describe_dataset(&views)));
    let mut tags = vec![TagBuilder::new().name("datasets").description(Some("What there is to ask.")).build()];
    for view in &views {
        let dataset = view.dataset();
        let path = format!("/v1/datasets/{}/rows", dataset.name);
        let key: String = view.primary_key().map(|column| format!("/{{{}}}", column.name)).collect();
        paths = paths
            .path(&path, PathItem::new(HttpMethod::Get, list_rows(view)))
            .path(format!("{path}{key}"), PathItem::new(HttpMethod::Get, get_row(view)));
        components = components.schemas_from_iter(schemas::of(view));
        let description = format!("{} {}", dataset.title.trim_end_matches('.').to_owned() + ".", dataset.description);
        tags.push(TagBuilder::new().name(dataset.name.as_str()).description(Some(description)).build());
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Martello")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(
                    "Curated tables as a governed API. Rows come in pages: follow page.next_cursor, or the Link header, \
                     until it is gone. Filters are column=value or column.operator=value; lists are parted by commas, \
                     and quoted as RFC 4180 records are. Every error is a problem (RFC 9457) with a stable type.",
                ))
                .build(),
        )
        .servers(Some([ServerBuilder::new().url(public_url.unwrap_or("/")).build()]))
        .paths(paths.build())
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new("bearer", [] as [&str; 0])]))
        .tags(Some(tags))
        .build()
}

/// `price_daily` as `PriceDaily`.
fn pascal(name: &str) -> String {
    let word = |word: &str| {
        let mut chars = word.chars();
        chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
    };
    name.split('_').map(word).collect()
}

fn list_datasets() -> OperationBuilder {
    let operation = OperationBuilder::new()
        .operation_id(Some("listDatasets"))
        .tag("datasets")
        .summary(Some("Lists the datasets that you may ask"))
        .response("200", json_response("The datasets.", "DatasetList"));
    with_problems(operation, &METADATA_PROBLEMS)
}

fn describe_dataset(views: &[View]) -> OperationBuilder {
    let names: Vec<&str> = views.iter().map(|view| view.dataset().name.as_str()).collect();
    let parameter = ParameterBuilder::new()
        .name("dataset")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The dataset's name."))
        .schema(Some(ObjectBuilder::new().schema_type(JsonType::String).enum_values(Some(names))));
    let operation = OperationBuilder::new()
        .operation_id(Some("getDataset"))
        .tag("datasets")
        .summary(Some("Describes a dataset: its contract, promises, lineage and your limits"))
        .parameter(parameter)
        .response("200", json_response("The dataset.", "DatasetDetail"));
    with_problems(operation, &METADATA_PROBLEMS)
}

fn list_rows(view: &View) -> OperationBuilder {
    let dataset = view.dataset();
    let name = pascal(dataset.name.as_str());
    let mut operation = OperationBuilder::new()
        .operation_id(Some(format!("list{name}Rows")))
        .tag(dataset.name.as_str())
        .summary(Some(format!("Rows of {}, a page at a time", dataset.name)))
        .description(Some(dataset.description.as_str()))
        .deprecated(dataset.deprecation.as_ref().map(|_| Deprecated::True))
        .parameter(select(view));
    let sortable: Vec<&Column> = view.columns().filter(|column| column.sort).collect();
    if !sortable.is_empty() {
        operation = operation.parameter(list_of(
            "sort",
            "Columns to order by, each with a minus for the greatest first. Null sorts greatest, unless .nulls_first or \
             .nulls_last says otherwise. The primary key breaks ties.",
            &sort_keys(&sortable),
        ));
    }
    if dataset.time.is_some() && !sortable.is_empty() {
        let names: Vec<String> = sortable.iter().map(|column| column.name.to_string()).collect();
        operation =
            operation.parameter(list_of("latest_by", "Only the newest row for each value of these columns.", &names));
    }
    if dataset.point_in_time.is_some() {
        operation = operation.parameter(query(
            "as_of",
            "Only what was known then, and of each fact its newest revision: a date (its end is meant) or a timestamp with an offset.",
            ObjectBuilder::new().schema_type(JsonType::String).examples(["2020-03-31"]),
        ));
    }
    let limit = ObjectBuilder::new()
        .schema_type(JsonType::Integer)
        .minimum(Some(1))
        .maximum(Some(view.rows_per_request()))
        .default(Some(LIMIT_DEFAULT.min(view.rows_per_request()).into()));
    operation = operation
        .parameter(query("limit", "Rows of a page at most: the page size, not the number of all rows.", limit))
        .parameter(query(
            "cursor",
            "Where the page before ended: its page.next_cursor. Everything but select and limit must be as it was.",
            ObjectBuilder::new().schema_type(JsonType::String),
        ));
    for parameter in representation() {
        operation = operation.parameter(parameter);
    }
    for column in view.columns() {
        for operator in &column.filter {
            operation = operation.parameter(filter(column, *operator));
        }
    }
    let link = HeaderBuilder::new()
        .description(Some("The next page, as rel=\"next\" (RFC 8288), when there is one."))
        .schema(Some(ObjectBuilder::new().schema_type(JsonType::String)))
        .build();
    let page = ResponseBuilder::new()
        .description("A page of rows.")
        .content("application/json", content(&format!("{name}Page")))
        .header("Link", link);
    with_problems(operation.response("200", page), &ROWS_PROBLEMS)
}

fn get_row(view: &View) -> OperationBuilder {
    let dataset = view.dataset();
    let name = pascal(dataset.name.as_str());
    let mut operation = OperationBuilder::new()
        .operation_id(Some(format!("get{name}Row")))
        .tag(dataset.name.as_str())
        .summary(Some(format!("The row of {} with that primary key", dataset.name)))
        .deprecated(dataset.deprecation.as_ref().map(|_| Deprecated::True));
    for column in view.primary_key() {
        let parameter = ParameterBuilder::new()
            .name(column.name.as_str())
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(column.description.as_str()))
            .schema(Some(schemas::literal(column)));
        operation = operation.parameter(parameter);
    }
    operation = operation.parameter(select(view));
    for parameter in representation() {
        operation = operation.parameter(parameter);
    }
    with_problems(operation.response("200", json_response("The row.", &format!("{name}Item"))), &ROWS_PROBLEMS)
}

fn select(view: &View) -> ParameterBuilder {
    let names: Vec<String> = view.columns().map(|column| column.name.to_string()).collect();
    list_of("select", "Columns to return, in this order; all that you may see without it.", &names)
}

/// How an answer is written, whatever it holds.
fn representation() -> [ParameterBuilder; 2] {
    let word = |words: &[&str], default: &str| {
        ObjectBuilder::new()
            .schema_type(JsonType::String)
            .enum_values(Some(words.iter().copied()))
            .default(Some(default.into()))
    };
    [
        query("format", "The format of the answer; goes before the Accept header.", word(&["json"], "json")),
        query(
            "numbers",
            "exact writes int64 and decimals as JSON numbers with all their digits, string as strings, for readers that would round them.",
            word(&["exact", "string"], "exact"),
        ),
    ]
}

fn sort_keys(columns: &[&Column]) -> Vec<String> {
    let mut keys = Vec::new();
    for column in columns {
        for sign in ["", "-"] {
            keys.push(format!("{sign}{}", column.name));
            if column.nullable {
                keys.extend(["nulls_first", "nulls_last"].map(|nulls| format!("{sign}{}.{nulls}", column.name)));
            }
        }
    }
    keys
}

fn query(name: &str, description: &str, schema: impl Into<RefOr<Schema>>) -> ParameterBuilder {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(description))
        .schema(Some(schema))
}

/// A list of words parted by commas.
fn list_of(name: &str, description: &str, words: &[String]) -> ParameterBuilder {
    let word = ObjectBuilder::new().schema_type(JsonType::String).enum_values(Some(words.iter().map(String::as_str)));
    query(name, description, ArrayBuilder::new().items(word)).style(Some(ParameterStyle::Form)).explode(Some(false))
}

fn filter(column: &Column, operator: Operator) -> ParameterBuilder {
    let name = match operator {
        Operator::Eq => column.name.to_string(),
        _ => format!("{}.{}", column.name, operator.as_str()),
    };
    let meaning = match operator {
        Operator::Eq => "equal to",
        Operator::Ne => "not equal to, and not null",
        Operator::Gt => "greater than",
        Operator::Gte => "greater than or equal to",
        Operator::Lt => "less than",
        Operator::Lte => "less than or equal to",
        Operator::In => "one of",
        Operator::Nin => "none of, and not null",
        Operator::Prefix => "beginning with",
        Operator::Contains => "containing",
        Operator::IsNull => "null (true) or not (false)",
        Operator::Has => "having the element",
    };
    let description = format!("{}: {meaning}.", column.name);
    match operator {
        Operator::In | Operator::Nin => query(&name, &description, ArrayBuilder::new().items(schemas::literal(column)))
            .style(Some(ParameterStyle::Form))
            .explode(Some(false)),
        Operator::IsNull => query(&name, &description, ObjectBuilder::new().schema_type(JsonType::Boolean)),
        Operator::Has => query(&name, &description, ObjectBuilder::new().schema_type(JsonType::String)),
        _ => query(&name, &description, schemas::literal(column)),
    }
}

fn content(schema: &str) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(Ref::from_schema_name(schema))).build()
}

fn json_response(description: &str, schema: &str) -> Response {
    ResponseBuilder::new().description(description).content("application/json", content(schema)).build()
}

fn response_name(kind: Kind) -> String {
    kind.status.canonical_reason().unwrap_or("Problem").split([' ', '-']).collect()
}

fn problem_response(kind: Kind) -> Response {
    ResponseBuilder::new().description(kind.title).content("application/problem+json", content("Problem")).build()
}

fn with_problems(mut operation: OperationBuilder, kinds: &[Kind]) -> OperationBuilder {
    for kind in kinds {
        let reference = Ref::from_response_name(response_name(*kind));
        operation = operation.response(kind.status.as_str(), RefOr::<Response>::Ref(reference));
    }
    operation
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_schemas_are_pascal_case() {
        assert_eq!(pascal("price_daily"), "PriceDaily");
        assert_eq!(pascal("signal"), "Signal");
    }
}
