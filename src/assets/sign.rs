//! Links that end: what is put behind a path so that whoever has it may fetch the file there until a moment, and nobody
//! who has changed a letter of it. Nothing here reads a clock or a file.

use std::fmt;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use md5::{Digest as _, Md5};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::DecodePrivateKey as _;
use rsa::rand_core::OsRng;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};

use crate::config;
use crate::config::SignerKind;
use crate::random;

/// What stands before a SHA-1 that is signed by PKCS #1 1.5 (RFC 8017, 9.2).
const SHA1_PREFIX: [u8; 15] =
    [0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, 0x14];
/// Bytes of a SHA-1.
const SHA1_BYTES: usize = 20;
/// Digits of the instant at which a link ends, at most: as many as a `u64` has.
const EXPIRES_DIGITS_MAX: usize = 20;

/// Why links cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key is none.
    #[error("read assets.signer.keys as an RSA private key in PEM")]
    Key,
    /// The key signs nothing.
    #[error("sign a link")]
    Sign(#[source] rsa::Error),
}

/// Signs links, and knows its own again.
pub struct Signer(Kind);

enum Kind {
    /// HMAC-SHA256 of path and end, by the first key; links by any of them are known.
    Hmac(Vec<Key>),
    /// As nginx checks it: MD5 of end, path and secret.
    SecureLink(Vec<String>),
    /// As CloudFront checks it.
    CloudFront { key: Box<RsaPrivateKey>, key_pair_id: String },
    /// The store of files signs by itself.
    Store,
}

struct Key {
    key: hmac::Key,
    id: String,
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        // It tells keys apart, and nothing of them.
        let id = URL_SAFE_NO_PAD.encode(&hmac::sign(&key, b"which key this is").as_ref()[..6]);
        Self { key, id }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(***)")
    }
}

impl Signer {
    /// The signer of the configuration. Without keys there is one that ends with the process: links of an instance are
    /// good at that instance.
    ///
    /// # Errors
    /// When its key cannot be read.
    pub fn open(config: &config::Signer) -> Result<Self, Error> {
        let keys = || config.keys.iter().map(config::Secret::expose);
        Ok(Self(match config.kind {
            SignerKind::Hmac if config.keys.is_empty() => Kind::Hmac(vec![Key::new(&random::bytes::<32>())]),
            SignerKind::Hmac => Kind::Hmac(keys().map(|key| Key::new(key.as_bytes())).collect()),
            SignerKind::SecureLink => Kind::SecureLink(keys().map(str::to_owned).collect()),
            SignerKind::Cloudfront => {
                let pem = keys().next().unwrap_or_default();
                let key = RsaPrivateKey::from_pkcs8_pem(pem).or_else(|_| RsaPrivateKey::from_pkcs1_pem(pem));
                let key = Box::new(key.map_err(|_| Error::Key)?);
                Kind::CloudFront { key, key_pair_id: config.key_pair_id.clone().unwrap_or_default() }
            }
            SignerKind::S3 => Kind::Store,
        }))
    }

    /// The link to a path behind a base such as `https://cdn.example`, good until that second since 1970. `None` where the
    /// store of files signs by itself.
    ///
    /// # Errors
    /// When the key signs nothing.
    pub fn link(&self, base: &str, path: &str, expires: u64) -> Result<Option<String>, Error> {
        Ok(Some(match &self.0 {
            Kind::Store => return Ok(None),
            Kind::Hmac(keys) => {
                let Some(Key { key, id }) = keys.first() else { return Err(Error::Key) };
                let sig = URL_SAFE_NO_PAD.encode(hmac::sign(key, said(path, &expires.to_string()).as_bytes()));
                format!("{base}{path}?expires={expires}&kid={id}&sig={sig}")
            }
            Kind::SecureLink(secrets) => {
                let Some(secret) = secrets.first() else { return Err(Error::Key) };
                let sig = URL_SAFE_NO_PAD.encode(nginx(path, &expires.to_string(), secret));
                format!("{base}{path}?md5={sig}&expires={expires}")
            }
            Kind::CloudFront { key, key_pair_id } => {
                let url = format!("{base}{path}");
                // The canned policy, in the one form that CloudFront makes of the link again.
                let policy = format!(
                    "{{\"Statement\":[{{\"Resource\":\"{url}\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":{expires}}}}}}}]}}"
                );
                let hashed = digest(&SHA1_FOR_LEGACY_USE_ONLY, policy.as_bytes());
                let padding = Pkcs1v15Sign { hash_len: Some(SHA1_BYTES), prefix: SHA1_PREFIX.into() };
                // With blinding, so that how long it takes tells nothing of the key.
                let signature = key.sign_with_rng(&mut OsRng, padding, hashed.as_ref()).map_err(Error::Sign)?;
                let signature = STANDARD.encode(signature).replace('+', "-").replace('=', "_").replace('/', "~");
                format!("{url}?Expires={expires}&Signature={signature}&Key-Pair-Id={key_pair_id}")
            }
        }))
    }

    /// Whether that is what this signer has put behind the path, and the end is not yet. Path and query are as they came,
    /// not decoded: another spelling is another link.
    #[must_use]
    pub fn knows(&self, path: &str, query: &str, now: u64) -> bool {
        match &self.0 {
            Kind::Hmac(keys) => {
                let Some([expires, kid, sig]) = values(query, ["expires", "kid", "sig"]) else { return false };
                let Some(Key { key, .. }) = keys.iter().find(|key| key.id == kid) else { return false };
                let Ok(sig) = URL_SAFE_NO_PAD.decode(sig) else { return false };
                hmac::verify(key, said(path, expires).as_bytes(), &sig).is_ok() && ends_later(expires, now)
            }
            Kind::SecureLink(secrets) => {
                let Some([sig, expires]) = values(query, ["md5", "expires"]) else { return false };
                let Ok(sig) = URL_SAFE_NO_PAD.decode(sig) else { return false };
                let by = |secret: &String| {
                    constant_time::verify_slices_are_equal(&nginx(path, expires, secret), &sig).is_ok()
                };
                secrets.iter().any(by) && ends_later(expires, now)
            }
            // Whoever serves the link looks at it, and keeps what it says to itself.
            Kind::CloudFront { .. } | Kind::Store => false,
        }
    }
}

/// What an HMAC is of. No path has a line's end in it.
fn said(path: &str, expires: &str) -> String {
    format!("{expires}\n{path}")
}

/// `secure_link_md5 "$secure_link_expires$uri SECRET"`.
fn nginx(path: &str, expires: &str, secret: &str) -> [u8; 16] {
    Md5::digest(format!("{expires}{path} {secret}")).into()
}

fn ends_later(expires: &str, now: u64) -> bool {
    let plain = expires.len() <= EXPIRES_DIGITS_MAX && expires.bytes().all(|byte| byte.is_ascii_digit());
    plain && expires.parse::<u64>().is_ok_and(|expires| now < expires)
}

/// The values of a query that has these names, once each, and no other.
fn values<'q, const N: usize>(query: &'q str, names: [&str; N]) -> Option<[&'q str; N]> {
    let mut found = [None; N];
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=')?;
        let place = names.iter().position(|other| *other == name)?;
        if found[place].replace(value).is_some() {
            return None;
        }
    }
    let mut values = [""; N];
    for (place, value) in found.into_iter().enumerate() {
        values[place] = value?;
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "/assets/price_daily/42-0c8e0f2e8b0b/parquet/00/ff.parquet";

    fn signer(kind: SignerKind, keys: &[&str]) -> Signer {
        let keys = keys.iter().map(|key| config::Secret::from((*key).to_owned())).collect();
        let config = config::Signer { kind, keys, key_pair_id: Some("K1".to_owned()), ..config::Signer::default() };
        Signer::open(&config).expect("a signer")
    }

    fn query(signer: &Signer, path: &str, expires: u64) -> String {
        let link = signer.link("https://cdn.example", path, expires).expect("a link").expect("a link of ours");
        let (before, query) = link.split_once('?').expect("a query");
        assert_eq!(before, format!("https://cdn.example{path}"));
        query.to_owned()
    }

    #[test]
    fn a_link_is_good_as_it_was_signed_and_until_it_ends() {
        for kind in [SignerKind::Hmac, SignerKind::SecureLink] {
            let ours = signer(kind, &["a key of the tests", "the key before"]);
            let query = query(&ours, PATH, 1000);
            assert!(ours.knows(PATH, &query, 999), "{kind:?}");
            assert!(!ours.knows(PATH, &query, 1000) && !ours.knows(PATH, &query, 1001), "{kind:?}");
            assert!(!ours.knows(&PATH.replace("42-", "43-"), &query, 999), "{kind:?}");
            assert!(!ours.knows(&PATH.replace("/42", "%2F42"), &query, 999), "{kind:?}");
            // No letter can be another, and none can be more or less.
            for at in 0..query.len() {
                let mut forged = query.clone().into_bytes();
                forged[at] = if forged[at] == b'1' { b'2' } else { b'1' };
                let forged = String::from_utf8(forged).expect("ASCII");
                // The last digit of a base64 text has bits that say nothing; they must be zero, so this is refused, too.
                assert!(forged == query || !ours.knows(PATH, &forged, 0), "{kind:?} {forged}");
                assert!(!ours.knows(PATH, &query[..at], 0), "{kind:?} {at}");
            }
            for more in ["&x=1", "&expires=2000", "&"] {
                assert!(!ours.knows(PATH, &format!("{query}{more}"), 0), "{kind:?} {more}");
            }
            assert!(!ours.knows(PATH, "", 0) && !ours.knows(PATH, "expires=2000", 0), "{kind:?}");
        }
    }

    #[test]
    fn keys_are_changed_one_after_the_other() {
        for kind in [SignerKind::Hmac, SignerKind::SecureLink] {
            let (old, both, new) = (signer(kind, &["old"]), signer(kind, &["new", "old"]), signer(kind, &["new"]));
            let (by_old, by_both) = (query(&old, PATH, 9), query(&both, PATH, 9));
            assert!(both.knows(PATH, &by_old, 0) && both.knows(PATH, &by_both, 0), "{kind:?}");
            assert!(new.knows(PATH, &by_both, 0) && !new.knows(PATH, &by_old, 0), "{kind:?}");
            assert!(!old.knows(PATH, &by_both, 0), "{kind:?}");
        }
        let (one, other) = (signer(SignerKind::Hmac, &[]), signer(SignerKind::Hmac, &[]));
        let by_one = query(&one, PATH, 9);
        assert!(one.knows(PATH, &by_one, 0) && !other.knows(PATH, &by_one, 0));
    }

    /// The example of nginx's own page: `echo -n '2147483647/s/link127.0.0.1 secret' | openssl md5 -binary | openssl base64`.
    #[test]
    fn nginx_would_sign_the_same() {
        let signed = URL_SAFE_NO_PAD.encode(nginx("/s/link127.0.0.1", "2147483647", "secret"));
        assert_eq!(signed, "_e4Nc3iduzkWRm01TBBNYw");
    }

    #[test]
    fn cloudfront_finds_its_canned_policy_signed() {
        let key = RsaPrivateKey::new(&mut OsRng, 2048).expect("a key");
        let pem = rsa::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, rsa::pkcs8::LineEnding::LF).expect("a text");
        let ours = signer(SignerKind::Cloudfront, &[pem.as_str()]);
        let query = query(&ours, PATH, 1_700_000_000);
        let [expires, signature, id] = values(&query, ["Expires", "Signature", "Key-Pair-Id"]).expect("a link");
        assert_eq!((expires, id), ("1700000000", "K1"));
        let signature = signature.replace('-', "+").replace('_', "=").replace('~', "/");
        let signature = STANDARD.decode(signature).expect("base64");
        let policy = format!(
            "{{\"Statement\":[{{\"Resource\":\"https://cdn.example{PATH}\",\"Condition\":{{\"DateLessThan\":{{\"AWS:EpochTime\":1700000000}}}}}}]}}"
        );
        // Another implementation looks at it.
        let public = rsa::pkcs1::EncodeRsaPublicKey::to_pkcs1_der(&key.to_public_key()).expect("a key");
        let public = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY,
            public.as_bytes(),
        );
        assert!(public.verify(policy.as_bytes(), &signature).is_ok());
        assert!(!ours.knows(PATH, &query, 0), "an edge looks at it, and nobody behind");
        let none = config::Signer {
            kind: SignerKind::Cloudfront,
            keys: vec![config::Secret::from("no key".to_owned())],
            ..config::Signer::default()
        };
        assert!(Signer::open(&none).is_err());
    }
}
