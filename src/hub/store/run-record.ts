import type { RunEvent } from '../../contract/events.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../contract/run.ts'

/** The fields of a record that may change, in one order for all stores. */
export const patchKeys = [
  'status',
  'reason',
  'message',
  'started_at',
  'finished_at',
  'outputs',
  'waiting',
  'last_notify_error',
  'output_bytes',
] as const satisfies readonly (keyof RunPatch)[]

/** A record as it is before anything has happened. */
export const newRecord = (spec: RunSpec): RunRecord => ({ ...spec, status: 'queued', last_seq: 0 })

/** Changes the record in place. A key that is there with the value undefined takes the field away; status stays. */
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
