//! A schema as it should be: whatever is, the plan leads to the wish, and then there is nothing to be done.

mod commands;
mod kinds;
mod pairs;
mod releases;
mod walks;

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use martello::migrate::schema::{
    Model, Origin, Plan, Rehearsal, Running, Scope, Wish, diff, plan, read, run as applied,
};

use crate::programs::run;
use crate::support::{Backend, variable};

/// A database of a test's own, dropped with it.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// An empty one.
    pub fn new() -> Self {
        Self::on(&server())
    }

    /// An empty one on a server, by the URL of its database `postgres`.
    pub fn on(server: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("schema_{}_{count}", std::process::id());
        psql(server, &format!("CREATE DATABASE {name} TEMPLATE template0"));
        Self { server: server.to_owned(), name }
    }

    /// One after those statements.
    pub fn of(sql: &str) -> Self {
        let database = Self::new();
        database.run(sql);
        database
    }

    pub fn url(&self) -> String {
        format!("{}/{}", self.server.strip_suffix("/postgres").expect("a database"), self.name)
    }

    #[track_caller]
    pub fn run(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// Makes it what those statements make of an empty one.
    #[track_caller]
    pub fn reset(&self, sql: &str) {
        self.run(EMPTIED);
        self.run(sql);
    }

    /// Whether `pg_dump` takes it: that of an older release refuses.
    fn is_dumped(&self) -> bool {
        self.server == server() || {
            let mut command = program("pg_dump");
            command.args(["--schema-only", "--schema=none_of_this_name", "--dbname", &self.url()]);
            !run(command).err.contains("version mismatch")
        }
    }

    /// Everything but rows. A dump draws the key that its `\restrict` lines bear.
    pub fn dump(&self) -> String {
        let mut command = program("pg_dump");
        command.args(["--schema-only", "--dbname", &self.url()]);
        let ran = run(command);
        let lines = ran.well().lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        psql(&self.server, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

/// What makes a database empty without making one.
const EMPTIED: &str = "DO $$ DECLARE name text; BEGIN
   FOR name IN SELECT quote_ident(extname) FROM pg_extension WHERE extname <> 'plpgsql' LOOP
     EXECUTE 'DROP EXTENSION ' || name || ' CASCADE';
   END LOOP;
   FOR name IN SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
     EXECUTE 'DROP SCHEMA ' || name || ' CASCADE';
   END LOOP;
   CREATE SCHEMA public;
   COMMENT ON SCHEMA public IS 'standard public schema';
 END $$";

/// The database `postgres` for a role that may do everything.
pub fn server() -> String {
    let marts = Backend::Postgres.url();
    let server = marts.strip_suffix("/marts").expect("the marts' database");
    format!("{}/postgres", server.replacen("//martello@", "//postgres@", 1))
}

fn program(name: &str) -> Command {
    Command::new(Path::new(&variable("MARTELLO_TEST_PG_BIN")).join(name))
}

#[track_caller]
fn psql(url: &str, sql: &str) -> String {
    let mut command = program("psql");
    command.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname", url]);
    command.args(["--command", sql]).env("PGOPTIONS", "--client-min-messages=warning");
    run(command).well().to_owned()
}

/// What the tests look at: what the role that serves may do, too.
fn scope() -> Scope {
    Scope { grantees: vec!["martello".to_owned()], ignore: Vec::new() }
}

async fn inspected(database: &Database) -> Model {
    read(&Origin::Database(database.url()), None, &scope()).await.expect("a schema").model
}

fn schema_of(database: &Database) -> Model {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(inspected(database))
}

async fn planned(from: &Model, to: &Model, server: &str) -> Result<Plan, String> {
    let wish = Wish { model: to.clone(), renames: Vec::new() };
    let plan = plan(from, &wish, &scope(), Some(server), Rehearsal::Done).await;
    plan.map_err(|error| told(&error))
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

/// Leads a database to the schema of another, and tells what is not as it should be.
async fn led(from: &Database, to: &Database) -> Result<(), String> {
    let (is, wish) = (inspected(from).await, inspected(to).await);
    let plan = planned(&is, &wish, &from.server).await?;
    if plan.statements.is_empty() {
        return Err("a pair that is equal shows nothing".to_owned());
    }
    let sql = || plan.statements.iter().map(|it| it.sql.clone() + ";\n").collect::<String>();
    let running = Running { lock_timeout: "3s".to_owned() };
    let ran = applied(&from.url(), &plan.statements, &running, &mut |_| ()).await;
    ran.map_err(|error| format!("{}\n{}", told(&error), sql()))?;
    let now = inspected(from).await;
    for (one, other) in [(&now, &wish), (&wish, &now)] {
        if let Some(rest) = diff(one, other).first() {
            return Err(format!("not at rest: {}\nafter\n{}", rest.sql, sql()));
        }
    }
    if !from.is_dumped() {
        return Ok(());
    }
    let (reached, meant) = (from.dump(), to.dump());
    let differ = meant.lines().zip(reached.lines()).find(|(meant, reached)| meant != reached);
    if meant == reached { Ok(()) } else { Err(format!("dumps differ: {differ:?}\nafter\n{}", sql())) }
}

/// Walks pairs there and back, and tells of all that went wrong.
fn walk(pairs: &[pairs::Pair]) {
    walk_on(&server(), pairs);
}

fn walk_on(server: &str, pairs: &[pairs::Pair]) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (walker, wished) = (Database::on(server), Database::on(server));
    let mut faults = Vec::new();
    for (name, both, one, other) in pairs {
        let (one, other) = (format!("{both}\n{one}"), format!("{both}\n{other}"));
        walker.reset(&one);
        for (way, to) in [("there", &other), ("back", &one)] {
            wished.reset(to);
            if let Err(fault) = runtime.block_on(led(&walker, &wished)) {
                faults.push(format!("{name}, {way}: {fault}"));
                walker.reset(to);
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n\n"));
}

#[test]
fn tables_become_what_is_wished() {
    walk(pairs::TABLES);
}

#[test]
fn columns_become_what_is_wished() {
    walk(pairs::COLUMNS);
}

#[test]
fn constraints_become_what_is_wished() {
    walk(pairs::CONSTRAINTS);
}

#[test]
fn indexes_become_what_is_wished() {
    walk(pairs::INDEXES);
}

#[test]
fn partitions_become_what_is_wished() {
    walk(pairs::PARTITIONS);
}

#[test]
fn types_become_what_is_wished() {
    walk(pairs::TYPES);
}

#[test]
fn views_become_what_is_wished() {
    walk(pairs::VIEWS);
}

#[test]
fn functions_and_triggers_become_what_is_wished() {
    walk(pairs::FUNCTIONS);
}

#[test]
fn policies_and_grants_become_what_is_wished() {
    walk(pairs::ACCESS);
}
