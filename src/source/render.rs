//! The SQL tree as text for a dialect.
//!
//! Text comes from three places only: words of this room, names of the catalog (which need no quoting care beyond the
//! quotes), and the numbers of parameters. A literal has no way in: it can only become a [`Parameter`].

use crate::catalog::{Direction, Name, Relation, Type};
use crate::plan::Value;

use super::clickhouse;
use super::sql::{
    Compare, Dialect, Expr, From, Join, Keys, Limit, Order, Parameter, Part, SEARCH_TABLE, Select, Statement,
};
use super::wire;

/// Rows of each parent that are a word: each number makes a statement of its own, which is prepared.
const FEW: i64 = 20;
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

/// How a statement of Postgres comes by its parameters. Other databases have one way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Parameters {
    /// Bound to placeholders.
    Bound,
    /// As settings of the transaction: `COPY` takes no other.
    Settings,
}

impl Select<'_> {
    pub(super) fn render(&self, dialect: Dialect) -> Statement {
        self.render_with(dialect, Parameters::Bound)
    }

    /// As [`super::Source::run_whole`] takes it.
    pub(super) fn render_whole(&self, dialect: Dialect) -> Statement {
        self.render_with(dialect, Parameters::Settings)
    }

    pub(super) fn render_with(&self, dialect: Dialect, from: Parameters) -> Statement {
        let settings = from == Parameters::Settings;
        let mut writer = Writer { dialect, settings, text: String::with_capacity(512), parameters: Vec::new() };
        writer.select(self);
        Statement { text: writer.text, parameters: writer.parameters, planned_anew: false, steady: false }
    }
}

struct Writer {
    dialect: Dialect,
    /// Whether Postgres has its parameters as settings.
    settings: bool,
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
        match self.dialect {
            Dialect::ClickHouse => {
                let (before, after) = clickhouse::around(parameter);
                self.word(before);
                self.word("{p");
                self.number(self.parameters.len());
                self.word(":");
                self.text.push_str(&clickhouse::parameter_type(parameter));
                self.word("}");
                self.word(after);
            }
            Dialect::Postgres if self.settings => {
                self.word("current_setting('martello.p");
                self.number(self.parameters.len());
                self.word("')::");
                self.text.push_str(wire::name(parameter));
            }
            Dialect::Postgres => {
                self.word("$");
                self.number(self.parameters.len());
            }
            Dialect::Sqlite => {
                self.word("?");
                self.number(self.parameters.len());
            }
        }
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
        if let Some((limit, by)) = &select.limit_by {
            self.limit(limit);
            self.word(" BY ");
            self.list(by, ", ", Self::expr);
        }
        if let Some(limit) = &select.limit {
            self.limit(limit);
        }
    }

    fn limit(&mut self, limit: &Limit) {
        match limit {
            Limit::One => self.word(" LIMIT 1"),
            Limit::AtLeast(Parameter::One(_, Value::Int(rows))) if *rows <= STEPS[STEPS.len() - 1].0 => {
                let step = STEPS.iter().find(|(step, _)| step >= rows).map_or(STEPS[STEPS.len() - 1].1, |step| step.1);
                self.word(" LIMIT ");
                self.word(step);
            }
            Limit::Few(Parameter::One(_, Value::Int(rows))) if (1..=FEW).contains(rows) => {
                self.word(" LIMIT ");
                self.number(usize::try_from(*rows).unwrap_or(1));
            }
            Limit::Bound(limit) | Limit::AtLeast(limit) | Limit::Few(limit) => {
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
            From::Select(inner, alias) => self.named_select(inner, alias),
            From::Joined(sides, [left, right], join, on) => {
                self.named_select(&sides[0], left);
                self.word(match join {
                    Join::Left => " LEFT JOIN ",
                    Join::Full => " FULL JOIN ",
                });
                self.named_select(&sides[1], right);
                self.word(" ON ");
                self.expr(on);
            }
            From::Either(selects, alias) => {
                self.word("(");
                self.select(&selects[0]);
                self.word(" UNION ALL ");
                self.select(&selects[1]);
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

    fn named_select(&mut self, inner: &Select<'_>, alias: &'static str) {
        self.word("(");
        self.select(inner);
        self.word(") AS ");
        self.word(alias);
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
        // Postgres takes null for the greatest value, SQLite for the least, and ClickHouse has it last. Said only where it
        // differs, since an index serves an order only as it is written.
        let by_default = match self.dialect {
            Dialect::ClickHouse => false,
            Dialect::Postgres => descending,
            Dialect::Sqlite => !descending,
        };
        match order.nulls_first {
            Some(true) if !by_default => self.word(" NULLS FIRST"),
            Some(false) if by_default => self.word(" NULLS LAST"),
            _ => {}
        }
    }

    fn expr(&mut self, expr: &Expr<'_>) {
        match expr {
            Expr::Column(name) => self.name(name),
            Expr::Of(side, name) => {
                self.word(side);
                self.word(".");
                self.name(name);
            }
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
                Part::Number(number) => writer.number(usize::from(*number)),
                Part::Expr(expr) => writer.expr(expr),
            }),
            Expr::Bytewise(inner) => {
                self.expr(inner);
                self.word(match self.dialect {
                    // It compares bytes, and nothing else.
                    Dialect::ClickHouse => "",
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
                self.word(match self.dialect {
                    Dialect::ClickHouse => "position(",
                    Dialect::Postgres => "strpos(",
                    Dialect::Sqlite => "instr(",
                });
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
            Dialect::ClickHouse => {
                self.word(if not { " NOT IN (" } else { " IN (" });
                self.bind(&Parameter::Many(data_type, values.to_vec()));
            }
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
            Dialect::ClickHouse => {
                self.word("has(");
                self.expr(list);
                self.word(", ");
                self.bind(element);
                self.word(")");
            }
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
