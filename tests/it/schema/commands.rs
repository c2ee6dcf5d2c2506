//! `martello schema`, as a person runs it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use super::{Database, program, server};
use crate::programs::{Ran, martello, run};

/// A folder of SQL, as it is wished.
struct Wished(tempfile::TempDir);

impl Wished {
    fn of(sql: &str) -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        folder.write("10_all.sql", sql);
        folder
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.file(name), text).expect("written");
    }

    fn path(&self) -> &str {
        self.0.path().to_str().expect("a path")
    }
}

fn schema(arguments: &[&str]) -> Ran {
    run(martello(&[&["schema"], arguments].concat()))
}

#[test]
fn the_migrations_of_the_repository_differ_in_nothing_from_its_schema() {
    for name in ["postgres", "control"] {
        let (from, to) = (format!("migrations/{name}"), format!("schema/{name}"));
        let ran = schema(&["diff", "--from", &from, "--to", &to, "--dev-url", &server(), "--exit-code"]);
        assert_eq!((ran.well(), ran.err.trim_end()), ("", "nothing is to be done"));
    }
    let ran = schema(&[
        "diff",
        "--from",
        "migrations/postgres",
        "--to",
        "schema/control",
        "--dev-url",
        &server(),
        "--exit-code",
    ]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    let ran = schema(&["diff", "--from", "migrations/postgres", "--to", "schema/postgres"]);
    assert!(ran.complaint().contains("find a server to apply"), "{}", ran.err);
}

#[test]
fn what_diff_prints_is_ready_for_psql_and_names_its_hazards() {
    let database = Database::of(
        "CREATE TABLE t (a int, gone text); CREATE TABLE u (a int NOT NULL); INSERT INTO t VALUES (1), (2);",
    );
    let wished = Wished::of(
        "CREATE TABLE u (a int PRIMARY KEY); CREATE TABLE t (a bigint NOT NULL REFERENCES u CHECK (a > 0)); CREATE INDEX i ON t (a);",
    );
    database.run("INSERT INTO u VALUES (1), (2)");
    let diff = ["diff", "--from", &database.url(), "--to", wished.path(), "--exit-code"];
    let ran = schema(&diff);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.ends_with("hazards: correctness, deletes-data, rewrites-table\n"), "{}", ran.err);
    for expected in [
        "-- deletes-data: its values are gone\nALTER TABLE public.t DROP COLUMN gone;",
        "CREATE UNIQUE INDEX CONCURRENTLY u_pkey ON public.u USING btree (a);",
        "ALTER TABLE public.u ADD CONSTRAINT u_pkey PRIMARY KEY USING INDEX u_pkey;",
        "FOREIGN KEY (a) REFERENCES public.u(a) NOT VALID;",
        "ALTER TABLE public.t VALIDATE CONSTRAINT t_a_fkey;",
        "CHECK ((a > 0)) NOT VALID;",
        "CHECK (a IS NOT NULL) NOT VALID;",
        "ALTER TABLE public.t ALTER COLUMN a SET NOT NULL;",
        "SET lock_timeout = 0;\nCREATE INDEX CONCURRENTLY i ON public.t USING btree (a);\nSET lock_timeout = '3000ms';",
    ] {
        assert!(ran.out.contains(expected), "{expected}\n{}", ran.out);
    }
    let file = wished.file("diff.txt");
    std::fs::write(&file, &ran.out).expect("written");
    let mut psql = program("psql");
    psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &database.url(), "--file"]).arg(&file);
    run(psql).well();
    assert_eq!(schema(&diff).well(), "");
    assert_eq!(database.run("SELECT a FROM t ORDER BY a"), "1\n2\n");
}

#[test]
fn a_view_goes_and_comes_back_in_one_transaction_whatever_else_cannot_run_in_one() {
    let database =
        Database::of("CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (a int); CREATE VIEW v AS SELECT a FROM t;");
    let wished = Wished::of(
        "CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (a bigint CONSTRAINT c CHECK (a > 0)); CREATE INDEX i ON t (a);
         CREATE VIEW v AS SELECT a FROM t;",
    );
    let ran = schema(&["plan", "--from", &database.url(), "--to", wished.path()]);
    let at = |text: &str| ran.well().find(text).unwrap_or_else(|| panic!("{text}\n{}", ran.out));
    let order = ["ADD VALUE 'b'", "BEGIN;", "DROP VIEW", "TYPE bigint", "CREATE VIEW", "COMMIT;", "VALIDATE"].map(at);
    assert!(order.is_sorted() && at("INDEX CONCURRENTLY") > at("COMMIT;"), "{}", ran.out);
    assert_eq!(ran.out.matches("BEGIN;").count(), 1, "{}", ran.out);
}

#[test]
fn apply_refuses_hazards_until_they_are_allowed_by_name() {
    let database = Database::of("CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 2);");
    let wished = Wished::of("CREATE TABLE t (a int);");
    let apply = ["apply", "--from", &database.url(), "--to", wished.path()];
    let ran = schema(&apply);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("deletes-data: ALTER TABLE public.t DROP COLUMN b\n"), "{}", ran.err);
    assert!(ran.err.contains("if they are meant, add --allow deletes-data"), "{}", ran.err);
    assert_eq!(database.run("SELECT b FROM t"), "2\n");
    let ran = schema(&[&apply[..], &["--allow", "drops-index,deletes-data"]].concat());
    assert_eq!(ran.well(), "the schema is as it should be, by 1 statement\n");
    assert_eq!(schema(&apply).well(), "the schema is as it should be\n");
    let ran = schema(&[&apply[..], &["--allow", "all"]].concat());
    assert!(ran.code == Some(2) && ran.err.contains("expected one of deletes-data, rewrites-table"), "{}", ran.err);
}

#[test]
fn a_plan_is_bound_to_the_schema_that_it_was_made_for() {
    let database = Database::of("CREATE TABLE t (a int);");
    let wished = Wished::of("CREATE TABLE t (a int, b text); CREATE VIEW v AS SELECT b FROM t;");
    let file = wished.file("plan.json").display().to_string();
    let ran = schema(&["plan", "--from", &database.url(), "--to", wished.path(), "--out", &file]);
    assert!(ran.well().contains("ALTER TABLE public.t ADD COLUMN b text;\nCREATE VIEW public.v"), "{}", ran.out);
    let shown: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a plan")).expect("JSON");
    assert_eq!(shown["rehearsed"], true);
    database.run("ALTER TABLE t ADD drifted int");
    let apply = ["apply", "--from", &database.url(), "--plan", &file];
    assert!(schema(&apply).complaint().contains("the database is not what the plan was made for"));
    database.run("ALTER TABLE t DROP drifted");
    assert_eq!(schema(&apply).well(), "the schema is as it should be, by 2 statements\n");
    assert!(schema(&apply).complaint().contains("the database is not what the plan was made for"));
}

#[test]
fn what_has_a_new_name_keeps_its_rows() {
    let database = Database::of(
        "CREATE TABLE old (id int PRIMARY KEY, title text); CREATE INDEX old_title ON old (title);
         CREATE VIEW v AS SELECT title FROM old; INSERT INTO old VALUES (1, 'kept');",
    );
    let tables = "CREATE TABLE new (id int PRIMARY KEY, headline text); CREATE INDEX new_headline ON new (headline);
         CREATE VIEW v AS SELECT headline AS title FROM new;";
    let directives = "-- martello:rename old new\n-- martello:rename new.title headline\n";
    let wished = Wished::of(&format!("{directives}{tables}"));
    let apply = ["apply", "--from", &database.url(), "--to", wished.path(), "--allow", "correctness"];
    schema(&apply).well();
    assert_eq!(database.run("SELECT * FROM new"), "1|kept\n");
    assert_eq!(database.run("SELECT title FROM v"), "kept\n");
    // What was renamed is renamed no more.
    assert_eq!(schema(&apply).well(), "the schema is as it should be\n");
    let both = Wished::of("-- martello:rename new newer\nCREATE TABLE new (id int); CREATE TABLE newer (id int);");
    let ran = schema(&["diff", "--from", &database.url(), "--to", both.path()]);
    assert!(ran.complaint().ends_with("rename new to newer: the wish has both"), "{}", ran.err);
}

#[test]
fn values_survive_another_enum_and_another_numbering() {
    let database = Database::of(
        "CREATE TYPE e AS ENUM ('a', 'b'); CREATE TABLE t (id serial PRIMARY KEY, kind e DEFAULT 'a', kinds e[]);
         INSERT INTO t (kind, kinds) VALUES ('b', '{a,b}'), ('a', NULL);",
    );
    let wished = Wished::of(
        "CREATE TYPE e AS ENUM ('b', 'a'); CREATE TABLE t (id int GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, kind e DEFAULT 'a', kinds e[]);",
    );
    let allowed = "correctness,rewrites-table,deletes-data";
    schema(&["apply", "--from", &database.url(), "--to", wished.path(), "--allow", allowed]).well();
    database.run("INSERT INTO t (kind) VALUES ('b')");
    assert_eq!(database.run("SELECT * FROM t ORDER BY kind, id"), "1|b|{a,b}\n3|b|\n2|a|\n");
}

#[test]
fn a_lock_that_is_not_had_is_tried_again() {
    let database = Database::of("CREATE TABLE t (a int);");
    let wished = Wished::of("CREATE TABLE t (a int, b int);");
    let mut psql = program("psql");
    psql.args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--dbname", &database.url()]);
    let mut holder = psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("psql");
    let mut hold = holder.stdin.take().expect("a pipe");
    writeln!(hold, "BEGIN; SELECT count(*) FROM t;").expect("written");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("a pipe")).read_line(&mut line).expect("an answer");
    assert_eq!(line, "0\n");
    let mut command =
        martello(&["schema", "apply", "--from", &database.url(), "--to", wished.path(), "--lock-timeout", "50ms"]);
    let mut applying = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process");
    let mut told = BufReader::new(applying.stderr.take().expect("a pipe")).lines();
    let waits = told.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("waits for a lock: ALTER TABLE")));
    assert!(waits.is_some(), "nobody waited");
    drop(hold);
    holder.wait().expect("an end");
    let rest: Vec<String> = told.map(|line| line.expect("a line")).collect();
    assert!(applying.wait().expect("an end").success(), "{rest:?}");
    assert_eq!(rest.last().map(String::as_str), Some("ran ALTER TABLE public.t ADD COLUMN b integer"));
}

#[test]
fn what_fails_half_way_leaves_nothing_broken_and_is_planned_anew() {
    let database = Database::of("CREATE TABLE t (a int); INSERT INTO t VALUES (1), (1);");
    let wished = Wished::of("CREATE TABLE t (a int, b int); CREATE UNIQUE INDEX i ON t (a);");
    let apply = ["apply", "--from", &database.url(), "--to", wished.path(), "--allow", "correctness"];
    let ran = schema(&apply);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(
        ran.err.contains("(statements before it that stay: 1)") && ran.err.contains("could not create unique index"),
        "{}",
        ran.err
    );
    assert_eq!(database.run("SELECT count(*) FROM pg_class WHERE relname = 'i'"), "0\n");
    database.run("DELETE FROM t");
    assert_eq!(schema(&apply).well(), "the schema is as it should be, by 1 statement\n");
    // One that was left behind elsewhere is no index.
    database.run("UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass");
    assert_eq!(schema(&apply).well(), "the schema is as it should be, by 2 statements\n");
}

#[test]
fn ledgers_versions_and_what_is_ignored_are_left_alone() {
    let database = Database::of(
        "CREATE TABLE t (a int); CREATE TABLE atlas_schema_revisions (version text); CREATE TABLE t__v1 (a int);
         CREATE SCHEMA other; CREATE TABLE other.x (a int); CREATE TABLE other.y (a int);",
    );
    let wished = Wished::of("CREATE TABLE t (a int);");
    let diff = ["diff", "--from", &database.url(), "--to", wished.path()];
    let ran = schema(&[&diff[..], &["--ignore", "*.t__v*", "--ignore", "other"]].concat());
    assert_eq!(ran.well(), "");
    let ran = schema(&[&diff[..], &["--ignore", "other.x"]].concat());
    assert!(ran.well().contains("DROP TABLE other.y;") && ran.out.contains("DROP TABLE public.t__v1;"), "{}", ran.out);
    assert!(!ran.out.contains("other.x") && !ran.out.contains("revisions"), "{}", ran.out);
    // The control store beside the marts, and a relation that it has as a version.
    for file in ["schema/control/10_versions.sql", "schema/control/20_api_keys.sql", "schema/control/20_audit.sql"] {
        database.run(&std::fs::read_to_string(crate::support::repository().join(file)).expect("a text"));
    }
    database.run(
        "WITH version AS (
           INSERT INTO martello.version (id, dataset, number, relation, published_at, rows, statistics, checks, contract, operator)
           VALUES (gen_random_uuid(), 't', 1, 't__v1', now(), 0, '{}', '[]', 'x', 'x') RETURNING dataset, id)
         INSERT INTO martello.pointer (dataset, version) SELECT dataset, id FROM version",
    );
    let mut command =
        martello(&["schema", "diff", "--from", &database.url(), "--to", wished.path(), "--ignore", "other"]);
    command.env("MARTELLO__CONTROL__URL", database.url());
    assert_eq!(run(command).well(), "");
}

#[test]
fn a_wish_that_fails_names_its_file_and_line_and_leaves_no_database() {
    let database = Database::new();
    let wished = Wished::of("CREATE TABLE t (a int);\n\nCREATE TABLE t (a int);\n");
    let ran = schema(&["diff", "--from", &database.url(), "--to", wished.path()]);
    assert!(ran.complaint().contains("apply 10_all.sql, line 3: "), "{}", ran.err);
    wished.write("10_all.sql", "CREATE TABLE t (a int);");
    wished.write("atlas.sum", "h1:x\n");
    let ran = schema(&["diff", "--from", &database.url(), "--to", wished.path()]);
    assert!(ran.complaint().contains("10_all.sql was added"), "{}", ran.err);
}

#[test]
fn inspect_shows_statements_that_make_it_again_and_objects() {
    let sql = "CREATE TYPE e AS ENUM ('a'); CREATE TABLE t (a e DEFAULT 'a'); CREATE OPERATOR === (leftarg = int, rightarg = int, function = int4pl);";
    let database = Database::of(sql);
    let shown = schema(&["inspect", &database.url()]);
    assert_eq!(shown.well().matches("CREATE ").count(), 2, "{}", shown.out);
    let again = Database::of(&shown.out);
    let json = |database: &Database| -> Value {
        let ran = schema(&["inspect", &database.url(), "--format", "json"]);
        serde_json::from_str(ran.well()).expect("JSON")
    };
    let (one, other) = (json(&database), json(&again));
    assert_eq!(one["fingerprint"], other["fingerprint"]);
    assert_eq!((&one["unseen"][0], other["unseen"].as_array().map(Vec::len)), (&"1 operators".into(), Some(0)));
}
