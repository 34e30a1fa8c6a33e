import type { Migration } from './migrations.ts'

/**
 * The spec stands apart from the record: it may be large and never changes, while the record is rewritten with
 * each change of state. The lists by owner, workflow and tenant are by status too, so that none of them has to
 * pass over runs it does not show.
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
    // Nearly all runs are of workflows: those are listed by the other indexes, and cost nothing here.
    sql: `
      ALTER TABLE runs ADD COLUMN blueprint TEXT NOT NULL DEFAULT 'workflow';
      CREATE INDEX runs_by_blueprint ON runs (blueprint, status, created_at, run_id) WHERE blueprint <> 'workflow';
    `,
  },
  {
    version: 3,
    name: 'lists by the run that is continued; runs being removed',
    // A removed run's events may be many: they go in portions after it, and those of one named here are left over.
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
    // Those that are there already are known by their name.
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
]
