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

CREATE TABLE technical_daily (
  symbol String COMMENT 'Ticker',
  date Date32 COMMENT 'Exchange session',
  sma_20 Nullable(Float64) COMMENT 'Mean of 20 closes',
  sma_50 Nullable(Float64) COMMENT 'Mean of 50 closes',
  sma_200 Nullable(Float64) COMMENT 'Mean of 200 closes',
  ema_12 Nullable(Float64) COMMENT 'Exponential mean, 12 sessions',
  ema_26 Nullable(Float64) COMMENT 'Exponential mean, 26 sessions',
  macd Nullable(Float64) COMMENT 'ema_12 - ema_26',
  macd_signal Nullable(Float64) COMMENT 'Exponential mean of macd, 9 sessions',
  macd_hist Nullable(Float64) COMMENT 'macd - macd_signal',
  rsi_14 Nullable(Float64) COMMENT 'Wilder''s relative strength index, 0 to 100',
  bb_mid Nullable(Float64) COMMENT 'sma_20',
  bb_upper Nullable(Float64) COMMENT 'sma_20 + 2 population sigma',
  bb_lower Nullable(Float64) COMMENT 'sma_20 - 2 population sigma',
  bb_pct_b Nullable(Float64) COMMENT 'Place of the close between the bands',
  atr_14 Nullable(Float64) COMMENT 'Wilder''s average true range',
  return_1d Nullable(Float64) COMMENT 'Return on the session before',
  log_return_1d Nullable(Float64) COMMENT 'Log return on the session before',
  volatility_20d Nullable(Float64) COMMENT 'Sample sigma of 20 log returns, per year',
  momentum_12_1 Nullable(Float64) COMMENT 'Return from 252 to 21 sessions ago',
  high_52w Nullable(Float64) COMMENT 'Highest of 252 closes',
  low_52w Nullable(Float64) COMMENT 'Lowest of 252 closes',
  drawdown_52w Nullable(Float64) COMMENT 'Close / high_52w - 1',
  volume_sma_20 Nullable(Float64) COMMENT 'Mean volume of the 20 sessions before',
  relative_volume Nullable(Float64) COMMENT 'Volume / volume_sma_20',
  obv Int64 COMMENT 'On-balance volume',
  -- A day, or the newest days, across symbols.
  INDEX technical_daily_date_idx date TYPE minmax
)
ENGINE = MergeTree
ORDER BY (symbol, date)
COMMENT 'Indicators on adjusted prices, a row per symbol and session';

CREATE TABLE news (
  news_id Int64 COMMENT 'Surrogate key',
  published_at DateTime64(6, 'UTC') COMMENT 'Midnight in UTC of the day of the event',
  headline String COMMENT 'What happened, in a sentence',
  publisher LowCardinality(Nullable(String)) COMMENT 'Whose record it is from',
  symbols Array(String) COMMENT 'Tickers concerned, without nulls',
  category LowCardinality(String) COMMENT 'Kind of event',
  url Nullable(String) COMMENT 'Page of the event',
  form LowCardinality(Nullable(String)) COMMENT 'SEC form of a filing',
  accession_number Nullable(String) COMMENT 'SEC number of a filing',
  source LowCardinality(String) COMMENT 'Collection of origin',
  -- Words of headlines: a search asks for this very expression.
  INDEX news_headline_words_idx lower(headline) TYPE tokenbf_v1(8192, 3, 0),
  INDEX news_symbols_idx symbols TYPE bloom_filter,
  INDEX news_id_idx news_id TYPE minmax
)
ENGINE = MergeTree
ORDER BY (published_at, news_id)
COMMENT 'Company events as headlines, a row per event';

CREATE TABLE social_daily (
  symbol String COMMENT 'Ticker',
  date Date32 COMMENT 'Exchange session',
  posts Int32 COMMENT 'Synthetic posts',
  unique_authors Int32 COMMENT 'Their authors',
  positive_posts Int32 COMMENT 'Posts scored +1',
  negative_posts Int32 COMMENT 'Posts scored -1',
  neutral_posts Int32 COMMENT 'Posts scored 0',
  sentiment_mean Float64 COMMENT 'Mean score, -1 to 1',
  sentiment_stddev Float64 COMMENT 'Population sigma of the scores',
  source LowCardinality(String) COMMENT 'Always synthetic',
  -- A day, or the newest days, across symbols.
  INDEX social_daily_date_idx date TYPE minmax
)
ENGINE = MergeTree
ORDER BY (symbol, date)
COMMENT 'Synthetic mention counts, a row per symbol and session';

CREATE TABLE signal (
  symbol String COMMENT 'Ticker',
  active_from Date32 COMMENT 'First session whose close may act on it',
  signal LowCardinality(String) COMMENT 'Rule that fired',
  direction Int32 COMMENT '1 bullish, -1 bearish, 0 attention',
  strength Float64 COMMENT '0 to 1',
  horizon LowCardinality(String) COMMENT 'short, medium or long',
  value Float64 COMMENT 'What the rule measured',
  threshold Float64 COMMENT 'What it had to pass',
  valid_until Date32 COMMENT 'Last session on which it counts',
  inputs String COMMENT 'Numbers that the rule read',
  -- The default order, across symbols.
  INDEX signal_active_idx active_from TYPE minmax
)
ENGINE = MergeTree
ORDER BY (symbol, active_from, signal)
COMMENT 'Signals, a row per symbol, first session and rule';
