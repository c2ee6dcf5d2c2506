//! The difference of two versions as one statement: both are joined on the key, and what is the same in both is left out.
//!
//! A database cannot compare what is shown behind a mask, which is put on here: it marks rows in which nothing else is
//! another, and brings those columns as they were. Whether anything of them shows is found out behind the mask.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, BooleanArray, RecordBatch, StringArray};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use arrow_select::nullif::nullif;
use futures_util::{StreamExt as _, TryStreamExt as _, future};

use crate::auth::Mask;
use crate::catalog::Type;
use crate::plan::{Change, Field, Output, Plan};

use super::render::Parameters;
use super::select::all_rows;
use super::shape::Shape;
use super::sql::{Compare, Dialect, Expr, From, Join, Part, Select, Statement};
use super::{BatchStream, Error};

/// The earlier version.
const FROM: &str = "_from";
/// The later one.
const TO: &str = "_to";
/// A column that every row has: where it is null there is no row.
const HERE: &str = "_here";
/// In place of a [`Change`]: what is masked is another, and nothing else.
const MASKED: &str = "masked";

/// The statement for the difference of both sides of a plan, each with its own shape.
pub(super) fn statement(plan: &Plan, sides: &[Plan; 2], shapes: [&Shape; 2]) -> Statement {
    let dialect = shapes[1].dialect;
    let comparing = Comparing { plan, dialect };
    let rows = |side: usize| side_of(&sides[side], shapes[side]);
    let select = match dialect {
        // SQLite joins the right-hand side of a full join row by row with no index: what is new and what is gone are two
        // questions, and each has one.
        Dialect::Sqlite => {
            let mut coming = comparing.joined(TO, rows(1), FROM, rows(0), Join::Left);
            coming.filter = Expr::Or([gone(FROM)].into_iter().chain(comparing.differing(|_| true)).collect());
            let mut going = comparing.joined(FROM, rows(0), TO, rows(1), Join::Left);
            going.filter = gone(TO);
            let columns = plan.fields().iter().map(|field| Expr::Column(&field.name)).collect();
            Select { columns, from: From::Either(Box::new([coming, going]), "changed"), ..Select::default() }
        }
        Dialect::Postgres | Dialect::ClickHouse => {
            let mut select = comparing.joined(FROM, rows(0), TO, rows(1), Join::Full);
            let missing = [gone(FROM), gone(TO)].into_iter();
            select.filter = Expr::Or(missing.chain(comparing.differing(|_| true)).collect());
            select
        }
    };
    select.render_with(dialect, Parameters::Settings)
}

/// All rows of one version that exist for the caller, with a mark in each.
fn side_of<'p>(side: &'p Plan, shape: &'p Shape) -> Select<'p> {
    let mut select = all_rows(side, shape);
    if shape.dialect != Dialect::ClickHouse {
        select.columns.push(Expr::NamedInner(Box::new(Expr::word("1")), HERE, 0));
        return select;
    }
    // A join fills in what is missing, by nulls where a column has nulls. Lists never have.
    let columns = side.fields().iter().map(|field| {
        let column = Expr::Column(&field.name);
        let filled = field.data_type == Type::StringList;
        let column = if filled { column } else { Expr::between("toNullable(", column, ")") };
        Expr::Named(Box::new(column), &field.name)
    });
    let here = Expr::NamedInner(Box::new(Expr::word("toNullable(1)")), HERE, 0);
    let columns = columns.chain([here]).collect();
    Select { columns, from: From::Select(Box::new(select), "side"), ..Select::default() }
}

fn of<'p>(side: &'static str, field: &'p Field) -> Expr<'p> {
    Expr::Of(side, &field.name)
}

/// Whether a side has no such row.
fn gone<'p>(side: &'static str) -> Expr<'p> {
    Expr::IsNull(Box::new(Expr::word(if side == FROM { "_from._here" } else { "_to._here" })))
}

#[derive(Clone, Copy)]
struct Comparing<'p> {
    plan: &'p Plan,
    dialect: Dialect,
}

impl<'p> Comparing<'p> {
    /// The columns that are told, by the fields of the later side: the first field is the change itself.
    fn columns(self) -> impl Iterator<Item = &'p Field> {
        self.plan.fields()[..self.plan.shown()].iter().skip(1)
    }

    fn is_key(self, field: &Field) -> bool {
        matches!(field.output, Output::Column(index) if self.plan.dataset().primary_key.contains(&index))
    }

    fn joined(
        self,
        left: &'static str,
        left_rows: Select<'p>,
        right: &'static str,
        right_rows: Select<'p>,
        join: Join,
    ) -> Select<'p> {
        let keys = self.columns().filter(|field| self.is_key(field));
        let on = keys.map(|field| Expr::Compare(vec![of(FROM, field)], Compare::Eq, vec![of(TO, field)])).collect();
        let columns = self.plan.fields().iter().map(|field| {
            let value = match field.output {
                Output::Change => self.change(),
                Output::Was(index) => Expr::Of(FROM, &self.plan.column(index).name),
                _ if self.is_key(field) => Expr::Words(vec![
                    Part::Word("CASE WHEN _to._here IS NULL THEN "),
                    Part::Expr(of(FROM, field)),
                    Part::Word(" ELSE "),
                    Part::Expr(of(TO, field)),
                    Part::Word(" END"),
                ]),
                _ => of(TO, field),
            };
            Expr::Named(Box::new(value), &field.name)
        });
        let from = From::Joined(Box::new([left_rows, right_rows]), [left, right], join, Box::new(Expr::And(on)));
        Select { columns: columns.collect(), from, ..Select::default() }
    }

    /// What has become of a row, of those that are not left out.
    fn change(self) -> Expr<'p> {
        let mut parts =
            vec![Part::Word("CASE WHEN _from._here IS NULL THEN 'insert' WHEN _to._here IS NULL THEN 'delete'")];
        if self.differing(|field| field.mask.is_some()).next().is_some() {
            let plain = self.differing(|field| field.mask.is_none()).collect();
            parts.extend([
                Part::Word(" WHEN "),
                Part::Expr(Expr::Or(plain)),
                Part::Word(" THEN 'update' ELSE 'masked' END"),
            ]);
        } else {
            parts.push(Part::Word(" ELSE 'update' END"));
        }
        Expr::Words(parts)
    }

    /// That a column is another, for each of those that could be seen to be.
    fn differing(self, which: impl Fn(&Field) -> bool) -> impl Iterator<Item = Expr<'p>> {
        let fields =
            self.columns().filter(move |field| !self.is_key(field) && field.mask != Some(Mask::Redact) && which(field));
        fields.map(move |field| {
            let (from, to) = (of(FROM, field), of(TO, field));
            let parts = match (self.dialect, field.data_type) {
                (Dialect::ClickHouse, _) => vec![
                    Part::Word("ifNull("),
                    Part::Expr(from.clone()),
                    Part::Word(" <> "),
                    Part::Expr(to.clone()),
                    Part::Word(", isNull("),
                    Part::Expr(from),
                    Part::Word(") <> isNull("),
                    Part::Expr(to),
                    Part::Word("))"),
                ],
                // `json` has no equality, and `jsonb` has.
                (Dialect::Postgres, Type::Json) => vec![
                    Part::Expr(from),
                    Part::Word("::jsonb IS DISTINCT FROM "),
                    Part::Expr(to),
                    Part::Word("::jsonb"),
                ],
                _ => vec![Part::Expr(from), Part::Word(" IS DISTINCT FROM "), Part::Expr(to)],
            };
            Expr::Words(parts)
        })
    }
}

/// The batches without rows in which nothing that is shown is another; of what is gone nothing but the key is left.
pub(super) fn settled(batches: BatchStream, plan: &Plan, dialect: Dialect) -> BatchStream {
    let fields = plan.fields();
    let was = fields.iter().enumerate().filter_map(|(was, field)| match field.output {
        Output::Was(index) => {
            let now = fields.iter().position(|field| field.output == Output::Column(index))?;
            Some((now, was))
        }
        _ => None,
    });
    let masked: Vec<(usize, usize)> = was.collect();
    let lists = fields.iter().enumerate().filter(|(_, field)| field.data_type == Type::StringList);
    let lists: Vec<usize> = lists.map(|(place, _)| place).filter(|_| dialect == Dialect::ClickHouse).collect();
    if masked.is_empty() && lists.is_empty() {
        return batches;
    }
    let settled = move |batch: RecordBatch| settle(&batch, &masked, &lists).map_err(Error::Batch);
    let batches = batches.map(move |batch| batch.and_then(&settled));
    Box::pin(batches.try_filter(|batch| future::ready(batch.num_rows() > 0)))
}

fn settle(batch: &RecordBatch, masked: &[(usize, usize)], lists: &[usize]) -> Result<RecordBatch, ArrowError> {
    let mut columns = batch.columns().to_vec();
    let words = columns[0].as_string::<i32>().clone();
    let word = |row: usize| words.value(row);
    if !lists.is_empty() {
        let gone: BooleanArray = (0..words.len()).map(|row| Some(word(row) == Change::Delete.as_str())).collect();
        for list in lists {
            columns[*list] = nullif(&columns[*list], &gone)?;
        }
    }
    let same = |row: usize| masked.iter().all(|(now, was)| columns[*now].slice(row, 1) == columns[*was].slice(row, 1));
    let kept: BooleanArray = (0..words.len()).map(|row| Some(word(row) != MASKED || !same(row))).collect();
    let told = words.iter().flatten().map(|word| if word == MASKED { Change::Update.as_str() } else { word });
    columns[0] = Arc::new(told.map(Some).collect::<StringArray>());
    filter_record_batch(&RecordBatch::try_new(batch.schema(), columns)?, &kept)
}
