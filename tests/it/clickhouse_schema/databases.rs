//! Databases beside the one of the URL: what is, whatever it is, becomes what a folder says of them.

use std::path::Path;
use std::time::Duration;

use martello::migrate::clickhouse::{
    Connection, Done, Making, Plan, Wish, connect, plan, read, run as applied, script,
};
use martello::migrate::schema::{Origin, Rehearsal};
use martello::migrate::statements::{Language, split};

use super::{folder, pairs, schema, told};
use crate::clickhouse_migrate::Database;
use crate::programs::{clickhouse, run};
use crate::support::Backend;

/// All databases whose names begin like that.
async fn all(server: &Connection, own: &str) -> Vec<String> {
    let question = format!("SELECT name FROM system.databases WHERE startsWith(name, '{own}') ORDER BY name");
    server.texts(&question).await.expect("names")
}

/// What the server says of them, and of what is in them.
async fn read_out(server: &Connection, own: &str) -> String {
    let databases = "SELECT concat(name, ' ', engine, ' ', comment) FROM system.databases";
    let tables = "SELECT concat(database, ': ', create_table_query) FROM system.tables";
    let mut out = Vec::new();
    for (question, database, more) in
        [(databases, "name", ""), (tables, "database", "AND NOT match(name, '^martello_|^.inner|__old_[0-9a-f]{8}$')")]
    {
        let question = format!("{question} WHERE startsWith({database}, '{own}') {more} ORDER BY {database}, name");
        out.extend(server.texts(&question).await.expect("an answer"));
    }
    out.join("\n")
}

/// The plan from what is to what statements say, and the wish that they are.
async fn planned(url: &str, statements: &str) -> Result<Plan, String> {
    let folder = folder(&[("1.sql", statements)]);
    let server = connect(url).await.expect("a server");
    let mut others = all(&server, server.database()).await;
    others.retain(|name| name != server.database());
    let live = [server.database()];
    let failed = |error| told(&error);
    let wish = read(&Origin::Folder(folder.path().to_owned()), Some(&server), &live, &[], &[]).await.map_err(failed)?;
    others.extend(wish.model.databases.keys().filter(|name| !others.contains(name)).cloned().collect::<Vec<_>>());
    let is = read(&Origin::Database(url.to_owned()), None, &live, &others, &[]).await.map_err(failed)?.model;
    let wish = Wish { model: wish.model, renames: wish.renames };
    plan(&is, &wish, Some(&server), &Making::default(), Rehearsal::Done).await.map_err(failed)
}

/// Leads databases to what statements say; what the server says of them then.
async fn led(url: &str, statements: &str) -> Result<String, String> {
    let plan = planned(url, statements).await?;
    if plan.statements.is_empty() {
        return Err("a pair that is equal shows nothing".to_owned());
    }
    let (_stopping, mut stop) = tokio::sync::watch::channel(false);
    let done = applied(url, &plan.statements, Duration::from_secs(10), &mut stop, &mut |_| ()).await;
    done.map_err(|error| format!("{}\n{}", told(&error), script(&plan.statements)))?;
    let rest = planned(url, statements).await?;
    if let Some(first) = rest.statements.first() {
        return Err(format!("not at rest: {}\nafter\n{}", first.sql, script(&plan.statements)));
    }
    let server = connect(url).await.expect("a server");
    Ok(read_out(&server, server.database()).await)
}

/// Databases by their own statements; what the server says of them.
async fn made(server: &Connection, own: &str, statements: &str) -> String {
    server.execute(&format!("CREATE DATABASE {own} ENGINE = Atomic")).await.expect("a database");
    for statement in split(statements, Language::ClickHouse).expect("statements") {
        let sql = statement.text.trim_end_matches(';');
        server.within(own).execute(sql).await.unwrap_or_else(|failure| panic!("{sql}: {failure}"));
    }
    read_out(server, own).await
}

async fn dropped(server: &Connection, own: &str) {
    for name in all(server, own).await {
        server.execute(&format!("DROP DATABASE `{name}` SYNC")).await.expect("dropped");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_are_led_to_the_wish() {
    let server = connect(&Backend::ClickHouse.url()).await.expect("a server");
    let mut faults = Vec::new();
    for (place, pairs::Pair { name, from, to, .. }) in pairs::DATABASES.iter().enumerate() {
        let own = format!("beside_{}_{place}", std::process::id());
        let url = Database::named(&own).url();
        let [from, to] = [from, to].map(|text| text.replace("{x}", &format!("{own}_x")));
        let expected = made(&server, &own, &to).await;
        dropped(&server, &own).await;
        let before = made(&server, &own, &from).await;
        for (way, statements, expected) in [("", &to, &expected), (", and back", &from, &before)] {
            match led(&url, statements).await {
                Ok(reached) if reached == *expected => {}
                Ok(reached) => faults.push(format!("--- {name}{way}\nreached\n{reached}\nmeant\n{expected}")),
                Err(fault) => faults.push(format!("--- {name}{way}\n{fault}")),
            }
        }
        dropped(&server, &own).await;
    }
    let scratch = all(&server, "martello_scratch_").await;
    assert!(faults.is_empty(), "{} fail\n{}", faults.len(), faults.join("\n"));
    // Other tests have theirs at the same time; none of these is left.
    assert!(scratch.iter().all(|name| !name.contains("_beside_")), "{scratch:?}");
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn a_database_that_is_not_there_is_made_and_one_that_is_not_named_stays() {
    let database = Database::new();
    let beside = database.beside("x");
    let (url, name, x) = (database.url(), database.name(), beside.name());
    run(clickhouse(&format!("DROP DATABASE {name} SYNC"))).well();
    let wish = folder(&[(
        "1.sql",
        &format!(
            "CREATE DATABASE IF NOT EXISTS {x} COMMENT 'beside';\nCREATE TABLE {x}.t (a UInt64) ENGINE = MergeTree ORDER BY a;
             CREATE VIEW {name}.v AS SELECT a FROM {x}.t;"
        ),
    )]);
    let to = text(wish.path());
    let shown = schema(&["diff", "--from", &url, "--to", &to]);
    assert!(shown.well().starts_with(&format!("CREATE DATABASE {name};\n")), "{}", shown.out);
    // Nobody has made it by that.
    let missing = schema(&["diff", "--from", &to, "--to", &url, "--dev-url", &Backend::ClickHouse.url()]);
    assert!(missing.complaint().contains("compare with a database that is not there"), "{missing:?}");
    let file = text(&wish.path().join("plan.json"));
    schema(&["plan", "--from", &url, "--to", &to, "--out", &file]).well();
    let ran = schema(&["apply", "--from", &url, "--plan", &file]);
    assert_eq!(ran.well(), "the schema is as it should be, by 4 statements\n");
    assert_eq!(schema(&["apply", "--from", &url, "--to", &to]).well(), "the schema is as it should be\n");
    database.run(&format!("INSERT INTO {x}.t VALUES (1)"));
    assert_eq!(database.run("SELECT a FROM v").trim(), "1");
    // What inspect prints makes the same again.
    let printed = schema(&["inspect", &url, "--database", x]).well().to_owned();
    let again = folder(&[("1.sql", &printed)]);
    assert_eq!(schema(&["diff", "--from", &url, "--to", &text(again.path()), "--exit-code"]).well(), "");
    // A wish that does not name it says nothing of it.
    let less = folder(&[("1.sql", "CREATE VIEW v AS SELECT toUInt64(1) AS a;")]);
    let less = text(less.path());
    schema(&["apply", "--from", &url, "--to", &less]).well();
    assert_eq!(database.run(&format!("SELECT a FROM {x}.t")).trim(), "1");
    let named = ["--from", &url, "--to", &less, "--database", x];
    // What is left alone in it would go with it.
    let held = schema(&[&["diff", "--ignore", &format!("{x}.t"), "--exit-code"], &named[..]].concat());
    assert_eq!(held.well(), "");
    let refused = schema(&[&["apply"], &named[..]].concat());
    assert!(refused.code == Some(1) && refused.err.contains("add --allow deletes-data"), "{}", refused.err);
    schema(&[&["apply", "--allow", "deletes-data"], &named[..]].concat()).well();
    let left = database.run(&format!("SELECT count() FROM system.databases WHERE name = '{x}'"));
    assert_eq!(left.trim(), "0");
}

#[test]
fn rows_move_into_a_database_that_is_new_and_an_engine_stays() {
    let database = super::of("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a; INSERT INTO t VALUES (7)");
    let beside = database.beside("x");
    let (url, x) = (database.url(), beside.name());
    let wish = |head: &str, engine: &str| {
        folder(&[(
            "1.sql",
            &format!(
                "{head}CREATE DATABASE {x}{engine};\nCREATE TABLE {x}.u (a UInt64) ENGINE = MergeTree ORDER BY a;"
            ),
        )])
    };
    let moved = wish(&format!("-- martello:rename t {x}.u\n"), "");
    schema(&["apply", "--from", &url, "--to", &text(moved.path()), "--allow", "correctness"]).well();
    assert_eq!(database.run(&format!("SELECT a FROM {x}.u")).trim(), "7");
    let same = wish("", " ENGINE = Atomic COMMENT ''");
    assert_eq!(schema(&["diff", "--from", &url, "--to", &text(same.path()), "--exit-code"]).well(), "");
    let other = wish("", " ENGINE = Memory");
    let refused = schema(&["apply", "--from", &url, "--to", &text(other.path())]);
    let expected = format!("plan database {x}: its engine is Atomic, and the wish says Memory");
    assert!(refused.complaint().contains(&expected), "{refused:?}");
    // One that the folder does not make is not the folder's to change.
    let foreign = folder(&[("1.sql", &format!("CREATE TABLE {x}.w (a UInt64) ENGINE = Memory;"))]);
    let refused = schema(&["diff", "--from", &url, "--to", &text(foreign.path())]);
    assert!(refused.complaint().contains(&format!("it changes database {x}")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_cut_off_behind_a_new_database_goes_on() {
    let database = Database::new();
    let beside = database.beside("x");
    let (url, x) = (database.url(), beside.name());
    let server = connect(&Backend::ClickHouse.url()).await.expect("a server");
    server.execute(&format!("DROP DATABASE {} SYNC", database.name())).await.expect("dropped");
    let wish = format!("CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory; CREATE TABLE t AS {x}.t;");
    for left in [4, 3, 2, 1] {
        let plan = planned(&url, &wish).await.expect("a plan");
        assert_eq!(plan.statements.len(), left, "{}", script(&plan.statements));
        let (stopping, mut stop) = tokio::sync::watch::channel(false);
        let mut told = |done: Done<'_>| {
            if matches!(done, Done::Ran(_)) {
                stopping.send_replace(true);
            }
        };
        let done = applied(&url, &plan.statements, Duration::from_secs(10), &mut stop, &mut told).await;
        assert_eq!(done.is_ok(), left == 1, "{done:?}");
    }
    assert!(planned(&url, &wish).await.expect("a plan").statements.is_empty());
}
