-- Run once, by psql, as the owner of a new database of marts: whoever serves may read what the owner makes in it, and owns
-- the control store beside it. The password comes from the environment (MARTS_PASSWORD), so that no command line shows it.
\set ON_ERROR_STOP on
\getenv password MARTS_PASSWORD
CREATE ROLE martello LOGIN PASSWORD :'password';
SELECT format('ALTER ROLE martello IN DATABASE %I SET default_transaction_read_only = on', current_database()) \gexec
GRANT USAGE ON SCHEMA public TO martello;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO martello;
CREATE DATABASE control OWNER martello;
