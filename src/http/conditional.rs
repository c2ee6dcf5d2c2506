//! Entity tags and what depends on them (RFC 9110, sections 8.8.3 and 13): an answer's tag names its coding as well, since
//! packed bytes are other bytes.

use axum::http::{HeaderMap, HeaderValue, header};

use crate::encode::{Coding, Codings};
use crate::engine::Tag;

/// The tag of an answer that is packed so.
#[must_use]
pub fn etag(tag: Tag, coding: Coding) -> HeaderValue {
    let mut text = String::with_capacity(44);
    text.push_str(if tag.weak { "W/\"" } else { "\"" });
    text.push_str(&opaque(tag, coding));
    text.push('"');
    // Hexadecimal digits and names of codings are a header's text.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

fn opaque(tag: Tag, coding: Coding) -> String {
    let mut text = String::with_capacity(40);
    for byte in tag.bytes {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        text.push(char::from(HEX[usize::from(byte >> 4)]));
        text.push(char::from(HEX[usize::from(byte & 15)]));
    }
    if coding != Coding::Identity {
        text.push('-');
        text.push_str(coding.name());
    }
    text
}

/// The tag that the client has already, of those that the answer could have for it; `*` is any.
#[must_use]
pub fn matched(headers: &HeaderMap, tag: Tag, codings: Codings) -> Option<HeaderValue> {
    let wanted: Vec<&str> =
        headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok()).flat_map(items).collect();
    if wanted.is_empty() {
        return None;
    }
    if wanted.contains(&"*") {
        return Some(etag(tag, codings.best));
    }
    let could_be = Coding::ALL.into_iter().filter(|coding| codings.take(*coding));
    let mut found = could_be.filter(|coding| {
        let own = opaque(tag, *coding);
        // The comparison is the weak one (RFC 9110, 13.1.2).
        wanted.iter().any(|wanted| wanted.trim_start_matches("W/").trim_matches('"') == own)
    });
    found.next().map(|coding| etag(tag, coding))
}

/// How the client takes an answer packed.
#[must_use]
pub fn codings(headers: &HeaderMap) -> Codings {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter();
    let accepted: Vec<&str> = accepted.map(|value| value.to_str().unwrap_or_default()).collect();
    Codings::read((!accepted.is_empty()).then(|| accepted.join(",")).as_deref())
}

/// Whether any answer at all would do.
#[must_use]
pub fn matches_any(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .any(|value| value.to_str().is_ok_and(|text| items(text).any(|item| item == "*")))
}

/// No tag of ours has a comma in it.
fn items(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|item| !item.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_again_in_every_coding_that_is_taken() {
        let tag = Tag { bytes: [0xAB; 16], weak: false };
        let plain = format!("\"{}\"", "ab".repeat(16));
        let zstd = format!("\"{}-zstd\"", "ab".repeat(16));
        let known = |text: &str, accept: Option<&str>| {
            let headers = HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::try_from(text).expect("a text"))]);
            matched(&headers, tag, Codings::read(accept)).map(|value| value.to_str().expect("a text").to_owned())
        };
        assert_eq!(known(&plain, None), Some(plain.clone()));
        assert_eq!(known(&format!("W/{plain}"), None), Some(plain.clone()));
        assert_eq!(known(&format!("\"x\", {zstd}"), Some("zstd")), Some(zstd.clone()));
        assert_eq!(known(&zstd, Some("gzip")), None);
        assert_eq!(known("*", Some("zstd")), Some(zstd));
        assert_eq!(known("\"x\"", None), None);
        assert_eq!(matched(&HeaderMap::new(), tag, Codings::NONE), None);
        assert_eq!(etag(Tag { weak: true, ..tag }, Coding::Identity), format!("W/{plain}"));
    }
}
