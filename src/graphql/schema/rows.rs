//! The types that the rows of a dataset bring.

use std::fmt::Write as _;

use async_graphql::dynamic::{Field, InputObject, Object};
use async_graphql::{Name, Value};

use super::scalars::{conditions, output};
use super::{Asks, Root, Types, argument, defaulted, field, plain, type_of};
use crate::catalog::{Column, Dataset, RelationKind};
use crate::plan::View;

/// Connectives, which no column's condition may hide.
const CONNECTIVES: [&str; 3] = ["and", "or", "not"];

/// Adds the rows of a dataset, its conditions and orders, and the root field of its pages. `views` are all there are.
pub(super) fn add(types: &mut Types, view: &View, views: &[View]) {
    let dataset = view.dataset();
    let name = dataset.name.as_str();
    let mut row = Object::new(name).description(dataset.description.trim());
    for column in view.columns() {
        let shown = field(column.name.as_str(), &output(column.data_type, column.nullable));
        row = row.field(shown.description(described(column)));
    }
    for (place, relation) in view.relations().enumerate() {
        // Of two by one name the first is meant, as everywhere.
        if view.relations().take(place).any(|earlier| earlier.name == relation.name) {
            continue;
        }
        let theirs = relation.dataset.as_str();
        let Some(other) = views.iter().find(|view| view.dataset().name == relation.dataset) else { continue };
        let (related, otherwise) = match relation.kind {
            RelationKind::One => (field(relation.name.as_str(), theirs), "The related row."),
            RelationKind::Many => (field(relation.name.as_str(), &format!("[{theirs}!]!")), "The related rows."),
        };
        let related = related.description(prose(&relation.description, otherwise));
        row = row.field(match relation.kind {
            RelationKind::One => related,
            RelationKind::Many => {
                let first = argument("first", "Int", "So many rows for each parent at most.");
                ordered(filtered(related, other), other).argument(first)
            }
        });
    }
    types.object(row);
    types.connection(name);
    add_conditions(types, view);

    let page = field(name, &format!("{name}Connection!")).description(dataset.title.clone());
    let page = extent(ordered(asked(page, view), view));
    types.root(name.to_owned(), Root::Of(Asks::Rows, dataset.name.clone()), deprecated(page, dataset));
}

/// Adds the root field of the row with a key.
pub(super) fn add_key(types: &mut Types, view: &View) {
    let dataset = view.dataset();
    let name = type_of(dataset.name.as_str(), "_by_key");
    let mut row = field(&name, dataset.name.as_str()).description("The row with a key, or null.");
    for column in view.primary_key() {
        let data_type = output(column.data_type, false);
        row = row.argument(plain(column.name.as_str(), &data_type));
    }
    let row = deprecated(row, dataset);
    types.root(name, Root::Of(Asks::Key, dataset.name.clone()), row);
}

/// What says which rows there are.
pub(super) fn asked(page: Field, view: &View) -> Field {
    let dataset = view.dataset();
    let mut page = filtered(page, view);
    if view.columns().any(|column| column.searchable) {
        page = page.argument(argument("search", "String", "Words that rows must have in a searchable column."));
    }
    if dataset.point_in_time.is_some() {
        page = page
            .argument(argument("as_of", "String", "Only what was known then: a date (its end) or an instant."))
            .argument(argument("revision", "Revision", "Which of the revisions of a fact."));
    }
    if sorts(view) && dataset.time.is_some() {
        let by = format!("[{}Column!]", dataset.name);
        page = page.argument(argument("latest_by", &by, "Only the newest row for each value of these columns."));
    }
    page.argument(argument("tz", "String", "The IANA time zone of instants in the answer; UTC without it."))
}

fn filtered(rows: Field, view: &View) -> Field {
    if !filters(view) {
        return rows;
    }
    rows.argument(argument("where", &type_of(view.dataset().name.as_str(), "Where"), "What rows must meet."))
}

fn ordered(rows: Field, view: &View) -> Field {
    if !sorts(view) {
        return rows;
    }
    let keys = format!("[{}Order!]", view.dataset().name);
    rows.argument(argument("order_by", &keys, "The order of the rows; the contract's without it."))
}

/// Which part of the rows.
pub(super) fn extent(page: Field) -> Field {
    page.argument(argument("first", "Int", "So many rows at most, from the beginning or behind `after`."))
        .argument(argument("after", "String", "A cursor: the page begins behind its row."))
        .argument(argument("last", "Int", "So many rows at most, up to the end or to `before`."))
        .argument(argument("before", "String", "A cursor: the page ends before its row. It goes with `last`."))
}

fn filters(view: &View) -> bool {
    view.columns().any(|column| !column.filter.is_empty())
}

fn sorts(view: &View) -> bool {
    view.columns().any(|column| column.sort)
}

/// Adds what rows may be filtered and ordered by. A column behind a mask offers neither.
fn add_conditions(types: &mut Types, view: &View) {
    let name = view.dataset().name.as_str();
    if filters(view) {
        let own = type_of(name, "Where");
        let mut all = InputObject::new(&own).description("What rows must meet: all of it.");
        for column in view.columns().filter(|column| !column.filter.is_empty()) {
            if CONNECTIVES.contains(&column.name.as_str()) {
                continue;
            }
            let condition = format!("{own}_{}", column.name);
            let input = conditions(&condition, column.filter.iter().copied(), column.data_type);
            types.input(input);
            all = all.field(plain(column.name.as_str(), &condition));
        }
        let all = all
            .field(argument("and", &format!("[{own}!]"), "Every one holds."))
            .field(argument("or", &format!("[{own}!]"), "At least one holds."))
            .field(argument("not", &own, "It does not hold."));
        types.input(all);
    }
    if sorts(view) {
        let columns = view.columns().filter(|column| column.sort).map(|column| column.name.as_str());
        types.names(&type_of(name, "Column"), "A column that rows may be ordered by.", columns);
        types.input(order(&type_of(name, "Order"), &type_of(name, "Column")));
    }
}

/// A key of an order by those names.
pub(super) fn order(name: &str, names: &str) -> InputObject {
    InputObject::new(name)
        .description("A key of an order.")
        .field(argument("field", &format!("{names}!"), "By what."))
        .field(defaulted("direction", "Direction!", Value::Enum(Name::new("ASC")), "Which end comes first."))
        .field(argument("nulls", "Nulls", "Where nulls stand."))
}

/// What a column means, in which unit, and what occurs in it.
pub(super) fn described(column: &Column) -> String {
    let mut text = column.description.trim().to_owned();
    // Writing to a text does not fail.
    if let Some(unit) = &column.unit {
        let _ = write!(text, "\n\nUnit: {unit}");
    }
    if let Some(example) = &column.example {
        let _ = write!(text, "\n\nExample: `{example}`");
    }
    text
}

fn prose(text: &str, otherwise: &str) -> String {
    if text.trim().is_empty() { otherwise.to_owned() } else { text.trim().to_owned() }
}

/// Marks what is on its way out.
pub(super) fn deprecated(field: Field, dataset: &Dataset) -> Field {
    let Some(deprecation) = &dataset.deprecation else { return field };
    let mut reason = format!("Deprecated since {}.", deprecation.since);
    if let Some(sunset) = deprecation.sunset {
        let _ = write!(reason, " It goes on {sunset}.");
    }
    field.deprecation(Some(&reason))
}
