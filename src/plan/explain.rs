//! A plan in words, for people who want to know what their question became.

use std::fmt::{self, Display, Formatter};

use super::{Plan, Predicate, SortKey, Test, Value};
use crate::catalog::{Column, ColumnIndex, Direction, Type};
use crate::encode::{write_date, write_decimal, write_timestamp};

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let names = |columns: &[ColumnIndex]| {
            columns.iter().map(|index| self.column(*index).name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let (shown, hidden) = self.columns.split_at(self.shown);
        writeln!(f, "dataset   {} ({} of {})", self.dataset.name, self.relation(), self.source())?;
        writeln!(f, "columns   {}", names(shown))?;
        if !hidden.is_empty() {
            writeln!(f, "keys      {}", names(hidden))?;
        }
        if let Some(revision) = &self.revision {
            writeln!(f, "among     {}", Shown(self, &revision.among))?;
            writeln!(f, "revision  newest by {} for each {}", names(&revision.newest), names(&revision.identity))?;
        }
        if !self.filter.is_true() {
            writeln!(f, "filter    {}", Shown(self, &self.filter))?;
        }
        if let Some(latest) = &self.latest {
            writeln!(f, "latest    newest by {} for each {}", names(&latest.newest), names(&latest.by))?;
        }
        let order: Vec<String> = self.order.iter().map(|key| shown_key(self, key)).collect();
        writeln!(f, "order     {}", order.join(", "))?;
        if let Some(after) = &self.after {
            let values: Vec<String> = self
                .order
                .iter()
                .zip(after)
                .map(|(key, value)| match value {
                    Some(value) => literal(self.column(key.column), value),
                    None => "null".into(),
                })
                .collect();
            writeln!(f, "after     {}", values.join(", "))?;
        }
        writeln!(f, "limit     {}{}", self.limit, if self.single { " (one row by its key)" } else { "" })
    }
}

fn shown_key(plan: &Plan, key: &SortKey) -> String {
    let direction = if key.direction == Direction::Descending { " desc" } else { "" };
    let nulls = match (key.nullable, key.nulls_first) {
        (false, _) => "",
        (true, true) => " nulls first",
        (true, false) => " nulls last",
    };
    format!("{}{direction}{nulls}", plan.column(key.column).name)
}

/// A predicate with the names of its plan.
struct Shown<'p>(&'p Plan, &'p Predicate);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(plan, predicate) = self;
        let parts = |f: &mut Formatter<'_>, parts: &[Predicate], word: &str, none: &str| {
            if parts.is_empty() {
                return f.write_str(none);
            }
            for (index, part) in parts.iter().enumerate() {
                if index > 0 {
                    write!(f, " {word} ")?;
                }
                match part {
                    Predicate::All(_) | Predicate::Any(_) => write!(f, "({})", Shown(plan, part))?,
                    _ => write!(f, "{}", Shown(plan, part))?,
                }
            }
            Ok(())
        };
        match predicate {
            Predicate::All(all) => parts(f, all, "and", "true"),
            Predicate::Any(any) => parts(f, any, "or", "false"),
            Predicate::Not(part) => write!(f, "not ({})", Shown(plan, part)),
            Predicate::Test(index, test) => show_test(f, plan.column(*index), test),
        }
    }
}

fn show_test(f: &mut Formatter<'_>, column: &Column, test: &Test) -> fmt::Result {
    let name = &column.name;
    let list = |values: &[Value]| values.iter().map(|value| literal(column, value)).collect::<Vec<_>>().join(", ");
    match test {
        Test::Eq(value) => write!(f, "{name} = {}", literal(column, value)),
        Test::Ne(value) => write!(f, "{name} <> {}", literal(column, value)),
        Test::Gt(value) => write!(f, "{name} > {}", literal(column, value)),
        Test::Gte(value) => write!(f, "{name} >= {}", literal(column, value)),
        Test::Lt(value) => write!(f, "{name} < {}", literal(column, value)),
        Test::Lte(value) => write!(f, "{name} <= {}", literal(column, value)),
        Test::In(values) => write!(f, "{name} in ({})", list(values)),
        Test::Nin(values) => write!(f, "{name} not in ({})", list(values)),
        Test::Prefix(text) => write!(f, "{name} begins with {text:?}"),
        Test::Contains(text) => write!(f, "{name} contains {text:?}"),
        Test::IsNull => write!(f, "{name} is null"),
        Test::IsNotNull => write!(f, "{name} is not null"),
        Test::Has(text) => write!(f, "{name} has {text:?}"),
    }
}

/// A value as an answer would write it.
fn literal(column: &Column, value: &Value) -> String {
    let mut out = Vec::new();
    match value {
        Value::Bool(bool) => return bool.to_string(),
        Value::Int(int) => return int.to_string(),
        Value::Float(float) => return format!("{float:?}"),
        Value::String(text) => return format!("{text:?}"),
        Value::Decimal(digits) => {
            let scale = if let Type::Decimal { scale, .. } = column.data_type { scale } else { 0 };
            write_decimal(*digits, scale, &mut out);
        }
        Value::Date(days) => write_date(*days, &mut out),
        Value::Timestamp(micros) => write_timestamp(*micros, &mut out),
    }
    String::from_utf8_lossy(&out).into_owned()
}
