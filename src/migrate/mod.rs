//! Databases as they should be, and how they get there: folders of migrations in Atlas's format, and what was applied of
//! them.
//!
//! This room knows SQL, folders and ledgers; no request and no plan of a question, and contracts only in `lint/contract.rs`. None of its own statements
//! is prepared by name (`persistent(false)`): a migration may say `DISCARD ALL`.

pub mod apply;
pub mod clickhouse;
pub mod control;
mod database;
pub mod error;
pub mod folder;
pub mod import;
pub mod ledger;
pub mod lint;
pub mod pending;
pub mod report;
pub mod schema;
pub mod session;
pub mod set;
pub mod statements;
pub mod target;
pub mod versioned;
