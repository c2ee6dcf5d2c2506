//! Where files are: a folder, or a store of objects. What is written is never written again: a path holds a hash of its
//! content, or an id that was drawn for it.

use std::ops::Range;
use std::path::Path as LocalPath;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use object_store::{
    GetOptions, GetRange, GetResultPayload, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, PutMode, PutOptions,
    PutPayload, WriteMultipart,
};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use url::Url;

use super::folder;
use crate::config;
use crate::telemetry;

/// Files that are larger go up in chunks of this; S3 takes 10000 of them.
const CHUNK_BYTES: usize = 8 << 20;
/// Chunks under way at once: what an upload holds in memory is this many of them.
const CHUNKS_MAX: usize = 3;

/// Somebody waits for what is looked up or read: a store that has not answered by then is out. What is written may take
/// longer, and is tried again up to ten times.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store cannot be named.
    #[error("read assets.store.url {url:?}")]
    Url {
        /// What stands there.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An option says nothing to the store, so what it was meant to say would be missed later.
    #[error("read assets.store.options: {url} has no option {name:?}")]
    Option {
        /// The store.
        url: String,
        /// The option.
        name: String,
    },
    /// The store has not answered for so long that it is taken to be out.
    #[error("{doing} {path} in the store of files: no answer in {} s", READ_TIMEOUT.as_secs())]
    Timeout {
        /// What.
        doing: &'static str,
        /// With which file.
        path: String,
    },
    /// The store does not do what it is asked.
    #[error("{doing} {path} in the store of files")]
    Store {
        /// What.
        doing: &'static str,
        /// With which file.
        path: String,
        /// Why.
        #[source]
        source: object_store::Error,
    },
    /// What is to be uploaded cannot be read.
    #[error("read what is to become {path}")]
    Spool {
        /// Of which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file of a folder cannot be read.
    #[error("read {path} in the folder of files")]
    Read {
        /// Which one.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is not as it was written.
    #[error("read {path} of the store of files, which Martello has not written so")]
    Foreign {
        /// Which one.
        path: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Some bytes of a file, as they come.
pub type ByteStream = BoxStream<'static, Result<Bytes, Error>>;

/// A store of files.
#[derive(Clone)]
pub struct Files {
    store: Arc<dyn ObjectStore>,
    base: Path,
    /// Whether it is a folder of this machine.
    local: bool,
    /// Signs what others may fetch from the store itself, where it is S3.
    signer: Option<Arc<dyn Signer>>,
}

impl Files {
    /// Opens the store. Nothing is asked of it yet, and a folder comes with its first file.
    ///
    /// # Errors
    /// When its URL or options cannot be read.
    pub fn open(config: &config::FileStore) -> Result<Self, Error> {
        let url = config.url.as_deref().unwrap_or("assets");
        if let Some(name) = config.options.keys().find(|name| !is_option(url, name)) {
            return Err(Error::Option { url: url.to_owned(), name: name.clone() });
        }
        let failed = |source| Error::Url { url: url.to_owned(), source };
        let folder = match Url::parse(url) {
            Ok(parsed) if parsed.scheme() == "file" => {
                Some(parsed.to_file_path().map_err(|()| failed("expected a path of this system".into()))?)
            }
            Ok(parsed) => {
                let options = config.options.iter().map(|(name, secret)| (name.as_str(), secret.expose()));
                let opened = object_store::parse_url_opts(&parsed, options).map_err(|error| failed(error.into()))?;
                let signer = signer(&parsed, config).map_err(|error| failed(error.into()))?;
                return Ok(Self { store: opened.0.into(), base: opened.1, local: false, signer });
            }
            Err(_) => Some(LocalPath::new(url).to_owned()),
        };
        let folder = std::path::absolute(folder.unwrap_or_default()).map_err(|error| failed(error.into()))?;
        let base = Path::from_absolute_path(&folder).map_err(|error| failed(error.into()))?;
        // A manifest that is there promises files: both must outlive a loss of power.
        Ok(Self { store: Arc::new(LocalFileSystem::new().with_fsync(true)), base, local: true, signer: None })
    }

    fn at(&self, path: &str) -> Path {
        path.split('/').filter(|part| !part.is_empty()).fold(self.base.clone(), Path::join)
    }

    /// Where a file is, if it is one of this machine.
    fn local(&self, path: &str) -> Option<String> {
        self.local.then(|| format!("/{}", self.at(path)))
    }

    /// Keeps a file of that many bytes, unless it is there already: its path says what it holds.
    ///
    /// # Errors
    /// When it cannot be read, or the store does not take it.
    pub async fn keep(&self, path: &str, file: &mut File, bytes: u64) -> Result<(), Error> {
        let location = self.at(path);
        // One of another length was damaged there: what is written goes over it.
        if self.holds(path, bytes).await? {
            return Ok(());
        }
        let unread = |source| Error::Spool { path: path.to_owned(), source };
        file.rewind().await.map_err(unread)?;
        if bytes <= CHUNK_BYTES as u64 {
            let mut content = Vec::with_capacity(usize::try_from(bytes).unwrap_or_default());
            file.read_to_end(&mut content).await.map_err(unread)?;
            return self.store.put(&location, content.into()).await.map(drop).map_err(failed("write", path));
        }
        let upload = self.store.put_multipart(&location).await.map_err(failed("begin", path))?;
        let mut begun = Begun(Some(WriteMultipart::new_with_chunk_size(upload, CHUNK_BYTES)));
        let sent = match &mut begun.0 {
            Some(upload) => send(upload, file, path).await,
            None => Ok(()),
        };
        match (begun.0.take(), sent) {
            (Some(upload), Ok(())) => match upload.finish().await {
                Ok(_) => Ok(()),
                // Azure drops the chunks of all others once one of those that write the same file is done. Where that
                // cannot be looked up either, the first fault is the one to tell.
                Err(source) => match self.holds(path, bytes).await {
                    Ok(true) => Ok(()),
                    Ok(false) | Err(_) => Err(failed("write", path)(source)),
                },
            },
            (Some(upload), Err(error)) => {
                // What goes wrong on the way out adds nothing to why.
                let _ = upload.abort().await;
                Err(error)
            }
            (None, sent) => sent,
        }
    }

    /// Whether a file is there, and as long as it should be.
    async fn holds(&self, path: &str, bytes: u64) -> Result<bool, Error> {
        let found = there(self.store.head(&self.at(path)).await).map_err(failed("look for", path))?;
        Ok(found.is_some_and(|found| found.size == bytes))
    }

    /// Writes a small file whole, unless there is one; returns whether there was none.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn put(&self, path: &str, content: Bytes) -> Result<bool, Error> {
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        match self.store.put_opts(&self.at(path), PutPayload::from(content), options).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(false),
            Err(source) => Err(failed("write", path)(source)),
        }
    }

    /// The whole of a small file; `None` where there is none.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn read(&self, path: &str) -> Result<Option<Bytes>, Error> {
        if let Some(content) = self.local(path).and_then(|path| folder::content(&path)) {
            return Ok(Some(content));
        }
        let reading = async {
            match there(self.store.get_opts(&self.at(path), GetOptions::default()).await)? {
                Some(found) => found.bytes().await.map(Some),
                None => Ok(None),
            }
        };
        timely("read", path, reading).await
    }

    /// Bytes of a file; `None` where it is not there. A range must lie within it.
    ///
    /// # Errors
    /// When the store does not answer; what goes wrong later is in the stream.
    pub async fn open_range(&self, path: &str, range: Option<Range<u64>>) -> Result<Option<ByteStream>, Error> {
        if let Some((file, length)) = self.local(path).and_then(|path| folder::opened(&path)) {
            return Ok(Some(folder::pieces(file, range.unwrap_or(0..length), path)));
        }
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let opening = async { there(self.store.get_opts(&self.at(path), options).await) };
        let opened = timely("read", path, opening).await?;
        Ok(opened.map(|found| match found.payload {
            GetResultPayload::File(file, _) => folder::pieces(file, found.range, path),
            GetResultPayload::Stream(stream) => stream.map_err(failed("read", path)).boxed(),
        }))
    }

    /// How many bytes a file has; `None` where it is not there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn size(&self, path: &str) -> Result<Option<u64>, Error> {
        let looking = async { there(self.store.head(&self.at(path)).await) };
        Ok(timely("look for", path, looking).await?.map(|found| found.size))
    }

    /// Where anybody may fetch a file from the store itself for so long, and as what the store is to send it along;
    /// `None` where the store is no S3.
    ///
    /// # Errors
    /// When there are no credentials to sign with.
    pub async fn presigned(
        &self,
        path: &str,
        ttl: Duration,
        media_type: &str,
        disposition: &str,
    ) -> Result<Option<Url>, Error> {
        let Some(signer) = &self.signer else { return Ok(None) };
        // Where credentials are those of the machine, somebody is asked for them.
        let (location, options) = (self.at(path), SignedUrlOptions::default());
        let options =
            options.with_query([("response-content-type", media_type), ("response-content-disposition", disposition)]);
        let signing = signer.signed_url_opts(reqwest::Method::GET, &location, ttl, &options);
        timely("sign", path, signing).await.map(Some)
    }

    /// The names of the files right in a folder, in no order.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, Error> {
        let location = self.at(folder);
        let listed = timely("list", folder, self.store.list_with_delimiter(Some(&location))).await?;
        Ok(listed.objects.iter().filter_map(|found| found.location.filename().map(str::to_owned)).collect())
    }

    /// Deletes everything in a folder; returns how many files that were. What is gone already is no fault.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remove(&self, folder: &str) -> Result<usize, Error> {
        let found: Vec<Path> = self
            .store
            .list(Some(&self.at(folder)))
            .map_ok(|found| found.location)
            .try_collect()
            .await
            .map_err(failed("list", folder))?;
        for location in &found {
            self.discard(location, folder).await?;
        }
        Ok(found.len())
    }

    /// Deletes a file, where it is there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn remove_file(&self, path: &str) -> Result<(), Error> {
        self.discard(&self.at(path), path).await
    }

    async fn discard(&self, location: &Path, path: &str) -> Result<(), Error> {
        match self.store.delete(location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(failed("delete", path)(source)),
        }
    }
}

/// An upload that is under way. Where nobody waits for it any more, as for an export that was cancelled, what has gone up
/// is taken back.
struct Begun(Option<WriteMultipart>);

impl Drop for Begun {
    fn drop(&mut self) {
        if let (Some(upload), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = upload.abort().await {
                    tracing::warn!(error = telemetry::chain(&error), "pieces of a file are left in the store of files");
                }
            });
        }
    }
}

/// Sends a file's chunks, a few of them at once.
async fn send(upload: &mut WriteMultipart, file: &mut File, path: &str) -> Result<(), Error> {
    loop {
        let mut chunk = Vec::with_capacity(CHUNK_BYTES);
        let read = (&mut *file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk).await;
        let read = read.map_err(|source| Error::Spool { path: path.to_owned(), source })?;
        upload.wait_for_capacity(CHUNKS_MAX).await.map_err(failed("write", path))?;
        if read == 0 {
            return Ok(());
        }
        upload.put(chunk.into());
    }
}

/// Whether a store of that URL knows an option of that name; a folder knows none.
fn is_option(url: &str, name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let scheme = Url::parse(url).ok().and_then(|url| ObjectStoreScheme::parse(&url).ok());
    match scheme.map(|(scheme, _)| scheme) {
        Some(ObjectStoreScheme::AmazonS3) => name.parse::<AmazonS3ConfigKey>().is_ok(),
        Some(ObjectStoreScheme::GoogleCloudStorage) => name.parse::<GoogleConfigKey>().is_ok(),
        Some(ObjectStoreScheme::MicrosoftAzure) => name.parse::<AzureConfigKey>().is_ok(),
        _ => false,
    }
}

/// What was found, unless there is nothing.
fn there<T>(found: Result<T, object_store::Error>) -> Result<Option<T>, object_store::Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(source),
    }
}

/// What the store says, unless it takes too long.
async fn timely<T>(
    doing: &'static str,
    path: &str,
    asked: impl Future<Output = Result<T, object_store::Error>>,
) -> Result<T, Error> {
    let answered = tokio::time::timeout(READ_TIMEOUT, asked).await;
    answered.map_err(|_| Error::Timeout { doing, path: path.to_owned() })?.map_err(failed(doing, path))
}

/// Who signs for a store, where it is S3 or speaks its language.
fn signer(url: &Url, config: &config::FileStore) -> Result<Option<Arc<dyn Signer>>, object_store::Error> {
    if !matches!(ObjectStoreScheme::parse(url), Ok((ObjectStoreScheme::AmazonS3, _))) {
        return Ok(None);
    }
    let options = config.options.iter();
    let key = |name: &str| name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>().ok();
    let options = options.filter_map(|(name, secret)| Some((key(name)?, secret.expose())));
    let builder = options
        .fold(AmazonS3Builder::new().with_url(url.as_str()), |builder, (key, value)| builder.with_config(key, value));
    Ok(Some(Arc::new(builder.build()?)))
}

fn failed(doing: &'static str, path: &str) -> impl Fn(object_store::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Store { doing, path: path.clone(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// A file that goes up in chunks, one that goes up whole, and one that is there already.
    #[tokio::test]
    async fn what_was_kept_is_read_back_and_is_never_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        for url in [format!("{}/a new one, 100%41", folder.path().display()), "memory:///some/where".to_owned()] {
            let files =
                Files::open(&config::FileStore { url: Some(url.clone()), ..Default::default() }).expect("a store");
            for length in [0, 5, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES + 7] {
                let content: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).expect("a byte")).collect();
                let mut file = File::from_std(tempfile::tempfile().expect("a file"));
                file.write_all(&content).await.expect("written");
                file.flush().await.expect("written");
                let path = format!("a/b/{length}");
                for _ in 0..2 {
                    files.keep(&path, &mut file, length as u64).await.expect("kept");
                }
                assert!(
                    files.read(&path).await.expect("an answer").is_some_and(|bytes| bytes == content),
                    "{url} {length}"
                );
                if length > 5 {
                    let some =
                        files.open_range(&path, Some(3..length as u64)).await.expect("an answer").expect("a file");
                    let some: Vec<Bytes> = some.try_collect().await.expect("bytes");
                    assert!(some.concat() == content[3..], "{url} {length}");
                }
            }
            assert!(files.put("a/c", Bytes::from_static(b"one")).await.expect("an answer"));
            assert!(!files.put("a/c", Bytes::from_static(b"two")).await.expect("an answer"));
            assert_eq!(files.read("a/c").await.expect("an answer").as_deref(), Some(&b"one"[..]));
            let mut names = files.names("a/b").await.expect("names");
            names.sort();
            assert_eq!(names.len(), 5);
            assert_eq!(files.names("none").await.expect("no names"), Vec::<String>::new());
            assert_eq!(files.remove("a").await.expect("removed"), 6);
            assert_eq!(files.read("a/c").await.expect("an answer"), None);
            assert!(files.open_range("a/c", None).await.expect("an answer").is_none());
            files.remove_file("a/c").await.expect("it is gone");
        }
    }

    /// Signing asks nobody.
    #[tokio::test]
    async fn what_is_in_s3_is_fetched_from_there_for_a_while() {
        let option = |name: &str, value: &str| (name.to_owned(), config::Secret::from(value.to_owned()));
        let options = [
            option("region", "eu-central-1"),
            option("access_key_id", "AKIDEXAMPLE"),
            option("secret_access_key", "no secret at all"),
        ];
        let url = Some("s3://bucket/some/where".to_owned());
        let files = Files::open(&config::FileStore { url, options: options.into_iter().collect() }).expect("a store");
        let signed = files
            .presigned("a/b.csv", Duration::from_secs(60), "text/csv", "attachment; a")
            .await
            .expect("signed")
            .expect("a link");
        assert!(signed.path().ends_with("/some/where/a/b.csv"), "{signed}");
        let query: Vec<(String, String)> = signed.query_pairs().into_owned().collect();
        let said = |name: &str| query.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
        assert_eq!(said("X-Amz-Expires"), Some("60"), "{signed}");
        assert_eq!(said("response-content-type"), Some("text/csv"), "{signed}");
        assert_eq!(said("response-content-disposition"), Some("attachment; a"), "{signed}");
        assert!(said("X-Amz-Credential").is_some_and(|id| id.starts_with("AKIDEXAMPLE/")), "{signed}");
        assert!(said("X-Amz-Signature").is_some() && !signed.as_str().contains("no+secret"), "{signed}");
        let folder = Files::open(&config::FileStore { url: Some("memory:///".to_owned()), ..Default::default() });
        let none = folder.expect("a store").presigned("a", Duration::from_secs(60), "", "").await.expect("an answer");
        assert_eq!(none, None);
    }

    /// A damaged file is written anew, and not taken for the one that is to be kept.
    #[tokio::test]
    async fn what_is_kept_goes_over_a_file_of_another_length() {
        let folder = tempfile::tempdir().expect("a folder");
        let url = Some(folder.path().display().to_string());
        let files = Files::open(&config::FileStore { url, ..Default::default() }).expect("a store");
        for length in [7, CHUNK_BYTES + 7] {
            let path = format!("a/{length}");
            files.put(&path, Bytes::from_static(b"cut")).await.expect("an answer");
            let mut file = File::from_std(tempfile::tempfile().expect("a file"));
            file.write_all(&vec![5; length]).await.expect("written");
            file.flush().await.expect("written");
            files.keep(&path, &mut file, length as u64).await.expect("kept");
            assert!(files.read(&path).await.expect("an answer").is_some_and(|bytes| bytes == vec![5; length]));
        }
    }

    fn opened(url: &str, options: &[(&str, &str)]) -> Result<Files, Error> {
        let option = |(name, value): &(&str, &str)| ((*name).to_owned(), config::Secret::from((*value).to_owned()));
        Files::open(&config::FileStore { url: Some(url.to_owned()), options: options.iter().map(option).collect() })
    }

    /// What a complaint says, with its causes.
    fn complaint(url: &str, options: &[(&str, &str)]) -> String {
        let Err(error) = opened(url, options) else { panic!("{url} {options:?} is opened") };
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
        causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    #[test]
    fn stores_of_other_houses_are_opened_by_their_urls_and_options() {
        let azure = [("account_name", "martello"), ("account_key", "bm8gc2VjcmV0"), ("allow_http", "true")];
        let google = [("skip_signature", "true"), ("base_url", "http://127.0.0.1:1")];
        for (url, options, base) in [
            ("az://container/some/where", &azure[..], "some/where"),
            ("azure://container", &azure, ""),
            ("https://martello.blob.core.windows.net/container/some", &azure[1..], "some"),
            ("gs://bucket/some/where", &google, "some/where"),
            ("gs://bucket", &google[..1], ""),
        ] {
            let files = opened(url, options).unwrap_or_else(|error| panic!("{url}: {error:?}"));
            assert_eq!((files.base.as_ref(), files.signer.is_none()), (base, true), "{url}");
        }
    }

    #[test]
    fn a_store_that_cannot_be_meant_is_refused_in_words() {
        for (url, options, expected) in [
            ("ftp://host/path", &[][..], "assets.store.url \"ftp://host/path\""),
            ("s3://", &[], "assets.store.url"),
            ("az://container", &[], "Account must be specified"),
            ("az://container", &[("account_name", "a"), ("account_key", "no base64!")], "assets.store.url"),
            ("gs://bucket", &[("service_account_key", "no JSON")], "assets.store.url"),
            ("s3://bucket", &[("acess_key_id", "a")], "s3://bucket has no option \"acess_key_id\""),
            ("gs://bucket", &[("account_key", "a")], "has no option \"account_key\""),
            ("az://container", &[("secret_access_key", "a")], "has no option \"secret_access_key\""),
            ("files", &[("region", "a")], "files has no option \"region\""),
        ] {
            let said = complaint(url, options);
            assert!(said.contains(expected), "{url}: {said}");
            assert!(!said.contains("no base64!") && !said.contains("no JSON"), "a secret is told: {said}");
        }
    }
}
