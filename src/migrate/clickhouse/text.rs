//! SQL as ClickHouse writes it, in words: enough to find where a clause begins and which names a text has, and no more.

/// What a word is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::migrate) enum Kind {
    /// A name or a keyword, or a number.
    Word,
    /// A name in backticks or double quotes.
    Quoted,
    /// A text in single quotes.
    Text,
    /// Any other character.
    Sign,
}

/// A word, where it stands and how many brackets are open before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::migrate) struct Token<'t> {
    pub(in crate::migrate) kind: Kind,
    pub(in crate::migrate) text: &'t str,
    pub(super) at: usize,
    pub(super) depth: usize,
}

impl Token<'_> {
    /// Where it ends.
    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Whether it is that keyword, outside of quotes.
    pub(in crate::migrate) fn is(&self, word: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text.eq_ignore_ascii_case(word)
    }

    /// The name or the text, without quotes.
    pub(in crate::migrate) fn name(&self) -> String {
        match self.kind {
            Kind::Word | Kind::Sign => self.text.to_owned(),
            Kind::Quoted | Kind::Text => unquoted(self.text),
        }
    }

    fn is_name(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }
}

/// What stands in quotes.
fn unquoted(text: &str) -> String {
    let mut characters = text.chars();
    let Some(quote) = characters.next() else { return String::new() };
    let mut out = String::new();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('0') => out.push('\0'),
                Some(other) => out.push(other),
                None => {}
            },
            same if same == quote => match characters.next() {
                Some(_) => out.push(quote),
                None => break,
            },
            other => out.push(other),
        }
    }
    out
}

/// The words of a text; comments are none.
pub(in crate::migrate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let bytes = text.as_bytes();
    let (mut at, mut depth, mut found) = (0, 0usize, Vec::new());
    while at < bytes.len() {
        let rest = &text[at..];
        let next = bytes[at];
        let (kind, length) = if next.is_ascii_whitespace() {
            at += 1;
            continue;
        } else if rest.starts_with("--") || rest.starts_with("# ") || rest.starts_with("#!") {
            at += rest.find('\n').unwrap_or(rest.len());
            continue;
        } else if rest.starts_with("/*") {
            at += rest.find("*/").map_or(rest.len(), |end| end + 2);
            continue;
        } else if matches!(next, b'\'' | b'`' | b'"') {
            let kind = if next == b'\'' { Kind::Text } else { Kind::Quoted };
            (kind, quoted_length(rest))
        } else if next.is_ascii_alphanumeric() || next == b'_' || next >= 0x80 {
            let end = rest.find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_');
            (Kind::Word, end.unwrap_or(rest.len()))
        } else {
            (Kind::Sign, 1)
        };
        let token = &rest[..length];
        if matches!(token, ")" | "]" | "}") {
            depth = depth.saturating_sub(1);
        }
        found.push(Token { kind, text: token, at, depth });
        if matches!(token, "(" | "[" | "{") {
            depth += 1;
        }
        at += length;
    }
    found
}

fn quoted_length(text: &str) -> usize {
    let bytes = text.as_bytes();
    let (quote, mut at) = (bytes[0], 1);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote && bytes.get(at + 1) == Some(&quote) => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// The parts between signs that stand outside of quotes and brackets, trimmed.
pub(super) fn split(text: &str, sign: char) -> Vec<&str> {
    let mut begun = 0;
    let mut parts = Vec::new();
    let mark = sign.to_string();
    for token in tokens(text) {
        if token.depth == 0 && token.kind == Kind::Sign && token.text == mark {
            parts.push(text[begun..token.at].trim());
            begun = token.end();
        }
    }
    parts.push(text[begun..].trim());
    if parts.last().is_some_and(|part| part.is_empty()) {
        parts.pop();
    }
    parts
}

/// Whose database a text speaks of, where it speaks of a whole name.
pub(super) const DATABASE: &str = "{database}";

/// The same text with other names of databases: a name before a point, and texts that are such a name or begin with it. An
/// empty name is left out, with its point.
pub(super) fn moved(text: &str, from: &[&str], to: &str, in_texts: &str) -> String {
    let words = tokens(text);
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (place, token) in words.iter().enumerate() {
        let point = words.get(place + 1).filter(|point| point.text == "." && point.at == token.end());
        let parted = place > 0 && words[place - 1].text == "." && words[place - 1].end() == token.at;
        match (token.kind, point) {
            (Kind::Word | Kind::Quoted, Some(point)) if !parted && from.contains(&token.name().as_str()) => {
                let named = words.get(place + 2).is_some_and(Token::is_name);
                if named {
                    out += &text[done..token.at];
                    out += to;
                    done = if to.is_empty() { point.end() } else { token.end() };
                }
            }
            (Kind::Text, _) => {
                let name = token.name();
                let rest = from
                    .iter()
                    .find_map(|from| name.strip_prefix(from))
                    .filter(|rest| rest.is_empty() || rest.starts_with('.'));
                if let Some(rest) = rest {
                    out += &text[done..token.at];
                    out += &super::connection::literal(&format!("{in_texts}{rest}"));
                    done = token.end();
                }
            }
            _ => {}
        }
    }
    out += &text[done..];
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_quotes_and_brackets_is_no_clause() {
        assert_eq!(split("a, 'b, c', (d, e), `f, g`", ','), ["a", "'b, c'", "(d, e)", "`f, g`"]);
        assert_eq!(split("", ','), Vec::<&str>::new());
        let words = tokens("`a\\`b` 'it\\'s' -- gone\n x(1)");
        let names: Vec<String> = words.iter().map(Token::name).collect();
        assert_eq!(names, ["a`b", "it's", "x", "(", "1", ")"]);
        assert_eq!(words[4].depth, 1);
    }

    #[test]
    fn a_database_is_named_otherwise_wherever_it_is_named() {
        let text = "SELECT m.x, dictGet('m.d', 'v', 1), 'm' FROM m.t AS a, x.m.y WHERE 'me' = `m`.`t`.z";
        assert_eq!(
            moved(text, &["m"], "", DATABASE),
            "SELECT x, dictGet('{database}.d', 'v', 1), '{database}' FROM t AS a, x.m.y WHERE 'me' = `t`.z"
        );
        assert_eq!(moved("m.t", &["m"], "s", "s"), "s.t");
    }
}
