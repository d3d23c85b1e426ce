-- The first schema. A session's two records have their upper half of the sid as rowid, so that rows lie in the
-- order of birth and a look-up is a look-up by integer; the lower half is compared.

CREATE TABLE subjects (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE clients (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

CREATE TABLE grants (
  sid_high INTEGER PRIMARY KEY,
  subject INTEGER NOT NULL REFERENCES subjects (id),
  client INTEGER NOT NULL REFERENCES clients (id),
  body BLOB NOT NULL
);
-- An index ends with the rowid, so these list sessions in the order of their birth.
CREATE INDEX grants_by_subject ON grants (subject);
CREATE INDEX grants_by_client ON grants (client);

CREATE TABLE hot (
  sid_high INTEGER PRIMARY KEY,
  sid_low INTEGER NOT NULL,
  version INTEGER NOT NULL,
  record BLOB NOT NULL
);

CREATE TABLE tickets (
  key BLOB PRIMARY KEY,
  expires_at INTEGER NOT NULL,
  payload BLOB NOT NULL,
  checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX tickets_by_expiry ON tickets (expires_at);

CREATE TABLE records (
  kind INTEGER NOT NULL,
  key TEXT NOT NULL,
  version INTEGER NOT NULL,
  body BLOB NOT NULL,
  checksum INTEGER NOT NULL,
  PRIMARY KEY (kind, key)
) WITHOUT ROWID;

CREATE TABLE service_clock (
  id INTEGER PRIMARY KEY CHECK (id = 1),
  at INTEGER NOT NULL,
  checksum INTEGER NOT NULL
);

CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  sid_high INTEGER NOT NULL,
  sid_low INTEGER NOT NULL,
  at INTEGER NOT NULL,
  reason INTEGER NOT NULL,
  body BLOB NOT NULL
);
