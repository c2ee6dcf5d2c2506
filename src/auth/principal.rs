//! The caller of one request.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::matrix::hash;
use super::{Believed, Error, Keys, Matrix, Reason, Role};

/// Longer than any honest access token; the head's own limit is the other bound.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;

/// A token's claims, all of them believed.
pub type Claims = Map<String, Value>;

/// A caller whose token was believed and whose claims make one role.
#[derive(Clone, Debug)]
pub struct Principal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    subject: String,
    role: Arc<Role>,
    /// Of all claims, those that the role's rules refer to.
    claims: Claims,
    ends_at: u64,
    standing: [u8; 16],
}

/// What names how a caller's access to a dataset was decided: equal ones have been decided by the same matrix for the same
/// role and the same claims. Logs, audit and `martello access explain` know it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Decision(pub [u8; 8]);

impl std::fmt::Display for Decision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Principal {
    /// Believes the `Authorization` headers of a request, or says why not.
    ///
    /// # Errors
    /// When there is no credential, more than one, one that is not believed, or one whose claims do not make exactly
    /// one role.
    pub fn authenticate<'h>(
        mut headers: impl Iterator<Item = &'h [u8]>,
        keys: &Keys,
        matrix: &Matrix,
    ) -> Result<Self, Error> {
        let Some(header) = headers.next() else {
            return matrix.anonymous().map(|role| Self::anonymous(role, matrix)).ok_or(Error::Missing);
        };
        if headers.next().is_some() {
            return Err(Error::Malformed);
        }
        let Believed { claims, ends_at } = keys.verify(bearer(header)?).map_err(Error::Invalid)?;
        let role = Arc::clone(matrix.role_of(&claims)?);
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self::new(subject, role, claims, ends_at, matrix.id()))
    }

    /// Whoever brings no credential, where there is a role for that.
    #[must_use]
    pub fn anonymous(role: &Arc<Role>, matrix: &Matrix) -> Self {
        Self::new(String::new(), Arc::clone(role), Claims::new(), u64::MAX, matrix.id())
    }

    /// The house itself in a role: for commands of an operator, who could mint the token as well.
    #[must_use]
    pub fn acting_as(role: Arc<Role>) -> Self {
        Self::new("operator".into(), role, Claims::new(), u64::MAX, [0; 16])
    }

    /// Whoever has a role of that matrix by such claims: decided upon as callers are.
    #[must_use]
    pub fn supposed(role: &Arc<Role>, claims: Claims, matrix: &Matrix) -> Self {
        let subject = claims.get("sub").and_then(Value::as_str).unwrap_or_default().to_owned();
        Self::new(subject, Arc::clone(role), claims, u64::MAX, matrix.id())
    }

    fn new(subject: String, role: Arc<Role>, mut claims: Claims, ends_at: u64, matrix: [u8; 16]) -> Self {
        claims.retain(|name, _| role.claims_read.contains(name));
        // Claims come in any order; the names that are read, in one.
        let read = role.claims_read.iter().map(|name| (name, claims.get(name)));
        let read: Vec<String> = read.map(|(name, value)| serde_json::json!([name, value]).to_string()).collect();
        let parts = [&matrix[..], role.name.as_bytes()].into_iter().chain(read.iter().map(String::as_bytes));
        let standing = hash(parts);
        Self(Arc::new(Inner { subject, role, claims, ends_at, standing }))
    }

    /// The token's `sub`.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.subject
    }

    /// The second since 1970 from which the token is believed no more.
    #[must_use]
    pub fn ends_at(&self) -> u64 {
        self.0.ends_at
    }

    /// What the caller is.
    #[must_use]
    pub fn role(&self) -> &Role {
        &self.0.role
    }

    /// The claims that the role's rules refer to.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.0.claims
    }

    /// What all callers who may see the same share, and no others: of one matrix, the role and the claims that it reads.
    #[must_use]
    pub fn standing(&self) -> [u8; 16] {
        self.0.standing
    }

    /// How access to that dataset was decided.
    #[must_use]
    pub fn decision(&self, dataset: &str) -> Decision {
        let hash = hash([&self.0.standing[..], dataset.as_bytes()]);
        let mut decision = [0; 8];
        decision.copy_from_slice(&hash[..8]);
        Decision(decision)
    }
}

/// The token of an `Authorization: Bearer` header. The scheme's case does not matter (RFC 9110, 11.1).
fn bearer(header: &[u8]) -> Result<&str, Error> {
    let text = std::str::from_utf8(header).map_err(|_| Error::Malformed)?;
    let (scheme, token) = text.trim().split_once(' ').ok_or(Error::Malformed)?;
    let token = token.trim_start_matches(' ');
    if !scheme.eq_ignore_ascii_case("bearer") {
        // Another scheme is no credential for us: the answer is a challenge.
        return Err(Error::Missing);
    }
    if token.is_empty() || token.bytes().any(|b| b.is_ascii_whitespace() || b == b',') {
        return Err(Error::Malformed);
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Error::Invalid(Reason::Length));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_header_is_read_as_rfc_6750_writes_it() {
        let cases: [(&str, Result<&str, Error>); 9] = [
            ("Bearer abc", Ok("abc")),
            ("bearer abc", Ok("abc")),
            ("BEARER  abc", Ok("abc")),
            ("Basic abc", Err(Error::Missing)),
            ("Bearer", Err(Error::Malformed)),
            ("Bearer ", Err(Error::Malformed)),
            ("Bearer a b", Err(Error::Malformed)),
            ("Bearer a, Bearer b", Err(Error::Malformed)),
            ("abc", Err(Error::Malformed)),
        ];
        for (header, expected) in cases {
            assert_eq!(bearer(header.as_bytes()), expected, "{header}");
        }
    }
}
