//! GraphiQL, for people: an editor that completes what a token's role may ask. All of it comes from this server.

use axum::extract::Path;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{Method, Uri};
use axum::response::{Html, IntoResponse, Response};

use crate::http::Problem;
use crate::http::problem;

/// The page runs only what this server sends; the editor needs inline styles and data images.
const POLICY: &str = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Whether somebody looks, and asks nothing: a browser that goes to the address.
pub(super) fn is_wanted(method: &Method, uri: &Uri, headers: &HeaderMap) -> bool {
    let accepts = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let looks = accepts.flat_map(|value| value.split(',')).any(|one| one.trim().starts_with("text/html"));
    matches!(*method, Method::GET | Method::HEAD) && uri.query().is_none() && looks
}

/// The page. It has no data: whoever gives it a token sees what that may.
pub(super) fn page() -> Response {
    let mut response = Html(include_str!("page/index.html")).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// `GET /graphql/{file}`: what the page is made of.
pub(super) async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let (media_type, bytes, packed): (_, &'static [u8], _) = match file.as_str() {
        "page.js" => ("text/javascript", include_bytes!("page/page.js"), false),
        "page.css" => ("text/css", include_bytes!("page/page.css"), false),
        "bundle.js" => ("text/javascript", include_bytes!("page/bundle.js.gz"), true),
        "bundle.css" => ("text/css", include_bytes!("page/bundle.css.gz"), true),
        _ => return Err(Problem::new(problem::NOT_FOUND, "there is no such resource")),
    };
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    if packed && !accepted.flat_map(|value| value.split(',')).any(|one| one.trim().starts_with("gzip")) {
        return Err(Problem::new(problem::NOT_ACCEPTABLE, "the editor comes packed with gzip, as browsers take it"));
    }
    let mut response = ([(header::CONTENT_TYPE, media_type)], bytes).into_response();
    if packed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}
