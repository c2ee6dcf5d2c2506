//! A thousand tokens that nobody should believe, each a genuine one with one fault, and between them genuine ones from the
//! same hand: those are believed, so that it is the fault that is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use martello::auth::draw;
use martello::clock;
use martello::config::Secret;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde_json::{Value, json};

use crate::differential::dice::Dice;
use crate::support::{SECRET, Server};
use crate::tokens::{
    CHALLENGE, claims, encoded, header, header_of, key_file, private_key, published, sealed, signed, unsigned, with,
    with_jwks, without,
};

/// Decides every token; another number makes another thousand.
const SEED: u64 = 20_261_126;
/// Tokens of each class.
const EACH: usize = 20;

const ALGORITHMS: [Algorithm; 4] = [Algorithm::HS256, Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

static KEYS: LazyLock<[(Algorithm, EncodingKey); 3]> =
    LazyLock::new(|| [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA].map(|it| (it, private_key(it))));

/// A key pair that the server has never heard of, and its public half as a JWK.
static STRANGER: LazyLock<(EncodingKey, Value)> = LazyLock::new(|| {
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new()).expect("a key");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref()).expect("a key");
    let point = pair.public_key().as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "es256",
        "x": encoded(&point[1..33]), "y": encoded(&point[33..])});
    (EncodingKey::from_ec_der(document.as_ref()), jwk)
});

/// A token before it is signed.
struct Draft {
    algorithm: Algorithm,
    header: Value,
    claims: Value,
}

/// What a genuine token may be like.
fn draft(dice: &mut Dice) -> Draft {
    let algorithm = dice.pick(&ALGORITHMS);
    let mut header = if algorithm == Algorithm::HS256 { header() } else { header_of(algorithm) };
    if dice.chance(20) {
        header = with(header, "typ", dice.pick(&["AT+JWT", "application/at+jwt"]));
    }
    if dice.chance(20) {
        header = with(header, "note", dice.next());
    }
    let now = clock::unix_seconds();
    let mut claims = with(claims(), "jti", format!("{:x}", dice.next()));
    claims = with(claims, "sub", format!("subject-{}", dice.below(50)));
    claims = with(claims, "exp", now + 300 + dice.below(3000) as u64);
    claims = with(claims, "plan", dice.pick(&["basic", "pro"]));
    if dice.chance(30) {
        claims = with(claims, "aud", dice.pick(&[json!(["martello"]), json!(["other", "martello"])]));
    }
    if dice.chance(30) {
        claims = with(claims, "nbf", now - dice.below(1000) as u64);
    }
    if dice.chance(20) {
        claims = without(claims, "iat");
    }
    if dice.chance(30) {
        claims = with(claims, "more", json!({"deep": [1, [2, [null, "x".repeat(dice.below(200))]]]}));
    }
    Draft { algorithm, header, claims }
}

impl Draft {
    fn signed(&self) -> String {
        self.signs(&unsigned(&self.header, &self.claims))
    }

    /// Signed by the key that it names, whatever is signed.
    fn signs(&self, message: &str) -> String {
        match KEYS.iter().find(|(algorithm, _)| *algorithm == self.algorithm) {
            Some((algorithm, key)) => signed(message, key, *algorithm),
            None => sealed(message, hmac::HMAC_SHA256, SECRET.as_bytes()),
        }
    }

    /// Signed with texts that need be no JSON.
    fn signs_texts(&self, header: &str, claims: &str) -> String {
        self.signs(&format!("{}.{}", encoded(header), encoded(claims)))
    }

    /// Genuine but for a member of its header.
    fn headed(mut self, name: &str, value: impl Into<Value>) -> String {
        self.header = with(self.header, name, value);
        self.signed()
    }

    /// Genuine but for a claim.
    fn claiming(mut self, name: &str, value: impl Into<Value>) -> String {
        self.claims = with(self.claims, name, value);
        self.signed()
    }
}

/// Three parts of a genuine token.
fn parts(dice: &mut Dice) -> [String; 3] {
    let token = draft(dice).signed();
    let parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    parts.try_into().expect("three parts")
}

/// A genuine token in one part of which one bit is another, its base64 whole.
fn flipped(dice: &mut Dice, part: usize) -> String {
    let mut parts = parts(dice);
    let mut bytes = URL_SAFE_NO_PAD.decode(&parts[part]).expect("base64");
    let at = dice.below(bytes.len());
    bytes[at] ^= 1 << dice.below(8);
    parts[part] = encoded(bytes);
    parts.join(".")
}

/// A claim that is ahead by more than any leeway.
fn ahead(dice: &mut Dice) -> u64 {
    clock::unix_seconds() + 120 + dice.below(100_000) as u64
}

/// A text with a member once more, before or behind the one that is there.
fn doubled(dice: &mut Dice, object: &Value, name: &str, other: &Value) -> String {
    let (text, member) = (object.to_string(), format!("\"{name}\":{other}"));
    let inner = &text[1..text.len() - 1];
    if dice.chance(50) { format!("{{{member},{inner}}}") } else { format!("{{{inner},{member}}}") }
}

/// A class of tokens, and how one of them is made.
type Class = (&'static str, fn(&mut Dice) -> String);

/// What is refused as no valid token.
const FORGED: &[Class] = &[
    ("alg none", |dice| {
        let mut draft = draft(dice);
        draft.header = with(draft.header, "alg", dice.pick(&["none", "None", "NONE", "nOnE", "none ", ""]));
        let message = unsigned(&draft.header, &draft.claims);
        let signature = encoded(vec![0; dice.pick(&[0, 1, 32])]);
        if dice.chance(50) { format!("{message}.{signature}") } else { draft.signs(&message) }
    }),
    ("no alg, or one that is no text", |dice| {
        let alg = dice.pick(&[Value::Null, json!(1), json!(["HS256"]), json!({}), json!("hs256"), json!("HS257")]);
        draft(dice).headed("alg", alg)
    }),
    ("a public key as the shared secret", |dice| {
        let draft = draft(dice);
        let id = dice.pick(&["rs256", "es256", "eddsa"]);
        let pem = std::fs::read(key_file("rs256.public.pem")).expect("a key");
        let modulus = published("rs256")["n"].as_str().expect("n").to_owned();
        let secret = dice.pick(&[
            pem.clone(),
            pem.trim_ascii_end().to_vec(),
            URL_SAFE_NO_PAD.decode(&modulus).expect("n"),
            modulus.into_bytes(),
            published(id).to_string().into_bytes(),
        ]);
        let header = with(with(draft.header, "alg", "HS256"), "kid", id);
        sealed(&unsigned(&header, &draft.claims), hmac::HMAC_SHA256, &secret)
    }),
    ("the shared secret in a public key's name", |dice| {
        let draft = draft(dice);
        let alg = dice.pick(&["HS256", "RS256", "ES256", "EdDSA"]);
        let header = with(with(draft.header, "alg", alg), "kid", dice.pick(&["rs256", "es256", "eddsa"]));
        sealed(&unsigned(&header, &draft.claims), hmac::HMAC_SHA256, SECRET.as_bytes())
    }),
    ("another secret", |dice| {
        let draft = draft(dice);
        let secret = format!("{:032x}", dice.next());
        sealed(&unsigned(&header(), &draft.claims), hmac::HMAC_SHA256, secret.as_bytes())
    }),
    ("another algorithm than its key's", |dice| {
        let draft = draft(dice);
        let own = format!("{:?}", draft.algorithm);
        let others = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"];
        let others: Vec<&str> = others.into_iter().filter(|other| *other != own).collect();
        draft.headed("alg", dice.pick(&others))
    }),
    ("one key's name, another's signature", |dice| {
        let draft = draft(dice);
        let others = ["hs256", "rs256", "es256", "eddsa"].into_iter().filter(|id| draft.header["kid"] != *id);
        let others: Vec<&str> = others.collect();
        draft.headed("kid", dice.pick(&others))
    }),
    ("an unknown kid", |dice| {
        let id = format!("{:x}", dice.next());
        draft(dice).headed("kid", id)
    }),
    ("a kid that is a path", |dice| {
        let steps = "../".repeat(1 + dice.below(12));
        let id = format!("{steps}{}", dice.pick(&["dev/null", "etc/passwd", "proc/self/environ", "jwks.json\u{0}"]));
        draft(dice).headed("kid", id)
    }),
    ("a kid that is SQL or a command", |dice| {
        let id = dice.pick(&["' OR '1'='1", "x' UNION SELECT 'secret' --", "\"; DROP TABLE keys; --", "$(id)", "|id"]);
        draft(dice).headed("kid", id)
    }),
    ("a kid that is huge", |dice| {
        let id = "k".repeat(1000 + dice.below(3000));
        draft(dice).headed("kid", id)
    }),
    ("a kid that is no text", |dice| {
        let id = dice.pick(&[Value::Null, json!(0), json!(256), json!(["hs256"]), json!({"hs256": 1}), json!(true)]);
        draft(dice).headed("kid", id)
    }),
    ("a kid that is nearly one", |dice| {
        let draft = draft(dice);
        let id = draft.header["kid"].as_str().expect("a kid").to_owned();
        let near = [id.to_uppercase(), format!("{id} "), format!(" {id}"), format!("{id}\u{0}"), String::new()];
        let near = dice.pick(&near);
        draft.headed("kid", near)
    }),
    ("crit", |dice| {
        let crit =
            [json!(["exp"]), json!(["b64"]), json!([]), json!("exp"), Value::Null, json!(["http://x"]), json!(1)];
        let crit = dice.pick(&crit);
        draft(dice).headed("crit", crit)
    }),
    ("another typ", |dice| {
        let kinds = [json!("JWT"), json!("logout+jwt"), json!("text/at+jwt"), json!(" at+jwt"), json!(""), Value::Null];
        let kind = dice.pick(&kinds);
        draft(dice).headed("typ", kind)
    }),
    ("no typ", |dice| {
        let mut draft = draft(dice);
        draft.header = without(draft.header, "typ");
        draft.signed()
    }),
    ("a key that it points to", |dice| {
        let draft = draft(dice);
        let header = with(header_of(Algorithm::ES256), dice.pick(&["jku", "x5u"]), "http://127.0.0.1:1/keys");
        let header = with(header, "kid", dice.pick(&["es256", "mine"]));
        signed(&unsigned(&header, &draft.claims), &STRANGER.0, Algorithm::ES256)
    }),
    ("a key that it brings", |dice| {
        let draft = draft(dice);
        let header = header_of(Algorithm::ES256);
        let header = match dice.chance(50) {
            true => with(header, "jwk", STRANGER.1.clone()),
            false => with(header, "x5c", json!([STANDARD.encode(dice.next().to_le_bytes())])),
        };
        let header = with(header, "kid", dice.pick(&["es256", "mine"]));
        signed(&unsigned(&header, &draft.claims), &STRANGER.0, Algorithm::ES256)
    }),
    ("a secret that it brings", |dice| {
        let draft = draft(dice);
        let secret = dice.next().to_le_bytes().repeat(4);
        let jwk = json!({"kty": "oct", "kid": "hs256", "alg": "HS256", "k": encoded(&secret)});
        sealed(&unsigned(&with(header(), "jwk", jwk), &draft.claims), hmac::HMAC_SHA256, &secret)
    }),
    ("no aud", |dice| {
        let mut draft = draft(dice);
        draft.claims = without(draft.claims, "aud");
        draft.signed()
    }),
    ("another aud", |dice| {
        let audiences = [
            json!("other"),
            json!("Martello"),
            json!(""),
            json!([]),
            json!(["other", "another"]),
            json!(["martello", 1]),
            json!([["martello"]]),
            json!({"martello": 1}),
            Value::Null,
        ];
        let audience = dice.pick(&audiences);
        draft(dice).claiming("aud", audience)
    }),
    ("another iss", |dice| {
        let issuers = [
            json!(["martello"]),
            json!(["martello", "other"]),
            json!("other"),
            json!("martello/"),
            json!(1),
            Value::Null,
        ];
        let issuer = dice.pick(&issuers);
        draft(dice).claiming("iss", issuer)
    }),
    ("no iss or no sub", |dice| {
        let mut draft = draft(dice);
        draft.claims = without(draft.claims, dice.pick(&["iss", "sub"]));
        draft.signed()
    }),
    ("no exp", |dice| {
        let mut draft = draft(dice);
        draft.claims = without(draft.claims, "exp");
        draft.signed()
    }),
    ("an exp that is no number", |dice| {
        let later = ahead(dice);
        let ends =
            [json!(later.to_string()), json!([later]), json!(true), Value::Null, json!({"at": later}), json!("")];
        let end = dice.pick(&ends);
        draft(dice).claiming("exp", end)
    }),
    ("an exp that is past", |dice| {
        let end = clock::unix_seconds() - 120 - dice.below(1_000_000) as u64;
        let end = dice.pick(&[json!(end), json!(end as f64 + 0.5), json!(0), json!(-1), json!(-1e300)]);
        draft(dice).claiming("exp", end)
    }),
    ("an nbf that is ahead", |dice| {
        let begin = ahead(dice);
        let begin = dice.pick(&[json!(begin), json!(1e300), json!(u64::MAX)]);
        draft(dice).claiming("nbf", begin)
    }),
    ("an iat that is ahead", |dice| {
        let issued = ahead(dice);
        draft(dice).claiming("iat", issued)
    }),
    ("an nbf or iat that is no number", |dice| {
        let at = dice.pick(&[json!("0"), json!([0]), json!(false)]);
        let name = dice.pick(&["nbf", "iat"]);
        draft(dice).claiming(name, at)
    }),
    ("a number that is none", |dice| {
        let draft = draft(dice);
        let text = draft.claims.to_string();
        let name = dice.pick(&["exp", "nbf", "iat", "more"]);
        let number = dice.pick(&["1e999", "-1e999", "NaN", "Infinity", "0x7fffffff", "01", "1.", "+1"]);
        let text = format!("{{\"{name}{}\":{number},{}", if name == "more" { "" } else { "2" }, &text[1..]);
        draft.signs_texts(&draft.header.to_string(), &text)
    }),
    ("a bit of the header", |dice| flipped(dice, 0)),
    ("a bit of the claims", |dice| flipped(dice, 1)),
    ("a bit of the signature", |dice| flipped(dice, 2)),
    ("other claims under a signature", |dice| {
        let ([head, _, signature], [_, claims, _]) = (parts(dice), parts(dice));
        format!("{head}.{claims}.{signature}")
    }),
    ("a cut signature", |dice| {
        let [head, claims, signature] = parts(dice);
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        format!("{head}.{claims}.{}", encoded(&bytes[..1 + dice.below(bytes.len() - 1)]))
    }),
    ("a longer signature", |dice| {
        let [head, claims, signature] = parts(dice);
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        bytes.resize(bytes.len() + 1 + dice.below(64), 0);
        format!("{head}.{claims}.{}", encoded(bytes))
    }),
    ("an empty signature", |dice| {
        let [head, claims, _] = parts(dice);
        format!("{head}.{claims}.")
    }),
    ("a signature of zeros", |dice| {
        let draft = draft(dice);
        // Zero, and the order of the curve, which is as good as zero.
        let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
        let order: Vec<u8> =
            (0..32).map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).expect("hexadecimal")).collect();
        let halves = [vec![0; 32], order];
        let signature = [dice.pick(&halves), dice.pick(&halves)].concat();
        let algorithm = dice.pick(&[Algorithm::ES256, Algorithm::ES256, Algorithm::EdDSA]);
        format!("{}.{}", unsigned(&header_of(algorithm), &draft.claims), encoded(signature))
    }),
    ("padding", |dice| {
        let mut parts = parts(dice);
        let part = dice.below(3);
        parts[part].push_str(dice.pick(&["=", "==", "%3D"]));
        parts.join(".")
    }),
    ("base64 that is not canonical", |dice| {
        const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let [head, claims, mut signature] = parts(dice);
        // The bits that no byte has are zero in the last letter, and one of them is not in the next.
        let last = signature.pop().and_then(|last| LETTERS.find(last)).expect("a letter");
        signature.push_str(&LETTERS[last + 1..last + 2]);
        format!("{head}.{claims}.{signature}")
    }),
    ("base64 of the other alphabet", |dice| {
        loop {
            let parts = parts(dice);
            let other = parts.join(".").replace('-', "+").replace('_', "/");
            if other != parts.join(".") {
                return other;
            }
        }
    }),
    ("too few or too many parts", |dice| {
        let [head, claims, signature] = parts(dice);
        dice.pick(&[
            head.clone(),
            format!("{head}.{claims}"),
            format!("{head}.{claims}.{signature}.{signature}"),
            format!("{head}.{claims}.{claims}.{signature}.{signature}"),
            format!(".{head}.{claims}.{signature}"),
            format!("{head}..{claims}.{signature}"),
            format!("{signature}.{claims}.{head}"),
        ])
    }),
    ("a member twice in the header", |dice| {
        let draft = draft(dice);
        let name = dice.pick(&["alg", "kid", "typ", "note", "\\u0061lg"]);
        let value = dice.pick(&[json!("none"), json!("HS256"), draft.header["kid"].clone()]);
        let mut header = draft.header.clone();
        if name == "note" {
            header = with(header, "note", 1);
        }
        let header = doubled(dice, &header, name, &value);
        draft.signs_texts(&header, &draft.claims.to_string())
    }),
    ("a claim twice", |dice| {
        let draft = draft(dice);
        let name = dice.pick(&["plan", "tier", "sub", "exp", "aud", "iss", "client_id", "\\u0070lan"]);
        let own = draft.claims.get(name).cloned().unwrap_or_else(|| json!("pro"));
        let value = dice.pick(&[own.clone(), own, json!("internal")]);
        let claims = doubled(dice, &draft.claims, name, &value);
        draft.signs_texts(&draft.header.to_string(), &claims)
    }),
    ("JSON that is deep", |dice| {
        let draft = draft(dice);
        let depth = 200 + dice.below(1000);
        let deep = format!("{{\"deep\":{}{},", "[".repeat(depth), "]".repeat(depth));
        let (header, claims) = (draft.header.to_string(), draft.claims.to_string());
        match dice.chance(50) {
            true => draft.signs_texts(&format!("{deep}{}", &header[1..]), &claims),
            false => draft.signs_texts(&header, &format!("{deep}{}", &claims[1..])),
        }
    }),
    ("JSON that is none, or no object", |dice| {
        let draft = draft(dice);
        let claims = draft.claims.to_string();
        let other = dice.pick(&[
            "null".to_owned(),
            "1".to_owned(),
            "\"\"".to_owned(),
            format!("[{claims}]"),
            claims[..claims.len() - 1].to_owned(),
            format!("{claims}{claims}"),
            String::new(),
            "[".repeat(1000),
            format!("\u{feff}{claims}"),
        ]);
        match dice.chance(50) {
            true => draft.signs_texts(&other, &claims),
            false => draft.signs_texts(&draft.header.to_string(), &other),
        }
    }),
    ("claims that are huge", |dice| {
        let text = "x".repeat(6200 + dice.below(2000));
        draft(dice).claiming("more", text)
    }),
    ("an API key that nobody has", |dice| {
        let drawn = draw();
        let text = drawn.text.expose();
        match dice.below(3) {
            0 => text.to_owned(),
            1 => text[..3 + dice.below(text.len() - 3)].to_owned(),
            _ => format!("mk_{:016x}_{:072x}", dice.next(), dice.next()),
        }
    }),
    ("no token at all", |dice| {
        let text = format!("{:x}", dice.next());
        dice.pick(&[text.clone(), "null".into(), "..".into(), ".".into(), format!("{text}.{text}.{text}"), "{}".into()])
    }),
];

/// A request's credentials, and what becomes of it.
struct Case {
    class: &'static str,
    credentials: Vec<String>,
    /// Status and problem.
    expected: (u16, &'static str),
}

fn cases(dice: &mut Dice) -> Vec<Case> {
    let one = |token: &str| vec![format!("Bearer {token}")];
    let mut cases = Vec::new();
    for _ in 0..EACH {
        for (class, make) in FORGED {
            cases.push(Case { class, credentials: one(&make(dice)), expected: (401, "invalid-token") });
            if dice.chance(20) {
                cases.push(Case { class: "genuine", credentials: one(&draft(dice).signed()), expected: (200, "") });
            }
        }
        let malformed = (400, "malformed-credential");
        let twice = [one(&draft(dice).signed()), one(&draft(dice).signed())].concat();
        cases.push(Case { class: "two headers", credentials: twice, expected: malformed });
        let token = draft(dice).signed();
        let (before, behind) = token.split_at(1 + dice.below(token.len() - 1));
        let broken = format!("{before}{}{behind}", dice.pick(&[" ", "\t", ",", ", "]));
        cases.push(Case { class: "a blank or comma", credentials: one(&broken), expected: malformed });
        let large = draft(dice).claiming("more", "x".repeat(12_500 + dice.below(2000)));
        cases.push(Case { class: "a head too large", credentials: one(&large), expected: (431, "head-too-large") });
    }
    cases
}

/// What is logged, kept.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("a log").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What would give a credential away: itself, and each of its parts that is long enough to be told from other words.
fn telling(credential: &str) -> impl Iterator<Item = &str> {
    let token = credential.strip_prefix("Bearer ").expect("a bearer token");
    [token].into_iter().chain(token.split(['.', ' ', '\t', ','])).filter(|part| part.len() >= 16)
}

#[tokio::test]
async fn a_thousand_forged_tokens_are_refused_and_told_and_logged_alike() {
    let log = Log::default();
    let kept = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
    // The one test of its process: nobody else has set it.
    subscriber.with_writer(move || kept.clone()).try_init().expect("a log of its own");
    let mut config = with_jwks(Some(key_file("jwks.json")), None);
    config.auth.hs256 = Some(Secret::from(SECRET.to_owned()));
    let server = Server::start(config).await;

    let mut dice = Dice::seeded(SEED);
    let cases = cases(&mut dice);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut told: BTreeMap<(u16, bool), BTreeSet<String>> = BTreeMap::new();
    for Case { class, credentials, expected } in &cases {
        let mut request = server.request(Method::GET, "/v1/datasets");
        for credential in credentials {
            request = request.header("authorization", HeaderValue::from_str(credential).expect("a header"));
        }
        let answer = server.send(request).await;
        let at = || format!("{class}: {credentials:?}: {}", answer.text());
        assert_eq!(answer.status, expected.0, "{}", at());
        *seen.entry(class).or_default() += 1;
        if answer.status == 200 {
            continue;
        }
        assert_eq!(answer.problem(), expected.1, "{}", at());
        let challenge = answer.header("www-authenticate");
        let expired = challenge.is_some_and(|challenge| challenge.contains("expired"));
        match answer.status {
            401 if expired => assert!(*class == "an exp that is past", "{}", at()),
            401 => assert_eq!(challenge, Some(&*format!(r#"{CHALLENGE}, error="invalid_token""#)), "{}", at()),
            400 => assert_eq!(challenge, Some(&*format!(r#"{CHALLENGE}, error="invalid_request""#)), "{}", at()),
            _ => assert_eq!(challenge, None, "{}", at()),
        }
        let text = answer.text();
        assert!(!credentials.iter().flat_map(|it| telling(it)).any(|part| text.contains(part)), "{}", at());
        let mut problem = answer.json();
        problem.as_object_mut().expect("a problem").remove("request_id");
        told.entry((answer.status, expired)).or_default().insert(problem.to_string());
    }

    // Each class is there, and so is what shows that the hand that made them can make good ones.
    assert!(FORGED.iter().all(|(class, _)| seen[class] == EACH), "{seen:?}");
    let forged = cases.iter().filter(|case| case.expected.0 != 200).count();
    assert!(forged >= 1000 && seen["genuine"] >= 100, "{forged} of {}", cases.len());
    // Whatever is wrong with a token, all that is told is the kind of the problem, and whether it has expired.
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told.values().all(|bodies| bodies.len() == 1), "{told:#?}");

    server.stop().await;
    let log = String::from_utf8(log.0.lock().expect("a log").clone()).expect("a text");
    let refusals = log.lines().filter(|line| line.contains("status=401")).count();
    assert!(refusals >= FORGED.len() * EACH, "{refusals} refusals are logged");
    for Case { class, credentials, .. } in &cases {
        for part in credentials.iter().flat_map(|it| telling(it)) {
            assert!(!log.contains(part), "{class}: {part}");
        }
    }
}
