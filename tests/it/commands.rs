//! The commands, run as a person runs them: what they say when all is well, and where they point when it is not.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::load::psql;
use crate::programs::{Ran, martello, python, run};
use crate::support::{Backend, SECRET, repository};

/// A copy of the repository's catalog, to be broken.
struct Copy(tempfile::TempDir);

impl Copy {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("datasets")).expect("a folder");
        for from in ["catalog", "catalog/datasets"] {
            for entry in std::fs::read_dir(repository().join(from)).expect("a folder") {
                let path = entry.expect("an entry").path();
                if path.is_file() {
                    let to = path.strip_prefix(repository().join("catalog")).expect("below catalog").to_owned();
                    std::fs::copy(&path, folder.path().join(to)).expect("copied");
                }
            }
        }
        Self(folder)
    }

    /// Puts one text for another in a file; the line of it.
    #[track_caller]
    fn edit(&self, file: &str, from: &str, to: &str) -> usize {
        let path = self.0.path().join(file);
        let text = std::fs::read_to_string(&path).expect("a text");
        let (before, _) = text.split_once(from).unwrap_or_else(|| panic!("{file} has no {from}"));
        std::fs::write(&path, text.replacen(from, to, 1)).expect("written");
        before.lines().count() + usize::from(before.ends_with('\n') || before.is_empty())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = martello(arguments);
        command.env("MARTELLO__CATALOG", self.0.path());
        command
    }
}

type Variables<'t> = &'t [(&'t str, &'t str)];

/// Runs with variables of the environment laid over no file.
fn with(variables: Variables<'_>, arguments: &[&str]) -> Ran {
    let mut command = martello(arguments);
    command.envs(variables.iter().copied());
    run(command)
}

#[test]
fn the_catalog_in_the_repository_is_in_order() {
    let ran = run(martello(&["catalog", "check"]));
    assert_eq!(ran.well(), "7 datasets and 5 roles are in order\n");
}

#[test]
fn a_fault_of_the_catalog_names_file_line_key_and_what_was_expected() {
    const PRICES: &str = "datasets/price_daily.yaml";
    const ACCESS: &str = "access.yaml";
    const LONG: &str = "  - name: ex_dividend_of_the_session_in_dollars_for_every_share";
    // File, what stands there, what is put in its place, lines further down, the key, and what is said of it.
    let cases = [
        (PRICES, "owner: m", "ownr: m", 0, "ownr", "unknown field `ownr`, expected one of name, family"),
        (
            PRICES,
            "    description: Shares",
            "    descr: Shares",
            0,
            "descr",
            "unknown field `descr`, expected one of name, type",
        ),
        (
            PRICES,
            "    type: decimal(14,6)",
            "    type: decimal(44,6)",
            0,
            "type",
            "expected bool, int32, int64, float64, decimal(p,s)",
        ),
        (PRICES, "&text [eq, ne", "&text [eq, like", 0, "filter", "unknown variant `like`, expected one of eq, ne, gt"),
        (PRICES, "&text [eq, ne", "&text [has, ne", 0, "filter", "filter has has no meaning on string"),
        (
            PRICES,
            "    aggregate: [count_distinct]",
            "    aggregate: [sum]",
            0,
            "aggregate",
            "aggregate sum has no meaning on string",
        ),
        (
            PRICES,
            "primary_key: [symbol, date]",
            "primary_key: [symbol, day]",
            0,
            "primary_key",
            "no column \"day\": expected one of symbol, date, open",
        ),
        (PRICES, "primary_key: [symbol, date]", "primary_key: []", 0, "primary_key", "expected at least one column"),
        (
            PRICES,
            "    type: date\n",
            "    nullable: true\n    type: date\n",
            -17,
            "primary_key",
            "date may be null: a key may not",
        ),
        (PRICES, "time: date", "time: symbol", 0, "time", "symbol is string: expected a date or timestamp"),
        (
            PRICES,
            "  - name: volume",
            "  - name: limit",
            0,
            "name",
            "limit is the name of a request parameter: expected another",
        ),
        (PRICES, "  - name: volume", "  - name: Volume", 0, "name", "expected a lower-case letter, then at most 62"),
        (PRICES, "  - name: volume", "  - name: close", 0, "name", "a second column close"),
        (
            PRICES,
            "    type: date\n",
            "    type: date\n    searchable: true\n",
            1,
            "searchable",
            "date is date: only a string is searchable",
        ),
        (
            "datasets/technical_daily.yaml",
            "  relation: technical_daily",
            "  relation: news__search_data",
            0,
            "relation",
            "news__search_data may be where news keeps its words: expected another",
        ),
        (PRICES, "time: date\n", "", 4, "bars", "bars need a time column in the primary key"),
        (PRICES, "close: close", "close: last", 0, "bars", "no column \"last\": expected one of symbol, date, open"),
        (PRICES, "volume: volume}", "volume: date}", 0, "bars", "\"date\" must allow aggregate sum"),
        (PRICES, "{open: open, ", "{", 0, "open", "missing field `open`"),
        (PRICES, "volume: volume}", "vwap: volume}", 0, "bars", "unknown field `vwap`, expected one of open, high"),
        (PRICES, "  - name: ex_dividend", LONG, 0, "name", "is aggregated: expected a name of at most 48 bytes"),
        (
            PRICES,
            "name: price_daily\n",
            "name: prices\n",
            0,
            "name",
            "the file of dataset prices must be called prices.yaml",
        ),
        (PRICES, "title: Daily prices", "title: [Daily", 0, "title", "expected string"),
        (
            PRICES,
            "primary_key: [symbol, date]",
            "primary_key: [symbol, date",
            1,
            "default_order",
            "illegal placement of ':'",
        ),
        (
            PRICES,
            "  max_age: 36h",
            "  max_age: 36 hours",
            0,
            "max_age",
            "expected a whole number with a unit, such as 500ms",
        ),
        (
            PRICES,
            "    dataset: company_profile",
            "    dataset: company",
            0,
            "dataset",
            "no dataset \"company\": expected one of company_profile",
        ),
        (
            PRICES,
            "    on: {symbol: symbol}",
            "    on: {symbol: ticker}",
            0,
            "on",
            "company_profile has no column \"ticker\"",
        ),
        (
            PRICES,
            "    on: {symbol: symbol}",
            "    on: {symbol: employees}",
            0,
            "on",
            "symbol is string, but company_profile.employees is int32",
        ),
        (
            PRICES,
            "  - unique: [symbol, date]",
            "  - unique: [symbol, day]",
            0,
            "unique",
            "no column \"day\": expected one of",
        ),
        (
            "datasets/signal.yaml",
            "derived_from: [price_daily",
            "derived_from: [prices",
            0,
            "derived_from",
            "no dataset \"prices\": expected one of",
        ),
        (
            ACCESS,
            "      price_daily:\n",
            "      prices:\n",
            1,
            "columns",
            "no dataset \"prices\": expected one of company_profile",
        ),
        (
            ACCESS,
            "{all_but: [tier]}",
            "{all_but: [teir]}",
            0,
            "columns",
            "company_profile has no column \"teir\": expected one of symbol",
        ),
        (ACCESS, "{all_but: [tier]}", "{all_but: [symbol]}", 0, "columns", "symbol must be granted: cursors carry key"),
        (ACCESS, "{all_but: [tier]}", "every", 0, "columns", "expected all, a list of columns, or {all_but: […]}"),
        (
            ACCESS,
            "        rows_per_request: 500",
            "        rows_per_request: 5000",
            0,
            "rows_per_request",
            "more than the role's own 1000",
        ),
        (
            ACCESS,
            "    formats: [json, csv]",
            "    formats: [json, xml]",
            0,
            "formats",
            "expected all, or a list of at least one of json, ndjson, csv, arrow, parquet",
        ),
        (
            ACCESS,
            "    formats: [json, csv]",
            "    formats: []",
            0,
            "formats",
            "expected all, or a list of at least one",
        ),
        (ACCESS, "    formats: [json, csv]", "    formats: some", 0, "formats", "expected all, or a list of at least"),
        (
            ACCESS,
            "        rows_per_request: 500",
            "        formats: [json, parquet]",
            0,
            "formats",
            "more than the role's own: json, csv",
        ),
        (
            ACCESS,
            "    claims: {tier: client, plan: basic}",
            "    claims: {}",
            0,
            "claims",
            "expected at least one claim",
        ),
        (ACCESS, "  - name: client_pro", "  - name: client_basic", 0, "name", "a second role or template client_basic"),
        (
            ACCESS,
            "tier: client\n",
            "tier: clients\n",
            0,
            "tier",
            "unknown variant `clients`, expected one of client, internal",
        ),
    ];
    for (file, from, to, further, key, expected) in cases {
        let copy = Copy::new();
        let line = copy.edit(file, from, to).checked_add_signed(further).expect("a line");
        let ran = run(copy.command(&["catalog", "check"]));
        let complaint = ran.complaint();
        let place = format!("{}:{line}: {key}: ", copy.0.path().join(file).display());
        let fault =
            complaint.lines().find(|line| line.contains(&place)).unwrap_or_else(|| panic!("{place}\n{complaint}"));
        assert!(fault.contains(expected), "{to}: {fault}");
    }
    // What is missing stands on no line: the place is that of what lacks it.
    let copy = Copy::new();
    copy.edit(PRICES, "owner: market-data@example.com\n", "");
    let ran = run(copy.command(&["catalog", "check"]));
    assert!(ran.complaint().contains(": owner: missing field `owner`"), "{}", ran.err);
    // Every fault of every file is told at once.
    copy.edit("datasets/news.yaml", "family: news", "family: new");
    copy.edit("datasets/signal.yaml", "default_order: [-", "default_order: [+");
    let ran = run(copy.command(&["catalog", "check"]));
    assert_eq!(ran.complaint().lines().count(), 4, "{}", ran.err);
}

#[test]
fn a_catalog_that_is_not_there_or_empty_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().display().to_string();
    let ran = with(&[("MARTELLO__CATALOG", &path)], &["catalog", "check"]);
    assert!(ran.complaint().contains(&format!("read {path}/datasets: No such file")), "{}", ran.err);
    std::fs::create_dir(folder.path().join("datasets")).expect("a folder");
    let ran = with(&[("MARTELLO__CATALOG", &path)], &["catalog", "check"]);
    assert!(ran.complaint().contains(&format!("{path}/datasets has no *.yaml")), "{}", ran.err);
}

#[test]
fn live_relations_are_compared_with_their_contracts() {
    for backend in Backend::ALL {
        let url = backend.url();
        let ran = with(&[("MARTELLO__SOURCES__MARTS__URL", &url)], &["catalog", "check", "--against", "marts"]);
        assert_eq!(ran.well(), "7 datasets compared with marts: 0 mismatches\n");
        let ran = with(&[("MARTELLO__SOURCES__MARTS__URL", &url)], &["catalog", "check", "--against", "mart"]);
        assert!(ran.complaint().ends_with("find source \"mart\" in the configuration: expected one of marts"));
    }
    let ran = with(
        &[("MARTELLO__SOURCES__MARTS__URL", "postgres://martello@127.0.0.1:1/marts")],
        &["catalog", "check", "--against", "marts"],
    );
    assert!(ran.complaint().contains("compare company_profile with marts: reach the database"), "{}", ran.err);
}

#[test]
fn a_mismatch_names_contract_column_and_both_sides() {
    let copy = Copy::new();
    copy.edit("datasets/price_daily.yaml", "relation: price_daily", "relation: compared.price_daily");
    copy.edit("datasets/news.yaml", "relation: news", "relation: compared.news");
    for statement in [
        "CREATE SCHEMA compared",
        "CREATE TABLE compared.price_daily (LIKE price_daily)",
        "ALTER TABLE compared.price_daily ALTER COLUMN volume TYPE text, DROP COLUMN source,
           ALTER COLUMN symbol TYPE text COLLATE \"en-x-icu\", ALTER COLUMN close TYPE real",
    ] {
        run(psql(statement)).well();
    }
    let mut command = copy.command(&["catalog", "check", "--against", "marts"]);
    command.env("MARTELLO__SOURCES__MARTS__URL", Backend::Postgres.url());
    let ran = run(command);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(1), "7 datasets compared with marts: 5 mismatches\n"),
        "{}",
        ran.err
    );
    for expected in [
        "news: the contract says a relation, compared.news has none of that name",
        "price_daily.symbol: the contract says string, which sorts bytewise (COLLATE \"C\"), compared.price_daily has a collation that sorts otherwise",
        "price_daily.close: the contract says decimal(14,6), compared.price_daily has real",
        "price_daily.volume: the contract says int64, compared.price_daily has text",
        "price_daily.source: the contract says string, compared.price_daily has no such column",
    ] {
        assert!(ran.err.lines().any(|line| line == expected), "{expected}\n{}", ran.err);
    }

    let file = copy.0.path().join("marts.sqlite");
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).executescript(sys.argv[2])";
    let tables = "CREATE TABLE news (news_id INTEGER, published_at TEXT)";
    run(python(&["-c", script, &file.display().to_string(), tables])).well();
    let mut command = copy.command(&["catalog", "check", "--against", "marts"]);
    command.env("MARTELLO__SOURCES__MARTS__URL", format!("sqlite:{}", file.display()));
    let ran = run(command);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    for expected in [
        "news.published_at: the contract says timestamp, stored as INTEGER, compared.news has TEXT",
        "news.headline: the contract says string, compared.news has no such column",
        "signal: the contract says a relation, signal has none of that name",
    ] {
        assert!(ran.err.lines().any(|line| line == expected), "{expected}\n{}", ran.err);
    }
}

#[test]
fn the_catalog_is_shown_as_a_whole_and_dataset_by_dataset() {
    let all = run(martello(&["catalog", "show"]));
    let lines: Vec<&str> = all.well().lines().collect();
    assert_eq!(lines.len(), 7, "{}", all.out);
    assert!(
        lines[3].starts_with("price_daily ") && lines[3].contains("11 columns") && lines[3].ends_with("Daily prices")
    );
    let one = run(martello(&["catalog", "show", "fundamental"]));
    for expected in [
        "fundamental — Reported fundamentals",
        "owner        fundamentals@example.com",
        "source       fundamental of marts",
        "primary key  fact_id",
        "order        symbol, metric, period_end, filed_date",
        "known at     filed_date, by symbol, metric, unit, period_type, period_start, period_end",
    ] {
        assert!(one.well().lines().any(|line| line == expected), "{expected}\n{}", one.out);
    }
    let column = one.well().lines().find(|line| line.starts_with("filing_fiscal_year ")).expect("a column");
    assert!(column.contains("int32") && column.ends_with("null  eq ne gt gte lt lte in nin is_null sort"), "{column}");
    let prices = run(martello(&["catalog", "show", "price_daily"]));
    let bars = "bars         open, high, low, close, volume";
    assert!(prices.well().lines().any(|line| line == bars), "{}", prices.out);
    let news = run(martello(&["catalog", "show", "news"]));
    let headline = news.well().lines().find(|line| line.starts_with("headline ")).expect("a column");
    assert!(headline.ends_with("eq ne in nin prefix contains search"), "{headline}");
    let none = run(martello(&["catalog", "show", "prices"]));
    assert!(none.complaint().contains("find dataset \"prices\": expected one of company_profile, fundamental"));
}

#[test]
fn a_reader_that_goes_away_is_no_fault() {
    let mut command = martello(&["openapi", "--output", "-"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    drop(child.stdout.take());
    let ran: Ran = child.wait_with_output().expect("an end").into();
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""));
}

/// Claims of a token, as `token inspect` shows them.
#[track_caller]
fn inspected(token: &str) -> Value {
    let shown: Value = serde_json::from_str(run(martello(&["token", "inspect", token])).well()).expect("JSON");
    assert_eq!(shown["believed"], false);
    assert_eq!(shown["header"], json!({ "typ": "at+jwt", "alg": "HS256", "kid": "hs256" }));
    shown["claims"].clone()
}

#[test]
fn a_token_is_minted_for_a_role_with_the_claims_and_the_life_that_were_asked_for() {
    let mint =
        |arguments: &[&str]| with(&[("MARTELLO__AUTH__HS256", SECRET)], &[&["token", "mint"], arguments].concat());
    let plain = mint(&["--role", "internal_scientist"]);
    let claims = inspected(plain.well().trim());
    let life = |claims: &Value| claims["exp"].as_u64().expect("exp") - claims["iat"].as_u64().expect("iat");
    assert_eq!((life(&claims), &claims["sub"]), (3_600, &"martello-cli".into()));
    assert_eq!((&claims["tier"], &claims["groups"]), (&"internal".into(), &"scientist".into()));

    let full =
        mint(&["--role=client_pro", "--ttl=36h", "--subject=app", "--claim", "desks=[1, 2]", "--claim", "note=a=b"]);
    let claims = inspected(full.well().trim());
    assert_eq!((life(&claims), &claims["sub"], &claims["plan"]), (129_600, &"app".into(), &"pro".into()));
    assert_eq!((&claims["desks"], &claims["note"]), (&json!([1, 2]), &"a=b".into()));

    // From standard input as well.
    let shell = "printf '%s\\n' \"$2\" | \"$1\" token inspect";
    let mut piped = Command::new("sh");
    piped.args(["-c", shell, "sh", env!("CARGO_BIN_EXE_martello"), plain.out.trim()]);
    assert!(run(piped).well().contains("\"groups\": \"scientist\""));

    let ran = mint(&["--role", "nobody"]);
    assert!(ran.complaint().contains("find role \"nobody\": expected one of client_basic, client_pro"), "{}", ran.err);
    let ran = run(martello(&["token", "mint", "--role", "client_pro"]));
    assert!(ran.complaint().contains("find auth.hs256 in the configuration"), "{}", ran.err);
    for (argument, expected) in [("--ttl=5", "such as 500ms, 30s"), ("--claim=x", "expected NAME=VALUE")] {
        let ran = mint(&["--role", "client_pro", argument]);
        assert!(ran.code == Some(2) && ran.err.contains(expected), "{}", ran.err);
    }
    let ran = run(martello(&["token", "inspect", "abc"]));
    assert!(ran.complaint().ends_with("read the token: the token is no JWT"), "{}", ran.err);
}

#[test]
fn the_openapi_document_is_written_checked_and_that_of_a_role() {
    run(martello(&["openapi", "--check"])).well();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("document.json").display().to_string();
    let ran = run(martello(&["openapi", "--check", "--output", &file]));
    assert!(ran.complaint().contains(&format!("read {file}: No such file")), "{}", ran.err);
    let ran = run(martello(&["openapi", "--role", "client_basic", "--output", &file]));
    assert_eq!(ran.well(), format!("{file} is written\n"));
    let ran = run(martello(&["openapi", "--check", "--output", &file]));
    assert!(ran.complaint().contains(&format!("find {file} up to date: run martello openapi")), "{}", ran.err);
    run(martello(&["openapi", "--check", "--role", "client_basic", "--output", &file])).well();
    let shown = run(martello(&["openapi", "--role", "client_basic", "--output", "-"]));
    assert_eq!(shown.well(), std::fs::read_to_string(&file).expect("a text"));
    let ran = run(martello(&["openapi", "--role", "nobody"]));
    assert!(ran.complaint().contains("find role \"nobody\": expected one of client_basic"), "{}", ran.err);
}

#[test]
fn the_configuration_is_shown_whole_with_its_secrets_hidden() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let secret = "a secret kept in a file, of 32 bytes or more";
    std::fs::write(path("key"), format!("{secret}\n")).expect("written");
    std::fs::write(path("url"), "postgres://martello:hidden@db.example/marts\n").expect("written");
    let text = format!(
        "http: {{listen: '127.0.0.1:7000', request_timeout: 3s}}\nsources: {{marts: {{url: {{file: '{}'}}}}}}\n\
         auth: {{hs256: {{file: '{}'}}}}\npaging: {{cursor_key: {{env: CURSOR_KEY}}}}\n",
        path("url"),
        path("key")
    );
    std::fs::write(path("martello.yaml"), text).expect("written");
    let config = path("martello.yaml");
    let check = ["config", "check", "--config", &config];

    let ran = with(&[("CURSOR_KEY", SECRET), ("MARTELLO__HTTP__LISTEN", "127.0.0.1:7001")], &check);
    let shown: Value = serde_json::from_str(ran.well()).expect("JSON");
    assert_eq!((&shown["http"]["listen"], &shown["http"]["request_timeout"]), (&"127.0.0.1:7001".into(), &"3s".into()));
    assert_eq!((&shown["catalog"], &shown["http"]["head_timeout"]), (&"catalog".into(), &"10s".into()));
    for hidden in ["/sources/marts/url", "/auth/hs256", "/paging/cursor_key"] {
        assert_eq!(shown.pointer(hidden), Some(&"***".into()), "{}", ran.out);
    }
    assert!(!ran.out.contains("hidden") && !ran.out.contains("secret"), "{}", ran.out);

    // The same file may be named by the environment, and one in the folder is found.
    let ran = with(&[("CURSOR_KEY", SECRET), ("MARTELLO_CONFIG", &config)], &["config", "check"]);
    assert!(ran.well().contains("127.0.0.1:7000"));
    let mut here = martello(&["config", "check"]);
    here.current_dir(folder.path()).env("CURSOR_KEY", SECRET);
    assert!(run(here).well().contains("127.0.0.1:7000"));

    let ran = run(martello(&check));
    assert!(ran.complaint().contains("accept CURSOR_KEY of the environment: a secret"), "{}", ran.err);
}

#[test]
fn a_fault_of_the_configuration_names_its_key_and_what_was_expected() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display().to_string();
    let check = ["config", "check", "--config", &path];
    let none: Variables<'_> = &[];
    let cases: [(&str, Variables<'_>, &[&str]); 10] = [
        ("http: {lisen: x}", none, &["unknown field `lisen`, expected one of listen", "line 1"]),
        ("http:\n  head_timeout: soon", none, &["\"soon\" is no duration: expected a whole number", "line 2"]),
        ("http: {listen: here}", none, &["socket address", "line 1"]),
        (
            "sources: {marts: {url: 'mysql://h/d'}}",
            none,
            &["accept sources.marts.url: expected a URL that begins with postgres://, clickhouse:// or sqlite:"],
        ),
        ("sources: {marts: {url: {file: /none/url}}}", none, &["read /none/url: No such file"]),
        ("auth: {hs256: short}", none, &["accept auth.hs256: expected at least 32 bytes"]),
        ("auth: {leeway: 2m}", none, &["accept auth.leeway: expected at most 60s"]),
        ("a: [", none, &["line"]),
        (
            "",
            &[("MARTELLO__HTTP__LISEN", "x")],
            &["accept MARTELLO__HTTP__LISEN of the environment: unknown field `lisen`"],
        ),
        (
            "",
            &[("MARTELLO__HTTP__HEAD_TIMEOUT", "9")],
            &["accept MARTELLO__HTTP__HEAD_TIMEOUT of the environment: \"9\" is no duration"],
        ),
    ];
    for (text, variables, expected) in cases {
        std::fs::write(file.path(), text).expect("written");
        let ran = with(variables, &check);
        let complaint = ran.complaint();
        assert!(complaint.contains("read the configuration"), "{complaint}");
        for expected in expected {
            assert!(complaint.contains(expected), "{text}: {complaint}");
        }
    }
    let ran = run(martello(&["config", "check", "--config", "/none/martello.yaml"]));
    assert!(ran.complaint().contains("read /none/martello.yaml: No such file"), "{}", ran.err);
}

#[test]
fn every_command_has_a_help_that_names_each_of_its_options() {
    let script = run(martello(&["completions", "bash"]));
    let lines: Vec<&str> = script.well().lines().map(str::trim).collect();
    let mut commands = 0;
    for pair in lines.windows(2) {
        let (Some(label), Some(options)) = (pair[0].strip_suffix(')'), pair[1].strip_prefix("opts=\"")) else {
            continue;
        };
        let mut path: Vec<&str> = label.split("__subcmd__").skip(1).collect();
        // The script writes the dash of a name as it writes a level.
        if path == ["graphql", "schema"] {
            path = vec!["graphql-schema"];
        }
        if path.contains(&"help") {
            continue;
        }
        commands += 1;
        let help = run(martello(&[&path[..], &["--help"]].concat()));
        let text = help.well();
        for option in options.trim_end_matches('"').split(' ').filter(|option| option.starts_with("--")) {
            assert!(
                text.contains(&format!("{option} ")) || text.contains(&format!("{option}\n")),
                "{path:?} {option}\n{text}"
            );
            // An option without a word about it is a riddle.
            let described = text
                .lines()
                .any(|line| line.contains(option) && line.split("  ").filter(|part| !part.is_empty()).count() > 1);
            // Where one of them needs more room, all have their words on the line below.
            let below = text.lines().zip(text.lines().skip(1)).any(|(line, below)| {
                line.trim_start().starts_with('-')
                    && line.contains(option)
                    && below.starts_with("          ")
                    && !below.trim_start().starts_with(['-', '['])
            });
            assert!(described || below, "{path:?} {option}\n{text}");
        }
    }
    assert_eq!(commands, 55, "{}", script.out);
    for shell in ["zsh", "fish"] {
        assert!(run(martello(&["completions", shell])).well().contains("admin-listen"), "{shell}");
    }
    let version = run(martello(&["--version"]));
    assert_eq!(version.well(), concat!("martello ", env!("CARGO_PKG_VERSION"), "\n"));
    let nothing = run(martello(&[]));
    assert!(nothing.code == Some(2) && nothing.err.contains("Usage: martello"), "{}", nothing.err);
    // One argument has room for 128 KB.
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("completions.bash");
    std::fs::write(&path, &script.out).expect("written");
    let mut check = Command::new("bash");
    check.arg("-n").arg(path);
    run(check).well();
}
