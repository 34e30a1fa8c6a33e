import { closeSync, fdatasyncSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs'
import type { AttemptReport } from '../../contract/attempt.ts'
import type { SessionEvent } from '../sessions/session-state.ts'
import type { Cause } from './verdict.ts'

/** `cause` stands before the signals it leads to, so that a restarted runner knows why the process died. */
export type JournalEntry =
  /** `covers`: how many items of a session's have been told with it. */
  | { type: 'report'; n: number; report: AttemptReport; covers?: number }
  | { type: 'cause'; cause: Cause }
  /** `at`: so many bytes of the agent's lines came before it. */
  | { type: 'event'; at: number; event: SessionEvent }

/** The reports of an attempt, one JSON text a line, numbered from 1. */
export class JournalFile {
  readonly entries: readonly JournalEntry[]
  readonly #path: string
  #fd: number | undefined
  #bytes: number
  readonly #durable: boolean

  /**
   * Cuts off all behind the last line that is whole. `durable`: what was appended is on the disk, even if the
   * power fails. Throws where the file cannot be opened.
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

/**
 * The reports of one attempt, and who is told of them. With a journal each is there before anyone is told, so that what was
 * told is there after a restart; without one they are gone with this process.
 */
export class AttemptJournal {
  readonly list: AttemptReport[] = []
  /** Events that an earlier process of this runner told the session, by place among the agent's lines. */
  readonly events: { at: number; event: SessionEvent }[] = []
  /** How many items of a session's the reports hold. */
  covered = 0
  readonly #journal: JournalFile | undefined
  readonly #listeners = new Set<() => void>()
  readonly #end = Promise.withResolvers<void>()
  #cause: Cause | undefined

  constructor(journal?: JournalFile) {
    this.#journal = journal
    for (const entry of journal?.entries ?? [])
      if (entry.type === 'report') {
        this.#add(entry.report)
        this.covered = entry.covers ?? this.covered
      } else if (entry.type === 'cause') this.#cause ??= entry.cause
      else this.events.push(entry)
  }

  get ended(): boolean {
    return this.list.at(-1)?.type === 'ended'
  }

  /** Resolves once `ended` is there. */
  get whenEnded(): Promise<void> {
    return this.#end.promise
  }

  /** Why the attempt is ended, also where that was ordered before a restart; the first cause counts. */
  get cause(): Cause | undefined {
    return this.#cause
  }

  get startedAtMs(): number | undefined {
    const started = this.list.find((report) => report.type === 'started')
    return started?.time === undefined ? undefined : Date.parse(started.time)
  }

  /** Before the signals it leads to. Where the disk is full the order counts all the same. */
  keepCause(cause: Cause): void {
    if (this.#cause !== undefined) return
    this.#cause = cause
    try {
      this.#journal?.append({ type: 'cause', cause })
    } catch {
      // A restart in this very moment would find the attempt lost instead of canceled: no success either way.
    }
  }

  /** Throws where it cannot be written; then it must not count. */
  keepEvent(at: number, event: SessionEvent): void {
    this.#journal?.append({ type: 'event', at, event })
  }

  /** Where the journal cannot be written, `otherwise` is told instead of the report. Answers whether it could. */
  add(report: AttemptReport, otherwise = report, covers?: number): boolean {
    let kept = true
    try {
      this.#journal?.append({ type: 'report', n: this.list.length + 1, report, covers })
    } catch {
      kept = false
    }
    this.#add(kept ? report : otherwise)
    return kept
  }

  changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  close(): void {
    this.#journal?.close()
  }

  #add(report: AttemptReport): void {
    this.list.push(report)
    if (report.type === 'ended') this.#end.resolve()
    this.changed()
  }
}
