//! Conditions in parentheses: `or=(pe.lt=15,not.and(sector=Energy,country=US))`, and the lists inside them.

use crate::catalog::Operator;
use crate::http::Problem;
use crate::http::problem;
use crate::http::problem::shown;
use crate::query::{Comparison, FILTER_DEPTH_MAX, Filter, Operand};

/// What a condition may name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Names {
    /// Columns.
    Columns,
    /// Groups and measures too, as they are asked for: `avg(close)`, `date:month`.
    Measures,
}

/// Reads one parameter's value from its start to its end.
pub(super) struct Reader<'t> {
    parameter: &'t str,
    rest: &'t str,
    names: Names,
    depth: usize,
}

impl<'t> Reader<'t> {
    pub(super) fn new(parameter: &'t str, text: &'t str, names: Names) -> Self {
        Self { parameter, rest: text, names, depth: 0 }
    }

    /// The whole value is one list of conditions in parentheses.
    pub(super) fn tree(parameter: &'t str, text: &'t str, names: Names) -> Result<Vec<Filter>, Problem> {
        let mut reader = Self::new(parameter, text, names);
        let items = reader.conditions()?;
        reader.end()?;
        Ok(items)
    }

    /// Nothing is left.
    pub(super) fn end(&self) -> Result<(), Problem> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.malformed("its end")) }
    }

    pub(super) fn malformed(&self, expected: &str) -> Problem {
        let found = if self.rest.is_empty() { "its end".to_owned() } else { format!("{:?}", shown(self.rest)) };
        Problem::new(problem::MALFORMED_REQUEST, format!("expected {expected}, found {found}"))
            .parameter(shown(self.parameter))
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, text: &str, expected: &str) -> Result<(), Problem> {
        if self.eat(text) { Ok(()) } else { Err(self.malformed(expected)) }
    }

    /// Everything up to one of those characters.
    pub(super) fn until(&mut self, ends: &[char]) -> &'t str {
        let (before, rest) = self.rest.split_at(self.rest.find(ends).unwrap_or(self.rest.len()));
        self.rest = rest;
        before
    }

    /// What comes next, without going there.
    pub(super) fn ahead(&self, ends: &[char]) -> Option<char> {
        self.rest.chars().find(|c| ends.contains(c))
    }

    /// `(condition,condition…)`, at least one.
    pub(super) fn conditions(&mut self) -> Result<Vec<Filter>, Problem> {
        self.depth += 1;
        if self.depth > FILTER_DEPTH_MAX {
            let detail = format!("there may be at most {FILTER_DEPTH_MAX} levels of and, or");
            return Err(Problem::new(problem::TOO_COMPLEX, detail).parameter(shown(self.parameter)));
        }
        self.expect("(", "an opening parenthesis")?;
        let mut items = vec![self.condition()?];
        while self.eat(",") {
            items.push(self.condition()?);
        }
        self.expect(")", "a comma or a closing parenthesis")?;
        self.depth -= 1;
        Ok(items)
    }

    /// `or(…)`, `and(…)`, `field=value`, and each of them behind `not.`.
    pub(super) fn condition(&mut self) -> Result<Filter, Problem> {
        // Space before a condition says nothing; inside a value it does.
        self.rest = self.rest.trim_start_matches(' ');
        if self.eat("not.") {
            return Ok(Filter::Not(Box::new(self.positive()?)));
        }
        self.positive()
    }

    fn positive(&mut self) -> Result<Filter, Problem> {
        for (word, connective) in CONNECTIVES {
            if self.rest.strip_prefix(word).is_some_and(|rest| rest.starts_with('(')) {
                self.eat(word);
                return Ok(connective(self.conditions()?));
            }
        }
        let name = self.name()?;
        self.expect("=", "field=value or field.operator=value")?;
        let (field, operator) = operator_of(&name)?;
        let operand = if operator.takes_list() { Operand::Many(self.list()?) } else { Operand::One(self.value()?) };
        Ok(Filter::Compare(Comparison { field: field_of(field, self.names), operator, operand }))
    }

    /// A field's name with its operator; the parentheses of a measure belong to it.
    fn name(&mut self) -> Result<String, Problem> {
        let mut name = self.until(&['=', ',', '(', ')', '"']).trim_end_matches(' ').to_owned();
        if self.names == Names::Measures && self.eat("(") {
            name = format!("{name}({}", self.until(&['=', ',', '(', ')', '"']));
            self.expect(")", "a closing parenthesis")?;
            name.push(')');
            name.push_str(self.until(&['=', ',', '(', ')', '"']));
        }
        if name.is_empty() { Err(self.malformed("a condition")) } else { Ok(name) }
    }

    /// A value as RFC 4180 writes a field: quotes keep what would end it, two quotes are one.
    pub(super) fn value(&mut self) -> Result<String, Problem> {
        if !self.eat("\"") {
            return Ok(self.until(&[',', '(', ')', '"']).to_owned());
        }
        let mut value = String::new();
        loop {
            let Some((inside, behind)) = self.rest.split_once('"') else {
                return Err(self.malformed("a closing quote"));
            };
            value.push_str(inside);
            self.rest = behind;
            if !self.eat("\"") {
                return Ok(value);
            }
            value.push('"');
        }
    }

    /// `(value,value…)`; `()` is the empty list.
    fn list(&mut self) -> Result<Vec<String>, Problem> {
        self.expect("(", "a list in parentheses")?;
        let mut items = Vec::new();
        if self.eat(")") {
            return Ok(items);
        }
        loop {
            items.push(self.value()?);
            if !self.eat(",") {
                break;
            }
        }
        self.expect(")", "a comma or a closing parenthesis")?;
        Ok(items)
    }
}

/// Makes a filter of the conditions in parentheses.
pub(super) type Connective = fn(Vec<Filter>) -> Filter;

/// The connectives and what each makes of its conditions.
pub(super) const CONNECTIVES: [(&str, Connective); 2] = [("or", Filter::Any), ("and", Filter::All)];

/// `field` or `field.operator`.
pub(super) fn operator_of(name: &str) -> Result<(&str, Operator), Problem> {
    match name.split_once('.') {
        None => Ok((name, Operator::Eq)),
        Some((field, word)) => {
            let operator = Operator::named(word).ok_or_else(|| unknown_operator(name, word))?;
            Ok((field, operator))
        }
    }
}

/// The problem of an operator that there is not.
pub(super) fn unknown_operator(name: &str, word: &str) -> Problem {
    let all: Vec<&str> = Operator::ALL.into_iter().map(Operator::as_str).collect();
    Problem::new(problem::OPERATOR_NOT_ALLOWED, format!("there is no operator {}", shown(word)))
        .parameter(shown(name))
        .hint(format!("there are: {}", all.join(", ")))
}

/// The field's name in the answer: `avg(close)` is `avg_close` there, and `date:month` is `date_month`.
pub(super) fn field_of(written: &str, names: Names) -> String {
    match (names, written.strip_suffix(')').and_then(|call| call.split_once('('))) {
        (Names::Columns, _) => written.to_owned(),
        (Names::Measures, Some((function, ""))) => function.to_owned(),
        (Names::Measures, Some((function, field))) => format!("{function}_{field}"),
        (Names::Measures, None) => written.replacen(':', "_", 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(field: &str, operator: Operator, operand: Operand) -> Filter {
        Filter::Compare(Comparison { field: field.into(), operator, operand })
    }

    fn eq(field: &str, value: &str) -> Filter {
        compare(field, Operator::Eq, Operand::One(value.into()))
    }

    fn read(text: &str, names: Names) -> Result<Vec<Filter>, &'static str> {
        Reader::tree("or", text, names).map_err(|problem| problem.kind.slug)
    }

    #[test]
    fn trees_are_read_with_their_connectives() {
        let not = |filter| Filter::Not(Box::new(filter));
        let less = compare("pe", Operator::Lt, Operand::One("15".into()));
        let cases = [
            ("(a=1)", vec![eq("a", "1")]),
            (
                "(pe.lt=15,not.and(sector=Energy,country=US))",
                vec![less.clone(), not(Filter::All(vec![eq("sector", "Energy"), eq("country", "US")]))],
            ),
            ("(not.a=1,or(b=2,c=))", vec![not(eq("a", "1")), Filter::Any(vec![eq("b", "2"), eq("c", "")])]),
            ("(a=x.y=z)", vec![eq("a", "x.y=z")]),
            (r#"(a="1,(""2"")",b=3)"#, vec![eq("a", r#"1,("2")"#), eq("b", "3")]),
            (
                r#"(a.in=(A,"B,C",),b.nin=())"#,
                vec![
                    compare("a", Operator::In, Operand::Many(vec!["A".into(), "B,C".into(), String::new()])),
                    compare("b", Operator::Nin, Operand::Many(Vec::new())),
                ],
            ),
            ("( a =1, not.b=2 )", vec![eq("a", "1"), not(eq("b", "2 "))]),
            // A column may be called as a connective begins.
            ("(order=1,android=2)", vec![eq("order", "1"), eq("android", "2")]),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text, Names::Columns), Ok(expected), "{text}");
        }
        let measured = vec![
            compare("avg_close", Operator::Gte, Operand::One("1".into())),
            eq("count", "2"),
            eq("date_month", "2012-01-01"),
        ];
        assert_eq!(read("(avg(close).gte=1,count()=2,date:month=2012-01-01)", Names::Measures), Ok(measured));
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        for text in [
            "",
            "(",
            ")",
            "()",
            "(a)",
            "(a=1",
            "a=1",
            "(a=1))",
            "(a=1)b",
            "(,a=1)",
            "(a=1,)",
            "(a=\"1)",
            "(a=\"1\"x)",
            "(a=1(2))",
            "(=1)",
            "(a.in=1)",
            "(a.in=(1)",
            "(not.=1)",
            "(or())",
            "(a(b)=1)",
        ] {
            assert_eq!(read(text, Names::Columns), Err("malformed-request"), "{text}");
        }
        assert_eq!(read("(a.like=1)", Names::Columns), Err("operator-not-allowed"));
        let deep = |levels| format!("{}(a=1{}", "(and".repeat(levels - 1), ")".repeat(levels));
        assert!(read(&deep(FILTER_DEPTH_MAX), Names::Columns).is_ok());
        assert_eq!(read(&deep(FILTER_DEPTH_MAX + 1), Names::Columns), Err("too-complex"));
        assert_eq!(read(&"(and".repeat(100_000), Names::Columns), Err("too-complex"));
    }
}
