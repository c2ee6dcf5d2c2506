//! What an operation answers when it fails: one response for each status, with every kind of problem that has it.

use std::fmt::Write as _;

use axum::http::StatusCode;
use utoipa::openapi::path::OperationBuilder;
use utoipa::openapi::{ContentBuilder, Header, HeaderBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::schema::{Named, components, count, described, list, named, object, text};
use crate::http::problem;

/// The statuses that have a response of their own; [`OTHER`] speaks for the rest.
const STATUSES: [StatusCode; 11] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::NOT_ACCEPTABLE,
    StatusCode::GONE,
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];
/// What any operation may answer with.
pub(super) const ANY: [StatusCode; 6] = [
    StatusCode::BAD_REQUEST,
    StatusCode::UNAUTHORIZED,
    StatusCode::FORBIDDEN,
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];
/// What an operation on rows may answer with besides.
pub(super) const OF_ROWS: [StatusCode; 3] =
    [StatusCode::NOT_FOUND, StatusCode::NOT_ACCEPTABLE, StatusCode::GATEWAY_TIMEOUT];
/// The name of the response for every other status.
const OTHER: &str = "OtherProblem";

pub(super) fn schemas() -> Vec<Named> {
    // `type` is a text and no enum: a client that is older than a kind must still be able to read it.
    let kind = described("A stable kind, and a page of this server that explains it. Branch on this.")
        .examples(["/problems/unknown-parameter"]);
    let problem = object(
        "What went wrong (RFC 9457). Kinds are stable; texts are for people and may change.",
        [
            ("type", kind.into()),
            ("title", described("The kind in words.").examples(["There is no such parameter"]).into()),
            ("status", count("The HTTP status.").examples([400]).into()),
            (
                "detail",
                described("What happened this time.").examples(["there is no parameter and no column clsoe"]).into(),
            ),
            ("request_id", described("Quote it when you ask.").into()),
        ],
    );
    let problem = problem
        .property("parameter", described("The parameter at fault.").examples(["clsoe"]))
        .property("hint", described("What may help.").examples(["did you mean close?"]))
        .property("violated-policies", list("The quotas that are used up, where some are.", text().examples(["day"])));
    components([("Problem", problem)])
}

pub(super) fn responses() -> Vec<(String, Response)> {
    let mut responses: Vec<(String, Response)> =
        STATUSES.iter().map(|status| (name(*status), response(*status))).collect();
    responses.push((OTHER.to_owned(), problem("Any other problem, such as a URL that is too long.").build()));
    responses
}

/// Adds the problems that an operation may answer with.
pub(super) fn with(
    mut operation: OperationBuilder,
    statuses: impl IntoIterator<Item = StatusCode>,
) -> OperationBuilder {
    let reference = |name: &str| RefOr::<Response>::Ref(Ref::from_response_name(name));
    for status in statuses {
        operation = operation.response(status.as_str(), reference(&name(status)));
    }
    operation.response("default", reference(OTHER))
}

/// `NotFound` for 404.
fn name(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Problem").split([' ', '-']).collect()
}

fn response(status: StatusCode) -> Response {
    let mut description = String::from("`type` is one of:\n");
    for kind in problem::ALL.iter().filter(|kind| kind.status == status) {
        let _ = write!(description, "\n- `/problems/{}`: {}.", kind.slug, kind.title);
    }
    let header = |description: &str| -> Header {
        HeaderBuilder::new().description(Some(description)).schema(Some(text())).build()
    };
    let response = problem(&description);
    match status {
        StatusCode::UNAUTHORIZED => {
            response.header("WWW-Authenticate", header("The challenge (RFC 6750); its error says why.")).build()
        }
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            response.header("Retry-After", header("After how many seconds to try again.")).build()
        }
        _ => response.build(),
    }
}

fn problem(description: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(named("Problem"))).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .header_ref("X-Request-Id", request_id())
}

/// The header that every answer has.
pub(super) fn request_id() -> Ref {
    header("X-Request-Id")
}

/// The headers of an answer to a caller who has quotas.
pub(super) const QUOTAS: [(&str, &str); 2] = [
    ("RateLimit-Policy", "Your quotas, where you have any: `q` of them in `w` seconds."),
    ("RateLimit", "What is left of each: `r`, for `t` more seconds."),
];

/// A header among the components.
pub(super) fn header(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}
