//! The types that groups of a dataset's rows bring: which there are is what the contract lets be grouped and measured.

use std::collections::BTreeMap;

use async_graphql::dynamic::{InputObject, Object};

use super::rows::{asked, deprecated, described, extent, order};
use super::scalars::{condition_of, output};
use super::{Asks, Grouped, Root, Types, argument, field, plain, type_of};
use crate::catalog::{Column, ColumnIndex, Type};
use crate::plan::{View, measured};
use crate::query::{Bucket, Function, Group, Measure};

/// Adds the groups and the bars of a dataset, where the role may have any. Returns what each field of a group asks for.
pub(super) fn add(types: &mut Types, view: &View) -> BTreeMap<String, Grouped> {
    let mut grouped = BTreeMap::new();
    if !view.aggregates() {
        return grouped;
    }
    let dataset = view.dataset();
    let name = dataset.name.as_str();
    let group = type_of(name, "Group");
    let mut row = Object::new(&group).description("A group of rows, and what is measured in it.");
    let mut groups: Vec<String> = Vec::new();
    let mut fields: Vec<(String, Type)> = Vec::new();
    for (one, data_type, description) in grouping(view) {
        let named = one.name();
        if grouped.insert(named.clone(), Grouped::By(one)).is_none() {
            row = row.field(field(&named, &output(data_type, true)).description(description));
            groups.push(named.clone());
            fields.push((named, data_type));
        }
    }
    for (measure, data_type, description) in measures(view) {
        let named = measure.name();
        if grouped.contains_key(&named) {
            continue;
        }
        grouped.insert(named.clone(), Grouped::As(measure.clone()));
        let counts = matches!(measure.function, Function::Count | Function::CountDistinct);
        row = row.field(field(&named, &output(data_type, !counts)).description(description));
        fields.push((named, data_type));
    }
    types.object(row);
    types.connection(&group);
    types.names(
        &type_of(name, "GroupField"),
        "What groups may be ordered by.",
        fields.iter().map(|(named, _)| named.as_str()),
    );
    types.input(order(&type_of(name, "GroupOrder"), &type_of(name, "GroupField")));
    let having = fields.iter().fold(InputObject::new(type_of(name, "Having")), |having, (named, of)| {
        having.field(plain(named, &condition_of(*of)))
    });
    let own = type_of(name, "Having");
    let having = having
        .description("What groups must meet: all of it.")
        .field(argument("and", &format!("[{own}!]"), "Every one holds."))
        .field(argument("or", &format!("[{own}!]"), "At least one holds."))
        .field(argument("not", &own, "It does not hold."));
    types.input(having);

    let root = type_of(name, "_aggregate");
    let mut page = field(&root, &format!("{group}Connection!")).description(format!(
        "Groups of rows of {name}. What is selected of them is measured; all rows are one without group_by."
    ));
    if !groups.is_empty() {
        let by = type_of(name, "GroupBy");
        types.names(&by, "What makes a group.", groups.iter().map(String::as_str));
        page = page.argument(argument("group_by", &format!("[{by}!]"), "What makes a group."));
    }
    let page = asked(page, view).argument(argument("having", &own, "What groups must meet.")).argument(argument(
        "order_by",
        &format!("[{name}GroupOrder!]"),
        "The order of the groups.",
    ));
    let page = deprecated(extent(page), dataset);
    types.root(root, Root::Of(Asks::Groups, dataset.name.clone()), page);
    add_bars(types, view);
    grouped
}

/// Adds bars of longer intervals, where all of a bar is visible.
fn add_bars(types: &mut Types, view: &View) {
    let dataset = view.dataset();
    let (Some(bars), Some(time)) = (view.bars(), dataset.time) else { return };
    let name = dataset.name.as_str();
    let bar = type_of(name, "Bar");
    let column = |index: ColumnIndex| -> &Column { &dataset.columns[index] };
    let others = dataset.primary_key.iter().copied().filter(|index| *index != time);
    let keys = others.map(|index| (column(index), column(index).data_type)).chain([(column(time), Type::Date)]);
    let values =
        bars.measures().map(|(index, function)| (column(index), measured(function, Some(column(index).data_type))));
    let all: Vec<(&Column, Type)> = keys.chain(values).collect();
    let row = all.iter().fold(Object::new(&bar), |row, (column, data_type)| {
        row.field(field(column.name.as_str(), &output(*data_type, true)).description(described(column)))
    });
    types.object(row.description("A bar of a longer interval, named by its first day."));
    types.connection(&bar);
    let names = type_of(name, "BarField");
    types.names(&names, "What bars may be ordered by.", all.iter().map(|(column, _)| column.name.as_str()));
    types.input(order(&type_of(name, "BarOrder"), &names));
    let root = type_of(name, "_resample");
    let page = field(&root, &format!("{bar}Connection!"))
        .description(format!("Bars of {name} over longer intervals."))
        .argument(argument("interval", "Interval!", "The intervals."));
    let order_by = argument("order_by", &format!("[{name}BarOrder!]"), "The order of the bars.");
    let page = deprecated(extent(asked(page, view).argument(order_by)), dataset);
    types.root(root, Root::Of(Asks::Bars, dataset.name.clone()), page);
}

/// What may make a group: columns that give an order, and intervals of those that are dates or instants.
fn grouping(view: &View) -> Vec<(Group, Type, String)> {
    let mut all = Vec::new();
    for column in view.columns().filter(|column| column.sort) {
        let group = |bucket| Group { field: column.name.to_string(), bucket };
        all.push((group(None), column.data_type, described(column)));
        if matches!(column.data_type, Type::Date | Type::Timestamp) {
            let buckets = Bucket::ALL.into_iter().map(|bucket| {
                let description = format!("The first day of the {} of {}.", bucket.as_str(), column.name);
                (group(Some(bucket)), Type::Date, description)
            });
            all.extend(buckets);
        }
    }
    all
}

/// What may be measured: rows, and each column by each function that the contract offers.
fn measures(view: &View) -> Vec<(Measure, Type, String)> {
    let rows = Measure { function: Function::Count, field: None };
    let mut all = vec![(rows, Type::Int64, "How many rows.".to_owned())];
    for column in view.columns() {
        for function in &column.aggregate {
            let measure = Measure { function: *function, field: Some(column.name.to_string()) };
            let data_type = measured(*function, Some(column.data_type));
            let mut description = format!("{}({}).", function.as_str(), column.name);
            if let Some(unit) = &column.unit
                && !matches!(function, Function::Count | Function::CountDistinct)
            {
                description.push_str(&format!("\n\nUnit: {unit}"));
            }
            all.push((measure, data_type, description));
        }
    }
    all
}
