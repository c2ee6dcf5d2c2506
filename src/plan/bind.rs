//! Names to columns, literals to values: the part of planning that refuses what cannot be meant.

use crate::catalog::{Column, ColumnIndex, Operator, Type};
use crate::query::{Comparison, Filter, Nulls, Operand, OrderKey, PARTS};

use super::value::{MICROS_PER_DAY, timestamp};
use super::{Error, Expected, Place, Predicate, SortKey, Test, Value, View};

/// Comparisons of one question at most.
pub const CONDITIONS_MAX: usize = 64;
/// Values of one `in` or `nin` at most.
pub const IN_VALUES_MAX: usize = 1000;
/// Keys of one order at most, before the primary key is added.
pub const SORT_KEYS_MAX: usize = 8;
/// Names as alike as this are taken for slips of each other (1 is equal).
const LIKENESS_MIN: f64 = 0.6;

/// The field of that name, or what may have been meant.
fn field(view: &View, place: Place, name: &str) -> Result<ColumnIndex, Error> {
    view.column(name).ok_or_else(|| {
        let fits = |column: &Column| match place {
            Place::Filter => !column.filter.is_empty(),
            Place::Select => true,
            Place::Sort | Place::LatestBy => column.sort,
        };
        let allowed: Vec<String> =
            view.columns().filter(|column| fits(column)).map(|column| column.name.to_string()).collect();
        let parts: &[&str] = if place == Place::Filter { &PARTS } else { &[] };
        let candidates = allowed.iter().map(String::as_str).chain(parts.iter().copied());
        let nearest = candidates
            .map(|candidate| (strsim::normalized_damerau_levenshtein(candidate, name), candidate))
            .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
            .max_by(|one, other| one.0.total_cmp(&other.0))
            .map(|(_, candidate)| candidate.to_owned());
        Error::UnknownField { place, name: name.into(), nearest, allowed }
    })
}

pub(super) fn select(view: &View, names: Option<&[String]>) -> Result<Vec<ColumnIndex>, Error> {
    let Some(names) = names else { return Ok(view.shown().collect()) };
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = field(view, Place::Select, name)?;
        if columns.contains(&column) {
            return Err(Error::Twice { place: Place::Select, field: name.clone() });
        }
        columns.push(column);
    }
    Ok(columns)
}

pub(super) fn filter(view: &View, filter: &Filter) -> Result<Predicate, Error> {
    let mut left = CONDITIONS_MAX;
    bound(view, filter, &mut left).map(Predicate::canonical)
}

fn bound(view: &View, filter: &Filter, left: &mut usize) -> Result<Predicate, Error> {
    let mut all = |parts: &[Filter]| parts.iter().map(|part| bound(view, part, left)).collect::<Result<Vec<_>, _>>();
    Ok(match filter {
        Filter::All(parts) => Predicate::All(all(parts)?),
        Filter::Any(parts) => Predicate::Any(all(parts)?),
        Filter::Not(part) => Predicate::Not(Box::new(bound(view, part, left)?)),
        Filter::Compare(comparison) => {
            *left = left.checked_sub(1).ok_or(Error::TooMany { what: "conditions", max: CONDITIONS_MAX })?;
            compare(view, comparison)?
        }
    })
}

fn compare(view: &View, comparison: &Comparison) -> Result<Predicate, Error> {
    let Comparison { field: name, operator, operand } = comparison;
    let index = field(view, Place::Filter, name)?;
    let column = &view.dataset().columns[index];
    if !column.filter.contains(operator) {
        let allowed = column.filter.iter().map(|operator| operator.as_str()).collect();
        return Err(Error::Operator { field: name.clone(), operator: operator.as_str().into(), allowed });
    }
    let parameter = || format!("{name}.{}", operator.as_str());
    let literal = |text: &str| {
        Value::parse(column.data_type, text)
            .ok_or_else(|| Error::Literal { parameter: parameter(), expected: Expected::Type(column.data_type) })
    };
    let one = || match operand {
        Operand::One(text) => Ok(text.as_str()),
        Operand::Many(_) => Err(Error::Literal { parameter: parameter(), expected: Expected::One }),
    };
    let many = || {
        let texts = match operand {
            Operand::One(text) => std::slice::from_ref(text),
            Operand::Many(texts) => texts.as_slice(),
        };
        if texts.len() > IN_VALUES_MAX {
            return Err(Error::TooMany { what: "values of a list", max: IN_VALUES_MAX });
        }
        texts.iter().map(|text| literal(text)).collect::<Result<Vec<_>, _>>()
    };
    let text = || match literal(one()?)? {
        Value::String(text) => Ok(text),
        _ => Err(Error::Literal { parameter: parameter(), expected: Expected::Type(Type::String) }),
    };
    let test = match operator {
        Operator::Eq => Test::Eq(literal(one()?)?),
        Operator::Ne => Test::Ne(literal(one()?)?),
        Operator::Gt => Test::Gt(literal(one()?)?),
        Operator::Gte => Test::Gte(literal(one()?)?),
        Operator::Lt => Test::Lt(literal(one()?)?),
        Operator::Lte => Test::Lte(literal(one()?)?),
        Operator::In => return Ok(Predicate::one_of(index, many()?)),
        Operator::Nin => return Ok(Predicate::none_of(index, many()?)),
        Operator::Prefix => Test::Prefix(text()?),
        Operator::Contains => Test::Contains(text()?),
        Operator::Has => Test::Has(text()?),
        Operator::IsNull => match one()? {
            "true" => Test::IsNull,
            "false" => Test::IsNotNull,
            _ => return Err(Error::Literal { parameter: parameter(), expected: Expected::Flag }),
        },
    };
    Ok(Predicate::Test(index, test))
}

/// The row with that primary key.
pub(super) fn key(view: &View, literals: &[String]) -> Result<Predicate, Error> {
    let dataset = view.dataset();
    if literals.len() != dataset.primary_key.len() {
        let columns = view.primary_key().map(|column| column.name.to_string()).collect();
        return Err(Error::Key { columns, found: literals.len() });
    }
    let tests = dataset.primary_key.iter().zip(literals).map(|(index, text)| {
        let column = &dataset.columns[*index];
        let value = Value::parse(column.data_type, text).ok_or_else(|| Error::Literal {
            parameter: column.name.to_string(),
            expected: Expected::Type(column.data_type),
        })?;
        Ok(Predicate::Test(*index, Test::Eq(value)))
    });
    Ok(Predicate::All(tests.collect::<Result<_, _>>()?).canonical())
}

pub(super) fn latest_by(view: &View, names: &[String]) -> Result<Vec<ColumnIndex>, Error> {
    if !names.is_empty() && view.dataset().time.is_none() {
        return Err(Error::NotTimed { parameter: "latest_by", lacks: "time column" });
    }
    if names.len() > SORT_KEYS_MAX {
        return Err(Error::TooMany { what: "fields of latest_by", max: SORT_KEYS_MAX });
    }
    let mut columns = ordered(view, Place::LatestBy, names.iter().map(String::as_str))?;
    // The same groups whatever the order of their fields.
    columns.sort_unstable();
    Ok(columns)
}

/// A total order: what was asked, then the primary key in the direction of the last key, so that an index serves both.
pub(super) fn order(view: &View, asked: Option<&[OrderKey]>) -> Result<Vec<SortKey>, Error> {
    let dataset = view.dataset();
    let sort_key = |column: ColumnIndex, direction, nulls: Option<Nulls>| {
        let nullable = dataset.columns[column].nullable;
        SortKey::new(column, direction, nulls.filter(|_| nullable), nullable)
    };
    let mut keys: Vec<SortKey> = match asked {
        Some(asked) => {
            if asked.len() > SORT_KEYS_MAX {
                return Err(Error::TooMany { what: "keys of sort", max: SORT_KEYS_MAX });
            }
            let columns = ordered(view, Place::Sort, asked.iter().map(|key| key.field.as_str()))?;
            columns.into_iter().zip(asked).map(|(column, key)| sort_key(column, key.direction, key.nulls)).collect()
        }
        // A role that may not see a key of the default order gets the order of the others.
        None => (dataset.default_order.iter())
            .filter(|(column, _)| view.column(dataset.columns[*column].name.as_str()).is_some())
            .map(|(column, direction)| sort_key(*column, *direction, None))
            .collect(),
    };
    let direction = keys.last().map_or(crate::catalog::Direction::Ascending, |key| key.direction);
    for column in &dataset.primary_key {
        if keys.iter().all(|key| key.column != *column) {
            keys.push(sort_key(*column, direction, None));
        }
    }
    Ok(keys)
}

fn ordered<'n>(view: &View, place: Place, names: impl Iterator<Item = &'n str>) -> Result<Vec<ColumnIndex>, Error> {
    let mut columns = Vec::new();
    for name in names {
        let column = field(view, place, name)?;
        if !view.dataset().columns[column].sort {
            let allowed = view.columns().filter(|column| column.sort).map(|column| column.name.to_string()).collect();
            return Err(Error::Unordered { place, field: name.into(), allowed });
        }
        if columns.contains(&column) {
            return Err(Error::Twice { place, field: name.into() });
        }
        columns.push(column);
    }
    Ok(columns)
}

/// The last moment that counts as known: rows whose `known_at` is this test's are known.
///
/// A date means its end. A row that is dated only is known at the end of its day, so that an instant within a day does
/// not yet know that day's rows: no look-ahead.
pub(super) fn known(view: &View, as_of: &str) -> Result<Option<(ColumnIndex, Test)>, Error> {
    let dataset = view.dataset();
    let Some(point_in_time) = &dataset.point_in_time else {
        return Err(Error::NotTimed { parameter: "as_of", lacks: "point in time" });
    };
    let fault = || Error::Literal { parameter: "as_of".into(), expected: Expected::Instant };
    let column = point_in_time.known_at;
    let day = Value::parse(Type::Date, as_of);
    let test = match (dataset.columns[column].data_type, day) {
        (Type::Date, Some(day)) => Test::Lte(day),
        (Type::Date, None) => {
            let days = timestamp(as_of).ok_or_else(fault)?.div_euclid(MICROS_PER_DAY);
            Test::Lt(Value::Date(i32::try_from(days).map_err(|_| fault())?))
        }
        (_, Some(Value::Date(days))) => Test::Lt(Value::Timestamp((i64::from(days) + 1) * MICROS_PER_DAY)),
        (_, _) => Test::Lte(Value::Timestamp(timestamp(as_of).ok_or_else(fault)?)),
    };
    Ok(Some((column, test)))
}
