//! A contract as its author typed it: the YAML form, checked for shape only. [`super::dataset`] holds what it means.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_saphyr::Spanned;

use super::{Family, Function, Operator};

/// A text with its place in the file, for errors about its meaning.
pub(super) type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contract {
    pub(super) name: Text,
    pub(super) family: Family,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) owner: String,
    pub(super) source: SourceForm,
    pub(super) primary_key: Spanned<Vec<Text>>,
    pub(super) default_order: Option<Vec<Text>>,
    pub(super) time: Option<Text>,
    pub(super) point_in_time: Option<PointInTimeForm>,
    pub(super) bars: Option<BarsForm>,
    pub(super) columns: Spanned<Vec<ColumnForm>>,
    #[serde(default)]
    pub(super) relations: Vec<RelationshipForm>,
    pub(super) sla: Sla,
    #[serde(default)]
    pub(super) checks: Vec<Spanned<CheckForm>>,
    #[serde(default)]
    pub(super) lineage: LineageForm,
    pub(super) deprecation: Option<DeprecationForm>,
    #[serde(default)]
    pub(super) cache: Cache,
    #[serde(default)]
    pub(super) versions: Retention,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceForm {
    pub(super) name: Text,
    pub(super) relation: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PointInTimeForm {
    pub(super) known_at: Text,
    pub(super) identity: Vec<Text>,
    pub(super) period: Text,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BarsForm {
    pub(super) open: Text,
    pub(super) high: Text,
    pub(super) low: Text,
    pub(super) close: Text,
    pub(super) volume: Option<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnForm {
    pub(super) name: Text,
    #[serde(rename = "type")]
    pub(super) data_type: Text,
    #[serde(default)]
    pub(super) nullable: bool,
    pub(super) unit: Option<String>,
    pub(super) description: String,
    pub(super) example: Option<Spanned<serde_json::Value>>,
    #[serde(default)]
    pub(super) filter: Vec<Spanned<Operator>>,
    #[serde(default)]
    pub(super) sort: Option<Spanned<bool>>,
    #[serde(default)]
    pub(super) aggregate: Vec<Spanned<Function>>,
    #[serde(default)]
    pub(super) searchable: Option<Spanned<bool>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelationshipForm {
    pub(super) name: Text,
    pub(super) dataset: Text,
    pub(super) kind: super::RelationKind,
    pub(super) on: BTreeMap<String, Text>,
    #[serde(default)]
    pub(super) description: String,
}

/// What is promised, to whom, and what happens when it is not kept: five questions in prose, and two answers that a
/// machine reads.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Sla {
    /// Why the business needs the dataset.
    pub business_need: String,
    /// What is expected of the data.
    pub expectation: String,
    /// When it is due.
    pub delivery: String,
    /// Who is affected when it is not there.
    pub affected: String,
    /// How a breach is known, and what is then done.
    pub breach: String,
    /// How old the newest publication may be.
    #[serde(default, with = "optional_duration", skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
    /// The UTC time of day by which a new version is due, as `HH:MM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
}

mod optional_duration {
    use serde::{Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Duration>, D::Error> {
        crate::config::duration::text::deserialize(input).map(Some)
    }

    #[expect(clippy::ref_option, reason = "serde's `with` passes a reference to the field")]
    pub(super) fn serialize<S: Serializer>(age: &Option<Duration>, output: S) -> Result<S::Ok, S::Error> {
        match age {
            Some(age) => crate::config::duration::text::serialize(age, output),
            None => output.serialize_none(),
        }
    }
}

/// One check that gates a publish; exactly one key is set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckForm {
    pub(super) not_null: Option<Vec<Text>>,
    pub(super) unique: Option<Vec<Text>>,
    pub(super) range: Option<RangeForm>,
    pub(super) row_count: Option<RowCountForm>,
    pub(super) freshness: Option<FreshnessForm>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RangeForm {
    pub(super) column: Text,
    pub(super) min: Option<serde_json::Number>,
    pub(super) max: Option<serde_json::Number>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowCountForm {
    pub(super) min: Option<u64>,
    pub(super) max: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FreshnessForm {
    pub(super) column: Text,
    #[serde(with = "crate::config::duration::text")]
    pub(super) max_age: Duration,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LineageForm {
    #[serde(default)]
    pub(super) derived_from: Vec<Text>,
    #[serde(default)]
    pub(super) description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeprecationForm {
    pub(super) since: Text,
    pub(super) sunset: Option<Text>,
    pub(super) replacement: Option<Text>,
}

/// Which versions are kept: the newest ones, and those that were current not long ago.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// So many, the current one among them.
    pub keep: usize,
    /// Those whose place the next one took no longer ago than this.
    #[serde(rename = "for", with = "crate::config::duration::text")]
    pub period: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { keep: 3, period: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// How long an answer may be kept (RFC 9111, RFC 5861).
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cache {
    /// Fresh for so long.
    #[serde(with = "crate::config::duration::text")]
    pub max_age: Duration,
    /// Then served stale for so long while it is fetched anew.
    #[serde(with = "crate::config::duration::text")]
    pub stale_while_revalidate: Duration,
    /// Served stale for so long while the source is out.
    #[serde(with = "crate::config::duration::text")]
    pub stale_if_error: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_age: Duration::from_secs(60),
            stale_while_revalidate: Duration::from_secs(30),
            stale_if_error: Duration::from_secs(600),
        }
    }
}
