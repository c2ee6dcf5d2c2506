//! From file and environment to a checked [`Config`].

use std::path::Path;

use serde_json::{Map, Value};
use url::Url;

use super::{Assets, Audit, AuditTo, Auth, Config, Error, Signer, SignerKind};

/// Keys from the environment begin so.
const PREFIX: &str = "MARTELLO__";

/// RFC 7518, 3.2: an HMAC key is at least as long as the hash.
const SECRET_BYTES_MIN: usize = 32;
/// S3 takes no link that is good for longer.
const S3_LINK_MAX: std::time::Duration = std::time::Duration::from_secs(7 * 24 * 3600);

/// RFC 8725 practice: clocks that differ more than this are a fault to mend, not to forgive.
const LEEWAY_SECONDS_MAX: u64 = 60;

/// Reads the file where there is one, then the environment, then checks the whole.
///
/// # Errors
/// With the file, variable or key at fault and what was expected.
#[expect(clippy::disallowed_methods, reason = "this is the one reader of the environment")]
pub fn load(file: Option<&Path>) -> Result<Config, Error> {
    let variables = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX));
    load_from(file, variables.collect())
}

fn load_from(file: Option<&Path>, mut variables: Vec<(String, String)>) -> Result<Config, Error> {
    let mut value = Value::Object(Map::new());
    if let Some(path) = file {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        // Read once as typed, for errors with a line, and once as values, for the environment to lie over.
        let fault =
            |error: serde_saphyr::Error| Error::File { path: path.to_owned(), fault: told(&error.without_snippet()) };
        serde_saphyr::from_str::<Config>(&text).map_err(fault)?;
        value = serde_saphyr::from_str(&text).map_err(fault)?;
    }
    variables.sort();
    for (name, text) in variables {
        value = overlay(value, &name, &text)?;
    }
    let mut config: Config = serde_json::from_value(value)
        .map_err(|error| Error::Value { key: "the configuration".into(), expected: told(&error) })?;
    // What is said nowhere is beside what says the rest.
    if config.assets.store.url.is_none()
        && let Some(folder) = file.and_then(Path::parent)
    {
        config.assets.store.url = Some(folder.join("assets").display().to_string());
    }
    check(config)
}

/// What a reader says, without the text that it found: one that stands in the wrong place may be a secret.
fn told(error: &impl std::fmt::Display) -> String {
    const FOUND: &str = "invalid type: string ";
    let error = error.to_string();
    let around = error.split_once(FOUND).and_then(|(before, rest)| Some((before, rest.rsplit_once(", expected ")?.1)));
    around.map_or(error.clone(), |(before, expected)| format!("{before}invalid type: a text, expected {expected}"))
}

/// Lays one variable over the values: as text where that is what the key takes, else as the number, flag or list that
/// the text spells.
fn overlay(value: Value, name: &str, text: &str) -> Result<Value, Error> {
    let keys: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
    let spelled = serde_saphyr::from_str::<Value>(text).unwrap_or(Value::Null);
    let list = Value::Array(text.split(',').map(|item| Value::from(item.trim())).collect());
    let mut refusal = None;
    for candidate in [Value::from(text), spelled, list] {
        let mut laid = value.clone();
        let Some(place) = place(&mut laid, &keys) else { break };
        *place = candidate;
        match serde_json::from_value::<Config>(laid.clone()) {
            Ok(_) => return Ok(laid),
            Err(error) => refusal = refusal.or_else(|| Some(told(&error))),
        }
    }
    let expected = refusal.unwrap_or_else(|| "a key of martello.yaml, its parts joined by two underscores".into());
    Err(Error::Variable { name: name.into(), expected })
}

fn place<'v>(value: &'v mut Value, keys: &[String]) -> Option<&'v mut Value> {
    let mut at = value;
    for key in keys {
        if key.is_empty() {
            return None;
        }
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        at = at.as_object_mut()?.entry(key.clone()).or_insert(Value::Null);
    }
    Some(at)
}

/// Links to files must be such that whoever looks at them can.
fn check_links(assets: &mut Assets) -> Result<(), Error> {
    let refuse = |key: &str, expected: &str| Err(Error::Value { key: key.into(), expected: expected.into() });
    for secret in assets.signer.keys.iter_mut().chain(&mut assets.origin_key) {
        *secret = secret.resolve()?;
        if secret.expose().len() < SECRET_BYTES_MIN {
            return refuse("assets", "expected keys of at least 32 bytes");
        }
    }
    if let Some(url) = &mut assets.public_url {
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            return refuse("assets.public_url", "expected a URL that begins with http:// or https://");
        }
        url.truncate(url.trim_end_matches('/').len());
    }
    let Signer { kind, keys, key_pair_id, ttl } = &assets.signer;
    let stored = assets.store.url.as_deref().unwrap_or_default();
    match kind {
        _ if ttl.is_zero() => refuse("assets.signer.ttl", "expected more than 0"),
        SignerKind::SecureLink if keys.is_empty() => {
            refuse("assets.signer.keys", "expected the secret that nginx has, where kind is secure_link")
        }
        SignerKind::Cloudfront if keys.len() != 1 || key_pair_id.is_none() || assets.public_url.is_none() => refuse(
            "assets.signer",
            "expected one private key in keys, key_pair_id, and assets.public_url, where kind is cloudfront",
        ),
        SignerKind::S3 if !stored.starts_with("s3://") => {
            refuse("assets.signer.kind", "expected assets.store.url to begin with s3://, where it is s3")
        }
        SignerKind::S3 if *ttl > S3_LINK_MAX => refuse("assets.signer.ttl", "expected at most 7d, where kind is s3"),
        _ => Ok(()),
    }
}

/// Resolves secrets and refuses what cannot work.
fn check(mut config: Config) -> Result<Config, Error> {
    let refuse = |key: &str, expected: &str| Err(Error::Value { key: key.into(), expected: expected.into() });

    for (name, source) in &mut config.sources {
        source.url = source.url.resolve()?;
        let url = source.url.expose();
        if !["clickhouse://", "postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme)) {
            let expected = "expected a URL that begins with postgres://, clickhouse:// or sqlite:";
            return refuse(&format!("sources.{name}.url"), expected);
        }
        let exports = config.control.as_ref().map_or(0, |_| config.assets.exports.workers);
        let streams = config.streams.client.saturating_add(config.streams.internal).saturating_add(exports);
        if u64::from(source.connections_max) <= streams as u64 {
            let expected = format!(
                "expected more than the {streams} that streams.client, streams.internal and assets.exports.workers may take"
            );
            return refuse(&format!("sources.{name}.connections_max"), &expected);
        }
        if source.connections_max == 0 {
            return refuse(&format!("sources.{name}.connections_max"), "expected at least 1");
        }
        if source.statement_timeout.is_zero() {
            return refuse(
                &format!("sources.{name}.statement_timeout"),
                "expected more than 0: it is what ends a statement",
            );
        }
    }
    if let Some(control) = &mut config.control {
        control.url = control.url.resolve()?;
        let url = control.url.expose();
        if !["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme)) {
            return refuse("control.url", "expected a URL that begins with postgres:// or sqlite:");
        }
    }
    for (key, secret) in [
        ("auth.hs256", &mut config.auth.hs256),
        ("access.mask_key", &mut config.access.mask_key),
        ("paging.cursor_key", &mut config.paging.cursor_key),
    ] {
        if let Some(secret) = secret {
            *secret = secret.resolve()?;
            if secret.expose().len() < SECRET_BYTES_MIN {
                return refuse(key, "expected at least 32 bytes");
            }
        }
    }
    if let Some(redis) = &mut config.redis {
        redis.url = redis.url.resolve()?;
        if !["redis://", "rediss://"].iter().any(|scheme| redis.url.expose().starts_with(scheme)) {
            return refuse("redis.url", "expected a URL that begins with redis:// or rediss://");
        }
        if redis.timeout.is_zero() {
            return refuse("redis.timeout", "expected more than 0: it is what ends a wait");
        }
    }
    let Audit { to, path, queue, .. } = &config.audit;
    match to {
        AuditTo::File if path.is_none() => return refuse("audit.path", "expected a file, where audit.to is file"),
        AuditTo::Table if config.control.is_none() => {
            return refuse("audit.to", "expected control.url besides, where it is table");
        }
        _ => {}
    }
    for secret in config.assets.store.options.values_mut() {
        *secret = secret.resolve()?;
    }
    check_links(&mut config.assets)?;
    let exports = &config.assets.exports;
    if config.assets.part_rows == 0 || config.assets.part_bytes == 0 {
        return refuse("assets", "expected part_rows and part_bytes of more than 0");
    }
    let periods = [exports.keep, exports.lease, exports.time_max, config.assets.snapshots_for];
    if periods.iter().any(std::time::Duration::is_zero) {
        let expected = "expected snapshots_for, exports.keep, exports.lease and exports.time_max of more than 0";
        return refuse("assets", expected);
    }
    if *queue == 0 {
        return refuse("audit.queue", "expected at least 1");
    }
    if config.limits.instances == 0 {
        return refuse("limits.instances", "expected at least 1");
    }
    let Auth { issuer, audience, token_types, leeway, jwks, revocation_poll, .. } = &config.auth;
    if issuer.is_empty() || audience.is_empty() || token_types.is_empty() {
        return refuse("auth", "expected issuer, audience and token_types that are not empty");
    }
    if leeway.as_secs() > LEEWAY_SECONDS_MAX {
        return refuse("auth.leeway", "expected at most 60s");
    }
    if revocation_poll.is_zero() {
        return refuse("auth.revocation_poll", "expected more than 0");
    }
    if let Some(jwks) = jwks {
        if jwks.file.is_some() == jwks.url.is_some() {
            return refuse("auth.jwks", "expected exactly one of file and url");
        }
        if jwks.algorithms.is_empty() {
            return refuse("auth.jwks.algorithms", "expected at least one");
        }
        if let Some(url) = &jwks.url
            && !(url.starts_with("https://") || is_loopback(url))
        {
            return refuse("auth.jwks.url", "expected https:// (http:// only on a loopback address)");
        }
    }
    if config.access.watch.is_zero() {
        return refuse("access.watch", "expected more than 0");
    }
    for (key, tls) in [("http.tls", &config.http.tls), ("admin.tls", &config.admin.tls)] {
        for path in tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]) {
            if !path.is_file() {
                return refuse(key, &format!("no file {}", path.display()));
            }
        }
    }
    if config.http.connections_max == 0 {
        return refuse("http.connections_max", "expected at least 1");
    }
    let assets = &config.assets;
    for (key, url) in [
        ("auth.jwks.url", config.auth.jwks.as_ref().and_then(|jwks| jwks.url.as_ref())),
        ("assets.store.url", assets.store.url.as_ref()),
        ("assets.public_url", assets.public_url.as_ref()),
        ("http.public_url", config.http.public_url.as_ref()),
    ] {
        // These are told in logs, documents and links.
        let told = url.and_then(|url| Url::parse(url).ok());
        if told.is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
            return refuse(key, "expected a URL without a user and a password");
        }
    }
    Ok(config)
}

fn is_loopback(url: &str) -> bool {
    // What stands before an @ is a user, not the host.
    !url.contains('@')
        && ["http://127.0.0.1", "http://localhost", "http://[::1]"]
            .iter()
            .any(|host| url.strip_prefix(host).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/'])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("written");
        load_from(Some(file.path()), variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn the_environment_lies_over_the_file() {
        let config = read(
            "http: {connections_max: 5}\nsources: {marts: {url: 'sqlite:a'}}\n",
            &[
                ("MARTELLO__HTTP__CONNECTIONS_MAX", "7"),
                ("MARTELLO__HTTP__CORS_ORIGINS", "https://a.example,https://b.example"),
                ("MARTELLO__SOURCES__MARTS__URL", "postgres://h/d"),
                ("MARTELLO__AUTH__HS256", "00000000000000000000000000000001"),
            ],
        )
        .expect("a configuration");
        assert_eq!(config.http.connections_max, 7);
        assert_eq!(config.http.cors_origins, ["https://a.example", "https://b.example"]);
        assert_eq!(config.sources["marts"].url.expose(), "postgres://h/d");
        assert_eq!(config.auth.hs256.expect("a secret").expose(), "00000000000000000000000000000001");
    }

    #[test]
    fn a_fault_names_its_key_and_place() {
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let cases: [Case; 12] = [
            ("http:\n  lisen: x\n", &[], "lisen"),
            ("http:\n  head_timeout: soon\n", &[], "soon"),
            ("", &[("MARTELLO__HTTP__LISEN", "x")], "MARTELLO__HTTP__LISEN"),
            ("", &[("MARTELLO__HTTP__HEAD_TIMEOUT", "soon")], "MARTELLO__HTTP__HEAD_TIMEOUT"),
            ("auth: {hs256: short}", &[], "auth.hs256"),
            ("sources: {marts: {url: 'mysql://x'}}", &[], "sources.marts.url"),
            ("control: {url: 'clickhouse://x'}", &[], "control.url"),
            ("auth: {revocation_poll: 0s}", &[], "auth.revocation_poll"),
            ("audit: {to: file}", &[], "audit.path"),
            ("audit: {to: table}", &[], "audit.to"),
            ("audit: {queue: 0}", &[], "audit.queue"),
            ("auth: {jwks: {url: 'http://127.0.0.1:x@keys.example/'}}", &[], "auth.jwks.url"),
        ];
        for (text, variables, named) in cases {
            let error = read(text, variables).expect_err(text).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    /// Neither what is wrong nor what stands beside it may be a secret that is told.
    #[test]
    fn no_fault_tells_a_secret() {
        const SECRET: &str = "do not tell, \", expected ";
        type Case = (&'static str, &'static [(&'static str, &'static str)], &'static str);
        let secret = serde_json::to_string(SECRET).expect("a text");
        let cases: [Case; 8] = [
            ("auth: {hs256: S}\nhttp: {lisen: x}\n", &[], "unknown field `lisen`"),
            ("auth: {hs256: S}\nauth: {hs256: S}\n", &[], "line 2"),
            ("assets:\n  signer:\n    keys: S\n", &[], "expected sequence start at line 3"),
            ("auth: S\n", &[], "expected mapping start at line 1"),
            ("", &[("MARTELLO__AUTH", SECRET)], "invalid type: a text, expected struct Auth"),
            ("auth: {jwks: {url: 'https://u:do not tell@keys.example/'}}", &[], "auth.jwks.url"),
            ("assets: {store: {url: 's3://do not tell@bucket'}}", &[], "assets.store.url"),
            ("http: {public_url: 'https://u:do not tell@data.example'}", &[], "http.public_url"),
        ];
        for (text, variables, expected) in cases {
            let error = read(&text.replace('S', &secret), variables).expect_err(text).to_string();
            assert!(error.contains(expected) && !error.contains("do not tell"), "{text}: {error}");
        }
    }

    #[test]
    fn off_is_a_word_wherever_it_is_written() {
        for (text, variables) in
            [("audit: {to: off}", &[][..]), ("audit: {to: 'off'}", &[]), ("", &[("MARTELLO__AUDIT__TO", "off")])]
        {
            assert_eq!(read(text, variables).expect("a configuration").audit.to, AuditTo::Off, "{text}");
        }
        assert_eq!(read("audit: {to: table}\ncontrol: {url: 'sqlite:a'}", &[]).expect("one").audit.to, AuditTo::Table);
        for text in ["audit: {to: on}", "audit: {to: syslog}"] {
            assert!(read(text, &[]).expect_err(text).to_string().contains("stdout, file, table and off"), "{text}");
        }
    }

    #[test]
    fn no_secret_is_printed() {
        let config = read("auth: {hs256: 'a very secret text of 32 bytes or more'}", &[]).expect("a configuration");
        let shown = format!("{config:?} {}", serde_json::to_string(&config).expect("JSON"));
        assert!(shown.contains("***") && !shown.contains("very secret"), "{shown}");
    }
}
