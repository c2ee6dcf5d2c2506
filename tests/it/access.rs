//! The access matrix from outside: what its commands tell, how it changes under a running server, and what of it stands in
//! answers.

use std::path::Path;
use std::time::Duration;

use martello::app::House;
use martello::auth::{Claims, Principal};
use martello::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::programs::{Ran, martello, run};
use crate::support::{Backend, Server, config, repository};

/// A copy of the repository's catalog, with a matrix that may be written anew.
struct Catalog(tempfile::TempDir);

impl Catalog {
    fn with(access: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let contracts = folder.path().join("datasets");
        std::fs::create_dir(&contracts).expect("a folder");
        for file in std::fs::read_dir(repository().join("catalog/datasets")).expect("contracts") {
            let file = file.expect("a contract");
            std::fs::copy(file.path(), contracts.join(file.file_name())).expect("copied");
        }
        let catalog = Self(folder);
        catalog.write(access);
        catalog
    }

    fn write(&self, access: &str) {
        std::fs::write(self.0.path().join("access.yaml"), access).expect("written");
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn config(&self) -> Config {
        let mut config = Config { catalog: self.path().to_owned(), ..config(Backend::Sqlite) };
        config.access.watch = Duration::from_millis(50);
        config
    }

    fn martello(&self, arguments: &[&str]) -> Ran {
        let mut command = martello(arguments);
        command.env("MARTELLO__CATALOG", self.path());
        run(command)
    }
}

const OPEN: &str = "
roles:
  - name: visitor
    tier: client
    anonymous: true
    datasets: {price_daily: {columns: [symbol, date, close]}}
  - name: analyst
    tier: client
    claims: {plan: [basic, trial]}
    unless: {groups: former}
    aggregate: true
    datasets:
      price_daily: {columns: all, mask: {source: hash}, rows: {symbol: {in: $claims.symbols}}, history: 20y}
      company_profile: {columns: {all_but: [cik]}, mask: {website: redact, headquarters: {last: 3}}}
  - name: security_officer
    tier: internal
    claims: {tier: internal}
    datasets: {price_daily: {columns: all}}
";

fn claims(pairs: &Value) -> Claims {
    pairs.as_object().expect("an object").clone()
}

#[test]
fn the_whole_matrix_is_printed_for_terminals_pages_and_programs() {
    let catalog = Catalog::with(OPEN);
    let all = |format: &str| catalog.martello(&["access", "matrix", "--format", format]).well().to_owned();
    let settings = {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(repository().join("tests/permissions"));
        settings.set_prepend_module_to_snapshot(false);
        settings
    };
    settings.bind(|| {
        insta::assert_snapshot!("matrix_table", all("table"));
        insta::assert_snapshot!("matrix_markdown", all("markdown"));
    });
    let sheet: Value = serde_json::from_str(&all("json")).expect("JSON");
    assert_eq!(sheet["roles"][1]["datasets"]["price_daily"]["rows"], "symbol in $claims.symbols");
    assert_eq!(sheet["roles"][0]["datasets"]["news"], Value::Null);
    let page = all("html");
    assert!(page.starts_with("<!doctype html>") && page.contains("does not exist for this role"), "{page}");
    assert!(!page.contains("http"), "a page that needs nothing besides");
    let one = catalog.martello(&["access", "matrix", "--role", "visitor"]);
    assert!(one.well().contains("visitor") && !one.well().contains("analyst"));
    let none = catalog.martello(&["access", "matrix", "--role", "visitors"]);
    assert!(none.complaint().contains("expected one of visitor, analyst, security_officer"), "{}", none.err);
}

#[test]
fn an_explanation_names_the_lines_that_say_so() {
    let catalog = Catalog::with(OPEN);
    let line = |text: &str| 1 + OPEN.lines().position(|line| line.contains(text)).expect("a line");
    let explained = |arguments: &[&str]| {
        let ran = catalog.martello(&[&["access", "explain", "--json"], arguments].concat());
        serde_json::from_str::<Value>(ran.well()).expect("JSON")
    };
    let told = explained(&["--role", "analyst", "--dataset", "company_profile"]);
    let of = |name: &str| {
        let columns = told["datasets"][0]["columns"].as_array().expect("columns");
        let column = columns.iter().find(|column| column["name"] == name).expect("a column");
        (column["is"].as_str().expect("a word").to_owned(), column["line"].as_u64())
    };
    let here = Some(line("company_profile") as u64);
    assert_eq!(of("symbol"), ("shown".to_owned(), here));
    assert_eq!(of("website"), ("redact".to_owned(), here));
    assert_eq!(of("headquarters"), ("last: 3".to_owned(), here));
    assert_eq!(of("cik"), ("hidden".to_owned(), None));
    // Without the claim no row exists, and the explanation says so.
    let lacking = explained(&["--role", "analyst", "--dataset", "price_daily"]);
    assert_eq!(lacking["datasets"][0]["no_row_exists"], true);
    let having = explained(&["--role", "analyst", "--dataset", "price_daily", "--claim", "symbols=[\"AAPL\"]"]);
    assert_eq!(having["datasets"][0]["no_row_exists"], false);
    assert_ne!(lacking["datasets"][0]["decision"], having["datasets"][0]["decision"]);
    let words = catalog.martello(&["access", "explain", "--role", "analyst", "--dataset", "news"]);
    assert!(words.well().contains("news: not granted, as if it did not exist"), "{}", words.out);
    let nobody = catalog.martello(&["access", "explain", "--token", "a.b.c"]);
    assert!(nobody.complaint().contains("read the token"), "{}", nobody.err);
}

#[test]
fn a_difference_says_what_opens_and_what_closes() {
    let catalog = Catalog::with(OPEN);
    let before = catalog.path().join("before.yaml");
    std::fs::write(&before, OPEN).expect("written");
    let diff = |after: &str| {
        catalog.write(after);
        catalog.martello(&["access", "diff", before.to_str().expect("a path")])
    };
    let same = diff(OPEN);
    assert_eq!((same.code, same.out.as_str()), (Some(0), "nobody sees more or less\n"), "{}", same.err);
    let after = OPEN
        .replace("[symbol, date, close]", "[symbol, date, close, volume]")
        .replace("website: redact", "cik: redact")
        .replace("{all_but: [cik]}", "all")
        .replace("history: 20y", "history: 10y")
        .replace("    aggregate: true\n", "");
    let changed = diff(&after);
    assert_eq!(changed.code, Some(2), "{}", changed.err);
    assert_eq!(
        changed.out.lines().collect::<Vec<_>>(),
        [
            "opens    visitor × price_daily × volume: nothing → shown",
            "opens    analyst × company_profile × cik: nothing → redact",
            "opens    analyst × company_profile × website: redact → shown",
            "closes   analyst × company_profile × aggregate: yes → nothing",
            "changes  analyst × price_daily × history: 20y → 10y",
            "closes   analyst × price_daily × aggregate: yes → nothing",
        ]
    );
    let broken = diff(&OPEN.replace("columns: all,", "columns: al,"));
    assert_eq!(broken.code, Some(1), "{}", broken.err);
}

#[test]
fn expectations_are_held_against_the_matrix() {
    let catalog = Catalog::with(OPEN);
    let test = |text: &str| {
        std::fs::write(catalog.path().join("access_tests.yaml"), text).expect("written");
        catalog.martello(&["access", "test"])
    };
    let held = test(
        "tests:\n  - {name: a, claims: {plan: trial}, is: analyst, dataset: price_daily, masked: {source: hash}, \
         history: 20y, rows: symbol in $claims.symbols}\n  - {name: b, claims: {plan: trial, groups: [former]}, is: nobody}\n  \
         - {name: c, role: visitor, dataset: news, granted: false}\n",
    );
    assert_eq!((held.code, held.out.as_str()), (Some(0), "3 of 3 expectations hold\n"), "{}", held.err);
    let failed = test(
        "tests:\n  - {name: a, role: visitor, dataset: price_daily, hidden: [close], export: true}\n  \
         - {name: b, role: visitor, dataset: news, shown: [headline]}\n  - {name: c, claims: {plan: pro}, is: analyst}\n",
    );
    assert_eq!(failed.code, Some(1));
    for told in [
        ":2: a: close: expected hidden, found shown",
        ":2: a: export: expected true, found false",
        ":3: b: news is not granted at all",
        ":4: c: expected analyst, found nobody",
        "0 of 3 expectations hold",
    ] {
        assert!(failed.out.contains(told), "{told}\n{}", failed.out);
    }
    for (text, told) in [
        ("tests: [{name: a}]", "expected either role or claims"),
        ("tests: [{name: a, role: nobody}]", "there is no role \"nobody\""),
        ("tests: [{name: a, role: visitor, dataset: price}]", "there is no dataset \"price\""),
        ("tests: [{name: a, role: visitor, dataset: news, shown: [head]}]", "news has no column \"head\""),
        ("tests: [{name: a, roles: visitor}]", "unknown field"),
    ] {
        let broken = test(text);
        assert!(broken.complaint().contains(told), "{told}\n{}", broken.err);
    }
    // The repository's own.
    let mut command = martello(&["access", "test"]);
    command.env("MARTELLO__CATALOG", repository().join("catalog"));
    let own = run(command);
    assert!(own.well().ends_with("expectations hold\n"), "{}", own.out);
}

#[test]
fn a_fault_of_the_matrix_names_line_and_what_was_expected() {
    let cases = [
        ("claims: {plan: [basic, trial]}", "", "name", "expected claims: without them nobody has the role"),
        ("anonymous: true", "anonymous: true\n    claims: {a: b}", "claims", "it has no claims"),
        ("tier: internal\n", "tier: internal\n    anonymous: true\n", "name", "a second anonymous role"),
        ("history: 20y", "history: 20 years", "price_daily", "expected years, months or days, such as 2y, 18mo or 90d"),
        ("history: 20y", "delay: 10s", "price_daily", "expected minutes, hours or days, such as 15m, 2h or 1d"),
        ("history: 20y", "revision: newest", "price_daily", "expected first or latest"),
        (
            "website: redact",
            "website: {round: 2}",
            "company_profile",
            "round: 2 does not go with website, which is string",
        ),
        ("website: redact", "symbol: redact", "company_profile", "symbol must be granted unmasked"),
        ("website: redact", "cik: redact", "company_profile", "cik is not granted: there is nothing to mask"),
        ("website: redact", "site: redact", "company_profile", "company_profile has no column \"site\""),
        ("website: redact", "website: blur", "company_profile", "expected redact, hash, {round: DIGITS}"),
        ("[symbol, date, close]", "[symbol, close]", "datasets", "date must be granted"),
        (
            "{symbol: {in: $claims.symbols}}",
            "{symbol: {like: A}}",
            "price_daily",
            "symbol cannot be compared by \"like\"",
        ),
        ("{symbol: {in: $claims.symbols}}", "{close: {gt: much}}", "price_daily", "close: expected a decimal"),
        ("{symbol: {in: $claims.symbols}}", "{ticker: A}", "price_daily", "price_daily has no column \"ticker\""),
        (
            "company_profile: {columns: {all_but: [cik]}",
            "fundamental: {history: 2y, columns: all, delay: 1x",
            "fundamental",
            "expected minutes",
        ),
        (
            "company_profile: {columns: {all_but: [cik]}",
            "company_profile: {history: 2y, columns: {all_but: [cik]}",
            "company_profile",
            "has no time",
        ),
        ("tier: internal\n", "tier: internal\n    extends: [basic]\n", "extends", "no template \"basic\""),
        ("tier: internal\n", "tier: internal\n    extends: [security_officer]\n", "extends", "extends itself"),
        ("tier: internal\n", "tier: internal\n    requests_per_day: 0\n", "requests_per_day", "expected at least 1"),
        ("roles:\n", "templates: [{name: base, tier: client}]\nroles:\n", "templates", "a template has no tier"),
        ("tier: internal\n", "tier: internal\n    deny: {prices: all}\n", "deny", "no dataset \"prices\""),
        (
            "{price_daily: {columns: all}}",
            "{price_daily: {columns: all, export: true}}",
            "datasets",
            "more than the role's own: it may not export",
        ),
    ];
    let mut failures = Vec::new();
    for (from, to, key, expected) in cases {
        assert!(OPEN.contains(from), "{from}");
        let catalog = Catalog::with(&OPEN.replacen(from, to, 1));
        let ran = catalog.martello(&["catalog", "check"]);
        let complaint = ran.complaint();
        let fault = complaint.lines().find(|line| line.contains(expected) && line.contains("access.yaml:"));
        if !fault.is_some_and(|fault| fault.contains(&format!(": {key}: "))) {
            failures.push(format!("{to}, of {key}: {expected}\n{complaint}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[tokio::test]
async fn a_new_matrix_holds_at_once_and_a_broken_one_changes_nothing() {
    let catalog = Catalog::with(OPEN);
    let server = Server::start(catalog.config()).await;
    let target = "/v1/datasets/price_daily/rows?symbol=AAPL&limit=1";
    let anonymous = async || server.send(server.request(Method::GET, target)).await;
    let columns = async || {
        let rows = anonymous().await.rows();
        rows[0].as_object().expect("a row").keys().cloned().collect::<Vec<_>>().join(" ")
    };
    let until = async |expected: &str| {
        for _ in 0..200 {
            if columns().await == expected {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{} is not {expected}", columns().await);
    };
    assert_eq!(columns().await, "symbol date close");
    catalog.write(&OPEN.replace("[symbol, date, close]", "[symbol, date, volume]"));
    until("symbol date volume").await;
    // A broken one is refused, told and metered, and nobody sees more or less.
    catalog.write("roles: [{name: visitor, tier: client, anonymous: true, datasets: {price_daily: {columns: all}, gone: {columns: all}}}]");
    let officer = server.token("security_officer");
    let reload = async |token: &str| {
        let client = reqwest::Client::new();
        let answer = client.post(format!("{}/v1/access/reload", server.admin)).bearer_auth(token);
        let answer = answer.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.expect("JSON"))
    };
    let (status, refused) = reload(&officer).await;
    assert_eq!((status, refused["type"].as_str()), (422, Some("/problems/matrix-refused")), "{refused}");
    assert!(
        refused["detail"].as_str().is_some_and(|detail| detail.contains("access.yaml:1: ") && detail.contains("gone"))
    );
    assert_eq!(columns().await, "symbol date volume");
    assert!(server.admin("/metrics").await.text().contains("martello_access_refused 1"));
    let analyst = server.token("analyst");
    let (status, problem) = reload(&analyst).await;
    assert_eq!((status, problem["type"].as_str()), (403, Some("/problems/not-an-officer")));
    catalog.write(OPEN);
    until("symbol date close").await;
    let (status, unchanged) = reload(&officer).await;
    assert_eq!((status, &unchanged["data"]["changed"]), (200, &json!(false)));
    assert!(server.admin("/metrics").await.text().contains("martello_access_refused 0"));
    // Whoever was let in by a claim that makes no role any more is let in no more.
    assert_eq!(server.send(server.request(Method::GET, target).bearer_auth(&analyst)).await.status, 200);
    catalog.write(&OPEN.replace("[basic, trial]", "[gold]"));
    // Whoever looked first, the file or the officer: it holds now.
    assert_eq!(reload(&officer).await.0, 200);
    let gone = server.send(server.request(Method::GET, target).bearer_auth(&analyst)).await;
    assert_eq!((gone.status, gone.problem().as_str()), (403, "no-role"));
    server.stop().await;
}

/// A daemon that is told by the signal that daemons are told by, and an event of what has changed.
#[tokio::test]
async fn a_hangup_takes_the_new_matrix_and_the_audit_knows() {
    let catalog = Catalog::with(OPEN);
    let events = catalog.path().join("audit.jsonl");
    let mut command = martello(&["serve"]);
    command
        .env("MARTELLO__CATALOG", catalog.path())
        .env("MARTELLO__SOURCES__MARTS__URL", Backend::Sqlite.url())
        .env("MARTELLO__AUTH__HS256", crate::support::SECRET)
        .env("MARTELLO__ACCESS__MASK_KEY", crate::support::SECRET)
        // The file alone would be looked at in an hour.
        .env("MARTELLO__ACCESS__WATCH", "1h")
        .env("MARTELLO__AUDIT__PATH", &events)
        .env("MARTELLO__AUDIT__TO", "file")
        .env("MARTELLO__HTTP__LISTEN", "127.0.0.1:0")
        .env("MARTELLO__ADMIN__LISTEN", "127.0.0.1:0")
        .env("MARTELLO__LOG__FORMAT", "json")
        .stderr(std::process::Stdio::piped());
    let mut child = command.spawn().expect("a server");
    let log = std::io::BufReader::new(child.stderr.take().expect("a log"));
    let mut lines = std::io::BufRead::lines(log).map_while(Result::ok);
    let serving = lines.find(|line| line.contains("\"serving\"")).expect("a server that serves");
    catalog.write(&OPEN.replace("history: 20y", "history: 19y"));
    let hang_up = |child: &std::process::Child| {
        let told = std::process::Command::new("kill").args(["-HUP", &child.id().to_string()]).status();
        assert!(told.expect("kill").success());
    };
    hang_up(&child);
    let changed = lines.find(|line| line.contains("the access matrix has changed"));
    assert!(changed.is_some(), "{serving}");
    catalog.write("roles: []\nrolls: []\n");
    hang_up(&child);
    assert!(lines.any(|line| line.contains("the access matrix is refused")));
    let ended = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(ended.expect("kill").success());
    assert!(child.wait().expect("an end").success());
    let text = std::fs::read_to_string(&events).expect("events");
    let told: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), 1, "{text}");
    assert_eq!((&told[0]["kind"], &told[0]["what"]), (&json!("policy_change"), &json!("matrix")));
    assert_ne!(told[0]["before"], told[0]["now"]);
}

/// What is denied anywhere is gone, whatever grants it and from wherever it is extended.
#[test]
fn a_denial_wins_over_every_grant() {
    let with = |role: &str| {
        let catalog = Catalog::with(&format!(
            "templates:\n  - name: wide\n    datasets: {{price_daily: {{columns: all}}, news: {{columns: all}}}}\n  \
             - name: closed\n    deny: {{price_daily: [source, adj_close], news: all}}\nroles:\n  \
             - {{name: one, tier: client, claims: {{a: b}}, {role}}}\n"
        ));
        let told = catalog.martello(&["access", "matrix", "--format", "json"]);
        let sheet: Value = serde_json::from_str(told.well()).expect("JSON");
        let datasets = &sheet["roles"][0]["datasets"];
        let columns = datasets["price_daily"]["columns"].as_array().expect("columns");
        let hidden = columns.iter().filter(|column| column[1] == "hidden").map(|column| column[0].clone());
        (hidden.collect::<Vec<_>>(), datasets["news"].is_null())
    };
    let closed = (vec![json!("adj_close"), json!("source")], true);
    assert_eq!(with("extends: [wide]"), (vec![], false));
    assert_eq!(with("extends: [wide, closed]"), closed);
    assert_eq!(with("extends: [closed, wide]"), closed);
    assert_eq!(with("extends: [closed], datasets: {price_daily: {columns: all}, news: {columns: all}}"), closed);
    assert_eq!(with("extends: [wide], deny: {price_daily: [source, adj_close], news: all}"), closed);
}

#[tokio::test]
async fn whoever_brings_no_credential_has_the_anonymous_role_and_any_cache_may_keep_it() {
    let catalog = Catalog::with(OPEN);
    let server = Server::start(catalog.config()).await;
    let target = "/v1/datasets/price_daily/rows?symbol=AAPL&limit=2";
    let anonymous = server.send(server.request(Method::GET, target)).await;
    assert_eq!(anonymous.rows().len(), 2);
    assert!(anonymous.header("cache-control").is_some_and(|control| control.starts_with("public, max-age=")));
    assert!(anonymous.header("vary").is_some_and(|vary| vary.starts_with("Authorization")));
    let known = server.get("security_officer", target).await;
    assert!(known.header("cache-control").is_some_and(|control| control.starts_with("private, max-age=")));
    // A credential that is not believed is not forgotten: it is refused, and does not fall back.
    for header in ["Bearer a.b.c", "Basic YTpi", "Bearer"] {
        let refused = server.send(server.request(Method::GET, target).header("authorization", header)).await;
        assert!(matches!(refused.status, 400 | 401), "{header}: {}", refused.status);
    }
    let news = server.send(server.request(Method::GET, "/v1/datasets/news/rows")).await;
    assert_eq!((news.status, news.problem().as_str()), (404, "not-found"));
    server.stop().await;
}

#[tokio::test]
async fn rows_masks_and_windows_hold_in_every_format_and_the_answer_names_its_decision() {
    let catalog = Catalog::with(
        &OPEN.replace("    aggregate: true\n", "    aggregate: true\n    formats: all\n    export: true\n"),
    );
    let server = Server::start(catalog.config()).await;
    let house = House::load(&catalog.config()).expect("a catalog");
    let told = claims(&json!({ "symbols": ["AAPL", "MSFT"] }));
    let token = server.token_with("analyst", &told);
    let get = async |target: &str| server.send(server.request(Method::GET, target).bearer_auth(&token)).await;
    let rows = "/v1/datasets/price_daily/rows";
    let all = get(&format!("{rows}?select=symbol,source&limit=1000")).await;
    let key = martello::auth::MaskKey::new(crate::support::SECRET.as_bytes());
    for row in all.rows() {
        assert!(["AAPL", "MSFT"].contains(&row["symbol"].as_str().expect("a symbol")), "{row}");
        let source = row["source"].as_str().expect("a hash");
        assert_eq!(source.len(), 32);
        assert_ne!(source, key.hash(source));
    }
    for format in ["ndjson", "csv"] {
        let plain =
            server.get("security_officer", &format!("{rows}?limit=1&select=source")).await.rows()[0]["source"].clone();
        let plain = plain.as_str().expect("a source").to_owned();
        for limit in ["50", "all"] {
            let answer = get(&format!("{rows}?format={format}&limit={limit}")).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(!answer.text().contains(&plain) && answer.text().contains(&key.hash(&plain)), "{format} {limit}");
            assert!(!answer.text().contains("AMZN"), "{format} {limit}");
            let limited = answer.header("martello-limited-by").expect("windows");
            assert!(limited.starts_with("history;dataset=\"price_daily\";column=\"date\";from=\""), "{limited}");
        }
    }
    let page = get(&format!("{rows}?symbol=AAPL&date.lt=1990-01-01")).await;
    assert_eq!(page.rows().len(), 0);
    let limited = &page.json()["meta"]["limited_by"][0];
    assert_eq!((&limited["window"], &limited["column"]), (&json!("history"), &json!("date")));
    // Somebody else's rows are no rows at all: by key, in groups, and in counts.
    let key = get(&format!("{rows}/AMZN/2005-02-28")).await;
    assert_eq!((key.status, key.problem().as_str()), (404, "row-not-found"));
    let groups = get("/v1/datasets/price_daily/aggregate?group_by=symbol&measures=count()").await.rows();
    assert_eq!(groups.iter().map(|group| &group["symbol"]).collect::<Vec<_>>(), ["AAPL", "MSFT"]);
    let counted = get(&format!("{rows}?limit=1&count=exact")).await.json()["page"]["total_count"].as_u64();
    let sum: u64 = groups.iter().map(|group| group["count"].as_u64().expect("a count")).sum();
    assert_eq!(counted, Some(sum));
    // Without the claim there is nothing.
    let lacking = server.get("analyst", rows).await;
    assert_eq!(lacking.rows().len(), 0);
    let decision = all.header("martello-decision").expect("a decision").to_owned();
    let role = house.matrix.role("analyst").expect("a role");
    let supposed = Principal::supposed(role, told, &house.matrix);
    assert_eq!(decision, supposed.decision("price_daily").to_string());
    assert_ne!(lacking.header("martello-decision"), Some(decision.as_str()));
    // Where no claim decides, the id alone leads back.
    let officer = server.get("security_officer", rows).await;
    let officer = officer.header("martello-decision").expect("a decision");
    let explained = catalog.martello(&["access", "explain", "--decision", officer]);
    assert!(explained.well().contains("security_officer") && explained.well().contains(officer), "{}", explained.out);
    server.stop().await;
}

#[tokio::test]
async fn hashes_need_a_key_that_all_instances_share() {
    let catalog = Catalog::with(OPEN);
    let mut config = catalog.config();
    config.access.mask_key = None;
    let metrics = martello::telemetry::collect().expect("metrics");
    let error = martello::app::start(config, metrics).await.err().expect("a refusal");
    let told = martello::telemetry::chain(&error).to_string();
    assert!(told.contains("access.mask_key"), "{told}");
}
