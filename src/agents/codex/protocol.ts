import type { AgentModel, AgentUpdateOf } from '../../contract/agent.ts'
import {
  errorText,
  type JsonObject,
  JsonRpc,
  object,
  objects,
  type RpcAnswer,
  type RpcId,
  string,
} from '../acp/json-rpc.ts'
import { present } from '../acp/session-updates.ts'
import type {
  AgentProtocol,
  AskMode,
  Attached,
  ProtocolFailure,
  ProtocolPort,
  SessionRequest,
} from '../agent.ts'
import { clippedValue } from '../clipped.ts'
import { endingText, modelFailureOf } from '../failure.ts'
import { commandParts } from './items.ts'
import { codexError, ThreadEvents } from './thread-events.ts'

/** Most models that are requested from codex. */
const MOST_MODELS = 100

type TurnEnd = Omit<AgentUpdateOf<'turn_ended'>, 'kind'>

/**
 * Conducts a conversation with `codex app-server`, which serves one thread here. Phases: `starting` until the thread
 * exists, then `idle`; a prompt leads to `turn`, the end of the turn back to `idle`; a failed start or the end of the
 * process leads to `over`.
 */
export class CodexProtocol implements AgentProtocol {
  readonly #request: SessionRequest
  readonly #port: ProtocolPort
  readonly #rpc: JsonRpc
  readonly #approvals: Approvals
  readonly #events: ThreadEvents
  #phase: 'starting' | 'idle' | 'turn' | 'over' = 'starting'
  #threadId = ''
  #turnId: string | undefined
  /** Models that can be selected, once codex has listed them. */
  #models: AgentModel[] = []
  /** Model to send with the next prompt, from which on the thread uses it. */
  #requestedModel: string | undefined
  #session: AgentUpdateOf<'session'> | undefined
  /** End to report for the turn that is being interrupted. */
  #interrupting: TurnEnd | undefined

  constructor(request: SessionRequest, port: ProtocolPort) {
    this.#request = request
    this.#port = port
    this.#rpc = new JsonRpc((line) => port.send(line), {
      notification: (method, params) => this.#notified(method, params),
      request: (id, method, params) => this.#approvals.handleRequest(id, method, params),
    })
    this.#approvals = new Approvals(request, this.#rpc, port)
    this.#events = new ThreadEvents(port, this.#approvals)
  }

  begin(): void {
    const params = {
      clientInfo: { name: 'errand', title: 'Errand', version: '1' },
      // Raw items are experimental.
      capabilities: { experimentalApi: this.#request.ask === 'deny', requestAttestation: false },
    }
    this.#rpc.request('initialize', params, (answer) => {
      if (answer.type === 'error') return this.#failed(`Codex refused to start: ${errorText(answer.error)}`)
      this.#rpc.notify('initialized', {})
      // Nothing waits for the models: a session continues even if they come late or never.
      this.#rpc.request('model/list', { limit: MOST_MODELS }, (list) => this.#modelsReported(list), 'models')
      const { method, params } = threadRequest(this.#request)
      this.#rpc.request(method, params, (thread) => this.#threadAnswered(thread, answer.result))
    })
  }

  line(text: string): void {
    if (this.#phase !== 'over') this.#rpc.line(text)
  }

  prompt(text: string, attached: readonly Attached[] = []): void {
    if (this.#phase !== 'idle') return
    this.#phase = 'turn'
    this.#turnId = undefined
    this.#interrupting = undefined
    this.#events.turnBegins()
    const images = attached.map(({ media_type, content }) => ({
      type: 'image',
      url: `data:${media_type};base64,${content.toString('base64')}`,
    }))
    const input = [...images, { type: 'text', text, text_elements: [] }]
    const model = this.#requestedModel === undefined ? {} : { model: this.#requestedModel }
    this.#requestedModel = undefined
    this.#rpc.request('turn/start', { threadId: this.#threadId, input, ...model }, (answer) => {
      if (answer.type === 'result') this.#turnBegan(string(object(answer.result.turn)?.id))
      else this.#turnEnds({ stop_reason: 'error', message: errorText(answer.error) })
    })
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    this.#approvals.answer(requestId, decision)
  }

  setModel(model: string, done: (refused?: string) => void): void {
    this.#requestedModel = model
    done()
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
      this.#failed(`Codex did not start a session: ${errorText(answer.error)}`)
      return
    }
    this.#threadId = string(object(answer.result.thread)?.id) ?? ''
    this.#session = sessionUpdate(answer.result, server, this.#request.session_id !== undefined)
    this.#reportSession()
    this.#phase = 'idle'
    this.#port.ready()
  }

  #modelsReported(answer: RpcAnswer): void {
    if (answer.type === 'error') return
    this.#models = objects(answer.result.data).flatMap(({ model, displayName, hidden }) => {
      const [id, name] = [string(model), string(displayName)]
      return id === undefined || hidden === true ? [] : [present({ id, name })]
    })
    if (this.#session !== undefined) this.#reportSession()
  }

  #reportSession(): void {
    const models = this.#models.length === 0 ? {} : { models: this.#models }
    this.#port.update({ ...this.#session!, ...models })
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
    // Subagents have their own threads.
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
    return {
      stop_reason: 'error',
      message: 'Codex stopped in the middle of its turn, although nobody canceled it.',
    }
  if (turn.status === 'completed' && error === undefined) return { stop_reason: 'end_turn' }
  return { stop_reason: 'error', ...codexError(error ?? {}) }
}

/**
 * Codex's settings for each mode. `ask`: there is no sandbox, so that allowed actions work, but codex asks before every
 * command and patch. `deny`: codex does without asking what its sandbox permits, and asks about everything else, which
 * is then denied. (Asking before everything would deny reading, too, since codex reads with commands; with `never` it
 * rejects patches silently.)
 */
const modes: Record<AskMode, { approvalPolicy: string; sandbox: string }> = {
  allow: { approvalPolicy: 'never', sandbox: 'danger-full-access' },
  ask: { approvalPolicy: 'untrusted', sandbox: 'danger-full-access' },
  deny: { approvalPolicy: 'on-request', sandbox: 'read-only' },
}
/**
 * Mode for `deny` in a box, where codex's own sandbox does not work: it asks, and only reading commands are allowed.
 */
const denyApart = modes.ask

function threadRequest(request: SessionRequest): { method: string; params: JsonObject } {
  const { cwd, model, ask, session_id, apart, fork } = request
  const mode = apart && ask === 'deny' ? denyApart : modes[ask]
  const params = { cwd, ...mode, approvalsReviewer: 'user', ...(model === undefined ? {} : { model }) }
  // Only codex's sandbox hides calls.
  if (session_id === undefined)
    return { method: 'thread/start', params: { ...params, experimentalRawEvents: ask === 'deny' } }
  const method = fork ? 'thread/fork' : 'thread/resume'
  return { method, params: { threadId: session_id, ...params, excludeTurns: true } }
}

/** Returns the session update from the answers to `thread/start` (or `resume`) and `initialize`. */
function sessionUpdate(answer: JsonObject, server: JsonObject, loaded: boolean): AgentUpdateOf<'session'> {
  const thread = object(answer.thread)
  return present({
    kind: 'session',
    agent: 'codex',
    version: /\/(\d[^ ]*)/.exec(string(server.userAgent) ?? '')?.[1],
    model: string(answer.model),
    session_id: string(thread?.id),
    origin: loaded ? 'loaded' : 'new',
    takes: ['image'],
    forks: true,
  })
}

type Tool = AgentUpdateOf<'tool'>

/** Handles the approval requests of one process. */
export class Approvals {
  readonly #request: Pick<SessionRequest, 'ask' | 'apart'>
  readonly #rpc: JsonRpc
  readonly #port: ProtocolPort
  readonly #open = new Map<string, RpcId>()
  /** Known tools of the requests, since the request about a patch does not describe its tool. */
  readonly #tools = new Map<string, Tool>()

  constructor(request: Pick<SessionRequest, 'ask' | 'apart'>, rpc: JsonRpc, port: ProtocolPort) {
    this.#request = request
    this.#rpc = rpc
    this.#port = port
  }

  tool(tool: Tool): void {
    this.#tools.set(tool.tool_id, tool)
  }

  /** Handles a request of codex; returns false if its method is unknown. */
  handleRequest(id: RpcId, method: string, params: JsonObject): boolean {
    if (method === 'mcpServer/elicitation/request') {
      this.#rpc.answer(id, { action: 'decline', content: null, _meta: null })
      const server = string(params.serverName) ?? 'A server'
      this.#port.update({
        kind: 'notice',
        text: `${server} asked for input that nobody can provide: declined.`,
      })
      return true
    }
    const command = method === 'item/commandExecution/requestApproval'
    if (!command && method !== 'item/fileChange/requestApproval') return false
    const parts = command ? commandParts(params) : {}
    const { ask, apart } = this.#request
    const reads = parts.tool_kind === 'read' || parts.tool_kind === 'search'
    if (ask === 'ask') this.#put(id, parts, params)
    else this.#decide(id, apart && reads ? 'allow' : ask)
    return true
  }

  /** Takes a `serverRequest/resolved`, which says that a request was answered or the turn ended. */
  resolved(id: unknown): void {
    for (const [requestId, open] of this.#open) if (open === id) this.#open.delete(requestId)
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    const id = this.#open.get(requestId)
    if (id === undefined) return
    this.#open.delete(requestId)
    this.#decide(id, decision)
  }

  turnEnds(): void {
    this.#open.clear()
    this.#tools.clear()
  }

  #put(id: RpcId, parts: Partial<Tool>, params: JsonObject): void {
    const toolId = string(params.itemId) ?? ''
    const known = this.#tools.get(toolId)
    // The tool's id distinguishes it from requests of an earlier process of this thread.
    const requestId = `${toolId}.${id}`
    this.#open.set(requestId, id)
    const reason = string(params.reason)
    const title = (parts.title || known?.title) ?? 'Use a tool'
    this.#port.update(
      present({
        kind: 'permission',
        request_id: requestId,
        tool_id: toolId === '' ? undefined : toolId,
        title: reason === undefined ? title : `${title} (${reason})`,
        tool_kind: parts.tool_kind ?? known?.tool_kind ?? 'other',
        paths: parts.paths ?? known?.paths,
        input: parts.input ?? clippedValue(known?.diffs),
      }),
    )
  }

  #decide(id: RpcId, decision: 'allow' | 'deny'): void {
    this.#rpc.answer(id, { decision: decision === 'allow' ? 'accept' : 'decline' })
  }
}
