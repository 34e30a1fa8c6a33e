import { type Counted, costOf, type Price } from './prices.ts'
import type { EndpointRules } from './rules.ts'
import { budgetTokens } from './usage-count.ts'

export type Limits = EndpointRules['budget']

/** Limits of what one request may use. */
export interface Need {
  /** Input tokens, estimated from its bytes. */
  input: number
  /** Limit of output tokens that it sets for the model; undefined if it sets none. */
  output: number | undefined
  /** Price of the model; undefined if unknown. */
  price: Price | undefined
}

/** Says whether a request may go, and with what limit of output tokens if that is less than it wants. */
export type Leave =
  | { type: 'go'; output: number | undefined; done(tokens: Counted): void }
  | { type: 'refused'; message: string }
  | { type: 'gone' }

interface Use {
  tokens: number
  cost: number
}

interface Waiting {
  limits: Limits
  need: Need
  decide(leave: Leave): void
}

/**
 * Enforces the budget of all requests of one endpoint together. The most that a request can use is reserved before it
 * goes, so at most one answer exceeds the budget. A request that does not fit beside those in progress waits for them,
 * in order, and then goes alone with what is left.
 */
export class ModelBudget {
  readonly spent: Use
  readonly #aside: Use = { tokens: 0, cost: 0 }
  #underWay = 0
  #waiting: Waiting[] = []

  constructor(spent: Use) {
    this.spent = { ...spent }
  }

  /** Resolves once the decision is made. If the signal comes first, the request leaves the queue. */
  enter(limits: Limits, need: Need, signal: AbortSignal): Promise<Leave> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve({ type: 'gone' })
      const leave = () => {
        this.#waiting = this.#waiting.filter((each) => each !== waiting)
        resolve({ type: 'gone' })
        this.#next()
      }
      const waiting: Waiting = {
        limits,
        need,
        decide: (decided) => {
          signal.removeEventListener('abort', leave)
          resolve(decided)
        },
      }
      signal.addEventListener('abort', leave, { once: true })
      this.#waiting.push(waiting)
      this.#next()
    })
  }

  #next(): void {
    for (let first = this.#waiting[0]; first !== undefined; first = this.#waiting[0]) {
      const leave = this.#decided(first)
      if (leave === undefined) return
      this.#waiting.shift()
      first.decide(leave)
    }
  }

  /** Decides on a request; undefined if it has to wait. */
  #decided({ limits, need }: Waiting): Leave | undefined {
    const message = this.#usedUp(limits)
    if (message !== undefined) return { type: 'refused', message }
    const most = useOf(need, need.output ?? Number.POSITIVE_INFINITY)
    if (this.#fits(limits, most)) return this.#go(most, need, need.output)
    if (this.#underWay > 0) return undefined
    const left = this.#outputLeft(limits, need.price)
    const output = need.output === undefined ? undefined : Math.min(need.output, left)
    return this.#go(useOf(need, output ?? left), need, output)
  }

  #usedUp({ tokens, cost_usd }: Limits): string | undefined {
    if (tokens !== undefined && this.spent.tokens >= tokens)
      return `The run's budget of ${tokens} tokens is used up (${this.spent.tokens} used).`
    if (cost_usd !== undefined && this.spent.cost >= cost_usd)
      return `The run's budget of $${cost_usd} is used up ($${this.spent.cost.toFixed(4)} spent).`
    return undefined
  }

  #fits({ tokens, cost_usd }: Limits, { tokens: more, cost }: Use): boolean {
    const has = (limit: number | undefined, sum: number) => limit === undefined || sum <= limit
    return (
      has(tokens, this.spent.tokens + this.#aside.tokens + more) &&
      has(cost_usd, this.spent.cost + this.#aside.cost + cost)
    )
  }

  /**
   * Returns the output limit for a request that goes alone, at least 1. Its input is not deducted: most of it may be in
   * a cache, and an answer cut because of an estimate would end a run that has enough.
   */
  #outputLeft({ tokens, cost_usd }: Limits, price: Price | undefined): number {
    const byTokens = tokens === undefined ? Number.POSITIVE_INFINITY : tokens - this.spent.tokens
    const rate = price?.output ?? 0
    const byCost =
      cost_usd === undefined || rate === 0
        ? Number.POSITIVE_INFINITY
        : ((cost_usd - this.spent.cost) / rate) * 1_000_000
    return Math.max(1, Math.floor(Math.min(byTokens, byCost)))
  }

  #go(aside: Use, { price }: Need, output: number | undefined): Leave {
    this.#underWay++
    // An infinite value comes from an endpoint without that limit.
    const stored = {
      tokens: Number.isFinite(aside.tokens) ? aside.tokens : 0,
      cost: Number.isFinite(aside.cost) ? aside.cost : 0,
    }
    this.#aside.tokens += stored.tokens
    this.#aside.cost += stored.cost
    let over = false
    const done = (used: Counted) => {
      if (over) return
      over = true
      this.#underWay--
      this.#aside.tokens -= stored.tokens
      this.#aside.cost -= stored.cost
      // Sums of fractions drift.
      if (this.#underWay === 0) this.#aside.cost = 0
      this.spent.tokens += budgetTokens(used)
      this.spent.cost += price === undefined ? 0 : costOf(price, used)
      this.#next()
    }
    return { type: 'go', output, done }
  }
}

function useOf({ input, price }: Need, output: number): Use {
  const tokens = { input, output, cache_read: 0, cache_write: 0, reasoning: 0 }
  const cost = price === undefined ? 0 : costOf(price, tokens)
  // Infinite output at no cost gives NaN.
  return { tokens: input + output, cost: Number.isNaN(cost) ? 0 : cost }
}
