import type { AgentUpdate, Usage } from '../../contract/agent.ts'
import { count, type JsonObject, object } from './json-rpc.ts'
import type { AcpProfile } from './profile.ts'

const none: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

/** Converts the counts of different agents to the same figures. Sums start with the process, costs with the session. */
export class UsageMeter {
  readonly #profile: AcpProfile['usage']
  /** Whether the session was loaded; its earlier cost is then unknown until the agent has reported it once. */
  readonly #loaded: boolean
  #process = none
  #session = none
  #cost: number | undefined
  #costBefore: number | undefined

  constructor(profile: AcpProfile['usage'], loaded: boolean) {
    this.#profile = profile
    this.#loaded = loaded
  }

  /** Reads a `usage_update`, whose cost is that of the session so far. */
  readUpdate(update: JsonObject): void {
    const cost = object(update.cost)
    if (typeof cost?.amount === 'number' && cost.currency === 'USD') this.#cost = Math.max(0, cost.amount)
  }

  /** Returns the usage of a turn from its answer, or undefined if the agent reported none. */
  turnEnded(answer: JsonObject): AgentUpdate | undefined {
    const usage = object(answer.usage)
    const cost = this.#turnCost()
    if (usage === undefined && cost === undefined) return undefined
    const reported = usage === undefined ? none : this.#normal(usage)
    let turn = reported
    if (this.#profile.counts === 'process') {
      turn = combined(reported, this.#process, (now, before) => Math.max(0, now - before))
      this.#process = reported
    }
    this.#session = combined(this.#session, turn, (before, now) => before + now)
    return {
      kind: 'usage',
      turn: { ...turn, ...(cost === undefined ? {} : { cost_usd: cost }) },
      session: { ...this.#session, ...(this.#cost === undefined ? {} : { cost_usd: this.#cost }) },
    }
  }

  #normal(usage: JsonObject): Usage {
    const cached = count(usage.cachedReadTokens)
    const { cachedInInput, thoughtsApart } = this.#profile
    return {
      input_tokens: cachedInInput
        ? Math.max(0, count(usage.inputTokens) - cached)
        : count(usage.inputTokens) + count(usage.cachedWriteTokens),
      cached_input_tokens: cached,
      output_tokens: count(usage.outputTokens) + (thoughtsApart ? count(usage.thoughtTokens) : 0),
    }
  }

  #turnCost(): number | undefined {
    const now = this.#cost
    const before = this.#costBefore ?? (this.#loaded ? undefined : 0)
    this.#costBefore = now
    return now === undefined || before === undefined ? undefined : Math.max(0, now - before)
  }
}

function combined(a: Usage, b: Usage, each: (a: number, b: number) => number): Usage {
  return {
    input_tokens: each(a.input_tokens, b.input_tokens),
    cached_input_tokens: each(a.cached_input_tokens, b.cached_input_tokens),
    output_tokens: each(a.output_tokens, b.output_tokens),
  }
}
