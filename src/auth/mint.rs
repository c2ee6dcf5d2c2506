//! Tokens of our own, for development and scripts, and a look into any token.

use std::time::Duration;

use jsonwebtoken::dangerous::insecure_decode;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::{Claims, Reason, Role};
use crate::random;

/// The `kid` of tokens that the shared secret signs.
pub(super) const KEY_ID: &str = "hs256";

/// Signs tokens with the shared HS256 secret.
pub struct Minter {
    key: EncodingKey,
    issuer: String,
    audience: String,
}

impl Minter {
    /// A minter whose tokens [`super::Keys::with_hs256`] believes under the same secret.
    #[must_use]
    pub fn new(secret: &[u8], issuer: &str, audience: &str) -> Self {
        Self { key: EncodingKey::from_secret(secret), issuer: issuer.into(), audience: audience.into() }
    }

    /// A token (RFC 9068 profile) whose claims make the role, with further claims laid over them.
    ///
    /// # Errors
    /// When the library cannot sign.
    pub fn mint(
        &self,
        role: &Role,
        subject: &str,
        ttl: Duration,
        more: &Claims,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let now = crate::clock::unix_seconds();
        let mut claims = role.who.example();
        for (name, value) in [
            ("iss", json!(self.issuer)),
            ("aud", json!(self.audience)),
            ("sub", json!(subject)),
            ("client_id", json!(subject)),
            ("iat", json!(now)),
            ("exp", json!(now + ttl.as_secs())),
            ("jti", json!(token_id())),
        ] {
            claims.insert(name.into(), value);
        }
        claims.extend(more.clone());
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("at+jwt".into());
        header.kid = Some(KEY_ID.into());
        encode(&header, &claims, &self.key)
    }
}

fn token_id() -> String {
    // Uniqueness is all that `jti` owes.
    random::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a token says, **without believing it**: header and claims, for people who look for a fault.
///
/// # Errors
/// When it is no JWT.
pub fn inspect(token: &str) -> Result<(Header, Claims), Reason> {
    let token = insecure_decode::<Claims>(token).map_err(|_| Reason::Shape)?;
    Ok((token.header, token.claims))
}
