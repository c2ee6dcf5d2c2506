//! Where events go: lines of JSON on standard output or in a file, or rows of a table.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use uuid::Uuid;

use super::{Error, Event};
use crate::config::{self, AuditTo};
use crate::store::Store;

/// An event as it is written, under the id by which a table knows it again.
pub(super) struct Line {
    id: Uuid,
    text: String,
}

impl Line {
    pub(super) fn of(event: &Event) -> Self {
        Self { id: Uuid::now_v7(), text: event.line() }
    }
}

/// Where events go.
pub(super) enum Sink {
    Stdout,
    File(Arc<Mutex<Log>>),
    Table(Arc<Store>),
}

impl Sink {
    pub(super) async fn open(config: &config::Audit, store: Option<Arc<Store>>) -> Result<Option<Self>, Error> {
        Ok(Some(match config.to {
            AuditTo::Off => return Ok(None),
            AuditTo::Stdout => Self::Stdout,
            AuditTo::File => {
                let mut log = Log::at(config.path.clone().ok_or(Error::NoPath)?);
                let opened = log.open().map(drop);
                opened.map_err(|source| Error::File { path: log.path.clone(), source })?;
                Self::File(Arc::new(Mutex::new(log)))
            }
            AuditTo::Table => {
                let store = store.ok_or(Error::NoStore)?;
                store.prepare_audit().await.map_err(Error::Table)?;
                Self::Table(store)
            }
        }))
    }

    /// Writes those lines, and takes away what is written: what is left after an error is to be tried again.
    pub(super) async fn write(&self, lines: &mut Vec<Line>) -> Result<(), Error> {
        match self {
            Self::Stdout => {
                let text = joined(lines);
                let written = tokio::task::spawn_blocking(move || {
                    let mut out = std::io::stdout();
                    out.write_all(text.as_bytes()).and_then(|()| out.flush())
                });
                written.await.map_err(|_| Error::Ended)?.map_err(Error::Stdout)?;
            }
            Self::File(log) => {
                let (log, text) = (Arc::clone(log), joined(lines));
                let written = tokio::task::spawn_blocking(move || {
                    // Whoever panicked has written some lines or none: the file says itself where it ends.
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.append(&text).map_err(|(written, source)| (written, log.path.clone(), source))
                });
                if let Err((written, path, source)) = written.await.map_err(|_| Error::Ended)? {
                    lines.drain(..written);
                    return Err(Error::File { path, source });
                }
            }
            Self::Table(store) => {
                // The id goes first into the object that the event's own text is.
                let rows = lines.iter().map(|line| format!("{{\"id\":\"{}\",{}", line.id, &line.text[1..]));
                let rows = format!("[{}]", rows.collect::<Vec<_>>().join(","));
                store.append_audit(&rows).await.map_err(Error::Table)?;
            }
        }
        lines.clear();
        Ok(())
    }

    /// Whether old events go by themselves.
    pub(super) fn forgets(&self) -> bool {
        matches!(self, Self::Table(_))
    }

    /// Forgets what is older.
    pub(super) async fn prune(&self, before: Timestamp) -> Result<u64, Error> {
        match self {
            Self::Table(store) => store.prune_audit(before).await.map_err(Error::Table),
            Self::Stdout | Self::File(_) => Ok(0),
        }
    }
}

fn joined(lines: &[Line]) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        text.push_str(&line.text);
        text.push('\n');
        text
    })
}

/// A file that lines are put at the end of, and that others may move away.
pub(super) struct Log {
    path: PathBuf,
    open: Option<File>,
    /// Whether the last line has no end.
    torn: bool,
}

impl Log {
    fn at(path: PathBuf) -> Self {
        Self { path, open: None, torn: false }
    }

    fn open(&mut self) -> std::io::Result<&mut File> {
        if !self.open.as_ref().is_some_and(|file| is_at(file, &self.path)) {
            self.open = Some(OpenOptions::new().create(true).append(true).open(&self.path)?);
            self.torn = false;
        }
        self.open.as_mut().ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// Appends whole lines; on failure tells how many of them are in the file. A line that has broken off is ended before
    /// the next one, and written again.
    fn append(&mut self, text: &str) -> Result<(), (usize, std::io::Error)> {
        let torn = std::mem::take(&mut self.torn);
        let file = self.open().map_err(|error| (0, error))?;
        if torn {
            file.write_all(b"\n").map_err(|error| (0, error))?;
        }
        let (outcome, done) = put(file, text.as_bytes());
        outcome.map_err(|error| {
            let written = &text.as_bytes()[..done];
            self.torn = written.last().is_some_and(|last| *last != b'\n');
            (written.iter().filter(|byte| **byte == b'\n').count(), error)
        })
    }
}

/// Writes all bytes, and tells how many were written.
fn put(out: &mut impl Write, bytes: &[u8]) -> (std::io::Result<()>, usize) {
    let mut done = 0;
    while done < bytes.len() {
        match out.write(&bytes[done..]) {
            Ok(0) => return (Err(std::io::ErrorKind::WriteZero.into()), done),
            Ok(some) => done += some,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return (Err(error), done),
        }
    }
    (Ok(()), done)
}

/// Whether the path still leads to that file: what rotates logs moves them.
fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(ours), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (ours.dev(), ours.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_is_begun_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, moved) = (folder.path().join("audit.jsonl"), folder.path().join("audit.jsonl.1"));
        let mut log = Log::at(path.clone());
        log.append("1\n2\n").expect("written");
        std::fs::rename(&path, &moved).expect("moved");
        log.append("3\n").expect("written");
        let read = |path| std::fs::read_to_string(path).expect("a file");
        assert_eq!((read(&moved), read(&path)), ("1\n2\n".to_owned(), "3\n".to_owned()));
    }

    /// Takes so many bytes, then fails.
    struct Full(usize, Vec<u8>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let some = bytes.len().min(self.0);
            if some == 0 {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.0 -= some;
            self.1.extend(&bytes[..some]);
            Ok(some)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_a_full_disk_has_taken_is_known_to_the_byte() {
        let mut full = Full(5, Vec::new());
        let (outcome, done) = put(&mut full, b"ab\ncdef\n");
        assert_eq!((outcome.map_err(|error| error.kind()), done), (Err(std::io::ErrorKind::StorageFull), 5));
        assert_eq!(full.1, b"ab\ncd");
    }
}
