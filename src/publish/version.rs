//! Publishing: a relation that was filled beside the others becomes what everybody reads, when its checks are met.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde_json::json;

use crate::catalog::{Dataset, Relation, Type};
use crate::config;
use crate::plan::Value;
use crate::source::{self, Finding, LoadError, Loader, Mismatch, Source};
use crate::store::{self, Draft, Store, Version, VersionId};

/// A version that was current a moment ago is still read: pages that are being walked, instances that have not heard.
const LINGER: Duration = Duration::from_secs(15 * 60);
/// So long after a version was given up, every instance has heard of it.
const HEARD: Duration = Duration::from_secs(2);

/// What is to be published.
#[derive(Clone, Debug)]
pub struct Request {
    /// The relation that holds it, in the dataset's source.
    pub relation: Relation,
    /// The day up to which its data reaches; by default the greatest of the contract's `time`.
    pub data_through: Option<Date>,
    /// Who publishes it.
    pub operator: String,
}

/// Why nothing was published. What is current is as it was.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The control store does not answer.
    #[error("change what is published of {dataset}")]
    Store {
        /// The dataset.
        dataset: String,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// The source does not answer.
    #[error("examine {relation}")]
    Source {
        /// The relation.
        relation: String,
        /// Why.
        #[source]
        source: source::Error,
    },
    /// The relation does not keep the contract.
    #[error("publish {relation}, which does not keep its contract:\n{}", lines(.mismatches))]
    Mismatches {
        /// The relation.
        relation: String,
        /// Where it differs.
        mismatches: Vec<Mismatch>,
    },
    /// Checks are not met.
    #[error("publish {relation}, which does not meet its checks:\n{}", lines(.findings))]
    Checks {
        /// The relation.
        relation: String,
        /// Those that are not met.
        findings: Vec<Finding>,
    },
    /// The relation holds an older version, and would have been written again.
    #[error("publish {relation} once more: it is version {number}; martello rollback serves it again")]
    Taken {
        /// The relation.
        relation: String,
        /// The version that it holds.
        number: u64,
    },
    /// There is no version to go back to.
    #[error("go back to {wanted} of {dataset}: {known}")]
    NoVersion {
        /// The dataset.
        dataset: String,
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// A relation cannot be dropped.
    #[error("drop {relation}")]
    Drop {
        /// The relation.
        relation: String,
        /// Why.
        #[source]
        source: LoadError,
    },
}

fn lines(items: &[impl std::fmt::Display]) -> String {
    items.iter().map(|item| format!("  {item}")).collect::<Vec<_>>().join("\n")
}

/// Changes what is published of one dataset.
pub struct Publisher<'p> {
    /// The control store.
    pub store: &'p Store,
    /// The dataset.
    pub dataset: &'p Dataset,
}

impl Publisher<'_> {
    fn store_failed(&self) -> impl Fn(store::Error) -> PublishError {
        let dataset = self.dataset.name.to_string();
        move |source| PublishError::Store { dataset: dataset.clone(), source }
    }

    /// Checks a relation, and makes it the current version. The one that is current already stays it.
    ///
    /// # Errors
    /// Whatever keeps it from being one.
    pub async fn publish(&self, source: &dyn Source, request: Request) -> Result<Version, PublishError> {
        let change = self.store.change(&self.dataset.name).await.map_err(self.store_failed())?;
        let relation = request.relation.to_string();
        let holds = |version: &&Arc<Version>| version.relation == request.relation && version.is_kept();
        // A pipeline that asks again, since it has not heard the answer, hears it now.
        if let Some(current) = change.current().filter(|current| current.relation == request.relation) {
            return Ok(Version::clone(current));
        }
        if let Some(version) = change.history().iter().find(holds) {
            return Err(PublishError::Taken { relation, number: version.number });
        }
        let dataset = self.dataset.over(request.relation.clone());
        let failed = |source| PublishError::Source { relation: request.relation.to_string(), source };
        let mismatches = source.mismatches(&dataset).await.map_err(failed)?;
        if !mismatches.is_empty() {
            return Err(PublishError::Mismatches { relation, mismatches });
        }
        let found = source::examine(source, &dataset, crate::clock::now()).await.map_err(failed)?;
        let (unmet, met): (Vec<Finding>, Vec<Finding>) =
            found.findings.into_iter().partition(|finding| finding.against.is_some());
        if !unmet.is_empty() {
            return Err(PublishError::Checks { relation, findings: unmet });
        }
        let time = dataset.time.map(|time| dataset.columns[time].data_type);
        let ends = found.time.as_ref().zip(time);
        let data_through = request.data_through.or_else(|| ends.and_then(|((_, newest), _)| day(newest)));
        let shown = |value: &Value, data_type: Type| value.shown(data_type);
        let statistics = json!({
            "rows": found.rows,
            "time": ends.map(|((least, greatest), data_type)| json!({
                "min": shown(least, data_type), "max": shown(greatest, data_type),
            })),
        });
        let draft = Draft {
            relation: request.relation,
            data_through,
            rows: found.rows,
            statistics: statistics.to_string(),
            checks: json!(met.iter().map(|finding| &finding.check).collect::<Vec<_>>()).to_string(),
            contract: self.dataset.contract.clone(),
            operator: request.operator,
            rollback_of: None,
        };
        change.publish(draft).await.map_err(self.store_failed())
    }

    /// Serves an older version again, as a new one: the one with that number, or the one before the current.
    ///
    /// # Errors
    /// When there is none, or its relation is gone.
    pub async fn roll_back(&self, to: Option<u64>, operator: String) -> Result<Version, PublishError> {
        let change = self.store.change(&self.dataset.name).await.map_err(self.store_failed())?;
        let current = change.current().cloned();
        let other = |version: &&Arc<Version>| {
            let same = current.as_ref().is_some_and(|current| current.relation == version.relation);
            version.is_kept() && !same && to.is_none_or(|to| version.number == to)
        };
        let Some(older) = change.history().iter().find(other).cloned() else {
            let kept = change.history().iter().filter(|version| version.is_kept());
            let kept: Vec<String> = kept.map(|version| version.number.to_string()).collect();
            let known = match (kept.as_slice(), &current) {
                ([], _) | (_, None) => "nothing was published".to_owned(),
                (kept, Some(current)) => format!("kept are {}, and {} is current", kept.join(", "), current.number),
            };
            let wanted = to.map_or_else(|| "an older version".to_owned(), |to| format!("version {to}"));
            return Err(PublishError::NoVersion { dataset: self.dataset.name.to_string(), wanted, known });
        };
        let draft = Draft {
            relation: older.relation.clone(),
            data_through: older.data_through,
            rows: older.rows,
            statistics: older.statistics.clone(),
            checks: older.checks.clone(),
            contract: older.contract.clone(),
            operator,
            rollback_of: Some(older.number),
        };
        change.publish(draft).await.map_err(self.store_failed())
    }

    /// Gives up versions past the contract's retention and drops their relations: never one that a kept version still
    /// names, and none that was current a moment ago.
    ///
    /// # Errors
    /// When the store or the source refuse.
    pub async fn prune(&self, source: &config::Source) -> Result<Vec<Arc<Version>>, PublishError> {
        let change = self.store.change(&self.dataset.name).await.map_err(self.store_failed())?;
        let past = self.past(change.history(), change.current().map(|version| version.id), crate::clock::now());
        if past.is_empty() {
            return Ok(past);
        }
        let kept: Vec<Relation> = change
            .history()
            .iter()
            .filter(|version| version.is_kept() && past.iter().all(|past| past.id != version.id))
            .map(|version| version.relation.clone())
            .collect();
        let ids: Vec<VersionId> = past.iter().map(|version| version.id).collect();
        change.give_up(&ids).await.map_err(self.store_failed())?;
        // From now on nobody begins to read them; who has begun is waited for by the database.
        tokio::time::sleep(HEARD).await;
        let mut relations: Vec<&Relation> =
            past.iter().map(|version| &version.relation).filter(|relation| !kept.contains(relation)).collect();
        relations.sort_by_key(ToString::to_string);
        relations.dedup();
        for relation in relations {
            let dropped = Loader::new(source).drop(relation).await;
            dropped.map_err(|source| PublishError::Drop { relation: relation.to_string(), source })?;
        }
        Ok(past)
    }

    /// The versions that need not be kept, newest first.
    fn past(&self, history: &[Arc<Version>], current: Option<VersionId>, now: Timestamp) -> Vec<Arc<Version>> {
        let retention = &self.dataset.versions;
        let long_ago = |version: &Arc<Version>| {
            let Some(retired) = version.retired_at else { return false };
            let period = retention.period.max(LINGER);
            let period = Span::new().seconds(i64::try_from(period.as_secs()).unwrap_or(i64::MAX / 2));
            retired.checked_add(period).is_ok_and(|end| end < now)
        };
        let kept = history.iter().filter(|version| version.is_kept());
        let behind = kept.skip(retention.keep.max(1));
        behind.filter(|version| Some(version.id) != current && long_ago(version)).cloned().collect()
    }
}

/// The day of a date or an instant.
fn day(value: &Value) -> Option<Date> {
    let days = match value {
        Value::Date(days) => i64::from(*days),
        Value::Timestamp(micros) => micros.div_euclid(86_400_000_000),
        _ => return None,
    };
    Date::new(1970, 1, 1).ok()?.checked_add(Span::new().try_days(days).ok()?).ok()
}

/// The name of a relation for the next version of a dataset, which no version has yet.
#[must_use]
pub fn next_relation(dataset: &Dataset, history: &[Arc<Version>]) -> Option<Relation> {
    let newest = history.first().map_or(0, |version| version.number);
    (newest + 1..newest + 1000).find_map(|number| {
        let table = format!("{}__v{number}", dataset.relation.table).parse().ok()?;
        let relation = Relation { schema: dataset.relation.schema.clone(), table };
        history.iter().all(|version| version.relation != relation).then_some(relation)
    })
}
