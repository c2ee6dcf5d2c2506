//! What is set of files: where they are, how large they get, and how they are asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Secret, duration, size};

/// Files of datasets: snapshots and exports.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Assets {
    /// Where they are kept.
    pub store: FileStore,
    /// Rows of one file at most. 5000000.
    pub part_rows: u64,
    /// A file that has grown so long is closed, and another begins. `256MiB`.
    #[serde(with = "size::text")]
    pub part_bytes: u64,
    /// For how long a snapshot may be handed to a role that sees only a part of the past: it is cut as that part will be
    /// at the end of that time, so that it never shows more. `1d`.
    #[serde(with = "duration::text")]
    pub snapshots_for: Duration,
    /// Files that callers ask for.
    pub exports: Exports,
    /// Where readers fetch files, such as a CDN's `https://cdn.example`. This server, where nothing is said.
    pub public_url: Option<String>,
    /// How links to files are signed.
    pub signer: Signer,
    /// What a CDN that looks at signatures itself sends in the header `Martello-Origin-Key`, instead of one.
    pub origin_key: Option<Secret>,
}

/// How links to files are signed, and who looks at them.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signer {
    /// What a signature is. `hmac`.
    pub kind: SignerKind,
    /// The first one signs, all are taken: a new one goes before the others, and an old one goes when its links have ended.
    /// For `cloudfront` the private key, in PEM. Without any, `hmac` has one that ends with the process.
    pub keys: Vec<Secret>,
    /// The id that CloudFront knows the key by.
    pub key_pair_id: Option<String>,
    /// For how long a link is good. `10m`.
    #[serde(with = "duration::text")]
    pub ttl: Duration,
}

/// What the signature of a link is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SignerKind {
    /// HMAC-SHA256, which this server checks.
    #[default]
    Hmac,
    /// MD5 as nginx's module `secure_link` checks it, and this server once more.
    SecureLink,
    /// What the store of files takes by itself: readers fetch from there.
    S3,
    /// A canned policy for CloudFront.
    Cloudfront,
}

impl Default for Signer {
    fn default() -> Self {
        Self { kind: SignerKind::Hmac, keys: Vec::new(), key_pair_id: None, ttl: Duration::from_secs(600) }
    }
}

impl Default for Assets {
    fn default() -> Self {
        Self {
            store: FileStore::default(),
            part_rows: 5_000_000,
            part_bytes: 256 << 20,
            snapshots_for: Duration::from_secs(24 * 3600),
            exports: Exports::default(),
            public_url: None,
            signer: Signer::default(),
            origin_key: None,
        }
    }
}

/// A store of files, as all instances reach it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileStore {
    /// A folder, or `file:///…`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`. The folder
    /// `assets` beside the configuration.
    pub url: Option<String>,
    /// What a store of objects needs besides, by the names that it gives them: `endpoint`, `region`, `access_key_id`,
    /// `secret_access_key`, `allow_http`. None is ever printed.
    pub options: BTreeMap<String, Secret>,
}

/// Files that callers ask for, made beside requests. They need a control store.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exports {
    /// Exports that this instance makes at once; none where others make all. 1.
    pub workers: usize,
    /// How long the files of an export are kept. `1d`.
    #[serde(with = "duration::text")]
    pub keep: Duration,
    /// An instance that says nothing of an export for so long has lost it: another one begins it anew. `30s`.
    #[serde(with = "duration::text")]
    pub lease: Duration,
    /// An export that has not come to its end after so long fails: its caller may ask for less. `1h`.
    #[serde(with = "duration::text")]
    pub time_max: Duration,
    /// Exports that one caller may have waiting or under way. 4.
    pub pending_max: u32,
    /// So often is looked for exports to make, and for files to delete. `1s`.
    #[serde(with = "duration::text")]
    pub poll: Duration,
}

impl Default for Exports {
    fn default() -> Self {
        Self {
            workers: 1,
            keep: Duration::from_secs(24 * 3600),
            lease: Duration::from_secs(30),
            time_max: Duration::from_secs(3600),
            pending_max: 4,
            poll: Duration::from_secs(1),
        }
    }
}
