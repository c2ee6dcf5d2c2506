//! `martello migrate` on ClickHouse: without transactions, locks and sessions, what is in a folder comes into a database once
//! and in its order, whatever happens in between.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use martello::migrate::folder::Folder;
use serde_json::{Value, json};

use crate::programs::{Ran, clickhouse, martello, run};
use crate::support::{Backend, repository};

/// A database of a test's own, dropped with it where it has made it itself.
pub struct Database(String, bool);

impl Database {
    pub fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("trial_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        run(clickhouse(&format!("CREATE DATABASE {name} ENGINE = Atomic"))).well();
        Self(name, true)
    }

    /// One that somebody else makes and drops.
    pub fn named(name: &str) -> Self {
        Self(name.to_owned(), false)
    }

    /// One that is called after this one; whoever makes it, it goes with the test.
    pub fn beside(&self, end: &str) -> Self {
        Self(format!("{}_{end}", self.0), true)
    }

    pub fn name(&self) -> &str {
        &self.0
    }

    pub fn url(&self) -> String {
        let url = Backend::ClickHouse.url();
        let (server, _) = url.rsplit_once('/').expect("a database");
        format!("{server}/{}", self.0)
    }

    /// A statement in it; what the server answers.
    #[track_caller]
    pub fn run(&self, statement: &str) -> String {
        let command = crate::programs::python(&["tests/support/apply.py", &self.url(), "--query", statement]);
        run(command).well().to_owned()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if self.1 {
            run(clickhouse(&format!("DROP DATABASE IF EXISTS {} SYNC", self.0)));
        }
    }
}

/// A folder of migrations, and a database for them.
struct Trial {
    folder: tempfile::TempDir,
    database: Database,
}

impl Trial {
    fn new(files: &[(&str, &str)]) -> Self {
        let trial = Self { folder: tempfile::tempdir().expect("a folder"), database: Database::new() };
        for (file, text) in files {
            trial.write(file, text);
        }
        trial
    }

    /// Writes a file, and hashes the folder.
    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).expect("written");
        Folder::read(self.folder.path()).and_then(|folder| folder.write_sum()).expect("hashed");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = martello(&["migrate"]);
        command.args(arguments).args(["--url", &self.database.url()]);
        command.args(["--dir", &format!("file://{}", self.folder.path().display())]);
        command
    }

    fn migrate(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments))
    }

    fn unlock(&self, holder: &str) -> Ran {
        let mut command = martello(&["migrate", "unlock", holder, "--url"]);
        command.arg(self.database.url());
        run(command)
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("a program")
    }

    fn tables(&self) -> String {
        let tables = "SELECT arrayStringConcat(arraySort(groupArray(name)), ' ') FROM system.tables \
                      WHERE database = currentDatabase() AND NOT startsWith(name, 'martello_')";
        self.database.run(tables).trim().to_owned()
    }

    /// The ledger as it stands: `version kind applied/total`.
    fn ledger(&self) -> Vec<String> {
        let rows = "SELECT concat(version, ' ', toString(argMax(type, sequence)), ' ', toString(argMax(applied, sequence)), '/', \
                    toString(argMax(total, sequence))) FROM martello_schema_revisions GROUP BY version \
                    HAVING argMax(removed, sequence) = 0 ORDER BY version";
        self.database.run(rows).lines().map(str::to_owned).collect()
    }

    fn status(&self) -> Value {
        serde_json::from_str(self.migrate(&["status", "--json"]).well()).expect("a report")
    }

    /// Whether anything holds the lock, dead or alive.
    fn is_locked(&self) -> bool {
        let count =
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'martello_migrate_lock'";
        self.database.run(count).trim() != "0"
    }

    /// Waits until a question answers something else than 0; its table may be made yet.
    fn until(&self, question: &str) {
        let until = martello::clock::instant() + Duration::from_secs(60);
        loop {
            let ran =
                run(crate::programs::python(&["tests/support/apply.py", &self.database.url(), "--query", question]));
            if ran.code == Some(0) && ran.out.trim() != "0" {
                return;
            }
            assert!(martello::clock::instant() < until, "never came true: {question}");
        }
    }
}

/// A table like that, as SQL.
fn table(name: &str) -> String {
    format!("CREATE TABLE {name} (x Int32) ENGINE = MergeTree ORDER BY x;\n")
}

#[test]
fn what_is_pending_is_applied_once_in_clickhouse() {
    let text = format!("-- Two; of them.\n{}INSERT INTO b SELECT 1;\nINSERT INTO b VALUES (2), (3);\n", table("b"));
    let trial = Trial::new(&[("1_a.sql", &table("a")), ("2_b.sql", &text)]);
    let before = trial.migrate(&["status", "--exit-code"]);
    assert_eq!(before.code, Some(2), "{before:?}");
    let dry = trial.migrate(&["apply", "--dry-run"]);
    assert!(dry.well().ends_with("-- 2 files would lead from nothing to 2\n"), "{dry:?}");
    assert_eq!(trial.tables(), "", "a dry run writes nothing");
    let first = trial.migrate(&["apply", "--to-version", "1"]);
    assert!(first.well().ends_with("the database is at 1: 1 file from nothing\n"), "{first:?}");
    let report: Value = serde_json::from_str(trial.migrate(&["apply", "--json"]).well()).expect("a report");
    assert_eq!(
        (&report["Driver"], &report["Current"], &report["Target"]),
        (&json!("clickhouse"), &json!("1"), &json!("2"))
    );
    assert_eq!(report["Applied"][0]["Applied"].as_array().map(Vec::len), Some(3), "{report}");
    assert_eq!(trial.database.run("SELECT sum(x) FROM b").trim(), "6");
    assert_eq!(trial.migrate(&["apply"]).well(), "nothing is pending: the database is at 2\n");
    assert_eq!(trial.ledger(), ["1 2 1/1", "2 2 3/3"]);
    assert!(!trial.is_locked());
    let status = trial.status();
    assert_eq!((&status["Status"], &status["Env"]["Driver"]), (&json!("OK"), &json!("clickhouse")), "{status}");
}

#[test]
fn what_a_file_sets_holds_for_what_follows_and_ends_with_the_file() {
    let made = |name: &str| {
        format!("CREATE TABLE {name} ENGINE = MergeTree ORDER BY v AS SELECT getSetting('max_block_size') AS v;\n")
    };
    let text = format!("SET max_block_size = 4321, log_queries = 0;\n{}", made("a"));
    let trial = Trial::new(&[("1_a.sql", &text), ("2_b.sql", &made("b"))]);
    trial.migrate(&["apply"]).well();
    assert_eq!(trial.database.run("SELECT v = 4321 FROM a").trim(), "1");
    assert_eq!(trial.database.run("SELECT v = 4321 FROM b").trim(), "0");
}

#[test]
fn a_statement_that_fails_is_where_the_next_apply_goes_on() {
    let wrong = format!("{}INSERT INTO a SELECT 1;\nINSERT INTO a\n  SELECT nothing;\n{}", table("a"), table("c"));
    let trial = Trial::new(&[("1_a.sql", &wrong)]);
    let failed = trial.migrate(&["apply"]);
    let said = failed.complaint();
    assert!(said.contains("apply 1_a.sql: statement 3 of 4, line 3: "), "{said}");
    assert!(said.contains("UNKNOWN_IDENTIFIER") && said.contains("The 2 before it stay"), "{said}");
    let status = trial.status();
    assert_eq!((&status["Count"], &status["Total"], &status["Status"]), (&json!(2), &json!(4), &json!("PENDING")));
    assert!(status["Error"].as_str().is_some_and(|error| error.contains("nothing")), "{status}");
    // What was applied is not to be edited.
    trial.write("1_a.sql", &wrong.replace("SELECT 1", "SELECT 5"));
    let edited = trial.migrate(&["apply"]);
    assert!(
        edited.complaint().contains("its statement 2 (line 2) was applied and has been edited since"),
        "{edited:?}"
    );
    trial.write("1_a.sql", &wrong.replace("SELECT nothing", "SELECT 2"));
    trial.migrate(&["apply"]).well();
    assert_eq!(trial.database.run("SELECT arraySort(groupArray(x)) FROM a").trim(), "[1,2]");
    assert_eq!((trial.tables().as_str(), trial.ledger()), ("a c", vec!["1 2 4/4".to_owned()]));
}

/// A statement that takes some seconds, and then leaves a row.
const SLOW: &str = "INSERT INTO a SELECT sleepEachRow(0.5) + number FROM numbers(8) SETTINGS max_block_size = 1, \
                    function_sleep_max_microseconds_per_block = 100000000;\n";

/// That the slow one is under way.
const RUNS: &str = "SELECT count() FROM martello_schema_revisions WHERE begun <> '' AND applied = 1";

#[test]
fn an_apply_that_is_killed_leaves_a_lock_that_is_taken_over_or_broken() {
    for broken in [false, true] {
        let text = format!("{}{SLOW}{}", table("a"), table("c"));
        let trial = Trial::new(&[("1_a.sql", &text)]);
        let mut child = trial.spawn(&["apply"]);
        trial.until(RUNS);
        child.kill().expect("killed");
        child.wait().expect("an end");
        assert!(trial.is_locked());
        let waited = trial.migrate(&["apply", "--lock-timeout", "0s"]);
        let said = waited.complaint().to_owned();
        assert!(said.contains("take the lock of migrations within 0 s: "), "{said}");
        let (_, holder) = said.split_once("martello migrate unlock ").expect("what to do");
        let holder = holder.split(')').next().expect("a holder");
        if broken {
            let other = trial.unlock("somebody");
            assert!(
                other.complaint().ends_with(&format!("break the lock of somebody: {holder} holds it")),
                "{other:?}"
            );
            assert_eq!(trial.unlock(holder).well(), format!("the lock of {holder} is broken\n"));
        }
        let status = trial.status();
        assert_eq!((&status["Count"], &status["Total"]), (&json!(1), &json!(3)), "{status}");
        let patience = if broken { "0s" } else { "90s" };
        trial.migrate(&["apply", "--lock-timeout", patience]).well();
        assert_eq!((trial.tables().as_str(), trial.ledger()), ("a c", vec!["1 2 3/3".to_owned()]));
        assert!(!trial.is_locked());
    }
}

#[test]
fn two_applies_never_both_run() {
    let text = format!("{}{}INSERT INTO a SELECT 1;\n", table("a"), table("b"));
    let trial = Trial::new(&[("1_a.sql", &text)]);
    let children: Vec<Child> = (0..4).map(|_| trial.spawn(&["apply", "--lock-timeout", "60s"])).collect();
    for child in children {
        let ran: Ran = child.wait_with_output().expect("an end").into();
        ran.well();
    }
    // A second apply would fail at its first statement, or add a row.
    assert_eq!(trial.database.run("SELECT count() FROM a").trim(), "1");
    assert_eq!(trial.ledger(), ["1 2 3/3"]);
    assert_eq!(trial.database.run("SELECT count() FROM martello_schema_revisions WHERE begun <> ''").trim(), "3");
}

#[test]
fn who_is_told_to_stop_ends_the_statement_and_begins_no_other() {
    let text = format!("{}{SLOW}{}", table("a"), table("c"));
    let trial = Trial::new(&[("1_a.sql", &text)]);
    let child = trial.spawn(&["apply"]);
    trial.until(RUNS);
    let told = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
    assert!(told.success());
    let ran: Ran = child.wait_with_output().expect("an end").into();
    assert!(
        ran.err.contains("interrupted before statement 3 of 3 of 1_a.sql. The next apply goes on there"),
        "{ran:?}"
    );
    assert_eq!((trial.tables().as_str(), trial.ledger()), ("a", vec!["1 2 2/3".to_owned()]));
    assert!(!trial.is_locked());
    trial.migrate(&["apply"]).well();
    assert_eq!(trial.database.run("SELECT count() FROM a").trim(), "8");
}

#[test]
fn what_cannot_be_had_in_clickhouse_is_refused_before_anything_is_done() {
    let trial = Trial::new(&[("1_a.sql", &table("a")), ("2_b.sql", &table("b"))]);
    let refused = trial.migrate(&["apply", "--tx-mode", "all"]);
    assert!(refused.complaint().contains("apply in transactions (--tx-mode all): ClickHouse has none"), "{refused:?}");
    trial.database.run("CREATE TABLE there (x Int32) ENGINE = Memory");
    let dirty = trial.migrate(&["apply"]);
    assert!(dirty.complaint().contains(&format!("table {}.there is there and no ledger", trial.database.name())));
    trial.migrate(&["apply", "--baseline", "1"]).well();
    assert_eq!(
        (trial.tables().as_str(), trial.ledger()),
        ("b there", vec!["1 1 0/0".to_owned(), "2 2 1/1".to_owned()])
    );
    let set = trial.migrate(&["set", "1"]);
    assert_eq!(set.well(), "the database is at 1\n  - 2 (b)\n");
    assert_eq!(trial.ledger(), ["1 1 0/0"]);
    trial.write("3_c.sql", "-- atlas:txmode file\n\nSELECT 1;");
    let directed = trial.migrate(&["apply", "--exec-order", "linear-skip"]);
    assert!(directed.complaint().contains("(txmode file of 3_c.sql)"), "{directed:?}");
}

#[test]
fn a_folder_is_tried_on_a_server_where_nobody_else_is() {
    let trial = Trial::new(&[("1_a.sql", &table("a")), ("2_b.sql", "\nALTER TABLE a ADD COLUMN y Nothing_of_that;\n")]);
    let command = |server: &str| {
        let mut command = martello(&["migrate", "validate", "--dev-url", server]);
        command.args(["--dir", &format!("file://{}", trial.folder.path().display())]);
        run(command)
    };
    let refused = command(&trial.database.url());
    assert!(refused.complaint().contains("apply 2_b.sql, line 2: "), "{refused:?}");
    trial.write("2_b.sql", "ALTER TABLE a ADD COLUMN y Int8;\n");
    assert!(command(&trial.database.url()).well().starts_with("2 files of "));
    assert_eq!(trial.tables(), "");
}

#[test]
fn the_migrations_of_the_repository_lead_to_its_schema() {
    let trial = Trial::new(&[]);
    let mut command = martello(&["migrate", "apply", "--url", &trial.database.url()]);
    command.args(["--dir", &format!("file://{}", repository().join("migrations/clickhouse").display())]);
    run(command).well();
    let wished = Database::new();
    let mut files: Vec<_> = std::fs::read_dir(repository().join("schema/clickhouse"))
        .expect("a folder")
        .collect::<Result<_, _>>()
        .expect("files");
    files.sort_by_key(std::fs::DirEntry::path);
    let files: Vec<String> = files.iter().map(|file| file.path().display().to_string()).collect();
    let mut arguments = vec!["tests/support/apply.py".to_owned(), wished.url()];
    arguments.extend(files);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(crate::programs::python(&arguments)).well();
    assert!(Path::new(&repository()).join("migrations/clickhouse/atlas.sum").exists());
    assert_eq!(shown(&trial.database), shown(&wished));
}

/// What the server says of a database, but for its name, what keeps the ledger, and what it writes of a column that is only
/// given: with its default where it was altered, and without where not.
pub const SHOWN: &str = "SELECT replaceRegexpAll(replaceAll(create_table_query, concat(currentDatabase(), '.'), ''), \
     ' defaultValueOfTypeName[(][^)]*[)]', '') FROM system.tables \
     WHERE database = currentDatabase() AND NOT startsWith(name, 'martello_') AND NOT startsWith(name, '.inner') \
     AND NOT match(name, '__old_[0-9a-f]{8}$') ORDER BY name";

/// The same, of a database.
pub fn shown(database: &Database) -> String {
    database.run(SHOWN)
}
