import type { Attachment, AttemptInput } from '../../contract/agent.ts'
import type { AgentPlan } from '../ports.ts'
import { type AnswerValue, answerValue, valueWanted, valueWrong } from './answer-value.ts'
import type { SessionEvent } from './session-state.ts'
import type { UpdatePipeline } from './update-pipeline.ts'

export interface Prompt {
  id: string
  text: string
  /** The whole text that the agent is told, where that is more. */
  whole?: string
  /** By a person or program, while the session ran. */
  given: boolean
  attachments?: readonly Attachment[]
}

/** The prompts that the agent is still to be given, in order. */
export class PromptQueue {
  readonly #prompts: Prompt[]

  /** The step's own comes first. */
  constructor({ prompt, output_schema, attachments }: AgentPlan) {
    const whole = output_schema && prompt + valueWanted(output_schema)
    this.#prompts = [{ id: 'first', text: prompt, whole, given: false, attachments }]
  }

  get empty(): boolean {
    return this.#prompts.length === 0
  }

  /** `now`: before all others. */
  give({ input_id: id, text, attachments, now }: Extract<AttemptInput, { type: 'prompt' }>): void {
    const prompt = { id, text, given: true, attachments }
    if (now) this.#prompts.unshift(prompt)
    else this.#prompts.push(prompt)
  }

  /** Changes one that was given. Answers whether it was still there. */
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

  /** Of Errand's own, behind what was given before. */
  explain(id: string, text: string): void {
    this.#prompts.push({ id, text, given: false })
  }

  /** Before all others: what was asked for is not done yet. */
  ask(id: string, text: string): void {
    this.#prompts.unshift({ id, text, given: false })
  }

  take(): Prompt | undefined {
    return this.#prompts.shift()
  }
}

/** Why a session has failed by its checks. */
export interface Failed {
  reason: 'verify' | 'gave_up'
  message: string
}

/**
 * Whether what the agent calls done is done: the verify commands, one after another, then the value in its answer.
 * Where it is not, the agent is asked again, a number of times.
 */
export class Checks {
  readonly #plan: AgentPlan
  readonly #prompts: PromptQueue
  readonly #updates: Pick<UpdatePipeline, 'tell' | 'answer'>
  readonly #readValue: ((answer: string) => AnswerValue) | undefined
  /** Position of the verify command that is to be run. */
  #verifying: number | undefined
  #begun = 0
  #failed = 0
  #wrongValues = 0
  #valueJson: string | undefined

  /** Throws `invalid_argument`. */
  constructor(plan: AgentPlan, prompts: PromptQueue, updates: Pick<UpdatePipeline, 'tell' | 'answer'>) {
    this.#plan = plan
    this.#prompts = prompts
    this.#updates = updates
    this.#readValue = plan.output_schema && answerValue(plan.output_schema)
  }

  /** The command that is to be run now, and which it is of all that were. */
  get verifying(): { command: string; number: number } | undefined {
    if (this.#verifying === undefined) return undefined
    return { command: this.#plan.verify[this.#verifying]!, number: this.#begun }
  }
  get valueJson(): string | undefined {
    return this.#valueJson
  }

  /** Something new is asked for: what did not fit before counts no more. */
  promptGiven(): void {
    this.#failed = 0
    this.#wrongValues = 0
  }

  /** The agent says that it is done. Answers why the session has failed, where it has. */
  begin(): Failed | undefined {
    if (!this.#prompts.empty) return undefined
    if (this.#plan.verify.length === 0) return this.#checkValue()
    this.#verify(0)
    return undefined
  }

  /** Answers why the session has failed, where it has. */
  verified({ passed, how, output }: Extract<SessionEvent, { type: 'verified' }>): Failed | undefined {
    const { verify, verify_attempts, gives_up_with } = this.#plan
    const position = this.#verifying
    if (position === undefined) return undefined
    const command = verify[position]!
    this.#updates.tell({ kind: 'verify', command, status: passed ? 'passed' : 'failed', output })
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

  /** Nobody wants to know any more. */
  drop(): void {
    this.#verifying = undefined
  }

  #verify(position: number): void {
    this.#verifying = position
    this.#begun++
    this.#updates.tell({ kind: 'verify', command: this.#plan.verify[position]!, status: 'running' })
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
      return { reason: 'verify', message: `The answer does not fit output_schema: ${found.wrong}.` }
    this.#prompts.ask('value-1', valueWrong(found.wrong, output_schema))
    return undefined
  }
}

const MAX_WHY = 2000

/** Returns the rest of the first line that begins with the word, which may be set in bold or as code; empty: there is none. */
function behind(word: string, answer: string): string {
  for (const line of answer.split('\n')) {
    const bare = line.replace(/^[*_`\s]+/, '')
    const why = bare.startsWith(word) ? bare.slice(word.length).replace(/^[*_`\s]+/, '') : ''
    if (why !== '') return why.slice(0, MAX_WHY).trim()
  }
  return ''
}
