//! SQL as a small typed tree, rendered for a dialect.
//!
//! Text comes from three places only: words of this file, names of the catalog (which need no quoting care beyond the
//! quotes), and the numbers of parameters. A literal has no way in: it can only become a [`Parameter`].

use crate::catalog::{Direction, Name, Relation, Type};
use crate::plan::Value;

/// What SQLite's full-text table is called, behind the name of the relation that it serves.
pub(super) const SEARCH_TABLE: &str = "__search";

/// Which database's SQL is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// PostgreSQL 13 and later.
    Postgres,
    /// SQLite 3.37 and later (strict tables).
    Sqlite,
}

impl Dialect {
    /// The database's name, as its URL has it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// A literal on its way to the database, bound to a placeholder.
#[derive(Clone, PartialEq, Debug)]
pub enum Parameter {
    /// One value of the type.
    One(Type, Value),
    /// A list of values of the type, for databases that take lists.
    Many(Type, Vec<Value>),
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::One(data_type, value) => write!(f, "{data_type} {}", value.shown(*data_type)),
            Self::Many(data_type, values) => {
                let values: Vec<String> = values.iter().map(|value| value.shown(*data_type)).collect();
                write!(f, "{data_type}[] {}", values.join(", "))
            }
        }
    }
}

/// Rendered SQL and its parameters in the order of their placeholders.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    /// The text.
    pub text: String,
    /// What is bound.
    pub parameters: Vec<Parameter>,
    /// Whether a plan for these parameters may be far better than one for any.
    pub planned_anew: bool,
}

/// `SELECT … FROM … WHERE … GROUP BY … ORDER BY … LIMIT …`.
#[derive(Clone, Default)]
pub(super) struct Select<'p> {
    /// Postgres' `DISTINCT ON (…)`: empty for none.
    pub(super) distinct_on: Vec<Expr<'p>>,
    pub(super) columns: Vec<Expr<'p>>,
    pub(super) from: From<'p>,
    pub(super) filter: Expr<'p>,
    /// How many of the columns, the first ones, make groups.
    pub(super) groups: usize,
    pub(super) order: Vec<Order<'p>>,
    pub(super) limit: Option<Limit>,
}

/// How many rows at most.
#[derive(Clone)]
pub(super) enum Limit {
    One,
    Bound(Parameter),
    /// So many, or some more where another select cuts them: the least of [`STEPS`] that is enough, as a word. Postgres
    /// keeps a plan for all parameters only where it costs no more than one made for these, and of a limit that is a
    /// parameter it assumes a tenth of the rows.
    AtLeast(Parameter),
}

/// Limits that are words: the powers of two, and one more than people mostly ask for.
const STEPS: [(i64, &str); 26] = [
    (2, "2"),
    (4, "4"),
    (6, "6"),
    (8, "8"),
    (11, "11"),
    (16, "16"),
    (21, "21"),
    (26, "26"),
    (32, "32"),
    (51, "51"),
    (64, "64"),
    (101, "101"),
    (128, "128"),
    (201, "201"),
    (256, "256"),
    (501, "501"),
    (512, "512"),
    (1001, "1001"),
    (2048, "2048"),
    (4096, "4096"),
    (8192, "8192"),
    (16_384, "16384"),
    (32_768, "32768"),
    (65_536, "65536"),
    (131_072, "131072"),
    (1_048_576, "1048576"),
];

/// Keys of a list that are placeholders of their own: their number is then known to a plan for all parameters.
const KEYS_SPELLED_MAX: usize = 16;

#[derive(Clone, Default)]
pub(super) enum From<'p> {
    /// One row without columns.
    #[default]
    Nothing,
    Relation(&'p Relation),
    /// The words of a column, in SQLite: a full-text table beside the relation.
    SearchTable(&'p Relation),
    /// SQLite: the elements of a JSON list.
    Rows(Expr<'p>),
    /// A subquery and the word that it goes by.
    Select(Box<Select<'p>>, &'static str),
    /// Postgres: a subquery for each key, which it knows as [`Expr::Key`], and the word that it goes by.
    Each(Keys<'p>, Box<Select<'p>>, &'static str),
}

/// Where the keys of [`From::Each`] come from.
#[derive(Clone)]
pub(super) enum Keys<'p> {
    /// They are given, a list for each of their columns.
    Given(Vec<Parameter>),
    /// The different values of a column, found by going from each to the next in an index.
    Walked(&'p Relation, Expr<'p>),
}

/// A key of `ORDER BY`.
#[derive(Clone)]
pub(super) struct Order<'p> {
    pub(super) by: Expr<'p>,
    pub(super) direction: Direction,
    /// Where nulls stand, if there can be any.
    pub(super) nulls_first: Option<bool>,
}

#[derive(Clone)]
pub(super) enum Expr<'p> {
    Column(&'p Name),
    /// A column of ours in an inner select. No name of a catalog begins with an underscore.
    Inner(&'static str, usize),
    /// That column of the keys of [`From::Each`], counted from one.
    Key(usize),
    Bind(Parameter),
    /// The whole of SQLite's full-text table beside the relation.
    SearchTable(&'p Relation),
    /// The expression by another name.
    Named(Box<Expr<'p>>, &'p Name),
    /// The expression by a name of ours.
    NamedInner(Box<Expr<'p>>, &'static str, usize),
    /// Words of SQL around expressions.
    Words(Vec<Part<'p>>),
    /// The expression under bytewise collation.
    Bytewise(Box<Expr<'p>>),
    /// `left operator right`; lists of more than one are row values.
    Compare(Vec<Expr<'p>>, Compare, Vec<Expr<'p>>),
    /// `left IN (…)`, or `NOT IN`.
    In {
        left: Box<Expr<'p>>,
        data_type: Type,
        values: Vec<Value>,
        not: bool,
    },
    /// `left IN (SELECT …)`; a list of more than one is a row value.
    Among(Vec<Expr<'p>>, Box<Select<'p>>),
    IsNull(Box<Expr<'p>>),
    IsNotNull(Box<Expr<'p>>),
    /// The text has the other in it.
    Contains(Box<Expr<'p>>, Parameter),
    /// The list has the element.
    Has(Box<Expr<'p>>, Parameter),
    /// The empty conjunction is true.
    And(Vec<Expr<'p>>),
    /// The empty disjunction is false.
    Or(Vec<Expr<'p>>),
    Not(Box<Expr<'p>>),
    /// A window function over the rows that agree in the partition, in an order.
    Over {
        function: Box<Expr<'p>>,
        partition: Vec<Expr<'p>>,
        order: Vec<Order<'p>>,
    },
}

/// A piece of [`Expr::Words`].
#[derive(Clone)]
pub(super) enum Part<'p> {
    Word(&'static str),
    Expr(Expr<'p>),
}

impl Default for Expr<'_> {
    fn default() -> Self {
        Self::And(Vec::new())
    }
}

impl<'p> Expr<'p> {
    /// Words alone.
    pub(super) fn word(word: &'static str) -> Self {
        Self::Words(vec![Part::Word(word)])
    }

    /// The expression between words.
    pub(super) fn between(before: &'static str, expr: Self, after: &'static str) -> Self {
        Self::Words(vec![Part::Word(before), Part::Expr(expr), Part::Word(after)])
    }

    /// Both hold.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::And(none), other) if none.is_empty() => other,
            (one, Self::And(none)) if none.is_empty() => one,
            (Self::And(mut parts), other) => {
                parts.push(other);
                Self::And(parts)
            }
            (one, other) => Self::And(vec![one, other]),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Eq,
    Ne,
    Gt,
    Gte,
    Lt,
    Lte,
}

impl Compare {
    fn sign(self) -> &'static str {
        match self {
            Self::Eq => " = ",
            Self::Ne => " <> ",
            Self::Gt => " > ",
            Self::Gte => " >= ",
            Self::Lt => " < ",
            Self::Lte => " <= ",
        }
    }
}

impl Select<'_> {
    pub(super) fn render(&self, dialect: Dialect) -> Statement {
        let mut writer = Writer { dialect, text: String::with_capacity(512), parameters: Vec::new() };
        writer.select(self);
        Statement { text: writer.text, parameters: writer.parameters, planned_anew: false }
    }
}

struct Writer {
    dialect: Dialect,
    text: String,
    parameters: Vec<Parameter>,
}

impl Writer {
    /// Static words are the only text that is not a name or a placeholder.
    fn word(&mut self, word: &'static str) {
        self.text.push_str(word);
    }

    fn name(&mut self, name: &Name) {
        self.text.push('"');
        self.text.push_str(name.as_str());
        self.text.push('"');
    }

    fn bind(&mut self, parameter: &Parameter) {
        self.parameters.push(parameter.clone());
        self.text.push(if self.dialect == Dialect::Postgres { '$' } else { '?' });
        self.text.push_str(itoa::Buffer::new().format(self.parameters.len()));
    }

    fn list<T>(&mut self, items: &[T], separator: &'static str, mut write: impl FnMut(&mut Self, &T)) {
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.word(separator);
            }
            write(self, item);
        }
    }

    fn select(&mut self, select: &Select<'_>) {
        self.word("SELECT ");
        if !select.distinct_on.is_empty() {
            self.word("DISTINCT ON (");
            self.list(&select.distinct_on, ", ", Self::expr);
            self.word(") ");
        }
        self.list(&select.columns, ", ", Self::expr);
        self.from(&select.from);
        if !matches!(&select.filter, Expr::And(parts) if parts.is_empty()) {
            self.word(" WHERE ");
            self.expr(&select.filter);
        }
        if select.groups > 0 {
            // By their places: the same expression with the same parameters would be another one to the database.
            self.word(" GROUP BY ");
            self.list(&(1..=select.groups).collect::<Vec<_>>(), ", ", |writer, place| writer.number(*place));
        }
        if !select.order.is_empty() {
            self.word(" ORDER BY ");
            self.list(&select.order, ", ", Self::order);
        }
        match &select.limit {
            None => {}
            Some(Limit::One) => self.word(" LIMIT 1"),
            Some(Limit::AtLeast(Parameter::One(_, Value::Int(rows)))) if *rows <= STEPS[STEPS.len() - 1].0 => {
                let step = STEPS.iter().find(|(step, _)| step >= rows).map_or(STEPS[STEPS.len() - 1].1, |step| step.1);
                self.word(" LIMIT ");
                self.word(step);
            }
            Some(Limit::Bound(limit) | Limit::AtLeast(limit)) => {
                self.word(" LIMIT ");
                self.bind(limit);
            }
        }
    }

    fn from(&mut self, from: &From<'_>) {
        if !matches!(from, From::Nothing) {
            self.word(" FROM ");
        }
        match from {
            From::Nothing => {}
            From::Relation(relation) => self.relation(relation),
            From::SearchTable(relation) => self.search_table(relation),
            From::Rows(list) => {
                self.word("json_each(");
                self.expr(list);
                self.word(")");
            }
            From::Select(inner, alias) => {
                self.word("(");
                self.select(inner);
                self.word(") AS ");
                self.word(alias);
            }
            From::Each(keys, inner, alias) => {
                self.keys(keys);
                self.word(" CROSS JOIN LATERAL (");
                self.select(inner);
                self.word(") AS ");
                self.word(alias);
            }
        }
    }

    fn relation(&mut self, relation: &Relation) {
        if let Some(schema) = &relation.schema {
            self.name(schema);
            self.word(".");
        }
        self.name(&relation.table);
    }

    /// The loader makes it under this name.
    fn search_table(&mut self, relation: &Relation) {
        self.text.push('"');
        self.text.push_str(relation.table.as_str());
        self.text.push_str(SEARCH_TABLE);
        self.text.push('"');
    }

    fn keys(&mut self, keys: &Keys<'_>) {
        let columns = match keys {
            Keys::Given(lists)
                if let [Parameter::Many(data_type, values)] = lists.as_slice()
                    && (1..=KEYS_SPELLED_MAX).contains(&values.len()) =>
            {
                self.word("(VALUES (");
                self.list(values, "), (", |writer, value| writer.bind(&Parameter::One(*data_type, value.clone())));
                self.word("))");
                1
            }
            Keys::Given(lists) => {
                self.word("unnest(");
                self.list(lists, ", ", Self::bind);
                self.word(")");
                lists.len()
            }
            Keys::Walked(relation, column) => {
                let column = &Expr::Bytewise(Box::new(column.clone()));
                let step = |writer: &mut Self| {
                    writer.word(" ORDER BY ");
                    writer.expr(column);
                    writer.word(" LIMIT 1)");
                };
                let plain = if let Expr::Bytewise(plain) = column { plain } else { column };
                self.word("(WITH RECURSIVE _walk(_1) AS ((SELECT ");
                self.expr(plain);
                self.word(" FROM ");
                self.relation(relation);
                step(self);
                self.word(" UNION ALL SELECT (SELECT ");
                self.expr(plain);
                self.word(" FROM ");
                self.relation(relation);
                self.word(" WHERE ");
                self.expr(column);
                self.word(" > _walk._1");
                step(self);
                self.word(" FROM _walk WHERE _walk._1 IS NOT NULL) SELECT _1 FROM _walk WHERE _1 IS NOT NULL)");
                1
            }
        };
        self.word(" AS _keys(");
        self.list(&(1..=columns).collect::<Vec<_>>(), ", ", |writer, place| {
            writer.word("_");
            writer.number(*place);
        });
        self.word(")");
    }

    fn number(&mut self, number: usize) {
        self.text.push_str(itoa::Buffer::new().format(number));
    }

    fn inner(&mut self, name: &'static str, place: usize) {
        self.word(name);
        if place > 0 {
            self.number(place);
        }
    }

    fn order(&mut self, order: &Order<'_>) {
        self.expr(&order.by);
        let descending = order.direction == Direction::Descending;
        if descending {
            self.word(" DESC");
        }
        // Postgres takes null for the greatest value, SQLite for the least. Said only where it differs, since an index
        // serves an order only as it is written.
        let by_default = (self.dialect == Dialect::Postgres) == descending;
        match order.nulls_first {
            Some(true) if !by_default => self.word(" NULLS FIRST"),
            Some(false) if by_default => self.word(" NULLS LAST"),
            _ => {}
        }
    }

    fn expr(&mut self, expr: &Expr<'_>) {
        match expr {
            Expr::Column(name) => self.name(name),
            Expr::Bind(parameter) => self.bind(parameter),
            Expr::SearchTable(relation) => self.search_table(relation),
            Expr::Inner(name, place) => self.inner(name, *place),
            Expr::Key(place) => {
                self.word("_keys._");
                self.number(*place);
            }
            Expr::Named(inner, name) => {
                self.expr(inner);
                self.word(" AS ");
                self.name(name);
            }
            Expr::NamedInner(inner, name, place) => {
                self.expr(inner);
                self.word(" AS ");
                self.inner(name, *place);
            }
            Expr::Words(parts) => self.list(parts, "", |writer, part| match part {
                Part::Word(word) => writer.word(word),
                Part::Expr(expr) => writer.expr(expr),
            }),
            Expr::Bytewise(inner) => {
                self.expr(inner);
                self.word(match self.dialect {
                    Dialect::Postgres => " COLLATE \"C\"",
                    Dialect::Sqlite => " COLLATE BINARY",
                });
            }
            Expr::Compare(left, operator, right) => {
                self.row(left);
                self.word(operator.sign());
                self.row(right);
            }
            Expr::In { left, data_type, values, not } => self.is_in(left, *data_type, values, *not),
            Expr::Among(left, inner) => {
                self.row(left);
                self.word(" IN (");
                self.select(inner);
                self.word(")");
            }
            Expr::IsNull(inner) => {
                self.expr(inner);
                self.word(" IS NULL");
            }
            Expr::IsNotNull(inner) => {
                self.expr(inner);
                self.word(" IS NOT NULL");
            }
            Expr::Contains(text, part) => {
                self.word(if self.dialect == Dialect::Postgres { "strpos(" } else { "instr(" });
                self.expr(text);
                self.word(", ");
                self.bind(part);
                self.word(") > 0");
            }
            Expr::Has(list, element) => self.has(list, element),
            Expr::And(parts) if parts.is_empty() => self.word("1 = 1"),
            Expr::Or(parts) if parts.is_empty() => self.word("1 = 0"),
            Expr::And(parts) => self.list(parts, " AND ", Self::operand),
            Expr::Or(parts) => self.list(parts, " OR ", Self::operand),
            Expr::Not(inner) => {
                self.word("NOT ");
                self.operand(inner);
            }
            Expr::Over { function, partition, order } => {
                self.expr(function);
                self.word(" OVER (");
                if !partition.is_empty() {
                    self.word("PARTITION BY ");
                    self.list(partition, ", ", Self::expr);
                }
                if !order.is_empty() {
                    self.word(if partition.is_empty() { "ORDER BY " } else { " ORDER BY " });
                    self.list(order, ", ", Self::order);
                }
                self.word(")");
            }
        }
    }

    /// Connectives in parentheses, everything else bare.
    fn operand(&mut self, expr: &Expr<'_>) {
        let connective = matches!(expr, Expr::And(_) | Expr::Or(_) | Expr::Not(_));
        if connective {
            self.word("(");
        }
        self.expr(expr);
        if connective {
            self.word(")");
        }
    }

    fn row(&mut self, row: &[Expr<'_>]) {
        if let [one] = row {
            return self.expr(one);
        }
        self.word("(");
        self.list(row, ", ", Self::expr);
        self.word(")");
    }

    fn is_in(&mut self, left: &Expr<'_>, data_type: Type, values: &[Value], not: bool) {
        self.expr(left);
        match self.dialect {
            // One array parameter: the text, and so the prepared statement, is the same for every length.
            Dialect::Postgres => {
                self.word(if not { " <> ALL(" } else { " = ANY(" });
                self.bind(&Parameter::Many(data_type, values.to_vec()));
            }
            Dialect::Sqlite => {
                self.word(if not { " NOT IN (" } else { " IN (" });
                self.list(values, ", ", |writer, value| writer.bind(&Parameter::One(data_type, value.clone())));
            }
        }
        self.word(")");
    }

    fn has(&mut self, list: &Expr<'_>, element: &Parameter) {
        match self.dialect {
            // Containment, not `= ANY`: only the former is served by a GIN index.
            Dialect::Postgres => {
                self.expr(list);
                self.word(" @> ");
                if let Parameter::One(data_type, value) = element {
                    self.bind(&Parameter::Many(*data_type, vec![value.clone()]));
                }
            }
            // Null has no elements, and does not say that it lacks one.
            Dialect::Sqlite => {
                self.word("CASE WHEN ");
                self.expr(list);
                self.word(" IS NOT NULL THEN EXISTS (SELECT 1 FROM json_each(");
                self.expr(list);
                self.word(") WHERE value = ");
                self.bind(element);
                self.word(") END");
            }
        }
    }
}
