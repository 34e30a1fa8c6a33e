import type { AgentUpdateOf, ModelFailure, Usage } from '../../contract/agent.ts'
import { count, type JsonObject, object, objects, parsedObject, string } from '../acp/json-rpc.ts'
import { present } from '../acp/session-updates.ts'
import type { ProtocolPort } from '../agent.ts'
import { failureOfStatus, modelFailureOf } from '../failure.ts'
import { toolOfItem, UnseenCalls } from './items.ts'
import type { Approvals } from './protocol.ts'

/** Waits for the network before a turn ends, about 40 seconds in all; codex itself would wait forever. */
const MOST_WAITS = 4

type PlanStatus = AgentUpdateOf<'plan'>['entries'][number]['status']
const planStatuses: Record<string, PlanStatus> = { inProgress: 'in_progress', completed: 'completed' }

/** Reports the events of a thread as updates. */
export class ThreadEvents {
  readonly #port: ProtocolPort
  readonly #approvals: Approvals
  readonly #usage = new CodexUsage()
  readonly #unseen = new UnseenCalls()
  /** Ids of messages and thoughts that came in pieces. */
  readonly #streamed = new Set<string>()
  readonly #running = new Set<string>()
  #waits = 0

  constructor(port: ProtocolPort, approvals: Approvals) {
    this.#port = port
    this.#approvals = approvals
  }

  turnBegins(): void {
    this.#usage.turnBegins()
    this.#streamed.clear()
    this.#running.clear()
    this.#waits = 0
  }

  /** Reports running tools as failed, since codex sends nothing more about tools that were cut off. */
  turnBroken(): void {
    for (const tool_id of this.#running) this.#port.update({ kind: 'tool', tool_id, status: 'failed' })
  }

  /** Takes the tokens that a thread had used before it was resumed. */
  tokensBefore(params: JsonObject): void {
    this.#usage.restoreUsage(string(params.threadId) ?? '', object(params.tokenUsage) ?? {})
  }

  /** Takes an event. Returns an error if it is useless to wait until codex gives up. */
  take(method: string, params: JsonObject, ours: boolean): CodexError | undefined {
    if (method === 'error') return ours ? this.#error(params) : undefined
    if (method.startsWith('item/')) this.#waits = 0
    const item = object(params.item)
    if (method === 'item/started' && item !== undefined) this.#item(item, false, ours)
    else if (method === 'item/completed' && item !== undefined) this.#item(item, true, ours)
    else if (method === 'rawResponseItem/completed' && item !== undefined) this.#tool(this.#unseen.raw(item))
    else if (method === 'thread/tokenUsage/updated')
      this.#port.update(this.#usage.reported(string(params.threadId) ?? '', object(params.tokenUsage) ?? {}))
    else if (method === 'serverRequest/resolved') this.#approvals.resolved(params.requestId)
    else if (ours) this.#text(method, params)
    return undefined
  }

  #text(method: string, params: JsonObject): void {
    const delta = string(params.delta)
    const itemId = string(params.itemId) ?? ''
    if (method === 'item/agentMessage/delta' && delta !== undefined) this.#delta('message', itemId, delta)
    else if (/^item\/reasoning\/(summaryT|t)extDelta$/.test(method) && delta !== undefined)
      this.#delta('thought', itemId, delta)
    else if (method === 'item/reasoning/summaryPartAdded' && this.#streamed.has(itemId))
      this.#delta('thought', itemId, '\n\n')
    else if (method === 'turn/plan/updated')
      this.#port.update({
        kind: 'plan',
        entries: objects(params.plan).map(({ step, status }) => ({
          text: string(step) ?? '',
          status: planStatuses[string(status) ?? ''] ?? 'pending',
        })),
      })
    else if (method === 'warning')
      this.#port.update({ kind: 'notice', text: string(params.message) ?? 'Warning' })
    else if (method === 'model/rerouted')
      this.#port.update({ kind: 'notice', text: `The model is now ${string(params.toModel)}.` })
  }

  #delta(kind: 'message' | 'thought', itemId: string, text: string): void {
    this.#streamed.add(itemId)
    if (text !== '') this.#port.update({ kind, text })
  }

  #item(item: JsonObject, ended: boolean, ours: boolean): void {
    this.#unseen.seen(string(item.id) ?? '')
    this.#tool(toolOfItem(item, ended))
    if (!ended || !ours || this.#streamed.has(string(item.id) ?? '')) return
    const summary = Array.isArray(item.summary) ? item.summary.filter((each) => typeof each === 'string') : []
    const text = item.type === 'reasoning' ? summary.join('\n\n') : (string(item.text) ?? '')
    if (item.type === 'contextCompaction')
      this.#port.update({ kind: 'notice', text: 'The conversation so far was summarized to make room.' })
    else if (text === '') return
    else if (item.type === 'agentMessage') this.#port.update({ kind: 'message', text })
    else if (item.type === 'reasoning') this.#port.update({ kind: 'thought', text })
  }

  #tool(tool: AgentUpdateOf<'tool'> | undefined): void {
    if (tool === undefined) return
    this.#approvals.tool(tool)
    if (tool.status === 'running') this.#running.add(tool.tool_id)
    else this.#running.delete(tool.tool_id)
    this.#port.update(tool)
  }

  #error(params: JsonObject): CodexError | undefined {
    const error = object(params.error) ?? {}
    if (params.willRetry !== true) return undefined // the end of the turn reports it
    const failure = codexError(error)
    const attempt = retryNumber(error)
    this.#waits = attempt === undefined ? this.#waits + 1 : this.#waits
    this.#port.update(present({ kind: 'retry', ...failure, attempt: attempt ?? this.#waits }))
    return this.#waits >= MOST_WAITS ? failure : undefined
  }
}

const none: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

/** Converts codex's counts, which cover a whole thread, even a resumed one; a subagent's thread counts separately. */
class CodexUsage {
  readonly #threads = new Map<string, Usage>()
  #turn = none

  turnBegins(): void {
    this.#turn = none
  }

  /** Takes the usage of an earlier turn, which comes once, at any time, when a thread is resumed. */
  restoreUsage(threadId: string, usage: JsonObject): void {
    this.#threads.set(threadId, normal(object(usage.total) ?? {}))
  }

  /** Takes a `thread/tokenUsage/updated` and returns its update. */
  reported(threadId: string, usage: JsonObject): AgentUpdateOf<'usage'> {
    const total = normal(object(usage.total) ?? {})
    // In a resumed thread, only the last call is new.
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

const named: Record<string, ModelFailure> = {
  unauthorized: 'auth',
  usageLimitExceeded: 'rate_limit',
  rateLimitExceeded: 'rate_limit',
  serverOverloaded: 'overloaded',
  flexUnavailable: 'overloaded',
  policyCapacityUnavailable: 'overloaded',
  internalServerError: 'server_error',
  modelNotFound: 'bad_model',
  contextWindowExceeded: 'other',
  cyberPolicy: 'other',
  misalignmentPolicyViolation: 'other',
}

interface CodexError {
  message: string
  failure: ModelFailure
}

/** Converts an `error` of codex, whose message is sometimes the whole body of the service's answer. */
export function codexError(error: JsonObject): CodexError {
  const more = string(error.additionalDetails)
  const detail = more ?? string(error.message) ?? 'unknown error'
  const body = object(parsedObject(detail)?.error)
  const message = string(body?.message) ?? detail
  return { message, failure: failureOf(error.codexErrorInfo, message) }
}

function failureOf(info: unknown, message: string): ModelFailure {
  if (typeof info === 'string' && named[info] !== undefined) return named[info]
  const [detail] = Object.values(object(info) ?? {})
  const status = object(detail)?.httpStatusCode
  if (typeof status === 'number') return failureOfStatus(status)
  // Codex appends the same cause to both messages, so their beginning decides.
  if (/^stream disconnected/i.test(message)) return 'broken_stream'
  if (/^connection failed/i.test(message)) return 'unreachable'
  if (/high demand/i.test(message)) return 'server_error'
  return modelFailureOf(message)
}

/** Returns the number of the retry in `Reconnecting... 2/3`; undefined if codex would retry forever. */
function retryNumber(error: JsonObject): number | undefined {
  const match = /(\d+)\/\d+/.exec(string(error.message) ?? '')
  return match === null ? undefined : Number(match[1])
}
