import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentUpdate } from '../../contract/agent.ts'
import { Backoff } from '../../platform/backoff.ts'
import type { Context } from './context.ts'
import type { Message } from './message.ts'
import type { Asked, Model } from './model.ts'

const FIRST_RETRY_MS = 500
const LATEST_RETRY_MS = 30_000
/** A service that asks for more than this is not waited for. */
const LONGEST_WAIT_MS = 120_000

/** Asks until there is an answer, for as long as asking again can help. */
export class PatientModel {
  readonly #model: Model
  readonly #context: Context
  readonly #retries: number
  readonly #update: (update: AgentUpdate) => void

  constructor(model: Model, context: Context, retries: number, update: (update: AgentUpdate) => void) {
    this.#model = model
    this.#context = context
    this.#retries = retries
    this.#update = update
  }

  async ask(system: string, messages: readonly Message[], signal: AbortSignal): Promise<Asked> {
    const backoff = new Backoff({ firstMs: FIRST_RETRY_MS, maxMs: LATEST_RETRY_MS })
    for (let retry = 1; ; ) {
      let shown = false
      const heard = ({ text, thought }: { text: string; thought: string }) => {
        if (thought !== '') this.#update({ kind: 'thought', text: thought })
        if (text !== '') this.#update({ kind: 'message', text })
        shown ||= text !== '' || thought !== ''
      }
      const asked = await this.#model.ask(system, this.#context.view(messages), heard, signal)
      if (asked.type !== 'failed' || shown) return asked
      const { failure } = asked
      if (failure.tooLong && this.#context.tighten(messages)) continue
      const waitMs = failure.waitMs ?? backoff.next()
      if (!failure.passing || retry > this.#retries || waitMs > LONGEST_WAIT_MS) return asked
      this.#update({ kind: 'retry', failure: failure.failure, message: failure.message, attempt: retry++ })
      await sleep(waitMs, undefined, { signal }).catch(() => undefined)
      if (signal.aborted) return { type: 'canceled', answer: asked.answer }
    }
  }
}
