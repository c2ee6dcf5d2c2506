//! A plan in words, for people who want to know what their question became.

use std::fmt::{self, Display, Formatter};

use super::{Field, Output, Plan, Predicate, SortKey, Test, Value};
use crate::catalog::{Column, ColumnIndex, Direction, Name, RelationKind, Type};
use crate::encode::{write_date, write_decimal, write_timestamp};
use crate::query::Count;

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.show(f, "")
    }
}

impl Plan {
    fn show(&self, f: &mut Formatter<'_>, margin: &str) -> fmt::Result {
        let names = |columns: &[ColumnIndex]| {
            columns.iter().map(|index| self.column(*index).name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let fields =
            |fields: &[Field]| fields.iter().map(|field| self.shown_field(field)).collect::<Vec<_>>().join(", ");
        let (shown, hidden) = self.fields.split_at(self.shown);
        let columns = Names { columns: &self.dataset.columns, fields: None };
        let answer = Names { columns: &self.dataset.columns, fields: Some(&self.fields) };
        writeln!(f, "{margin}dataset   {} ({} of {})", self.dataset.name, self.relation(), self.source())?;
        writeln!(f, "{margin}columns   {}", fields(shown))?;
        if !hidden.is_empty() {
            writeln!(f, "{margin}keys      {}", fields(hidden))?;
        }
        if let Some(revision) = &self.revision {
            let end = if revision.direction == Direction::Ascending { "oldest" } else { "newest" };
            writeln!(f, "{margin}among     {}", Shown(columns, &revision.among))?;
            let (by, identity) = (names(&revision.newest), names(&revision.identity));
            writeln!(f, "{margin}revision  {end} by {by} for each {identity}")?;
        }
        if !self.filter.is_true() {
            writeln!(f, "{margin}filter    {}", Shown(columns, &self.filter))?;
        }
        if let Some(latest) = &self.latest {
            writeln!(f, "{margin}latest    newest by {} for each {}", names(&latest.newest), names(&latest.by))?;
        }
        if let Some(having) = &self.having {
            let groups: Vec<Field> = self.fields.iter().filter(|field| field.groups()).cloned().collect();
            writeln!(f, "{margin}groups    {}", if groups.is_empty() { "all rows".into() } else { fields(&groups) })?;
            if !having.is_true() {
                writeln!(f, "{margin}having    {}", Shown(answer, having))?;
            }
        }
        let order: Vec<String> = self.order.iter().map(|key| shown_key(self, key)).collect();
        writeln!(f, "{margin}order     {}", order.join(", "))?;
        if let Some(after) = &self.after {
            let values: Vec<String> = self
                .order
                .iter()
                .zip(after)
                .map(|(key, value)| match value {
                    Some(value) => value.shown(self.fields[key.field].data_type),
                    None => "null".into(),
                })
                .collect();
            writeln!(f, "{margin}after     {}", values.join(", "))?;
        }
        let about = match (self.single, self.joined.is_empty()) {
            (true, _) => " (one row by its key)",
            (false, false) => " for each parent",
            (false, true) => "",
        };
        writeln!(f, "{margin}limit     {}{about}", self.limit)?;
        match self.count {
            Count::None => {}
            Count::Estimated => writeln!(f, "{margin}count     estimated")?,
            Count::Exact => writeln!(f, "{margin}count     exact")?,
        }
        if let Some(zone) = self.zone.as_ref().and_then(|zone| zone.iana_name()) {
            writeln!(f, "{margin}zone      {zone}")?;
        }
        for related in &self.related {
            let kind = if related.kind == RelationKind::One { "one" } else { "many" };
            let on: Vec<&str> = related.on.iter().map(|field| self.fields[*field].name.as_str()).collect();
            writeln!(f, "{margin}expand    {} ({kind}, on {})", related.name, on.join(", "))?;
            related.plan.show(f, &format!("{margin}  "))?;
        }
        Ok(())
    }

    fn shown_field(&self, field: &Field) -> String {
        match field.output {
            Output::Column(_) | Output::Change | Output::Was(_) => field.name.to_string(),
            Output::Bucket(index, bucket) => {
                format!("{} = {} of {}", field.name, bucket.as_str(), self.column(index).name)
            }
            Output::Measure(function, of) => {
                let of = of.map_or("", |index| self.column(index).name.as_str());
                format!("{} = {}({of})", field.name, function.as_str())
            }
        }
    }
}

fn shown_key(plan: &Plan, key: &SortKey) -> String {
    let direction = if key.direction == Direction::Descending { " desc" } else { "" };
    let nulls = match (key.nullable, key.nulls_first) {
        (false, _) => "",
        (true, true) => " nulls first",
        (true, false) => " nulls last",
    };
    format!("{}{direction}{nulls}", plan.fields[key.field].name)
}

/// What a predicate's places are: columns of the dataset, or fields of the answer.
#[derive(Clone, Copy)]
struct Names<'p> {
    columns: &'p [Column],
    fields: Option<&'p [Field]>,
}

impl<'p> Names<'p> {
    fn of(self, index: usize) -> (&'p Name, Type) {
        match self.fields {
            Some(fields) => (&fields[index].name, fields[index].data_type),
            None => (&self.columns[index].name, self.columns[index].data_type),
        }
    }
}

/// A predicate with the names of its plan.
struct Shown<'p>(Names<'p>, &'p Predicate);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(names, predicate) = self;
        let parts = |f: &mut Formatter<'_>, parts: &[Predicate], word: &str, none: &str| {
            if parts.is_empty() {
                return f.write_str(none);
            }
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Predicate::All(_) | Predicate::Any(_) => write!(f, "({})", Shown(*names, part))?,
                    _ => write!(f, "{}", Shown(*names, part))?,
                }
            }
            Ok(())
        };
        match predicate {
            Predicate::All(all) => parts(f, all, "and", "true"),
            Predicate::Any(any) => parts(f, any, "or", "false"),
            Predicate::Not(part) => write!(f, "not ({})", Shown(*names, part)),
            Predicate::Test(index, test) => show_test(f, names.of(*index), test),
        }
    }
}

fn show_test(f: &mut Formatter<'_>, (name, column): (&Name, Type), test: &Test) -> fmt::Result {
    let list = |values: &[Value]| values.iter().map(|value| value.shown(column)).collect::<Vec<_>>().join(", ");
    match test {
        Test::Eq(value) => write!(f, "{name} = {}", value.shown(column)),
        Test::Ne(value) => write!(f, "{name} <> {}", value.shown(column)),
        Test::Gt(value) => write!(f, "{name} > {}", value.shown(column)),
        Test::Gte(value) => write!(f, "{name} >= {}", value.shown(column)),
        Test::Lt(value) => write!(f, "{name} < {}", value.shown(column)),
        Test::Lte(value) => write!(f, "{name} <= {}", value.shown(column)),
        Test::In(values) => write!(f, "{name} in ({})", list(values)),
        Test::Nin(values) => write!(f, "{name} not in ({})", list(values)),
        Test::Prefix(text) => write!(f, "{name} begins with {text:?}"),
        Test::Contains(text) => write!(f, "{name} contains {text:?}"),
        Test::IsNull => write!(f, "{name} is null"),
        Test::IsNotNull => write!(f, "{name} is not null"),
        Test::Has(text) => write!(f, "{name} has {text:?}"),
        Test::Search(words) => write!(f, "{name} has the words {}", words.join(" ")),
    }
}

impl Value {
    /// The value as an answer would write it.
    #[must_use]
    pub fn shown(&self, data_type: Type) -> String {
        let mut out = Vec::new();
        match self {
            Self::Bool(bool) => return bool.to_string(),
            Self::Int(int) => return int.to_string(),
            Self::Float(float) => return format!("{float:?}"),
            Self::String(text) => return format!("{text:?}"),
            Self::Decimal(digits) => {
                let scale = if let Type::Decimal { scale, .. } = data_type { scale } else { 0 };
                write_decimal(*digits, scale, &mut out);
            }
            Self::Date(days) => write_date(*days, &mut out),
            Self::Timestamp(micros) => write_timestamp(*micros, &mut out),
        }
        String::from_utf8_lossy(&out).into_owned()
    }
}
