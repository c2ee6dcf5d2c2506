//! The exporter by itself, for `loadtests/assets.py`: it has its rows in memory, as the peer has them, and goes through plan,
//! encoder, hash, store and manifest as it does for a database.
//!
//! `export CONFIG DATASET ROLE ROWS.parquet FOLDER`: for each line of standard input it exports all rows into the folder,
//! and prints the seconds that took.

use std::io::{BufRead as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use arrow_array::RecordBatch;
use futures_util::future::BoxFuture;
use futures_util::stream;
use martello::app::House;
use martello::auth::{Claims, Instants, MaskKey, Principal};
use martello::catalog::Dataset;
use martello::clock;
use martello::config::{self, FileStore};
use martello::encode::{MediaType, Style};
use martello::plan::{self, Scope};
use martello::publish::files::{Edition, Exporter, Files, Work, snapshot_question};
use martello::query::CursorKey;
use martello::source::{self, BatchStream, Dialect, Mismatch, Reading, Source, Statement};
use martello::store::Versions;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// The allocator of the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Rows of a batch, as sources read them.
const BATCH_ROWS: usize = 16_384;

/// Answers every statement by the same rows.
struct Memory(Vec<RecordBatch>);

impl Source for Memory {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn run(&self, _: Statement, _: Reading) -> BatchStream {
        Box::pin(stream::iter(self.0.clone().into_iter().map(Ok)))
    }

    fn ready(&self) -> BoxFuture<'_, Result<(), source::Error>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn mismatches<'a>(&'a self, _: &'a Dataset) -> BoxFuture<'a, Result<Vec<Mismatch>, source::Error>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [config, dataset, role, rows, folder] = &arguments[..] else {
        bail!("expected CONFIG DATASET ROLE ROWS.parquet FOLDER");
    };
    let config = config::load(Some(Path::new(config)))?;
    let House { catalog, matrix } = House::load(&config)?;
    let dataset = catalog.get(dataset).context("find the dataset")?;
    let principal = Principal::supposed(matrix.role(role).context("find the role")?, Claims::new(), &matrix);
    let scope = Scope {
        catalog: &catalog,
        versions: &Versions::default(),
        principal: &principal,
        cursors: &CursorKey::random(),
        masks: &MaskKey::random(),
        moment: Instants::kept(clock::now(), config.assets.snapshots_for),
    };
    let plan = plan::plan(&snapshot_question(dataset, None), &scope)?;

    let file =
        ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(rows)?)?.with_batch_size(BATCH_ROWS).build()?;
    let batches = file.map(|batch| Ok(RecordBatch::try_new(source::schema(&plan), batch?.columns().to_vec())?));
    let memory = Memory(batches.collect::<anyhow::Result<_>>()?);
    let files = Files::open(&FileStore { url: Some(folder.clone()), ..FileStore::default() })?;
    let exporter = Exporter { files: &files, part_rows: config.assets.part_rows, part_bytes: config.assets.part_bytes };
    for line in std::io::stdin().lock().lines() {
        line?;
        let begun = clock::instant();
        let work = Work {
            plan: &plan,
            media_type: MediaType::Parquet,
            style: Style::default(),
            partition_by: None,
            edition: Edition::live(),
            since: None,
            rows_max: None,
            export: None,
        };
        exporter.export(&memory, work, |_| Ok(())).await?;
        writeln!(std::io::stdout(), "{}", begun.elapsed().as_secs_f64())?;
    }
    Ok(())
}
