//! The kinds of problems: a line for each is all that a new one needs.

use axum::http::StatusCode;

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
}
