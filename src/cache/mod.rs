//! Answers that are kept: in memory, and in a Redis that all instances share.
//!
//! This room knows keys, bytes and ages. What a key is made of, and whether an age is too great, is its users' business;
//! nothing is ever invalidated by hand, since a key says everything that its bytes depend on.

mod flight;
mod memory;
mod shared;
mod tally;

use std::sync::Arc;

use aws_lc_rs::digest;
use bytes::Bytes;

pub use flight::{Flights, Landed};
pub use memory::Memory;
pub use shared::{Lease, Shared, Turn};
pub use tally::{Tallies, Tally, Tier};

/// What an answer depends on, all of it: 128 bits of a SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// The key of those parts, in their order: no two lists of parts share one.
    #[must_use]
    pub fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hash.finish().as_ref()[..16]);
        Self(key)
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({self})")
    }
}

/// An encoded answer.
#[derive(Clone)]
pub struct Entry {
    /// The bytes.
    pub body: Bytes,
    /// Rows in it.
    pub rows: usize,
    /// Rows that come with them, of each relation.
    pub related: Vec<u64>,
    /// The cursor of the next page, when there is one.
    pub next: Option<String>,
    /// What its ETag is made of: equal tags of one URL mean equal bytes.
    pub tag: [u8; 16],
    /// When it was made, in milliseconds since 1970.
    pub made_at: u64,
    /// Where its dataset's figures are kept.
    pub tally: Arc<Tally>,
}

impl Entry {
    /// What it takes in memory, about: what stands around the bytes weighs too, or a million small answers would be free.
    #[must_use]
    pub fn weight(&self) -> u64 {
        const AROUND: usize = 320;
        (self.body.len() + self.next.as_ref().map_or(0, String::len) + self.related.len() * 8 + AROUND) as u64
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({} bytes, {} rows)", self.body.len(), self.rows)
    }
}
