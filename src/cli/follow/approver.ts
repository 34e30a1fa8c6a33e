import type { EventOf } from '../../contract/events.ts'
import { lineText } from '../render/terminal-text.ts'
import { YesNoQuestions } from './agent-questions.ts'

/** Sends an answer to the run that asks. */
export type Answer = (
  answer: { step: string; decision: 'approve' | 'reject'; comment?: string },
  runId: string,
) => Promise<void>

export interface ApproverOptions {
  /** True for `--yes`: approve every step. */
  all: boolean
  /** Steps of `--approve`. */
  steps: readonly string[]
  /** True if a person can be asked: standard input and output are a terminal. */
  ask: boolean
  /** True if others may answer (on a hub): then an approval that is not answered here waits. */
  othersCan?: boolean
  answer: Answer
}

/** Answers the approvals of a run and its children: by option, by asking, or with no if nobody else can answer. */
export class Approver {
  readonly #options: ApproverOptions
  /** Terminal that is shared with other questions. */
  readonly terminal = new YesNoQuestions()
  /**
   * Open questions, by run and step: instances of a step that ask at the same time are answered together.
   */
  readonly #open = new Map<string, { instances: Set<number>; answered: AbortController }>()

  constructor(options: ApproverOptions) {
    this.#options = options
  }

  /** True if a person is asked here. */
  get isInteractive(): boolean {
    return this.#options.ask
  }

  requested({ step, phase, instance }: EventOf<'approval.requested'>, runId: string): void {
    const key = keyOf(step, phase, runId)
    const before = this.#open.get(key)
    before?.instances.add(instance)
    if (before !== undefined) return
    const answered = new AbortController()
    this.#open.set(key, { instances: new Set([instance]), answered })
    const { all, steps, ask, othersCan } = this.#options
    if (all || steps.includes(step)) this.#answer(runId, step, 'approve')
    else if (ask) void this.#ask(runId, step, answered.signal)
    else if (!othersCan)
      this.#answer(runId, step, 'reject', `nobody can be asked here; use --approve "${step}" or --yes`)
  }

  /** Closes a question that needs no answer any more. */
  over(event: EventOf<'approval.answered' | 'step.finished'>, runId: string): void {
    const key = keyOf(event.step, event.phase, runId)
    const open = this.#open.get(key)
    if (open === undefined) return
    if (event.type === 'approval.answered') {
      open.instances.delete(event.instance)
      if (open.instances.size > 0) return
    }
    this.#open.delete(key)
    open.answered.abort()
  }

  close(): void {
    for (const { answered } of this.#open.values()) answered.abort()
  }

  async #ask(runId: string, step: string, signal: AbortSignal): Promise<void> {
    const answer = await this.terminal.ask(`Approve "${lineText(step)}"?`, signal)
    if (signal.aborted) return
    if (answer === undefined) this.#answer(runId, step, 'reject', 'the input ended without an answer')
    else this.#answer(runId, step, answer ? 'approve' : 'reject')
  }

  #answer(runId: string, step: string, decision: 'approve' | 'reject', comment?: string): void {
    // The approval may have expired or been canceled in the meantime.
    this.#options.answer({ step, decision, comment }, runId).catch(() => {})
  }
}

const keyOf = (step: string, phase: string, runId: string): string => `${runId} ${phase} ${step}`
