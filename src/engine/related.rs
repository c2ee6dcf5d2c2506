//! Rows of other datasets inside the rows that they come with: one statement for each relation, whatever their number.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{Array as _, ArrayRef, ListArray, RecordBatch, StructArray};
use arrow_schema::{Field, Schema};
use arrow_select::concat::concat_batches;
use futures_util::TryStreamExt as _;
use futures_util::future::{BoxFuture, try_join_all};

use super::{Engine, Error, failure};
use crate::catalog::RelationKind;
use crate::encode::{nest_many, nest_one};
use crate::plan::{Plan, Related, Value};
use crate::source;

impl Engine {
    /// The answer's columns of a plan's rows: those that are shown, then one for each relation.
    pub(super) fn with_related<'a>(
        &'a self,
        plan: &'a Plan,
        rows: RecordBatch,
    ) -> BoxFuture<'a, Result<RecordBatch, Error>> {
        Box::pin(async move {
            let schema = rows.schema();
            let shown = schema.fields().iter().take(plan.shown()).map(|field| field.as_ref().clone());
            let mut fields: Vec<Field> = shown.collect();
            let mut columns: Vec<ArrayRef> = rows.columns()[..plan.shown()].to_vec();
            let related = plan.related().iter().map(|related| self.related(plan, &rows, related));
            for (field, column) in try_join_all(related).await? {
                fields.push(field);
                columns.push(column);
            }
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(Error::Batch)
        })
    }

    async fn related(&self, plan: &Plan, rows: &RecordBatch, related: &Related) -> Result<(Field, ArrayRef), Error> {
        let own: Vec<Option<Vec<u8>>> = (0..rows.num_rows())
            .map(|row| plan.values_at(&related.on, rows, row).map(|values| bytes(&values)))
            .collect();
        let mut parents: Vec<Vec<Value>> = Vec::new();
        // Where the related rows of each parent stand.
        let mut places: HashMap<&[u8], Vec<u32>> = HashMap::new();
        for (row, key) in own.iter().enumerate() {
            if let Some(key) = key
                && places.insert(key, Vec::new()).is_none()
            {
                parents.extend(plan.values_at(&related.on, rows, row));
            }
        }
        let child = &related.plan;
        let found = self.rows_of(child, &parents).await?;
        for row in 0..found.num_rows() {
            let key = child.values_at(child.joined(), &found, row).map(|values| bytes(&values));
            if let Some(places) = key.as_deref().and_then(|key| places.get_mut(key)) {
                places.push(u32::try_from(row).unwrap_or(u32::MAX));
            }
        }
        let of = |key: &Option<Vec<u8>>| key.as_deref().and_then(|key| places.get(key)).cloned().unwrap_or_default();
        let found = self.with_related(child, found).await?;
        let name = related.name.as_str();
        let nested = match related.kind {
            RelationKind::One => {
                let matches: Vec<Option<u32>> = own.iter().map(|key| of(key).first().copied()).collect();
                nest_one(name, &found, &matches)
            }
            RelationKind::Many => {
                let matches: Vec<Vec<u32>> = own.iter().map(of).collect();
                nest_many(name, &found, &matches)
            }
        };
        nested.map_err(Error::Encode)
    }

    /// The related rows of parents. Without a parent, nothing is asked.
    async fn rows_of(&self, plan: &Plan, parents: &[Vec<Value>]) -> Result<RecordBatch, Error> {
        let schema = source::schema(plan);
        if parents.is_empty() {
            return Ok(RecordBatch::new_empty(schema));
        }
        let failed = |error| failure(plan, error);
        let source = self.sources.get(plan.source()).map_err(failed)?;
        let batches = source::execute(source.as_ref(), plan, Some(parents)).await.map_err(failed)?;
        let batches = batches.try_collect::<Vec<_>>().await.map_err(failed)?;
        concat_batches(&schema, &batches).map_err(Error::Batch)
    }
}

/// How many rows of each relation an answer holds, each relation's own behind it: the order of [`Plan::versions_read`].
pub(super) fn counts(plan: &Plan, columns: &[ArrayRef]) -> Vec<u64> {
    let mut counts = Vec::new();
    for (related, column) in plan.related().iter().zip(&columns[plan.shown()..]) {
        // A list holds rows only where there are some; a single one may be missing.
        let list = column.as_any().downcast_ref::<ListArray>();
        let rows = list.map_or(column, ListArray::values);
        counts.push((rows.len() - rows.null_count()) as u64);
        if let Some(rows) = rows.as_any().downcast_ref::<StructArray>() {
            counts.extend(self::counts(&related.plan, rows.columns()));
        }
    }
    counts
}

/// Equal values have equal bytes.
fn bytes(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::new();
    values.iter().for_each(|value| value.write_to(&mut bytes));
    bytes
}
