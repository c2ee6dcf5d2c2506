//! What callers hear when the database is slow, full or gone, and that nothing is left behind.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use martello::config::{self, Config};
use sqlx::Executor as _;
use sqlx::postgres::PgPool;

use crate::postgres::{Postgres, price_daily};
use crate::support::{Backend, Server, config};

/// A bound for what should happen at once: the tests wait for events, and this only ends a wait that would be for ever.
const SOON: Duration = Duration::from_secs(15);

/// A catalog of one dataset over a view that takes as long as the row says.
fn slow_catalog(folder: &Path, relation: &str) {
    std::fs::create_dir_all(folder.join("datasets")).expect("a folder");
    let contract = format!(
        "name: slow\nfamily: technical\ntitle: Slow\ndescription: Rows that take their time.\nowner: tests\n\
         source: {{name: marts, relation: {relation}}}\nprimary_key: [id]\n\
         columns:\n  - {{name: id, type: int64, description: A key., filter: [eq], sort: true}}\n  \
         - {{name: nap, type: string, description: A nap., nullable: true}}\n\
         sla: {{business_need: a, expectation: b, delivery: c, affected: d, breach: e}}\n"
    );
    std::fs::write(folder.join("datasets/slow.yaml"), contract).expect("written");
    let access = "roles:\n  - name: reader\n    tier: client\n    claims: {tier: client}\n    datasets: {slow: {columns: all}}\n";
    std::fs::write(folder.join("access.yaml"), access).expect("written");
}

/// A view in the shared Postgres under a name of the test's own: row 0 comes at once, row n after n seconds.
async fn slow_relation(name: &str) -> PgPool {
    let pool = PgPool::connect(&Backend::Postgres.url()).await.expect("a connection");
    let view = format!(
        "CREATE OR REPLACE VIEW {name} AS SELECT id, \
         CASE WHEN id > 0 THEN pg_sleep(id)::text COLLATE \"C\" ELSE '' COLLATE \"C\" END AS nap FROM generate_series(0::bigint, 60) AS id"
    );
    pool.execute(sqlx::AssertSqlSafe(view)).await.expect("a view");
    pool
}

async fn slow_server(name: &str, change: impl FnOnce(&mut Config)) -> (Server, PgPool, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    slow_catalog(folder.path(), name);
    let pool = slow_relation(name).await;
    let mut config = config(Backend::Postgres);
    config.catalog = folder.path().to_owned();
    change(&mut config);
    (Server::start(config).await, pool, folder)
}

fn source(config: &mut Config) -> &mut config::Source {
    config.sources.get_mut("marts").expect("a source")
}

/// Statements on the relation that run now, as Postgres itself sees them.
async fn running(pool: &PgPool, relation: &str) -> i64 {
    let query = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() AND query LIKE '%' || $1 || '%'";
    sqlx::query_scalar(query).bind(relation).fetch_one(pool).await.expect("a count")
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let wait = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, wait).await.expect("it never held");
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_a_504_and_ends() {
    let (server, pool, _folder) =
        slow_server("slow_timeout", |config| source(config).statement_timeout = Duration::from_millis(200)).await;
    let answer = server.get("reader", "/v1/datasets/slow/rows/60").await;
    assert_eq!((answer.status, answer.problem().as_str()), (504, "timeout"));
    assert_eq!(running(&pool, "slow_timeout").await, 0);
    assert_eq!(server.get("reader", "/v1/datasets/slow/rows/0").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_request_past_its_deadline_is_a_504_and_ends_its_statement() {
    let (server, pool, _folder) =
        slow_server("slow_deadline", |config| config.http.request_timeout = Duration::from_millis(300)).await;
    let answer = server.get("reader", "/v1/datasets/slow/rows/60").await;
    assert_eq!((answer.status, answer.problem().as_str()), (504, "timeout"));
    until(|| async { running(&pool, "slow_deadline").await == 0 }).await;
    server.stop().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_ends_its_statement() {
    let (server, pool, _folder) = slow_server("slow_gone", |config| {
        source(config).statement_timeout = Duration::from_secs(120);
        config.http.request_timeout = Duration::from_secs(120);
    })
    .await;
    let request = server.request(reqwest::Method::GET, "/v1/datasets/slow/rows/60").bearer_auth(server.token("reader"));
    let asking = tokio::spawn(request.send());
    until(|| async { running(&pool, "slow_gone").await == 1 }).await;
    asking.abort();
    until(|| async { running(&pool, "slow_gone").await == 0 }).await;
    assert_eq!(server.get("reader", "/v1/datasets/slow/rows/0").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_full_pool_refuses_at_once_what_finds_no_place_in_the_queue() {
    let (server, pool, _folder) = slow_server("slow_full", |config| {
        let source = source(config);
        (source.connections_max, source.waiting_max) = (2, 1);
        source.acquire_timeout = Duration::from_millis(200);
    })
    .await;
    // Two questions: who asks the same at once waits for one statement.
    let slow = |seconds: u8| {
        let target = format!("/v1/datasets/slow/rows/{seconds}");
        let server = &server;
        async move { server.get("reader", &target).await }
    };
    let (held, others) = tokio::join!(join_all([slow(2), slow(3)]), async {
        until(|| async { running(&pool, "slow_full").await == 2 }).await;
        join_all((0..20).map(|_| server.get("reader", "/v1/datasets/slow/rows/0"))).await
    });
    assert!(held.iter().all(|answer| answer.status == 200));
    for answer in others {
        assert_eq!((answer.status, answer.problem().as_str()), (503, "overloaded"));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    assert_eq!(server.get("reader", "/v1/datasets/slow/rows/0").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_database_that_dies_is_a_503_and_its_return_is_noticed_at_once() {
    let postgres = Postgres::start().await;
    let pool = postgres.pool().await;
    price_daily(&pool).await;
    pool.close().await;
    let mut config = config(Backend::Postgres);
    source(&mut config).url = config::Secret::from(postgres.url("marts"));
    source(&mut config).acquire_timeout = Duration::from_millis(500);
    let server = Server::start(config).await;
    let ask = || server.get("client_pro", "/v1/datasets/price_daily/rows?limit=1");
    // Several connections are open when the database dies, and none of them may be trusted afterwards.
    assert!(join_all((0..8).map(|_| ask())).await.iter().all(|answer| answer.status == 200));
    assert_eq!(server.admin("/readyz").await.status, 200);

    postgres.down();
    let answer = ask().await;
    assert_eq!((answer.status, answer.problem().as_str()), (503, "source-unavailable"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_eq!(server.admin("/readyz").await.status, 503);
    assert_eq!(server.admin("/livez").await.status, 200);
    // What needs no database is answered as ever.
    assert_eq!(server.get("client_pro", "/v1/datasets").await.status, 200);
    assert_eq!(server.get("client_pro", "/v1/datasets/price_daily/rows?limit=0").await.status, 400);

    postgres.up();
    assert!(join_all((0..8).map(|_| ask())).await.iter().all(|answer| answer.status == 200));
    assert_eq!(server.admin("/readyz").await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn connections_that_a_restart_broke_cost_no_request() {
    let postgres = Postgres::start().await;
    let pool = postgres.pool().await;
    price_daily(&pool).await;
    pool.close().await;
    let mut config = config(Backend::Postgres);
    source(&mut config).url = config::Secret::from(postgres.url("marts"));
    let server = Server::start(config).await;
    let ask = || server.get("client_pro", "/v1/datasets/price_daily/rows?limit=1");
    assert!(join_all((0..8).map(|_| ask())).await.iter().all(|answer| answer.status == 200));
    postgres.down();
    postgres.up();
    for answer in join_all((0..8).map(|_| ask())).await {
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_relation_whose_types_change_under_a_prepared_statement_costs_no_request() {
    let (server, pool, _folder) = slow_server("slow_migrated", |_| {}).await;
    let ask = || server.get("reader", "/v1/datasets/slow/rows?id=0");
    assert_eq!(ask().await.status, 200);
    pool.execute(
        "DROP VIEW slow_migrated; \
         CREATE VIEW slow_migrated AS SELECT id, ''::varchar COLLATE \"C\" AS nap FROM generate_series(0::bigint, 60) AS id",
    )
    .await
    .expect("another view");
    let answer = ask().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    server.stop().await;
}

#[tokio::test]
async fn a_session_can_only_read() {
    let (server, pool, _folder) = slow_server("slow_readonly", |_| {}).await;
    pool.execute(
        "CREATE TABLE IF NOT EXISTS slow_written (id bigint); \
         CREATE OR REPLACE FUNCTION slow_write(bigint) RETURNS text LANGUAGE sql VOLATILE AS \
         'INSERT INTO slow_written VALUES ($1) RETURNING ''x'' COLLATE \"C\"'; \
         CREATE OR REPLACE VIEW slow_readonly AS SELECT id, slow_write(id) COLLATE \"C\" AS nap FROM generate_series(0::bigint, 1) AS id",
    )
    .await
    .expect("a view that writes");
    let answer = server.get("reader", "/v1/datasets/slow/rows").await;
    assert_eq!((answer.status, answer.problem().as_str()), (500, "internal"));
    assert!(!answer.text().contains("read-only") && !answer.text().contains("INSERT"), "{}", answer.text());
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM slow_written").fetch_one(&pool).await.expect("a count");
    assert_eq!(written, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_drain_turns_the_probe_first_and_finishes_what_was_accepted() {
    let (server, pool, _folder) = slow_server("slow_drain", |_| {}).await;
    let request = server.request(reqwest::Method::GET, "/v1/datasets/slow/rows/2").bearer_auth(server.token("reader"));
    let (public, admin) = (server.url.clone(), server.admin.clone());
    let asking = tokio::spawn(request.send());
    until(|| async { running(&pool, "slow_drain").await == 1 }).await;
    let draining = tokio::spawn(server.drain());
    until(|| async {
        match reqwest::get(format!("{admin}/readyz")).await {
            Ok(answer) => answer.status() == 503,
            Err(_) => false,
        }
    })
    .await;
    let answer = asking.await.expect("a task").expect("an answer");
    assert_eq!(answer.status(), 200);
    draining.await.expect("a drain");
    assert!(reqwest::get(format!("{public}/v1/datasets")).await.is_err());
}

#[tokio::test]
async fn metrics_count_by_route_and_never_by_value() {
    let server = Server::over(Backend::Sqlite).await;
    for symbol in ["AAPL", "MSFT"] {
        server.get("client_pro", &format!("/v1/datasets/price_daily/rows?symbol={symbol}&limit=1")).await;
        server.get("client_pro", &format!("/v1/datasets/price_daily/rows/{symbol}/2005-02-28")).await;
    }
    server.get("client_pro", "/nowhere/AAPL").await;
    let metrics = server.admin("/metrics").await.text();
    assert!(
        metrics.contains(
            r#"martello_http_requests_total{method="GET",route="/v1/datasets/{dataset}/rows",status="200"} 2"#
        ),
        "{metrics}"
    );
    assert!(metrics.contains(r#"route="unmatched",status="404"} 1"#), "{metrics}");
    assert!(
        metrics.contains("martello_http_request_seconds_bucket") && metrics.contains("martello_source_seconds_bucket")
    );
    assert!(!metrics.contains("AAPL"), "{metrics}");
    server.stop().await;
}
