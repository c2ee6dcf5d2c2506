//! The SQL that a plan becomes uses what an index gives: Postgres' own plans over a million rows, with nothing sorted and
//! nothing scanned that need not be.

use std::process::Command;
use std::time::Duration;

use martello::config;
use serde_json::Value;

use crate::support::{Backend, Server, config, repository, variable};

/// A database with the schema of the marts, and a million bars: 500 symbols in 2000 sessions.
struct Million {
    name: String,
    url: String,
}

const FILL: &str = "
  INSERT INTO price_daily
    SELECT 'S' || lpad(s::text, 3, '0'), date '2001-01-01' + d, 1 + s, 2 + s, s, 1 + s, 1 + s, d * 100, NULL, NULL, 'made'
    FROM generate_series(0, 499) s, generate_series(0, 1999) d ORDER BY 1, 2;
  INSERT INTO fundamental
    SELECT n, 'S' || lpad((n % 500)::text, 3, '0'), n % 500, 'metric_' || n % 7, 'c', 'USD', 'quarter', NULL,
      date '2001-01-01' + (n / 3500)::int, n, NULL, NULL, '10-Q', n::text, date '2001-02-01' + (n / 1750)::int, 'made'
    FROM generate_series(1, 350000) n ORDER BY 2, 4, 9, 15;
  INSERT INTO news
    SELECT n, timestamptz '2001-01-01Z' + n * interval '1 hour', 'word' || n || ' of ' || n % 1000, NULL,
      ARRAY['S' || lpad((n % 500)::text, 3, '0')], 'made', NULL, NULL, NULL, 'made'
    FROM generate_series(1, 100000) n;
  INSERT INTO company_profile (symbol, company_name, tier)
    SELECT 'S' || lpad(s::text, 3, '0'), 'Company', 'made' FROM generate_series(0, 499) s;
  ANALYZE price_daily; ANALYZE fundamental; ANALYZE news; ANALYZE company_profile;";

impl Million {
    fn psql(url: &str, arguments: &[&str]) {
        let program = std::path::Path::new(&variable("MARTELLO_TEST_PG_BIN")).join("psql");
        let output = Command::new(program)
            .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", url])
            .args(arguments)
            .output()
            .expect("psql runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn fill() -> Self {
        let marts = Backend::Postgres.url();
        let name = format!("million_{}", std::process::id());
        let server = marts.strip_suffix("/marts").expect("the marts' database");
        let superuser = marts.replacen("//martello@", "//postgres@", 1);
        Self::psql(&superuser, &["--command", &format!("CREATE DATABASE {name} OWNER martello")]);
        let url = format!("{server}/{name}");
        let million = Self { name, url };
        let mut files: Vec<_> = std::fs::read_dir(repository().join("schema/postgres")).expect("a folder").collect();
        files.sort_by_key(|file| file.as_ref().expect("a file").path());
        for file in files {
            let path = file.expect("a file").path();
            Self::psql(&million.url, &["--file", path.to_str().expect("a path")]);
        }
        Self::psql(&million.url, &["--command", FILL]);
        million
    }
}

impl Drop for Million {
    fn drop(&mut self) {
        let superuser = Backend::Postgres.url().replacen("//martello@", "//postgres@", 1);
        Self::psql(&superuser, &["--command", &format!("DROP DATABASE {} WITH (FORCE)", self.name)]);
    }
}

/// Every node of a plan, with its parents' first.
fn nodes(plan: &Value) -> Vec<&Value> {
    let mut nodes = vec![plan];
    for below in plan["Plans"].as_array().into_iter().flatten() {
        nodes.extend(self::nodes(below));
    }
    nodes
}

/// A question, what its plan must have, and the sort that it may have: of the few rows that are left at the end.
struct Shape {
    about: &'static str,
    target: &'static str,
    /// Index scans on this index with this condition on it.
    index: &'static str,
    condition: &'static str,
    /// Rows that a sort may be expected to take.
    sorted_max: f64,
}

const SHAPES: &[Shape] = &[
    Shape {
        about: "a page of one symbol, newest first",
        target: "price_daily/rows?symbol=S250&sort=-date&limit=50",
        index: "price_daily_pkey",
        condition: "symbol",
        sorted_max: 0.0,
    },
    Shape {
        about: "the newest rows of several symbols",
        target: "price_daily/rows?symbol.in=S001,S100,S200,S300,S499&sort=-date&limit=50",
        index: "price_daily_pkey",
        condition: "symbol",
        sorted_max: 5.0 * 51.0,
    },
    Shape {
        about: "the newest rows of several symbols since a day",
        target: "price_daily/rows?symbol.in=S001,S100,S200&date.gte=2005-01-01&sort=-date&limit=20",
        index: "price_daily_pkey",
        condition: "date",
        sorted_max: 3.0 * 21.0,
    },
    Shape {
        about: "several symbols in the default order",
        target: "price_daily/rows?symbol.in=S001,S100,S200&limit=100",
        index: "price_daily_pkey",
        condition: "symbol",
        sorted_max: 3.0 * 101.0,
    },
    Shape {
        about: "the newest row of every symbol",
        target: "price_daily/rows?latest_by=symbol&limit=500",
        index: "price_daily_pkey",
        condition: "symbol",
        sorted_max: 500.0,
    },
    Shape {
        about: "the newest row of every symbol before a day",
        target: "price_daily/rows?latest_by=symbol&date.lt=2003-01-01&limit=500",
        index: "price_daily_pkey",
        condition: "date",
        sorted_max: 500.0,
    },
    Shape {
        about: "the newest row of listed symbols",
        target: "price_daily/rows?latest_by=symbol&symbol.in=S001,S002&limit=500",
        index: "price_daily_pkey",
        condition: "symbol",
        sorted_max: 500.0,
    },
    Shape {
        about: "a day across symbols",
        target: "price_daily/rows?date=2003-03-03&sort=symbol&limit=100",
        index: "price_daily_date_idx",
        condition: "date",
        sorted_max: 0.0,
    },
    Shape {
        about: "what was known of a company",
        target: "fundamental/rows?symbol=S250&as_of=2030-03-01&limit=100",
        index: "fundamental_as_of_idx",
        condition: "symbol",
        sorted_max: 1000.0,
    },
    Shape {
        about: "one metric of several companies, newest first",
        target: "fundamental/rows?symbol.in=S005,S250&metric=metric_5&sort=-period_end&limit=20",
        index: "fundamental_order_idx",
        condition: "metric",
        sorted_max: 100.0,
    },
    Shape {
        about: "news with some words",
        target: "news/rows?search=word4711&limit=20",
        index: "news_headline_words_idx",
        condition: "word4711",
        sorted_max: 100.0,
    },
];

#[track_caller]
fn check(about: &str, plan: &Value, index: &str, condition: &str, sorted_max: f64) {
    let nodes = nodes(plan);
    let used = nodes.iter().any(|node| {
        let conditions = [&node["Index Cond"], &node["Recheck Cond"]];
        node["Index Name"] == index
            && conditions.iter().any(|found| found.as_str().is_some_and(|found| found.contains(condition)))
    });
    assert!(used, "{about}: no scan of {index} by {condition}\n{plan:#}");
    for node in &nodes {
        let kind = node["Node Type"].as_str().expect("a type");
        assert_ne!(kind, "Seq Scan", "{about}\n{plan:#}");
        if kind == "Sort" {
            let rows = node["Plans"][0]["Plan Rows"].as_f64().expect("rows");
            assert!(rows <= sorted_max, "{about}: sorts {rows} rows\n{plan:#}");
        }
        // The rows below an incremental sort come in order but for ties.
    }
}

#[tokio::test]
async fn every_shape_is_answered_from_an_index_in_order() {
    let million = tokio::task::spawn_blocking(Million::fill).await.expect("a database");
    let mut config = config(Backend::Postgres);
    config.sources.insert("marts".into(), config::Source::at(million.url.clone()));
    config.paging.count_budget = Duration::from_millis(1);
    let server = Server::start(config).await;
    let explain = async |target: &str| {
        let answer = server.get("internal_scientist", &format!("/v1/datasets/{target}&explain=plan")).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        answer.json()["data"].clone()
    };
    for shape in SHAPES {
        let told = explain(shape.target).await;
        check(shape.about, &told["database"][0]["Plan"], shape.index, shape.condition, shape.sorted_max);
    }

    // A page in the middle begins at its key.
    let first = "price_daily/rows?symbol.in=S001,S100,S200&sort=-date&limit=50";
    for (target, condition) in [(first, "date"), ("price_daily/rows?sort=symbol,date&limit=50", "ROW(")] {
        let page = server.get("internal_scientist", &format!("/v1/datasets/{target}")).await;
        let cursor = page.json()["page"]["next_cursor"].as_str().expect("a cursor").to_owned();
        let told = explain(&format!("{target}&cursor={cursor}")).await;
        check(target, &told["database"][0]["Plan"], "price_daily_pkey", condition, 3.0 * 51.0);
    }

    // Related rows: so many of each parent, each from the end of its part of the index.
    let told = explain("company_profile/rows?expand=prices(limit=5,sort=-date)&limit=50").await;
    let related = &told["related"]["prices"]["database"][0]["Plan"];
    check("related rows", related, "price_daily_pkey", "symbol", 10.0 * 5.0);

    // To count a million rows takes longer than a millisecond: the page comes all the same.
    let target = "/v1/datasets/price_daily/rows?close.gt=0&limit=3&count=exact";
    let answer = server.get("internal_scientist", target).await;
    assert_eq!(answer.rows().len(), 3);
    let page = answer.json()["page"].clone();
    assert_eq!((&page["total_count"], &page["count_status"]), (&Value::Null, &Value::from("budget")));

    server.stop().await;
    tokio::task::spawn_blocking(move || drop(million)).await.expect("dropped");
}
