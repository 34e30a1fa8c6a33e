import type { RunSpec } from '../../contract/run.ts'
import { inputText } from '../runs/run-query.ts'
import type { Migration } from './database.ts'
import type { SqlSession } from './session.ts'

/** Stored in the order of lists, so that a list by the value of an input or label reads only the runs that it shows. */
export const runInputMigrations: readonly Migration[] = [
  {
    version: 1,
    name: 'lists by the values of inputs',
    sql: `
      CREATE TABLE run_inputs (
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        created_at TEXT NOT NULL,
        run_id TEXT NOT NULL,
        n INTEGER NOT NULL,
        PRIMARY KEY (name, value, created_at, run_id)
      ) STRICT, WITHOUT ROWID;
      CREATE INDEX run_inputs_by_run ON run_inputs (n);
      INSERT OR IGNORE INTO run_inputs
        SELECT given.key, substr(given.value, 1, 200), runs.created_at, runs.run_id, runs.n
        FROM runs JOIN run_specs USING (n), json_each(run_specs.spec, '$.vars') AS given;
    `,
  },
  {
    version: 2,
    name: 'lists by labels',
    sql: `
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
    `,
  },
]

const insert = (table: 'run_inputs' | 'run_labels') =>
  `INSERT OR REPLACE INTO ${table} (name, value, created_at, run_id, n) VALUES (?, ?, ?, ?, ?)`

/** Stores a run's inputs. Call it within a transaction, with the number of the run's row. */
export function keepInputs(
  session: SqlSession,
  n: number,
  { run_id, created_at, vars, labels = {} }: Pick<RunSpec, 'run_id' | 'created_at' | 'vars' | 'labels'>,
): void {
  for (const [name, value] of Object.entries(vars))
    session.run(insert('run_inputs'), name, inputText(value), created_at, run_id, n)
  for (const [name, value] of Object.entries(labels))
    session.run(insert('run_labels'), name, value, created_at, run_id, n)
}

/** Call it within a transaction. */
export function dropInputs(session: SqlSession, n: number): void {
  session.run('DELETE FROM run_inputs WHERE n = ?', n)
  session.run('DELETE FROM run_labels WHERE n = ?', n)
}
