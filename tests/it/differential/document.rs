//! A question about rows as a document of GraphQL, and what its answer owes.

use martello::catalog::{Dataset, Type};
use martello::query::{Comparison, Count, Direction, Filter, Limit, Nulls, Operand, Operator, Query};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::reference::Record;
use super::verdict;
use crate::support::Answer;

/// The document; `None` for questions that GraphQL asks in other fields: groups, a row by its key, related rows.
pub fn document(query: &Query, dataset: &Dataset) -> Option<String> {
    if query.aggregate.is_some() || query.key.is_some() || !query.expand.is_empty() {
        return None;
    }
    let text = |text: &str| Json::from(text).to_string();
    let mut arguments = Vec::new();
    if query.filter != Filter::default() {
        arguments.push(format!("where: {}", condition(&query.filter, dataset)));
    }
    if let Some(order) = &query.order {
        let keys = order.iter().map(|key| {
            let direction = if key.direction == Direction::Ascending { "ASC" } else { "DESC" };
            let nulls = match key.nulls {
                None => "",
                Some(Nulls::First) => ", nulls: FIRST",
                Some(Nulls::Last) => ", nulls: LAST",
            };
            format!("{{field: {}, direction: {direction}{nulls}}}", key.field)
        });
        arguments.push(format!("order_by: [{}]", keys.collect::<Vec<_>>().join(", ")));
    }
    arguments.extend(query.search.as_deref().map(|words| format!("search: {}", text(words))));
    arguments.extend(query.as_of.as_deref().map(|as_of| format!("as_of: {}", text(as_of))));
    arguments.extend(query.revision.map(|revision| format!("revision: {}", revision.as_str())));
    arguments.extend(query.tz.as_deref().map(|tz| format!("tz: {}", text(tz))));
    if !query.latest_by.is_empty() {
        arguments.push(format!("latest_by: [{}]", query.latest_by.join(", ")));
    }
    if let Some(Limit::Rows(limit)) = query.page.limit {
        arguments.push(format!("first: {limit}"));
    }
    let arguments = if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(" ")) };
    let columns = dataset.columns.iter().map(|column| column.name.to_string());
    let columns = query.select.clone().unwrap_or_else(|| columns.collect()).join(" ");
    let total = if query.count == Count::Exact { " totalCount" } else { "" };
    let name = &query.dataset;
    Some(format!("{{ found: {name}{arguments} {{ nodes {{ {columns} }} pageInfo {{ hasNextPage }}{total} }} }}"))
}

fn condition(filter: &Filter, dataset: &Dataset) -> String {
    let all = |parts: &[Filter]| parts.iter().map(|part| condition(part, dataset)).collect::<Vec<_>>().join(", ");
    match filter {
        Filter::All(parts) => format!("{{and: [{}]}}", all(parts)),
        Filter::Any(parts) => format!("{{or: [{}]}}", all(parts)),
        Filter::Not(part) => format!("{{not: {}}}", condition(part, dataset)),
        Filter::Compare(Comparison { field, operator, operand }) => {
            let data_type = dataset.columns[dataset.column(field).expect("a column")].data_type;
            // What a scalar writes as a number or a flag stands bare, everything else is a text.
            let bare = matches!(data_type, Type::Bool | Type::Int32 | Type::Float64) || *operator == Operator::IsNull;
            let literal = |text: &String| if bare { text.clone() } else { Json::from(text.as_str()).to_string() };
            let operand = match operand {
                Operand::One(text) => literal(text),
                Operand::Many(texts) => format!("[{}]", texts.iter().map(literal).collect::<Vec<_>>().join(", ")),
                Operand::Claim(claim) => panic!("no question has claim {claim}"),
            };
            format!("{{{field}: {{{}: {operand}}}}}", operator.as_str())
        }
    }
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    data: Data<'b>,
}

#[derive(Deserialize)]
struct Data<'b> {
    #[serde(borrow)]
    found: Found<'b>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Found<'b> {
    #[serde(borrow)]
    nodes: &'b RawValue,
    page_info: Json,
    total_count: Option<Json>,
}

/// Whether an answer has those rows, and knows of the others.
pub fn holds(rows: &[Record], has_more: bool, total: Option<usize>, answer: &Answer) -> Result<(), String> {
    let text = answer.text();
    if answer.status != 200 {
        return Err(format!("expected {} rows, got {}: {text}", rows.len(), answer.status));
    }
    let body: Body<'_> = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    let found = body.data.found;
    verdict::data(rows, found.nodes.get())?;
    if found.page_info["hasNextPage"] != json!(has_more) {
        return Err(format!("expected hasNextPage {has_more}, got {}", found.page_info));
    }
    let expected = total.map(|total| json!(total.to_string()));
    if found.total_count == expected { Ok(()) } else { Err(format!("expected {expected:?} in all: {text}")) }
}
