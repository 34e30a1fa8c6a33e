import { type JsonObject, object, string } from '../acp/json-shape.ts'
import { present } from '../acp/tool-call.ts'
import type { ProtocolPort, SessionRequest } from '../agent.ts'
import { kindOfTool, toolParts } from './tools.ts'

/** What the program asks over its control channel. */
export class Questions {
  readonly #ask: SessionRequest['ask']
  readonly #port: ProtocolPort
  /** The input of the tool by the question's id: it goes back with the answer. */
  readonly #open = new Map<string, JsonObject>()

  constructor(ask: SessionRequest['ask'], port: ProtocolPort) {
    this.#ask = ask
    this.#port = port
  }

  /** A `control_request`. */
  asked(line: JsonObject): void {
    const id = string(line.request_id)
    const request = object(line.request) ?? {}
    if (id === undefined) return
    const tool = string(request.tool_name) ?? 'tool'
    const input = object(request.input) ?? {}
    if (request.subtype !== 'can_use_tool') this.#refuse(id, string(request.subtype) ?? 'unknown')
    else if (this.#ask === 'ask') this.#put(id, tool, input, string(request.tool_use_id))
    else this.#decide(id, input, this.#ask === 'allow' || readsOnly(tool))
  }

  /** A `control_cancel_request`: the turn was interrupted. */
  withdrawn(line: JsonObject): void {
    this.#open.delete(string(line.request_id) ?? '')
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    const input = this.#open.get(requestId)
    if (input === undefined) return
    this.#open.delete(requestId)
    this.#decide(requestId, input, decision === 'allow')
  }

  #put(id: string, tool: string, input: JsonObject, toolId: string | undefined): void {
    this.#open.set(id, input)
    const { title = tool, ...parts } = toolParts(tool, input)
    this.#port.update(present({ kind: 'permission', request_id: id, tool_id: toolId, title, ...parts }))
  }

  #decide(id: string, input: JsonObject, allowed: boolean): void {
    const response = allowed
      ? { behavior: 'allow', updatedInput: input }
      : { behavior: 'deny', message: 'Denied: this is not permitted here. Go on without it.' }
    this.#respond({ subtype: 'success', request_id: id, response })
  }

  #refuse(id: string, subtype: string): void {
    this.#respond({ subtype: 'error', request_id: id, error: `Not supported: ${subtype}` })
  }

  #respond(response: JsonObject): void {
    this.#port.send(JSON.stringify({ type: 'control_response', response }))
  }
}

const readsOnly = (tool: string): boolean => ['read', 'search', 'think'].includes(kindOfTool(tool))
