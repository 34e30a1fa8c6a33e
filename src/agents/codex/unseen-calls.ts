import type { AgentUpdateOf, ToolKind } from '../../contract/agent.ts'
import { type JsonObject, objects, parsedObject, string } from '../acp/json-shape.ts'
import { clippedValue } from '../clipped.ts'

/** Tools whose every call should be an item of the thread; `exec` runs code that makes such calls. */
const SHOWN = /^(exec|exec_command|shell|shell_command|local_shell|apply_patch)$/

interface Call {
  name: string
  input: string
}

/**
 * A command that fails in codex's sandbox, or a patch that it rejects by itself, is no item of the thread: without the
 * raw items of the model's answers nobody would see that it was tried.
 */
export class UnseenCalls {
  readonly #calls = new Map<string, Call>()

  /** It is an item after all. */
  seen(callId: string): void {
    this.#calls.delete(callId)
    // The calls that code makes have ids of their own.
    for (const [id, { name }] of this.#calls) if (name === 'exec') this.#calls.delete(id)
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
    const output =
      string(item.output) ??
      objects(item.output)
        .map(({ text }) => string(text) ?? '')
        .join('')
    if (call === undefined || output === '') return undefined
    this.#calls.delete(id)
    return {
      kind: 'tool',
      tool_id: id,
      ...described(call),
      status: succeeded(output) ? 'completed' : 'failed',
      input: clippedValue(call.input),
      output: clippedValue(output),
    }
  }
}

function described({ name, input }: Call): { title: string; tool_kind: ToolKind } {
  if (name === 'apply_patch') return { title: 'Apply a patch', tool_kind: 'edit' }
  if (name === 'exec') return { title: 'Run code', tool_kind: 'execute' }
  return { title: string(parsedObject(input)?.cmd) ?? name, tool_kind: 'execute' }
}

const succeeded = (output: string): boolean =>
  /^Process exited with code 0$/m.test(output) ||
  (output.startsWith('Script completed') && !/"exit_code": ?[1-9]/.test(output))
