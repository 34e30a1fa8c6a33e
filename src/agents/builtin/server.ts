import type { AgentUpdate, AgentUpdateOf } from '../../contract/agent.ts'
import { messageWithHint } from '../../contract/errors.ts'
import { type JsonObject, JsonRpc, object, objects, type RpcId, string } from '../acp/json-rpc.ts'
import type { SessionRequest } from '../agent.ts'
import { UPDATE } from './builtin.ts'
import { type BuiltinSession, openSession, type ToolAsk, type TurnEnd } from './session.ts'

const INVALID_PARAMS = -32602
const INTERNAL = -32603
const stopReasons = {
  end_turn: 'end_turn',
  max_tokens: 'max_tokens',
  max_turns: 'max_turn_requests',
  refusal: 'refusal',
  canceled: 'cancelled',
} as const
const options = [
  { optionId: 'allow', name: 'Allow', kind: 'allow_once' },
  { optionId: 'deny', name: 'Deny', kind: 'reject_once' },
]

/** Serves the built-in agent over the Agent Client Protocol: one session for one client. */
export class BuiltinServer {
  readonly #request: Omit<SessionRequest, 'cwd'>
  readonly #rpc: JsonRpc
  readonly #closed = new AbortController()
  readonly #toolsReported = new Set<string>()
  #session: BuiltinSession | undefined
  #sessionId = ''
  /** Updates that came before the client knows the session. */
  #early: AgentUpdate[] | undefined
  #turn: AbortController | undefined

  /** `send` receives lines for the client. */
  constructor(request: Omit<SessionRequest, 'cwd'>, send: (line: string) => void) {
    this.#request = request
    this.#rpc = new JsonRpc(send, {
      notification: (method) => {
        if (method === 'session/cancel') this.#turn?.abort()
      },
      request: (id, method, params) => this.#handleRequest(id, method, params),
    })
  }

  /** Takes a line from the client. */
  line(text: string): void {
    this.#rpc.line(text)
  }

  /** Ends the session's work and waits for its end. May be called twice. */
  async close(): Promise<void> {
    this.#closed.abort()
    await this.#session?.close()
  }

  #handleRequest(id: RpcId, method: string, params: JsonObject): boolean {
    if (method === 'initialize')
      this.#rpc.answer(id, { protocolVersion: 1, agentCapabilities: { loadSession: true } })
    else if (method === 'session/new' || method === 'session/load') this.#open(id, params)
    else if (method === 'session/prompt' && this.#session) void this.#prompt(id, this.#session, params)
    else return false
    return true
  }

  #open(id: RpcId, { sessionId, cwd }: JsonObject): void {
    const request = { ...this.#request, cwd: string(cwd) ?? process.cwd(), session_id: string(sessionId) }
    const early: AgentUpdate[] = []
    this.#early = early
    try {
      const port = {
        update: (update: AgentUpdate) => this.#report(update),
        permission: (ask: ToolAsk) => this.#permitted(ask),
      }
      this.#session = openSession(request, port, this.#closed.signal)
    } catch (error) {
      this.#rpc.refuse(id, { code: INVALID_PARAMS, message: messageWithHint(error) })
      return
    } finally {
      this.#early = undefined
    }
    const begun = early.find((each): each is AgentUpdateOf<'session'> => each.kind === 'session')
    this.#sessionId = begun?.session_id ?? ''
    const models = { currentModelId: begun?.model, availableModels: [] }
    this.#rpc.answer(id, { sessionId: this.#sessionId, models })
    for (const update of early) if (update.kind !== 'session') this.#report(update)
  }

  async #prompt(id: RpcId, session: BuiltinSession, params: JsonObject): Promise<void> {
    const text = objects(params.prompt)
      .map((part) => string(part.text) ?? '')
      .join('')
    this.#turn = new AbortController()
    this.#toolsReported.clear()
    const end = await session.prompt(text, this.#turn.signal)
    this.#turn = undefined
    this.#answer(id, end)
  }

  #answer(id: RpcId, { stop_reason, message = 'it failed', failure }: TurnEnd): void {
    // Without `failure`, the error does not come from the model's service.
    const code = failure === undefined ? INVALID_PARAMS : INTERNAL
    if (stop_reason === 'error') this.#rpc.refuse(id, { code, message, data: { failure } })
    else this.#rpc.answer(id, { stopReason: stopReasons[stop_reason] })
  }

  #report(update: AgentUpdate): void {
    if (this.#early) return void this.#early.push(update)
    const { kind } = update
    if (kind === 'message' || kind === 'thought')
      this.#update({
        sessionUpdate: `agent_${kind}_chunk`,
        content: { type: 'text', text: update.text },
      })
    else if (kind === 'tool') this.#tool(update)
    else this.#rpc.notify(UPDATE, update)
  }

  #tool({ tool_id, title, tool_kind, status, input, output, diffs, paths }: AgentUpdateOf<'tool'>): void {
    const known = this.#toolsReported.has(tool_id)
    this.#toolsReported.add(tool_id)
    const content = [
      ...(diffs ?? []).map(({ path, old_text, new_text, unified }) => ({
        type: 'diff',
        path,
        oldText: old_text,
        newText: new_text,
        unified,
      })),
      ...(output === undefined ? [] : [{ type: 'content', content: { type: 'text', text: output } }]),
    ]
    this.#update({
      sessionUpdate: known ? 'tool_call_update' : 'tool_call',
      ...callOf({ tool_id, title, tool_kind, input, paths }),
      status: status === 'running' ? 'in_progress' : status,
      content: content.length === 0 ? undefined : content,
    })
  }

  async #permitted(ask: ToolAsk): Promise<'allow' | 'deny'> {
    const { promise, resolve } = Promise.withResolvers<'allow' | 'deny'>()
    const params = { sessionId: this.#sessionId, toolCall: callOf(ask), options }
    this.#rpc.request('session/request_permission', params, (answer) => {
      const outcome = answer.type === 'result' ? object(answer.result.outcome) : undefined
      resolve(outcome?.optionId === 'allow' ? 'allow' : 'deny')
    })
    return await promise
  }

  #update(update: JsonObject): void {
    this.#rpc.notify('session/update', { sessionId: this.#sessionId, update })
  }
}

const callOf = ({
  tool_id,
  title,
  tool_kind,
  input,
  paths,
}: Pick<AgentUpdateOf<'tool'>, 'tool_id' | 'title' | 'tool_kind' | 'input' | 'paths'>) => ({
  toolCallId: tool_id,
  title,
  kind: tool_kind,
  rawInput: input,
  locations: paths?.map((path) => ({ path })),
})
