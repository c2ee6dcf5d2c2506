//! Schemas in pairs: what is, and what is wished.

/// One of them.
pub struct Pair {
    pub name: &'static str,
    pub from: &'static str,
    pub to: &'static str,
    /// Whether it is walked back as well.
    pub back: bool,
}

const fn both(name: &'static str, from: &'static str, to: &'static str) -> Pair {
    Pair { name, from, to, back: true }
}

const fn there(name: &'static str, from: &'static str, to: &'static str) -> Pair {
    Pair { name, from, to, back: false }
}

const T: &str = "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a";

pub const COLUMNS: [Pair; 20] = [
    both("a column", T, "CREATE TABLE t (a UInt64, b String, c Date, d Int8) ENGINE = MergeTree ORDER BY a"),
    both("a column first", T, "CREATE TABLE t (d Int8, a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a"),
    both(
        "a column between",
        T,
        "CREATE TABLE t (a UInt64, d Int8, e Int8, b String, c Date) ENGINE = MergeTree ORDER BY a",
    ),
    both("another order", T, "CREATE TABLE t (c Date, b String, a UInt64) ENGINE = MergeTree ORDER BY a"),
    both(
        "an order, with one more and one less",
        T,
        "CREATE TABLE t (c Date, x Int8, a UInt64) ENGINE = MergeTree ORDER BY a",
    ),
    both("a type", T, "CREATE TABLE t (a UInt64, b LowCardinality(String), c Date32) ENGINE = MergeTree ORDER BY a"),
    there("nulls", T, "CREATE TABLE t (a UInt64, b Nullable(String), c Date) ENGINE = MergeTree ORDER BY a"),
    both(
        "a default",
        T,
        "CREATE TABLE t (a UInt64, b String DEFAULT 'it''s (a, b)', c Date) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "a default that is computed",
        T,
        "CREATE TABLE t (a UInt64, b String MATERIALIZED toString(a), c Date) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "an alias",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date, d String ALIAS upper(b)) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "one that is only given",
        T,
        "CREATE TABLE t (a UInt64, e String EPHEMERAL, b String DEFAULT upper(e), c Date) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "a comment",
        T,
        "CREATE TABLE t (a UInt64 COMMENT 'it''s \\\\ one', b String, c Date) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "a codec",
        T,
        "CREATE TABLE t (a UInt64 CODEC(Delta, ZSTD(3)), b String CODEC(ZSTD(1)), c Date) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "a time to live",
        T,
        "CREATE TABLE t (a UInt64, b String TTL c + INTERVAL 1 MONTH, c Date) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "all at once",
        T,
        "CREATE TABLE t (a UInt64 COMMENT 'x', b LowCardinality(String) DEFAULT 'q' COMMENT 'y' CODEC(ZSTD(2)) TTL c + INTERVAL 1 DAY, c Date, d Array(String)) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "an odd name",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date, `we ird` Int8, `ti``ck` Int8) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "a nested one",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date, n Nested(x UInt8, y String)) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "an enum with more",
        "CREATE TABLE t (a UInt64, e Enum8('x' = 1)) ENGINE = MergeTree ORDER BY (a, e)",
        "CREATE TABLE t (a UInt64, e Enum8('x' = 1, 'y' = 2)) ENGINE = MergeTree ORDER BY (a, e)",
    ),
    both("one of a key", T, "CREATE TABLE t (a UInt32, b String, c Date) ENGINE = MergeTree ORDER BY a"),
    both(
        "one default for another",
        "CREATE TABLE t (a UInt64, b UInt64 DEFAULT a + 1) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE t (a UInt64, b UInt64 MATERIALIZED a + 2) ENGINE = MergeTree ORDER BY a",
    ),
];

pub const TABLES: [Pair; 22] = [
    both("a table", "SELECT 1", T),
    both("two tables", "CREATE TABLE x (a Int8) ENGINE = Memory", T),
    both(
        "an index",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date, INDEX i b TYPE bloom_filter(0.01) GRANULARITY 3, INDEX j c TYPE minmax) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "another index",
        "CREATE TABLE t (a UInt64, b String, INDEX i b TYPE set(10)) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE t (a UInt64, b String, INDEX i b TYPE set(20) GRANULARITY 2) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "an index between",
        "CREATE TABLE t (a UInt64, b String, INDEX i b TYPE set(10), INDEX k a TYPE minmax) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE t (a UInt64, b String, INDEX h a TYPE minmax, INDEX i b TYPE set(10), INDEX j a TYPE set(5), INDEX k a TYPE minmax) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "an index whose column goes with it",
        "CREATE TABLE t (a UInt64, b String, INDEX i b TYPE set(10)) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "a projection",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date, PROJECTION p (SELECT b, count() GROUP BY b)) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "another projection",
        "CREATE TABLE t (a UInt64, b String, PROJECTION p (SELECT b, count() GROUP BY b)) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE t (a UInt64, b String, PROJECTION p (SELECT b, sum(a) GROUP BY b)) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "constraints",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date, CONSTRAINT k CHECK a > 0, CONSTRAINT m ASSUME length(b) < 10) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "another constraint",
        "CREATE TABLE t (a UInt64, CONSTRAINT k CHECK a > 0) ENGINE = MergeTree ORDER BY a",
        "CREATE TABLE t (a UInt64, CONSTRAINT k CHECK a > 1) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "a comment",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a COMMENT 'it''s; one'",
    ),
    both(
        "a time to live",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a TTL c + INTERVAL 1 YEAR",
    ),
    both(
        "settings",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a SETTINGS index_granularity = 8192, merge_with_ttl_timeout = 100, min_bytes_for_wide_part = 0",
    ),
    both(
        "a setting for good",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a SETTINGS index_granularity = 1024",
    ),
    both(
        "an order with a new column",
        "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree PRIMARY KEY a ORDER BY a",
        "CREATE TABLE t (a UInt64, b String, d UInt8) ENGINE = MergeTree PRIMARY KEY a ORDER BY (a, d)",
    ),
    both("another order", T, "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY (c, a)"),
    both(
        "partitions",
        T,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree PARTITION BY toYYYYMM(c) ORDER BY a",
    ),
    both(
        "a primary key",
        "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY (a, b)",
        "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree PRIMARY KEY a ORDER BY (a, b)",
    ),
    both("an engine", T, "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = ReplacingMergeTree(c) ORDER BY a"),
    both("an engine of another family", T, "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = Log"),
    both(
        "samples",
        "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY (b, a)",
        "CREATE TABLE t (a UInt64, b String) ENGINE = MergeTree ORDER BY (b, a) SAMPLE BY a",
    ),
    both(
        "an engine without rows",
        "CREATE TABLE n (a UInt64) ENGINE = Null; CREATE TABLE t (a UInt64) ENGINE = Memory",
        "CREATE TABLE n (a UInt64, b Int8) ENGINE = Null; CREATE TABLE t (a UInt64) ENGINE = Memory",
    ),
];

const BASE: &str = "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a; \
     CREATE TABLE s (b String, n UInt64) ENGINE = SummingMergeTree ORDER BY b; ";

const VIEWED: &str = "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a; \
     CREATE TABLE s (b String, n UInt64) ENGINE = SummingMergeTree ORDER BY b; \
     CREATE MATERIALIZED VIEW m TO s AS SELECT b, count() AS n FROM t GROUP BY b";

pub const VIEWS: [Pair; 12] = [
    both(
        "a view",
        BASE,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a; CREATE TABLE s (b String, n UInt64) ENGINE = SummingMergeTree ORDER BY b; CREATE VIEW v AS SELECT a, upper(b) AS u FROM t WHERE c > '2026-01-01'",
    ),
    both(
        "another question",
        "CREATE TABLE t (a UInt64) ENGINE = Memory; CREATE VIEW v AS SELECT a FROM t",
        "CREATE TABLE t (a UInt64) ENGINE = Memory; CREATE VIEW v AS SELECT a, a + 1 AS b FROM t",
    ),
    both(
        "views over views",
        "CREATE TABLE t (a UInt64) ENGINE = Memory",
        "CREATE TABLE t (a UInt64) ENGINE = Memory; CREATE VIEW z AS SELECT a FROM t; CREATE VIEW b AS SELECT a FROM z; CREATE VIEW a AS SELECT a FROM b",
    ),
    both("a comment of a view", "CREATE VIEW v AS SELECT 1 AS a", "CREATE VIEW v AS SELECT 1 AS a COMMENT 'one'"),
    both("a materialized view", BASE, VIEWED),
    both(
        "another question of a materialized view",
        VIEWED,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a; CREATE TABLE s (b String, n UInt64) ENGINE = SummingMergeTree ORDER BY b; CREATE MATERIALIZED VIEW m TO s AS SELECT b, 2 * count() AS n FROM t WHERE a > 1 GROUP BY b",
    ),
    both(
        "a materialized view with a column more",
        VIEWED,
        "CREATE TABLE t (a UInt64, b String, c Date) ENGINE = MergeTree ORDER BY a; CREATE TABLE s (b String, n UInt64, x UInt64) ENGINE = SummingMergeTree ORDER BY b; CREATE MATERIALIZED VIEW m TO s AS SELECT b, count() AS n, sum(a) AS x FROM t GROUP BY b",
    ),
    both(
        "a column that a view no longer reads",
        VIEWED,
        "CREATE TABLE t (a UInt64, c Date) ENGINE = MergeTree ORDER BY a; CREATE TABLE s (b String, n UInt64) ENGINE = SummingMergeTree ORDER BY b; CREATE MATERIALIZED VIEW m TO s AS SELECT toString(c) AS b, count() AS n FROM t GROUP BY b",
    ),
    both(
        "a view that keeps its own rows",
        "CREATE TABLE t (a UInt64) ENGINE = Memory",
        "CREATE TABLE t (a UInt64) ENGINE = Memory; CREATE MATERIALIZED VIEW m ENGINE = SummingMergeTree ORDER BY a AS SELECT a, count() AS n FROM t GROUP BY a",
    ),
    both("a view for a table", "CREATE TABLE v (a UInt64) ENGINE = Memory", "CREATE VIEW v AS SELECT toUInt64(1) AS a"),
    both(
        "a dictionary",
        "CREATE TABLE s (k UInt64, v String) ENGINE = MergeTree ORDER BY k",
        "CREATE TABLE s (k UInt64, v String) ENGINE = MergeTree ORDER BY k; CREATE DICTIONARY d (k UInt64, v String DEFAULT 'x') PRIMARY KEY k SOURCE(CLICKHOUSE(TABLE 's')) LIFETIME(MIN 0 MAX 10) LAYOUT(HASHED())",
    ),
    both(
        "another dictionary",
        "CREATE DICTIONARY d (k UInt64, v String) PRIMARY KEY k SOURCE(NULL()) LIFETIME(10) LAYOUT(HASHED())",
        "CREATE DICTIONARY d (k UInt64, v String, w Int8) PRIMARY KEY k SOURCE(NULL()) LIFETIME(20) LAYOUT(FLAT())",
    ),
];

/// Where `{x}` stands for the name of another database.
pub const DATABASES: [Pair; 14] = [
    both("a database", "", "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = MergeTree ORDER BY a"),
    both(
        "what is said of a database",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory",
        "CREATE DATABASE {x} COMMENT 'it''s; one'; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory",
    ),
    both(
        "a table in the other one",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "two of one name",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE TABLE {x}.t (a UInt64) ENGINE = MergeTree ORDER BY a",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE TABLE {x}.t (a UInt64, b String DEFAULT '{x}') ENGINE = MergeTree ORDER BY a COMMENT '{x}.t'",
    ),
    both(
        "a view of another database",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64, b Int8) ENGINE = Memory; CREATE VIEW v AS SELECT a, b FROM {x}.t",
    ),
    both(
        "a view in another database",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = Memory; CREATE VIEW {x}.v AS SELECT a FROM t",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64, b Int8) ENGINE = Memory; CREATE VIEW {x}.v AS SELECT a, b FROM t COMMENT 'both'",
    ),
    both(
        "a materialized view to another database",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE TABLE {x}.s (a UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY a; CREATE MATERIALIZED VIEW m TO {x}.s AS SELECT a, count() AS n FROM t GROUP BY a",
    ),
    both(
        "another question of a materialized view in another database",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE TABLE s (a UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY a; CREATE MATERIALIZED VIEW {x}.m TO s AS SELECT a, count() AS n FROM t GROUP BY a",
        "CREATE DATABASE {x}; CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE TABLE s (a UInt64, n UInt64) ENGINE = SummingMergeTree ORDER BY a; CREATE MATERIALIZED VIEW {x}.m TO s AS SELECT a, 2 * count() AS n FROM t GROUP BY a",
    ),
    both(
        "a materialized view that keeps its own rows in another database",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory; CREATE MATERIALIZED VIEW {x}.m ENGINE = SummingMergeTree ORDER BY a AS SELECT a, count() AS n FROM {x}.t GROUP BY a",
    ),
    both(
        "a dictionary of another database, and a default of that",
        "CREATE DATABASE {x}; CREATE TABLE {x}.s (k UInt64, v String) ENGINE = MergeTree ORDER BY k",
        "CREATE DATABASE {x}; CREATE TABLE {x}.s (k UInt64, v String) ENGINE = MergeTree ORDER BY k; CREATE DICTIONARY {x}.d (k UInt64, v String) PRIMARY KEY k SOURCE(CLICKHOUSE(TABLE 's' DB '{x}')) LIFETIME(10) LAYOUT(HASHED()); CREATE TABLE t (a UInt64, v String DEFAULT dictGet('{x}.d', 'v', a)) ENGINE = MergeTree ORDER BY a",
    ),
    both(
        "another order of a table in another database",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY a; CREATE VIEW v AS SELECT a FROM {x}.t",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64, b UInt64) ENGINE = MergeTree ORDER BY b; CREATE VIEW v AS SELECT a FROM {x}.t",
    ),
    both(
        "a view of two databases in a third",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory",
        "CREATE DATABASE {x}; CREATE DATABASE {x}_more; CREATE TABLE {x}.t (a UInt64) ENGINE = Memory; CREATE TABLE u (a UInt64) ENGINE = Memory; CREATE VIEW {x}_more.v AS SELECT t.a FROM {x}.t AS t INNER JOIN u ON u.a = t.a",
    ),
    both(
        "odd names",
        "",
        "CREATE DATABASE `{x} 1.0`; CREATE TABLE `{x} 1.0`.`a.b` (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE TABLE `c.d` (a UInt64) ENGINE = Memory; CREATE VIEW v AS SELECT a FROM `{x} 1.0`.`a.b` UNION ALL SELECT a FROM `c.d`",
    ),
    both(
        "a database that others lean on goes",
        "CREATE DATABASE {x}; CREATE TABLE {x}.t (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE VIEW v AS SELECT a FROM {x}.t; CREATE TABLE s (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE MATERIALIZED VIEW {x}.m TO s AS SELECT a FROM {x}.t",
        "CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a; CREATE VIEW v AS SELECT a FROM t; CREATE TABLE s (a UInt64) ENGINE = MergeTree ORDER BY a",
    ),
];
