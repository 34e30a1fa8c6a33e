import type { AttemptEnd, AttemptSpec, StreamName } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'

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

  phase(phase: string, message?: string): Promise<void> {
    return this.#sink.report({ type: 'phase', phase, message }, 1)
  }

  async say(text: string, stream: StreamName = 'stdout'): Promise<void> {
    this.#lengths[stream] = await this.#sink.output(stream, this.#lengths[stream], Buffer.from(text))
  }

  end(end: Partial<AttemptEnd>): void {
    this.#end.resolve(end)
  }
}
