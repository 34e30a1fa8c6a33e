import { createInterface } from 'node:readline'
import type { AgentUpdate, AgentUpdateOf, NewInput } from '../../contract/agent.ts'
import { Mutex } from '../../platform/sync.ts'
import { CLEAR_LINE } from '../render/terminal-text.ts'

export interface QuestionsOptions {
  /** True if a person can be asked here. */
  ask: boolean
  /** True if others may answer (on a hub): then a question that is not answered here waits. */
  othersCan: boolean
  /** Returns how others answer. */
  hint(requestId: string, runId: string): string
  /** Gives an answer to the agent; `attempt` is the number of the attempt that asks. */
  give(input: NewInput, attempt: number, runId: string): Promise<unknown>
  write(text: string): Promise<void>
  /** Terminal to share with others who ask there too. */
  terminal?: YesNoQuestions
}

/** Identifies the attempt that asks. */
interface Asking {
  attempt: number
  runId: string
}

/** Answers an agent's questions: asks the person here one by one, or answers no if nobody can be asked. */
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
    if (update.kind === 'permission') this.#openQuestion(update, by)
    if (update.kind === 'permission_answered') this.#answered(keyOf(update.request_id, by))
  }

  close(): void {
    for (const key of [...this.#open.keys()]) this.#answered(key)
  }

  /** Handles a question. Only one with `expires_at` waits for a person. */
  #openQuestion({ request_id, expires_at }: AgentUpdateOf<'permission'>, by: Asking): void {
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

  #give(answer: NewInput, { attempt, runId }: Asking): void {
    // The question may have expired in the meantime.
    this.#options.give(answer, attempt, runId).catch(() => {})
  }
}

/** Two sessions may use the same ids for their questions. */
const keyOf = (requestId: string, { attempt, runId }: Asking): string => `${runId} ${attempt} ${requestId}`

/**
 * Reads a line from the person at the terminal; undefined at the end of input or if the signal aborts. `opened` gets a
 * function that writes the question again, with the text typed so far.
 */
export function askLine(
  question: string,
  signal?: AbortSignal,
  opened?: (again: () => void) => void,
): Promise<string | undefined> {
  if (signal?.aborted) return Promise.resolve(undefined)
  const terminal = createInterface({ input: process.stdin, output: process.stdout })
  return new Promise((resolve) => {
    let ended = false
    const end = (line: string | undefined): void => {
      // Closing a terminal that is gone fails and calls this function a second time.
      if (ended) return
      ended = true
      signal?.removeEventListener('abort', stop)
      resolve(line)
      terminal.close()
    }
    const stop = (): void => {
      process.stdout.write('\n')
      end(undefined)
    }
    signal?.addEventListener('abort', stop)
    // While a line is read, Ctrl-C arrives here and not as a signal.
    terminal.on('SIGINT', () => process.emit('SIGINT'))
    // The terminal has gone away; a signal reports that too.
    terminal.on('error', () => end(undefined))
    terminal.once('close', () => end(undefined))
    terminal.question(question, (line) => end(line))
    opened?.(() => {
      if (!ended) terminal.prompt(true)
    })
  })
}

/** Asks the person at the terminal questions that are answered with yes or no, one after another. */
export class YesNoQuestions {
  readonly #mutex = new Mutex()
  #open = 0
  #again: (() => void) | undefined

  /** True while the terminal is taken: typed text belongs to a question. */
  get isAsking(): boolean {
    return this.#open > 0
  }

  /** Writes a text with `write`, above the open question if there is one. */
  async above(text: string, write: (text: string) => Promise<void>): Promise<void> {
    if (text === '' || this.#again === undefined) return await write(text)
    await write(CLEAR_LINE + text)
    this.#again?.()
  }

  /** Asks until the answer is yes or no (the default). Resolves to undefined at the end of input or on abort. */
  ask(question: string, signal: AbortSignal): Promise<boolean | undefined> {
    this.#open++
    return this.#mutex.run(() => this.#ask(question, signal)).finally(() => this.#open--)
  }

  async #ask(question: string, signal: AbortSignal): Promise<boolean | undefined> {
    for (
      let text = `${question} [y/N] `;
      ;
      text = `Answer yes or no (no is the default). ${question} [y/N] `
    ) {
      const line = await askLine(text, signal, (again) => {
        this.#again = again
      })
      this.#again = undefined
      if (line === undefined) return undefined
      if (/^\s*y(es)?\s*$/i.test(line)) return true
      if (/^\s*(no?)?\s*$/i.test(line)) return false
    }
  }
}
