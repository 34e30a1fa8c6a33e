import type { AgentUpdateOf, Usage } from '../../contract/agent.ts'
import { count, type JsonObject, object } from '../acp/json-shape.ts'

const none: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

/** Codex counts over a thread, resumed or not; a thread of an agent below it counts by itself. */
export class CodexUsage {
  readonly #threads = new Map<string, Usage>()
  #turn = none

  turnBegins(): void {
    this.#turn = none
  }

  /** The same of a turn that is over: it comes once, late or early, when a thread is resumed. */
  toldBefore(threadId: string, usage: JsonObject): void {
    this.#threads.set(threadId, normal(object(usage.total) ?? {}))
  }

  /** `thread/tokenUsage/updated`. */
  told(threadId: string, usage: JsonObject): AgentUpdateOf<'usage'> {
    const total = normal(object(usage.total) ?? {})
    // Of a resumed thread only the last call is new.
    const before = this.#threads.get(threadId) ?? minus(total, normal(object(usage.last) ?? {}))
    this.#threads.set(threadId, total)
    this.#turn = plus(this.#turn, minus(total, before))
    return { kind: 'usage', turn: this.#turn, session: [...this.#threads.values()].reduce(plus, none) }
  }
}

function normal(usage: JsonObject): Usage {
  const cached = count(usage.cachedInputTokens)
  return {
    input_tokens: Math.max(0, count(usage.inputTokens) - cached),
    cached_input_tokens: cached,
    output_tokens: count(usage.outputTokens),
  }
}

const combined = (a: Usage, b: Usage, each: (a: number, b: number) => number): Usage => ({
  input_tokens: each(a.input_tokens, b.input_tokens),
  cached_input_tokens: each(a.cached_input_tokens, b.cached_input_tokens),
  output_tokens: each(a.output_tokens, b.output_tokens),
})
const plus = (a: Usage, b: Usage) => combined(a, b, (x, y) => x + y)
const minus = (a: Usage, b: Usage) => combined(a, b, (x, y) => Math.max(0, x - y))
