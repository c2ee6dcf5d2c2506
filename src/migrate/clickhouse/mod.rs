//! ClickHouse: migrations one statement after another, and schemas with the statements that lead from one to another.
//!
//! It has no transactions, no locks and no sessions to speak of. So the ledger is a table that is only added to, the lock is a
//! table that only one can make, and what a file sets is sent along with each statement that follows.

mod connection;
mod lock;
mod session;
mod text;

pub use connection::{Connection, Failure};
pub use lock::unlock;
pub(super) use session::Session;

/// What is never looked at: the ledger, the lock, and locks that were taken over.
pub const OWN: [&str; 2] = [session::TABLE, lock::TABLE];
