//! Answers plans: from the source to encoded bytes. The one place where plan, source and encoding meet.

mod cached;
mod related;
mod size;
mod stream;
mod total;
mod tree;

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::json;

use crate::auth::{Access, Instants, MaskKey, Principal};
use crate::catalog::{Catalog, Function};
use crate::encode::{self, Encoder, MediaType, Numbers, Style};
use crate::plan::{self, End, Output, Plan, Scope, Window};
use crate::query::{Cursor, CursorKey, Query};
use crate::source::{self, Sources};
use crate::store::{Pointer, Version, Versions};

pub use cached::{Caches, Origin, Served, Stale, Tag};
pub use stream::{Piece, Pieces, Streams};
pub use tree::Tree;

/// Everything that answers questions.
pub struct Engine {
    /// What is served.
    pub catalog: Arc<Catalog>,
    /// To whom.
    pub access: Access,
    /// The key of masks that hash.
    pub masks: MaskKey,
    /// From where.
    pub sources: Sources,
    /// Which version of each dataset is current.
    pub pointer: Pointer,
    /// Signs pages' cursors.
    pub cursors: CursorKey,
    /// What counting all rows of a question may take.
    pub count_budget: Duration,
    /// How many streams of all rows there may be.
    pub streams: Streams,
    /// What was answered before.
    pub caches: Caches,
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Representation {
    /// As what.
    pub media_type: MediaType,
    /// With which numbers.
    pub numbers: Numbers,
    /// JSON by rows or by columns.
    pub shape: Shape,
    /// Whether texts that a spreadsheet would take for formulas are kept from it.
    pub guarded: bool,
}

/// How the rows of a JSON page are laid out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Shape {
    /// An object a row.
    #[default]
    Rows,
    /// A list a column.
    Columns,
}

/// How an answer is written: as a document of rows, or as a selection asks for.
#[derive(Clone, Debug)]
pub enum Writing {
    /// A document.
    Rows(Representation),
    /// The JSON of a selection.
    Tree(Tree),
}

impl From<Representation> for Writing {
    fn from(representation: Representation) -> Self {
        Self::Rows(representation)
    }
}

impl From<Tree> for Writing {
    fn from(tree: Tree) -> Self {
        Self::Tree(tree)
    }
}

/// An encoded answer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The bytes.
    pub body: Bytes,
    /// Rows in it.
    pub rows: usize,
    /// Rows of each relation, in the order of [`Plan::versions_read`].
    pub related: Vec<u64>,
    /// Where the next page begins, when there is one.
    pub next: Option<Cursor>,
}

impl Entry {
    /// An answer without rows.
    fn of(body: String) -> Self {
        Self { body: body.into(), rows: 0, related: Vec::new(), next: None }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller may not read how the house answers.
    #[error("explain a plan to a client")]
    NotExplained,
    /// As many streams of all rows are under way as the tier may have.
    #[error("stream all rows to one more caller")]
    Crowded,
    /// The control store has not been heard of for too long to know what is current.
    #[error("hear from the control store what is current")]
    Unheard,
    /// The task that made the answer has ended without one.
    #[error("hear from the task that makes the answer")]
    Lost,
    /// A sum has more digits than a decimal holds. It is never rounded.
    #[error("hold {measure} in a decimal")]
    SumTooLarge {
        /// The measure's name in the answer.
        measure: String,
    },
    /// No row has the key.
    #[error("find a row with that key")]
    NoRow,
    /// The source does not answer.
    #[error("ask source {name:?}")]
    Source {
        /// Which one.
        name: String,
        /// Why.
        #[source]
        source: source::Error,
    },
    /// The rows cannot be cut to the answer.
    #[error("cut the rows to the answer")]
    Batch(#[source] ArrowError),
    /// The rows cannot be encoded.
    #[error("encode the rows")]
    Encode(#[source] encode::Error),
}

impl Engine {
    /// Plans a question for a caller, of those versions, in this moment.
    ///
    /// # Errors
    /// Whatever makes it unanswerable.
    pub fn plan(&self, query: &Query, versions: &Versions, principal: &Principal) -> Result<Plan, plan::Error> {
        plan::plan(query, &self.scope(versions, principal))
    }

    /// Likewise, the question of what has changed from one version to another, or to the current one.
    ///
    /// # Errors
    /// Whatever makes it unanswerable.
    pub fn plan_changes(
        &self,
        query: &Query,
        versions: &Versions,
        principal: &Principal,
        (from, to): (u64, Option<u64>),
    ) -> Result<Plan, plan::Error> {
        plan::changes(query, &self.scope(versions, principal), from, to)
    }

    /// The version of a difference, if any, whose relation lacks what the contract of now has: it was published under the
    /// contract of its day.
    ///
    /// # Errors
    /// When the source does not answer.
    pub async fn outgrown(&self, plan: &Plan) -> Result<Option<u64>, Error> {
        let sides = plan.sides().map_or(&[][..], |sides| sides);
        for side in sides {
            let Some(version) = side.version().filter(|version| version.contract != side.dataset().contract) else {
                continue;
            };
            let source = self.sources.get(plan.source()).map_err(|error| failure(plan, error))?;
            let mut then = side.dataset().clone();
            then.relation = version.relation.clone();
            if !source.mismatches(&then).await.map_err(|error| failure(plan, error))?.is_empty() {
                return Ok(Some(version.number));
            }
        }
        Ok(None)
    }

    fn scope<'a>(&'a self, versions: &'a Versions, principal: &'a Principal) -> Scope<'a> {
        let moment = Instants::of(crate::clock::now());
        let (catalog, cursors, masks) = (&*self.catalog, &self.cursors, &self.masks);
        Scope { catalog, versions, principal, cursors, masks, moment }
    }

    /// Answers a plan.
    ///
    /// # Errors
    /// When the source does not answer, or no row has the key that was asked for.
    pub async fn answer(&self, plan: &Plan, representation: Representation) -> Result<Entry, Error> {
        let failed = |error| failure(plan, error);
        let source = self.sources.get(plan.source()).map_err(failed)?;
        let batches = source::execute(source.as_ref(), plan, None).await.map_err(failed)?;
        let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(failed)?;

        let limit = usize::try_from(plan.limit()).unwrap_or(usize::MAX);
        let next = last_of_page(&batches, limit).map(|(batch, row)| plan.cursor_after(batch, row, &self.cursors));
        let batches = if plan.related().is_empty() {
            cut(batches, limit, &(0..plan.shown()).collect::<Vec<_>>()).map_err(Error::Batch)?
        } else {
            let all: Vec<usize> = (0..plan.fields().len()).collect();
            let batches = cut(batches, limit, &all).map_err(Error::Batch)?;
            let rows = concat_batches(&source::schema(plan), &batches).map_err(Error::Batch)?;
            vec![self.with_related(plan, rows).await?]
        };
        let style =
            Style { numbers: representation.numbers, zone: plan.zone().cloned(), guarded: representation.guarded };
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        if plan.single() && rows == 0 {
            return Err(Error::NoRow);
        }
        let related = batches.first().map(|batch| related::counts(plan, batch.columns())).unwrap_or_default();
        let body = match representation.media_type {
            MediaType::Json => {
                let mut page = json!({
                    "limit": plan.limit(),
                    "count": rows,
                    "has_more": next.is_some(),
                    "next_cursor": next.as_ref().map(|cursor| cursor.0.as_str()),
                });
                if plan.version_changed() {
                    page["version_changed"] = json!(true);
                }
                if let Some(total) = self.total(plan).await {
                    page["total_count"] = json!(total.rows);
                    page["count_status"] = json!(total.status);
                }
                written(plan, &batches, &style, representation.shape, &page.to_string())
            }
            media_type => document(plan, &batches, &style, media_type),
        };
        Ok(Entry { body: body?.into(), rows, related, next })
    }
}

/// A page of JSON, or the one row of a key.
fn written(plan: &Plan, batches: &[RecordBatch], style: &Style, shape: Shape, page: &str) -> Result<Vec<u8>, Error> {
    let meta = meta(plan);
    let body = match (batches.first(), shape) {
        (Some(batch), _) if plan.single() => encode::one(batch, style, &meta),
        (_, Shape::Rows) => encode::page(batches, style, page, &meta),
        (_, Shape::Columns) => {
            let schema = shown(plan, batches).map_err(Error::Batch)?;
            encode::columns(&schema, batches, style, page, &meta)
        }
    };
    body.map_err(Error::Encode)
}

/// The rows as a document of another media type.
fn document(plan: &Plan, batches: &[RecordBatch], style: &Style, media_type: MediaType) -> Result<Vec<u8>, Error> {
    let schema = shown(plan, batches).map_err(Error::Batch)?;
    let mut encoder = Encoder::new(media_type, &schema, style, &plan.facts()).map_err(Error::Encode)?;
    let mut body = Vec::new();
    for batch in batches {
        encoder.write(batch, &mut body).map_err(Error::Encode)?;
    }
    encoder.finish(&mut body).map_err(Error::Encode)?;
    Ok(body)
}

/// The schema of an answer, also of one without rows.
fn shown(plan: &Plan, batches: &[RecordBatch]) -> Result<SchemaRef, ArrowError> {
    match batches.first() {
        Some(batch) => Ok(batch.schema()),
        None => source::schema(plan).project(&(0..plan.shown()).collect::<Vec<_>>()).map(Arc::new),
    }
}

/// What a source's failure means for a plan: a value that does not fit is a fault of the contract, unless it is a sum,
/// which the contract says nothing of.
fn failure(plan: &Plan, source: source::Error) -> Error {
    let sums = |name: &str| {
        let field = plan.fields().iter().find(|field| field.name.as_str() == name);
        field.is_some_and(|field| matches!(field.output, Output::Measure(Function::Sum, _)))
    };
    match source {
        source::Error::Value { column, .. } if sums(&column) => Error::SumTooLarge { measure: column },
        source => Error::Source { name: plan.source().to_string(), source },
    }
}

/// Where the page ends when there are rows behind it.
fn last_of_page(batches: &[RecordBatch], limit: usize) -> Option<(&RecordBatch, usize)> {
    let mut seen = 0;
    let mut last = None;
    for batch in batches {
        if seen < limit && limit <= seen + batch.num_rows() {
            last = Some((batch, limit - seen - 1));
        }
        seen += batch.num_rows();
    }
    last.filter(|_| seen > limit)
}

/// The page's rows, of those columns.
fn cut(batches: Vec<RecordBatch>, limit: usize, columns: &[usize]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut left = limit;
    let mut page = Vec::with_capacity(batches.len());
    for batch in batches {
        let rows = left.min(batch.num_rows());
        left -= rows;
        if rows > 0 {
            page.push(batch.slice(0, rows).project(columns)?);
        }
    }
    Ok(page)
}

/// What the answer says of itself. A live dataset has no version.
fn meta(plan: &Plan) -> String {
    let version = plan.version().map(Arc::as_ref);
    let mut meta = json!({
        "dataset": plan.dataset().name.as_str(),
        "version": version.map(|version: &Version| version.number),
        "published_at": version.map(|version| version.published_at.to_string()),
        "data_through": version.and_then(|version| version.data_through).map(|day| day.to_string()),
    });
    if let Some(zone) = plan.zone().and_then(|zone| zone.iana_name()) {
        meta["tz"] = json!(zone);
    }
    if !plan.windows().is_empty() {
        meta["limited_by"] = plan.windows().iter().map(limited).collect();
    }
    meta.to_string()
}

/// An end of time behind which there may be rows that the caller does not get.
fn limited(window: &Window) -> serde_json::Value {
    let (key, bound) = match window.end {
        End::History => ("from", window.shown()),
        End::Delay => ("to", window.shown()),
    };
    json!({
        "window": window.end.as_str(),
        "dataset": window.dataset.as_str(),
        "column": window.column.as_str(),
        key: bound,
    })
}
