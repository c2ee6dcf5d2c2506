//! Reads events back, from the file or the table that they were written to.

use std::collections::{HashSet, VecDeque};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use super::{Error, Event, What};
use crate::config::{self, AuditTo};
use crate::store::{Sought, Store};

/// Events that are read from a table at once.
const PAGE: u32 = 5000;
/// Instances put their events there in their own time: one that is so much older than the newest may still come.
const OVERLAP: Duration = Duration::from_secs(30);

/// Which events are meant.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// At that instant or later.
    pub since: Option<Timestamp>,
    /// Of that dataset.
    pub dataset: Option<String>,
    /// Of that role.
    pub role: Option<String>,
    /// Of that subject.
    pub subject: Option<String>,
}

impl Filter {
    fn takes(&self, event: &Event) -> bool {
        let (dataset, role, subject) = match event.what() {
            What::DataAccess(access) => (access.dataset(), Some(access.role()), Some(access.subject())),
            What::Credential(credential) => (None, None, Some(credential.subject())),
            What::Asset(asset) => (Some(asset.dataset()), None, Some(asset.subject())),
            What::PolicyChange(_) | What::Lost { .. } => (None, None, None),
        };
        let same = |asked: &Option<String>, found: Option<&str>| asked.is_none() || asked.as_deref() == found;
        self.since.is_none_or(|since| event.time() >= since)
            && same(&self.dataset, dataset)
            && same(&self.role, role)
            && same(&self.subject, subject)
    }

    fn sought(&self, limit: u32) -> Sought {
        let Self { since, dataset, role, subject } = self.clone();
        Sought { since, before: None, dataset, role, subject, limit }
    }
}

/// Where events are read from.
#[derive(Clone)]
pub enum Trail {
    /// A file. What was moved away is in another one.
    File(PathBuf),
    /// A table.
    Table(Arc<Store>),
}

impl Trail {
    /// Where the configuration has events written to.
    ///
    /// # Errors
    /// When they cannot be read back from there.
    pub fn of(config: &config::Audit, store: Option<Arc<Store>>) -> Result<Self, Error> {
        match config.to {
            AuditTo::File => config.path.clone().map(Self::File).ok_or(Error::NoPath),
            AuditTo::Table => store.map(Self::Table).ok_or(Error::NoStore),
            AuditTo::Stdout | AuditTo::Off => Err(Error::NotKept),
        }
    }

    /// The newest events, the newest first.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn newest(&self, filter: &Filter, count: u32) -> Result<Vec<Event>, Error> {
        match self {
            Self::File(path) => {
                let mut last = VecDeque::new();
                lines(path, 0, |event| {
                    if filter.takes(&event) {
                        last.push_back(event);
                        if last.len() > count as usize {
                            last.pop_front();
                        }
                    }
                })?;
                Ok(last.into_iter().rev().collect())
            }
            Self::Table(store) => {
                let found = store.audited(&filter.sought(count)).await.map_err(Error::Table)?;
                Ok(found.iter().filter_map(|found| read(&found.event)).collect())
            }
        }
    }

    /// Every event, in no order.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn each(&self, filter: &Filter, mut take: impl FnMut(&Event)) -> Result<(), Error> {
        match self {
            Self::File(path) => lines(path, 0, |event| {
                if filter.takes(&event) {
                    take(&event);
                }
            })
            .map(drop),
            Self::Table(store) => {
                let mut sought = filter.sought(PAGE);
                loop {
                    let page = store.audited(&sought).await.map_err(Error::Table)?;
                    let mut last = None;
                    for found in &page {
                        let Some(event) = read(&found.event) else { continue };
                        take(&event);
                        last = Some((event.time(), found.id));
                    }
                    if page.len() < PAGE as usize || last.is_none() {
                        return Ok(());
                    }
                    sought.before = last;
                }
            }
        }
    }
}

/// Reads what comes after what was read before.
pub struct Follower {
    trail: Trail,
    filter: Filter,
    /// Of a file: which one it was, and up to where it was read.
    file: (u64, u64),
    /// Of a table: what was told already.
    told: HashSet<Uuid>,
    newest: Option<Timestamp>,
}

impl Follower {
    /// Follows from now on: what is there already is passed by.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn begin(trail: Trail, filter: Filter) -> Result<Self, Error> {
        let mut follower = Self { trail, filter, file: (0, 0), told: HashSet::new(), newest: None };
        if let Trail::File(path) = &follower.trail {
            follower.file = std::fs::metadata(path).map_or((0, 0), |found| (found.ino(), found.len()));
        }
        follower.next().await?;
        Ok(follower)
    }

    /// What has come meanwhile, the oldest first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn next(&mut self) -> Result<Vec<Event>, Error> {
        match &self.trail {
            Trail::File(path) => {
                // Between a file that was moved and the next one there is none.
                let Ok(found) = std::fs::metadata(path) else { return Ok(Vec::new()) };
                let (ino, from) = self.file;
                let from = if ino == found.ino() && from <= found.len() { from } else { 0 };
                let mut events = Vec::new();
                let end = lines(path, from, |event| {
                    if self.filter.takes(&event) {
                        events.push(event);
                    }
                })?;
                self.file = (found.ino(), end);
                Ok(events)
            }
            Trail::Table(store) => {
                let mut sought = self.filter.sought(PAGE);
                let overlap = self.newest.and_then(|newest| newest.checked_sub(OVERLAP).ok());
                sought.since = sought.since.max(overlap);
                let first = self.newest.is_none();
                let found = store.audited(&sought).await.map_err(Error::Table)?;
                let ids: HashSet<Uuid> = found.iter().map(|found| found.id).collect();
                let new = found.iter().filter(|found| !self.told.contains(&found.id));
                let mut events: Vec<Event> = new.filter_map(|found| read(&found.event)).collect();
                self.newest = self.newest.max(events.first().map(Event::time)).or(Some(Timestamp::UNIX_EPOCH));
                self.told = ids;
                events.reverse();
                Ok(if first { Vec::new() } else { events })
            }
        }
    }
}

/// An event, unless the text is none: a line may have been cut by a full disk, and is then there once more.
fn read(text: &str) -> Option<Event> {
    serde_json::from_str(text).ok()
}

/// Reads whole lines from there on; tells where the last one ends.
fn lines(path: &Path, from: u64, mut take: impl FnMut(Event)) -> Result<u64, Error> {
    let failed = |source| Error::File { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let (mut reader, mut end, mut line) = (BufReader::new(file), from, Vec::new());
    loop {
        line.clear();
        let bytes = reader.read_until(b'\n', &mut line).map_err(failed)?;
        if line.last() != Some(&b'\n') {
            return Ok(end);
        }
        end += bytes as u64;
        if let Some(event) = std::str::from_utf8(&line).ok().and_then(read) {
            take(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Access, Door};

    fn event(subject: &str) -> Event {
        Event::access("r", Arc::new(Access::by(subject, "reader", Door::Rest, 200)))
    }

    fn subjects(events: &[Event]) -> Vec<&str> {
        events.iter().filter_map(|event| event.as_access().map(Access::subject)).collect()
    }

    #[tokio::test]
    async fn a_file_is_read_by_whole_lines_and_followed_when_it_is_moved() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let line = |subject| event(subject).line() + "\n";
        std::fs::write(&path, format!("{}{{\"time\":\"cut\n{}{}", line("a"), line("b"), "{\"half")).expect("written");
        let trail = Trail::File(path.clone());
        let newest = trail.newest(&Filter::default(), 10).await.expect("events");
        assert_eq!(subjects(&newest), ["b", "a"]);
        let of_a = Filter { subject: Some("a".into()), ..Filter::default() };
        assert_eq!(subjects(&trail.newest(&of_a, 10).await.expect("events")), ["a"]);
        assert_eq!(subjects(&trail.newest(&Filter::default(), 1).await.expect("events")), ["b"]);

        std::fs::write(&path, line("a")).expect("written");
        let mut follower = Follower::begin(trail, Filter::default()).await.expect("a follower");
        assert!(follower.next().await.expect("events").is_empty());
        std::fs::write(&path, line("a") + &line("c")).expect("written");
        assert_eq!(subjects(&follower.next().await.expect("events")), ["c"]);
        std::fs::rename(&path, folder.path().join("audit.jsonl.1")).expect("moved");
        assert!(follower.next().await.expect("events").is_empty());
        std::fs::write(&path, line("d")).expect("written");
        assert_eq!(subjects(&follower.next().await.expect("events")), ["d"]);
    }
}
