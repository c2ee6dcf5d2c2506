-- What was published of each dataset, what is current of it, and how often any of that has changed. The control store
-- keeps nothing else, and holds no rows of marts: it may be a database of its own.
CREATE SCHEMA martello;

CREATE TABLE martello.version (
  id uuid PRIMARY KEY,
  dataset text COLLATE "C" NOT NULL,
  number bigint NOT NULL CHECK (number > 0),
  relation text COLLATE "C" NOT NULL,
  published_at timestamptz NOT NULL,
  data_through date,
  rows bigint NOT NULL,
  statistics jsonb NOT NULL,
  checks jsonb NOT NULL,
  contract text COLLATE "C" NOT NULL,
  operator text NOT NULL,
  rollback_of bigint,
  retired_at timestamptz,
  dropped_at timestamptz,
  UNIQUE (dataset, number)
);

CREATE TABLE martello.pointer (
  dataset text COLLATE "C" PRIMARY KEY,
  version uuid NOT NULL REFERENCES martello.version (id)
);

-- One row, from the first publish on. `store` is drawn anew with the store, so that nobody takes one for another.
CREATE TABLE martello.change (
  singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
  store uuid NOT NULL DEFAULT gen_random_uuid(),
  counter bigint NOT NULL DEFAULT 1
);
