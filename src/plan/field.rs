//! What an answer's columns are: columns of the dataset, intervals of them, and measures.

use crate::auth::Mask;
use crate::catalog::{Column, ColumnIndex, DECIMAL_DIGITS_MAX, Function, Name, Type};
use crate::query::Bucket;

use super::SortKey;

/// One column of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// Its name in every encoding.
    pub name: Name,
    /// Its type.
    pub data_type: Type,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it holds.
    pub output: Output,
    /// What is shown of it, where that is not what it holds.
    pub mask: Option<Mask>,
}

/// What a field holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// A column as it is.
    Column(ColumnIndex),
    /// The first day of the interval that a date or timestamp lies in.
    Bucket(ColumnIndex, Bucket),
    /// A function of a group's rows, or of a column's values in them.
    Measure(Function, Option<ColumnIndex>),
    /// What has become of a row from one version to another.
    Change,
    /// A column as it was in the earlier version.
    Was(ColumnIndex),
}

impl Field {
    pub(super) fn column(index: ColumnIndex, column: &Column) -> Self {
        Self {
            name: column.name.clone(),
            data_type: column.data_type,
            nullable: column.nullable,
            output: Output::Column(index),
            mask: None,
        }
    }

    /// A column as a grant shows it.
    pub(super) fn masked(self, mask: Option<Mask>) -> Self {
        Self { nullable: self.nullable || mask == Some(Mask::Redact), mask, ..self }
    }

    pub(super) fn bucket(name: Name, index: ColumnIndex, column: &Column, bucket: Bucket) -> Self {
        Self {
            name,
            data_type: Type::Date,
            nullable: column.nullable,
            output: Output::Bucket(index, bucket),
            mask: None,
        }
    }

    /// A measure. Of no rows at all there is nothing but a count; groups have rows, so only `alone`, all rows as one
    /// group, may have none.
    pub(super) fn measure(name: Name, function: Function, of: Option<(ColumnIndex, &Column)>, alone: bool) -> Self {
        let nullable = match function {
            Function::Count | Function::CountDistinct => false,
            // One value has no sample deviation.
            Function::Stddev => true,
            _ => alone || of.is_some_and(|(_, column)| column.nullable),
        };
        let data_type = measured(function, of.map(|(_, column)| column.data_type));
        Self { name, data_type, nullable, output: Output::Measure(function, of.map(|(index, _)| index)), mask: None }
    }

    /// The column that it is made of.
    #[must_use]
    pub fn made_of(&self) -> Option<ColumnIndex> {
        match self.output {
            Output::Column(index) | Output::Bucket(index, _) | Output::Was(index) => Some(index),
            Output::Measure(_, of) => of,
            Output::Change => None,
        }
    }

    /// Whether it makes groups, rather than being measured in them.
    #[must_use]
    pub fn groups(&self) -> bool {
        !matches!(self.output, Output::Measure(..))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        if let Some(mask) = self.mask {
            out.push(3);
            mask.write(out);
        }
        match self.output {
            Output::Column(index) => {
                out.push(0);
                out.extend((index as u64).to_le_bytes());
            }
            Output::Bucket(index, bucket) => {
                out.extend([1, bucket as u8]);
                out.extend((index as u64).to_le_bytes());
            }
            Output::Measure(function, of) => {
                out.extend([2, function as u8]);
                out.extend(of.map_or(u64::MAX, |index| index as u64).to_le_bytes());
            }
            Output::Change => out.push(4),
            Output::Was(index) => {
                out.push(5);
                out.extend((index as u64).to_le_bytes());
            }
        }
    }
}

/// The type of a measure: exact stays exact, and sums have all the digits that there are.
#[must_use]
pub fn measured(function: Function, of: Option<Type>) -> Type {
    match (function, of) {
        (Function::Count | Function::CountDistinct, _) | (_, None) => Type::Int64,
        (Function::Sum, Some(Type::Int32 | Type::Int64)) => Type::Decimal { precision: DECIMAL_DIGITS_MAX, scale: 0 },
        (Function::Sum, Some(Type::Decimal { scale, .. })) => Type::Decimal { precision: DECIMAL_DIGITS_MAX, scale },
        (Function::Sum | Function::Avg | Function::Stddev | Function::Median, Some(_)) => Type::Float64,
        (Function::Min | Function::Max | Function::First | Function::Last, Some(data_type)) => data_type,
    }
}

impl SortKey {
    /// The bytes of a key: what its field is, not where it stands among the answer's.
    pub(super) fn write(self, fields: &[Field], out: &mut Vec<u8>) {
        fields[self.field].write(out);
        out.push(u8::from(self.direction == crate::catalog::Direction::Descending));
        out.push(u8::from(self.nulls_first && self.nullable));
    }
}
