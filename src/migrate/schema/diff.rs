//! From one model to another: what becomes of each object, and in which order.
//!
//! An object that cannot change in its place is dropped and made anew, and so is what leans on it. The order follows from
//! what leans on what, before and after: nobody loses what they lean on, and nobody is made before it.

use std::collections::{BTreeMap, BTreeSet};

use super::alter::{alter, retake};
use super::model::{Key, Kind, Model, Object};
use super::order::{Act, Node, ordered};
use super::statement::{Hazard, Statement};
use super::write::{self, Table};

/// What becomes of an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Stays,
    Comes,
    Goes,
    /// It changes in its place.
    Changes,
    /// It goes and comes again.
    Renewed,
    /// A type that columns hold on to: the new one comes, they go over, the old one goes.
    Swapped,
}

impl Fate {
    fn goes(self) -> bool {
        matches!(self, Self::Goes | Self::Renewed | Self::Swapped)
    }

    fn comes(self) -> bool {
        matches!(self, Self::Comes | Self::Renewed | Self::Swapped)
    }
}

/// The statements that lead from one model to the other; none where they are the same.
#[must_use]
pub fn diff(from: &Model, to: &Model) -> Vec<Statement> {
    let mut from = from.clone();
    let mut statements = renamed(&mut from, to);
    let mut diff = Diff { from: &from, to, fates: BTreeMap::new(), changes: BTreeMap::new() };
    diff.judge();
    diff.spread();
    let (mut first, mut last) = (Vec::new(), Vec::new());
    for node in diff.order() {
        let mut written = diff.written(&node);
        match node.key.kind {
            // What runs outside of transactions would cut them in two: between a view's end and its return, say.
            Kind::Enum if written.iter().all(|statement| statement.alone) => first.append(&mut written),
            Kind::Constraint if written.last().is_some_and(|it| it.alone) => last.extend(written.pop()),
            Kind::Index if node.act == Act::Make && written.iter().any(|it| it.alone) && diff.is_apart(&node.key) => {
                last.append(&mut written);
            }
            _ => {}
        }
        statements.extend(written);
    }
    first.into_iter().chain(statements).chain(last).collect()
}

/// Constraints and indexes that are the same but for their names take the new ones.
fn renamed(from: &mut Model, to: &Model) -> Vec<Statement> {
    fn meant(key: &Key, object: &Object) -> Option<(Kind, Option<Key>, String)> {
        let definition = object.field("definition")?;
        let bare = match key.kind {
            Kind::Constraint => definition.to_owned(),
            Kind::Index if !object.has("invalid") => {
                definition.replacen(&format!("INDEX {} ON", object.local), "INDEX ON", 1)
            }
            _ => return None,
        };
        Some((key.kind, object.parent.clone(), bare))
    }
    let gone = from.objects.iter().filter(|(key, _)| !to.objects.contains_key(*key));
    let gone: Vec<_> = gone.filter_map(|(key, object)| Some((key.clone(), meant(key, object)?))).collect();
    let mut new: Vec<_> = to.objects.iter().filter(|(key, _)| !from.objects.contains_key(*key)).collect();
    let mut statements = Vec::new();
    for (key, was) in gone {
        let Some(at) = new.iter().position(|(other, object)| meant(other, object).as_ref() == Some(&was)) else {
            continue;
        };
        let (other, object) = new.remove(at);
        let old = from.objects.get(&key).map(|object| object.local.clone()).unwrap_or_default();
        statements.push(Statement::new(match key.kind {
            Kind::Index => format!("ALTER INDEX {} RENAME TO {}", key.name, object.local),
            _ => format!("ALTER TABLE {} RENAME CONSTRAINT {old} TO {}", object.parent_name(), object.local),
        }));
        from.rename(&key, other);
        if let Some(renamed) = from.objects.get_mut(other) {
            renamed.local.clone_from(&object.local);
            if let Some(definition) = object.field("definition") {
                renamed.fields.insert("definition".to_owned(), definition.to_owned());
            }
        }
    }
    statements
}

struct Diff<'m> {
    from: &'m Model,
    to: &'m Model,
    fates: BTreeMap<&'m Key, Fate>,
    changes: BTreeMap<&'m Key, Vec<Statement>>,
}

impl<'m> Diff<'m> {
    fn fate(&self, key: &Key) -> Fate {
        self.fates.get(key).copied().unwrap_or(Fate::Stays)
    }

    fn judge(&mut self) {
        for (key, object) in &self.from.objects {
            let fate = match self.to.get(key) {
                None => Fate::Goes,
                Some(wish) if object.is_like(wish) => Fate::Stays,
                Some(wish) => match alter(key, object, wish) {
                    Some(statements) => {
                        self.changes.insert(key, statements);
                        Fate::Changes
                    }
                    None => Fate::Renewed,
                },
            };
            self.fates.insert(key, fate);
        }
        for key in self.to.objects.keys().filter(|key| !self.from.objects.contains_key(*key)) {
            self.fates.insert(key, Fate::Comes);
        }
    }

    /// Renews what leans on what is renewed, until nothing more has to be.
    fn spread(&mut self) {
        loop {
            let mut renewed: Vec<&'m Key> = Vec::new();
            let mut retaken: Vec<&'m Key> = Vec::new();
            for (key, object) in &self.from.objects {
                if !matches!(self.fate(key), Fate::Stays | Fate::Changes) {
                    continue;
                }
                for other in object.leans_on() {
                    let holds_on = key.kind == Kind::Column && other.kind.is_type();
                    match self.fate(other) {
                        Fate::Renewed | Fate::Swapped if holds_on && !object.has("generated") => retaken.push(key),
                        Fate::Renewed | Fate::Swapped => renewed.push(key),
                        // Where it leans on it still, that is not for its own sake: it comes with something new.
                        Fate::Goes if self.fate(key) == Fate::Stays && key.kind != Kind::Table => renewed.push(key),
                        Fate::Changes if self.is_retyped(other) && hinders(key.kind, object) => renewed.push(key),
                        _ => {}
                    }
                }
            }
            let mut changed = false;
            for key in renewed {
                // What is only in the wish's model under another parent has nothing to come again.
                changed |= self.fates.insert(key, Fate::Renewed) != Some(Fate::Renewed);
                self.changes.remove(key);
            }
            for key in retaken {
                let (Some(before), Some(column)) = (self.from.get(key), self.to.get(key)) else { continue };
                if self.fate(key) == Fate::Renewed {
                    continue;
                }
                let types = before.leans_on().filter(|other| other.kind.is_type());
                for other in types.filter(|other| self.fate(other) == Fate::Renewed).collect::<Vec<_>>() {
                    if let Some((known, _)) = self.from.objects.get_key_value(other) {
                        self.fates.insert(known, Fate::Swapped);
                        changed = true;
                    }
                }
                let mut statements = self.changes.remove(key).unwrap_or_default();
                if before.field("type") == column.field("type")
                    && !statements.iter().any(|it| it.sql.contains("::text"))
                {
                    statements.splice(0..0, retake(column));
                }
                changed |= self.fates.insert(key, Fate::Changes) != Some(Fate::Changes);
                self.changes.insert(key, statements);
            }
            // A type that stays aside until columns have left it stands on others that stay aside as long.
            let swapped = self.from.objects.iter().filter(|(key, _)| self.fate(key) == Fate::Swapped);
            let below: Vec<&'m Key> = swapped.flat_map(|(_, object)| object.leans_on()).collect();
            for key in below {
                if !key.kind.is_type() || self.fate(key) != Fate::Renewed {
                    continue;
                }
                if let Some((known, _)) = self.from.objects.get_key_value(key) {
                    changed |= self.fates.insert(known, Fate::Swapped) != Some(Fate::Swapped);
                }
            }
            if !changed {
                return;
            }
        }
    }

    /// Whether a column takes another type.
    fn is_retyped(&self, key: &Key) -> bool {
        let retyped = |statement: &Statement| statement.sql.contains(" TYPE ");
        let (Some(from), Some(to)) = (self.from.get(key), self.to.get(key)) else { return false };
        key.kind == Kind::Column
            && (from.field("type") != to.field("type")
                || from.field("collation") != to.field("collation")
                || self.changes.get(key).is_some_and(|changes| changes.iter().any(retyped)))
    }

    /// The table or view that an object is part of, as it is now.
    fn table(&self, object: &Object) -> Table {
        let Some(parent) = &object.parent else { return Table::IsNew };
        if matches!(self.fate(parent), Fate::Comes | Fate::Renewed) {
            return Table::IsNew;
        }
        let parts = self.to.get(parent).or_else(|| self.from.get(parent)).is_some_and(|it| it.has("partition_by"));
        if parts { Table::LivesInParts } else { Table::Lives }
    }

    /// What takes an object along when it goes.
    fn taken_by(&self, key: &Key, object: &Object) -> Option<Key> {
        let gone = |other: &Key| matches!(self.fate(other), Fate::Goes | Fate::Renewed);
        if key.kind == Kind::Sequence {
            let ownership = self.from.get(&Key::new(Kind::Ownership, key.name.clone()))?;
            return ownership.depends.keys().find(|other| other.kind == Kind::Column && gone(other)).cloned();
        }
        if key.kind == Kind::Constraint && object.field("_type") == Some("f") {
            // A foreign key goes first where both of its tables go.
            let elsewhere = |other: &Key| {
                let table = if other.kind == Kind::Table { Some(other) } else { self.from.get(other)?.parent.as_ref() };
                table.filter(|table| Some(*table) != object.parent.as_ref()).map(|table| gone(table) || gone(other))
            };
            if object.depends.keys().any(|other| elsewhere(other) == Some(true)) {
                return None;
            }
        }
        if let Some(parent) = object.parent.as_ref().filter(|parent| gone(parent)) {
            return Some(parent.clone());
        }
        // A computed column goes before what it is computed from, and takes care of itself.
        let falls = |(other, falls): &(&Key, &bool)| **falls && key.kind != Kind::Column && gone(other);
        object.depends.iter().find(falls).map(|(other, _)| other.clone())
    }

    /// What makes an object along when it comes.
    fn made_by(&self, key: &Key, object: &Object) -> Option<Key> {
        let comes = |other: &Key| matches!(self.fate(other), Fate::Comes | Fate::Renewed);
        let parent = object.parent.as_ref().filter(|parent| comes(parent))?;
        let fits = match key.kind {
            Kind::Column => true,
            Kind::Default => self.to.get(parent).is_some_and(|column| !column.has("_inherited")),
            Kind::Constraint => {
                object.field("_type") != Some("f")
                    && !object.field("definition").unwrap_or_default().ends_with(" NOT VALID")
            }
            _ => false,
        };
        if !fits {
            return None;
        }
        let table = if key.kind == Kind::Default { self.to.get(parent)?.parent.as_ref()? } else { parent };
        let apart = key.kind != Kind::Column
            && object
                .depends
                .keys()
                .any(|other| other != table && !self.is_of(other, table) && self.reaches(other, table));
        (!apart).then(|| parent.clone())
    }

    fn is_of(&self, key: &Key, table: &Key) -> bool {
        let parent = self.to.get(key).and_then(|object| object.parent.as_ref());
        parent.is_some_and(|parent| parent == table || self.is_of(parent, table))
    }

    /// Whether one leans on the other in the wish, over whatever lies between.
    fn reaches(&self, key: &Key, goal: &Key) -> bool {
        let (mut seen, mut waiting) = (BTreeSet::new(), vec![key]);
        while let Some(next) = waiting.pop() {
            if next == goal {
                return true;
            }
            if seen.insert(next) {
                waiting.extend(self.to.get(next).into_iter().flat_map(Object::leans_on));
            }
        }
        false
    }

    /// The node that stands for what is done with an object: that of what takes it along or makes it along.
    fn node(&self, act: Act, key: &Key) -> Node {
        let model = if act == Act::Drop { self.from } else { self.to };
        let along = |key: &Key, object: &Object| match act {
            Act::Drop => self.taken_by(key, object),
            Act::Make => self.made_by(key, object),
        };
        let mut key = key.clone();
        while let Some(whole) = model.get(&key).and_then(|object| along(&key, object)) {
            key = whole;
        }
        let found = model.get(&key);
        let place = found.map(|object| {
            let position = object.field("_position").unwrap_or_default();
            format!("{} {position}", object.parent_name())
        });
        Node { act, place: place.unwrap_or_default(), key }
    }

    fn order(&self) -> Vec<Node> {
        let mut nodes = BTreeSet::new();
        let mut edges: Vec<(Node, Node)> = Vec::new();
        let mut names: BTreeMap<String, Vec<Node>> = BTreeMap::new();
        for (key, object) in &self.from.objects {
            let fate = self.fate(key);
            // A sequence of the same name waits until the column numbers no more.
            if let Some(sequence) = object.field("identity_sequence").filter(|_| fate != Fate::Stays) {
                let act = if fate.goes() { Act::Drop } else { Act::Make };
                names.entry(sequence.to_owned()).or_default().push(self.node(act, key));
            }
            if fate.goes() {
                let dropped = self.node(Act::Drop, key);
                nodes.insert(dropped.clone());
                names.entry(relation(key, object)).or_default().push(dropped.clone());
                if fate == Fate::Renewed {
                    edges.push((dropped.clone(), self.node(Act::Make, key)));
                } else if fate == Fate::Swapped {
                    edges.push((self.node(Act::Make, key), dropped.clone()));
                }
                let owner = Key::new(Kind::Ownership, key.name.clone());
                let owner = self.from.get(&owner).filter(|_| key.kind == Kind::Sequence);
                let owning = owner.into_iter().flat_map(|it| it.depends.keys()).filter(|it| it.kind == Kind::Column);
                for other in object.leans_on().chain(owning) {
                    match self.fate(other) {
                        Fate::Goes | Fate::Renewed => edges.push((dropped.clone(), self.node(Act::Drop, other))),
                        Fate::Swapped if fate == Fate::Swapped => {
                            edges.push((dropped.clone(), self.node(Act::Drop, other)));
                        }
                        // By its name the new one would be meant.
                        Fate::Swapped | Fate::Changes => edges.push((dropped.clone(), self.node(Act::Make, other))),
                        Fate::Stays | Fate::Comes => {}
                    }
                }
            } else if fate == Fate::Changes {
                let made = self.node(Act::Make, key);
                for other in object.leans_on().filter(|other| matches!(self.fate(other), Fate::Goes | Fate::Swapped)) {
                    edges.push((made.clone(), self.node(Act::Drop, other)));
                }
            }
        }
        for (key, object) in &self.to.objects {
            let fate = self.fate(key);
            if !fate.comes() && fate != Fate::Changes {
                continue;
            }
            let made = self.node(Act::Make, key);
            nodes.insert(made.clone());
            if fate == Fate::Comes {
                let taken = names.get(&relation(key, object)).into_iter().flatten();
                edges.extend(taken.map(|dropped| (dropped.clone(), made.clone())));
            }
            for other in object.leans_on().filter(|it| self.fate(it).comes() || self.fate(it) == Fate::Changes) {
                edges.push((self.node(Act::Make, other), made.clone()));
            }
        }
        ordered(nodes, &edges)
    }

    fn written(&self, node: &Node) -> Vec<Statement> {
        let key = &node.key;
        let fate = self.fate(key);
        match node.act {
            Act::Drop => {
                let Some(object) = self.from.get(key) else { return Vec::new() };
                if fate == Fate::Swapped {
                    let word = if key.kind == Kind::Domain { "DOMAIN" } else { "TYPE" };
                    return vec![Statement::new(format!("DROP {word} {}", aside(key, object)))];
                }
                let sequence = Key::new(Kind::Sequence, key.name.clone());
                if (key.kind == Kind::Ownership && self.fate(&sequence).goes()) || inherited(key, object, self.from) {
                    return Vec::new();
                }
                if self.is_rebuilt(key, object) {
                    return vec![Statement::new(format!("ALTER INDEX {} RENAME TO {}", key.name, retired(object)))];
                }
                let mut statements = write::drop(key, object, self.table(object));
                if fate == Fate::Renewed && !matches!(key.kind, Kind::Table | Kind::Column | Kind::Sequence) {
                    // It is there again when the plan has run.
                    statements.iter_mut().for_each(|it| it.hazards.retain(|risk| risk.hazard != Hazard::Correctness));
                }
                statements
            }
            Act::Make => {
                if fate == Fate::Changes {
                    return self.changes.get(key).cloned().unwrap_or_default();
                }
                let Some(object) = self.to.get(key) else { return Vec::new() };
                match key.kind {
                    Kind::Table => write::table(key, object, &self.parts(key), self.to),
                    Kind::Column => self.added(key, object),
                    Kind::Default if self.is_handed_down(key, object) => Vec::new(),
                    _ => {
                        let mut statements = write::create(key, object, self.table(object));
                        if fate == Fate::Swapped
                            && let Some(before) = self.from.get(key)
                        {
                            let word = if key.kind == Kind::Domain { "DOMAIN" } else { "TYPE" };
                            let name = aside(key, before);
                            let (_, local) = name.rsplit_once('.').unwrap_or(("", &name));
                            let rename = format!("ALTER {word} {} RENAME TO {local}", key.name);
                            statements.insert(0, Statement::new(rename));
                        }
                        if fate == Fate::Renewed && self.is_rebuilt(key, object) {
                            let schema = object.field("_schema").unwrap_or_default();
                            let old = self.from.get(key).map(retired).unwrap_or_default();
                            statements.push(
                                Statement::new(format!("DROP INDEX CONCURRENTLY IF EXISTS {schema}.{old}")).patient(),
                            );
                        }
                        statements
                    }
                }
            }
        }
    }

    /// Whether nothing that is made leans on an object.
    fn is_apart(&self, key: &Key) -> bool {
        let made = |other: &Key| self.fate(other).comes() || self.fate(other) == Fate::Changes;
        !self.to.objects.iter().any(|(other, object)| object.depends.contains_key(key) && made(other))
    }

    /// Whether an index gives way only when the new one answers.
    fn is_rebuilt(&self, key: &Key, object: &Object) -> bool {
        let of_table = object.parent.as_ref().is_some_and(|parent| parent.kind == Kind::Table);
        let valid = self.from.get(key).is_some_and(|before| !before.has("invalid"));
        let for_its_own_sake = !object.leans_on().any(|other| self.fate(other).goes());
        let leaned_on = self.from.objects.values().any(|other| other.depends.contains_key(key));
        key.kind == Kind::Index
            && self.fate(key) == Fate::Renewed
            && of_table
            && valid
            && for_its_own_sake
            && !leaned_on
            && self.table(object) == Table::Lives
    }

    /// The parts that the statement of a table makes along.
    fn parts(&self, table: &Key) -> Vec<&'m Key> {
        let node = self.node(Act::Make, table);
        let along = |key: &&Key| {
            matches!(key.kind, Kind::Column | Kind::Default | Kind::Constraint)
                && matches!(self.fate(key), Fate::Comes | Fate::Renewed)
                && self.node(Act::Make, key) == node
        };
        self.to.objects.keys().filter(along).collect()
    }

    /// A new column of a table that is there.
    fn added(&self, key: &Key, object: &Object) -> Vec<Statement> {
        if object.has("_inherited") {
            return write::said(key, object, None);
        }
        let default = Key::new(Kind::Default, key.name.clone());
        let along = self.fate(&default).comes() && self.node(Act::Make, &default).key == *key;
        let default = self.to.get(&default).filter(|_| along);
        let sql = format!("ALTER TABLE {} ADD COLUMN {}", object.parent_name(), write::column(object, default));
        let mut statement = Statement::new(sql);
        let computed = default.and_then(|default| default.field("expression")).is_some_and(is_volatile);
        let stored = object.field("generated").is_some_and(|text| text.ends_with("STORED"));
        if computed || stored || object.has("identity") {
            statement = statement.risking(Hazard::RewritesTable, "each row gets a value of its own");
        } else if object.has("not_null") && default.is_none() {
            statement = statement.risking(Hazard::Correctness, "it fails where there are rows: they have no value");
        }
        let mut statements = vec![statement];
        statements.extend(write::column_settings(object));
        statements.extend(write::said(key, object, None));
        statements
    }

    /// Whether a column that comes with its parent's has the parent's default anyway.
    fn is_handed_down(&self, key: &Key, object: &Object) -> bool {
        let column = Key::new(Kind::Column, key.name.clone());
        let Some(found) = self.to.get(&column).filter(|column| column.has("_inherited")) else { return false };
        if !self.fate(&column).comes() {
            return false;
        }
        let parents = found.parent.as_ref().and_then(|table| self.to.get(table)).map(|table| {
            let mut parents: Vec<String> = write::items(table, "inherits");
            parents.extend(table.field("partition_of").map(str::to_owned));
            parents
        });
        parents.into_iter().flatten().any(|parent| {
            let default = self.to.get(&Key::new(Kind::Default, format!("{parent}.{}", object.local)));
            default.is_some_and(|default| default.field("expression") == object.field("expression"))
        })
    }
}

/// Whether an object has to go before a column that it leans on takes another type.
fn hinders(kind: Kind, object: &Object) -> bool {
    match kind {
        Kind::View | Kind::MaterializedView | Kind::Rule | Kind::Trigger | Kind::Policy | Kind::Default => true,
        Kind::Function | Kind::Procedure => true,
        Kind::Column => object.has("generated"),
        Kind::Constraint => object.field("_type") == Some("f"),
        _ => false,
    }
}

/// A column that goes with the parent's.
fn inherited(key: &Key, object: &Object, from: &Model) -> bool {
    let column = |key: &Key| from.get(key).is_some_and(|column| column.has("_inherited"));
    match key.kind {
        Kind::Column => object.has("_inherited"),
        Kind::Default => false,
        _ => object.parent.as_ref().is_some_and(|parent| parent.kind == Kind::Column && column(parent)),
    }
}

/// The name that relations, types and the indexes of constraints share within a schema.
fn relation(key: &Key, object: &Object) -> String {
    match key.kind {
        Kind::Constraint => match object.field("_schema").filter(|_| object.has("_index")) {
            Some(schema) => format!("{schema}.{}", object.local),
            None => format!("constraint {}", key.name),
        },
        Kind::Table | Kind::View | Kind::MaterializedView | Kind::Sequence | Kind::Index => key.name.clone(),
        Kind::Enum | Kind::Range | Kind::Composite | Kind::Domain => key.name.clone(),
        Kind::Function | Kind::Procedure | Kind::Aggregate => key.name.replace("(*)", "()"),
        kind => format!("{} {}", kind.as_str(), key.name),
    }
}

/// What a type is called while columns go over to the new one.
fn aside(key: &Key, object: &Object) -> String {
    let schema = key.name.strip_suffix(object.local.as_str()).unwrap_or_default();
    format!("{schema}{}", with_ending(&object.local, "__old"))
}

/// What an index is called until the new one answers.
fn retired(object: &Object) -> String {
    with_ending(&object.local, "__old")
}

fn with_ending(local: &str, ending: &str) -> String {
    match local.strip_suffix('"') {
        Some(quoted) => format!("{}{ending}\"", shortened(quoted)),
        None => format!("{}{ending}", shortened(local)),
    }
}

/// Names end at 63 bytes without a word.
fn shortened(name: &str) -> &str {
    let mut end = name.len().min(57);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Whether a default may be another value for each row: any call but those whose value a transaction keeps.
fn is_volatile(expression: &str) -> bool {
    let kept = expression.replace("now()", "").replace("CURRENT_TIMESTAMP", "").replace("transaction_timestamp()", "");
    let called = |(at, _): (usize, &str)| kept[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"');
    kept.match_indices('(').any(called) && !kept.starts_with('\'')
}
