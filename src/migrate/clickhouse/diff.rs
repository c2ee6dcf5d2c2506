//! The steps from one schema to another.
//!
//! What can change in its place does, with one `ALTER` a table. A table that cannot is built anew beside itself and changes
//! places with the new one; the old one stays under another name. A materialized view that cannot is dropped and made anew,
//! and never with the rows of the table that it passes them to.

use std::collections::BTreeSet;

use aws_lc_rs::digest::{SHA256, digest};

use super::super::schema::Hazard;
use super::connection::{literal, quoted};
use super::database;
use super::model::{Column, HIDDEN, LEFT, Model, NEW, Object, Table, View};
use super::names::{parted, relation, suffixed};
use super::step::{Copying, Step};
use super::text::split;
use super::write::{self, CLUSTER, name};

/// Settings of a table that are given with it for good.
const LASTING_SETTINGS: [&str; 4] =
    ["index_granularity", "index_granularity_bytes", "enable_mixed_granularity_parts", "allow_nullable_key"];

/// Why a column that goes is a hazard.
pub(super) const VALUES_GO: &str = "the values of a column go with it";

/// The steps from one schema to another; nothing where they are equal. With `drop_old`, what rebuilds leave goes as well.
#[must_use]
pub fn diff(from: &Model, to: &Model, drop_old: bool) -> Vec<Step> {
    let mut steps = database::begun(from, to);
    let is_anew = |of: &str| match (from.objects.get(of), to.objects.get(of)) {
        (Some(is), Some(wished)) => anew(is, wished),
        _ => false,
    };
    // What passes rows on goes before the columns that it reads; tables go last.
    for of in from.ordered().into_iter().rev() {
        let gone = !to.objects.contains_key(of);
        if is_anew(of) || (gone && matches!(from.objects[of], Object::View(_))) {
            steps.push(dropped(of, &from.objects[of], !gone));
        }
    }
    let mut late = Vec::new();
    for of in to.ordered() {
        let wished = &to.objects[of];
        match (from.objects.get(of).filter(|_| !is_anew(of)), wished) {
            (None, _) => steps.push(made(of, wished)),
            (Some(is), wished) if is == wished => {}
            (Some(Object::Table(is)), Object::Table(wished)) => match rebuilt_for(is, wished) {
                Some(why) => steps.extend(rebuild(of, is, wished, why, from, drop_old)),
                None => {
                    let read = from.objects.keys().any(|other| {
                        matches!(from.objects[other], Object::View(_)) && from.named_by(other).contains(of)
                    });
                    let (now, then) = altered(of, is, wished, read);
                    steps.extend(now);
                    late.extend(then);
                }
            },
            (Some(Object::View(is)), Object::View(wished)) => steps.extend(viewed(of, is, wished)),
            (Some(_), Object::Dictionary(_)) => {
                let sql = write::create(of, wished);
                let sql = sql
                    .strip_prefix("CREATE DICTIONARY")
                    .map_or(sql.clone(), |rest| format!("CREATE OR REPLACE DICTIONARY{rest}"));
                steps.push(hidden(Step::new(sql)));
            }
            (Some(_), _) => {}
        }
    }
    steps.extend(late);
    for of in from.ordered().into_iter().rev() {
        let goes_with_database = parted(of).0.is_some_and(|database| !to.databases.contains_key(&database));
        if !to.objects.contains_key(of) && !matches!(from.objects[of], Object::View(_)) && !goes_with_database {
            steps.push(dropped(of, &from.objects[of], false));
        }
    }
    steps.extend(database::ended(from, to));
    if drop_old {
        let stays = |left: &&String| parted(left).0.is_none_or(|database| to.databases.contains_key(&database));
        for left in from.left.iter().filter(stays) {
            let step = Step::new(format!("DROP TABLE IF EXISTS {}{CLUSTER}", relation(left)));
            steps.push(step.risking(Hazard::DeletesData, "what was kept when the table was built anew goes for good"));
        }
    }
    steps
}

/// Whether an object is dropped and made anew.
fn anew(is: &Object, wished: &Object) -> bool {
    match (is, wished) {
        (Object::Table(is), Object::Table(wished)) => {
            // What keeps no rows loses none.
            let same = (&is.engine, &is.replicated, &is.columns, &is.settings, &is.primary_key)
                == (&wished.engine, &wished.replicated, &wished.columns, &wished.settings, &wished.primary_key);
            !(same || is.keeps_rows() && wished.keeps_rows())
        }
        (Object::View(is), Object::View(wished)) => {
            let structure = |view: &View| {
                let columns = if view.materialized { view.columns.clone() } else { String::new() };
                (view.materialized, view.to.clone(), columns, view.engine.clone(), view.refresh.is_empty())
            };
            structure(is) != structure(wished) || (is.materialized && is.security != wished.security)
        }
        (Object::Dictionary(_), Object::Dictionary(_)) => false,
        _ => true,
    }
}

fn dropped(of: &str, object: &Object, comes_back: bool) -> Step {
    let word = match object {
        Object::Table(_) => "TABLE",
        Object::View(_) => "VIEW",
        Object::Dictionary(_) => "DICTIONARY",
    };
    let step = Step::new(format!("DROP {word} {}{CLUSTER}", relation(of)));
    match object {
        Object::Table(table) if table.keeps_rows() => step.risking(Hazard::DeletesData, "the table's rows go with it"),
        Object::View(view) if view.materialized && view.to.is_empty() => {
            step.risking(Hazard::DeletesData, "what the view has kept goes with it")
        }
        Object::View(view) if view.materialized && comes_back => {
            step.risking(Hazard::Correctness, "rows that come before it is made anew are not passed on")
        }
        _ => step,
    }
}

fn made(of: &str, object: &Object) -> Step {
    hidden(Step::new(write::create(of, object)))
}

fn hidden(step: Step) -> Step {
    if step.sql.contains(HIDDEN) {
        let why = "the server does not tell its secret: write it in, or use a named collection";
        return step.risking(Hazard::Correctness, why);
    }
    step
}

fn viewed(of: &str, is: &View, wished: &View) -> Vec<Step> {
    let alter = |clause: String| Step::new(format!("ALTER TABLE {}{CLUSTER} {clause}", relation(of)));
    let mut steps = Vec::new();
    if !wished.materialized {
        let same = View { comment: wished.comment.clone(), ..is.clone() } == *wished;
        if !same {
            return vec![Step::new(write::view(of, wished, "CREATE OR REPLACE"))];
        }
    } else if is.query != wished.query {
        steps.push(alter(format!("MODIFY QUERY {}", wished.query)));
    }
    if is.refresh != wished.refresh {
        steps.push(alter(format!("MODIFY REFRESH {}", wished.refresh)));
    }
    if is.comment != wished.comment {
        steps.push(alter(format!("MODIFY COMMENT {}", literal(&wished.comment))));
    }
    steps
}

/// Why a table has to be built anew, if it has.
pub(super) fn rebuilt_for(is: &Table, wished: &Table) -> Option<&'static str> {
    let lasting = |table: &Table| -> Vec<Option<String>> {
        LASTING_SETTINGS.iter().map(|setting| table.settings.get(*setting).cloned()).collect()
    };
    let typed = |column: &&Column| {
        let other = wished.column(&column.name);
        other.is_some_and(|other| other.data_type != column.data_type && !is_wider(&column.data_type, &other.data_type))
    };
    // An order that is had in its place lets its columns go first.
    let kept = Table { order_by: wished.order_by.clone(), columns: Vec::new(), ..is.clone() };
    if is.engine != wished.engine {
        Some("its engine is another")
    } else if is.replicated.is_some() != wished.replicated.is_some() {
        Some("whether it is replicated is another")
    } else if is.partition_by != wished.partition_by {
        Some("its partitions are others")
    } else if is.primary_key != wished.primary_key {
        Some("its primary key is another")
    } else if is.order_by != wished.order_by && !is_reordered(is, wished) {
        Some("its order is another")
    } else if lasting(is) != lasting(wished) {
        Some("a setting that is given for good is another")
    } else if is.columns.iter().filter(typed).any(|column| is.has_in_keys(&column.name)) {
        Some("a column of a key has another type")
    } else if is.columns.iter().any(|column| wished.column(&column.name).is_none() && kept.has_in_keys(&column.name)) {
        Some("a column of a key goes")
    } else if !is.is_merge_tree() && is.columns != wished.columns {
        // The other engines that keep rows alter no columns.
        Some("its engine alters no columns")
    } else {
        None
    }
}

/// The expressions of a key.
fn parts(key: &str) -> Vec<&str> {
    match key.strip_prefix('(').and_then(|key| key.strip_suffix(')')) {
        Some(inside) => split(inside, ','),
        None if key == "tuple()" || key.is_empty() => Vec::new(),
        None => vec![key],
    }
}

/// Whether an order can be had in its place: new columns behind it, or fewer of those that are not in the primary key.
fn is_reordered(is: &Table, wished: &Table) -> bool {
    let (now, then) = (parts(&is.order_by), parts(&wished.order_by));
    let is_new = |part: &&str| {
        let plain = part.trim_matches('`');
        is.column(plain).is_none() && wished.column(plain).is_some_and(|column| column.default.is_empty())
    };
    if then.starts_with(&now) {
        return then[now.len()..].iter().all(is_new);
    }
    now.starts_with(&then) && then.len() >= parts(&is.primary_key).len()
}

/// Whether a type is that enumeration with more values, which needs no row to be written.
pub(super) fn is_wider(is: &str, wished: &str) -> bool {
    let values = |text: &str| {
        let text = text.strip_prefix("Enum8(").or_else(|| text.strip_prefix("Enum16("))?.strip_suffix(')')?;
        Some(split(text, ',').into_iter().map(str::to_owned).collect::<BTreeSet<_>>())
    };
    let same_size = is.split('(').next() == wished.split('(').next();
    matches!((values(is), values(wished)), (Some(is), Some(wished)) if same_size && is.is_subset(&wished))
}

/// What becomes of a list whose entries have names and places: those that go, and clauses for the others.
fn placed<'a, T: PartialEq + 'a>(
    is: &[(&'a str, &'a T)],
    wished: &[(&'a str, &'a T)],
    mut add: impl FnMut(&'a str, &'a T, Option<String>),
    mut drop: impl FnMut(&'a str),
) {
    let mut now: Vec<&str> = Vec::new();
    for (of, it) in is {
        if wished.iter().any(|(other, wish)| other == of && wish == it) {
            now.push(of);
        } else {
            drop(of);
        }
    }
    for (place, (of, it)) in wished.iter().enumerate() {
        if now.contains(of) {
            continue;
        }
        let last = now.len() <= place;
        let before = place.checked_sub(1).map(|before| wished[before].0);
        let at = match before {
            _ if last => None,
            Some(before) => Some(format!(" AFTER {}", name(before))),
            None => Some(" FIRST".to_owned()),
        };
        now.insert(place.min(now.len()), of);
        add(of, it, at);
    }
}

/// The steps that alter a table in its place, and those that come when nobody reads the columns any more.
fn altered(of: &str, is: &Table, wished: &Table, read: bool) -> (Vec<Step>, Vec<Step>) {
    let alter = |clauses: &[String]| Step::new(format!("ALTER TABLE {}{CLUSTER} {}", relation(of), clauses.join(", ")));
    let (mut steps, mut late) = (Vec::new(), Vec::new());
    // What is taken from a column goes before what it gets: one statement must not do both to one.
    let removed = removals(is, wished);
    let mut drops: Vec<String> = Vec::new();
    let mut adds: Vec<String> = Vec::new();
    let mut built: Vec<String> = Vec::new();
    let mut index_dropped = false;
    for (word, now, then) in
        [("INDEX", &is.indexes, &wished.indexes), ("PROJECTION", &is.projections, &wished.projections)]
    {
        let now: Vec<(&str, &String)> = now.iter().map(|(of, it)| (of.as_str(), it)).collect();
        let then: Vec<(&str, &String)> = then.iter().map(|(of, it)| (of.as_str(), it)).collect();
        placed(
            &now,
            &then,
            |of, definition, at| {
                adds.push(format!("ADD {word} {} {definition}{}", name(of), at.unwrap_or_default()));
                built.push(format!("MATERIALIZE {word} {}", name(of)));
            },
            |of| {
                drops.push(format!("DROP {word} {}", name(of)));
                index_dropped = true;
            },
        );
    }
    for (of, definition) in &is.constraints {
        if wished.constraints.get(of) != Some(definition) {
            drops.push(format!("DROP CONSTRAINT {}", name(of)));
        }
    }
    for (of, definition) in &wished.constraints {
        if is.constraints.get(of) != Some(definition) {
            adds.push(format!("ADD CONSTRAINT {} {definition}", name(of)));
        }
    }
    let mut changes = Columns::between(is, wished);
    if is.order_by != wished.order_by {
        let clause = format!("MODIFY ORDER BY {}", wished.order_by);
        // A column is free to go once it is in no order.
        if parts(&is.order_by).len() > parts(&wished.order_by).len() {
            steps.push(alter(&[clause]));
        } else {
            changes.clauses.push(clause);
        }
    }
    let gone = std::mem::take(&mut changes.gone);
    let mut risks = changes.risks;
    if is.sample_by != wished.sample_by {
        changes.clauses.push(match wished.sample_by.as_str() {
            "" => "REMOVE SAMPLE BY".to_owned(),
            key => format!("MODIFY SAMPLE BY {key}"),
        });
    }
    changes.clauses.append(&mut adds);
    if is.comment != wished.comment {
        changes.clauses.push(format!("MODIFY COMMENT {}", literal(&wished.comment)));
    }
    let dropping = |step: Step| {
        if index_dropped { step.risking(Hazard::DropsIndex, "questions that it answers become slow") } else { step }
    };
    if !removed.is_empty() {
        for clause in &removed {
            steps.push(alter(std::slice::from_ref(clause)));
        }
    }
    let lost = || (Hazard::DeletesData, VALUES_GO.to_owned());
    if !gone.is_empty() && !read {
        if gone.iter().any(|(_, keeps)| *keeps) {
            risks.push(lost());
        }
        changes.clauses.extend(gone.iter().map(|(clause, _)| clause.clone()));
    } else if !gone.is_empty() {
        let clauses: Vec<String> = gone.iter().map(|(clause, _)| clause.clone()).collect();
        let step = alter(&clauses);
        late.push(if gone.iter().any(|(_, keeps)| *keeps) { step.risking(lost().0, lost().1) } else { step });
    }
    if is.ttl != wished.ttl {
        if wished.ttl.is_empty() {
            changes.clauses.push("REMOVE TTL".to_owned());
        } else {
            // It comes last: a comma behind it is its own.
            changes.clauses.push(format!("MODIFY TTL {}", wished.ttl));
            risks.push((Hazard::DeletesData, "rows that are older than it says go".to_owned()));
        }
    }
    // Something that goes and comes back under its name has two statements.
    if !drops.is_empty() {
        steps.push(dropping(alter(&drops)));
    }
    if !changes.clauses.is_empty() {
        let step = alter(&changes.clauses);
        steps.push(risks.into_iter().fold(step, |step, (hazard, why)| step.risking(hazard, why)));
    }
    steps.extend(built.iter().map(|clause| alter(std::slice::from_ref(clause))));
    let set: Vec<String> = wished
        .settings
        .iter()
        .filter(|(name, value)| is.settings.get(*name) != Some(value))
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    if !set.is_empty() {
        steps.push(alter(&[format!("MODIFY SETTING {}", set.join(", "))]));
    }
    let reset: Vec<&str> =
        is.settings.keys().filter(|name| !wished.settings.contains_key(*name)).map(String::as_str).collect();
    if !reset.is_empty() {
        steps.push(alter(&[format!("RESET SETTING {}", reset.join(", "))]));
    }
    (steps, late)
}

/// What columns lose that stay.
fn removals(is: &Table, wished: &Table) -> Vec<String> {
    let mut clauses = Vec::new();
    for column in &is.columns {
        let Some(wish) = wished.column(&column.name) else { continue };
        let word = column.default.split(' ').next().unwrap_or_default();
        let kept = [
            (word, !column.default.is_empty() && wish.default.is_empty()),
            ("CODEC", !column.codec.is_empty() && wish.codec.is_empty()),
            ("TTL", !column.ttl.is_empty() && wish.ttl.is_empty()),
            ("SETTINGS", !column.settings.is_empty() && wish.settings.is_empty()),
        ];
        for (word, removed) in kept {
            if removed {
                clauses.push(format!("MODIFY COLUMN {} REMOVE {word}", quoted(&column.name)));
            }
        }
    }
    clauses
}

/// What becomes of the columns of a table.
#[derive(Default)]
struct Columns {
    clauses: Vec<String>,
    /// Clauses for those that go, and whether values go with them.
    gone: Vec<(String, bool)>,
    risks: Vec<(Hazard, String)>,
}

impl Columns {
    fn between(is: &Table, wished: &Table) -> Self {
        let mut changes = Self::default();
        let mut now: Vec<&str> = Vec::new();
        for column in &is.columns {
            if wished.column(&column.name).is_some() {
                now.push(&column.name);
            } else {
                let keeps = !column.default.starts_with("ALIAS") && !column.default.starts_with("EPHEMERAL");
                changes.gone.push((format!("DROP COLUMN {}", quoted(&column.name)), keeps));
            }
        }
        for (place, wish) in wished.columns.iter().enumerate() {
            let before = place.checked_sub(1).map(|before| quoted(&wished.columns[before].name));
            let at = before.map_or(" FIRST".to_owned(), |before| format!(" AFTER {before}"));
            let Some(column) = is.column(&wish.name) else {
                // Those that go may still stand behind the last.
                let at = if place >= now.len() && changes.gone.is_empty() { String::new() } else { at };
                now.insert(place, &wish.name);
                changes.clauses.push(format!("ADD COLUMN {}{at}", write::column(wish)));
                continue;
            };
            let moved = now.get(place) != Some(&wish.name.as_str());
            if moved {
                now.retain(|name| *name != wish.name);
                now.insert(place, &wish.name);
            }
            changes.column(column, wish, moved.then_some(at));
        }
        changes
    }

    fn column(&mut self, is: &Column, wish: &Column, at: Option<String>) {
        let of = quoted(&wish.name);
        if is.comment != wish.comment {
            self.clauses.push(format!("COMMENT COLUMN {of} {}", literal(&wish.comment)));
        }
        // What it only loses has been taken from it already.
        let gets = |now: &str, then: &str| !then.is_empty() && now != then;
        let changed = is.data_type != wish.data_type
            || gets(&is.default, &wish.default)
            || gets(&is.codec, &wish.codec)
            || gets(&is.ttl, &wish.ttl)
            || gets(&is.settings, &wish.settings);
        if changed || at.is_some() {
            let bare = Column { comment: String::new(), statistics: String::new(), ..wish.clone() };
            self.clauses.push(format!("MODIFY COLUMN {}{}", write::column(&bare), at.unwrap_or_default()));
        }
        if is.data_type != wish.data_type && !is_wider(&is.data_type, &wish.data_type) {
            let why =
                format!("values of {} are written anew as {}, and those that do not fit fail", is.name, wish.data_type);
            self.risks.push((Hazard::RewritesTable, why));
        }
        if gets(&is.ttl, &wish.ttl) {
            self.risks.push((Hazard::DeletesData, format!("values of {} that are older than it says go", is.name)));
        }
    }
}

/// A name for what a rebuild leaves that nothing has yet.
fn left_name(of: &str, is: &Table, from: &Model) -> String {
    let mut text = write::table(of, is);
    loop {
        let mark: String =
            digest(&SHA256, text.as_bytes()).as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        let left = suffixed(of, &format!("{LEFT}{mark}"));
        if !from.left.contains(&left) {
            return left;
        }
        text.push(' ');
    }
}

/// The steps that build a table anew beside itself.
fn rebuild(of: &str, is: &Table, wished: &Table, why: &str, from: &Model, drop_old: bool) -> Vec<Step> {
    let new = suffixed(of, NEW);
    let (table, other) = (relation(of), relation(&new));
    let given = |column: &&Column| {
        let own = ["MATERIALIZED", "ALIAS", "EPHEMERAL"].iter().any(|kind| column.default.starts_with(kind));
        !own && is.column(&column.name).is_some_and(|was| !was.default.starts_with("EPHEMERAL"))
    };
    let columns: Vec<String> = wished.columns.iter().filter(given).map(|column| quoted(&column.name)).collect();
    let columns = columns.join(", ");
    let ordered = ["Replacing", "Collapsing", "Coalescing"].iter().any(|kind| wished.engine.contains(kind));
    let copy = |from: &str, to: &str, again: bool| Step {
        sql: format!("INSERT INTO {to} ({columns}) SELECT {columns} FROM {from}"),
        hazards: Vec::new(),
        copy: Some(Copying { from: from.to_owned(), to: to.to_owned(), columns: columns.clone(), ordered, again }),
    };
    let risk =
        format!("{why}: every row is copied into a new table, and the old one needs its space until it is dropped");
    let mut steps = Vec::new();
    if from.left.contains(&new) {
        // Whether it is half a copy or the table before, nobody can tell.
        let step = Step::new(format!("DROP TABLE {other}{CLUSTER}"));
        steps.push(step.risking(Hazard::DeletesData, "what is left of a build that did not end goes"));
    }
    steps.extend([
        Step::new(write::table(&new, wished)),
        copy(&table, &other, false).risking(Hazard::RewritesTable, risk),
        Step::new(format!("EXCHANGE TABLES {table} AND {other}{CLUSTER}")),
        copy(&other, &table, true),
    ]);
    if drop_old {
        let step = Step::new(format!("DROP TABLE {other}{CLUSTER}"));
        steps.push(step.risking(Hazard::DeletesData, "the table as it was is not kept"));
    } else {
        steps.push(Step::new(format!("RENAME TABLE {other} TO {}{CLUSTER}", relation(&left_name(of, is, from)))));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::super::cut::read;
    use super::*;

    fn model(creates: &[&str]) -> Model {
        let objects = creates.iter().map(|create| read(create, &["m"], "").expect("an object"));
        Model { objects: objects.collect(), ..Model::default() }
    }

    const TABLE: &str = "CREATE TABLE m.t (`a` UInt64, `b` String) ENGINE = MergeTree ORDER BY a";

    #[test]
    fn what_a_build_left_that_did_not_end_is_not_dropped_unasked() {
        let (mut from, to) = (model(&[TABLE]), model(&[&TABLE.replace("ORDER BY a", "ORDER BY b")]));
        let hazards = |steps: &[Step]| -> Vec<Hazard> {
            steps.iter().flat_map(|step| step.hazards.iter().map(|risk| risk.hazard)).collect()
        };
        assert_eq!(hazards(&diff(&from, &to, false)), [Hazard::RewritesTable]);
        from.left.push("t__new".to_owned());
        let steps = diff(&from, &to, false);
        assert_eq!(steps[0].sql, format!("DROP TABLE t__new{CLUSTER}"));
        assert_eq!(hazards(&steps), [Hazard::DeletesData, Hazard::RewritesTable]);
        assert!(diff(&from, &from, false).is_empty());
    }

    #[test]
    fn a_table_has_one_alteration_with_all_clauses() {
        let to =
            TABLE.replace("`b` String)", "`b` String COMMENT 'x', `d` Int8, INDEX i b TYPE minmax)") + " COMMENT 'y'";
        let steps = diff(&model(&[TABLE]), &model(&[&to]), false);
        let texts: Vec<String> = steps.iter().map(|step| write::live(&step.sql, "m", " ON CLUSTER `c`")).collect();
        assert_eq!(
            texts,
            [
                "ALTER TABLE t ON CLUSTER `c` COMMENT COLUMN `b` 'x', ADD COLUMN `d` Int8, ADD INDEX i b TYPE minmax, MODIFY \
                 COMMENT 'y'",
                "ALTER TABLE t ON CLUSTER `c` MATERIALIZE INDEX i",
            ]
        );
    }

    #[test]
    fn an_enumeration_with_more_values_needs_no_row() {
        assert!(is_wider("Enum8('a' = 1)", "Enum8('a' = 1, 'b' = 2)"));
        assert!(!is_wider("Enum8('a' = 1, 'b' = 2)", "Enum8('a' = 1)"));
        assert!(!is_wider("Enum8('a' = 1)", "Enum16('a' = 1)") && !is_wider("String", "String"));
    }
}
