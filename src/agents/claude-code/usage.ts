import type { AgentUpdateOf, Usage } from '../../contract/agent.ts'
import { count, type JsonObject, object } from '../acp/json-shape.ts'

const none: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

/** Live figures from the calls of the model while a turn lasts; at its end the program's own, which count all. */
export class ClaudeUsage {
  #before = none
  #turn = none
  /** Of the call under way, by the agent that makes it. */
  readonly #calls = new Map<string, Usage>()

  turnBegins(): void {
    this.#turn = none
    this.#calls.clear()
  }

  /** The event of a stream: figures come with its beginning and its end. */
  event(agent: string, event: JsonObject): AgentUpdateOf<'usage'> | undefined {
    if (event.type === 'message_start')
      this.#calls.set(agent, ofCall(object(object(event.message)?.usage) ?? {}))
    const call = this.#calls.get(agent)
    if (event.type !== 'message_delta' || call === undefined) return undefined
    this.#calls.delete(agent)
    const output = count(object(event.usage)?.output_tokens)
    this.#turn = plus(this.#turn, { ...call, output_tokens: Math.max(call.output_tokens, output) })
    return { kind: 'usage', turn: this.#turn, session: plus(this.#before, this.#turn) }
  }

  result(result: JsonObject): AgentUpdateOf<'usage'> {
    const since = object(result.model_usage_since_last_result)
    // Cumulates over a session, resumed or not.
    const session = ofModels(object(result.modelUsage) ?? {})
    const turn = since === undefined ? ofCall(object(result.usage) ?? {}) : ofModels(since)
    this.#before = session
    return { kind: 'usage', turn, session }
  }
}

const ofCall = (usage: JsonObject): Usage => ({
  input_tokens: count(usage.input_tokens) + count(usage.cache_creation_input_tokens),
  cached_input_tokens: count(usage.cache_read_input_tokens),
  output_tokens: count(usage.output_tokens),
})

function ofModels(models: JsonObject): Usage {
  return Object.values(models)
    .map((each) => object(each) ?? {})
    .reduce<Usage>(
      (sum, model) => ({
        input_tokens: sum.input_tokens + count(model.inputTokens) + count(model.cacheCreationInputTokens),
        cached_input_tokens: sum.cached_input_tokens + count(model.cacheReadInputTokens),
        output_tokens: sum.output_tokens + count(model.outputTokens),
        cost_usd: (sum.cost_usd ?? 0) + count(model.costUSD),
      }),
      { ...none, cost_usd: 0 },
    )
}

const plus = (a: Usage, b: Usage): Usage => ({
  input_tokens: a.input_tokens + b.input_tokens,
  cached_input_tokens: a.cached_input_tokens + b.cached_input_tokens,
  output_tokens: a.output_tokens + b.output_tokens,
})
