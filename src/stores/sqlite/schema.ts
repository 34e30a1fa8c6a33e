import { botDataMigrations } from './bot-data.ts'
import { channelMigrations } from './channels.ts'
import type { Migration, Migrations } from './database.ts'
import { personalMigrations } from './personal.ts'
import { poolSlotMigrations } from './pool-slots.ts'
import { provisionedRunnerMigrations } from './provisioned-runners.ts'
import { runInputMigrations } from './run-inputs.ts'
import { shareMigrations } from './runs.ts'
import { storedArtifactMigrations } from './stored-artifacts.ts'
import { taskMigrations } from './tasks.ts'

const accountMigrations: readonly Migration[] = [
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
    // Dropping a table deletes its rows, and with users everything that references them: tokens and sessions are
    // therefore copied aside.
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
  {
    version: 7,
    name: 'what tokens may make, and which token made them; ids of sessions as hashes',
    // The hub's own secrets are sealed from now on: these two were stored in plain text.
    sql: `
      DELETE FROM settings WHERE key IN ('session_secret', 'made_secret');
      DELETE FROM sessions;
      ALTER TABLE tokens ADD COLUMN allow TEXT;
      ALTER TABLE tokens ADD COLUMN made_by TEXT;
      ALTER TABLE tokens ADD COLUMN as_login INTEGER NOT NULL DEFAULT 0;
      CREATE INDEX tokens_by_maker ON tokens (made_by) WHERE made_by IS NOT NULL;
    `,
  },
]

/**
 * Stores the spec apart from the record: it may be large and never changes, while the record is rewritten with each
 * change of state. The lists by owner, workflow and tenant also start with the status, so that none of them has to skip
 * runs that it does not show.
 */
export const runMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'runs and events',
    sql: `
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
      CREATE INDEX runs_by_time ON runs (created_at, run_id);
      CREATE INDEX runs_by_status ON runs (status, created_at, run_id);
      CREATE INDEX runs_by_owner ON runs (owner, status, created_at, run_id);
      CREATE INDEX runs_by_workflow ON runs (workflow_name, status, created_at, run_id);
      CREATE INDEX runs_by_tenant ON runs (tenant, status, created_at, run_id);
      CREATE INDEX runs_by_parent ON runs (parent_run_id, created_at, run_id) WHERE parent_run_id IS NOT NULL;
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
    `,
  },
  {
    version: 2,
    name: 'lists by blueprint',
    // Nearly all runs are of workflows: the other indexes list those, and this one has no entry for them.
    sql: `
      ALTER TABLE runs ADD COLUMN blueprint TEXT NOT NULL DEFAULT 'workflow';
      CREATE INDEX runs_by_blueprint ON runs (blueprint, status, created_at, run_id) WHERE blueprint <> 'workflow';
    `,
  },
  {
    version: 3,
    name: 'lists by the run that is continued; runs being removed',
    // A removed run may have many events: they are deleted in portions after its record, and those of a run in this
    // table are left over.
    sql: `
      ALTER TABLE runs ADD COLUMN continues TEXT;
      UPDATE runs SET continues = (SELECT spec ->> '$.continues' FROM run_specs WHERE run_specs.n = runs.n)
        WHERE blueprint <> 'workflow';
      CREATE INDEX runs_by_continued ON runs (continues, created_at, run_id) WHERE continues IS NOT NULL;
      CREATE TABLE removed_runs (run_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 4,
    name: 'the runs that undo a run',
    // Existing rollbacks are recognized by their name.
    sql: `
      ALTER TABLE runs ADD COLUMN rolls_back TEXT;
      UPDATE runs SET rolls_back = (
          SELECT undone.run_id FROM run_specs JOIN runs AS undone ON undone.run_id = run_specs.spec ->> '$.retry_of'
          WHERE run_specs.n = runs.n AND runs.workflow_name = substr('rollback of ' || undone.workflow_name, 1, 200)
        )
        WHERE workflow_name LIKE 'rollback of %';
      CREATE INDEX runs_by_undone ON runs (rolls_back, created_at, run_id) WHERE rolls_back IS NOT NULL;
    `,
  },
  {
    version: 5,
    name: 'how much output is kept of a run that has ended',
    sql: `
      ALTER TABLE runs ADD COLUMN output_bytes INTEGER;
      UPDATE runs SET output_bytes = (
          SELECT sum(json ->> '$.length') FROM events
          WHERE events.run_id = runs.run_id AND json ->> '$.type' = 'output'
        )
        WHERE finished_at IS NOT NULL;
    `,
  },
  {
    version: 6,
    name: 'where a run is, as lists show it',
    sql: 'ALTER TABLE runs ADD COLUMN list_row TEXT',
  },
  {
    version: 7,
    name: 'chains of tries',
    // A rollback is not a try of what it undoes. Tries of one run began one after another, so their order numbers them.
    sql: `
      ALTER TABLE runs ADD COLUMN first_run TEXT;
      ALTER TABLE runs ADD COLUMN try INTEGER;
      CREATE TEMP TABLE retries AS
        SELECT runs.run_id, runs.created_at, spec ->> '$.retry_of' AS retry_of
        FROM runs JOIN run_specs USING (n)
        WHERE rolls_back IS NULL AND instr(spec, '"retry_of":') > 0 AND spec ->> '$.retry_of' IS NOT NULL;
      CREATE INDEX temp.retries_by_run ON retries (run_id);
      CREATE TEMP TABLE chains AS
        WITH RECURSIVE up (run_id, first_run) AS (
          SELECT run_id, retry_of FROM retries
          UNION ALL
          SELECT up.run_id, retries.retry_of FROM up JOIN retries ON retries.run_id = up.first_run
        )
        SELECT run_id, first_run FROM up WHERE first_run NOT IN (SELECT run_id FROM retries);
      UPDATE runs SET first_run = found.first_run, try = found.place + 1
        FROM (
          SELECT run_id, first_run, row_number() OVER (PARTITION BY first_run ORDER BY created_at, run_id) AS place
          FROM chains JOIN retries USING (run_id)
        ) AS found
        WHERE found.run_id = runs.run_id;
      DROP TABLE chains;
      DROP TABLE retries;
      CREATE INDEX runs_by_chain ON runs (first_run, try) WHERE first_run IS NOT NULL;
    `,
  },
  {
    version: 8,
    name: 'lists by text and in other orders',
    // The index has every column that these lists check: they read only these few bytes of a tenant's runs, and no row
    // that they do not show.
    sql: `
      DROP INDEX runs_by_tenant;
      CREATE INDEX runs_by_tenant ON runs
        (tenant, status, created_at, run_id, workflow_name, blueprint, owner, started_at, finished_at);
    `,
  },
  {
    version: 9,
    name: 'ended runs from before lists had rows',
    sql: `
      CREATE INDEX runs_without_row ON runs (created_at)
        WHERE list_row IS NULL AND finished_at IS NOT NULL;
    `,
  },
  {
    version: 10,
    name: 'runs that are set aside',
    sql: 'ALTER TABLE runs ADD COLUMN set_aside TEXT',
  },
  {
    version: 11,
    name: 'how long runs have waited',
    sql: `
      ALTER TABLE runs ADD COLUMN waited_ms INTEGER;
      DROP INDEX runs_by_tenant;
      CREATE INDEX runs_by_tenant ON runs
        (tenant, status, created_at, run_id, workflow_name, blueprint, owner, started_at, finished_at, waited_ms);
    `,
  },
]

export const secretMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'secrets',
    sql: `
      CREATE TABLE secrets (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        scope_name TEXT NOT NULL,
        sealed BLOB NOT NULL,
        key_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        updated_by TEXT NOT NULL,
        PRIMARY KEY (tenant, name, scope, scope_name)
      ) STRICT, WITHOUT ROWID;
    `,
  },
  {
    version: 2,
    name: 'secrets of users',
    // Secrets of users who are not admins belong to those users from now on.
    sql: `
      CREATE TABLE secrets_of_all (
        tenant TEXT NOT NULL,
        name TEXT NOT NULL,
        scope TEXT NOT NULL,
        scope_name TEXT NOT NULL,
        owner TEXT NOT NULL,
        sealed BLOB NOT NULL,
        key_id TEXT NOT NULL,
        created_at TEXT NOT NULL,
        created_by TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        updated_by TEXT NOT NULL,
        PRIMARY KEY (tenant, name, scope, scope_name, owner)
      ) STRICT, WITHOUT ROWID;
      INSERT INTO secrets_of_all
        SELECT tenant, name, scope, scope_name,
          iif(scope IN ('workflow', 'repository') AND NOT EXISTS (
            SELECT 1 FROM users
            WHERE users.tenant = secrets.tenant AND role = 'admin' AND users.name IN (created_by, updated_by)
          ), created_by, ''),
          sealed, key_id, created_at, created_by, updated_at, updated_by
        FROM secrets;
      DROP TABLE secrets;
      ALTER TABLE secrets_of_all RENAME TO secrets;
    `,
  },
  {
    version: 3,
    name: 'secrets of single runs are found by their run',
    sql: 'CREATE INDEX secrets_by_scope ON secrets (scope, scope_name)',
  },
  {
    version: 4,
    name: 'servers that secrets may be sent to',
    sql: 'ALTER TABLE secrets ADD COLUMN hosts TEXT',
  },
]

/** The form of a hub's database, by its parts. */
export const hubMigrations: Migrations = {
  runs: runMigrations,
  run_inputs: runInputMigrations,
  run_shares: shareMigrations,
  accounts: accountMigrations,
  secrets: secretMigrations,
  bot_data: botDataMigrations,
  tasks: taskMigrations,
  stored_artifacts: storedArtifactMigrations,
  pool_slots: poolSlotMigrations,
  places: channelMigrations,
  personal: personalMigrations,
  made_runners: provisionedRunnerMigrations,
}
