//! ClickHouse's arrays as the contract's, exactly or not at all.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, TimeUnit};

use crate::catalog::Type;
use crate::plan::Value;
use crate::source::decode::canonical_json;
use crate::source::{Error, Reading};

/// Why an array is not the contract's.
enum Misfit {
    /// It is of another type.
    Type,
    /// The value in that row is none of the contract's type.
    Row(usize),
}

/// The columns of a batch as they are to be read.
pub(super) fn read(reading: &Reading, batch: &RecordBatch) -> Result<RecordBatch, Error> {
    let read = |place: usize| {
        let (name, data_type) = &reading.columns[place];
        let array = batch.columns().get(place).ok_or(Misfit::Type);
        array.and_then(|array| at(reading, place, array)).map_err(|misfit| match misfit {
            Misfit::Type => Error::Type {
                column: name.clone(),
                contract: data_type.to_string(),
                found: batch.columns().get(place).map_or_else(|| "nothing".to_owned(), |it| it.data_type().to_string()),
            },
            Misfit::Row(row) => reading.unfit(place, |key| {
                let one = at(reading, key, &batch.column(key).slice(row, 1)).ok()?;
                Value::at(reading.columns[key].1, &one, 0)
            }),
        })
    };
    reading.batch((0..reading.columns.len()).map(read).collect::<Result<_, _>>()?)
}

/// The column in that place.
fn at(reading: &Reading, place: usize, array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    let data_type = reading.columns[place].1;
    if reading.digits.get(place) == Some(&true) { digits(data_type, array) } else { convert(data_type, array) }
}

/// A decimal of exactly these digits.
fn digits(data_type: Type, array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    let digits: PrimitiveArray<Decimal128Type> = match array.data_type() {
        DataType::Int32 => array.as_primitive::<Int32Type>().unary(i128::from),
        DataType::Int64 => array.as_primitive::<Int64Type>().unary(i128::from),
        _ => return Err(Misfit::Type),
    };
    Ok(Arc::new(digits.with_data_type(data_type.arrow())))
}

fn convert(data_type: Type, array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    if *array.data_type() == data_type.arrow() && !matches!(data_type, Type::Float64 | Type::StringList | Type::Json) {
        return Ok(Arc::clone(array));
    }
    match data_type {
        Type::Bool => match array.data_type() {
            DataType::UInt8 => bools(array.as_primitive()),
            _ => Err(Misfit::Type),
        },
        Type::Int32 => integers::<Int32Type>(array, |int| i32::try_from(int).ok()),
        Type::Int64 => integers::<Int64Type>(array, |int| i64::try_from(int).ok()),
        Type::Float64 => match array.data_type() {
            DataType::Float32 => Ok(Arc::new(
                array.as_primitive::<Float32Type>().unary::<_, Float64Type>(|float| f64::from(float) + 0.0),
            )),
            // Zero without a sign, as from every source.
            DataType::Float64 => {
                Ok(Arc::new(array.as_primitive::<Float64Type>().unary::<_, Float64Type>(|float| float + 0.0)))
            }
            _ => Err(Misfit::Type),
        },
        Type::Decimal { precision, scale } => decimals(array, data_type, precision, scale),
        Type::String => Ok(Arc::new(texts(array)?)),
        Type::Json => json(&texts(array)?),
        Type::Date => match array.data_type() {
            // Before 26.2 `Date` came as its number of days.
            DataType::UInt16 => Ok(Arc::new(array.as_primitive::<UInt16Type>().unary::<_, Date32Type>(i32::from))),
            _ => Err(Misfit::Type),
        },
        Type::Timestamp => instants(array),
        Type::StringList => lists(array),
    }
}

/// Each value through a function; the first row whose value it refuses is at fault.
fn mapped<From, To>(
    array: &PrimitiveArray<From>,
    map: impl Fn(From::Native) -> Option<To::Native>,
) -> Result<PrimitiveArray<To>, Misfit>
where
    From: ArrowPrimitiveType,
    To: ArrowPrimitiveType,
{
    array.try_unary(|value| map(value).ok_or(())).map_err(|()| {
        let refused = |row: &usize| array.is_valid(*row) && map(array.value(*row)).is_none();
        Misfit::Row((0..array.len()).find(refused).unwrap_or_default())
    })
}

fn bools(array: &PrimitiveArray<UInt8Type>) -> Result<ArrayRef, Misfit> {
    if let Some(row) = (0..array.len()).find(|row| array.is_valid(*row) && array.value(*row) > 1) {
        return Err(Misfit::Row(row));
    }
    Ok(Arc::new(array.iter().map(|value| value.map(|value| value == 1)).collect::<BooleanArray>()))
}

fn integers<To: ArrowPrimitiveType>(
    array: &ArrayRef,
    map: impl Fn(i128) -> Option<To::Native>,
) -> Result<ArrayRef, Misfit> {
    macro_rules! from {
        ($kind:ty) => {
            Ok(Arc::new(mapped::<$kind, To>(array.as_primitive(), |value| map(value.into()))?))
        };
    }
    match array.data_type() {
        DataType::Int8 => from!(Int8Type),
        DataType::Int16 => from!(Int16Type),
        DataType::Int32 => from!(Int32Type),
        DataType::Int64 => from!(Int64Type),
        DataType::UInt8 => from!(UInt8Type),
        DataType::UInt16 => from!(UInt16Type),
        DataType::UInt32 => from!(UInt32Type),
        DataType::UInt64 => from!(UInt64Type),
        _ => Err(Misfit::Type),
    }
}

fn decimals(array: &ArrayRef, data_type: Type, precision: u8, scale: u8) -> Result<ArrayRef, Misfit> {
    let end = 10_i128.checked_pow(precision.into()).unwrap_or(i128::MAX);
    let fits = |digits: i128| (digits.unsigned_abs() < end.unsigned_abs()).then_some(digits);
    // A longer fraction would have to be cut.
    let shift = |live: i8| {
        let shift = u32::from(scale).checked_sub(u32::try_from(live).ok()?)?;
        10_i128.checked_pow(shift)
    };
    let decimals = match *array.data_type() {
        DataType::Decimal128(_, live) => {
            let shift = shift(live).ok_or(Misfit::Type)?;
            mapped::<_, Decimal128Type>(array.as_primitive::<Decimal128Type>(), |digits| {
                fits(digits.checked_mul(shift)?)
            })?
        }
        DataType::Decimal256(_, live) => {
            let shift = shift(live).ok_or(Misfit::Type)?;
            let narrow = |digits: arrow_buffer::i256| fits(digits.to_i128()?.checked_mul(shift)?);
            mapped::<_, Decimal128Type>(array.as_primitive::<Decimal256Type>(), narrow)?
        }
        _ => {
            let shift = shift(0).ok_or(Misfit::Type)?;
            let wide = integers::<Decimal128Type>(array, |int| fits(int.checked_mul(shift)?))?;
            wide.as_primitive::<Decimal128Type>().clone()
        }
    };
    Ok(Arc::new(decimals.with_data_type(data_type.arrow())))
}

fn texts(array: &ArrayRef) -> Result<StringArray, Misfit> {
    match array.data_type() {
        DataType::Utf8 => Ok(array.as_string().clone()),
        DataType::Binary => {
            let bytes: &BinaryArray = array.as_binary();
            StringArray::try_from_binary(bytes.clone()).map_err(|_| {
                let refused = |row: &usize| bytes.is_valid(*row) && std::str::from_utf8(bytes.value(*row)).is_err();
                Misfit::Row((0..bytes.len()).find(refused).unwrap_or_default())
            })
        }
        _ => Err(Misfit::Type),
    }
}

fn json(texts: &StringArray) -> Result<ArrayRef, Misfit> {
    let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
    for (row, text) in texts.iter().enumerate() {
        builder.append_option(text.map(|text| canonical_json(text).ok_or(Misfit::Row(row))).transpose()?);
    }
    Ok(Arc::new(builder.finish()))
}

fn instants(array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    const MICROS: i64 = 1_000_000;
    let micros = match array.data_type() {
        DataType::Timestamp(TimeUnit::Microsecond, _) => array.as_primitive::<TimestampMicrosecondType>().clone(),
        DataType::Timestamp(TimeUnit::Second, _) => {
            mapped(array.as_primitive::<TimestampSecondType>(), |seconds| seconds.checked_mul(MICROS))?
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            mapped(array.as_primitive::<TimestampMillisecondType>(), |millis| millis.checked_mul(1000))?
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            mapped(array.as_primitive::<TimestampNanosecondType>(), |nanos| {
                (nanos % 1000 == 0).then_some(nanos / 1000)
            })?
        }
        // `DateTime` comes as its number of seconds.
        DataType::UInt32 => mapped(array.as_primitive::<UInt32Type>(), |seconds| Some(i64::from(seconds) * MICROS))?,
        _ => return Err(Misfit::Type),
    };
    Ok(Arc::new(micros.with_timezone("UTC")))
}

/// ClickHouse has no null list: the list whose one element is null stands for it.
fn lists(array: &ArrayRef) -> Result<ArrayRef, Misfit> {
    let Some(lists) = array.as_list_opt::<i32>() else { return Err(Misfit::Type) };
    let items = texts(lists.values())?;
    let field = Arc::new(Field::new("item", DataType::Utf8, false));
    let mut builder = ListBuilder::with_capacity(StringBuilder::new(), lists.len()).with_field(field);
    for row in 0..lists.len() {
        let bound = |place: usize| usize::try_from(lists.value_offsets()[place]).unwrap_or_default();
        let of_row = bound(row)..bound(row + 1);
        if lists.is_null(row) || of_row.len() == 1 && items.is_null(of_row.start) {
            builder.append_null();
        } else if of_row.clone().any(|item| items.is_null(item)) {
            return Err(Misfit::Row(row));
        } else {
            of_row.for_each(|item| builder.values().append_value(items.value(item)));
            builder.append(true);
        }
    }
    Ok(Arc::new(builder.finish()))
}
