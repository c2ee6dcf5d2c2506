//! Tokens: only what RFC 8725, 9068, 6750 and 7515 let pass is believed, whoever signed it, and whatever it says of
//! itself.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use martello::app;
use martello::auth::JwksError;
use martello::config::{Config, Jwks};
use martello::{clock, telemetry};
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::problems::Wire;
use crate::support::{Answer, Backend, SECRET, Server, config, repository};

/// A bound for what should happen at once: the tests wait for events, and this only ends a wait that would be for ever.
pub const SOON: Duration = Duration::from_secs(15);

/// What the default leeway cannot bridge, however slow the machine.
const LONG_AGO: u64 = 3600;

pub const CHALLENGE: &str = r#"Bearer realm="martello""#;

// --- Tokens -------------------------------------------------------------------------------------------------------

pub fn header() -> Value {
    json!({"alg": "HS256", "typ": "at+jwt", "kid": "hs256"})
}

pub fn claims() -> Value {
    let now = clock::unix_seconds();
    json!({
        "iss": "martello", "aud": "martello", "sub": "tester", "client_id": "tester", "jti": "1",
        "iat": now, "exp": now + 600, "tier": "client", "plan": "pro",
    })
}

/// The members of an object with another laid over them.
pub fn with(mut object: Value, name: &str, value: impl Into<Value>) -> Value {
    object[name] = value.into();
    object
}

pub fn without(mut object: Value, name: &str) -> Value {
    object.as_object_mut().expect("an object").remove(name).expect(name);
    object
}

pub fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn unsigned(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()))
}

pub fn sealed(message: &str, algorithm: hmac::Algorithm, secret: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(algorithm, secret), message.as_bytes());
    format!("{message}.{}", encoded(tag))
}

/// Signed with the server's own secret.
pub fn token(header: &Value, claims: &Value) -> String {
    sealed(&unsigned(header, claims), hmac::HMAC_SHA256, SECRET.as_bytes())
}

/// A believed token whose claims make no role.
pub fn roleless() -> String {
    token(&header(), &without(claims(), "plan"))
}

pub async fn present(server: &Server, token: &str) -> Answer {
    server.send(server.request(Method::GET, "/v1/datasets").bearer_auth(token)).await
}

#[track_caller]
pub fn refused(answer: &Answer, at: &str) {
    assert_eq!((answer.status, answer.problem().as_str()), (401, "invalid-token"), "{at}: {}", answer.text());
    let challenge = answer.header("www-authenticate").expect("a challenge");
    assert!(challenge.starts_with(&format!(r#"{CHALLENGE}, error="invalid_token""#)), "{at}: {challenge}");
    // Which check failed is not told, but for the one that a client can mend.
    let told = challenge.contains("error_description");
    assert_eq!(told, challenge.contains("expired"), "{at}: {challenge}");
}

// --- Header and scheme --------------------------------------------------------------------------------------------

#[tokio::test]
async fn without_a_bearer_token_the_challenge_names_no_error() {
    let server = Server::over(Backend::Sqlite).await;
    for scheme in [None, Some("Basic dXNlcjpwYXNz"), Some("Digest username=x"), Some("DPoP a.b.c")] {
        let request = server.request(Method::GET, "/v1/datasets");
        let request = scheme.into_iter().fold(request, |request, scheme| request.header("authorization", scheme));
        let answer = server.send(request).await;
        assert_eq!((answer.status, answer.problem().as_str()), (401, "unauthenticated"), "{scheme:?}");
        assert_eq!(answer.header("www-authenticate"), Some(CHALLENGE), "{scheme:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_case() {
    let server = Server::over(Backend::Sqlite).await;
    let token = token(&header(), &claims());
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "] {
        let request = server.request(Method::GET, "/v1/datasets").header("authorization", format!("{scheme} {token}"));
        assert_eq!(server.send(request).await.status, 200, "{scheme}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_credential_that_cannot_be_read_is_an_invalid_request() {
    let server = Server::over(Backend::Sqlite).await;
    let token = token(&header(), &claims());
    let bearer = format!("Bearer {token}");
    let cases: [&[&[u8]]; 9] = [
        &[bearer.as_bytes(), bearer.as_bytes()],
        &[bearer.as_bytes(), b"Basic dXNlcjpwYXNz"],
        &[b"Bearer"],
        &[b"Bearer "],
        &[token.as_bytes()],
        &[&[bearer.as_bytes(), b" x"].concat()],
        &[&[bearer.as_bytes(), b", ", bearer.as_bytes()].concat()],
        &[&[bearer.as_bytes(), b"\xff"].concat()],
        &[b""],
    ];
    for values in cases {
        let request = server.request(Method::GET, "/v1/datasets");
        let request = values.iter().fold(request, |request, value| {
            request.header("authorization", HeaderValue::from_bytes(value).expect("a value"))
        });
        let answer = server.send(request).await;
        let at = format!("{} headers, the first of {} bytes", values.len(), values[0].len());
        assert_eq!((answer.status, answer.problem().as_str()), (400, "malformed-credential"), "{at}");
        let challenge = format!(r#"{CHALLENGE}, error="invalid_request""#);
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{at}");
        assert!(!answer.text().contains(&token), "{at}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_credential_in_the_url_is_refused_and_not_repeated() {
    let server = Server::over(Backend::Sqlite).await;
    let token = token(&header(), &claims());
    for target in ["/v1/datasets", "/v1/datasets/price_daily/rows", "/openapi.json"] {
        for name in ["access_token", "token", "api_key", "apikey", "Access_Token", "%74oken"] {
            for authorized in [true, false] {
                let request = server.request(Method::GET, &format!("{target}?limit=1&{name}={token}"));
                let answer = server.send(if authorized { request.bearer_auth(&token) } else { request }).await;
                assert_eq!((answer.status, answer.problem().as_str()), (400, "credential-in-url"), "{target} {name}");
                assert!(!answer.text().contains(&token), "{target} {name}");
            }
        }
    }
    server.stop().await;
}

// --- The token itself ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_token_claims_what_it_must_in_the_form_that_it_must() {
    let server = Server::over(Backend::Sqlite).await;
    let now = clock::unix_seconds();
    let good = [
        ("as minted", claims()),
        ("just expired", with(claims(), "exp", now - 10)),
        ("nbf is past", with(claims(), "nbf", now - 10)),
        ("nbf is nearly now", with(claims(), "nbf", now + 10)),
        ("iat is nearly now", with(claims(), "iat", now + 10)),
        ("no iat", without(claims(), "iat")),
        ("exp is a fraction", with(claims(), "exp", now as f64 + 600.5)),
        ("aud is a list of one", with(claims(), "aud", json!(["martello"]))),
        ("aud is a list with ours", with(claims(), "aud", json!(["other", "martello"]))),
        ("a claim that nobody knows", with(claims(), "nickname", json!({"deep": [1, null, "x"]}))),
    ];
    for (at, claims) in good {
        let answer = present(&server, &token(&header(), &claims)).await;
        assert_eq!(answer.status, 200, "{at}: {}", answer.text());
    }

    let expired = present(&server, &token(&header(), &with(claims(), "exp", now - 60))).await;
    refused(&expired, "expired");
    assert!(expired.header("www-authenticate").is_some_and(|challenge| challenge.contains("the token has expired")));

    let bad = [
        ("expired long ago", with(claims(), "exp", now - LONG_AGO)),
        ("exp is 0", with(claims(), "exp", 0)),
        ("exp is negative", with(claims(), "exp", -1)),
        ("no exp", without(claims(), "exp")),
        ("exp is null", with(claims(), "exp", Value::Null)),
        ("exp is a text", with(claims(), "exp", (now + 600).to_string())),
        ("exp is a list", with(claims(), "exp", json!([now + 600]))),
        ("exp is true", with(claims(), "exp", true)),
        ("nbf is ahead", with(claims(), "nbf", now + 60)),
        ("nbf is far ahead", with(claims(), "nbf", now + LONG_AGO)),
        ("nbf is a text", with(claims(), "nbf", (now - 10).to_string())),
        ("nbf is null", with(claims(), "nbf", Value::Null)),
        ("iat is ahead", with(claims(), "iat", now + 60)),
        ("iat is far ahead", with(claims(), "iat", now + LONG_AGO)),
        ("iat is ahead, as a fraction", with(claims(), "iat", now as f64 + 60.5)),
        ("iat is a text", with(claims(), "iat", now.to_string())),
        ("no iss", without(claims(), "iss")),
        ("iss is null", with(claims(), "iss", Value::Null)),
        ("iss is another", with(claims(), "iss", "other")),
        ("iss is nearly ours", with(claims(), "iss", "Martello")),
        ("iss is ours and more", with(claims(), "iss", "martello/")),
        ("iss is a list with ours", with(claims(), "iss", json!(["martello"]))),
        ("no aud", without(claims(), "aud")),
        ("aud is null", with(claims(), "aud", Value::Null)),
        ("aud is another", with(claims(), "aud", "other")),
        ("aud is empty", with(claims(), "aud", "")),
        ("aud is an object", with(claims(), "aud", json!({"martello": true}))),
        ("aud is a number", with(claims(), "aud", 1)),
        ("aud is an empty list", with(claims(), "aud", json!([]))),
        ("aud is a list without ours", with(claims(), "aud", json!(["other", "another"]))),
        ("aud is a list of more than texts", with(claims(), "aud", json!(["martello", 1]))),
        ("aud is a list of lists", with(claims(), "aud", json!([["martello"]]))),
        ("no sub", without(claims(), "sub")),
        ("sub is empty", with(claims(), "sub", "")),
        ("sub is null", with(claims(), "sub", Value::Null)),
        ("sub is a number", with(claims(), "sub", 1)),
        ("the claims are a list", json!([claims()])),
        ("the claims are a text", json!("claims")),
        ("the claims are null", Value::Null),
    ];
    for (at, claims) in bad {
        refused(&present(&server, &token(&header(), &claims)).await, at);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_leeway_is_what_is_configured() {
    let mut config = config(Backend::Sqlite);
    config.auth.leeway = Duration::ZERO;
    let server = Server::start(config).await;
    let now = clock::unix_seconds();
    assert_eq!(present(&server, &token(&header(), &claims())).await.status, 200);
    for (at, claims) in [
        ("expired", with(claims(), "exp", now - 2)),
        ("nbf is ahead", with(claims(), "nbf", now + LONG_AGO)),
        ("iat is ahead", with(claims(), "iat", now + LONG_AGO)),
    ] {
        refused(&present(&server, &token(&header(), &claims)).await, at);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_has_one_type_one_algorithm_and_nothing_critical() {
    let server = Server::over(Backend::Sqlite).await;
    let good = [
        ("as minted", header()),
        ("another case", with(header(), "typ", "AT+JWT")),
        ("the whole media type", with(header(), "typ", "application/at+jwt")),
        ("the whole media type in capitals", with(header(), "typ", "APPLICATION/AT+JWT")),
        // One key, so there is nothing to choose.
        ("no kid", without(header(), "kid")),
        ("a member that nobody knows", with(header(), "colour", json!({"deep": []}))),
    ];
    for (at, header) in good {
        let answer = present(&server, &token(&header, &claims())).await;
        assert_eq!(answer.status, 200, "{at}: {}", answer.text());
    }

    let bad = [
        ("no typ", without(header(), "typ")),
        ("typ is null", with(header(), "typ", Value::Null)),
        ("typ is a number", with(header(), "typ", 1)),
        ("an identity token", with(header(), "typ", "JWT")),
        ("a logout token", with(header(), "typ", "logout+jwt")),
        ("another media type", with(header(), "typ", "text/at+jwt")),
        ("a media type twice", with(header(), "typ", "application/application/at+jwt")),
        ("typ with a space", with(header(), "typ", " at+jwt")),
        ("crit", with(header(), "crit", json!(["exp"]))),
        ("crit of what is there", with(with(header(), "crit", json!(["b64"])), "b64", false)),
        ("crit of nothing", with(header(), "crit", json!([]))),
        ("crit is a text", with(header(), "crit", "exp")),
        ("no alg", without(header(), "alg")),
        ("alg is null", with(header(), "alg", Value::Null)),
        ("alg is empty", with(header(), "alg", "")),
        ("alg in lower case", with(header(), "alg", "hs256")),
        ("alg is a list", with(header(), "alg", json!(["HS256"]))),
        ("kid of another key", with(header(), "kid", "hs257")),
        ("kid is empty", with(header(), "kid", "")),
        ("kid in capitals", with(header(), "kid", "HS256")),
        ("kid is a path", with(header(), "kid", "../../../../dev/null")),
        ("kid is SQL", with(header(), "kid", "' UNION SELECT 'secret' --")),
        ("kid is a number", with(header(), "kid", 1)),
        ("the header is a list", json!([header()])),
        ("the header is null", Value::Null),
    ];
    for (at, header) in bad {
        refused(&present(&server, &token(&header, &claims())).await, at);
    }

    let signed =
        |alg: &str, algorithm| sealed(&unsigned(&with(header(), "alg", alg), &claims()), algorithm, SECRET.as_bytes());
    for (at, token) in [
        ("HS384", signed("HS384", hmac::HMAC_SHA384)),
        ("HS512", signed("HS512", hmac::HMAC_SHA512)),
        ("HS512 that says HS256", signed("HS256", hmac::HMAC_SHA512)),
        ("HS256 that says HS512", signed("HS512", hmac::HMAC_SHA256)),
        ("HS256 that says RS256", signed("RS256", hmac::HMAC_SHA256)),
        ("HS256 that says ES256", signed("ES256", hmac::HMAC_SHA256)),
        ("HS256 that says EdDSA", signed("EdDSA", hmac::HMAC_SHA256)),
    ] {
        refused(&present(&server, &token).await, at);
    }
    for alg in ["none", "None", "NONE", "nOnE", "none ", "\u{0}none"] {
        let message = unsigned(&with(header(), "alg", alg), &claims());
        for signature in ["".to_owned(), encoded(""), encoded("x")] {
            refused(&present(&server, &format!("{message}.{signature}")).await, alg);
        }
        refused(&present(&server, &sealed(&message, hmac::HMAC_SHA256, SECRET.as_bytes())).await, alg);
    }
    server.stop().await;
}

#[tokio::test]
async fn what_is_not_signed_by_our_key_as_it_stands_is_refused() {
    let server = Server::over(Backend::Sqlite).await;
    let good = token(&header(), &claims());
    let parts: Vec<&str> = good.split('.').collect();
    let [head, payload, signature] = parts[..] else { panic!("three parts") };
    let other = encoded(with(claims(), "plan", "basic").to_string());
    let message = unsigned(&header(), &claims());
    let padded = |text: &str| format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4));
    let cut = &signature[..signature.len() - 4];
    for (at, token) in [
        ("another secret", sealed(&message, hmac::HMAC_SHA256, b"another secret, just as long as ours is")),
        ("an empty secret", sealed(&message, hmac::HMAC_SHA256, b"")),
        ("the secret's beginning", sealed(&message, hmac::HMAC_SHA256, &SECRET.as_bytes()[..32])),
        ("another payload", format!("{head}.{other}.{signature}")),
        ("another header", format!("{}.{payload}.{signature}", encoded(with(header(), "x", 1).to_string()))),
        ("no signature", format!("{head}.{payload}.")),
        ("a cut signature", format!("{head}.{payload}.{cut}")),
        ("a longer signature", format!("{good}AAAA")),
        ("a signature of zeros", format!("{head}.{payload}.{}", encoded([0; 32]))),
        ("the parts turned round", format!("{signature}.{payload}.{head}")),
        ("two parts", format!("{head}.{payload}")),
        ("one part", head.to_owned()),
        ("four parts", format!("{good}.{signature}")),
        ("five parts, as in encryption", format!("{head}.{payload}.{payload}.{signature}.{signature}")),
        ("a dot before", format!(".{good}")),
        ("a dot behind", format!("{good}.")),
        ("dots alone", "..".to_owned()),
        ("three dots", "...".to_owned()),
        ("no base64", "!.?.*".to_owned()),
        ("padding", format!("{}.{}.{}", padded(head), padded(payload), padded(signature))),
        ("another alphabet", format!("{head}.{payload}.{}", signature.replace(['-', '_'], "+"))),
        ("a text", "token".to_owned()),
        ("JSON", json!({"token": good}).to_string().replace(' ', "")),
        ("quotes", format!("\"{good}\"")),
        ("UTF-8", "é.é.é".to_owned()),
    ] {
        if token == good {
            // A signature without either character is the same in both alphabets.
            continue;
        }
        let value = HeaderValue::from_bytes(format!("Bearer {token}").as_bytes()).expect("a value");
        let answer = server.send(server.request(Method::GET, "/v1/datasets").header("authorization", value)).await;
        // Commas part credentials, so that JSON is none at all.
        if token.contains(',') {
            assert_eq!(answer.problem(), "malformed-credential", "{at}");
        } else {
            refused(&answer, at);
        }
    }
    // Deep enough to break a parser that recurses without a limit.
    for nested in ["[".repeat(4000), "{\"a\":".repeat(1000)] {
        let message = format!("{}.{}", encoded(header().to_string()), encoded(&nested));
        refused(&present(&server, &sealed(&message, hmac::HMAC_SHA256, SECRET.as_bytes())).await, "nested claims");
        let message = format!("{}.{}", encoded(&nested), encoded(claims().to_string()));
        refused(&present(&server, &sealed(&message, hmac::HMAC_SHA256, SECRET.as_bytes())).await, "nested header");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_may_be_long_but_not_longer_than_any_honest_one() {
    let server = Server::over(Backend::Sqlite).await;
    let padded = |bytes: usize| token(&header(), &with(claims(), "padding", "x".repeat(bytes)));
    let (long, longer, longest) = (padded(5500), padded(6200), padded(12_500));
    assert!(long.len() < 8192 && (8193..9000).contains(&longer.len()) && longest.len() > 16_384);
    assert_eq!(present(&server, &long).await.status, 200);
    refused(&present(&server, &longer).await, "more than 8 KiB");
    assert_eq!(present(&server, &longest).await.problem(), "head-too-large");
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_a_token_brings_or_points_to_is_never_used() {
    let server = Server::over(Backend::Sqlite).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}/keys");
    // An attacker's key is as good a key as ours.
    let attacker = private_key(Algorithm::ES256);
    let public = published("es256");
    let secret = b"a secret that the attacker has chosen";
    let symmetric = json!({"kty": "oct", "alg": "HS256", "kid": "hs256", "k": encoded(secret)});
    let certificate = json!(["MIIBszCCAVmgAwIBAgIUPZ0lJZwWXw3bTqBYJqhM"]);
    for (name, value) in [
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("url", json!(url)),
        ("jwk", public.clone()),
        ("jwk", symmetric),
        ("x5c", certificate),
    ] {
        for kid in [Some("hs256"), Some("es256"), Some("unknown"), None] {
            let kind = |alg: &str| {
                let header = with(with(header(), "alg", alg), name, value.clone());
                let header = match kid {
                    Some(kid) => with(header, "kid", kid),
                    None => without(header, "kid"),
                };
                unsigned(&header, &claims())
            };
            let at = format!("{name} {kid:?}");
            refused(&present(&server, &signed(&kind("ES256"), &attacker, Algorithm::ES256)).await, &at);
            refused(&present(&server, &sealed(&kind("HS256"), hmac::HMAC_SHA256, secret)).await, &at);
            // Signed by our key, the member is neither used nor followed, whatever becomes of the token.
            present(&server, &sealed(&kind("HS256"), hmac::HMAC_SHA256, SECRET.as_bytes())).await;
        }
    }
    // The first to connect is the test itself.
    let own = tokio::net::TcpStream::connect(address).await.expect("a connection");
    let (_, first) = listener.accept().await.expect("a connection");
    assert_eq!(first, own.local_addr().expect("an address"), "the server followed a token");
    server.stop().await;
}

#[tokio::test]
async fn claims_that_make_no_role_or_two_are_believed_and_let_in_nowhere() {
    let server = Server::over(Backend::Sqlite).await;
    let internal = |groups: Value| with(with(without(claims(), "plan"), "tier", "internal"), "groups", groups);
    for (at, claims) in [
        ("no plan", without(claims(), "plan")),
        ("no tier", without(claims(), "tier")),
        ("an unknown plan", with(claims(), "plan", "gold")),
        ("another case", with(claims(), "plan", "Pro")),
        ("a plan that is no text", with(claims(), "plan", json!({"pro": true}))),
        ("the tier of others", with(claims(), "tier", "internal")),
        ("both plans", with(claims(), "plan", json!(["basic", "pro"]))),
        ("no groups", internal(json!([]))),
        ("two groups", internal(json!(["scientist", "publisher"]))),
        ("two tiers", with(with(claims(), "tier", json!(["client", "internal"])), "groups", "scientist")),
    ] {
        let answer = present(&server, &token(&header(), &claims)).await;
        assert_eq!((answer.status, answer.problem().as_str()), (403, "no-role"), "{at}: {}", answer.text());
        let challenge = format!(r#"{CHALLENGE}, error="insufficient_scope""#);
        assert_eq!(answer.header("www-authenticate"), Some(challenge.as_str()), "{at}");
    }
    // A list of one role's claim among others is that role.
    for groups in [json!("scientist"), json!(["scientist"]), json!(["lunch", "scientist"])] {
        assert_eq!(present(&server, &token(&header(), &internal(groups))).await.status, 200);
    }
    server.stop().await;
}

/// Numbers that look random and are the same in every run (Marsaglia's xorshift).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below the bound")
    }
}

#[tokio::test]
async fn no_mutation_of_a_token_is_believed() {
    let server = Server::over(Backend::Sqlite).await;
    let good = token(&header(), &claims()).into_bytes();
    let other = token(&header(), &with(claims(), "plan", "basic")).into_bytes();
    let parts = |token: &[u8]| -> Vec<Vec<u8>> { token.split(|byte| *byte == b'.').map(<[u8]>::to_vec).collect() };
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let mut seen = std::collections::BTreeMap::new();
    let mut wire = Wire::to(&server).await;
    while seen.values().sum::<usize>() < 1200 {
        let mut token = good.clone();
        match dice.below(8) {
            // A bit of a byte.
            0 => {
                let at = dice.below(token.len());
                token[at] ^= 1 << dice.below(8);
            }
            // Some bytes.
            1 => {
                for _ in 0..=dice.below(4) {
                    let at = dice.below(token.len());
                    token[at] = u8::try_from(0x21 + dice.below(0xdf)).expect("a byte");
                }
            }
            // Another letter of base64 at the end of a part, where some bits are not used.
            2 => {
                const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let ends: Vec<usize> =
                    (0..=token.len()).filter(|at| token.get(*at).is_none_or(|byte| *byte == b'.')).collect();
                token[ends[dice.below(ends.len())] - 1] = LETTERS[dice.below(LETTERS.len())];
            }
            3 => token.truncate(dice.below(token.len())),
            4 => drop(token.drain(..dice.below(token.len()))),
            // A stretch goes, or comes twice.
            5 => {
                let (from, length) = (dice.below(token.len()), dice.below(30));
                let stretch: Vec<u8> = token[from..].iter().take(length).copied().collect();
                if dice.below(2) == 0 {
                    token.drain(from..from + stretch.len());
                } else {
                    token.splice(from..from, stretch);
                }
            }
            // Parts in another order, or those of another token.
            6 => {
                let mut mixed = parts(&good);
                mixed.swap(dice.below(3), dice.below(3));
                token = mixed.join(&b'.');
            }
            _ => {
                let mut mixed = parts(&good);
                let part = dice.below(3);
                mixed[part] = parts(&other).remove(part);
                token = mixed.join(&b'.');
            }
        }
        // These would end the header, or are no header's bytes at all; a blank at either end is the header's own.
        if token == good || token == other || token.iter().any(|byte| *byte < 0x20 || *byte == 0x7f || *byte == b' ') {
            continue;
        }
        let head = b"GET /v1/datasets HTTP/1.1\r\nhost: test\r\nauthorization: Bearer ";
        wire.send(&[head.as_slice(), &token, b"\r\n\r\n"].concat()).await;
        let answer = wire.answer().await;
        let problem = answer.problem();
        let shown = String::from_utf8_lossy(&token);
        assert!(["invalid-token", "malformed-credential"].contains(&problem.as_str()), "{problem}: {shown}");
        assert!([400, 401].contains(&answer.status), "{}: {shown}", answer.status);
        *seen.entry(problem).or_insert(0_usize) += 1;
    }
    assert!(seen["invalid-token"] > 300, "{seen:?}");
    assert_eq!(present(&server, std::str::from_utf8(&good).expect("ASCII")).await.status, 200);
    server.stop().await;
}

// --- Public keys --------------------------------------------------------------------------------------------------

pub fn key_file(name: &str) -> PathBuf {
    repository().join("tests/keys").join(name)
}

fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::RS256 => "rs256",
        Algorithm::ES256 => "es256",
        Algorithm::EdDSA => "eddsa",
        _ => panic!("no key for {algorithm:?}"),
    }
}

const PUBLIC_KEY_ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

pub fn private_key(algorithm: Algorithm) -> EncodingKey {
    let pem = std::fs::read(key_file(&format!("{}.pem", name_of(algorithm)))).expect("a key");
    match algorithm {
        Algorithm::RS256 => EncodingKey::from_rsa_pem(&pem),
        Algorithm::ES256 => EncodingKey::from_ec_pem(&pem),
        _ => EncodingKey::from_ed_pem(&pem),
    }
    .expect("a key")
}

/// A key of `tests/keys/jwks.json`.
pub fn published(id: &str) -> Value {
    let text = std::fs::read_to_string(key_file("jwks.json")).expect("a key set");
    let set: Value = serde_json::from_str(&text).expect("JSON");
    let keys = set["keys"].as_array().expect("keys");
    keys.iter().find(|key| key["kid"] == id).expect(id).clone()
}

fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub fn signed(message: &str, key: &EncodingKey, algorithm: Algorithm) -> String {
    format!("{message}.{}", crypto::sign(message.as_bytes(), key, algorithm).expect("a signature"))
}

pub fn header_of(algorithm: Algorithm) -> Value {
    with(with(header(), "alg", format!("{algorithm:?}")), "kid", name_of(algorithm))
}

/// A good token of one of the published keys.
fn token_of(algorithm: Algorithm) -> String {
    signed(&unsigned(&header_of(algorithm), &claims()), &private_key(algorithm), algorithm)
}

pub fn with_jwks(file: Option<PathBuf>, url: Option<String>) -> Config {
    let mut config = config(Backend::Sqlite);
    config.auth.hs256 = None;
    let algorithms = PUBLIC_KEY_ALGORITHMS.map(|algorithm| format!("{algorithm:?}")).into();
    let (refresh, refetch) = (Duration::from_secs(3600), Duration::from_millis(100));
    config.auth.jwks = Some(Jwks { file, url, algorithms, refresh, refetch, unknown_for: refetch });
    config
}

/// A file that holds a key set; it goes with the returned folder.
fn kept(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("jwks.json");
    std::fs::write(&path, text).expect("written");
    (folder, path)
}

async fn start_refusal(config: Config) -> JwksError {
    let metrics = telemetry::collect().expect("metrics");
    match app::start(config, metrics).await.map(|_| ()) {
        Err(app::Error::Jwks(error)) => error,
        Err(error) => panic!("refused for another reason: {error}"),
        Ok(()) => panic!("not refused"),
    }
}

#[tokio::test]
async fn tokens_of_published_keys_are_believed() {
    let server = Server::start(with_jwks(Some(key_file("jwks.json")), None)).await;
    for algorithm in PUBLIC_KEY_ALGORITHMS {
        let answer = present(&server, &token_of(algorithm)).await;
        assert_eq!(answer.status, 200, "{algorithm:?}: {}", answer.text());
        // Three keys: there is something to choose.
        let message = unsigned(&without(header_of(algorithm), "kid"), &claims());
        refused(&present(&server, &signed(&message, &private_key(algorithm), algorithm)).await, "no kid");
        // The rules are those of every token.
        let message = unsigned(&with(header_of(algorithm), "typ", "JWT"), &claims());
        refused(&present(&server, &signed(&message, &private_key(algorithm), algorithm)).await, "typ");
        let message = unsigned(&header_of(algorithm), &with(claims(), "aud", "other"));
        refused(&present(&server, &signed(&message, &private_key(algorithm), algorithm)).await, "aud");
    }
    // The secret of development is a key only where it is configured.
    refused(&present(&server, &token(&header(), &claims())).await, "the shared secret");
    server.stop().await;
}

#[tokio::test]
async fn a_single_published_key_needs_no_name() {
    let (_folder, path) = kept(&key_set(&[without(published("es256"), "kid")]));
    let server = Server::start(with_jwks(Some(path), None)).await;
    let message = unsigned(&without(header_of(Algorithm::ES256), "kid"), &claims());
    let nameless = signed(&message, &private_key(Algorithm::ES256), Algorithm::ES256);
    assert_eq!(present(&server, &nameless).await.status, 200);
    refused(&present(&server, &token_of(Algorithm::ES256)).await, "a kid that no key has");
    server.stop().await;
}

#[tokio::test]
async fn a_public_key_is_no_shared_secret() {
    let server = Server::start(with_jwks(Some(key_file("jwks.json")), None)).await;
    let pem = std::fs::read(key_file("rs256.public.pem")).expect("a key");
    let jwk = published("rs256");
    let decoded = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().expect(name)).expect(name);
    let point = published("eddsa")["x"].as_str().map(|x| URL_SAFE_NO_PAD.decode(x).expect("x")).expect("x");
    for (at, secret) in [
        ("PEM", pem.clone()),
        ("PEM without its last line break", pem.trim_ascii_end().to_vec()),
        ("the modulus", decoded("n")),
        ("the modulus, encoded", jwk["n"].as_str().expect("n").into()),
        ("the JWK", jwk.to_string().into_bytes()),
        ("a point", point),
        ("nothing", Vec::new()),
    ] {
        for id in ["rs256", "es256", "eddsa"] {
            for (alg, algorithm) in
                [("HS256", hmac::HMAC_SHA256), ("HS384", hmac::HMAC_SHA384), ("HS512", hmac::HMAC_SHA512)]
            {
                let message = unsigned(&json!({"alg": alg, "typ": "at+jwt", "kid": id}), &claims());
                refused(&present(&server, &sealed(&message, algorithm, &secret)).await, at);
            }
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_is_used_with_its_own_algorithm_only() {
    let server = Server::start(with_jwks(Some(key_file("jwks.json")), None)).await;
    for signer in PUBLIC_KEY_ALGORITHMS {
        let key = private_key(signer);
        for (id, alg) in PUBLIC_KEY_ALGORITHMS.into_iter().flat_map(|id| PUBLIC_KEY_ALGORITHMS.map(|alg| (id, alg))) {
            if (id, alg) == (signer, signer) {
                continue;
            }
            let header = with(header_of(id), "alg", format!("{alg:?}"));
            let at = format!("signed by {signer:?}, as {alg:?} of {id:?}");
            refused(&present(&server, &signed(&unsigned(&header, &claims()), &key, signer)).await, &at);
        }
    }
    // What the key could do as well, but is not published for.
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512] {
        let header = with(header_of(Algorithm::RS256), "alg", format!("{algorithm:?}"));
        let token = signed(&unsigned(&header, &claims()), &private_key(Algorithm::RS256), algorithm);
        refused(&present(&server, &token).await, "another algorithm of the family");
        let mut says_rs256 = unsigned(&header_of(Algorithm::RS256), &claims());
        says_rs256 = signed(&says_rs256, &private_key(Algorithm::RS256), algorithm);
        refused(&present(&server, &says_rs256).await, "another algorithm that says RS256");
    }
    // Signatures of nothing but zeros once passed for ECDSA in some libraries, and a DER form is not JOSE's.
    for (algorithm, lengths) in
        [(Algorithm::ES256, [0, 64, 70]), (Algorithm::EdDSA, [0, 64, 63]), (Algorithm::RS256, [0, 256, 255])]
    {
        for length in lengths {
            let message = unsigned(&header_of(algorithm), &claims());
            let token = format!("{message}.{}", encoded(vec![0; length]));
            refused(&present(&server, &token).await, "a signature of zeros");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn keys_that_verify_no_signatures_are_passed_over() {
    let secret = b"a secret that the provider has published";
    let symmetric = json!({"kty": "oct", "kid": "oct", "use": "sig", "alg": "HS256", "k": encoded(secret)});
    let unusable = [
        symmetric.clone(),
        with(published("rs256"), "use", "enc"),
        with(without(published("rs256"), "use"), "key_ops", json!(["encrypt", "wrapKey"])),
        with(without(published("rs256"), "use"), "alg", "RSA-OAEP"),
        with(published("rs256"), "alg", "RS512"),
        with(published("es256"), "alg", "ES384"),
        with(published("es256"), "crv", "P-384"),
        json!({"kty": "AKP", "kid": "future", "alg": "ML-DSA-44", "pub": "AAAA"}),
        json!({"kid": "nothing"}),
        with(published("rs256"), "kid", 1),
        json!(1),
    ];
    // Alone, each leaves nobody to believe, which is not what an operator wanted.
    for key in &unusable {
        let (_folder, path) = kept(&key_set(std::slice::from_ref(key)));
        let error = start_refusal(with_jwks(Some(path), None)).await;
        assert!(matches!(error, JwksError::NoKey), "{key}: {error}");
    }
    // Beside others they change nothing.
    let mut keys = unusable.to_vec();
    keys.push(published("eddsa"));
    let (_folder, path) = kept(&key_set(&keys));
    let server = Server::start(with_jwks(Some(path), None)).await;
    assert_eq!(present(&server, &token_of(Algorithm::EdDSA)).await.status, 200);
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        refused(&present(&server, &token_of(algorithm)).await, "a key that was passed over");
    }
    let message = unsigned(&with(header(), "kid", "oct"), &claims());
    refused(&present(&server, &sealed(&message, hmac::HMAC_SHA256, secret)).await, "a published secret");
    server.stop().await;
}

#[tokio::test]
async fn only_the_configured_algorithms_are_used() {
    let mut config = with_jwks(Some(key_file("jwks.json")), None);
    config.auth.jwks.as_mut().expect("a key set").algorithms = vec!["ES256".into()];
    let server = Server::start(config).await;
    assert_eq!(present(&server, &token_of(Algorithm::ES256)).await.status, 200);
    refused(&present(&server, &token_of(Algorithm::RS256)).await, "RS256");
    refused(&present(&server, &token_of(Algorithm::EdDSA)).await, "EdDSA");
    server.stop().await;
    for algorithm in ["HS256", "none", "RS512", "es256", ""] {
        let mut config = with_jwks(Some(key_file("jwks.json")), None);
        config.auth.jwks.as_mut().expect("a key set").algorithms = vec![algorithm.into()];
        let error = start_refusal(config).await;
        assert!(matches!(error, JwksError::Algorithm(_)), "{algorithm}: {error}");
    }
}

#[tokio::test]
async fn a_key_set_that_cannot_be_read_is_refused_at_start() {
    for text in ["", "{}", "[]", "null", "{\"keys\": 1}", "<html>"] {
        let (_folder, path) = kept(text);
        let error = start_refusal(with_jwks(Some(path), None)).await;
        assert!(matches!(error, JwksError::Json(_)), "{text}: {error}");
    }
    let (_folder, path) = kept(&key_set(&[]));
    let error = start_refusal(with_jwks(Some(path.clone()), None)).await;
    assert!(matches!(error, JwksError::NoKey), "{error}");
    let error = start_refusal(with_jwks(Some(path.with_extension("missing")), None)).await;
    assert!(matches!(error, JwksError::File { .. }), "{error}");
}

// --- Rotation -----------------------------------------------------------------------------------------------------

/// An identity provider that says what the test wants it to say.
struct Provider {
    url: String,
    /// The whole response; without one it hangs up.
    response: watch::Sender<Option<String>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    async fn publishing(keys: &[Value]) -> Self {
        let provider = Self::out().await;
        provider.publish(keys);
        provider
    }

    async fn out() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let url = format!("http://{}/jwks", listener.local_addr().expect("an address"));
        let (response, answers) = watch::channel(None::<String>);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // A request without a body is shorter than this, and comes in one piece on a loopback.
                let _ = stream.read(&mut [0; 4096]).await;
                let response = answers.borrow().clone();
                if let Some(response) = response {
                    let _ = stream.write_all(response.as_bytes()).await;
                }
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { url, response, asked }
    }

    fn publish(&self, keys: &[Value]) {
        self.say("200 OK", &key_set(keys));
    }

    fn say(&self, status: &str, body: &str) {
        let length = body.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        self.response.send_replace(Some(head + body));
    }

    fn hang_up(&self) {
        self.response.send_replace(None);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Presents a token until it is answered so.
pub async fn becomes(server: &Server, token: &str, status: u16) {
    let wait = async { while present(server, token).await.status != status {} };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("it never became {status}"));
}

/// Tokens of an unknown key that make the server ask again, until it has.
async fn is_asked_again(server: &Server, provider: &Provider) {
    let before = provider.asked();
    let unknown = with(header_of(Algorithm::ES256), "kid", "unknown");
    let unknown = signed(&unsigned(&unknown, &claims()), &private_key(Algorithm::ES256), Algorithm::ES256);
    let wait = async {
        while provider.asked() == before {
            refused(&present(server, &unknown).await, "an unknown key");
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it never asked again");
}

#[tokio::test]
async fn a_new_key_is_believed_and_an_old_one_not_without_a_restart() {
    let provider = Provider::publishing(&[published("rs256"), published("es256")]).await;
    let server = Server::start(with_jwks(None, Some(provider.url.clone()))).await;
    let [rs256, es256, eddsa] = PUBLIC_KEY_ALGORITHMS.map(token_of);
    assert_eq!(present(&server, &rs256).await.status, 200);
    assert_eq!(present(&server, &es256).await.status, 200);
    refused(&present(&server, &eddsa).await, "not published yet");

    provider.publish(&[published("es256"), published("eddsa")]);
    becomes(&server, &eddsa, 200).await;
    assert_eq!(present(&server, &es256).await.status, 200);
    refused(&present(&server, &rs256).await, "not published any more");
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_goes_is_noticed_without_being_asked_for() {
    let provider = Provider::publishing(&[published("rs256"), published("es256")]).await;
    let mut config = with_jwks(None, Some(provider.url.clone()));
    config.auth.jwks.as_mut().expect("a key set").refresh = Duration::from_millis(100);
    let server = Server::start(config).await;
    let rs256 = token_of(Algorithm::RS256);
    assert_eq!(present(&server, &rs256).await.status, 200);
    provider.publish(&[published("es256")]);
    becomes(&server, &rs256, 401).await;
    server.stop().await;
}

#[tokio::test]
async fn a_file_is_read_again_too() {
    let (_folder, path) = kept(&key_set(&[published("rs256")]));
    let server = Server::start(with_jwks(Some(path.clone()), None)).await;
    let es256 = token_of(Algorithm::ES256);
    refused(&present(&server, &es256).await, "not published yet");
    std::fs::write(&path, key_set(&[published("es256")])).expect("written");
    becomes(&server, &es256, 200).await;
    refused(&present(&server, &token_of(Algorithm::RS256)).await, "not published any more");
    server.stop().await;
}

#[tokio::test]
async fn the_last_good_keys_stay_while_the_provider_is_out_or_talks_nonsense() {
    let provider = Provider::publishing(&[published("es256")]).await;
    let server = Server::start(with_jwks(None, Some(provider.url.clone()))).await;
    let es256 = token_of(Algorithm::ES256);
    let elsewhere = Provider::publishing(&[published("rs256")]).await;
    let redirect = format!("302 Found\r\nlocation: {}", elsewhere.url);
    let large = format!("{{\"keys\": [], \"padding\": \"{}\"}}", "x".repeat(1 << 20));
    let no_keys = key_set(&[]);
    for (status, body) in [
        ("500 Internal Server Error", ""),
        ("404 Not Found", ""),
        ("200 OK", "<html>we are sorry</html>"),
        ("200 OK", no_keys.as_str()),
        ("200 OK", large.as_str()),
        (redirect.as_str(), ""),
    ] {
        provider.say(status, body);
        is_asked_again(&server, &provider).await;
        assert_eq!(present(&server, &es256).await.status, 200, "{status}");
    }
    provider.hang_up();
    is_asked_again(&server, &provider).await;
    assert_eq!(present(&server, &es256).await.status, 200);
    assert_eq!(elsewhere.asked(), 0, "a redirect was followed");
    let metrics = server.admin("/metrics").await.text();
    assert!(metrics.contains("martello_jwks_errors_total"), "{metrics}");

    // What it says when it is back holds.
    provider.publish(&[published("rs256")]);
    becomes(&server, &token_of(Algorithm::RS256), 200).await;
    refused(&present(&server, &es256).await, "not published any more");
    server.stop().await;
}

#[tokio::test]
async fn unknown_keys_ask_the_provider_no_more_often_than_is_allowed() {
    let provider = Provider::publishing(&[published("es256")]).await;
    let mut config = with_jwks(None, Some(provider.url.clone()));
    config.auth.jwks.as_mut().expect("a key set").refetch = Duration::from_secs(600);
    let server = Server::start(config).await;
    for number in 0..100 {
        let unknown = with(header_of(Algorithm::ES256), "kid", format!("unknown-{number}"));
        let token = format!("{}.{}", unsigned(&unknown, &claims()), encoded([0; 64]));
        refused(&present(&server, &token).await, "an unknown key");
    }
    assert_eq!(provider.asked(), 1);
    server.stop().await;
}

#[tokio::test]
async fn a_key_that_the_provider_does_not_have_is_asked_for_once_and_believed_once_it_is_there() {
    let provider = Provider::publishing(&[published("rs256")]).await;
    let mut config = with_jwks(None, Some(provider.url.clone()));
    let jwks = config.auth.jwks.as_mut().expect("a key set");
    (jwks.refetch, jwks.unknown_for) = (Duration::from_millis(1), Duration::from_secs(3600));
    let server = Server::start(config).await;
    let es256 = token_of(Algorithm::ES256);
    let asks = async {
        while provider.asked() < 2 {
            refused(&present(&server, &es256).await, "not published yet");
        }
    };
    tokio::time::timeout(SOON, asks).await.expect("it never asked again");
    for _ in 0..300 {
        refused(&present(&server, &es256).await, "not published yet");
    }
    // One more may have been on its way while the answer was.
    assert!(provider.asked() <= 3, "it asked {} times", provider.asked());
    // It is looked for among the keys all the same.
    provider.publish(&[published("es256")]);
    is_asked_again(&server, &provider).await;
    becomes(&server, &es256, 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_out_at_the_start_is_waited_for() {
    let provider = Provider::out().await;
    let server = Server::start(with_jwks(None, Some(provider.url.clone()))).await;
    let es256 = token_of(Algorithm::ES256);
    refused(&present(&server, &es256).await, "no key yet");
    provider.publish(&[published("es256")]);
    becomes(&server, &es256, 200).await;
    server.stop().await;
}

#[tokio::test]
async fn a_provider_without_a_usable_key_is_refused_at_start() {
    let provider = Provider::publishing(&[with(published("rs256"), "use", "enc")]).await;
    let error = start_refusal(with_jwks(None, Some(provider.url.clone()))).await;
    assert!(matches!(error, JwksError::NoKey), "{error}");
    let provider = Provider::publishing(&[json!({"kty": "oct", "kid": "oct", "alg": "HS256", "k": "AAAA"})]).await;
    let error = start_refusal(with_jwks(None, Some(provider.url.clone()))).await;
    assert!(matches!(error, JwksError::NoKey), "{error}");
}
