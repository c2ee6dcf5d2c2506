//! Whether an answer is the one that the reference gives.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::reference::{Record, Shown, object};
use crate::support::Answer;

/// How far a float may be from the reference's, of its size and of the values that it is made from.
const TOLERANCE: f64 = 1e-9;
const TOLERANCE_OF_PARTS: f64 = 1e-12;
/// What is shown of a text that differs, before and behind the difference.
const SHOWN_BEFORE: usize = 200;
const SHOWN_BEHIND: usize = 400;

/// What a page must be.
pub struct Expected<'r> {
    pub rows: &'r [Record],
    /// Whether rows are behind it.
    pub has_more: bool,
    /// All of them, where they are counted.
    pub total: Option<usize>,
    /// The first key of the order that is a computed float.
    pub float_key: Option<&'r str>,
}

#[derive(Deserialize)]
struct Body<'b> {
    #[serde(borrow)]
    data: &'b RawValue,
    page: serde_json::Value,
}

/// The page of an answer: its cursor, when it is as expected.
pub fn page(expected: &Expected<'_>, answer: &Answer) -> Result<Option<String>, String> {
    if answer.status != 200 {
        return Err(format!("expected {} rows, got {}: {}", expected.rows.len(), answer.status, answer.text()));
    }
    let text = answer.text();
    let body: Body<'_> = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    match expected.float_key {
        None => data(expected.rows, body.data.get())?,
        Some(key) => data_by_float(expected.rows, body.data.get(), key)?,
    }
    let page = &body.page;
    let is = |name: &str, expected: serde_json::Value| {
        if page[name] == expected { Ok(()) } else { Err(format!("expected {name} {expected}, got {page}")) }
    };
    is("count", expected.rows.len().into())?;
    is("has_more", expected.has_more.into())?;
    if let Some(total) = expected.total {
        is("total_count", total.into())?;
        is("count_status", "exact".into())?;
    }
    let cursor = page["next_cursor"].as_str().map(str::to_owned);
    if cursor.is_some() == expected.has_more { Ok(cursor) } else { Err(format!("a cursor where none is due: {page}")) }
}

/// The one row of an answer, or that there is none.
pub fn one(expected: Option<&Record>, answer: &Answer) -> Result<(), String> {
    #[derive(Deserialize)]
    struct One<'b> {
        #[serde(borrow)]
        data: &'b RawValue,
    }
    let Some(record) = expected else {
        return if answer.status == 404 { Ok(()) } else { Err(format!("expected 404, got {}", answer.text())) };
    };
    if answer.status != 200 {
        return Err(format!("expected {}, got {}: {}", object(record), answer.status, answer.text()));
    }
    let text = answer.text();
    let body: One<'_> = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
    same(&object(record), body.data.get())
}

/// A sum of more digits than there are is refused.
pub fn refused(answer: &Answer) -> Result<(), String> {
    if answer.status == 200 { Err(format!("expected a refusal, got {}", answer.text())) } else { Ok(()) }
}

/// Rows whose floats are exact are compared as one text, others field by field.
pub fn data(expected: &[Record], found: &str) -> Result<(), String> {
    let near = expected.iter().flatten().any(|(_, shown)| matches!(shown, Shown::Near(..)));
    if !near {
        let rows: Vec<String> = expected.iter().map(object).collect();
        return same(&format!("[{}]", rows.join(",")), found);
    }
    let found: Vec<Fields> = serde_json::from_str(found).map_err(|error| format!("{error}: {found}"))?;
    if found.len() != expected.len() {
        return Err(format!("expected {} rows, got {}", expected.len(), found.len()));
    }
    expected.iter().zip(&found).try_for_each(|(expected, found)| record(expected, found))
}

/// Where a computed float decides the order, rows of nearly the same value may have changed places. The values of the
/// key must be as expected in every place, and the rows must be the same in some order.
fn data_by_float(expected: &[Record], found: &str, key: &str) -> Result<(), String> {
    let mut found: Vec<Fields> = serde_json::from_str(found).map_err(|error| format!("{error}: {found}"))?;
    if found.len() != expected.len() {
        return Err(format!("expected {} rows, got {}", expected.len(), found.len()));
    }
    for (expected, found) in expected.iter().zip(&found) {
        let of_key = |(name, _): &&(String, Shown)| name == key;
        let expected = expected.iter().find(of_key).ok_or("no key")?;
        let found = found.0.iter().find(|(name, _)| name == key).ok_or("no key")?;
        field(expected, found)?;
    }
    let exact = |record: &Record| -> Vec<String> {
        let exact = record.iter().filter_map(|(_, shown)| match shown {
            Shown::Exact(text) => Some(text.clone()),
            Shown::Near(..) => None,
        });
        exact.collect()
    };
    let near: Vec<bool> = expected
        .first()
        .map(|record| record.iter().map(|(_, shown)| matches!(shown, Shown::Near(..))).collect())
        .unwrap_or_default();
    let mut expected: Vec<&Record> = expected.iter().collect();
    expected.sort_by_cached_key(|record| exact(record));
    found.sort_by_cached_key(|Fields(fields)| -> Vec<String> {
        let exact = fields.iter().zip(&near).filter(|(_, near)| !**near);
        exact.map(|((_, value), _)| value.get().to_owned()).collect()
    });
    expected.into_iter().zip(&found).try_for_each(|(expected, found)| record(expected, found))
}

fn record(expected: &Record, Fields(found): &Fields) -> Result<(), String> {
    if expected.len() != found.len() {
        return Err(format!("expected {}, got {} fields", object(expected), found.len()));
    }
    expected.iter().zip(found).try_for_each(|(expected, found)| field(expected, found)).map_err(|error| {
        let found: Vec<String> = found.iter().map(|(name, value)| format!("{name}: {}", value.get())).collect();
        format!("{error}\n  expected {}\n  got      {}", object(expected), found.join(", "))
    })
}

fn field((name, shown): &(String, Shown), (other, value): &(String, Box<RawValue>)) -> Result<(), String> {
    let found = value.get();
    let equal = name == other
        && match shown {
            Shown::Exact(text) => text == found,
            Shown::Near(None, _) => found == "null",
            Shown::Near(Some(expected), size) => {
                found.parse::<f64>().is_ok_and(|found| is_near(*expected, found, *size))
            }
        };
    if equal { Ok(()) } else { Err(format!("expected {name} {shown:?}, got {other} {found}")) }
}

fn is_near(expected: f64, found: f64, size: f64) -> bool {
    (expected - found).abs() <= TOLERANCE * expected.abs() + TOLERANCE_OF_PARTS * size
}

/// Two texts, and where they part.
pub fn same(expected: &str, found: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let at = expected.bytes().zip(found.bytes()).take_while(|(one, other)| one == other).count();
    let around = |text: &str| {
        let bytes = text.as_bytes();
        let part = &bytes[at.saturating_sub(SHOWN_BEFORE)..(at + SHOWN_BEHIND).min(bytes.len())];
        String::from_utf8_lossy(part).into_owned()
    };
    Err(format!("they part at byte {at}\n  expected …{}…\n  got      …{}…", around(expected), around(found)))
}

/// The members of an object in their order, with the text of each value.
struct Fields(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(member) = map.next_entry()? {
                    fields.push(member);
                }
                Ok(Fields(fields))
            }
        }
        input.deserialize_map(Members)
    }
}
