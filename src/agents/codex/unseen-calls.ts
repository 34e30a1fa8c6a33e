import type { AgentUpdateOf } from '../../contract/agent.ts'
import { type JsonObject, parsedObject, string } from '../acp/json-shape.ts'
import { clippedValue } from '../clipped.ts'

/** Tools whose every call should be an item of the thread. */
const SHOWN = /^(exec_command|shell|shell_command|local_shell|apply_patch)$/

/**
 * A command that fails in codex's sandbox, or a patch that it rejects by itself, is no item of the thread: without the
 * raw items of the model's answers nobody would see that it was tried.
 */
export class UnseenCalls {
  readonly #calls = new Map<string, { name: string; input: string }>()

  /** It is an item after all. */
  seen(callId: string): void {
    this.#calls.delete(callId)
  }

  /** `rawResponseItem/completed`. */
  raw(item: JsonObject): AgentUpdateOf<'tool'> | undefined {
    const id = string(item.call_id)
    if (id === undefined) return undefined
    const name = string(item.name)
    if ((item.type === 'function_call' || item.type === 'custom_tool_call') && name !== undefined) {
      const input = string(item.input) ?? string(item.arguments) ?? ''
      if (SHOWN.test(name)) this.#calls.set(id, { name, input })
      return undefined
    }
    const call = this.#calls.get(id)
    const output = string(item.output)
    if (call === undefined || output === undefined) return undefined
    this.#calls.delete(id)
    const patch = call.name === 'apply_patch'
    return {
      kind: 'tool',
      tool_id: id,
      title: patch ? 'Apply a patch' : (string(parsedObject(call.input)?.cmd) ?? call.name),
      tool_kind: patch ? 'edit' : 'execute',
      status: /^Process exited with code 0$/m.test(output) ? 'completed' : 'failed',
      input: clippedValue(call.input),
      output: clippedValue(output),
    }
  }
}
