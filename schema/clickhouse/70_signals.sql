CREATE TABLE signal (
  symbol String COMMENT 'Ticker',
  active_from Date32 COMMENT 'First session whose close may act on it',
  signal LowCardinality(String) COMMENT 'Rule that fired',
  direction Int32 COMMENT '1 bullish, -1 bearish, 0 attention',
  strength Float64 COMMENT '0 to 1',
  horizon LowCardinality(String) COMMENT 'short, medium or long',
  value Float64 COMMENT 'What the rule measured',
  threshold Float64 COMMENT 'What it had to pass',
  valid_until Date32 COMMENT 'Last session on which it counts',
  inputs String COMMENT 'Numbers that the rule read',
  -- The default order, across symbols.
  INDEX signal_active_idx active_from TYPE minmax
)
ENGINE = MergeTree
ORDER BY (symbol, active_from, signal)
COMMENT 'Signals, a row per symbol, first session and rule';
