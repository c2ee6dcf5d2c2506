//! What is set of the audit.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::duration;

/// Who has read what, and what has become of who may.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Where events go: `stdout`, `file`, `table` or `off`. `stdout`.
    pub to: AuditTo,
    /// The file, for `file`.
    pub path: Option<PathBuf>,
    /// Events that may wait to be written; what finds no room is counted. 10000.
    pub queue: usize,
    /// How long a table keeps them. `90d`.
    #[serde(with = "duration::text")]
    pub keep: Duration,
}

impl Default for Audit {
    fn default() -> Self {
        Self { to: AuditTo::Stdout, path: None, queue: 10_000, keep: Duration::from_secs(90 * 24 * 3600) }
    }
}

/// Where events of the audit go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditTo {
    /// Lines of JSON on standard output; logs are on standard error.
    Stdout,
    /// Lines of JSON at the end of a file.
    File,
    /// Rows of the control store.
    Table,
    /// Nowhere.
    Off,
}

impl<'de> Deserialize<'de> for AuditTo {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Words;

        impl Visitor<'_> for Words {
            type Value = AuditTo;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one of stdout, file, table and off")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<AuditTo, E> {
                match word {
                    "stdout" => Ok(AuditTo::Stdout),
                    "file" => Ok(AuditTo::File),
                    "table" => Ok(AuditTo::Table),
                    "off" => Ok(AuditTo::Off),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            /// What `off` is to older readers of YAML.
            fn visit_bool<E: de::Error>(self, on: bool) -> Result<AuditTo, E> {
                if on { Err(E::invalid_value(de::Unexpected::Bool(on), &self)) } else { Ok(AuditTo::Off) }
            }
        }

        input.deserialize_any(Words)
    }
}
