import { type AgentUpdateOf, ModelFailure } from '../../contract/agent.ts'
import { attachmentKind } from '../../contract/attachment-kind.ts'
import type { AgentProtocol, Attached, ProtocolFailure, ProtocolPort, SessionRequest } from '../agent.ts'
import { endingText, modelFailureOf } from '../failure.ts'
import { Handshake } from './handshake.ts'
import {
  errorText,
  type JsonObject,
  JsonRpc,
  object,
  parsedObject,
  type RpcAnswer,
  type RpcError,
  string,
} from './json-rpc.ts'
import { Permissions } from './permissions.ts'
import { type AcpProfile, withHint } from './profile.ts'
import { SessionUpdates } from './session-updates.ts'
import { UsageMeter } from './usage-meter.ts'

type TurnEnd = Omit<AgentUpdateOf<'turn_ended'>, 'kind'>

const AUTH_REQUIRED = -32000
const INVALID_PARAMS = -32602

const STRAY_CHARACTERS = 200

/**
 * Conducts a conversation as a client of the Agent Client Protocol, version 1. Phases: `starting` until the handshake
 * is done, then `idle`; a prompt leads to `turn`, and the end of the turn back to `idle`; a failure or the end of the
 * process leads to `over`.
 */
export class AcpProtocol implements AgentProtocol {
  readonly #port: ProtocolPort
  readonly #rpc: JsonRpc
  readonly #handshake: Handshake
  readonly #permissions: Permissions
  readonly #updates: SessionUpdates
  readonly #usage: UsageMeter
  readonly #profile: AcpProfile
  #phase: 'starting' | 'idle' | 'turn' | 'over' = 'starting'
  #sessionId = ''
  /** First line before the session that is not a message of the protocol, as a sentence. */
  #stray: string | undefined

  constructor(profile: AcpProfile, request: SessionRequest, port: ProtocolPort) {
    this.#port = port
    this.#profile = profile
    this.#rpc = new JsonRpc((line) => port.send(line), {
      notification: (method, params) => this.#notified(method, params),
      request: (id, method, params) => {
        if (method !== 'session/request_permission') return false
        this.#permissions.requested(id, params)
        return true
      },
    })
    this.#permissions = new Permissions(request.ask, this.#rpc, port)
    this.#updates = new SessionUpdates(profile, this.#permissions.denied, (update) => port.update(update))
    this.#usage = new UsageMeter(profile.usage, request.session_id !== undefined)
    this.#handshake = new Handshake(profile, request, this.#rpc, {
      begun: (sessionId, update) => {
        this.#sessionId = sessionId
        port.update(update)
        this.#ready()
      },
      notice: (text) => port.update({ kind: 'notice', text }),
      failed: (failure) => this.#failed(failure),
    })
  }

  begin(): void {
    this.#handshake.begin()
  }

  line(text: string): void {
    if (this.#phase === 'over') return
    if (this.#stray === undefined && this.#phase === 'starting') this.#lookForStray(text.trim())
    this.#rpc.line(text)
  }

  prompt(text: string, attached: readonly Attached[] = []): void {
    if (this.#phase !== 'idle') return
    this.#phase = 'turn'
    this.#permissions.turnBegins()
    this.#updates.turnBegins()
    const params = { sessionId: this.#sessionId, prompt: [...attached.map(block), { type: 'text', text }] }
    this.#rpc.request('session/prompt', params, (answer) => this.#turnAnswered(answer))
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    this.#permissions.answer(requestId, decision)
  }

  setModel(model: string, done: (refused?: string) => void): void {
    const way = this.#handshake.switching(this.#sessionId, model)
    if (way === undefined) return void done('its model cannot be selected')
    this.#rpc.request(way.method, way.params, (answer) =>
      done(answer.type === 'result' ? undefined : errorText(answer.error)),
    )
  }

  cancelTurn(): void {
    if (this.#phase !== 'turn' || this.#permissions.canceling) return
    this.#rpc.notify('session/cancel', { sessionId: this.#sessionId })
    this.#permissions.cancel()
  }

  exited(exit: { code?: number; signal?: string; stderr: string }): void {
    const message = endingText('The agent', exit)
    if (this.#phase === 'starting')
      this.#failed({ reason: 'start_failed', message: this.#withStray(message) })
    if (this.#phase === 'turn') {
      const failure = modelFailureOf(exit.stderr)
      const canceled = this.#permissions.canceling
      this.#turnEnds(
        canceled
          ? { stop_reason: 'canceled' }
          : { stop_reason: 'error', message, ...(failure === 'other' ? {} : { failure }) },
      )
    }
    this.#phase = 'over'
  }

  /** Reports such a line at once, since a program of another kind may never end by itself. */
  #lookForStray(text: string): void {
    if (text === '' || parsedObject(text) !== undefined) return
    const words = JSON.stringify(text.slice(0, STRAY_CHARACTERS))
    this.#stray = `It wrote ${words}, which is not a message of the Agent Client Protocol`
    this.#port.update({ kind: 'notice', text: `${this.#stray}.` })
  }

  #withStray(message: string): string {
    if (this.#stray === undefined) return message
    return `${message}. ${this.#stray}: check that the program speaks it when started with this command.`
  }

  #ready(): void {
    this.#phase = 'idle'
    this.#port.ready()
  }

  #failed(failure: ProtocolFailure): void {
    this.#phase = 'over'
    this.#port.failed(failure)
  }

  #notified(method: string, params: JsonObject): void {
    const reported = this.#phase === 'starting' ? undefined : this.#profile.reported?.(method, params)
    if (reported !== undefined) this.#port.update(reported)
    const update = object(params.update)
    if (method !== 'session/update' || update === undefined) return
    if (update.sessionUpdate === 'usage_update') this.#usage.readUpdate(update)
    // A loaded session repeats its history, which was already reported when it happened.
    if (this.#phase !== 'starting' && string(params.sessionId) === this.#sessionId) this.#updates.take(update)
  }

  #turnAnswered(answer: RpcAnswer): void {
    const usage = this.#usage.turnEnded(answer.type === 'result' ? answer.result : {})
    const hidden = this.#updates.turnEnds(usage?.kind === 'usage' && usage.turn.output_tokens > 0)
    if (usage !== undefined) this.#port.update(usage)
    if (this.#permissions.canceling) this.#turnEnds({ stop_reason: 'canceled' })
    else if (answer.type === 'error') this.#turnEnds(this.#failedTurn(errorText(answer.error), answer.error))
    else if (hidden !== undefined) this.#turnEnds(this.#failedTurn(hidden))
    else this.#turnEnds(this.#stopped(string(answer.result.stopReason)))
    this.#ready()
  }

  #stopped(reason: string | undefined): TurnEnd {
    switch (reason) {
      case 'end_turn':
        return this.#profile.refusesInSilence && this.#updates.idle && this.#permissions.denied.size === 0
          ? {
              stop_reason: 'refusal',
              message: 'The agent ended its turn without a message: its model refused.',
            }
          : { stop_reason: reason }
      case 'max_tokens':
      case 'refusal':
        return { stop_reason: reason }
      case 'max_turn_requests':
        return { stop_reason: 'max_turns' }
      case 'cancelled':
        // Nobody canceled: some agents end a turn like this after a denied tool.
        return this.#permissions.denied.size > 0
          ? { stop_reason: 'end_turn', message: 'The agent ended the turn after a denied tool.' }
          : {
              stop_reason: 'error',
              message: 'The agent stopped in the middle of its turn, although nobody canceled it.',
            }
      default:
        return { stop_reason: 'error', message: `The agent ended the turn for an unknown reason: ${reason}` }
    }
  }

  #turnEnds(end: TurnEnd): void {
    this.#port.update({ kind: 'turn_ended', ...end })
  }

  #failedTurn(message: string, error?: RpcError): TurnEnd {
    const named = ModelFailure.safeParse(object(error?.data)?.failure)
    const failure = named.success
      ? named.data
      : error?.code === AUTH_REQUIRED
        ? 'auth'
        : error?.code === INVALID_PARAMS && modelFailureOf(message) === 'other'
          ? undefined
          : modelFailureOf(message)
    return {
      stop_reason: 'error',
      message: withHint(message, failure === 'auth' ? this.#profile.keyHint : undefined),
      ...(failure === undefined ? {} : { failure }),
    }
  }
}

/** Returns an attachment as content of a prompt; everything but an image is embedded as a resource. */
function block({ id, name, media_type, content }: Attached): JsonObject {
  if (attachmentKind(media_type) === 'image')
    return { type: 'image', mimeType: media_type, data: content.toString('base64') }
  const uri = `errand://attachment/${id}/${encodeURIComponent(name)}`
  const isText = attachmentKind(media_type) === 'text'
  const whole = isText ? { text: content.toString('utf8') } : { blob: content.toString('base64') }
  return { type: 'resource', resource: { uri, mimeType: media_type, ...whole } }
}
