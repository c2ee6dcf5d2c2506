//! Statements of a plan as files of a folder.

use super::super::import::later;
use super::super::schema::{Risk, Statement};
use super::{Draft, Error};

/// What stands above a file whose statements run outside of transactions.
const ALONE: &str = "-- atlas:txmode none\n\n";
/// What a file says first that makes functions: their bodies may name what comes later.
const UNCHECKED: &str = "-- Bodies may name what comes later\nSET check_function_bodies = off;\n";
/// How many words of a statement its comment repeats at most.
const WORDS_MAX: usize = 10;

/// The files, of a name or none, behind a version: what runs outside of transactions is apart.
pub(super) fn drafts(newest: &str, name: Option<&str>, statements: &[Statement]) -> Result<Vec<Draft>, Error> {
    let mut newest = newest.to_owned();
    let mut drafts = Vec::new();
    for group in statements.chunk_by(|one, other| one.alone == other.alone) {
        let file = later(&newest, name)?;
        newest = file.split(['_', '.']).next().unwrap_or_default().to_owned();
        let alone = group.iter().any(|statement| statement.alone);
        let sql = format!("{}{}", if alone { ALONE } else { "" }, body(group));
        let hazards: Vec<Risk> = group.iter().flat_map(|statement| statement.hazards.clone()).collect();
        drafts.push(Draft { name: file, sql, hazards });
    }
    Ok(drafts)
}

/// Statements with what is to be said of each.
pub(super) fn body(statements: &[Statement]) -> String {
    let makes_functions = |statement: &Statement| {
        let words: Vec<&str> = statement.sql.split_whitespace().take(4).collect();
        words.first() == Some(&"CREATE") && words.iter().any(|word| matches!(*word, "FUNCTION" | "PROCEDURE"))
    };
    let mut text = String::new();
    if statements.iter().any(makes_functions) {
        text += UNCHECKED;
    }
    for Statement { sql, hazards, sweep, .. } in statements {
        text += &format!("-- {}\n", described(sql));
        for Risk { hazard, why } in hazards {
            text += &format!("-- {hazard}: {}\n", why.replace('\n', " "));
        }
        if let Some(sweep) = sweep {
            text += &format!("-- Should it fail, run before it is tried again: {}\n", sweep.replace('\n', " "));
        }
        text += sql;
        text += ";\n";
    }
    text
}

/// A statement in few words: its keywords, and the names that they are about.
pub(super) fn described(sql: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut named = 0;
    for word in words_of(sql).take(WORDS_MAX) {
        let keyword = word.chars().all(|c| c.is_ascii_uppercase() || c == '_');
        // `ALTER TABLE name DROP COLUMN name`, and no further.
        if named == 2 || (!keyword && word.starts_with(['(', '\'', '$'])) {
            break;
        }
        if keyword {
            if named > 0
                && matches!(word, "AS" | "RETURNS" | "USING" | "IS" | "FOR" | "TYPE" | "WITH" | "NOT" | "DEFAULT")
            {
                break;
            }
            words.push(word.to_ascii_lowercase());
        } else {
            named += 1;
            let end = word.find('(').filter(|_| !word.starts_with('"')).unwrap_or(word.len());
            words.push(word[..end].to_owned());
        }
    }
    let text = words.join(" ");
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The words of a statement; a quoted name is one, whatever is in it.
fn words_of(sql: &str) -> impl Iterator<Item = &str> {
    let mut rest = sql;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        let mut quoted = false;
        let end = rest.find(|c: char| {
            quoted ^= c == '"';
            c.is_whitespace() && !quoted
        });
        let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
        rest = behind;
        // A name with a line in it would end the comment.
        (!word.is_empty() && !word.contains('\n')).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::schema::Hazard;
    use super::*;

    #[test]
    fn a_statement_is_told_in_few_words() {
        for (sql, expected) in [
            ("CREATE TABLE public.t (\n  a integer\n)", "Create table public.t"),
            ("ALTER TABLE public.t DROP COLUMN gone", "Alter table public.t drop column gone"),
            ("ALTER TABLE public.t ALTER COLUMN a TYPE bigint", "Alter table public.t alter column a"),
            (
                "CREATE UNIQUE INDEX CONCURRENTLY i ON public.t USING btree (a)",
                "Create unique index concurrently i on public.t",
            ),
            ("COMMENT ON COLUMN public.t.a IS 'x'", "Comment on column public.t.a"),
            ("CREATE TABLE \"two words\".\"a\nb\" (a int)", "Create table"),
            ("DROP FUNCTION public.f(integer)", "Drop function public.f"),
            ("ALTER TYPE public.e ADD VALUE 'x' AFTER 'y'", "Alter type public.e add value"),
        ] {
            assert_eq!(described(sql), expected, "{sql}");
        }
    }

    #[test]
    fn what_runs_outside_of_transactions_has_files_of_its_own_in_order() {
        let statements = [
            Statement::new("CREATE TABLE a ()"),
            Statement::new("DROP TABLE b").risking(Hazard::DeletesData, "its rows are gone"),
            Statement::new("CREATE INDEX CONCURRENTLY i ON c (x)").patient().swept("DROP INDEX i".to_owned()),
            Statement::new("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT 1$$"),
        ];
        let drafts = drafts("2000", Some("more"), &statements).expect("files");
        let texts: Vec<&str> = drafts.iter().map(|draft| draft.sql.as_str()).collect();
        assert_eq!(
            texts,
            [
                "-- Create table a\nCREATE TABLE a ();\n-- Drop table b\n-- deletes-data: its rows are gone\nDROP TABLE b;\n",
                "-- atlas:txmode none\n\n-- Create index concurrently i on c\n\
                 -- Should it fail, run before it is tried again: DROP INDEX i\nCREATE INDEX CONCURRENTLY i ON c (x);\n",
                "-- Bodies may name what comes later\nSET check_function_bodies = off;\n\
                 -- Create function f\nCREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$SELECT 1$$;\n",
            ]
        );
        let names: Vec<&str> = drafts.iter().map(|draft| draft.name.as_str()).collect();
        assert!(names.is_sorted() && names.iter().all(|name| name.ends_with("_more.sql")), "{names:?}");
        assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");
        // A folder that counts goes on counting, as far as bytes do.
        let counted = super::drafts("008", None, &statements).expect("files");
        assert!(counted.iter().all(|draft| draft.name.len() == "20260101000000.sql".len()), "{counted:?}");
        let counted = super::drafts("7", None, &statements[..1]).expect("files");
        assert_eq!(counted[0].name, "8.sql");
        let refused = super::drafts("9", None, &statements).expect_err("no tenth");
        assert!(refused.to_string().contains("behind 9"), "{refused}");
    }
}
