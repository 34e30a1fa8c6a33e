import { ErrandError } from '../../contract/errors.ts'
import type { RunQuery } from '../../engine/ports.ts'

/** A run's place in every list: by creation, then by id, newest first. */
export interface ListKey {
  created_at: string
  run_id: string
}

/** A query with its times in one notation and its cursor read. */
export interface CheckedQuery extends Omit<RunQuery, 'cursor'> {
  /** Only runs that come after this one in the list. */
  after?: ListKey
}

/** Throws `bad_request`. */
export function checkQuery(query: RunQuery): CheckedQuery {
  const { cursor, ...rest } = query
  if (!Number.isInteger(query.limit) || query.limit < 1 || query.limit > 500)
    throw new ErrandError('bad_request', `A list of ${query.limit} runs was asked for.`, {
      hint: 'Ask for 1 to 500, and for the rest by the cursor.',
    })
  return {
    ...rest,
    created_after: checkTime('created_after', query.created_after),
    created_before: checkTime('created_before', query.created_before),
    ...(cursor === undefined ? {} : { after: readCursor(cursor) }),
  }
}

function checkTime(name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  const time = new Date(value)
  if (Number.isNaN(time.getTime()))
    throw new ErrandError('bad_request', `${name} is no time: ${value}`, {
      hint: 'Write it as 2025-01-15T10:00:00Z.',
    })
  return time.toISOString()
}

export const writeCursor = (key: ListKey): string =>
  Buffer.from(JSON.stringify([key.created_at, key.run_id])).toString('base64url')

function readCursor(cursor: string): ListKey {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (Array.isArray(parts) && typeof parts[0] === 'string' && typeof parts[1] === 'string')
      return { created_at: parts[0], run_id: parts[1] }
  } catch {
    // Falls through: it is no cursor.
  }
  throw new ErrandError('bad_request', `This is no cursor of a list of runs: ${cursor}`, {
    hint: 'Send next_cursor of the page before, unchanged, or none.',
  })
}

/** Negative where `a` comes first in a list. */
export function compareKeys(a: ListKey, b: ListKey): number {
  if (a.created_at !== b.created_at) return a.created_at > b.created_at ? -1 : 1
  if (a.run_id === b.run_id) return 0
  return a.run_id > b.run_id ? -1 : 1
}
