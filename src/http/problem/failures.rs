//! Which problem the failures of other rooms are.

use axum::http::{HeaderValue, header};

use super::*;
use crate::auth;
use crate::encode::{MediaTypes, Refused};
use crate::engine;
use crate::limit;
use crate::plan;
use crate::publish::PublishError;
use crate::publish::files::FileError;
use crate::publish::jobs::JobError;
use crate::source;

/// Seconds after which a client may try again when a source is out or full: connections come back in about that time.
const RETRY_AFTER_SECONDS: &str = "1";

/// Seconds after which an export that was pending may be none any more.
const PENDING_SECONDS: u64 = 10;

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
