//! What need not be found out again: whom a token makes, and what a question means. Neither outlives what it was found out
//! from: a token its own end, the keys and the matrix, a meaning what its door says.

use std::any::Any;
use std::sync::{Arc, Weak};

use aws_lc_rs::digest::{SHA256, digest};

use crate::auth::{Keys, Matrix, Principal};
use crate::bounded::Bounded;
use crate::cache::Key;

/// Callers that are known at once.
const CALLERS_MAX: u64 = 20_000;

/// Callers whose tokens were believed.
pub struct Callers(Bounded<[u8; 32], Known>);

#[derive(Clone)]
struct Known {
    principal: Principal,
    keys: u64,
    /// Only looked at for its place: a matrix that nobody else holds is let go.
    matrix: Weak<Matrix>,
}

impl Default for Callers {
    fn default() -> Self {
        Self(Bounded::new(CALLERS_MAX, |_, _| 1))
    }
}

impl Callers {
    /// The caller with that header, if it was believed under the keys and the matrix of now and has not ended since.
    pub(super) fn known(&self, header: &[u8], keys: &Keys, matrix: &Arc<Matrix>) -> Option<Principal> {
        let known = self.0.get(&name(header))?;
        let lives = crate::clock::unix_seconds() < known.principal.ends_at();
        let same = known.keys == keys.generation() && std::ptr::eq(known.matrix.as_ptr(), Arc::as_ptr(matrix));
        (lives && same).then_some(known.principal)
    }

    /// Remembers a caller who was believed under the keys of that generation, by that matrix.
    pub(super) fn remember(&self, header: &[u8], principal: &Principal, keys: u64, matrix: &Arc<Matrix>) {
        let known = Known { principal: principal.clone(), keys, matrix: Arc::downgrade(matrix) };
        self.0.insert(name(header), known);
    }
}

/// No token is kept, only what tells it from others.
fn name(header: &[u8]) -> [u8; 32] {
    let mut name = [0; 32];
    name.copy_from_slice(digest(&SHA256, header).as_ref());
    name
}

/// Questions by who may ask them and by their words: whatever a door finds out from these.
pub struct Questions(Bounded<Key, Meaning>);

#[derive(Clone)]
struct Meaning {
    found: Arc<dyn Any + Send + Sync>,
    weight: u64,
}

/// What all that is remembered may take, about.
const QUESTIONS_BYTES_MAX: u64 = 32 << 20;
/// A plan takes this much, and with its literals some times what their words do.
const PLAN_BYTES: u64 = 4096;
const BYTES_OF_A_BYTE: u64 = 8;

impl Default for Questions {
    fn default() -> Self {
        Self(Bounded::new(QUESTIONS_BYTES_MAX, |_, meaning: &Meaning| meaning.weight))
    }
}

impl Questions {
    /// Under what the meaning of those words is remembered, for all callers of that caller's standing.
    #[must_use]
    pub fn key(principal: &Principal, words: &[&[u8]]) -> Key {
        let standing = principal.standing();
        Key::of([&standing[..]].into_iter().chain(words.iter().copied()))
    }

    /// What was found out from those words.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self, key: Key) -> Option<Arc<T>> {
        self.0.get(&key)?.found.downcast().ok()
    }

    /// Remembers what was found out from so many bytes of words.
    pub fn insert<T: Send + Sync + 'static>(&self, key: Key, words_bytes: usize, found: Arc<T>) {
        let weight = PLAN_BYTES + words_bytes as u64 * BYTES_OF_A_BYTE;
        self.0.insert(key, Meaning { found, weight });
    }
}
