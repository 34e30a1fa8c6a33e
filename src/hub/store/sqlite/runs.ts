import type { RunEvent } from '../../../contract/events.ts'
import type { RunPatch, RunRecord, RunSpec } from '../../../contract/run.ts'
import { isFinalRun, RunStatus } from '../../../contract/status.ts'
import type { RunPage, RunQuery, RunStore } from '../../../engine/ports.ts'
import { checkOrder, outOfOrder, runExists, runNotFound } from '../run-errors.ts'
import { type Change, interruption, patchKeys } from '../run-record.ts'
import { RunLists } from './run-lists.ts'
import { RunRemoval } from './run-removal.ts'
import { patchColumns, rowRecord } from './run-rows.ts'
import type { Session } from './session.ts'

const selectRun = 'SELECT * FROM runs JOIN run_specs USING (n) WHERE run_id = ?'
const selectState = 'SELECT status, last_seq FROM runs WHERE run_id = ?'
const selectEvents = 'SELECT json FROM events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?'
const openStatuses = RunStatus.options.filter((status) => !isFinalRun(status)).map((status) => `'${status}'`)
const selectOpen = `SELECT run_id FROM runs WHERE status IN (${openStatuses}) ORDER BY created_at, run_id`
const selectOutput =
  'SELECT tenant, owner, sum(output_bytes) AS bytes FROM runs WHERE output_bytes IS NOT NULL GROUP BY tenant, owner'
const specColumns = ['run_id', 'created_at', 'workflow_name', 'owner', 'tenant', 'blueprint']
const fixedColumns = [...specColumns, 'parent_run_id', 'continues', 'rolls_back', 'last_seq']
const columns = [...fixedColumns, ...patchKeys]
const insertRun = `INSERT INTO runs (${columns}) VALUES (${columns.map(() => '?')})`
const insertSpec = 'INSERT INTO run_specs (n, spec) VALUES (last_insert_rowid(), ?)'
const insertEvent = 'INSERT INTO events (run_id, seq, json) VALUES (?, ?, ?)'

/** Runs in a SQLite database. */
export class SqliteRunStore implements RunStore {
  readonly capabilities = { durable: true }
  readonly #session: Session
  readonly #lists: RunLists
  readonly #removal: RunRemoval

  constructor(session: Session) {
    this.#session = session
    this.#lists = new RunLists(session)
    this.#removal = new RunRemoval(session)
  }

  async create(spec: RunSpec, events: readonly RunEvent[], patch?: RunPatch): Promise<void> {
    checkOrder(spec.run_id, 0, events)
    const { values } = patchColumns({ ...noFields, ...patch, status: patch?.status ?? 'queued' })
    const json = JSON.stringify(spec)
    const texts = events.map((event) => JSON.stringify(event))
    await this.#session.write(() => {
      if (this.#session.get(selectState, spec.run_id) !== undefined) throw runExists(spec.run_id)
      if (this.#removal.isUnderWay(spec.run_id)) throw runExists(spec.run_id)
      const { run_id, created_at, workflow_name, owner, tenant, blueprint } = spec
      const names = [run_id, created_at, workflow_name, owner, tenant, blueprint]
      const others = [spec.parent?.run_id ?? null, spec.continues ?? null, spec.rolls_back ?? null]
      const fixed = [...names, ...others, events.length]
      this.#session.run(insertRun, ...fixed, ...values)
      this.#session.run(insertSpec, json)
      this.#appendEvents(spec.run_id, 1, texts)
    })
  }

  async update(runId: string, change: Change): Promise<void> {
    const first = change.events[0]
    if (first !== undefined) checkOrder(runId, first.seq - 1, change.events)
    const texts = change.events.map((event) => JSON.stringify(event))
    await this.#session.write(() => this.#apply(runId, first?.seq, texts, change.patch))
  }

  async get(runId: string): Promise<RunRecord | undefined> {
    const row = this.#session.read(() => this.#session.get(selectRun, runId))
    return row && rowRecord(row)
  }

  async list(query: RunQuery): Promise<RunPage> {
    return this.#session.read(() => this.#lists.list(query))
  }

  async events(runId: string, after: number, limit: number): Promise<RunEvent[]> {
    const rows = this.#session.read(() => this.#session.all(selectEvents, runId, after, limit))
    return rows.map((row) => JSON.parse(String(row.json)) as RunEvent)
  }

  async open(): Promise<string[]> {
    return this.#session.read(() => this.#session.all(selectOpen)).map((row) => String(row.run_id))
  }

  /** How many bytes of output are kept of each user's runs that have ended. */
  async outputByUser(): Promise<{ tenant: string; owner: string; bytes: number }[]> {
    const rows = this.#session.read(() => this.#session.all(selectOutput))
    return rows.map(({ tenant, owner, bytes }) => ({
      tenant: String(tenant),
      owner: String(owner),
      bytes: Number(bytes),
    }))
  }

  async markInterrupted(message: string, runIds?: readonly string[]): Promise<string[]> {
    const wanted = runIds ?? (await this.open())
    const marked = await Promise.all(
      wanted.map((runId) => this.#session.write(() => this.#interrupt(runId, message))),
    )
    return wanted.filter((_, index) => marked[index])
  }

  remove(runIds: readonly string[]): Promise<void> {
    return this.#removal.remove(runIds)
  }

  async close(): Promise<void> {
    this.#session.flush()
  }

  #interrupt(runId: string, message: string): boolean {
    const state = this.#session.get(selectState, runId)
    if (state === undefined || isFinalRun(state.status as RunStatus)) return false
    const { events, patch } = interruption(Number(state.last_seq), message)
    const texts = events.map((event) => JSON.stringify(event))
    this.#apply(runId, events[0]?.seq, texts, patch)
    return true
  }

  /** Within a transaction. `firstSeq` is of the first event, where there is one. */
  #apply(runId: string, firstSeq: number | undefined, texts: string[], patch: RunPatch | undefined): void {
    const { keys, values } = patchColumns(patch)
    const set = ['last_seq = last_seq + ?', ...keys.map((key) => `${key} = ?`)]
    const expected = firstSeq === undefined ? null : firstSeq - 1
    const update = `UPDATE runs SET ${set} WHERE run_id = ? AND (? IS NULL OR last_seq = ?)`
    const changes = this.#session.run(update, texts.length, ...values, runId, expected, expected)
    if (changes === 0) {
      const state = this.#session.get(selectState, runId)
      if (state === undefined) throw runNotFound(runId)
      throw outOfOrder(runId, Number(state.last_seq) + 1, firstSeq ?? 0)
    }
    if (firstSeq !== undefined) this.#appendEvents(runId, firstSeq, texts)
  }

  #appendEvents(runId: string, firstSeq: number, texts: string[]): void {
    let seq = firstSeq
    for (const text of texts) this.#session.run(insertEvent, runId, seq++, text)
  }
}

const noFields = Object.fromEntries(patchKeys.map((key) => [key, undefined])) as RunPatch
