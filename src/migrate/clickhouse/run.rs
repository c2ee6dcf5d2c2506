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
use super::database::{Change, change};
use super::error::Error;
use super::lock::Lock;
use super::model::LATE;
use super::names::{called, relation, suffixed};
use super::plan::connect;
use super::session::ground;
use super::step::{Copying, Step};
use super::text::{Token, tokens};

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
    let begun = begin(&connect(url).await?, steps, tell).await?;
    let ground = ground(&target, None).await?;
    let holder = uuid::Uuid::new_v4().simple().to_string();
    let lock = Lock::take(&ground, &holder, lock_timeout, stop).await?;
    let connection = connect(url).await?.with("log_comment", &super::lock::comment(&holder));
    let ran = all(&connection, steps, begun, &lock, stop, tell).await;
    lock.release().await;
    ran
}

/// Makes the database where it is not there yet, since the lock is in it. How many steps that were.
async fn begin(server: &Connection, steps: &[Step], tell: &mut (dyn FnMut(Done<'_>) + Send)) -> Result<usize, Error> {
    let Some(first) = steps.first().filter(|_| server.is_missing()) else { return Ok(0) };
    let made = matches!(change(&first.sql), Some(Change::Made(of, _)) if of == server.database());
    if !made {
        return Err(Error::Missing);
    }
    let failed = |source| Error::Statement { sql: first.sql.clone(), done: 0, source };
    server.execute(&first.sql).await.map_err(failed)?;
    tell(Done::Ran(first));
    Ok(1)
}

/// Runs steps, those behind the first `begun`.
pub(super) async fn all(
    connection: &Connection,
    steps: &[Step],
    begun: usize,
    lock: &Lock,
    stop: &watch::Receiver<bool>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Error> {
    let mut copied = BTreeSet::new();
    for (done, step) in steps.iter().enumerate().skip(begun) {
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

/// The name of a table, as SQL has it, as texts of SQL: its database, and its own.
fn place(table: &str) -> (String, String) {
    match &tokens(table)[..] {
        [database, _, name] => (literal(&database.name()), literal(&name.name())),
        names => ("currentDatabase()".to_owned(), literal(&names.first().map(Token::name).unwrap_or_default())),
    }
}

/// The parts of a table, in the order in which they came; none where its engine has none.
async fn parts(connection: &Connection, table: &str) -> Result<Vec<Part>, Failure> {
    let (database, table) = place(table);
    let question = format!(
        "SELECT name, partition_id AS partition, rows FROM system.parts WHERE database = {database} \
         AND table = {table} AND active ORDER BY partition_id, min_block_number"
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
    let (database, table) = place(from);
    let question = format!("SELECT engine FROM system.tables WHERE database = {database} AND name = {table}");
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

/// The table that is called the same, with something behind it, as SQL has it.
fn beside(table: &str, end: &str) -> String {
    let names: Vec<String> = tokens(table).iter().filter(|word| word.text != ".").map(Token::name).collect();
    let so = match &names[..] {
        [database, name] => called(Some(database), name),
        names => called(None, &names.concat()),
    };
    relation(&suffixed(&so, end))
}

/// Brings what has come since. By now views pass on what is inserted, and they have passed on these rows already: they go
/// into a table beside, whose parts are attached, which nobody passes on.
async fn bring_behind(
    connection: &Connection,
    copy: &Copying,
    copied: &mut BTreeSet<String>,
    tell: &mut (dyn FnMut(Done<'_>) + Send),
) -> Result<(), Failure> {
    let late = beside(&copy.to, LATE);
    let came = parts(connection, &copy.from).await?.into_iter().any(|part| !copied.contains(&part.name));
    if !came {
        return Ok(());
    }
    connection.execute(&format!("DROP TABLE IF EXISTS {late}")).await?;
    connection.execute(&format!("CREATE TABLE {late} AS {}", copy.to)).await?;
    bring(connection, &Copying { to: late.clone(), ..copy.clone() }, copied, tell).await?;
    let partitions: BTreeSet<String> = parts(connection, &late).await?.into_iter().map(|part| part.partition).collect();
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
