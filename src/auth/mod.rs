//! Who calls: a bearer token becomes a [`Principal`] with one role, or a refusal. No database is touched.
//!
//! This room knows claims and roles; what a grant does to a question is the plan's business.

mod access;
mod api_key;
mod compile;
mod expect;
mod form;
mod inherit;
mod jwks;
mod keys;
mod mask;
mod matrix;
mod members;
mod mint;
mod principal;
mod reload;
mod revoked;
mod role;
mod row_form;
mod rule;
mod sheet;
mod window;

pub use access::Access;
pub use api_key::{Drawn, OWN_CLAIMS, Roll, draw};
pub use expect::{EXPECTATIONS_FILE, Verdict, verdicts};
pub use jwks::{JwksError, Rotation};
pub use keys::{Believed, Keys, Rules};
pub use mask::{Mask, MaskKey};
pub use matrix::{MATRIX_FILE, Matrix};
pub use mint::{Minter, inspect};
pub use principal::{Claims, Decision, Principal, TOKEN_BYTES_MAX};
pub use reload::{ReloadError, Reloaded, Reloader, Swapped};
pub use revoked::{REVOKED_MAX, Revocation, RevocationError, Revocations, revoke, revoked};
pub use role::{Claimed, Grant, Limits, Right, Role, Tier};
pub use rule::RowRule;
pub use sheet::{Change, Effect, GrantSheet, RoleSheet, Sheet, changes, shown};
pub use window::{History, Instants, WINDOW_STEP};

/// Why a caller is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is no credential (RFC 6750, 3: the challenge then names no error).
    #[error("find a bearer token")]
    Missing,
    /// The credential is not well-formed.
    #[error("read the Authorization header")]
    Malformed,
    /// The token is not believed.
    #[error("believe the token")]
    Invalid(#[source] Reason),
    /// The token is believed, but its claims make no role.
    #[error("find a role for the token's claims")]
    NoRole,
    /// The token's claims make more than one role.
    #[error("choose between roles {one} and {other}")]
    TwoRoles {
        /// One of them.
        one: String,
        /// Another.
        other: String,
    },
}

/// Why a token or an API key is not believed. Logged by name and told to the client in general terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// It is longer than any honest token.
    #[error("the token is too long")]
    Length,
    /// It is no JWT.
    #[error("the token is no JWT")]
    Shape,
    /// Its header asks for an understanding of extensions that are not known (RFC 7515, 4.1.11).
    #[error("the token has a critical header that is not understood")]
    Critical,
    /// Its `typ` is not one that is configured.
    #[error("the token is of another type")]
    Type,
    /// Its `kid` is not one of our keys, or an API key is not one that may be used.
    #[error("the token names an unknown key")]
    UnknownKey,
    /// Its algorithm is not one that the key may use.
    #[error("the token uses an algorithm that its key may not use")]
    Algorithm,
    /// Its signature does not fit.
    #[error("the token's signature does not fit")]
    Signature,
    /// A claim that must be there is not, or has another form.
    #[error("the token lacks a claim, or has one of another form")]
    Claims,
    /// It is of another issuer.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is for another audience.
    #[error("the token is for another audience")]
    Audience,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    Immature,
    /// It, or all of its subject, was revoked.
    #[error("the token was revoked")]
    Revoked,
}
