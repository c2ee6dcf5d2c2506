//! All rows of a plan out of Postgres by binary `COPY`: the server's fastest way, and one that waits for its reader. The
//! rows of a cursor would be asked for piece by piece and come with a description each.
//!
//! `COPY` takes no parameters. They are settings of its transaction, set by a statement that binds them, so that here
//! too no literal of a request stands in a text.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::{Arguments as _, AssertSqlSafe, Connection as _, Executor as _, SqlSafeStr as _, Statement as _};

use super::decode::{Cell, ColumnBuilder, Rows, Unfit, read_one};
use super::gate::Gate;
use super::idle::Idle;
use super::postgres::{acquire_error, readers_of, statement_error};
use super::sql::Statement;
use super::wire::{self, Reader};
use super::{Error, Reading};

/// A connection that broke before its first row is replaced so often.
const ATTEMPTS_MAX: usize = 3;
/// What binary COPY begins with (see copyto.c): a signature, flags, and the length of an extension.
const HEAD: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The batches of a statement that [`super::select::whole`] wrote.
pub(super) fn copied(
    idle: Arc<Idle>,
    gate: Gate,
    statement: Statement,
    reading: Reading,
) -> impl Stream<Item = Result<RecordBatch, Error>> + Send {
    async_stream::try_stream! {
        let _place = gate.enter().await?;
        let mut rows = Rows::of(reading);
        for attempt in 1.. {
            let mut lease = idle.lease().await.map_err(acquire_error)?;
            let Some(connection) = lease.connection() else { break };
            let begun = begin(connection, &statement, &rows.reading).await;
            if attempt < ATTEMPTS_MAX && matches!(begun, Err(Error::Unavailable(_))) {
                idle.distrust();
                continue;
            }
            let readers = begun?;
            let copy = format!("COPY ({}) TO STDOUT (FORMAT binary)", statement.text);
            let mut pieces = connection.copy_out_raw(&copy).await.map_err(statement_error)?;
            let mut tuples = Tuples::default();
            while let Some(piece) = pieces.try_next().await.map_err(statement_error)? {
                tuples.take(piece);
                while tuples.next()? {
                    append(&tuples, &readers, &mut rows)?;
                    if let Some(batch) = rows.added()? {
                        yield batch;
                    }
                }
            }
            drop(pieces);
            connection.execute("COMMIT").await.map_err(statement_error)?;
            lease.finish();
            if let Some(batch) = rows.rest()? {
                yield batch;
            }
            break;
        }
    }
}

/// A transaction that has the parameters, and how the columns are read: COPY itself tells no types.
async fn begin(connection: &mut PgConnection, statement: &Statement, reading: &Reading) -> Result<Vec<Reader>, Error> {
    // The reader decides how long it takes: one that takes nothing is cut by the listener.
    connection.execute("BEGIN READ ONLY; SET LOCAL statement_timeout = 0").await.map_err(statement_error)?;
    if !statement.parameters.is_empty() {
        let mut arguments = PgArguments::default();
        let mut sets = Vec::with_capacity(statement.parameters.len());
        for (place, parameter) in statement.parameters.iter().enumerate() {
            arguments.add(wire::text(parameter)).map_err(Error::Statement)?;
            sets.push(format!("set_config('martello.p{0}', ${0}, true)", place + 1));
        }
        let set = format!("SELECT {}", sets.join(", "));
        sqlx::query_with(AssertSqlSafe(set), arguments).execute(&mut *connection).await.map_err(statement_error)?;
    }
    // What the driver remembers of this text may be older than the last migration, and COPY would come in other types.
    // From here on the relation is locked against another.
    connection.clear_cached_statements().await.map_err(statement_error)?;
    let described = AssertSqlSafe(statement.text.clone()).into_sql_str();
    let described = connection.prepare(described).await.map_err(statement_error)?;
    readers_of(described.columns(), &reading.columns)
}

/// The tuples of binary COPY: a number of fields, and of each its length and its bytes; a length of -1 is null. Pieces
/// are whole tuples as Postgres sends them, which is no promise: what is not whole waits for the next piece.
#[derive(Default)]
struct Tuples {
    begun: bool,
    piece: Bytes,
    /// Where the next tuple begins.
    at: usize,
    /// Where the fields of the last one are.
    fields: Vec<Option<Range<usize>>>,
}

impl Tuples {
    fn take(&mut self, piece: Bytes) {
        self.piece = match self.piece.get(self.at..) {
            None | Some([]) => piece,
            Some(rest) => [rest, &piece].concat().into(),
        };
        self.at = 0;
    }

    /// Reads the next tuple; false when there is none, or not all of it.
    fn next(&mut self) -> Result<bool, Error> {
        if !self.begun {
            let Some(head) = self.piece.get(..HEAD.len()) else { return Ok(false) };
            if *head != HEAD {
                return Err(malformed());
            }
            (self.begun, self.at) = (true, HEAD.len());
        }
        let Some(count) = self.int::<2>(self.at).map(i16::from_be_bytes) else { return Ok(false) };
        let mut at = self.at + 2;
        self.fields.clear();
        // The end is told by a count of -1.
        let Ok(count) = usize::try_from(count) else {
            self.at = at;
            return Ok(false);
        };
        for _ in 0..count {
            let Some(length) = self.int::<4>(at).map(i32::from_be_bytes) else { return Ok(false) };
            at += 4;
            let field = usize::try_from(length).ok().map(|length| at..at + length);
            at = field.as_ref().map_or(at, |field| field.end);
            self.fields.push(field);
        }
        let whole = at <= self.piece.len();
        if whole {
            self.at = at;
        }
        Ok(whole)
    }

    fn int<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.piece.get(at..at + N)?.try_into().ok()
    }

    fn append(&self, index: usize, reader: Reader, builder: &mut ColumnBuilder) -> Result<(), Unfit> {
        match self.fields.get(index).ok_or(Unfit)? {
            None => builder.append(Cell::Null),
            Some(field) => builder.append(reader.read(&self.piece[field.clone()])?),
        }
    }
}

fn append(tuples: &Tuples, readers: &[Reader], rows: &mut Rows) -> Result<(), Error> {
    let Rows { reading, builders, .. } = rows;
    for (index, (reader, builder)) in readers.iter().zip(builders).enumerate() {
        tuples.append(index, *reader, builder).map_err(|Unfit| {
            reading.unfit(index, |key| {
                read_one(reading.columns[key].1, |builder| tuples.append(key, readers[key], builder))
            })
        })?;
    }
    Ok(())
}

fn malformed() -> Error {
    Error::Unavailable("what came is no binary COPY".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two tuples, (1, null) and ("ab", ""), cut at every byte.
    #[test]
    fn tuples_are_read_however_they_are_cut() {
        let mut bytes = HEAD.to_vec();
        bytes.extend(b"\0\x02\0\0\0\x01\x01\xff\xff\xff\xff");
        bytes.extend(b"\0\x02\0\0\0\x02ab\0\0\0\0");
        bytes.extend(b"\xff\xff");
        for cut in 0..bytes.len() {
            let mut tuples = Tuples::default();
            let mut read = Vec::new();
            for piece in [&bytes[..cut], &bytes[cut..]] {
                tuples.take(Bytes::copy_from_slice(piece));
                while tuples.next().expect("tuples") {
                    let field = |field: &Option<Range<usize>>| field.clone().map(|field| tuples.piece[field].to_vec());
                    read.push(tuples.fields.iter().map(field).collect::<Vec<_>>());
                }
            }
            assert_eq!(read, [vec![Some(vec![1]), None], vec![Some(b"ab".to_vec()), Some(Vec::new())]], "cut at {cut}");
        }
        let mut tuples = Tuples::default();
        tuples.take(Bytes::from_static(b"a text that is no COPY at all"));
        assert!(tuples.next().is_err());
    }
}
