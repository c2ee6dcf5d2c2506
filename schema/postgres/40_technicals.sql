CREATE TABLE technical_daily (
  symbol text COLLATE "C" NOT NULL,
  date date NOT NULL,
  sma_20 double precision,
  sma_50 double precision,
  sma_200 double precision,
  ema_12 double precision,
  ema_26 double precision,
  macd double precision,
  macd_signal double precision,
  macd_hist double precision,
  rsi_14 double precision,
  bb_mid double precision,
  bb_upper double precision,
  bb_lower double precision,
  bb_pct_b double precision,
  atr_14 double precision,
  return_1d double precision,
  log_return_1d double precision,
  volatility_20d double precision,
  momentum_12_1 double precision,
  high_52w double precision,
  low_52w double precision,
  drawdown_52w double precision,
  volume_sma_20 double precision,
  relative_volume double precision,
  obv bigint NOT NULL,
  PRIMARY KEY (symbol, date)
);

-- The key, read backwards, is one symbol's newest first; this is a day, or the newest days, across symbols.
CREATE INDEX technical_daily_date_idx ON technical_daily (date, symbol);

COMMENT ON TABLE technical_daily IS 'Indicators on adjusted prices, a row per symbol and session';
COMMENT ON COLUMN technical_daily.symbol IS 'Ticker';
COMMENT ON COLUMN technical_daily.date IS 'Exchange session';
COMMENT ON COLUMN technical_daily.sma_20 IS 'Mean of 20 closes';
COMMENT ON COLUMN technical_daily.sma_50 IS 'Mean of 50 closes';
COMMENT ON COLUMN technical_daily.sma_200 IS 'Mean of 200 closes';
COMMENT ON COLUMN technical_daily.ema_12 IS 'Exponential mean, 12 sessions';
COMMENT ON COLUMN technical_daily.ema_26 IS 'Exponential mean, 26 sessions';
COMMENT ON COLUMN technical_daily.macd IS 'ema_12 - ema_26';
COMMENT ON COLUMN technical_daily.macd_signal IS 'Exponential mean of macd, 9 sessions';
COMMENT ON COLUMN technical_daily.macd_hist IS 'macd - macd_signal';
COMMENT ON COLUMN technical_daily.rsi_14 IS 'Wilder''s relative strength index, 0 to 100';
COMMENT ON COLUMN technical_daily.bb_mid IS 'sma_20';
COMMENT ON COLUMN technical_daily.bb_upper IS 'sma_20 + 2 population sigma';
COMMENT ON COLUMN technical_daily.bb_lower IS 'sma_20 - 2 population sigma';
COMMENT ON COLUMN technical_daily.bb_pct_b IS 'Place of the close between the bands';
COMMENT ON COLUMN technical_daily.atr_14 IS 'Wilder''s average true range';
COMMENT ON COLUMN technical_daily.return_1d IS 'Return on the session before';
COMMENT ON COLUMN technical_daily.log_return_1d IS 'Log return on the session before';
COMMENT ON COLUMN technical_daily.volatility_20d IS 'Sample sigma of 20 log returns, per year';
COMMENT ON COLUMN technical_daily.momentum_12_1 IS 'Return from 252 to 21 sessions ago';
COMMENT ON COLUMN technical_daily.high_52w IS 'Highest of 252 closes';
COMMENT ON COLUMN technical_daily.low_52w IS 'Lowest of 252 closes';
COMMENT ON COLUMN technical_daily.drawdown_52w IS 'Close / high_52w - 1';
COMMENT ON COLUMN technical_daily.volume_sma_20 IS 'Mean volume of the 20 sessions before';
COMMENT ON COLUMN technical_daily.relative_volume IS 'Volume / volume_sma_20';
COMMENT ON COLUMN technical_daily.obv IS 'On-balance volume';
