//! SQL as a small typed tree, rendered for a dialect.
//!
//! Text comes from three places only: words of this file, names of the catalog (which need no quoting care beyond the
//! quotes), and the numbers of parameters. A literal has no way in: it can only become a [`Parameter`].

use crate::catalog::{Direction, Name, Relation, Type};
use crate::plan::Value;

/// Which database's SQL is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// PostgreSQL 13 and later.
    Postgres,
    /// SQLite 3.37 and later (strict tables).
    Sqlite,
}

/// A literal on its way to the database, bound to a placeholder.
#[derive(Clone, PartialEq, Debug)]
pub enum Parameter {
    /// One value of the type.
    One(Type, Value),
    /// A list of values of the type, for databases that take lists.
    Many(Type, Vec<Value>),
}

/// Rendered SQL and its parameters in the order of their placeholders.
#[derive(Clone, PartialEq, Debug)]
pub struct Statement {
    /// The text.
    pub text: String,
    /// What is bound.
    pub parameters: Vec<Parameter>,
}

/// `SELECT … FROM … WHERE … ORDER BY … LIMIT …`.
pub(super) struct Select<'p> {
    /// Postgres' `DISTINCT ON (…)`: empty for none.
    pub(super) distinct_on: Vec<Expr<'p>>,
    pub(super) columns: Vec<Expr<'p>>,
    pub(super) from: From<'p>,
    pub(super) filter: Expr<'p>,
    pub(super) order: Vec<Order<'p>>,
    pub(super) limit: Option<Parameter>,
}

pub(super) enum From<'p> {
    Relation(&'p Relation),
    /// A subquery and the word that it goes by.
    Select(Box<Select<'p>>, &'static str),
}

/// A key of `ORDER BY`.
pub(super) struct Order<'p> {
    pub(super) by: Expr<'p>,
    pub(super) direction: Direction,
    /// Where nulls stand, if there can be any.
    pub(super) nulls_first: Option<bool>,
}

#[derive(Clone)]
pub(super) enum Expr<'p> {
    Column(&'p Name),
    Bind(Parameter),
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
    /// `ROW_NUMBER() OVER (PARTITION BY … ORDER BY …) AS _rank`: no name of a catalog begins with an underscore.
    Rank {
        partition: Vec<Expr<'p>>,
        order: Vec<(Expr<'p>, Direction)>,
    },
    /// The rank that an inner select computed is one.
    RankIsOne,
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
        Statement { text: writer.text, parameters: writer.parameters }
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
        self.word(" FROM ");
        match &select.from {
            From::Relation(relation) => {
                if let Some(schema) = &relation.schema {
                    self.name(schema);
                    self.word(".");
                }
                self.name(&relation.table);
            }
            From::Select(inner, alias) => {
                self.word("(");
                self.select(inner);
                self.word(") AS ");
                self.word(alias);
            }
        }
        if !matches!(&select.filter, Expr::And(parts) if parts.is_empty()) {
            self.word(" WHERE ");
            self.expr(&select.filter);
        }
        if !select.order.is_empty() {
            self.word(" ORDER BY ");
            self.list(&select.order, ", ", Self::order);
        }
        if let Some(limit) = &select.limit {
            self.word(" LIMIT ");
            self.bind(limit);
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
            Expr::Rank { partition, order } => {
                self.word("ROW_NUMBER() OVER (PARTITION BY ");
                self.list(partition, ", ", Self::expr);
                self.word(" ORDER BY ");
                self.list(order, ", ", |writer, (expr, direction)| {
                    writer.expr(expr);
                    if *direction == Direction::Descending {
                        writer.word(" DESC");
                    }
                });
                self.word(") AS _rank");
            }
            Expr::RankIsOne => self.word("_rank = 1"),
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
            Dialect::Sqlite => {
                self.word("EXISTS (SELECT 1 FROM json_each(");
                self.expr(list);
                self.word(") WHERE value = ");
                self.bind(element);
                self.word(")");
            }
        }
    }
}
