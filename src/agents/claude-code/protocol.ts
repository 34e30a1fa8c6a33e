import type { AgentModel, AgentUpdateOf, ModelFailure } from '../../contract/agent.ts'
import { attachmentKind } from '../../contract/attachment-kind.ts'
import { count, type JsonObject, object, objects, parsedObject, string } from '../acp/json-rpc.ts'
import { present } from '../acp/session-updates.ts'
import type { AgentProtocol, Attached, ProtocolPort, SessionRequest } from '../agent.ts'
import { endingText, failureOfStatus, modelFailureOf } from '../failure.ts'
import { ClaudeUsage, Messages } from './messages.ts'
import { Questions } from './tools.ts'

const INITIALIZE = 'errand-initialize'

/**
 * Conducts a conversation with `claude -p` in JSON lines in both directions. Phases: `starting` until the answer to
 * `initialize`, then `idle`; a prompt leads to `turn`, its `result` back to `idle`; a failed start or the end of the
 * process leads to `over`.
 */
export class ClaudeProtocol implements AgentProtocol {
  readonly takesReasons = true
  readonly #request: SessionRequest
  readonly #port: ProtocolPort
  readonly #questions: Questions
  readonly #messages: Messages
  readonly #usage = new ClaudeUsage()
  #phase: 'starting' | 'idle' | 'turn' | 'over' = 'starting'
  #canceling = false
  #interrupts = 0
  readonly #switches = new Map<string, (refused?: string) => void>()
  #switched = 0
  #models: AgentModel[] = []
  #version: string | undefined

  constructor(request: SessionRequest, port: ProtocolPort) {
    this.#request = request
    this.#port = port
    this.#questions = new Questions(request.ask, port)
    this.#messages = new Messages(port, this.#usage)
  }

  begin(): void {
    this.#control(INITIALIZE, { subtype: 'initialize', hooks: null })
  }

  line(text: string): void {
    if (this.#phase === 'over') return
    const line = parsedObject(text)
    if (line !== undefined) this.#lines[string(line.type) ?? '']?.(line)
  }

  prompt(text: string, attached: readonly Attached[] = []): void {
    if (this.#phase !== 'idle') return
    this.#phase = 'turn'
    this.#canceling = false
    this.#usage.turnBegins()
    this.#messages.turnBegins()
    const message = { role: 'user', content: [...attached.map(block), { type: 'text', text }] }
    this.#send({ type: 'user', session_id: '', message, parent_tool_use_id: null })
  }

  answer(requestId: string, decision: 'allow' | 'deny', reason?: string, input?: string): void {
    this.#questions.answer(requestId, decision, reason, input)
  }

  setModel(model: string, done: (refused?: string) => void): void {
    const id = `errand-model-${++this.#switched}`
    this.#switches.set(id, done)
    this.#control(id, { subtype: 'set_model', model })
  }

  cancelTurn(): void {
    if (this.#phase !== 'turn' || this.#canceling) return
    this.#canceling = true
    this.#control(`errand-interrupt-${++this.#interrupts}`, { subtype: 'interrupt' })
  }

  exited(exit: { code?: number; signal?: string; stderr: string }): void {
    const message = endingText('Claude Code', exit)
    if (this.#phase === 'starting') this.#failed(message)
    if (this.#phase === 'turn')
      this.#port.update({
        kind: 'turn_ended',
        ...(this.#canceling ? { stop_reason: 'canceled' } : { stop_reason: 'error', message }),
      })
    this.#phase = 'over'
  }

  readonly #lines: Record<string, (line: JsonObject) => void> = {
    control_response: (line) => this.#answered(object(line.response) ?? {}),
    control_request: (line) => this.#questions.handleRequest(line),
    control_cancel_request: (line) => this.#questions.withdrawn(line),
    system: (line) => this.#system(line),
    stream_event: (line) => this.#messages.event(line),
    assistant: (line) => this.#messages.assistant(line),
    user: (line) => this.#messages.user(line),
    result: (line) => this.#result(line),
  }

  #answered(response: JsonObject): void {
    const id = string(response.request_id) ?? ''
    const switched = this.#switches.get(id)
    if (switched !== undefined) {
      this.#switches.delete(id)
      switched(response.subtype === 'success' ? undefined : (string(response.error) ?? 'no reason given'))
      return
    }
    if (this.#phase !== 'starting' || response.request_id !== INITIALIZE) return
    if (response.subtype !== 'success') {
      this.#failed(`Claude Code refused to start: ${string(response.error) ?? 'no reason given'}`)
      return
    }
    this.#models = objects(object(response.response)?.models).flatMap(({ value, displayName }) => {
      const id = string(value)
      return id === undefined ? [] : [present({ id, name: string(displayName) })]
    })
    const { session_id, new_session_id, fork } = this.#request
    this.#session({
      session_id: fork ? new_session_id : (session_id ?? new_session_id),
      model: this.#request.model,
    })
    this.#phase = 'idle'
    this.#port.ready()
  }

  #system(line: JsonObject): void {
    const content = string(line.content)
    if (line.subtype === 'init') this.#reported(line)
    else if (line.subtype === 'api_retry') this.#retry(line)
    else if (line.subtype === 'compact_boundary')
      this.#port.update({ kind: 'notice', text: 'The conversation so far was summarized to make room.' })
    else if (line.subtype === 'informational' && content) this.#port.update({ kind: 'notice', text: content })
  }

  /** Takes the `init` line of a turn; the first one has facts that were unknown before. */
  #reported(line: JsonObject): void {
    if (this.#version !== undefined) return
    this.#version = string(line.claude_code_version) ?? ''
    this.#session({ session_id: string(line.session_id), model: string(line.model), version: this.#version })
  }

  #session(known: Pick<AgentUpdateOf<'session'>, 'session_id' | 'model' | 'version'>): void {
    const origin = this.#request.session_id === undefined ? 'new' : 'loaded'
    const models = this.#models.length === 0 ? undefined : this.#models
    const takes = ['image', 'text', 'pdf'] as const
    this.#port.update(
      present({
        kind: 'session',
        agent: 'claude_code',
        origin,
        takes: [...takes],
        forks: true,
        models,
        ...known,
      }),
    )
  }

  #result(line: JsonObject): void {
    const end = turnEnd(line, this.#messages.errorName)
    if (this.#phase === 'starting') {
      this.#failed(end.message ?? 'Claude Code ended before the session started.')
      return
    }
    this.#messages.denials(line)
    this.#port.update(this.#usage.result(line))
    if (this.#phase !== 'turn') return
    this.#port.update({ kind: 'turn_ended', ...(this.#canceling ? { stop_reason: 'canceled' } : end) })
    this.#phase = 'idle'
    this.#port.ready()
  }

  #retry(line: JsonObject): void {
    const { error_status, error, attempt, max_retries } = line
    const answered = typeof error_status === 'number'
    const cut = this.#messages.midMessage
    const failure = answered ? claudeFailure(error_status, error, '') : cut ? 'broken_stream' : 'unreachable'
    const what = answered
      ? `answered ${error_status}`
      : cut
        ? 'stopped in the middle of its answer'
        : 'could not be reached'
    const message = `The model's service ${what}; Claude Code is retrying (${attempt} of ${max_retries}).`
    this.#port.update({ kind: 'retry', failure, message, attempt: count(attempt) })
  }

  #failed(message: string): void {
    this.#phase = 'over'
    this.#port.failed({ reason: 'start_failed', message })
  }

  #control(request_id: string, request: JsonObject): void {
    this.#send({ type: 'control_request', request_id, request })
  }

  #send(line: JsonObject): void {
    this.#port.send(JSON.stringify(line))
  }
}

/** Returns an attachment as a content block of Anthropic's Messages. */
function block({ name, media_type, content }: Attached): JsonObject {
  const kind = attachmentKind(media_type)
  const base64 = { type: 'base64', media_type, data: content.toString('base64') }
  if (kind === 'image') return { type: 'image', source: base64 }
  if (kind === 'pdf') return { type: 'document', title: name, source: base64 }
  const text = { type: 'text', media_type: 'text/plain', data: content.toString('utf8') }
  return { type: 'document', title: name, source: text }
}

const named: Record<string, ModelFailure> = {
  authentication_failed: 'auth',
  billing_error: 'auth',
  rate_limit: 'rate_limit',
  overloaded: 'overloaded',
  model_not_found: 'bad_model',
}

/** Classifies the failure in a `result` or an `api_retry` by status, error name and text. */
function claudeFailure(status: unknown, name: unknown, text: string): ModelFailure {
  if (typeof status === 'number') return failureOfStatus(status)
  const byText = modelFailureOf(text)
  return named[string(name) ?? ''] ?? byText
}

/** Returns how a turn ended, from its `result`, whose subtype is `success` even if the model could not be used. */
function turnEnd(result: JsonObject, errorName: unknown): Omit<AgentUpdateOf<'turn_ended'>, 'kind'> {
  const errors = Array.isArray(result.errors) ? result.errors.filter((each) => typeof each === 'string') : []
  const message = string(result.result) ?? errors.join('\n')
  const failed = result.is_error === true || result.subtype !== 'success'
  if (result.subtype === 'error_max_turns') return { stop_reason: 'max_turns', message }
  if (result.stop_reason === 'refusal') return { stop_reason: 'refusal', message }
  if (result.api_error === 'max_output_tokens' || result.stop_reason === 'max_tokens')
    return { stop_reason: 'max_tokens', ...(failed ? { message } : {}) }
  if (!failed) return { stop_reason: 'end_turn' }
  const ofModel = result.terminal_reason === 'api_error' || typeof result.api_error_status === 'number'
  const failure = ofModel ? claudeFailure(result.api_error_status, errorName, message) : undefined
  return {
    stop_reason: 'error',
    message: message === '' ? 'Claude Code ended the turn without giving a reason.' : message,
    ...(failure === undefined ? {} : { failure }),
  }
}
