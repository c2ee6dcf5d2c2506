//! `martello migrate diff`, `down`, `checkpoint` and `validate --dev-url`: a folder, a wish and a database come together.

use std::path::Path;
use std::sync::OnceLock;

use martello::migrate::folder::{File, Folder};
use martello::migrate::session::LOCK;
use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::programs::{Ran, martello, run};
use crate::schema::{Database, server};
use crate::support::repository;

/// A folder of migrations, a wish, and a database.
pub struct Trial {
    folder: tempfile::TempDir,
    wish: tempfile::TempDir,
    database: OnceLock<Database>,
}

impl Trial {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        let trial = Self { folder: folder(), wish: folder(), database: OnceLock::new() };
        for (file, text) in files {
            trial.write(file, text);
        }
        trial.hash();
        trial
    }

    fn database(&self) -> &Database {
        self.database.get_or_init(Database::new)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).expect("written");
    }

    pub fn hash(&self) {
        Folder::read(self.path()).and_then(|folder| folder.write_sum()).expect("hashed");
    }

    fn wished(&self, sql: &str) {
        std::fs::write(self.wish.path().join("10_all.sql"), sql).expect("written");
    }

    fn files(&self) -> Vec<File> {
        let folder = Folder::read(self.path()).expect("a folder");
        folder.check().expect("hashed");
        folder.files().to_vec()
    }

    /// A command over the folder alone.
    pub fn over(&self, arguments: &[&str]) -> Ran {
        let dir = format!("file://{}", self.path().display());
        let mut command = martello(&["migrate"]);
        command.args(arguments).args(["--dir", &dir, "--dev-url", &server()]);
        run(command)
    }

    fn diff(&self, arguments: &[&str]) -> Ran {
        let to = self.wish.path().display().to_string();
        self.over(&[&["diff", "--to", &to], arguments].concat())
    }

    /// A command over the folder and the database.
    fn at(&self, arguments: &[&str]) -> Ran {
        let mut command = martello(&["migrate"]);
        command.args(arguments).args(["--url", &self.database().url()]);
        command.args(["--dir", &format!("file://{}", self.path().display())]);
        run(command)
    }

    fn ledger(&self) -> String {
        let rows =
            "SELECT string_agg(version, ' ' ORDER BY version) FROM atlas_schema_revisions.atlas_schema_revisions";
        self.database().run(rows).trim_end().to_owned()
    }
}

const FIRST: &str = "CREATE TABLE t (a int PRIMARY KEY, gone text);\n";

#[test]
fn what_is_missing_is_written_proved_and_applied_and_then_nothing_is_missing() {
    let trial = Trial::new(&[("1_first.sql", FIRST)]);
    trial.wished(
        "CREATE TYPE e AS ENUM ('x', 'y'); CREATE TABLE t (a int PRIMARY KEY, b bigint, c e); CREATE INDEX i ON t (b);
         CREATE VIEW v AS SELECT a FROM t; COMMENT ON VIEW v IS 'all; of it';
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$;",
    );
    // Shown, and nothing else.
    let ran = trial.diff(&["--dry-run", "--exit-code"]);
    assert_eq!((ran.code, trial.files().len()), (Some(2), 1), "{}", ran.err);
    assert!(ran.out.contains("-- Alter table public.t drop column gone\n-- deletes-data:"), "{}", ran.out);
    let ran = trial.diff(&["more", "--exit-code"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("hazards: deletes-data"), "{}", ran.err);
    let files = trial.files();
    assert_eq!(ran.out.lines().count(), files.len() - 1, "{}", ran.out);
    assert!(files[1..].iter().all(|file| file.description() == "more" && file.version().len() == 14), "{files:?}");
    assert!(files.windows(2).all(|pair| pair[0].version() < pair[1].version()), "{files:?}");
    // What cannot be in a transaction is apart.
    let alone: Vec<bool> = files.iter().map(|file| file.text.starts_with("-- atlas:txmode none\n\n")).collect();
    let built: Vec<bool> = files.iter().map(|file| file.text.contains("CONCURRENTLY")).collect();
    assert!(alone == built && built.contains(&true), "{files:?}");
    let ran = trial.diff(&["--exit-code"]);
    assert_eq!((ran.well(), trial.files().len()), ("synced: the folder makes what is wished\n", files.len()));
    // It leads a database there that has rows.
    trial.at(&["apply", "1"]).well();
    trial.database().run("INSERT INTO t VALUES (1, 'one')");
    trial.at(&["apply"]).well();
    let wish = trial.wish.path().display().to_string();
    let mut drift = martello(&["schema", "diff", "--from", &trial.database().url(), "--to", &wish, "--exit-code"]);
    drift.stdin(std::process::Stdio::null());
    run(drift).well();
    assert_eq!(trial.database().run("SELECT a FROM v"), "1\n");
}

#[test]
fn nothing_is_written_where_anything_is_wrong() {
    let trial = Trial::new(&[("1_first.sql", FIRST)]);
    let sum = || std::fs::read_to_string(trial.path().join("atlas.sum")).expect("a sum");
    let before = sum();
    trial.wished("CREATE TABLE t (a int);\nCREATE VIEW v AS SELECT b FROM t;");
    let ran = trial.diff(&[]);
    let complaint = ran.complaint();
    assert!(complaint.contains("apply 10_all.sql, line 2") && complaint.contains("column \"b\""), "{complaint}");
    trial.wished("CREATE TABLE t (a int PRIMARY KEY);");
    let ran = trial.diff(&["no/name"]);
    assert!(ran.complaint().contains("expected letters"), "{}", ran.err);
    // A file that is none of those that were reviewed.
    trial.write("1_first.sql", "CREATE TABLE u ();");
    let ran = trial.diff(&[]);
    assert!(ran.complaint().contains("1_first.sql was edited"), "{}", ran.err);
    trial.write("1_first.sql", "CREATE TABLE t (a int);\nSELECT 1 / 0;");
    trial.hash();
    let ran = trial.diff(&[]);
    assert!(ran.complaint().contains("apply 1_first.sql, line 2: error"), "{}", ran.err);
    trial.write("1_first.sql", FIRST);
    trial.hash();
    assert_eq!((sum(), trial.files().len()), (before, 1));
}

#[test]
fn a_folder_that_is_not_there_yet_begins_with_all_of_the_wish() {
    let trial = Trial::new(&[]);
    trial.wished("CREATE TABLE t (a int);");
    let dir = format!("file://{}/new/folder", trial.path().display());
    let to = trial.wish.path().display().to_string();
    let diff = ["migrate", "diff", "--dir", &dir, "--to", &to, "--dev-url", &server(), "--json"];
    let ran = run(martello(&diff));
    let told: Value = serde_json::from_str(ran.well()).expect("JSON");
    let sql = told["files"][0]["sql"].as_str().expect("a text");
    assert!(sql.contains("CREATE TABLE public.t"), "{sql}");
    let again: Value = serde_json::from_str(run(martello(&diff)).well()).expect("JSON");
    assert_eq!(again["files"], serde_json::json!([]));
    // A rename is said, and followed.
    trial.wished("-- martello:rename t u\nCREATE TABLE u (a int);");
    let ran = run(martello(&[&diff[..], &["--dry-run"]].concat()));
    assert!(ran.well().contains("ALTER TABLE public.t RENAME TO u"), "{}", ran.out);
    let ran = run(martello(&["migrate", "diff", "--dir", &dir, "--to", &to]));
    assert!(ran.complaint().contains("expected --dev-url"), "{}", ran.err);
}

#[test]
fn the_folder_of_the_repository_lacks_nothing_and_runs_from_its_first_file_to_its_last() {
    for name in ["postgres", "control"] {
        let (dir, to) = (format!("file://migrations/{name}"), format!("schema/{name}"));
        let diff = ["migrate", "diff", "--dir", &dir, "--to", &to, "--dev-url", &server(), "--exit-code"];
        assert_eq!(run(martello(&diff)).well(), "synced: the folder makes what is wished\n", "{name}");
        let ran = run(martello(&["migrate", "validate", "--dir", &dir, "--dev-url", &server()]));
        assert!(ran.well().contains("run on an empty database"), "{}", ran.out);
    }
}

#[test]
fn a_replay_names_the_line_that_fails_and_a_checkpoint_that_is_something_else() {
    let trial = Trial::new(&[("1_a.sql", FIRST), ("2_b.sql", "SELECT 1;\n\nALTER TABLE t\n  DROP COLUMN never;\n")]);
    let ran = trial.over(&["validate"]);
    assert!(ran.complaint().contains("apply 2_b.sql, line 3:") && ran.err.contains("never"), "{}", ran.err);
    // What would fail in the transaction of an apply fails here.
    trial.write("2_b.sql", "CREATE INDEX CONCURRENTLY i ON t (gone);");
    trial.hash();
    let ran = trial.over(&["validate"]);
    assert!(ran.complaint().contains("transaction block"), "{}", ran.err);
    trial.write("2_b.sql", "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY i ON t (gone);");
    trial.write("3_c.sql", "-- atlas:checkpoint\n\nCREATE TABLE t (a int PRIMARY KEY, gone text);");
    trial.hash();
    let ran = trial.over(&["validate"]);
    let complaint = ran.complaint();
    assert!(complaint.contains("the checkpoint 3_c.sql") && complaint.contains("DROP INDEX"), "{complaint}");
    trial.write(
        "3_c.sql",
        "-- atlas:checkpoint\n\nCREATE TABLE t (a int PRIMARY KEY, gone text); CREATE INDEX i ON t (gone);",
    );
    trial.write("4_d.sql", "ALTER TABLE t DROP COLUMN gone;");
    trial.hash();
    let ran = trial.over(&["validate"]);
    assert!(
        ran.well()
            .ends_with("4 files run on an empty database, and 1 checkpoint of them hold what the files before make\n")
    );
}

#[test]
fn a_checkpoint_is_the_sum_of_all_before_it_and_new_databases_begin_there() {
    let trial = Trial::new(&[
        ("1_a.sql", "CREATE TYPE e AS ENUM ('x'); CREATE TABLE t (a serial PRIMARY KEY, b e DEFAULT 'x');"),
        ("2_b.sql", "CREATE VIEW v AS SELECT a FROM t; GRANT SELECT ON v TO martello; COMMENT ON TABLE t IS 'it''s';"),
        ("3_c.sql", "CREATE FUNCTION f() RETURNS bigint LANGUAGE sql AS $$ SELECT count(*) FROM v; $$;"),
    ]);
    let ran = trial.over(&["checkpoint", "v1.0"]);
    let path = ran.well().trim_end().to_owned();
    assert!(path.ends_with("_checkpoint.sql"), "{path}");
    let text = std::fs::read_to_string(&path).expect("a text");
    assert!(text.starts_with("-- atlas:checkpoint v1.0\n\n"), "{text}");
    assert!(trial.over(&["validate"]).well().contains("1 checkpoint of them"));
    trial.at(&["apply"]).well();
    let version = trial.files().last().expect("a file").version().to_owned();
    assert_eq!(trial.ledger(), version);
    // The same as by the long way, what others may do too.
    let long = Database::new();
    for file in &trial.files()[..3] {
        long.run(&file.text);
    }
    let ours = trial.database().dump();
    let ours = ours.lines().filter(|line| !line.contains("atlas_schema_revisions"));
    for line in long.dump().lines() {
        assert!(ours.clone().any(|other| other == line), "{line}");
    }
    // Rows are not in it: that is said, and accepted by name.
    trial.write("5_rows.sql", "INSERT INTO t DEFAULT VALUES;");
    trial.hash();
    let ran = trial.over(&["checkpoint"]);
    assert!(ran.complaint().contains("put some into public.t"), "{}", ran.err);
    let ran = trial.over(&["checkpoint", "--leave-rows"]);
    // A folder that counts goes on counting.
    assert!(ran.well().ends_with("/6_checkpoint.sql\n"), "{}", ran.out);
}

#[test]
fn what_a_checkpoint_would_lose_is_refused() {
    for (sql, what) in [
        (
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC;",
            "that f() is not for everybody",
        ),
        ("CREATE TYPE e AS ENUM ('x'); REVOKE USAGE ON TYPE e FROM PUBLIC;", "that type e is not for everybody"),
        ("ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO martello;", "default privileges"),
        ("CREATE TABLE t (a int); ALTER TABLE t OWNER TO martello;", "the owner of t"),
        ("CREATE TYPE e AS ENUM ('x'); CREATE CAST (e AS bigint) WITH INOUT;", "1 casts"),
    ] {
        let trial = Trial::new(&[("1_a.sql", sql)]);
        let ran = trial.over(&["checkpoint"]);
        assert!(ran.complaint().contains(&format!("it cannot hold {what}")), "{}", ran.err);
        assert_eq!(trial.files().len(), 1);
    }
    // What everybody may do is held, and what they may do no more in the schema that they had.
    let trial = Trial::new(&[(
        "1_a.sql",
        "CREATE TABLE t (a int); GRANT SELECT ON t TO PUBLIC; REVOKE USAGE ON SCHEMA public FROM PUBLIC;",
    )]);
    let path = trial.over(&["checkpoint"]).well().trim_end().to_owned();
    let text = std::fs::read_to_string(path).expect("a text");
    assert!(text.contains("GRANT SELECT ON") && text.contains("REVOKE"), "{text}");
}

#[test]
fn a_database_goes_down_as_far_as_it_is_told_and_up_again() {
    let trial = Trial::new(&[
        ("1_a.sql", "CREATE TABLE t (a int PRIMARY KEY, kept text);"),
        ("2_b.sql", "ALTER TABLE t ADD COLUMN b int; CREATE VIEW v AS SELECT a, b FROM t;"),
        ("3_c.sql", "CREATE TABLE u (a int REFERENCES t);"),
        ("4_d.sql", "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY i ON t (b);"),
    ]);
    let ran = trial.at(&["down"]);
    assert!(ran.complaint().contains("its ledger has no row"), "{}", ran.err);
    trial.at(&["apply"]).well();
    trial.database().run("INSERT INTO t VALUES (1, 'one', NULL)");
    // An index is not dropped unasked.
    let ran = trial.at(&["down"]);
    assert!(ran.code == Some(1) && ran.err.contains("add --allow drops-index"), "{}", ran.err);
    assert_eq!(trial.ledger(), "1 2 3 4");
    let ran = trial.at(&["down", "--dry-run"]);
    assert!(
        ran.well().contains("DROP INDEX CONCURRENTLY public.i;\n-- 1 statement would lead from 4 to 3\n"),
        "{}",
        ran.out
    );
    assert_eq!(trial.ledger(), "1 2 3 4");
    assert_eq!(trial.at(&["down", "--allow", "drops-index"]).well(), "the database is at 3, by 1 statement\n");
    assert_eq!(trial.ledger(), "1 2 3");
    // A column without a value and a table without a row are nobody's data.
    assert_eq!(trial.at(&["down", "--to-version", "1"]).well(), "the database is at 1, by 3 statements\n");
    assert_eq!(trial.ledger(), "1");
    trial.at(&["apply"]).well();
    trial.database().run("UPDATE t SET b = 7; INSERT INTO u VALUES (1)");
    let ran = trial.at(&["down", "3", "--allow", "drops-index"]);
    assert!(ran.code == Some(1) && ran.err.contains("add --allow deletes-data"), "{}", ran.err);
    assert!(ran.err.contains("deletes-data: DROP TABLE public.u"), "{}", ran.err);
    assert!(ran.err.contains("deletes-data: ALTER TABLE public.t DROP COLUMN b"), "{}", ran.err);
    trial.at(&["down", "3", "--allow", "drops-index,deletes-data"]).well();
    assert_eq!((trial.ledger().as_str(), trial.database().run("SELECT * FROM t").as_str()), ("1", "1|one\n"));
    let ran = trial.at(&["down", "--to-version", "3"]);
    assert!(ran.complaint().contains("expected one that was applied: 1"), "{}", ran.err);
    // To nothing, and up again.
    let ran = trial.at(&["down", "9", "--allow", "drops-index,deletes-data", "--json"]);
    let told: Value = serde_json::from_str(ran.well()).expect("JSON");
    assert_eq!((&told["to"], &told["versions"]), (&Value::Null, &serde_json::json!(["1"])));
    assert_eq!(trial.ledger(), "");
    trial.at(&["apply"]).well();
    assert_eq!(trial.ledger(), "1 2 3 4");
}

#[test]
fn a_database_that_is_not_what_its_ledger_says_is_left_alone() {
    let trial = Trial::new(&[("1_a.sql", FIRST), ("2_b.sql", "CREATE TABLE u (a int);")]);
    trial.at(&["apply"]).well();
    trial.database().run("ALTER TABLE t ADD COLUMN by_hand int");
    let ran = trial.at(&["down"]);
    let complaint = ran.complaint();
    assert!(
        complaint.contains("it is not what the files up to 2 make") && complaint.contains("by_hand"),
        "{complaint}"
    );
    assert_eq!(trial.ledger(), "1 2");
    trial.at(&["down", "--ignore", "public.t"]).well();
    // What was there before the ledger stays.
    let trial = Trial::new(&[("1_a.sql", FIRST), ("2_b.sql", "CREATE TABLE u (a int);")]);
    trial.database().run(FIRST);
    trial.at(&["apply", "--baseline", "1"]).well();
    let ran = trial.at(&["down", "2"]);
    assert!(ran.complaint().contains("below 1: it is a baseline"), "{}", ran.err);
    trial.at(&["down"]).well();
    assert_eq!(trial.ledger(), "1");
}

#[test]
fn a_way_down_that_was_cut_off_is_gone_on_with() {
    let trial = Trial::new(&[
        ("1_a.sql", "CREATE TABLE t (a int, b int);"),
        (
            "2_b.sql",
            "-- atlas:txmode none\n\nCREATE INDEX CONCURRENTLY i ON t (a); CREATE INDEX CONCURRENTLY j ON t (b); ALTER TABLE t ADD c int;",
        ),
    ]);
    trial.at(&["apply"]).well();
    // As if it had been killed behind its first statement.
    trial.database().run("DROP INDEX i");
    assert_eq!(trial.at(&["down", "--allow", "drops-index"]).well(), "the database is at 1, by 2 statements\n");
    assert_eq!(trial.ledger(), "1");
    // Whatever no way down leaves behind is drift.
    trial.at(&["apply"]).well();
    trial.database().run("ALTER TABLE t ADD d int; DROP INDEX i");
    assert!(trial.at(&["down", "--allow", "drops-index"]).complaint().contains("is not what the files"));
}

#[test]
fn a_way_down_that_fails_in_its_transaction_has_done_nothing_and_an_apply_excludes_it() {
    let trial = Trial::new(&[
        ("1_a.sql", "CREATE TABLE t (a int);"),
        ("2_b.sql", "ALTER TABLE t ALTER a DROP NOT NULL; CREATE TABLE u (a int); ALTER TABLE t ADD b int;"),
    ]);
    trial.at(&["apply"]).well();
    // A view that nobody looks at holds the column.
    trial.database().run("CREATE SCHEMA other; CREATE VIEW other.v AS SELECT b FROM t");
    let ran = trial.at(&["down", "--ignore", "other"]);
    assert!(ran.complaint().contains("DROP COLUMN b"), "{}", ran.err);
    assert_eq!(trial.ledger(), "1 2");
    assert_eq!(trial.database().run("SELECT count(*) FROM u"), "0\n");
    trial.database().run("DROP SCHEMA other CASCADE");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let held = runtime.block_on(async {
        let mut connection = PgConnection::connect(&trial.database().url()).await.expect("a connection");
        connection.execute(AssertSqlSafe(format!("SELECT pg_advisory_lock({LOCK})"))).await.expect("a lock");
        connection
    });
    let ran = trial.at(&["down", "--lock-timeout", "100ms"]);
    assert!(ran.complaint().contains("take the lock of migrations"), "{}", ran.err);
    assert_eq!(trial.ledger(), "1 2");
    runtime.block_on(held.close()).expect("closed");
    trial.at(&["down"]).well();
    assert_eq!(trial.ledger(), "1");
}

#[test]
fn contracts_are_compared_with_the_schema_that_the_repository_wishes() {
    let check = |against: &str| run(martello(&["catalog", "check", "--against", against, "--dev-url", &server()]));
    for against in ["schema/postgres", "migrations/postgres"] {
        assert_eq!(check(against).well(), format!("7 datasets compared with {against}: 0 mismatches\n"));
    }
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(repository().join("schema/postgres")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let text =
            text.replace("  volume bigint NOT NULL,\n", "").replace("COMMENT ON COLUMN price_daily.volume", "-- ");
        let text = text.replace("headline text COLLATE \"C\"", "headline text");
        std::fs::write(copy.path().join(path.file_name().expect("a name")), text).expect("written");
    }
    let ran = check(copy.path().to_str().expect("a path"));
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.out.ends_with("2 mismatches\n"), "{}", ran.out);
    assert!(
        ran.err.contains("price_daily.volume: the contract says int64, price_daily has no such column"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("news.headline: the contract says string, which sorts bytewise"), "{}", ran.err);
    let ran = run(martello(&["catalog", "check", "--against", "schema/postgres"]));
    assert!(ran.complaint().contains("name one with --dev-url"), "{}", ran.err);
}
