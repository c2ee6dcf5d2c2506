//! What a client hears when a request fails (RFC 9457). The only place that knows which status an error has.
//!
//! Types are stable and documented: each is a path on this server that explains it. A 5xx tells nothing internal; its
//! cause goes to the log, once, under the request's id.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::auth;
use crate::encode::{MediaTypes, Refused};
use crate::engine;
use crate::limit;
use crate::plan;
use crate::publish::PublishError;
use crate::publish::files::FileError;
use crate::publish::jobs::JobError;
use crate::source;
use crate::telemetry;

/// Seconds after which a client may try again when a source is out or full: connections come back in about that time.
const RETRY_AFTER_SECONDS: &str = "1";

/// Seconds after which an export that was pending may be none any more.
const PENDING_SECONDS: u64 = 10;

/// A kind of problem: its `type` is `/problems/{slug}`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// The last segment of the type.
    pub slug: &'static str,
    /// The status that it always has.
    pub status: StatusCode,
    /// A short title that is always the same.
    pub title: &'static str,
    /// What it means and what a client can do, for the page of the type.
    pub meaning: &'static str,
}

macro_rules! kinds {
    ($($name:ident = $slug:literal, $status:ident, $title:literal, $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: Kind = Kind { slug: $slug, status: StatusCode::$status, title: $title, meaning: $meaning };)*
        /// Every kind, in the order of the documentation.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    MALFORMED_REQUEST = "malformed-request", BAD_REQUEST, "The request is not well-formed",
        "The target or a parameter cannot be read: a broken percent escape, bytes that are no UTF-8, a list with an open quote, a parameter given twice. Mend the request.";
    UNKNOWN_PARAMETER = "unknown-parameter", BAD_REQUEST, "There is no such parameter",
        "A parameter is neither one of the endpoint's nor a filter on a column that you may see. The hint names the nearest one.";
    UNKNOWN_COLUMN = "unknown-column", BAD_REQUEST, "There is no such column",
        "A column named in select, sort, latest_by, group_by, measures or having does not exist, or is not yours to see. The hint names the nearest one.";
    UNKNOWN_RELATION = "unknown-relation", BAD_REQUEST, "There is no such relation",
        "A relation named in expand does not exist, or leads to what is not yours to see. The hint names the nearest one.";
    OPERATOR_NOT_ALLOWED = "operator-not-allowed", BAD_REQUEST, "The column cannot be filtered so",
        "The dataset's contract does not offer this filter operator on this column. The hint lists those that it offers.";
    INVALID_LITERAL = "invalid-literal", BAD_REQUEST, "A value is not of the expected type",
        "A value cannot be read as the type of its column or parameter. Nothing is rounded or guessed; the detail says what was expected.";
    NOT_SORTABLE = "not-sortable", BAD_REQUEST, "The column gives no order",
        "The dataset's contract does not let rows be ordered, or their newest be chosen, by this column.";
    REPEATED_COLUMN = "repeated-column", BAD_REQUEST, "A column is named twice",
        "A column stands twice in select, sort or latest_by, where once is enough.";
    TOO_COMPLEX = "too-complex", BAD_REQUEST, "The question is too large",
        "The question has more conditions, values or keys than one request may have. The detail names the limit; ask in parts.";
    LIMIT_OUT_OF_RANGE = "limit-out-of-range", BAD_REQUEST, "The page is too large or empty",
        "limit must be at least 1 and at most what your role may have at once. Ask for less, and follow page.next_cursor.";
    INVALID_KEY = "invalid-key", BAD_REQUEST, "The key has another number of parts",
        "A row is addressed by one path segment for each column of its primary key, in the key's order.";
    INVALID_CURSOR = "invalid-cursor", BAD_REQUEST, "The cursor is not one of ours",
        "The cursor was changed, cut, or handed out under another key. Begin again without it.";
    CURSOR_MISMATCH = "cursor-mismatch", BAD_REQUEST, "The cursor belongs to another question",
        "A cursor goes on with the question that it came from: same dataset, filters, order, groups, latest_by, as_of, revision and tz. Only select, expand, count and limit may differ.";
    NOT_TIMED = "not-timed", BAD_REQUEST, "The dataset does not know that time",
        "as_of and revision need a dataset whose contract says when rows became known, and so do all that it expands; latest_by needs one that says which row is newest.";
    FUNCTION_NOT_ALLOWED = "function-not-allowed", BAD_REQUEST, "The column cannot be measured so",
        "The dataset's contract does not offer this function on this column. The hint lists those that it offers.";
    NOT_SEARCHABLE = "not-searchable", BAD_REQUEST, "The dataset has nothing to search",
        "search needs a column that the dataset's contract declares searchable, and that you may see.";
    NO_BARS = "no-bars", BAD_REQUEST, "The rows are no price bars",
        "resample needs a dataset whose contract names its open, high, low and close, and all of them must be yours to see.";
    SUM_TOO_LARGE = "sum-too-large", UNPROCESSABLE_ENTITY, "The sum has too many digits",
        "A sum has more than the 38 digits that a decimal holds, and is not rounded. Sum fewer rows at once: by groups, or behind a narrower filter.";
    NOT_EXPLAINED = "not-explained", FORBIDDEN, "Plans are not shown to you",
        "explain shows plans and SQL to roles of the house only. dry_run tells everyone what a question would cost.";
    NOT_IN_FORMAT = "not-in-format", BAD_REQUEST, "The format has no place for that",
        "A parameter asks for something that the format of the answer cannot hold, such as counts or related rows in CSV. The hint says which formats can.";
    COLUMN_MASKED = "column-masked", FORBIDDEN, "The column is masked for you",
        "Your role sees this column behind a mask: it can be selected, and nothing can be filtered, sorted, grouped, measured, searched or joined by it. GET /v1/me says which columns are masked.";
    AGGREGATE_NOT_GRANTED = "aggregate-not-granted", FORBIDDEN, "Groups are not granted to you",
        "Your role may have the rows of this dataset, and no measures of them. Ask for rows instead.";
    REVISION_NOT_GRANTED = "revision-not-granted", FORBIDDEN, "The revision is not granted to you",
        "Your role has one revision of each fact, the first or the latest. Leave out revision and as_of where they ask for another.";
    EXPORT_NOT_GRANTED = "export-not-granted", FORBIDDEN, "All rows at once are not granted to you",
        "limit=all gives every row as one stream, and your role may have the dataset in pages only. Follow page.next_cursor instead.";
    FORMAT_NOT_GRANTED = "format-not-granted", FORBIDDEN, "The format is not granted to you",
        "The format is offered, but your role may not have this dataset in it, or not what the question expands. The hint lists those that it may have.";
    CREDENTIAL_IN_URL = "credential-in-url", BAD_REQUEST, "A credential stands in the URL",
        "Credentials in URLs end up in logs. Consider that token as leaked, and send the next one in the Authorization header.";
    MALFORMED_CREDENTIAL = "malformed-credential", BAD_REQUEST, "The Authorization header is not well-formed",
        "Send exactly one header of the form Authorization: Bearer TOKEN (RFC 6750).";
    UNAUTHENTICATED = "unauthenticated", UNAUTHORIZED, "A bearer token is needed",
        "Send a token in the header Authorization: Bearer TOKEN.";
    INVALID_TOKEN = "invalid-token", UNAUTHORIZED, "The token is not accepted",
        "The token has expired, or is not one that this server believes. Get a new one.";
    NO_ROLE = "no-role", FORBIDDEN, "The token gives no role",
        "The token is valid, but its claims make no role here, or more than one. Ask whoever issued it.";
    NOT_FOUND = "not-found", NOT_FOUND, "There is nothing here",
        "There is no such resource, or it is not yours to know of: the two are not told apart.";
    UNKNOWN_VERSION = "unknown-version", NOT_FOUND, "There is no such version",
        "The dataset never had a version of that number, or is live and has none. GET /v1/datasets/{dataset}/versions lists them.";
    VERSION_GONE = "version-gone", GONE, "The version is gone",
        "The version is older than what is kept, so that nothing can be compared with it. The hint names those that are kept: fetch a whole one, such as a snapshot, and go on from there.";
    ROW_NOT_FOUND = "row-not-found", NOT_FOUND, "No row has that key",
        "The dataset has no row with this primary key that you may see.";
    METHOD_NOT_ALLOWED = "method-not-allowed", METHOD_NOT_ALLOWED, "The method is not allowed",
        "The resource does not answer this method. The Allow header lists those that it answers.";
    LINK_REFUSED = "link-refused", FORBIDDEN, "The link is not good",
        "A link to a file is good as it was handed out and for as long as it says. Ask for a new one at /v1/assets/{id}.";
    RANGE_NOT_SATISFIABLE = "range-not-satisfiable", RANGE_NOT_SATISFIABLE, "The file has no such bytes",
        "Range asks for bytes behind the file's end. Content-Range says how many it has.";
    NOT_ACCEPTABLE = "not-acceptable", NOT_ACCEPTABLE, "No acceptable media type is offered",
        "Nothing in the Accept header, or in format=, is offered here. The hint lists what is.";
    REQUEST_TIMEOUT = "request-timeout", REQUEST_TIMEOUT, "The request did not arrive in time",
        "The request's body took too long to arrive. Send it again, at once.";
    CONTENT_TOO_LARGE = "content-too-large", PAYLOAD_TOO_LARGE, "The body is too large",
        "The request's body is larger than any that this server reads.";
    TARGET_TOO_LONG = "target-too-long", URI_TOO_LONG, "The URL is too long",
        "The request's path and query are longer than this server reads. Ask in parts.";
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "The body is of no type that is read here",
        "The resource reads no body of this media type. A GET reads none at all.";
    HEAD_TOO_LARGE = "head-too-large", REQUEST_HEADER_FIELDS_TOO_LARGE, "The headers are too large",
        "The request's headers are too many or too large.";
    INVALID_DOCUMENT = "invalid-document", BAD_REQUEST, "The GraphQL document cannot be answered",
        "The document cannot be parsed, or asks for what your schema does not have: what you may not see is not in it. errors says where; introspection and martello graphql-schema show the schema.";
    GRAPHQL_NOT_GRANTED = "graphql-not-granted", FORBIDDEN, "GraphQL is not granted to you",
        "Your role may not call GraphQL. The REST endpoints answer the same questions.";
    DOCUMENT_NOT_REGISTERED = "document-not-registered", FORBIDDEN, "The document is not registered",
        "Roles of clients ask by documents that are registered in the catalog, in full or by their SHA-256. Ask whoever runs this server to register yours.";
    DOCUMENT_NOT_FOUND = "document-not-found", NOT_FOUND, "No document has that hash",
        "The SHA-256 in extensions.persistedQuery is of no document that is known here. Send the document along once; from then on its hash will do.";
    NOT_A_PUBLISHER = "not-a-publisher", FORBIDDEN, "Publishing is not yours to do",
        "Publishing and rolling back need the role internal_publisher, on the admin listener.";
    NOT_AN_OFFICER = "not-an-officer", FORBIDDEN, "Access is not yours to look after",
        "Reading the audit and reloading the access matrix need the role security_officer, on the admin listener.";
    MATRIX_REFUSED = "matrix-refused", UNPROCESSABLE_ENTITY, "The access matrix was not taken",
        "The file has faults, which the detail lists with their lines. The matrix before stays, and nobody sees more or less than a moment ago.";
    NOT_PUBLISHED = "not-published", UNPROCESSABLE_ENTITY, "The version was not published",
        "The relation does not keep its contract, does not meet its checks, or holds an older version; or there is no version to go back to. The detail says which. What is current is as it was.";
    CONTROL_UNAVAILABLE = "control-unavailable", SERVICE_UNAVAILABLE, "The control store is out",
        "What is published cannot be changed now, or what is current was not heard of for too long. Try again after Retry-After.";
    NOT_PARTED = "not-parted", BAD_REQUEST, "Files cannot be parted so",
        "partition_by puts the rows of one year or month into each file: the dataset's contract must name a time, the rows must hold it, and sort must begin with it.";
    NOT_SERVED = "not-served", NOT_IMPLEMENTED, "This server does not do that",
        "What is asked for needs something that this server was set up without. The detail says what; ask whoever runs it.";
    FILES_UNAVAILABLE = "files-unavailable", SERVICE_UNAVAILABLE, "The store of files is out",
        "Snapshots and exports cannot be reached now. Try again after Retry-After.";
    QUOTA_EXCEEDED = "quota-exceeded", TOO_MANY_REQUESTS, "A quota is used up",
        "You have used up what your role may have of violated-policies: requests of a second or a day, rows of a day, requests at once, bytes of exports of a day, or exports that are pending. Try again after Retry-After, or ask for less. The headers RateLimit-Policy and RateLimit of every answer, and /v1/usage, say what is left.";
    TEMPORARY_REDUCED_CAPACITY = "temporary-reduced-capacity", SERVICE_UNAVAILABLE, "What you may use up is not known now",
        "The store that counts requests for all instances is out, and nothing is given without it. Try again after Retry-After.";
    INTERNAL = "internal", INTERNAL_SERVER_ERROR, "Something went wrong here",
        "A fault on our side. It is logged under the request_id: quote it when you ask.";
    OVERLOADED = "overloaded", SERVICE_UNAVAILABLE, "The server is full",
        "Every connection to the source of this dataset is taken, or every place for streams of all rows. Try again after Retry-After.";
    SOURCE_UNAVAILABLE = "source-unavailable", SERVICE_UNAVAILABLE, "The source of this dataset is out",
        "The database behind this dataset cannot be reached now. Try again after Retry-After.";
    TIMEOUT = "timeout", GATEWAY_TIMEOUT, "The answer took too long",
        "The question could not be answered in time. Ask for less: fewer columns, a narrower filter, a smaller limit.";
}

/// One failure, as the client hears it.
#[derive(Clone, Debug)]
pub struct Problem {
    /// Its kind.
    pub kind: Kind,
    /// What happened this time.
    pub detail: String,
    /// The parameter at fault.
    pub parameter: Option<String>,
    /// What may help.
    pub hint: Option<String>,
    /// Names of the quotas that are used up.
    pub violated_policies: Vec<&'static str>,
    /// The internal cause of a 5xx, for the log only.
    cause: Option<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of that kind.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (detail, violated_policies, headers) = (detail.into(), Vec::new(), Vec::new());
        Self { kind, detail, parameter: None, hint: None, violated_policies, cause: None, headers }
    }

    /// Names the parameter at fault.
    #[must_use]
    pub fn parameter(mut self, parameter: impl Into<String>) -> Self {
        self.parameter = Some(parameter.into());
        self
    }

    /// Adds what may help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Keeps the internal cause for the log.
    #[must_use]
    pub fn cause(mut self, error: &dyn std::error::Error) -> Self {
        self.cause = Some(telemetry::chain(error));
        self
    }

    /// Headers that go along with it, such as when to try again.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter().map(|(name, value)| (name, value))
    }

    pub(super) fn header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }

    /// Logs a failure of ours.
    pub(super) fn log(&self, request_id: &str) {
        if self.kind.status.is_server_error() {
            let cause = self.cause.as_deref().unwrap_or_default();
            tracing::error!(request_id, problem = self.kind.slug, cause, "a request failed");
        }
    }

    /// Writes the response. A failure of ours is logged here, once.
    pub(super) fn render(&self, request_id: &str) -> Response {
        self.log(request_id);
        let body = Body {
            kind: format!("/problems/{}", self.kind.slug),
            title: self.kind.title,
            status: self.kind.status.as_u16(),
            detail: &self.detail,
            request_id,
            parameter: self.parameter.as_deref(),
            hint: self.hint.as_deref(),
            violated_policies: &self.violated_policies,
        };
        // A body of texts and a number serializes.
        let bytes = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = (self.kind.status, bytes).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in &self.headers {
            headers.insert(name, value.clone());
        }
        response
    }
}

/// Stands beside a response that tells a problem in the words of its door: it is logged and recorded as any other, and
/// its body stays.
#[derive(Clone, Debug)]
pub struct Worded(pub Problem);

#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
    #[serde(rename = "violated-policies", skip_serializing_if = "<[_]>::is_empty")]
    violated_policies: &'a [&'static str],
}

impl IntoResponse for Problem {
    /// The status, with the problem beside it: the outermost layer knows the request's id and writes the body.
    fn into_response(self) -> Response {
        let mut response = self.kind.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<auth::Error> for Problem {
    fn from(error: auth::Error) -> Self {
        use auth::{Error, Reason};
        let challenge = header::WWW_AUTHENTICATE;
        match error {
            // RFC 6750, 3.1: without a credential the challenge names no error.
            Error::Missing => Self::new(UNAUTHENTICATED, "the request carries no bearer token")
                .header(challenge, r#"Bearer realm="martello""#),
            Error::Malformed => {
                Self::new(MALFORMED_CREDENTIAL, "expected one Authorization header with one bearer token")
                    .header(challenge, r#"Bearer realm="martello", error="invalid_request""#)
            }
            Error::Invalid(Reason::Expired) => Self::new(INVALID_TOKEN, "the token has expired").header(
                challenge,
                r#"Bearer realm="martello", error="invalid_token", error_description="the token has expired""#,
            ),
            // Which check failed would tell a forger where to go on; the log has it.
            Error::Invalid(reason) => {
                tracing::info!(%reason, "a token was refused");
                Self::new(INVALID_TOKEN, "the token is not one that this server believes")
                    .header(challenge, r#"Bearer realm="martello", error="invalid_token""#)
            }
            Error::NoRole | Error::TwoRoles { .. } => {
                tracing::info!(%error, "a token makes no role");
                Self::new(NO_ROLE, "the token's claims do not make exactly one role")
                    .header(challenge, r#"Bearer realm="martello", error="insufficient_scope""#)
            }
        }
    }
}

impl From<limit::Refused> for Problem {
    fn from(refused: limit::Refused) -> Self {
        match refused {
            limit::Refused::Spent { policies, retry_after } => {
                let mut problem = Self::new(QUOTA_EXCEEDED, format!("used up: {}", policies.join(", ")));
                problem.violated_policies = policies;
                problem.headers.push((header::RETRY_AFTER, HeaderValue::from(retry_after)));
                problem
            }
            limit::Refused::Unknown => Self::new(TEMPORARY_REDUCED_CAPACITY, "what is left for you is not known now")
                .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
        }
    }
}

impl From<plan::Error> for Problem {
    fn from(error: plan::Error) -> Self {
        use plan::{Error, Place};
        let did_you_mean = |nearest: Option<String>, allowed: &[String]| match nearest {
            Some(nearest) => format!("did you mean {nearest}?"),
            None if allowed.is_empty() => "there are none".to_owned(),
            None => format!("there are: {}", allowed.join(", ")),
        };
        match error {
            Error::UnknownDataset(_) => Self::new(NOT_FOUND, "there is no such resource"),
            Error::UnknownField { place: Place::Filter, name, nearest, allowed } => {
                Self::new(UNKNOWN_PARAMETER, format!("there is no parameter and no column {}", shown(&name)))
                    .hint(did_you_mean(nearest, &allowed))
                    .parameter(shown(&name))
            }
            Error::UnknownField { place: Place::Expand, name, nearest, allowed } => {
                Self::new(UNKNOWN_RELATION, format!("there is no relation {}", shown(&name)))
                    .hint(did_you_mean(nearest, &allowed))
                    .parameter("expand")
            }
            Error::UnknownField { place, name, nearest, allowed } => {
                Self::new(UNKNOWN_COLUMN, format!("there is no column {}", shown(&name)))
                    .hint(did_you_mean(nearest, &allowed))
                    .parameter(place.as_str())
            }
            Error::Operator { field, operator, allowed } => {
                let hint = if allowed.is_empty() {
                    format!("{field} cannot be filtered")
                } else {
                    format!("{field} can be filtered by: {}", allowed.join(", "))
                };
                Self::new(OPERATOR_NOT_ALLOWED, format!("{field} cannot be filtered by {}", shown(&operator)))
                    .parameter(format!("{field}.{}", shown(&operator)))
                    .hint(hint)
            }
            Error::Function { field, function, allowed } => {
                let hint = match allowed.as_slice() {
                    [] => format!("{field} cannot be measured"),
                    allowed => format!("{field} can be measured by: {}", allowed.join(", ")),
                };
                Self::new(FUNCTION_NOT_ALLOWED, format!("{field} cannot be measured by {function}"))
                    .parameter("measures")
                    .hint(hint)
            }
            Error::Literal { parameter, expected } => {
                Self::new(INVALID_LITERAL, format!("expected {expected}")).parameter(parameter)
            }
            Error::Unordered { place, field, allowed } => Self::new(NOT_SORTABLE, format!("{field} gives no order"))
                .parameter(place.as_str())
                .hint(format!("rows can be ordered by: {}", allowed.join(", "))),
            Error::Twice { place, field } => {
                Self::new(REPEATED_COLUMN, format!("{field} is named twice")).parameter(place.as_str())
            }
            Error::TooMany { what, max } => Self::new(TOO_COMPLEX, format!("there may be at most {max} {what}")),
            Error::Masked { place, field } => {
                Self::new(COLUMN_MASKED, format!("{field} is masked for your role, and can only be selected"))
                    .parameter(if place == Place::Filter { field } else { place.as_str().to_owned() })
            }
            Error::NotAggregated => Self::new(AGGREGATE_NOT_GRANTED, "your role may have rows of the dataset only"),
            Error::RevisionNotGranted { parameter, granted } => Self::new(
                REVISION_NOT_GRANTED,
                format!("your role has the {granted} revision of each fact, and {parameter} asks for another"),
            )
            .parameter(parameter),
            Error::NotExported => Self::new(EXPORT_NOT_GRANTED, "your role may have the dataset in pages only")
                .parameter("limit")
                .hint("leave out limit=all, and follow page.next_cursor"),
            Error::OfPages { parameter } => {
                Self::new(MALFORMED_REQUEST, format!("{parameter} is about pages, and limit=all gives every row"))
                    .parameter(parameter)
                    .hint(format!("leave out {parameter}, or limit=all"))
            }
            Error::Limit { max, .. } => Self::new(LIMIT_OUT_OF_RANGE, format!("limit must be between 1 and {max}"))
                .parameter("limit")
                .hint("follow page.next_cursor for what is behind a page, or ask with Prefer: respond-async for files"),
            Error::RelatedLimit { asked, max } => {
                let detail =
                    format!("the rows of a page times the related rows of each are {asked}, with a limit of {max}");
                Self::new(LIMIT_OUT_OF_RANGE, detail)
                    .parameter("expand")
                    .hint("ask for fewer rows, or fewer related ones")
            }
            Error::Related { relation, source } => {
                let problem = Self::from(*source);
                let parameter = format!("expand.{}", shown(&relation));
                let inner = problem.parameter.as_deref().filter(|inner| *inner != "expand");
                let parameter = inner.map_or(parameter.clone(), |inner| format!("{parameter}.{inner}"));
                problem.parameter(parameter)
            }
            Error::NotSearchable => {
                Self::new(NOT_SEARCHABLE, "no column that you may see is searchable").parameter("search")
            }
            Error::NoBars => {
                Self::new(NO_BARS, "the contract names no bars, or not all of their columns are yours to see")
                    .parameter("resample")
            }
            Error::OfRows { parameter } => {
                Self::new(MALFORMED_REQUEST, format!("{parameter} is about rows, and the question about groups"))
                    .parameter(parameter)
            }
            Error::Key { columns, found } => {
                let detail =
                    format!("expected {} path segments ({}), found {found}", columns.len(), columns.join(", "));
                Self::new(INVALID_KEY, detail).parameter("key")
            }
            Error::Cursor => Self::new(INVALID_CURSOR, "the cursor cannot be opened").parameter("cursor"),
            Error::OtherCursor => {
                Self::new(CURSOR_MISMATCH, "the cursor was handed out for another question").parameter("cursor")
            }
            Error::UnknownVersion { parameter, number } => {
                Self::new(UNKNOWN_VERSION, format!("there is no version {number}")).parameter(parameter)
            }
            Error::VersionGone { parameter, number, kept } => {
                let kept: Vec<String> = kept.iter().map(u64::to_string).collect();
                Self::new(VERSION_GONE, format!("version {number} is not kept any more"))
                    .parameter(parameter)
                    .hint(format!("there are: {}", kept.join(", ")))
            }
            Error::Backwards { from, to } => {
                Self::new(INVALID_LITERAL, format!("changes go forwards: from is {from}, and to is {to}"))
                    .parameter("from")
            }
            Error::NotTimed { parameter, lacks } => {
                Self::new(NOT_TIMED, format!("the dataset's contract has no {lacks}")).parameter(parameter)
            }
        }
    }
}

/// A text of the request as a problem may repeat it: short, and without what a terminal or a log would act on.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(CHARS_MAX).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

impl From<engine::Error> for Problem {
    fn from(error: engine::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&engine::Error> for Problem {
    fn from(error: &engine::Error) -> Self {
        use engine::Error;
        match error {
            Error::NoRow => Self::new(ROW_NOT_FOUND, "no row has that key"),
            Error::SumTooLarge { measure } => {
                Self::new(SUM_TOO_LARGE, format!("{measure} has more than 38 digits")).parameter("measures")
            }
            Error::NotExplained => Self::new(NOT_EXPLAINED, "explain is for roles of the house").parameter("explain"),
            Error::Crowded => Self::new(OVERLOADED, "as many streams of all rows are under way as there may be")
                .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            Error::Source { source, .. } => Self::from(source).cause(error),
            Error::Unheard => Self::new(CONTROL_UNAVAILABLE, "what is current of this dataset is not known now")
                .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
                .cause(error),
            Error::Batch(_) | Error::Encode(_) | Error::Lost => internal().cause(error),
        }
    }
}

impl From<PublishError> for Problem {
    fn from(error: PublishError) -> Self {
        match &error {
            PublishError::Store { .. } => {
                Self::new(CONTROL_UNAVAILABLE, "the control store does not take the change now")
                    .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
                    .cause(&error)
            }
            PublishError::Source { source, .. } => Self::from(source).cause(&error),
            PublishError::Mismatches { .. }
            | PublishError::Checks { .. }
            | PublishError::Taken { .. }
            | PublishError::NoVersion { .. } => Self::new(NOT_PUBLISHED, error.to_string()),
            PublishError::Drop { .. } => internal().cause(&error),
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Self {
        Self::new(FILES_UNAVAILABLE, "the store of files does not answer now")
            .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
            .cause(&error)
    }
}

impl From<JobError> for Problem {
    fn from(error: JobError) -> Self {
        let spent = |policy: &'static str, retry_after: u64| {
            let mut problem = Self::new(QUOTA_EXCEEDED, format!("used up: {policy}"));
            problem.violated_policies = vec![policy];
            problem.headers.push((header::RETRY_AFTER, HeaderValue::from(retry_after)));
            problem
        };
        match error {
            JobError::Store(_) => Self::new(CONTROL_UNAVAILABLE, "the control store does not answer now")
                .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
                .cause(&error),
            JobError::Files(error) => error.into(),
            JobError::Parted(ref source) => Self::new(NOT_PARTED, source.to_string()).parameter("partition_by"),
            JobError::Nobody => Self::new(EXPORT_NOT_GRANTED, "an export is for whom a token names, and none does"),
            JobError::Crowded(most) => spent("pending-exports", PENDING_SECONDS)
                .hint(format!("there may be {most} at once: wait for one, or DELETE it")),
            JobError::Spent { retry_after } => spent("export-bytes", retry_after),
        }
    }
}

impl From<&source::Error> for Problem {
    fn from(error: &source::Error) -> Self {
        use source::Error;
        match error {
            Error::Busy => Self::new(OVERLOADED, "every connection is taken, and so is every place in the queue")
                .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            Error::Unavailable(_) => Self::new(SOURCE_UNAVAILABLE, "the database cannot be reached now")
                .header(header::RETRY_AFTER, RETRY_AFTER_SECONDS),
            Error::Timeout => Self::new(TIMEOUT, "the database did not answer in time"),
            Error::Unknown(_)
            | Error::Url { .. }
            | Error::Statement(_)
            | Error::Type { .. }
            | Error::Value { .. }
            | Error::Batch(_) => internal(),
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let offered = |granted: MediaTypes| {
            let names = granted.iter().map(|media_type| format!("{} ({})", media_type.format(), media_type.as_str()));
            names.collect::<Vec<_>>().join(", ")
        };
        match refused {
            Refused::NotAcceptable { granted } => {
                Self::new(NOT_ACCEPTABLE, "none of the media types that you accept is offered")
                    .hint(format!("offered: {}", offered(granted)))
            }
            Refused::NotGranted { granted } => {
                Self::new(FORMAT_NOT_GRANTED, "your role may not have the dataset in that format")
                    .hint(format!("it may have: {}", offered(granted)))
            }
        }
    }
}

/// A fault of ours, of which the client hears nothing more.
#[must_use]
pub fn internal() -> Problem {
    Problem::new(INTERNAL, "the request could not be answered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_slug_and_an_error_status() {
        for (index, kind) in ALL.iter().enumerate() {
            assert!(kind.status.is_client_error() || kind.status.is_server_error(), "{kind:?}");
            assert!(ALL[..index].iter().all(|other| other.slug != kind.slug), "{kind:?}");
        }
    }

    #[test]
    fn what_a_problem_repeats_is_short_and_plain() {
        assert_eq!(shown("a\u{0}\u{1b}[2Jb"), "a\u{FFFD}\u{FFFD}[2Jb");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 65);
    }
}
