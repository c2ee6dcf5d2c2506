//! Pairs of kinds that few schemas have: `releases.rs` walks them both ways, all at once.

use super::pairs::Pair;

pub const KINDS: &[Pair] = &[
    (
        "a domain's checks",
        "CREATE DOMAIN d AS int; CREATE TABLE t (a d);",
        "ALTER DOMAIN d ADD CONSTRAINT low CHECK (VALUE > 0);",
        "ALTER DOMAIN d ADD CONSTRAINT low CHECK (VALUE > 1); ALTER DOMAIN d ADD CONSTRAINT high CHECK (VALUE < 9); ALTER DOMAIN d SET NOT NULL; ALTER DOMAIN d SET DEFAULT 3;",
    ),
    (
        "what is said of a domain and its check",
        "CREATE DOMAIN d AS text CONSTRAINT c CHECK (VALUE <> '');",
        "COMMENT ON DOMAIN d IS 'one';",
        "COMMENT ON DOMAIN d IS 'other'; COMMENT ON CONSTRAINT c ON DOMAIN d IS 'not empty';",
    ),
    (
        "an array of a domain",
        "",
        "CREATE DOMAIN d AS int CHECK (VALUE > 0); CREATE TABLE t (a d[]);",
        "CREATE TABLE t (a int[]);",
    ),
    (
        "a range of another subtype",
        "",
        "CREATE TYPE r AS RANGE (subtype = float8);",
        "CREATE TYPE r AS RANGE (subtype = float8, subtype_diff = float8mi); CREATE TABLE t (a r);",
    ),
    (
        "a range with a collation",
        "",
        "CREATE TYPE r AS RANGE (subtype = text); COMMENT ON TYPE r IS 'words';",
        "CREATE TYPE r AS RANGE (subtype = text, collation = \"C\");",
    ),
    (
        "an exclusion of another kind",
        "CREATE TABLE t (a int4range, b int4range);",
        "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING gist (a WITH &&);",
        "ALTER TABLE t ADD CONSTRAINT x EXCLUDE USING gist (a WITH &&, b WITH &&) WHERE (NOT isempty(a)) DEFERRABLE INITIALLY DEFERRED;",
    ),
    (
        "a deferrable key",
        "CREATE TABLE t (a int NOT NULL, b int);",
        "ALTER TABLE t ADD CONSTRAINT k UNIQUE (a);",
        "ALTER TABLE t ADD CONSTRAINT k UNIQUE (a) DEFERRABLE; COMMENT ON CONSTRAINT k ON t IS 'later';",
    ),
    (
        "options of identity alone",
        "",
        "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY (INCREMENT BY 2 MINVALUE 5 MAXVALUE 500 START 7));",
        "CREATE TABLE t (a int GENERATED ALWAYS AS IDENTITY (INCREMENT BY 3 MINVALUE 5 MAXVALUE 900 START 7 CACHE 10 CYCLE));",
    ),
    (
        "a sequence of another type and step",
        "",
        "CREATE SEQUENCE s AS smallint INCREMENT 2; COMMENT ON SEQUENCE s IS 'one'; GRANT USAGE ON SEQUENCE s TO martello;",
        "CREATE SEQUENCE s AS bigint INCREMENT -1 CYCLE; GRANT SELECT, UPDATE ON SEQUENCE s TO martello;",
    ),
    (
        "a computed column that a view and an index lean on",
        "",
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a + 1) STORED); CREATE INDEX i ON t (b); CREATE VIEW v AS SELECT b FROM t;",
        "CREATE TABLE t (a int, b int GENERATED ALWAYS AS (a - 1) STORED NOT NULL); CREATE INDEX i ON t (b DESC); CREATE VIEW v AS SELECT b FROM t;",
    ),
    (
        "a materialized view with indexes over a changed type",
        "",
        "CREATE TABLE t (a int, b int); CREATE MATERIALIZED VIEW m AS SELECT a, sum(b) AS s FROM t GROUP BY a; CREATE UNIQUE INDEX m_a ON m (a); CREATE INDEX m_s ON m (s DESC); COMMENT ON MATERIALIZED VIEW m IS 'sums'; COMMENT ON COLUMN m.s IS 'sum'; COMMENT ON INDEX m_s IS 'i';",
        "CREATE TABLE t (a bigint, b int); CREATE MATERIALIZED VIEW m AS SELECT a, sum(b) AS s FROM t GROUP BY a; CREATE UNIQUE INDEX m_a ON m (a); COMMENT ON COLUMN m.s IS 'the sum';",
    ),
    (
        "a materialized view over a view over another",
        "CREATE TABLE t (a int);",
        "CREATE MATERIALIZED VIEW m AS SELECT a FROM t; CREATE VIEW v AS SELECT a FROM m; CREATE MATERIALIZED VIEW n AS SELECT a FROM v; CREATE INDEX n_a ON n (a);",
        "CREATE MATERIALIZED VIEW m AS SELECT a + 1 AS a FROM t; CREATE VIEW v AS SELECT a FROM m; CREATE MATERIALIZED VIEW n AS SELECT a FROM v; CREATE INDEX n_a ON n (a); GRANT SELECT ON n TO martello;",
    ),
    (
        "a trigger on a view",
        "CREATE TABLE t (a int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE VIEW v AS SELECT a FROM t;",
        "CREATE TRIGGER g INSTEAD OF INSERT ON v FOR EACH ROW EXECUTE FUNCTION f();",
        "CREATE TRIGGER g INSTEAD OF INSERT OR UPDATE ON v FOR EACH ROW EXECUTE FUNCTION f('x'); COMMENT ON TRIGGER g ON v IS 'instead';",
    ),
    (
        "a view that is made anew with its trigger, rule and grants",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';",
        "CREATE TABLE t (a int, b text); CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER g INSTEAD OF DELETE ON v FOR EACH ROW EXECUTE FUNCTION f(); GRANT SELECT ON v TO martello; ALTER VIEW v ALTER a SET DEFAULT 3;",
        "CREATE TABLE t (a bigint, b text); CREATE VIEW v AS SELECT a FROM t; CREATE TRIGGER g INSTEAD OF DELETE ON v FOR EACH ROW EXECUTE FUNCTION f(); GRANT SELECT ON v TO martello; ALTER VIEW v ALTER a SET DEFAULT 3;",
    ),
    (
        "a table that becomes a partition",
        "CREATE TABLE p (a int NOT NULL, b text) PARTITION BY RANGE (a);",
        "CREATE TABLE q (a int NOT NULL, b text);",
        "CREATE TABLE q (a int NOT NULL, b text); ALTER TABLE p ATTACH PARTITION q FOR VALUES FROM (0) TO (10);",
    ),
    (
        "a partition with other bounds, and a default one",
        "CREATE TABLE p (a int, b text) PARTITION BY LIST (a);",
        "CREATE TABLE q PARTITION OF p FOR VALUES IN (1, 2);",
        "CREATE TABLE q PARTITION OF p FOR VALUES IN (1, 3); CREATE TABLE r PARTITION OF p DEFAULT;",
    ),
    (
        "partitions of partitions with what is said of them",
        "CREATE TABLE p (a int, b int) PARTITION BY RANGE (a);",
        "CREATE TABLE q PARTITION OF p FOR VALUES FROM (0) TO (10) PARTITION BY HASH (b); CREATE TABLE r PARTITION OF q FOR VALUES WITH (MODULUS 2, REMAINDER 0);",
        "CREATE TABLE q PARTITION OF p FOR VALUES FROM (0) TO (10) PARTITION BY HASH (b); CREATE TABLE r PARTITION OF q FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE s PARTITION OF q FOR VALUES WITH (MODULUS 2, REMAINDER 1); COMMENT ON TABLE s IS 'odd'; CREATE INDEX p_b ON p (b);",
    ),
    (
        "a trigger of a partitioned table",
        "CREATE TABLE p (a int) PARTITION BY RANGE (a); CREATE TABLE q PARTITION OF p FOR VALUES FROM (0) TO (10); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';",
        "",
        "CREATE TRIGGER g AFTER INSERT ON p FOR EACH ROW EXECUTE FUNCTION f();",
    ),
    (
        "policies for several roles and commands",
        "CREATE TABLE t (a int, b text); ALTER TABLE t ENABLE ROW LEVEL SECURITY;",
        "CREATE POLICY one ON t FOR SELECT TO martello USING (a > 0); CREATE POLICY two ON t FOR INSERT WITH CHECK (b <> '');",
        "CREATE POLICY one ON t AS RESTRICTIVE FOR UPDATE TO martello, postgres USING (a > 0) WITH CHECK (a > 1); CREATE POLICY two ON t FOR INSERT WITH CHECK (b <> 'x'); COMMENT ON POLICY two ON t IS 'no x'; ALTER TABLE t FORCE ROW LEVEL SECURITY;",
    ),
    (
        "what is said of everything",
        "CREATE SCHEMA s; CREATE TYPE e AS ENUM ('x'); CREATE TYPE c AS (a int); CREATE TABLE t (a int CONSTRAINT k CHECK (a > 0), b int); CREATE INDEX i ON t (a); CREATE STATISTICS st (dependencies) ON a, b FROM t; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE PROCEDURE pr() LANGUAGE sql AS 'SELECT 1'; CREATE AGGREGATE ag(int) (SFUNC = int4pl, STYPE = int); CREATE RULE ru AS ON DELETE TO t DO INSTEAD NOTHING; CREATE COLLATION co (locale = 'C');",
        "COMMENT ON SCHEMA s IS 's'; COMMENT ON TYPE e IS 'e'; COMMENT ON COLUMN c.a IS 'a'; COMMENT ON CONSTRAINT k ON t IS 'k'; COMMENT ON INDEX i IS 'i'; COMMENT ON STATISTICS st IS 'st';",
        "COMMENT ON SCHEMA s IS 'S'; COMMENT ON TYPE c IS 'c'; COMMENT ON FUNCTION f(int) IS 'f'; COMMENT ON PROCEDURE pr() IS 'pr'; COMMENT ON AGGREGATE ag(int) IS 'ag'; COMMENT ON RULE ru ON t IS 'ru'; COMMENT ON COLLATION co IS 'co'; COMMENT ON COLUMN t.a IS E'two\\nlines';",
    ),
    (
        "grants of sequences, functions and columns",
        "CREATE SCHEMA s; CREATE SEQUENCE q; CREATE TABLE t (a int, b int); CREATE VIEW v AS SELECT a, b FROM t; CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE PROCEDURE p() LANGUAGE sql AS 'SELECT 1'; CREATE TYPE e AS ENUM ('x');",
        "GRANT USAGE ON SEQUENCE q TO martello; GRANT EXECUTE ON FUNCTION f(int) TO martello; GRANT SELECT (a), UPDATE (b) ON t TO martello; GRANT USAGE ON SCHEMA s TO martello;",
        "GRANT ALL ON SEQUENCE q TO martello; GRANT EXECUTE ON PROCEDURE p() TO martello WITH GRANT OPTION; GRANT SELECT (b) ON t TO martello; GRANT SELECT (a) ON v TO martello; GRANT USAGE ON TYPE e TO martello; GRANT CREATE ON SCHEMA s TO martello;",
    ),
    (
        "functions of other kinds",
        "CREATE TABLE t (a int);",
        "CREATE FUNCTION f(a int, b int DEFAULT 2) RETURNS int LANGUAGE sql IMMUTABLE STRICT AS 'SELECT a + b'; CREATE FUNCTION w() RETURNS bigint LANGUAGE internal WINDOW AS 'window_row_number';",
        "CREATE FUNCTION f(a int, b int DEFAULT 3) RETURNS int LANGUAGE sql STABLE PARALLEL SAFE COST 7 AS 'SELECT a - b'; CREATE FUNCTION s() RETURNS SETOF t LANGUAGE sql ROWS 5 SECURITY DEFINER SET search_path = '' AS 'SELECT 1';",
    ),
    (
        "a check that stays invalid",
        "CREATE TABLE t (a int);",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID;",
        "ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0);",
    ),
    (
        "an index of many parts",
        "CREATE TABLE t (a int, b text, c int[]);",
        "CREATE INDEX i ON t (a DESC NULLS LAST, lower(b) text_pattern_ops) INCLUDE (c) WITH (fillfactor = 70) WHERE a > 0;",
        "CREATE INDEX i ON t USING gin (c) WITH (fastupdate = off); CREATE INDEX j ON t USING brin (a) WITH (pages_per_range = 16); CREATE INDEX k ON t USING hash (b);",
    ),
];
