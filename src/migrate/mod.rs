//! Databases as they should be, and how they get there: folders of migrations in Atlas's format, and what was applied of
//! them.
//!
//! This room knows SQL, folders and ledgers; no contract, no request and no plan of a question. None of its own statements
//! is prepared by name (`persistent(false)`): a migration may say `DISCARD ALL`.

pub mod apply;
pub mod clickhouse;
pub mod control;
mod database;
pub mod error;
pub mod folder;
pub mod import;
pub mod ledger;
pub mod pending;
pub mod report;
pub mod schema;
pub mod session;
pub mod set;
pub mod statements;
pub mod target;
