//! The oldest and the newest Postgres: whatever is led on the one that all other tests have is led on them as well.

use super::pairs::Pair;
use super::{Database, Model, kinds, pairs, schema_of, server, walk_on};
use crate::programs::{martello, run};
use crate::support::{Backend, Server, config, variable};

/// Release and URL of each server.
fn releases() -> Vec<(u32, String)> {
    let text = variable("MARTELLO_TEST_RELEASES");
    let parts = text.split_whitespace().filter_map(|part| part.split_once('='));
    let parts: Vec<(u32, String)> =
        parts.map(|(release, url)| (release.parse().expect("a number"), url.to_owned())).collect();
    assert!(!parts.is_empty(), "{text:?}");
    parts
}

const ALL: [&[Pair]; 10] = [
    pairs::TABLES,
    pairs::COLUMNS,
    pairs::CONSTRAINTS,
    pairs::INDEXES,
    pairs::PARTITIONS,
    pairs::TYPES,
    pairs::VIEWS,
    pairs::FUNCTIONS,
    pairs::ACCESS,
    kinds::KINDS,
];

/// Pairs that say themselves in which schema they are stand alone; of the others each has one of its own.
fn stands_alone(pair: &Pair) -> bool {
    let (_, both, one, other) = pair;
    let marks = ["SCHEMA", "EXTENSION", "public.", "DOMAIN s"];
    [both, one, other].iter().any(|sql| marks.iter().any(|mark| sql.contains(mark)))
}

/// One side of all pairs at once.
fn together(pairs: &[&Pair], side: impl Fn(&Pair) -> &'static str) -> String {
    let of = |(place, pair): (usize, &&Pair)| {
        format!("CREATE SCHEMA p{place}; SET search_path = p{place}; {}\n{}\n", pair.1, side(pair))
    };
    pairs.iter().enumerate().map(of).collect()
}

/// Walks pairs both ways, all at once but for those that stand alone: one plan has them all.
fn walk_together(url: &str, pairs: &[Pair]) {
    let (alone, shared): (Vec<&Pair>, Vec<&Pair>) = pairs.iter().partition(|pair| stands_alone(pair));
    let one = together(&shared, |pair| pair.2).leak();
    let other = together(&shared, |pair| pair.3).leak();
    walk_on(url, &[("everything", "", one, other)]);
    walk_on(url, &alone.into_iter().copied().collect::<Vec<_>>());
}

/// What only some releases know, and since which.
const SINCE: [(&str, u32); 6] = [
    ("COMPRESSION", 14),
    ("BEGIN ATOMIC", 14),
    ("multirange", 14),
    ("NULLS NOT DISTINCT", 15),
    ("UNLOGGED SEQUENCE", 15),
    ("security_invoker", 15),
];

fn is_known(pair: &Pair, release: u32) -> bool {
    let (_, both, one, other) = pair;
    let newer = SINCE.iter().filter(|(_, since)| release < *since);
    newer.into_iter().all(|(word, _)| [both, one, other].iter().all(|sql| !sql.contains(word)))
}

#[test]
fn the_oldest_and_the_newest_are_led_to_what_is_wished() {
    for (release, url) in releases() {
        let found = Database::on(&url).run("SHOW server_version_num");
        assert!(found.starts_with(&release.to_string()), "{release} {found}");
        let known: Vec<Pair> = ALL.concat().into_iter().filter(|pair| is_known(pair, release)).collect();
        walk_together(&url, &known);
    }
}

#[test]
fn what_few_schemas_have_becomes_what_is_wished() {
    walk_together(&server(), kinds::KINDS);
}

#[test]
fn there_are_pairs_of_every_kind_and_no_two_of_one_name() {
    let mut names: Vec<&str> = ALL.concat().iter().map(|pair| pair.0).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert!(count >= 150 && names.len() == count, "{count}");
}

#[test]
fn the_schema_of_the_repository_is_the_same_on_every_release() {
    for (release, url) in releases() {
        let diff =
            ["migrate", "diff", "--dir", "file://migrations/postgres", "--to", "schema/postgres", "--dev-url", &url];
        assert_eq!(run(martello(&diff)).well(), "synced: the folder makes what is wished\n", "{release}");
        let database = Database::on(&url);
        let apply = ["schema", "apply", "--from", &database.url(), "--to", "schema/postgres"];
        run(martello(&apply)).well();
        let objects = |model: Model| model.objects.into_keys().collect::<Vec<_>>();
        let ours = Database::new();
        run(martello(&["schema", "apply", "--from", &ours.url(), "--to", "schema/postgres"])).well();
        assert_eq!(objects(schema_of(&database)), objects(schema_of(&ours)), "{release}");
        let check = ["catalog", "check", "--against", "schema/postgres", "--dev-url", &url];
        assert!(run(martello(&check)).well().ends_with(" 0 mismatches\n"), "{release}");
    }
}

#[tokio::test]
async fn every_release_is_served() {
    for (release, url) in releases() {
        let database = Database::on(&url);
        run(martello(&["schema", "apply", "--from", &database.url(), "--to", "schema/postgres"])).well();
        database.run(
            "INSERT INTO price_daily (symbol, date, open, high, low, close, adj_close, volume, source) \
             VALUES ('A', '2020-02-29', 1, 1, 1, 1.5, 1, 7, 'made')",
        );
        let mut config = config(Backend::Postgres);
        config.sources.get_mut("marts").expect("the source").url = database.url().into();
        let server = Server::start(config).await;
        let target = "/v1/datasets/price_daily/rows?select=symbol,close";
        let rows = server.get("internal_scientist", target).await.text();
        assert!(rows.starts_with("{\"data\":[{\"symbol\":\"A\",\"close\":1.500000}]"), "{release}: {rows}");
        let streamed = server.get("internal_scientist", &format!("{target}&limit=all&format=csv")).await.text();
        assert_eq!(streamed, "symbol,close\r\nA,1.500000\r\n", "{release}");
        server.stop().await;
    }
}
