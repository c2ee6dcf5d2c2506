//! How many rows a question has: counted within a budget, guessed, or told before anything runs.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::{Value, json};

use super::size::page_bytes;
use super::{Engine, Entry, Error, Representation, failure, meta};
use crate::plan::Plan;
use crate::query::Count;
use crate::source;
use crate::source::Parents;
use crate::telemetry;

/// The number of all rows of a question, as far as it is known.
pub(super) struct Total {
    pub(super) rows: Option<u64>,
    pub(super) status: &'static str,
}

impl Total {
    const fn unknown(status: &'static str) -> Self {
        Self { rows: None, status }
    }
}

impl Engine {
    /// The total that a plan asks for; `None` when it asks for none. Whatever keeps it from being known is told in its
    /// place: a page is never lost for a count.
    pub(super) async fn total(&self, plan: &Plan) -> Option<Total> {
        match plan.count() {
            Count::None => None,
            Count::Estimated => Some(self.guessed(plan).await),
            Count::Exact => Some(self.counted(plan).await),
        }
    }

    async fn counted(&self, plan: &Plan) -> Total {
        let Ok(source) = self.sources.get(plan.source()) else { return Total::unknown("unavailable") };
        let counted = source::count_rows(source.as_ref(), plan);
        match tokio::time::timeout(self.count_budget, counted).await {
            Ok(Ok(rows)) => Total { rows: Some(rows), status: "exact" },
            Err(_) | Ok(Err(source::Error::Timeout)) => Total::unknown("budget"),
            Ok(Err(error)) => unavailable(&error),
        }
    }

    /// A source that does not guess counts instead.
    async fn guessed(&self, plan: &Plan) -> Total {
        let Ok(source) = self.sources.get(plan.source()) else { return Total::unknown("unavailable") };
        match source::guess_rows(source.as_ref(), plan).await {
            Ok(Some(rows)) => Total { rows: Some(rows), status: "estimated" },
            Ok(None) => self.counted(plan).await,
            Err(error) => unavailable(&error),
        }
    }

    /// What answering a plan would cost. Nothing of the answer is read; the database is asked for its guess alone.
    ///
    /// # Errors
    /// When the source does not answer.
    pub async fn estimate(&self, plan: &Arc<Plan>, representation: Representation) -> Result<Entry, Error> {
        let failed = |error| failure(plan, error);
        let source = self.sources.get(plan.source()).map_err(failed)?;
        let total = match source::guess_rows(source.as_ref(), plan).await.map_err(failed)? {
            Some(rows) => Total { rows: Some(rows), status: "estimated" },
            None => self.counted(plan).await,
        };
        let limit = u64::from(plan.limit());
        let page_rows = total.rows.map_or(limit, |rows| rows.min(limit));
        let bytes: serde_json::Map<String, Value> = (plan.media_types().iter())
            .filter_map(|media_type| {
                Some((media_type.format().to_owned(), json!(page_bytes(plan, media_type, page_rows)?)))
            })
            .collect();
        let data = json!({
            "rows": total.rows,
            "rows_exact": total.status == "exact",
            "page_rows": page_rows,
            "bytes": bytes,
            "fingerprint": plan.fingerprint().to_string(),
            "cache": self.kept_in(plan, representation).await.unwrap_or("none"),
            "stopped_by": total.rows.filter(|rows| *rows > limit).map(|_| "limit"),
        });
        Ok(Entry::of(format!("{{\"data\":{data},\"meta\":{}}}", meta(plan))))
    }

    /// How a plan is answered: the plan in words, its SQL, and what the database says that it would do.
    ///
    /// # Errors
    /// When the caller may not know, or the source does not answer.
    pub async fn explain(&self, plan: &Plan) -> Result<Entry, Error> {
        if !plan.explains() {
            return Err(Error::NotExplained);
        }
        let mut data = json!({ "plan": plan.to_string(), "fingerprint": plan.fingerprint().to_string() });
        for (name, value) in self.explained(plan, None).await? {
            data[name] = value;
        }
        Ok(Entry::of(format!("{{\"data\":{data},\"meta\":{}}}", meta(plan))))
    }

    /// The statement of a plan and what the database makes of it, and the same of every relation. Which parents there
    /// will be is not known before, so relations are explained without any.
    fn explained<'a>(
        &'a self,
        plan: &'a Plan,
        parents: Option<&'a Parents>,
    ) -> BoxFuture<'a, Result<serde_json::Map<String, Value>, Error>> {
        Box::pin(async move {
            let failed = |error| failure(plan, error);
            let source = self.sources.get(plan.source()).map_err(failed)?;
            let shape = source.shape(plan.dataset(), plan.relation()).await.map_err(failed)?;
            let statement = source::statement(plan, &shape, parents);
            let parameters: Vec<String> = statement.parameters.iter().map(ToString::to_string).collect();
            let database = source::explain_plan(source.as_ref(), plan, parents).await.map_err(failed)?;
            let mut told = serde_json::Map::from_iter([
                ("dialect".to_owned(), json!(source.dialect().as_str())),
                ("sql".to_owned(), json!(statement.text)),
                ("parameters".to_owned(), json!(parameters)),
                ("database".to_owned(), database),
            ]);
            let mut related = serde_json::Map::new();
            for relation in plan.related() {
                let explained = self.explained(&relation.plan, Some(&[])).await?;
                related.insert(relation.name.to_string(), explained.into());
            }
            if !related.is_empty() {
                told.insert("related".to_owned(), related.into());
            }
            Ok(told)
        })
    }
}

fn unavailable(error: &source::Error) -> Total {
    tracing::warn!(error = telemetry::chain(error), "rows were not counted");
    Total::unknown("unavailable")
}
