//! Tokens that are believed no more before their end: a list in Redis, of which every instance holds a copy.
//!
//! A list that cannot be heard is the list that was last heard: Redis keeps nobody out, and lets nobody in again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Claims, Keys};
use crate::redis::{REVOKED, Redis};

/// The ledger of Redis that holds the list.
const LEDGER: &str = "revoked";

/// Entries at most. Whoever has more tokens to revoke changes a signing key.
pub const REVOKED_MAX: usize = 10_000;

/// The last second of 9999: an entry that ends later is one that ends then.
const UNTIL_MAX: u64 = 253_402_300_799;

/// A token may outlive its `exp` by the leeway, of which this is the most: so long an entry outlives its own end.
const LEEWAY_MAX: u64 = 60;

/// What is revoked.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Revocation {
    /// The token with that `jti`.
    Token(String),
    /// Every token of a subject that was issued before a second since 1970, and every one that does not say when.
    Subject {
        /// Its `sub`.
        subject: String,
        /// Later ones are believed: whoever logs in again is let in.
        before: u64,
    },
}

impl Revocation {
    /// All tokens of a subject until now. Issuers tell whole seconds, so that the current one is over for it.
    #[must_use]
    pub fn of_subject(subject: String) -> Self {
        Self::Subject { subject, before: crate::clock::unix_seconds() + 1 }
    }

    fn written(&self) -> String {
        match self {
            Self::Token(id) => json!(["jti", id]),
            Self::Subject { subject, before } => json!(["sub", subject, before]),
        }
        .to_string()
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<Value> = serde_json::from_str(text).ok()?;
        let text = |at: usize| parts.get(at).and_then(Value::as_str);
        match (text(0)?, text(1)?, parts.get(2).map(Value::as_u64)) {
            ("jti", id, None) => Some(Self::Token(id.to_owned())),
            ("sub", subject, Some(Some(before))) => Some(Self::Subject { subject: subject.to_owned(), before }),
            _ => None,
        }
    }
}

/// Why something is not known to be revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevocationError {
    /// Redis has not answered.
    #[error("hear from Redis in time: nothing is known to have changed")]
    Unheard,
    /// The list is full.
    #[error("enter more than {REVOKED_MAX} revocations: change the key that signs, or wait for some to end")]
    Full,
}

/// Revokes, for all instances, until that second since 1970: the end of the last token that it is to hold for.
///
/// # Errors
/// When Redis does not answer, or the list is full.
pub async fn revoke(redis: &Redis, revocation: &Revocation, until: u64) -> Result<(), RevocationError> {
    if revoked(redis).await?.len() >= REVOKED_MAX {
        return Err(RevocationError::Full);
    }
    let (until, mark) = (until.min(UNTIL_MAX), Uuid::new_v4().to_string());
    let entered = redis.enter(LEDGER, &revocation.written(), until, ended(), &mark).await;
    entered.ok_or(RevocationError::Unheard)?;
    redis.publish(REVOKED, &mark).await;
    Ok(())
}

/// What is revoked now, each with the second until which it is, those that last longest first.
///
/// # Errors
/// When Redis does not answer.
pub async fn revoked(redis: &Redis) -> Result<Vec<(Revocation, u64)>, RevocationError> {
    let ledger = redis.ledger(LEDGER, ended(), REVOKED_MAX).await.ok_or(RevocationError::Unheard)?;
    let read = ledger.entries.iter().filter_map(|(text, until)| Some((Revocation::read(text)?, *until)));
    Ok(read.collect())
}

/// Entries of this second and before have ended.
fn ended() -> u64 {
    crate::clock::unix_seconds().saturating_sub(LEEWAY_MAX)
}

/// The list as one instance holds it.
#[derive(Default, PartialEq)]
pub(super) struct Revoked {
    tokens: HashSet<String>,
    subjects: HashMap<String, u64>,
}

impl Revoked {
    fn of<'r>(entries: impl IntoIterator<Item = &'r Revocation>) -> Self {
        let mut list = Self::default();
        for entry in entries {
            match entry {
                Revocation::Token(id) => drop(list.tokens.insert(id.clone())),
                Revocation::Subject { subject, before } => {
                    let latest = list.subjects.entry(subject.clone()).or_default();
                    *latest = (*before).max(*latest);
                }
            }
        }
        list
    }

    /// Whether a token with these claims is revoked.
    pub(super) fn names(&self, claims: &Claims) -> bool {
        let text = |name| claims.get(name).and_then(Value::as_str);
        if text("jti").is_some_and(|id| self.tokens.contains(id)) {
            return true;
        }
        let Some(before) = text("sub").and_then(|subject| self.subjects.get(subject)) else { return false };
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a double for ages")]
        claims.get("iat").and_then(Value::as_f64).is_none_or(|issued| issued < *before as f64)
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> usize {
        self.tokens.len() + self.subjects.len()
    }
}

/// Keeps the list of [`Keys`] at what Redis has.
pub struct Revocations {
    redis: Arc<Redis>,
    keys: Arc<Keys>,
    poll: Duration,
    mark: Option<String>,
    /// Nothing that was revoked is believed again before it ends, also where Redis was emptied and then written anew.
    known: HashMap<Revocation, u64>,
    heard: Instant,
    /// Whether the last look failed: a Redis that stays away is told of once.
    down: bool,
}

impl Revocations {
    /// A list of which nothing is known yet.
    #[must_use]
    pub fn new(redis: Arc<Redis>, keys: Arc<Keys>, poll: Duration) -> Self {
        Self { redis, keys, poll, mark: None, known: HashMap::new(), heard: crate::clock::instant(), down: false }
    }

    /// Asks Redis once. When it does not answer, the last list stays.
    pub async fn turn(&mut self) {
        match self.look().await {
            Ok(list) => {
                self.heard = crate::clock::instant();
                if std::mem::take(&mut self.down) {
                    tracing::info!("the list of revoked tokens is heard again");
                }
                if let Some(list) = list {
                    self.keys.deny(list);
                }
            }
            Err(why) => {
                metrics::counter!("martello_revocation_errors_total").increment(1);
                if !std::mem::replace(&mut self.down, true) {
                    tracing::warn!(why, "revoked tokens cannot be asked for: those that are known stay");
                }
            }
        }
        metrics::gauge!("martello_revocation_age_seconds").set(self.heard.elapsed().as_secs_f64());
    }

    /// The list, where it has changed.
    async fn look(&mut self) -> Result<Option<Revoked>, &'static str> {
        let unheard = "Redis does not answer in time";
        let mark = self.redis.mark(LEDGER).await.ok_or(unheard)?;
        if mark == self.mark {
            return Ok(None);
        }
        let ledger = self.redis.ledger(LEDGER, ended(), REVOKED_MAX).await.ok_or(unheard)?;
        if ledger.mark.is_none() {
            // Nothing takes a mark away but a Redis that was emptied.
            return Err("Redis has lost the list");
        }
        let read = ledger.entries.iter().filter_map(|(text, until)| Some((Revocation::read(text)?, *until)));
        let read: HashMap<_, _> = read.collect();
        if read.len() < ledger.entries.len() {
            tracing::warn!("entries of the list of revoked tokens cannot be read: they revoke nothing");
        }
        self.mark = ledger.mark;
        self.known.retain(|_, until| *until > ended());
        if self.known.len() > REVOKED_MAX {
            // What nobody can have entered since the start.
            self.known.clear();
        }
        self.known.extend(read);
        Ok(Some(Revoked::of(self.known.keys())))
    }

    /// Keeps the list for as long as it is polled.
    pub async fn run(mut self) {
        let mut hints = std::pin::pin!(Arc::clone(&self.redis).subscribe(REVOKED));
        loop {
            // A hint says only that it is time to look.
            let _ = tokio::time::timeout(self.poll, hints.next()).await;
            self.turn().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_tokens_by_id_and_those_of_a_subject_up_to_a_moment() {
        let subject = |before| Revocation::Subject { subject: "ann".into(), before };
        let list = Revoked::of(&[Revocation::Token("1".into()), subject(100), subject(50)]);
        let cases = [
            (json!({"sub": "bob", "jti": "1", "iat": 500}), true),
            (json!({"sub": "bob", "jti": "2", "iat": 1}), false),
            (json!({"sub": "bob", "jti": 1}), false),
            (json!({"sub": "1"}), false),
            (json!({"sub": "ann", "iat": 99}), true),
            (json!({"sub": "ann", "iat": 99.9}), true),
            (json!({"sub": "ann", "iat": 100}), false),
            (json!({"sub": "ann", "jti": "1", "iat": 100}), true),
            // One that does not say when it was issued may have been issued before.
            (json!({"sub": "ann"}), true),
        ];
        for (claims, expected) in cases {
            assert_eq!(list.names(claims.as_object().expect("claims")), expected, "{claims}");
        }
        assert_eq!(list.len(), 2);
    }

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        for entry in [
            Revocation::Token("a\"b".into()),
            Revocation::Token(String::new()),
            Revocation::Subject { subject: "ann".into(), before: 7 },
        ] {
            assert_eq!(Revocation::read(&entry.written()), Some(entry));
        }
        for text in
            ["", "{}", "[]", "[\"jti\"]", "[\"jti\",1]", "[\"sub\",\"ann\"]", "[\"jti\",\"1\",2]", "[\"x\",\"y\"]"]
        {
            assert_eq!(Revocation::read(text), None, "{text}");
        }
    }
}
