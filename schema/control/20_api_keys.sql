-- API keys: what each claims, and the SHA-256 of its secret. The secret itself is kept nowhere.
CREATE TABLE martello.api_key (
  id text COLLATE "C" PRIMARY KEY,
  name text NOT NULL,
  subject text COLLATE "C" NOT NULL,
  claims jsonb NOT NULL,
  hash text COLLATE "C" NOT NULL,
  operator text NOT NULL,
  created_at timestamptz NOT NULL,
  expires_at timestamptz,
  revoked_at timestamptz
);
