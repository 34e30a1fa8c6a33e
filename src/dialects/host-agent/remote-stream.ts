import type { StreamName } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { AttemptSink } from '../../engine/ports.ts'

/** One stream of an attempt on its way from an agent to the sink. */
export class RemoteStream {
  readonly #name: StreamName
  readonly #sink: AttemptSink
  #offset = 0

  constructor(name: StreamName, sink: AttemptSink) {
    this.#name = name
    this.#sink = sink
  }

  /** How much is kept; what is asked for begins here. */
  get offset(): number {
    return this.#offset
  }

  /** Goes on from what the sink keeps of an earlier time. */
  async takeUp(): Promise<void> {
    this.#offset = await this.#sink.length(this.#name)
  }

  /** Hands over what follows the offset; resolves once it is kept. Rejects where it cannot be kept. */
  async take(bytes: Buffer): Promise<void> {
    if (bytes.length === 0) return
    try {
      this.#offset = await this.#sink.output(this.#name, this.#offset, bytes)
    } catch (error) {
      if (!(error instanceof ErrandError && error.code === 'conflict')) throw error
      await this.takeUp()
    }
  }
}
