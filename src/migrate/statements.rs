//! A file of SQL cut into statements, at the very places where Atlas cuts it for Postgres: the ledger counts statements and
//! hashes their texts, so a cut elsewhere would make every file look changed.
//!
//! What decides: the delimiter outside quotes and parentheses, even where a comment would begin with it; dollar quotes;
//! `BEGIN ATOMIC … END` and `BEGIN … END` as one; a comment above a statement is not part of its text. ClickHouse has no
//! blocks, and a backslash keeps the next character in all of its quotes.

/// Whose SQL a file has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Language {
    /// That of Postgres.
    #[default]
    Postgres,
    /// That of ClickHouse.
    ClickHouse,
}

/// A statement, and where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Statement {
    /// Its text, with a semicolon where that ends it and without any other delimiter.
    pub text: String,
    /// The byte of the file at which it begins.
    pub at: usize,
    /// The comments right above it, none of them parted from it by a blank line.
    pub comments: Vec<String>,
}

/// Why a file is not cut.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("read the statement at line {line}, column {column}: {fault}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1.
    pub column: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong with a statement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Fault {
    /// A parenthesis is never closed.
    #[error("its '(' is never closed")]
    Open,
    /// A parenthesis is closed that was never opened.
    #[error("its ')' closes nothing")]
    Closed,
    /// A quote is never closed.
    #[error("its quote is never closed")]
    Quote,
    /// There is nothing behind the directive that names the delimiter.
    #[error("nothing follows the delimiter directive")]
    Nothing,
}

/// What ends a statement where no directive says otherwise.
const SEMICOLON: &str = ";";
/// The directive that says otherwise, on the very first line.
const DELIMITER: &str = "-- atlas:delimiter ";
/// The same as a client's command, in any line that begins a statement.
const COMMAND: &str = "delimiter";

/// Cuts a file.
///
/// # Errors
/// When parentheses or quotes do not match.
pub fn split(file: &str, language: Language) -> Result<Vec<Statement>, Error> {
    Scanner::new(file, language)
        .map_err(|fault| place(file, 0, fault))?
        .all()
        .map_err(|(at, fault)| place(file, at, fault))
}

fn place(file: &str, at: usize, fault: Fault) -> Error {
    let before = &file[..at.min(file.len())];
    let line = 1 + before.matches('\n').count();
    let column = before.rfind('\n').map_or(at, |newline| at - newline - 1).max(1);
    Error { line, column, fault }
}

/// A fault, and the byte where it was found.
type Found<T> = Result<T, (usize, Fault)>;

struct Scanner<'f> {
    file: &'f str,
    language: Language,
    /// Where the statement begins that is being read.
    begun: usize,
    /// What is looked at next.
    at: usize,
    delimiter: String,
    comments: Vec<String>,
}

impl<'f> Scanner<'f> {
    fn new(file: &'f str, language: Language) -> Result<Self, Fault> {
        let delimiter = SEMICOLON.to_owned();
        let mut scanner = Self { file, language, begun: 0, at: 0, delimiter, comments: Vec::new() };
        if let Some(rest) = file.strip_prefix(DELIMITER) {
            let (named, _) = rest.split_once('\n').ok_or(Fault::Nothing)?;
            scanner.delimiter = unescaped(named.trim_end_matches('\r'));
            scanner.begun = file.len() - rest.len() + named.len() + 1;
            scanner.at = scanner.begun;
        }
        Ok(scanner)
    }

    /// A scanner of what follows, for the body of a block.
    fn inner(&self) -> Self {
        let delimiter = self.delimiter.clone();
        Self { file: self.file, language: self.language, begun: self.at, at: self.at, delimiter, comments: Vec::new() }
    }

    fn all(mut self) -> Found<Vec<Statement>> {
        let mut statements = Vec::new();
        while let Some(statement) = self.statement()? {
            statements.push(statement);
        }
        Ok(statements)
    }

    fn rest(&self) -> &'f str {
        &self.file[self.at..]
    }

    fn skip_blanks(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.begun = self.at;
    }

    fn statement(&mut self) -> Found<Option<Statement>> {
        self.skip_blanks();
        let mut open: Vec<usize> = Vec::new();
        loop {
            let here = self.at;
            let rest = self.rest();
            let Some(next) = rest.chars().next() else {
                if let Some(at) = open.first() {
                    return Err((*at + 1, Fault::Open));
                }
                return Ok((self.at > self.begun).then(|| self.cut()));
            };
            if next == '(' {
                open.push(here);
                self.at += 1;
            } else if next == ')' {
                open.pop().ok_or((here + 1, Fault::Closed))?;
                self.at += 1;
            } else if matches!(next, '\'' | '"' | '`') {
                self.skip_quoted(next)?;
            } else if here == self.begun && self.names_delimiter() {
                self.skip_blanks();
            } else if open.is_empty() && rest.starts_with(self.delimiter.as_str()) {
                self.at += self.delimiter.len();
                return Ok(Some(self.cut()));
            } else if let Some(tag) = dollar_tag(rest) {
                self.skip_dollar_quoted(tag);
            } else if rest.starts_with("--") {
                self.skip_comment(2, "\n");
            } else if rest.starts_with("/*") {
                self.skip_comment(2, "*/");
            } else if self.language == Language::Postgres && self.delimiter == SEMICOLON && self.skip_block() {
                return Ok(Some(self.cut()));
            } else {
                self.at += next.len_utf8();
            }
        }
    }

    /// The statement that ends here.
    fn cut(&mut self) -> Statement {
        let whole = &self.file[self.begun..self.at];
        let text = match self.delimiter.as_str() {
            SEMICOLON => whole,
            delimiter => whole.strip_suffix(delimiter).unwrap_or(whole),
        };
        let statement =
            Statement { text: text.trim().to_owned(), at: self.begun, comments: std::mem::take(&mut self.comments) };
        self.begun = self.at;
        statement
    }

    /// A quote ends with its like; two of them are two quotes. In `E'…'`, and always in ClickHouse, a backslash keeps the
    /// next character.
    fn skip_quoted(&mut self, quote: char) -> Found<()> {
        let begun = self.at;
        let escapes = match self.language {
            Language::Postgres => quote == '\'' && self.file[self.begun..begun].ends_with(['E', 'e']),
            Language::ClickHouse => true,
        };
        let mut inside = self.file[begun + 1..].char_indices();
        while let Some((at, character)) = inside.next() {
            if character == '\\' && escapes {
                inside.next();
            } else if character == quote {
                self.at = begun + 1 + at + quote.len_utf8();
                return Ok(());
            }
        }
        Err((begun + 1, Fault::Quote))
    }

    /// One that is never closed goes on to the end.
    fn skip_dollar_quoted(&mut self, tag: &str) {
        let behind = self.at + tag.len();
        self.at = self.file[behind..].find(tag).map_or(self.file.len(), |at| behind + at + tag.len());
    }

    /// A comment above a statement is put aside; a blank line behind it parts it from the statement.
    fn skip_comment(&mut self, opening: usize, closing: &str) {
        let Some(length) = self.file[self.at + opening..].find(closing) else {
            // Nothing closes it, so it is none.
            self.at += opening;
            return;
        };
        let end = self.at + opening + length + closing.len();
        let above = self.at == self.begun;
        let text = &self.file[self.at..end];
        self.at = end;
        if above {
            self.comments.push(text.to_owned());
            let rest = self.rest();
            if rest.starts_with("\n\n") || (closing == "\n" && rest.starts_with('\n')) {
                self.comments.clear();
            }
            self.skip_blanks();
        }
    }

    /// Takes a client's command that names another delimiter.
    fn names_delimiter(&mut self) -> bool {
        let rest = self.rest();
        let named = rest.get(..COMMAND.len()).is_some_and(|word| word.eq_ignore_ascii_case(COMMAND))
            && rest[COMMAND.len()..].starts_with(' ');
        if named {
            let line = rest.split('\n').next().unwrap_or_default();
            let word = line[COMMAND.len()..].trim();
            let quoted = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\''));
            self.delimiter = unescaped(&quoted.map_or(word.to_owned(), |word| word.replace("''", "'")));
            self.at = (self.at + line.len() + 1).min(self.file.len());
            self.comments.clear();
        }
        named
    }

    /// Goes behind a `BEGIN ATOMIC … END` or a `BEGIN … END` that begins here; stays where no `END` closes it.
    fn skip_block(&mut self) -> bool {
        let rest = self.rest();
        let first = self.at == self.begun;
        // A word of its own: at the beginning, or behind a blank.
        let apart = first || self.file[self.begun..self.at].ends_with(char::is_whitespace);
        if let Some(length) = words(rest, &["BEGIN", "ATOMIC"]) {
            return self.skip_body(length, |text| words(text, &["END"]).is_some() || is_word(text, "END"));
        }
        match words(rest, &["BEGIN"]) {
            Some(length) if apart => self.skip_body(length, |text| {
                let text = text.trim_start();
                let rest =
                    text.get(..3).filter(|word| word.eq_ignore_ascii_case("END")).map(|_| text[3..].trim_start());
                matches!(rest, Some("" | SEMICOLON))
            }),
            _ => false,
        }
    }

    fn skip_body(&mut self, opening: usize, ends: impl Fn(&str) -> bool) -> bool {
        let mut body = self.inner();
        body.at += opening;
        body.begun = body.at;
        loop {
            match body.statement() {
                Ok(Some(statement)) if ends(&statement.text) => {
                    self.at = body.at;
                    return true;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return false,
            }
        }
    }
}

/// How long the words are that the text begins with, each with blanks behind it; whatever their case.
fn words(text: &str, words: &[&str]) -> Option<usize> {
    let mut rest = text.trim_start();
    for word in words {
        let head = rest.get(..word.len()).filter(|head| head.eq_ignore_ascii_case(word))?;
        let behind = &rest[head.len()..];
        rest = behind.trim_start();
        if rest.len() == behind.len() {
            return None;
        }
    }
    Some(text.len() - rest.len())
}

/// Whether the text begins with a word, whatever follows.
fn is_word(text: &str, word: &str) -> bool {
    text.trim_start().get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word))
}

/// The tag that opens a dollar quote: `$$`, or `$name$`.
fn dollar_tag(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('$')?;
    let end = inside.find('$')?;
    let name = &inside[..end];
    let letter = |c: char| c.is_ascii_alphabetic() || c == '_' || ('\u{C8}'..='\u{FF}').contains(&c);
    let fits = name.chars().enumerate().all(|(place, c)| letter(c) || (place > 0 && c.is_ascii_digit()));
    fits.then(|| &text[..end + 2])
}

fn unescaped(delimiter: &str) -> String {
    delimiter.replace("\\n", "\n").replace("\\r", "\r").replace("\\t", "\t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn texts(file: &str) -> Vec<String> {
        split(file, Language::Postgres).expect("statements").into_iter().map(|statement| statement.text).collect()
    }

    #[test]
    fn a_file_is_cut_at_its_delimiters_and_nowhere_else() {
        let cases: [(&str, &[&str]); 18] = [
            ("", &[]),
            ("  \n-- only a comment\n", &[]),
            ("SELECT 1; SELECT 2", &["SELECT 1;", "SELECT 2"]),
            ("SELECT ';'; SELECT \"a;b\"; SELECT 'it''s;';", &["SELECT ';';", "SELECT \"a;b\";", "SELECT 'it''s;';"]),
            ("SELECT E'\\';'; SELECT 2;", &["SELECT E'\\';';", "SELECT 2;"]),
            ("SELECT (1; 2); SELECT 3;", &["SELECT (1; 2);", "SELECT 3;"]),
            ("SELECT $$a;b$$; SELECT $x$ $$;$$ $x$;", &["SELECT $$a;b$$;", "SELECT $x$ $$;$$ $x$;"]),
            ("SELECT $1; SELECT $2;", &["SELECT $1;", "SELECT $2;"]),
            ("-- above\nSELECT 1; -- behind; it\nSELECT 2;", &["SELECT 1;", "SELECT 2;"]),
            ("SELECT 1 -- inside; it\n, 2;", &["SELECT 1 -- inside; it\n, 2;"]),
            ("/* a; b */ SELECT /* c; d */ 1;", &["SELECT /* c; d */ 1;"]),
            (
                "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END; SELECT 3;",
                &["CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END;", "SELECT 3;"],
            ),
            ("BEGIN; SELECT 1; COMMIT;", &["BEGIN;", "SELECT 1;", "COMMIT;"]),
            (
                "CREATE TRIGGER t BEGIN UPDATE a SET b = 1; DELETE FROM c; END; SELECT 1;",
                &["CREATE TRIGGER t BEGIN UPDATE a SET b = 1; DELETE FROM c; END;", "SELECT 1;"],
            ),
            ("-- atlas:delimiter \\n\\n\nSELECT 1;\nSELECT 2;\n\nSELECT 3", &["SELECT 1;\nSELECT 2;", "SELECT 3"]),
            ("-- atlas:delimiter -- end\nSELECT 1; -- end\nSELECT 2; -- end\n", &["SELECT 1;", "SELECT 2;"]),
            ("DELIMITER //\nSELECT 1; SELECT 2//\nDELIMITER ;\nSELECT 3;", &["SELECT 1; SELECT 2", "SELECT 3;"]),
            ("SELECT 'é;ü'; SELECT 2;", &["SELECT 'é;ü';", "SELECT 2;"]),
        ];
        for (file, expected) in cases {
            assert_eq!(texts(file), expected, "{file}");
        }
    }

    #[test]
    fn clickhouse_has_backslashes_in_quotes_and_no_blocks() {
        let cases: [(&str, &[&str]); 5] = [
            ("SELECT 'a\\';b'; SELECT 2;", &["SELECT 'a\\';b';", "SELECT 2;"]),
            ("SELECT `a\\`;b`; SELECT \"c\\\";d\";", &["SELECT `a\\`;b`;", "SELECT \"c\\\";d\";"]),
            ("SELECT 'it''s;\\\\'; SELECT 2;", &["SELECT 'it''s;\\\\';", "SELECT 2;"]),
            ("SELECT $sql$a;b$sql$; SELECT 2;", &["SELECT $sql$a;b$sql$;", "SELECT 2;"]),
            ("SELECT 1 AS begin ; SELECT 2 AS end; SELECT 3", &["SELECT 1 AS begin ;", "SELECT 2 AS end;", "SELECT 3"]),
        ];
        for (file, expected) in cases {
            let found: Vec<String> =
                split(file, Language::ClickHouse).expect(file).into_iter().map(|statement| statement.text).collect();
            assert_eq!(found, expected, "{file}");
        }
    }

    #[test]
    fn a_comment_right_above_belongs_to_its_statement_and_one_behind_a_blank_line_does_not() {
        let file = "-- of the file\n\n-- of the first\n-- too\nSELECT 1;\n\n/* of the second */\nSELECT 2;\n";
        let statements = split(file, Language::Postgres).expect("statements");
        assert_eq!(statements[0].comments, ["-- of the first\n", "-- too\n"]);
        assert_eq!(statements[1].comments, ["/* of the second */"]);
        assert_eq!(&file[statements[1].at..], "SELECT 2;\n");
    }

    #[test]
    fn what_does_not_match_is_told_with_its_place() {
        for (file, line, fault) in [
            ("SELECT 1;\nSELECT (2;", 2, Fault::Open),
            ("SELECT 1);", 1, Fault::Closed),
            ("SELECT 1;\n\nSELECT 'a;", 3, Fault::Quote),
            ("-- atlas:delimiter //", 1, Fault::Nothing),
        ] {
            let error = split(file, Language::Postgres).expect_err(file);
            assert_eq!((error.line, error.fault), (line, fault), "{file}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_lost_and_none_is_read_twice(
            parts in prop::collection::vec("SELECT ('[a-z;]{0,3}'|[0-9]|\\(1\\)|\\$\\$[a-z;]{0,3}\\$\\$)", 0..8)
        ) {
            let file: String = parts.iter().map(|part| format!("{part};\n")).collect();
            let expected: Vec<String> = parts.iter().map(|part| format!("{part};")).collect();
            prop_assert_eq!(texts(&file), expected);
        }

        #[test]
        fn any_text_at_all_is_cut_or_refused(file in "[-;()'\"$a \nBEGIN*/]{0,40}") {
            if let Ok(statements) = split(&file, Language::Postgres) {
                prop_assert!(statements.iter().all(|statement| !statement.text.is_empty()));
            }
        }
    }
}
