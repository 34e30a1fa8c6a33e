import type { EventOf } from '../../contract/events.ts'
import { lineText } from '../render/terminal-text.ts'
import { YesNoQuestions } from './agent-questions.ts'

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
  /** Shared with who else asks in it. */
  readonly terminal = new YesNoQuestions()
  /**
   * Open questions, by run and step, for the instances of a step that ask at one time are answered together.
   */
  readonly #open = new Map<string, { instances: Set<number>; answered: AbortController }>()

  constructor(options: ApproverOptions) {
    this.#options = options
  }

  /** Whether a person is asked here. */
  get asks(): boolean {
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
      this.#answer(runId, step, 'reject', `nobody can be asked; run with --approve "${step}" or --yes`)
  }

  /** The question needs no answer any more. */
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
    if (answer === undefined) this.#answer(runId, step, 'reject', 'the input has ended without an answer')
    else this.#answer(runId, step, answer ? 'approve' : 'reject')
  }

  #answer(runId: string, step: string, decision: 'approve' | 'reject', comment?: string): void {
    // It may have expired or been canceled meanwhile.
    this.#options.answer({ step, decision, comment }, runId).catch(() => {})
  }
}

const keyOf = (step: string, phase: string, runId: string): string => `${runId} ${phase} ${step}`
