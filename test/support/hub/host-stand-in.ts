import type { AgentRunArgs } from '../../../src/contract/actions.ts'
import type { AgentUpdate, AttemptInput } from '../../../src/contract/agent.ts'
import type { AttemptEnd, AttemptSpec } from '../../../src/contract/attempt.ts'
import { ErrandError } from '../../../src/contract/errors.ts'
import type { Reason } from '../../../src/contract/status.ts'
import type { AttemptSink, Placement, StepHost } from '../../../src/engine/ports.ts'
import { StandInBot } from './bot-stand-in.ts'

const HERE: Placement = { epoch: 1, runner: 'stand-in' }

/**
 * Stands in, in tests of the API, for the machines that run attempts. Executes nothing. The command, or the prompt
 * of an agent's step, says what happens: `say TEXT`, `flood BYTES` (of digits), `keep` (JSON: artifacts that it
 * reports), `fail`, `hold` (until `release` or a cancel).
 */
export class StandInHost implements StepHost {
  readonly #held = new Map<string, (end: Partial<AttemptEnd>) => void>()
  readonly #waiting: (() => void)[] = []
  readonly #agents = new Map<string, StandInAgent>()
  /** The latest bot of each id. */
  readonly bots = new Map<string, StandInBot>()
  /** The attempts that ran, in order. */
  readonly specs: AttemptSpec[] = []
  /** No machine has room until this is false again and `release` is called. */
  full = false
  /** Ignores a cancel: the test says when the attempt ends. */
  deaf = false

  place(): Placement | { waiting: string } {
    return this.full ? { waiting: 'no runner is connected' } : HERE
  }

  start(spec: AttemptSpec, placement: Placement | undefined, sink: AttemptSink): void {
    if (placement !== undefined) this.#begin(spec, sink)
    else this.#waiting.push(() => void sink.assigned(HERE).then(() => this.#begin(spec, sink)))
  }

  resume(spec: AttemptSpec, _placement: Placement | undefined, _known: unknown, sink: AttemptSink): void {
    this.#begin(spec, sink)
  }

  cancel(attemptId: string, reason: Reason): void {
    if (!this.deaf) this.#held.get(attemptId)?.({ outcome: 'canceled', reason })
  }

  input(attemptId: string, input: AttemptInput): void {
    this.#agents.get(attemptId)?.input(input)
  }

  /** Lets every attempt that waits or holds continue. */
  release(): void {
    for (const begin of this.#waiting.splice(0)) begin()
    for (const go of this.#held.values()) go({})
  }

  get holding(): number {
    return this.#held.size
  }

  runEnded(): void {}

  async close(): Promise<void> {
    this.release()
  }

  /** Runs an attempt. An engine that was closed meanwhile, or has set the run aside, accepts no more of it. */
  #begin(spec: AttemptSpec, sink: AttemptSink): void {
    this.#execute(spec, sink).catch((error) => {
      if (!(error instanceof ErrandError && ['unavailable', 'run_set_aside'].includes(error.code)))
        throw error
    })
  }

  async #execute(spec: AttemptSpec, sink: AttemptSink): Promise<void> {
    this.specs.push(spec)
    await sink.report({ type: 'started' }, 1)
    if (spec.action === 'agent.run') {
      const agent = new StandInAgent(spec, sink)
      this.#agents.set(spec.attempt_id, agent)
      const end = await agent.run(() => this.#hold(spec.attempt_id))
      await sink.report({ type: 'ended', outcome: 'success', ...end }, 1)
      return
    }
    if (spec.action === 'bot.serve') {
      const bot = new StandInBot(spec, sink)
      this.bots.set(String(spec.args.bot_id), bot)
      const end = await Promise.race([bot.run(), this.#hold(spec.attempt_id)])
      await sink.report({ type: 'ended', outcome: 'success', ...end }, 1)
      return
    }
    const [word, rest = ''] = String(spec.args.cmd ?? '').split(/ (.*)/s)
    if (word === 'say') await sink.output('stdout', 0, Buffer.from(rest))
    if (word === 'flood') await flood(Number(rest), sink)
    if (word === 'keep')
      for (const artifact of JSON.parse(rest)) await sink.report({ type: 'artifact', artifact }, 1)
    const end = word === 'hold' ? await this.#hold(spec.attempt_id) : {}
    const failed = word === 'fail' ? ({ outcome: 'failed', reason: 'exit_code', exit_code: 3 } as const) : {}
    await sink.report({ type: 'ended', outcome: 'success', ...failed, ...end }, 1)
  }

  async #hold(attemptId: string): Promise<Partial<AttemptEnd>> {
    const end = await new Promise<Partial<AttemptEnd>>((go) => this.#held.set(attemptId, go))
    this.#held.delete(attemptId)
    return end
  }
}

async function flood(bytes: number, sink: AttemptSink): Promise<void> {
  const chunk = Buffer.from('0123456789abcde\n'.repeat(16_384))
  for (let at = 0; at < bytes; at += chunk.length)
    await sink.output('stdout', at, chunk.subarray(0, Math.min(chunk.length, bytes - at)))
}

/**
 * Stands in, in tests of the API, for a session with an agent. Executes nothing. Each prompt says what happens:
 * `say TEXT`, `ask` (a question, answered by its decision), `fail REASON`, `hold` (until it is told to end).
 */
class StandInAgent {
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

  /** Runs the attempt and returns its end. */
  async run(hold: () => Promise<Partial<AttemptEnd>>): Promise<Partial<AttemptEnd>> {
    const { agent, prompt, interactive, session } = this.#spec.args as AgentRunArgs
    const session_id = session?.session_id
    if (prompt !== 'mute')
      await this.#report({
        kind: 'session',
        agent,
        session_id: session_id ?? `session of ${this.#spec.run_id}`,
        origin: session_id === undefined ? 'new' : 'loaded',
      })
    for (let text = prompt, id = 'first'; ; ) {
      await this.#report({ kind: 'prompt', input_id: id, text })
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
      await this.#report({ kind: 'permission', request_id: 'q1', title: 'Write a file' })
      const answer = await this.#next()
      await this.#say(answer.type === 'permission' ? `${answer.decision} by ${answer.who}` : answer.type)
    } else await this.#say(rest)
    const tokens = { input_tokens: 100, cached_input_tokens: 0, output_tokens: 10 }
    await this.#report({ kind: 'usage', turn: tokens, session: tokens })
    await this.#report({ kind: 'turn_ended', stop_reason: 'end_turn' })
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
    await this.#report({ kind: 'message', text })
    const bytes = Buffer.from(`${text}\n`)
    await this.#sink.output('stdout', this.#bytes, bytes)
    this.#bytes += bytes.length
  }

  #report(update: AgentUpdate): Promise<void> {
    return this.#sink.report({ type: 'update', update }, 1)
  }
}
