import type { AgentUpdateOf } from '../../contract/agent.ts'
import { errorText, JsonRpc, type RpcAnswer } from '../acp/json-rpc.ts'
import { type JsonObject, object, string } from '../acp/json-shape.ts'
import type { AgentProtocol, ProtocolFailure, ProtocolPort, SessionRequest } from '../agent.ts'
import { endingText } from '../ending.ts'
import { modelFailureOf } from '../failure-text.ts'
import { Approvals } from './approvals.ts'
import { codexError } from './failure.ts'
import { sessionUpdate, threadRequest } from './thread.ts'
import { ThreadEvents } from './thread-events.ts'

type TurnEnd = Omit<AgentUpdateOf<'turn_ended'>, 'kind'>

/** A conversation with `codex app-server`, which serves one thread here. */
export class CodexProtocol implements AgentProtocol {
  readonly #request: SessionRequest
  readonly #port: ProtocolPort
  readonly #rpc: JsonRpc
  readonly #approvals: Approvals
  readonly #events: ThreadEvents
  #phase: 'starting' | 'idle' | 'turn' | 'over' = 'starting'
  #threadId = ''
  #turnId: string | undefined
  /** The turn is being interrupted, to end so. */
  #interrupting: TurnEnd | undefined

  constructor(request: SessionRequest, port: ProtocolPort) {
    this.#request = request
    this.#port = port
    this.#rpc = new JsonRpc((line) => port.send(line), {
      notification: (method, params) => this.#notified(method, params),
      request: (id, method, params) => this.#approvals.asked(id, method, params),
    })
    this.#approvals = new Approvals(request.ask, this.#rpc, port)
    this.#events = new ThreadEvents(port, this.#approvals)
  }

  begin(): void {
    const params = {
      clientInfo: { name: 'errand', title: 'Errand', version: '1' },
      // Raw items are experimental.
      capabilities: { experimentalApi: this.#request.ask === 'deny', requestAttestation: false },
    }
    this.#rpc.request('initialize', params, (answer) => {
      if (answer.type === 'error') return this.#failed(`Codex refuses to begin: ${errorText(answer.error)}`)
      this.#rpc.notify('initialized', {})
      const { method, params } = threadRequest(this.#request)
      this.#rpc.request(method, params, (thread) => this.#threadAnswered(thread, answer.result))
    })
  }

  line(text: string): void {
    if (this.#phase !== 'over') this.#rpc.line(text)
  }

  prompt(text: string): void {
    if (this.#phase !== 'idle') return
    this.#phase = 'turn'
    this.#turnId = undefined
    this.#interrupting = undefined
    this.#events.turnBegins()
    const input = [{ type: 'text', text, text_elements: [] }]
    this.#rpc.request('turn/start', { threadId: this.#threadId, input }, (answer) => {
      if (answer.type === 'result') this.#turnBegan(string(object(answer.result.turn)?.id))
      else this.#turnEnds({ stop_reason: 'error', message: errorText(answer.error) })
    })
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    this.#approvals.answer(requestId, decision)
  }

  cancelTurn(): void {
    this.#interrupt({ stop_reason: 'canceled' })
  }

  exited(exit: { code?: number; signal?: string; stderr: string }): void {
    const message = endingText('Codex', exit)
    if (this.#phase === 'starting') this.#failed(message)
    if (this.#phase === 'turn') {
      const failure = modelFailureOf(exit.stderr)
      const end = { stop_reason: 'error', message, ...(failure === 'other' ? {} : { failure }) } as const
      this.#port.update({ kind: 'turn_ended', ...(this.#interrupting ?? end) })
    }
    this.#phase = 'over'
  }

  #threadAnswered(answer: RpcAnswer, server: JsonObject): void {
    if (answer.type === 'error') {
      this.#failed(`Codex begins no session: ${errorText(answer.error)}`)
      return
    }
    this.#threadId = string(object(answer.result.thread)?.id) ?? ''
    this.#port.update(sessionUpdate(answer.result, server, this.#request.session_id !== undefined))
    this.#phase = 'idle'
    this.#port.ready()
  }

  #failed(message: string): void {
    const failure: ProtocolFailure = { reason: 'start_failed', message }
    this.#phase = 'over'
    this.#port.failed(failure)
  }

  #interrupt(end: TurnEnd): void {
    if (this.#phase !== 'turn' || this.#interrupting !== undefined) return
    this.#interrupting = end
    if (this.#turnId !== undefined) this.#sendInterrupt(this.#turnId)
  }

  #turnBegan(id: string | undefined): void {
    if (this.#phase !== 'turn' || id === undefined || this.#turnId !== undefined) return
    this.#turnId = id
    if (this.#interrupting !== undefined) this.#sendInterrupt(id)
  }

  #sendInterrupt(turnId: string): void {
    this.#rpc.request('turn/interrupt', { threadId: this.#threadId, turnId }, () => {})
  }

  #notified(method: string, params: JsonObject): void {
    const threadId = string(params.threadId)
    // Agents below this one have threads of their own.
    const ours = threadId === undefined || threadId === this.#threadId
    const turn = object(params.turn) ?? {}
    if (ours && method === 'turn/started') this.#turnBegan(string(turn.id))
    else if (ours && method === 'turn/completed') this.#turnCompleted(turn)
    else if (ours && method === 'thread/tokenUsage/updated' && params.turnId !== this.#turnId)
      this.#events.tokensBefore(params)
    else {
      const hopeless = this.#events.take(method, params, ours)
      if (hopeless !== undefined) this.#interrupt({ stop_reason: 'error', ...hopeless })
    }
  }

  #turnCompleted(turn: JsonObject): void {
    if (this.#phase === 'turn') this.#turnEnds(this.#interrupting ?? ending(turn))
  }

  #turnEnds(end: TurnEnd): void {
    this.#approvals.turnEnds()
    if (end.stop_reason !== 'end_turn') this.#events.turnBroken()
    this.#port.update({ kind: 'turn_ended', ...end })
    this.#phase = 'idle'
    this.#port.ready()
  }
}

function ending(turn: JsonObject): TurnEnd {
  const error = object(turn.error)
  if (turn.status === 'interrupted')
    return { stop_reason: 'error', message: 'Codex broke off its turn, and nobody had canceled it.' }
  if (turn.status === 'completed' && error === undefined) return { stop_reason: 'end_turn' }
  return { stop_reason: 'error', ...codexError(error ?? {}) }
}
