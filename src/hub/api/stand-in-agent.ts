import type { AgentRunArgs } from '../../contract/actions.ts'
import type { AgentUpdate, AttemptInput } from '../../contract/agent.ts'
import type { AttemptEnd, AttemptSpec } from '../../contract/attempt.ts'
import type { AttemptSink } from '../../engine/ports.ts'

/**
 * For tests of the API: stands in for a session with an agent. Each prompt says what happens: `say TEXT`, `ask` (a
 * question, answered by its decision), `fail REASON`, `hold` (until it is told to end). Nothing is executed.
 */
export class StandInAgent {
  readonly #spec: AttemptSpec
  readonly #sink: AttemptSink
  readonly #inputs: AttemptInput[] = []
  #wake: (() => void) | undefined
  #bytes = 0

  constructor(spec: AttemptSpec, sink: AttemptSink) {
    this.#spec = spec
    this.#sink = sink
  }

  input(input: AttemptInput): void {
    this.#inputs.push(input)
    this.#wake?.()
  }

  /** Carries the attempt out; answers its end. */
  async run(hold: () => Promise<Partial<AttemptEnd>>): Promise<Partial<AttemptEnd>> {
    const { agent, prompt, interactive, session } = this.#spec.args as AgentRunArgs
    const session_id = session?.session_id
    if (prompt !== 'mute')
      await this.#tell({
        kind: 'session',
        agent,
        session_id: session_id ?? `session of ${this.#spec.run_id}`,
        origin: session_id === undefined ? 'new' : 'loaded',
      })
    for (let text = prompt, id = 'first'; ; ) {
      await this.#tell({ kind: 'prompt', input_id: id, text })
      const end = await this.#turn(text, hold)
      if (end) return end
      const next = interactive ? await this.#next() : undefined
      if (next?.type !== 'prompt') return {}
      text = next.text
      id = next.input_id
    }
  }

  async #turn(
    text: string,
    hold: () => Promise<Partial<AttemptEnd>>,
  ): Promise<Partial<AttemptEnd> | undefined> {
    const [word, rest = ''] = text.split(/ (.*)/s)
    if (word === 'hold') return await hold()
    if (word === 'fail') return { outcome: 'failed', reason: rest as never, message: `it failed: ${rest}` }
    if (word === 'ask') {
      await this.#tell({ kind: 'permission', request_id: 'q1', title: 'Write a file' })
      const answer = await this.#next()
      await this.#say(answer.type === 'permission' ? `${answer.decision} by ${answer.who}` : answer.type)
    } else await this.#say(rest)
    const tokens = { input_tokens: 100, cached_input_tokens: 0, output_tokens: 10 }
    await this.#tell({ kind: 'usage', turn: tokens, session: tokens })
    await this.#tell({ kind: 'turn_ended', stop_reason: 'end_turn' })
    return undefined
  }

  async #next(): Promise<AttemptInput> {
    while (this.#inputs.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    const input = this.#inputs.shift()!
    await this.#sink.report({ type: 'input_taken', input_id: input.input_id }, 1)
    return input
  }

  async #say(text: string): Promise<void> {
    await this.#tell({ kind: 'message', text })
    const bytes = Buffer.from(`${text}\n`)
    await this.#sink.output('stdout', this.#bytes, bytes)
    this.#bytes += bytes.length
  }

  #tell(update: AgentUpdate): Promise<void> {
    return this.#sink.report({ type: 'update', update }, 1)
  }
}
