import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../contract/run.ts'

/** The fields of a record that may change, in the same order for all stores. */
export const patchKeys = [
  'status',
  'reason',
  'message',
  'started_at',
  'finished_at',
  'outputs',
  'waiting',
  'waited_ms',
  'last_notify_error',
  'output_bytes',
  'list_row',
  'shares',
  'set_aside',
] as const satisfies readonly (keyof RunPatch)[]

/** Returns a record before anything has happened. */
export const newRecord = (spec: RunSpec): RunRecord => ({ ...spec, status: 'queued', last_seq: 0 })

/** Changes the record in place. A key with the value undefined removes the field; status stays. */
export function applyPatch(record: RunRecord, patch: RunPatch | undefined): void {
  if (patch === undefined) return
  for (const key of patchKeys) {
    if (!(key in patch)) continue
    if (patch[key] !== undefined) Object.assign(record, { [key]: patch[key] })
    else if (key !== 'status') delete record[key]
  }
}

export interface Change {
  events: readonly RunEvent[]
  patch?: RunPatch
}

/** Returns the change that ends an open run as interrupted. */
export function interruption(lastSeq: number, message: string): Change {
  const time = new Date().toISOString()
  const end = { status: 'interrupted', reason: 'interrupted', message } as const
  return {
    events: [{ seq: lastSeq + 1, time, type: 'run.finished', ...end }],
    patch: { ...end, finished_at: time, waiting: undefined },
  }
}

/** Throws `conflict` unless the events follow `lastSeq` without gaps. */
export function checkOrder(runId: string, lastSeq: number, events: readonly RunEvent[]): void {
  let expected = lastSeq + 1
  for (const event of events) {
    if (event.seq !== expected) throw outOfOrder(runId, expected, event.seq)
    expected++
  }
}

export const outOfOrder = (runId: string, expected: number, found: number): ErrandError =>
  new ErrandError('conflict', `Run ${runId} expects event ${expected} next, but got ${found}.`, {
    hint: 'Something else has written to this run. Read it again before writing.',
  })

export const runExists = (runId: string): ErrandError =>
  new ErrandError('run_exists', `Run ${runId} already exists.`, {
    hint: 'Choose another run id, or leave it out.',
  })

export const runNotFound = (runId: string): ErrandError =>
  new ErrandError('run_not_found', `Run ${runId} not found.`, { hint: 'List the runs to see their ids.' })
