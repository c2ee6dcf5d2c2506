//! What is published from now on, for whoever waits for it: told by the same pointer that every request reads, so that an
//! announcement never comes before the version that it tells of is served.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use futures_util::Stream;

use super::Context;
use super::problem::{self, Problem};
use crate::auth::Principal;
use crate::plan::View;
use crate::store::{Version, VersionId, Versions};

/// Whether a caller may still listen is looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// What is published of the datasets of those names that the caller may see; of all of them without names. With the id of
/// a version, what was published since that comes first: from any instance, since all know the same versions.
///
/// It ends when the process stops, when the caller's token does, and when keys or matrix change: who listens on is let in
/// anew.
///
/// # Errors
/// When a dataset does not exist for the caller, or as many listen as may.
pub fn announced(
    context: &Context,
    principal: Principal,
    names: Option<&[String]>,
    since: Option<VersionId>,
) -> Result<impl Stream<Item = Arc<Version>> + Send + 'static, Problem> {
    let catalog = &context.engine.catalog;
    let mut datasets: Vec<String> =
        View::all(catalog, principal.role()).iter().map(|view| view.dataset().name.to_string()).collect();
    if let Some(names) = names {
        if let Some(unknown) = names.iter().find(|name| !datasets.contains(name)) {
            return Err(crate::plan::Error::UnknownDataset(unknown.clone()).into());
        }
        datasets.retain(|dataset| names.contains(dataset));
    }
    let room = Arc::clone(&context.listeners).try_acquire_owned().map_err(|_| {
        Problem::new(problem::OVERLOADED, "as many listen for publishes as may")
            .header(axum::http::header::RETRY_AFTER, "1")
    })?;
    let (keys, matrix) = (context.keys.generation(), Arc::downgrade(&context.engine.access.load()));
    let context = context.clone();
    Ok(stream! {
        let _room = room;
        let mut swaps = context.engine.pointer.subscribe();
        let mut stopped = context.stopped.clone();
        // Seen before anything is told: what is published meanwhile comes with the next swap.
        let mut seen = Arc::clone(&swaps.borrow_and_update());
        for version in since.map(|since| later(&seen, &datasets, since)).unwrap_or_default() {
            yield version;
        }
        loop {
            let changed = tokio::select! {
                changed = swaps.changed() => changed.is_ok(),
                () = tokio::time::sleep(LOOK) => true,
                _ = stopped.wait_for(|stopped| *stopped) => false,
            };
            let lives = crate::clock::unix_seconds() < principal.ends_at();
            let same = context.keys.generation() == keys && context.engine.access.is(&matrix);
            if !(changed && lives && same) {
                break;
            }
            let now = Arc::clone(&swaps.borrow_and_update());
            for version in new(&seen, &now, &datasets) {
                yield version;
            }
            seen = now;
        }
    })
}

/// The versions of those datasets that only the later snapshot knows, in the order in which they were published.
fn new(before: &Versions, now: &Versions, datasets: &[String]) -> Vec<Arc<Version>> {
    let known = |name: &str| -> BTreeSet<VersionId> { before.history(name).iter().map(|version| version.id).collect() };
    let mut new = Vec::new();
    for name in datasets {
        let known = known(name);
        new.extend(now.history(name).iter().filter(|version| !known.contains(&version.id)).cloned());
    }
    new.sort_by_key(|version| (version.published_at, version.id));
    new
}

/// What was published since that version: nothing where nobody knows it any more.
fn later(versions: &Versions, datasets: &[String], since: VersionId) -> Vec<Arc<Version>> {
    let all = || datasets.iter().flat_map(|name| versions.history(name));
    let Some(last) = all().find(|version| version.id == since) else { return Vec::new() };
    // Of two at the same time either may have been told first.
    let later = all().filter(|version| version.published_at >= last.published_at && version.id != since);
    let mut later: Vec<Arc<Version>> = later.cloned().collect();
    later.sort_by_key(|version| (version.published_at, version.id));
    later
}
