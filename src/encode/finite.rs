//! What Arrow could hold and is not sent. NaN and infinities are null in every media type, as JSON has to have it. The mark
//! by which our own encoders know JSON stays inside: a marked text is no text to readers in Python, and none of their
//! functions for texts takes it.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{Array as _, ArrayRef, Float64Array, ListArray, StructArray};
use arrow_schema::{ArrowError, DataType, Field, Metadata};

/// The field with room for the nulls that floats may become, and without marks, inside related rows too.
pub(super) fn roomy(field: &Field) -> Field {
    match field.data_type() {
        DataType::Float64 => field.clone().with_nullable(true),
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| roomy(field)).collect();
            field.clone().with_data_type(DataType::Struct(fields))
        }
        DataType::List(item) => field.clone().with_data_type(DataType::List(Arc::new(roomy(item)))),
        DataType::Utf8 => field.clone().with_metadata(Metadata::default()),
        _ => field.clone(),
    }
}

/// The array in the type of its roomy field.
pub(super) fn finite(data_type: &DataType, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(match data_type {
        DataType::Float64 => {
            let floats = array.as_primitive::<Float64Type>();
            if floats.values().iter().all(|float| float.is_finite()) {
                return Ok(Arc::clone(array));
            }
            Arc::new(floats.iter().map(|float| float.filter(|float| float.is_finite())).collect::<Float64Array>())
        }
        DataType::Struct(fields) if !fields.is_empty() => {
            let rows = array.as_struct();
            let columns = fields.iter().zip(rows.columns()).map(|(field, column)| finite(field.data_type(), column));
            let columns = columns.collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new(fields.clone(), columns, rows.nulls().cloned())?)
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let values = finite(item.data_type(), list.values())?;
            Arc::new(ListArray::try_new(Arc::clone(item), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        _ => Arc::clone(array),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{nest_many, nest_one};
    use arrow_array::RecordBatch;

    #[test]
    fn floats_that_json_cannot_write_are_null_also_inside_related_rows() {
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.5, f64::NAN, f64::NEG_INFINITY]));
        let field = Field::new("f", DataType::Float64, false);
        let schema = Arc::new(arrow_schema::Schema::new(vec![field.clone()]));
        let rows = RecordBatch::try_new(schema, vec![Arc::clone(&floats)]).expect("a batch");
        let (one, of_one) = nest_one("one", &rows, &[Some(2), None, Some(0)]).expect("a column");
        let (many, of_many) = nest_many("many", &rows, &[vec![0, 1], vec![], vec![2]]).expect("a column");
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![Some(1.5), None, None]));
        for (field, array) in [(field, floats), (one, of_one), (many, of_many)] {
            let roomy = roomy(&field);
            let found = finite(roomy.data_type(), &array).expect("an array");
            assert_eq!(found.data_type(), roomy.data_type());
            assert_eq!(found.logical_null_count(), array.logical_null_count() + usize::from(field.name() == "f") * 2);
            match field.name().as_str() {
                "f" => assert_eq!(&found, &expected),
                "one" => assert_eq!(found.as_struct().column(0).null_count(), 2),
                _ => assert_eq!(found.as_list::<i32>().values().as_struct().column(0), &expected),
            }
            // What is finite already stays the array that it is.
            assert_eq!(&finite(roomy.data_type(), &found).expect("an array"), &found);
        }
    }
}
