//! Pages: walked to the end, no row is missing and none comes twice, whatever the order.

use std::collections::HashSet;

use crate::support::{Backend, Server};

/// Every row of a question, page by page.
async fn walk(server: &Server, role: &str, question: &str) -> Vec<serde_json::Value> {
    let mut rows = Vec::new();
    let mut target = question.to_owned();
    loop {
        let answer = server.get(role, &target).await;
        rows.extend(answer.rows());
        let page = answer.json()["page"].clone();
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(page["has_more"], false);
            assert_eq!(answer.header("link"), None);
            return rows;
        };
        assert_eq!(page["has_more"], true);
        assert_eq!(page["count"], page["limit"]);
        let link = answer.header("link").expect("a link to the next page");
        let next = link.strip_prefix('<').and_then(|link| link.strip_suffix(">; rel=\"next\"")).expect("RFC 8288");
        assert!(next.ends_with(&format!("cursor={cursor}")), "{next}");
        target = next.to_owned();
    }
}

#[tokio::test]
async fn a_walk_of_pages_misses_no_row_and_repeats_none() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let questions = [
            ("/v1/datasets/fundamental/rows?symbol=AAPL&limit=20&select=fact_id", 2_514),
            // Nulls at either end, ties, and both directions.
            ("/v1/datasets/fundamental/rows?symbol=AAPL&limit=97&sort=period_start&select=fact_id", 2_514),
            ("/v1/datasets/fundamental/rows?symbol=AAPL&limit=97&sort=-period_start,metric&select=fact_id", 2_514),
            (
                "/v1/datasets/fundamental/rows?symbol=AAPL&limit=97&sort=period_start.nulls_first,-metric&select=fact_id",
                2_514,
            ),
            ("/v1/datasets/fundamental/rows?symbol=AAPL&limit=97&sort=-period_start.nulls_last&select=fact_id", 2_514),
            // Every row ties in the first key.
            ("/v1/datasets/fundamental/rows?symbol=AAPL&limit=500&sort=symbol&select=fact_id", 2_514),
        ];
        for (question, expected) in questions {
            let rows = walk(&server, "internal_scientist", question).await;
            let ids: HashSet<i64> = rows.iter().map(|row| row["fact_id"].as_i64().expect("an id")).collect();
            assert_eq!((rows.len(), ids.len()), (expected, expected), "{backend:?} {question}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_walk_keeps_the_order_that_one_large_page_has() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        for sort in
            ["employees", "-employees", "employees.nulls_first", "-employees.nulls_last", "country,-founded_year"]
        {
            let question = format!("/v1/datasets/company_profile/rows?sort={sort}&select=symbol,employees,country");
            let whole = server.get("internal_scientist", &format!("{question}&limit=1000")).await.rows();
            let walked = walk(&server, "internal_scientist", &format!("{question}&limit=3")).await;
            assert_eq!(walked, whole, "{backend:?} {sort}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_cursor_serves_only_its_own_question() {
    let server = Server::over(Backend::Sqlite).await;
    let page = server.get("client_pro", "/v1/datasets/price_daily/rows?symbol=AAPL&limit=2").await;
    let cursor = page.json()["page"]["next_cursor"].as_str().expect("a cursor").to_owned();

    // The same question in other words, another page size and other columns go on.
    for same in
        ["limit=3&symbol=AAPL", "symbol.in=AAPL&symbol=AAPL&select=close&limit=1", "sort=symbol,date&symbol=AAPL"]
    {
        let answer = server.get("client_pro", &format!("/v1/datasets/price_daily/rows?{same}&cursor={cursor}")).await;
        assert_eq!(answer.status, 200, "{same}: {}", answer.text());
    }
    for other in ["symbol=MSFT", "symbol=AAPL&close.gt=1", "symbol=AAPL&sort=-date", "symbol=AAPL&as_of=2010-01-01", ""]
    {
        let answer = server.get("client_pro", &format!("/v1/datasets/price_daily/rows?{other}&cursor={cursor}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "cursor-mismatch"), "{other}");
    }
    for forged in ["x", "", "AAAA", &cursor[1..], &format!("{cursor}A"), &cursor.to_uppercase()] {
        let target = format!("/v1/datasets/price_daily/rows?symbol=AAPL&cursor={forged}");
        let answer = server.get("client_pro", &target).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "invalid-cursor"), "{forged}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_cursor_serves_at_every_instance_and_for_every_role_with_its_own_grant() {
    let one = Server::over(Backend::Sqlite).await;
    let other = Server::over(Backend::Postgres).await;
    let question = "/v1/datasets/price_daily/rows?symbol=AAPL&sort=-date&limit=2";
    let page = one.get("client_pro", question).await;
    let cursor = page.json()["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
    let next = format!("{question}&cursor={cursor}");
    let pro = other.get("client_pro", &next).await.rows();
    let basic = other.get("client_basic", &next).await.rows();
    assert_eq!(pro[0]["date"], basic[0]["date"]);
    assert!(pro[0].get("adj_close").is_some() && basic[0].get("adj_close").is_none());
    one.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_page_size_out_of_range_is_refused_and_names_the_range() {
    let server = Server::over(Backend::Sqlite).await;
    for limit in ["0", "501", "4294967296", "18446744073709551615"] {
        let answer = server.get("client_basic", &format!("/v1/datasets/price_daily/rows?limit={limit}")).await;
        assert_eq!((answer.status, answer.problem().as_str()), (400, "limit-out-of-range"), "{limit}");
        assert!(answer.text().contains("between 1 and 500"), "{}", answer.text());
    }
    assert_eq!(server.get("client_basic", "/v1/datasets/price_daily/rows?limit=500").await.rows().len(), 500);
    assert_eq!(server.get("client_basic", "/v1/datasets/price_daily/rows").await.rows().len(), 100);
    server.stop().await;
}
