CREATE TABLE price_daily (
  symbol String COMMENT 'Ticker',
  date Date32 COMMENT 'Exchange session',
  open Decimal(14, 6) COMMENT 'First price, USD, as traded',
  high Decimal(14, 6) COMMENT 'Highest price, USD, as traded',
  low Decimal(14, 6) COMMENT 'Lowest price, USD, as traded',
  close Decimal(14, 6) COMMENT 'Last price, USD, as traded',
  adj_close Decimal(14, 6) COMMENT 'Close adjusted for splits and dividends, USD',
  volume Int64 COMMENT 'Shares, as traded',
  ex_dividend Nullable(Decimal(14, 6)) COMMENT 'Dividend per share with this ex-date, USD; null if not stated',
  split_ratio Nullable(Decimal(14, 6)) COMMENT 'Shares after a split per share before; null if not stated',
  source LowCardinality(String) COMMENT 'Archive of origin',
  -- A day, or the newest days, across symbols.
  INDEX price_daily_date_idx date TYPE minmax
)
ENGINE = MergeTree
ORDER BY (symbol, date)
COMMENT 'Daily bars as traded, a row per symbol and session';
