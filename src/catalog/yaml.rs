//! YAML files whose every fault names file, line, key and what was expected.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};

/// One fault of one file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{}:{line}: {key}: {expected}", .file.display())]
pub struct Fault {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1.
    pub line: u64,
    /// The key that stands there.
    pub key: String,
    /// What was found, and what was expected.
    pub expected: String,
}

/// A file's text, and the faults found in it so far.
pub struct Checked<'f> {
    file: &'f Path,
    text: &'f str,
    /// What was found wrong.
    pub faults: Vec<Fault>,
}

impl<'f> Checked<'f> {
    /// A file without faults yet.
    #[must_use]
    pub fn new(file: &'f Path, text: &'f str) -> Self {
        Self { file, text, faults: Vec::new() }
    }

    /// Reads the text as a `T`; an unknown key, a missing one or a wrong type is a fault.
    pub fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        match serde_saphyr::from_str(self.text) {
            Ok(value) => Some(value),
            Err(error) => {
                let error = error.without_snippet();
                let location = error.location().unwrap_or(Location::UNKNOWN);
                let message = error.to_string();
                let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
                self.at(location, message);
                // A key that is not there stands on no line: the place is that of what lacks it.
                let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
                if let (Some((key, _)), Some(fault)) = (missing, self.faults.last_mut()) {
                    fault.key = key.to_owned();
                }
                None
            }
        }
    }

    /// Adds a fault at a place; the key is the one that stands on that line.
    pub fn at(&mut self, location: Location, expected: impl std::fmt::Display) {
        let line = location.line().max(1);
        self.faults.push(Fault {
            file: self.file.to_owned(),
            line,
            key: key_of_line(self.text, line),
            expected: expected.to_string(),
        });
    }

    /// The parsed form of a spanned text, or a fault in its place.
    pub fn parse<T: std::str::FromStr>(&mut self, text: &Spanned<String>) -> Option<T>
    where
        T::Err: std::fmt::Display,
    {
        match text.value.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.at(text.referenced, error);
                None
            }
        }
    }
}

/// The key on that line or, where the line only continues a list, the nearest one above it that is indented less.
fn key_of_line(text: &str, line: u64) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let last = usize::try_from(line).unwrap_or(usize::MAX).min(lines.len());
    let mut indent = usize::MAX;
    for line in lines[..last].iter().rev() {
        let body = line.trim_start();
        if body.is_empty() || body.starts_with('#') || line.len() - body.len() >= indent {
            continue;
        }
        indent = line.len() - body.len();
        let body = body.trim_start_matches("- ");
        if let Some((key, _)) = body.split_once(':')
            && !key.is_empty()
            && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return key.to_owned();
        }
    }
    "(the file)".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Form {
        name: String,
        inner: Inner,
    }

    #[derive(Deserialize, Debug)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "read by serde only")]
    struct Inner {
        size: u32,
    }

    fn fault(text: &str) -> Fault {
        let mut checked = Checked::new(Path::new("a.yaml"), text);
        assert!(checked.read::<Form>().is_none());
        checked.faults.pop().expect("a fault")
    }

    #[test]
    fn a_wrong_type_names_its_line_and_key() {
        let fault = fault("name: x\ninner:\n  size: many\n");
        assert_eq!((fault.line, fault.key.as_str()), (3, "size"));
        assert!(fault.to_string().starts_with("a.yaml:3: size: "), "{fault}");
    }

    #[test]
    fn a_missing_key_names_itself_and_the_place_that_lacks_it() {
        let fault = fault("inner:\n  size: 1\n");
        assert_eq!((fault.key.as_str(), fault.expected.as_str()), ("name", "missing field `name`"));
    }

    #[test]
    fn an_unknown_key_names_itself_and_the_known_ones() {
        let fault = fault("name: x\ninner:\n  size: 1\n  sise: 2\n");
        assert_eq!((fault.line, fault.key.as_str()), (4, "sise"));
        assert!(fault.expected.contains("size"), "{fault}");
    }
}
