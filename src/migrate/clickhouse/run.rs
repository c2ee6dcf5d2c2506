//! Runs a plan where others read and write. A table that is built anew is copied part by part while it is written to; what
//! comes meanwhile is brought behind, since parts that nobody merges keep their names.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use tokio::sync::watch;

use super::super::error;
use super::super::folder::Transactions;
use super::super::target::Target;
use super::connection::{Connection, Failure, literal};
use super::error::Error;
use super::lock::Lock;
use super::model::LATE;
use super::plan::connect;
use super::session::ground;
use super::step::{Copying, Step};
use super::write;

/// What has happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Done<'s> {
    /// A step stays.
    Ran(&'s Step),
    /// So many rows of so many are copied.
    Copied {
        /// From where.
        table: &'s str,
        /// That are there now.
        rows: u64,
        /// That there are.
        total: u64,
    },
}

/// A part of a table.
#[derive(Clone, Deserialize)]
struct Part {
    name: String,
    partition: String,
    rows: u64,
}

/// Parts of one partition that are copied by one statement, at most.
const PARTS_MAX: usize = 100;

/// Runs steps in a database, telling what becomes of each. It holds the lock under which migrations are applied.
///
/// # Errors
/// When a statement fails. Those before it stay: a new plan does the rest.
pub async fn run(
    url: &str,
    steps: &[Step],
    lock_timeout: Duration,
    stop: &mut watch::Receiver<bool>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Error> {
    let target = Target::read(url)?;
    let ground = ground(&target, None).await?;
    let holder = uuid::Uuid::new_v4().simple().to_string();
    let lock = Lock::take(&ground, &holder, lock_timeout, stop).await?;
    let connection = connect(url).await?.with("log_comment", &super::lock::comment(&holder));
    let ran = all(&connection, steps, &lock, stop, tell).await;
    lock.release().await;
    ran
}

pub(super) async fn all(
    connection: &Connection,
    steps: &[Step],
    lock: &Lock,
    stop: &watch::Receiver<bool>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Error> {
    let mut copied = BTreeSet::new();
    for (done, step) in steps.iter().enumerate() {
        lock.is_held().await?;
        // A step that runs is waited for: what it does stays either way.
        if *stop.borrow() {
            let at = format!("before statement {} of {}", done + 1, steps.len());
            return Err(error::Error::Interrupted { at, mode: Transactions::None }.into());
        }
        let ran = match &step.copy {
            None => connection.execute(&step.sql).await,
            Some(copy) => {
                if !copy.again {
                    copied.clear();
                }
                copy_rows(connection, step, copy, &mut copied, tell).await
            }
        };
        ran.map_err(|source| Error::Statement { sql: step.sql.clone(), done, source })?;
        tell(Done::Ran(step));
    }
    Ok(())
}

/// The parts of a table, in the order in which they came; none where its engine has none.
async fn parts(connection: &Connection, table: &str) -> Result<Vec<Part>, Failure> {
    let question = format!(
        "SELECT name, partition_id AS partition, rows FROM system.parts WHERE database = currentDatabase() \
         AND table = {} AND active ORDER BY partition_id, min_block_number",
        literal(table.trim_matches('`'))
    );
    connection.rows(&question).await
}

async fn copy_rows(
    connection: &Connection,
    step: &Step,
    copy: &Copying,
    copied: &mut BTreeSet<String>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Failure> {
    let Copying { from, to, again, .. } = copy;
    let question = format!(
        "SELECT engine FROM system.tables WHERE database = currentDatabase() AND name = {}",
        literal(from.trim_matches('`'))
    );
    let engines = connection.texts(&question).await?;
    if !engines.first().is_some_and(|engine| engine.ends_with("MergeTree")) {
        // One without parts is copied as a whole, once.
        return if *again { Ok(()) } else { connection.execute(&step.sql).await };
    }
    if !*again {
        connection.execute(&format!("SYSTEM STOP MERGES {from}")).await?;
    }
    let brought = if *again {
        bring_behind(connection, copy, copied, tell).await
    } else {
        bring(connection, copy, copied, tell).await
    };
    if *again || brought.is_err() {
        // Whichever way round they stand by now.
        for table in [from, to] {
            connection.execute(&format!("SYSTEM START MERGES {table}")).await?;
        }
    }
    brought
}

/// Brings what has come since. By now views pass on what is inserted, and they have passed on these rows already: they go
/// into a table beside, whose parts are attached, which nobody passes on.
async fn bring_behind(
    connection: &Connection,
    copy: &Copying,
    copied: &mut BTreeSet<String>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Failure> {
    let table = copy.to.trim_matches('`');
    let name = format!("{table}{LATE}");
    let late = write::name(&name);
    let came = parts(connection, &copy.from).await?.into_iter().any(|part| !copied.contains(&part.name));
    if !came {
        return Ok(());
    }
    connection.execute(&format!("DROP TABLE IF EXISTS {late}")).await?;
    connection.execute(&format!("CREATE TABLE {late} AS {}", copy.to)).await?;
    bring(connection, &Copying { to: late.clone(), ..copy.clone() }, copied, tell).await?;
    let partitions: BTreeSet<String> = parts(connection, &name).await?.into_iter().map(|part| part.partition).collect();
    for partition in partitions {
        let attach = format!("ALTER TABLE {} ATTACH PARTITION ID {} FROM {late}", copy.to, literal(&partition));
        connection.execute(&attach).await?;
    }
    connection.execute(&format!("DROP TABLE {late}")).await
}

async fn bring(
    connection: &Connection,
    copy: &Copying,
    copied: &mut BTreeSet<String>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Failure> {
    let Copying { from, to, columns, ordered, .. } = copy;
    let left: Vec<Part> =
        parts(connection, from).await?.into_iter().filter(|part| !copied.contains(&part.name)).collect();
    let total = left.iter().map(|part| part.rows).sum();
    let mut rows = 0;
    for same in left.chunk_by(|one, other| one.partition == other.partition) {
        for some in same.chunks(if *ordered { 1 } else { PARTS_MAX }) {
            let names: Vec<String> = some.iter().map(|part| literal(&part.name)).collect();
            let sql = format!(
                "INSERT INTO {to} ({columns}) SELECT {columns} FROM {from} WHERE _part IN ({})",
                names.join(", ")
            );
            connection.execute(&sql).await?;
            rows += some.iter().map(|part| part.rows).sum::<u64>();
            copied.extend(some.iter().map(|part| part.name.clone()));
            tell(Done::Copied { table: from, rows, total });
        }
    }
    Ok(())
}
