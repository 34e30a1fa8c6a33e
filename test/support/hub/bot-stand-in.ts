import { Readable } from 'node:stream'
import type { AttemptEnd, AttemptSpec, StreamName } from '../../../src/contract/attempt.ts'
import type { DataAnswer, DataAsk } from '../../../src/contract/bot-data.ts'
import { ErrandError } from '../../../src/contract/errors.ts'
import type { Reason } from '../../../src/contract/status.ts'
import type { AttemptSink } from '../../../src/engine/ports.ts'
import type { DataAsks } from '../../../src/hub/bots/bot-data.ts'
import type { TenantRunner } from '../../../src/stores/accounts.ts'

/** For tests of the API: a bot without a container. It builds or pulls until the test says what happens. */
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

/** For tests of the API: runners that have this data, by owner and bot. */
export class StandInDataAsks implements DataAsks {
  readonly tars = new Map<string, Buffer>()
  /** Away: nobody answers. */
  readonly away = new Set<string>()

  async answer({ id }: TenantRunner, ask: DataAsk): Promise<DataAnswer> {
    this.#checkThere(id)
    const key = `${ask.owner}/${ask.bot_id}`
    if (ask.what === 'remove') this.tars.delete(key)
    const tar = this.tars.get(key)
    return tar === undefined ? { exists: false } : { exists: true, bytes: tar.length }
  }

  async body({ id }: TenantRunner, { owner, bot_id }: DataAsk): Promise<Readable> {
    this.#checkThere(id)
    return Readable.from([this.tars.get(`${owner}/${bot_id}`)!])
  }

  async take(): Promise<void> {
    throw new ErrandError('not_found', 'Nobody waits for this any more.')
  }

  #checkThere(runner: string): void {
    if (this.away.has(runner)) throw new ErrandError('unavailable', `Runner "${runner}" is away.`)
  }
}
