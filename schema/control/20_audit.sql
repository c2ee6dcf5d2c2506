-- What was read by whom, and what has become of who may read it. Written once and never changed; events past their days
-- go. `event` is the whole of it, the columns before are what it is looked for by.
CREATE TABLE martello.audit (
  id uuid PRIMARY KEY,
  time timestamptz NOT NULL,
  kind text COLLATE "C" NOT NULL,
  dataset text COLLATE "C",
  role text COLLATE "C",
  subject text COLLATE "C",
  event jsonb NOT NULL
);

CREATE INDEX audit_time ON martello.audit (time, id);

CREATE INDEX audit_dataset ON martello.audit (dataset, time, id);

CREATE INDEX audit_subject ON martello.audit (subject, time, id);
