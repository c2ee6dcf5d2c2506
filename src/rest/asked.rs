//! What a request asks, whether by URL or by body, and the words that both are made of.

use crate::encode::Numbers;
use crate::engine::Shape;
use crate::http::Problem;
use crate::http::problem;
use crate::http::problem::shown;
use crate::query::{
    Aggregate, Bucket, Direction, Filter, Function, Group, Grouping, Limit, Measure, Nulls, OrderKey, Query,
};

use super::tree::{Names, field_of};

/// What a request asks, and how it wants to be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) query: Query,
    pub(super) format: Option<String>,
    pub(super) numbers: Numbers,
    pub(super) shape: Shape,
    /// Whether texts are to be kept from being taken for formulas.
    pub(super) guarded: bool,
    pub(super) act: Act,
}

impl Asked {
    /// The question that says nothing but what it is about.
    pub(super) fn about(dataset: &str) -> Self {
        let query = Query { dataset: dataset.to_owned(), ..Query::default() };
        let (numbers, shape) = (Numbers::default(), Shape::default());
        Self { query, format: None, numbers, shape, guarded: false, act: Act::default() }
    }
}

/// What is done with a question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Act {
    /// It is answered.
    #[default]
    Answer,
    /// It is told what an answer would cost.
    DryRun,
    /// It is told how it would be answered.
    Explain,
}

/// What makes an aggregate, as far as it was read.
#[derive(Default)]
pub(super) struct Groups {
    pub(super) group_by: Vec<Group>,
    pub(super) measures: Vec<Measure>,
    pub(super) resample: Option<Bucket>,
    pub(super) having: Vec<Filter>,
}

impl Groups {
    pub(super) fn is_asked(&self) -> bool {
        !self.group_by.is_empty() || !self.measures.is_empty() || self.resample.is_some()
    }

    pub(super) fn aggregate(self) -> Result<Aggregate, Problem> {
        if !self.is_asked() {
            let detail = "expected group_by, measures or resample";
            return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter("measures"));
        }
        let of = match self.resample {
            Some(_) if !self.group_by.is_empty() || !self.measures.is_empty() => {
                let detail = "resample says what makes a group and what is measured: group_by and measures do not";
                return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter("resample"));
            }
            Some(bucket) => Grouping::Resample(bucket),
            None => Grouping::Fields { group_by: self.group_by, measures: self.measures },
        };
        Ok(Aggregate { of, having: Filter::All(self.having) })
    }
}

/// What is asked instead of an answer.
#[derive(Default)]
pub(super) struct Flags {
    pub(super) dry_run: bool,
    pub(super) explain: bool,
}

impl Flags {
    pub(super) fn act(self) -> Result<Act, Problem> {
        match (self.dry_run, self.explain) {
            (false, false) => Ok(Act::Answer),
            (true, false) => Ok(Act::DryRun),
            (false, true) => Ok(Act::Explain),
            (true, true) => {
                let detail = "dry_run and explain are two answers: ask for one";
                Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter("explain"))
            }
        }
    }
}

/// `field` or `field:interval`.
pub(super) fn group(text: &str) -> Result<Group, Problem> {
    let (field, bucket) = match text.split_once(':') {
        None => (text, None),
        Some((field, word)) => (field, Some(Bucket::named(word).ok_or_else(|| unknown_interval("group_by", word))?)),
    };
    Ok(Group { field: field.to_owned(), bucket })
}

fn unknown_interval(parameter: &str, word: &str) -> Problem {
    let all = Bucket::ALL.map(Bucket::as_str).join(", ");
    Problem::new(problem::INVALID_LITERAL, format!("there is no interval {}", shown(word)))
        .parameter(parameter)
        .hint(format!("there are: {all}"))
}

/// `function(field)`, or `count()`.
pub(super) fn measure(text: &str) -> Result<Measure, Problem> {
    let Some((function, field)) = text.strip_suffix(')').and_then(|call| call.split_once('(')) else {
        let detail = "expected functions of columns, such as avg(close), parted by commas";
        return Err(Problem::new(problem::MALFORMED_REQUEST, detail).parameter("measures"));
    };
    let function = Function::named(function).ok_or_else(|| {
        let all = Function::ALL.map(Function::as_str).join(", ");
        Problem::new(problem::INVALID_LITERAL, format!("there is no function {}", shown(function)))
            .parameter("measures")
            .hint(format!("there are: {all}"))
    })?;
    let field = Some(field.trim()).filter(|field| !field.is_empty()).map(str::to_owned);
    Ok(Measure { function, field })
}

pub(super) fn resample(text: &str) -> Result<Bucket, Problem> {
    Bucket::coded(text).ok_or_else(|| {
        let all = Bucket::ALL.map(Bucket::code).join(", ");
        Problem::new(problem::INVALID_LITERAL, format!("expected one of {all}")).parameter("resample")
    })
}

/// The meaning of one of a few words.
pub(super) fn one_of<T: Copy>(parameter: &str, text: &str, words: &[(&str, T)]) -> Result<T, Problem> {
    words.iter().find(|(word, _)| *word == text).map(|(_, meaning)| *meaning).ok_or_else(|| {
        let all: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Problem::new(problem::INVALID_LITERAL, format!("expected {}", all.join(" or "))).parameter(parameter)
    })
}

/// An order of groups names them, and measures, as they are asked for or by their names in the answer.
pub(super) fn group_key(text: &str) -> OrderKey {
    let key = order_key(text);
    OrderKey { field: field_of(&key.field, Names::Measures), ..key }
}

/// `field`, `-field`, and either with `.nulls_first` or `.nulls_last`.
pub(super) fn order_key(text: &str) -> OrderKey {
    let (direction, text) = match text.strip_prefix('-') {
        Some(text) => (Direction::Descending, text),
        None => (Direction::Ascending, text),
    };
    let (field, nulls) = match text.split_once('.') {
        Some((field, "nulls_first")) => (field, Some(Nulls::First)),
        Some((field, "nulls_last")) => (field, Some(Nulls::Last)),
        // Anything else behind a point makes a name that no column has.
        _ => (text, None),
    };
    OrderKey { field: field.to_owned(), direction, nulls }
}

/// How many rows: a number, or all of them.
pub(super) fn extent(text: &str) -> Result<Limit, Problem> {
    match text {
        "all" => Ok(Limit::All),
        text => text.parse().map(Limit::Rows).map_err(|_| {
            Problem::new(problem::INVALID_LITERAL, "expected a whole number, such as 100, or all").parameter("limit")
        }),
    }
}

pub(super) fn limit(parameter: &str, text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        Problem::new(problem::INVALID_LITERAL, "expected a whole number, such as 100").parameter(parameter)
    })
}

/// The words of `shape`.
pub(super) const SHAPES: [(&str, Shape); 2] = [("rows", Shape::Rows), ("columns", Shape::Columns)];

/// The words of `guard`.
pub(super) const GUARDS: [(&str, bool); 2] = [("formulas", true), ("none", false)];

pub(super) fn read_numbers(text: &str) -> Result<Numbers, Problem> {
    one_of("numbers", text, &[("exact", Numbers::Exact), ("string", Numbers::Text)])
}
