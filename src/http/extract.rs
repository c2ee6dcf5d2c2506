//! What handlers take from a request.

use axum::extract::FromRequestParts;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use axum::http::request::Parts;
use percent_encoding::percent_decode_str;

use super::Context;
use super::account::Account;
use super::limits::admit;
use super::problem::{self, Problem};
use crate::auth::Principal;
use crate::encode::{MediaType, MediaTypes};

/// Parameters of one request at most: more than any honest question has.
const PARAMETERS_MAX: usize = 128;

/// Names under which clients of other APIs send credentials in URLs.
const CREDENTIALS: [&str; 4] = ["access_token", "token", "api_key", "apikey"];

/// The caller of a request, believed.
pub struct Caller(pub Principal);

impl FromRequestParts<Context> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, context: &Context) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        // Decoded, as a name is wherever it is read.
        let named = |pair: &str| {
            let name = pair.split('=').next().unwrap_or_default();
            percent_decode_str(name).decode_utf8_lossy().to_ascii_lowercase()
        };
        if let Some(name) = query.split('&').map(named).find(|name| CREDENTIALS.contains(&name.as_str())) {
            let detail = "credentials are taken from the Authorization header only";
            return Err(Problem::new(problem::CREDENTIAL_IN_URL, detail).parameter(name));
        }
        let account = parts.extensions.get::<Account>().cloned().unwrap_or_default();
        let matrix = context.engine.access.load();
        let mut headers = parts.headers.get_all(AUTHORIZATION).iter().map(axum::http::HeaderValue::as_bytes);
        let alone = headers.next().filter(|_| headers.next().is_none());
        if let Some(principal) = alone.and_then(|header| context.callers.known(header, &context.keys, &matrix)) {
            account.note(&principal);
            admit(parts, context, &principal).await?;
            return Ok(Self(principal));
        }
        let headers = parts.headers.get_all(AUTHORIZATION).iter().map(axum::http::HeaderValue::as_bytes);
        // Keys that come while the token is looked at are not what it was believed by.
        let generation = context.keys.generation();
        let principal = Principal::authenticate(headers, &context.keys, &matrix)?;
        account.note(&principal);
        if let Some(header) = alone {
            context.callers.remember(header, &principal, generation, &matrix);
        }
        admit(parts, context, &principal).await?;
        Ok(Self(principal))
    }
}

/// The parameters of a request's query in their order, decoded as forms are (`+` is a space).
///
/// # Errors
/// When an escape is broken, the bytes are no UTF-8, or there are too many.
pub fn parameters(query: Option<&str>) -> Result<Vec<(String, String)>, Problem> {
    let pairs: Vec<&str> = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).collect();
    if pairs.len() > PARAMETERS_MAX {
        let detail = format!("there may be at most {PARAMETERS_MAX} parameters");
        return Err(Problem::new(problem::TOO_COMPLEX, detail));
    }
    pairs
        .into_iter()
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(&name.replace('+', " "))?, decode(&value.replace('+', " "))?))
        })
        .collect()
}

/// The segments of a path, decoded one by one: an escaped slash stays inside its segment.
///
/// # Errors
/// When an escape is broken or the bytes are no UTF-8.
pub fn segments(path: &str) -> Result<Vec<String>, Problem> {
    path.split('/').map(decode).collect()
}

fn decode(text: &str) -> Result<String, Problem> {
    let malformed = |detail: &str| Problem::new(problem::MALFORMED_REQUEST, detail);
    let bytes = text.as_bytes();
    let whole = |at: usize| bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
    if (0..bytes.len()).any(|at| bytes[at] == b'%' && !whole(at)) {
        return Err(malformed("a percent sign is not followed by two hexadecimal digits"));
    }
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| malformed("an escaped text is no UTF-8"))
}

/// The media type that the client wants, of those that it may have: `format` where it is given, else the `Accept` header.
///
/// # Errors
/// When it may have nothing of it.
pub fn media_type(
    headers: &axum::http::HeaderMap,
    format: Option<&str>,
    granted: MediaTypes,
) -> Result<MediaType, Problem> {
    if let Some(format) = format {
        return MediaType::chosen(format, granted).map_err(|error| Problem::from(error).parameter("format"));
    }
    // Several headers are one list (RFC 9110, 5.3); one that is no text accepts nothing.
    let accept: Vec<&str> = headers.get_all(ACCEPT).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let accept = (!accept.is_empty()).then(|| accept.join(","));
    Ok(MediaType::negotiate(accept.as_deref(), granted)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_strictly() {
        let read = |query| parameters(Some(query)).map_err(|problem| problem.kind.slug);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read("a=1&b.gt=%32+3&&c"), Ok(vec![pair("a", "1"), pair("b.gt", "2 3"), pair("c", "")]));
        assert_eq!(read("a=b=c"), Ok(vec![pair("a", "b=c")]));
        for query in ["a=%", "a=%4", "a=%zz", "%ff=1", "a=%c3%28"] {
            assert_eq!(read(query), Err("malformed-request"), "{query}");
        }
        assert_eq!(read(&"a=1&".repeat(129)), Err("too-complex"));
    }

    #[test]
    fn an_escaped_slash_stays_in_its_segment() {
        assert_eq!(segments("a%2Fb/c").map_err(|problem| problem.kind), Ok(vec!["a/b".to_owned(), "c".to_owned()]));
    }
}
