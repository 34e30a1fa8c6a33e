import type { Migration } from './database.ts'

/**
 * Creates the tables of a hub.
 *
 * A run's spec is stored apart from its record: it may be large and never changes, while the record is rewritten with
 * each change of state. The lists of runs by owner, workflow and tenant start with the status, so that none of them has
 * to skip runs that it does not show. The index by tenant has every column that lists in other orders check. Nearly all
 * runs are of workflows, so the index by blueprint has no entries for those. A removed run may have many events: they
 * are deleted in portions after its record, and the runs in `removed_runs` may still have some.
 *
 * Inputs and labels are stored in the order of lists, so that a list by the value of one reads only the runs that it
 * shows. In `tasks`, `delivered_seq` is the position up to which another registry knows the log.
 */
export const baseline: Migration = {
  version: 1,
  name: 'baseline',
  sql: `
    CREATE TABLE runs (
      n INTEGER PRIMARY KEY,
      run_id TEXT NOT NULL UNIQUE,
      created_at TEXT NOT NULL,
      status TEXT NOT NULL,
      workflow_name TEXT NOT NULL,
      owner TEXT NOT NULL,
      tenant TEXT NOT NULL,
      blueprint TEXT NOT NULL,
      parent_run_id TEXT,
      continues TEXT,
      rolls_back TEXT,
      first_run TEXT,
      try INTEGER,
      last_seq INTEGER NOT NULL,
      reason TEXT,
      message TEXT,
      started_at TEXT,
      finished_at TEXT,
      waited_ms INTEGER,
      outputs TEXT,
      output_bytes INTEGER,
      waiting TEXT,
      list_row TEXT,
      set_aside TEXT,
      shares TEXT,
      last_notify_error TEXT
    ) STRICT;
    CREATE INDEX runs_by_time ON runs (created_at, run_id);
    CREATE INDEX runs_by_status ON runs (status, created_at, run_id);
    CREATE INDEX runs_by_owner ON runs (owner, status, created_at, run_id);
    CREATE INDEX runs_by_workflow ON runs (workflow_name, status, created_at, run_id);
    CREATE INDEX runs_by_tenant ON runs
      (tenant, status, created_at, run_id, workflow_name, blueprint, owner, started_at, finished_at, waited_ms);
    CREATE INDEX runs_by_blueprint ON runs (blueprint, status, created_at, run_id) WHERE blueprint <> 'workflow';
    CREATE INDEX runs_by_parent ON runs (parent_run_id, created_at, run_id) WHERE parent_run_id IS NOT NULL;
    CREATE INDEX runs_by_continued ON runs (continues, created_at, run_id) WHERE continues IS NOT NULL;
    CREATE INDEX runs_by_rollback ON runs (rolls_back, created_at, run_id) WHERE rolls_back IS NOT NULL;
    CREATE INDEX runs_by_chain ON runs (first_run, try) WHERE first_run IS NOT NULL;
    CREATE INDEX runs_shared ON runs (created_at, run_id) WHERE shares IS NOT NULL;
    CREATE INDEX runs_without_row ON runs (created_at) WHERE list_row IS NULL AND finished_at IS NOT NULL;
    CREATE INDEX runs_failed ON runs (tenant, owner, finished_at)
      WHERE parent_run_id IS NULL AND finished_at IS NOT NULL AND status IN ('failed', 'interrupted');
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
    CREATE TABLE removed_runs (run_id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE run_inputs (
      name TEXT NOT NULL,
      value TEXT NOT NULL,
      created_at TEXT NOT NULL,
      run_id TEXT NOT NULL,
      n INTEGER NOT NULL,
      PRIMARY KEY (name, value, created_at, run_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX run_inputs_by_run ON run_inputs (n);
    CREATE TABLE run_labels (
      name TEXT NOT NULL,
      value TEXT NOT NULL,
      created_at TEXT NOT NULL,
      run_id TEXT NOT NULL,
      n INTEGER NOT NULL,
      PRIMARY KEY (name, created_at, run_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX run_labels_by_value ON run_labels (name, value, created_at, run_id, n);
    CREATE INDEX run_labels_by_run ON run_labels (n);

    CREATE TABLE users (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL COLLATE NOCASE,
      role TEXT NOT NULL,
      tenant TEXT NOT NULL,
      password_hash TEXT NOT NULL,
      created_at TEXT NOT NULL,
      disabled INTEGER NOT NULL,
      UNIQUE (tenant, name)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE sessions (
      id TEXT PRIMARY KEY,
      user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      created_at TEXT NOT NULL,
      expires_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sessions_by_user ON sessions (user_id);
    CREATE INDEX sessions_by_expiry ON sessions (expires_at);
    CREATE TABLE tokens (
      id TEXT PRIMARY KEY,
      name TEXT NOT NULL,
      user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
      tenant TEXT,
      created_by TEXT,
      made_by TEXT,
      scope TEXT NOT NULL,
      allow TEXT,
      as_login INTEGER NOT NULL DEFAULT 0,
      token_sha256 TEXT NOT NULL UNIQUE,
      created_at TEXT NOT NULL,
      last_used_at TEXT,
      expires_at TEXT,
      revoked_at TEXT,
      used_at TEXT,
      runner_group TEXT,
      runner_id TEXT,
      CHECK ((user_id IS NULL) <> (tenant IS NULL))
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX tokens_by_user ON tokens (user_id);
    CREATE INDEX tokens_by_runner ON tokens (runner_id) WHERE runner_id IS NOT NULL;
    CREATE INDEX tokens_by_maker ON tokens (made_by) WHERE made_by IS NOT NULL;
    CREATE TABLE idempotency_keys (
      owner TEXT NOT NULL,
      key TEXT NOT NULL,
      request_hash TEXT NOT NULL,
      run_id TEXT NOT NULL,
      created_at TEXT NOT NULL,
      PRIMARY KEY (owner, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX idempotency_keys_by_time ON idempotency_keys (created_at);
    CREATE TABLE settings (
      key TEXT PRIMARY KEY,
      value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE secrets (
      tenant TEXT NOT NULL,
      name TEXT NOT NULL,
      scope TEXT NOT NULL,
      scope_name TEXT NOT NULL,
      owner TEXT NOT NULL,
      sealed BLOB NOT NULL,
      key_id TEXT NOT NULL,
      hosts TEXT,
      created_at TEXT NOT NULL,
      created_by TEXT NOT NULL,
      updated_at TEXT NOT NULL,
      updated_by TEXT NOT NULL,
      PRIMARY KEY (tenant, name, scope, scope_name, owner)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX secrets_by_scope ON secrets (scope, scope_name);

    CREATE TABLE runners (
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
    CREATE TABLE provisioned_runners (
      name TEXT PRIMARY KEY,
      state TEXT NOT NULL,
      created_at TEXT NOT NULL,
      changed_at TEXT NOT NULL,
      record TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bot_data (
      tenant TEXT NOT NULL,
      owner TEXT NOT NULL,
      bot_id TEXT NOT NULL,
      runner TEXT NOT NULL,
      path TEXT NOT NULL,
      limit_bytes INTEGER NOT NULL,
      created_at TEXT NOT NULL,
      PRIMARY KEY (tenant, owner, bot_id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE pool_slots (
      slot_id TEXT PRIMARY KEY,
      tenant TEXT NOT NULL,
      owner TEXT NOT NULL,
      required_by TEXT NOT NULL,
      repo_url TEXT NOT NULL,
      runner TEXT NOT NULL,
      slot_path TEXT NOT NULL,
      fence TEXT NOT NULL,
      lease_expires_at TEXT NOT NULL,
      is_released INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX pool_slots_held ON pool_slots (tenant, owner, required_by, repo_url);
    CREATE INDEX pool_slots_by_time ON pool_slots (lease_expires_at);
    CREATE TABLE stored_artifacts (
      id TEXT PRIMARY KEY,
      tenant TEXT NOT NULL,
      owner TEXT NOT NULL,
      gathered_by TEXT NOT NULL,
      name TEXT NOT NULL,
      type TEXT NOT NULL,
      media_type TEXT NOT NULL,
      bytes INTEGER NOT NULL,
      sha256 TEXT NOT NULL,
      metadata TEXT NOT NULL,
      created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX stored_artifacts_gathered ON stored_artifacts (gathered_by);
    CREATE INDEX stored_artifacts_by_time ON stored_artifacts (created_at);

    CREATE TABLE tasks (
      id TEXT PRIMARY KEY,
      tenant TEXT NOT NULL,
      owner TEXT NOT NULL,
      spec_name TEXT NOT NULL,
      own_id TEXT NOT NULL,
      repo TEXT NOT NULL,
      created_at TEXT NOT NULL,
      state TEXT NOT NULL,
      open_run TEXT UNIQUE,
      progress TEXT NOT NULL,
      last_seq INTEGER NOT NULL,
      delivered_seq INTEGER NOT NULL DEFAULT 0,
      spec TEXT NOT NULL,
      UNIQUE (tenant, spec_name, own_id)
    ) STRICT;
    CREATE INDEX tasks_by_tenant ON tasks (tenant, created_at, id);
    CREATE INDEX tasks_by_owner ON tasks (tenant, owner, created_at, id);
    CREATE INDEX tasks_by_own_id ON tasks (tenant, own_id);
    CREATE INDEX tasks_by_state ON tasks (state, created_at, id);
    CREATE INDEX tasks_by_tenant_state ON tasks (tenant, state, created_at, id);
    CREATE INDEX tasks_by_owner_state ON tasks (tenant, owner, state, created_at, id);
    CREATE TABLE task_events (
      task_id TEXT NOT NULL,
      seq INTEGER NOT NULL,
      json TEXT NOT NULL,
      PRIMARY KEY (task_id, seq)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE channels (
      id TEXT PRIMARY KEY,
      user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      tenant TEXT NOT NULL,
      kind TEXT NOT NULL,
      name TEXT NOT NULL,
      target TEXT NOT NULL,
      topics TEXT NOT NULL,
      created_at TEXT NOT NULL,
      last_sent_at TEXT,
      failed_at TEXT,
      failure TEXT,
      dropped INTEGER NOT NULL DEFAULT 0
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX channels_by_user ON channels (user_id);
    CREATE TABLE notices (
      id TEXT PRIMARY KEY,
      channel_id TEXT NOT NULL REFERENCES channels (id) ON DELETE CASCADE,
      key TEXT NOT NULL,
      run_id TEXT NOT NULL,
      question TEXT,
      body TEXT NOT NULL,
      created_at TEXT NOT NULL,
      due_at TEXT,
      tries INTEGER NOT NULL,
      UNIQUE (channel_id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX notices_due ON notices (due_at) WHERE due_at IS NOT NULL;
    CREATE INDEX notices_open ON notices (run_id) WHERE due_at IS NOT NULL AND question IS NOT NULL;
    CREATE INDEX notices_by_time ON notices (channel_id, created_at);
    CREATE TABLE views (
      id TEXT PRIMARY KEY,
      user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      tenant TEXT NOT NULL,
      name TEXT NOT NULL COLLATE NOCASE,
      filter TEXT NOT NULL,
      shared INTEGER NOT NULL,
      created_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX views_by_user ON views (user_id, name) WHERE NOT shared;
    CREATE UNIQUE INDEX views_shared ON views (tenant, name) WHERE shared;
    CREATE TABLE seen_until (
      user_id TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
      until TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE seen_runs (
      user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
      run_id TEXT NOT NULL,
      finished_at TEXT NOT NULL,
      PRIMARY KEY (user_id, run_id)
    ) STRICT, WITHOUT ROWID;
  `,
}
