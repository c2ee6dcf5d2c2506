CREATE TABLE fundamental (
  fact_id Int64 COMMENT 'Surrogate key',
  symbol String COMMENT 'Ticker',
  cik Int64 COMMENT 'SEC central index key',
  metric LowCardinality(String) COMMENT 'Our name of the figure',
  concept LowCardinality(String) COMMENT 'XBRL tag as filed',
  unit LowCardinality(String) COMMENT 'USD, shares or USD/shares',
  period_type LowCardinality(String) COMMENT 'instant, quarter, half_year, nine_months or fiscal_year',
  period_start Nullable(Date32) COMMENT 'First day; null for an instant',
  period_end Date32 COMMENT 'Last day',
  value Decimal(18, 4) COMMENT 'As filed, in units',
  filing_fiscal_year Nullable(Int32) COMMENT 'Fiscal year of the filing',
  filing_fiscal_period LowCardinality(Nullable(String)) COMMENT 'Fiscal period of the filing',
  form LowCardinality(String) COMMENT 'SEC form',
  accession_number String COMMENT 'SEC number of the filing',
  filed_date Date32 COMMENT 'Day on which it became public',
  source LowCardinality(String) COMMENT 'Collection of origin',
  -- What was filed last, and the row of a key, across symbols.
  INDEX fundamental_filed_idx filed_date TYPE minmax,
  INDEX fundamental_fact_idx fact_id TYPE minmax
)
ENGINE = MergeTree
ORDER BY (symbol, metric, unit, period_type, period_end, filed_date, fact_id)
COMMENT 'Reported figures, a row per fact and filing';
