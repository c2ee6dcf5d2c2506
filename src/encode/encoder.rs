//! Batches to a document, one after another, so that a document of any length takes the memory of a part of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::writer::StreamEncoder;
use arrow_schema::{ArrowError, Field, Metadata, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::finite::{finite, roomy};
use super::row_group::RowGroups;
use super::{Error, MediaType, Style, csv, json};

/// What is shorter is copied together: each piece of an answer has a price of its own.
const PIECE_BYTES_MIN: usize = 16 * 1024;

/// What a document says of itself, where its media type has a place for it: Arrow and Parquet do.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// The dataset.
    pub dataset: String,
    /// Its version; a live dataset has none.
    pub version: Option<String>,
    /// The hash of its contract.
    pub contract: String,
    /// The zone of the days of groups, where one was asked for.
    pub zone: Option<String>,
    /// What is said of columns, by their names.
    pub notes: BTreeMap<String, Note>,
}

/// What is said of a column.
#[derive(Clone, Debug)]
pub struct Note {
    /// The unit of its values.
    pub unit: Option<String>,
    /// What it means.
    pub description: String,
}

impl Facts {
    /// The keys that all media types share, with their values.
    fn pairs(&self) -> Vec<(String, String)> {
        let all = [
            ("martello.dataset", Some(&self.dataset)),
            ("martello.version", self.version.as_ref()),
            ("martello.contract", Some(&self.contract)),
            ("martello.tz", self.zone.as_ref()),
        ];
        all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.clone()))).collect()
    }

    /// The schema with all that is said of it and its columns.
    fn told(&self, schema: &Schema) -> SchemaRef {
        let fields = schema.fields().iter().map(|field| match self.notes.get(field.name()) {
            Some(note) => noted(&roomy(field), note),
            None => roomy(field),
        });
        let fields: Vec<Field> = fields.collect();
        Arc::new(Schema::new(fields).with_metadata(self.pairs().into_iter().collect::<Metadata>()))
    }
}

fn noted(field: &Field, note: &Note) -> Field {
    let mut metadata = field.metadata().clone();
    metadata.insert("martello.description", note.description.clone());
    if let Some(unit) = &note.unit {
        metadata.insert("martello.unit", unit.clone());
    }
    field.clone().with_metadata(metadata)
}

/// Writes batches one after another as one document.
pub struct Encoder(Writer);

enum Writer {
    Lines(Style),
    Csv(Style, Header),
    /// The encoder is taken at the end.
    Arrow(SchemaRef, Option<Box<StreamEncoder>>),
    Parquet(SchemaRef, Box<RowGroups>),
}

/// The first line of a CSV, as long as it is not written.
type Header = Option<Vec<u8>>;

impl Encoder {
    /// An encoder of batches with that schema.
    ///
    /// # Errors
    /// When the media type is JSON, whose page is one object, or has no place for a column.
    pub fn new(media_type: MediaType, schema: &SchemaRef, style: &Style, facts: &Facts) -> Result<Self, Error> {
        Self::on_threads(1, media_type, schema, style, facts)
    }

    /// The same, which encodes columns on so many threads at once where its media type has columns of its own: Parquet. The
    /// document is the same.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn on_threads(
        threads: usize,
        media_type: MediaType,
        schema: &SchemaRef,
        style: &Style,
        facts: &Facts,
    ) -> Result<Self, Error> {
        Ok(Self(match media_type {
            MediaType::Json => return Err(Error::Whole(media_type)),
            MediaType::Ndjson => Writer::Lines(style.clone()),
            MediaType::Csv => {
                let mut header = Vec::new();
                csv::write_header(schema, &mut header);
                Writer::Csv(style.clone(), Some(header))
            }
            MediaType::Arrow => {
                let schema = facts.told(schema);
                // Without compression: readers in browsers have none, and HTTP has its own.
                let writer = StreamEncoder::try_new(&schema).map_err(Error::Arrow)?;
                Writer::Arrow(schema, Some(Box::new(writer)))
            }
            MediaType::Parquet => {
                let schema = facts.told(schema);
                let options = ArrowWriterOptions::new().with_properties(properties(facts));
                let groups = RowGroups::new(&schema, options, threads).map_err(Error::Parquet)?;
                Writer::Parquet(schema, Box::new(groups))
            }
        }))
    }

    /// Takes batches, and appends what is ready. Threads that encode columns meet once for all of them.
    ///
    /// # Errors
    /// When a batch is not of the schema.
    pub fn write_all(&mut self, batches: &[RecordBatch], out: &mut Vec<u8>) -> Result<(), Error> {
        let Writer::Parquet(schema, groups) = &mut self.0 else {
            return batches.iter().try_for_each(|batch| self.write(batch, out));
        };
        let batches = batches.iter().map(|batch| fitted(schema, batch)).collect::<Result<_, _>>();
        give(groups.write(batches.map_err(Error::Arrow)?).map_err(Error::Parquet)?, out);
        Ok(())
    }

    /// Takes a batch, and appends what is ready to be sent.
    ///
    /// # Errors
    /// When the batch is not of the schema.
    pub fn write(&mut self, batch: &RecordBatch, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.0 {
            Writer::Lines(style) => json::write_lines(batch, style, out),
            Writer::Csv(style, header) => {
                out.append(&mut header.take().unwrap_or_default());
                csv::write_rows(batch, style, out)
            }
            Writer::Arrow(schema, writer) => {
                let buffers = buffers(schema, writer.as_deref_mut(), batch)?;
                out.reserve(buffers.iter().map(Buffer::len).sum());
                buffers.iter().for_each(|buffer| out.extend_from_slice(buffer));
                Ok(())
            }
            Writer::Parquet(..) => self.write_all(std::slice::from_ref(batch), out),
        }
    }

    /// Takes a batch, and returns what is ready to be sent. The columns of Arrow are sent as they are, not copied.
    ///
    /// # Errors
    /// When the batch is not of the schema.
    pub fn pieces(&mut self, batch: &RecordBatch) -> Result<Vec<Bytes>, Error> {
        let (mut pieces, mut small) = (Vec::new(), Vec::new());
        if let Writer::Arrow(schema, writer) = &mut self.0 {
            for buffer in buffers(schema, writer.as_deref_mut(), batch)? {
                if buffer.len() < PIECE_BYTES_MIN {
                    small.extend_from_slice(&buffer);
                    continue;
                }
                pieces.extend((!small.is_empty()).then(|| Bytes::from(std::mem::take(&mut small))));
                pieces.push(Bytes::from_owner(buffer));
            }
        } else {
            self.write(batch, &mut small)?;
        }
        pieces.extend((!small.is_empty()).then(|| Bytes::from(small)));
        Ok(pieces)
    }

    /// Ends the document, and appends what is left of it. Nothing may be written afterwards.
    ///
    /// # Errors
    /// When the writer refuses to end.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        match &mut self.0 {
            Writer::Lines(_) => {}
            Writer::Csv(_, header) => out.append(&mut header.take().unwrap_or_default()),
            Writer::Arrow(_, writer) => {
                if let Some(writer) = writer.take() {
                    let left = writer.finish().map_err(Error::Arrow)?;
                    left.iter().for_each(|buffer| out.extend_from_slice(buffer));
                }
            }
            Writer::Parquet(_, groups) => give(groups.finish().map_err(Error::Parquet)?, out),
        }
        Ok(())
    }
}

/// A batch as messages of Arrow. Behind the end there is none any more.
fn buffers(schema: &SchemaRef, writer: Option<&mut StreamEncoder>, batch: &RecordBatch) -> Result<Vec<Buffer>, Error> {
    let batch = fitted(schema, batch).map_err(Error::Arrow)?;
    writer.map_or_else(|| Ok(Vec::new()), |writer| writer.encode(&batch).map_err(Error::Arrow))
}

/// The batch in the document's own schema.
fn fitted(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| finite(field.data_type(), column)).collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

/// Moves what was written, and copies it only behind what is there already.
fn give(mut written: Vec<u8>, out: &mut Vec<u8>) {
    if out.is_empty() {
        *out = written;
    } else {
        out.append(&mut written);
    }
}

fn properties(facts: &Facts) -> WriterProperties {
    let pairs = facts.pairs().into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_key_value_metadata(Some(pairs))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int64Array, StringArray};
    use arrow_ipc::reader::StreamReader;
    use arrow_select::concat::concat_batches;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    /// Rows that repeat nothing, so that they stay about as long as they are.
    fn batch(first: i64, rows: i64) -> RecordBatch {
        let text =
            |row: i64| format!("{:032x}", u128::from(row.cast_unsigned()).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C));
        let numbers: ArrayRef = Arc::new((first..first + rows).collect::<Int64Array>());
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((first..first + rows).map(text)));
        RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).expect("a batch")
    }

    fn facts() -> Facts {
        let note = Note { unit: Some("pieces".into()), description: "A number.".into() };
        let notes = BTreeMap::from([("n".to_owned(), note)]);
        Facts { dataset: "d".into(), version: None, contract: "c0ffee".into(), zone: None, notes }
    }

    fn encoded(media_type: MediaType, schema: &SchemaRef, batches: &[RecordBatch]) -> Vec<u8> {
        let mut encoder = Encoder::new(media_type, schema, &Style::default(), &facts()).expect("an encoder");
        let mut out = Vec::new();
        for batch in batches {
            encoder.write(batch, &mut out).expect("written");
        }
        encoder.finish(&mut out).expect("finished");
        out
    }

    fn read(media_type: MediaType, bytes: Vec<u8>) -> (SchemaRef, Vec<RecordBatch>) {
        match media_type {
            MediaType::Arrow => {
                let reader = StreamReader::try_new(bytes.as_slice(), None).expect("a stream");
                (reader.schema(), reader.map(|batch| batch.expect("a batch")).collect())
            }
            _ => {
                let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a file");
                (
                    Arc::clone(builder.schema()),
                    builder.build().expect("rows").map(|batch| batch.expect("a batch")).collect(),
                )
            }
        }
    }

    #[test]
    fn pieces_are_what_is_written_whole() {
        let one = batch(0, 5000);
        for media_type in [MediaType::Arrow, MediaType::Csv] {
            let mut encoder = Encoder::new(media_type, &one.schema(), &Style::default(), &facts()).expect("an encoder");
            let mut found = Vec::new();
            for piece in encoder.pieces(&one).expect("pieces") {
                assert!(!piece.is_empty());
                found.extend_from_slice(&piece);
            }
            encoder.finish(&mut found).expect("finished");
            assert!(found == encoded(media_type, &one.schema(), std::slice::from_ref(&one)), "{media_type:?}");
        }
    }

    #[test]
    fn binary_documents_read_back_with_what_they_say_of_themselves() {
        let (one, other) = (batch(0, 3), batch(3, 2));
        for media_type in [MediaType::Arrow, MediaType::Parquet] {
            for batches in [vec![one.clone(), other.clone()], Vec::new()] {
                let (schema, found) = read(media_type, encoded(media_type, &one.schema(), &batches));
                assert_eq!(schema.metadata()["martello.dataset"], "d", "{media_type:?}");
                assert_eq!(schema.metadata()["martello.contract"], "c0ffee", "{media_type:?}");
                assert!(!schema.metadata().contains_key("martello.version"));
                assert_eq!(schema.field(0).metadata()["martello.unit"], "pieces");
                assert_eq!(schema.field(0).metadata()["martello.description"], "A number.");
                let plain = |batch: &RecordBatch| {
                    RecordBatch::try_new(one.schema(), batch.columns().to_vec()).expect("a batch")
                };
                let found: Vec<RecordBatch> = found.iter().map(plain).collect();
                assert_eq!(
                    concat_batches(&one.schema(), &found).expect("rows"),
                    concat_batches(&one.schema(), &batches).expect("rows")
                );
            }
        }
    }

    #[test]
    fn text_documents_have_a_beginning_also_without_rows() {
        let schema = batch(0, 1).schema();
        assert_eq!(encoded(MediaType::Csv, &schema, &[]), b"n,t\r\n");
        assert_eq!(encoded(MediaType::Ndjson, &schema, &[]), b"");
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let batch = RecordBatch::try_from_iter([("n", numbers)]).expect("a batch");
        assert_eq!(
            encoded(MediaType::Ndjson, &batch.schema(), std::slice::from_ref(&batch)),
            b"{\"n\":1}\n{\"n\":null}\n"
        );
        assert_eq!(
            encoded(MediaType::Csv, &batch.schema(), &[batch.clone(), batch.slice(0, 1)]),
            b"n\r\n1\r\n\"\"\r\n1\r\n"
        );
    }

    /// JSON asks for its rows at once, and a table has no place for rows inside rows.
    #[test]
    fn what_has_no_place_is_refused() {
        let rows = batch(0, 2);
        let whole = Encoder::new(MediaType::Json, &rows.schema(), &Style::default(), &facts());
        assert!(matches!(whole, Err(Error::Whole(MediaType::Json))));
        let (field, column) = crate::encode::nest_one("r", &rows, &[Some(1), None]).expect("a column");
        let nested = RecordBatch::try_from_iter([(field.name(), column)]).expect("a batch");
        let mut encoder = Encoder::new(MediaType::Csv, &nested.schema(), &Style::default(), &facts()).expect("one");
        assert!(matches!(encoder.write(&nested, &mut Vec::new()), Err(Error::Type(_))));
        for media_type in [MediaType::Arrow, MediaType::Parquet] {
            let (_, found) = read(media_type, encoded(media_type, &nested.schema(), std::slice::from_ref(&nested)));
            assert_eq!(found[0].column(0), nested.column(0), "{media_type:?}");
        }
    }

    /// How many threads there are is no property of the document.
    #[test]
    fn parquet_is_the_same_from_any_number_of_threads() {
        let batches: Vec<RecordBatch> = (0..40).map(|part| batch(part * 4000, 4000)).collect();
        let schema = batches[0].schema();
        let one = encoded(MediaType::Parquet, &schema, &batches);
        for threads in [2, 3, 16] {
            let encoder = Encoder::on_threads(threads, MediaType::Parquet, &schema, &Style::default(), &facts());
            let mut encoder = encoder.expect("an encoder");
            let mut out = Vec::new();
            for batch in &batches {
                encoder.write(batch, &mut out).expect("written");
            }
            encoder.finish(&mut out).expect("finished");
            assert!(out == one, "{threads}");
        }
    }

    /// However many are written together, rows come in their order, and row groups stay as long as they may be.
    #[test]
    fn parquet_takes_any_number_of_batches_together() {
        let batches: Vec<RecordBatch> =
            (0..40).map(|part| batch(part * 10_000, if part % 7 == 3 { 0 } else { 10_000 })).collect();
        let schema = batches[0].schema();
        let expected = concat_batches(&schema, &batches).expect("rows");
        for together in [1, 3, 40] {
            let encoder = Encoder::on_threads(2, MediaType::Parquet, &schema, &Style::default(), &facts());
            let mut encoder = encoder.expect("an encoder");
            let mut document = Vec::new();
            for some in batches.chunks(together) {
                encoder.write_all(some, &mut document).expect("written");
            }
            encoder.finish(&mut document).expect("finished");
            let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(document.clone())).expect("a file");
            for group in builder.metadata().row_groups() {
                assert!((1..=122_880).contains(&group.num_rows()), "{together}: {group:?}");
                assert!(group.compressed_size() <= 9 << 20, "{together}: {group:?}");
            }
            let (_, found) = read(MediaType::Parquet, document);
            let plain = |batch: &RecordBatch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec());
            let found: Vec<RecordBatch> = found.iter().map(|batch| plain(batch).expect("a batch")).collect();
            assert!(concat_batches(&schema, &found).expect("rows") == expected, "{together}");
        }
    }

    #[test]
    fn equal_rows_have_equal_bytes() {
        let rows = [batch(0, 1000), batch(1000, 1000)];
        for media_type in MediaType::ALL.into_iter().filter(|media_type| *media_type != MediaType::Json) {
            let encoded = || encoded(media_type, &rows[0].schema(), &rows);
            assert_eq!(encoded(), encoded(), "{media_type:?}");
        }
    }

    /// What an encoder holds is what it has taken and not given: no more than a row group, however long the document.
    #[test]
    fn parquet_comes_in_row_groups_of_a_bounded_size() {
        let rows = 4_096;
        let schema = batch(0, 1).schema();
        let mut encoder = Encoder::new(MediaType::Parquet, &schema, &Style::default(), &facts()).expect("an encoder");
        let (mut document, mut held) = (Vec::new(), 0);
        for part in 0..100 {
            let mut out = Vec::new();
            encoder.write(&batch(part * rows, rows), &mut out).expect("written");
            held = if out.is_empty() { held + rows } else { 0 };
            assert!(held <= 122_880, "{held}");
            document.append(&mut out);
        }
        encoder.finish(&mut document).expect("finished");
        let builder = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(document)).expect("a file");
        let groups = builder.metadata().row_groups();
        assert_eq!(groups.iter().map(parquet::file::metadata::RowGroupMetaData::num_rows).sum::<i64>(), 100 * rows);
        for group in groups {
            assert!(group.num_rows() <= 122_880 && group.compressed_size() <= 9 << 20, "{group:?}");
            assert!(matches!(group.column(0).compression(), Compression::ZSTD(_)));
        }
        assert!(groups.len() >= 4, "{}", groups.len());
    }
}
