//! Names to columns, literals to values: the part of planning that refuses what cannot be meant.

use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::catalog::{Column, ColumnIndex, Dataset, Direction, Operator, Type};
use crate::query::{Comparison, Count, FILTER_DEPTH_MAX, Filter, Nulls, Operand, OrderKey, Query, Revision};

use super::names::{field, of_answer};
use super::value::{MICROS_PER_DAY, timestamp};
use super::{Error, Expected, Field, Place, Predicate, SortKey, Test, Value, View};

/// Comparisons of one question at most.
pub const CONDITIONS_MAX: usize = 64;
/// Values of one `in` or `nin` at most.
pub const IN_VALUES_MAX: usize = 1000;
/// Words of one search at most.
pub const SEARCH_WORDS_MAX: usize = 16;
/// Bytes of one of them at most: Postgres takes words of up to 2046, and nobody's are half as long.
pub const SEARCH_WORD_BYTES_MAX: usize = 255;
/// Keys of one order at most, before the primary key is added.
pub const SORT_KEYS_MAX: usize = 8;

pub(super) fn select(view: &View, names: Option<&[String]>) -> Result<Vec<Field>, Error> {
    let field_of = |index: ColumnIndex| Field::column(index, &view.dataset().columns[index]).masked(view.mask(index));
    let Some(names) = names else { return Ok(view.shown().map(field_of).collect()) };
    // Rows of which no value is asked for are still so many.
    if names.is_empty() {
        return Ok(view.dataset().primary_key.iter().take(1).copied().map(field_of).collect());
    }
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let column = field(view, Place::Select, name)?;
        if columns.contains(&column) {
            return Err(Error::Twice { place: Place::Select, field: name.clone() });
        }
        columns.push(column);
    }
    Ok(columns.into_iter().map(field_of).collect())
}

/// What a filter may name, and how each of it may be compared.
#[derive(Clone, Copy)]
pub(super) enum Names<'a> {
    /// The columns that a caller may see.
    Columns(&'a View),
    /// The fields of an answer.
    Fields(&'a [Field]),
    /// Every column of a dataset, compared in any way: rules are about what callers may not even see.
    Rule(&'a Dataset),
}

impl Names<'_> {
    /// The place, the type and the operators of a name.
    fn find(self, name: &str) -> Result<(usize, Type, Vec<Operator>), Error> {
        match self {
            Self::Columns(view) => {
                let index = field(view, Place::Filter, name)?;
                let column = &view.dataset().columns[index];
                Ok((index, column.data_type, column.filter.clone()))
            }
            Self::Rule(dataset) => {
                let index = dataset.column(name).ok_or_else(|| Error::UnknownField {
                    place: Place::Filter,
                    name: name.to_owned(),
                    nearest: None,
                    allowed: Vec::new(),
                })?;
                Ok((index, dataset.columns[index].data_type, Operator::ALL.to_vec()))
            }
            Self::Fields(fields) => {
                let index = of_answer(fields, Place::Having, name)?;
                let data_type = fields[index].data_type;
                let fitting = Operator::ALL.into_iter().filter(|operator| operator.fits(data_type));
                Ok((index, data_type, fitting.collect()))
            }
        }
    }
}

/// Conditions that are left, and the connectives that may still stand inside each other.
struct Budget {
    conditions: usize,
    depth: usize,
}

pub(super) fn filter(names: Names<'_>, filter: &Filter) -> Result<Predicate, Error> {
    let mut budget = Budget { conditions: CONDITIONS_MAX, depth: FILTER_DEPTH_MAX };
    // The outermost conjunction is the question itself.
    let predicate = match filter {
        Filter::All(parts) => Predicate::All(bound_all(names, parts, &mut budget)?),
        other => bound(names, other, &mut budget)?,
    };
    Ok(predicate.canonical())
}

fn bound_all(names: Names<'_>, parts: &[Filter], budget: &mut Budget) -> Result<Vec<Predicate>, Error> {
    parts.iter().map(|part| bound(names, part, budget)).collect()
}

fn bound(names: Names<'_>, filter: &Filter, budget: &mut Budget) -> Result<Predicate, Error> {
    let too_many = |what, max| Error::TooMany { what, max };
    if let Filter::Compare(comparison) = filter {
        let left = budget.conditions.checked_sub(1);
        budget.conditions = left.ok_or_else(|| too_many("conditions", CONDITIONS_MAX))?;
        return compare(names, comparison);
    }
    // A negation says nothing by itself: the connective or the comparison inside it is counted.
    if let Filter::Not(part) = filter {
        return Ok(Predicate::Not(Box::new(bound(names, part, budget)?)));
    }
    let deeper = budget.depth.checked_sub(1);
    budget.depth = deeper.ok_or_else(|| too_many("levels of and, or", FILTER_DEPTH_MAX))?;
    let predicate = match filter {
        Filter::All(parts) => Predicate::All(bound_all(names, parts, budget)?),
        Filter::Any(parts) => Predicate::Any(bound_all(names, parts, budget)?),
        Filter::Not(_) | Filter::Compare(_) => Predicate::default(),
    };
    budget.depth += 1;
    Ok(predicate)
}

fn compare(names: Names<'_>, comparison: &Comparison) -> Result<Predicate, Error> {
    let Comparison { field: name, operator, operand } = comparison;
    let (index, data_type, allowed) = names.find(name)?;
    if !allowed.contains(operator) {
        let allowed = allowed.iter().map(|operator| operator.as_str()).collect();
        return Err(Error::Operator { field: name.clone(), operator: operator.as_str().into(), allowed });
    }
    let parameter = || format!("{name}.{}", operator.as_str());
    let literal = |text: &str| {
        Value::parse(data_type, text)
            .ok_or_else(|| Error::Literal { parameter: parameter(), expected: Expected::Type(data_type) })
    };
    let one = || match operand {
        Operand::One(text) => Ok(text.as_str()),
        Operand::Many(_) | Operand::Claim(_) => Err(Error::Literal { parameter: parameter(), expected: Expected::One }),
    };
    let many = || {
        let texts = match operand {
            Operand::One(text) => std::slice::from_ref(text),
            Operand::Many(texts) => texts.as_slice(),
            // A rule's claims are resolved before it is bound.
            Operand::Claim(_) => return Err(Error::Literal { parameter: parameter(), expected: Expected::One }),
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
        Operator::Nin => return Ok(Predicate::none_of(index, vec![many()?])),
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

/// A total order of rows: what was asked, then the primary key in the direction of the last key, so that an index
/// serves both. Columns that are not among the fields join them behind.
pub(super) fn order(view: &View, asked: Option<&[OrderKey]>, fields: &mut Vec<Field>) -> Result<Vec<SortKey>, Error> {
    let dataset = view.dataset();
    let mut keys: Vec<(ColumnIndex, Direction, Option<Nulls>)> = match asked {
        Some(asked) => {
            if asked.len() > SORT_KEYS_MAX {
                return Err(Error::TooMany { what: "keys of sort", max: SORT_KEYS_MAX });
            }
            let columns = ordered(view, Place::Sort, asked.iter().map(|key| key.field.as_str()))?;
            columns.into_iter().zip(asked).map(|(column, key)| (column, key.direction, key.nulls)).collect()
        }
        // A role that may not ask about a key of the default order gets the order of the others.
        None => (dataset.default_order.iter())
            .filter(|(column, _)| view.answers_about(*column))
            .map(|(column, direction)| (*column, *direction, None))
            .collect(),
    };
    let direction = keys.last().map_or(Direction::Ascending, |key| key.1);
    for column in &dataset.primary_key {
        if keys.iter().all(|key| key.0 != *column) {
            keys.push((*column, direction, None));
        }
    }
    let keys = keys.into_iter().map(|(column, direction, nulls)| {
        let nullable = dataset.columns[column].nullable;
        let field = place_of(fields, column, &dataset.columns[column]);
        SortKey::new(field, direction, nulls.filter(|_| nullable), nullable)
    });
    Ok(keys.collect())
}

/// Where the column stands among the fields; it joins them when it does not.
pub(super) fn place_of(fields: &mut Vec<Field>, index: ColumnIndex, column: &Column) -> usize {
    let field = Field::column(index, column);
    fields.iter().position(|other| *other == field).unwrap_or_else(|| {
        fields.push(field);
        fields.len() - 1
    })
}

/// A total order of groups: what was asked, then what makes them, in the direction of the last key.
pub(super) fn order_of_groups(asked: Option<&[OrderKey]>, fields: &[Field]) -> Result<Vec<SortKey>, Error> {
    let asked = asked.unwrap_or_default();
    if asked.len() > SORT_KEYS_MAX {
        return Err(Error::TooMany { what: "keys of sort", max: SORT_KEYS_MAX });
    }
    let sort_key = |field: usize, direction, nulls: Option<Nulls>| {
        let nullable = fields[field].nullable;
        SortKey::new(field, direction, nulls.filter(|_| nullable), nullable)
    };
    let mut keys: Vec<SortKey> = Vec::with_capacity(asked.len() + fields.len());
    for key in asked {
        let field = of_answer(fields, Place::Sort, &key.field)?;
        if keys.iter().any(|key| key.field == field) {
            return Err(Error::Twice { place: Place::Sort, field: key.field.clone() });
        }
        keys.push(sort_key(field, key.direction, key.nulls));
    }
    let direction = keys.last().map_or(Direction::Ascending, |key| key.direction);
    for (index, _) in fields.iter().enumerate().filter(|(_, field)| field.groups()) {
        if keys.iter().all(|key| key.field != index) {
            keys.push(sort_key(index, direction, None));
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
pub(super) fn known(view: &View, as_of: &str) -> Result<Predicate, Error> {
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
    Ok(Predicate::Test(column, test))
}

/// Whether all rows may be asked for at once, and are asked for in words that go with it.
pub(super) fn whole(view: &View, query: &Query) -> Result<(), Error> {
    let parts = [
        ("cursor", query.page.cursor.is_some()),
        ("expand", !query.expand.is_empty()),
        ("count", query.count != Count::None),
    ];
    if let Some((parameter, _)) = parts.into_iter().find(|(_, asked)| *asked) {
        return Err(Error::OfPages { parameter });
    }
    if view.exports() { Ok(()) } else { Err(Error::NotExported) }
}

/// Which end of a fact's revisions is kept; `None` keeps every one.
pub(super) fn revision(view: &View, asked: Option<Revision>, dated: bool) -> Result<Option<Direction>, Error> {
    if asked.is_some() && view.dataset().point_in_time.is_none() {
        return Err(Error::NotTimed { parameter: "revision", lacks: "point in time" });
    }
    Ok(match asked {
        Some(Revision::First) => Some(Direction::Ascending),
        Some(Revision::Latest) => Some(Direction::Descending),
        Some(Revision::All) => None,
        // What was known then is the newest revision that was known then.
        None => dated.then_some(Direction::Descending),
    })
}

/// Rows that have all of the words in one searchable column.
pub(super) fn search(view: &View, text: &str) -> Result<Predicate, Error> {
    let shown = view.shown().filter(|index| view.dataset().columns[*index].searchable);
    let (searchable, masked): (Vec<ColumnIndex>, Vec<_>) = shown.partition(|index| view.answers_about(*index));
    if searchable.is_empty() {
        return Err(masked.first().map_or(Error::NotSearchable, |index| {
            let field = view.dataset().columns[*index].name.to_string();
            Error::Masked { place: Place::Search, field }
        }));
    }
    let mut words: Vec<String> = words(text).map(str::to_ascii_lowercase).collect();
    words.sort_unstable();
    words.dedup();
    if words.len() > SEARCH_WORDS_MAX {
        return Err(Error::TooMany { what: "words of search", max: SEARCH_WORDS_MAX });
    }
    if words.iter().any(|word| word.len() > SEARCH_WORD_BYTES_MAX) {
        return Err(Error::TooMany { what: "bytes in a word of search", max: SEARCH_WORD_BYTES_MAX });
    }
    if words.is_empty() || text.contains('\0') {
        return Err(Error::Literal { parameter: "search".into(), expected: Expected::Words });
    }
    let tests = searchable.into_iter().map(|index| Predicate::Test(index, Test::Search(words.clone())));
    Ok(Predicate::Any(tests.collect()))
}

/// Words are runs of ASCII letters, digits and everything beyond ASCII: a rule that every source can keep to the letter.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// The zone of that name, by the database that comes with the binary: the same names on every machine.
pub(super) fn zone(name: &str) -> Result<TimeZone, Error> {
    static ZONES: std::sync::LazyLock<TimeZoneDatabase> = std::sync::LazyLock::new(TimeZoneDatabase::bundled);
    ZONES.get(name).map_err(|_| Error::Literal { parameter: "tz".into(), expected: Expected::Zone })
}
