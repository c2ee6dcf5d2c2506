-- Exports that callers have asked for. `same` is what two askings of the same have in common; `asked` is what is made anew
-- of the question when its turn comes, as JSON; `attempt` counts who has begun it, so that one who was thought lost and
-- comes back changes nothing. Files are deleted when `kept_until` is past, and it is null from then on.
CREATE TABLE martello.job (
  id text COLLATE "C" PRIMARY KEY,
  subject text COLLATE "C" NOT NULL,
  role text COLLATE "C" NOT NULL,
  dataset text COLLATE "C" NOT NULL,
  same text COLLATE "C" NOT NULL,
  asked text NOT NULL,
  state text COLLATE "C" NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'expired')),
  attempt bigint NOT NULL DEFAULT 0,
  created_at timestamptz NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  lease_until timestamptz,
  kept_until timestamptz,
  rows bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  parts bigint NOT NULL DEFAULT 0,
  outcome text COLLATE "C"
);

CREATE UNIQUE INDEX job_same ON martello.job (same) WHERE state IN ('queued', 'running', 'done');

CREATE INDEX job_subject ON martello.job (subject, created_at);

CREATE INDEX job_state ON martello.job (state, created_at);
