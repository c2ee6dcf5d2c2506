//! Public keys of an identity provider, kept fresh in the background. The last good set stays when a fetch fails.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::Keys;
use super::keys::Key;
use super::matrix::hash;

/// A key set of this size holds thousands of keys; more is no key set.
const JWKS_BYTES_MAX: usize = 1 << 20;

/// Long enough for any honest provider, short enough to try again soon.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a key set is not taken.
#[derive(Debug, thiserror::Error)]
pub enum JwksError {
    /// The file cannot be read.
    #[error("read the key set {}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The URL does not answer as it should.
    #[error("fetch the key set {url}")]
    Fetch {
        /// Which one.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The answer is larger than any key set.
    #[error("accept a key set of more than {JWKS_BYTES_MAX} bytes")]
    Size,
    /// The text is no key set.
    #[error("read the key set's JSON")]
    Json(#[source] serde_json::Error),
    /// None of its keys may be used.
    #[error("find a usable key in the key set")]
    NoKey,
    /// An algorithm of the configuration is not one that a public key is used with here.
    #[error("accept the algorithm {0:?}: expected RS256, ES256 or EdDSA")]
    Algorithm(String),
}

/// Where a key set is kept.
enum Place {
    File(PathBuf),
    Url(String, reqwest::Client),
}

/// Keeps [`Keys`] at what the provider says.
pub struct Rotation {
    place: Place,
    algorithms: Vec<Algorithm>,
    refresh: Duration,
    refetch: Duration,
    keys: Arc<Keys>,
}

impl Rotation {
    /// A rotation of those keys from a file or a URL.
    ///
    /// # Errors
    /// When an algorithm is not one of those for public keys, or TLS cannot be set up.
    pub fn new(keys: Arc<Keys>, config: &crate::config::Jwks) -> Result<Self, JwksError> {
        let algorithms = config
            .algorithms
            .iter()
            .map(|name| match name.as_str() {
                "RS256" => Ok(Algorithm::RS256),
                "ES256" => Ok(Algorithm::ES256),
                "EdDSA" => Ok(Algorithm::EdDSA),
                _ => Err(JwksError::Algorithm(name.clone())),
            })
            .collect::<Result<_, _>>()?;
        let place = match (&config.file, &config.url) {
            (Some(path), _) => Place::File(path.clone()),
            (None, url) => {
                let url = url.clone().unwrap_or_default();
                let client =
                    reqwest::Client::builder().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none());
                let client = client.build().map_err(|source| JwksError::Fetch { url: url.clone(), source })?;
                Place::Url(url, client)
            }
        };
        Ok(Self { place, algorithms, refresh: config.refresh, refetch: config.refetch, keys })
    }

    /// Reads the set once and swaps it in.
    ///
    /// # Errors
    /// Why the old set stays.
    pub async fn turn(&self) -> Result<(), JwksError> {
        let asked = self.keys.ask();
        let bytes = match &self.place {
            Place::File(path) => {
                tokio::fs::read(path).await.map_err(|source| JwksError::File { path: path.clone(), source })?
            }
            Place::Url(url, client) => fetch(url, client).await?,
        };
        self.keys.rotate(asked, usable(&bytes, &self.algorithms)?, hash([&bytes[..]]));
        Ok(())
    }

    /// Turns every `refresh`, and at once when a token names an unknown key, though not more often than `refetch`.
    pub async fn run(self) {
        let wanted = Arc::clone(&self.keys.wanted);
        loop {
            tokio::time::sleep(self.refetch).await;
            let rest = self.refresh.saturating_sub(self.refetch);
            // A timeout is the regular turn, a ring the early one: both turn.
            let _ = tokio::time::timeout(rest, wanted.notified()).await;
            if let Err(error) = self.turn().await {
                metrics::counter!("martello_jwks_errors_total").increment(1);
                tracing::warn!(error = %crate::telemetry::chain(&error), "the last good key set stays");
            }
        }
    }
}

async fn fetch(url: &str, client: &reqwest::Client) -> Result<Vec<u8>, JwksError> {
    let failed = |source| JwksError::Fetch { url: url.to_owned(), source };
    let mut response = client.get(url).send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > JWKS_BYTES_MAX {
            return Err(JwksError::Size);
        }
    }
    Ok(bytes)
}

/// A key set (RFC 7517, 5) whose keys are judged one by one.
#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// The keys of a set that may verify signatures; others (encryption, shared secrets, unknown kinds, malformed ones) are
/// passed over, or one odd key would hold up the rotation of all.
fn usable(bytes: &[u8], allowed: &[Algorithm]) -> Result<Vec<Key>, JwksError> {
    let set: Set = serde_json::from_slice(bytes).map_err(JwksError::Json)?;
    let jwks = set.keys.into_iter().filter_map(|jwk| serde_json::from_value::<Jwk>(jwk).ok());
    let keys: Vec<Key> = jwks.filter_map(|jwk| key(&jwk, allowed)).collect();
    if keys.is_empty() { Err(JwksError::NoKey) } else { Ok(keys) }
}

fn key(jwk: &Jwk, allowed: &[Algorithm]) -> Option<Key> {
    if matches!(&jwk.common.public_key_use, Some(other) if *other != PublicKeyUse::Signature) {
        return None;
    }
    if matches!(&jwk.common.key_operations, Some(all) if !all.contains(&KeyOperations::Verify)) {
        return None;
    }
    let (algorithm, named) = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => {
            (Algorithm::ES256, KeyAlgorithm::ES256)
        }
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => {
            (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
        }
        _ => return None,
    };
    let stated = jwk.common.key_algorithm.as_ref().is_none_or(|stated| *stated == named);
    if !stated || !allowed.contains(&algorithm) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(jwk).ok()?;
    Some(Key { id: jwk.common.key_id.clone(), algorithm, decoding })
}
