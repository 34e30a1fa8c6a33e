import { dropInputs } from './run-inputs.ts'
import type { SqlSession } from './session.ts'

/** Events of one commit, and pages given back in one: each holds up everything else in this process. */
const EVENTS_AT_ONCE = 2000
const PAGES_AT_ONCE = 500

const selectUnderWay = 'SELECT run_id FROM removed_runs'
const deleteEvents = `DELETE FROM events WHERE run_id = ?1 AND seq <= (
  SELECT min(seq) + ${EVENTS_AT_ONCE - 1} FROM events WHERE run_id = ?1)`

/**
 * Takes runs away in small commits. The first of them takes the record, and names the run as one being removed; what
 * a kill leaves of its events goes at the next removal.
 */
export class RunRemoval {
  readonly #session: SqlSession

  constructor(session: SqlSession) {
    this.#session = session
  }

  /** Its record is gone, and some of its events may be there. Within a transaction. */
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

  /** Events of the first of these, and those that have none left from the list. */
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

  /** Free pages go back to the system, in portions. */
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
