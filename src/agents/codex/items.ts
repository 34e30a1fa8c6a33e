import type { AgentUpdateOf } from '../../contract/agent.ts'
import { type JsonObject, object, objects, string } from '../acp/json-shape.ts'
import { present } from '../acp/tool-call.ts'
import { clippedValue } from '../clipped.ts'
import { changedPaths, changeKind, fileDiffs } from './file-changes.ts'
import { readingCommand } from './reading-command.ts'

type Tool = AgentUpdateOf<'tool'>
type ToolParts = Omit<Tool, 'kind' | 'tool_id'>

const statuses: Record<string, NonNullable<Tool['status']>> = {
  inProgress: 'running',
  completed: 'completed',
  failed: 'failed',
  declined: 'denied',
}

/** A tool call among the items of a thread, as it has begun or as it has ended; undefined: the item is none. */
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

/** Of an item, and of the question whether it may run. */
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

/** Without the shell that codex wraps around it; a model may name another, which is not hidden. */
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
