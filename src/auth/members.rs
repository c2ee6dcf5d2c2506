//! JSON objects in which no member stands twice.
//!
//! RFC 7515, 4 and RFC 7519, 4 leave it to the reader whether the last of two members counts or none. Whoever reads the
//! token before us may take the first: no token that two readers could read in two ways is believed.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::Claims;

/// The members of an object, each of another name.
#[derive(Clone, Debug)]
pub(super) struct Members(pub(super) Claims);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Distinct;
        impl<'de> Visitor<'de> for Distinct {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object in which no member stands twice")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Claims::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }
        input.deserialize_map(Distinct)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_stands_twice_makes_no_object() {
        let read = |text| serde_json::from_str::<Members>(text).map(|members| members.0.len()).ok();
        assert_eq!(read(r#"{"a": 1, "b": {"a": 1}}"#), Some(2));
        assert_eq!(read(r#"{"a": 1, "a": 1}"#), None);
        // An escape is another spelling of the same name.
        assert_eq!(read(r#"{"a": 1, "\u0061": 2}"#), None);
        assert_eq!(read("[]"), None);
    }
}
