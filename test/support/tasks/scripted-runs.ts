import { ErrandError } from '../../../src/contract/errors.ts'
import type { NewEvent, RunEvent } from '../../../src/contract/events.ts'
import type { RunRecord } from '../../../src/contract/run.ts'
import type { EngineFace, Submission } from '../../../src/engine/api.ts'
import { runExists } from '../../../src/engine/api.ts'
import { Feed } from '../../../src/engine/runtime/watch.ts'
import { time } from './tasks-fixture.ts'

interface ScriptedRun {
  record: Pick<RunRecord, 'run_id' | 'blueprint' | 'owner' | 'tenant' | 'status' | 'workflow'>
  events: RunEvent[]
}

/**
 * Imitates runs in tests of tasks: their events come from the test. They outlive a killed hub, as runs in a store do.
 * The script says what each run does by itself, given its workflow.
 */
export class ScriptedRuns implements Pick<EngineFace, 'get' | 'submit' | 'watch' | 'cancel'> {
  readonly runs = new Map<string, ScriptedRun>()
  readonly #feed = new Feed()
  readonly #script: (workflow: unknown) => readonly NewEvent[]

  constructor(script: (workflow: unknown) => readonly NewEvent[] = () => []) {
    this.#script = script
  }

  async get(runId: string): Promise<RunRecord | undefined> {
    return this.runs.get(runId)?.record as RunRecord | undefined
  }

  async submit({ run_id, blueprint, owner, tenant, workflow }: Submission): Promise<RunRecord> {
    if (this.runs.has(run_id!)) throw runExists(run_id!)
    const record = {
      ...{ run_id: run_id!, blueprint: blueprint!, owner: owner!, tenant: tenant! },
      ...{ workflow, status: 'running' as const },
    }
    this.runs.set(run_id!, { record, events: [] })
    for (const event of this.#script(workflow)) this.emit(run_id!, event)
    return record as unknown as RunRecord
  }

  /** Adds an event to a run's log. An event that ends the run is its last. */
  emit(runId: string, event: NewEvent): void {
    const run = this.runs.get(runId)!
    run.events.push({ seq: run.events.length + 1, time, ...event } as RunEvent)
    if (event.type === 'run.finished') run.record.status = event.status
    this.#feed.report(runId)
  }

  async *watch(runId: string, after: number, signal?: AbortSignal): AsyncGenerator<RunEvent> {
    using follower = this.#feed.follow(runId)
    signal?.addEventListener('abort', follower.tell)
    try {
      for (let seq = after; !signal?.aborted; ) {
        follower.reads()
        const { events } = this.runs.get(runId)!
        for (const event of events.slice(seq)) {
          seq = event.seq
          yield event
          if (event.type === 'run.finished' || signal?.aborted) return
        }
        if (events.length === seq) await follower.news()
      }
    } finally {
      signal?.removeEventListener('abort', follower.tell)
    }
  }

  async cancel(runId: string): Promise<void> {
    const run = this.runs.get(runId)
    if (run === undefined) throw new ErrandError('run_not_found', 'no run')
    if (run.record.status !== 'running') throw new ErrandError('run_ended', 'ended')
    this.emit(runId, { type: 'run.finished', status: 'canceled', reason: 'canceled' })
  }
}
