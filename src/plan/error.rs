//! Why a question cannot be planned. Every variant names only what the caller may know.

use crate::catalog::Type;

/// Where in a question a field is named.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// As a filter.
    Filter,
    /// In `select`.
    Select,
    /// In `sort`.
    Sort,
    /// In `latest_by`.
    LatestBy,
    /// In `group_by`.
    GroupBy,
    /// In `measures`.
    Measures,
    /// In `having`.
    Having,
    /// As a relation, in `expand`.
    Expand,
    /// As what `search` reads.
    Search,
    /// As a part of a bar, in `resample`.
    Resample,
}

impl Place {
    /// The parameter's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filter => "filter",
            Self::Select => "select",
            Self::Sort => "sort",
            Self::LatestBy => "latest_by",
            Self::GroupBy => "group_by",
            Self::Measures => "measures",
            Self::Having => "having",
            Self::Expand => "expand",
            Self::Search => "search",
            Self::Resample => "resample",
        }
    }
}

/// Why a question cannot be planned.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such dataset, or the caller may not know of it: told apart by nothing.
    #[error("find dataset {0:?}")]
    UnknownDataset(String),
    /// There is no such field, or the caller may not know of it.
    #[error("find field {name:?} of {}", place.as_str())]
    UnknownField {
        /// Where it was named.
        place: Place,
        /// As it was named.
        name: String,
        /// What may have been meant.
        nearest: Option<String>,
        /// What could have been named.
        allowed: Vec<String>,
    },
    /// The caller is shown less than the field's values: an answer about them would tell what they are.
    #[error("answer about {field} in {}, which is masked", place.as_str())]
    Masked {
        /// Where it was named.
        place: Place,
        /// The field.
        field: String,
    },
    /// The role may not ask for groups.
    #[error("answer about groups to a role that may not aggregate")]
    NotAggregated,
    /// Another revision was asked for than the one that exists for the role.
    #[error("answer {parameter} to a role that is granted the {granted} revision")]
    RevisionNotGranted {
        /// The parameter.
        parameter: &'static str,
        /// The revision that exists for it.
        granted: &'static str,
    },
    /// The contract does not allow the operator on the field.
    #[error("filter {field} by {operator:?}")]
    Operator {
        /// The field.
        field: String,
        /// The operator, as written.
        operator: String,
        /// What the contract allows.
        allowed: Vec<&'static str>,
    },
    /// The contract does not allow the function on the field.
    #[error("measure {field} by {function}")]
    Function {
        /// The field.
        field: String,
        /// The function.
        function: &'static str,
        /// What the contract allows.
        allowed: Vec<&'static str>,
    },
    /// The literal is none of the field's type.
    #[error("read a literal of {parameter} as {expected}")]
    Literal {
        /// The parameter that held it.
        parameter: String,
        /// The type, or a description of what is expected.
        expected: Expected,
    },
    /// The contract does not let rows be ordered by the field, or it has no newest row.
    #[error("order by {field}")]
    Unordered {
        /// Where it was named.
        place: Place,
        /// The field.
        field: String,
        /// Fields that the contract allows.
        allowed: Vec<String>,
    },
    /// A field is named twice where once is enough.
    #[error("take {field} twice in {}", place.as_str())]
    Twice {
        /// Where.
        place: Place,
        /// The field.
        field: String,
    },
    /// There is more of something than a question may have.
    #[error("take more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The page is larger than the caller may have, or empty.
    #[error("give {asked} rows at once, with a limit of {max}")]
    Limit {
        /// What was asked.
        asked: u64,
        /// What may be asked.
        max: u32,
    },
    /// The role may have the dataset in pages only.
    #[error("give all rows at once to a role that may not export")]
    NotExported,
    /// A parameter is about pages, and all rows are asked for at once.
    #[error("take {parameter} with all rows at once")]
    OfPages {
        /// The parameter.
        parameter: &'static str,
    },
    /// Related rows would be more than the related dataset's grant allows.
    #[error("give {asked} related rows at once, with a limit of {max}")]
    RelatedLimit {
        /// Rows of the page times related rows of each.
        asked: u64,
        /// What may be asked.
        max: u32,
    },
    /// A question about related rows cannot be planned.
    #[error("expand {relation}")]
    Related {
        /// The relation.
        relation: String,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The key has another number of parts.
    #[error("find a row by {found} of {} key columns", columns.len())]
    Key {
        /// The key's columns.
        columns: Vec<String>,
        /// How many were given.
        found: usize,
    },
    /// The cursor was not handed out by this server, or was changed.
    #[error("open the cursor")]
    Cursor,
    /// The cursor belongs to another question.
    #[error("go on with another question's cursor")]
    OtherCursor,
    /// No column that the caller may see is searchable.
    #[error("search a dataset without a searchable column")]
    NotSearchable,
    /// The rows are no bars, or the caller may not see all of a bar.
    #[error("resample a dataset whose contract names no bars")]
    NoBars,
    /// Rows and groups exclude each other's parts.
    #[error("take {parameter} in a question about groups")]
    OfRows {
        /// The parameter.
        parameter: &'static str,
    },
    /// There never was such a version.
    #[error("find version {number}")]
    UnknownVersion {
        /// The parameter.
        parameter: &'static str,
        /// Its number.
        number: u64,
    },
    /// The version is not kept any more.
    #[error("read version {number}, which is gone")]
    VersionGone {
        /// The parameter.
        parameter: &'static str,
        /// Its number.
        number: u64,
        /// The numbers of those that are kept, the newest first.
        kept: Vec<u64>,
    },
    /// Changes are asked for from a version to one before it.
    #[error("go back from version {from} to {to}")]
    Backwards {
        /// The first version.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// The dataset does not say when its rows became known, or which is newest.
    #[error("answer {parameter}: the dataset has no {lacks}")]
    NotTimed {
        /// The parameter.
        parameter: &'static str,
        /// What the contract lacks.
        lacks: &'static str,
    },
}

/// What a literal should have been.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Expected {
    /// A literal of the type.
    Type(Type),
    /// `true` or `false`.
    Flag,
    /// A date or a timestamp.
    Instant,
    /// One literal where a list was given.
    One,
    /// A date or timestamp column where intervals are asked for.
    Dated,
    /// A column inside a function that needs one.
    Measured,
    /// The name of a time zone.
    Zone,
    /// Words to search for.
    Words,
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Type(Type::Bool) | Self::Flag => f.write_str("true or false"),
            Self::Type(Type::Int32) => f.write_str("an int32, such as 42"),
            Self::Type(Type::Int64) => f.write_str("an int64, such as 42"),
            Self::Type(Type::Float64) => f.write_str("a finite float64, such as 1.5"),
            Self::Type(data_type @ Type::Decimal { precision, scale }) => {
                let whole = precision - scale;
                write!(f, "a {data_type}: at most {whole} digits before the point and {scale} behind it")
            }
            Self::Type(Type::Date) => f.write_str("a date, such as 2024-02-29"),
            Self::Type(Type::Timestamp) => {
                f.write_str("a timestamp with an offset, such as 2024-02-29T12:00:00Z, to the microsecond at most")
            }
            Self::Type(Type::String | Type::StringList | Type::Json) => f.write_str("a text without NUL"),
            Self::Instant => {
                f.write_str("a date (its end is meant) or a timestamp with an offset, such as 2024-02-29T12:00:00Z")
            }
            Self::One => f.write_str("one literal"),
            Self::Dated => f.write_str("an interval of a date or a timestamp, such as date:month"),
            Self::Measured => f.write_str("a function of a column, such as avg(close); count() alone needs none"),
            Self::Zone => f.write_str("the name of an IANA time zone, such as America/New_York"),
            Self::Words => f.write_str("at least one word: a run of letters and digits"),
        }
    }
}
