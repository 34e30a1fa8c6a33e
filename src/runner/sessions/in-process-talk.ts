import type { AgentProtocol, SessionRequest } from '../../agents/agent.ts'
import type { InProcessAgent, InProcessSession } from '../../agents/in-process.ts'
import { ErrandError, messageWithHint } from '../../contract/errors.ts'
import type { SessionEvent } from './session-event.ts'

/** An agent that works within this process, spoken to as one that has its own. What it says becomes events. */
export class InProcessTalk implements AgentProtocol {
  readonly #agent: InProcessAgent
  readonly #request: SessionRequest
  readonly #tell: (event: SessionEvent) => void
  readonly #stop = new AbortController()
  readonly #answers = new Map<string, (decision: 'allow' | 'deny') => void>()
  #session: InProcessSession | undefined
  #turn: AbortController | undefined
  #questions = 0
  #live = false

  constructor(agent: InProcessAgent, request: SessionRequest, tell: (event: SessionEvent) => void) {
    this.#agent = agent
    this.#request = request
    this.#tell = (event) => {
      if (this.#live && !this.#stop.signal.aborted) tell(event)
    }
  }

  /** Repeated calls of an earlier process of this runner do nothing: it was gone with that. */
  start(): void {
    this.#live = true
    try {
      this.#session = this.#agent.open(
        this.#request,
        {
          update: (update) => this.#tell({ type: 'agent', update }),
          permission: (ask) => {
            const request_id = `question-${++this.#questions}`
            const { promise, resolve } = Promise.withResolvers<'allow' | 'deny'>()
            this.#answers.set(request_id, resolve)
            this.#tell({ type: 'agent', update: { kind: 'permission', request_id, ...ask } })
            return promise
          },
        },
        this.#stop.signal,
      )
      this.#tell({ type: 'agent_ready' })
    } catch (error) {
      const invalid = error instanceof ErrandError && error.code === 'invalid_argument'
      const reason = invalid ? 'invalid_argument' : 'start_failed'
      this.#tell({ type: 'agent_failed', failure: { reason, message: messageWithHint(error) } })
    }
  }

  begin(): void {}
  line(): void {}
  exited(): void {}

  prompt(text: string): void {
    const session = this.#session
    if (!session) return
    this.#turn = new AbortController()
    void session
      .prompt(text, this.#turn.signal)
      .catch((error: unknown) => ({ stop_reason: 'error' as const, message: messageWithHint(error) }))
      .then((end) => {
        this.#answers.clear()
        this.#tell({ type: 'agent', update: { kind: 'turn_ended', ...end } })
        this.#tell({ type: 'agent_ready' })
      })
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    this.#answers.get(requestId)?.(decision)
    this.#answers.delete(requestId)
  }

  cancelTurn(): void {
    this.#turn?.abort()
    for (const answer of this.#answers.values()) answer('deny')
    this.#answers.clear()
  }

  /** Nothing more is told. May be called twice. */
  async close(): Promise<void> {
    this.#live = false
    this.#stop.abort()
    this.cancelTurn()
    await this.#session?.close().catch(() => undefined)
  }
}
