CREATE TABLE price_daily (
  symbol text COLLATE "C" NOT NULL,
  date date NOT NULL,
  open numeric(14,6) NOT NULL,
  high numeric(14,6) NOT NULL,
  low numeric(14,6) NOT NULL,
  close numeric(14,6) NOT NULL,
  adj_close numeric(14,6) NOT NULL,
  volume bigint NOT NULL,
  ex_dividend numeric(14,6),
  split_ratio numeric(14,6),
  source text COLLATE "C" NOT NULL,
  PRIMARY KEY (symbol, date)
);

-- The key, read backwards, is one symbol's newest first; this is a day, or the newest days, across symbols.
CREATE INDEX price_daily_date_idx ON price_daily (date, symbol);

COMMENT ON TABLE price_daily IS 'Daily bars as traded, a row per symbol and session';
COMMENT ON COLUMN price_daily.symbol IS 'Ticker';
COMMENT ON COLUMN price_daily.date IS 'Exchange session';
COMMENT ON COLUMN price_daily.open IS 'First price, USD, as traded';
COMMENT ON COLUMN price_daily.high IS 'Highest price, USD, as traded';
COMMENT ON COLUMN price_daily.low IS 'Lowest price, USD, as traded';
COMMENT ON COLUMN price_daily.close IS 'Last price, USD, as traded';
COMMENT ON COLUMN price_daily.adj_close IS 'Close adjusted for splits and dividends, USD';
COMMENT ON COLUMN price_daily.volume IS 'Shares, as traded';
COMMENT ON COLUMN price_daily.ex_dividend IS 'Dividend per share with this ex-date, USD; null if not stated';
COMMENT ON COLUMN price_daily.split_ratio IS 'Shares after a split per share before; null if not stated';
COMMENT ON COLUMN price_daily.source IS 'Archive of origin';
