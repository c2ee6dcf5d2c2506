//! The OpenAPI 3.1 document of what a role may see: each dataset a concrete path with typed parameters and rows.
//!
//! It reads views only, so what a role may not see is not in it. What several operations share has a name among the
//! components, so that a generated client has one type for it.

mod caller;
mod dataset;
mod files;
mod groups;
mod operations;
mod problems;
mod questions;
mod rows;
mod schema;

use utoipa::openapi::path::{HttpMethod, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, HeaderBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, SecurityRequirement,
    ServerBuilder,
};

use self::schema::text;
use crate::auth::{Role, Tier};
use crate::catalog::Catalog;
use crate::encode::MediaTypes;
use crate::plan::View;

const ABOUT: &str = "Curated tables as a governed API. Rows come in pages: follow `page.next_cursor`, or the `Link` \
     header, until it is gone. Filters are `column=value` or `column.operator=value`, and all of them must hold; `not.` \
     before one turns it round, `not.symbol=AAPL`, and `or=(…)` and `and=(…)` hold several. Lists are parted by commas, \
     `symbol.in=AAPL,MSFT`, and a value that has a comma in it is quoted as RFC 4180 does; a list may also come as its \
     parameter repeated. int64 and decimals are JSON numbers with all their digits; a reader that \
     would round them asks with `numbers=string`. Behind any question of rows or groups, `dry_run=true` answers with an \
     `Estimate` of what it would cost, and for the house's own roles `explain=plan` with an `Explanation`; the body of \
     `POST …/query` asks for either with typed answers. So it is with `shape=columns`, which lays a page of JSON out by \
     columns. The other formats have no page around their rows: the next cursor is in a header. Every failure is a problem (RFC 9457) with a stable `type`.";

/// The document for a role.
#[must_use]
pub fn document(catalog: &Catalog, role: &Role, public_url: Option<&str>) -> OpenApi {
    let views = View::all(catalog, role);
    let media_types = views.iter().fold(MediaTypes::default(), |all, view| all.or(view.media_types()));
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("An access token (RFC 9068), in the Authorization header only."));
    let mut components = ComponentsBuilder::new()
        .security_scheme("bearer", SecurityScheme::Http(bearer.build()))
        .schemas_from_iter(dataset::schemas(&views))
        .schemas_from_iter(caller::schemas())
        .schemas_from_iter(files::schemas())
        .schemas_from_iter(rows::shared(media_types))
        .schemas_from_iter(questions::shared(role.tier == Tier::Internal))
        .schemas_from_iter(problems::schemas());
    for (name, response) in problems::responses() {
        components = components.response(name, response);
    }
    let mut paths = PathsBuilder::new()
        .path("/v1/datasets", PathItem::new(HttpMethod::Get, operations::list_datasets()))
        .path("/v1/datasets/{dataset}", PathItem::new(HttpMethod::Get, operations::get_dataset()))
        .path("/v1/datasets/{dataset}/versions", PathItem::new(HttpMethod::Get, operations::list_versions()))
        .path("/v1/datasets/{dataset}/snapshots", PathItem::new(HttpMethod::Get, files::list_snapshots()))
        .path("/v1/datasets/{dataset}/changes", PathItem::new(HttpMethod::Get, files::list_changes()))
        .path("/v1/assets", PathItem::new(HttpMethod::Get, files::list_assets()))
        .path("/v1/assets/{id}", PathItem::new(HttpMethod::Get, files::get_asset()))
        .path("/v1/exports", PathItem::new(HttpMethod::Get, files::list_exports()))
        .path("/v1/exports", PathItem::new(HttpMethod::Post, files::create_export()))
        .path("/v1/exports/{id}", PathItem::new(HttpMethod::Get, files::get_export()))
        .path("/v1/exports/{id}", PathItem::new(HttpMethod::Delete, files::cancel_export()))
        .path("/v1/events", PathItem::new(HttpMethod::Get, operations::listen_to_publishes()))
        .path("/v1/me", PathItem::new(HttpMethod::Get, operations::get_me()))
        .path("/v1/usage", PathItem::new(HttpMethod::Get, operations::get_usage()));
    let mut tags = vec![
        TagBuilder::new().name("datasets").description(Some("What there is to ask.")).build(),
        TagBuilder::new().name("files").description(Some("All rows at once, as files.")).build(),
        TagBuilder::new().name("caller").description(Some("Who you are, and what you have used up.")).build(),
    ];
    for view in &views {
        let dataset = view.dataset();
        let of = |what: &str| format!("/v1/datasets/{}/{what}", dataset.name);
        let path = of("rows");
        let key: String = view.primary_key().map(|column| format!("/{{{}}}", column.name)).collect();
        let about = operations::about(view, role);
        paths = paths
            .path(&path, PathItem::new(HttpMethod::Get, operations::list_rows(view, &about)))
            .path(format!("{path}{key}"), PathItem::new(HttpMethod::Get, operations::get_row(view)));
        if view.aggregates() {
            paths = paths.path(of("aggregate"), PathItem::new(HttpMethod::Get, operations::aggregate(view)));
        }
        paths = paths.path(of("query"), PathItem::new(HttpMethod::Post, operations::post_query(view)));
        components = components
            .schemas_from_iter(rows::schemas(view))
            .schemas_from_iter(groups::schemas(view))
            .schemas_from_iter(questions::schemas(view));
        let title = format!("{}.", dataset.title.trim_end_matches('.'));
        tags.push(TagBuilder::new().name(dataset.name.as_str()).description(Some(title)).build());
    }
    let request_id = HeaderBuilder::new()
        .description(Some("The request's id: yours, where you sent a short plain one. Quote it when you ask."))
        .schema(Some(text()));
    components = components.header("X-Request-Id", request_id.build());
    for (name, about) in problems::QUOTAS {
        let header = HeaderBuilder::new().description(Some(about)).schema(Some(text()));
        components = components.header(name, header.build());
    }
    OpenApiBuilder::new()
        .info(InfoBuilder::new().title("Martello").version(env!("CARGO_PKG_VERSION")).description(Some(ABOUT)).build())
        .servers(Some([ServerBuilder::new().url(public_url.unwrap_or("/")).build()]))
        .paths(paths.build())
        .components(Some(components.build()))
        .security(Some([SecurityRequirement::new("bearer", [] as [&str; 0])]))
        .tags(Some(tags))
        .build()
}

/// `price_daily` as `PriceDaily`. Only the underscore before a letter goes, so that no two names become one.
fn pascal(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    let mut raise = true;
    while let Some(char) = chars.next() {
        if char == '_' && chars.peek().is_some_and(char::is_ascii_lowercase) {
            raise = true;
        } else if std::mem::take(&mut raise) {
            text.push(char.to_ascii_uppercase());
        } else {
            text.push(char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_schemas_are_pascal_case_and_no_two_are_one() {
        for (name, expected) in
            [("price_daily", "PriceDaily"), ("signal", "Signal"), ("a_1", "A_1"), ("a1", "A1"), ("a__b_", "A_B_")]
        {
            assert_eq!(pascal(name), expected);
        }
    }
}
