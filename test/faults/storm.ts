import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ErrandError } from '../../src/contract/errors.ts'
import type { RunView } from '../../src/contract/run.ts'
import { isFinalRun } from '../../src/contract/status.ts'
import { eventually } from '../support/errand-command.ts'
import type { Programs } from '../support/programs.ts'
import { readIfThere } from '../support/programs-output.ts'
import { checkStormRun, type StormRun, stormRuns } from './storm-runs.ts'

interface Done {
  kind: StormRun
  run: RunView
  note: string
}

/** Keeps runs of all kinds in flight while faults hit the programs. */
export class Storm {
  readonly #programs: Programs
  readonly #notes: string
  readonly #lanes: Promise<void>[]
  readonly #done: Done[] = []
  #count = 0
  #over = false

  constructor(programs: Programs, lanes = 2 * stormRuns.length) {
    this.#programs = programs
    this.#notes = join(programs.home, 'notes')
    mkdirSync(this.#notes, { recursive: true })
    this.#lanes = Array.from({ length: lanes }, (_, lane) => this.#lane(lane))
    // They are awaited at the end. Until then, the failure of one must not abort the test.
    for (const lane of this.#lanes) lane.catch(() => {})
  }

  /** Counts the runs that have ended. */
  get ended(): number {
    return this.#done.length
  }

  /** Starts no more runs and waits for those in flight. Returns how many there were; all of them were checked. */
  async end(): Promise<number> {
    this.#over = true
    await Promise.all(this.#lanes)
    for (const { kind, run, note } of this.#done) await checkStormRun(this.#programs, kind, run, note)
    return this.#done.length
  }

  async #lane(lane: number): Promise<void> {
    for (let turn = lane; !this.#over; turn++) await this.#one(stormRuns[turn % stormRuns.length]!)
  }

  async #one(kind: StormRun): Promise<void> {
    const { client } = this.#programs
    const run_id = `storm-${++this.#count}`
    const note = join(this.#notes, run_id)
    // The run already exists if it was accepted just before the hub was killed.
    await untilAnswered(() => client.runs.create({ run_id, yaml: kind.yaml(note, run_id) }), 'run_exists')
    if (kind.endless) {
      await this.#eventually(`the start of ${run_id}`, () => readIfThere(note) !== '')
      await untilAnswered(() => client.runs.cancel(run_id), 'run_ended')
    }
    const run = await this.#eventually(`the end of ${run_id}`, async () => {
      const view = await client.runs.get(run_id).catch(() => undefined)
      return view !== undefined && isFinalRun(view.status) && view
    })
    this.#done.push({ kind, run, note })
  }

  /** Waits for as long as the storm takes, and then for the usual time. */
  async #eventually<T>(what: string, condition: () => T | false | Promise<T | false>): Promise<T> {
    while (!this.#over) {
      const value = await condition()
      if (value) return value
      await sleep(50)
    }
    return await eventually(what, condition)
  }
}

/** Error codes that mean that the hub is away or could not store a request. */
const later: ReadonlySet<string> = new Set(['unavailable', 'disk_full', 'store_failed'])

/**
 * Repeats a request while the hub is away. An error that says the request was already carried out counts as success.
 */
export async function untilAnswered(ask: () => Promise<unknown>, done: string): Promise<void> {
  await eventually('an answer of the hub', async () => {
    try {
      await ask()
      return true
    } catch (error) {
      if (error instanceof ErrandError && error.code === done) return true
      // Sleeps: a busy hub is asked again, as its clients do.
      if (error instanceof ErrandError && later.has(error.code)) return await sleep(20, false)
      throw error
    }
  })
}
