//! API keys: for client applications that cannot have tokens of an identity provider. A key yields claims, and from there
//! on it is what a token with these claims would be.
//!
//! A key is `mk_`, its id, `_`, 256 random bits and a checksum. The store has the SHA-256 of the bits alone. A slow hash is
//! for secrets that people think up: nobody tries 2^256 of these, and each request would pay for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use super::keys::{Believed, Keys};
use super::{Claims, Reason};
use crate::config::Secret;
use crate::random;
use crate::store::{ApiKey, Epoch, Pointer, Store};
use crate::telemetry;

/// What every key begins with. No JWT does: its first bytes would be no JSON.
pub(super) const PREFIX: &str = "mk_";

const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// Keys are asked for this often; a store in Postgres announces a change besides.
const POLL: Duration = Duration::from_secs(2);

/// A key that never ends is believed until the last second of 9999.
const FOREVER: u64 = 253_402_300_799;

/// Claims that a key has by itself, and nobody gives it.
pub const OWN_CLAIMS: [&str; 8] = ["iss", "aud", "sub", "client_id", "iat", "nbf", "exp", "jti"];

/// A new key: the one time that its text is known.
pub struct Drawn {
    /// What names it, in lists and in its own text.
    pub id: String,
    /// The whole key, for whoever will use it.
    pub text: Secret,
    /// What the store keeps of it.
    pub hash: String,
}

/// Draws a new key.
#[must_use]
pub fn draw() -> Drawn {
    let (id, secret) = (random::bytes::<ID_BYTES>(), random::bytes::<SECRET_BYTES>());
    let id = hex(&id);
    let open = format!("{PREFIX}{id}_{}", hex(&secret));
    let text = format!("{open}{}", checksum(&open));
    Drawn { id, text: text.into(), hash: hex(&hash(&secret)) }
}

/// Id and secret of a text that may be a key: whether it is one is not known yet, though a typing error is.
fn read(text: &str) -> Option<(&str, [u8; SECRET_BYTES])> {
    let checked = text.len().checked_sub(2 * CHECKSUM_BYTES)?;
    let (open, sum) = text.split_at_checked(checked)?;
    if checksum(open) != sum {
        return None;
    }
    let (id, secret) = open.strip_prefix(PREFIX)?.split_once('_')?;
    (id.len() == 2 * ID_BYTES).then_some(())?;
    Some((id, unhex(secret)?))
}

/// A checksum keeps nobody out; it tells a slip of the hand, and other texts of the same look, from a key.
fn checksum(open: &str) -> String {
    hex(&digest(&SHA256, open.as_bytes()).as_ref()[..CHECKSUM_BYTES])
}

fn hash(secret: &[u8; SECRET_BYTES]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes as [`hex`] writes them, and in no other spelling.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.bytes().map(|digit| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    });
    let digits: Vec<u8> = digits.collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    (digits.len() == 2 * N).then_some(())?;
    bytes.try_into().ok()
}

/// All keys that may be used, as the store last told them.
#[derive(Default, PartialEq)]
pub(super) struct ApiKeys(HashMap<String, Held>);

#[derive(PartialEq)]
struct Held {
    hash: [u8; 32],
    claims: Claims,
    ends_at: u64,
}

impl ApiKeys {
    /// Those that are not revoked. One that cannot be read lets nobody in.
    pub(super) fn of(keys: &[ApiKey]) -> Self {
        let held = keys.iter().filter(|key| key.revoked_at.is_none()).filter_map(|key| {
            let held = Held::of(key);
            if held.is_none() {
                tracing::warn!(id = key.id, "an API key of the control store cannot be read: nobody gets in with it");
            }
            Some((key.id.clone(), held?))
        });
        Self(held.collect())
    }

    /// What the key with that text claims.
    pub(super) fn verify(&self, text: &str) -> Result<Believed, Reason> {
        let (id, secret) = read(text).ok_or(Reason::Shape)?;
        // An id is no secret, so that it may take what time it takes to find it.
        let held = self.0.get(id).ok_or(Reason::UnknownKey)?;
        verify_slices_are_equal(&hash(&secret), &held.hash).map_err(|_| Reason::Signature)?;
        if crate::clock::unix_seconds() >= held.ends_at {
            return Err(Reason::Expired);
        }
        Ok(Believed { claims: held.claims.clone(), ends_at: held.ends_at })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Held {
    fn of(key: &ApiKey) -> Option<Self> {
        let mut claims: Claims = serde_json::from_str(&key.claims).ok()?;
        let ends_at = key.expires_at.map_or(FOREVER, |end| u64::try_from(end.as_second()).unwrap_or(0));
        claims.retain(|name, _| !OWN_CLAIMS.contains(&name.as_str()));
        for (name, value) in [
            ("sub", Value::from(key.subject.as_str())),
            ("client_id", Value::from(key.subject.as_str())),
            ("iat", Value::from(key.created_at.as_second())),
            ("jti", Value::from(key.id.as_str())),
        ] {
            claims.insert(name.into(), value);
        }
        Some(Self { hash: unhex(&key.hash)?, claims, ends_at })
    }
}

/// Keeps the API keys of [`Keys`] at what the control store has.
pub struct Roll {
    store: Arc<Store>,
    pointer: Pointer,
    keys: Arc<Keys>,
    epoch: Option<Epoch>,
    /// Whether the last look failed: a store that stays down is told of once.
    down: bool,
}

impl Roll {
    /// A roll over that store, of which nothing is read yet. The pointer tells when it has changed.
    #[must_use]
    pub fn new(store: Arc<Store>, pointer: Pointer, keys: Arc<Keys>) -> Self {
        Self { store, pointer, keys, epoch: None, down: false }
    }

    /// Asks the store once. When it does not answer, the keys that it told last stay.
    pub async fn turn(&mut self) {
        match self.store.api_keys_since(self.epoch).await {
            Ok((epoch, keys)) => {
                (self.epoch, self.down) = (Some(epoch), false);
                if let Some(keys) = keys {
                    self.keys.admit(ApiKeys::of(&keys));
                }
            }
            Err(error) => {
                metrics::counter!("martello_api_keys_errors_total").increment(1);
                if !std::mem::replace(&mut self.down, true) {
                    let error = telemetry::chain(&error);
                    tracing::warn!(error, "API keys cannot be read: those that were known stay");
                }
            }
        }
    }

    /// Keeps the keys for as long as it is polled.
    pub async fn run(mut self) {
        let mut swaps = self.pointer.subscribe();
        loop {
            // Ends with neither: the pointer that it watches is its own.
            let _ = tokio::time::timeout(POLL, swaps.changed()).await;
            self.turn().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(drawn: &Drawn) -> ApiKey {
        ApiKey {
            id: drawn.id.clone(),
            name: "a test".into(),
            subject: "app".into(),
            claims: r#"{"tier": "client", "sub": "another"}"#.into(),
            hash: drawn.hash.clone(),
            operator: "tester".into(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            expires_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_is_believed_as_it_was_drawn_and_no_other_text_is() {
        let drawn = draw();
        let text = drawn.text.expose();
        let keys = ApiKeys::of(&[stored(&drawn)]);
        let believed = keys.verify(text).expect("a key");
        assert_eq!(believed.ends_at, FOREVER);
        assert_eq!((&believed.claims["sub"], &believed.claims["tier"]), (&"app".into(), &"client".into()));
        assert!(!format!("{:?}{}", drawn.text, drawn.text).contains(&text[3..]));
        // Every slip of the hand is seen before the store's hashes are.
        for at in 0..text.len() {
            for other in ["0", "f", "F", "_", "-"].into_iter().filter(|other| *other != &text[at..=at]) {
                let slip = format!("{}{other}{}", &text[..at], &text[at + 1..]);
                assert_eq!(keys.verify(&slip).err(), Some(Reason::Shape), "{at}");
            }
            assert_eq!(keys.verify(&text[..at]).err(), Some(Reason::Shape), "{at}");
        }
        for other in ["mk_", "mk__", "mk_é", "", &text.to_uppercase(), &format!("{text}0")] {
            assert_eq!(keys.verify(other).err(), Some(Reason::Shape), "{other}");
        }
        // A checksum is no proof: anyone can make one.
        let open = format!("{PREFIX}{}_{}", drawn.id, "0".repeat(64));
        assert_eq!(keys.verify(&format!("{open}{}", checksum(&open))).err(), Some(Reason::Signature));
        assert_eq!(keys.verify(draw().text.expose()).err(), Some(Reason::UnknownKey));
    }

    #[test]
    fn a_key_that_is_revoked_past_its_end_or_unreadable_lets_nobody_in() {
        let drawn = draw();
        let verified = |key: ApiKey| ApiKeys::of(&[key]).verify(drawn.text.expose()).err();
        let now = crate::clock::now();
        let key = || stored(&drawn);
        assert_eq!(verified(key()), None);
        assert_eq!(verified(ApiKey { revoked_at: Some(now), ..key() }), Some(Reason::UnknownKey));
        assert_eq!(verified(ApiKey { expires_at: Some(now), ..key() }), Some(Reason::Expired));
        assert_eq!(verified(ApiKey { claims: "[]".into(), ..key() }), Some(Reason::UnknownKey));
        assert_eq!(verified(ApiKey { hash: String::new(), ..key() }), Some(Reason::UnknownKey));
        assert_eq!(verified(ApiKey { hash: key().hash.to_uppercase(), ..key() }), Some(Reason::UnknownKey));
    }
}
