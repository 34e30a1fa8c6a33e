import type { SessionEvent } from '../sessions/session-event.ts'
import { HeldReports } from './held-reports.ts'
import { Journal } from './journal.ts'
import type { Cause } from './outcome.ts'

/** Reports that are in the journal before anyone is told of them, so that what was told is there after a restart. */
export class JournaledReports extends HeldReports {
  readonly #journal: Journal
  #cause: Cause | undefined
  /** What an earlier process of this runner told the session, with the place among the agent's lines. */
  readonly events: { at: number; event: SessionEvent }[] = []
  /** How many items of a session's the reports hold. */
  covered = 0

  /** `durable`: what was told is on the disk, even if the power fails. */
  constructor(path: string, options: { durable: boolean }) {
    super()
    this.#journal = new Journal(path, options)
    for (const entry of this.#journal.entries)
      if (entry.type === 'report') {
        super.add(entry.report)
        this.covered = entry.covers ?? this.covered
      } else if (entry.type === 'cause') this.#cause ??= entry.cause
      else this.events.push(entry)
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
      this.#journal.append({ type: 'cause', cause })
    } catch {
      // A restart in this very moment would find the attempt lost instead of canceled: no success either way.
    }
  }

  /** Throws where it cannot be written; then it must not count. */
  keepEvent(at: number, event: SessionEvent): void {
    this.#journal.append({ type: 'event', at, event })
  }

  /** Where the journal cannot be written, `otherwise` is told instead of the report. Answers whether it could. */
  override add(report: HeldReports['list'][number], otherwise = report, covers?: number): boolean {
    try {
      this.#journal.append({ type: 'report', n: this.list.length + 1, report, covers })
    } catch {
      super.add(otherwise)
      return false
    }
    super.add(report)
    return true
  }

  close(): void {
    this.#journal.close()
  }
}
