-- Create "company_profile" table
CREATE TABLE "company_profile" (
  "symbol" text NOT NULL COLLATE "C",
  "company_name" text NOT NULL COLLATE "C",
  "cik" bigint NULL,
  "sec_entity_name" text NULL COLLATE "C",
  "exchange_current" text NULL COLLATE "C",
  "current_symbol" text NULL COLLATE "C",
  "country" text NULL COLLATE "C",
  "headquarters" text NULL COLLATE "C",
  "website" text NULL COLLATE "C",
  "founded_year" integer NULL,
  "employees" integer NULL,
  "employees_year" integer NULL,
  "industries" text[] NULL COLLATE "C",
  "sp500_date_added" date NULL,
  "tier" text NOT NULL COLLATE "C",
  PRIMARY KEY ("symbol")
);
-- Set comment to table: "company_profile"
COMMENT ON TABLE "company_profile" IS 'Company behind each symbol, a snapshot';
-- Set comment to column: "symbol" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."symbol" IS 'Ticker as in the price files';
-- Set comment to column: "company_name" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."company_name" IS 'Name for display';
-- Set comment to column: "cik" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."cik" IS 'SEC central index key';
-- Set comment to column: "sec_entity_name" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."sec_entity_name" IS 'Name in the SEC''s list';
-- Set comment to column: "exchange_current" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."exchange_current" IS 'Exchange now';
-- Set comment to column: "current_symbol" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."current_symbol" IS 'Ticker now';
-- Set comment to column: "country" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."country" IS 'Country of the headquarters';
-- Set comment to column: "headquarters" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."headquarters" IS 'City and state';
-- Set comment to column: "website" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."website" IS 'Host name of the site';
-- Set comment to column: "founded_year" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."founded_year" IS 'Year of foundation';
-- Set comment to column: "employees" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."employees" IS 'Employees in employees_year';
-- Set comment to column: "employees_year" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."employees_year" IS 'Year of employees';
-- Set comment to column: "industries" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."industries" IS 'Industries, sorted, without nulls';
-- Set comment to column: "sp500_date_added" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."sp500_date_added" IS 'First day in the S&P 500';
-- Set comment to column: "tier" on table: "company_profile"
COMMENT ON COLUMN "company_profile"."tier" IS 'core or optional, ours';
-- Create "price_daily" table
CREATE TABLE "price_daily" (
  "symbol" text NOT NULL COLLATE "C",
  "date" date NOT NULL,
  "open" numeric(14,6) NOT NULL,
  "high" numeric(14,6) NOT NULL,
  "low" numeric(14,6) NOT NULL,
  "close" numeric(14,6) NOT NULL,
  "adj_close" numeric(14,6) NOT NULL,
  "volume" bigint NOT NULL,
  "ex_dividend" numeric(14,6) NULL,
  "split_ratio" numeric(14,6) NULL,
  "source" text NOT NULL COLLATE "C",
  PRIMARY KEY ("symbol", "date")
);
-- Create index "price_daily_date_idx" to table: "price_daily"
CREATE INDEX "price_daily_date_idx" ON "price_daily" ("date", "symbol");
-- Set comment to table: "price_daily"
COMMENT ON TABLE "price_daily" IS 'Daily bars as traded, a row per symbol and session';
-- Set comment to column: "symbol" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."symbol" IS 'Ticker';
-- Set comment to column: "date" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."date" IS 'Exchange session';
-- Set comment to column: "open" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."open" IS 'First price, USD, as traded';
-- Set comment to column: "high" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."high" IS 'Highest price, USD, as traded';
-- Set comment to column: "low" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."low" IS 'Lowest price, USD, as traded';
-- Set comment to column: "close" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."close" IS 'Last price, USD, as traded';
-- Set comment to column: "adj_close" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."adj_close" IS 'Close adjusted for splits and dividends, USD';
-- Set comment to column: "volume" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."volume" IS 'Shares, as traded';
-- Set comment to column: "ex_dividend" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."ex_dividend" IS 'Dividend per share with this ex-date, USD; null if not stated';
-- Set comment to column: "split_ratio" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."split_ratio" IS 'Shares after a split per share before; null if not stated';
-- Set comment to column: "source" on table: "price_daily"
COMMENT ON COLUMN "price_daily"."source" IS 'Archive of origin';
-- Create "fundamental" table
CREATE TABLE "fundamental" (
  "fact_id" bigint NOT NULL,
  "symbol" text NOT NULL COLLATE "C",
  "cik" bigint NOT NULL,
  "metric" text NOT NULL COLLATE "C",
  "concept" text NOT NULL COLLATE "C",
  "unit" text NOT NULL COLLATE "C",
  "period_type" text NOT NULL COLLATE "C",
  "period_start" date NULL,
  "period_end" date NOT NULL,
  "value" numeric(18,4) NOT NULL,
  "filing_fiscal_year" integer NULL,
  "filing_fiscal_period" text NULL COLLATE "C",
  "form" text NOT NULL COLLATE "C",
  "accession_number" text NOT NULL COLLATE "C",
  "filed_date" date NOT NULL,
  "source" text NOT NULL COLLATE "C",
  PRIMARY KEY ("fact_id")
);
-- Create index "fundamental_as_of_idx" to table: "fundamental"
CREATE INDEX "fundamental_as_of_idx" ON "fundamental" ("symbol", "metric", "unit", "period_type", "period_start", "period_end", "filed_date" DESC, "fact_id" DESC);
-- Create index "fundamental_filed_idx" to table: "fundamental"
CREATE INDEX "fundamental_filed_idx" ON "fundamental" ("filed_date", "fact_id");
-- Create index "fundamental_metric_idx" to table: "fundamental"
CREATE INDEX "fundamental_metric_idx" ON "fundamental" ("metric", "period_end", "symbol");
-- Create index "fundamental_order_idx" to table: "fundamental"
CREATE INDEX "fundamental_order_idx" ON "fundamental" ("symbol", "metric", "period_end", "filed_date", "fact_id");
-- Set comment to table: "fundamental"
COMMENT ON TABLE "fundamental" IS 'Reported figures, a row per fact and filing';
-- Set comment to column: "fact_id" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."fact_id" IS 'Surrogate key';
-- Set comment to column: "symbol" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."symbol" IS 'Ticker';
-- Set comment to column: "cik" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."cik" IS 'SEC central index key';
-- Set comment to column: "metric" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."metric" IS 'Our name of the figure';
-- Set comment to column: "concept" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."concept" IS 'XBRL tag as filed';
-- Set comment to column: "unit" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."unit" IS 'USD, shares or USD/shares';
-- Set comment to column: "period_type" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."period_type" IS 'instant, quarter, half_year, nine_months or fiscal_year';
-- Set comment to column: "period_start" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."period_start" IS 'First day; null for an instant';
-- Set comment to column: "period_end" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."period_end" IS 'Last day';
-- Set comment to column: "value" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."value" IS 'As filed, in units';
-- Set comment to column: "filing_fiscal_year" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."filing_fiscal_year" IS 'Fiscal year of the filing';
-- Set comment to column: "filing_fiscal_period" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."filing_fiscal_period" IS 'Fiscal period of the filing';
-- Set comment to column: "form" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."form" IS 'SEC form';
-- Set comment to column: "accession_number" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."accession_number" IS 'SEC number of the filing';
-- Set comment to column: "filed_date" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."filed_date" IS 'Day on which it became public';
-- Set comment to column: "source" on table: "fundamental"
COMMENT ON COLUMN "fundamental"."source" IS 'Collection of origin';
-- Create "technical_daily" table
CREATE TABLE "technical_daily" (
  "symbol" text NOT NULL COLLATE "C",
  "date" date NOT NULL,
  "sma_20" double precision NULL,
  "sma_50" double precision NULL,
  "sma_200" double precision NULL,
  "ema_12" double precision NULL,
  "ema_26" double precision NULL,
  "macd" double precision NULL,
  "macd_signal" double precision NULL,
  "macd_hist" double precision NULL,
  "rsi_14" double precision NULL,
  "bb_mid" double precision NULL,
  "bb_upper" double precision NULL,
  "bb_lower" double precision NULL,
  "bb_pct_b" double precision NULL,
  "atr_14" double precision NULL,
  "return_1d" double precision NULL,
  "log_return_1d" double precision NULL,
  "volatility_20d" double precision NULL,
  "momentum_12_1" double precision NULL,
  "high_52w" double precision NULL,
  "low_52w" double precision NULL,
  "drawdown_52w" double precision NULL,
  "volume_sma_20" double precision NULL,
  "relative_volume" double precision NULL,
  "obv" bigint NOT NULL,
  PRIMARY KEY ("symbol", "date")
);
-- Create index "technical_daily_date_idx" to table: "technical_daily"
CREATE INDEX "technical_daily_date_idx" ON "technical_daily" ("date", "symbol");
-- Set comment to table: "technical_daily"
COMMENT ON TABLE "technical_daily" IS 'Indicators on adjusted prices, a row per symbol and session';
-- Set comment to column: "symbol" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."symbol" IS 'Ticker';
-- Set comment to column: "date" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."date" IS 'Exchange session';
-- Set comment to column: "sma_20" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."sma_20" IS 'Mean of 20 closes';
-- Set comment to column: "sma_50" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."sma_50" IS 'Mean of 50 closes';
-- Set comment to column: "sma_200" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."sma_200" IS 'Mean of 200 closes';
-- Set comment to column: "ema_12" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."ema_12" IS 'Exponential mean, 12 sessions';
-- Set comment to column: "ema_26" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."ema_26" IS 'Exponential mean, 26 sessions';
-- Set comment to column: "macd" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."macd" IS 'ema_12 - ema_26';
-- Set comment to column: "macd_signal" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."macd_signal" IS 'Exponential mean of macd, 9 sessions';
-- Set comment to column: "macd_hist" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."macd_hist" IS 'macd - macd_signal';
-- Set comment to column: "rsi_14" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."rsi_14" IS 'Wilder''s relative strength index, 0 to 100';
-- Set comment to column: "bb_mid" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."bb_mid" IS 'sma_20';
-- Set comment to column: "bb_upper" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."bb_upper" IS 'sma_20 + 2 population sigma';
-- Set comment to column: "bb_lower" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."bb_lower" IS 'sma_20 - 2 population sigma';
-- Set comment to column: "bb_pct_b" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."bb_pct_b" IS 'Place of the close between the bands';
-- Set comment to column: "atr_14" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."atr_14" IS 'Wilder''s average true range';
-- Set comment to column: "return_1d" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."return_1d" IS 'Return on the session before';
-- Set comment to column: "log_return_1d" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."log_return_1d" IS 'Log return on the session before';
-- Set comment to column: "volatility_20d" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."volatility_20d" IS 'Sample sigma of 20 log returns, per year';
-- Set comment to column: "momentum_12_1" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."momentum_12_1" IS 'Return from 252 to 21 sessions ago';
-- Set comment to column: "high_52w" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."high_52w" IS 'Highest of 252 closes';
-- Set comment to column: "low_52w" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."low_52w" IS 'Lowest of 252 closes';
-- Set comment to column: "drawdown_52w" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."drawdown_52w" IS 'Close / high_52w - 1';
-- Set comment to column: "volume_sma_20" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."volume_sma_20" IS 'Mean volume of the 20 sessions before';
-- Set comment to column: "relative_volume" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."relative_volume" IS 'Volume / volume_sma_20';
-- Set comment to column: "obv" on table: "technical_daily"
COMMENT ON COLUMN "technical_daily"."obv" IS 'On-balance volume';
-- Create "news" table
CREATE TABLE "news" (
  "news_id" bigint NOT NULL,
  "published_at" timestamptz NOT NULL,
  "headline" text NOT NULL COLLATE "C",
  "publisher" text NULL COLLATE "C",
  "symbols" text[] NOT NULL COLLATE "C",
  "category" text NOT NULL COLLATE "C",
  "url" text NULL COLLATE "C",
  "form" text NULL COLLATE "C",
  "accession_number" text NULL COLLATE "C",
  "source" text NOT NULL COLLATE "C",
  PRIMARY KEY ("news_id")
);
-- Create index "news_published_idx" to table: "news"
CREATE INDEX "news_published_idx" ON "news" ("published_at" DESC, "news_id");
-- Create index "news_symbols_idx" to table: "news"
CREATE INDEX "news_symbols_idx" ON "news" USING gin ("symbols");
-- Set comment to table: "news"
COMMENT ON TABLE "news" IS 'Company events as headlines, a row per event';
-- Set comment to column: "news_id" on table: "news"
COMMENT ON COLUMN "news"."news_id" IS 'Surrogate key';
-- Set comment to column: "published_at" on table: "news"
COMMENT ON COLUMN "news"."published_at" IS 'Midnight in UTC of the day of the event';
-- Set comment to column: "headline" on table: "news"
COMMENT ON COLUMN "news"."headline" IS 'What happened, in a sentence';
-- Set comment to column: "publisher" on table: "news"
COMMENT ON COLUMN "news"."publisher" IS 'Whose record it is from';
-- Set comment to column: "symbols" on table: "news"
COMMENT ON COLUMN "news"."symbols" IS 'Tickers concerned, without nulls';
-- Set comment to column: "category" on table: "news"
COMMENT ON COLUMN "news"."category" IS 'Kind of event';
-- Set comment to column: "url" on table: "news"
COMMENT ON COLUMN "news"."url" IS 'Page of the event';
-- Set comment to column: "form" on table: "news"
COMMENT ON COLUMN "news"."form" IS 'SEC form of a filing';
-- Set comment to column: "accession_number" on table: "news"
COMMENT ON COLUMN "news"."accession_number" IS 'SEC number of a filing';
-- Set comment to column: "source" on table: "news"
COMMENT ON COLUMN "news"."source" IS 'Collection of origin';
-- Create "social_daily" table
CREATE TABLE "social_daily" (
  "symbol" text NOT NULL COLLATE "C",
  "date" date NOT NULL,
  "posts" integer NOT NULL,
  "unique_authors" integer NOT NULL,
  "positive_posts" integer NOT NULL,
  "negative_posts" integer NOT NULL,
  "neutral_posts" integer NOT NULL,
  "sentiment_mean" double precision NOT NULL,
  "sentiment_stddev" double precision NOT NULL,
  "source" text NOT NULL COLLATE "C",
  PRIMARY KEY ("symbol", "date")
);
-- Create index "social_daily_date_idx" to table: "social_daily"
CREATE INDEX "social_daily_date_idx" ON "social_daily" ("date", "symbol");
-- Set comment to table: "social_daily"
COMMENT ON TABLE "social_daily" IS 'Synthetic mention counts, a row per symbol and session';
-- Set comment to column: "symbol" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."symbol" IS 'Ticker';
-- Set comment to column: "date" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."date" IS 'Exchange session';
-- Set comment to column: "posts" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."posts" IS 'Synthetic posts';
-- Set comment to column: "unique_authors" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."unique_authors" IS 'Their authors';
-- Set comment to column: "positive_posts" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."positive_posts" IS 'Posts scored +1';
-- Set comment to column: "negative_posts" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."negative_posts" IS 'Posts scored -1';
-- Set comment to column: "neutral_posts" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."neutral_posts" IS 'Posts scored 0';
-- Set comment to column: "sentiment_mean" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."sentiment_mean" IS 'Mean score, -1 to 1';
-- Set comment to column: "sentiment_stddev" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."sentiment_stddev" IS 'Population sigma of the scores';
-- Set comment to column: "source" on table: "social_daily"
COMMENT ON COLUMN "social_daily"."source" IS 'Always synthetic';
-- Create "signal" table
CREATE TABLE "signal" (
  "symbol" text NOT NULL COLLATE "C",
  "active_from" date NOT NULL,
  "signal" text NOT NULL COLLATE "C",
  "direction" integer NOT NULL,
  "strength" double precision NOT NULL,
  "horizon" text NOT NULL COLLATE "C",
  "value" double precision NOT NULL,
  "threshold" double precision NOT NULL,
  "valid_until" date NOT NULL,
  "inputs" jsonb NOT NULL,
  PRIMARY KEY ("symbol", "active_from", "signal")
);
-- Create index "signal_active_idx" to table: "signal"
CREATE INDEX "signal_active_idx" ON "signal" ("active_from" DESC, "symbol", "signal");
-- Create index "signal_rule_idx" to table: "signal"
CREATE INDEX "signal_rule_idx" ON "signal" ("signal", "active_from" DESC, "symbol");
-- Set comment to table: "signal"
COMMENT ON TABLE "signal" IS 'Signals, a row per symbol, first session and rule';
-- Set comment to column: "symbol" on table: "signal"
COMMENT ON COLUMN "signal"."symbol" IS 'Ticker';
-- Set comment to column: "active_from" on table: "signal"
COMMENT ON COLUMN "signal"."active_from" IS 'First session whose close may act on it';
-- Set comment to column: "signal" on table: "signal"
COMMENT ON COLUMN "signal"."signal" IS 'Rule that fired';
-- Set comment to column: "direction" on table: "signal"
COMMENT ON COLUMN "signal"."direction" IS '1 bullish, -1 bearish, 0 attention';
-- Set comment to column: "strength" on table: "signal"
COMMENT ON COLUMN "signal"."strength" IS '0 to 1';
-- Set comment to column: "horizon" on table: "signal"
COMMENT ON COLUMN "signal"."horizon" IS 'short, medium or long';
-- Set comment to column: "value" on table: "signal"
COMMENT ON COLUMN "signal"."value" IS 'What the rule measured';
-- Set comment to column: "threshold" on table: "signal"
COMMENT ON COLUMN "signal"."threshold" IS 'What it had to pass';
-- Set comment to column: "valid_until" on table: "signal"
COMMENT ON COLUMN "signal"."valid_until" IS 'Last session on which it counts';
-- Set comment to column: "inputs" on table: "signal"
COMMENT ON COLUMN "signal"."inputs" IS 'Numbers that the rule read';
