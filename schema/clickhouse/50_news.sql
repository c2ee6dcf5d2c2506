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
