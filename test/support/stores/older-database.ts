import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Creates a database as the first Errand did: with one list of migrations for each store, and a run. */
export function olderDatabase(file: string): void {
  mkdirSync(dirname(file), { recursive: true })
  const db = new DatabaseSync(file)
  db.exec(`
    PRAGMA journal_mode = WAL;
    BEGIN;
    CREATE TABLE migrations (
      part TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, applied_at TEXT NOT NULL,
      PRIMARY KEY (part, version)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE runs (
      n INTEGER PRIMARY KEY,
      run_id TEXT NOT NULL UNIQUE,
      created_at TEXT NOT NULL,
      status TEXT NOT NULL,
      workflow_name TEXT NOT NULL,
      owner TEXT NOT NULL,
      tenant TEXT NOT NULL,
      parent_run_id TEXT,
      last_seq INTEGER NOT NULL,
      reason TEXT,
      message TEXT,
      started_at TEXT,
      finished_at TEXT,
      outputs TEXT,
      waiting TEXT,
      last_notify_error TEXT
    ) STRICT;
    CREATE TABLE run_specs (
      n INTEGER PRIMARY KEY REFERENCES runs (n),
      spec TEXT NOT NULL
    ) STRICT;
    CREATE TABLE events (
      run_id TEXT NOT NULL,
      seq INTEGER NOT NULL,
      json TEXT NOT NULL,
      PRIMARY KEY (run_id, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE settings (
      key TEXT PRIMARY KEY,
      value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    INSERT INTO migrations VALUES
      ('runs', 1, 'runs and events', '2025'),
      ('accounts', 1, 'users, tokens, idempotency keys, runners, settings', '2025');
    INSERT INTO runs (run_id, created_at, status, workflow_name, owner, tenant, last_seq)
      VALUES ('run_a', '2025', 'success', 'demo', 'ada', 'default', 0);
    PRAGMA application_id = ${0x45524e44};
    COMMIT;`)
  db.close()
}
