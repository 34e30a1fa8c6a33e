import type { Agent } from '../../../agents/agent.ts'
import type { AgentUpdate, AgentUpdateOf, Usage } from '../../../contract/agent.ts'
import { refusalText } from '../../../contract/isolation.ts'
import type { LogEntry } from '../../proxy/rules.ts'
import { sumLog } from '../../proxy/usage-count.ts'

export interface EndpointUsageOptions {
  agent: Pick<Agent, 'title' | 'usage'>
  /** Tells whether all requests to its models pass the endpoint. */
  counts: boolean
}

/** Share by which an agent's own token figures may differ from the count. */
const TOLERANCE = 0.05
/** Limit for hosts whose refusal is reported; a program that tries every host would fill the stream. */
const MOST_HOSTS = 20

const none: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

/**
 * Turns the log of a session box's endpoint into updates: notices of what was refused, and what the models used. The
 * endpoint's usage is a second source besides the agent's own figures, or the only one if there are none.
 */
export class EndpointUsage {
  /** Tells whether the endpoint counts what the session uses. */
  readonly counts: boolean
  readonly #agent: EndpointUsageOptions['agent']
  readonly #refused = new Set<string>()
  readonly #answers: LogEntry[] = []
  /** Requests without an answer yet. */
  readonly #open = new Map<number, LogEntry>()
  #before = none
  /** Usage of finished turns, as the agent reports it; `#reportedTurn` is that of the current turn. */
  #reportedBefore = none
  #reportedTurn: Usage | undefined
  #breach: string | undefined

  constructor({ agent, counts }: EndpointUsageOptions) {
    this.#agent = agent
    this.counts = counts
  }

  /** Text that says why the budget is used up. */
  get breach(): string | undefined {
    return this.#breach
  }

  turnBegins(): void {
    this.#before = this.#total
    if (this.#reportedTurn) this.#reportedBefore = sum(this.#reportedBefore, this.#reportedTurn)
    this.#reportedTurn = undefined
  }

  /** Records what the agent reports as used; `instead` means that the counted figures replace it. */
  agentReports({ turn }: AgentUpdateOf<'usage'>): 'beside' | 'instead' {
    this.#reportedTurn = turn
    return this.#replaces ? 'instead' : 'beside'
  }

  /** Returns the updates that follow from new lines of the endpoint; `last`: no more lines come. */
  follow(lines: readonly LogEntry[], last: boolean): AgentUpdate[] {
    const updates = lines.flatMap((line) => this.#follow(line))
    const answered = lines.some(({ type }) => type === 'answered')
    if (this.#replaces && (answered || (last && this.#open.size > 0))) updates.push(this.#usage(last))
    const difference = last ? this.#difference : undefined
    return difference === undefined ? updates : [...updates, { kind: 'notice', text: difference }]
  }

  #follow(line: LogEntry): AgentUpdate[] {
    switch (line.type) {
      case 'refused':
        return this.#isNew(line.host) ? [{ kind: 'notice', text: refusal(line) }] : []
      case 'asked':
        this.#open.set(line.id, line)
        return []
      case 'answered':
        this.#open.delete(line.id)
        this.#answers.push(line)
        return []
      case 'over_budget':
        this.#breach ??= `a request to a model was refused. ${line.message.replace(/\.$/, '')}`
        return []
      case 'used':
        return []
    }
  }

  #isNew(host: string): boolean {
    if (this.#refused.has(host) || this.#refused.size >= MOST_HOSTS) return false
    this.#refused.add(host)
    return true
  }

  /** Tells whether the agent reports less than it uses. */
  get #replaces(): boolean {
    const { usage } = this.#agent
    return this.counts && (usage === 'last_call' || usage === 'unknown')
  }

  get #total(): Usage {
    return usageOf(this.#answers)
  }

  /** Builds the usage update; the last one includes requests that were cut off. */
  #usage(last: boolean): AgentUpdate {
    const session = last ? usageOf([...this.#answers, ...this.#open.values()]) : this.#total
    const cost =
      session.cost_usd === undefined ? {} : { cost_usd: session.cost_usd - (this.#before.cost_usd ?? 0) }
    return { kind: 'usage', turn: { ...difference(session, this.#before), ...cost }, session }
  }

  get #difference(): string | undefined {
    if (!this.counts || this.#replaces || this.#open.size > 0) return undefined
    const reported = this.#reportedTurn ? sum(this.#reportedBefore, this.#reportedTurn) : undefined
    if (!reported) return undefined
    const [reportedTokens, counted] = [tokensOf(reported), tokensOf(this.#total)]
    if (Math.abs(reportedTokens - counted) <= TOLERANCE * Math.max(reportedTokens, counted)) return undefined
    return `${this.#agent.title} reports ${reportedTokens} tokens, but ${counted} were counted on the way to its models.`
  }
}

function refusal({ host, port, why }: Extract<LogEntry, { type: 'refused' }>): string {
  const where = port === 0 ? host : `${host}:${port}`
  return `The network of this run refused ${where}: ${refusalText(why)}.`
}

function usageOf(lines: readonly LogEntry[]): Usage {
  const { tokens, cost_usd, unpriced } = sumLog(lines)
  return {
    input_tokens: tokens.input + tokens.cache_write,
    cached_input_tokens: tokens.cache_read,
    output_tokens: tokens.output + tokens.reasoning,
    ...(unpriced.length > 0 ? {} : { cost_usd }),
  }
}

const tokensOf = ({ input_tokens, output_tokens }: Usage): number => input_tokens + output_tokens

const sum = (a: Usage, b: Usage): Usage => ({
  input_tokens: a.input_tokens + b.input_tokens,
  cached_input_tokens: a.cached_input_tokens + b.cached_input_tokens,
  output_tokens: a.output_tokens + b.output_tokens,
})

const difference = (a: Usage, b: Usage): Usage => ({
  input_tokens: a.input_tokens - b.input_tokens,
  cached_input_tokens: a.cached_input_tokens - b.cached_input_tokens,
  output_tokens: a.output_tokens - b.output_tokens,
})
