//! Tokens that are revoked and keys that clients keep: both hold, and cease to hold, without a restart.

use std::time::Duration;

use martello::auth::draw;
use martello::config::{self, Config};
use reqwest::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::caching::{counted, with_caches};
use crate::programs::{Ran, martello, run};
use crate::publish::{Proxy, Trial};
use crate::support::{Backend, Server, config, variable};
use crate::tokens::{CHALLENGE, SOON, becomes, present, refused};

const ROWS: &str = "/v1/datasets/trial/rows";

// --- Revocation ---------------------------------------------------------------------------------------------------

/// A list of revoked tokens that only one test uses.
struct List(String);

impl List {
    fn new(name: &str) -> Self {
        Self(format!("{name}-{}", std::process::id()))
    }

    fn config(&self, redis: &str) -> Config {
        let mut config = config(Backend::Sqlite);
        let mut redis = config::Redis::at(redis);
        redis.prefix.clone_from(&self.0);
        config.redis = Some(redis);
        config
    }

    /// A command of an operator, who reaches Redis whoever else does.
    fn martello(&self, arguments: &[&str]) -> Ran {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let text = format!("redis: {{url: '{}', prefix: '{}'}}\n", variable("MARTELLO_TEST_REDIS"), self.0);
        std::fs::write(file.path(), text).expect("written");
        let path = file.path().display().to_string();
        run(martello(&[&["--config", &path, "token"], arguments].concat()))
    }

    /// Takes the list away, as a Redis does that comes back empty.
    async fn lose(&self) {
        let url = variable("MARTELLO_TEST_REDIS");
        let address = url.strip_prefix("redis://").expect("a Redis");
        let mut redis = tokio::net::TcpStream::connect(address).await.expect("a Redis");
        let command = format!("DEL {0}:{{revoked}} {0}:{{revoked}}:mark\r\n", self.0);
        redis.write_all(command.as_bytes()).await.expect("written");
        let mut answer = [0; 4];
        redis.read_exact(&mut answer).await.expect("an answer");
        assert_eq!(&answer, b":2\r\n", "the list has other keys");
    }
}

fn id_of(token: &str) -> String {
    let (_, claims) = martello::auth::inspect(token).expect("a token");
    claims["jti"].as_str().expect("an id").to_owned()
}

/// Waits until a counter is larger than it was.
async fn grows(server: &Server, name: &str, than: u64) {
    let wait = async { while counted(server, name).await <= than {} };
    tokio::time::timeout(SOON, wait).await.unwrap_or_else(|_| panic!("{name} stays at {than}"));
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_whoever_logs_in_again_is_let_in() {
    let list = List::new("revoked");
    let config = list.config(&variable("MARTELLO_TEST_REDIS"));
    let server = Server::start(config.clone()).await;
    let [one, other] = [(); 2].map(|()| server.token("client_pro"));
    for token in [&one, &other] {
        assert_eq!(present(&server, token).await.status, 200);
    }
    assert_eq!(list.martello(&["revoked"]).well(), "");
    list.martello(&["revoke", "--jti", &id_of(&one), "--until", "1h"]).well();
    becomes(&server, &one, 401).await;
    let answer = present(&server, &one).await;
    refused(&answer, "revoked");
    assert!(!answer.text().contains("revoked"), "{}", answer.text());
    assert_eq!(present(&server, &other).await.status, 200);

    list.martello(&["revoke", "--subject", "tester"]).well();
    becomes(&server, &other, 401).await;
    let again = async { while present(&server, &server.token("client_pro")).await.status != 200 {} };
    tokio::time::timeout(SOON, again).await.expect("a new login works");
    refused(&present(&server, &other).await, "issued before");

    // An entry ends when what it revokes has.
    list.martello(&["revoke", "--jti", "past", "--until", "2020-01-01T00:00:00Z"]).well();
    let shown: Value = serde_json::from_str(list.martello(&["revoked", "--json"]).well()).expect("JSON");
    let shown = shown.as_array().expect("a list");
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert_eq!((&shown[0]["subject"], &shown[1]["jti"]), (&"tester".into(), &id_of(&one).into()));
    assert!(shown[0]["issued_before"].is_string() && shown[1]["until"].is_string(), "{shown:?}");
    assert_eq!(list.martello(&["revoked"]).well().lines().count(), 2);

    // One that starts knows the list before it is asked anything.
    let later = Server::start(config).await;
    refused(&present(&later, &one).await, "revoked before the start");
    server.stop().await;
    later.stop().await;
}

#[tokio::test]
async fn what_is_revoked_stays_so_while_redis_is_away_and_after_it_has_lost_the_list() {
    const ERRORS: &str = "martello_revocation_errors_total";
    let list = List::new("away");
    let proxy = Proxy::before(&format!("{}/0", variable("MARTELLO_TEST_REDIS"))).await;
    let mut config = list.config(&proxy.url());
    config.auth.revocation_poll = Duration::from_millis(50);
    let server = Server::start(config).await;
    let [one, other] = [(); 2].map(|()| server.token("client_pro"));
    list.martello(&["revoke", "--jti", &id_of(&one)]).well();
    becomes(&server, &one, 401).await;

    proxy.cut();
    grows(&server, ERRORS, counted(&server, ERRORS).await).await;
    refused(&present(&server, &one).await, "Redis is away");
    for token in [&other, &server.token("client_basic")] {
        assert_eq!(present(&server, token).await.status, 200);
    }
    proxy.mend();
    list.martello(&["revoke", "--jti", &id_of(&other)]).well();
    becomes(&server, &other, 401).await;

    list.lose().await;
    grows(&server, ERRORS, counted(&server, ERRORS).await).await;
    list.martello(&["revoke", "--subject", "nobody"]).well();
    let third = server.token("client_pro");
    list.martello(&["revoke", "--jti", &id_of(&third)]).well();
    becomes(&server, &third, 401).await;
    for token in [&one, &other] {
        refused(&present(&server, token).await, "the list was lost");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_answer_is_not_given_again_to_whom_was_revoked() {
    let trial = Trial::new(Backend::Sqlite, "revoked_again");
    trial.make("one", "v1");
    trial.publish("one").well();
    let config = with_caches(trial.config(), "revoked-again");
    let list = List(config.redis.as_ref().expect("a Redis").prefix.clone());
    let server = Server::start(config).await;
    let token = server.token("reader");
    let made = trial.martello(&["key", "create", "--role", "reader", "--name", "one", "--subject", "acme"]);
    let key = made.well().trim();
    becomes(&server, key, 200).await;
    for (credential, revoked) in [(token.as_str(), ["--jti", &id_of(&token)]), (key, ["--subject", "acme"])] {
        let get = async || server.send(server.request(Method::GET, ROWS).bearer_auth(credential)).await.status;
        let before = counted(&server, "martello_http_replayed_total").await;
        for _ in 0..4 {
            assert_eq!(get().await, 200);
        }
        assert!(counted(&server, "martello_http_replayed_total").await > before);
        list.martello(&[&["revoke"][..], &revoked].concat()).well();
        let wait = async { while get().await != 401 {} };
        tokio::time::timeout(SOON, wait).await.expect("it is refused");
    }
    server.stop().await;
}

#[test]
fn what_is_to_be_revoked_and_where_must_be_told() {
    let ran = run(martello(&["token", "revoke", "--jti", "1"]));
    assert!(ran.complaint().contains("find redis.url in the configuration"), "{}", ran.err);
    let mut nobody = martello(&["token", "revoked"]);
    nobody.env("MARTELLO__REDIS__URL", "redis://127.0.0.1:1");
    assert!(run(nobody).complaint().contains("hear from Redis in time"));
    for arguments in [&["--jti", "1", "--subject", "x"][..], &[], &["--jti", "1", "--until", "soon"]] {
        let ran = run(martello(&[&["token", "revoke"], arguments].concat()));
        assert_eq!(ran.code, Some(2), "{}", ran.err);
    }
}

// --- API keys -----------------------------------------------------------------------------------------------------

fn listed(trial: &Trial) -> Vec<Value> {
    serde_json::from_str(trial.martello(&["key", "list", "--json"]).well()).expect("a list")
}

#[tokio::test]
async fn an_api_key_is_the_role_that_its_claims_make_until_it_is_revoked() {
    for backend in [Backend::Sqlite, Backend::Postgres] {
        let trial = Trial::new(backend, "api_keys");
        let server = Server::start(trial.config()).await;
        let create = |arguments: &[&str]| {
            let ran = trial.martello(&[&["key", "create", "--operator", "tester"], arguments].concat());
            assert!(ran.code != Some(0) || ran.err.contains("it is shown this once"), "{}", ran.err);
            ran
        };
        let made = create(&["--role", "reader", "--name", "Acme's dashboard", "--subject", "acme"]);
        let key = made.well().trim().to_owned();
        let form: Vec<&str> = key.split('_').collect();
        assert!(form.len() == 3 && form[0] == "mk" && form[1].len() == 16 && form[2].len() == 72, "{backend:?}");
        becomes(&server, &key, 200).await;
        let get = async |key: &str| server.send(server.request(Method::GET, ROWS).bearer_auth(key)).await;
        assert_eq!(get(&key).await.rows(), server.get("reader", ROWS).await.rows());
        // Its claims may be told as such.
        let publisher = create(&["--claims", "a=publisher,team=x", "--name", "batch"]);
        let publisher = publisher.well().trim().to_owned();
        becomes(&server, &publisher, 200).await;

        // Nothing but a hash is kept, and no list shows more.
        let list = listed(&trial);
        assert_eq!(list.len(), 2, "{list:?}");
        let first = list.iter().find(|listed| listed["id"] == form[1]).expect("the first");
        assert_eq!((&first["subject"], &first["operator"]), (&"acme".into(), &"tester".into()));
        assert_eq!((&first["claims"]["a"], &first["expires_at"]), (&"reader".into(), &Value::Null));
        let text = trial.martello(&["key", "list"]);
        assert!(text.well().contains("until revoked") && text.out.contains("Acme's dashboard"), "{}", text.out);
        if let Some(file) = trial.config().control.expect("a store").url.expose().strip_prefix("sqlite:") {
            for file in [file.to_owned(), format!("{file}-wal")] {
                let kept = std::fs::read(file).unwrap_or_default();
                let secret = &form[2].as_bytes()[..64];
                assert!(!kept.windows(secret.len()).any(|bytes| bytes == secret));
            }
        }

        // One that is not quite it is refused as a token is, and told the same.
        let last = if key.ends_with('0') { "1" } else { "0" };
        let slip = format!("{}{last}", &key[..key.len() - 1]);
        for other in [&slip, draw().text.expose(), &format!("mk_{}", form[1])] {
            let answer = present(&server, other).await;
            refused(&answer, "another key");
            assert_eq!(answer.header("www-authenticate"), Some(&*format!(r#"{CHALLENGE}, error="invalid_token""#)));
            assert!(!answer.text().contains(other), "{}", answer.text());
        }
        let in_url = server.send(server.request(Method::GET, &format!("/v1/datasets?api_key={key}"))).await;
        assert_eq!((in_url.status, in_url.text().contains(&key)), (400, false));
        let basic = server.request(Method::GET, "/v1/datasets").basic_auth(&key, Some(""));
        assert_eq!(server.send(basic).await.header("www-authenticate"), Some(CHALLENGE));

        assert!(trial.martello(&["key", "revoke", form[1]]).well().contains("is revoked"));
        becomes(&server, &key, 401).await;
        refused(&present(&server, &key).await, "revoked");
        assert_eq!(present(&server, &publisher).await.status, 200);
        assert!(trial.martello(&["key", "revoke", form[1]]).complaint().contains("that is not revoked"));
        assert!(listed(&trial).iter().any(|listed| listed["id"] == form[1] && listed["revoked_at"].is_string()));

        // Of one that ends it is told that it did, as of a token.
        let brief = create(&["--role", "reader", "--name", "brief", "--expires", "1s"]).well().trim().to_owned();
        let ended = async {
            while !present(&server, &brief).await.header("www-authenticate").is_some_and(|it| it.contains("expired")) {}
        };
        tokio::time::timeout(SOON, ended).await.expect("it ends");

        for (arguments, complaint) in [
            (["--role", "nobody"], "expected one of internal_publisher, reader"),
            (["--claims", "a=nobody"], "find a role for the token's claims"),
            (["--claims", "a=reader,sub=root"], "give a key the claim sub"),
        ] {
            let ran = create(&[&arguments[..], &["--name", "x"]].concat());
            assert!(ran.complaint().contains(complaint), "{}", ran.err);
        }
        assert_eq!(create(&["--name", "x"]).code, Some(2));
        server.stop().await;
    }
}

#[tokio::test]
async fn api_keys_that_are_known_stay_while_the_control_store_is_away() {
    const ERRORS: &str = "martello_api_keys_errors_total";
    let trial = Trial::new(Backend::Postgres, "keys_away");
    let made = trial.martello(&["key", "create", "--role", "reader", "--name", "one"]);
    let key = made.well().trim();
    let mut config = trial.config();
    let proxy = Proxy::before(config.control.as_ref().expect("a store").url.expose()).await;
    config.control = Some(config::Control::at(proxy.url()));
    let server = Server::start(config).await;
    assert_eq!(present(&server, key).await.status, 200, "known from the start");
    proxy.cut();
    grows(&server, ERRORS, counted(&server, ERRORS).await).await;
    assert_eq!(present(&server, key).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn without_a_control_store_no_api_key_lets_anybody_in() {
    let server = Server::over(Backend::Sqlite).await;
    refused(&present(&server, draw().text.expose()).await, "no store");
    server.stop().await;
    let ran = run(martello(&["key", "list"]));
    assert!(ran.complaint().contains("expected control.url"), "{}", ran.err);
}
