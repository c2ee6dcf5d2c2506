//! Content codings: the choice among them (RFC 9110, 12.5.3), and what makes them.

use std::io::Write as _;

use bytes::Bytes;
use flate2::write::GzEncoder;

/// Levels at which a page takes about a millisecond, each close to the knee of its curve on pages of JSON.
const ZSTD_LEVEL: i32 = 6;
const GZIP_LEVEL: u32 = 6;
const BROTLI_QUALITY: u32 = 5;
/// The usual window of brotli: larger ones pay from a few megabytes on.
const BROTLI_WINDOW_BITS: u32 = 22;
const BUFFER_BYTES: usize = 16 * 1024;

/// How the bytes of a body are packed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Coding {
    /// Not at all.
    #[default]
    Identity,
    /// RFC 8878.
    Zstd,
    /// RFC 7932.
    Brotli,
    /// RFC 1952.
    Gzip,
}

impl Coding {
    /// Every one, the preferred first where a client takes several equally: what packs and unpacks fastest.
    pub const ALL: [Self; 4] = [Self::Zstd, Self::Brotli, Self::Gzip, Self::Identity];

    /// Its name in `Content-Encoding`, which the identity has no place in.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// The body packed so: equal bodies give equal bytes. What cannot be packed stays as it is, which does not happen in
    /// memory.
    #[must_use]
    pub fn pack(self, body: &Bytes) -> Option<Bytes> {
        let packed = match self {
            Self::Identity => return Some(body.clone()),
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL),
            Self::Brotli => {
                let mut writer =
                    brotli::CompressorWriter::new(Vec::new(), BUFFER_BYTES, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
                writer.write_all(body).map(|()| writer.into_inner())
            }
            Self::Gzip => {
                let mut writer = GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL));
                writer.write_all(body).and_then(|()| writer.finish())
            }
        };
        packed.ok().map(Bytes::from)
    }
}

/// What a client takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Codings {
    /// What it likes best.
    pub best: Coding,
    /// For each coding, whether it takes it.
    taken: [bool; Coding::ALL.len()],
}

impl Codings {
    /// Nothing but the body itself.
    pub const NONE: Self = Self { best: Coding::Identity, taken: [false, false, false, true] };

    /// Reads an `Accept-Encoding` header. Without one a client takes everything and is sent the body itself; so is one
    /// that takes nothing at all.
    #[must_use]
    pub fn read(header: Option<&str>) -> Self {
        let Some(header) = header else { return Self { best: Coding::Identity, taken: [true; Coding::ALL.len()] } };
        let mut weights = [None; Coding::ALL.len()];
        let mut others = None;
        for part in header.split(',') {
            let mut parts = part.split(';');
            let name = parts.next().unwrap_or_default().trim();
            let weight = parts.find_map(|part| part.trim().strip_prefix(['q', 'Q'])?.trim_start().strip_prefix('='));
            let weight = weight.map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
            // An unreadable weight is none at all.
            let weight = weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0);
            let name = if name.eq_ignore_ascii_case("x-gzip") { "gzip" } else { name };
            match Coding::ALL.iter().position(|coding| coding.name().eq_ignore_ascii_case(name)) {
                Some(place) => weights[place] = Some(weight),
                None if name == "*" => others = Some(weight),
                None => {}
            }
        }
        let weight_of = |place: usize| {
            // The body itself is taken unless it is refused by name, or with all that is not named.
            let unnamed = if Coding::ALL[place] == Coding::Identity {
                others.map_or(0.0001, |others| others)
            } else {
                others.unwrap_or(0.0)
            };
            weights[place].unwrap_or(unnamed)
        };
        let mut best = (Coding::Identity, 0.0);
        let mut taken = [false; Coding::ALL.len()];
        for (place, coding) in Coding::ALL.into_iter().enumerate() {
            let weight = weight_of(place);
            taken[place] = weight > 0.0;
            if weight > best.1 {
                best = (coding, weight);
            }
        }
        Self { best: best.0, taken }
    }

    /// Whether the client takes it.
    #[must_use]
    pub fn take(self, coding: Coding) -> bool {
        Coding::ALL.iter().position(|other| *other == coding).is_some_and(|place| self.taken[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_best_coding_is_chosen_as_rfc_9110_weighs_them() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        let cases = [
            (None, Identity),
            (Some(""), Identity),
            (Some("gzip"), Gzip),
            (Some("x-gzip"), Gzip),
            (Some("gzip, deflate, br, zstd"), Zstd),
            (Some("gzip, deflate, br"), Brotli),
            (Some("GZIP;q=0.9, br;q=0.5"), Gzip),
            (Some("gzip; q=0.5 , br; q=1.0"), Brotli),
            (Some("gzip;q=0"), Identity),
            (Some("gzip;q=x"), Identity),
            (Some("identity, gzip;q=0.5"), Identity),
            (Some("identity;q=0.5, gzip;q=0.4"), Identity),
            (Some("*"), Zstd),
            (Some("*;q=0.5, gzip"), Gzip),
            (Some("zstd;q=0, *"), Brotli),
            (Some("*;q=0"), Identity),
            (Some("deflate, compress"), Identity),
        ];
        for (header, expected) in cases {
            assert_eq!(Codings::read(header).best, expected, "{header:?}");
        }
    }

    #[test]
    fn what_is_refused_is_not_taken() {
        for (header, coding, expected) in [
            (None, Coding::Brotli, true),
            (Some("gzip"), Coding::Identity, true),
            (Some("gzip"), Coding::Brotli, false),
            (Some("gzip, identity;q=0"), Coding::Identity, false),
            (Some("gzip, *;q=0"), Coding::Identity, false),
            (Some("br;q=0.1"), Coding::Brotli, true),
        ] {
            assert_eq!(Codings::read(header).take(coding), expected, "{header:?} {coding:?}");
        }
    }

    #[test]
    fn what_is_packed_is_the_same_again_unpacked() {
        let body = Bytes::from("symbol,date,close\nAAPL,2005-02-28,44.86\n".repeat(1000));
        let packed = |coding: Coding| coding.pack(&body).expect("packed");
        assert_eq!(zstd::bulk::decompress(&packed(Coding::Zstd), body.len()).expect("unpacked"), body);
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(packed(Coding::Gzip).as_ref()).read_to_end(&mut unpacked).expect("unpacked");
        assert_eq!(unpacked, body);
        unpacked.clear();
        brotli::Decompressor::new(packed(Coding::Brotli).as_ref(), 4096).read_to_end(&mut unpacked).expect("unpacked");
        assert_eq!(unpacked, body);
        for coding in [Coding::Zstd, Coding::Gzip, Coding::Brotli] {
            assert!(packed(coding).len() < body.len() / 10 && packed(coding) == packed(coding), "{coding:?}");
        }
    }
}
