//! Identifiers. Everything that ever stands unquoted in a URL, a GraphQL schema or SQL text is a [`Name`].

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// Postgres truncates identifiers past 63 bytes without a word, so longer ones are refused.
pub const NAME_BYTES_MAX: usize = 63;

/// A lower-case identifier: a letter, then letters, digits and underscores.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<str>);

/// Why a text is no [`Name`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no name: expected a lower-case letter, then at most 62 lower-case letters, digits or underscores")]
pub struct NameError(String);

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        let fits = text.len() <= NAME_BYTES_MAX
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        if starts && fits { Ok(Self(text.into())) } else { Err(NameError(text.into())) }
    }
}

impl Name {
    /// A name of ours, with an underscore before it: no text can be read as one, so that nothing else is called so.
    pub(crate) fn ours(text: &str) -> Self {
        Self(format!("_{text}").into())
    }

    /// The identifier's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

/// What a source holds: a table or view, with its database schema where the contract names one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relation {
    /// The database schema; the session's search path decides when there is none.
    pub schema: Option<Name>,
    /// The table or view.
    pub table: Name,
}

impl FromStr for Relation {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(schema.parse()?), table),
            None => (None, text),
        };
        Ok(Self { schema, table: table.parse()? })
    }
}

impl fmt::Display for Relation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => write!(f, "{}", self.table),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_lower_case_identifiers_are_names() {
        for text in ["a", "price_daily", "x1"] {
            assert_eq!(text.parse::<Name>().expect(text).as_str(), text);
        }
        let long = "a".repeat(64);
        for text in ["", "1a", "_a", "A", "a-b", "a\"b", "a b", "é", &long] {
            assert!(text.parse::<Name>().is_err(), "{text}");
        }
    }
}
