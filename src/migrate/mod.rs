//! Databases as they should be, and how they get there: folders of migrations in Atlas's format, and what was applied of
//! them.
//!
//! This room knows SQL, folders and ledgers; no contract, no request and no plan of a question.

pub mod folder;
pub mod schema;
pub mod statements;
