//! ClickHouse: migrations one statement after another, and schemas with the statements that lead from one to another.
//!
//! It has no transactions, no locks and no sessions to speak of. So the ledger is a table that is only added to, the lock is a
//! table that only one can make, and what a file sets is sent along with each statement that follows.
//!
//! A schema is what the server says of it: `inspect` cuts its own `CREATE` statements into clauses (`model`), `diff` says what
//! becomes of each object, `plan` tries it on a scratch copy, `run` copies rows where a table is built anew. A wish is applied
//! to a scratch database first, so that both sides are written by the server and what is equal looks equal.

mod connection;
mod diff;
mod error;
mod inspect;
pub mod lint;
mod lock;
mod model;
mod plan;
mod run;
mod scratch;
mod session;
mod step;
mod text;
mod write;

pub use connection::{Connection, Failure};
pub use diff::diff;
pub use error::Error;
pub use inspect::inspect;
pub use lock::unlock;
pub use model::{Column, Dictionary, Model, Object, Table, View};
pub use plan::{Making, Plan, Wish, connect, plan, read, text};
pub use run::{Done, run};
pub(super) use session::Session;
pub use step::{Copying, Step, script};

/// What is never looked at: the ledger, the lock, and locks that were taken over.
pub const OWN: [&str; 2] = [session::TABLE, lock::TABLE];
