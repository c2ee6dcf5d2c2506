//! What need not be found out again: whom a token makes, and what a question means. Neither outlives what it was found out
//! from: a token its own end and the keys, a plan the versions that it names.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};

use crate::auth::{Keys, Principal};
use crate::bounded::Bounded;

/// Callers that are known at once.
const TOKENS_MAX: u64 = 20_000;

/// Callers whose tokens were believed.
pub struct Tokens(Bounded<[u8; 32], Known>);

#[derive(Clone)]
struct Known {
    principal: Principal,
    keys: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self(Bounded::new(TOKENS_MAX, |_, _| 1))
    }
}

impl Tokens {
    /// The caller with that header, if it was believed under the keys of now and has not ended since.
    pub(super) fn known(&self, header: &[u8], keys: &Keys) -> Option<Principal> {
        let known = self.0.get(&name(header))?;
        let lives = crate::clock::unix_seconds() < known.principal.ends_at();
        (lives && known.keys == keys.generation()).then_some(known.principal)
    }

    /// Remembers a caller who was believed under the keys of that generation.
    pub(super) fn remember(&self, header: &[u8], principal: &Principal, generation: u64) {
        self.0.insert(name(header), Known { principal: principal.clone(), keys: generation });
    }
}

/// No token is kept, only what tells it from others.
fn name(header: &[u8]) -> [u8; 32] {
    let mut name = [0; 32];
    name.copy_from_slice(digest(&SHA256, header).as_ref());
    name
}

/// Questions by their words: whatever a door finds out from them and from who asks.
pub struct Questions(Bounded<String, Arc<dyn std::any::Any + Send + Sync>>);

/// What all that is remembered may take, about.
const QUESTIONS_BYTES_MAX: u64 = 32 << 20;
/// A plan takes this much, and with its literals some times what their words do.
const PLAN_BYTES: u64 = 4096;
const BYTES_OF_A_BYTE: u64 = 8;

impl Default for Questions {
    fn default() -> Self {
        Self(Bounded::new(QUESTIONS_BYTES_MAX, |words: &String, _| PLAN_BYTES + words.len() as u64 * BYTES_OF_A_BYTE))
    }
}

impl Questions {
    /// What was found out from those words.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self, words: &String) -> Option<Arc<T>> {
        self.0.get(words)?.downcast().ok()
    }

    /// Remembers what was found out.
    pub fn insert<T: Send + Sync + 'static>(&self, words: String, meaning: Arc<T>) {
        self.0.insert(words, meaning);
    }
}
