//! `martello migrate diff`, `lint`, `down`, `checkpoint`, `validate --dev-url` and `catalog check --against` on ClickHouse.

use std::collections::BTreeSet;
use std::path::Path;

use martello::migrate::folder::{File, Folder};
use serde_json::{Value, json};

use crate::clickhouse_migrate::Database;
use crate::programs::{Ran, martello, run};
use crate::support::repository;

/// A folder of migrations, a wish, and a database.
struct Trial {
    folder: tempfile::TempDir,
    wish: tempfile::TempDir,
    database: Database,
}

impl Trial {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = || tempfile::tempdir().expect("a folder");
        let trial = Self { folder: folder(), wish: folder(), database: Database::new() };
        for (file, text) in files {
            trial.write(file, text);
        }
        trial
    }

    /// Writes a file, and hashes the folder.
    fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).expect("written");
        Folder::read(self.path()).and_then(|folder| folder.write_sum()).expect("hashed");
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn files(&self) -> Vec<File> {
        let folder = Folder::read(self.path()).expect("a folder");
        folder.check().expect("hashed");
        folder.files().to_vec()
    }

    fn wished(&self, sql: &str) {
        std::fs::write(self.wish.path().join("10_all.sql"), sql).expect("written");
    }

    fn command(&self, option: &str, arguments: &[&str]) -> Ran {
        let mut command = martello(&["migrate"]);
        command.args(arguments).args([option, &self.database.url()]);
        command.args(["--dir", &format!("file://{}", self.path().display())]);
        run(command)
    }

    /// A command over the folder alone.
    fn over(&self, arguments: &[&str]) -> Ran {
        self.command("--dev-url", arguments)
    }

    /// A command over the folder and the database.
    fn at(&self, arguments: &[&str]) -> Ran {
        self.command("--url", arguments)
    }

    fn diff(&self, arguments: &[&str]) -> Ran {
        let to = self.wish.path().display().to_string();
        self.over(&[&["diff", "--to", &to], arguments].concat())
    }

    /// The versions that the ledger has.
    fn ledger(&self) -> String {
        let rows = "SELECT arrayStringConcat(arraySort(groupArray(version)), ' ') FROM (SELECT version FROM \
                    martello_schema_revisions GROUP BY version HAVING argMax(removed, sequence) = 0)";
        self.database.run(rows).trim().to_owned()
    }

    /// Whether somebody holds the lock.
    fn is_locked(&self) -> bool {
        let count =
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'martello_migrate_lock'";
        self.database.run(count).trim() != "0"
    }

    /// What the second of two files would do, as `line code`.
    fn found(&self) -> Vec<String> {
        let report = self.report(&[]);
        let findings = report["findings"].as_array().expect("findings").iter();
        findings.map(|it| format!("{} {}", it["line"], it["code"].as_str().expect("a code"))).collect()
    }

    fn report(&self, arguments: &[&str]) -> Value {
        let ran = self.over(&[&["lint", "--format", "json"], arguments].concat());
        serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err))
    }
}

const FIRST: &str = "CREATE TABLE t (a UInt64, gone String) ENGINE = MergeTree ORDER BY a;\n";

#[test]
fn what_is_missing_in_clickhouse_is_one_file_that_leads_to_the_wish() {
    let trial = Trial::new(&[("1_first.sql", FIRST)]);
    let database = trial.database.name();
    trial.wished(&format!(
        "CREATE TABLE t (a UInt64, b Int32 COMMENT 'it''s; b') ENGINE = ReplacingMergeTree ORDER BY a;
         CREATE TABLE {database}.sums (a UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY a;
         CREATE MATERIALIZED VIEW passing TO {database}.sums AS SELECT a, count() AS n FROM {database}.t GROUP BY a;
         CREATE USER nobody_makes_it;"
    ));
    // Shown, and nothing else.
    let ran = trial.diff(&["--dry-run", "--exit-code"]);
    assert_eq!((ran.code, trial.files().len()), (Some(2), 1), "{}", ran.err);
    assert!(ran.err.contains("left alone: CREATE USER (10_all.sql, line 4)"), "{}", ran.err);
    assert!(ran.out.contains("-- Exchange tables t and t__new\nEXCHANGE TABLES t AND t__new;\n"), "{}", ran.out);
    let ran = trial.diff(&["more", "--json"]);
    let change: Value = serde_json::from_str(ran.well()).expect("JSON");
    let hazards = change["files"][0]["hazards"].as_array().expect("hazards");
    let hazards: BTreeSet<&str> = hazards.iter().filter_map(|it| it["hazard"].as_str()).collect();
    assert_eq!(hazards, BTreeSet::from(["correctness", "rewrites-table"]));
    let files = trial.files();
    assert_eq!((files.len(), files[1].description()), (2, "more"), "{files:?}");
    // Wherever it is applied, it is the database's own names that it means.
    assert!(!files[1].text.contains(database) && !files[1].text.contains("martello_scratch"), "{}", files[1].text);
    let ran = trial.diff(&["--exit-code"]);
    assert_eq!((ran.well(), trial.files().len()), ("synced: the folder makes what is wished\n", 2));
    // It leads a database there that has rows, and they stay.
    trial.at(&["apply", "1"]).well();
    trial.database.run("INSERT INTO t VALUES (1, 'one'), (2, 'two')");
    trial.at(&["apply"]).well();
    trial.database.run("INSERT INTO t VALUES (3, 3)");
    assert_eq!(trial.database.run("SELECT count() FROM t").trim(), "3");
    assert_eq!(trial.database.run("SELECT sum(n) FROM sums").trim(), "1");
    let mut drift = martello(&["schema", "diff", "--from", &trial.database.url(), "--exit-code", "--to"]);
    drift.arg(trial.wish.path());
    run(drift).well();
    // A database is a wish as well, and what it lacks goes.
    let other = Database::new();
    other.run("CREATE TABLE t (a UInt64, b Int32 COMMENT 'it''s; b') ENGINE = ReplacingMergeTree ORDER BY a");
    let ran = trial.over(&["diff", "less", "--to", &other.url()]);
    assert!(ran.well().ends_with("_less.sql\n"), "{}", ran.out);
    assert!(trial.files()[2].text.contains("-- deletes-data: the table's rows go with it\nDROP TABLE sums;\n"));
}

#[test]
fn a_file_says_on_which_cluster_and_what_is_replicated_stays_so() {
    let trial = Trial::new(&[("1_first.sql", "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a;\n")]);
    trial.wished("CREATE TABLE t (a UInt64, b UInt8) ENGINE = ReplicatedMergeTree ORDER BY (a);");
    trial.diff(&["--cluster", "all"]).well();
    let text = &trial.files()[1].text;
    assert!(text.contains("CREATE TABLE t__new ON CLUSTER `all`"), "{text}");
    assert!(text.contains("ENGINE = ReplicatedMergeTree"), "{text}");
    // By way of its other name, the folder makes a table that is replicated.
    let ran = trial.diff(&["--exit-code", "--cluster", "all"]);
    assert_eq!(ran.well(), "synced: the folder makes what is wished\n");
    let ran = trial.over(&["checkpoint"]);
    assert!(ran.complaint().contains("it cannot hold ON CLUSTER of "), "{}", ran.err);
    trial.over(&["checkpoint", "--cluster", "all"]).well();
    let text = &trial.files()[2].text;
    assert!(text.contains("CREATE TABLE t ON CLUSTER `all`") && text.contains("ReplicatedMergeTree"), "{text}");
}

#[test]
fn nothing_is_written_for_clickhouse_where_anything_is_wrong() {
    let trial = Trial::new(&[("1_first.sql", FIRST)]);
    let sum = || std::fs::read_to_string(trial.path().join("atlas.sum")).expect("a sum");
    let before = sum();
    trial.wished("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a;\nCREATE VIEW v AS SELECT b FROM t;");
    let complaint = trial.diff(&[]);
    assert!(complaint.complaint().contains("apply 10_all.sql, line 2: "), "{}", complaint.err);
    trial.wished("CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a;");
    assert!(trial.diff(&["no/name"]).complaint().contains("expected letters"));
    std::fs::write(trial.path().join("1_first.sql"), "SELECT 1;").expect("written");
    assert!(trial.diff(&[]).complaint().contains("was edited"));
    assert_eq!((sum(), std::fs::read_dir(trial.path()).expect("a folder").count()), (before, 2));
}

#[test]
fn a_checkpoint_of_clickhouse_is_what_the_files_before_it_make() {
    let trial = Trial::new(&[
        ("1_a.sql", FIRST),
        ("2_b.sql", "CREATE TABLE n (x UInt8 DEFAULT 7, INDEX i x TYPE minmax) ENGINE = MergeTree ORDER BY tuple();\n"),
        ("3_c.sql", "CREATE MATERIALIZED VIEW v ENGINE = MergeTree ORDER BY a AS SELECT a FROM t;\n"),
    ]);
    assert_eq!(trial.over(&["validate"]).well().lines().last(), Some("3 files run on an empty database"));
    let path = trial.over(&["checkpoint", "v1.0"]).well().trim_end().to_owned();
    let text = std::fs::read_to_string(&path).expect("a text");
    assert!(path.ends_with("/4_checkpoint.sql") || path.ends_with("_checkpoint.sql"), "{path}");
    assert!(text.starts_with("-- atlas:checkpoint v1.0\n\n"), "{text}");
    assert!(trial.over(&["validate"]).well().contains("1 checkpoint of them hold"));
    // New databases begin there.
    trial.at(&["apply"]).well();
    let version = trial.files().last().expect("a file").version().to_owned();
    assert_eq!(trial.ledger(), version);
    assert_eq!(
        trial.database.run("SELECT name FROM system.data_skipping_indices WHERE database = currentDatabase()").trim(),
        "i"
    );
    // What it would leave out is said.
    let newest = version.parse::<u64>().expect("a number");
    trial.write(&format!("{}_rows.sql", newest + 1), "INSERT INTO t VALUES (1, 'one');");
    let ran = trial.over(&["checkpoint"]);
    assert!(ran.complaint().contains("put some into t, v"), "{}", ran.err);
    trial.over(&["checkpoint", "--leave-rows"]).well();
    let trial = Trial::new(&[("1_a.sql", &format!("{FIRST}\nGRANT SELECT ON t TO somebody;"))]);
    let ran = trial.over(&["checkpoint"]);
    assert!(ran.complaint().contains("it cannot hold GRANT (1_a.sql, line 3)"), "{}", ran.err);
    // One that is something else is not believed.
    trial.write("2_b.sql", "-- atlas:checkpoint\n\nCREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a;\n");
    let ran = trial.over(&["validate"]);
    assert!(ran.complaint().contains("believe the checkpoint 2_b.sql"), "{}", ran.err);
    trial.write("2_b.sql", &format!("-- atlas:checkpoint\n\n{FIRST}\nSELECT never;\n"));
    let ran = trial.over(&["validate"]);
    assert!(ran.complaint().contains("apply 2_b.sql, line 5: "), "{}", ran.err);
}

#[test]
fn what_new_files_do_to_a_clickhouse_is_found_before_they_are_merged() {
    let base =
        "CREATE TABLE t (a UInt64, b String, c Date, d UInt8) ENGINE = MergeTree ORDER BY a TTL c + INTERVAL 30 DAY;
        CREATE TABLE s (b String) ENGINE = MergeTree ORDER BY tuple();
        CREATE MATERIALIZED VIEW v TO s AS SELECT b FROM t;
        CREATE VIEW plain AS SELECT a FROM t;
        CREATE TABLE u (x UInt8) ENGINE = Null;";
    let cases: &[(&str, &[&str])] = &[
        ("SELECT 1;\nDROP DATABASE IF EXISTS `other`;", &["2 DS101"]),
        ("SELECT 1;\n\nDROP TABLE s;", &["3 CH106", "3 DS102"]),
        ("-- atlas:nolint DS102\nDROP TABLE s;", &["2 CH106"]),
        ("-- atlas:nolint clickhouse DS102\n\nDROP TABLE s;", &[]),
        ("DROP VIEW plain;\nDROP TABLE u;", &[]),
        ("CREATE TABLE w (x UInt8) ENGINE = MergeTree ORDER BY x;\nDROP TABLE w;", &[]),
        ("ALTER TABLE t DROP COLUMN d;", &["1 CH102", "1 DS103"]),
        // The server itself refuses what a materialized view reads.
        ("ALTER TABLE t DROP COLUMN b;", &["1 MT001"]),
        ("ALTER TABLE t RENAME COLUMN d TO e;", &["1 BC102"]),
        ("RENAME TABLE s TO r;", &["1 BC101"]),
        ("RENAME TABLE s TO r;\nCREATE VIEW s AS SELECT b FROM r;", &[]),
        ("ALTER TABLE t MODIFY COLUMN d UInt32;", &["1 CH102"]),
        ("ALTER TABLE t MODIFY TTL c + INTERVAL 3 DAY;", &["1 CH107"]),
        ("CREATE TABLE w (x Nullable(UInt8), y UInt8) ENGINE = MergeTree ORDER BY x SETTINGS allow_nullable_key = 1;", &["1 CH103"]),
        ("CREATE MATERIALIZED VIEW w ENGINE = MergeTree ORDER BY a AS SELECT a FROM t;", &["1 CH104"]),
        ("CREATE TABLE r (x UInt8) ENGINE = ReplicatedMergeTree ORDER BY x;\nCREATE TABLE w (x UInt8) ENGINE = MergeTree ORDER BY x;", &["2 CH105"]),
        (
            "CREATE TABLE t__new (a UInt64, b String, c Date, d UInt8) ENGINE = MergeTree ORDER BY c;
             INSERT INTO t__new SELECT * FROM t;\nEXCHANGE TABLES t AND t__new;\nRENAME TABLE t__new TO t__old_01234567;",
            &["3 CH101"],
        ),
        ("SELECT 1;\nALTER TABLE never DROP COLUMN b;\nDROP TABLE s;", &["2 MT001"]),
        ("CREATE TABLE elsewhere.t (x UInt8) ENGINE = Memory;", &["1 MT001"]),
        ("ALTER TABLE t ADD COLUMN e UInt8;", &[]),
    ];
    let trial = Trial::new(&[("1_base.sql", base)]);
    let mut faults = Vec::new();
    for (sql, expected) in cases {
        trial.write("2_new.sql", sql);
        let found = trial.found();
        if found != *expected {
            faults.push(format!("{sql}\n  found {found:?}, expected {expected:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // In the other forms as well, and with what is wrong with the folder.
    trial.write("2_new.sql", "DROP TABLE s;");
    let ran = trial.over(&["lint"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.out.contains("2_new.sql:1: error DS102: table s is dropped, and its rows are gone\n"), "{}", ran.out);
    let ran = trial.over(&["lint", "--format", "github"]);
    assert!(ran.out.contains("line=1,title=DS102::table s is dropped"), "{}", ran.out);
    let sarif: Value = serde_json::from_str(&trial.over(&["lint", "--format", "sarif"]).out).expect("JSON");
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(2), "{sarif}");
    std::fs::write(trial.path().join("2_new.sql"), "DROP VIEW plain;").expect("written");
    assert_eq!(trial.found(), ["1 MT003"]);
}

#[test]
fn what_costs_by_its_size_says_how_large_it_is() {
    let trial = Trial::new(&[]);
    let beside = trial.database.beside("x");
    let x = beside.name();
    let base = format!(
        "CREATE TABLE t (a UInt64, b UInt8) ENGINE = MergeTree ORDER BY a;\nCREATE DATABASE {x};\n\
         CREATE TABLE {x}.t (a UInt64) ENGINE = MergeTree ORDER BY a;\n"
    );
    trial.write("1_base.sql", &base);
    trial.at(&["apply"]).well();
    trial.database.run("INSERT INTO t SELECT number, 1 FROM numbers(1234)");
    trial.database.run(&format!("INSERT INTO {x}.t SELECT number FROM numbers(56)"));
    trial.write("2_new.sql", &format!("ALTER TABLE t DROP COLUMN b;\nDROP TABLE {x}.t;"));
    let texts = |ran: Ran| -> Vec<String> {
        let report: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err));
        let findings = report["findings"].as_array().expect("findings").iter();
        let sized = findings.filter(|it| it["code"].as_str().is_some_and(|code| code.starts_with("CH")));
        sized.map(|it| it["text"].as_str().expect("a text").to_owned()).collect()
    };
    let found = texts(trial.at(&["lint", "--format", "json"]));
    let [column, table] = &found[..] else { panic!("{found:?}") };
    assert!(column.contains("; it has 1234 rows in ") && column.ends_with("B now"), "{column}");
    assert!(table.contains("; it has 56 rows in "), "{table}");
    // A server for scratch databases has none of its rows.
    assert!(texts(trial.over(&["lint", "--format", "json"])).iter().all(|text| !text.contains("it has")));
}

#[test]
fn a_contract_that_a_clickhouse_would_break_is_named() {
    let schema = |name: &str| {
        std::fs::read_to_string(repository().join(format!("schema/clickhouse/{name}.sql"))).expect("a text")
    };
    let trial = Trial::new(&[("1_base.sql", &["10_profile", "20_prices", "50_news"].map(schema).join("\n"))]);
    for (sql, line) in [
        ("SELECT 1;\nALTER TABLE price_daily DROP COLUMN volume;", 2),
        ("ALTER TABLE price_daily MODIFY COLUMN volume String;\nSELECT 1;", 1),
        ("SELECT 1;\nRENAME TABLE price_daily TO prices;", 2),
    ] {
        trial.write("2_new.sql", sql);
        let report = trial.report(&[]);
        let findings = report["findings"].as_array().expect("findings");
        let contract: Vec<&Value> = findings.iter().filter(|finding| finding["code"] == "MT101").collect();
        assert!(!contract.is_empty(), "{sql} {report:#}");
        for finding in contract {
            assert_eq!(finding["line"], json!(line), "{sql} {finding}");
            assert!(finding["text"].as_str().is_some_and(|text| text.contains("price_daily")), "{finding}");
        }
    }
    trial.write("2_new.sql", "CREATE TABLE other (a UInt8) ENGINE = MergeTree ORDER BY a;");
    assert_eq!(trial.found(), Vec::<String>::new());
    // What serves is to be let read a new relation.
    trial.write("2_new.sql", &schema("70_signals"));
    let lines = |trial: &Trial| {
        let report = trial.report(&["--grantee", "serving"]);
        let findings = report["findings"].as_array().expect("findings").iter();
        let lines = findings.filter(|it| it["code"] == "MT103").map(|it| it["line"].clone());
        lines.collect::<Vec<Value>>()
    };
    // The tests' server does not tell who may do what, and these files say nothing of it.
    assert!(lines(&trial).is_empty());
    let signal = schema("70_signals");
    let made = signal[..signal.find("CREATE TABLE signal").expect("a table")].lines().count() + 1;
    trial.write("2_new.sql", &format!("{signal}\nGRANT SELECT ON other TO serving;"));
    assert_eq!(lines(&trial), [json!(made)]);
    trial.write("2_new.sql", &format!("{signal}\nGRANT SELECT ON signal TO serving;"));
    assert!(lines(&trial).is_empty());
}

#[test]
fn a_clickhouse_goes_down_as_far_as_it_is_told_and_up_again() {
    let trial = Trial::new(&[
        ("1_a.sql", "CREATE TABLE t (a UInt64, kept String) ENGINE = MergeTree ORDER BY a;"),
        ("2_b.sql", "ALTER TABLE t ADD COLUMN b Int32;\nCREATE VIEW v AS SELECT a, b FROM t;"),
        ("3_c.sql", "CREATE TABLE u (a UInt64) ENGINE = MergeTree ORDER BY a;"),
        ("4_d.sql", "ALTER TABLE t ADD INDEX i b TYPE minmax;"),
    ]);
    let ran = trial.at(&["down"]);
    assert!(ran.complaint().contains("its ledger has no row"), "{}", ran.err);
    assert!(!trial.is_locked());
    trial.at(&["apply"]).well();
    trial.database.run("INSERT INTO t (a, kept) VALUES (1, 'one')");
    // An index is not dropped unasked.
    let ran = trial.at(&["down"]);
    assert!(ran.code == Some(1) && ran.err.contains("add --allow drops-index"), "{}", ran.err);
    let ran = trial.at(&["down", "--dry-run"]);
    assert!(
        ran.well().ends_with("ALTER TABLE t DROP INDEX i;\n-- 1 statement would lead from 4 to 3\n"),
        "{}",
        ran.out
    );
    assert_eq!(trial.ledger(), "1 2 3 4");
    assert_eq!(trial.at(&["down", "--allow", "drops-index"]).well(), "the database is at 3, by 1 statement\n");
    assert_eq!(trial.ledger(), "1 2 3");
    // The ledger says what was, and that it is no more.
    let rows = "SELECT count() > 1, argMax(removed, sequence) FROM martello_schema_revisions WHERE version = '4'";
    assert_eq!(trial.database.run(rows).split_whitespace().collect::<Vec<_>>(), ["1", "1"]);
    // A column without a value and a table without a row are nobody's data.
    assert_eq!(trial.at(&["down", "--to-version", "1"]).well(), "the database is at 1, by 3 statements\n");
    assert_eq!(trial.ledger(), "1");
    trial.at(&["apply"]).well();
    trial.database.run("INSERT INTO t VALUES (2, 'two', 7)");
    trial.database.run("INSERT INTO u VALUES (1)");
    let ran = trial.at(&["down", "3", "--allow", "drops-index"]);
    assert!(ran.code == Some(1) && ran.err.contains("add --allow deletes-data"), "{}", ran.err);
    assert!(ran.err.contains("deletes-data: DROP TABLE u"), "{}", ran.err);
    assert!(ran.err.contains("deletes-data: ALTER TABLE t DROP COLUMN `b`"), "{}", ran.err);
    assert_eq!(trial.ledger(), "1 2 3 4");
    trial.at(&["down", "3", "--allow", "drops-index,deletes-data"]).well();
    assert_eq!(trial.ledger(), "1");
    assert_eq!(trial.database.run("SELECT count() FROM t").trim(), "2");
    let ran = trial.at(&["down", "--to-version", "3"]);
    assert!(ran.complaint().contains("expected one that was applied: 1"), "{}", ran.err);
    let ran = trial.at(&["down", "9", "--allow", "drops-index,deletes-data", "--json"]);
    let told: Value = serde_json::from_str(ran.well()).expect("JSON");
    assert_eq!((&told["to"], &told["versions"]), (&Value::Null, &json!(["1"])));
    assert_eq!(trial.ledger(), "");
    trial.at(&["apply"]).well();
    assert_eq!(trial.ledger(), "1 2 3 4");
    assert!(!trial.is_locked());
}

#[test]
fn a_clickhouse_that_is_not_what_its_ledger_says_is_left_alone_and_one_on_the_way_is_led_on() {
    let trial = Trial::new(&[
        ("1_a.sql", "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a;"),
        ("2_b.sql", "CREATE TABLE u (a UInt64) ENGINE = MergeTree ORDER BY a;\nALTER TABLE t ADD COLUMN b UInt8;"),
    ]);
    trial.at(&["apply"]).well();
    trial.database.run("ALTER TABLE t ADD COLUMN by_hand UInt8");
    let ran = trial.at(&["down"]);
    let complaint = ran.complaint();
    assert!(
        complaint.contains("it is not what the files up to 2 make") && complaint.contains("by_hand"),
        "{complaint}"
    );
    assert_eq!(trial.ledger(), "1 2");
    trial.database.run("ALTER TABLE t DROP COLUMN by_hand");
    // As if it had been killed behind its first statement.
    let first = trial.at(&["down", "--dry-run"]).well().lines().next().expect("a statement").to_owned();
    trial.database.run(first.trim_end_matches(';'));
    // Somebody else is at it.
    trial.database.run(
        "CREATE TABLE martello_migrate_lock (holder String, at DateTime64(3, 'UTC')) ENGINE = MergeTree \
         ORDER BY (holder, at) COMMENT '{\"holder\":\"other\",\"host\":\"h\",\"process\":1}'",
    );
    let ran = trial.at(&["down", "--lock-timeout", "100ms"]);
    assert!(ran.complaint().contains("take the lock of migrations"), "{}", ran.err);
    trial.database.run("DROP TABLE martello_migrate_lock");
    assert_eq!(trial.at(&["down"]).well(), "the database is at 1, by 1 statement\n");
    assert_eq!(trial.ledger(), "1");
    // What was there before the ledger stays.
    let trial = Trial::new(&[("1_a.sql", FIRST), ("2_b.sql", "CREATE VIEW v AS SELECT a FROM t;")]);
    trial.database.run(FIRST.trim_end_matches(";\n"));
    trial.at(&["apply", "--baseline", "1"]).well();
    let ran = trial.at(&["down", "2"]);
    assert!(ran.complaint().contains("below 1: it is a baseline"), "{}", ran.err);
    trial.at(&["down"]).well();
    assert_eq!(trial.ledger(), "1");
}

#[test]
fn a_folder_makes_databases_and_leads_them_up_and_down() {
    let trial = Trial::new(&[]);
    let (beside, other) = (trial.database.beside("x"), trial.database.beside("y"));
    let (own, x, y) = (trial.database.name(), beside.name(), other.name());
    let first = format!(
        "CREATE DATABASE IF NOT EXISTS {x};\nCREATE TABLE {x}.t (a UInt64) ENGINE = MergeTree ORDER BY a;\n\
         CREATE VIEW v AS SELECT a FROM {x}.t;\n"
    );
    trial.write("1_first.sql", &first);
    let wish = format!(
        "CREATE DATABASE {x} COMMENT 'sums';
         CREATE DATABASE {y};
         CREATE TABLE {x}.t (a UInt64, b UInt8) ENGINE = MergeTree ORDER BY a;
         CREATE TABLE {y}.sums (a UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY a;
         CREATE MATERIALIZED VIEW {own}.passing TO {y}.sums AS SELECT a, count() AS n FROM {x}.t GROUP BY a;
         CREATE VIEW v AS SELECT a FROM {x}.t;"
    );
    trial.wished(&wish);
    trial.diff(&["more"]).well();
    let text = trial.files()[1].text.clone();
    assert!(text.contains(&format!("CREATE DATABASE {y};\n")), "{text}");
    assert!(text.contains(&format!("ALTER DATABASE {x} MODIFY COMMENT 'sums';\n")), "{text}");
    assert!(text.contains(&format!("ALTER TABLE {x}.t ADD COLUMN `b` UInt8")), "{text}");
    assert!(!text.contains("martello_scratch"), "{text}");
    assert_eq!(trial.diff(&["--exit-code"]).well(), "synced: the folder makes what is wished\n");
    assert_eq!(trial.over(&["validate"]).well().lines().last(), Some("2 files run on an empty database"));
    trial.at(&["apply"]).well();
    trial.database.run(&format!("INSERT INTO {x}.t VALUES (1, 2), (1, 3)"));
    assert_eq!(trial.database.run(&format!("SELECT sum(n) FROM {y}.sums")).trim(), "2");
    let to = trial.wish.path().display().to_string();
    let drift = martello(&["schema", "diff", "--from", &trial.database.url(), "--to", &to, "--exit-code"]);
    assert_eq!(run(drift).well(), "");
    // A database is a wish as well, with those others that are named.
    let ran = trial.over(&["diff", "--exit-code", "--to", &trial.database.url(), "--database", y]);
    assert_eq!(ran.well(), "synced: the folder makes what is wished\n");
    // What it would take away is asked for, and what others have put beside it is seen.
    trial.database.run(&format!("CREATE TABLE {y}.by_hand (a UInt8) ENGINE = Memory"));
    let ran = trial.at(&["down"]);
    assert!(ran.complaint().contains("by_hand"), "{}", ran.err);
    trial.database.run(&format!("DROP TABLE {y}.by_hand SYNC"));
    let ran = trial.at(&["down"]);
    assert!(ran.code == Some(1) && ran.err.contains(&format!("deletes-data: DROP DATABASE {y}")), "{}", ran.err);
    trial.at(&["down", "--allow", "deletes-data"]).well();
    assert_eq!(trial.ledger(), "1");
    let left = format!("SELECT name, comment FROM system.databases WHERE startsWith(name, '{own}_') ORDER BY name");
    assert_eq!(trial.database.run(&left).trim(), x);
    assert_eq!(trial.database.run("SELECT count() FROM v").trim(), "2");
    trial.at(&["apply"]).well();
    assert_eq!(trial.ledger().split(' ').count(), 2);
    // A file that is the sum of both makes both databases.
    let path = trial.over(&["checkpoint"]).well().trim_end().to_owned();
    let text = std::fs::read_to_string(&path).expect("a text");
    assert!(text.contains(&format!("CREATE DATABASE {x} COMMENT 'sums';\n")), "{text}");
    assert!(trial.over(&["validate"]).well().contains("1 checkpoint of them hold"));
    run(crate::programs::clickhouse(&format!("DROP DATABASE {x} SYNC"))).well();
    run(crate::programs::clickhouse(&format!("DROP DATABASE {y} SYNC"))).well();
    let fresh = Database::new();
    let mut apply = martello(&["migrate", "apply", "--url", &fresh.url()]);
    apply.args(["--dir", &format!("file://{}", trial.path().display())]);
    run(apply).well();
    let made = format!(
        "SELECT arrayStringConcat(groupArray(name), ' ') FROM (SELECT name FROM system.tables WHERE database IN ('{x}', '{y}') ORDER BY name)"
    );
    assert_eq!(trial.database.run(&made).trim(), "sums t");
}

#[test]
fn what_new_files_do_to_other_databases_is_found() {
    let trial = Trial::new(&[]);
    let beside = trial.database.beside("x");
    let x = beside.name();
    let base = format!("CREATE DATABASE {x};\nCREATE TABLE {x}.t (a UInt64, b UInt8) ENGINE = MergeTree ORDER BY a;\n");
    trial.write("1_base.sql", &base);
    let mut faults = Vec::new();
    for (sql, expected) in [
        ("SELECT 1;\nDROP DATABASE {x};", &["2 DS101"][..]),
        ("CREATE DATABASE {x}_new;\nCREATE TABLE {x}_new.t (a UInt8) ENGINE = Memory;\nDROP DATABASE {x}_new;", &[]),
        ("DROP TABLE {x}.t;", &["1 CH106", "1 DS102"]),
        ("ALTER TABLE {x}.t DROP COLUMN b;", &["1 CH102", "1 DS103"]),
        ("RENAME TABLE {x}.t TO t;", &["1 BC101"]),
        ("USE {x};\nALTER TABLE t ADD COLUMN c UInt8;\nDROP TABLE t;", &["3 CH106", "3 DS102"]),
        ("CREATE TABLE {x}_never.t (a UInt8) ENGINE = Memory;", &["1 MT001"]),
        ("CREATE TABLE {x}.u (a UInt8) ENGINE = MergeTree ORDER BY a;", &[]),
    ] {
        trial.write("2_new.sql", &sql.replace("{x}", x));
        let found = trial.found();
        if found != expected {
            faults.push(format!("{sql}\n  found {found:?}, expected {expected:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let ran = trial.over(&["lint"]);
    assert_eq!(ran.well().matches("MT001").count(), 0, "{}", ran.out);
}

#[test]
fn contracts_are_compared_with_the_clickhouse_that_the_repository_wishes() {
    let database = Database::new();
    let check =
        |against: &str| run(martello(&["catalog", "check", "--against", against, "--dev-url", &database.url()]));
    for against in ["schema/clickhouse", "migrations/clickhouse"] {
        assert_eq!(check(against).well(), format!("7 datasets compared with {against}: 0 mismatches\n"));
    }
    let copy = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(repository().join("schema/clickhouse")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        let text = text.replace("  volume Int64 COMMENT 'Shares, as traded',\n", "");
        std::fs::write(copy.path().join(path.file_name().expect("a name")), text).expect("written");
    }
    let ran = check(copy.path().to_str().expect("a path"));
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.out.ends_with("1 mismatches\n"), "{}", ran.out);
    assert!(ran.err.contains("price_daily.volume: "), "{}", ran.err);
}
