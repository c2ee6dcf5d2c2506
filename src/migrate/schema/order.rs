//! The order of a plan: each step after those that it waits for, and otherwise drops first and by kinds.

use std::collections::{BTreeMap, BTreeSet};

use super::model::Key;

/// What is done with an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Act {
    Drop,
    Make,
}

/// A step of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Node {
    pub(super) act: Act,
    pub(super) key: Key,
    /// Where it stands among its like.
    pub(super) place: String,
}

impl Ord for Node {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let kinds = match self.act {
            // What was made last goes first.
            Act::Drop => other.key.kind.cmp(&self.key.kind),
            Act::Make => self.key.kind.cmp(&other.key.kind),
        };
        let names = || self.key.name.cmp(&other.key.name);
        self.act.cmp(&other.act).then(kinds).then_with(|| self.place.cmp(&other.place)).then_with(names)
    }
}

impl PartialOrd for Node {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The steps in an order in which each of the pairs stands. Where they go round in a circle, the first of its like goes
/// first: a rehearsal tells whether that can be.
pub(super) fn ordered(nodes: BTreeSet<Node>, edges: &[(Node, Node)]) -> Vec<Node> {
    let mut after: BTreeMap<&Node, BTreeSet<&Node>> = BTreeMap::new();
    let mut waits: BTreeMap<&Node, usize> = nodes.iter().map(|node| (node, 0)).collect();
    for (before, behind) in edges {
        let known = before != behind && waits.contains_key(before) && waits.contains_key(behind);
        if known && after.entry(before).or_default().insert(behind) {
            *waits.entry(behind).or_default() += 1;
        }
    }
    let mut ready: BTreeSet<&Node> = waits.iter().filter(|(_, count)| **count == 0).map(|(node, _)| *node).collect();
    let mut done = Vec::with_capacity(nodes.len());
    while let Some(next) = ready.pop_first().or_else(|| waits.keys().next().copied()) {
        waits.remove(next);
        done.push(next.clone());
        for behind in after.remove(next).into_iter().flatten() {
            if let Some(count) = waits.get_mut(behind) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(behind);
                }
            }
        }
    }
    done
}

#[cfg(test)]
mod tests {
    use super::super::model::Kind;
    use super::*;

    fn node(act: Act, kind: Kind, name: &str) -> Node {
        Node { act, key: Key::new(kind, name), place: String::new() }
    }

    #[test]
    fn drops_come_first_but_for_what_they_wait_for() {
        let (table, view) = (node(Act::Drop, Kind::Table, "t"), node(Act::Drop, Kind::View, "v"));
        let (column, index) = (node(Act::Make, Kind::Column, "t.x"), node(Act::Make, Kind::Index, "i"));
        let nodes: BTreeSet<Node> = [&table, &view, &column, &index].into_iter().cloned().collect();
        let names = |edges: &[(Node, Node)]| -> Vec<String> {
            ordered(nodes.clone(), edges).into_iter().map(|node| node.key.name).collect()
        };
        assert_eq!(names(&[]), ["v", "t", "t.x", "i"]);
        assert_eq!(names(&[(index.clone(), table.clone())]), ["v", "t.x", "i", "t"]);
        // A circle is cut, and everything is done.
        assert_eq!(names(&[(table.clone(), column.clone()), (column, table)]).len(), 4);
    }
}
