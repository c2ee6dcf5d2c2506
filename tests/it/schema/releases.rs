//! The oldest and the newest Postgres: whatever is led on the one that all other tests have is led on them as well.

use super::pairs::Pair;
use super::{Database, Model, kinds, pairs, schema_of, walk_on};
use crate::programs::{martello, run};
use crate::support::variable;

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

/// Every pair whose place leaves that remainder, on each release: two tests share the work.
fn walked(remainder: usize) {
    for (release, url) in releases() {
        let pairs: Vec<Pair> = ALL.concat().into_iter().skip(remainder).step_by(2).collect();
        let found = Database::on(&url).run("SHOW server_version_num");
        assert!(found.starts_with(&release.to_string()), "{release} {found}");
        walk_on(&url, &pairs);
    }
}

#[test]
fn the_oldest_and_the_newest_are_led_to_what_is_wished() {
    walked(0);
}

#[test]
fn the_oldest_and_the_newest_are_led_to_what_else_is_wished() {
    walked(1);
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
        let check = ["catalog", "check", "--against", "schema/postgres", "--dev-url", &url];
        assert!(run(martello(&check)).well().ends_with(" 0 mismatches\n"), "{release}");
        let database = Database::on(&url);
        let apply = ["schema", "apply", "--from", &database.url(), "--to", "schema/postgres"];
        run(martello(&apply)).well();
        let objects = |model: Model| model.objects.into_keys().collect::<Vec<_>>();
        let ours = Database::new();
        run(martello(&["schema", "apply", "--from", &ours.url(), "--to", "schema/postgres"])).well();
        assert_eq!(objects(schema_of(&database)), objects(schema_of(&ours)), "{release}");
    }
}
