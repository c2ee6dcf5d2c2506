//! `martello migrate lint`: what new files would do is found before they do it, and nothing else is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use martello::migrate::lint::RULES;
use serde_json::{Value, json};

use crate::programs::run;
use crate::support::repository;
use crate::versioned::Trial;

/// What the first file of every trial makes.
const BASE: &str = "CREATE SCHEMA s; CREATE TABLE s.x (a int);
 CREATE TABLE p (id bigint PRIMARY KEY, other int);
 CREATE TABLE t (id bigint PRIMARY KEY, a int, b text, p bigint CONSTRAINT fk REFERENCES p, checked int, n numeric(5,2));
 ALTER TABLE t ADD CONSTRAINT known CHECK (checked IS NOT NULL);
 CREATE INDEX i ON t (a); CREATE TABLE bare (a int, b int);";

/// The findings of a second file, as `line code`.
fn found(sql: &str) -> Vec<String> {
    let trial = Trial::new(&[("1_base.sql", BASE), ("2_new.sql", sql)]);
    told(&trial, &[]).iter().map(|(line, code)| format!("{line} {code}")).collect()
}

fn report(trial: &Trial, arguments: &[&str]) -> Value {
    let ran = trial.over(&[&["lint", "--format", "json"], arguments].concat());
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}", ran.err))
}

fn told(trial: &Trial, arguments: &[&str]) -> Vec<(u64, String)> {
    let report = report(trial, arguments);
    let findings = report["findings"].as_array().expect("findings").iter();
    findings
        .map(|finding| {
            (finding["line"].as_u64().expect("a line"), finding["code"].as_str().expect("a code").to_owned())
        })
        .collect()
}

#[test]
fn each_code_is_found_where_it_should_be_and_not_beside() {
    let alone = "-- atlas:txmode none\n\n";
    let cases: &[(&str, &[&str])] = &[
        ("SELECT 1;\nDROP SCHEMA s CASCADE;", &["2 DS101"]),
        ("DROP TABLE s.x;", &["1 DS102"]),
        ("CREATE TABLE new_one (a int);\nDROP TABLE new_one;", &[]),
        ("ALTER TABLE bare DROP COLUMN b;", &["1 DS103"]),
        ("ALTER TABLE bare ADD COLUMN c int;\nALTER TABLE bare DROP COLUMN c;", &[]),
        (&format!("{alone}CREATE UNIQUE INDEX CONCURRENTLY u ON bare (a);"), &["3 MF101"]),
        ("CREATE TABLE new_one (a int UNIQUE);\nCREATE INDEX new_i ON new_one (a);", &[]),
        (&format!("{alone}DROP INDEX CONCURRENTLY i;\nCREATE UNIQUE INDEX CONCURRENTLY i ON t (a);"), &["4 MF102"]),
        ("ALTER TABLE bare ADD COLUMN c int NOT NULL;", &["1 MF103"]),
        ("ALTER TABLE bare ADD COLUMN c int NOT NULL DEFAULT 1;", &[]),
        ("ALTER TABLE bare ALTER COLUMN a SET NOT NULL;", &["1 MF104", "1 PG303"]),
        ("UPDATE bare SET a = 0 WHERE a IS NULL;\nALTER TABLE bare ALTER COLUMN a SET NOT NULL;", &["2 PG303"]),
        ("ALTER TABLE t ALTER COLUMN checked SET NOT NULL;", &["1 MF104"]),
        ("ALTER TABLE bare RENAME TO barer;", &["1 BC101"]),
        ("ALTER TABLE bare RENAME TO barer;\nCREATE VIEW bare AS SELECT * FROM barer;", &[]),
        ("ALTER TABLE bare RENAME COLUMN a TO c;", &["1 BC102"]),
        ("ALTER TABLE t DROP CONSTRAINT fk;", &["1 CD101"]),
        ("CREATE INDEX j ON bare (a);", &["1 PG101"]),
        ("DROP INDEX i;", &["1 PG102"]),
        ("SELECT 1;\nCREATE INDEX CONCURRENTLY j ON bare (a);", &["2 PG103"]),
        (&format!("{alone}CREATE INDEX CONCURRENTLY j ON bare (a);"), &[]),
        ("ALTER TABLE bare ADD PRIMARY KEY (a);", &["1 PG104", "1 PG304"]),
        ("ALTER TABLE bare ADD CONSTRAINT u UNIQUE (a);", &["1 MF101", "1 PG105"]),
        ("CREATE TABLE new_one (a boolean, b bigint, c boolean, d bigint);", &["1 PG110"]),
        ("ALTER TABLE t ALTER COLUMN a TYPE bigint;", &["1 PG301"]),
        ("ALTER TABLE t ALTER COLUMN n TYPE numeric(9,2);", &[]),
        ("ALTER TABLE bare ADD COLUMN c double precision DEFAULT random();", &["1 PG302"]),
        ("ALTER TABLE bare ADD CONSTRAINT c CHECK (a > 0);", &["1 PG305"]),
        ("ALTER TABLE bare ADD CONSTRAINT c CHECK (a > 0) NOT VALID;", &[]),
        ("ALTER TABLE t ADD CONSTRAINT fk2 FOREIGN KEY (id) REFERENCES p;", &["1 PG306"]),
        ("ALTER TABLE t ADD CONSTRAINT fk2 FOREIGN KEY (id) REFERENCES p NOT VALID;", &[]),
        ("SELECT 1;\n\nALTER TABLE bare\n  DROP COLUMN never;", &["3 MT001"]),
        ("CREATE TABLE \"New\" (a bigint);", &["1 NM102"]),
        ("CREATE TABLE new_one (\"A\" bigint);", &["1 NM103"]),
        ("CREATE TABLE new_one (a char(5));", &["1 squawk:ban-char-field"]),
        ("-- atlas:nolint DS103\nALTER TABLE bare DROP COLUMN b;\nDROP TABLE s.x;", &["3 DS102"]),
        ("-- atlas:nolint destructive\n\nALTER TABLE bare DROP COLUMN b;\nDROP TABLE s.x;", &[]),
        ("-- atlas:nolint\n\nALTER TABLE bare DROP COLUMN b;", &[]),
        ("LOCK TABLE bare;\nALTER TABLE bare ADD COLUMN c bigint;", &[]),
    ];
    let faults = Mutex::new(Vec::new());
    let try_out = |(sql, expected): &(&str, &[&str])| {
        let found = found(sql);
        // Rules about the style of new tables are squawk's own; one of them is looked at above.
        let found: Vec<&str> = found
            .iter()
            .map(String::as_str)
            .filter(|code| !code.contains("squawk:") || expected.iter().any(|it| it.contains("squawk:")))
            .filter(|code| !code.contains("squawk:prefer-"))
            .collect();
        if found != *expected {
            faults.lock().expect("faults").push(format!("{sql}\n  found {found:?}, expected {expected:?}"));
        }
    };
    std::thread::scope(|scope| {
        for part in cases.chunks(cases.len().div_ceil(4)) {
            scope.spawn(|| part.iter().for_each(&try_out));
        }
    });
    let faults = faults.into_inner().expect("faults");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_finding_says_what_happens_where_and_what_to_do_in_each_form() {
    let trial = Trial::new(&[("1_base.sql", BASE), ("2_new.sql", "SELECT 1;\nDROP TABLE s.x;\n")]);
    let ran = trial.over(&["lint"]);
    let expected = "2_new.sql:2: error DS102: table s.x is dropped, and its rows are gone\n    rename it first and drop it a \
         release later; if it is meant, say -- atlas:nolint DS102 above it\n1 new file: 1 error, 0 warnings\n";
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), expected));
    let file = format!("{}/2_new.sql", trial.path().display());
    let ran = trial.over(&["lint", "--format", "github"]);
    assert!(
        ran.out.starts_with(&format!("::error file={file},line=2,title=DS102::table s.x is dropped")),
        "{}",
        ran.out
    );
    assert_eq!((ran.code, ran.out.lines().count()), (Some(1), 1), "{}", ran.out);
    let ran = trial.over(&["lint", "--format", "sarif"]);
    let sarif: Value = serde_json::from_str(&ran.out).expect("JSON");
    let (run, rules) = (&sarif["runs"][0], &sarif["runs"][0]["tool"]["driver"]["rules"]);
    let result = &run["results"][0];
    let rule = usize::try_from(result["ruleIndex"].as_u64().expect("a place")).expect("a place");
    assert_eq!(
        (&sarif["version"], &rules[rule]["id"], &result["ruleId"]),
        (&json!("2.1.0"), &json!("DS102"), &json!("DS102"))
    );
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!((&place["artifactLocation"]["uri"], &place["region"]["startLine"]), (&json!(file), &json!(2)));
    // Without an error it ends well, whatever else is said.
    trial.write("2_new.sql", "ALTER TABLE bare RENAME COLUMN a TO c;");
    trial.hash();
    assert!(trial.over(&["lint"]).well().ends_with("1 new file: 0 errors, 1 warning\n"));
    // A hash that is not that of the file is an error, and what the file does is told all the same.
    trial.write("2_new.sql", "DROP TABLE s.x;");
    let codes: Vec<String> = told(&trial, &[]).into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["DS102", "MT003"]);
}

#[test]
fn what_follows_on_a_file_that_is_not_right_is_not_looked_at_and_all_before_it_is() {
    let trial = Trial::new(&[
        ("1_base.sql", BASE),
        ("2_one.sql", "DROP TABLE s.x;"),
        ("3_two.sql", "DROP TABLE never;"),
        ("4_three.sql", "DROP TABLE t;"),
    ]);
    let findings = report(&trial, &["--latest", "3"]);
    let told: Vec<String> = findings["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .map(|finding| {
            format!("{} {}", finding["file"].as_str().unwrap_or_default(), finding["code"].as_str().unwrap_or_default())
        })
        .collect();
    assert_eq!(told, ["2_one.sql DS102", "3_two.sql MT001"]);
    assert_eq!(findings["files"], json!(["2_one.sql", "3_two.sql", "4_three.sql"]));
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(arguments);
    run(command).well();
}

#[test]
fn what_a_branch_does_not_have_is_new_and_what_it_has_is_not_to_change() {
    let trial = Trial::new(&[("1_base.sql", BASE), ("3_more.sql", "ALTER TABLE bare ADD c bigint;")]);
    for arguments in
        [&["init", "--quiet", "--initial-branch", "main"][..], &["add", "."], &["commit", "--quiet", "-m", "x"]]
    {
        git(trial.path(), arguments);
    }
    let lint = |trial: &Trial| {
        let found = told(trial, &["--git-base", "main"]);
        found.into_iter().map(|(_, code)| code).collect::<Vec<_>>()
    };
    assert!(lint(&trial).is_empty());
    trial.write("4_new.sql", "DROP TABLE s.x;");
    trial.hash();
    assert_eq!(lint(&trial), ["DS102"]);
    trial.write("2_late.sql", "SELECT 1;");
    trial.hash();
    assert_eq!(lint(&trial), ["MT002", "DS102"]);
    trial.write("3_more.sql", "ALTER TABLE bare ADD d bigint;");
    trial.hash();
    assert_eq!(lint(&trial), ["MT002", "MT004", "DS102"]);
    let ran = trial.over(&["lint", "--git-base", "never"]);
    assert!(ran.complaint().contains("ask git for"), "{}", ran.err);
}

#[test]
fn a_contract_that_would_break_is_named_with_its_dataset_and_column() {
    let base = ["10_profile", "20_prices", "50_news"]
        .map(|name| std::fs::read_to_string(repository().join(format!("schema/postgres/{name}.sql"))).expect("a text"));
    let cases: &[(&str, &[&str])] = &[
        ("ALTER TABLE price_daily DROP COLUMN volume;", &["DS103", "MT101"]),
        ("SELECT 1;\nALTER TABLE price_daily ALTER COLUMN volume TYPE text;", &["MT101", "PG301"]),
        ("ALTER TABLE price_daily ALTER COLUMN split_ratio TYPE numeric(14,4);", &["MT101", "PG301"]),
        ("ALTER TABLE price_daily RENAME TO prices;", &["BC101", "MT101"]),
        ("ALTER TABLE price_daily RENAME TO prices;\nCREATE VIEW price_daily AS SELECT * FROM prices;", &["MT102"]),
        ("DROP INDEX price_daily_date_idx;", &["MT102", "PG102"]),
        ("CREATE TABLE other (a bigint);", &[]),
    ];
    for (sql, expected) in cases {
        let trial = Trial::new(&[("1_base.sql", &base.join("\n")), ("2_new.sql", sql)]);
        let report = report(&trial, &[]);
        let findings = report["findings"].as_array().expect("findings");
        let codes: BTreeSet<&str> = findings.iter().filter_map(|finding| finding["code"].as_str()).collect();
        assert_eq!(codes, expected.iter().copied().collect(), "{sql}\n{report:#}");
        for finding in
            findings.iter().filter(|finding| finding["code"].as_str().is_some_and(|code| code.starts_with("MT")))
        {
            let text = finding["text"].as_str().expect("a text");
            assert!(text.contains("price_daily"), "{text}");
            let line = if sql.starts_with("SELECT 1") { 2 } else { 1 };
            assert_eq!(finding["line"], json!(line), "{sql} {text}");
        }
    }
    // What serves a new relation must be let read it.
    let signal = std::fs::read_to_string(repository().join("schema/postgres/70_signals.sql")).expect("a text");
    let trial = Trial::new(&[("1_base.sql", &base.join("\n")), ("2_new.sql", &signal)]);
    let codes = |trial: &Trial, role: &str| {
        told(trial, &["--grantee", role])
            .into_iter()
            .map(|(_, code)| code)
            .filter(|code| code.starts_with("MT"))
            .collect::<Vec<_>>()
    };
    assert_eq!(codes(&trial, "martello"), ["MT103"]);
    let made = signal[..signal.find("CREATE TABLE signal").expect("a table")].lines().count() + 1;
    let lines: Vec<(u64, String)> = told(&trial, &["--grantee", "martello"]);
    assert!(lines.contains(&(u64::try_from(made).expect("a line"), "MT103".to_owned())), "{made} {lines:?}");
    trial.write("2_new.sql", &format!("{signal}\nGRANT SELECT ON signal TO martello;"));
    trial.hash();
    assert!(codes(&trial, "martello").is_empty());
    let ran = trial.over(&["lint", "--grantee", "nobody_of_that_name"]);
    assert!(ran.complaint().contains("find role \"nobody_of_that_name\""), "{}", ran.err);
}

#[test]
fn the_codes_in_the_documentation_are_those_that_are_found() {
    let text = std::fs::read_to_string(repository().join("docs/lint.md")).expect("a text");
    for rule in &RULES {
        let row = format!("| `{}` | {} | `{}` |", rule.code, rule.level.as_str(), rule.analyzer);
        assert!(text.contains(&row), "{row}");
    }
    let listed = text.lines().filter(|line| line.starts_with("| `") && line.split('|').count() == 6);
    assert_eq!(listed.count(), RULES.len());
}
