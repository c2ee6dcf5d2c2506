//! Rows inside rows: a column whose cells are a related row, or a list of them.

use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, ListArray, RecordBatch, StructArray, UInt32Array};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field};
use arrow_select::take::take;

use super::Error;

/// A column of single rows: for each cell the row of `related` that it holds, or null.
///
/// # Errors
/// When a match lies outside `related`.
pub fn nest_one(name: &str, related: &RecordBatch, matches: &[Option<u32>]) -> Result<(Field, ArrayRef), Error> {
    let indices = UInt32Array::from(matches.to_vec());
    let nulls = NullBuffer::from_iter(matches.iter().map(Option::is_some));
    let rows = rows(related, &indices, Some(nulls))?;
    Ok((Field::new(name, rows.data_type().clone(), true), Arc::new(rows)))
}

/// A column of lists: for each cell the rows of `related` that it holds, in their order.
///
/// # Errors
/// When a match lies outside `related`.
pub fn nest_many(name: &str, related: &RecordBatch, matches: &[Vec<u32>]) -> Result<(Field, ArrayRef), Error> {
    let indices: UInt32Array = matches.iter().flatten().copied().collect();
    let rows = rows(related, &indices, None)?;
    let item = Arc::new(Field::new("item", rows.data_type().clone(), false));
    let offsets = OffsetBuffer::from_lengths(matches.iter().map(Vec::len));
    let list = ListArray::try_new(Arc::clone(&item), offsets, Arc::new(rows), None).map_err(Error::Nest)?;
    Ok((Field::new(name, DataType::List(item), false), Arc::new(list)))
}

fn rows(related: &RecordBatch, indices: &UInt32Array, nulls: Option<NullBuffer>) -> Result<StructArray, Error> {
    let columns = related.columns().iter().map(|column| take(column, indices, None));
    let columns = columns.collect::<Result<Vec<ArrayRef>, _>>().map_err(Error::Nest)?;
    let mut fields = related.schema_ref().fields().clone();
    if nulls.is_some() {
        // Where there is no row, there is no value either.
        fields = fields.iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    }
    if columns.is_empty() {
        return Ok(StructArray::new_empty_fields(indices.len(), nulls));
    }
    StructArray::try_new(fields, columns, nulls).map_err(Error::Nest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::{Style, page};
    use arrow_array::{Int64Array, StringArray};

    fn parents() -> ArrayRef {
        Arc::new(Int64Array::from(vec![1, 2, 3]))
    }

    fn related() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(10), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).expect("a batch")
    }

    fn written(column: (Field, ArrayRef)) -> String {
        let batch = RecordBatch::try_from_iter([("id", parents()), (column.0.name(), column.1)]).expect("a batch");
        let bytes = page(&[batch], &Style::default(), "0", "0").expect("a page");
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn a_related_row_is_an_object_or_null() {
        let column = nest_one("r", &related(), &[Some(1), None, Some(0)]).expect("a column");
        let expected = r#"{"data":[{"id":1,"r":{"n":null,"t":"b"}},{"id":2,"r":null},{"id":3,"r":{"n":10,"t":"a"}}],"page":0,"meta":0}"#;
        assert_eq!(written(column), expected);
    }

    #[test]
    fn related_rows_are_a_list_of_objects() {
        let column = nest_many("r", &related(), &[vec![1, 0], vec![], vec![0]]).expect("a column");
        let expected = r#"{"data":[{"id":1,"r":[{"n":null,"t":"b"},{"n":10,"t":"a"}]},{"id":2,"r":[]},{"id":3,"r":[{"n":10,"t":"a"}]}],"page":0,"meta":0}"#;
        assert_eq!(written(column), expected);
    }

    #[test]
    fn there_may_be_no_related_row_at_all() {
        let none = related().slice(0, 0);
        let one = nest_one("r", &none, &[None, None, None]).expect("a column");
        assert_eq!(
            written(one),
            r#"{"data":[{"id":1,"r":null},{"id":2,"r":null},{"id":3,"r":null}],"page":0,"meta":0}"#
        );
        let many = nest_many("r", &none, &[vec![], vec![], vec![]]).expect("a column");
        assert_eq!(written(many), r#"{"data":[{"id":1,"r":[]},{"id":2,"r":[]},{"id":3,"r":[]}],"page":0,"meta":0}"#);
    }
}
