//! What callers may use up: told with every answer, kept by all instances together, and shared out where Redis is away.

use std::time::Duration;

use futures_util::future::join_all;
use martello::config::{Config, Fallback};
use martello::redis::{Draw, Redis};
use serde_json::json;

use crate::caching::{counted, statements, with_caches};
use crate::publish::{Proxy, Trial};
use crate::support::{Answer, Backend, Server, config, variable};

const ROWS: &str = "/v1/datasets/trial/rows";

/// A published dataset of three rows, of which a reader may have so much.
fn trial(name: &str, limits: &str) -> Trial {
    let trial = Trial::new(Backend::Sqlite, name);
    let file = trial.config().catalog.join("access.yaml");
    let access = std::fs::read_to_string(&file).expect("a matrix");
    let limited = access.replace("claims: {a: reader}", &format!("claims: {{a: reader}}, export: true, {limits}"));
    assert_ne!(access, limited);
    std::fs::write(file, limited).expect("written");
    trial.make("one", "v1");
    trial.publish("one").well();
    trial
}

fn alone(trial: &Trial) -> Config {
    Config { redis: None, ..with_caches(trial.config(), "") }
}

/// A server, and one token for all its requests: what is asked again is answered from memory.
struct Client {
    server: Server,
    token: String,
}

impl Client {
    async fn of(config: Config) -> Self {
        let server = Server::start(config).await;
        let token = server.token("reader");
        Self { server, token }
    }

    async fn get(&self, target: &str) -> Answer {
        self.get_with(target, &[]).await
    }

    async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let request = self.server.request(reqwest::Method::GET, target).bearer_auth(&self.token);
        self.server.send(headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))).await
    }

    /// How many requests are answered until one is refused, and that refusal.
    async fn until_refused(&self, target: &str) -> (usize, Answer) {
        for answered in 0..1000 {
            let answer = self.get(target).await;
            if answer.status != 200 {
                return (answered, answer);
            }
        }
        panic!("a thousand requests were answered");
    }
}

/// What is left of a policy, and for how many seconds.
#[track_caller]
fn left(answer: &Answer, policy: &str) -> (u64, u64) {
    let header = answer.header("ratelimit").unwrap_or_else(|| panic!("{:?}", answer.headers));
    let item = header.split(", ").find_map(|item| item.strip_prefix(&format!("\"{policy}\";r=")));
    let (remaining, seconds) = item.and_then(|item| item.split_once(";t=")).unwrap_or_else(|| panic!("{header}"));
    (remaining.parse().expect("a number"), seconds.parse().expect("a number"))
}

#[track_caller]
fn is_refused(answer: &Answer, policy: &str) {
    assert_eq!((answer.status, answer.problem().as_str()), (429, "quota-exceeded"));
    assert_eq!(answer.json()["violated-policies"], json!([policy]));
    let retry_after: u64 = answer.header("retry-after").and_then(|text| text.parse().ok()).expect("seconds");
    if policy == "concurrent" {
        assert_eq!(retry_after, 1);
    } else {
        let seconds = left(answer, policy).1;
        // A second may have passed between the two.
        assert!(retry_after == seconds || retry_after == seconds + 1, "{retry_after} {seconds}");
    }
}

#[tokio::test]
async fn every_answer_to_a_caller_says_what_is_left() {
    let trial = trial("told", "requests_per_second: 500, requests_per_day: 100000, rows_per_day: 5000");
    let client = Client::of(alone(&trial)).await;
    let first = client.get(ROWS).await;
    assert_eq!(
        first.header("ratelimit-policy"),
        Some(r#""second";q=500;w=1, "day";q=100000;w=86400, "rows";q=5000;w=86400"#)
    );
    let ((second, of_second), (day, of_day), (rows, of_rows)) =
        (left(&first, "second"), left(&first, "day"), left(&first, "rows"));
    let told = first.header("ratelimit").expect("a header");
    let expected =
        format!(r#""second";r={second};t={of_second}, "day";r={day};t={of_day}, "rows";r={rows};t={of_rows}"#);
    assert_eq!(told, expected);
    // Its second may have ended before it was told.
    assert!(second == 499 || second == 500, "{second}");
    assert_eq!((of_second, day, rows), (1, 99_999, 4997));
    let until_midnight = 86_400 - martello::clock::unix_seconds() % 86_400;
    assert!((until_midnight..until_midnight + 60).contains(&of_day) && of_day == of_rows, "{of_day}");
    // From memory, given again as a whole, and not given since it is known: each is a request.
    let etag = first.header("etag").expect("a tag").to_owned();
    let before = counted(&client.server, "martello_http_replayed_total").await;
    for (place, known) in [false, false, true, true, true].into_iter().enumerate() {
        let headers = if known { vec![("if-none-match", &*etag)] } else { vec![] };
        let answer = client.get_with(ROWS, &headers).await;
        assert_eq!(answer.status, if known { 304 } else { 200 });
        let delivered = [6, 9, 9, 9, 9][place];
        assert_eq!((left(&answer, "day").0, left(&answer, "rows").0), (99_998 - place as u64, 5000 - delivered));
        assert_eq!(answer.header("ratelimit-policy"), first.header("ratelimit-policy"));
    }
    assert!(counted(&client.server, "martello_http_replayed_total").await >= before + 2);
    // So is one that fails, and one without a body.
    let failed = client.get("/v1/datasets/nothing").await;
    assert_eq!((failed.status, left(&failed, "day").0), (404, 99_993));
    let head = client.server.request(reqwest::Method::HEAD, ROWS).bearer_auth(&client.token);
    let head = client.server.send(head).await;
    assert_eq!((left(&head, "day").0, left(&head, "rows").0), (99_992, 4991));
    // Who is not known has nothing to lose, and a role without limits nothing to be told.
    let stranger = client.server.send(client.server.request(reqwest::Method::GET, ROWS).bearer_auth("x.y.z")).await;
    let unlimited = client.server.get("internal_publisher", ROWS).await;
    for (answer, status) in [(&stranger, 401), (&unlimited, 200)] {
        assert_eq!(
            (answer.status, answer.header("ratelimit"), answer.header("ratelimit-policy")),
            (status, None, None)
        );
    }
    assert_eq!(left(&client.get("/v1/me").await, "day").0, 99_991);
    client.server.stop().await;
}

#[tokio::test]
async fn one_request_too_many_is_refused_and_counts_nothing() {
    let trial = trial("refused", "requests_per_second: 10, requests_per_day: 40");
    let client = Client::of(alone(&trial)).await;
    // Faster than a second can pass; the day goes on.
    let (answered, refusal) = client.until_refused(ROWS).await;
    is_refused(&refusal, "second");
    assert!(answered >= 10, "{answered}");
    let mut days = answered as u64;
    let refused = counted(&client.server, "martello_limit_refused_total").await;
    let day = loop {
        let answer = client.get(ROWS).await;
        match answer.status {
            200 => days += 1,
            _ if answer.json()["violated-policies"] == json!(["second"]) => {
                assert_eq!(left(&answer, "day").0, 40 - days);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            _ => break answer,
        }
    };
    assert_eq!(days, 40);
    assert!(counted(&client.server, "martello_limit_refused_total").await > refused);
    let violated = day.json()["violated-policies"].clone();
    assert!(violated == json!(["day"]) || violated == json!(["second", "day"]), "{violated}");
    assert_eq!(left(&day, "day").0, 0);
    // Another question, another route, and what is known already: all are requests. Others are not concerned.
    for target in ["/v1/datasets", "/v1/usage", &format!("{ROWS}?limit=1")] {
        assert_eq!(client.get(target).await.status, 429, "{target}");
    }
    assert_eq!(client.get_with(ROWS, &[("if-none-match", "*")]).await.status, 429);
    assert_eq!(client.server.get("internal_publisher", ROWS).await.status, 200);
    assert_eq!(client.server.admin("/readyz").await.status, 200);
    client.server.stop().await;
}

#[tokio::test]
async fn an_answer_whose_rows_are_too_many_is_not_delivered() {
    let trial = trial("rows", "rows_per_day: 10");
    let client = Client::of(alone(&trial)).await;
    let etag = client.get(ROWS).await.header("etag").expect("a tag").to_owned();
    for _ in 0..2 {
        assert_eq!(client.get(ROWS).await.rows().len(), 3);
    }
    let refusal = client.get(ROWS).await;
    is_refused(&refusal, "rows");
    assert_eq!((left(&refusal, "rows").0, refusal.header("etag")), (1, None));
    assert_eq!(client.get(&format!("{ROWS}?limit=1")).await.rows().len(), 1);
    // Now that none is left, no source is asked; what delivers no row goes on.
    let before = statements(&client.server).await;
    for target in [&format!("{ROWS}?limit=2"), ROWS, &format!("{ROWS}?limit=all&format=csv")] {
        is_refused(&client.get(target).await, "rows");
    }
    assert_eq!(statements(&client.server).await, before);
    for _ in 0..3 {
        assert_eq!(client.get_with(ROWS, &[("if-none-match", &*etag)]).await.status, 304);
    }
    assert_eq!(client.get(&format!("{ROWS}?dry_run=true")).await.status, 200);
    let usage = client.get("/v1/usage").await.json()["data"].clone();
    assert_eq!((&usage["rows_today"], &usage["policies"][0]["remaining"]), (&json!(10), &json!(0)));
    client.server.stop().await;
}

#[tokio::test]
async fn rows_of_a_stream_are_counted_as_they_go() {
    let trial = trial("streamed", "rows_per_day: 4");
    let client = Client::of(alone(&trial)).await;
    let all = format!("{ROWS}?limit=all&format=csv");
    assert_eq!(left(&client.get(&all).await, "rows").0, 4);
    assert_eq!(left(&client.get("/v1/me").await, "rows").0, 1);
    // One row is left, so that a stream may begin; the next one may not.
    assert_eq!(client.get(&all).await.text().lines().count(), 4);
    is_refused(&client.get(&all).await, "rows");
    client.server.stop().await;
}

/// A file is what `limit=all` would stream: its rows count when the link to it is signed. Those of an export have counted
/// when it was made.
#[tokio::test]
async fn a_link_to_rows_counts_as_these_rows() {
    let trial = trial("linked", "rows_per_day: 10");
    trial.martello(&["export", "trial", "--format", "csv", "--role", "reader", "--operator", "tester"]).well();
    let folder = tempfile::tempdir().expect("a folder");
    let paper = folder.path().join("paper.pdf");
    std::fs::write(&paper, "no paper at all").expect("written");
    let paper = paper.display().to_string();
    trial.martello(&["asset", "put", &paper, "--dataset", "trial", "--media-type", "application/pdf"]).well();
    let mut config = alone(&trial);
    config.assets = crate::assets::config(&trial).assets;
    config.assets.exports.poll = Duration::from_millis(50);
    let client = Client::of(config).await;
    let told = async |href: &str| client.get_with(href, &[("accept", "application/json")]).await;
    let ask = async |sort: &str| {
        let body = json!({"dataset": "trial", "format": "csv", "sort": [sort]});
        let request = client.server.request(reqwest::Method::POST, "/v1/exports").bearer_auth(&client.token);
        client.server.send(request.json(&body)).await
    };

    let target = ask("-id").await.header("location").expect("an export").to_owned();
    let made = async {
        // It is done a moment before it has counted.
        while left(&client.get(&target).await, "rows").0 == 10 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), made).await.expect("an export that counts");
    let export = client.get(&target).await.json()["data"]["files"][0]["href"].as_str().expect("a path").to_owned();
    assert_eq!(left(&told(&export).await, "rows").0, 7);

    let files = client.get("/v1/assets").await.rows();
    let href = |kind: &str| {
        let file = files.iter().find(|file| file["kind"] == kind).unwrap_or_else(|| panic!("{files:?}"));
        file["href"].as_str().expect("a path").to_owned()
    };
    let (snapshot, document) = (href("snapshot"), href("document"));
    for expected in [4, 1, 0] {
        let file = told(&snapshot).await;
        assert_eq!((file.status, left(&file, "rows").0), (200, expected));
        // What is behind the link asks for nobody's name, and counts for nobody.
        let link = file.json()["data"]["url"].as_str().expect("a link").to_owned();
        assert_eq!(client.server.send(client.server.request(reqwest::Method::GET, &link)).await.status, 200);
        let set = client.get(snapshot.rsplit_once('.').expect("a set").0).await;
        assert_eq!((set.status, left(&set, "rows").0), (200, expected));
    }
    is_refused(&told(&snapshot).await, "rows");
    is_refused(&ask("id").await, "rows");
    for href in [&export, &document] {
        assert_eq!(told(href).await.status, 200, "{href}");
    }
    client.server.stop().await;
}

#[tokio::test]
async fn requests_at_once_are_held_until_their_answers_have_gone_out() {
    let trial = trial("at_once", "concurrent_requests: 1");
    let client = Client::of(alone(&trial)).await;
    let listening = client.server.request(reqwest::Method::GET, "/v1/events").bearer_auth(&client.token);
    let listening = listening.send().await.expect("a stream");
    assert_eq!(listening.status(), 200);
    for _ in 0..3 {
        is_refused(&client.get(ROWS).await, "concurrent");
    }
    drop(listening);
    let until = martello::clock::instant() + Duration::from_secs(10);
    while client.get(ROWS).await.status != 200 {
        assert!(martello::clock::instant() < until, "a permit was not given back");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // One after the other each finds its place, from memory as well.
    for _ in 0..20 {
        assert_eq!(client.get(ROWS).await.status, 200);
    }
    client.server.stop().await;
}

/// Two instances that share a Redis, asked by many at once until neither answers any more.
async fn storm(name: &str, limits: &str, asked: usize) -> usize {
    let trial = trial(name, limits);
    let mut config = with_caches(trial.config(), name);
    // What is tested is the counting, on however busy a machine: a Redis that is late is one that is away.
    config.redis.as_mut().expect("a Redis").timeout = Duration::from_secs(10);
    let clients = [Client::of(config.clone()).await, Client::of(config).await];
    let asking = (0..asked).map(|place| {
        let client = &clients[place % 2];
        async move {
            tokio::time::sleep(Duration::from_millis(place as u64 / 2)).await;
            let answer = client.get(ROWS).await;
            assert!(matches!(answer.status, 200 | 429), "{}", answer.text());
            answer.status == 200
        }
    });
    let answered = join_all(asking).await.into_iter().filter(|answered| *answered).count();
    for client in clients {
        client.server.stop().await;
    }
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_never_give_more_than_there_is_and_hold_little_back() {
    let requests = storm("storm_day", "requests_per_day: 400", 1000).await;
    assert!((360..=400).contains(&requests), "{requests}");
    // Three rows each.
    let answers = storm("storm_rows", "rows_per_day: 600", 500).await;
    assert!((180..=200).contains(&answers), "{answers}");
    let begun = martello::clock::instant();
    let requests = storm("storm_second", "requests_per_second: 20", 600).await;
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("seconds") + 2;
    assert!((18..=20 * seconds).contains(&requests) && requests < 600, "{requests} in {seconds}");
}

#[tokio::test]
async fn an_instance_that_goes_leaves_what_it_did_not_use() {
    let trial = trial("leaves", "requests_per_day: 100");
    let config = with_caches(trial.config(), "leaves");
    let first = Client::of(config.clone()).await;
    assert_eq!(first.get(ROWS).await.status, 200);
    let second = Client::of(config).await;
    // What the first was lent is gone as long as it holds it.
    let usage = second.get("/v1/usage").await.json()["data"]["policies"][0].clone();
    assert!(usage["remaining"].as_u64().expect("a number") < 98, "{usage}");
    first.server.stop().await;
    let (answered, refusal) = second.until_refused(ROWS).await;
    assert_eq!(answered, 98);
    is_refused(&refusal, "day");
    second.server.stop().await;
}

/// The configuration of an instance whose Redis can be cut off.
async fn behind_a_wire(trial: &Trial, name: &str) -> (Config, Proxy) {
    let proxy = Proxy::before(&format!("{}/0", variable("MARTELLO_TEST_REDIS"))).await;
    let mut config = with_caches(trial.config(), name);
    config.redis.as_mut().expect("a Redis").url = martello::config::Secret::from(proxy.url());
    (config, proxy)
}

#[tokio::test]
async fn without_redis_each_instance_gives_its_share_and_tells_it_afterwards() {
    let trial = trial("share", "requests_per_day: 100");
    let (config, proxy) = behind_a_wire(&trial, "share").await;
    let direct = with_caches(trial.config(), "share");
    // Another instance is there already.
    let redis = Redis::open(direct.redis.as_ref().expect("a Redis")).expect("a Redis");
    assert!(redis.beat("limit-instances", "another", 6000).await.is_some());
    let client = Client::of(config).await;
    let until = martello::clock::instant() + Duration::from_secs(5);
    while counted(&client.server, "martello_limit_instances").await != 2 {
        assert!(martello::clock::instant() < until, "the instances do not know of each other");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..5 {
        assert_eq!(client.get(ROWS).await.status, 200);
    }
    proxy.cut();
    let (answered, refusal) = client.until_refused(ROWS).await;
    assert_eq!(answered, 45);
    is_refused(&refusal, "day");
    assert!(counted(&client.server, "martello_limit_leases_total").await > 1);
    // When Redis is back it hears of all fifty, and lends no more than the others.
    proxy.mend();
    let until = martello::clock::instant() + Duration::from_secs(10);
    while client.get(ROWS).await.status != 200 {
        assert!(martello::clock::instant() < until, "Redis is not found again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (answered, refusal) = client.until_refused(ROWS).await;
    assert_eq!(answered, 49);
    is_refused(&refusal, "day");
    let late = Client::of(direct).await;
    is_refused(&late.get(ROWS).await, "day");
    for client in [client, late] {
        client.server.stop().await;
    }
}

#[tokio::test]
async fn a_redis_that_was_never_there_is_done_without_as_configured() {
    let trial = trial("never", "requests_per_day: 100");
    let (mut config, proxy) = behind_a_wire(&trial, "never").await;
    proxy.cut();
    config.limits.instances = 4;
    let client = Client::of(config.clone()).await;
    assert_eq!(client.until_refused(ROWS).await.0, 25);
    client.server.stop().await;
    config.limits.fallback = Fallback::Deny;
    let client = Client::of(config).await;
    let answer = client.get(ROWS).await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "temporary-reduced-capacity"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    // Whom nothing bounds, nothing stops.
    assert_eq!(client.server.get("internal_publisher", ROWS).await.status, 200);
    client.server.stop().await;
}

#[tokio::test]
async fn a_redis_that_has_forgotten_hears_again_what_each_instance_holds() {
    let url = variable("MARTELLO_TEST_REDIS");
    let mut config = martello::config::Redis::at(url.clone());
    config.prefix = format!("forgotten-{}", std::process::id());
    let redis = Redis::open(&config).expect("a Redis");
    let day = martello::clock::unix_seconds() / 86_400;
    let mut sequence = 0;
    let mut draw = async |instance: &str, want: u64, held: u64, behind: u64| {
        sequence += 10;
        let draw = Draw { name: "day", length: 86_400_000, limit: 100, want, window: day, held };
        let (_, drawn) = redis.draw("key", instance, sequence - behind, &[draw]).await.expect("an answer");
        (drawn[0].granted, drawn[0].own, drawn[0].others)
    };
    assert_eq!(draw("a", 60, 0, 0).await, (60, 60, 0));
    assert_eq!(draw("b", 60, 0, 0).await, (40, 40, 60));
    assert_eq!(draw("a", 60, 60, 0).await, (0, 60, 40));
    let address = url.strip_prefix("redis://").expect("a URL");
    let mut wire = std::net::TcpStream::connect(address).expect("a connection");
    let forget = format!("DEL {}:{{key}}:day\r\n", config.prefix);
    std::io::Write::write_all(&mut wire, forget.as_bytes()).expect("sent");
    let mut reply = [0; 4];
    std::io::Read::read_exact(&mut wire, &mut reply).expect("a reply");
    assert_eq!(&reply, b":1\r\n");
    assert_eq!(draw("a", 0, 60, 0).await, (0, 60, 0));
    assert_eq!(draw("b", 0, 40, 0).await, (0, 40, 60));
    assert_eq!(draw("a", 1, 60, 0).await, (0, 60, 40));
    // What is not used is given back; a request that was overtaken on the way is void.
    assert_eq!(draw("a", 0, 10, 0).await, (0, 10, 40));
    assert_eq!(draw("a", 50, 10, 15).await, (0, 10, 40));
    assert_eq!(draw("b", 60, 40, 0).await, (50, 90, 10));
}

#[tokio::test]
async fn a_caller_is_told_who_they_are_and_what_they_have_used() {
    let trial =
        trial("me", "requests_per_second: 100, requests_per_day: 1000, rows_per_day: 500, concurrent_requests: 9");
    let client = Client::of(alone(&trial)).await;
    let me = client.get("/v1/me").await;
    assert_eq!((me.status, me.header("cache-control")), (200, Some("private, no-store")));
    let mut data = me.json()["data"].clone();
    let decision = data["datasets"][0]["decision"].take();
    assert!(decision.as_str().is_some_and(|text| text.len() == 16), "{decision}");
    let columns = ["id", "day", "price", "origin"].map(|name| json!({"name": name, "mask": null}));
    assert_eq!(
        data,
        json!({
            "subject": "tester",
            "role": "reader",
            "tier": "client",
            "description": "",
            "graphql": false,
            "limits": {
                "requests_per_second": 100,
                "requests_per_day": 1000,
                "rows_per_day": 500,
                "export_bytes_per_day": null,
                "concurrent_requests": 9,
                "graphql_cost": null,
            },
            "datasets": [{
                "name": "trial",
                "columns": columns,
                "history": null,
                "delay": null,
                "revision": null,
                "formats": ["json", "ndjson", "csv", "arrow", "parquet"],
                "rows_per_request": 1000,
                "aggregate": true,
                "export": true,
                "decision": null,
            }],
        })
    );
    client.get(ROWS).await;
    let usage = client.get("/v1/usage").await;
    assert_eq!((usage.status, usage.header("cache-control")), (200, Some("private, no-store")));
    let data = usage.json()["data"].clone();
    assert_eq!(data["rows_today"], 3);
    let day = data["policies"][1].clone();
    let midnight = martello::clock::unix_seconds() / 86_400 * 86_400 + 86_400;
    let midnight = jiff::Timestamp::from_second(i64::try_from(midnight).expect("seconds")).expect("a time").to_string();
    assert_eq!(
        day,
        json!({
            "policy": "day",
            "quota": 1000,
            "used": 3,
            "remaining": 997,
            "window_seconds": 86_400,
            "resets_at": midnight,
        })
    );
    let of = |place: usize| data["policies"][place]["policy"].clone();
    assert_eq!((of(0), of(2), data["policies"].as_array().map(Vec::len)), (json!("second"), json!("rows"), Some(3)));
    // Whom nothing bounds has nothing to watch.
    let unlimited = client.server.get("internal_publisher", "/v1/usage").await.json();
    assert_eq!(unlimited, json!({"data": {"policies": [], "rows_today": null}}));
    client.server.stop().await;
}

#[tokio::test]
async fn a_role_of_the_house_s_own_catalog_is_told_its_datasets() {
    let server = Server::start(config(Backend::Sqlite)).await;
    let me = server.get("client_basic", "/v1/me").await.json()["data"].clone();
    let datasets = me["datasets"].as_array().expect("datasets").iter();
    let names: Vec<&str> = datasets.map(|dataset| dataset["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["company_profile", "news", "price_daily"]);
    assert_eq!(server.send(server.request(reqwest::Method::GET, "/v1/me")).await.status, 401);
    server.stop().await;
}
