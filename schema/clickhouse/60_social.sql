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
