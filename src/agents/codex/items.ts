import type { AgentUpdateOf, ToolKind } from '../../contract/agent.ts'
import { type JsonObject, object, objects, parsedObject, string } from '../acp/json-rpc.ts'
import { present } from '../acp/session-updates.ts'
import { clipped, clippedValue, DIFF_TEXT_BYTES } from '../clipped.ts'
import { readingCommand } from './reading-command.ts'

type Tool = AgentUpdateOf<'tool'>
type ToolParts = Omit<Tool, 'kind' | 'tool_id'>

const statuses: Record<string, NonNullable<Tool['status']>> = {
  inProgress: 'running',
  completed: 'completed',
  failed: 'failed',
  declined: 'denied',
}

/** Returns the update for a started or ended tool call among a thread's items; undefined for another item. */
export function toolOfItem(item: JsonObject, ended: boolean): Tool | undefined {
  const parts = readers[string(item.type) ?? '']?.(item)
  if (parts === undefined) return undefined
  const status = statuses[string(item.status) ?? ''] ?? (ended ? 'completed' : 'running')
  return present<Tool>({ kind: 'tool', tool_id: string(item.id) ?? '', ...parts, status })
}

const readers: Record<string, (item: JsonObject) => ToolParts> = {
  commandExecution: commandParts,
  fileChange: (item) => ({
    title: fileChangeTitle(objects(item.changes)),
    tool_kind: changeKind(objects(item.changes)),
    paths: changedPaths(objects(item.changes)),
    diffs: fileDiffs(objects(item.changes)),
  }),
  mcpToolCall: (item) => ({
    title: `${string(item.server) ?? 'mcp'}: ${string(item.tool) ?? 'tool'}`,
    tool_kind: 'other',
    input: clippedValue(item.arguments),
    output: clippedValue(string(object(item.error)?.message) ?? contentText(object(item.result)?.content)),
  }),
  dynamicToolCall: (item) => ({
    title: string(item.tool) ?? 'tool',
    tool_kind: 'other',
    input: clippedValue(item.arguments),
    output: clippedValue(contentText(item.contentItems)),
  }),
  collabAgentToolCall: (item) => ({
    title: `Agent: ${string(item.tool) ?? 'call'}`,
    tool_kind: 'other',
    input: clippedValue(string(item.prompt)),
  }),
  webSearch: (item) => ({ title: `Search the web: ${string(item.query) ?? ''}`, tool_kind: 'fetch' }),
  imageView: (item) => {
    const path = string(item.path) ?? 'image'
    return { title: `View ${path}`, tool_kind: 'read', paths: [path] }
  },
}

/** Returns the parts of a command, from its item or from the approval request. */
export function commandParts(item: JsonObject): ToolParts {
  const command = bareCommand(string(item.command) ?? '')
  const reading = readingCommand(command, string(item.cwd) ?? '/')
  const exit =
    typeof item.exitCode === 'number' && item.exitCode !== 0 ? `exit code ${item.exitCode}` : undefined
  const output = [string(item.aggregatedOutput), exit].filter((part) => part !== undefined && part !== '')
  return {
    title: command,
    tool_kind: reading?.tool_kind ?? 'execute',
    input: clippedValue({ command, cwd: item.cwd }),
    output: output.length === 0 ? undefined : clippedValue(output.join('\n')),
    paths: reading?.paths,
  }
}

/** Returns a command without the usual shell that codex wraps around it; another shell stays visible. */
function bareCommand(command: string): string {
  const inner = /^(?:\/(?:usr\/(?:local\/)?)?bin\/)?(?:ba|z|da)?sh -l?c (.*)$/s.exec(command)?.[1]
  if (inner === undefined) return command
  const single = /^'((?:[^']|'\\'')*)'$/s.exec(inner)?.[1]
  if (single !== undefined) return single.replaceAll("'\\''", "'")
  const double = /^"((?:[^"\\]|\\.)*)"$/s.exec(inner)?.[1]
  return double === undefined ? inner : double.replace(/\\(["\\$`])/g, '$1')
}

function fileChangeTitle(changes: readonly JsonObject[]): string {
  const paths = changedPaths(changes)
  const verb = { delete: 'Delete', move: 'Move', edit: 'Edit' }[changeKind(changes)]
  return `${verb} ${paths.slice(0, 3).join(', ')}${paths.length > 3 ? ` and ${paths.length - 3} more` : ''}`
}

const contentText = (content: unknown): string | undefined => {
  const texts = objects(content).flatMap(({ text }) => string(text) ?? [])
  return texts.length === 0 ? undefined : texts.join('\n')
}

type FileDiff = NonNullable<AgentUpdateOf<'tool'>['diffs']>[number]

/** Most bytes of all diffs in one update, far below the limit of an update. */
const UPDATE_DIFF_BYTES = 160 * 1024

const typeOf = (change: JsonObject): string => string(object(change.kind)?.type) ?? 'update'
const movedTo = (change: JsonObject): string | undefined => string(object(change.kind)?.move_path)

const changedPaths = (changes: readonly JsonObject[]): string[] => [
  ...new Set(changes.flatMap((change) => [string(change.path) ?? [], movedTo(change) ?? []].flat())),
]

function changeKind(changes: readonly JsonObject[]): 'edit' | 'delete' | 'move' {
  if (changes.length === 0) return 'edit'
  if (changes.every((change) => typeOf(change) === 'delete')) return 'delete'
  return changes.every((change) => movedTo(change) !== undefined) ? 'move' : 'edit'
}

/** Returns the diffs of changes. For an added or deleted file, `diff` is the plain text; otherwise a unified diff. */
function fileDiffs(changes: readonly JsonObject[]): FileDiff[] {
  const maxBytes = Math.min(DIFF_TEXT_BYTES, Math.floor(UPDATE_DIFF_BYTES / Math.max(1, changes.length)))
  return changes.map((change) => {
    const path = movedTo(change) ?? string(change.path) ?? ''
    const text = clipped(string(change.diff) ?? '', maxBytes)
    if (typeOf(change) === 'add') return { path, new_text: text }
    return typeOf(change) === 'delete' ? { path, old_text: text } : { path, unified: text }
  })
}

/** Matches tools whose every call should be an item of the thread; `exec` runs code that makes such calls. */
const SHOWN = /^(exec|exec_command|shell|shell_command|local_shell|apply_patch)$/

interface Call {
  name: string
  input: string
}

/**
 * Finds calls that are not items of the thread: a command that fails in codex's sandbox, or a patch that codex itself
 * rejects. Only the raw items of the model's answers show that they were tried.
 */
export class UnseenCalls {
  readonly #calls = new Map<string, Call>()

  /** Forgets a call that is an item of the thread. */
  seen(callId: string): void {
    this.#calls.delete(callId)
    // Calls made by code have other ids.
    for (const [id, { name }] of this.#calls) if (name === 'exec') this.#calls.delete(id)
  }

  /** Takes a `rawResponseItem/completed`; returns the update for a call that was not an item. */
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
