import { closeSync, fstatSync, ftruncateSync, openSync, readFileSync, rmSync } from 'node:fs'
import type { StreamName } from '../../contract/attempt.ts'
import { writeFileAtomic } from '../../platform/files.ts'

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

const DAY_MS = 24 * 60 * 60 * 1000
/** Once it is used up, nothing is admitted before this share of it is there again: few long gaps, not many short ones. */
const REOPENED_AT = 0.01

interface AllowanceState {
  leftBytes: number
  /** Time of the last piece, which is the only clock here: what is read again counts the same again. */
  atMs: number
  usedUp: boolean
}

/** How many bytes of log a bot may still write: `perDayBytes` at first, and as many a day that come back bit by bit. */
export class LogAllowance {
  readonly #perDayBytes: number
  readonly state: AllowanceState

  constructor(perDayBytes: number, state?: AllowanceState) {
    this.#perDayBytes = perDayBytes
    this.state = { leftBytes: perDayBytes, atMs: 0, usedUp: false, ...state }
  }

  /** Takes the bytes from it, or says no. */
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
 * Cuts the files of an earlier process of this runner off where its cursor stands. Where they are shorter (the power
 * failed), all of the log is read again.
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
