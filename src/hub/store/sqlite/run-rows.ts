import type { SQLInputValue, SQLOutputValue } from 'node:sqlite'
import type { RunPatch, RunRecord, RunSpec } from '../../../contract/run.ts'
import { newRecord, patchKeys } from '../run-record.ts'

export type Row = Record<string, SQLOutputValue>

type PatchKey = (typeof patchKeys)[number]

/** The columns that a patch changes, with their values. */
export function patchColumns(patch: RunPatch | undefined): { keys: PatchKey[]; values: SQLInputValue[] } {
  if (patch === undefined) return { keys: [], values: [] }
  const keys = patchKeys.filter((key) => key in patch && !(key === 'status' && patch.status === undefined))
  return { keys, values: keys.map((key) => columnValue(patch[key])) }
}

const columnValue = (value: RunPatch[PatchKey]): SQLInputValue =>
  value === undefined ? null : typeof value === 'object' ? JSON.stringify(value) : value

/** A row of `runs` with its `spec`, as a record. */
export function rowRecord(row: Row): RunRecord {
  const record = newRecord(JSON.parse(String(row.spec)) as RunSpec)
  for (const key of patchKeys) {
    const value = row[key]
    if (value === null || value === undefined) continue
    Object.assign(record, { [key]: key === 'outputs' ? JSON.parse(String(value)) : value })
  }
  record.last_seq = Number(row.last_seq)
  return record
}
