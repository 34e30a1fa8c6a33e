import type { AttemptReport } from '../../contract/attempt.ts'
import type { JsonLines } from '../../platform/json-lines.ts'
import type { SessionEvent } from '../sessions/session-state.ts'
import type { Cause } from './verdict.ts'

/**
 * Describes a line of the journal. `cause` comes before the signals it leads to, so that a restarted runner knows why
 * the process died.
 */
export type JournalEntry =
  /** `covers`: how many items of a session have been reported with it. */
  | { type: 'report'; n: number; report: AttemptReport; covers?: number }
  | { type: 'cause'; cause: Cause }
  /** `at`: how many bytes of the agent's lines came before it. */
  | { type: 'event'; at: number; event: SessionEvent }

/**
 * Stores the reports of one attempt, and notifies listeners. With a journal, a report is stored before anyone hears of
 * it, so it is still there after a restart; without one, the reports are gone with this process.
 */
export class AttemptJournal {
  readonly list: AttemptReport[] = []
  /** Events that an earlier process of this runner gave to the session, by their place among the agent's lines. */
  readonly events: { at: number; event: SessionEvent }[] = []
  /** Number of session items that the reports hold. */
  covered = 0
  readonly #journal: JsonLines<JournalEntry> | undefined
  readonly #listeners = new Set<() => void>()
  readonly #end = Promise.withResolvers<void>()
  #cause: Cause | undefined

  constructor(journal?: JsonLines<JournalEntry>) {
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

  /** Why the attempt is ended, even if that was ordered before a restart; the first cause counts. */
  get cause(): Cause | undefined {
    return this.#cause
  }

  get startedAtMs(): number | undefined {
    const started = this.list.find((report) => report.type === 'started')
    return started?.time === undefined ? undefined : Date.parse(started.time)
  }

  /** Stores the cause before the signals it leads to. If the disk is full, the order still counts. */
  keepCause(cause: Cause): void {
    if (this.#cause !== undefined) return
    this.#cause = cause
    try {
      this.#journal?.append({ type: 'cause', cause })
    } catch {
      // A restart at this very moment would find the attempt lost instead of canceled: not a success in either case.
    }
  }

  /** Stores an event. Throws if it cannot be written; then it must not count. */
  keepEvent(at: number, event: SessionEvent): void {
    this.#journal?.append({ type: 'event', at, event })
  }

  /** Adds a report. If the journal cannot be written, adds `otherwise` instead. Returns whether the write succeeded. */
  add(report: AttemptReport, otherwise = report, covers?: number): boolean {
    let isStored = true
    try {
      this.#journal?.append({ type: 'report', n: this.list.length + 1, report, covers })
    } catch {
      isStored = false
    }
    this.#add(isStored ? report : otherwise)
    return isStored
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
