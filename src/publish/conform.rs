//! A file's columns as the contract's, exactly or not at all: nothing is rounded, cut or guessed.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, Decimal128Array, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

use crate::catalog::{Column, Dataset, Type};

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The file has no such column.
    #[error("find column {column} ({contract}): the file has {found}")]
    Missing {
        /// The contract's column.
        column: String,
        /// Its type.
        contract: String,
        /// The file's columns.
        found: String,
    },
    /// The file's type cannot hold the contract's.
    #[error("read column {column} as {contract}: the file has {found}")]
    Type {
        /// The column.
        column: String,
        /// The contract's type.
        contract: String,
        /// The file's type.
        found: String,
    },
    /// A value is none of the contract's type.
    #[error("read row {row} of column {column} as {contract} exactly")]
    Value {
        /// The row, counted from 1.
        row: u64,
        /// The column.
        column: String,
        /// The contract's type.
        contract: String,
    },
    /// A value is null where the contract has none.
    #[error("accept null in row {row} of column {column}, which the contract says is never null")]
    Null {
        /// The row, counted from 1.
        row: u64,
        /// The column.
        column: String,
    },
}

/// Why the next batch is not to be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum BatchError {
    #[error("read the file")]
    Read(#[source] ArrowError),
    #[error("fit the rows to the contract")]
    Unfit(#[source] Unfit),
}

/// Judges a file by its schema alone.
pub(super) fn columns(dataset: &Dataset, schema: &Schema) -> Result<(), Unfit> {
    for column in &dataset.columns {
        let field = schema.field_with_name(column.name.as_str()).map_err(|_| Unfit::Missing {
            column: column.name.to_string(),
            contract: column.data_type.to_string(),
            found: schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", "),
        })?;
        if !readable(column.data_type, field.data_type()) {
            return Err(Unfit::Type {
                column: column.name.to_string(),
                contract: column.data_type.to_string(),
                found: field.data_type().to_string(),
            });
        }
    }
    Ok(())
}

fn readable(contract: Type, file: &DataType) -> bool {
    match contract {
        Type::Bool => *file == DataType::Boolean,
        Type::Int32 | Type::Int64 => file.is_integer(),
        Type::Float64 => matches!(file, DataType::Float32 | DataType::Float64),
        Type::Decimal { .. } => file.is_integer() || matches!(file, DataType::Decimal128(..)),
        Type::String | Type::Json => matches!(file, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View),
        Type::Date => *file == DataType::Date32,
        // Without a zone it could be any instant.
        Type::Timestamp => matches!(file, DataType::Timestamp(_, Some(_))),
        Type::StringList => match file {
            DataType::List(item) | DataType::LargeList(item) => readable(Type::String, item.data_type()),
            _ => false,
        },
    }
}

/// The batch with the contract's columns in its order and types. `before` rows of the file came before it.
pub(super) fn batch(dataset: &Dataset, batch: &RecordBatch, before: u64) -> Result<RecordBatch, Unfit> {
    let mut fields: Vec<Field> = Vec::with_capacity(dataset.columns.len());
    let mut arrays = Vec::with_capacity(dataset.columns.len());
    for column in &dataset.columns {
        let array =
            batch.column_by_name(column.name.as_str()).map_or_else(|| Err(None), |array| array_of(column, array));
        let array = array.map_err(|row| Unfit::Value {
            row: before + row.unwrap_or_default() as u64 + 1,
            column: column.name.to_string(),
            contract: column.data_type.to_string(),
        })?;
        if !column.nullable
            && let Some(row) = (0..array.len()).find(|row| array.is_null(*row))
        {
            return Err(Unfit::Null { row: before + row as u64 + 1, column: column.name.to_string() });
        }
        fields.push(column.data_type.field(column.name.as_str(), column.nullable));
        arrays.push(array);
    }
    // Types and nulls were judged above, and lengths are those of one batch.
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|_| Unfit::Value {
        row: before + 1,
        column: dataset.name.to_string(),
        contract: "its contract".into(),
    })
}

/// The row that does not fit, where it is one.
type Misfit = Option<usize>;

fn array_of(column: &Column, array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    Ok(match column.data_type {
        Type::Bool | Type::Date => Arc::clone(array),
        Type::Int32 => Arc::new(narrow::<Int32Type>(&integers(array)?, |int| i32::try_from(int).ok())?),
        Type::Int64 => Arc::new(narrow::<Int64Type>(&integers(array)?, |int| i64::try_from(int).ok())?),
        Type::Float64 => match array.data_type() {
            DataType::Float32 => Arc::new(array.as_primitive::<Float32Type>().unary::<_, Float64Type>(f64::from)),
            _ => Arc::clone(array),
        },
        Type::Decimal { precision, scale } => {
            let (digits, from) = match array.data_type() {
                DataType::Decimal128(_, from) => (array.as_primitive::<Decimal128Type>().clone(), *from),
                _ => (integers(array)?, 0),
            };
            let bound = 10_i128.pow(precision.into());
            let shift = i32::from(scale) - i32::from(from);
            let power = 10_i128.checked_pow(shift.unsigned_abs()).ok_or(None)?;
            let rescale = |digits: i128| {
                let scaled =
                    if shift >= 0 { digits.checked_mul(power) } else { (digits % power == 0).then(|| digits / power) };
                scaled.filter(|scaled| scaled.abs() < bound)
            };
            let array = narrow::<Decimal128Type>(&digits, rescale)?;
            Arc::new(array.with_precision_and_scale(precision, scale.cast_signed()).map_err(|_| None)?)
        }
        Type::String | Type::Json => Arc::new(strings(array)?),
        Type::Timestamp => Arc::new(micros(array)?.with_timezone("UTC")),
        Type::StringList => lists(array)?,
    })
}

/// Any integers as wide ones.
fn integers(array: &ArrayRef) -> Result<Decimal128Array, Misfit> {
    fn widen<T: ArrowPrimitiveType>(array: &ArrayRef) -> Decimal128Array
    where
        i128: From<T::Native>,
    {
        array.as_primitive::<T>().unary(i128::from)
    }
    Ok(match array.data_type() {
        DataType::Int8 => widen::<Int8Type>(array),
        DataType::Int16 => widen::<Int16Type>(array),
        DataType::Int32 => widen::<Int32Type>(array),
        DataType::Int64 => widen::<Int64Type>(array),
        DataType::UInt8 => widen::<UInt8Type>(array),
        DataType::UInt16 => widen::<UInt16Type>(array),
        DataType::UInt32 => widen::<UInt32Type>(array),
        DataType::UInt64 => widen::<UInt64Type>(array),
        _ => return Err(None),
    })
}

fn narrow<T: ArrowPrimitiveType>(
    array: &Decimal128Array,
    fit: impl Fn(i128) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>, Misfit> {
    let fitted = (0..array.len())
        .map(|row| if array.is_null(row) { Ok(None) } else { fit(array.value(row)).map(Some).ok_or(Some(row)) });
    fitted.collect()
}

fn micros(array: &ArrayRef) -> Result<PrimitiveArray<TimestampMicrosecondType>, Misfit> {
    fn scaled<T: ArrowPrimitiveType<Native = i64>>(
        array: &ArrayRef,
        scale: impl Fn(i64) -> Option<i64>,
    ) -> Result<PrimitiveArray<TimestampMicrosecondType>, Misfit> {
        let array = array.as_primitive::<T>();
        (0..array.len())
            .map(|row| if array.is_null(row) { Ok(None) } else { scale(array.value(row)).map(Some).ok_or(Some(row)) })
            .collect()
    }
    match array.data_type() {
        DataType::Timestamp(TimeUnit::Second, _) => {
            scaled::<TimestampSecondType>(array, |seconds| seconds.checked_mul(1_000_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            scaled::<TimestampMillisecondType>(array, |millis| millis.checked_mul(1000))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => Ok(array.as_primitive::<TimestampMicrosecondType>().clone()),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            scaled::<TimestampNanosecondType>(array, |nanos| (nanos % 1000 == 0).then_some(nanos / 1000))
        }
        _ => Err(None),
    }
}

/// Any strings as plain ones. NUL is refused: not every source can hold it.
fn strings(array: &ArrayRef) -> Result<StringArray, Misfit> {
    let plain: StringArray = match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().clone(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().collect(),
        DataType::Utf8View => array.as_string_view().iter().collect(),
        _ => return Err(None),
    };
    match plain.iter().position(|text| text.is_some_and(|text| text.contains('\0'))) {
        Some(row) => Err(Some(row)),
        None => Ok(plain),
    }
}

fn lists(array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    let item = |row: usize| match array.data_type() {
        DataType::List(_) => Some(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => Some(array.as_list::<i64>().value(row)),
        _ => None,
    };
    let mut builder =
        ListBuilder::new(StringBuilder::new()).with_field(Arc::new(Field::new("item", DataType::Utf8, false)));
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        let items = strings(&item(row).ok_or(None)?).map_err(|_| Some(row))?;
        // A null element is none of the contract's.
        let items: Option<Vec<&str>> = items.iter().collect();
        builder.append_value(items.ok_or(Some(row))?.into_iter().map(Some));
    }
    Ok(Arc::new(builder.finish()))
}
