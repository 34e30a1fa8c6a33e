import type { AgentUpdateOf, GivenInput } from '../contract/agent.ts'
import { askLine } from './agent-terminal.ts'

export interface QuestionsOptions {
  /** A person can be asked here. */
  ask: boolean
  /** Somebody else may answer (on a hub), so that what is not answered here waits. */
  othersCan: boolean
  /** How they do. */
  hint(requestId: string): string
  give(input: GivenInput): Promise<unknown>
  write(text: string): Promise<void>
}

/** Answers what an agent asks: by asking the person here, one question after another; else with no where nobody can. */
export class AgentQuestions {
  readonly #options: QuestionsOptions
  readonly #open = new Map<string, AbortController>()
  #last: Promise<void> = Promise.resolve()

  constructor(options: QuestionsOptions) {
    this.#options = options
  }

  /** A question that waits for a person has a time until which it does. */
  asked(question: AgentUpdateOf<'permission'>): void {
    const { request_id, expires_at } = question
    if (expires_at === undefined || this.#open.has(request_id)) return
    const { ask, othersCan, hint, write } = this.#options
    if (ask) {
      const gone = new AbortController()
      this.#open.set(request_id, gone)
      this.#last = this.#last.then(() => this.#ask(request_id, gone.signal))
    } else if (othersCan) void write(`  answer with: ${hint(request_id)}\n`)
    else {
      void write('  nobody can be asked here\n')
      this.#answer(request_id, 'deny')
    }
  }

  answered(requestId: string): void {
    this.#open.get(requestId)?.abort()
    this.#open.delete(requestId)
  }

  close(): void {
    for (const id of [...this.#open.keys()]) this.answered(id)
  }

  async #ask(requestId: string, signal: AbortSignal): Promise<void> {
    const line = await askLine('Allow it? [y/N] ', signal)
    if (line === undefined && signal.aborted) return
    this.#answer(requestId, /^y(es)?$/i.test((line ?? '').trim()) ? 'allow' : 'deny')
  }

  #answer(request_id: string, decision: 'allow' | 'deny'): void {
    // Its time may be over meanwhile.
    this.#options.give({ type: 'permission', request_id, decision }).catch(() => {})
  }
}
