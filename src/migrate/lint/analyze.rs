//! What the looks before and after each statement tell.

use std::collections::BTreeSet;

use super::super::folder::{self, File, Transactions};
use super::super::schema::{Key, Kind, Model, Object};
use super::Found;
use super::replay::{Replayed, State, Step};

/// Types of a fixed length: how many bytes, and at a multiple of how many they begin.
const LENGTHS: [(&str, usize, usize); 15] = [
    ("bigint", 8, 8),
    ("timestamp without time zone", 8, 8),
    ("timestamp with time zone", 8, 8),
    ("time without time zone", 8, 8),
    ("double precision", 8, 8),
    ("money", 8, 8),
    ("interval", 16, 8),
    ("time with time zone", 12, 8),
    ("integer", 4, 4),
    ("date", 4, 4),
    ("real", 4, 4),
    ("oid", 4, 4),
    ("smallint", 2, 2),
    ("boolean", 1, 1),
    ("uuid", 16, 1),
];
/// Fewer bytes a row are not worth a word.
const WASTE_MIN: usize = 8;

/// The words of a statement in capitals, without what stands in quotes and comments.
pub(super) fn words(sql: &str) -> Vec<String> {
    let mut bare = String::new();
    let mut rest = sql;
    while let Some(next) = rest.chars().next() {
        let skipped = match next {
            '\'' | '"' => rest[1..].find(next).map(|at| at + 2),
            '-' if rest.starts_with("--") => rest.find('\n'),
            '/' if rest.starts_with("/*") => rest.find("*/").map(|at| at + 2),
            '$' => rest[1..]
                .find('$')
                .map(|at| &rest[..at + 2])
                .and_then(|tag| rest[tag.len()..].find(tag).map(|at| at + 2 * tag.len())),
            _ => Some(0),
        };
        match skipped {
            Some(0) => {
                bare.push(next);
                rest = &rest[next.len_utf8()..];
            }
            Some(end) => {
                bare.push(' ');
                rest = &rest[end..];
            }
            // What is never closed goes on to the end.
            None if next == '$' => rest = &rest[1..],
            None => break,
        }
    }
    let words = bare.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
    words.map(str::to_uppercase).collect()
}

fn has(words: &[String], run: &[&str]) -> bool {
    words.windows(run.len()).any(|window| window.iter().zip(run).all(|(word, other)| word == other))
}

/// What is found in a file, by its statements.
pub(super) fn analyze(file: &File, words: &[Vec<String>], replayed: &Replayed) -> Result<Vec<Found>, folder::Error> {
    let alone = file.transactions()? == Some(Transactions::None);
    let mut found = Vec::new();
    for (at, words) in words.iter().enumerate() {
        let first = words.first().map_or("", String::as_str);
        // A materialized view is refreshed concurrently in a transaction as well.
        if !alone && matches!(first, "CREATE" | "DROP" | "REINDEX" | "ALTER") && has(words, &["CONCURRENTLY"]) {
            found.push(Found::new(
                "PG103",
                at,
                format!("{first} … CONCURRENTLY cannot run in the transaction of the file"),
            ));
        }
    }
    for step in &replayed.steps {
        let seen = Seeing { step, words, replayed, now: &words[step.statement] };
        seen.all(&mut found);
    }
    Ok(found)
}

/// A statement, and what there is to see it by.
struct Seeing<'s> {
    step: &'s Step,
    words: &'s [Vec<String>],
    replayed: &'s Replayed,
    now: &'s [String],
}

impl<'s> Seeing<'s> {
    fn before(&self) -> &'s Model {
        &self.step.before.model
    }

    fn after(&self) -> &'s Model {
        &self.step.after.model
    }

    fn says(&self, run: &[&str]) -> bool {
        has(self.now, run)
    }

    /// Whether it was there before the file.
    fn is_old(&self, key: &Key) -> bool {
        self.replayed.first.model.get(key).is_some()
    }

    fn stays(&self, key: &Key) -> bool {
        self.before().get(key).is_some() && self.after().get(key).is_some()
    }

    /// The table of a part, where it was there before the file and stays.
    fn table(&self, object: &'s Object) -> Option<&'s Key> {
        object.parent.as_ref().filter(|parent| self.is_old(parent) && self.stays(parent))
    }

    fn gone(&self, kind: Kind) -> impl Iterator<Item = (&'s Key, &'s Object)> {
        let after = self.after();
        self.before().objects.iter().filter(move |(key, _)| key.kind == kind && after.get(key).is_none())
    }

    fn came(&self, kind: Kind) -> impl Iterator<Item = (&'s Key, &'s Object)> {
        let before = self.before();
        self.after().objects.iter().filter(move |(key, _)| key.kind == kind && before.get(key).is_none())
    }

    fn find(&self, found: &mut Vec<Found>, code: &'static str, text: String) {
        found.push(Found::new(code, self.step.statement, text));
    }

    fn all(&self, found: &mut Vec<Found>) {
        self.names(found);
        if self.says(&["RENAME"]) || self.says(&["SET", "SCHEMA"]) {
            self.renamed(found);
            return;
        }
        self.dropped(found);
        self.columns(found);
        self.indexes(found);
        self.constraints(found);
        self.alignment(found);
    }

    fn names(&self, found: &mut Vec<Found>) {
        let codes = [
            (Kind::Schema, "NM101"),
            (Kind::Table, "NM102"),
            (Kind::Column, "NM103"),
            (Kind::Index, "NM104"),
            (Kind::Constraint, "NM105"),
        ];
        for (kind, code) in codes {
            let quoted = self.came(kind).filter(|(_, object)| object.local.starts_with('"'));
            for (key, object) in quoted.filter(|(_, object)| kind == Kind::Table || !self.moved(object)) {
                self.find(
                    found,
                    code,
                    format!("{} {} has to be quoted wherever it is named", word(key.kind), object.local),
                );
            }
        }
    }

    /// Whether it only came along with its table.
    fn moved(&self, object: &Object) -> bool {
        self.says(&["RENAME"]) && object.parent.as_ref().is_some_and(|parent| self.before().get(parent).is_none())
    }

    fn renamed(&self, found: &mut Vec<Found>) {
        let last = &self.replayed.last.model;
        let mut tables = self.gone(Kind::Table).filter(|(key, _)| self.is_old(key));
        if let (Some((key, _)), Some((to, _))) = (tables.next(), self.came(Kind::Table).next()) {
            // Readers of the old name go on by a view of it.
            if last.get(&Key::new(Kind::View, key.name.clone())).is_none() {
                self.find(
                    found,
                    "BC101",
                    format!("table {} is called {} now: whoever asks by the old name fails", key.name, to.name),
                );
            }
            return;
        }
        let mut columns =
            self.gone(Kind::Column).filter(|(key, object)| self.is_old(key) && self.table(object).is_some());
        if let (Some((key, _)), Some((_, to))) = (columns.next(), self.came(Kind::Column).next())
            && last.get(key).is_none()
        {
            self.find(
                found,
                "BC102",
                format!("column {} is called {} now: whoever asks by the old name fails", key.name, to.local),
            );
        }
    }

    fn dropped(&self, found: &mut Vec<Found>) {
        let schemas: Vec<&Key> = self.gone(Kind::Schema).map(|(key, _)| key).filter(|key| self.is_old(key)).collect();
        for key in &schemas {
            self.find(found, "DS101", format!("schema {} is dropped, and all that is in it", key.name));
        }
        for (key, _) in self.gone(Kind::Table).filter(|(key, _)| self.is_old(key)) {
            if !schemas.iter().any(|schema| key.name.starts_with(&format!("{}.", schema.name))) {
                self.find(found, "DS102", format!("table {} is dropped, and its rows are gone", key.name));
            }
        }
        for (key, object) in self.gone(Kind::Column).filter(|(key, _)| self.is_old(key)) {
            if self.table(object).is_some() && !object.has("generated") {
                self.find(found, "DS103", format!("column {} is dropped, and its values are gone", key.name));
            }
        }
        for (key, object) in self.gone(Kind::Constraint).filter(|(key, _)| self.is_old(key)) {
            if object.field("_type") == Some("f") && self.table(object).is_some() && !self.says(&["PARTITION"]) {
                self.find(found, "CD101", format!("foreign key {} is dropped", key.name));
            }
        }
        for (key, object) in self.gone(Kind::Index).filter(|(key, _)| self.is_old(key)) {
            let dropped = self.says(&["DROP", "INDEX"]) && !self.says(&["CONCURRENTLY"]);
            if dropped && self.table(object).is_some() {
                self.find(
                    found,
                    "PG102",
                    format!("index {} is dropped under a lock that shuts everybody out", key.name),
                );
            }
        }
    }

    /// Whether the statement wrote a table anew: its rows are elsewhere.
    fn is_rewritten(&self, table: &Key) -> bool {
        let place = |state: &State| state.places.get(&table.name).copied();
        let (before, after) = (place(&self.step.before), place(&self.step.after));
        before.is_some() && after.is_some() && before != after
    }

    fn columns(&self, found: &mut Vec<Found>) {
        let keyed: Vec<&Key> = self
            .came(Kind::Constraint)
            .filter(|(_, object)| object.field("_type") == Some("p"))
            .filter_map(|(_, object)| object.parent.as_ref())
            .collect();
        for (key, object) in &self.after().objects {
            let Some(table) = self.table(object).filter(|_| key.kind == Kind::Column) else { continue };
            let Some(was) = self.before().get(key) else {
                self.added(key, object, table, found);
                continue;
            };
            let kinds = (was.field("type"), object.field("type"));
            if kinds.0 != kinds.1 && self.is_rewritten(table) {
                let (was, now) = (kinds.0.unwrap_or_default(), kinds.1.unwrap_or_default());
                self.find(
                    found,
                    "PG301",
                    format!("column {} of type {was} becomes {now}, which writes {} anew", key.name, table.name),
                );
            }
            if was.has("not_null") || !object.has("not_null") || !self.is_old(key) {
                continue;
            }
            if keyed.contains(&table) {
                self.find(
                    found,
                    "PG304",
                    format!("column {} may be null and becomes part of the primary key", key.name),
                );
                continue;
            }
            if !self.is_filled(table, object) {
                self.find(
                    found,
                    "MF104",
                    format!("column {} may be null and no longer can: it fails where one is", key.name),
                );
            }
            if !self.is_known_not_null(table, object) {
                self.find(
                    found,
                    "PG303",
                    format!(
                        "column {} is set not null, which scans {} under a lock that shuts everybody out",
                        key.name, table.name
                    ),
                );
            }
        }
    }

    fn added(&self, key: &Key, object: &Object, table: &Key, found: &mut Vec<Found>) {
        let given = object.has("identity")
            || object.has("generated")
            || self.after().get(&Key::new(Kind::Default, key.name.clone())).is_some();
        if object.has("not_null") && !given {
            self.find(
                found,
                "MF103",
                format!("column {} is not null and has no default: it fails where {} has rows", key.name, table.name),
            );
        }
        if self.is_rewritten(table) {
            self.find(
                found,
                "PG302",
                format!("column {} has another value in each row, which writes {} anew", key.name, table.name),
            );
        }
    }

    /// Whether an earlier statement of the file fills a column.
    fn is_filled(&self, table: &Key, column: &Object) -> bool {
        let local = table.name.rsplit('.').next().unwrap_or_default();
        let names = [local, column.local.as_str()].map(|name| name.trim_matches('"').to_uppercase());
        self.words[..self.step.statement].iter().any(|words| {
            words.first().is_some_and(|word| word == "UPDATE") && names.iter().all(|name| words.contains(name))
        })
    }

    /// Whether a valid check says already that nothing in a column is null.
    fn is_known_not_null(&self, table: &Key, column: &Object) -> bool {
        let says = format!("({} IS NOT NULL)", column.local);
        self.before().objects.values().any(|object| {
            let definition = object.field("definition").unwrap_or_default();
            object.parent.as_ref() == Some(table) && definition.contains(&says) && !definition.ends_with("NOT VALID")
        })
    }

    fn indexes(&self, found: &mut Vec<Found>) {
        for (key, object) in self.came(Kind::Index) {
            let Some(table) = self.table(object) else { continue };
            let unique = object.field("definition").is_some_and(|definition| definition.starts_with("CREATE UNIQUE"));
            if unique {
                let was = self.replayed.first.model.get(key).and_then(|was| was.field("definition"));
                match was.filter(|was| !was.starts_with("CREATE UNIQUE")) {
                    Some(_) => self.find(
                        found,
                        "MF102",
                        format!("index {} becomes unique: it fails where {} has duplicates", key.name, table.name),
                    ),
                    None => self.find(
                        found,
                        "MF101",
                        format!("unique index {} fails where {} has duplicates", key.name, table.name),
                    ),
                }
            }
            if self.says(&["INDEX"]) && !self.says(&["CONCURRENTLY"]) {
                self.find(
                    found,
                    "PG101",
                    format!("index {} is built under a lock that shuts writers of {} out", key.name, table.name),
                );
            }
        }
    }

    fn constraints(&self, found: &mut Vec<Found>) {
        for (key, object) in self.came(Kind::Constraint) {
            let Some(table) = self.table(object) else { continue };
            let valid = object.field("definition").is_some_and(|definition| !definition.ends_with("NOT VALID"));
            let built = !self.says(&["USING", "INDEX"]);
            let (name, table) = (&key.name, &table.name);
            match object.field("_type") {
                Some("p") if built => {
                    self.find(
                        found,
                        "PG104",
                        format!("primary key {name} is built under a lock that shuts everybody out of {table}"),
                    );
                }
                Some("u") if built => {
                    self.find(
                        found,
                        "PG105",
                        format!("unique constraint {name} is built under a lock that shuts everybody out of {table}"),
                    );
                    self.find(found, "MF101", format!("unique constraint {name} fails where {table} has duplicates"));
                }
                Some("c") if valid => {
                    self.find(
                        found,
                        "PG305",
                        format!("check {name} scans {table} under a lock that shuts everybody out"),
                    );
                }
                Some("f") if valid => {
                    self.find(
                        found,
                        "PG306",
                        format!("foreign key {name} scans {table} under a lock that shuts writers of both tables out"),
                    );
                }
                _ => {}
            }
        }
    }

    fn alignment(&self, found: &mut Vec<Found>) {
        for (key, _) in self.came(Kind::Table) {
            let mut columns: Vec<&Object> = self
                .after()
                .objects
                .values()
                .filter(|object| object.parent.as_ref() == Some(key) && object.has("_position"))
                .collect();
            columns.sort_by_key(|object| object.field("_position"));
            let lengths: Vec<(usize, usize)> = columns.iter().map(|object| length(object)).collect();
            let mut best = lengths.clone();
            best.sort_by_key(|(_, step)| std::cmp::Reverse(*step));
            let waste = taken(&lengths).saturating_sub(taken(&best));
            if waste >= WASTE_MIN {
                self.find(
                    found,
                    "PG110",
                    format!("rows of {} would take {waste} bytes less with their columns in another order", key.name),
                );
            }
        }
    }
}

/// How many bytes a column takes, and at a multiple of how many it begins. What has no length is packed.
fn length(column: &Object) -> (usize, usize) {
    let name = column.field("type").unwrap_or_default();
    // `timestamp(3) with time zone` is as long as any.
    let plain: String = match name.split_once('(') {
        Some((before, rest)) => format!("{before}{}", rest.split_once(')').map_or("", |(_, behind)| behind)),
        None => name.to_owned(),
    };
    LENGTHS.iter().find(|(other, ..)| *other == plain).map_or((0, 1), |(_, bytes, step)| (*bytes, *step))
}

fn taken(lengths: &[(usize, usize)]) -> usize {
    lengths.iter().fold(0, |at, (bytes, step)| at.next_multiple_of(*step) + bytes)
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Schema => "schema",
        Kind::Table => "table",
        Kind::Column => "column",
        Kind::Index => "index",
        _ => "constraint",
    }
}

/// The names of tables and views of a model, as contracts write them.
pub(super) fn relations(model: &Model) -> BTreeSet<String> {
    let kinds = [Kind::Table, Kind::View, Kind::MaterializedView];
    let keys = model.objects.keys().filter(|key| kinds.contains(&key.kind));
    keys.map(|key| key.name.replace('"', "")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_stands_outside_of_quotes_and_comments() {
        for (sql, expected) in [
            ("ALTER TABLE \"RENAME\" ADD x int", "ALTER TABLE ADD X INT"),
            ("SELECT 'RENAME', $a$ RENAME $$ $a$ -- RENAME\n, /* RENAME */ b", "SELECT B"),
            ("alter table a.b rename to c;", "ALTER TABLE A B RENAME TO C"),
            ("SELECT $1, 'open", "SELECT 1"),
        ] {
            assert_eq!(words(sql).join(" "), expected, "{sql}");
        }
    }

    #[test]
    fn a_row_takes_what_its_columns_and_the_gaps_before_them_take() {
        assert_eq!(taken(&[(1, 1), (8, 8), (1, 1), (8, 8)]), 32);
        assert_eq!(taken(&[(8, 8), (8, 8), (1, 1), (1, 1)]), 18);
        let column = |name: &str| Object { fields: [("type".to_owned(), name.to_owned())].into(), ..Object::default() };
        assert_eq!(length(&column("timestamp(3) with time zone")), (8, 8));
        assert_eq!(length(&column("text")), (0, 1));
    }
}
