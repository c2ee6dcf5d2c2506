//! How an answer is written: what a request says of it, within what its caller may have and what the format can hold.

use axum::http::HeaderMap;

use super::asked::{Act, Asked};
use crate::encode::{MediaType, MediaTypes, Numbers, Refused};
use crate::engine::{Representation, Shape};
use crate::http::extract::media_type;
use crate::http::{Problem, problem};
use crate::plan::Plan;
use crate::query::Count;

/// Chooses how the answer to a plan is written.
pub(super) fn choose(headers: &HeaderMap, asked: &Asked, plan: &Plan) -> Result<Representation, Problem> {
    let media_type = match asked.act {
        Act::Answer => media_type(headers, asked.format.as_deref(), plan.media_types())?,
        Act::DryRun => of_no_rows(headers, asked, "dry_run")?,
        Act::Explain => of_no_rows(headers, asked, "explain")?,
    };
    if asked.act == Act::Answer {
        fits(asked, plan, media_type)?;
    }
    Ok(Representation { media_type, numbers: asked.numbers, shape: asked.shape, guarded: asked.guarded })
}

/// What is told instead of rows is JSON, whatever rows may come in.
fn of_no_rows(headers: &HeaderMap, asked: &Asked, parameter: &str) -> Result<MediaType, Problem> {
    let granted = MediaTypes::from(MediaType::Json);
    if let Some(other) = asked.format.as_deref().and_then(MediaType::named)
        && other != MediaType::Json
    {
        let detail = format!("{parameter} is answered in JSON, and format asks for {}", other.format());
        return Err(Problem::new(problem::NOT_IN_FORMAT, detail)
            .parameter(parameter)
            .hint(format!("leave out format, or {parameter}")));
    }
    // Nobody is refused it: what else there is, it does not come in.
    media_type(headers, asked.format.as_deref(), granted).map_err(|problem| match problem.kind {
        problem::FORMAT_NOT_GRANTED => Refused::NotAcceptable { granted }.into(),
        _ => problem,
    })
}

/// Refuses what the media type has no place for, rather than leaving it out. A parameter that asks for what is so anyway
/// asks for nothing.
fn fits(asked: &Asked, plan: &Plan, media_type: MediaType) -> Result<(), Problem> {
    let all = if plan.sides().is_some() { "format" } else { "limit" };
    let parts: [(bool, &str, &[MediaType]); 6] = [
        // A page of JSON is one object, which is written when its last row is known.
        (plan.whole(), all, &[MediaType::Ndjson, MediaType::Csv, MediaType::Arrow, MediaType::Parquet]),
        (asked.numbers == Numbers::Text, "numbers", &[MediaType::Json, MediaType::Ndjson, MediaType::Csv]),
        (asked.shape == Shape::Columns, "shape", &[MediaType::Json]),
        (asked.guarded, "guard", &[MediaType::Csv]),
        (plan.count() != Count::None, "count", &[MediaType::Json]),
        (
            !plan.related().is_empty(),
            "expand",
            &[MediaType::Json, MediaType::Ndjson, MediaType::Arrow, MediaType::Parquet],
        ),
    ];
    let unfit = parts.into_iter().find(|(asked, _, fitting)| *asked && !fitting.contains(&media_type));
    let Some((_, parameter, fitting)) = unfit else { return Ok(()) };
    let detail = match parameter {
        "format" => "JSON comes as a page, and changes as a stream".to_owned(),
        "limit" => "JSON comes as a page, and limit=all as a stream".to_owned(),
        _ => format!("{} has no place for what {parameter} asks for", media_type.format()),
    };
    let fitting = fitting.iter().copied().collect::<MediaTypes>().and(plan.media_types());
    let hint = match fitting.formats() {
        none if none.is_empty() => format!("leave out {parameter}"),
        formats if parameter == "format" => format!("ask for {formats}"),
        formats => format!("leave out {parameter}, or ask for {formats}"),
    };
    Err(Problem::new(problem::NOT_IN_FORMAT, detail).parameter(parameter).hint(hint))
}
