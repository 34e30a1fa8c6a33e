import type { AgentUpdateOf } from '../../contract/agent.ts'
import { endOfTurn, type SessionEnd } from './session-end.ts'

/** How a session comes to its end: the first cause wins, and one that is stopped has none of its own. */
export class Finish {
  readonly #interactive: boolean
  readonly #undone: () => SessionEnd | undefined
  #closed = false
  #stopped = false
  #lastTurn: AgentUpdateOf<'turn_ended'> | undefined
  #end: SessionEnd | undefined

  /**
   * `interactive`: with nothing left to do it waits for more, until it is closed. `undone`: why what the agent calls
   * done has failed all the same.
   */
  constructor(interactive: boolean, undone: () => SessionEnd | undefined) {
    this.#interactive = interactive
    this.#undone = undone
  }

  get end(): SessionEnd | undefined {
    return this.#end
  }
  get stopped(): boolean {
    return this.#stopped
  }
  /** Nothing more is asked of the agent. */
  get over(): boolean {
    return this.#end !== undefined || this.#stopped
  }
  get hadTurn(): boolean {
    return this.#lastTurn !== undefined
  }

  /** No more prompts are to come. */
  close(): void {
    this.#closed = true
  }

  stop(): void {
    this.#stopped = true
  }

  settle(end: SessionEnd | undefined): void {
    if (!this.#stopped) this.#end ??= end
  }

  /** `more`: prompts are left. What was canceled by a person ends nothing then. */
  turnEnded(turn: AgentUpdateOf<'turn_ended'>, more: boolean): void {
    this.#lastTurn = turn
    if (turn.stop_reason === 'end_turn' || this.#interactive) return
    if (turn.stop_reason !== 'canceled' || !more) this.settle(endOfTurn(turn))
  }

  /** No prompt is left, and the agent is not at work. */
  nothingLeft(): void {
    if (this.#interactive && !this.#closed) return
    const end: SessionEnd = this.#lastTurn ? endOfTurn(this.#lastTurn) : { type: 'canceled' }
    this.settle((end.type === 'success' && this.#undone()) || end)
  }
}
