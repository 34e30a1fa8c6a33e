import { readFileSync } from 'node:fs'
import { writeFileAtomic } from '../../platform/atomic-file.ts'
import type { AllowanceState } from './log-allowance.ts'

/** How far one stream of a container's log has been taken. */
export interface StreamCursor {
  /** Bytes of the attempt's file. */
  length: number
  /** Of the last piece, with nanoseconds, and how many pieces of that very time were taken. */
  time: string
  taken: number
  /** That piece has not ended its line. */
  openLine: boolean
  /** The file's last byte ends no line. */
  openEnd: boolean
  /** Bytes dropped since the last line that told of it. */
  leftOut: number
}

export interface LogCursor {
  stdout: StreamCursor
  stderr: StreamCursor
  allowance?: AllowanceState
}

export const newCursor = (): LogCursor => ({ stdout: newStream(), stderr: newStream() })
const newStream = (): StreamCursor => ({
  length: 0,
  time: '',
  taken: 0,
  openLine: false,
  openEnd: false,
  leftOut: 0,
})

export function readCursor(file: string): LogCursor | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as LogCursor
  } catch {
    return undefined
  }
}

export function writeCursor(file: string, cursor: LogCursor): void {
  writeFileAtomic(file, JSON.stringify(cursor), { mode: 0o600, durable: false })
}

/** How much older a line can be than the newest one and still come after it: its stream was slow to be written. */
const SKEW_MS = 60_000

/** From when on the log is to be read again so that nothing is missed; undefined: from its beginning. */
export function sinceOf({ stdout, stderr }: LogCursor): string | undefined {
  const newest = newestOf({ stdout, stderr })
  if (newest === '') return undefined
  const earlier = new Date(Date.parse(newest) - SKEW_MS).toISOString().replace('Z', '000000Z')
  // What follows within an open line bears the time of its beginning, however late it comes.
  const from = [stdout, stderr].map(({ time, openLine }) => (openLine || time > earlier ? time : earlier))
  return from.sort()[0]
}

export const newestOf = ({ stdout, stderr }: Pick<LogCursor, 'stdout' | 'stderr'>): string =>
  [stdout.time, stderr.time].sort()[1]!
