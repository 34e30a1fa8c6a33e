import { closeSync, fdatasyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { AttemptReport } from '../../contract/attempt.ts'
import type { SessionEvent } from '../sessions/session-state.ts'
import type { Cause } from './outcome.ts'

/** `cause` stands before the signals it leads to, so that a restarted runner knows why the process died. */
export type JournalEntry =
  /** `covers`: how many items of a session's have been told with it. */
  | { type: 'report'; n: number; report: AttemptReport; covers?: number }
  | { type: 'cause'; cause: Cause }
  /** `at`: so many bytes of the agent's lines came before it. */
  | { type: 'event'; at: number; event: SessionEvent }

/** The reports of an attempt, one JSON text a line, numbered from 1. */
export class Journal {
  readonly entries: readonly JournalEntry[]
  readonly #path: string
  #fd: number | undefined
  #bytes: number
  readonly #durable: boolean

  /**
   * What stands behind the last line that is whole is cut off. `durable`: what was appended is on the disk, even if the power
   * fails. Throws where the file cannot be opened.
   */
  constructor(path: string, { durable }: { durable: boolean }) {
    this.#path = path
    this.#durable = durable
    this.#fd = openSync(path, 'a+', 0o600)
    const data = readFileSync(this.#fd)
    const { entries, bytes } = parseLines(data)
    if (bytes < data.length) ftruncateSync(this.#fd, bytes)
    this.entries = entries
    this.#bytes = bytes
  }

  /** Throws where it cannot be written whole; then it is not there. */
  append(entry: JournalEntry): void {
    if (this.#fd === undefined) throw new Error(`${this.#path} is closed`)
    const line = Buffer.from(`${JSON.stringify(entry)}\n`)
    const written = writeSync(this.#fd, line)
    if (written < line.length) {
      ftruncateSync(this.#fd, this.#bytes)
      throw new Error(`${this.#path} could not be written: no space left`)
    }
    this.#bytes += written
    if (this.#durable) fdatasyncSync(this.#fd)
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }
}

function parseLines(data: Buffer): { entries: JournalEntry[]; bytes: number } {
  const entries: JournalEntry[] = []
  let bytes = 0
  for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, bytes)) {
    try {
      entries.push(JSON.parse(data.toString('utf8', bytes, end)))
    } catch {
      break
    }
    bytes = end + 1
  }
  return { entries, bytes }
}
