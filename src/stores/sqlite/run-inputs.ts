import type { RunSpec } from '../../contract/run.ts'
import { inputText } from '../runs/run-query.ts'
import type { SqlSession } from './session.ts'

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
