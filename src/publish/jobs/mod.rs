//! Exports: files of a question that are made beside requests, by whichever instance is free.
//!
//! What is kept of a caller is the question, the role, and the claims that the role's rules refer to. A plan is made of
//! them anew when the export is asked for, when its turn comes, and whenever somebody wants to see it: what a grant has
//! lost meanwhile is lost here too.

mod worker;

use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use uuid::Uuid;

use super::files::{AssetId, Edition, ExportError, FileError, Library, Manifest, Partition, parts};
use crate::audit::Auditor;
use crate::auth::{Access, Claims, Instants, MaskKey, Matrix, Principal};
use crate::catalog::Catalog;
use crate::config;
use crate::encode::{MediaType, Numbers};
use crate::limit::Limiter;
use crate::plan::{self, Plan, Scope};
use crate::query::{CursorKey, Query};
use crate::source::Sources;
use crate::store::{self, Added, Job, JobState, Pointer, Store, VersionId, Versions};

/// A question as a door reads it, with what it says of how its answer is written.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The question, of all rows.
    pub query: Query,
    /// Numbers that a double cannot hold.
    pub numbers: Numbers,
    /// Whether texts are kept from being taken for formulas.
    pub guarded: bool,
    /// The first so many rows in its order, where not all of them were asked for.
    pub rows_max: Option<u64>,
}

/// Reads a question that was kept, of that dataset; `None` when it is none any more. The door that took it knows how.
pub type Reader = fn(dataset: &str, question: &str) -> Option<Asked>;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'o> {
    /// The question, as the door will read it again.
    pub question: &'o str,
    /// How its answer is written, as read already.
    pub asked: &'o Asked,
    /// What the files are written as.
    pub media_type: MediaType,
    /// What each of them holds the rows of.
    pub partition_by: Option<Partition>,
}

/// What an export is made of, as it is kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Terms {
    /// The question.
    pub question: String,
    /// The claims that the role's rules refer to.
    claims: Claims,
    /// What the files are written as, in short.
    pub format: String,
    /// What each of them holds the rows of.
    pub partition_by: Option<Partition>,
    /// The number of the version that is read; none of a live dataset.
    pub version: Option<u64>,
    /// Its id.
    version_id: Option<String>,
    /// The shape of the plan: of any other, the files are not for this caller.
    shape: String,
}

/// An export with its terms.
#[derive(Clone, Debug)]
pub struct Export {
    /// What has become of it.
    pub job: Job,
    /// What it is made of.
    pub terms: Terms,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The control store does not answer.
    #[error("reach the control store")]
    Store(#[source] store::Error),
    /// The store of files does not answer.
    #[error("reach the store of files")]
    Files(#[source] FileError),
    /// The files cannot be parted so.
    #[error("part the files")]
    Parted(#[source] ExportError),
    /// Whoever has no name cannot come back for files.
    #[error("export for a caller without a subject")]
    Nobody,
    /// As many are pending as one caller may have.
    #[error("take one more export of a caller who has {0} pending")]
    Crowded(u32),
    /// The bytes of a day are used up.
    #[error("export more on one day than the role may have")]
    Spent {
        /// Seconds until there are more.
        retry_after: u64,
    },
}

/// Takes, makes and tells of exports.
pub struct Exports {
    /// The control store.
    pub store: Arc<Store>,
    /// The files.
    pub library: Library,
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
    /// Counts rows of callers.
    pub limiter: Arc<Limiter>,
    /// Told of every export that is made.
    pub auditor: Auditor,
    /// How they are made.
    pub config: config::Assets,
    /// Reads questions again.
    pub read: Reader,
    /// Told of exports that are asked for here, so that nobody waits for the next look.
    pub hinted: Notify,
}

impl Exports {
    /// Takes an export of a plan, which the caller has been granted a moment ago. Returns whether it is a new one: the
    /// same question of the same version by an equal grant has one export.
    ///
    /// # Errors
    /// When the caller may have no more of them, or the store does not answer.
    pub async fn begin(
        &self,
        principal: &Principal,
        plan: &Plan,
        order: Order<'_>,
    ) -> Result<(Export, bool), JobError> {
        if principal.subject().is_empty() {
            return Err(JobError::Nobody);
        }
        parts(plan, order.partition_by).map_err(JobError::Parted)?;
        let now = crate::clock::now();
        if let Some(most) = principal.role().limits.export_bytes_per_day {
            let (today, tomorrow) = day(now);
            let used = self.store.bytes_exported(principal.subject(), today).await.map_err(JobError::Store)?;
            if used >= most {
                let left = tomorrow.as_second().saturating_sub(now.as_second());
                return Err(JobError::Spent { retry_after: u64::try_from(left).unwrap_or(1).max(1) });
            }
        }
        let id = Uuid::now_v7();
        let terms = Terms {
            question: order.question.to_owned(),
            claims: principal.claims().clone(),
            format: order.media_type.format().to_owned(),
            partition_by: order.partition_by,
            version: plan.version().map(|version| version.number),
            version_id: plan.version().map(|version| version.id.to_string()),
            shape: plan.shape().to_string(),
        };
        // A live dataset is another one with every moment.
        let state = terms.version_id.clone().unwrap_or_else(|| id.to_string());
        let same = same(&[
            principal.subject(),
            &principal.role().name,
            plan.dataset().name.as_str(),
            &plan.dataset().contract,
            &state,
            &terms.shape,
            &terms.format,
            terms.partition_by.map_or("", Partition::as_str),
            if order.asked.numbers == Numbers::Text { "text" } else { "" },
            if order.asked.guarded { "guarded" } else { "" },
            &order.asked.rows_max.map(|rows| rows.to_string()).unwrap_or_default(),
        ]);
        let job = Job {
            id,
            subject: principal.subject().to_owned(),
            role: principal.role().name.clone(),
            dataset: plan.dataset().name.to_string(),
            asked: serde_json::to_string(&terms).unwrap_or_default(),
            state: JobState::Queued,
            attempt: 0,
            created_at: now,
            started_at: None,
            finished_at: None,
            kept_until: None,
            reach: store::Reach::default(),
            outcome: None,
        };
        let pending_max = self.config.exports.pending_max;
        match self.store.add_job(&job, &same, pending_max).await.map_err(JobError::Store)? {
            Added::New(job) => {
                self.hinted.notify_one();
                Ok((Export { job, terms }, true))
            }
            // The terms of the first asking: equal ones, but for how they were said.
            Added::Known(job) => {
                let terms = read(&job).unwrap_or(terms);
                Ok((Export { job, terms }, false))
            }
            Added::Crowded => Err(JobError::Crowded(pending_max)),
        }
    }

    /// The export of that id, where it is the caller's, and what it holds is still granted; else there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn find(&self, principal: &Principal, id: Uuid) -> Result<Option<Export>, JobError> {
        let job = self.store.job(id).await.map_err(JobError::Store)?;
        Ok(job.and_then(|job| self.granted(principal, job)))
    }

    /// Those of the caller that are still granted, the newest first.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn list(&self, principal: &Principal) -> Result<Vec<Export>, JobError> {
        if principal.subject().is_empty() {
            return Ok(Vec::new());
        }
        let jobs = self.store.jobs_of(principal.subject()).await.map_err(JobError::Store)?;
        Ok(jobs.into_iter().filter_map(|job| self.granted(principal, job)).collect())
    }

    /// Ends an export that is not wanted any more. Its files go.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn cancel(&self, export: &Export) -> Result<(), JobError> {
        let now = crate::clock::now();
        // Whoever makes it hears of it with its next word; what it writes until then goes as well.
        let writing = export.job.state == JobState::Running;
        let gone = if writing { after(now, self.config.exports.lease) } else { now };
        self.store.cancel_job(export.job.id, now, gone).await.map_err(JobError::Store)
    }

    /// The files of an export that is done.
    ///
    /// # Errors
    /// When the store of files does not answer.
    pub async fn files(&self, export: &Export) -> Result<Option<Arc<Manifest>>, JobError> {
        let (JobState::Done, Some(manifest)) = (export.job.state, &export.job.outcome) else { return Ok(None) };
        let past = export.job.kept_until.is_none_or(|until| until <= crate::clock::now());
        let Some(id) = self.asset(export, manifest).filter(|_| !past) else { return Ok(None) };
        self.library.manifest(&id).await.map_err(JobError::Files)
    }

    fn asset(&self, export: &Export, manifest: &str) -> Option<AssetId> {
        let edition = edition(export);
        let text = format!("{}.{}.{manifest}", export.job.dataset, edition.as_str());
        text.parse().ok()
    }

    fn granted(&self, principal: &Principal, job: Job) -> Option<Export> {
        let own = !job.subject.is_empty() && job.subject == principal.subject() && job.role == principal.role().name;
        let terms = read(&job).filter(|_| own)?;
        let plan = self.plan(principal, &job.dataset, &terms, &self.pointer.load())?;
        (plan.shape().to_string() == terms.shape).then_some(Export { job, terms })
    }

    /// The plan of an export for a caller, of those versions; `None` where there would be none any more.
    fn plan(&self, principal: &Principal, dataset: &str, terms: &Terms, versions: &Versions) -> Option<Plan> {
        let asked = (self.read)(dataset, &terms.question)?;
        // All rows have no pages.
        let cursors = CursorKey::random();
        let scope = Scope {
            catalog: &self.catalog,
            versions,
            principal,
            cursors: &cursors,
            masks: &self.masks,
            moment: Instants::kept(crate::clock::now(), self.config.exports.keep),
        };
        let plan = plan::plan(&asked.query, &scope).ok()?;
        let media_type = MediaType::named(&terms.format)?;
        plan.media_types().has(media_type).then_some(plan)
    }

    /// Who has asked, as the matrix of now has their role.
    fn principal(job: &Job, terms: &Terms, matrix: &Matrix) -> Option<Principal> {
        let mut claims = terms.claims.clone();
        claims.insert("sub".to_owned(), job.subject.clone().into());
        Some(Principal::supposed(matrix.role(&job.role)?, claims, matrix))
    }

    /// The versions of which only the one that was asked for is current; `None` when its relation is gone.
    fn versions(&self, dataset: &str, terms: &Terms) -> Option<Versions> {
        let Some(id) = &terms.version_id else { return Some(Versions::default()) };
        let id = VersionId(Uuid::try_parse(id).ok()?);
        let version = self.pointer.load().kept(dataset, id)?.as_ref().clone();
        Some(Versions::new([version], &[id]))
    }
}

/// The state of the dataset that an export is of: a live one is read once for it.
fn edition(export: &Export) -> Edition {
    let id = export.terms.version_id.as_deref().and_then(|id| Uuid::try_parse(id).ok());
    Edition::asked(export.terms.version.zip(id), export.job.id)
}

fn read(job: &Job) -> Option<Terms> {
    serde_json::from_str(&job.asked).ok()
}

fn same(words: &[&str]) -> String {
    let mut context = Context::new(&SHA256);
    for word in words {
        context.update(&(word.len() as u64).to_le_bytes());
        context.update(word.as_bytes());
    }
    super::files::hex(&context.finish().as_ref()[..16])
}

fn after(now: Timestamp, period: std::time::Duration) -> Timestamp {
    now.checked_add(period).unwrap_or(Timestamp::MAX)
}

/// When that day of UTC began, and when it ends.
fn day(now: Timestamp) -> (Timestamp, Timestamp) {
    let day = now.to_zoned(TimeZone::UTC).date();
    let begins = |day: jiff::civil::Date| day.to_zoned(TimeZone::UTC).map_or(now, |zoned| zoned.timestamp());
    (begins(day), begins(day.saturating_add(1.day())))
}
