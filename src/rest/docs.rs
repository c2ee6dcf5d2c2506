//! The documentation in a browser, and the document behind it. Everything comes from this server: no internet is
//! needed.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::header::{self, HeaderValue};
use axum::response::{Html, IntoResponse, Response};

use super::{openapi, private};
use crate::http::problem::{self, Problem};
use crate::http::{Caller, Context};

/// The page runs only what this server sends; the viewer needs inline styles and data images.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// `GET /openapi.json`: what the caller's role may see.
pub(super) async fn document(State(context): State<Context>, Caller(principal): Caller) -> Result<Response, Problem> {
    let url = context.limits.public_url.as_deref();
    let document = openapi::document(&context.engine.catalog, principal.role(), url);
    let text = document.to_json().map_err(|error| problem::internal().cause(&error))?;
    Ok(private(([(header::CONTENT_TYPE, "application/json")], text).into_response()))
}

/// `GET /docs`: a page that asks for a token and shows what it may see.
pub(super) async fn page() -> Response {
    let mut response = Html(include_str!("docs/index.html")).into_response();
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// `GET /docs/{file}`: what the page is made of.
pub(super) async fn asset(Path(file): Path<String>) -> Result<Response, Problem> {
    let own = match file.as_str() {
        "docs.js" => Some(("text/javascript", include_str!("docs/docs.js"))),
        "docs.css" => Some(("text/css", include_str!("docs/docs.css"))),
        _ => None,
    };
    if let Some((media_type, text)) = own {
        return Ok(([(header::CONTENT_TYPE, media_type)], text).into_response());
    }
    let missing = || Problem::new(problem::NOT_FOUND, "there is no such resource");
    if !["swagger-ui-bundle.js", "swagger-ui.css"].contains(&file.as_str()) {
        return Err(missing());
    }
    let config = Arc::new(utoipa_swagger_ui::Config::default());
    let found = utoipa_swagger_ui::serve(&file, config).ok().flatten().ok_or_else(missing)?;
    Ok(([(header::CONTENT_TYPE, found.content_type)], found.bytes.into_owned()).into_response())
}

/// `GET /problems/{slug}`: what a type of problem means.
pub(super) async fn kind(Path(slug): Path<String>) -> Result<Response, Problem> {
    let kind = problem::ALL.iter().find(|kind| kind.slug == slug);
    let kind = kind.ok_or_else(|| Problem::new(problem::NOT_FOUND, "there is no such type of problem"))?;
    let text = format!("{} ({})\n\n{}\n", kind.title, kind.status, kind.meaning);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}
