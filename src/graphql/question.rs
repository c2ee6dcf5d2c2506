//! Selections to questions: the arguments of a root field are a `Query`, and what is selected is what it reads and how the
//! answer is written. No name is looked up here but to tell a column from a relation.

use std::collections::HashMap;

use async_graphql::Value;

use super::conditions::{self, argument, filter, text, wrong};
use super::document::{Document, Selected, Selections};
use super::schema::{Asks, Grouped, Known, Shape, type_of};
use crate::catalog::{Name, RelationKind};
use crate::encode::{EdgePart, Form, Node, Output, PageInfo, Part};
use crate::http::Problem;
use crate::http::problem;
use crate::query::{Aggregate, Bucket, Count, Cursor, Expansion, Filter, Grouping, Limit, Page, Query, Revision};

/// What a root field asks, and how its answer is written.
pub(super) fn of(
    shape: &Shape,
    document: &Document,
    selected: &Selected<'_>,
    asks: Asks,
    dataset: &Name,
) -> Result<(Query, Form), Problem> {
    let known = shape.known(dataset.as_str()).ok_or_else(problem::internal)?;
    let arguments = document.arguments(selected);
    let mut query = Query { dataset: dataset.to_string(), ..Query::default() };
    let reader = Reader { shape, document };
    if asks == Asks::Key {
        let mut wanted = Wanted::default();
        let node = reader.row(known, &selected.within, &mut wanted)?;
        let key = known.view.primary_key().map(|column| {
            let name = column.name.as_str();
            arguments.get(name).and_then(conditions::literal).ok_or_else(|| wrong(name, "expected a value of the key"))
        });
        query.key = Some(key.collect::<Result<_, _>>()?);
        query.page.limit = Some(Limit::Rows(1));
        (query.select, query.expand) = wanted.into();
        return Ok((query, Form::Row(node)));
    }
    query.filter = filter(argument(&arguments, "where"), "where")?;
    query.search = text(&arguments, "search")?;
    query.as_of = text(&arguments, "as_of")?;
    query.tz = text(&arguments, "tz")?;
    query.latest_by = conditions::names(&arguments, "latest_by")?;
    query.revision = match text(&arguments, "revision")? {
        None => None,
        Some(name) => {
            let found = Revision::ALL.into_iter().find(|(word, _)| *word == name);
            Some(found.ok_or_else(|| wrong("revision", "expected first, latest or all"))?.1)
        }
    };
    query.order = conditions::order(argument(&arguments, "order_by"), "order_by")?;
    query.page = page(&arguments)?;
    let parts = match asks {
        Asks::Rows | Asks::Key => {
            let mut wanted = Wanted::default();
            let node = |within: &Selections<'_>| reader.row(known, within, &mut wanted);
            let parts = reader.connection(dataset.as_str(), &selected.within, node)?;
            (query.select, query.expand) = wanted.into();
            parts
        }
        Asks::Groups => reader.groups(known, selected, &arguments, &mut query)?,
        Asks::Bars => {
            let interval = text(&arguments, "interval")?;
            let bucket = interval.as_deref().and_then(Bucket::named);
            let bucket = bucket.ok_or_else(|| wrong("interval", "expected an interval"))?;
            query.aggregate = Some(Aggregate { of: Grouping::Resample(bucket), having: Filter::default() });
            let kind = type_of(dataset.as_str(), "Bar");
            reader.connection(&kind, &selected.within, |within| reader.plain(&kind, within))?
        }
    };
    if parts.iter().any(|(_, part)| *part == Part::TotalCount) {
        query.count = Count::Exact;
    }
    Ok((query, Form::Connection(parts)))
}

/// Which part of the rows: from the beginning on, or from the end back.
fn page(arguments: &HashMap<String, Value>) -> Result<Page, Problem> {
    let given = |name: &str| argument(arguments, name).is_some();
    let backward = given("last") || given("before");
    if backward && (given("first") || given("after")) {
        return Err(wrong("first", "first and after go forwards, last and before go back: expected one of the two"));
    }
    if given("before") && !given("last") {
        return Err(wrong("before", "before says where a page ends: expected last too"));
    }
    let (limit, cursor) = if backward { ("last", "before") } else { ("first", "after") };
    let cursor = text(arguments, cursor)?.map(Cursor);
    Ok(Page { limit: rows(arguments, limit)?, cursor, backward, in_order: false })
}

/// So many rows.
fn rows(arguments: &HashMap<String, Value>, name: &str) -> Result<Option<Limit>, Problem> {
    let Some(value) = argument(arguments, name) else { return Ok(None) };
    let rows = if let Value::Number(number) = value { number.as_i64() } else { None };
    // A negative number is as empty a page as none.
    let rows = rows.ok_or_else(|| wrong(name, "expected a whole number"))?;
    Ok(Some(Limit::Rows(u64::try_from(rows).unwrap_or(0))))
}

/// What is read of rows, and of rows that come with them.
#[derive(Default)]
struct Wanted {
    select: Vec<String>,
    related: Vec<(Expansion, Wanted)>,
}

impl Wanted {
    fn column(&mut self, name: &str) {
        if !self.select.iter().any(|one| one == name) {
            self.select.push(name.to_owned());
        }
    }

    /// Related rows that are the same rows, whatever is selected of each, are read once.
    fn related(&mut self, expansion: Expansion, name: impl FnOnce() -> String) -> (String, &mut Self) {
        let same = |one: &Expansion| {
            (&one.relation, &one.filter, &one.order, one.limit)
                == (&expansion.relation, &expansion.filter, &expansion.order, expansion.limit)
        };
        let place = match self.related.iter().position(|(one, _)| same(one)) {
            Some(place) => place,
            None => {
                let twice = self.related.iter().any(|(one, _)| one.relation == expansion.relation);
                let alias = twice.then(name);
                self.related.push((Expansion { alias, ..expansion }, Self::default()));
                self.related.len() - 1
            }
        };
        let (expansion, wanted) = &mut self.related[place];
        (expansion.name().to_owned(), wanted)
    }
}

impl From<Wanted> for (Option<Vec<String>>, Vec<Expansion>) {
    fn from(wanted: Wanted) -> Self {
        let expand = wanted.related.into_iter().map(|(expansion, wanted)| {
            let (select, expand) = wanted.into();
            Expansion { select, expand, ..expansion }
        });
        (Some(wanted.select), expand.collect())
    }
}

#[derive(Clone, Copy)]
struct Reader<'d> {
    shape: &'d Shape,
    document: &'d Document,
}

impl<'d> Reader<'d> {
    /// The parts of a page.
    fn connection(
        &self,
        kind: &str,
        of: &Selections<'d>,
        mut node: impl FnMut(&Selections<'d>) -> Result<Node, Problem>,
    ) -> Result<Vec<(String, Part)>, Problem> {
        let connection = type_of(kind, "Connection");
        let parts = self.document.fields(&connection, of)?.into_iter().map(|selected| {
            let part = match selected.name {
                "__typename" => Part::TypeName(connection.clone()),
                "nodes" => Part::Nodes(node(&selected.within)?),
                "totalCount" => Part::TotalCount,
                "pageInfo" => Part::PageInfo(self.page_info(&selected.within)?),
                "edges" => {
                    let edge = type_of(kind, "Edge");
                    let parts = self.document.fields(&edge, &selected.within)?.into_iter().map(|selected| {
                        let part = match selected.name {
                            "__typename" => EdgePart::TypeName(edge.clone()),
                            "cursor" => EdgePart::Cursor,
                            "node" => EdgePart::Node(node(&selected.within)?),
                            other => return Err(unknown(other)),
                        };
                        Ok((selected.key.to_owned(), part))
                    });
                    Part::Edges(parts.collect::<Result<_, _>>()?)
                }
                other => return Err(unknown(other)),
            };
            Ok((selected.key.to_owned(), part))
        });
        parts.collect()
    }

    fn page_info(&self, of: &Selections<'d>) -> Result<Vec<(String, PageInfo)>, Problem> {
        let facts = self.document.fields("PageInfo", of)?.into_iter().map(|selected| {
            let fact = match selected.name {
                "__typename" => PageInfo::TypeName("PageInfo".into()),
                "hasNextPage" => PageInfo::HasNextPage,
                "hasPreviousPage" => PageInfo::HasPreviousPage,
                "startCursor" => PageInfo::StartCursor,
                "endCursor" => PageInfo::EndCursor,
                other => return Err(unknown(other)),
            };
            Ok((selected.key.to_owned(), fact))
        });
        facts.collect()
    }

    /// What of a row is written, and what is read for it.
    fn row(&self, known: &Known, of: &Selections<'d>, wanted: &mut Wanted) -> Result<Node, Problem> {
        let kind = known.view.dataset().name.as_str();
        let mut outputs = Vec::new();
        for selected in self.document.fields(kind, of)? {
            let output = if selected.name == "__typename" {
                Output::TypeName(kind.to_owned())
            } else if let Some(relation) = known.relation(selected.name) {
                let other = self.shape.known(relation.dataset.as_str()).ok_or_else(|| unknown(selected.name))?;
                let arguments = self.document.arguments(&selected);
                let mut expansion = Expansion { relation: relation.name.to_string(), ..Expansion::default() };
                if relation.kind == RelationKind::Many {
                    expansion.filter = filter(argument(&arguments, "where"), "where")?;
                    expansion.order = conditions::order(argument(&arguments, "order_by"), "order_by")?;
                    expansion.limit = match rows(&arguments, "first")? {
                        Some(Limit::Rows(rows)) => Some(rows),
                        _ => None,
                    };
                }
                let free = || free_name(known);
                let taken = wanted.related.len();
                let (name, inner) = wanted.related(expansion, || format!("{}{taken}", free()));
                let node = self.row(other, &selected.within, inner)?;
                Output::Related { name, node }
            } else {
                wanted.column(selected.name);
                Output::Field(selected.name.to_owned())
            };
            outputs.push((selected.key.to_owned(), output));
        }
        Ok(Node(outputs))
    }

    /// Fields of an answer under their own names.
    fn plain(&self, kind: &str, of: &Selections<'d>) -> Result<Node, Problem> {
        let outputs = self.document.fields(kind, of)?.into_iter().map(|selected| {
            let output = match selected.name {
                "__typename" => Output::TypeName(kind.to_owned()),
                name => Output::Field(name.to_owned()),
            };
            (selected.key.to_owned(), output)
        });
        Ok(Node(outputs.collect()))
    }

    /// A page of groups: what is selected, ordered by or compared is measured.
    fn groups(
        &self,
        known: &Known,
        selected: &Selected<'d>,
        arguments: &HashMap<String, Value>,
        query: &mut Query,
    ) -> Result<Vec<(String, Part)>, Problem> {
        let kind = type_of(known.view.dataset().name.as_str(), "Group");
        let by = conditions::names(arguments, "group_by")?;
        let having = filter(argument(arguments, "having"), "having")?;
        let mut named: Vec<String> = Vec::new();
        let parts = self.connection(&kind, &selected.within, |within| {
            let node = self.plain(&kind, within)?;
            named.extend(node.0.iter().filter_map(|(_, output)| match output {
                Output::Field(name) => Some(name.clone()),
                _ => None,
            }));
            Ok(node)
        })?;
        named.extend(query.order.iter().flatten().map(|key| key.field.clone()));
        fields_of(&having, &mut named);
        let group_by = by.iter().map(|name| match known.grouped.get(name) {
            Some(Grouped::By(group)) => Ok(group.clone()),
            _ => Err(wrong("group_by", "expected what makes groups")),
        });
        let group_by: Vec<_> = group_by.collect::<Result<_, _>>()?;
        let mut measures = Vec::new();
        for name in named {
            match known.grouped.get(&name) {
                Some(Grouped::By(_)) if !by.contains(&name) => {
                    return Err(wrong(
                        "group_by",
                        &format!("{name} is asked of groups that it does not make: expected it in group_by"),
                    ));
                }
                Some(Grouped::As(measure)) if !measures.contains(measure) => measures.push(measure.clone()),
                _ => {}
            }
        }
        if group_by.is_empty() && measures.is_empty() {
            let count = known.grouped.get("count");
            measures.extend(
                count.and_then(|one| if let Grouped::As(measure) = one { Some(measure.clone()) } else { None }),
            );
        }
        query.aggregate = Some(Aggregate { of: Grouping::Fields { group_by, measures }, having });
        Ok(parts)
    }
}

/// A beginning of names that neither a column nor a relation has.
fn free_name(known: &Known) -> String {
    let dataset = known.view.dataset();
    let names = || {
        let columns = dataset.columns.iter().map(|column| column.name.as_str());
        columns.chain(dataset.relations.iter().map(|relation| relation.name.as_str()))
    };
    let mut name = "r".to_owned();
    while names().any(|taken| taken.starts_with(&name)) {
        name.push('_');
    }
    name
}

/// The fields that a filter names.
fn fields_of(filter: &Filter, names: &mut Vec<String>) {
    match filter {
        Filter::All(all) | Filter::Any(all) => all.iter().for_each(|one| fields_of(one, names)),
        Filter::Not(one) => fields_of(one, names),
        Filter::Compare(comparison) => names.push(comparison.field.clone()),
    }
}

/// Validation lets through what the schema has, and all of that is known here.
fn unknown(name: &str) -> Problem {
    Problem::new(problem::INVALID_DOCUMENT, format!("there is no field {}", problem::shown(name)))
}
