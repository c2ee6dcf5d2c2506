//! How the databases get where `schema/` has them: what is in the folder is what was reviewed, and leads there.

use std::path::{Path, PathBuf};
use std::process::Command;

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::programs::{clickhouse, python, run};
use crate::support::{Backend, repository, variable};

/// The SQL files of a folder, in the order of their names.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(repository().join(folder)).expect("a folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "sql"));
    files.sort();
    files
}

/// A database of a test's own, dropped with it.
pub struct Database(String);

impl Database {
    /// Its URL, for the role that owns it.
    pub fn owned(&self) -> String {
        Self::url(&self.0, "martello")
    }

    fn url(name: &str, owner: &str) -> String {
        let marts = Backend::Postgres.url();
        let server = marts.strip_suffix("/marts").expect("the marts' database");
        format!("{}/{name}", server.replacen("//martello@", &format!("//{owner}@"), 1))
    }

    fn program(name: &str) -> Command {
        Command::new(Path::new(&variable("MARTELLO_TEST_PG_BIN")).join(name))
    }

    pub fn psql(url: &str, arguments: &[&str]) -> String {
        let mut command = Self::program("psql");
        command.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", url]).args(arguments);
        run(command).well().to_owned()
    }

    pub fn empty(name: &str) -> Self {
        Self::psql(
            &Self::url("postgres", "postgres"),
            &["--command", &format!("CREATE DATABASE {name} OWNER martello")],
        );
        Self(name.to_owned())
    }

    pub fn filled_from(name: &str, folder: &str) -> Self {
        let database = Self::empty(name);
        for file in files(folder) {
            Self::psql(&database.owned(), &["--file", file.to_str().expect("a path")]);
        }
        database
    }

    /// Everything but rows and ledgers. A dump draws the key that its `\restrict` lines bear.
    pub fn dump(&self) -> String {
        let mut command = Self::program("pg_dump");
        command.args(["--exclude-schema=atlas_schema_revisions", "--exclude-schema=martello_revisions"]);
        command.args(["--schema-only", "--dbname", &self.owned()]);
        let ran = run(command);
        let lines = ran.well().lines().filter(|line| !line.contains("restrict "));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.0);
        Self::psql(&Self::url("postgres", "postgres"), &["--command", &drop]);
    }
}

#[test]
fn the_migrations_lead_to_the_schema() {
    let meant = Database::filled_from("schema_meant", "schema/postgres").dump();
    let reached = Database::filled_from("schema_reached", "migrations/postgres").dump();
    assert!(meant.contains("CREATE TABLE public.news"), "{meant}");
    let differ = meant.lines().zip(reached.lines()).find(|(meant, reached)| meant != reached);
    assert!(meant == reached, "schema/ and migrations/ differ: {differ:?}");
}

#[test]
fn the_migrations_of_the_control_store_lead_to_its_schema() {
    let meant = Database::filled_from("control_meant", "schema/control").dump();
    let reached = Database::filled_from("control_reached", "migrations/control").dump();
    assert!(meant.contains("CREATE TABLE martello.version"), "{meant}");
    assert!(meant == reached, "schema/control and migrations/control differ");
}

#[test]
fn the_migrations_of_clickhouse_lead_to_the_schema() {
    let shown = |database: &str, folder: &str| {
        run(clickhouse(&format!("CREATE DATABASE {database}"))).well();
        let url = Backend::ClickHouse.url();
        let (server, _) = url.rsplit_once('/').expect("a database");
        let mut command = python(&["tests/support/apply.py", &format!("{server}/{database}")]);
        run({
            command.args(files(folder));
            command
        })
        .well();
        let tables = format!(
            "SELECT replaceAll(create_table_query, '{database}.', '') FROM system.tables WHERE database = '{database}' ORDER BY name"
        );
        let shown = run(clickhouse(&tables)).well().to_owned();
        run(clickhouse(&format!("DROP DATABASE {database}"))).well();
        shown
    };
    let meant = shown("schema_meant", "schema/clickhouse");
    assert!(meant.contains("CREATE TABLE news"), "{meant}");
    assert_eq!(shown("schema_reached", "migrations/clickhouse"), meant);
}

/// Each line of `atlas.sum` hashes its file and all before it; the first one hashes names and hashes.
#[test]
fn the_sum_of_the_migrations_is_that_of_its_files() {
    for folder in ["migrations/postgres", "migrations/clickhouse", "migrations/control"] {
        sum_is_of_its_files(folder);
    }
}

fn sum_is_of_its_files(folder: &str) {
    let (mut every, mut total, mut lines) = (Context::new(&SHA256), Context::new(&SHA256), String::new());
    for file in files(folder) {
        let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
        every.update(name.as_bytes());
        every.update(&std::fs::read(&file).expect("a file"));
        let hash = STANDARD.encode(every.clone().finish());
        total.update(name.as_bytes());
        total.update(hash.as_bytes());
        lines += &format!("{name} h1:{hash}\n");
    }
    let sum = format!("h1:{}\n{lines}", STANDARD.encode(total.finish()));
    let written = std::fs::read_to_string(repository().join(folder).join("atlas.sum")).expect("a sum");
    assert_eq!(written, sum, "{folder}/atlas.sum");
}
