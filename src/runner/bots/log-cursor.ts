import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, rmSync } from 'node:fs'
import type { StreamName } from '../../contract/attempt.ts'
import { writeFileAtomic } from '../../platform/files.ts'

/** Says how far one stream of a container's log has been read. */
export interface StreamCursor {
  /** Bytes of the attempt's file. */
  length: number
  /** Time of the last piece, with nanoseconds; `taken` counts the pieces with exactly that time. */
  time: string
  taken: number
  /** Set if that piece does not end its line. */
  openLine: boolean
  /** Set if the file's last byte does not end a line. */
  openEnd: boolean
  /** Bytes dropped since the last line that reported it. */
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

/**
 * Milliseconds by which a line can be older than the newest one and still come after it, if its stream was written
 * slowly.
 */
const SKEW_MS = 60_000

/** Returns the time from which to read the log again so that nothing is missed; undefined: from its beginning. */
export function sinceOf({ stdout, stderr }: LogCursor): string | undefined {
  const newest = newestOf({ stdout, stderr })
  if (newest === '') return undefined
  const earlier = new Date(Date.parse(newest) - SKEW_MS).toISOString().replace('Z', '000000Z')
  // Pieces that continue an open line have the time of its beginning, however late they come.
  const from = [stdout, stderr].map(({ time, openLine }) => (openLine || time > earlier ? time : earlier))
  return from.sort()[0]
}

export const newestOf = ({ stdout, stderr }: Pick<LogCursor, 'stdout' | 'stderr'>): string =>
  [stdout.time, stderr.time].sort()[1]!

const DAY_MS = 24 * 60 * 60 * 1000
/**
 * Share of an exhausted allowance that must be available again before anything is admitted: few long gaps instead of
 * many short ones.
 */
const REOPENED_AT = 0.01

interface AllowanceState {
  leftBytes: number
  /** Time of the last piece, which is the only clock here: pieces that are read again count the same again. */
  atMs: number
  usedUp: boolean
}

/**
 * Tracks how many bytes of log a bot may still write: `perDayBytes` at first, refilled continuously by as many a day.
 */
export class LogAllowance {
  readonly #perDayBytes: number
  readonly state: AllowanceState

  constructor(perDayBytes: number, state?: AllowanceState) {
    this.#perDayBytes = perDayBytes
    this.state = { leftBytes: perDayBytes, atMs: 0, usedUp: false, ...state }
  }

  /** Takes the bytes from the allowance, or returns false. */
  admits(bytes: number, atMs: number): boolean {
    const { state } = this
    if (state.atMs > 0 && atMs > state.atMs)
      state.leftBytes = Math.min(
        this.#perDayBytes,
        state.leftBytes + (this.#perDayBytes * (atMs - state.atMs)) / DAY_MS,
      )
    state.atMs = Math.max(state.atMs, atMs)
    if (state.usedUp && state.leftBytes >= this.#perDayBytes * REOPENED_AT) state.usedUp = false
    if (bytes > state.leftBytes) state.usedUp = true
    if (state.usedUp) return false
    state.leftBytes -= bytes
    return true
  }
}

/**
 * Cuts the files of an earlier process of this runner at its cursor. If they are shorter (the power failed), the whole
 * log is read again.
 */
export function restoreLog(cursorFile: string, files: Readonly<Record<StreamName, string>>): void {
  const { stdout, stderr } = readCursor(cursorFile) ?? newCursor()
  const fds = { stdout: openSync(files.stdout, 'a', 0o600), stderr: openSync(files.stderr, 'a', 0o600) }
  try {
    const isWhole = fstatSync(fds.stdout).size >= stdout.length && fstatSync(fds.stderr).size >= stderr.length
    if (!isWhole) rmSync(cursorFile, { force: true })
    ftruncateSync(fds.stdout, isWhole ? stdout.length : 0)
    ftruncateSync(fds.stderr, isWhole ? stderr.length : 0)
  } finally {
    closeSync(fds.stdout)
    closeSync(fds.stderr)
  }
}
