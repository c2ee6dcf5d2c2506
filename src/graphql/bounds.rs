//! What a document may be at most: looked at before it is parsed, then before it is validated, since either costs more
//! than the text is long.

use std::collections::HashMap;

use async_graphql::Name;
use async_graphql::Positioned;
use async_graphql::parser::types::{ExecutableDocument, FragmentDefinition, Selection, SelectionSet};

use crate::config;
use crate::http::Problem;
use crate::http::problem;

/// Brackets inside each other at most: the parser takes a frame of the stack for each.
const BRACKETS_MAX: usize = 60;
/// Levels of an introspection: what every tool asks for has 13.
const INTROSPECTION_DEPTH_MAX: usize = 16;
/// Lists of fields inside each other in an introspection: each multiplies the answer by the size of the schema.
const INTROSPECTION_LISTS_MAX: usize = 2;
/// The fields of introspection that lead from types to types.
const LISTS: [&str; 4] = ["fields", "inputFields", "interfaces", "possibleTypes"];

/// A refusal that names the limit, what was found, and what to do about it.
pub(super) fn refused(limit: &str, max: u64, what: &str, hint: &str) -> Problem {
    Problem::new(problem::TOO_COMPLEX, format!("{what}; {limit} is {max}")).parameter(limit).hint(hint)
}

/// Looks at the text.
pub(super) fn of_text(text: &str, limits: &config::Graphql) -> Result<(), Problem> {
    let (mut tokens, mut open) = (0, 0_usize);
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        let length = match rest[0] {
            b' ' | b'\t' | b'\r' | b'\n' | b',' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')).unwrap_or(rest.len());
                continue;
            }
            b'"' => string(rest),
            byte if is_word(byte) || byte == b'-' => {
                1 + rest[1..].iter().take_while(|byte| is_word(**byte) || matches!(byte, b'.' | b'+' | b'-')).count()
            }
            b'.' if rest.starts_with(b"...") => 3,
            b'{' | b'[' | b'(' => {
                open += 1;
                1
            }
            b'}' | b']' | b')' => {
                open = open.saturating_sub(1);
                1
            }
            _ => 1,
        };
        at += length;
        tokens += 1;
        if tokens > limits.tokens_max {
            let what = "the document has more tokens than are read";
            return Err(refused("graphql.tokens_max", limits.tokens_max as u64, what, "ask in several requests"));
        }
        if open > BRACKETS_MAX {
            let what = "the document has more brackets inside each other than are read";
            return Err(refused(
                "depth",
                BRACKETS_MAX as u64,
                what,
                "select less deeply, and write conditions flatter",
            ));
        }
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The length of a string, or of what is left where it does not end.
fn string(rest: &[u8]) -> usize {
    let (end, mut at) = if rest.starts_with(b"\"\"\"") { (&b"\"\"\""[..], 3) } else { (&b"\""[..], 1) };
    while at < rest.len() {
        if rest[at] == b'\\' {
            // Of a block string only the three quotes are escaped, and those together.
            at += if end.len() == 3 && rest[at + 1..].starts_with(end) { 4 } else { 1 + usize::from(end.len() == 1) };
        } else if rest[at..].starts_with(end) {
            return at + end.len();
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// Looks at the document.
pub(super) fn of_document(parsed: &ExecutableDocument, limits: &config::Graphql) -> Result<(), Problem> {
    let check = |name: &str, found: usize, max: usize, what: &str, hint: &str| {
        if found <= max {
            return Ok(());
        }
        Err(refused(&format!("graphql.{name}"), max as u64, &format!("the document has {found} {what}"), hint))
    };
    check("fragments_max", parsed.fragments.len(), limits.fragments_max, "fragments", "write out what is used once")?;
    let (mut aliases, mut directives) = (0, 0);
    let sets = parsed.fragments.values().map(|fragment| {
        directives += fragment.node.directives.len();
        &fragment.node.selection_set.node
    });
    let sets: Vec<&SelectionSet> = sets.collect();
    for (_, operation) in parsed.operations.iter() {
        directives += operation.node.directives.len();
        directives += operation.node.variable_definitions.iter().map(|one| one.node.directives.len()).sum::<usize>();
        written(&operation.node.selection_set.node, &mut aliases, &mut directives);
    }
    sets.into_iter().for_each(|set| written(set, &mut aliases, &mut directives));
    check("aliases_max", aliases, limits.aliases_max, "aliases", "ask with fewer of them, or in several requests")?;
    check("directives_max", directives, limits.directives_max, "directives", "leave out what is not selected")?;
    // One that no operation spreads is validated all the same.
    for fragment in parsed.fragments.values() {
        let mut walk = Walk { fragments: &parsed.fragments, limits, fields: 0, roots: 0 };
        let introspects = fragment.node.type_condition.node.on.node.starts_with("__");
        let level = Level { depth: 1, fragments: 1, introspects, ..Level::default() };
        walk.set(&fragment.node.selection_set.node, level)?;
    }
    for (_, operation) in parsed.operations.iter() {
        let mut walk = Walk { fragments: &parsed.fragments, limits, fields: 0, roots: 0 };
        walk.set(&operation.node.selection_set.node, Level::default())?;
        check("root_fields_max", walk.roots, limits.root_fields_max, "root fields", "ask in several requests")?;
    }
    Ok(())
}

/// Counts what stands in the text, where it stands.
fn written(set: &SelectionSet, aliases: &mut usize, directives: &mut usize) {
    for selection in &set.items {
        *directives += selection.node.directives().len();
        match &selection.node {
            Selection::Field(field) => {
                *aliases += usize::from(field.node.alias.is_some());
                written(&field.node.selection_set.node, aliases, directives);
            }
            Selection::InlineFragment(fragment) => {
                written(&fragment.node.selection_set.node, aliases, directives);
            }
            Selection::FragmentSpread(_) => {}
        }
    }
}

/// Where a selection stands.
#[derive(Clone, Copy, Default)]
struct Level {
    depth: usize,
    /// Fragments that it stands in. One that spreads itself stands in ever more of them.
    fragments: usize,
    introspects: bool,
    lists: usize,
}

/// A walk with every fragment in its places. It ends at a limit, so that none can make it long.
struct Walk<'p> {
    fragments: &'p HashMap<Name, Positioned<FragmentDefinition>>,
    limits: &'p config::Graphql,
    fields: usize,
    roots: usize,
}

impl Walk<'_> {
    fn set(&mut self, set: &SelectionSet, level: Level) -> Result<(), Problem> {
        for selection in &set.items {
            self.fields += 1;
            if self.fields > self.limits.fields_max {
                let what = "the document selects more fields, with its fragments in their places, than are read";
                let hint = "select fewer fields, or ask in several requests";
                return Err(refused("graphql.fields_max", self.limits.fields_max as u64, what, hint));
            }
            match &selection.node {
                Selection::Field(field) => {
                    self.roots += usize::from(level.depth == 0);
                    let name = field.node.name.node.as_str();
                    let lists = usize::from(LISTS.contains(&name));
                    let introspects = level.introspects || matches!(name, "__schema" | "__type");
                    let below = Level { depth: level.depth + 1, introspects, lists: level.lists + lists, ..level };
                    self.level(below)?;
                    self.set(&field.node.selection_set.node, below)?;
                }
                Selection::InlineFragment(fragment) => self.set(&fragment.node.selection_set.node, level)?,
                Selection::FragmentSpread(spread) => {
                    let below = Level { fragments: level.fragments + 1, ..level };
                    if below.fragments > self.fragments.len() {
                        let detail = "a fragment spreads itself";
                        return Err(Problem::new(problem::INVALID_DOCUMENT, detail));
                    }
                    if let Some(fragment) = self.fragments.get(&spread.node.fragment_name.node) {
                        self.set(&fragment.node.selection_set.node, below)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn level(&self, level: Level) -> Result<(), Problem> {
        let (name, max) = if level.introspects {
            ("the depth of introspection", INTROSPECTION_DEPTH_MAX)
        } else {
            ("graphql.depth_max", self.limits.depth_max)
        };
        if level.depth > max {
            return Err(refused(
                name,
                max as u64,
                "the document selects more deeply",
                "ask for what is below by itself",
            ));
        }
        if level.introspects && level.lists > INTROSPECTION_LISTS_MAX {
            let what = "the introspection has more lists of fields inside each other";
            return Err(refused("lists", INTROSPECTION_LISTS_MAX as u64, what, "ask for types by their names"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_as_the_parser_takes_them() {
        let limits = |tokens_max| config::Graphql { tokens_max, ..config::Graphql::default() };
        for (text, tokens) in [
            ("{ a(b: 1.5e-3, c: $d) @skip(if: true) { ...F } } # {{{ not seen", 23),
            (r#"{ a(b: "}{ \" (", c: """ \""" " { """) }"#, 11),
            ("\u{feff}{a}", 6),
            (r#"{ a(b: "no end"#, 6),
        ] {
            assert!(of_text(text, &limits(tokens)).is_ok(), "{text}");
            assert!(of_text(text, &limits(tokens - 1)).is_err(), "{text}");
        }
        let nested = |levels: usize| "{a".repeat(levels) + &"}".repeat(levels);
        assert!(of_text(&nested(BRACKETS_MAX), &limits(1000)).is_ok());
        assert!(of_text(&nested(BRACKETS_MAX + 1), &limits(1000)).is_err());
    }
}
