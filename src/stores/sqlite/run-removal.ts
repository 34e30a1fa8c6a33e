import { dropInputs } from './run-inputs.ts'
import type { SqlSession } from './session.ts'

/** Most events of one commit, and most pages that are freed at once: each blocks everything else in this process. */
const EVENTS_AT_ONCE = 2000
const PAGES_AT_ONCE = 500

const selectUnderWay = 'SELECT run_id FROM removed_runs'
const deleteEvents = `DELETE FROM events WHERE run_id = ?1 AND seq <= (
  SELECT min(seq) + ${EVENTS_AT_ONCE - 1} FROM events WHERE run_id = ?1)`

/**
 * Removes runs in small commits. The first commit deletes the record, and lists the run as being removed; events that
 * remain after a kill go with the next removal.
 */
export class RunRemoval {
  readonly #session: SqlSession

  constructor(session: SqlSession) {
    this.#session = session
  }

  /** Reports whether a run's record is gone while some of its events may remain. Call it within a transaction. */
  isUnderWay(runId: string): boolean {
    return this.#session.get('SELECT 1 FROM removed_runs WHERE run_id = ?', runId) !== undefined
  }

  async remove(runIds: readonly string[]): Promise<void> {
    const session = this.#session
    await session.write(() => {
      for (const runId of runIds) this.#removeRecord(runId)
    })
    const underWay = session.read(() => session.all(selectUnderWay)).map((row) => String(row.run_id))
    const all = underWay.length
    while (underWay.length > 0) await session.write(() => this.#removeEvents(underWay))
    if (all > 0) await this.#giveBack()
  }

  /** Deletes events of the first of these runs, and removes runs without events from the list. */
  #removeEvents(underWay: string[]): void {
    const session = this.#session
    for (let deleted = 0; deleted < EVENTS_AT_ONCE && underWay.length > 0; ) {
      const runId = underWay[0]!
      const now = session.run(deleteEvents, runId)
      deleted += now
      if (now === EVENTS_AT_ONCE) continue
      session.run('DELETE FROM removed_runs WHERE run_id = ?', runId)
      underWay.shift()
    }
  }

  #removeRecord(runId: string): void {
    const session = this.#session
    const row = session.get('SELECT n FROM runs WHERE run_id = ?', runId)
    if (row === undefined) return
    session.run('INSERT OR IGNORE INTO removed_runs (run_id) VALUES (?)', runId)
    dropInputs(session, Number(row.n))
    session.run('DELETE FROM run_specs WHERE n = ?', row.n!)
    session.run('DELETE FROM runs WHERE n = ?', row.n!)
  }

  /** Returns free pages to the system, in portions. */
  async #giveBack(): Promise<void> {
    const session = this.#session
    const free = () => Number(session.read(() => session.get('PRAGMA freelist_count'))?.freelist_count)
    for (let before = Number.POSITIVE_INFINITY, now = free(); now > 0 && now < before; ) {
      before = now
      await session.write(() => session.all(`PRAGMA incremental_vacuum(${PAGES_AT_ONCE})`))
      now = free()
    }
  }
}
