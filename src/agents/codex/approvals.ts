import type { AgentUpdateOf } from '../../contract/agent.ts'
import type { JsonRpc, RpcId } from '../acp/json-rpc.ts'
import { type JsonObject, string } from '../acp/json-shape.ts'
import { present } from '../acp/tool-call.ts'
import type { ProtocolPort, SessionRequest } from '../agent.ts'
import { clippedValue } from '../clipped.ts'
import { commandParts } from './items.ts'

type Tool = AgentUpdateOf<'tool'>

/** The questions of one process. */
export class Approvals {
  readonly #ask: SessionRequest['ask']
  readonly #rpc: JsonRpc
  readonly #port: ProtocolPort
  readonly #open = new Map<string, RpcId>()
  /** What is known of the tools in question: the question about a patch does not tell it. */
  readonly #tools = new Map<string, Tool>()

  constructor(ask: SessionRequest['ask'], rpc: JsonRpc, port: ProtocolPort) {
    this.#ask = ask
    this.#rpc = rpc
    this.#port = port
  }

  tool(tool: Tool): void {
    this.#tools.set(tool.tool_id, tool)
  }

  /** False: there is no such question. */
  asked(id: RpcId, method: string, params: JsonObject): boolean {
    if (method === 'mcpServer/elicitation/request') {
      this.#rpc.answer(id, { action: 'decline', content: null, _meta: null })
      const server = string(params.serverName) ?? 'A server'
      this.#port.update({ kind: 'notice', text: `${server} asked for input that nobody can give: declined.` })
      return true
    }
    const command = method === 'item/commandExecution/requestApproval'
    if (!command && method !== 'item/fileChange/requestApproval') return false
    if (this.#ask !== 'ask') this.#decide(id, this.#ask)
    else this.#put(id, command ? commandParts(params) : {}, params)
    return true
  }

  /** `serverRequest/resolved`: it was answered, or the turn has ended. */
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
    // The tool's id makes it distinct from those of an earlier process of this thread.
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
