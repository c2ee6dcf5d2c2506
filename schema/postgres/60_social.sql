CREATE TABLE social_daily (
  symbol text COLLATE "C" NOT NULL,
  date date NOT NULL,
  posts integer NOT NULL,
  unique_authors integer NOT NULL,
  positive_posts integer NOT NULL,
  negative_posts integer NOT NULL,
  neutral_posts integer NOT NULL,
  sentiment_mean double precision NOT NULL,
  sentiment_stddev double precision NOT NULL,
  source text COLLATE "C" NOT NULL,
  PRIMARY KEY (symbol, date)
);

-- The key, read backwards, is one symbol's newest first; this is a day, or the newest days, across symbols.
CREATE INDEX social_daily_date_idx ON social_daily (date, symbol);

COMMENT ON TABLE social_daily IS 'Synthetic mention counts, a row per symbol and session';
COMMENT ON COLUMN social_daily.symbol IS 'Ticker';
COMMENT ON COLUMN social_daily.date IS 'Exchange session';
COMMENT ON COLUMN social_daily.posts IS 'Synthetic posts';
COMMENT ON COLUMN social_daily.unique_authors IS 'Their authors';
COMMENT ON COLUMN social_daily.positive_posts IS 'Posts scored +1';
COMMENT ON COLUMN social_daily.negative_posts IS 'Posts scored -1';
COMMENT ON COLUMN social_daily.neutral_posts IS 'Posts scored 0';
COMMENT ON COLUMN social_daily.sentiment_mean IS 'Mean score, -1 to 1';
COMMENT ON COLUMN social_daily.sentiment_stddev IS 'Population sigma of the scores';
COMMENT ON COLUMN social_daily.source IS 'Always synthetic';
