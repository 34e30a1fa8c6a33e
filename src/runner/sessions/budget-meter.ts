import type { Agent } from '../../agents/agent.ts'
import type { AgentUpdate, AgentUpdateOf, Budget, Usage } from '../../contract/agent.ts'
import { ErrandError } from '../../contract/errors.ts'

const explanations: Record<Exclude<Agent['usage'], 'each_call'>, string> = {
  each_turn: 'reports the tokens that it used only at the end of a turn',
  last_call: 'reports only the tokens of the last call of its model',
  unknown: 'is not known to report the tokens of each call of its model',
}

/**
 * Checks a budget. Throws `invalid_argument` if the agent's own figures cannot enforce it: the budget would be exceeded
 * unnoticed.
 */
export function checkBudget({ title, usage }: Pick<Agent, 'title' | 'usage'>, { tokens }: Budget): void {
  if (tokens === undefined || usage === 'each_call') return
  throw new ErrandError(
    'invalid_argument',
    `budget.tokens cannot be enforced: ${title} ${explanations[usage]}, so it could exceed ${tokens} tokens many times over unnoticed.`,
    { hint: 'Set budget.turns or budget.seconds, or use claude_code, codex or builtin.' },
  )
}

const none: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

/**
 * Counts what a session uses. Its tokens are uncached input and output. Rounds of the model are counted as far as the
 * agent shows them: anything it says or does after its tools have ended is a new round.
 */
export class BudgetMeter {
  readonly #budget: Budget
  #before = { tokens: 0, cost: 0 }
  #turn: Usage = none
  #rounds = 0
  #toolsOpen = new Set<string>()
  #afterTools = true
  #breach: string | undefined
  #lacksCost = false

  constructor(budget: Budget) {
    this.#budget = budget
  }

  /** Text that says which limit was reached first. */
  get breach(): string | undefined {
    return this.#breach
  }

  turnBegins(): void {
    this.#before = { tokens: this.#tokens, cost: this.#cost }
    this.#turn = none
    this.#toolsOpen.clear()
    this.#afterTools = true
  }

  follow(update: AgentUpdate): void {
    if (update.kind === 'usage') this.#turn = update.turn
    else if (update.kind === 'tool') this.#tool(update.tool_id, update.status)
    else if (update.kind === 'message' || update.kind === 'thought') this.#works()
    this.#breach ??= this.#reached()
  }

  /** Reports, once, that the cost cannot be limited because the agent does not report it. */
  findsNoCost({ turn }: AgentUpdateOf<'usage'>): boolean {
    if (this.#budget.cost_usd === undefined || turn.cost_usd !== undefined || this.#lacksCost) return false
    this.#lacksCost = true
    return true
  }

  #reached(): string | undefined {
    const { tokens, cost_usd, turns } = this.#budget
    if (tokens !== undefined && this.#tokens >= tokens) return `${this.#tokens} of ${tokens} tokens are used`
    if (cost_usd !== undefined && this.#cost >= cost_usd)
      return `$${this.#cost.toFixed(4)} of $${cost_usd} is spent`
    if (turns !== undefined && this.#rounds > turns) return `the model has used its ${turns} turns`
    return undefined
  }

  get #tokens(): number {
    return this.#before.tokens + this.#turn.input_tokens + this.#turn.output_tokens
  }

  get #cost(): number {
    return this.#before.cost + (this.#turn.cost_usd ?? 0)
  }

  #tool(id: string, status: string | undefined): void {
    const over = status === 'completed' || status === 'failed' || status === 'denied'
    if (!over) {
      if (!this.#toolsOpen.has(id)) this.#works()
      this.#toolsOpen.add(id)
      return
    }
    if (!this.#toolsOpen.delete(id)) this.#works()
    this.#afterTools = this.#toolsOpen.size === 0
  }

  #works(): void {
    if (this.#afterTools) this.#rounds++
    this.#afterTools = false
  }
}
