-- Tables are replaced as a whole when their dataset is loaded or published, so that a plain MergeTree is enough; on a
-- cluster it is a ReplicatedMergeTree. Rows lie in the order that most questions want.

CREATE TABLE company_profile (
  symbol String COMMENT 'Ticker as in the price files',
  company_name String COMMENT 'Name for display',
  cik Nullable(Int64) COMMENT 'SEC central index key',
  sec_entity_name Nullable(String) COMMENT 'Name in the SEC''s list',
  exchange_current LowCardinality(Nullable(String)) COMMENT 'Exchange now',
  current_symbol Nullable(String) COMMENT 'Ticker now',
  country LowCardinality(Nullable(String)) COMMENT 'Country of the headquarters',
  headquarters Nullable(String) COMMENT 'City and state',
  website Nullable(String) COMMENT 'Host name of the site',
  founded_year Nullable(Int32) COMMENT 'Year of foundation',
  employees Nullable(Int32) COMMENT 'Employees in employees_year',
  employees_year Nullable(Int32) COMMENT 'Year of employees',
  industries Array(Nullable(String)) COMMENT 'Industries, sorted, without nulls',
  sp500_date_added Nullable(Date32) COMMENT 'First day in the S&P 500',
  tier LowCardinality(String) COMMENT 'core or optional, ours'
)
ENGINE = MergeTree
ORDER BY (symbol)
COMMENT 'Company behind each symbol, a snapshot';
