import type { ProtocolPort, SessionRequest } from '../agent.ts'
import { type JsonObject, type JsonRpc, object, objects, type RpcId, string } from './json-rpc.ts'
import { present, toolUpdate } from './session-updates.ts'

/** Handles the permission requests of one process; each is answered exactly once. */
export class Permissions {
  /** Ids of denied tools, whose end is then reported as denied. */
  readonly denied = new Set<string>()
  /** Whether the turn is being ended, so that no more questions are put. */
  canceling = false
  readonly #ask: SessionRequest['ask']
  readonly #rpc: JsonRpc
  readonly #port: ProtocolPort
  readonly #open = new Map<string, { id: RpcId; params: JsonObject; toolId: string }>()
  #requestCount = 0

  constructor(ask: SessionRequest['ask'], rpc: JsonRpc, port: ProtocolPort) {
    this.#ask = ask
    this.#rpc = rpc
    this.#port = port
  }

  requested(id: RpcId, params: JsonObject): void {
    const { tool_id, title, tool_kind, input, ...named } = toolUpdate(object(params.toolCall) ?? {})
    // A file that it writes may be named only in its diffs.
    const paths = [...new Set([...(named.paths ?? []), ...(named.diffs ?? []).map(({ path }) => path)])]
    const question = { id, params, toolId: tool_id }
    if (this.canceling) return void this.#rpc.answer(id, cancelledOutcome)
    if (this.#ask !== 'ask') return void this.#decide(question, this.#ask)
    // The tool's id distinguishes it from requests of an earlier process of this session.
    const requestId = `${++this.#requestCount}.${tool_id}`
    this.#open.set(requestId, question)
    this.#port.update(
      present({
        kind: 'permission',
        request_id: requestId,
        tool_id: tool_id === '' ? undefined : tool_id,
        title: title ?? tool_kind ?? 'Use a tool',
        tool_kind,
        paths: paths.length === 0 ? undefined : paths,
        input,
      }),
    )
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    const question = this.#open.get(requestId)
    if (question === undefined) return
    this.#open.delete(requestId)
    this.#decide(question, decision)
  }

  cancel(): void {
    this.canceling = true
    for (const { id } of this.#open.values()) this.#rpc.answer(id, cancelledOutcome)
    this.#open.clear()
  }

  turnBegins(): void {
    this.canceling = false
    this.denied.clear()
  }

  #decide(question: { id: RpcId; params: JsonObject; toolId: string }, decision: 'allow' | 'deny'): void {
    if (decision === 'deny') {
      this.denied.add(question.toolId)
      this.#port.update({ kind: 'tool', tool_id: question.toolId, status: 'denied' })
    }
    this.#rpc.answer(question.id, outcomeFor(question.params, decision))
  }
}

type Decision = 'allow' | 'deny'

/** Option kinds by preference: "once" before "always", since Errand decides again the next time. */
const kinds: Record<Decision, readonly string[]> = {
  allow: ['allow_once', 'allow_always'],
  deny: ['reject_once', 'reject_always'],
}

const cancelledOutcome = { outcome: { outcome: 'cancelled' } }

/** Returns the answer to a `session/request_permission`; it is cancelled if there is no option for the decision. */
function outcomeFor(params: JsonObject, decision: Decision): JsonObject {
  const options = objects(params.options)
  for (const kind of kinds[decision]) {
    const optionId = string(options.find((option) => option.kind === kind)?.optionId)
    if (optionId !== undefined) return { outcome: { outcome: 'selected', optionId } }
  }
  return cancelledOutcome
}
