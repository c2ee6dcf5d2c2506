//! What a set of files is: of which rows of which version, by which grant, and each file's hash. It is written when all of
//! them are there, so what it lists is whole.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{Context, SHA256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::encode::MediaType;
use crate::name::Name;
use crate::store::Version;

/// Files are parted so, each holding rows of one interval of the contract's `time`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Partition {
    /// Of one year.
    Year,
    /// Of one month.
    Month,
}

impl Partition {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Year, Self::Month];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Year => "year",
            Self::Month => "month",
        }
    }
}

impl FromStr for Partition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| "expected year or month".to_owned())
    }
}

/// Which state of a dataset files are of: a version, or a live relation as it was read once. It is a folder's name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Edition(String);

impl Edition {
    /// That of a version. A store that was made anew counts its versions anew, hence a part of the id.
    #[must_use]
    pub fn of(version: &Version) -> Self {
        Self::numbered(version.number, version.id.0)
    }

    fn numbered(number: u64, id: Uuid) -> Self {
        Self(format!("{number}-{}", &id.simple().to_string()[..12]))
    }

    /// That of an export: of a version by its number and id, or of a live relation, which is read once for it.
    #[must_use]
    pub fn asked(version: Option<(u64, Uuid)>, export: Uuid) -> Self {
        version.map_or_else(|| Self(format!("live-{}", export.simple())), |(number, id)| Self::numbered(number, id))
    }

    /// That of a live relation, read once.
    #[must_use]
    pub fn live() -> Self {
        Self(format!("live-{}", Uuid::now_v7().simple()))
    }

    /// That of files beside the dataset, which are of no state of it.
    pub(super) fn documents() -> Self {
        Self("files".to_owned())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What names a file for those who fetch it, and says where it is: `price_daily.42-0c8e0f2e8b0b.s-4f1d….0`. It is no
/// permission: whoever fetches is looked at again.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct AssetId {
    /// The dataset.
    pub dataset: Name,
    /// The state of it.
    pub edition: Edition,
    /// The set of files.
    pub manifest: String,
    /// Its place in the set; none is the set's manifest itself.
    pub part: Option<usize>,
}

impl AssetId {
    /// The folder of all that there is of that state of the dataset.
    #[must_use]
    pub fn folder(dataset: &Name, edition: &Edition) -> String {
        format!("{dataset}/{}", edition.0)
    }

    /// Where the manifest is.
    #[must_use]
    pub fn manifest_path(&self) -> String {
        format!("{}/manifests/{}.json", Self::folder(&self.dataset, &self.edition), self.manifest)
    }

    /// Whether it is of a snapshot, which is made ahead; else it is of an export, which somebody has asked for.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.manifest.starts_with("s-")
    }

    /// The name of a file beside a dataset.
    pub(super) fn of_document(dataset: Name, id: &str, part: Option<usize>) -> Self {
        Self { dataset, edition: Edition::documents(), manifest: id.to_owned(), part }
    }

    /// Whether it is of a file beside a dataset.
    #[must_use]
    pub fn is_document(&self) -> bool {
        self.edition == Edition::documents() && self.manifest.starts_with("f-")
    }

    /// The export that it is of.
    #[must_use]
    pub fn export(&self) -> Option<Uuid> {
        Uuid::try_parse(self.manifest.strip_prefix("e-")?.split('-').next()?).ok()
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.dataset, self.edition.0, self.manifest)?;
        self.part.map_or(Ok(()), |part| write!(f, ".{part}"))
    }
}

impl FromStr for AssetId {
    type Err = ();

    /// Nothing but what is written so: it becomes a path.
    fn from_str(text: &str) -> Result<Self, ()> {
        let plain = |text: &str| {
            let whole = (1..=80).contains(&text.len());
            whole && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        };
        let mut parts = text.split('.');
        let dataset = parts.next().and_then(|name| name.parse().ok()).ok_or(())?;
        let edition = parts.next().filter(|text| plain(text)).ok_or(())?;
        let manifest = parts.next().filter(|text| plain(text)).ok_or(())?;
        let part = parts.next().map(|text| {
            let canonical = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            text.parse().ok().filter(|_| canonical).ok_or(())
        });
        if parts.next().is_some() {
            return Err(());
        }
        Ok(Self {
            dataset,
            edition: Edition(edition.to_owned()),
            manifest: manifest.to_owned(),
            part: part.transpose()?,
        })
    }
}

/// A set of files.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Its name.
    pub id: String,
    /// The dataset.
    pub dataset: String,
    /// The state of it that the files are of.
    pub edition: String,
    /// The version's number; none of a live dataset.
    pub version: Option<u64>,
    /// The version's id.
    pub version_id: Option<String>,
    /// The version since which the rows are what has changed; of a whole version there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<u64>,
    /// The hash of the contract that the rows keep.
    pub contract: String,
    /// What the files are written as, in short.
    pub format: String,
    /// What tells the question and the grant from others ([`Plan::shape`](crate::plan::Plan::shape)).
    pub shape: String,
    /// When it was made.
    #[serde(with = "instant")]
    pub created_at: Timestamp,
    /// From when on it may show more of the past than its grant does.
    #[serde(with = "instant::optional")]
    pub valid_until: Option<Timestamp>,
    /// The keys of the rows' order, a `-` before those that descend; none where they are as the source has them.
    pub order: Vec<String>,
    /// What each file holds the rows of.
    pub partition_by: Option<Partition>,
    /// The columns, in their order.
    pub columns: Vec<String>,
    /// The ends of time behind which rows were kept back.
    pub limited_by: Vec<Bound>,
    /// Rows of all files.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The files, in the order of their rows.
    pub files: Vec<Part>,
}

/// An end of time behind which rows were kept back.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// `history` or `delay`.
    pub window: String,
    /// On which column.
    pub column: String,
    /// The first value, or the last, that is there.
    pub bound: String,
}

/// One file.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Where it is in the store.
    pub path: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes.
    pub bytes: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
    /// The primary key of its first row, and of its last, where the rows have one.
    pub first_key: Option<Vec<String>>,
    /// Likewise.
    pub last_key: Option<Vec<String>>,
    /// The interval of its rows: `2024` or `2024-02`; `none` of those without a time.
    pub partition: Option<String>,
}

impl Manifest {
    /// What the files are written as.
    #[must_use]
    pub fn media_type(&self) -> Option<MediaType> {
        MediaType::named(&self.format)
    }

    /// Its own id, as one who fetches it writes it; `None` where it holds something that Martello never writes.
    #[must_use]
    pub fn asset(&self, part: Option<usize>) -> Option<AssetId> {
        let id = AssetId {
            dataset: self.dataset.parse().ok()?,
            edition: Edition(self.edition.clone()),
            manifest: self.id.clone(),
            part,
        };
        id.to_string().parse().ok()
    }

    /// Whether it may still be handed out, for all that moves with time.
    #[must_use]
    pub fn holds_at(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }

    /// The name of a snapshot of that content: whoever makes the same once more makes nothing.
    pub(super) fn named_by_content(mut self) -> Self {
        let mut context = Context::new(&SHA256);
        let until = self.valid_until.map(|until| until.to_string()).unwrap_or_default();
        let head = [&self.dataset, &self.edition, &self.contract, &self.format, &self.shape, &until];
        let partition = self.partition_by.map_or("", Partition::as_str);
        let words = head.into_iter().map(String::as_str).chain([partition]);
        for word in words.chain(self.files.iter().map(|file| file.sha256.as_str())) {
            context.update(word.as_bytes());
            context.update(b"\n");
        }
        self.id = format!("s-{}", &hex(context.finish().as_ref())[..24]);
        self
    }
}

/// Bytes in hexadecimal.
pub(in crate::publish) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An instant as its text.
pub(super) mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(in super::super) fn serialize<S: Serializer>(instant: &Timestamp, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(instant)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
        String::deserialize(input)?.parse().map_err(D::Error::custom)
    }

    /// One that need not be.
    pub(super) mod optional {
        use jiff::Timestamp;
        use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

        #[expect(clippy::ref_option, reason = "serde hands the field over so")]
        pub(in super::super) fn serialize<S: Serializer>(
            instant: &Option<Timestamp>,
            output: S,
        ) -> Result<S::Ok, S::Error> {
            instant.map(|instant| instant.to_string()).serialize(output)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            input: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            let text = Option::<String>::deserialize(input)?;
            text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_and_nothing_else_is_one() {
        for text in ["price_daily.42-0c8e0f2e8b0b.s-4f1d00.0", "a.live-1.e-00112233445566778899aabbccddeeff-1"] {
            assert_eq!(text.parse::<AssetId>().map(|id| id.to_string()).as_deref(), Ok(text));
        }
        let export: AssetId = "a.live-1.e-00112233445566778899aabbccddeeff-1.17".parse().expect("an id");
        assert_eq!(export.export().map(|id| id.as_u128()), Some(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff));
        assert!(!export.is_snapshot() && export.part == Some(17));
        for text in [
            "",
            "a",
            "a.b",
            "a.b.c.",
            "a.b.c.-1",
            "a.b.c.+1",
            "a.b.c.01",
            "a.b.c.0.0",
            "a./.c",
            "a.b/../b.c",
            "a.B.c",
            "A.b.c",
            "a.%2e.c",
            "...",
        ] {
            assert!(text.parse::<AssetId>().is_err(), "{text}");
        }
    }
}
