import path from 'node:path'
import type { RunEvent } from '../../../src/contract/events.ts'
import type { RunSpec } from '../../../src/contract/run.ts'
import type { RunStore } from '../../../src/engine/ports.ts'
import { FileRunStore } from '../../../src/stores/runs/file.ts'
import { openSqliteRunStore } from '../../../src/stores/sqlite/open.ts'

/** Returns a run's spec for tests of stores. */
export const testSpec = (runId: string, over: Partial<RunSpec> = {}): RunSpec => ({
  run_id: runId,
  blueprint: 'workflow',
  workflow_name: 'demo',
  workflow: { version: 'v0.1', name: 'demo', steps: [{ name: 'one', action: 'noop', args: {} }] },
  vars: { COLOUR: 'grün' },
  owner: 'ada',
  tenant: 'default',
  created_at: '2025-01-15T10:00:00.000Z',
  ...over,
})

/** Returns `count` events, the first of which has `seq`. */
export const testEvents = (seq: number, count = 1): RunEvent[] =>
  Array.from({ length: count }, (_, index) => ({
    seq: seq + index,
    time: '2025-01-15T10:00:01.000Z',
    type: 'run.waiting',
    why: `event ${seq + index}: "quoted", \n, \u0000, 🙂`,
  }))

/** Opens a durable store in a folder, as the tests use it. */
export const openTestStore = async (kind: 'sqlite' | 'file', dir: string): Promise<RunStore> =>
  kind === 'sqlite'
    ? openSqliteRunStore({ file: path.join(dir, 'errand.db') })
    : new FileRunStore({ dir: path.join(dir, 'runs') })
