import type { AgentUpdate, AgentUpdateOf, GivenInput } from '../contract/agent.ts'
import { YesNoQuestions } from './agent-terminal.ts'

export interface QuestionsOptions {
  /** A person can be asked here. */
  ask: boolean
  /** Somebody else may answer (on a hub), so that what is not answered here waits. */
  othersCan: boolean
  /** How they do. */
  hint(requestId: string, runId: string): string
  /** `attempt`: number of the one that asks, in this run. */
  give(input: GivenInput, attempt: number, runId: string): Promise<unknown>
  write(text: string): Promise<void>
  /** Where others ask in it too. */
  terminal?: YesNoQuestions
}

/** The attempt that asks. */
interface Asking {
  attempt: number
  runId: string
}

/** Answers what an agent asks: by asking the person here, one question after another; else with no where nobody can. */
export class AgentQuestions {
  readonly #options: QuestionsOptions
  readonly #open = new Map<string, AbortController>()
  readonly #terminal: YesNoQuestions

  constructor(options: QuestionsOptions) {
    this.#options = options
    this.#terminal = options.terminal ?? new YesNoQuestions()
  }

  follow(update: AgentUpdate, attempt: number, runId: string): void {
    const by = { attempt, runId }
    if (update.kind === 'permission') this.#asked(update, by)
    if (update.kind === 'permission_answered') this.#answered(keyOf(update.request_id, by))
  }

  close(): void {
    for (const key of [...this.#open.keys()]) this.#answered(key)
  }

  /** A question that waits for a person has a time until which it does. */
  #asked({ request_id, expires_at }: AgentUpdateOf<'permission'>, by: Asking): void {
    const key = keyOf(request_id, by)
    if (expires_at === undefined || this.#open.has(key)) return
    const { ask, othersCan, hint, write } = this.#options
    if (ask) {
      const gone = new AbortController()
      this.#open.set(key, gone)
      void this.#ask(request_id, by, gone.signal)
    } else if (othersCan) void write(`  answer with: ${hint(request_id, by.runId)}\n`)
    else {
      void write('  nobody can be asked here\n')
      this.#give({ type: 'permission', request_id, decision: 'deny', nobody: true }, by)
    }
  }

  #answered(key: string): void {
    this.#open.get(key)?.abort()
    this.#open.delete(key)
  }

  async #ask(requestId: string, by: Asking, signal: AbortSignal): Promise<void> {
    const answer = await this.#terminal.ask('Allow it?', signal)
    if (signal.aborted) return
    const decision = answer ? 'allow' : 'deny'
    this.#give({ type: 'permission', request_id: requestId, decision }, by)
  }

  #give(answer: GivenInput, { attempt, runId }: Asking): void {
    // Its time may be over meanwhile.
    this.#options.give(answer, attempt, runId).catch(() => {})
  }
}

/** Two sessions may call their questions alike. */
const keyOf = (requestId: string, { attempt, runId }: Asking): string => `${runId} ${attempt} ${requestId}`
