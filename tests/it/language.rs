//! What a question may ask besides rows: related rows in one statement each, totals within a budget, zones, costs.

use serde_json::{Value, json};

use crate::support::{Answer, Backend, Server};

/// Statements that the server's sources have answered.
async fn statements(server: &Server) -> u64 {
    let metrics = server.admin("/metrics").await.text();
    let counted = metrics.lines().filter(|line| line.starts_with("martello_source_seconds_count"));
    counted.map(|line| line.rsplit(' ').next().expect("a number").parse::<u64>().expect("a number")).sum()
}

async fn post(server: &Server, role: &str, dataset: &str, body: &Value) -> Answer {
    let request = server.request(reqwest::Method::POST, &format!("/v1/datasets/{dataset}/query"));
    server.send(request.bearer_auth(server.token(role)).json(body)).await
}

/// A process has one set of metrics, so each backend has a test of its own.
#[tokio::test]
async fn related_rows_take_one_statement_a_relation_whatever_the_number_of_rows() {
    one_statement_a_relation(Backend::Postgres).await;
}

#[tokio::test]
async fn related_rows_take_one_statement_a_relation_in_the_embedded_store_too() {
    one_statement_a_relation(Backend::Sqlite).await;
}

#[tokio::test]
async fn related_rows_take_one_statement_a_relation_in_clickhouse_too() {
    one_statement_a_relation(Backend::ClickHouse).await;
}

async fn one_statement_a_relation(backend: Backend) {
    {
        let server = Server::over(backend).await;
        // How its relations are stored is asked for once.
        for dataset in ["company_profile", "price_daily", "signal"] {
            server.get("internal_scientist", &format!("/v1/datasets/{dataset}/rows?limit=1")).await.rows();
        }
        for (target, rows, expected) in [
            ("price_daily/rows?limit=100", 100, 1),
            ("price_daily/rows?limit=1&expand=profile", 1, 2),
            ("price_daily/rows?limit=1000&expand=profile", 1000, 2),
            ("company_profile/rows?expand=prices(limit=5),signals(limit=3)", 34, 3),
            (
                "company_profile/rows?expand=prices(limit=2,expand=profile(symbol,expand=signals(limit=2))),signals(limit=3)",
                34,
                5,
            ),
            // Without a parent nothing is asked.
            ("company_profile/rows?symbol=NONE&expand=prices(limit=2)", 0, 1),
        ] {
            let before = statements(&server).await;
            let answer = server.get("internal_scientist", &format!("/v1/datasets/{target}")).await;
            assert_eq!(answer.rows().len(), rows, "{backend:?} {target}");
            assert_eq!(statements(&server).await - before, expected, "{backend:?} {target}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn what_a_role_may_not_see_does_not_come_along() {
    let server = Server::over(Backend::Sqlite).await;
    // The basic plan has prices and profiles, no signals, and of a price no adjusted close.
    let ask = async |target: &str| server.get("client_basic", &format!("/v1/datasets/company_profile/{target}")).await;
    let unknown = ask("rows?expand=signals").await;
    let missing = ask("rows?expand=nothing").await;
    assert_eq!((unknown.status, unknown.problem().as_str()), (400, "unknown-relation"));
    assert_eq!((missing.status, missing.problem().as_str()), (400, "unknown-relation"));
    assert_eq!(unknown.json()["hint"], missing.json()["hint"]);
    for inside in ["adj_close", "sort=adj_close", "adj_close.gt=1", "or(adj_close=1,close=1)"] {
        let answer = ask(&format!("rows?expand=prices({inside})")).await;
        assert_eq!(answer.status, 400, "{inside}: {}", answer.text());
        assert!(["unknown-column", "unknown-parameter"].contains(&answer.problem().as_str()), "{inside}");
    }
    let rows = ask("rows?symbol=AAPL&expand=prices(limit=1)").await.rows();
    let price = rows[0]["prices"][0].as_object().expect("a price");
    assert!(price.contains_key("close") && !price.contains_key("adj_close"), "{price:?}");
    server.stop().await;
}

#[tokio::test]
async fn expansions_are_bounded_in_depth_in_number_and_in_rows() {
    let server = Server::over(Backend::Sqlite).await;
    let ask = async |target: &str| server.get("client_basic", &format!("/v1/datasets/{target}")).await;
    let nested = |levels: usize| {
        let relations = ["profile", "prices(limit=1,expand="];
        let mut text = String::new();
        for level in 0..levels {
            text.push_str(if level % 2 == 0 { "profile(expand=" } else { relations[1] });
        }
        format!("price_daily/rows?limit=1&expand={}profile{}", text, ")".repeat(levels))
    };
    // Each of the basic plan's 500 prices at once is shared by the companies of a page.
    for (target, status, kind) in [
        ("company_profile/rows?limit=50&expand=prices(limit=10)".to_owned(), 200, ""),
        ("company_profile/rows?limit=50&expand=prices(limit=11)".to_owned(), 400, "limit-out-of-range"),
        ("company_profile/rows?limit=1&expand=prices(limit=500)".to_owned(), 200, ""),
        ("company_profile/rows?limit=1&expand=prices(limit=501)".to_owned(), 400, "limit-out-of-range"),
        ("company_profile/rows?limit=1&expand=prices(limit=0)".to_owned(), 400, "limit-out-of-range"),
        ("company_profile/rows?limit=1000&expand=prices".to_owned(), 400, "limit-out-of-range"),
        ("company_profile/rows?expand=prices".to_owned(), 200, ""),
        ("company_profile/rows?expand=prices,prices".to_owned(), 400, "repeated-column"),
        (nested(3), 400, "too-complex"),
        (nested(50), 400, "too-complex"),
    ] {
        let answer = ask(&target).await;
        assert_eq!(answer.status, status, "{target}: {}", answer.text());
        if status != 200 {
            assert_eq!(answer.problem(), kind, "{target}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn totals_are_counted_only_when_they_are_asked_for() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let page = async |target: &str| {
            let answer = server.get("client_pro", &format!("/v1/datasets/price_daily/{target}")).await;
            assert_eq!(answer.status, 200, "{target}: {}", answer.text());
            answer.json()["page"].clone()
        };
        for none in ["rows?symbol=AAPL&limit=2", "rows?symbol=AAPL&limit=2&count=none"] {
            let page = page(none).await;
            assert!(page.get("total_count").is_none() && page.get("count_status").is_none(), "{page}");
        }
        for (target, total) in [
            ("rows?symbol=AAPL&limit=2&count=exact", 3522),
            ("rows?symbol=NONE&limit=2&count=exact", 0),
            ("rows?latest_by=symbol&limit=2&count=exact", 7),
            ("aggregate?group_by=symbol&measures=count()&having=(count().gt=3000)&limit=1&count=exact", 3),
        ] {
            let page = page(target).await;
            assert_eq!((&page["total_count"], &page["count_status"]), (&json!(total), &json!("exact")), "{target}");
        }
        let guessed = page("rows?symbol=AAPL&limit=2&count=estimated").await;
        let rows = guessed["total_count"].as_f64().expect("a number");
        assert!((1200.0..10_000.0).contains(&rows), "{backend:?} {guessed}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_zone_moves_timestamps_and_their_days_and_nothing_else() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let ask = async |target: &str| server.get("client_pro", &format!("/v1/datasets/news/{target}")).await;
        let question = "rows?published_at.gte=2012-06-01&sort=published_at&limit=1&select=published_at,news_id";
        let plain = ask(question).await;
        let moved = ask(&format!("{question}&tz=America/New_York")).await;
        assert_eq!(plain.json()["meta"].get("tz"), None);
        assert_eq!(moved.json()["meta"]["tz"], "America/New_York");
        let (plain, moved) = (plain.rows()[0].clone(), moved.rows()[0].clone());
        assert_eq!(plain["news_id"], moved["news_id"]);
        let (plain, moved) =
            (plain["published_at"].as_str().expect("a text"), moved["published_at"].as_str().expect("a text"));
        let instant = |text: &str| text.parse::<jiff::Timestamp>().expect("RFC 3339");
        assert!(plain.ends_with("T00:00:00Z") && moved.ends_with("T20:00:00-04:00"), "{plain} {moved}");
        assert_eq!(instant(plain), instant(moved));
        // Midnight in UTC is the day before in New York.
        let day = |zone: &str| {
            format!("aggregate?group_by=published_at:day&measures=count()&limit=1&sort=-published_at:day{zone}")
        };
        let utc = ask(&day("")).await.rows()[0]["published_at_day"].clone();
        let local = ask(&day("&tz=America/New_York")).await.rows()[0]["published_at_day"].clone();
        let date = |value: &Value| value.as_str().expect("a text").parse::<jiff::civil::Date>().expect("a date");
        assert_eq!(date(&utc), date(&local).tomorrow().expect("a day"));
        for wrong in ["Mars/Olympus", "", "../etc/passwd", "EST5EDT4", "+02:00"] {
            let answer = ask(&format!("rows?limit=1&tz={}", wrong.replace('+', "%2B"))).await;
            assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-literal"), "{wrong}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_dry_run_tells_within_a_factor_of_three_what_an_answer_takes_and_reads_none_of_it() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        for target in [
            "price_daily/rows?symbol=AAPL&limit=1000",
            "price_daily/rows?date.gte=2010-01-01&limit=5000&select=symbol,date,close",
            "technical_daily/rows?symbol=MSFT&limit=500",
            "fundamental/rows?symbol=AAPL&limit=500",
            "news/rows?limit=200",
            "signal/rows?limit=300",
            "price_daily/aggregate?group_by=symbol,date:month&measures=avg(close),sum(volume)&limit=500",
            "price_daily/rows?limit=100&select=date&expand=profile",
            "company_profile/rows?symbol.in=AAPL,MSFT,IBM&select=symbol&expand=prices(limit=20),signals(limit=5)",
        ] {
            let target = format!("/v1/datasets/{target}");
            let answer = server.get("internal_scientist", &target).await;
            let told = server.get("internal_scientist", &format!("{target}&dry_run=true")).await;
            assert_eq!(told.status, 200, "{}", told.text());
            let told = told.json()["data"].clone();
            let close = |told: &Value, real: usize| {
                let (told, real) = (told.as_f64().expect("a number"), f64::from(u32::try_from(real).expect("small")));
                (real / 3.0..=real * 3.0).contains(&told)
            };
            assert!(
                close(&told["bytes"]["json"], answer.body.len()),
                "{backend:?} {target}: {told} {}",
                answer.body.len()
            );
            for format in ["ndjson", "csv", "arrow", "parquet"] {
                let other = server.get("internal_scientist", &format!("{target}&format={format}")).await;
                let told = &told["bytes"][format];
                // Parquet's length hangs on the values, and no table has related rows in its rows.
                if format == "parquet" || other.status == 400 {
                    assert!(told.is_null() && (format == "parquet" || target.contains("expand")), "{target} {format}");
                    continue;
                }
                assert!(close(told, other.body.len()), "{backend:?} {target} {format}: {told} {}", other.body.len());
            }
            assert!(close(&told["page_rows"], answer.rows().len()), "{backend:?} {target}: {told}");
            assert_eq!(
                told["stopped_by"] == "limit",
                answer.json()["page"]["has_more"] == true,
                "{backend:?} {target}: {told}"
            );
        }
        // More than a role may have is refused before the database hears of it.
        let before = statements(&server).await;
        let refused = server.get("client_pro", "/v1/datasets/price_daily/rows?limit=10001&dry_run=true").await;
        assert_eq!((refused.status, refused.problem().as_str()), (400, "limit-out-of-range"));
        assert_eq!(statements(&server).await, before);
        server.stop().await;
    }
}

#[tokio::test]
async fn plans_are_explained_to_the_house_and_to_nobody_else() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let target = "/v1/datasets/company_profile/rows?symbol=AAPL&expand=prices(limit=1)&explain=plan";
        let told = server.get("internal_scientist", target).await;
        assert_eq!(told.status, 200, "{}", told.text());
        let told = told.json()["data"].clone();
        assert!(told["plan"].as_str().expect("a plan").contains("filter    symbol = \"AAPL\""), "{told}");
        assert!(told["sql"].as_str().expect("SQL").starts_with("SELECT"), "{told}");
        assert_eq!(told["parameters"][0], "string \"AAPL\"");
        assert!(!told["database"].is_null() && !told["related"]["prices"]["database"].is_null(), "{told}");
        for client in ["client_basic", "client_pro"] {
            let answer = server.get(client, target).await;
            assert_eq!((answer.status, answer.problem().as_str()), (403, "not-explained"));
            assert!(!answer.text().contains("SELECT"), "{}", answer.text());
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_body_answers_as_its_url_does_and_its_cursor_goes_on_at_either() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let url = "/v1/datasets/price_daily/rows?symbol.in=AAPL,IBM&or=(close.gt=100,volume.lt=1000)&sort=-date&limit=3&select=close";
        let body = json!({
            "filter": {"symbol": {"in": ["IBM", "AAPL"]}, "or": [{"volume": {"lt": 1000}}, {"close": {"gt": 100.00}}]},
            "sort": ["-date"], "limit": 3, "select": ["close"],
        });
        let by_url = server.get("client_pro", url).await;
        let by_body = post(&server, "client_pro", "price_daily", &body).await;
        assert_eq!(by_url.text(), by_body.text());
        let cursor = by_body.json()["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
        let mut next = body.clone();
        next["cursor"] = json!(cursor);
        let by_url = server.get("client_pro", &format!("{url}&cursor={cursor}")).await;
        let by_body = post(&server, "client_pro", "price_daily", &next).await;
        assert_eq!(by_url.status, 200);
        assert_eq!(by_url.text(), by_body.text());
        for media_type in ["text/json", "application/json; charset=latin1", "application/x-www-form-urlencoded"] {
            let request = server.request(reqwest::Method::POST, "/v1/datasets/price_daily/query");
            let request = request.bearer_auth(server.token("client_pro")).header("content-type", media_type).body("{}");
            let answer = server.send(request).await;
            assert_eq!((answer.status, answer.problem().as_str()), (415, "unsupported-media-type"), "{media_type}");
        }
        server.stop().await;
    }
}
