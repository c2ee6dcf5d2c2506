//! The bytes behind a link. Whoever has the link needs no token, and what is wrong with one is told to nobody.

use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::TryStreamExt as _;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::range::Extent;
use super::{Door, PREFIX, answered};
use crate::encode::MediaType;
use crate::http::{Context, Problem, problem};
use crate::publish::files::{AssetId, ByteStream, Library};
use crate::telemetry;

/// What a CDN shows that looks at links itself.
const ORIGIN_KEY: &str = "martello-origin-key";
/// RFC 9530.
const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// A file never changes under its path.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Parts of a path: a dataset, a state of it, what they are written as, for whom, and the file.
const SEGMENTS_MAX: usize = 8;
/// What stands unescaped in a name in a header (RFC 8187).
const NAME_ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `/assets/{path}`
pub(super) async fn serve(
    State(context): State<Context>,
    Extension(door): Extension<Arc<Door>>,
    request: Request,
) -> Response {
    let (request, _) = request.into_parts();
    let mut response = match request.method {
        Method::GET | Method::HEAD => answered(file(&context, &door, &request).await),
        Method::OPTIONS => preflight(),
        _ => refuse_method(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
        (
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "accept-ranges, content-disposition, content-length, content-range, etag, repr-digest, x-request-id",
        ),
        (HeaderName::from_static("cross-origin-resource-policy"), "cross-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What went wrong is over with the next attempt.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn preflight() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::ALLOW, "GET, HEAD, OPTIONS"),
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "range, if-range, if-none-match"),
        (header::ACCESS_CONTROL_MAX_AGE, "86400"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refuse_method() -> Response {
    let mut response = Problem::new(problem::METHOD_NOT_ALLOWED, "files are fetched, and nothing else").into_response();
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

/// A file by the path that its link has.
pub(super) struct Place<'p> {
    pub(super) path: &'p str,
    segments: Vec<&'p str>,
    sha256: &'p str,
    ending: &'p str,
}

impl<'p> Place<'p> {
    /// Nothing but what is written so is a path of ours: no dots that lead elsewhere, and nothing escaped.
    pub(super) fn read(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix(PREFIX)?;
        let segments: Vec<&str> = path.split('/').collect();
        let (file, folders) = segments.split_last()?;
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let folder =
            |name: &&str| !name.is_empty() && name.bytes().all(|byte| plain(byte) || matches!(byte, b'-' | b'_'));
        let (sha256, ending) = file.split_once('.')?;
        let whole =
            sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        let fits = whole
            && !ending.is_empty()
            && ending.bytes().all(plain)
            && (2..SEGMENTS_MAX).contains(&folders.len())
            && folders.iter().all(folder);
        fits.then_some(Self { path, sha256, ending, segments })
    }
}

/// What a file is to whoever gets it.
pub(super) struct Described {
    pub(super) media_type: String,
    name: String,
}

impl Described {
    /// That it is to be saved, and as what.
    pub(super) fn disposition(&self) -> String {
        disposition(&self.name)
    }
}

/// What the path tells of rows; what is known of a file beside a dataset. `None` where that is gone.
pub(super) async fn described(library: &Library, place: &Place<'_>) -> Result<Option<Described>, Problem> {
    let Place { segments, sha256, ending, .. } = place;
    let id = format!("{}.{}.{}", segments[0], segments[1], segments[2]).parse::<AssetId>();
    if let Some(id) = id.ok().filter(AssetId::is_document) {
        let document = library.document(&id).await?;
        let document = document.filter(|document| document.path == place.path);
        return Ok(document.map(|document| Described { media_type: document.media_type, name: document.name }));
    }
    let ours = |media_type: &MediaType| media_type.file_ending().unwrap_or(media_type.format()) == *ending;
    let media_type = MediaType::ALL.into_iter().find(ours);
    let media_type = media_type.map_or("application/octet-stream", MediaType::content_type).to_owned();
    let state = segments[1].split('-').next().unwrap_or_default();
    Ok(Some(Described { media_type, name: format!("{}-{state}-{}.{ending}", segments[0], &sha256[..8]) }))
}

async fn file(context: &Context, door: &Door, request: &Parts) -> Result<Response, Problem> {
    let Parts { uri, headers, .. } = request;
    let admitted = door.admits(uri.path(), uri.query().unwrap_or_default(), headers.get(ORIGIN_KEY));
    let place = Place::read(uri.path()).filter(|_| admitted).ok_or_else(|| {
        // A forged link, one that has ended and one to nowhere are one and the same from outside.
        Problem::new(problem::LINK_REFUSED, "the link is none of ours, or is over")
            .hint("ask for a new one where this one is from: GET /v1/assets/{id}")
    })?;
    let missing = || Problem::new(problem::NOT_FOUND, "there is no such resource");
    let library = &context.shelf.library;
    let described = described(library, &place).await?.ok_or_else(missing)?;
    // What opens the file before it answers finds out by that whether it is there.
    let several = headers.get(header::RANGE).is_some_and(|range| range.as_bytes().contains(&b','));
    let opens = request.method == Method::GET && !several && !headers.contains_key(header::IF_NONE_MATCH);
    let size = library.size(place.path, opens).await?.ok_or_else(missing)?;
    let etag = format!("\"{}\"", place.sha256);

    let mut head = HeaderMap::new();
    say(&mut head, header::ETAG, &etag);
    say(&mut head, header::CACHE_CONTROL, FOR_EVER);
    if has_already(headers, &etag) {
        return Ok((StatusCode::NOT_MODIFIED, head).into_response());
    }
    say(&mut head, header::ACCEPT_RANGES, "bytes");
    say(&mut head, header::CONTENT_TYPE, &described.media_type);
    say(&mut head, header::CONTENT_DISPOSITION, &described.disposition());
    if let Some(digest) = bytes_of(place.sha256) {
        say(&mut head, REPR_DIGEST, &format!("sha-256=:{}:", STANDARD.encode(digest)));
    }

    let extent = match headers.get(header::RANGE).map(HeaderValue::to_str) {
        // Ranges are a matter of GET, and of the file that the rest is from.
        Some(Ok(range)) if request.method == Method::GET && goes_on(headers, &etag) => Extent::read(range, size),
        _ => Extent::Whole,
    };
    let (status, length, body) = match extent {
        Extent::Whole if request.method == Method::HEAD => (StatusCode::OK, size, Body::empty()),
        Extent::Whole => {
            let stream = library.files().open_range(place.path, None).await?.ok_or_else(missing)?;
            (StatusCode::OK, size, streamed(stream))
        }
        Extent::Parts(parts) => {
            if let [part] = &parts[..] {
                say(&mut head, header::CONTENT_RANGE, &format!("bytes {}-{}/{size}", part.start, part.end - 1));
                let stream = library.files().open_range(place.path, Some(part.clone())).await?.ok_or_else(missing)?;
                (StatusCode::PARTIAL_CONTENT, part.end - part.start, streamed(stream))
            } else {
                let several = Several::new(place.path, &described.media_type, parts, size);
                say(&mut head, header::CONTENT_TYPE, &format!("multipart/byteranges; boundary={}", several.boundary));
                let length = several.length();
                (StatusCode::PARTIAL_CONTENT, length, several.body(library.clone()))
            }
        }
        Extent::Nothing => {
            let problem = Problem::new(problem::RANGE_NOT_SATISFIABLE, format!("the file has {size} bytes"));
            let mut response = problem.into_response();
            if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                response.headers_mut().insert(header::CONTENT_RANGE, value);
            }
            return Ok(response);
        }
    };
    head.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok((status, head, body).into_response())
}

/// Hexadecimal, base64 and checked names are a header's text; what is none is left out.
fn say(head: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::try_from(value) {
        head.insert(name, value);
    }
}

/// Whether the client has the file: `If-None-Match` compares weakly (RFC 9110, 13.1.2).
fn has_already(headers: &HeaderMap, etag: &str) -> bool {
    let listed = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut items = listed.flat_map(|value| value.split(',')).map(str::trim);
    items.any(|item| item == "*" || item.strip_prefix("W/").unwrap_or(item) == etag)
}

/// Whether what the client has the rest of is this file: `If-Range` compares strongly, and a date is no proof (13.1.5).
fn goes_on(headers: &HeaderMap, etag: &str) -> bool {
    let mut given = headers.get_all(header::IF_RANGE).iter();
    given.next().is_none_or(|value| value.as_bytes() == etag.as_bytes()) && given.next().is_none()
}

/// RFC 6266: a plain name for everyone, and the whole one for those who read it.
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() || matches!(char, '.' | '-' | '_' | ' ') { char } else { '_' })
        .collect();
    if plain == name {
        return format!("attachment; filename=\"{plain}\"");
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{}", utf8_percent_encode(name, NAME_ESCAPED))
}

fn bytes_of(hex: &str) -> Option<Vec<u8>> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
}

/// A body that ends the connection where its file breaks off: what is not whole must not look so.
fn streamed(stream: ByteStream) -> Body {
    Body::from_stream(stream.inspect_err(|error| {
        tracing::error!(error = telemetry::chain(error), "a file ended before its last byte");
    }))
}

/// Several parts of a file as one body (RFC 9110, 14.6).
struct Several {
    path: String,
    boundary: String,
    /// What stands before each part, and the part.
    parts: Vec<(Bytes, Range<u64>)>,
    end: Bytes,
}

impl Several {
    fn new(path: &str, media_type: &str, parts: Vec<Range<u64>>, size: u64) -> Self {
        // No file can have it in it but by a chance that there is not.
        let boundary = uuid::Uuid::new_v4().simple().to_string();
        let parts = parts.into_iter().map(|part| {
            let (first, last) = (part.start, part.end - 1);
            let head = format!(
                "\r\n--{boundary}\r\ncontent-type: {media_type}\r\ncontent-range: bytes {first}-{last}/{size}\r\n\r\n"
            );
            (head.into(), part)
        });
        let parts = parts.collect();
        let end = format!("\r\n--{boundary}--\r\n").into();
        Self { path: path.to_owned(), boundary, parts, end }
    }

    fn length(&self) -> u64 {
        let parts = self.parts.iter().map(|(head, part)| head.len() as u64 + (part.end - part.start));
        parts.sum::<u64>() + self.end.len() as u64
    }

    fn body(self, library: Library) -> Body {
        let pieces: ByteStream = Box::pin(async_stream::try_stream! {
            for (head, part) in self.parts {
                yield head;
                // One that is deleted meanwhile leaves the body shorter than was said, which no client takes for whole.
                let Some(mut stream) = library.files().open_range(&self.path, Some(part)).await? else { return };
                while let Some(piece) = stream.try_next().await? {
                    yield piece;
                }
            }
            yield self.end;
        });
        streamed(pieces)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leads_anywhere_else() {
        let file = "ab".repeat(32);
        let read = |path: &str| Place::read(path).map(|place| place.path.to_owned());
        let ours = format!("price_daily/42-0c8e0f2e8b0b/parquet/00ff/{file}.parquet");
        assert_eq!(read(&format!("/assets/{ours}")), Some(ours.clone()));
        for path in [
            format!("/assets/../secrets/a/{file}.csv"),
            format!("/assets/a/../b/{file}.csv"),
            format!("/assets/a/./b/{file}.csv"),
            format!("/assets/a//b/{file}.csv"),
            format!("/assets//a/b/{file}.csv"),
            format!("/assets/a/%2e%2e/b/{file}.csv"),
            format!("/assets/a/b%2f..%2fc/{file}.csv"),
            format!("/assets/a/b\\..\\c/{file}.csv"),
            format!("/assets/a/b/{file}.csv/"),
            format!("/assets/a/b/{file}"),
            format!("/assets/a/b/{file}."),
            format!("/assets/a/b/{file}.csv.gz"),
            format!("/assets/a/b/{}.csv", &file[1..]),
            format!("/assets/a/b/{}.csv", file.to_uppercase()),
            format!("/assets/a/{file}.csv"),
            format!("/assets/{file}.csv"),
            format!("/assets/a/b/c/d/e/f/g/h/{file}.csv"),
            format!("/asset/{ours}"),
            "/assets/price_daily/42-0c8e0f2e8b0b/manifests/s-4f1d.json".to_owned(),
            "/assets/".to_owned(),
        ] {
            assert_eq!(read(&path), None, "{path}");
        }
    }

    #[test]
    fn a_name_is_told_to_old_and_new_readers() {
        assert_eq!(disposition("prices-42.csv"), "attachment; filename=\"prices-42.csv\"");
        assert_eq!(
            disposition("Zürich \"a\".pdf"),
            "attachment; filename=\"Z_rich _a_.pdf\"; filename*=UTF-8''Z%C3%BCrich%20%22a%22.pdf"
        );
    }
}
