//! Keys and the checks of a token: RFC 8725 practice over a library whose defaults accept too much.
//!
//! Of a token's header only `alg`, `typ`, `kid` and `crit` are read. What it says of keys elsewhere (`jku`, `x5u`,
//! `jwk`, `x5c`) is never followed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde_json::Value;

use super::{Claims, Reason};

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

/// The keys of the moment; a rotation swaps the set whole.
pub struct Keys {
    rules: Rules,
    own: Vec<Key>,
    rotated: ArcSwap<Vec<Key>>,
    generation: AtomicU64,
    /// Rung when a token names a key that is not here.
    pub(super) wanted: Arc<tokio::sync::Notify>,
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
            generation: AtomicU64::new(0),
            wanted: Arc::default(),
        }
    }

    /// Adds the shared HS256 secret of development.
    #[must_use]
    pub fn with_hs256(mut self, secret: &[u8]) -> Self {
        let decoding = DecodingKey::from_secret(secret);
        self.own.push(Key { id: Some(super::mint::KEY_ID.into()), algorithm: Algorithm::HS256, decoding });
        self
    }

    pub(super) fn rotate(&self, keys: Vec<Key>) {
        self.rotated.store(Arc::new(keys));
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// How often the keys have changed: whoever was believed under other keys is to be looked at again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Clock skew that is forgiven, in seconds.
    pub(super) fn leeway(&self) -> u64 {
        self.rules.leeway.as_secs()
    }

    /// The claims of a token that is to be believed.
    ///
    /// # Errors
    /// Why it is not.
    pub fn verify(&self, token: &str) -> Result<Claims, Reason> {
        let header = decode_header(token).map_err(|_| Reason::Shape)?;
        if header.crit.is_some() {
            return Err(Reason::Critical);
        }
        let kind = header.typ.as_deref().unwrap_or_default().to_ascii_lowercase();
        // RFC 7515, 4.1.9: `application/` may be left out where no other slash follows.
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if !self.rules.token_types.iter().any(|known| known.eq_ignore_ascii_case(kind)) {
            return Err(Reason::Type);
        }

        let rotated = self.rotated.load();
        let keys = || self.own.iter().chain(rotated.iter());
        let key = match header.kid.as_deref() {
            Some(id) => keys().find(|key| key.id.as_deref() == Some(id)),
            // Without an id there must be nothing to choose.
            None => keys().next().filter(|_| keys().count() == 1),
        };
        let Some(key) = key else {
            self.wanted.notify_one();
            return Err(Reason::UnknownKey);
        };
        if header.alg != key.algorithm {
            return Err(Reason::Algorithm);
        }

        let token =
            decode::<Claims>(token, &key.decoding, &self.validation(key.algorithm)).map_err(|error| {
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
        self.check_forms(&token.claims)?;
        Ok(token.claims)
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

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys({} own, {} rotated)", self.own.len(), self.rotated.load().len())
    }
}
