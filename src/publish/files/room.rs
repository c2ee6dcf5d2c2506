//! Room for the bytes of files on their way out: used again for the next ones, and bounded however many readers are slow.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Semaphore, SemaphorePermit};

/// What a large room holds: fewer bytes at once cost more turns of the socket, or of another thread, than they save.
const LARGE_BYTES: usize = 1 << 20;
/// Large rooms at once. They take so many MiB at most, which readers that are slow would hold.
const LARGE_MAX: usize = 64;
/// What a small room holds: for few bytes, and for whoever comes when all large ones are taken.
const SMALL_BYTES: usize = 64 << 10;
/// Large rooms that are kept for whoever comes next.
const KEPT_MAX: usize = 8;

static LARGE: Semaphore = Semaphore::const_new(LARGE_MAX);
/// Rooms that are left: they need not be cleared, and a core still knows them.
static KEPT: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// Room for some bytes.
pub(super) struct Room {
    room: Box<[u8]>,
    length: usize,
    large: Option<SemaphorePermit<'static>>,
}

impl Room {
    /// Room for the first of that many bytes: for all of them where they are few.
    pub(super) fn of(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let large = if bytes > SMALL_BYTES { LARGE.try_acquire().ok() } else { None };
        if large.is_none() {
            let length = bytes.min(SMALL_BYTES);
            return Self { room: vec![0; length].into(), length, large };
        }
        let kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self { room: kept.unwrap_or_else(|| vec![0; LARGE_BYTES].into()), length: bytes.min(LARGE_BYTES), large }
    }

    /// Where the bytes go.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.room[..self.length]
    }

    /// The bytes that have come. The room is left when nobody has them any more.
    pub(super) fn filled(mut self, length: usize) -> Bytes {
        self.length = self.length.min(length);
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Room {
    fn as_ref(&self) -> &[u8] {
        &self.room[..self.length]
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.large.is_some() {
            let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.len() < KEPT_MAX {
                kept.push(std::mem::take(&mut self.room));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_who_are_slow_take_small_rooms() {
        let filled = |bytes: u64| {
            let mut room = Room::of(bytes);
            room.bytes().fill(7);
            room.filled(usize::MAX)
        };
        assert_eq!(filled(0).len(), 0);
        assert_eq!(filled(5)[..], [7; 5]);
        let held: Vec<Bytes> = (0..2 * LARGE_MAX).map(|_| filled(u64::MAX)).collect();
        let large = held.iter().filter(|piece| piece.len() == LARGE_BYTES).count();
        assert!(large <= LARGE_MAX, "{large}");
        assert_eq!(held.iter().filter(|piece| piece.len() == SMALL_BYTES).count(), held.len() - large);
        drop(held);
        // A room that is used again shows nothing of whom it was for.
        let mut again = Room::of(SMALL_BYTES as u64 + 1);
        assert_eq!(again.bytes().len(), SMALL_BYTES + 1);
        again.bytes()[0] = 9;
        assert_eq!(again.filled(1)[..], [9]);
        assert!(KEPT.lock().expect("rooms").len() <= KEPT_MAX);
    }
}
