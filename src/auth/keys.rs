//! Keys and the checks of a token: RFC 8725 practice over a library whose defaults accept too much.
//!
//! Of a token's header only `alg`, `typ`, `kid` and `crit` are read. What it says of keys elsewhere (`jku`, `x5u`,
//! `jwk`, `x5c`) is never followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::api_key::{self, ApiKeys};
use super::matrix::hash;
use super::members::Members;
use super::revoked::Revoked;
use super::{Claims, Reason};
use crate::bounded::Bounded;

/// Unknown key ids that are remembered at once: an attacker who sends others costs the oldest of them their place.
const UNKNOWN_MAX: u64 = 10_000;
/// How long they are remembered, where nothing else is said.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// What every token must meet, whatever its key.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The `iss` of every token, exactly.
    pub issuer: String,
    /// An `aud` that every token names.
    pub audience: String,
    /// The `typ` values that are accepted, in lower case.
    pub token_types: Vec<String>,
    /// Clock skew that is forgiven.
    pub leeway: Duration,
}

/// The keys of the moment, and who is not believed in spite of them. Each part is swapped whole.
pub struct Keys {
    rules: Rules,
    own: Vec<Key>,
    rotated: ArcSwap<Rotated>,
    api_keys: ArcSwap<ApiKeys>,
    revoked: ArcSwap<Revoked>,
    generation: AtomicU64,
    /// Rung when a token names a key that is not here.
    pub(super) wanted: Arc<tokio::sync::Notify>,
    /// How often the provider was asked for its set, and which of these times brought the last.
    asked: AtomicU64,
    answered: AtomicU64,
    /// Key ids that were not here, by their hash.
    unknown: Bounded<[u8; 16], Unknown>,
    unknown_for: Duration,
}

/// A provider's keys.
#[derive(Default)]
struct Rotated {
    keys: Vec<Key>,
    /// What tells this set from others.
    id: [u8; 16],
}

/// A key id that was not here.
#[derive(Clone, Copy)]
struct Unknown {
    since: Instant,
    /// How often the provider had been asked by then: what it says later, it says after the key was missed.
    asked: u64,
}

/// What a credential says, and the second since 1970 from which it is believed no more.
#[derive(Debug)]
pub struct Believed {
    /// Its claims.
    pub claims: Claims,
    /// Its end.
    pub ends_at: u64,
}

/// One key and the only algorithm that it is used with.
pub(super) struct Key {
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl Keys {
    /// No keys yet: nobody is believed.
    #[must_use]
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            own: Vec::new(),
            rotated: ArcSwap::default(),
            api_keys: ArcSwap::default(),
            revoked: ArcSwap::default(),
            generation: AtomicU64::new(0),
            wanted: Arc::default(),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            unknown: Bounded::new(UNKNOWN_MAX, |_, _| 1),
            unknown_for: UNKNOWN_FOR,
        }
    }

    /// Remembers for so long that a key id was unknown.
    #[must_use]
    pub fn remembering_unknown_ids(mut self, unknown_for: Duration) -> Self {
        self.unknown_for = unknown_for;
        self
    }

    /// Adds the shared HS256 secret of development.
    #[must_use]
    pub fn with_hs256(mut self, secret: &[u8]) -> Self {
        let decoding = DecodingKey::from_secret(secret);
        self.own.push(Key { id: Some(super::mint::KEY_ID.into()), algorithm: Algorithm::HS256, decoding });
        self
    }

    /// Says that the provider is asked for its set now; returns what [`Self::rotate`] is told with the answer.
    pub(super) fn ask(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Takes the provider's set, whose text has that hash.
    pub(super) fn rotate(&self, asked: u64, keys: Vec<Key>, id: [u8; 16]) {
        // A set that is the same is no reason to believe everybody anew.
        if self.rotated.load().id != id {
            self.rotated.store(Arc::new(Rotated { keys, id }));
            self.changed();
        }
        self.answered.fetch_max(asked, Ordering::AcqRel);
    }

    /// Takes the API keys of the moment.
    pub(super) fn admit(&self, api_keys: ApiKeys) {
        measure("martello_api_keys", api_keys.len());
        if **self.api_keys.load() != api_keys {
            self.api_keys.store(Arc::new(api_keys));
            self.changed();
        }
    }

    /// Takes the revocations of the moment.
    pub(super) fn deny(&self, revoked: Revoked) {
        measure("martello_revoked", revoked.len());
        if **self.revoked.load() != revoked {
            self.revoked.store(Arc::new(revoked));
            self.changed();
        }
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How often any of it has changed: whoever was believed under other keys is to be looked at again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The claims of a token or an API key that is to be believed, and its end.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, credential: &str) -> Result<Believed, Reason> {
        let believed = if credential.starts_with(api_key::PREFIX) {
            self.api_keys.load().verify(credential)?
        } else {
            self.token(credential)?
        };
        if self.revoked.load().names(&believed.claims) {
            return Err(Reason::Revoked);
        }
        Ok(believed)
    }

    fn token(&self, token: &str) -> Result<Believed, Reason> {
        let header = decode_header(token).map_err(|_| Reason::Shape)?;
        let written = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok()).unwrap_or_default();
        let members: Members = serde_json::from_slice(&written).map_err(|_| Reason::Shape)?;
        // Also one that is null, which the library takes for none.
        if members.0.contains_key("crit") {
            return Err(Reason::Critical);
        }
        let kind = header.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        // RFC 7515, 4.1.9: `application/` may be left out where no other slash follows.
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if !self.rules.token_types.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            return Err(Reason::Type);
        }

        let rotated = self.rotated.load();
        let keys = || self.own.iter().chain(rotated.keys.iter());
        let key = match header.kid.as_deref() {
            Some(id) => keys().find(|key| key.id.as_deref() == Some(id)),
            // Without an id there must be nothing to choose.
            None => keys().next().filter(|_| keys().count() == 1),
        };
        let Some(key) = key else {
            self.want(header.kid.as_deref());
            return Err(Reason::UnknownKey);
        };
        if header.alg != key.algorithm {
            return Err(Reason::Algorithm);
        }

        let token = decode::<Members>(token, &key.decoding, &self.validation(key.algorithm)).map_err(|error| {
            match error.kind() {
                ErrorKind::ExpiredSignature => Reason::Expired,
                ErrorKind::ImmatureSignature => Reason::Immature,
                ErrorKind::InvalidIssuer => Reason::Issuer,
                ErrorKind::InvalidAudience => Reason::Audience,
                ErrorKind::InvalidSignature => Reason::Signature,
                ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => Reason::Algorithm,
                ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Reason::Claims,
                _ => Reason::Shape,
            }
        })?;
        let claims = token.claims.0;
        self.check_forms(&claims)?;
        // A token whose end is told in parts of a second ends with the second.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; no token ends before 1970"
        )]
        let ends_at = claims.get("exp").and_then(Value::as_f64).map_or(0, |end| end as u64);
        let ends_at = ends_at.saturating_add(self.rules.leeway.as_secs());
        Ok(Believed { claims, ends_at })
    }

    /// Asks for a key that is not here, unless the provider has been asked since it was first missed and does not have
    /// it: an id that somebody has made up costs one request of ours in a while, however often it is sent.
    fn want(&self, id: Option<&str>) {
        let (name, now) = (hash([id.unwrap_or_default().as_bytes()]), crate::clock::instant());
        let missed = self.unknown.get(&name);
        match missed.filter(|missed| now.saturating_duration_since(missed.since) < self.unknown_for) {
            Some(missed) if self.answered.load(Ordering::Acquire) > missed.asked => return,
            Some(_) => {}
            None => self.unknown.insert(name, Unknown { since: now, asked: self.asked.load(Ordering::Acquire) }),
        }
        self.wanted.notify_one();
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[&self.rules.issuer]);
        validation.set_audience(&[&self.rules.audience]);
        validation.leeway = self.rules.leeway.as_secs();
        validation.validate_nbf = true;
        validation
    }

    /// The library takes an `iss` that is a list, an `aud` that is anything, and never reads `iat`.
    fn check_forms(&self, claims: &Claims) -> Result<(), Reason> {
        if claims.get("iss").and_then(Value::as_str) != Some(self.rules.issuer.as_str()) {
            return Err(Reason::Issuer);
        }
        let audience = self.rules.audience.as_str();
        let addressed = match claims.get("aud") {
            Some(Value::String(one)) => one == audience,
            Some(Value::Array(many)) => many.iter().all(Value::is_string) && many.iter().any(|one| one == audience),
            _ => false,
        };
        if !addressed {
            return Err(Reason::Audience);
        }
        if claims.get("sub").and_then(Value::as_str).is_none_or(str::is_empty) {
            return Err(Reason::Claims);
        }
        for name in ["exp", "nbf", "iat"] {
            if claims.get(name).is_some_and(|claim| !claim.is_number()) {
                return Err(Reason::Claims);
            }
        }
        let latest = crate::clock::unix_seconds() + self.rules.leeway.as_secs();
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are exact in a double for ages")]
        if claims.get("iat").and_then(Value::as_f64).is_some_and(|issued| issued > latest as f64) {
            return Err(Reason::Immature);
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a double holds every number of things that fit into memory")]
fn measure(name: &'static str, count: usize) {
    metrics::gauge!(name).set(count as f64);
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} own, {} rotated)", self.own.len(), self.rotated.load().keys.len())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn keys() -> Keys {
        let (issuer, audience) = ("martello".to_owned(), "martello".to_owned());
        Keys::new(Rules { issuer, audience, token_types: Vec::new(), leeway: Duration::ZERO })
    }

    #[test]
    fn a_key_id_that_the_provider_does_not_have_asks_no_more() {
        let keys = keys();
        let rings = |id| {
            keys.want(Some(id));
            keys.wanted.notified().now_or_never().is_some()
        };
        // Nobody has answered yet: a request that failed is no answer.
        assert!(rings("a") && rings("a"));
        let failed = keys.ask();
        assert!(rings("a"));
        let asked = keys.ask();
        assert!(asked > failed && rings("b"));
        keys.rotate(asked, Vec::new(), [1; 16]);
        assert!(!rings("a") && !rings("a"));
        // What was missed after the request had gone out may be in the next answer.
        assert!(rings("b") && rings("c"));
        keys.rotate(keys.ask(), Vec::new(), [1; 16]);
        assert!(!rings("b") && !rings("c") && rings("d"));
    }

    #[test]
    fn a_key_id_may_ask_again_after_a_while() {
        let keys = keys().remembering_unknown_ids(Duration::ZERO);
        for _ in 0..3 {
            keys.want(Some("a"));
            assert!(keys.wanted.notified().now_or_never().is_some());
            keys.rotate(keys.ask(), Vec::new(), [1; 16]);
        }
    }

    #[test]
    fn only_what_changes_makes_everybody_be_looked_at_anew() {
        let keys = keys();
        let mut before = keys.generation();
        let mut changes = |keys: &Keys| std::mem::replace(&mut before, keys.generation()) != keys.generation();
        for (id, expected) in [([1; 16], true), ([1; 16], false), ([2; 16], true)] {
            keys.rotate(keys.ask(), Vec::new(), id);
            assert_eq!(changes(&keys), expected);
        }
        keys.admit(ApiKeys::default());
        keys.deny(Revoked::default());
        assert!(!changes(&keys));
    }
}
