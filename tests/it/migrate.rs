//! `martello migrate`: what is in a folder comes into a database once and in its order, whatever happens in between.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use martello::migrate::folder::Folder;
use martello::migrate::session::LOCK;
use serde_json::{Value, json};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::migrations::Database;
use crate::programs::{Ran, martello, ran};
use crate::support::repository;

/// A folder of migrations, and a database for them.
struct Trial {
    folder: tempfile::TempDir,
    database: Database,
}

impl Trial {
    fn new(name: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let trial = Self { folder, database: Database::empty(&format!("migrate_{name}")) };
        for (file, text) in files {
            trial.write(file, text);
        }
        trial.hash();
        trial
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).expect("written");
    }

    fn remove(&self, file: &str) {
        std::fs::remove_file(self.path().join(file)).expect("removed");
    }

    fn hash(&self) {
        Folder::read(self.path()).and_then(|folder| folder.write_sum()).expect("hashed");
    }

    fn url(&self) -> String {
        self.database.owned()
    }

    /// A command over the folder alone.
    async fn over(&self, command: &str) -> Ran {
        ran(martello(&["migrate", command, "--dir", &format!("file://{}", self.path().display())])).await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = martello(&["migrate"]);
        command.args(arguments).args(["--url", &self.url()]);
        command.args(["--dir", &format!("file://{}", self.path().display())]);
        command
    }

    async fn migrate(&self, arguments: &[&str]) -> Ran {
        ran(self.command(arguments)).await
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("a program")
    }

    /// What it complains of, without what differs from run to run.
    #[track_caller]
    fn complaint(&self, ran: &Ran) -> String {
        let text = ran.complaint().strip_prefix("error: failed to ").expect("a complaint");
        text.replace(&self.path().display().to_string(), "FOLDER")
    }

    async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("a connection")
    }

    /// The first column of the rows, as text.
    async fn ask(&self, query: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        let rows = sqlx::query_scalar::<_, Option<String>>(AssertSqlSafe(query.to_owned()));
        let rows = rows.fetch_all(&mut connection).await.expect("rows");
        rows.into_iter().map(Option::unwrap_or_default).collect()
    }

    /// The tables, the ledger not among them.
    async fn tables(&self) -> String {
        let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = 'public' ORDER BY 1";
        self.ask(tables).await.join(" ")
    }

    /// The ledger: `version kind applied/total`, and what went wrong.
    async fn ledger(&self) -> Vec<String> {
        self.ask(
            "SELECT concat_ws(' ', version, type, applied || '/' || total, error) \
             FROM atlas_schema_revisions.atlas_schema_revisions ORDER BY version",
        )
        .await
    }
}

/// Asks again and again until a query says true.
async fn until(connection: &mut PgConnection, query: &str) {
    let until = martello::clock::instant() + Duration::from_secs(60);
    loop {
        let query = sqlx::query_scalar::<_, bool>(AssertSqlSafe(query.to_owned()));
        if query.fetch_one(&mut *connection).await.expect("an answer") {
            return;
        }
        assert!(martello::clock::instant() < until, "never came true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A statement that waits for whoever holds the gate.
fn gate(number: i64) -> String {
    format!("SELECT pg_advisory_xact_lock_shared({number});")
}

/// Somebody waits at the gate, which this connection holds.
async fn waits_at(connection: &mut PgConnection, number: i64) {
    let waits = format!(
        "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = {number} AND NOT granted \
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))"
    );
    until(connection, &waits).await;
}

async fn lock(connection: &mut PgConnection, number: i64) {
    connection.execute(AssertSqlSafe(format!("SELECT pg_advisory_lock({number})"))).await.expect("a lock");
}

async fn unlock(connection: &mut PgConnection, number: i64) {
    connection.execute(AssertSqlSafe(format!("SELECT pg_advisory_unlock({number})"))).await.expect("unlocked");
}

/// No migration is under way.
const NOBODY: &str = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity \
     WHERE datname = current_database() AND application_name = 'martello migrate')";

async fn ended(child: Child) -> Ran {
    tokio::task::spawn_blocking(|| child.wait_with_output().expect("an end")).await.expect("an end").into()
}

/// What differs from run to run is taken out of a report.
fn steady(mut value: Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    if ["Start", "End", "ExecutedAt", "ExecutionTime", "Host", "Dir", "OperatorVersion"]
                        .contains(&key.as_str())
                    {
                        assert!(
                            value.is_number() || value.as_str().is_some_and(|text| !text.is_empty()),
                            "{key} {value}"
                        );
                        *value = json!("…");
                    }
                    walk(value);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(walk),
            _ => {}
        }
    }
    walk(&mut value);
    value
}

#[track_caller]
fn snapshot(name: &str, out: &str) {
    let value = steady(serde_json::from_str(out).unwrap_or_else(|error| panic!("{error}: {out}")));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(repository().join("tests/migrate"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, serde_json::to_string_pretty(&value).expect("a text")));
}

const THREE: [(&str, &str); 3] = [
    ("1_a.sql", "CREATE TABLE a (x int);\n"),
    ("2_b.sql", "-- Two of them.\nCREATE TABLE b (x int);\nINSERT INTO b VALUES (1);\n"),
    ("3_c.sql", "-- atlas:txmode none\n\nCREATE TABLE c (x int);\nCREATE INDEX CONCURRENTLY c_x ON c (x);\n"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pending_is_applied_once_and_reports_are_those_of_atlas() {
    let trial = Trial::new("once", &THREE);
    let before = trial.migrate(&["status", "--json", "--exit-code"]).await;
    assert_eq!(before.code, Some(2), "{before:?}");
    snapshot("status_before", &before.out);
    let dry = trial.migrate(&["apply", "--dry-run"]).await;
    assert_eq!(
        dry.well(),
        "-- 1_a.sql\nCREATE TABLE a (x int);\n-- 2_b.sql\nCREATE TABLE b (x int);\nINSERT INTO b VALUES (1);\n\
         -- 3_c.sql\nCREATE TABLE c (x int);\nCREATE INDEX CONCURRENTLY c_x ON c (x);\n\
         -- 3 files would lead from nothing to 3\n"
    );
    let schemas = "SELECT count(*)::text FROM pg_namespace WHERE nspname = 'atlas_schema_revisions'";
    assert_eq!(trial.ask(schemas).await, ["0"], "status and dry runs write nothing");
    let first = trial.migrate(&["apply", "1"]).await;
    assert!(first.well().ends_with("the database is at 1: 1 file from nothing\n"), "{first:?}");
    snapshot("status_between", trial.migrate(&["status", "--json"]).await.well());
    snapshot("apply", trial.migrate(&["apply", "--json"]).await.well());
    assert_eq!(trial.tables().await, "a b c");
    snapshot("apply_nothing", trial.migrate(&["apply", "--json"]).await.well());
    let nothing = trial.migrate(&["apply"]).await;
    assert_eq!(nothing.well(), "nothing is pending: the database is at 3\n");
    let after = trial.migrate(&["status", "--exit-code"]).await;
    assert_eq!(
        after.well(),
        "status   OK\ncurrent  3\nnext     Already at latest version\napplied  3 files\npending  0 files\n"
    );
    assert_eq!(trial.ledger().await, ["1 2 1/1", "2 2 2/2", "3 2 2/2"]);
    // The hash is the one of atlas.sum, without its mark.
    let sum = std::fs::read_to_string(trial.path().join("atlas.sum")).expect("hashes");
    let hashes: Vec<&str> = sum.lines().skip(1).filter_map(|line| Some(line.split_once(" h1:")?.1)).collect();
    let table = "atlas_schema_revisions.atlas_schema_revisions";
    assert_eq!(trial.ask(&format!("SELECT hash FROM {table} ORDER BY version")).await, hashes);
    // To the column what Atlas makes: it would drop others and add what is missing.
    let columns = trial
        .ask(
            "SELECT concat_ws(' ', column_name, data_type, is_nullable, column_default) FROM information_schema.columns \
             WHERE table_name = 'atlas_schema_revisions' ORDER BY ordinal_position",
        )
        .await;
    assert_eq!(
        columns,
        [
            "version character varying NO",
            "description character varying NO",
            "type bigint NO 2",
            "applied bigint NO 0",
            "total bigint NO 0",
            "executed_at timestamp with time zone NO",
            "execution_time bigint NO",
            "error text YES",
            "error_stmt text YES",
            "hash character varying NO",
            "partial_hashes jsonb YES",
            "operator_version character varying NO",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_that_is_killed_is_finished_by_the_next() {
    for (mode, head) in [("none", "-- atlas:txmode none\n\n"), ("file", "")] {
        for killed_at in 1..=3 {
            let statements = (1..=3).map(|place| format!("CREATE TABLE t{place} (x int);\n{}\n", gate(place)));
            let text = format!("{head}{}", statements.collect::<String>());
            let trial = Trial::new(&format!("killed_{mode}_{killed_at}"), &[("1_t.sql", &text)]);
            let mut holder = trial.connect().await;
            lock(&mut holder, killed_at).await;
            let mut child = trial.spawn(&["apply"]);
            waits_at(&mut holder, killed_at).await;
            child.kill().expect("killed");
            child.wait().expect("an end");
            // The gate stays shut: the server finds out by itself that nobody waits for its answer.
            until(&mut holder, NOBODY).await;
            let status = trial.migrate(&["status", "--json"]).await;
            let status: Value = serde_json::from_str(status.well()).expect("a report");
            let (count, tables) = match mode {
                "none" => (json!(2 * killed_at - 1), killed_at),
                _ => (Value::Null, 0),
            };
            assert_eq!((&status["Count"], &status["Status"]), (&count, &json!("PENDING")), "{status}");
            let made = trial.tables().await;
            assert_eq!(i64::try_from(made.split_whitespace().count()), Ok(tables), "{mode} {killed_at}: {made}");
            unlock(&mut holder, killed_at).await;
            trial.migrate(&["apply"]).await.well();
            assert_eq!(trial.tables().await, "t1 t2 t3", "{mode} {killed_at}");
            assert_eq!(trial.ledger().await, ["1 2 6/6"]);
            let partial = "SELECT partial_hashes::text FROM atlas_schema_revisions.atlas_schema_revisions";
            assert_eq!(trial.ask(partial).await, [""]);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_interrupted_leaves_what_the_next_goes_on_with() {
    for (mode, head, left) in [("none", "-- atlas:txmode none\n\n", "a"), ("file", "", "")] {
        let text = format!("{head}CREATE TABLE a (x int);\n{}\nCREATE TABLE b (x int);\n", gate(1));
        let trial = Trial::new(&format!("interrupted_{mode}"), &[("1_t.sql", &text)]);
        let mut holder = trial.connect().await;
        lock(&mut holder, 1).await;
        let child = trial.spawn(&["apply"]);
        waits_at(&mut holder, 1).await;
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
        assert!(killed.success());
        let ran = match mode {
            // The statement is waited for, and then no other begins.
            "none" => {
                let told = tokio::task::spawn_blocking(|| {
                    use std::io::{BufRead as _, BufReader};
                    let mut child = child;
                    let mut lines = BufReader::new(child.stderr.take().expect("its complaints"));
                    let mut first = String::new();
                    lines.read_line(&mut first).expect("a line");
                    (child, lines, first)
                });
                let (child, mut lines, first) = told.await.expect("a line");
                assert!(first.starts_with("stopping; "), "{first}");
                unlock(&mut holder, 1).await;
                let mut ran = ended(child).await;
                std::io::Read::read_to_string(&mut lines, &mut ran.err).expect("the rest");
                ran
            }
            _ => {
                let mut ran = ended(child).await;
                ran.err = ran.err.split_once('\n').expect("two lines").1.to_owned();
                ran
            }
        };
        let expected = match mode {
            "none" => "go on: interrupted before statement 3 of 3 of 1_t.sql. The next apply goes on there",
            _ => {
                "go on: interrupted before statement 2 of 3 of 1_t.sql. Nothing of that file is in the database; the next \
                 apply begins with it"
            }
        };
        assert_eq!(trial.complaint(&ran), expected);
        until(&mut holder, NOBODY).await;
        assert_eq!(trial.tables().await, left);
        holder.close().await.expect("closed");
        trial.migrate(&["apply"]).await.well();
        assert_eq!(trial.tables().await, "a b");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_applies_never_run_at_once() {
    let text = format!("-- atlas:txmode none\n\nCREATE TABLE a (x int);\n{}\nINSERT INTO a VALUES (1);\n", gate(1));
    let trial = Trial::new("twice", &[("1_a.sql", &text)]);
    let mut holder = trial.connect().await;
    lock(&mut holder, 1).await;
    let first = trial.spawn(&["apply"]);
    waits_at(&mut holder, 1).await;
    let second = trial.spawn(&["apply", "--lock-timeout", "120s"]);
    let tries = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() \
         AND query LIKE '%pg_try_advisory_lock%' AND application_name = 'martello migrate' AND pid <> ALL (SELECT pid FROM pg_locks \
         WHERE locktype = 'advisory' AND pid IS NOT NULL))";
    until(&mut holder, tries).await;
    let third = trial.migrate(&["apply", "--lock-timeout", "50ms"]).await;
    let pid = trial
        .ask(&format!(
            "SELECT pid::text FROM pg_locks WHERE objid = {LOCK} AND granted \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ))
        .await;
    let expected = format!(
        "take the lock of migrations within 50 ms: process {} (martello migrate, martello@127.0.0.1) has it. Wait until \
         that is done, or give --lock-timeout more",
        pid[0]
    );
    assert_eq!(trial.complaint(&third), expected);
    let set = trial.migrate(&["set", "1", "--lock-timeout", "50ms"]).await;
    assert_eq!(trial.complaint(&set), expected);
    // Nobody needs the lock to look, or to see what would be done.
    assert!(trial.migrate(&["apply", "--dry-run"]).await.well().contains("INSERT INTO a"));
    unlock(&mut holder, 1).await;
    let (first, second) = (ended(first).await, ended(second).await);
    assert!(first.well().contains("the database is at 1"), "{first:?}");
    assert_eq!(second.well(), "nothing is pending: the database is at 1\n");
    assert_eq!(trial.ask("SELECT count(*)::text FROM a").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_failed_is_where_the_next_apply_goes_on() {
    let text = |third: &str| {
        format!(
            "-- atlas:txmode none\n\nSET search_path = s;\nCREATE SCHEMA s;\nCREATE TABLE a (x int);\n\n{third}\nCREATE TABLE b (x int);\n"
        )
    };
    let trial = Trial::new("resumed", &[("1_a.sql", &text("CREATE TABLE\n  c (x nothing);"))]);
    let failed = trial.migrate(&["apply", "--json"]).await;
    assert_eq!(
        trial.complaint(&failed),
        "apply 1_a.sql: statement 4 of 5, line 8: type \"nothing\" does not exist (42704). The 3 before it stay: correct it \
         and all after it in 1_a.sql, run martello migrate hash and apply again, which goes on there"
    );
    snapshot("apply_failed", &failed.out);
    assert_eq!(trial.ledger().await, ["1 2 3/5 type \"nothing\" does not exist (42704)"]);
    snapshot("status_failed", trial.migrate(&["status", "--json"]).await.well());
    let shown = trial.migrate(&["status"]).await;
    assert!(
        shown.well().contains("3 of 5 statements of 1 are applied\nthen     CREATE TABLE   c (x nothing);\n"),
        "{shown:?}"
    );
    // What was applied must stand there still.
    trial.write("1_a.sql", &text("SELECT 1;").replace("a (x int)", "a (x int, y int)"));
    trial.hash();
    let edited = trial.migrate(&["apply"]).await;
    assert_eq!(
        trial.complaint(&edited),
        "go on with 1_a.sql: its statement 3 (line 5) was applied and has been edited since. Restore what stood there, and \
         correct only what comes after statement 3"
    );
    // Or the file is gone.
    std::fs::rename(trial.path().join("1_a.sql"), trial.path().join("2_a.sql")).expect("renamed");
    trial.hash();
    let gone = trial.migrate(&["apply"]).await;
    assert_eq!(
        trial.complaint(&gone),
        "go on with version 1: 3 of its 5 statements are applied, but no file has that version. Restore the file, or, with \
         the database in order, run martello migrate set"
    );
    trial.remove("2_a.sql");
    trial.write("1_a.sql", &text("CREATE TABLE c (x int);"));
    trial.hash();
    trial.migrate(&["apply"]).await.well();
    assert_eq!(trial.ledger().await, ["1 2 5/5"]);
    // What the file set for its session holds for the rest of it, too.
    let tables = trial.ask("SELECT tablename::text FROM pg_tables WHERE schemaname = 's' ORDER BY 1").await;
    assert_eq!(tables, ["a", "b", "c"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_are_as_wide_as_they_are_said_to_be() {
    let files = [
        ("1_a.sql", "CREATE TABLE a (x int);"),
        ("2_b.sql", "CREATE TABLE b (x int);\nCREATE TABLE a (x int);"),
        ("3_c.sql", "CREATE TABLE c (x int);"),
    ];
    let why = "apply 2_b.sql: statement 2 of 2, line 2: relation \"a\" already exists (42P07). ";
    for (mode, tables, rows, advice) in [
        (
            "file",
            "a",
            &["1 2 1/1"][..],
            "Nothing of 2_b.sql is in the database: correct it, run martello migrate hash and apply again",
        ),
        (
            "all",
            "",
            &[][..],
            "Nothing of any file is in the database: correct it, run martello migrate hash and apply again",
        ),
        (
            "none",
            "a b",
            &["1 2 1/1", "2 2 1/2 relation \"a\" already exists (42P07)"][..],
            "The 1 before it stay: correct it and all after it in 2_b.sql, run martello migrate hash and apply again, which \
             goes on there",
        ),
    ] {
        let trial = Trial::new(&format!("transactions_{mode}"), &files);
        let failed = trial.migrate(&["apply", "--tx-mode", mode]).await;
        assert_eq!(trial.complaint(&failed), format!("{why}{advice}"));
        assert_eq!(trial.tables().await, tables, "{mode}");
        assert_eq!(trial.ledger().await, rows, "{mode}");
        trial.write("2_b.sql", "CREATE TABLE b (x int);\nCREATE TABLE d (x int);");
        trial.hash();
        trial.migrate(&["apply", "--tx-mode", mode]).await.well();
        assert_eq!(trial.tables().await, "a b c d", "{mode}");
    }
    let trial = Trial::new("transactions_said", &THREE);
    let said = trial.migrate(&["apply", "--tx-mode", "all"]).await;
    assert_eq!(
        trial.complaint(&said),
        "apply 3_c.sql in one transaction with the others: its directive says txmode none. Apply with --tx-mode file"
    );
    assert_eq!(trial.tables().await, "");
}

/// As files of other tools do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_commits_by_itself_goes_on_behind_what_it_committed() {
    let text = |last: &str| format!("BEGIN;\nCREATE TABLE a (x int);\nCOMMIT;\nCREATE TABLE b (x int);\n{last};\n");
    let trial = Trial::new("committed", &[("1_a.sql", &text("SELECT nothing"))]);
    let failed = trial.migrate(&["apply"]).await;
    assert!(trial.complaint(&failed).contains(". The 4 before it stay: "), "{failed:?}");
    assert_eq!(trial.tables().await, "a b");
    trial.write("1_a.sql", &text("SELECT 1"));
    trial.hash();
    trial.migrate(&["apply"]).await.well();
    assert_eq!(trial.ledger().await, ["1 2 5/5"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lock_that_a_file_lets_go_is_taken_again() {
    let files = [("1_a.sql", "-- atlas:txmode none\n\nDISCARD ALL;"), ("2_b.sql", &gate(1))];
    let trial = Trial::new("discarded", &files);
    let mut holder = trial.connect().await;
    lock(&mut holder, 1).await;
    let first = trial.spawn(&["apply"]);
    waits_at(&mut holder, 1).await;
    let second = trial.migrate(&["apply", "--lock-timeout", "50ms"]).await;
    assert!(trial.complaint(&second).starts_with("take the lock of migrations within 50 ms: process "), "{second:?}");
    unlock(&mut holder, 1).await;
    ended(first).await.well();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_file_sets_ends_with_it() {
    let files =
        [("1_a.sql", "SET search_path = '';\nCREATE TABLE public.a (x int);"), ("2_b.sql", "CREATE TABLE b (x int);")];
    for mode in ["file", "all", "none"] {
        let trial = Trial::new(&format!("settings_{mode}"), &files);
        trial.migrate(&["apply", "--tx-mode", mode]).await.well();
        assert_eq!(trial.tables().await, "a b", "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_bad_input_has_one_clear_error_and_changes_nothing() {
    let trial = Trial::new("bad", &THREE);
    let put = |file: &str, text: &str| {
        trial.write(file, text);
        trial.hash();
    };
    trial.migrate(&["apply", "1"]).await.well();
    let state = (trial.tables().await, trial.ledger().await);
    // An old file was edited.
    trial.write("1_a.sql", "CREATE TABLE a (x bigint);\n");
    let edited = "believe FOLDER: 1_a.sql was edited (line 2 of atlas.sum). If that is meant, run martello migrate hash; if \
         not, restore the file";
    for command in ["apply", "status", "set"] {
        assert_eq!(trial.complaint(&trial.migrate(&[command]).await), edited, "{command}");
    }
    assert_eq!(trial.complaint(&trial.over("validate").await), edited);
    assert_eq!(trial.complaint(&trial.over("new").await), edited);
    trial.write(THREE[0].0, THREE[0].1);
    // There are no hashes.
    trial.remove("atlas.sum");
    assert_eq!(
        trial.complaint(&trial.migrate(&["apply"]).await),
        "find atlas.sum in FOLDER: run martello migrate hash, once its files are as they were reviewed"
    );
    // A statement never ends.
    put("2_b.sql", "SELECT 1;\n\nCREATE TABLE b (x int;\n");
    let unbalanced = "read 2_b.sql: read the statement at line 3, column 16: its '(' is never closed";
    assert_eq!(trial.complaint(&trial.migrate(&["apply"]).await), unbalanced);
    assert_eq!(trial.complaint(&trial.over("validate").await), unbalanced);
    put("2_b.sql", "-- atlas:txmode all\n\nSELECT 1;");
    let mode = "accept txmode \"all\" of 2_b.sql: expected file or none, once";
    assert_eq!(trial.complaint(&trial.migrate(&["apply"]).await), mode);
    put("2_b.sql", "-- atlas:sum ignore\nSELECT 1;");
    assert_eq!(
        trial.complaint(&trial.migrate(&["apply"]).await),
        "apply 2_b.sql: it says sum ignore, so atlas.sum has no hash that the ledger could keep. Take that line out"
    );
    put("2_b.sql", "-- atlas:txtar\n\n-- checks.sql --\nSELECT true;\n-- migration.sql --\nSELECT 1;");
    assert_eq!(
        trial.complaint(&trial.migrate(&["apply"]).await),
        "apply 2_b.sql: its checks (atlas:txtar) are not understood, and it is not applied without them"
    );
    put(THREE[1].0, THREE[1].1);
    put("2_d.sql", "SELECT 1;");
    assert_eq!(
        trial.complaint(&trial.migrate(&["apply"]).await),
        "tell 2_b.sql and 2_d.sql apart: both have version 2"
    );
    trial.remove("2_d.sql");
    trial.hash();
    assert_eq!(
        trial.complaint(&trial.migrate(&["apply", "--to-version", "9"]).await),
        "find version 9: expected one of 1, 2, 3"
    );
    assert_eq!(trial.complaint(&trial.migrate(&["set", "9"]).await), "find version 9: expected one of 1, 2, 3");
    assert_eq!((trial.tables().await, trial.ledger().await), state);
    // The database is not there, or is no Postgres. The password is nobody's.
    let dir = format!("file://{}", trial.path().display());
    let apply = async |url: &str| ran(martello(&["migrate", "apply", "--url", url, "--dir", &dir])).await;
    assert_eq!(
        apply("postgres://me:secret@127.0.0.1:1/none").await.complaint(),
        "error: failed to reach Postgres at 127.0.0.1:1/none: error communicating with database: Connection refused (os \
         error 111)"
    );
    let absent = apply(&trial.url().replace("migrate_bad", "migrate_absent")).await;
    assert!(
        absent.complaint().ends_with("/migrate_absent: database \"migrate_absent\" does not exist (3D000)"),
        "{absent:?}"
    );
    assert_eq!(
        apply("mysql://me:secret@127.0.0.1/none").await.complaint(),
        "error: failed to read the URL of the database: expected postgres://… or clickhouse://…, not mysql://…"
    );
    assert_eq!(
        ran(martello(&["migrate", "apply", "--dir", &dir])).await.complaint(),
        "error: failed to choose a database: expected --url postgres://… or clickhouse://…, --source NAME or --control"
    );
    let above = ran(martello(&["migrate", "validate"])).await;
    assert_eq!(
        above.complaint(),
        "error: failed to find migrations in migrations: it has folders of them, clickhouse, control, postgres: say which, \
         as --dir file://migrations/clickhouse"
    );
    // Who is cut off by the server is told where, and goes on there.
    put(THREE[1].0, "-- atlas:txmode none\n\nSELECT 1;\nSELECT pg_terminate_backend(pg_backend_pid());");
    let cut = trial.complaint(&trial.migrate(&["apply"]).await);
    assert!(cut.starts_with("apply 2_b.sql: statement 2 of 2, line 4: terminating connection"), "{cut}");
    assert_eq!(trial.ledger().await, ["1 2 1/1", "2 2 1/2"]);
    let absent = ran(martello(&["migrate", "validate", "--dir", "file://absent"])).await;
    assert_eq!(absent.complaint(), "error: failed to read absent: No such file or directory (os error 2)");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_new_among_the_applied_is_told_or_goes_as_one_wishes() {
    let trial = Trial::new("gap", &[THREE[0], THREE[2]]);
    trial.migrate(&["apply"]).await.well();
    trial.write(THREE[1].0, THREE[1].1);
    trial.write("4_d.sql", "CREATE TABLE d (x int);");
    trial.hash();
    let refused = "apply 2_b.sql behind 3, which was applied already: give it a version after it and run martello migrate \
         hash, or apply with --exec-order non-linear";
    assert_eq!(trial.complaint(&trial.migrate(&["apply"]).await), refused);
    assert_eq!(trial.tables().await, "a c");
    snapshot("status_out_of_order", trial.migrate(&["status", "--json"]).await.well());
    trial.migrate(&["apply", "--exec-order", "linear-skip"]).await.well();
    assert_eq!(trial.tables().await, "a c d");
    trial.migrate(&["apply", "--exec-order", "non-linear"]).await.well();
    assert_eq!(trial.tables().await, "a b c d");
    assert_eq!(trial.ledger().await, ["1 2 1/1", "2 2 2/2", "3 2 2/2", "4 2 1/1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_something_in_it_needs_a_word() {
    let trial = Trial::new("dirty", &THREE);
    let make = async |text: &'static str| trial.connect().await.execute(text).await.expect("made");
    let ledgers = "SELECT count(*)::text FROM pg_tables WHERE tablename = 'atlas_schema_revisions'";
    let dirty = |found: &str| {
        format!(
            "begin with a database that is not empty: {found} is there and no ledger. If it is what a migration makes, say up \
             to which with --baseline VERSION; if it has nothing to do with them, --allow-dirty"
        )
    };
    make("CREATE SCHEMA other").await;
    assert_eq!(trial.complaint(&trial.migrate(&["apply"]).await), dirty("schema other"));
    make("DROP SCHEMA other; CREATE TABLE a (x int)").await;
    assert_eq!(trial.complaint(&trial.migrate(&["apply"]).await), dirty("table public.a"));
    assert_eq!(trial.ask(ledgers).await, ["0"], "nothing was written");
    let unknown = trial.migrate(&["apply", "--baseline", "9"]).await;
    assert_eq!(trial.complaint(&unknown), "find version 9: expected one of 1, 2, 3");
    trial.migrate(&["apply", "--baseline", "1"]).await.well();
    assert_eq!(trial.ledger().await, ["1 1 0/0", "2 2 2/2", "3 2 2/2"]);
    // The same command does not begin anew.
    trial.migrate(&["apply", "--baseline", "1"]).await.well();
    let other = Trial::new("dirty_allowed", &THREE);
    other.connect().await.execute("CREATE TABLE other (x int)").await.expect("made");
    other.migrate(&["apply", "--allow-dirty"]).await.well();
    assert_eq!(other.tables().await, "a b c other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_begins_with_the_newest_checkpoint_and_an_older_one_passes_it_by() {
    let trial = Trial::new("checkpoint", &[THREE[0], THREE[1]]);
    trial.migrate(&["apply"]).await.well();
    let checkpoint = "-- atlas:checkpoint\n\nCREATE TABLE a (x int);\nCREATE TABLE b (x int);\n";
    trial.write("2a_checkpoint.sql", checkpoint);
    trial.write(THREE[2].0, THREE[2].1);
    trial.hash();
    trial.migrate(&["apply"]).await.well();
    assert_eq!(trial.ledger().await, ["1 2 1/1", "2 2 2/2", "3 2 2/2"]);
    let new = Trial::new("checkpoint_new", &[THREE[0], THREE[1], ("2a_checkpoint.sql", checkpoint), THREE[2]]);
    new.migrate(&["apply", "--to-version", "1"]).await.well();
    assert_eq!(new.ledger().await, ["1 2 1/1"], "what was asked for is before the checkpoint");
    let newest = Trial::new("checkpoint_newest", &[THREE[0], THREE[1], ("2a_checkpoint.sql", checkpoint), THREE[2]]);
    newest.migrate(&["apply"]).await.well();
    assert_eq!(newest.ledger().await, ["2a 2 2/2", "3 2 2/2"]);
    assert_eq!(newest.tables().await, "a b c");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_can_be_set_to_what_was_done_by_hand() {
    let trial =
        Trial::new("set", &[THREE[0], ("2_b.sql", "-- atlas:txmode none\n\nSELECT 1;\nSELECT nothing;"), THREE[2]]);
    let none = trial.migrate(&["set"]).await;
    assert_eq!(trial.complaint(&none), "find version (none was given): expected one of 1, 2, 3");
    assert_eq!(trial.migrate(&["apply"]).await.code, Some(1));
    let fixed = trial.migrate(&["set", "2"]).await;
    assert_eq!(fixed.well(), "the database is at 2\n  + 2 (b)\n");
    assert_eq!(trial.ledger().await, ["1 2 1/1", "2 6 1/2 column \"nothing\" does not exist (42703)"]);
    assert!(trial.migrate(&["status"]).await.well().contains("next     3\n"));
    snapshot("set", trial.migrate(&["set", "3", "--json"]).await.well());
    assert_eq!(trial.migrate(&["apply"]).await.well(), "nothing is pending: the database is at 3\n");
    let back = trial.migrate(&["set", "1"]).await;
    assert_eq!(back.well(), "the database is at 1\n  - 2 (b)\n  - 3 (c)\n");
    assert_eq!(trial.ledger().await, ["1 2 1/1"]);
    assert_eq!(trial.migrate(&["set"]).await.well(), "the database is at 3\n  + 2 (b)\n  + 3 (c)\n");
    assert_eq!(trial.ledger().await, ["1 2 1/1", "2 4 0/0", "3 4 0/0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_is_where_atlas_would_look_for_it() {
    let trial = Trial::new("place", &[THREE[0]]);
    let dir = format!("file://{}", trial.path().display());
    let within = async |arguments: &[&str]| {
        let url = format!("{}?search_path=s&sslmode=disable", trial.url());
        let mut command = martello(&["migrate"]);
        command.args(arguments).args(["--dir", &dir, "--url", &url]);
        ran(command).await
    };
    let place =
        "SELECT schemaname::text FROM pg_tables WHERE tablename IN ('atlas_schema_revisions', 'a') ORDER BY tablename";
    trial.connect().await.execute("CREATE SCHEMA s").await.expect("a schema");
    within(&["apply"]).await.well();
    assert_eq!(trial.ask(place).await, ["s", "s"], "all is in the one schema that is worked in");
    trial.connect().await.execute("DROP SCHEMA s CASCADE; CREATE SCHEMA s").await.expect("a schema");
    trial.migrate(&["apply", "--allow-dirty"]).await.well();
    assert_eq!(trial.ask(place).await, ["public", "atlas_schema_revisions"]);
    let ambiguous = within(&["apply"]).await;
    assert_eq!(
        trial.complaint(&ambiguous),
        "choose a ledger: schema s of the URL has none, but schema atlas_schema_revisions has one. Say which with \
         --revisions-schema"
    );
    within(&["apply", "--revisions-schema", "s"]).await.well();
    assert_eq!(trial.ask(place).await, ["public", "s", "atlas_schema_revisions", "s"].map(str::to_owned)[..].to_vec());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_are_made_hashed_and_brought_along() {
    let trial = Trial::new("folders", &[THREE[0]]);
    let new = ran(martello(&["migrate", "new", "add_b", "--dir", &trial.path().display().to_string()])).await;
    let path = Path::new(new.well().trim_end());
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
    assert!(name.len() == "20261126000000_add_b.sql".len() && name.ends_with("_add_b.sql"), "{name}");
    assert_eq!(std::fs::read_to_string(path).expect("a file"), "");
    assert_eq!(
        trial.over("validate").await.well(),
        format!("2 files of {} are as they were hashed\n", trial.path().display())
    );
    trial.write(name, "CREATE TABLE b (x int);");
    assert_eq!(trial.over("hash").await.well(), format!("hashed 2 files of {}\n", trial.path().display()));
    trial.migrate(&["apply"]).await.well();
    assert_eq!(trial.tables().await, "a b");
    let first = trial.path().join("below").display().to_string();
    let made = ran(martello(&["migrate", "new", "--dir", &first])).await;
    assert!(made.well().starts_with(&first), "a folder is made where there is none: {made:?}");
    let bad = ran(martello(&["migrate", "new", "a/b", "--dir", &trial.path().display().to_string()])).await;
    assert_eq!(trial.complaint(&bad), "name a migration \"a/b\": expected letters, digits, - and _");
    // From another tool.
    let other = Trial::new("imported", &[]);
    let goose = tempfile::tempdir().expect("a folder");
    let write = |file: &str, text: &str| std::fs::write(goose.path().join(file), text).expect("written");
    write("2_b.sql", "-- +goose Up\nALTER TABLE a ADD y int;\n-- +goose Down\nALTER TABLE a DROP y;\n");
    write("1_a.sql", "-- +goose Up\nCREATE TABLE a (x int);\n-- +goose Down\nDROP TABLE a;\n");
    write("10_c.sql", "-- +goose Up\nCREATE INDEX ON a (y);\n");
    let from = format!("file://{}?format=goose", goose.path().display());
    let to = format!("file://{}", other.path().display());
    let imported = ran(martello(&["migrate", "import", "--from", &from, "--to", &to])).await;
    assert_eq!(imported.well(), format!("imported 3 files into {}\n", other.path().display()));
    other.migrate(&["apply"]).await.well();
    assert_eq!(other.ledger().await, ["01 2 1/1", "02 2 1/1", "10 2 1/1"]);
    let again = ran(martello(&["migrate", "import", "--from", &from, "--to", &to])).await;
    assert_eq!(
        other.complaint(&again),
        "import into FOLDER: it has migrations already, the first of them 01_a.sql. Name an empty folder"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_migrations_of_the_repository_are_applied_to_its_schema() {
    let meant = Database::filled_from("migrate_meant", "schema/postgres").dump();
    let reached = Database::empty("migrate_reached");
    let configured = tempfile::tempdir().expect("a folder");
    let file = configured.path().join("martello.yaml");
    std::fs::write(&file, format!("sources: {{marts: {{url: '{}'}}}}\n", reached.owned())).expect("written");
    let file = file.display().to_string();
    for source in [&["--source", "marts"][..], &[]] {
        let arguments =
            [&["--config", &file, "migrate", "apply", "--dir", "file://migrations/postgres"], source].concat();
        ran(martello(&arguments)).await.well();
    }
    assert!(meant.contains("CREATE TABLE public.news"), "{meant}");
    assert!(meant == reached.dump(), "schema/postgres and what is applied differ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_control_store_is_made_by_migrations_and_adopted_where_it_was_there() {
    let ledger = |schema: &str| {
        format!(
            "SELECT concat_ws(' ', version, type, applied || '/' || total) FROM {schema}.atlas_schema_revisions ORDER BY version"
        )
    };
    let meant = Database::filled_from("control_wanted", "schema/control").dump();
    let trial = Trial::new("control", &[]);
    let control = async |arguments: &[&str]| {
        let mut command = martello(arguments);
        command.env("MARTELLO__CONTROL__URL", trial.url());
        ran(command).await
    };
    let names = ["20261125120000_versions", "20261126120000_audit", "20261126210000_api_keys", "20261127010000_jobs"];
    let made = control(&["control", "init"]).await;
    assert_eq!(made.well(), format!("applied {}\n", names.join(", ")));
    assert_eq!(control(&["control", "init"]).await.well(), "the control store has its tables\n");
    assert!(trial.database.dump() == meant, "schema/control and what is applied differ");
    assert!(control(&["migrate", "status", "--control"]).await.well().starts_with("status   OK\n"));
    // Marts may come into the same database, as if it were empty.
    ran(martello(&["migrate", "apply", "--url", &trial.url(), "--dir", "migrations/postgres"])).await.well();
    // As it was made before there was a ledger, wholly or up to a version.
    let rows = [
        &["20261125120000 1 0/0", "20261126120000 2 4/4", "20261126210000 2 1/1", "20261127010000 2 4/4"][..],
        &["20261126120000 1 0/0", "20261126210000 2 1/1", "20261127010000 2 4/4"],
        &["20261126210000 1 0/0", "20261127010000 2 4/4"],
        &["20261127010000 1 0/0"],
    ];
    for (count, rows) in (1..).zip(rows) {
        let old = Trial::new(&format!("control_old_{count}"), &[]);
        for name in &names[..count] {
            let file = repository().join(format!("migrations/control/{name}.sql"));
            Database::psql(&old.url(), &["--file", file.to_str().expect("a path")]);
        }
        let mut command = martello(&["control", "init"]);
        command.env("MARTELLO__CONTROL__URL", old.url());
        let told = ran(command).await;
        match &names[count..] {
            [] => assert_eq!(told.well(), "the control store has its tables\n"),
            applied => assert_eq!(told.well(), format!("applied {}\n", applied.join(", "))),
        }
        assert_eq!(old.ask(&ledger("martello_revisions")).await, rows);
        assert!(old.database.dump() == meant, "{count}");
    }
    // Where the folder was applied as any other, that ledger goes on.
    let atlas = Trial::new("control_atlas", &[]);
    ran(martello(&["migrate", "apply", "2", "--url", &atlas.url(), "--dir", "file://migrations/control"])).await.well();
    let mut command = martello(&["control", "init"]);
    command.env("MARTELLO__CONTROL__URL", atlas.url());
    assert_eq!(ran(command).await.well(), format!("applied {}\n", names[2..].join(", ")));
    assert_eq!(atlas.ask(&ledger("atlas_schema_revisions")).await.len(), 4);
}

/// The example of docs/migrate.md, whose hashes were worked out with openssl.
#[test]
fn the_hashes_of_the_document_are_those_of_its_files() {
    let document = std::fs::read_to_string(repository().join("docs/migrate.md")).expect("the document");
    let folder = Folder::of(
        Path::new("migrations"),
        vec![
            ("1_a.sql".to_owned(), "CREATE TABLE a (x int);\n".to_owned()),
            ("2_b.sql".to_owned(), "DROP TABLE a;\n".to_owned()),
        ],
    );
    assert!(document.contains(&format!("```\n{}```\n", folder.sum())), "{}", folder.sum());
    for line in folder.sum().lines() {
        let hash = line.rsplit_once("h1:").expect("a hash").1;
        assert_eq!(document.matches(hash).count(), if line.starts_with("h1:") { 2 } else { 3 }, "{hash}");
    }
}
