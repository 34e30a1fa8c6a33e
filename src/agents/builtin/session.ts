import type { AgentUpdate, AgentUpdateOf, ToolKind, Usage } from '../../contract/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { SessionRequest } from '../agent.ts'
import type { Answer, ModelCall } from './answer.ts'
import { prepare } from './builtin.ts'
import { Context, Conversation } from './conversation.ts'
import { Model } from './model.ts'
import { RetryingModel } from './retrying-model.ts'
import { type Settings, systemPrompt } from './settings.ts'
import { ToolCalls, toolbox } from './tool-calls.ts'
import { commandEnvironment } from './tools/run-command.ts'

const nothing: Usage = { input_tokens: 0, cached_input_tokens: 0, output_tokens: 0 }

export interface SessionPort {
  /**
   * Receives updates, but never `prompt`, `permission`, `permission_answered`, `turn_ended` or `idle`. `usage` comes
   * after each answer of the model: `turn` covers the turn so far, `session` everything since the session was opened.
   */
  update(update: AgentUpdate): void
  /** Asks whether a tool may be used. May take as long as a person needs. */
  permission(ask: ToolAsk): Promise<'allow' | 'deny'>
}

/** Describes a use of a tool that is about to start. */
export interface ToolAsk {
  tool_id: string
  title: string
  tool_kind: ToolKind
  /** Absolute paths with resolved links, which the tool really reads or writes. */
  paths: string[]
  /** Arguments of the tool, cut as in the tool's update. */
  input: string
}

export type TurnEnd = Omit<AgentUpdateOf<'turn_ended'>, 'kind'>

/**
 * Starts a session or resumes `request.session_id`; sends a `session` update before it returns. Aborting `signal` works
 * like `close`. Throws `invalid_argument`.
 */
export function openSession(request: SessionRequest, port: SessionPort, signal: AbortSignal): BuiltinSession {
  const prepared = prepare(request)
  if ('wrong' in prepared) throw new ErrandError('invalid_argument', prepared.wrong)
  const { settings, cwd } = prepared
  const { session_id, new_session_id, home } = request
  const loaded = session_id !== undefined
  const conversation = loaded ? Conversation.load(home) : Conversation.begin(home, new_session_id)
  port.update({
    kind: 'session',
    agent: 'builtin',
    model: settings.model,
    session_id: session_id ?? new_session_id,
    origin: loaded ? 'loaded' : 'new',
  })
  if (conversation.dropped > 0) {
    const text = `The end of the conversation's file could not be read: ${conversation.dropped} bytes are lost.`
    port.update({ kind: 'notice', text })
  }
  return new BuiltinSession({ request, settings, cwd, conversation, port, signal })
}

interface BuiltinSessionOptions {
  request: SessionRequest
  settings: Settings
  /** Real path of the request's working folder. */
  cwd: string
  conversation: Conversation
  port: SessionPort
  signal: AbortSignal
}

/** Calls the model and runs the tools it requests, in a loop until it requests none. */
export class BuiltinSession {
  readonly #conversation: Conversation
  readonly #model: RetryingModel
  readonly #tools: ToolCalls
  readonly #system: string
  readonly #mostAnswers: number
  readonly #update: (update: AgentUpdate) => void
  readonly #closed = new AbortController()
  readonly #ended: AbortSignal
  #turn: Promise<TurnEnd> | undefined
  #sessionUsage = nothing

  constructor({ request, settings, cwd, conversation, port, signal }: BuiltinSessionOptions) {
    this.#conversation = conversation
    this.#update = (update) => port.update(update)
    const context = new Context(settings.contextChars)
    this.#model = new RetryingModel(new Model(settings, toolbox), context, settings.retries, this.#update)
    const env = commandEnvironment(process.env, request.env)
    this.#tools = new ToolCalls({
      cwd,
      ask: request.ask,
      asksReading: request.asks_reading === true,
      env,
      tools: toolbox,
      port,
    })
    this.#system = systemPrompt(cwd)
    this.#mostAnswers = request.max_turns ?? Number.POSITIVE_INFINITY
    this.#ended = AbortSignal.any([this.#closed.signal, signal])
    signal.addEventListener('abort', () => void this.close(), { once: true, signal: this.#closed.signal })
  }

  /**
   * Runs one turn until the model is done. Must not be called during another turn. Aborting `signal` ends it with
   * `canceled`, after everything that it started has ended. Never rejects; an error is also a `TurnEnd`.
   */
  async prompt(text: string, signal: AbortSignal): Promise<TurnEnd> {
    const turn = this.#runPrompt(text, AbortSignal.any([this.#ended, signal])).catch(
      (error: Error): TurnEnd => ({ stop_reason: 'error', message: error.message }),
    )
    this.#turn = turn
    return await turn
  }

  /**
   * Ends the current turn like an abort, and waits for its end. May be called twice. The session can be loaded again.
   */
  async close(): Promise<void> {
    this.#closed.abort()
    await this.#turn
    this.#conversation.close()
  }

  async #runPrompt(text: string, signal: AbortSignal): Promise<TurnEnd> {
    if (signal.aborted) return { stop_reason: 'canceled' }
    this.#conversation.add({ role: 'user', content: text })
    let usage = nothing
    for (let answers = 0; answers < this.#mostAnswers; answers++) {
      const reply = await this.#model.ask(this.#system, this.#conversation.messages, signal)
      const { answer } = reply
      if (answer.usage !== undefined) {
        usage = sum(usage, answer.usage)
        this.#sessionUsage = sum(this.#sessionUsage, answer.usage)
        this.#update({ kind: 'usage', turn: usage, session: this.#sessionUsage })
      }
      if (reply.type !== 'answered') {
        // Text that was shown stays part of the conversation.
        if (answer.text !== '') this.#conversation.add({ role: 'assistant', content: answer.text })
        if (reply.type === 'canceled') return { stop_reason: 'canceled' }
        const { message, failure } = reply.failure
        return { stop_reason: 'error', message, failure }
      }
      const end = await this.#answered(answer, signal)
      if (end !== undefined) return end
    }
    return { stop_reason: 'max_turns', message: `The model was asked ${this.#mostAnswers} times.` }
  }

  /** Handles a complete answer. Returns the end of the turn, or undefined if the model must continue. */
  async #answered(answer: Answer, signal: AbortSignal): Promise<TurnEnd | undefined> {
    const { text, finish } = answer
    // Calls in an answer that was cut off are ignored.
    const calls = finish === 'stop' ? answer.calls.map((call, index) => this.#named(call, index)) : []
    this.#conversation.add({
      role: 'assistant',
      content: calls.length > 0 && text === '' ? null : text,
      ...(calls.length === 0 ? {} : { tool_calls: calls.map(toolCall) }),
    })
    if (finish === 'length')
      return { stop_reason: 'max_tokens', message: 'The answer reached the token limit.' }
    if (finish === 'refusal') return { stop_reason: 'refusal' }
    if (calls.length === 0) return { stop_reason: 'end_turn' }
    // Run them one after another, since later calls depend on earlier ones.
    for (const call of calls) {
      if (signal.aborted) break
      const result = await this.#tools.run(call, signal)
      this.#conversation.add({ role: 'tool', tool_call_id: call.id, content: result })
    }
    if (!signal.aborted) return undefined
    this.#conversation.answerOpenCalls()
    return { stop_reason: 'canceled' }
  }

  /** Returns the call with an id that no other call of the session has. */
  #named(call: ModelCall, index: number): ModelCall {
    const { messages } = this.#conversation
    const known = messages.flatMap((each) => (each.role === 'tool' ? [each.tool_call_id] : []))
    const fresh = call.id !== '' && !known.includes(call.id)
    return fresh ? call : { ...call, id: `call_${messages.length}_${index}` }
  }
}

/** Returns a call in the form sent back to the model; services reject arguments that are not a JSON object. */
function toolCall({ id, name, arguments: args }: ModelCall) {
  return { id, type: 'function' as const, function: { name, arguments: isJsonObject(args) ? args : '{}' } }
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
  } catch {
    return false
  }
}

function sum(a: Usage, b: Usage): Usage {
  return {
    input_tokens: a.input_tokens + b.input_tokens,
    cached_input_tokens: a.cached_input_tokens + b.cached_input_tokens,
    output_tokens: a.output_tokens + b.output_tokens,
  }
}
