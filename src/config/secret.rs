//! Values that are never printed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

/// A secret, or where it is kept. Reading it from a file or from another variable of the environment happens once, at
/// start. Prints as `***`, whatever prints it.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum Secret {
    /// The secret itself.
    Value(String),
    /// Kept elsewhere.
    Kept(Kept),
}

/// Where a secret is kept.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Kept {
    /// In a file, without its last line break.
    File(PathBuf),
    /// In a variable of the environment.
    Env(String),
}

impl Secret {
    /// The same secret, read from where it is kept.
    ///
    /// # Errors
    /// When the file or variable cannot be read.
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
    pub(super) fn resolve(&self) -> Result<Self, super::Error> {
        match self {
            Self::Value(_) => Ok(self.clone()),
            Self::Kept(Kept::File(path)) => std::fs::read_to_string(path)
                .map(|text| Self::Value(text.trim_end_matches(['\r', '\n']).to_owned()))
                .map_err(|source| super::Error::Unreadable { path: path.clone(), source }),
            Self::Kept(Kept::Env(name)) => std::env::var(name)
                .map(Self::Value)
                .map_err(|_| super::Error::Variable { name: name.clone(), expected: "a secret".into() }),
        }
    }

    /// The secret's text, for the one place that needs it. Empty while it is still kept elsewhere.
    #[must_use]
    pub fn expose(&self) -> &str {
        match self {
            Self::Value(text) => text,
            Self::Kept(_) => "",
        }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::Value(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}
