//! Rows as the JSON that a selection asks for: which fields under which names, with related rows inside, and what a page
//! says of itself where the selection asks for that.

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Fields};

use super::json::{Cells, Values, cell, named, write_row, write_text};
use super::{Error, Style};

/// What of an answer is written.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Form {
    /// A page of rows, and what it says of itself.
    Connection(Vec<(String, Part)>),
    /// The one row of a key, or null.
    Row(Node),
}

/// A part of a page, under the name that it has in the answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Part {
    /// The name of the page's type.
    TypeName(String),
    /// Each row with its cursor.
    Edges(Vec<(String, EdgePart)>),
    /// The rows.
    Nodes(Node),
    /// Where the page stands among others.
    PageInfo(Vec<(String, PageInfo)>),
    /// How many rows there are, as far as they could be counted.
    TotalCount,
}

/// A part of a row with its cursor.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum EdgePart {
    /// The name of its type.
    TypeName(String),
    /// Where the row stands.
    Cursor,
    /// The row.
    Node(Node),
}

/// A fact about where a page stands among others.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PageInfo {
    /// The name of its type.
    TypeName(String),
    /// Whether rows come behind it.
    HasNextPage,
    /// Whether rows come before it.
    HasPreviousPage,
    /// The cursor of its first row.
    StartCursor,
    /// The cursor of its last row.
    EndCursor,
}

/// What of a row is written, under the names that it has in the answer.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Node(pub Vec<(String, Output)>);

/// A value of a row.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Output {
    /// The name of its type.
    TypeName(String),
    /// Nothing: what was not asked of the source.
    Null,
    /// A column of the rows.
    Field(String),
    /// A column of related rows.
    Related {
        /// The column's name.
        name: String,
        /// What of each is written.
        node: Node,
    },
}

/// What a page knows of itself.
#[derive(Clone, Debug, Default)]
pub struct Standing {
    /// The cursor of each row; empty where no cursor is asked for.
    pub cursors: Vec<String>,
    /// Whether rows come behind it.
    pub has_next: bool,
    /// Whether rows come before it.
    pub has_previous: bool,
    /// How many rows there are, where that is asked for and known.
    pub total: Option<u64>,
}

impl Form {
    /// Whether every row's cursor is written.
    #[must_use]
    pub fn tells_cursors(&self) -> bool {
        let Self::Connection(parts) = self else { return false };
        parts.iter().any(|(_, part)| match part {
            Part::Edges(edges) => edges.iter().any(|(_, part)| *part == EdgePart::Cursor),
            Part::PageInfo(facts) => {
                facts.iter().any(|(_, fact)| matches!(fact, PageInfo::StartCursor | PageInfo::EndCursor))
            }
            Part::TypeName(_) | Part::Nodes(_) | Part::TotalCount => false,
        })
    }
}

/// Writes the rows of a batch, whose related rows are columns of structs, as a form asks for.
///
/// # Errors
/// When the form asks for a column that the batch does not have, or has in a type that no contract has.
pub fn tree(batch: &RecordBatch, form: &Form, standing: &Standing, style: &Style) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(256 + batch.num_rows() * batch.num_columns() * 24);
    match form {
        Form::Row(_) if batch.num_rows() == 0 => out.extend_from_slice(b"null"),
        Form::Row(node) => write_row(&node.cells(batch.schema_ref().fields(), batch.columns(), style)?, 0, &mut out),
        Form::Connection(parts) => {
            object(parts, &mut out, |part, out| write_part(part, batch, standing, style, out))?;
        }
    }
    Ok(out)
}

fn object<T>(
    parts: &[(String, T)],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&T, &mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(b'{');
    for (place, (name, part)) in parts.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        write(part, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn write_part(
    part: &Part,
    batch: &RecordBatch,
    standing: &Standing,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let cells = |node: &Node| node.cells(batch.schema_ref().fields(), batch.columns(), style);
    match part {
        Part::TypeName(name) => write_text(name, out),
        Part::TotalCount => match standing.total {
            // Numbers that a double cannot hold are strings, whatever this one is.
            Some(total) => write_text(&total.to_string(), out),
            None => out.extend_from_slice(b"null"),
        },
        Part::Nodes(node) => {
            let cells = cells(node)?;
            rows(batch.num_rows(), out, |row, out| {
                write_row(&cells, row, out);
                Ok(())
            })?;
        }
        Part::Edges(edges) => {
            let nodes: Vec<Vec<Cells<'_>>> = (edges.iter())
                .filter_map(|(_, part)| if let EdgePart::Node(node) = part { Some(cells(node)) } else { None })
                .collect::<Result<_, _>>()?;
            rows(batch.num_rows(), out, |row, out| {
                let mut nodes = nodes.iter();
                object(edges, out, |part, out| {
                    match part {
                        EdgePart::TypeName(name) => write_text(name, out),
                        EdgePart::Cursor => write_option(standing.cursors.get(row), out),
                        EdgePart::Node(_) => nodes.next().iter().for_each(|cells| write_row(cells, row, out)),
                    }
                    Ok(())
                })
            })?;
        }
        Part::PageInfo(facts) => {
            let flag = |flag: bool| if flag { &b"true"[..] } else { b"false" };
            object(facts, out, |fact, out| {
                match fact {
                    PageInfo::TypeName(name) => write_text(name, out),
                    PageInfo::HasNextPage => out.extend_from_slice(flag(standing.has_next)),
                    PageInfo::HasPreviousPage => out.extend_from_slice(flag(standing.has_previous)),
                    PageInfo::StartCursor => write_option(standing.cursors.first(), out),
                    PageInfo::EndCursor => write_option(standing.cursors.last(), out),
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn write_option(text: Option<&String>, out: &mut Vec<u8>) {
    match text {
        Some(text) => write_text(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn rows(
    count: usize,
    out: &mut Vec<u8>,
    mut write: impl FnMut(usize, &mut Vec<u8>) -> Result<(), Error>,
) -> Result<(), Error> {
    out.push(b'[');
    for row in 0..count {
        if row > 0 {
            out.push(b',');
        }
        write(row, out)?;
    }
    out.push(b']');
    Ok(())
}

impl Node {
    /// The cells of the node, among columns of those fields.
    fn cells<'b>(&self, fields: &Fields, columns: &'b [ArrayRef], style: &'b Style) -> Result<Vec<Cells<'b>>, Error> {
        let find = |name: &str| {
            let (place, field) = fields.find(name).ok_or_else(|| Error::NoColumn(name.to_owned()))?;
            Ok((field, &columns[place]))
        };
        let cell_of = |(key, output): &(String, Output)| {
            let mut found = match output {
                Output::TypeName(name) => {
                    let mut text = Vec::with_capacity(name.len() + 2);
                    write_text(name, &mut text);
                    Cells::fixed(text)
                }
                Output::Null => Cells::fixed(b"null".to_vec()),
                Output::Field(name) => {
                    let (field, array) = find(name)?;
                    cell(field, array, style)?
                }
                Output::Related { name, node } => {
                    let (field, array) = find(name)?;
                    let values = match field.data_type() {
                        DataType::Struct(fields) => {
                            Values::Row(node.cells(fields, array.as_struct().columns(), style)?)
                        }
                        DataType::List(item) if let DataType::Struct(fields) = item.data_type() => {
                            let list = array.as_list::<i32>();
                            let columns = list.values().as_struct().columns();
                            Values::Rows(list.offsets(), node.cells(fields, columns, style)?)
                        }
                        other => return Err(Error::Type(other.clone())),
                    };
                    Cells::of(array, values)
                }
            };
            found.key = named(key);
            Ok(found)
        };
        self.0.iter().map(cell_of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn name(text: &str) -> String {
        text.to_owned()
    }

    #[test]
    fn a_selection_decides_names_and_order_and_a_page_says_where_it_stands() {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).expect("a batch");
        let node = Node(vec![
            (name("text"), Output::Field(name("t"))),
            (name("__typename"), Output::TypeName(name("Row"))),
            (name("again"), Output::Field(name("t"))),
            (name("gone"), Output::Null),
        ]);
        let form = Form::Connection(vec![
            (
                name("edges"),
                Part::Edges(vec![(name("c"), EdgePart::Cursor), (name("node"), EdgePart::Node(node.clone()))]),
            ),
            (name("totalCount"), Part::TotalCount),
            (
                name("pageInfo"),
                Part::PageInfo(vec![(name("next"), PageInfo::HasNextPage), (name("end"), PageInfo::EndCursor)]),
            ),
        ]);
        let standing =
            Standing { cursors: vec![name("x"), name("y")], has_next: true, has_previous: false, total: Some(7) };
        assert!(form.tells_cursors());
        let written = |batch: &RecordBatch, form: &Form, standing: &Standing| {
            let out = tree(batch, form, standing, &Style::default()).expect("written");
            String::from_utf8(out).expect("UTF-8")
        };
        assert_eq!(
            written(&batch, &form, &standing),
            r#"{"edges":[{"c":"x","node":{"text":"a","__typename":"Row","again":"a","gone":null}},{"c":"y","node":{"text":"b","__typename":"Row","again":"b","gone":null}}],"totalCount":"7","pageInfo":{"next":true,"end":"y"}}"#
        );
        let none = written(&batch.slice(0, 0), &form, &Standing::default());
        assert_eq!(none, r#"{"edges":[],"totalCount":null,"pageInfo":{"next":false,"end":null}}"#);
        let row = Form::Row(Node(vec![(name("n"), Output::Field(name("n")))]));
        assert_eq!(written(&batch.slice(1, 1), &row, &Standing::default()), r#"{"n":null}"#);
        assert_eq!(written(&batch.slice(0, 0), &row, &Standing::default()), "null");
        let missing = Form::Row(Node(vec![(name("n"), Output::Field(name("z")))]));
        assert!(matches!(tree(&batch, &missing, &Standing::default(), &Style::default()), Err(Error::NoColumn(_))));
    }
}
