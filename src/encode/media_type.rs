//! Media types that answers come in, and the choice among them (RFC 9110, 12.5.1).

/// What an answer is written as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaType {
    /// `application/json`.
    Json,
}

/// Nothing that the client accepts is offered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("offer a media type that is accepted")]
pub struct NotAcceptable;

impl MediaType {
    /// What is offered, the preferred first.
    pub const ALL: [Self; 1] = [Self::Json];

    /// The media type's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
        }
    }

    /// The short name that `format=` takes.
    #[must_use]
    pub fn format(self) -> &'static str {
        match self {
            Self::Json => "json",
        }
    }

    /// The media type of that short name or full name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, NotAcceptable> {
        Self::ALL.into_iter().find(|offer| offer.format() == name || offer.as_str() == name).ok_or(NotAcceptable)
    }

    /// The best offer for an `Accept` header: the most specific range that matches an offer decides its weight, and
    /// the earlier of two equal offers wins. No header accepts everything.
    ///
    /// # Errors
    /// When no offer has a weight above zero.
    pub fn negotiate(accept: Option<&str>) -> Result<Self, NotAcceptable> {
        let Some(accept) = accept else { return Ok(Self::Json) };
        let mut best: Option<(Self, u16)> = None;
        for offer in Self::ALL {
            let weight = accept.split(',').filter_map(|range| weight(range, offer)).max_by_key(|(rank, _)| *rank);
            if let Some((_, weight)) = weight
                && weight > best.map_or(0, |(_, best)| best)
            {
                best = Some((offer, weight));
            }
        }
        best.map(|(offer, _)| offer).ok_or(NotAcceptable)
    }
}

/// How specific a media range is for an offer, and its weight in thousandths; `None` when it does not match.
fn weight(range: &str, offer: MediaType) -> Option<(u8, u16)> {
    let mut parts = range.split(';');
    let name = parts.next()?.trim().to_ascii_lowercase();
    let full = offer.as_str();
    let kind = full.split_once('/').map_or(full, |(kind, _)| kind);
    let rank = match name.as_str() {
        "*/*" => 0,
        name if name.strip_suffix("/*") == Some(kind) => 1,
        name if name == full => 2,
        _ => return None,
    };
    let quality = parts.find_map(|part| part.trim().strip_prefix("q=").map(|quality| quality.trim().to_owned()));
    let weight = match quality {
        None => 1000,
        // An unreadable weight is none at all.
        Some(quality) => quality.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(0, thousandths),
    };
    Some((rank, weight))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
fn thousandths(quality: f32) -> u16 {
    (quality * 1000.0).round() as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_header_chooses_among_the_offers() {
        let json = Ok(MediaType::Json);
        let cases = [
            (None, json),
            (Some("*/*"), json),
            (Some("application/*"), json),
            (Some("application/json"), json),
            (Some("APPLICATION/JSON; q=0.1, text/html"), json),
            (Some("text/html, */*;q=0.1"), json),
            (Some("text/html"), Err(NotAcceptable)),
            (Some("application/json;q=0"), Err(NotAcceptable)),
            (Some("*/*, application/json;q=0"), Err(NotAcceptable)),
            (Some("application/json;q=many"), Err(NotAcceptable)),
            (Some(""), Err(NotAcceptable)),
        ];
        for (accept, expected) in cases {
            assert_eq!(MediaType::negotiate(accept), expected, "{accept:?}");
        }
    }
}
