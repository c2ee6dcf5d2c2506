//! What is looked for. `docs/lint.md` has the same list, and a test compares them.

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Good to know.
    Info,
    /// Think about it.
    Warning,
    /// Not to be merged as it is.
    Error,
}

impl Level {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A kind of finding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Its code; that of Atlas where it has one.
    pub code: &'static str,
    /// How bad it is.
    pub level: Level,
    /// Which family it is of, for `-- atlas:nolint`.
    pub analyzer: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What to do about it.
    pub instead: &'static str,
}

const fn rule(
    code: &'static str,
    level: Level,
    analyzer: &'static str,
    title: &'static str,
    instead: &'static str,
) -> Rule {
    Rule { code, level, analyzer, title, instead }
}

/// Every kind of finding but squawk's.
pub const RULES: [Rule; 42] = [
    rule(
        "DS101",
        Level::Error,
        "destructive",
        "a schema is dropped",
        "let it stay until nobody reads it; if it is meant, say -- atlas:nolint DS101 above it",
    ),
    rule(
        "DS102",
        Level::Error,
        "destructive",
        "a table is dropped",
        "rename it first and drop it a release later; if it is meant, say -- atlas:nolint DS102 above it",
    ),
    rule(
        "DS103",
        Level::Error,
        "destructive",
        "a column is dropped",
        "stop reading it first and drop it a release later; if it is meant, say -- atlas:nolint DS103 above it",
    ),
    rule(
        "MF101",
        Level::Warning,
        "data_depend",
        "what was there becomes unique",
        "look for duplicates first: it fails on the first one",
    ),
    rule(
        "MF102",
        Level::Warning,
        "data_depend",
        "an index becomes unique",
        "look for duplicates first: it fails on the first one",
    ),
    rule(
        "MF103",
        Level::Warning,
        "data_depend",
        "a column that is not null comes without a default",
        "give it a default, or add it nullable, fill it, and set not null: it fails where there are rows",
    ),
    rule(
        "MF104",
        Level::Warning,
        "data_depend",
        "a column that could be null no longer can",
        "fill it in the same file first: it fails on the first null",
    ),
    rule(
        "BC101",
        Level::Warning,
        "incompatible",
        "a table is renamed",
        "leave a view of the old name until everybody reads the new one",
    ),
    rule(
        "BC102",
        Level::Warning,
        "incompatible",
        "a column is renamed",
        "add the new one and let both stand until everybody reads it",
    ),
    rule(
        "CD101",
        Level::Warning,
        "constraint",
        "a foreign key is dropped",
        "see that nothing relies on it: rows may lose what they point to",
    ),
    rule(
        "PG101",
        Level::Warning,
        "concurrent_index",
        "an index is built while writers wait",
        "CREATE INDEX CONCURRENTLY, in a file of its own with -- atlas:txmode none",
    ),
    rule(
        "PG102",
        Level::Warning,
        "concurrent_index",
        "an index is dropped while everybody waits",
        "DROP INDEX CONCURRENTLY, in a file of its own with -- atlas:txmode none",
    ),
    rule(
        "PG103",
        Level::Error,
        "concurrent_index",
        "CONCURRENTLY stands in a transaction",
        "put it into a file of its own that begins with -- atlas:txmode none and a blank line",
    ),
    rule(
        "PG104",
        Level::Warning,
        "concurrent_index",
        "a primary key is built while everybody waits",
        "CREATE UNIQUE INDEX CONCURRENTLY, then ADD PRIMARY KEY USING INDEX",
    ),
    rule(
        "PG105",
        Level::Warning,
        "concurrent_index",
        "a unique constraint is built while everybody waits",
        "CREATE UNIQUE INDEX CONCURRENTLY, then ADD UNIQUE USING INDEX",
    ),
    rule(
        "PG110",
        Level::Info,
        "alignment",
        "columns in another order take less room",
        "put columns of eight bytes before those of four, two and one",
    ),
    rule(
        "PG301",
        Level::Warning,
        "locking",
        "another type writes the table anew",
        "add a column of the new type, fill it in batches, and swap: nobody reads the table meanwhile",
    ),
    rule(
        "PG302",
        Level::Warning,
        "locking",
        "a new column writes the table anew",
        "add it without the default, set the default, and fill it in batches: nobody reads the table meanwhile",
    ),
    rule(
        "PG303",
        Level::Warning,
        "locking",
        "NOT NULL scans the table while everybody waits",
        "ADD CHECK (… IS NOT NULL) NOT VALID, VALIDATE it, then SET NOT NULL, which believes the check",
    ),
    rule(
        "PG304",
        Level::Warning,
        "locking",
        "a primary key over a column that can be null",
        "make the column not null first, by a check that is valid",
    ),
    rule(
        "PG305",
        Level::Warning,
        "locking",
        "a check scans the table while everybody waits",
        "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a later file",
    ),
    rule(
        "PG306",
        Level::Warning,
        "locking",
        "a foreign key scans the table while writers wait",
        "ADD CONSTRAINT … NOT VALID, then VALIDATE CONSTRAINT in a later file",
    ),
    rule(
        "CH101",
        Level::Warning,
        "clickhouse",
        "a table is built anew",
        "look how long the copy takes and whether there is room for both; keep writers away, or use martello schema apply",
    ),
    rule(
        "CH102",
        Level::Warning,
        "clickhouse",
        "a mutation writes every part",
        "run it when few merges wait; a new column beside the old one costs nothing",
    ),
    rule(
        "CH103",
        Level::Info,
        "clickhouse",
        "a key is dear",
        "LowCardinality(String) for few values, and a value in place of nulls",
    ),
    rule(
        "CH104",
        Level::Warning,
        "clickhouse",
        "a materialized view keeps its rows in a table of its own",
        "make the table, and let the view say TO",
    ),
    rule(
        "CH105",
        Level::Warning,
        "clickhouse",
        "a table is on one server while others are replicated",
        "give it the Replicated engine of its neighbors",
    ),
    rule(
        "CH106",
        Level::Info,
        "clickhouse",
        "a dropped table may be too large for the server to drop",
        "TRUNCATE it in parts, or let an administrator raise max_table_size_to_drop",
    ),
    rule(
        "CH107",
        Level::Warning,
        "clickhouse",
        "a time to live takes more away than before",
        "see that nobody needs the older rows: they go with the next merge",
    ),
    rule(
        "CH108",
        Level::Error,
        "clickhouse",
        "a column goes that a materialized view reads",
        "change the view first, by ALTER TABLE … MODIFY QUERY",
    ),
    rule(
        "MT001",
        Level::Error,
        "replay",
        "a statement fails on an empty database",
        "run martello migrate validate until it does not",
    ),
    rule(
        "MT002",
        Level::Error,
        "order",
        "a new file comes before one that is merged",
        "give it a later version and run martello migrate hash",
    ),
    rule(
        "MT003",
        Level::Error,
        "hash",
        "the hashes are not those of the files",
        "restore the file, or run martello migrate hash",
    ),
    rule(
        "MT004",
        Level::Error,
        "order",
        "a file that is merged has changed",
        "restore it, and write another one for the change",
    ),
    rule(
        "MT101",
        Level::Error,
        "contract",
        "a dataset loses what its contract promises",
        "deprecate it in the contract first, or keep a view of what it reads",
    ),
    rule(
        "MT102",
        Level::Warning,
        "contract",
        "a dataset loses an index behind its filters or its order",
        "build another that begins with the same column before this one goes",
    ),
    rule(
        "MT103",
        Level::Warning,
        "contract",
        "the role that serves may not read what a dataset is made of",
        "GRANT SELECT to it in the same file",
    ),
    rule(
        "NM101",
        Level::Info,
        "naming",
        "a schema's name needs quotes",
        "write it in small letters, digits and underscores",
    ),
    rule(
        "NM102",
        Level::Info,
        "naming",
        "a table's name needs quotes",
        "write it in small letters, digits and underscores",
    ),
    rule(
        "NM103",
        Level::Info,
        "naming",
        "a column's name needs quotes",
        "write it in small letters, digits and underscores",
    ),
    rule(
        "NM104",
        Level::Info,
        "naming",
        "an index's name needs quotes",
        "write it in small letters, digits and underscores",
    ),
    rule(
        "NM105",
        Level::Info,
        "naming",
        "a constraint's name needs quotes",
        "write it in small letters, digits and underscores",
    ),
];
