//! Rows as a selection asks for them: the same plans, the same statements, and another writing.

use std::sync::Arc;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use futures_util::TryStreamExt as _;

use super::related::counts;
use super::{Engine, Entry, Error, cut, failure};
use crate::cache::Key;
use crate::encode::{self, Form, Numbers, Standing, Style};
use crate::plan::Plan;
use crate::source;

/// What of an answer is written, and what tells it from other writings.
#[derive(Clone, Debug)]
pub struct Tree {
    form: Arc<Form>,
    id: Key,
}

impl Tree {
    /// The writing of a form.
    #[must_use]
    pub fn new(form: Form) -> Self {
        // Texts are quoted in it, so no two forms are written alike.
        let id = Key::of([format!("{form:?}").as_bytes()]);
        Self { form: Arc::new(form), id }
    }

    pub(super) fn id(&self) -> Key {
        self.id
    }
}

impl Engine {
    /// Answers a plan as a tree.
    pub(super) async fn grown(&self, plan: &Plan, tree: &Tree) -> Result<Entry, Error> {
        let failed = |error| failure(plan, error);
        let source = self.sources.get(plan.source()).map_err(failed)?;
        let batches = source::execute(source.as_ref(), plan, None).await.map_err(failed)?;
        let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(failed)?;
        let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let limit = usize::try_from(plan.limit()).unwrap_or(usize::MAX);
        let all: Vec<usize> = (0..plan.fields().len()).collect();
        let batches = cut(batches, limit, &all).map_err(Error::Batch)?;
        let mut rows = concat_batches(&source::schema(plan), &batches).map_err(Error::Batch)?;
        if plan.backward() {
            let count = u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
            let turned: UInt32Array = (0..count).rev().collect();
            rows = take_record_batch(&rows, &turned).map_err(Error::Batch)?;
        }
        let standing = self.standing(plan, tree, &rows, found > limit).await;
        let rows = self.with_related(plan, rows).await?;
        let style = Style { numbers: Numbers::Text, zone: plan.zone().cloned(), guarded: false };
        let body = encode::tree(&rows, &tree.form, &standing, &style).map_err(Error::Encode)?;
        let related = counts(plan, rows.columns());
        Ok(Entry { body: body.into(), rows: rows.num_rows(), related, next: None })
    }

    /// What a page says of itself. Whoever comes by a cursor has seen rows on its other side.
    async fn standing(&self, plan: &Plan, tree: &Tree, rows: &RecordBatch, more: bool) -> Standing {
        let came_by_cursor = plan.after().is_some();
        let (has_next, has_previous) = if plan.backward() { (came_by_cursor, more) } else { (more, came_by_cursor) };
        let cursor = |row| plan.cursor_after(rows, row, &self.cursors).0;
        let cursors = if tree.form.tells_cursors() { (0..rows.num_rows()).map(cursor).collect() } else { Vec::new() };
        let total = self.total(plan).await.and_then(|total| total.rows);
        Standing { cursors, has_next, has_previous, total }
    }
}
