CREATE TABLE signal (
  symbol text COLLATE "C" NOT NULL,
  active_from date NOT NULL,
  signal text COLLATE "C" NOT NULL,
  direction integer NOT NULL,
  strength double precision NOT NULL,
  horizon text COLLATE "C" NOT NULL,
  value double precision NOT NULL,
  threshold double precision NOT NULL,
  valid_until date NOT NULL,
  inputs jsonb NOT NULL,
  PRIMARY KEY (symbol, active_from, signal)
);

-- The default order. The key, read backwards, is one symbol's newest first.
CREATE INDEX signal_active_idx ON signal (active_from DESC, symbol, signal);
-- One rule across symbols, newest first.
CREATE INDEX signal_rule_idx ON signal (signal, active_from DESC, symbol);

COMMENT ON TABLE signal IS 'Signals, a row per symbol, first session and rule';
COMMENT ON COLUMN signal.symbol IS 'Ticker';
COMMENT ON COLUMN signal.active_from IS 'First session whose close may act on it';
COMMENT ON COLUMN signal.signal IS 'Rule that fired';
COMMENT ON COLUMN signal.direction IS '1 bullish, -1 bearish, 0 attention';
COMMENT ON COLUMN signal.strength IS '0 to 1';
COMMENT ON COLUMN signal.horizon IS 'short, medium or long';
COMMENT ON COLUMN signal.value IS 'What the rule measured';
COMMENT ON COLUMN signal.threshold IS 'What it had to pass';
COMMENT ON COLUMN signal.valid_until IS 'Last session on which it counts';
COMMENT ON COLUMN signal.inputs IS 'Numbers that the rule read';
