//! ClickHouse: migrations one statement after another, and schemas with the statements that lead from one to another.
//!
//! It has no transactions, no locks and no sessions to speak of. So the ledger is a table that is only added to, the lock is a
//! table that only one can make, and what a file sets is sent along with each statement that follows.
//!
//! A schema is what the server says of it: `inspect` has its own `CREATE` statements cut into clauses (`cut`), `diff` says what
//! becomes of each object, `plan` tries it on a scratch copy, `run` copies rows where a table is built anew. A wish is applied
//! to a scratch database first, so that both sides are written by the server and what is equal looks equal.

mod connection;
mod cut;
mod database;
mod diff;
mod error;
mod inspect;
pub mod lint;
mod lock;
mod model;
mod names;
mod plan;
mod run;
mod scratch;
mod session;
mod spare;
mod step;
mod text;
mod write;

pub(super) use connection::literal as quoted_text;
pub use connection::{Connection, Failure};
pub use database::Database;
pub use diff::diff;
pub use error::Error;
pub(super) use inspect::LEFT_OF_REBUILDS;
pub use inspect::inspect;
pub use lock::unlock;
pub(super) use model::is_left;
pub use model::{Column, Dictionary, Model, Object, Table, View};
pub use plan::{Making, Plan, Wish, connect, plan, read, text};
pub(super) use plan::{difference, made, unreplicated};
pub use run::{Done, run};
pub(super) use scratch::{Replay, within};
pub(super) use session::Session;
pub(super) use spare::{Sizes, filled, sizes, spare};
pub use step::{Copying, Step, script};
pub(super) use text::{Token, tokens};

use std::path::Path;

use super::folder::{Folder, SUM_FILE};

/// What is never looked at: the ledger, the lock, and locks that were taken over.
pub const OWN: [&str; 2] = [session::TABLE, lock::TABLE];

/// Does something with a database that a folder has made, by its URL; it is gone afterwards, however that ends.
///
/// # Errors
/// When there is no scratch database, or a statement of the folder fails.
pub async fn filled_with<T, E: From<Error>>(
    server: &str,
    folder: &Path,
    work: impl AsyncFnOnce(&str) -> Result<T, E>,
) -> Result<T, E> {
    let connection = connect(server).await?;
    let folder = Folder::read(folder).map_err(Error::from)?;
    let is_hashed = folder.path().join(SUM_FILE).is_file();
    if is_hashed {
        folder.check().map_err(Error::from)?;
    }
    let files = if is_hashed { folder.replayed() } else { folder.files().iter().collect() };
    within(&connection, async |scratch| {
        Replay::within(scratch, &[connection.database()]).files(&files).await?;
        work(&url_of(server, scratch.database())).await
    })
    .await
}

/// The URL of another database of a server.
pub(super) fn url_of(server: &str, database: &str) -> String {
    let Ok(mut url) = url::Url::parse(server) else { return server.to_owned() };
    url.set_path(database);
    url.into()
}
