CREATE TABLE news (
  news_id bigint NOT NULL,
  published_at timestamptz NOT NULL,
  headline text COLLATE "C" NOT NULL,
  publisher text COLLATE "C",
  symbols text[] COLLATE "C" NOT NULL,
  category text COLLATE "C" NOT NULL,
  url text COLLATE "C",
  form text COLLATE "C",
  accession_number text COLLATE "C",
  source text COLLATE "C" NOT NULL,
  PRIMARY KEY (news_id)
);

-- The default order.
CREATE INDEX news_published_idx ON news (published_at DESC, news_id);
-- Words of headlines: runs of ASCII letters, digits and all that is beyond ASCII. A search asks for this very expression.
CREATE INDEX news_headline_words_idx ON news USING gin (array_to_tsvector(array_remove(string_to_array(regexp_replace(lower(headline COLLATE "C"), '[\x01-\x2f\x3a-\x60\x7b-\x7f]+', ' ', 'g'), ' '), '')));
-- The news of a symbol: symbols @> ARRAY['AAPL'].
CREATE INDEX news_symbols_idx ON news USING gin (symbols);

COMMENT ON TABLE news IS 'Company events as headlines, a row per event';
COMMENT ON COLUMN news.news_id IS 'Surrogate key';
COMMENT ON COLUMN news.published_at IS 'Midnight in UTC of the day of the event';
COMMENT ON COLUMN news.headline IS 'What happened, in a sentence';
COMMENT ON COLUMN news.publisher IS 'Whose record it is from';
COMMENT ON COLUMN news.symbols IS 'Tickers concerned, without nulls';
COMMENT ON COLUMN news.category IS 'Kind of event';
COMMENT ON COLUMN news.url IS 'Page of the event';
COMMENT ON COLUMN news.form IS 'SEC form of a filing';
COMMENT ON COLUMN news.accession_number IS 'SEC number of a filing';
COMMENT ON COLUMN news.source IS 'Collection of origin';
