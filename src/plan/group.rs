//! Groups and measures bound to columns: what the contract allows to be grouped, and measured by which function.

use crate::catalog::{Bars, Column, ColumnIndex, Function, Name, Type};
use crate::query::{Aggregate, Bucket, Group, Grouping, Measure};

use super::names::field;
use super::{Error, Expected, Field, Place, View};

/// Groups of one question at most.
pub const GROUPS_MAX: usize = 8;
/// Measures of one question at most.
pub const MEASURES_MAX: usize = 32;

/// The fields of an aggregate: groups first, then measures.
pub(super) fn fields(view: &View, aggregate: &Aggregate) -> Result<Vec<Field>, Error> {
    match &aggregate.of {
        Grouping::Fields { group_by, measures } => named(view, group_by, measures),
        Grouping::Resample(bucket) => resampled(view, *bucket),
    }
}

fn named(view: &View, group_by: &[Group], measures: &[Measure]) -> Result<Vec<Field>, Error> {
    if group_by.len() > GROUPS_MAX {
        return Err(Error::TooMany { what: "fields of group_by", max: GROUPS_MAX });
    }
    if measures.len() > MEASURES_MAX {
        return Err(Error::TooMany { what: "measures", max: MEASURES_MAX });
    }
    let mut fields: Vec<Field> = Vec::with_capacity(group_by.len() + measures.len());
    let mut add = |place, field: Field| {
        if fields.iter().any(|other| other.name == field.name) {
            return Err(Error::Twice { place, field: field.name.to_string() });
        }
        fields.push(field);
        Ok(())
    };
    for group in group_by {
        add(Place::GroupBy, grouped(view, group)?)?;
    }
    for measure in measures {
        add(Place::Measures, measured(view, measure, group_by.is_empty())?)?;
    }
    Ok(fields)
}

fn grouped(view: &View, group: &Group) -> Result<Field, Error> {
    let index = field(view, Place::GroupBy, &group.field)?;
    let column = &view.dataset().columns[index];
    if !column.sort {
        let allowed = view.columns().filter(|column| column.sort).map(|column| column.name.to_string()).collect();
        return Err(Error::Unordered { place: Place::GroupBy, field: group.field.clone(), allowed });
    }
    let Some(bucket) = group.bucket else { return Ok(Field::column(index, column)) };
    if !matches!(column.data_type, Type::Date | Type::Timestamp) {
        return Err(Error::Literal { parameter: "group_by".into(), expected: Expected::Dated });
    }
    Ok(Field::bucket(name(Place::GroupBy, group.name())?, index, column, bucket))
}

fn measured(view: &View, measure: &Measure, alone: bool) -> Result<Field, Error> {
    let function = measure.function;
    let Some(named) = &measure.field else {
        return match function {
            Function::Count => Ok(Field::measure(name(Place::Measures, measure.name())?, function, None, alone)),
            _ => Err(Error::Literal { parameter: "measures".into(), expected: Expected::Measured }),
        };
    };
    let index = field(view, Place::Measures, named)?;
    let column = &view.dataset().columns[index];
    if !column.aggregate.contains(&function) {
        let allowed = column.aggregate.iter().map(|function| function.as_str()).collect();
        return Err(Error::Function { field: named.clone(), function: function.as_str(), allowed });
    }
    Ok(Field::measure(name(Place::Measures, measure.name())?, function, Some((index, column)), alone))
}

/// Bars of a longer interval, one for each of what the key names besides time.
fn resampled(view: &View, bucket: Bucket) -> Result<Vec<Field>, Error> {
    let dataset = view.dataset();
    let (Some(bars), Some(time)) = (view.bars(), dataset.time) else {
        // Where all of a bar is shown, and some of it masked, the caller knows of it.
        let parts = dataset.bars.iter().flat_map(Bars::measures).map(|(index, _)| index);
        let parts: Vec<ColumnIndex> = parts.collect();
        let all = parts.iter().all(|index| view.shows(*index));
        let masked = parts.into_iter().find(|index| all && !view.answers_about(*index));
        return Err(masked.map_or(Error::NoBars, |index| Error::Masked {
            place: Place::Resample,
            field: dataset.columns[index].name.to_string(),
        }));
    };
    let column = |index: ColumnIndex| -> &Column { &dataset.columns[index] };
    let others = dataset.primary_key.iter().filter(|index| **index != time);
    let mut fields: Vec<Field> = others.map(|index| Field::column(*index, column(*index))).collect();
    fields.push(Field::bucket(column(time).name.clone(), time, column(time), bucket));
    fields.extend(bars.measures().map(|(index, function)| {
        Field::measure(column(index).name.clone(), function, Some((index, column(index))), false)
    }));
    Ok(fields)
}

fn name(place: Place, text: String) -> Result<Name, Error> {
    text.parse().map_err(|_| Error::UnknownField { place, name: text, nearest: None, allowed: Vec::new() })
}
