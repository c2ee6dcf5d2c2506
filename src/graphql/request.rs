//! A request as GraphQL over HTTP has it: parameters of a URL or members of a body, and what the answer may be written as.

use async_graphql::Variables;
use axum::http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, Value};

use crate::http::Problem;
use crate::http::extract::parameters;
use crate::http::problem;
use crate::http::problem::shown;

/// The parameters, in URLs and bodies alike.
const PARAMETERS: [&str; 4] = ["query", "operationName", "variables", "extensions"];

const JSON: &str = "application/json";

/// What is asked, well-formed.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// The document.
    pub(super) document: Option<String>,
    /// The operation that is meant.
    pub(super) operation: Option<String>,
    /// What its variables say.
    pub(super) variables: Map<String, Value>,
    /// The SHA-256 of a document that is known here, in hexadecimal.
    pub(super) hash: Option<String>,
    /// Whether it is to be told, besides the answer, how it is answered.
    pub(super) explain: bool,
}

impl Asked {
    /// The variables, for the library.
    pub(super) fn said(&self) -> Variables {
        Variables::from_json(Value::Object(self.variables.clone()))
    }
}

/// What an answer is written as.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wording {
    /// `application/graphql-response+json`: the status says how it went.
    Response,
    /// `application/json`: what was asked in a well-formed way has status 200, as clients of old expect.
    Json,
}

impl Wording {
    /// The media type.
    pub(super) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Response => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        })
    }

    /// What the client takes, the better of the two first. Where it names neither, without `Accept` too, it is
    /// `application/json`, as before there was anything else.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let accept: Vec<&str> =
            headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or_default()).collect();
        if accept.is_empty() {
            return Ok(Self::Json);
        }
        let accept = accept.join(",");
        let own = [("application/graphql-response+json", Self::Response), (JSON, Self::Json)];
        // The most specific range decides (RFC 9110, 12.5.1).
        let quality = |name: &str| {
            let ranges = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let range = parts.next()?.to_ascii_lowercase();
                let exact = if range == name {
                    2
                } else if name == JSON && range == "application/*" {
                    1
                } else if name == JSON && range == "*/*" {
                    0
                } else {
                    return None;
                };
                let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
                Some((exact, quality.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0))))
            });
            ranges.max_by_key(|(exact, _)| *exact).map_or(0.0, |(_, quality)| quality)
        };
        let mut best: Option<(f32, Self)> = None;
        for (name, wording) in own {
            let quality = quality(name);
            if quality > best.map_or(0.0, |(best, _)| best) {
                best = Some((quality, wording));
            }
        }
        best.map(|(_, wording)| wording).ok_or_else(|| {
            Problem::new(problem::NOT_ACCEPTABLE, "nothing in Accept is offered here")
                .hint("there are: application/graphql-response+json, application/json")
                .parameter("Accept")
        })
    }
}

fn malformed(parameter: &str, detail: &str) -> Problem {
    Problem::new(problem::MALFORMED_REQUEST, detail).parameter(parameter)
}

/// Reads a request.
pub(super) fn read(method: &Method, query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Asked, Problem> {
    if *method == Method::POST { of_body(query, headers, body) } else { of_url(query) }
}

fn of_url(query: Option<&str>) -> Result<Asked, Problem> {
    let mut members = Map::new();
    for (name, text) in parameters(query)? {
        if !PARAMETERS.contains(&name.as_str()) {
            let detail = format!("there is no parameter {}", shown(&name));
            return Err(Problem::new(problem::UNKNOWN_PARAMETER, detail)
                .parameter(shown(&name))
                .hint(format!("there are: {}", PARAMETERS.join(", "))));
        }
        let value = match name.as_str() {
            // Nothing at all says nothing.
            "operationName" | "variables" | "extensions" if text.is_empty() => continue,
            "variables" | "extensions" => {
                serde_json::from_str(&text).map_err(|_| malformed(&name, "expected a JSON object"))?
            }
            _ => Value::String(text),
        };
        if members.insert(name.clone(), value).is_some() {
            return Err(malformed(&name, "the parameter is given twice"));
        }
    }
    of_members(members)
}

fn of_body(query: Option<&str>, headers: &HeaderMap, body: &[u8]) -> Result<Asked, Problem> {
    if let Some((name, _)) = parameters(query)?.first() {
        let detail = format!("the question stands in the body, and {} in the URL", shown(name));
        return Err(Problem::new(problem::UNKNOWN_PARAMETER, detail).parameter(shown(name)));
    }
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let json = types.next().and_then(|value| value.to_str().ok()).is_some_and(is_json) && types.next().is_none();
    if !json {
        let detail = "expected a question as application/json";
        return Err(Problem::new(problem::UNSUPPORTED_MEDIA_TYPE, detail).parameter("Content-Type"));
    }
    let text = std::str::from_utf8(body).map_err(|_| malformed("body", "the body is no UTF-8"))?;
    match serde_json::from_str(text) {
        Ok(Value::Object(members)) => of_members(members),
        Ok(Value::Array(_)) => Err(malformed("body", "one request is answered at a time: expected an object")),
        Ok(_) => Err(malformed("body", "expected an object")),
        Err(error) => Err(malformed("body", &format!("the body is no JSON that can be read: {error}"))),
    }
}

/// `application/json`, and nothing else but its one harmless parameter.
fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().is_some_and(|name| name == JSON)
        && parts.all(|part| matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\""))
}

fn of_members(mut members: Map<String, Value>) -> Result<Asked, Problem> {
    let mut text = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(malformed(name, "expected a text")),
    };
    let (document, operation) = (text("query")?, text("operationName")?);
    let mut object = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(members)) => Ok(members),
        Some(_) => Err(malformed(name, "expected an object")),
    };
    let (variables, extensions) = (object("variables")?, object("extensions")?);
    let hash = match extensions.get("persistedQuery") {
        None | Some(Value::Null) => None,
        Some(persisted) => {
            let hash = persisted.get("sha256Hash").and_then(Value::as_str);
            let whole = hash.filter(|hash| hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()));
            let place = "extensions.persistedQuery.sha256Hash";
            Some(whole.ok_or_else(|| malformed(place, "expected a SHA-256 in hexadecimal"))?.to_ascii_lowercase())
        }
    };
    let explain = match extensions.get("explain") {
        None | Some(Value::Null) => false,
        Some(Value::String(word)) if word == "plan" => true,
        Some(_) => return Err(malformed("extensions.explain", "expected \"plan\"")),
    };
    if document.is_none() && hash.is_none() {
        return Err(malformed("query", "expected a document"));
    }
    Ok(Asked { document, operation, variables, hash, explain })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_better_wording_is_taken_of_those_that_are_accepted() {
        let chosen = |accept: &'static str| {
            let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))]);
            Wording::of(&headers).ok()
        };
        assert_eq!(Wording::of(&HeaderMap::new()).ok(), Some(Wording::Json));
        assert_eq!(chosen("*/*"), Some(Wording::Json));
        assert_eq!(chosen("application/*;q=0.1, application/graphql-response+json"), Some(Wording::Response));
        assert_eq!(chosen("application/json"), Some(Wording::Json));
        assert_eq!(chosen("application/json, application/graphql-response+json;q=0.9"), Some(Wording::Json));
        assert_eq!(
            chosen("application/graphql-response+json; charset=utf-8, application/json;q=0.9"),
            Some(Wording::Response)
        );
        assert_eq!(chosen("application/graphql-response+json;q=0, */*"), Some(Wording::Json));
        assert_eq!(chosen("text/csv"), None);
        assert_eq!(chosen("application/json;q=0"), None);
    }

    #[test]
    fn parameters_are_the_same_in_urls_and_bodies() {
        let body = br#"{"query":"{a}","operationName":null,"variables":{"x":1},"extensions":{}}"#;
        let json = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let posted = read(&Method::POST, None, &json, body).expect("read");
        let got =
            read(&Method::GET, Some("query=%7Ba%7D&variables=%7B%22x%22:1%7D"), &HeaderMap::new(), b"").expect("read");
        assert_eq!((posted.document, posted.variables), (got.document, got.variables));
        for body in [&b"[]"[..], b"{}", b"", br#"{"query":1}"#, br#"{"query":"{a}","variables":[]}"#] {
            let refused = read(&Method::POST, None, &json, body).expect_err("refused");
            assert_eq!(refused.kind.slug, "malformed-request", "{body:?}");
        }
        for query in ["query=%7Ba%7D&x=1", "query=a&query=b", "query=a&variables=1", "variables=%7B%7D"] {
            assert!(read(&Method::GET, Some(query), &HeaderMap::new(), b"").is_err(), "{query}");
        }
    }
}
