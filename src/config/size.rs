//! The one spelling of sizes (`256MiB`, `4KiB`) in every file that a person writes.

/// Units, the largest first.
const UNITS: [(&str, u32); 4] = [("GiB", 30), ("MiB", 20), ("KiB", 10), ("B", 0)];

/// Why a text is no size.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no size: expected a whole number with a unit, such as 512B, 64KiB, 256MiB or 2GiB")]
pub struct Error {
    text: String,
}

/// Reads `512B`, `64KiB`, `256MiB` or `2GiB` as bytes.
///
/// # Errors
/// When the text has no unit, another unit, or a number that does not fit.
pub fn parse_size(text: &str) -> Result<u64, Error> {
    let error = || Error { text: text.into() };
    let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| error())?;
    let (_, shift) = UNITS.into_iter().find(|(name, _)| *name == unit).ok_or_else(error)?;
    number.checked_mul(1 << shift).ok_or_else(error)
}

/// The same size in the largest unit that divides it, as [`parse_size`] reads it.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    let whole = UNITS.into_iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    let (unit, shift) = whole.unwrap_or(("B", 0));
    format!("{}{unit}", bytes >> shift)
}

/// serde's `with` for sizes in files: `#[serde(with = "crate::config::size::text")]`.
pub mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    /// Reads the text form.
    ///
    /// # Errors
    /// When the text is no size.
    pub fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<u64, D::Error> {
        super::parse_size(&String::deserialize(input)?).map_err(D::Error::custom)
    }

    /// Writes the text form.
    ///
    /// # Errors
    /// Only the serializer's own.
    pub fn serialize<S: Serializer>(bytes: &u64, output: S) -> Result<S::Ok, S::Error> {
        output.serialize_str(&super::format_size(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_as_they_were_written() {
        for text in ["0B", "512B", "64KiB", "256MiB", "2GiB", "1025B"] {
            assert_eq!(format_size(parse_size(text).expect(text)), text);
        }
        assert_eq!(format_size(1024), "1KiB");
    }

    #[test]
    fn a_size_without_a_known_unit_is_refused() {
        for text in ["", "5", "B", "5 B", "-5B", "5MB", "1.5GiB", "99999999999999999999B", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
