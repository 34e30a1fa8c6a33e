import type { AgentPlan } from '../ports.ts'
import { valueWanted } from './answer-value.ts'

export interface Prompt {
  id: string
  text: string
  /** What the agent is told, where that is more. */
  whole?: string
  /** By a person or program, while the session ran. */
  given: boolean
}

/** What the agent is still to be told, in order. */
export class PromptQueue {
  readonly #prompts: Prompt[]

  /** The step's own comes first. */
  constructor({ prompt, output_schema }: AgentPlan) {
    const whole = output_schema && prompt + valueWanted(output_schema)
    this.#prompts = [{ id: 'first', text: prompt, whole, given: false }]
  }

  get empty(): boolean {
    return this.#prompts.length === 0
  }

  give(id: string, text: string): void {
    this.#prompts.push({ id, text, given: true })
  }

  /** Before all others: what was asked for is not done yet. */
  ask(id: string, text: string): void {
    this.#prompts.unshift({ id, text, given: false })
  }

  take(): Prompt | undefined {
    return this.#prompts.shift()
  }
}
