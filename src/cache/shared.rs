//! Answers in Redis, for all instances: packed, for a while, and made by one instance at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::{Entry, Key, Tally, Tier};
use crate::config;
use crate::redis::Redis;

/// The form of a value; another one is a value of another release.
const FORM: u8 = 2;
/// The form, and how many bytes are behind it once unpacked.
const HEAD_BYTES: usize = 5;
/// What stands before related, next and body: tag, time, rows, the length of next, the number of related.
const FIXED_BYTES: usize = 16 + 8 + 8 + 4 + 4;
/// One number of related rows.
const RELATED_BYTES: usize = 8;
/// Fast: the network is, too.
const ZSTD_LEVEL: i32 = 1;

/// An instance may be so long about an answer before another tries: longer than a statement takes.
const LEASE: Duration = Duration::from_secs(6);
/// So long an instance waits for another's answer before it asks the source itself.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// The first pause between two looks, and the longest.
const LOOK_PAUSE: Duration = Duration::from_millis(10);
const LOOK_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Answers in Redis.
#[derive(Clone)]
pub struct Shared {
    redis: Arc<Redis>,
    ttl: Duration,
    entry_max: u64,
    /// No value is longer once unpacked, whatever it says.
    unpacked_max: u64,
}

/// Whose turn it is to make an answer.
pub enum Turn {
    /// Nobody's: it is there.
    Found(Entry),
    /// The caller's, and no other instance's while it holds the lease.
    Ours(Lease),
    /// Everybody's: Redis or another instance took too long.
    Alone,
}

/// The right to make an answer, given back when it is dropped.
pub struct Lease {
    redis: Arc<Redis>,
    key: Key,
    token: String,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (redis, key, token) = (Arc::clone(&self.redis), self.key.to_string(), std::mem::take(&mut self.token));
        runtime.spawn(async move { redis.release(&key, &token).await });
    }
}

impl Shared {
    /// Answers in that Redis.
    #[must_use]
    pub fn new(redis: Arc<Redis>, config: &config::Redis, memory: &config::Cache) -> Self {
        Self { redis, ttl: config.ttl, entry_max: config.entry_max, unpacked_max: memory.entry_max }
    }

    /// The answer under a key.
    pub async fn get(&self, key: Key, tally: &Arc<Tally>) -> Option<Entry> {
        read(&self.redis.get(&key.to_string()).await?, self.unpacked_max, tally)
    }

    /// Waits until the answer is there or it is the caller's turn to make it. An answer that is not fresh is none.
    pub async fn turn(&self, key: Key, tally: &Arc<Tally>, fresh: impl Fn(&Entry) -> bool) -> Turn {
        if let Some(entry) = self.get(key, tally).await.filter(&fresh) {
            return Turn::Found(entry);
        }
        let (name, token) = (key.to_string(), Uuid::new_v4().simple().to_string());
        let begun = crate::clock::instant();
        let mut pause = LOOK_PAUSE;
        loop {
            let Some(leased) = self.redis.lease(&name, &token, LEASE).await else { return Turn::Alone };
            let lease = leased.granted.then(|| Lease { redis: Arc::clone(&self.redis), key, token: token.clone() });
            let value = leased.value.and_then(|value| read(&value, self.unpacked_max, tally));
            match (value.filter(&fresh), lease) {
                (Some(entry), _) => return Turn::Found(entry),
                (None, Some(lease)) => return Turn::Ours(lease),
                (None, None) if begun.elapsed() > WAIT_MAX => return Turn::Alone,
                (None, None) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LOOK_PAUSE_MAX);
        }
    }

    /// Shares an answer, for as long as it says or as the configuration does, and notes that it is the last one to its
    /// question; then gives back the lease.
    pub async fn put(&self, key: Key, question: Key, entry: &Entry, keep: Option<Duration>, lease: Option<Lease>) {
        if let Some(value) = write(entry).filter(|value| value.len() as u64 <= self.entry_max) {
            // What came in together does not go out together: a tenth more or less, by the key.
            let ttl = keep.unwrap_or(self.ttl);
            let ttl = ttl * 9 / 10 + ttl * u32::from(key.0[0]) / (5 * 255);
            let values = [(key.to_string(), value.as_slice()), (question.to_string(), &key.0)];
            self.redis.set(&values.each_ref().map(|(key, value)| (key.as_str(), *value)), ttl).await;
            entry.tally.kept(Tier::Shared, value.len() as u64);
        }
        drop(lease);
    }

    /// The last answer to a question, whatever the version, as far as it is still there.
    pub async fn latest(&self, question: Key, tally: &Arc<Tally>) -> Option<Entry> {
        let key = self.redis.get(&question.to_string()).await?;
        self.get(Key(key.try_into().ok()?), tally).await
    }
}

/// An entry as one text: the form, the length, and then packed all that is needed to have it again.
fn write(entry: &Entry) -> Option<Vec<u8>> {
    let next = entry.next.as_deref().unwrap_or_default();
    let length = FIXED_BYTES + entry.related.len() * RELATED_BYTES + next.len() + entry.body.len();
    let mut plain = Vec::with_capacity(length);
    plain.extend_from_slice(&entry.tag);
    plain.extend_from_slice(&entry.made_at.to_le_bytes());
    plain.extend_from_slice(&(entry.rows as u64).to_le_bytes());
    plain.extend_from_slice(&u32::try_from(next.len()).ok()?.to_le_bytes());
    plain.extend_from_slice(&u32::try_from(entry.related.len()).ok()?.to_le_bytes());
    entry.related.iter().for_each(|rows| plain.extend_from_slice(&rows.to_le_bytes()));
    plain.extend_from_slice(next.as_bytes());
    plain.extend_from_slice(&entry.body);
    let mut value = vec![FORM];
    value.extend_from_slice(&u32::try_from(length).ok()?.to_le_bytes());
    value.extend(zstd::bulk::compress(&plain, ZSTD_LEVEL).ok()?);
    Some(value)
}

/// The entry of a text; anything else is none.
fn read(value: &[u8], unpacked_max: u64, tally: &Arc<Tally>) -> Option<Entry> {
    let (head, packed) = value.split_at_checked(HEAD_BYTES)?;
    if head[0] != FORM {
        return None;
    }
    let length = u32::from_le_bytes(head[1..].try_into().ok()?);
    if u64::from(length) > unpacked_max.saturating_add(FIXED_BYTES as u64) {
        return None;
    }
    let plain = Bytes::from(zstd::bulk::decompress(packed, length as usize).ok()?);
    let fixed = plain.get(..FIXED_BYTES)?;
    let number = |at: usize| fixed[at..at + 8].try_into().map(u64::from_le_bytes).ok();
    let length = |at: usize| fixed[at..at + 4].try_into().map(|bytes| u32::from_le_bytes(bytes) as usize).ok();
    let (next_bytes, related_bytes) = (length(32)?, length(36)?.checked_mul(RELATED_BYTES)?);
    let (related, rest) = plain[FIXED_BYTES..].split_at_checked(related_bytes)?;
    let (next, _) = rest.split_at_checked(next_bytes)?;
    let (related, _) = related.as_chunks::<RELATED_BYTES>();
    let next = std::str::from_utf8(next).ok()?;
    let body = plain.slice(FIXED_BYTES + related_bytes + next_bytes..);
    Some(Entry {
        body,
        rows: usize::try_from(number(24)?).ok()?,
        related: related.iter().map(|rows| u64::from_le_bytes(*rows)).collect(),
        next: (!next.is_empty()).then(|| next.to_owned()),
        tag: fixed[..16].try_into().ok()?,
        made_at: number(16)?,
        tally: Arc::clone(tally),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_survives_its_journey_and_nothing_else_is_one() {
        let tally = Arc::new(Tally::of("a"));
        for (body, next) in [("", None), ("rows", Some("cursor")), (&*"row\n".repeat(10_000), None)] {
            let entry = Entry {
                body: Bytes::copy_from_slice(body.as_bytes()),
                rows: 7,
                related: if next.is_some() { vec![1, u64::MAX] } else { Vec::new() },
                next: next.map(str::to_owned),
                tag: [3; 16],
                made_at: 1_700_000_000_000,
                tally: Arc::clone(&tally),
            };
            let value = write(&entry).expect("a value");
            let again = read(&value, 1 << 20, &tally).expect("an entry");
            assert_eq!((&again.body, again.rows, &again.next), (&entry.body, entry.rows, &entry.next));
            assert_eq!(again.related, entry.related);
            assert_eq!((again.tag, again.made_at), (entry.tag, entry.made_at));
            for end in 0..value.len().min(60) {
                assert!(read(&value[..end], 1 << 20, &tally).is_none(), "{end}");
            }
            let mut other = value.clone();
            other[0] += 1;
            assert!(read(&other, 1 << 20, &tally).is_none());
            assert!(read(&value, 0, &tally).is_none() || body.is_empty());
        }
    }
}
