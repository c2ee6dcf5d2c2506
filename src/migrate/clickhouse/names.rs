//! What objects are called: one of the database that is compared by its own name, one of another with that before it.

use super::connection::quoted;
use super::write::name;

/// What an object is called, with the name of its database where that is another one.
pub(super) fn called(database: Option<&str>, of: &str) -> String {
    // A point parts the two names, so one within a name stands in backticks.
    let part = |name: &str| match name.contains(['.', '`']) {
        true => format!("`{}`", name.replace('`', "``")),
        false => name.to_owned(),
    };
    database.map_or_else(|| part(of), |database| format!("{}.{}", part(database), part(of)))
}

/// The other database of what is so called, and its name there.
pub(super) fn parted(called: &str) -> (Option<String>, String) {
    let (mut database, mut name) = (None, String::new());
    let mut is_quoted = false;
    let mut characters = called.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '`' if is_quoted && characters.peek() == Some(&'`') => {
                characters.next();
                name.push('`');
            }
            '`' => is_quoted = !is_quoted,
            '.' if !is_quoted && database.is_none() => database = Some(std::mem::take(&mut name)),
            other => name.push(other),
        }
    }
    (database, name)
}

/// What is called the same, with something behind it.
pub(super) fn suffixed(called_so: &str, end: &str) -> String {
    let (database, name) = parted(called_so);
    called(database.as_deref(), &format!("{name}{end}"))
}

/// What is so called as SQL has it: in backticks where it must be.
pub(super) fn relation(called: &str) -> String {
    match parted(called) {
        (Some(database), of) => format!("{}.{}", name(&database), name(&of)),
        (None, of) => name(&of),
    }
}

/// The same, always in backticks.
pub(super) fn relation_quoted(called: &str) -> String {
    match parted(called) {
        (Some(database), of) => format!("{}.{}", quoted(&database), quoted(&of)),
        (None, of) => quoted(&of),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_apart_as_it_was_put_together() {
        for (database, name, so, sql) in [
            (None, "t", "t", "t"),
            (Some("x"), "t", "x.t", "x.t"),
            (None, "a.b", "`a.b`", "`a.b`"),
            (Some("x"), "a`.b", "x.`a``.b`", "x.`a\\`.b`"),
            (Some("1.0"), "order", "`1.0`.order", "`1.0`.`order`"),
        ] {
            assert_eq!(called(database, name), so);
            assert_eq!(parted(so), (database.map(str::to_owned), name.to_owned()));
            assert_eq!(relation(so), sql);
        }
        assert_eq!(suffixed("x.`a.b`", "__new"), "x.`a.b__new`");
    }
}
