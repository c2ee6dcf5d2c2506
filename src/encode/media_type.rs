//! Media types that answers come in, and the choice among them (RFC 9110, 12.5.1).

/// What an answer is written as.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MediaType {
    /// `application/json`: a page as one object.
    Json,
    /// `application/x-ndjson`: a line of JSON a row.
    Ndjson,
    /// `text/csv` (RFC 4180).
    Csv,
    /// `application/vnd.apache.arrow.stream`: Arrow's IPC stream.
    Arrow,
    /// `application/vnd.apache.parquet`.
    Parquet,
}

/// Why no media type is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Nothing that the client accepts is offered to anyone.
    #[error("offer a media type that is accepted")]
    NotAcceptable {
        /// What is offered to this client.
        granted: MediaTypes,
    },
    /// What the client accepts is offered to others only.
    #[error("offer a media type that is granted")]
    NotGranted {
        /// What is offered to this client.
        granted: MediaTypes,
    },
}

impl MediaType {
    /// Every one, the preferred first.
    pub const ALL: [Self; 5] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow, Self::Parquet];

    /// The media type's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The name with its parameters, as an answer states it.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            // RFC 4180, 3.
            Self::Csv => "text/csv; charset=utf-8; header=present",
            _ => self.as_str(),
        }
    }

    /// The short name that `format=` takes.
    #[must_use]
    pub fn format(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    /// How the name of a file of it ends, where an answer is rather kept than read.
    #[must_use]
    pub fn file_ending(self) -> Option<&'static str> {
        match self {
            Self::Json | Self::Ndjson => None,
            Self::Csv => Some("csv"),
            // Arrow's registration: `.arrows` is the stream, `.arrow` the file.
            Self::Arrow => Some("arrows"),
            Self::Parquet => Some("parquet"),
        }
    }

    /// The media type of that short name or full name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|offer| offer.format() == name || offer.as_str() == name)
    }

    /// The granted one for a `format=`.
    ///
    /// # Errors
    /// When there is none of that name, or it is not granted.
    pub fn chosen(name: &str, granted: MediaTypes) -> Result<Self, Refused> {
        let media_type = Self::named(name).ok_or(Refused::NotAcceptable { granted })?;
        if granted.has(media_type) { Ok(media_type) } else { Err(Refused::NotGranted { granted }) }
    }

    /// The best of the granted ones for an `Accept` header: the most specific range that matches one decides its weight.
    /// Of two with equal weights, the one that is named wins over the one that a wildcard covers, and then the earlier.
    /// No header accepts everything.
    ///
    /// # Errors
    /// When none of them has a weight above zero.
    pub fn negotiate(accept: Option<&str>, granted: MediaTypes) -> Result<Self, Refused> {
        let accept = accept.unwrap_or("*/*");
        if let Some(best) = best(accept, granted) {
            return Ok(best);
        }
        match best(accept, MediaTypes::ALL) {
            Some(_) => Err(Refused::NotGranted { granted }),
            None => Err(Refused::NotAcceptable { granted }),
        }
    }
}

fn best(accept: &str, offers: MediaTypes) -> Option<MediaType> {
    let mut best: Option<(MediaType, (u16, u8))> = None;
    for offer in offers.iter() {
        let range = accept.split(',').filter_map(|range| weight(range, offer)).max_by_key(|(rank, _)| *rank);
        if let Some((rank, weight @ 1..)) = range
            && best.is_none_or(|(_, best)| (weight, rank) > best)
        {
            best = Some((offer, (weight, rank)));
        }
    }
    best.map(|(offer, _)| offer)
}

/// How specific a media range is for an offer, and its weight in thousandths; `None` when it does not match.
fn weight(range: &str, offer: MediaType) -> Option<(u8, u16)> {
    let mut parts = range.split(';');
    let name = parts.next()?.trim().to_ascii_lowercase();
    let full = offer.as_str();
    let kind = full.split_once('/').map_or(full, |(kind, _)| kind);
    let mut rank = match name.as_str() {
        "*/*" => 0,
        name if name.strip_suffix("/*") == Some(kind) => 1,
        name if name == full => 2,
        _ => return None,
    };
    let mut weight = 1000;
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_ascii_lowercase());
        if name == "q" {
            // An unreadable weight is none at all.
            weight = value.parse::<f32>().ok().filter(|q| (0.0..=1.0).contains(q)).map_or(0, thousandths);
            // What follows the weight is no part of the range.
            break;
        }
        // A range of CSV without a header, or in another encoding, is none of ours.
        let ours = offer.content_type().split("; ").skip(1).filter_map(|part| part.split_once('='));
        match ours.into_iter().find(|(own, _)| *own == name) {
            Some((_, own)) if own != value => return None,
            Some(_) => rank = 3,
            None => {}
        }
    }
    Some((rank, weight))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
fn thousandths(quality: f32) -> u16 {
    (quality * 1000.0).round() as u16
}

/// Some of the media types.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct MediaTypes(u8);

impl MediaTypes {
    /// Every one.
    pub const ALL: Self = Self((1 << MediaType::ALL.len()) - 1);

    /// Whether it is one of them.
    #[must_use]
    pub fn has(self, media_type: MediaType) -> bool {
        self.0 & Self::from(media_type).0 != 0
    }

    /// Those of either.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them, the preferred first.
    pub fn iter(self) -> impl Iterator<Item = MediaType> {
        MediaType::ALL.into_iter().filter(move |media_type| self.has(*media_type))
    }

    /// Their short names, parted by commas.
    #[must_use]
    pub fn formats(self) -> String {
        self.iter().map(MediaType::format).collect::<Vec<_>>().join(", ")
    }
}

impl From<MediaType> for MediaTypes {
    fn from(media_type: MediaType) -> Self {
        Self(1 << media_type as u8)
    }
}

impl FromIterator<MediaType> for MediaTypes {
    fn from_iter<I: IntoIterator<Item = MediaType>>(media_types: I) -> Self {
        media_types.into_iter().fold(Self::default(), |all, media_type| all.or(media_type.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MediaType::{Arrow, Csv, Json, Ndjson, Parquet};

    #[test]
    fn an_accept_header_chooses_among_the_offers() {
        let granted = MediaTypes::ALL;
        let none = Err(Refused::NotAcceptable { granted });
        let cases = [
            (None, Ok(Json)),
            (Some("*/*"), Ok(Json)),
            (Some("application/*"), Ok(Json)),
            (Some("text/*"), Ok(Csv)),
            (Some("application/json"), Ok(Json)),
            (Some("APPLICATION/JSON; Q=0.1, text/html"), Ok(Json)),
            (Some("text/html, */*;q=0.1"), Ok(Json)),
            (Some("text/csv"), Ok(Csv)),
            (Some("text/csv, application/json;q=0.9"), Ok(Csv)),
            (Some("text/csv;q=0.8, application/json;q=0.9"), Ok(Json)),
            (Some("text/csv;q=0.801, application/json;q=0.8"), Ok(Csv)),
            // Both have the weight of 1, and only one of them was asked for.
            (Some("text/csv, */*"), Ok(Csv)),
            (Some("application/vnd.apache.parquet, */*;q=0.5"), Ok(Parquet)),
            (Some("application/vnd.apache.arrow.stream, application/x-ndjson;q=0.2"), Ok(Arrow)),
            (Some("*/*, application/json;q=0"), Ok(Ndjson)),
            (Some("application/*;q=0.5, application/json;q=0.1, text/csv;q=0.3"), Ok(Ndjson)),
            (Some("text/csv;header=present"), Ok(Csv)),
            (Some("text/csv; charset=\"UTF-8\""), Ok(Csv)),
            (Some("text/csv;header=absent, application/json;q=0.1"), Ok(Json)),
            (Some("text/csv;charset=latin1"), none),
            (Some("text/html"), none),
            (Some("application/json;q=0"), none),
            (Some("application/json;q=many"), none),
            (Some("application/json;q=1.5"), none),
            (Some(""), none),
        ];
        for (accept, expected) in cases {
            assert_eq!(MediaType::negotiate(accept, granted), expected, "{accept:?}");
        }
    }

    #[test]
    fn what_is_not_granted_is_not_chosen_and_told_apart_from_what_is_not_there() {
        let granted: MediaTypes = [Json, Csv].into_iter().collect();
        assert_eq!(granted.formats(), "json, csv");
        let withheld = Err(Refused::NotGranted { granted });
        for (accept, expected) in [
            ("application/vnd.apache.parquet", withheld),
            ("application/vnd.apache.parquet, text/csv;q=0.1", Ok(Csv)),
            ("text/html", Err(Refused::NotAcceptable { granted })),
        ] {
            assert_eq!(MediaType::negotiate(Some(accept), granted), expected, "{accept}");
        }
        assert_eq!(MediaType::negotiate(None, Parquet.into()), Ok(Parquet));
        assert_eq!(MediaType::chosen("csv", granted), Ok(Csv));
        assert_eq!(MediaType::chosen("text/csv", granted), Ok(Csv));
        assert_eq!(MediaType::chosen("parquet", granted), withheld);
        assert_eq!(MediaType::chosen("xml", granted), Err(Refused::NotAcceptable { granted }));
    }

    #[test]
    fn every_media_type_is_found_by_its_names() {
        for media_type in MediaType::ALL {
            assert_eq!(MediaType::named(media_type.format()), Some(media_type));
            assert_eq!(MediaType::named(media_type.as_str()), Some(media_type));
            assert!(media_type.content_type().starts_with(media_type.as_str()));
        }
        assert_eq!(MediaTypes::ALL.iter().collect::<Vec<_>>(), MediaType::ALL);
    }
}
