//! What a cursor carries: which question it belongs to, which version its page was of, and the sort key of the last row
//! that was seen.

use arrow_array::RecordBatch;
use uuid::Uuid;

use crate::query::{Cursor, CursorKey};
use crate::store::VersionId;

use super::{Error, Field, Fingerprint, Plan, SortKey, Value};

/// The form of the payload; another one is a cursor of another release.
const FORM: u8 = 2;

/// What stands for a version where the dataset was live: no random id is that.
const LIVE: Uuid = Uuid::nil();

/// Where the next page begins: behind a row with this sort key.
pub type Keyset = Vec<Option<Value>>;

pub(super) fn open(
    cursor: &Cursor,
    key: &CursorKey,
    question: Fingerprint,
    order: &[SortKey],
    fields: &[Field],
) -> Result<(Option<VersionId>, Keyset), Error> {
    let payload = key.open(cursor).ok_or(Error::Cursor)?;
    let mut rest = payload.as_slice();
    let form = rest.split_off_first().ok_or(Error::Cursor)?;
    if *form != FORM {
        return Err(Error::Cursor);
    }
    if rest.split_off(..question.0.len()) != Some(question.0.as_slice()) {
        return Err(Error::OtherCursor);
    }
    let id = rest.split_off(..LIVE.as_bytes().len()).ok_or(Error::Cursor)?;
    let id = Uuid::from_slice(id).map_err(|_| Error::Cursor)?;
    let version = (id != LIVE).then_some(VersionId(id));
    let mut keyset = Vec::with_capacity(order.len());
    for sort_key in order {
        let value = Value::read(&mut rest).ok_or(Error::Cursor)?;
        let fits = match &value {
            Some(value) => value.fits(fields[sort_key.field].data_type),
            None => sort_key.nullable,
        };
        if !fits {
            return Err(Error::OtherCursor);
        }
        keyset.push(value);
    }
    if rest.is_empty() { Ok((version, keyset)) } else { Err(Error::Cursor) }
}

impl Plan {
    /// The cursor of the page that follows that row of an answer to this plan.
    #[must_use]
    pub fn cursor_after(&self, batch: &RecordBatch, row: usize, key: &CursorKey) -> Cursor {
        let mut payload = vec![FORM];
        payload.extend(self.question.0);
        payload.extend(self.version.as_ref().map_or(LIVE, |version| version.id.0).as_bytes());
        for sort_key in &self.order {
            let data_type = self.fields[sort_key.field].data_type;
            let value = Value::at(data_type, batch.column(sort_key.field), row);
            Value::write(value.as_ref(), &mut payload);
        }
        key.seal(&payload)
    }
}
