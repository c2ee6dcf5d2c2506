//! Which bytes of a file are asked for (RFC 9110, section 14).

use std::ops::Range;

/// Ranges of one request at most: whoever wants more is better served by the whole.
const RANGES_MAX: usize = 16;

/// What of a file is sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// All of it: what is asked for cannot be read, is too much of a puzzle, or is all there is.
    Whole,
    /// These parts, each of a byte or more, in the order in which they were asked for.
    Parts(Vec<Range<u64>>),
    /// Nothing that is asked for is there.
    Nothing,
}

impl Extent {
    /// Reads a `Range` header about a file of that many bytes. Ranges that lie over each other are answered by the whole:
    /// who sends one byte to ask for a file a thousand times over gets it once.
    pub(super) fn read(header: &str, size: u64) -> Self {
        let Some((unit, set)) = header.split_once('=') else { return Self::Whole };
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return Self::Whole;
        }
        let mut parts: Vec<Range<u64>> = Vec::new();
        let (mut asked, mut spoiled) = (0, false);
        for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
            asked += 1;
            match part(spec, size) {
                _ if asked > RANGES_MAX => return Self::Whole,
                None => return Self::Whole,
                Some(part) if part.is_empty() => {}
                Some(part) => {
                    spoiled |= parts.iter().any(|other| part.start < other.end && other.start < part.end);
                    parts.push(part);
                }
            }
        }
        match parts.as_slice() {
            _ if asked == 0 || spoiled => Self::Whole,
            [] => Self::Nothing,
            _ => Self::Parts(parts),
        }
    }
}

/// `0-99`, `100-` or `-100` as bytes that are there, perhaps none; `None` for anything else.
fn part(spec: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = spec.split_once('-')?;
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first.min(size)..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first.min(size)..size,
        (None, Some(count)) if first.is_empty() => size.saturating_sub(count)..size,
        _ => return None,
    };
    Some(part)
}

/// A number; one that is past all that there could be is as good as the greatest.
fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_their_standard_has_them() {
        let read = |header: &str| Extent::read(header, 1000);
        let parts = |parts: &[Range<u64>]| Extent::Parts(parts.to_vec());
        for (header, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-99", 0..100),
            ("BYTES=500-", 500..1000),
            ("bytes=-1", 999..1000),
            ("bytes=-5000", 0..1000),
            ("bytes=999-99999999999999999999999", 999..1000),
            ("bytes= 5-7 ", 5..8),
            ("bytes=,5-7,", 5..8),
            // What is not there is left out.
            ("bytes=5-7,1000-", 5..8),
        ] {
            assert_eq!(read(header), parts(&[expected]), "{header}");
        }
        assert_eq!(read("bytes=900-999, 0-4,-10"), Extent::Whole, "they lie over each other");
        assert_eq!(read("bytes=900-989, 0-4,-10"), parts(&[900..990, 0..5, 990..1000]));
        for header in ["bytes=1000-", "bytes=-0", "bytes=1000-2000,5000-"] {
            assert_eq!(read(header), Extent::Nothing, "{header}");
        }
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=a-b",
            "bytes=5",
            "bytes=7-5",
            "bytes=--5",
            "bytes=+1-2",
            "rows=0-1",
            "bytes=0-1;2-3",
            "bytes=0-1,x",
        ] {
            assert_eq!(read(header), Extent::Whole, "{header}");
        }
        let many = |count: u64| {
            let specs: Vec<String> = (0..count).map(|at| format!("{}-{}", at * 2, at * 2)).collect();
            read(&format!("bytes={}", specs.join(",")))
        };
        assert!(matches!(many(16), Extent::Parts(parts) if parts.len() == 16));
        assert_eq!(many(17), Extent::Whole);
        assert_eq!(Extent::read("bytes=0-", 0), Extent::Nothing);
        assert_eq!(Extent::read("bytes=-1", 0), Extent::Nothing);
    }
}
