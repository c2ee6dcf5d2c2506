//! Every source gives the same answer to the same question: rows, order, nulls, types and bytes.

use crate::support::{Backend, Server};

/// Questions that touch each type, operator, order and revision.
const QUESTIONS: &[&str] = &[
    "/v1/datasets/price_daily/rows",
    "/v1/datasets/price_daily/rows?limit=1000",
    "/v1/datasets/price_daily/rows?symbol=AAPL&sort=-date&limit=100",
    "/v1/datasets/price_daily/rows?symbol.in=AAPL,MSFT,IBM&sort=-date&limit=50",
    "/v1/datasets/price_daily/rows?symbol.nin=AAPL,MSFT&sort=close,-volume&limit=200",
    "/v1/datasets/price_daily/rows?close.gte=100.5&close.lt=101&limit=300",
    "/v1/datasets/price_daily/rows?close=24.57&volume.gt=1000",
    "/v1/datasets/price_daily/rows?symbol.prefix=B&sort=date.nulls_first",
    "/v1/datasets/price_daily/rows?ex_dividend.is_null=false&sort=-ex_dividend,symbol&limit=40",
    "/v1/datasets/price_daily/rows?sort=ex_dividend&limit=30&symbol=AAPL&date.gte=2013-02-20",
    "/v1/datasets/price_daily/rows?sort=-ex_dividend.nulls_last&limit=30&symbol=AAPL",
    "/v1/datasets/price_daily/rows?latest_by=symbol",
    "/v1/datasets/price_daily/rows?latest_by=symbol&date.lte=2010-06-30&sort=-close",
    "/v1/datasets/price_daily/rows?as_of=2012-02-29&latest_by=symbol",
    "/v1/datasets/price_daily/rows?date=2012-02-29",
    "/v1/datasets/price_daily/rows?symbol.in=&select=symbol",
    "/v1/datasets/price_daily/rows?symbol=AAPL&numbers=string&limit=3",
    "/v1/datasets/price_daily/rows/AAPL/2005-02-28",
    "/v1/datasets/price_daily/rows/BRK-A/2014-12-31?select=close,volume",
    "/v1/datasets/price_daily/rows/AAPL/2013-12-31",
    "/v1/datasets/technical_daily/rows?symbol=AAPL&limit=500",
    "/v1/datasets/technical_daily/rows?sort=-rsi_14&limit=20",
    "/v1/datasets/technical_daily/rows?sort=rsi_14.nulls_first&limit=200",
    "/v1/datasets/technical_daily/rows?rsi_14.gt=70&macd_hist.lt=0&sort=symbol,-date&limit=100",
    "/v1/datasets/technical_daily/rows?sma_200.is_null=true&sort=-date&limit=100",
    "/v1/datasets/fundamental/rows?symbol=AAPL&limit=1000",
    "/v1/datasets/fundamental/rows?symbol=AAPL&metric=revenue&as_of=2010-02-01",
    "/v1/datasets/fundamental/rows?as_of=2012-12-31&limit=1000",
    "/v1/datasets/fundamental/rows?as_of=2012-12-31T00:00:00Z&latest_by=symbol,metric&limit=1000",
    "/v1/datasets/fundamental/rows?as_of=2024-02-29&metric.in=revenue,net_income,eps_diluted&latest_by=symbol,metric&sort=-value",
    "/v1/datasets/fundamental/rows?latest_by=symbol&metric=revenue&period_type=quarter",
    "/v1/datasets/fundamental/rows?period_start.is_null=true&sort=-period_end,metric,fact_id&limit=500",
    "/v1/datasets/fundamental/rows?sort=period_start,period_end&limit=1000&symbol=NVDA",
    "/v1/datasets/fundamental/rows?value.lt=0&sort=value",
    "/v1/datasets/fundamental/rows?filing_fiscal_year.is_null=true",
    "/v1/datasets/fundamental/rows?metric.prefix=operating_lease&sort=-filed_date,fact_id&limit=30",
    "/v1/datasets/fundamental/rows/1790",
    "/v1/datasets/company_profile/rows?limit=1000",
    "/v1/datasets/company_profile/rows?sort=-employees&limit=5",
    "/v1/datasets/company_profile/rows?sort=country,-founded_year.nulls_last",
    "/v1/datasets/company_profile/rows?headquarters.contains=California&sort=symbol",
    "/v1/datasets/company_profile/rows?industries.has=Semiconductors",
    "/v1/datasets/company_profile/rows?industries.is_null=true",
    "/v1/datasets/company_profile/rows?country.ne=United%20States",
    "/v1/datasets/news/rows?limit=1000",
    "/v1/datasets/news/rows?symbols.has=AAPL&sort=-published_at&limit=20",
    "/v1/datasets/news/rows?headline.contains=added&published_at.gte=2010-01-01&sort=published_at",
    "/v1/datasets/news/rows?headline.prefix=Apple&published_at.lt=2012-01-01T00:00:00%2B02:00",
    "/v1/datasets/news/rows?url.is_null=true&form.nin=10-K,10-Q&limit=50",
    "/v1/datasets/news/rows?latest_by=category",
    "/v1/datasets/social_daily/rows?symbol=FB&sort=-posts&limit=25",
    "/v1/datasets/signal/rows?limit=1000",
    "/v1/datasets/signal/rows?symbol=IBM&signal.in=golden_cross,death_cross&sort=active_from",
    "/v1/datasets/signal/rows?latest_by=symbol,signal&sort=-strength,symbol,signal&limit=100",
    "/v1/datasets/signal/rows?direction=-1&horizon=long&value.gt=-1e3&sort=value&limit=100",
];

#[tokio::test]
async fn every_source_gives_the_same_bytes() {
    let sqlite = Server::over(Backend::Sqlite).await;
    let others = [Server::over(Backend::Postgres).await, Server::over(Backend::ClickHouse).await];
    let mut rows = 0;
    for role in ["internal_scientist", "client_pro"] {
        for question in QUESTIONS {
            let one = sqlite.get(role, question).await;
            for other in &others {
                let other = other.get(role, question).await;
                if one.status != 200 {
                    // A column that the role may not see, or a key that no row has.
                    assert_eq!((one.status, one.problem()), (other.status, other.problem()), "{role} {question}");
                    continue;
                }
                assert!(one.body == other.body, "{role} {question}\n{}\n{}", one.text(), other.text());
                assert_eq!(one.header("link"), other.header("link"), "{role} {question}");
            }
            if one.status != 200 {
                continue;
            }
            rows += one.json()["data"].as_array().map_or(1, Vec::len);
        }
    }
    assert!(rows > 10_000, "the questions find almost nothing: {rows}");
    sqlite.stop().await;
    for other in others {
        other.stop().await;
    }
}

#[tokio::test]
async fn the_contract_s_types_come_out_as_json_writes_them() {
    for backend in Backend::ALL {
        let server = Server::over(backend).await;
        let row = |answer: crate::support::Answer| answer.json()["data"].clone();
        let bar = server.get("internal_scientist", "/v1/datasets/price_daily/rows/AAPL/2005-02-28").await;
        assert!(
            bar.text().contains(r#""close":44.860000,"adj_close":5.765135,"volume":11635900,"ex_dividend":null"#),
            "{}",
            bar.text()
        );
        let text =
            server.get("internal_scientist", "/v1/datasets/price_daily/rows/AAPL/2005-02-28?numbers=string").await;
        assert!(
            text.text().contains(r#""close":"44.860000","adj_close":"5.765135","volume":"11635900""#),
            "{}",
            text.text()
        );
        let fact = server.get("internal_scientist", "/v1/datasets/fundamental/rows/1790").await;
        assert!(fact.text().contains(r#""value":36537000000.0000,"filing_fiscal_year":2009"#), "{}", fact.text());
        let news = server.get("internal_scientist", "/v1/datasets/news/rows?category=ticker_change").await.rows();
        assert_eq!(news[0]["symbols"], serde_json::json!(["FB", "META"]));
        assert!(news[0]["published_at"].as_str().is_some_and(|at| at.ends_with("T00:00:00Z")), "{news:?}");
        let signal =
            server.get("internal_scientist", "/v1/datasets/signal/rows?symbol=IBM&signal=golden_cross&limit=1").await;
        assert!(signal.rows()[0]["inputs"].is_object(), "{}", signal.text());
        let profile = row(server.get("internal_scientist", "/v1/datasets/company_profile/rows/ZEN").await);
        assert_eq!(profile["sp500_date_added"], serde_json::Value::Null);
        server.stop().await;
    }
}
