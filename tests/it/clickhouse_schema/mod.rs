//! A schema of ClickHouse as it should be: whatever is, the plan leads to the wish, rows stay where they can, and then there
//! is nothing to be done.

mod databases;
mod pairs;

use std::time::Duration;

use martello::migrate::clickhouse::{Making, Model, Plan, Wish, connect, diff, plan, read, run as applied, script};
use martello::migrate::schema::{Hazard, Origin, Rehearsal};
use martello::migrate::statements::{Language, split};
use serde_json::Value;

use crate::clickhouse_migrate::{Database, SHOWN, shown};
use crate::programs::{Ran, martello, run};
use crate::support::{Backend, repository};

/// A database after those statements.
fn of(statements: &str) -> Database {
    let database = Database::new();
    for statement in split(statements, Language::ClickHouse).expect("statements") {
        database.run(statement.text.trim_end_matches(';'));
    }
    database
}

/// What the server says of a database.
async fn read_out(database: &Database) -> String {
    connect(&database.url()).await.expect("a server").texts(SHOWN).await.expect("an answer").join("\n")
}

async fn inspected(database: &Database) -> Model {
    read(&Origin::Database(database.url()), None, &[], &[], &[]).await.expect("a schema").model
}

fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

async fn planned(from: &Database, wish: Model, making: &Making) -> Result<Plan, String> {
    let server = connect(&from.url()).await.expect("a server");
    let wish = Wish { model: wish, renames: Vec::new() };
    let plan = plan(&inspected(from).await, &wish, Some(&server), making, Rehearsal::Done).await;
    plan.map_err(|error| told(&error))
}

async fn ran(database: &Database, plan: &Plan) -> Result<(), String> {
    let (_stopping, mut stop) = tokio::sync::watch::channel(false);
    let done = applied(&database.url(), &plan.statements, Duration::from_secs(10), &mut stop, &mut |_| ()).await;
    done.map_err(|error| format!("{}\n{}", told(&error), script(&plan.statements)))
}

/// Leads a database to the schema of another, and tells what is not as it should be.
async fn led(from: &Database, to: &Database) -> Result<(), String> {
    let wish = inspected(to).await;
    let plan = planned(from, wish.clone(), &Making::default()).await?;
    if plan.statements.is_empty() {
        return Err("a pair that is equal shows nothing".to_owned());
    }
    ran(from, &plan).await?;
    if let Some(rest) = diff(&inspected(from).await, &wish, false).first() {
        return Err(format!("not at rest: {}\nafter\n{}", rest.sql, script(&plan.statements)));
    }
    let (reached, meant) = (read_out(from).await, read_out(to).await);
    if reached == meant {
        return Ok(());
    }
    Err(format!("reached\n{reached}meant\n{meant}after\n{}", script(&plan.statements)))
}

/// Walks pairs there and back, and tells of all that went wrong.
async fn walk(pairs: &[pairs::Pair]) {
    let server = connect(&Backend::ClickHouse.url()).await.expect("a server");
    let mut faults = Vec::new();
    for (place, pairs::Pair { name, from, to, back }) in pairs.iter().enumerate() {
        let mut made = Vec::new();
        for (side, statements) in [("from", from), ("to", to), ("back", from)] {
            let database = format!("walk_{}_{place}_{side}", std::process::id());
            server.execute(&format!("CREATE DATABASE {database} ENGINE = Atomic")).await.expect("a database");
            for statement in split(statements, Language::ClickHouse).expect("statements") {
                let sql = statement.text.trim_end_matches(';');
                server
                    .within(&database)
                    .execute(sql)
                    .await
                    .unwrap_or_else(|failure| panic!("{name}: {sql}: {failure}"));
            }
            made.push(Database::named(&database));
        }
        let [from, to, other] = &made[..] else { unreachable!("three sides") };
        if let Err(fault) = led(from, to).await {
            faults.push(format!("--- {name}\n{fault}"));
        } else if *back && let Err(fault) = led(to, other).await {
            faults.push(format!("--- {name}, and back\n{fault}"));
        }
        for database in &made {
            server.execute(&format!("DROP DATABASE {}", database.name())).await.expect("dropped");
        }
    }
    assert!(faults.is_empty(), "{} of {} fail\n{}", faults.len(), pairs.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_are_led_to_the_wish() {
    walk(&pairs::COLUMNS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_led_to_the_wish() {
    walk(&pairs::TABLES).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn views_and_dictionaries_are_led_to_the_wish() {
    walk(&pairs::VIEWS).await;
}

const ROWS: &str = "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree PARTITION BY toYYYYMM(c) ORDER BY a; \
                    CREATE TABLE sums (b String, n UInt64) ENGINE = SummingMergeTree ORDER BY b; \
                    CREATE MATERIALIZED VIEW v TO sums AS SELECT b, count() AS n FROM t GROUP BY b; \
                    INSERT INTO t SELECT number, toString(number % 7), toDate('2026-01-01') + number % 90 FROM numbers(1000)";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_survive_a_table_that_is_built_anew_and_views_go_on() {
    let from = of(ROWS);
    let to = of(&ROWS.replace("ORDER BY a;", "ORDER BY (c, a);").replace("PARTITION BY toYYYYMM(c)", "PARTITION BY b"));
    let before = from.run("SELECT count(), sum(a), groupBitXor(cityHash64(a, b, c)) FROM t");
    let plan = planned(&from, inspected(&to).await, &Making::default()).await.expect("a plan");
    let hazards: Vec<Hazard> = plan.refused(&[]).into_iter().map(|(hazard, _)| hazard).collect();
    assert_eq!(hazards, [Hazard::RewritesTable]);
    ran(&from, &plan).await.expect("applied");
    assert_eq!(from.run("SELECT count(), sum(a), groupBitXor(cityHash64(a, b, c)) FROM t"), before);
    // The view passed on each row once, when it came, and passes on what comes.
    assert_eq!(from.run("SELECT sum(n) FROM sums").trim(), "1000");
    from.run("INSERT INTO t VALUES (1, 'x', '2026-01-01')");
    assert_eq!(from.run("SELECT sum(n) FROM sums").trim(), "1001");
    let left =
        from.run("SELECT name FROM system.tables WHERE database = currentDatabase() AND match(name, '^t__old_')");
    assert_eq!(from.run(&format!("SELECT count() FROM {}", left.trim())).trim(), "1000");
    // What is left is nobody's wish, and goes when that is said.
    let wish = inspected(&to).await;
    let making = Making { drop_old: true, ..Making::default() };
    assert!(planned(&from, wish.clone(), &Making::default()).await.expect("a plan").statements.is_empty());
    let plan = planned(&from, wish, &making).await.expect("a plan");
    assert_eq!(plan.statements.len(), 1, "{plan:?}");
    ran(&from, &plan).await.expect("applied");
    assert!(inspected(&from).await.left.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_a_table_is_copied_is_brought_behind() {
    let from = of(ROWS);
    let to = of(&ROWS.replace("ORDER BY a;", "ORDER BY (c, a);"));
    let plan = planned(&from, inspected(&to).await, &Making::default()).await.expect("a plan");
    let (_stopping, mut stop) = tokio::sync::watch::channel(false);
    let mut told = |done: martello::migrate::clickhouse::Done<'_>| {
        // The first copy has ended, and the tables have not changed places yet.
        if let martello::migrate::clickhouse::Done::Ran(step) = done
            && step.copy.as_ref().is_some_and(|copy| !copy.again)
        {
            from.run("INSERT INTO t SELECT 5000 + number, 'late', toDate('2026-02-02') FROM numbers(10)");
        }
    };
    applied(&from.url(), &plan.statements, Duration::from_secs(10), &mut stop, &mut told).await.expect("applied");
    assert_eq!(from.run("SELECT count(), countIf(b = 'late') FROM t").trim(), "1010\t10");
    assert_eq!(from.run("SELECT sum(n) FROM sums").trim(), "1010");
}

/// A command with a folder of one file, or of several.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

fn schema(arguments: &[&str]) -> Ran {
    let mut command = martello(&["schema"]);
    command.args(arguments);
    run(command)
}

#[test]
fn the_repository_is_of_one_mind() {
    let database = Database::new();
    let url = database.url();
    let (migrations, wish) = (repository().join("migrations/clickhouse"), repository().join("schema/clickhouse"));
    let (migrations, wish) = (migrations.display().to_string(), wish.display().to_string());
    let same = schema(&["diff", "--from", &migrations, "--to", &wish, "--dev-url", &url, "--exit-code"]);
    assert_eq!(same.well(), "");
    let ran = schema(&["apply", "--from", &url, "--to", &wish]);
    assert_eq!(ran.well(), "the schema is as it should be, by 7 statements\n");
    assert_eq!(schema(&["apply", "--from", &url, "--to", &wish]).well(), "the schema is as it should be\n");
    // What inspect prints makes the same again.
    let text = schema(&["inspect", &url]).well().to_owned();
    let again = folder(&[("1.sql", &text)]);
    let same = schema(&["diff", "--from", &url, "--to", &again.path().display().to_string(), "--exit-code"]);
    assert_eq!(same.well(), "");
    let shown: Value = serde_json::from_str(schema(&["inspect", &url, "--format", "json"]).well()).expect("a model");
    assert_eq!(shown["objects"]["price_daily"]["columns"][0]["type"], "String", "{shown}");
}

#[test]
fn a_plan_is_refused_where_the_database_has_changed_and_hazards_are_asked_for() {
    let database = of("CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY a");
    let url = database.url();
    let wish = folder(&[("1.sql", "CREATE TABLE t (a UInt64, c String DEFAULT 'x;y') ENGINE = MergeTree ORDER BY a;")]);
    let to = wish.path().display().to_string();
    let file = wish.path().join("plan.json").display().to_string();
    let made = schema(&["plan", "--from", &url, "--to", &to, "--out", &file]);
    assert!(made.well().contains("-- deletes-data: "), "{made:?}");
    let refused = schema(&["apply", "--from", &url, "--plan", &file]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains("add --allow deletes-data"), "{}", refused.err);
    database.run("ALTER TABLE t ADD COLUMN z UInt8");
    let drifted = schema(&["apply", "--from", &url, "--plan", &file, "--allow", "deletes-data"]);
    assert!(drifted.complaint().ends_with("the database is not what the plan was made for; plan anew"), "{drifted:?}");
    database.run("ALTER TABLE t DROP COLUMN z");
    schema(&["apply", "--from", &url, "--plan", &file, "--allow", "deletes-data"]).well();
    assert!(shown(&database).contains("DEFAULT \\'x;y\\'") || shown(&database).contains("DEFAULT 'x;y'"));
}

#[test]
fn a_new_name_keeps_the_values_and_no_other_database_is_changed() {
    let database =
        of("CREATE TABLE old (a UInt64, b String) ENGINE = MergeTree ORDER BY a; INSERT INTO old VALUES (1, 'x')");
    let (url, name) = (database.url(), database.name().to_owned());
    let text = format!(
        "-- martello:rename old fresh\n-- martello:rename fresh.b said\n\
         CREATE TABLE {name}.fresh (a UInt64, said String) ENGINE = MergeTree ORDER BY a;\nGRANT SELECT ON *.* TO nobody;"
    );
    let wish = folder(&[("1.sql", &text)]);
    let ran = schema(&["apply", "--from", &url, "--to", &wish.path().display().to_string(), "--allow", "correctness"]);
    ran.well();
    assert!(ran.err.contains("left alone: GRANT (1.sql, line 4)"), "{}", ran.err);
    assert_eq!(database.run("SELECT said FROM fresh").trim(), "x");
    let foreign = folder(&[("1.sql", "SELECT 1;\nCREATE TABLE other.t (a UInt64) ENGINE = Memory;")]);
    let refused = schema(&["diff", "--from", &url, "--to", &foreign.path().display().to_string()]);
    assert!(refused.complaint().contains("apply 1.sql, line 2: it changes database other"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_every_statement_names_it() {
    let from = of(ROWS);
    let to = of(&ROWS.replace("ORDER BY a;", "ORDER BY (c, a);").replace("count() AS n", "2 * count() AS n"));
    to.run("CREATE VIEW w AS SELECT 1 AS one");
    let making = Making { cluster: Some("marts".to_owned()), ..Making::default() };
    let plan = planned(&from, inspected(&to).await, &making).await.expect("a plan");
    for step in plan.statements.iter().filter(|step| step.copy.is_none()) {
        assert!(step.sql.contains(" ON CLUSTER `marts`"), "{}", step.sql);
    }
    let text = script(&plan.statements);
    for expected in [
        "CREATE TABLE t__new ON CLUSTER `marts` (",
        "EXCHANGE TABLES t AND t__new ON CLUSTER `marts`;",
        "ALTER TABLE v ON CLUSTER `marts` MODIFY QUERY SELECT b, 2 * count() AS n FROM t",
        "CREATE VIEW w ON CLUSTER `marts` (`one` UInt8)",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}
