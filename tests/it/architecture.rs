//! Keeps the floors: a module names only modules below its own, and some crates have keepers.

use std::collections::BTreeMap;
use std::path::Path;

use crate::support::repository;

/// Floors from the ground up; neighbors are strangers. ARCHITECTURE.md shows the same list.
const FLOORS: [&[&str]; 10] = [
    &["bounded", "clock", "config", "encode", "name", "random", "telemetry"],
    &["catalog", "redis", "store"],
    &["audit", "auth", "cache", "limit", "query"],
    &["plan"],
    &["source"],
    &["engine", "migrate", "publish"],
    &["http"],
    &["rest", "graphql", "assets", "ops"],
    &["app"],
    &["cli", "main"],
];

/// Crates that only some modules name.
const KEEPERS: [(&str, &[&str]); 11] = [
    ("sqlx", &["store", "source", "migrate", "publish"]),
    ("deadpool_redis", &["redis"]),
    ("moka", &["bounded", "cache"]),
    ("clickhouse", &["source", "migrate"]),
    ("squawk_linter", &["migrate"]),
    ("squawk_syntax", &["migrate"]),
    ("object_store", &["assets", "publish"]),
    ("jsonwebtoken", &["auth"]),
    ("async_graphql", &["graphql"]),
    ("utoipa", &["rest"]),
    ("axum", &["http", "rest", "graphql", "assets", "ops", "app", "cli"]),
];

fn floor(module: &str) -> usize {
    FLOORS.iter().position(|floor| floor.contains(&module)).unwrap_or_else(|| panic!("{module} has no floor"))
}

/// Every source file with the module of the first floor that it belongs to.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    let root = repository().join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .into_iter()
        .map(|file| {
            let relative = file.strip_prefix(&root).expect("below src");
            let first = relative.iter().next().and_then(|name| name.to_str()).expect("a name");
            let module = first.trim_end_matches(".rs").to_owned();
            (module, std::fs::read_to_string(&file).expect("a text"))
        })
        .filter(|(module, _)| module != "lib")
        .collect()
}

/// The words that follow a word, as `crate::` is followed by a module.
fn named<'t>(text: &'t str, before: &'t str) -> impl Iterator<Item = &'t str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).flat_map(move |line| {
        line.match_indices(before).map(move |(at, _)| {
            let rest = &line[at + before.len()..];
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            &rest[..end]
        })
    })
}

#[test]
fn a_module_names_only_modules_below_its_own() {
    let mut faults = Vec::new();
    let mut seen = BTreeMap::new();
    for (module, text) in sources() {
        for other in named(&text, "crate::").filter(|other| *other != module) {
            if other.is_empty() {
                faults.push(format!("{module} imports several modules in one use: write one a line"));
                continue;
            }
            *seen.entry(other.to_owned()).or_insert(0) += 1;
            if floor(other) >= floor(&module) {
                faults.push(format!("{module} (floor {}) names {other} (floor {})", floor(&module), floor(other)));
            }
        }
    }
    assert!(seen["plan"] > 3 && seen["catalog"] > 10, "the search finds nothing: {seen:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_crate_with_keepers_is_named_by_them_alone() {
    let mut faults = Vec::new();
    for (module, text) in sources() {
        for (name, keepers) in KEEPERS {
            let path = format!("{name}::");
            let uses = text.lines().any(|line| {
                let line = line.trim_start();
                !line.starts_with("//")
                    && line.match_indices(&path).any(|(at, _)| {
                        let before = line[..at].chars().next_back();
                        !before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
                    })
            });
            if uses && !keepers.contains(&module.as_str()) {
                faults.push(format!("{module} names {name}, which {} keep", keepers.join(", ")));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_file_is_one_idea_long() {
    const LINES_MAX: usize = 700;
    let long: Vec<String> = sources()
        .iter()
        .map(|(module, text)| (module, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(module, lines)| format!("{module}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
