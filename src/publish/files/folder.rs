//! Files of a folder, as they are read. What the system has in memory is read right here; only what a disk must be waited
//! for is left to another thread, whose turn costs more than copying the bytes does.

use std::fs::File;
use std::io::{Error as IoError, Read as _, Seek as _, SeekFrom};
use std::ops::Range;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::room::Room;
use super::store::{ByteStream, Error};

/// A file of so many bytes is small.
const SMALL_BYTES: u64 = 1 << 20;

/// A file that was opened without waiting for a disk; `None` where that cannot be, as for one that is not there.
pub(super) fn opened(path: &str) -> Option<(File, u64)> {
    let file = at_once::open(path)?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file)?.len();
    Some((file, length))
}

/// The whole of a small file; `None` where it must be waited for.
pub(super) fn content(path: &str) -> Option<Bytes> {
    let (file, length) = opened(path).filter(|(_, length)| *length <= SMALL_BYTES)?;
    let mut room = Room::of(length);
    let read = at_once::read(&file, 0, room.bytes())?;
    (read as u64 == length).then(|| room.filled(read))
}

/// A part of a file, in pieces.
pub(super) fn pieces(file: File, range: Range<u64>, path: &str) -> ByteStream {
    let path = path.to_owned();
    let unread = move |source| Error::Read { path: path.clone(), source };
    let read = |(file, range): (File, Range<u64>)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let mut room = Room::of(range.end - range.start);
        let (piece, file) = match at_once::read(&file, range.start, room.bytes()) {
            Some(read) => (room.filled(read), file),
            None => {
                let reading = move || waited_for(file, range.start, room);
                tokio::task::spawn_blocking(reading).await.map_err(IoError::other)??
            }
        };
        let rest = range.start + piece.len() as u64..range.end;
        Ok(Some((piece, (file, rest))))
    };
    stream::try_unfold((file, range), read).map_err(unread).boxed()
}

fn waited_for(mut file: File, start: u64, mut room: Room) -> std::io::Result<(Bytes, File)> {
    file.seek(SeekFrom::Start(start))?;
    file.read_exact(room.bytes())?;
    Ok((room.filled(usize::MAX), file))
}

/// What Linux does without waiting, on file systems that can tell; everything else is waited for.
#[cfg(target_os = "linux")]
mod at_once {
    use std::fs::File;
    use std::io::IoSliceMut;

    use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
    use rustix::io::{ReadWriteFlags, preadv2};

    /// `RESOLVE_CACHED`: only where every name of the path is in memory.
    pub(super) fn open(path: &str) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok().map(File::from)
    }

    /// `RWF_NOWAIT`: how many bytes were in memory, up to the first that was not.
    pub(super) fn read(file: &File, start: u64, into: &mut [u8]) -> Option<usize> {
        let read = preadv2(file, &mut [IoSliceMut::new(into)], start, ReadWriteFlags::NOWAIT);
        read.ok().filter(|read| *read > 0)
    }
}

#[cfg(not(target_os = "linux"))]
mod at_once {
    pub(super) fn open(_: &str) -> Option<std::fs::File> {
        None
    }

    pub(super) fn read(_: &std::fs::File, _: u64, _: &mut [u8]) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    async fn read(file: &File, range: Range<u64>) -> Result<Vec<u8>, Error> {
        let file = file.try_clone().expect("a file");
        let pieces: Vec<Bytes> = pieces(file, range, "a file").try_collect().await?;
        Ok(pieces.concat())
    }

    #[tokio::test]
    async fn what_is_in_memory_and_what_is_on_the_disk_are_the_same() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let length = 2 * SMALL_BYTES + 4097;
        let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap_or_default()).collect();
        file.write_all(&content).expect("written");
        file.as_file().sync_all().expect("on the disk");
        for range in [0..length, 0..1, 4095..SMALL_BYTES + 1, length - 1..length, 5..5] {
            let expected = &content[usize::try_from(range.start).expect("small")..][..range.clone().count()];
            assert!(read(file.as_file(), range.clone()).await.expect("bytes") == expected, "{range:?} in memory");
            #[cfg(target_os = "linux")]
            {
                use rustix::fs::{Advice, fadvise};
                // The middle page alone is dropped, then all of them.
                for (start, length) in [(SMALL_BYTES, std::num::NonZero::new(4096)), (0, None)] {
                    fadvise(file.as_file(), start, length, Advice::DontNeed).expect("advice that is taken");
                    assert!(read(file.as_file(), range.clone()).await.expect("bytes") == expected, "{range:?} on disk");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_file_that_breaks_off_is_an_error_and_not_its_end() {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(b"seven b").expect("written");
        let error = read(file.as_file(), 0..8).await.expect_err("one byte is missing");
        assert!(matches!(&error, Error::Read { path, .. } if path == "a file"), "{error}");
    }

    #[test]
    fn only_files_are_opened_at_once_and_only_small_ones_are_read_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        assert!(opened(&path("")).is_none() && content(&path("")).is_none());
        assert!(opened(&path("none")).is_none() && content(&path("none")).is_none());
        let large = usize::try_from(SMALL_BYTES + 1).expect("small");
        std::fs::write(path("large"), vec![0; large]).expect("written");
        assert!(content(&path("large")).is_none());
        std::fs::write(path("empty"), "").expect("written");
        assert!(content(&path("empty")).is_none(), "nothing was read, so it is waited for");
    }
}
