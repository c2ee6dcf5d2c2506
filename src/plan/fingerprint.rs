//! One canonical form, one fingerprint: equal meanings share it, different ones do not.

use aws_lc_rs::digest;

/// 128 bits of a SHA-256: collisions are out of reach, also for those who look for one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint(pub(super) [u8; 16]);

impl Fingerprint {
    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn of(canonical: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, canonical);
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_ref()[..16]);
        Self(bytes)
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Canonical bytes under construction: each part has a tag and a length, so that no two sequences of parts agree.
#[derive(Clone, Default)]
pub(super) struct Canonical(Vec<u8>);

impl Canonical {
    pub(super) fn part(&mut self, tag: &str, write: impl FnOnce(&mut Vec<u8>)) -> &mut Self {
        let mut bytes = Vec::new();
        write(&mut bytes);
        self.0.extend(tag.as_bytes());
        self.0.push(b'=');
        self.0.extend((bytes.len() as u64).to_le_bytes());
        self.0.extend(bytes);
        self
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0)
    }
}
