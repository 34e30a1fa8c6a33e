import type { AgentUpdateOf } from '../../contract/agent.ts'
import { type JsonObject, object, string } from '../acp/json-shape.ts'
import { clipped, DIFF_TEXT_BYTES } from '../clipped.ts'

type FileDiff = NonNullable<AgentUpdateOf<'tool'>['diffs']>[number]

/** Of all diffs of one update: far below the largest update. */
const UPDATE_DIFF_BYTES = 160 * 1024

const typeOf = (change: JsonObject): string => string(object(change.kind)?.type) ?? 'update'
const movedTo = (change: JsonObject): string | undefined => string(object(change.kind)?.move_path)

export const changedPaths = (changes: readonly JsonObject[]): string[] => [
  ...new Set(changes.flatMap((change) => [string(change.path) ?? [], movedTo(change) ?? []].flat())),
]

export function changeKind(changes: readonly JsonObject[]): 'edit' | 'delete' | 'move' {
  if (changes.length === 0) return 'edit'
  if (changes.every((change) => typeOf(change) === 'delete')) return 'delete'
  return changes.every((change) => movedTo(change) !== undefined) ? 'move' : 'edit'
}

/** The text of an added or deleted file is in `diff` as it is; that of a changed one is a unified diff. */
export function fileDiffs(changes: readonly JsonObject[]): FileDiff[] {
  const maxBytes = Math.min(DIFF_TEXT_BYTES, Math.floor(UPDATE_DIFF_BYTES / Math.max(1, changes.length)))
  return changes.map((change) => {
    const path = movedTo(change) ?? string(change.path) ?? ''
    const text = clipped(string(change.diff) ?? '', maxBytes)
    if (typeOf(change) === 'add') return { path, new_text: text }
    return typeOf(change) === 'delete' ? { path, old_text: text } : { path, unified: text }
  })
}
