//! Keyset pages: a cursor is the last row's sort key, authenticated. There is no offset, since row 1,000,000 would cost
//! a million rows.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::random;

/// 128 bits of the HMAC: forging one takes 2^127 requests on average.
const TAG_BYTES: usize = 16;

/// Longer than any honest cursor: the key columns of one row.
const CURSOR_BYTES_MAX: usize = 4096;

/// Which part of the rows is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Page {
    /// How many rows; the default without it.
    pub limit: Option<Limit>,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Whether the page is the one that ends before the cursor, or at the end of all rows, rather than the one behind it.
    pub backward: bool,
    /// Whether all rows, of which no order was asked, come in the default one as pages do.
    pub in_order: bool,
}

/// How many rows are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// So many at most, and where the next ones begin.
    Rows(u64),
    /// Every one, as a stream.
    All,
}

/// An opaque text that a page handed out, not verified yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cursor(pub String);

/// Signs cursors. All instances share it, or a cursor of one would not serve at another.
pub struct CursorKey(hmac::Key);

impl CursorKey {
    /// A key from a secret of at least 32 bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// A key that ends with the process.
    #[must_use]
    pub fn random() -> Self {
        Self::new(&random::bytes::<32>())
    }

    /// What tells this key from others, and nothing of it: answers with cursors of different keys are different answers.
    #[must_use]
    pub fn id(&self) -> [u8; TAG_BYTES] {
        let mut id = [0; TAG_BYTES];
        id.copy_from_slice(&hmac::sign(&self.0, b"which key this is").as_ref()[..TAG_BYTES]);
        id
    }

    /// The payload, authenticated: no nonce and no subject, so that equal pages have equal cursors.
    #[must_use]
    pub fn seal(&self, payload: &[u8]) -> Cursor {
        let tag = hmac::sign(&self.0, payload);
        let mut bytes = Vec::with_capacity(TAG_BYTES + payload.len());
        bytes.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        bytes.extend_from_slice(payload);
        Cursor(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The payload of a cursor that this key sealed, and of no other.
    #[must_use]
    pub fn open(&self, cursor: &Cursor) -> Option<Vec<u8>> {
        if cursor.0.len() > CURSOR_BYTES_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(&cursor.0).ok()?;
        let (tag, payload) = bytes.split_at_checked(TAG_BYTES)?;
        let expected = hmac::sign(&self.0, payload);
        constant_time::verify_slices_are_equal(tag, &expected.as_ref()[..TAG_BYTES]).ok()?;
        Some(payload.to_vec())
    }
}

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_opens_only_as_it_was_sealed() {
        let key = CursorKey::new(&[7; 32]);
        let cursor = key.seal(b"payload");
        assert_eq!(key.open(&cursor).as_deref(), Some(&b"payload"[..]));
        assert_eq!(CursorKey::new(&[8; 32]).open(&cursor), None);
        for at in 0..cursor.0.len() {
            let mut bytes = cursor.0.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let forged = Cursor(String::from_utf8(bytes).expect("ASCII"));
            assert!(forged == cursor || key.open(&forged).is_none(), "{forged:?}");
        }
        assert_eq!(key.open(&Cursor(String::new())), None);
    }
}
