//! Fills a table of ClickHouse by a table beside it: nothing is to be seen of the rows until all have come.

use std::sync::Arc;

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{DataType, Field, Schema};
use clickhouse::Client;

use super::{LoadError, Mode, canonical_json, quoted_columns, quoted_relation};
use crate::catalog::{Dataset, Type};
use crate::config;
use crate::source::clickhouse::client;

/// Behind the name of the table that is filled.
const SIDE: &str = "__load";

/// What an insert must not do by itself: put zeros for nulls, move days into the calendar that a type has.
const SETTINGS: [(&str, &str); 3] =
    [("input_format_null_as_default", "0"), ("date_time_overflow_behavior", "throw"), ("insert_deduplicate", "0")];

pub(super) async fn load(
    config: &config::Source,
    dataset: &Dataset,
    mode: Mode,
    batches: impl Iterator<Item = Result<RecordBatch, LoadError>>,
    loaded: impl FnMut(u64),
) -> Result<u64, LoadError> {
    let client = client(config).map_err(|error| LoadError::Database("read the source's URL", error.into()))?;
    let client = SETTINGS.iter().fold(client, |client, (name, value)| client.with_setting(*name, *value));
    let relation = quoted_relation(dataset);
    let side = format!("{}{SIDE}\"", relation.trim_end_matches('"'));
    execute(&client, "drop what an earlier load left", format!("DROP TABLE IF EXISTS {side} SYNC")).await?;
    execute(&client, "make a table beside the relation", format!("CREATE TABLE {side} AS {relation}")).await?;
    let filled = fill(&client, dataset, &relation, &side, mode, batches, loaded).await;
    // Also behind a failure: what it says is told, what the clean-up says is not.
    let dropped = execute(&client, "drop the table beside", format!("DROP TABLE IF EXISTS {side} SYNC")).await;
    let rows = filled?;
    dropped.map(|()| rows)
}

async fn fill(
    client: &Client,
    dataset: &Dataset,
    relation: &str,
    side: &str,
    mode: Mode,
    batches: impl Iterator<Item = Result<RecordBatch, LoadError>>,
    mut loaded: impl FnMut(u64),
) -> Result<u64, LoadError> {
    let failed = |what| move |error: clickhouse::error::Error| LoadError::Database(what, error.into());
    let encoded = |error| LoadError::Rows(Box::new(error));
    let fields = dataset.columns.iter().map(|column| {
        let stored = if column.data_type == Type::StringList { nullable_strings() } else { column.data_type.arrow() };
        Field::new(column.name.as_str(), stored, column.nullable)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let insert = format!("INSERT INTO {side} ({}) FORMAT ArrowStream", quoted_columns(dataset));
    let mut insert = client.insert_formatted_with(insert);
    let mut writer = StreamWriter::try_new(Vec::new(), &schema).map_err(encoded)?;
    let mut rows = 0;
    for batch in batches {
        let batch = stored(dataset, &batch?, &schema, rows)?;
        writer.write(&batch).map_err(encoded)?;
        insert.send(std::mem::take(writer.get_mut()).into()).await.map_err(failed("send rows"))?;
        rows += batch.num_rows() as u64;
        loaded(rows);
    }
    let rest = writer.into_inner().map_err(encoded)?;
    insert.send(rest.into()).await.map_err(failed("send rows"))?;
    insert.end().await.map_err(failed("insert the rows"))?;
    unique(client, dataset, relation, side, mode).await?;
    let (what, statement) = match mode {
        Mode::Replace => ("take the relation's place", format!("EXCHANGE TABLES {side} AND {relation}")),
        Mode::Append => ("join the relation", format!("ALTER TABLE {relation} ATTACH PARTITION ALL FROM {side}")),
    };
    execute(client, what, statement).await?;
    Ok(rows)
}

async fn execute(client: &Client, what: &'static str, statement: String) -> Result<(), LoadError> {
    client.query_raw(&statement).execute().await.map_err(|error| LoadError::Database(what, error.into()))
}

/// ClickHouse itself lets any number of rows have the same key.
async fn unique(client: &Client, dataset: &Dataset, relation: &str, side: &str, mode: Mode) -> Result<(), LoadError> {
    let keys: Vec<String> =
        dataset.primary_key.iter().map(|index| format!("\"{}\"", dataset.columns[*index].name)).collect();
    let keys = keys.join(", ");
    let rows = match mode {
        Mode::Replace => side.to_owned(),
        Mode::Append => format!("(SELECT {keys} FROM {side} UNION ALL SELECT {keys} FROM {relation})"),
    };
    let twice = format!("SELECT toString(({keys})) FROM {rows} GROUP BY {keys} HAVING count() > 1 LIMIT 1");
    let twice = client.query_raw(&twice).fetch_optional::<String>().await;
    match twice.map_err(|error| LoadError::Database("look for a key that two rows have", error.into()))? {
        Some(key) => Err(LoadError::Duplicate { key }),
        None => Ok(()),
    }
}

fn nullable_strings() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

/// A batch as it is stored: JSON in its one form, and for a null list the list whose one element is null.
fn stored(dataset: &Dataset, batch: &RecordBatch, schema: &Arc<Schema>, before: u64) -> Result<RecordBatch, LoadError> {
    let columns = dataset.columns.iter().zip(batch.columns()).map(|(column, array)| match column.data_type {
        Type::Json => {
            let mut builder = StringBuilder::new();
            for (row, text) in array.as_string::<i32>().iter().enumerate() {
                let text = text.map(|text| {
                    let unreadable =
                        || LoadError::Json { row: before + row as u64 + 1, column: column.name.to_string() };
                    canonical_json(text).ok_or_else(unreadable)
                });
                builder.append_option(text.transpose()?);
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }
        Type::StringList => {
            let field = Arc::new(Field::new("item", DataType::Utf8, true));
            let mut builder = ListBuilder::new(StringBuilder::new()).with_field(field);
            for items in array.as_list::<i32>().iter() {
                match items {
                    None => builder.append_value([None::<&str>]),
                    Some(items) => builder.append_value(items.as_string::<i32>().iter()),
                }
            }
            Ok(Arc::new(builder.finish()) as ArrayRef)
        }
        _ => Ok(Arc::clone(array)),
    });
    let columns = columns.collect::<Result<Vec<_>, LoadError>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|error| LoadError::Rows(Box::new(error)))
}
