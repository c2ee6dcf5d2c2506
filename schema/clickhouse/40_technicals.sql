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
