//! What has changed between versions: applied to what a role had, it makes what the role has.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::assets;
use crate::programs::{python, run};
use crate::publish::{Trial, serves};
use crate::support::{Backend, Server};

const ACCESS: &str = "
roles:
  - {name: internal_publisher, tier: internal, claims: {a: publisher}, datasets: {trial: {columns: all}}}
  - {name: reader, tier: client, claims: {a: reader}, formats: all, export: true, datasets: {trial: {columns: all}}}
  - {name: narrow, tier: client, claims: {a: narrow}, formats: all, export: true, datasets: {trial: {columns: {all_but: [origin]}, mask: {price: {round: -1}}, rows: {origin: kept}}}}
  - {name: recent, tier: client, claims: {a: recent}, formats: all, export: true, datasets: {trial: {columns: all, history: 30d}}}
  - {name: redacted, tier: client, claims: {a: redacted}, formats: all, export: true, datasets: {trial: {columns: all, mask: {price: redact}}}}
  - {name: pages, tier: client, claims: {a: pages}, formats: all, datasets: {trial: {columns: all}}}
  - {name: nobody, tier: client, claims: {a: nobody}, datasets: {}}
";

/// Two versions, in which everything happens to a row that can.
fn published(backend: Backend, name: &str) -> Trial {
    let trial = Trial::new(backend, name);
    std::fs::write(trial.config().catalog.join("access.yaml"), ACCESS).expect("written");
    trial.make("trial_1", "kept");
    trial.insert(
        "trial_1",
        &[
            (4, "'2099-01-01'", "121", "kept"),
            (5, "'2099-01-01'", "121", "kept"),
            (6, "'2099-01-01'", "NULL", "kept"),
            (7, "'2099-01-01'", "7", "kept"),
            (8, "'2099-01-01'", "8", "kept"),
            (9, "'2024-01-01'", "9", "other"),
            (10, "'2099-01-01'", "10", "kept"),
        ],
    );
    trial.publish("trial_1").well();
    trial.make("trial_2", "kept");
    trial.insert(
        "trial_2",
        &[
            // Another price, behind the mask the same.
            (4, "'2099-01-01'", "122", "kept"),
            // Another one behind the mask, too.
            (5, "'2099-01-01'", "151", "kept"),
            (6, "'2099-01-01'", "0", "kept"),
            (7, "'2099-01-01'", "NULL", "kept"),
            // It leaves the rule, and the window.
            (8, "'2024-01-01'", "8", "other"),
            // It comes into both.
            (9, "'2099-01-01'", "9", "kept"),
            (11, "'2099-01-01'", "11", "kept"),
        ],
    );
    trial.publish("trial_2").well();
    trial
}

async fn changes(server: &Server, role: &str, query: &str) -> Vec<Value> {
    let answer = server.get(role, &format!("/v1/datasets/trial/changes?format=ndjson&{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.text().lines().map(|line| serde_json::from_str(line).expect("a row")).collect()
}

fn by_key(rows: Vec<Value>) -> BTreeMap<i64, Map<String, Value>> {
    rows.into_iter()
        .map(|row| {
            let Value::Object(row) = row else { panic!("{row}") };
            (row["id"].as_i64().expect("a key"), row)
        })
        .collect()
}

/// Does to a copy what is told.
fn apply(rows: &mut BTreeMap<i64, Map<String, Value>>, changes: Vec<Value>) {
    for (key, mut row) in by_key(changes) {
        let change = row.remove("_change").expect("a change");
        let had = rows.remove(&key);
        match change.as_str() {
            Some("insert") => assert!(had.is_none(), "{key} was there already"),
            Some("update") => assert!(had.is_some_and(|had| had != row), "{key} was not there, or is the same"),
            Some("delete") => {
                assert!(had.is_some(), "{key} was not there");
                assert!(row.iter().all(|(name, value)| name == "id" || value.is_null()), "{row:?}");
                continue;
            }
            _ => panic!("{change}"),
        }
        rows.insert(key, row);
    }
}

fn told(changes: &[Value]) -> Vec<(i64, &str)> {
    let mut told: Vec<(i64, &str)> = changes
        .iter()
        .map(|row| (row["id"].as_i64().expect("a key"), row["_change"].as_str().expect("a word")))
        .collect();
    told.sort_unstable();
    told
}

#[tokio::test]
async fn changes_make_of_one_version_the_other_for_every_role() {
    for backend in Backend::ALL {
        let trial = published(backend, "changes");
        trial.martello(&["rollback", "trial", "--operator", "tester"]).well();
        trial.martello(&["rollback", "trial", "--to", "2", "--operator", "tester"]).well();
        let server = Server::start(trial.config()).await;
        serves(&server, Some(4)).await;
        for role in ["reader", "narrow", "recent", "redacted"] {
            // The rollback is the first version once more, and one more is the second.
            let all = changes(&server, role, "from=3&to=4").await;
            assert_eq!(told(&all), told(&changes(&server, role, "from=1&to=2").await), "{backend:?} {role}");
            let rows = by_key(server.get(role, "/v1/datasets/trial/rows").await.rows());
            let mut copy = rows.clone();
            apply(&mut copy, changes(&server, role, "from=2&to=3").await);
            assert_ne!(copy, rows, "{backend:?} {role}");
            apply(&mut copy, all.clone());
            assert_eq!(copy, rows, "{backend:?} {role}");
            let expected: &[(i64, &str)] = match role {
                "reader" => &[
                    (4, "update"),
                    (5, "update"),
                    (6, "update"),
                    (7, "update"),
                    (8, "update"),
                    (9, "update"),
                    (10, "delete"),
                    (11, "insert"),
                ],
                // 122 is shown as 120, as 121 was.
                "narrow" => &[
                    (5, "update"),
                    (6, "update"),
                    (7, "update"),
                    (8, "delete"),
                    (9, "insert"),
                    (10, "delete"),
                    (11, "insert"),
                ],
                "recent" => &[
                    (4, "update"),
                    (5, "update"),
                    (6, "update"),
                    (7, "update"),
                    (8, "delete"),
                    (9, "insert"),
                    (10, "delete"),
                    (11, "insert"),
                ],
                // Nothing of a price shows, not even that it is another.
                _ => &[(8, "update"), (9, "update"), (10, "delete"), (11, "insert")],
            };
            assert_eq!(told(&all), expected, "{backend:?} {role}");
            assert_eq!(changes(&server, role, "from=4").await, Vec::<Value>::new());
        }
        // Columns that are not asked for are not compared; the key comes along.
        let some = changes(&server, "reader", "from=1&to=2&select=day").await;
        assert_eq!(told(&some), [(8, "update"), (9, "update"), (10, "delete"), (11, "insert")]);
        let eight = some.iter().find(|row| row["id"] == 8).expect("a row");
        assert_eq!(eight, &json!({"_change": "update", "id": 8, "day": "2024-01-01"}));
        server.stop().await;
    }
}

const TYPED: &str = "
  - {name: flag, type: bool, nullable: true, description: A flag.}
  - {name: ratio, type: float64, nullable: true, description: A ratio.}
  - {name: seen, type: timestamp, nullable: true, description: A moment.}
  - {name: note, type: json, nullable: true, description: A note.}
  - {name: tags, type: 'list<string>', nullable: true, description: Tags.}
  - {name: word, type: string, nullable: true, description: A word.}
sla:";

/// Values of those columns in the words of a database.
fn typed(backend: Backend, moment: u32, note: &str, tags: &[&str], word: &str) -> String {
    let list = tags.iter().map(|tag| format!("'{tag}'")).collect::<Vec<_>>().join(", ");
    let (seen, tags) = match backend {
        Backend::Sqlite => (moment.to_string(), format!("json_array({list})")),
        Backend::Postgres => {
            (format!("timestamptz 'epoch' + {moment} * interval '1 us'"), format!("ARRAY[{list}]::text[]"))
        }
        Backend::ClickHouse => {
            (format!("fromUnixTimestamp64Micro(toInt64({moment}), 'UTC')"), format!("[{list}]::Array(String)"))
        }
    };
    format!("{seen}, '{note}', {tags}, '{word}'")
}

#[tokio::test]
async fn values_of_every_type_are_compared_as_they_are_shown() {
    for backend in Backend::ALL {
        let trial = Trial::new(backend, "typed");
        let access = ACCESS.replace("mask: {price: redact}", "mask: {word: {last: 2}}");
        std::fs::write(trial.config().catalog.join("access.yaml"), access).expect("written");
        trial.amend("\nsla:", TYPED);
        let none = if backend == Backend::ClickHouse {
            "NULL, NULL, NULL, NULL, [], NULL"
        } else {
            "NULL, NULL, NULL, NULL, NULL, NULL"
        };
        let columns = match backend {
            Backend::Sqlite => {
                "(id INTEGER PRIMARY KEY, day TEXT NOT NULL, price INTEGER, origin TEXT NOT NULL, flag INTEGER, ratio REAL, seen INTEGER, note TEXT, tags TEXT, word TEXT) STRICT"
            }
            Backend::Postgres => {
                "(id bigint PRIMARY KEY, day date NOT NULL, price numeric(9,2), origin text COLLATE \"C\" NOT NULL, flag boolean, ratio double precision, seen timestamptz, note json, tags text[], word text COLLATE \"C\")"
            }
            Backend::ClickHouse => {
                "(id Int64, day Date32, price Nullable(Decimal(9, 2)), origin LowCardinality(String), flag Nullable(Bool), ratio Nullable(Float64), seen Nullable(DateTime64(6, 'UTC')), note Nullable(String), tags Array(String), word LowCardinality(Nullable(String))) ENGINE = MergeTree ORDER BY id"
            }
        };
        let (yes, no) = if backend == Backend::Sqlite { ("1", "0") } else { ("true", "false") };
        let plain = |flag: &str, ratio: &str, rest: String| format!("{flag}, {ratio}, {rest}");
        let same = || plain(yes, "0.1", typed(backend, 7, r#"{"a": 1}"#, &["x", "y"], "abcXY"));
        let versions = [
            (
                "trial_1",
                vec![
                    (1, same()),
                    (2, same()),
                    (3, same()),
                    (4, same()),
                    (5, same()),
                    (6, same()),
                    (7, same()),
                    (8, none.to_owned()),
                    (9, same()),
                    (10, same()),
                ],
            ),
            (
                "trial_2",
                vec![
                    (1, same()),
                    (2, plain(no, "0.1", typed(backend, 7, r#"{"a": 1}"#, &["x", "y"], "abcXY"))),
                    (3, plain(yes, "0.1000000000000001", typed(backend, 7, r#"{"a": 1}"#, &["x", "y"], "abcXY"))),
                    (4, plain(yes, "0.1", typed(backend, 8, r#"{"a": 1}"#, &["x", "y"], "abcXY"))),
                    (5, plain(yes, "0.1", typed(backend, 7, r#"{"a": 2}"#, &["x", "y"], "abcXY"))),
                    (6, plain(yes, "0.1", typed(backend, 7, r#"{"a": 1}"#, &["x", "z"], "abcXY"))),
                    (7, plain(yes, "0.1", typed(backend, 7, r#"{"a": 1}"#, &["x", "y"], "zzzXY"))),
                    (8, same()),
                    (9, none.to_owned()),
                    (11, same()),
                ],
            ),
        ];
        trial.sql(&format!("DROP TABLE {}", trial.relation("trial")));
        trial.sql(&format!("CREATE TABLE {} {columns}", trial.relation("trial")));
        for (table, rows) in versions {
            trial.sql(&format!("CREATE TABLE {} {columns}", trial.relation(table)));
            let rows: Vec<String> =
                rows.iter().map(|(id, rest)| format!("({id}, '2024-01-01', 1, 'o', {rest})")).collect();
            trial.sql(&format!("INSERT INTO {} VALUES {}", trial.relation(table), rows.join(", ")));
            trial.publish(table).well();
        }
        trial.martello(&["rollback", "trial", "--operator", "tester"]).well();
        trial.martello(&["rollback", "trial", "--to", "2", "--operator", "tester"]).well();
        let server = Server::start(trial.config()).await;
        serves(&server, Some(4)).await;
        for role in ["reader", "redacted"] {
            let all = changes(&server, role, "from=1&to=2").await;
            let mut expected: Vec<(i64, &str)> = (2..=9).map(|id| (id, "update")).collect();
            expected.extend([(10, "delete"), (11, "insert")]);
            // Its last two letters are what they were.
            expected.retain(|(id, _)| role == "reader" || *id != 7);
            assert_eq!(told(&all), expected, "{backend:?} {role}");
            let rows = by_key(server.get(role, "/v1/datasets/trial/rows").await.rows());
            let mut copy = rows.clone();
            apply(&mut copy, changes(&server, role, "from=2&to=3").await);
            apply(&mut copy, all);
            assert_eq!(copy, rows, "{backend:?} {role}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn changes_come_in_every_format_that_streams_and_say_where_to_go_on() {
    for backend in Backend::ALL {
        let trial = published(backend, "formats");
        let server = Server::start(trial.config()).await;
        serves(&server, Some(2)).await;
        let get = async |query: &str| server.get("reader", &format!("/v1/datasets/trial/changes?{query}")).await;
        let csv = get("from=1&format=csv&select=id,origin").await;
        let mut lines: Vec<String> = csv.text().lines().map(str::to_owned).collect();
        lines[1..].sort();
        assert_eq!(lines, ["_change,id,origin", "delete,10,", "insert,11,kept", "update,8,other", "update,9,kept"]);
        assert!(csv.header("martello-dataset-version").is_some_and(|version| version.starts_with("2;id=\"")));
        assert_eq!(
            csv.header("link"),
            Some("</v1/datasets/trial/changes?from=2&format=csv&select=id,origin>; rel=\"monitor\"")
        );
        assert_eq!(csv.header("cache-control"), Some("private, no-store"));
        let arrow = get("from=1&format=arrow").await.body;
        let reader = arrow_ipc::reader::StreamReader::try_new(arrow.as_slice(), None).expect("a stream");
        let schema = reader.schema();
        let fields: Vec<(&str, bool)> =
            schema.fields().iter().map(|field| (field.name().as_str(), field.is_nullable())).collect();
        assert_eq!(fields, [("_change", false), ("id", false), ("day", true), ("price", true), ("origin", true)]);
        assert_eq!(reader.map(|batch| batch.expect("a batch").num_rows()).sum::<usize>(), 8);
        assert!(get("from=1&format=parquet").await.body.starts_with(b"PAR1"));

        let problem = async |role: &str, query: &str| {
            let answer = server.get(role, &format!("/v1/datasets/trial/changes?{query}")).await;
            (answer.problem(), answer.json()["parameter"].as_str().unwrap_or_default().to_owned(), answer.status)
        };
        let is = |kind: &str, parameter: &str, status: u16| (kind.to_owned(), parameter.to_owned(), status);
        assert_eq!(problem("reader", "from=1").await, is("not-in-format", "format", 400));
        assert_eq!(problem("reader", "format=csv").await, is("malformed-request", "from", 400));
        assert_eq!(problem("reader", "from=one&format=csv").await, is("invalid-literal", "from", 400));
        assert_eq!(problem("reader", "from=1&from=2").await, is("malformed-request", "from", 400));
        assert_eq!(problem("reader", "from=1&limit=3").await, is("unknown-parameter", "limit", 400));
        assert_eq!(problem("reader", "from=1&id=3").await, is("unknown-parameter", "id", 400));
        assert_eq!(problem("reader", "from=2&to=1").await, is("invalid-literal", "from", 400));
        assert_eq!(problem("reader", "from=1&to=3").await, is("unknown-version", "to", 404));
        assert_eq!(problem("reader", "from=0").await, is("unknown-version", "from", 404));
        assert_eq!(problem("narrow", "from=1&select=origin").await, is("unknown-column", "select", 400));
        assert_eq!(problem("pages", "from=1&format=csv").await, is("export-not-granted", "limit", 403));
        assert_eq!(problem("nobody", "from=1").await, is("not-found", "", 404));
        server.stop().await;
    }
}

#[tokio::test]
async fn changes_are_kept_as_files_for_each_role_that_may_have_them() {
    let trial = published(Backend::Sqlite, "kept-changes");
    let export = ["export", "trial", "--format", "ndjson", "--since-version", "1", "--operator", "tester"];
    trial.martello(&export).well();
    let server = Server::start(assets::config(&trial)).await;
    serves(&server, Some(2)).await;
    for role in ["reader", "narrow", "redacted"] {
        let listed = server.get(role, "/v1/datasets/trial/snapshots").await.rows();
        let [set] = &listed[..] else { panic!("{role}: {listed:?}") };
        assert_eq!((&set["version"], &set["since"]), (&json!(2), &json!(1)), "{role}");
        let href = set["files"][0]["href"].as_str().expect("a path");
        let file = server.get_with(role, href, &[("accept", "application/json")]).await.json()["data"].clone();
        assert_eq!(file["since"], json!(1));
        let content = server.send(server.request(reqwest::Method::GET, file["url"].as_str().expect("a link"))).await;
        let rows = content.text().lines().map(|line| serde_json::from_str(line).expect("a row")).collect();
        assert_eq!(by_key(rows), by_key(changes(&server, role, "from=1&to=2").await), "{role}");
    }
    assert_eq!(server.get("pages", "/v1/datasets/trial/snapshots").await.rows(), Vec::<Value>::new());
    assert_eq!(server.get("nobody", "/v1/datasets/trial/snapshots").await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn a_version_of_a_contract_with_fewer_columns_is_as_good_as_gone() {
    for backend in Backend::ALL {
        let trial = published(backend, "outgrown");
        let file = trial.config().catalog.join("datasets/trial.yaml");
        let contract = std::fs::read_to_string(&file).expect("a contract");
        // What is said of a column may change, and the versions before can be read as ever.
        let said = contract.replacen("description: ", "description: More of it. ", 1);
        assert_ne!(contract, said);
        std::fs::write(&file, &said).expect("written");
        let server = Server::start(trial.config()).await;
        serves(&server, Some(2)).await;
        assert!(!changes(&server, "reader", "from=1").await.is_empty(), "{backend:?}");
        server.stop().await;
        let column = "columns:\n  - {name: note, type: string, nullable: true, description: A note.}\n";
        let grown = said.replacen("columns:\n", column, 1);
        assert_ne!(said, grown);
        std::fs::write(&file, grown).expect("written");
        trial.make("trial_3", "kept");
        let text = match backend {
            Backend::Sqlite => "TEXT",
            Backend::Postgres => "text COLLATE \"C\"",
            Backend::ClickHouse => "Nullable(String)",
        };
        trial.sql(&format!("ALTER TABLE {} ADD COLUMN note {text}", trial.relation("trial_3")));
        trial.publish("trial_3").well();
        let server = Server::start(trial.config()).await;
        serves(&server, Some(3)).await;
        assert_eq!(changes(&server, "reader", "from=3").await, Vec::<Value>::new(), "{backend:?}");
        let gone = server.get("reader", "/v1/datasets/trial/changes?from=1&format=csv").await;
        assert_eq!((gone.problem().as_str(), gone.status), ("version-gone", 410), "{backend:?} {}", gone.text());
        server.stop().await;
    }
}

#[tokio::test]
async fn a_version_that_is_gone_says_which_are_kept() {
    let trial = published(Backend::Sqlite, "gone");
    for number in 3..=4 {
        let table = format!("trial_{number}");
        trial.make(&table, "kept");
        trial.publish(&table).well();
    }
    // Long enough ago for everything that is past the contract's `keep`.
    let script = "import sqlite3, sys; base = sqlite3.connect(sys.argv[1]); \
         base.execute('UPDATE martello_version SET retired_at = 1 WHERE retired_at IS NOT NULL'); base.commit()";
    let control = trial.config().control.expect("a store").url.expose().trim_start_matches("sqlite:").to_owned();
    run(python(&["-c", script, &control])).well();
    trial.martello(&["versions", "prune", "trial"]).well();
    let server = Server::start(trial.config()).await;
    serves(&server, Some(4)).await;
    let gone = server.get("reader", "/v1/datasets/trial/changes?from=1&format=csv").await;
    assert_eq!((gone.problem().as_str(), gone.status), ("version-gone", 410));
    assert_eq!(gone.json()["hint"], "there are: 4, 3", "{}", gone.text());
    assert_eq!(changes(&server, "reader", "from=3").await, Vec::<Value>::new());
    server.stop().await;
}
