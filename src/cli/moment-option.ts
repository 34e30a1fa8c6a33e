import { parseDuration } from '../platform/duration.ts'
import { UsageError } from './command.ts'

/** A date, a time (RFC 3339), or how long ago: as a time in UTC. Throws a UsageError. */
export function momentOf(option: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const agoMs = parseDuration(text)
  const ms =
    agoMs === undefined
      ? /^\d{4}-\d{2}-\d{2}/.test(text)
        ? Date.parse(text)
        : Number.NaN
      : Date.now() - agoMs
  // A Date reaches 8.64e15 ms to either side.
  if (Number.isNaN(new Date(ms).getTime()))
    throw new UsageError(
      `${option} is "${text}"`,
      'write it as 2026-01-31, 2026-01-31T10:00:00Z, or as how long ago: 12h, 7d',
    )
  return new Date(ms).toISOString()
}
