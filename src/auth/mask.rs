//! What is shown of a column whose values are not: a mask keeps its column's type, so that no client breaks on it.

use aws_lc_rs::hmac;

use crate::catalog::{Bucket, Type};
use crate::random;

/// Bytes of a keyed hash that are shown: 128 bits, which no two values share by chance.
const HASH_BYTES: usize = 16;

/// What is shown in a value's place. Null stays null under every mask.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Mask {
    /// Nothing: null.
    Redact,
    /// A text's keyed hash, in hexadecimal: equal texts stay equal, wherever they stand.
    Hash,
    /// A number to so many digits behind the point, half away from zero; negative ones round to tens, hundreds.
    Round(i8),
    /// The first day, or instant, of the interval that a date or timestamp lies in, in UTC.
    Truncate(Bucket),
    /// The last so many characters of a text.
    Last(u8),
}

impl Mask {
    /// Whether a column of that type can be shown so.
    #[must_use]
    pub fn fits(self, data_type: Type) -> bool {
        match self {
            Self::Redact => true,
            Self::Hash | Self::Last(_) => data_type == Type::String,
            Self::Round(_) => {
                matches!(data_type, Type::Int32 | Type::Int64 | Type::Float64 | Type::Decimal { .. })
            }
            Self::Truncate(_) => matches!(data_type, Type::Date | Type::Timestamp),
        }
    }
}

impl Mask {
    /// Bytes that tell it from other masks.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Redact => out.extend([0, 0]),
            Self::Hash => out.extend([1, 0]),
            Self::Round(digits) => out.extend([2, digits.to_le_bytes()[0]]),
            Self::Truncate(bucket) => out.extend([3, bucket as u8]),
            Self::Last(characters) => out.extend([4, characters]),
        }
    }
}

impl std::fmt::Display for Mask {
    /// As the matrix writes it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Redact => f.write_str("redact"),
            Self::Hash => f.write_str("hash"),
            Self::Round(digits) => write!(f, "round: {digits}"),
            Self::Truncate(bucket) => write!(f, "truncate: {}", bucket.as_str()),
            Self::Last(characters) => write!(f, "last: {characters}"),
        }
    }
}

/// The key of [`Mask::Hash`]. All instances share it, or one text would have two hashes.
#[derive(Clone)]
pub struct MaskKey(hmac::Key);

impl MaskKey {
    /// A key from a secret of at least 32 bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A key that ends with the process: for a matrix that is only looked at.
    #[must_use]
    pub fn random() -> Self {
        Self::new(&random::bytes::<32>())
    }

    /// What tells this key from others, and nothing of it: answers under different keys are different answers.
    #[must_use]
    pub fn id(&self) -> [u8; HASH_BYTES] {
        self.sign(b"which key this is")
    }

    /// What is shown in a text's place.
    #[must_use]
    pub fn hash(&self, text: &str) -> String {
        self.sign(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn sign(&self, bytes: &[u8]) -> [u8; HASH_BYTES] {
        let mut signed = [0; HASH_BYTES];
        signed.copy_from_slice(&hmac::sign(&self.0, bytes).as_ref()[..HASH_BYTES]);
        signed
    }
}

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey(***)")
    }
}
