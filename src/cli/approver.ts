import type { Interface } from 'node:readline'
import type { EventOf } from '../contract/events.ts'

/** `runId`: of the run that asks. */
export type Answer = (
  answer: { step: string; decision: 'approve' | 'reject'; comment?: string },
  runId: string,
) => Promise<void>

export interface ApproverOptions {
  /** `--yes`. */
  all: boolean
  /** `--approve`. */
  steps: readonly string[]
  /** A person can be asked: standard input and output are a terminal. */
  ask: boolean
  /** Somebody else may answer (on a hub), so that what is not answered here waits. */
  othersCan?: boolean
  answer: Answer
}

/** Answers the approvals of a run and of those it starts: by option, by asking, else with no where nobody else can. */
export class Approver {
  readonly #options: ApproverOptions
  readonly #answered = new Set<string>()
  #terminal: Interface | undefined

  constructor(options: ApproverOptions) {
    this.#options = options
  }

  /** It asks a person here. */
  get asks(): boolean {
    return this.#options.ask
  }

  requested({ step, expires_at }: EventOf<'approval.requested'>, runId: string): void {
    // The instances of a step are answered together.
    const key = `${runId} ${step}`
    if (this.#answered.has(key)) return
    this.#answered.add(key)
    const { all, steps, ask, othersCan } = this.#options
    if (all || steps.includes(step)) this.#answer(runId, step, 'approve')
    else if (ask) void this.#ask(runId, step)
    else if (!othersCan && expires_at === undefined)
      this.#answer(runId, step, 'reject', `nobody can be asked; run with --approve "${step}" or --yes`)
  }

  close(): void {
    this.#terminal?.close()
    this.#terminal = undefined
  }

  async #ask(runId: string, step: string): Promise<void> {
    const { createInterface } = await import('node:readline')
    this.#terminal ??= createInterface({ input: process.stdin, output: process.stdout })
    // The terminal has gone away; a signal tells of that too.
    this.#terminal.removeAllListeners('error').on('error', () => {})
    // While a line is read, Ctrl-C comes here and not as a signal.
    this.#terminal.removeAllListeners('SIGINT').on('SIGINT', () => process.emit('SIGINT'))
    this.#terminal.question(`Approve "${step}"? [y/N] `, (text) => {
      this.#answer(runId, step, /^y(es)?$/i.test(text.trim()) ? 'approve' : 'reject')
    })
  }

  #answer(runId: string, step: string, decision: 'approve' | 'reject', comment?: string): void {
    // It may have expired or been canceled meanwhile.
    this.#options.answer({ step, decision, comment }, runId).catch(() => {})
  }
}
