import type { Attachment, AttemptInput } from '../../contract/agent.ts'
import type { AgentPlan } from '../ports.ts'
import { type AnswerValue, answerValue, expectedValue, valueWrong } from './answer-value.ts'
import type { SessionEvent } from './session-state.ts'
import type { UpdatePipeline } from './update-pipeline.ts'

export interface Prompt {
  id: string
  text: string
  /** Whole text that the agent gets, if it is longer than `text`. */
  whole?: string
  /** Set if a person or program gave it while the session ran. */
  given: boolean
  attachments?: readonly Attachment[]
}

/** Holds the prompts that the agent is still to get, in order. */
export class PromptQueue {
  readonly #prompts: Prompt[]

  /** Begins with the step's own prompt. */
  constructor({ prompt, output_schema, attachments }: AgentPlan) {
    const whole = output_schema && prompt + expectedValue(output_schema)
    this.#prompts = [{ id: 'first', text: prompt, whole, given: false, attachments }]
  }

  get empty(): boolean {
    return this.#prompts.length === 0
  }

  /** Adds a prompt; `now` puts it before all others. */
  give({ input_id: id, text, attachments, now }: Extract<AttemptInput, { type: 'prompt' }>): void {
    const prompt = { id, text, given: true, attachments }
    if (now) this.#prompts.unshift(prompt)
    else this.#prompts.push(prompt)
  }

  /** Changes a queued prompt; returns whether it was still there. */
  change({ prompt_id, change, text }: Extract<AttemptInput, { type: 'queue' }>): boolean {
    const at = this.#prompts.findIndex(({ id, given }) => given && id === prompt_id)
    const prompt = this.#prompts[at]
    if (prompt === undefined) return false
    if (change === 'edit') this.#prompts[at] = { ...prompt, text: text ?? prompt.text }
    else this.#prompts.splice(at, 1)
    if (change !== 'up') return true
    const before = this.#prompts.findLastIndex(({ given }, index) => given && index < at)
    this.#prompts.splice(before < 0 ? at : before, 0, prompt)
    return true
  }

  /** Adds a prompt of Errand's own, after those given before. */
  explain(id: string, text: string): void {
    this.#prompts.push({ id, text, given: false })
  }

  /** Adds a prompt before all others: the earlier request is not done yet. */
  ask(id: string, text: string): void {
    this.#prompts.unshift({ id, text, given: false })
  }

  take(): Prompt | undefined {
    return this.#prompts.shift()
  }
}

/** Says why a session has failed by its checks. */
export interface Failed {
  reason: 'verify' | 'gave_up'
  message: string
}

/**
 * Checks whether the work that the agent calls done is done: it runs the verify commands one after another, then checks
 * the value in the answer. If a check fails, the agent is asked again, a limited number of times.
 */
export class Checks {
  readonly #plan: AgentPlan
  readonly #prompts: PromptQueue
  readonly #updates: Pick<UpdatePipeline, 'report' | 'answer'>
  readonly #readValue: ((answer: string) => AnswerValue) | undefined
  /** Index of the verify command that is to run. */
  #verifying: number | undefined
  #begun = 0
  #failed = 0
  #wrongValues = 0
  #valueJson: string | undefined

  /** Compiles the checks of a plan. Throws `invalid_argument`. */
  constructor(plan: AgentPlan, prompts: PromptQueue, updates: Pick<UpdatePipeline, 'report' | 'answer'>) {
    this.#plan = plan
    this.#prompts = prompts
    this.#updates = updates
    this.#readValue = plan.output_schema && answerValue(plan.output_schema)
  }

  /** Command that is to run now, and its number among all that were to run. */
  get verifying(): { command: string; number: number } | undefined {
    if (this.#verifying === undefined) return undefined
    return { command: this.#plan.verify[this.#verifying]!, number: this.#begun }
  }
  get valueJson(): string | undefined {
    return this.#valueJson
  }

  /** Resets the failures, since something new is requested. */
  startTurn(): void {
    this.#failed = 0
    this.#wrongValues = 0
  }

  /** Begins the checks when the agent says that it is done; returns why the session has failed, if it has. */
  begin(): Failed | undefined {
    if (!this.#prompts.empty) return undefined
    if (this.#plan.verify.length === 0) return this.#checkValue()
    this.#verify(0)
    return undefined
  }

  /** Takes a verify result; returns why the session has failed, if it has. */
  verified({ passed, how, output }: Extract<SessionEvent, { type: 'verified' }>): Failed | undefined {
    const { verify, verify_attempts, gives_up_with } = this.#plan
    const position = this.#verifying
    if (position === undefined) return undefined
    const command = verify[position]!
    this.#updates.report({ kind: 'verify', command, status: passed ? 'passed' : 'failed', output })
    if (passed && position + 1 < verify.length) {
      this.#verify(position + 1)
      return undefined
    }
    this.#verifying = undefined
    if (passed) return this.#prompts.empty ? this.#checkValue() : undefined
    this.#failed++
    const times = this.#failed === 1 ? '' : ` (${this.#failed} attempts)`
    const wrong = `\`${command}\` does not pass: ${how}${times}. ${output.slice(-500)}`.trim()
    const why = gives_up_with && behind(gives_up_with, this.#updates.answer)
    if (why) return { reason: 'gave_up', message: `The agent says that it cannot: ${why}\n${wrong}` }
    if (this.#failed >= verify_attempts) return { reason: 'verify', message: wrong }
    const text = `The command \`${command}\` does not pass: ${how}. Make it pass.\n\nIts output ends with:\n\`\`\`\n${output}\n\`\`\``
    this.#prompts.ask(`verify-${this.#failed}`, text)
    return undefined
  }

  /** Drops the checks. */
  drop(): void {
    this.#verifying = undefined
  }

  #verify(position: number): void {
    this.#verifying = position
    this.#begun++
    this.#updates.report({ kind: 'verify', command: this.#plan.verify[position]!, status: 'running' })
  }

  #checkValue(): Failed | undefined {
    const { output_schema } = this.#plan
    const found = this.#readValue?.(this.#updates.answer)
    if (found === undefined || output_schema === undefined) return undefined
    if ('json' in found) {
      this.#valueJson = found.json
      return undefined
    }
    this.#wrongValues++
    if (this.#wrongValues > 1)
      return { reason: 'verify', message: `The answer does not match output_schema: ${found.wrong}.` }
    this.#prompts.ask('value-1', valueWrong(found.wrong, output_schema))
    return undefined
  }
}

const MAX_WHY = 2000

/** Returns the rest of the first line that begins with the word, which may be bold or code; empty if there is none. */
function behind(word: string, answer: string): string {
  for (const line of answer.split('\n')) {
    const bare = line.replace(/^[*_`\s]+/, '')
    const why = bare.startsWith(word) ? bare.slice(word.length).replace(/^[*_`\s]+/, '') : ''
    if (why !== '') return why.slice(0, MAX_WHY).trim()
  }
  return ''
}
