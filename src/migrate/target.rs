//! Where migrations go to and come from, as Atlas writes it: `postgres://…`, `clickhouse://…` and `file://…`.

use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use serde::Serialize;
use serde::ser::{SerializeStruct as _, Serializer};
use sqlx::ConnectOptions as _;
use sqlx::postgres::PgConnectOptions;
use url::Url;

use super::error::Error;
use super::folder::{Folder, SUM_FILE, Transactions};
use super::statements::Language;

/// The parameter of a URL that names the one schema that is worked in.
const SCHEMA: &str = "search_path";
/// What a report shows in place of a secret.
const HIDDEN: &str = "xxxxx";
/// The scheme of a ClickHouse's URL.
pub(super) const CLICKHOUSE: &str = "clickhouse";
/// What a URL should look like.
const EXPECTED: &str = "postgres://… or clickhouse://…";

/// A database.
#[derive(Clone, Debug)]
pub struct Target {
    url: Url,
    schema: Option<String>,
    engine: Engine,
}

/// Which database it is, and what its driver takes.
#[derive(Clone, Debug)]
enum Engine {
    Postgres(Box<PgConnectOptions>),
    /// The URL as it was written: the driver reads it.
    ClickHouse(String),
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none of a Postgres or a ClickHouse.
    pub fn read(text: &str) -> Result<Self, Error> {
        // The URL itself is not repeated: it may hold a password.
        let mut url = Url::parse(text).map_err(|error| Error::Url(format!("{error}: expected {EXPECTED}")))?;
        if url.scheme() == CLICKHOUSE {
            if url.host_str().is_none_or(str::is_empty) {
                return Err(Error::Url("no host: expected clickhouse://user:password@host:8123/database".to_owned()));
            }
            return Ok(Self { url, schema: None, engine: Engine::ClickHouse(text.to_owned()) });
        }
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(Error::Url(format!("expected {EXPECTED}, not {}://…", url.scheme())));
        }
        let schema = url.query_pairs().find(|(key, _)| key == SCHEMA).map(|(_, value)| value.into_owned());
        let schema = schema.filter(|schema| !schema.is_empty());
        let whole = url.clone();
        // The driver would not know the parameter, and Postgres takes it as a setting.
        let others: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(key, _)| key != SCHEMA)
            .map(|(key, value)| (key.into_owned(), value.into_owned()))
            .collect();
        url.set_query(None);
        if !others.is_empty() {
            url.query_pairs_mut().extend_pairs(&others);
        }
        let options = PgConnectOptions::from_str(url.as_str());
        let mut options = options.map_err(|error| Error::Url(error.to_string()))?;
        options = options.application_name("martello migrate").disable_statement_logging();
        if let Some(schema) = &schema {
            options = options.options([(SCHEMA, quoted(schema))]);
        }
        Ok(Self { url: whole, schema, engine: Engine::Postgres(Box::new(options)) })
    }

    /// The schema that the URL names.
    #[must_use]
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// The whole URL, its secrets too.
    pub(super) fn whole(&self) -> &str {
        self.url.as_str()
    }

    /// What the driver of Postgres takes.
    pub(super) fn options(&self) -> Option<&PgConnectOptions> {
        match &self.engine {
            Engine::Postgres(options) => Some(options),
            Engine::ClickHouse(_) => None,
        }
    }

    /// The URL of a ClickHouse, secrets and all.
    pub(super) fn clickhouse(&self) -> Option<&str> {
        match &self.engine {
            Engine::Postgres(_) => None,
            Engine::ClickHouse(url) => Some(url),
        }
    }

    /// The name that reports have for its driver.
    pub(super) fn driver(&self) -> &'static str {
        match self.engine {
            Engine::Postgres(_) => "postgres",
            Engine::ClickHouse(_) => CLICKHOUSE,
        }
    }

    /// Whose SQL is written for it.
    #[must_use]
    pub fn language(&self) -> Language {
        match self.engine {
            Engine::Postgres(_) => Language::Postgres,
            Engine::ClickHouse(_) => Language::ClickHouse,
        }
    }

    /// The transactions of files where nobody says otherwise: ClickHouse has none.
    pub(super) fn transactions(&self) -> Transactions {
        match self.engine {
            Engine::Postgres(_) => Transactions::File,
            Engine::ClickHouse(_) => Transactions::None,
        }
    }

    /// Where it is, without any secret.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.engine {
            Engine::Postgres(options) => {
                let (host, port) = (options.get_host(), options.get_port());
                format!("Postgres at {host}:{port}/{}", options.get_database().unwrap_or_default())
            }
            Engine::ClickHouse(_) => {
                let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("ClickHouse at {}{port}{}", self.url.host_str().unwrap_or_default(), self.url.path())
            }
        }
    }
}

/// A name as SQL has it, whatever is in it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// As Go writes a URL: this is the form that readers of Atlas's reports know.
impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Nothing {}
        let url = &self.url;
        let user = (!url.username().is_empty()).then_some(Nothing {});
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let hidden = |(key, value): (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)| {
            let value = if key.contains("password") { HIDDEN.into() } else { value };
            (key.into_owned(), value.into_owned())
        };
        let mut shown = url.clone();
        let pairs: Vec<(String, String)> = url.query_pairs().map(hidden).collect();
        if !pairs.is_empty() {
            shown.query_pairs_mut().clear().extend_pairs(pairs);
        }
        let mut form = serializer.serialize_struct("URL", 12)?;
        form.serialize_field("Scheme", url.scheme())?;
        form.serialize_field("Opaque", "")?;
        form.serialize_field("User", &user)?;
        form.serialize_field("Host", &host)?;
        form.serialize_field("Path", url.path())?;
        form.serialize_field("RawPath", "")?;
        form.serialize_field("OmitHost", &false)?;
        form.serialize_field("ForceQuery", &false)?;
        form.serialize_field("RawQuery", shown.query().unwrap_or_default())?;
        form.serialize_field("Fragment", "")?;
        form.serialize_field("RawFragment", "")?;
        form.serialize_field("Schema", self.schema().unwrap_or_default())?;
        form.end()
    }
}

/// The path of a folder that is written `file://path`, and what `format` says of it.
///
/// # Errors
/// When it is something else than a path.
pub fn place(text: &str) -> Result<(PathBuf, Option<String>), Error> {
    let found = || Error::Place { found: text.to_owned() };
    let (path, query) = text.split_once('?').unwrap_or((text, ""));
    let path = path.strip_prefix("file://").unwrap_or(path);
    if path.is_empty() || path.contains("://") {
        return Err(found());
    }
    match query.split_once('=') {
        None if query.is_empty() => Ok((path.into(), None)),
        Some(("format", format)) => Ok((path.into(), Some(format.to_owned()))),
        _ => Err(found()),
    }
}

/// The folder of migrations at such a place, as it is.
///
/// # Errors
/// When it cannot be read, or migrations are only in folders below it.
pub fn folder(text: &str) -> Result<Folder, Error> {
    let (path, format) = place(text)?;
    if format.is_some_and(|format| format != "atlas") {
        return Err(Error::Place { found: text.to_owned() });
    }
    let folder = Folder::read(&path)?;
    if folder.files().is_empty() && !path.join(SUM_FILE).exists() {
        let folders = below(&path);
        if !folders.is_empty() {
            return Err(Error::Nested { folder: path.display().to_string(), folders });
        }
    }
    Ok(folder)
}

/// The folders right below that have migrations, in the order of their names.
fn below(path: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let has = |path: &Path| Folder::read(path).is_ok_and(|folder| !folder.files().is_empty());
    let mut folders: Vec<String> = entries
        .filter(|entry| entry.path().is_dir() && has(&entry.path()))
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_tells_its_schema_and_none_of_its_secrets() {
        let target = Target::read("postgres://a:secret@h:1/d?search_path=b&sslmode=disable").expect("a target");
        assert_eq!((target.schema(), target.place().as_str()), (Some("b"), "Postgres at h:1/d"));
        let shown = serde_json::to_string(&target).expect("a form");
        assert_eq!(
            shown,
            "{\"Scheme\":\"postgres\",\"Opaque\":\"\",\"User\":{},\"Host\":\"h:1\",\"Path\":\"/d\",\"RawPath\":\"\",\
             \"OmitHost\":false,\"ForceQuery\":false,\"RawQuery\":\"search_path=b&sslmode=disable\",\"Fragment\":\"\",\
             \"RawFragment\":\"\",\"Schema\":\"b\"}"
        );
        let shown = serde_json::to_string(&Target::read("postgres://h/d?password=secret").expect("a target"));
        assert!(!shown.expect("a form").contains("secret"));
        let refused = Target::read("mysql://a:secret@h/d").expect_err("no Postgres").to_string();
        assert_eq!(refused, "read the URL of the database: expected postgres://… or clickhouse://…, not mysql://…");
        let target = Target::read("clickhouse://a:secret@h:8123/marts?cluster=c").expect("a target");
        assert_eq!(target.place(), "ClickHouse at h:8123/marts");
        assert!(!serde_json::to_string(&target).expect("a form").contains("secret"));
    }

    #[test]
    fn a_folder_is_written_as_a_path_or_as_atlas_does() {
        for text in ["migrations/a", "file://migrations/a"] {
            assert_eq!(place(text).expect("a place"), ("migrations/a".into(), None));
        }
        let goose = place("file:///a?format=goose").expect("a place");
        assert_eq!(goose, ("/a".into(), Some("goose".to_owned())));
        for refused in ["", "file://", "atlas://cloud", "file://a?x=y"] {
            assert!(place(refused).is_err(), "{refused}");
        }
    }
}
