CREATE TABLE fundamental (
  fact_id bigint NOT NULL,
  symbol text COLLATE "C" NOT NULL,
  cik bigint NOT NULL,
  metric text COLLATE "C" NOT NULL,
  concept text COLLATE "C" NOT NULL,
  unit text COLLATE "C" NOT NULL,
  period_type text COLLATE "C" NOT NULL,
  period_start date,
  period_end date NOT NULL,
  value numeric(18,4) NOT NULL,
  filing_fiscal_year integer,
  filing_fiscal_period text COLLATE "C",
  form text COLLATE "C" NOT NULL,
  accession_number text COLLATE "C" NOT NULL,
  filed_date date NOT NULL,
  source text COLLATE "C" NOT NULL,
  PRIMARY KEY (fact_id)
);

-- The revisions of one fact side by side, newest first: as_of takes the first of each group that was known.
CREATE INDEX fundamental_as_of_idx ON fundamental (symbol, metric, unit, period_type, period_start, period_end, filed_date DESC, fact_id DESC);
-- What was filed last, across symbols.
CREATE INDEX fundamental_filed_idx ON fundamental (filed_date, fact_id);
-- One metric across symbols, by period.
CREATE INDEX fundamental_metric_idx ON fundamental (metric, period_end, symbol);
-- The default order.
CREATE INDEX fundamental_order_idx ON fundamental (symbol, metric, period_end, filed_date, fact_id);

COMMENT ON TABLE fundamental IS 'Reported figures, a row per fact and filing';
COMMENT ON COLUMN fundamental.fact_id IS 'Surrogate key';
COMMENT ON COLUMN fundamental.symbol IS 'Ticker';
COMMENT ON COLUMN fundamental.cik IS 'SEC central index key';
COMMENT ON COLUMN fundamental.metric IS 'Our name of the figure';
COMMENT ON COLUMN fundamental.concept IS 'XBRL tag as filed';
COMMENT ON COLUMN fundamental.unit IS 'USD, shares or USD/shares';
COMMENT ON COLUMN fundamental.period_type IS 'instant, quarter, half_year, nine_months or fiscal_year';
COMMENT ON COLUMN fundamental.period_start IS 'First day; null for an instant';
COMMENT ON COLUMN fundamental.period_end IS 'Last day';
COMMENT ON COLUMN fundamental.value IS 'As filed, in units';
COMMENT ON COLUMN fundamental.filing_fiscal_year IS 'Fiscal year of the filing';
COMMENT ON COLUMN fundamental.filing_fiscal_period IS 'Fiscal period of the filing';
COMMENT ON COLUMN fundamental.form IS 'SEC form';
COMMENT ON COLUMN fundamental.accession_number IS 'SEC number of the filing';
COMMENT ON COLUMN fundamental.filed_date IS 'Day on which it became public';
COMMENT ON COLUMN fundamental.source IS 'Collection of origin';
