//! What the audit says. Nothing in an event is a value of a row, of a filter or of a credential: it is made of a caller,
//! of names out of contracts, of numbers, and of words that stand in the code.

use std::borrow::Cow;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::name::Name;

/// A token's `sub` may be as long as the token; so much of it tells callers apart.
const SUBJECT_CHARS_MAX: usize = 256;

/// One thing that has happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Event {
    #[serde(with = "instant")]
    time: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_id: Option<Box<str>>,
    #[serde(flatten)]
    what: What,
}

/// What has happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Data of a dataset went out, or were refused.
    DataAccess(Arc<Access>),
    /// Another policy holds from now on.
    PolicyChange(PolicyChange),
    /// A credential was made, or is believed no more.
    Credential(Credential),
    /// A file was put beside a dataset, or removed from there.
    Asset(Asset),
    /// Events that there was no room for.
    Lost {
        /// How many.
        lost: u64,
    },
}

/// Data of one dataset in one answer. Events of equal answers to one caller share it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Access {
    subject: String,
    role: String,
    decision: Option<String>,
    dataset: Option<String>,
    version: Option<u64>,
    columns: Vec<String>,
    rows: Option<u64>,
    bytes: Option<u64>,
    format: Option<Cow<'static, str>>,
    door: Door,
    cache: Option<Cow<'static, str>>,
    cost: Option<u64>,
    status: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    problem: Option<Cow<'static, str>>,
}

/// From one policy to another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PolicyChange {
    what: Cow<'static, str>,
    before: Option<String>,
    now: String,
}

/// What has become of a credential.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Credential {
    what: Cow<'static, str>,
    id: String,
    subject: String,
}

/// What has become of a file beside a dataset.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asset {
    what: Cow<'static, str>,
    id: String,
    dataset: String,
    subject: String,
}

/// By which door data went out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// `/v1/datasets`.
    Rest,
    /// `/graphql`.
    Graphql,
    /// `/v1/assets`.
    Assets,
}

/// What went out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivery {
    /// Rows; related ones are those of their own dataset.
    pub rows: Option<u64>,
    /// Bytes of the body.
    pub bytes: Option<u64>,
    /// As what they were written.
    pub format: Option<&'static str>,
    /// Where the answer is from.
    pub cache: Option<&'static str>,
    /// Rows that the source has read for it.
    pub cost: Option<u64>,
}

impl Access {
    /// A caller's access that was answered with that status.
    #[must_use]
    pub fn by(subject: &str, role: &str, door: Door, status: u16) -> Self {
        Self {
            subject: plain(subject),
            role: role.to_owned(),
            decision: None,
            dataset: None,
            version: None,
            columns: Vec::new(),
            rows: None,
            bytes: None,
            format: None,
            door,
            cache: None,
            cost: None,
            status,
            problem: None,
        }
    }

    /// To that dataset, of that version, as it was decided.
    #[must_use]
    pub fn to<'n>(
        mut self,
        dataset: &Name,
        version: Option<u64>,
        decision: [u8; 8],
        columns: impl Iterator<Item = &'n Name>,
    ) -> Self {
        self.dataset = Some(dataset.to_string());
        self.version = version;
        self.decision = Some(hex(&decision));
        self.columns = columns.map(ToString::to_string).collect();
        self
    }

    /// With what went out.
    #[must_use]
    pub fn delivering(mut self, delivery: Delivery) -> Self {
        self.rows = delivery.rows;
        self.bytes = delivery.bytes;
        self.format = delivery.format.map(Cow::Borrowed);
        self.cache = delivery.cache.map(Cow::Borrowed);
        self.cost = delivery.cost;
        self
    }

    /// With the reason why nothing went out.
    #[must_use]
    pub fn refused(mut self, problem: &'static str) -> Self {
        self.problem = Some(Cow::Borrowed(problem));
        self
    }

    /// Who asked.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// As what.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Of which dataset; none where nothing went out of any.
    #[must_use]
    pub fn dataset(&self) -> Option<&str> {
        self.dataset.as_deref()
    }

    /// Which columns.
    #[must_use]
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// How many rows.
    #[must_use]
    pub fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> Option<u64> {
        self.bytes
    }

    /// With which status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Why nothing went out.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

impl Credential {
    /// Whose it is.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl Asset {
    /// Beside which dataset.
    #[must_use]
    pub fn dataset(&self) -> &str {
        &self.dataset
    }

    /// Who did it.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

impl Event {
    fn now(request_id: Option<&str>, what: What) -> Self {
        Self { time: clock::now(), request_id: request_id.map(Into::into), what }
    }

    /// An access of that request, now.
    #[must_use]
    pub fn access(request_id: &str, access: Arc<Access>) -> Self {
        Self::now(Some(request_id), What::DataAccess(access))
    }

    /// From now on another policy holds, such as `matrix`, under that id; before there may have been none.
    #[must_use]
    pub fn policy_change(what: &'static str, before: Option<&[u8]>, now: &[u8]) -> Self {
        let (before, now) = (before.map(hex), hex(now));
        Self::now(None, What::PolicyChange(PolicyChange { what: Cow::Borrowed(what), before, now }))
    }

    /// Something has become of a credential, such as `key created`; its id is no secret.
    #[must_use]
    pub fn credential(what: &'static str, id: &str, subject: &str) -> Self {
        let (id, subject) = (plain(id), plain(subject));
        Self::now(None, What::Credential(Credential { what: Cow::Borrowed(what), id, subject }))
    }

    /// Somebody has done something with a file beside a dataset, such as `asset put`; its id is made of its content.
    #[must_use]
    pub fn asset(what: &'static str, id: &str, dataset: &Name, operator: &str) -> Self {
        let (id, dataset, subject) = (plain(id), dataset.to_string(), plain(operator));
        Self::now(None, What::Asset(Asset { what: Cow::Borrowed(what), id, dataset, subject }))
    }

    /// There was no room for so many events.
    #[must_use]
    pub fn lost(lost: u64) -> Self {
        Self::now(None, What::Lost { lost })
    }

    /// When.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.time
    }

    /// The request in which it has happened.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// What.
    #[must_use]
    pub fn what(&self) -> &What {
        &self.what
    }

    /// The kind, as it is written.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self.what {
            What::DataAccess(_) => "data_access",
            What::PolicyChange(_) => "policy_change",
            What::Credential(_) => "credential",
            What::Asset(_) => "asset",
            What::Lost { .. } => "lost",
        }
    }

    /// The access, where it is one.
    #[must_use]
    pub fn as_access(&self) -> Option<&Access> {
        match &self.what {
            What::DataAccess(access) => Some(access),
            _ => None,
        }
    }

    /// The event as one line of JSON, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).expect("texts and numbers are JSON: nothing else is in an event")
    }
}

impl std::fmt::Display for Event {
    /// For people: when, who, what.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.3}  ", self.time)?;
        match &self.what {
            What::DataAccess(access) => {
                let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
                let dataset = access.dataset.as_deref().unwrap_or("-");
                let version = access.version.map(|version| format!("@{version}")).unwrap_or_default();
                let end = match &access.problem {
                    Some(problem) => problem.to_string(),
                    None => access.columns.join(","),
                };
                write!(
                    f,
                    "{}  {:20}  {:20}  {:24}  {:>9} rows  {:>11} bytes  {:7}  {:6}  {end}",
                    access.status,
                    access.role,
                    access.subject,
                    format!("{dataset}{version}"),
                    number(access.rows),
                    number(access.bytes),
                    access.format.as_deref().unwrap_or("-"),
                    access.cache.as_deref().unwrap_or("-"),
                )
            }
            What::PolicyChange(change) => {
                write!(f, "{} {} -> {}", change.what, change.before.as_deref().unwrap_or("none"), change.now)
            }
            What::Credential(credential) => {
                write!(f, "{} {} of {}", credential.what, credential.id, credential.subject)
            }
            What::Asset(asset) => write!(f, "{} {} by {}", asset.what, asset.id, asset.subject),
            What::Lost { lost } => write!(f, "{lost} events were lost"),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text of a token as every sink takes it: Postgres has no NUL in its JSON, and one event that it refuses would hold up
/// all that are behind it.
fn plain(text: &str) -> String {
    text.chars().take(SUBJECT_CHARS_MAX).map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// Milliseconds, always three digits: as texts, instants are in their order.
mod instant {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, output: S) -> Result<S::Ok, S::Error> {
        output.collect_str(&format_args!("{time:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Timestamp, D::Error> {
        std::borrow::Cow::<'_, str>::deserialize(input)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        let names = ["symbol", "close"].map(|name| name.parse::<Name>().expect("a name"));
        Access::by("a\u{0}b", "client_pro", Door::Rest, 200)
            .to(&"price_daily".parse().expect("a name"), Some(3), [0xab; 8], names.iter())
            .delivering(Delivery {
                rows: Some(2),
                bytes: Some(80),
                format: Some("json"),
                cache: Some("l1"),
                cost: Some(0),
            })
    }

    #[test]
    fn every_event_reads_back_as_it_was_written() {
        let events = [
            Event::access("r1", Arc::new(access())),
            Event::access("r2", Arc::new(Access::by("s", "r", Door::Graphql, 403).refused("export-not-granted"))),
            Event::policy_change("matrix", None, &[1, 2]),
            Event::credential("key created", "k1", "app"),
            Event::asset("asset put", "news.files.f-1.0", &"news".parse().expect("a name"), "somebody"),
            Event::lost(7),
        ];
        for event in events {
            let read: Event = serde_json::from_str(&event.line()).expect("an event");
            // Behind the milliseconds nothing is written.
            assert_eq!((read.line(), read.what()), (event.line(), event.what()));
        }
    }

    #[test]
    fn an_access_is_written_in_full() {
        let mut event = Event::access("r1", Arc::new(access()));
        event.time = "2026-11-26T21:04:49.1Z".parse().expect("an instant");
        assert_eq!(
            event.line(),
            "{\"time\":\"2026-11-26T21:04:49.100Z\",\"request_id\":\"r1\",\"kind\":\"data_access\",\
             \"subject\":\"a\u{FFFD}b\",\"role\":\"client_pro\",\"decision\":\"abababababababab\",\
             \"dataset\":\"price_daily\",\"version\":3,\"columns\":[\"symbol\",\"close\"],\"rows\":2,\"bytes\":80,\
             \"format\":\"json\",\"door\":\"rest\",\"cache\":\"l1\",\"cost\":0,\"status\":200}"
        );
    }
}
