//! A database schema as data: objects by kind and name, what defines each, and what each leans on.

use std::collections::{BTreeMap, BTreeSet};

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;

/// What an object is. The order is that in which independent objects are made.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A namespace.
    Schema,
    /// An extension; its members are its own affair.
    Extension,
    /// A collation.
    Collation,
    /// An enumerated type.
    Enum,
    /// A type of a range.
    Range,
    /// A type of several fields.
    Composite,
    /// A type with rules over another.
    Domain,
    /// A rule of a domain.
    DomainConstraint,
    /// A sequence that is no identity's.
    Sequence,
    /// A function.
    Function,
    /// A procedure.
    Procedure,
    /// An aggregate.
    Aggregate,
    /// A table, partitioned or not, or a partition.
    Table,
    /// A column of a table.
    Column,
    /// What a column has where nothing is given.
    Default,
    /// The column that a sequence goes with.
    Ownership,
    /// A primary or foreign key, a unique, check or exclusion constraint of a table.
    Constraint,
    /// An index that is no constraint's.
    Index,
    /// What a table tells those who replicate it.
    ReplicaIdentity,
    /// Statistics over several columns.
    Statistics,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// What is said of a column of a view or of a composite type.
    ViewColumn,
    /// A rule that rewrites statements.
    Rule,
    /// A trigger.
    Trigger,
    /// A policy of row security.
    Policy,
}

impl Kind {
    /// Every kind, with its name.
    pub const ALL: [(&'static str, Self); 26] = [
        ("schema", Self::Schema),
        ("extension", Self::Extension),
        ("collation", Self::Collation),
        ("enum", Self::Enum),
        ("range", Self::Range),
        ("composite", Self::Composite),
        ("domain", Self::Domain),
        ("domain_constraint", Self::DomainConstraint),
        ("sequence", Self::Sequence),
        ("function", Self::Function),
        ("procedure", Self::Procedure),
        ("aggregate", Self::Aggregate),
        ("table", Self::Table),
        ("column", Self::Column),
        ("default", Self::Default),
        ("ownership", Self::Ownership),
        ("constraint", Self::Constraint),
        ("index", Self::Index),
        ("replica_identity", Self::ReplicaIdentity),
        ("statistics", Self::Statistics),
        ("view", Self::View),
        ("materialized_view", Self::MaterializedView),
        ("view_column", Self::ViewColumn),
        ("rule", Self::Rule),
        ("trigger", Self::Trigger),
        ("policy", Self::Policy),
    ];

    /// The kind of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(other, _)| *other == name).map(|(_, kind)| *kind)
    }

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("object", |(name, _)| name)
    }

    /// Whether columns can be of it.
    #[must_use]
    pub fn is_type(self) -> bool {
        matches!(self, Self::Enum | Self::Range | Self::Composite | Self::Domain)
    }
}

/// Which object.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
pub struct Key {
    /// What it is.
    pub kind: Kind,
    /// Its name as SQL has it, with those of its schema and its table.
    pub name: String,
}

impl Key {
    /// The key of an object.
    #[must_use]
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self { kind, name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind.as_str().replace('_', " "), self.name)
    }
}

/// An object.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Object {
    /// Its own name as SQL has it.
    pub local: String,
    /// What it is part of.
    pub parent: Option<Key>,
    /// What it is. Fields that begin with `_` help to write it and are not compared.
    pub fields: BTreeMap<String, String>,
    /// What it leans on, and whether it falls when that is dropped.
    pub depends: BTreeMap<Key, bool>,
}

impl Object {
    /// A field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(String::as_str)
    }

    /// Whether a field is set.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// The fields that are compared.
    pub fn compared(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !name.starts_with('_'))
    }

    /// Whether two are the same but for what is said about them: comment and grants.
    #[must_use]
    pub fn is_made_like(&self, other: &Self) -> bool {
        fn made(object: &Object) -> impl Iterator<Item = (&str, &str)> {
            object.compared().filter(|(name, _)| !matches!(*name, "comment" | "grants"))
        }
        made(self).eq(made(other))
    }

    /// Whether two are the same.
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        self.compared().eq(other.compared())
    }

    /// The name of what it is part of.
    #[must_use]
    pub fn parent_name(&self) -> &str {
        self.parent.as_ref().map_or("", |parent| parent.name.as_str())
    }

    /// What it leans on, its parent included.
    pub fn leans_on(&self) -> impl Iterator<Item = &Key> {
        self.depends.keys().chain(self.parent.iter().filter(|parent| !self.depends.contains_key(*parent)))
    }
}

/// A database schema.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Model {
    /// Its objects.
    pub objects: BTreeMap<Key, Object>,
    /// What the database has that is not looked at, in words.
    pub unseen: Vec<String>,
}

impl Model {
    /// An object.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<&Object> {
        self.objects.get(key)
    }

    /// What a new database has already of it.
    #[must_use]
    pub fn pristine(&self) -> Self {
        let given = |key: &Key| {
            (key.kind == Kind::Schema && key.name == "public") || (key.kind == Kind::Extension && key.name == "plpgsql")
        };
        let objects = self.objects.iter().filter(|(key, _)| given(key));
        Self { objects: objects.map(|(key, object)| (key.clone(), object.clone())).collect(), unseen: Vec::new() }
    }

    /// What tells this one from every other: two that are the same have the same.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let mut context = Context::new(&SHA256);
        for (key, object) in &self.objects {
            let fields: Vec<_> = object.compared().collect();
            context.update(format!("{key}\u{0}{fields:?}\n").as_bytes());
        }
        context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Takes out what matches a pattern, with all its parts. A pattern is a name with `*` for any run of characters, of
    /// a schema (`x`, all that is in it too) or in one (`x.y`, in any: `*.y`).
    pub fn ignore(&mut self, patterns: &[String]) {
        let gone: BTreeSet<Key> = self.objects.keys().filter(|key| self.is_ignored(key, patterns)).cloned().collect();
        self.objects.retain(|key, _| !gone.contains(key));
        for object in self.objects.values_mut() {
            object.depends.retain(|key, _| !gone.contains(key));
        }
    }

    fn is_ignored(&self, key: &Key, patterns: &[String]) -> bool {
        let whole = |key: &Key| {
            patterns.iter().any(|pattern| {
                let schema = key.name.split('.').next().unwrap_or_default();
                matches(pattern, &key.name.replace('"', "")) || (!pattern.contains('.') && matches(pattern, schema))
            })
        };
        let parent = self.objects.get(key).and_then(|object| object.parent.as_ref());
        whole(key) || parent.is_some_and(|parent| self.is_ignored(parent, patterns))
    }

    /// Gives an object another name, wherever it is named as a whole.
    pub(super) fn rename(&mut self, key: &Key, to: &Key) {
        if let Some(object) = self.objects.remove(key) {
            self.objects.insert(to.clone(), object);
        }
        for object in self.objects.values_mut() {
            if let Some(falls) = object.depends.remove(key) {
                object.depends.insert(to.clone(), falls);
            }
        }
    }
}

/// Whether a text is one that a pattern with `*` means.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|text| {
            (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_names_as_a_whole() {
        for (pattern, text, meant) in [
            ("public.a", "public.a", true),
            ("public.a", "public.ab", false),
            ("*.a", "public.a", true),
            ("public.price__v*", "public.price__v12", true),
            ("public.price__v*", "public.price_v12", false),
            ("a*b*c", "axxbyyc", true),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, text), meant, "{pattern} {text}");
        }
    }

    #[test]
    fn what_is_ignored_goes_with_its_parts_and_nobody_leans_on_it() {
        let table = Key::new(Kind::Table, "public.a");
        let column = Key::new(Kind::Column, "public.a.x");
        let view = Key::new(Kind::View, "public.v");
        let mut model = Model::default();
        model.objects.insert(table.clone(), Object::default());
        model.objects.insert(column.clone(), Object { parent: Some(table.clone()), ..Object::default() });
        let depends = [(table, false)].into();
        model.objects.insert(view.clone(), Object { depends, ..Object::default() });
        model.ignore(&["public.a".to_owned()]);
        assert_eq!(model.objects.keys().collect::<Vec<_>>(), [&view]);
        assert!(model.objects[&view].depends.is_empty());
        model.ignore(&["public".to_owned()]);
        assert!(model.objects.is_empty());
    }

    #[test]
    fn every_kind_has_its_name() {
        for (name, kind) in Kind::ALL {
            assert_eq!((Kind::named(name), kind.as_str()), (Some(kind), name));
        }
    }
}
