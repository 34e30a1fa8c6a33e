import type { AgentUpdateOf, Usage } from '../../contract/agent.ts'
import { count, type JsonObject, object, objects, string } from '../acp/json-rpc.ts'
import { present } from '../acp/session-updates.ts'
import type { ProtocolPort } from '../agent.ts'
import { planOf, toolParts, toolResults } from './tools.ts'

/** Reports messages of the model and its tools as updates; for subagents, only their tools. */
export class Messages {
  readonly #port: ProtocolPort
  readonly #usage: ClaudeUsage
  /** Messages whose text came in pieces; the whole text follows once more. */
  readonly #streamed = new Set<string>()
  /** Id of the message whose pieces are arriving. */
  #streaming = ''
  readonly #denied = new Set<string>()
  /** Name of the last error of the model's service. */
  errorName: unknown

  constructor(port: ProtocolPort, usage: ClaudeUsage) {
    this.#port = port
    this.#usage = usage
  }

  turnBegins(): void {
    this.#streamed.clear()
    this.#streaming = ''
    this.#denied.clear()
    this.errorName = undefined
  }

  /** Takes a `stream_event`. */
  event(line: JsonObject): void {
    const event = object(line.event) ?? {}
    const agent = string(line.parent_tool_use_id) ?? ''
    const usage = this.#usage.event(agent, event)
    if (usage !== undefined) this.#port.update(usage)
    if (agent !== '') return
    if (event.type === 'message_start') this.#streaming = string(object(event.message)?.id) ?? ''
    if (event.type === 'message_stop') this.#streaming = ''
    const delta = object(event.delta)
    const message = delta?.type === 'text_delta' ? string(delta.text) : undefined
    const thought = delta?.type === 'thinking_delta' ? string(delta.thinking) : undefined
    if (message === undefined && thought === undefined) return
    this.#streamed.add(this.#streaming)
    if (message) this.#port.update({ kind: 'message', text: message })
    if (thought) this.#port.update({ kind: 'thought', text: thought })
  }

  /** Takes an `assistant` line, which has whole blocks of a message. */
  assistant(line: JsonObject): void {
    if (line.is_api_error_message === true) {
      this.errorName = line.error // the result repeats its text
      return
    }
    const message = object(line.message) ?? {}
    const known = this.#streamed.has(string(message.id) ?? '') || typeof line.parent_tool_use_id === 'string'
    for (const block of objects(message.content)) {
      if (block.type === 'tool_use') this.#tool(block)
      const [text, thought] = [string(block.text), string(block.thinking)]
      if (!known && block.type === 'text' && text) this.#port.update({ kind: 'message', text })
      if (!known && block.type === 'thinking' && thought)
        this.#port.update({ kind: 'thought', text: thought })
    }
  }

  /** Takes a `user` line, which has the results of tools. */
  user(line: JsonObject): void {
    for (const tool of toolResults(line)) {
      if (tool.status === 'denied') this.#denied.add(tool.tool_id)
      this.#port.update(tool)
    }
  }

  /** Reports the denied tools that a `result` names; some of their own results do not say that they were denied. */
  denials(result: JsonObject): void {
    for (const { tool_use_id } of objects(result.permission_denials)) {
      const tool_id = string(tool_use_id)
      if (tool_id !== undefined && !this.#denied.has(tool_id))
        this.#port.update({ kind: 'tool', tool_id, status: 'denied' })
    }
  }

  /** Whether a message has started and not ended. */
  get midMessage(): boolean {
    return this.#streaming !== ''
  }

  #tool(block: JsonObject): void {
    const name = string(block.name) ?? 'tool'
    const input = object(block.input) ?? {}
    const tool_id = string(block.id) ?? ''
    this.#port.update(present({ kind: 'tool', tool_id, status: 'running', ...toolParts(name, input) }))
    const plan = planOf(name, input)
    if (plan !== undefined) this.#port.update(plan)
  }
}

const none: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

/** Counts tokens from the calls of the model during a turn; at its end takes the program's own totals. */
export class ClaudeUsage {
  #before = none
  #turn = none
  /** Usage of the current call of each agent. */
  readonly #calls = new Map<string, Usage>()

  turnBegins(): void {
    this.#turn = none
    this.#calls.clear()
  }

  /** Takes a stream event; the events at the start and end of a call have figures. */
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
    // This is cumulative over a session, even a resumed one.
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
