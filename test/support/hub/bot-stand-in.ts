import { Readable } from 'node:stream'
import type { AttemptEnd, AttemptSpec, StreamName } from '../../../src/contract/attempt.ts'
import type { DataAsk } from '../../../src/contract/bots/bot-data.ts'
import { ErrandError } from '../../../src/contract/errors.ts'
import type { WorkspaceQuery } from '../../../src/contract/runs/workspace-queries.ts'
import type { Reason } from '../../../src/contract/status.ts'
import type { RunnerAnswer, RunnerAsk, SlotAsk } from '../../../src/contract/tasks/pool-ask.ts'
import type { AttemptSink } from '../../../src/engine/ports.ts'
import type { WorkspaceQueries } from '../../../src/hub/api/api-context.ts'
import type { DataQueries } from '../../../src/hub/bots/bot-data.ts'
import type { SlotQueries } from '../../../src/hub/tasks/repo-pool.ts'
import type { TenantRunner } from '../../../src/stores/accounts.ts'

/** Imitates, in tests of the API, a bot without a container. It builds or pulls until the test says what happens. */
export class StandInBot {
  readonly spec: AttemptSpec
  readonly #sink: AttemptSink
  readonly #lengths = { stdout: 0, stderr: 0 }
  readonly #end = Promise.withResolvers<Partial<AttemptEnd>>()

  constructor(spec: AttemptSpec, sink: AttemptSink) {
    this.spec = spec
    this.#sink = sink
  }

  async run(): Promise<Partial<AttemptEnd>> {
    const { mode } = this.spec.args.source as { mode: string }
    await this.phase(mode === 'image' ? 'pulling' : 'building')
    return await this.#end.promise
  }

  phase(phase: string, message?: string, reason?: Reason): Promise<void> {
    return this.#sink.report({ type: 'phase', phase, message, reason }, 1)
  }

  async say(text: string, stream: StreamName = 'stdout'): Promise<void> {
    this.#lengths[stream] = await this.#sink.output(stream, this.#lengths[stream], Buffer.from(text))
  }

  end(end: Partial<AttemptEnd>): void {
    this.#end.resolve(end)
  }
}

/** Answers, in tests of the API, as runners that have this data, by owner and bot, and these slots. */
export class StandInQueries implements DataQueries, SlotQueries, WorkspaceQueries {
  readonly tars = new Map<string, Buffer>()
  /** Leased slots, by the runner that has them. */
  readonly slots = new Map<string, string>()
  /** Limits how many slots there may be. */
  mostSlots = 1
  /** The existing repositories; undefined means that every one exists. */
  repositories: string[] | undefined
  /** The runners that are away and do not answer. */
  readonly away = new Set<string>()

  async answer({ id }: TenantRunner, ask: RunnerAsk): Promise<RunnerAnswer> {
    this.#checkThere(id)
    if ('slot_id' in ask) return this.#slot(id, ask)
    if ('attempt_id' in ask) return { exists: false, error: { code: 'not_found', message: 'not here' } }
    const key = `${ask.owner}/${ask.bot_id}`
    if (ask.what === 'remove') this.tars.delete(key)
    const tar = this.tars.get(key)
    return tar === undefined ? { exists: false } : { exists: true, bytes: tar.length }
  }

  #slot(id: string, ask: SlotAsk): RunnerAnswer {
    const { what, slot_id } = ask
    if (what === 'allocate_slot') {
      if (this.repositories?.includes(ask.repo_url) === false)
        throw new ErrandError('repo_not_found', `There is no ${ask.repo_url}.`)
      if (this.slots.size >= this.mostSlots) throw new ErrandError('no_slot', 'All slots are in use.')
      this.slots.set(slot_id, id)
    }
    if (what === 'release_slot') this.slots.delete(slot_id)
    return this.slots.has(slot_id) ? { exists: true, slot_path: `/slots/${slot_id}` } : { exists: false }
  }

  async body({ id }: TenantRunner, ask: DataAsk | WorkspaceQuery): Promise<Readable> {
    this.#checkThere(id)
    if ('attempt_id' in ask) throw new ErrandError('not_found', 'Its folder is not here.')
    return Readable.from([this.tars.get(`${ask.owner}/${ask.bot_id}`)!])
  }

  async take(): Promise<void> {
    throw new ErrandError('not_found', 'Nobody is waiting for this any more.')
  }

  #checkThere(runner: string): void {
    if (this.away.has(runner)) throw new ErrandError('unavailable', `Runner "${runner}" is not connected.`)
  }
}
