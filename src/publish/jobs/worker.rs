//! Makes exports: one at a time for each worker, held by a lease that is renewed while it lasts. Whatever ends a worker,
//! another one begins anew, and its manifest lists its own files.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Export, Exports, after, day, edition, read};
use crate::audit::{Access, Delivery, Door, Event};
use crate::auth::Principal;
use crate::encode::{MediaType, Style};
use crate::limit::{Key, Quotas};
use crate::plan::Plan;
use crate::publish::files::{AssetId, ExportError, Exporter, Manifest, Progress, Work, export_folder};
use crate::store::{self, Job, Reach};
use crate::telemetry;

/// A lease is renewed so often while it lasts: two words may be lost.
const WORDS_OF_A_LEASE: u32 = 3;
/// A control store that has not answered by then is asked again later.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);
/// So long after a failure nothing is asked, so that a store that is out fills no log.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// Exports without files are told of for so long.
const REMEMBERED: jiff::SignedDuration = jiff::SignedDuration::from_hours(7 * 24);

/// Why an export has failed, in a word that its caller reads.
const GONE: &str = "version_gone";
const CHANGED: &str = "access_changed";
const SPENT: &str = "quota_exceeded";
const LATE: &str = "time_exceeded";
const FAULT: &str = "internal";

impl Exports {
    /// Makes exports, and deletes what is past its time, until the process stops. What is under way then is given back.
    pub async fn run(self: Arc<Self>, stopped: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for _ in 0..self.config.exports.workers {
            tasks.spawn(Arc::clone(&self).work(stopped.clone()));
        }
        tasks.spawn(Arc::clone(&self).sweep(stopped));
        while tasks.join_next().await.is_some() {}
    }

    async fn work(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let now = crate::clock::now();
            let until = after(now, self.config.exports.lease);
            let leased = tokio::select! {
                leased = timely(self.store.lease_job(now, until)) => leased,
                () = stop(&mut stopped) => return,
            };
            let wait = match leased {
                Ok(Some(job)) => {
                    let made = self.make(&job);
                    tokio::select! {
                        () = made => {}
                        () = stop(&mut stopped) => {
                            // Where this is not heard, the lease runs out.
                            let _ = timely(self.store.return_job(&job)).await;
                        }
                    }
                    continue;
                }
                Ok(None) => self.config.exports.poll,
                Err(error) => {
                    tracing::warn!(error = telemetry::chain(&error), "no export can be leased");
                    self.config.exports.poll.max(AFTER_FAILURE)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.hinted.notified() => {}
                () = stop(&mut stopped) => {}
            }
        }
    }

    /// Makes one export, and says what has become of it, unless it is somebody else's by then.
    async fn make(&self, job: &Job) {
        let reached = Mutex::new(Progress::default());
        let ended = tokio::select! {
            ended = tokio::time::timeout(self.config.exports.time_max, self.files_of(job, &reached)) => {
                ended.unwrap_or_else(|_| {
                    tracing::warn!(export = %job.id, "an export has taken longer than assets.exports.time_max");
                    Err(LATE)
                })
            }
            () = self.hold(job, &reached) => {
                tracing::info!(export = %job.id, "an export was cancelled, or taken by another instance");
                return;
            }
        };
        let outcome = ended.as_ref().map_or_else(|why| *why, |_| "done");
        metrics::counter!("martello_exports_total", "outcome" => outcome).increment(1);
        let now = crate::clock::now();
        let reach = reach(&reached);
        let finished = match &ended {
            Ok((manifest, _, _)) => {
                let kept = after(now, self.config.exports.keep);
                timely(self.store.finish_job(job, Ok(&manifest.id), reach, now, kept)).await
            }
            Err(why) => timely(self.store.finish_job(job, Err(why), reach, now, now)).await,
        };
        match (finished, ended) {
            (Ok(true), Ok((manifest, plan, principal))) => self.tell(&manifest, &plan, &principal),
            (Ok(_), _) => {}
            (Err(error), _) => {
                // Its lease runs out, and another makes it anew.
                tracing::warn!(export = %job.id, error = telemetry::chain(&error), "the end of an export was not heard");
            }
        }
    }

    async fn files_of(
        &self,
        job: &Job,
        reached: &Mutex<Progress>,
    ) -> Result<(Manifest, Plan, Principal), &'static str> {
        let terms = read(job).ok_or(CHANGED)?;
        let export = Export { job: job.clone(), terms };
        let terms = &export.terms;
        let matrix = self.access.load();
        let principal = Self::principal(job, terms, &matrix).ok_or(CHANGED)?;
        let versions = self.versions(&job.dataset, terms).ok_or(GONE)?;
        let plan = self.plan(&principal, &job.dataset, terms, &versions).ok_or(CHANGED)?;
        let version = plan.version().map(|version| version.id.to_string());
        if plan.shape().to_string() != terms.shape || version != terms.version_id {
            return Err(CHANGED);
        }
        let asked = (self.read)(&job.dataset, &terms.question).ok_or(CHANGED)?;
        let media_type = MediaType::named(&terms.format).ok_or(CHANGED)?;
        let fault = |error: &dyn std::error::Error| {
            tracing::error!(export = %job.id, error = telemetry::chain(error), "an export failed");
            FAULT
        };
        let left = self.bytes_left(&principal).await.map_err(|error| fault(&error))?;
        let source = self.sources.get(plan.source()).map_err(|error| fault(&error))?;
        let exporter = Exporter {
            files: self.library.files(),
            part_rows: self.config.part_rows,
            part_bytes: self.config.part_bytes,
        };
        let work = Work {
            plan: &plan,
            media_type,
            style: Style { numbers: asked.numbers, zone: plan.zone().cloned(), guarded: asked.guarded },
            partition_by: terms.partition_by,
            edition: edition(&export),
            since: None,
            rows_max: asked.rows_max,
            export: Some((job.id.simple().to_string(), job.attempt)),
        };
        let watch = |progress: Progress| {
            *reached.lock().unwrap_or_else(PoisonError::into_inner) = progress;
            if left.is_some_and(|left| progress.bytes > left) { Err(ExportError::Stopped(SPENT)) } else { Ok(()) }
        };
        match exporter.export(source.as_ref(), work, watch).await {
            Ok(manifest) => Ok((manifest, plan, principal)),
            Err(ExportError::Stopped(why)) => Err(why),
            Err(error) => Err(fault(&error)),
        }
    }

    /// What the caller may still have today; nothing where nothing bounds it.
    async fn bytes_left(&self, principal: &Principal) -> Result<Option<u64>, store::Error> {
        let Some(most) = principal.role().limits.export_bytes_per_day else { return Ok(None) };
        let (today, _) = day(crate::clock::now());
        let used = timely(self.store.bytes_exported(principal.subject(), today)).await?;
        Ok(Some(most.saturating_sub(used)))
    }

    /// Renews the lease; returns when the export is somebody else's, or nobody's.
    async fn hold(&self, job: &Job, reached: &Mutex<Progress>) {
        let lease = self.config.exports.lease;
        loop {
            tokio::time::sleep(lease / WORDS_OF_A_LEASE).await;
            let until = after(crate::clock::now(), lease);
            match timely(self.store.hold_job(job, reach(reached), until)).await {
                Ok(true) => {}
                Ok(false) => return,
                // The end of the export is decided by who has it then.
                Err(error) => {
                    tracing::warn!(error = telemetry::chain(&error), "the lease of an export was not renewed");
                }
            }
        }
    }

    fn tell(&self, manifest: &Manifest, plan: &Plan, principal: &Principal) {
        let limits = principal.role().limits;
        let quotas = Quotas::new(
            limits.requests_per_second.map(u64::from),
            limits.requests_per_day,
            limits.rows_per_day,
            limits.concurrent_requests,
        );
        self.limiter.delivered(Key::of(&principal.role().name, principal.subject()), &quotas, manifest.rows);
        let dataset = plan.dataset();
        let columns = plan.fields().iter().take(plan.shown()).map(|field| &field.name);
        let access = Access::by(principal.subject(), &principal.role().name, Door::Assets, 201)
            .to(&dataset.name, manifest.version, principal.decision(dataset.name.as_str()).0, columns)
            .delivering(Delivery {
                rows: Some(manifest.rows),
                bytes: Some(manifest.bytes),
                format: manifest.media_type().map(MediaType::format),
                ..Delivery::default()
            });
        self.auditor.record(Event::access(&manifest.id, Arc::new(access)));
    }

    /// Deletes files that are past their time.
    async fn sweep(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        while !*stopped.borrow() {
            let swept = tokio::select! {
                swept = self.swept() => swept,
                () = stop(&mut stopped) => return,
            };
            let wait = match swept {
                Ok(()) => self.config.exports.poll,
                Err(error) => {
                    tracing::warn!(error = telemetry::chain(&*error), "files of exports were not deleted");
                    self.config.exports.poll.max(AFTER_FAILURE)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop(&mut stopped) => {}
            }
        }
    }

    async fn swept(&self) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let now = crate::clock::now();
        for job in timely(self.store.jobs_to_sweep(now)).await? {
            if let (Some(terms), Ok(dataset)) = (read(&job), job.dataset.parse()) {
                let export = Export { job: job.clone(), terms };
                let state = AssetId::folder(&dataset, &edition(&export));
                let folder = export_folder(&state, &job.id.simple().to_string());
                // The manifests first: what is half deleted is not listed.
                for attempt in 1..=job.attempt {
                    let name = format!("e-{}-{attempt}", job.id.simple());
                    if let Some(id) = self.asset(&export, &name) {
                        self.library.forget(&id).await?;
                    }
                }
                self.library.files().remove(&folder).await?;
            }
            timely(self.store.swept_job(job.id)).await?;
        }
        if let Ok(before) = now.checked_sub(REMEMBERED) {
            timely(self.store.forget_jobs(before)).await?;
        }
        Ok(())
    }
}

/// What the control store says, unless it takes too long.
async fn timely<T>(asked: impl Future<Output = Result<T, store::Error>>) -> Result<T, store::Error> {
    tokio::time::timeout(STORE_TIMEOUT, asked).await.map_err(|_| store::Error::Timeout)?
}

/// Waits until the process is on its way out.
async fn stop(stopped: &mut watch::Receiver<bool>) {
    // Who could say so and is gone has ended as well.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn reach(reached: &Mutex<Progress>) -> Reach {
    let Progress { rows, bytes, parts } = *reached.lock().unwrap_or_else(PoisonError::into_inner);
    Reach { rows, bytes, parts }
}
