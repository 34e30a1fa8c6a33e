import type { Migration } from './migrations.ts'

export const accountMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'users, tokens, idempotency keys, runners, settings',
    sql: `
      CREATE TABLE users (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE COLLATE NOCASE,
        role TEXT NOT NULL,
        tenant TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        created_at TEXT NOT NULL,
        disabled INTEGER NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        scope TEXT NOT NULL,
        token_sha256 TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        last_used_at TEXT,
        expires_at TEXT,
        revoked_at TEXT,
        runner_group TEXT
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX tokens_by_user ON tokens (user_id);
      CREATE TABLE idempotency_keys (
        owner TEXT NOT NULL,
        key TEXT NOT NULL,
        request_hash TEXT NOT NULL,
        run_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        PRIMARY KEY (owner, key)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
      CREATE TABLE runners (
        id TEXT PRIMARY KEY,
        runner_group TEXT NOT NULL,
        hostname TEXT NOT NULL,
        cpus REAL NOT NULL,
        memory_bytes INTEGER NOT NULL,
        labels TEXT NOT NULL,
        mode TEXT NOT NULL,
        version TEXT NOT NULL,
        slots INTEGER NOT NULL,
        first_seen_at TEXT NOT NULL,
        last_seen_at TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE settings (
        key TEXT PRIMARY KEY,
        value TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 2,
    name: 'enrolment; tenants and draining of runners',
    sql: `
      ALTER TABLE tokens ADD COLUMN runner_id TEXT;
      ALTER TABLE tokens ADD COLUMN used_at TEXT;
      CREATE INDEX tokens_by_runner ON tokens (runner_id) WHERE runner_id IS NOT NULL;
      ALTER TABLE runners ADD COLUMN tenant TEXT NOT NULL DEFAULT 'default';
      ALTER TABLE runners ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;
    `,
  },
  {
    version: 3,
    name: 'tokens of a tenant, which outlive who made them',
    sql: `
      CREATE TABLE tokens_of_all (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
        tenant TEXT,
        created_by TEXT,
        scope TEXT NOT NULL,
        token_sha256 TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        last_used_at TEXT,
        expires_at TEXT,
        revoked_at TEXT,
        runner_group TEXT,
        runner_id TEXT,
        used_at TEXT,
        CHECK ((user_id IS NULL) <> (tenant IS NULL))
      ) STRICT, WITHOUT ROWID;
      INSERT INTO tokens_of_all
        SELECT tokens.id, tokens.name, iif(own, NULL, user_id), iif(own, tenant, NULL), iif(own, user_name, NULL), scope,
          token_sha256, created_at, last_used_at, expires_at, revoked_at, runner_group, runner_id, used_at
        FROM (
          SELECT tokens.*, users.name AS user_name, users.tenant,
            tokens.scope = 'runner' AND (runner_id IS NOT NULL OR tokens.name = 'given to the hub at its start (runner)') AS own
          FROM tokens JOIN users ON users.id = tokens.user_id
        ) AS tokens;
      DROP TABLE tokens;
      ALTER TABLE tokens_of_all RENAME TO tokens;
      CREATE INDEX tokens_by_user ON tokens (user_id);
      CREATE INDEX tokens_by_runner ON tokens (runner_id) WHERE runner_id IS NOT NULL;
    `,
  },
  {
    version: 4,
    name: 'sessions',
    sql: `
      CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX sessions_by_user ON sessions (user_id);
      CREATE INDEX sessions_by_expiry ON sessions (expires_at);
    `,
  },
  {
    version: 5,
    name: 'names of users by tenant',
    // Dropping a table deletes its rows, and with users go what is theirs: so tokens and sessions are put aside.
    sql: `
      CREATE TABLE users_by_tenant (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL COLLATE NOCASE,
        role TEXT NOT NULL,
        tenant TEXT NOT NULL,
        password_hash TEXT NOT NULL,
        created_at TEXT NOT NULL,
        disabled INTEGER NOT NULL,
        UNIQUE (tenant, name)
      ) STRICT, WITHOUT ROWID;
      INSERT INTO users_by_tenant SELECT id, name, role, tenant, password_hash, created_at, disabled FROM users;
      CREATE TABLE tokens_aside AS SELECT * FROM tokens;
      CREATE TABLE sessions_aside AS SELECT * FROM sessions;
      DROP TABLE tokens;
      DROP TABLE sessions;
      DROP TABLE users;
      ALTER TABLE users_by_tenant RENAME TO users;
      CREATE TABLE tokens (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
        tenant TEXT,
        created_by TEXT,
        scope TEXT NOT NULL,
        token_sha256 TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL,
        last_used_at TEXT,
        expires_at TEXT,
        revoked_at TEXT,
        runner_group TEXT,
        runner_id TEXT,
        used_at TEXT,
        CHECK ((user_id IS NULL) <> (tenant IS NULL))
      ) STRICT, WITHOUT ROWID;
      CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
        created_at TEXT NOT NULL,
        expires_at TEXT NOT NULL
      ) STRICT, WITHOUT ROWID;
      INSERT INTO tokens SELECT * FROM tokens_aside;
      INSERT INTO sessions SELECT * FROM sessions_aside;
      DROP TABLE tokens_aside;
      DROP TABLE sessions_aside;
      CREATE INDEX tokens_by_user ON tokens (user_id);
      CREATE INDEX tokens_by_runner ON tokens (runner_id) WHERE runner_id IS NOT NULL;
      CREATE INDEX sessions_by_user ON sessions (user_id);
      CREATE INDEX sessions_by_expiry ON sessions (expires_at);
    `,
  },
  {
    version: 6,
    name: 'ids of runners by tenant',
    sql: `
      CREATE TABLE runners_by_tenant (
        tenant TEXT NOT NULL,
        id TEXT NOT NULL,
        runner_group TEXT NOT NULL,
        hostname TEXT NOT NULL,
        cpus REAL NOT NULL,
        memory_bytes INTEGER NOT NULL,
        labels TEXT NOT NULL,
        mode TEXT NOT NULL,
        version TEXT NOT NULL,
        slots INTEGER NOT NULL,
        draining INTEGER NOT NULL,
        first_seen_at TEXT NOT NULL,
        last_seen_at TEXT NOT NULL,
        PRIMARY KEY (tenant, id)
      ) STRICT, WITHOUT ROWID;
      INSERT INTO runners_by_tenant
        SELECT tenant, id, runner_group, hostname, cpus, memory_bytes, labels, mode, version, slots, draining,
          first_seen_at, last_seen_at
        FROM runners;
      DROP TABLE runners;
      ALTER TABLE runners_by_tenant RENAME TO runners;
    `,
  },
]
