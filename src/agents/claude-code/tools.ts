import type { AgentUpdateOf, ToolKind } from '../../contract/agent.ts'
import { type JsonObject, object, objects, parsedObject, string } from '../acp/json-rpc.ts'
import { present } from '../acp/session-updates.ts'
import type { ProtocolPort, SessionRequest } from '../agent.ts'
import { clipped, clippedValue, DIFF_TEXT_BYTES } from '../clipped.ts'

type Tool = AgentUpdateOf<'tool'>
type Parts = Pick<Tool, 'title' | 'tool_kind' | 'paths' | 'input'>

interface Known {
  kind: ToolKind
  verb: string
  /** Input fields that name the object of the call. */
  about: readonly string[]
}

const known: Record<string, Known> = {
  Read: { kind: 'read', verb: 'Read', about: ['file_path'] },
  Write: { kind: 'edit', verb: 'Write', about: ['file_path'] },
  Edit: { kind: 'edit', verb: 'Edit', about: ['file_path'] },
  MultiEdit: { kind: 'edit', verb: 'Edit', about: ['file_path'] },
  NotebookEdit: { kind: 'edit', verb: 'Edit', about: ['notebook_path'] },
  Bash: { kind: 'execute', verb: '', about: ['command'] },
  Glob: { kind: 'search', verb: 'Find', about: ['pattern'] },
  Grep: { kind: 'search', verb: 'Search for', about: ['pattern'] },
  LS: { kind: 'search', verb: 'List', about: ['path'] },
  ToolSearch: { kind: 'think', verb: 'Look for tools:', about: ['query'] },
  WebFetch: { kind: 'fetch', verb: 'Fetch', about: ['url'] },
  WebSearch: { kind: 'fetch', verb: 'Search the web for', about: ['query'] },
  TodoWrite: { kind: 'think', verb: 'Plan', about: [] },
  ExitPlanMode: { kind: 'think', verb: 'Propose a plan', about: [] },
  Task: { kind: 'other', verb: 'Agent:', about: ['description'] },
  Agent: { kind: 'other', verb: 'Agent:', about: ['description'] },
  Skill: { kind: 'other', verb: 'Skill', about: ['skill', 'command'] },
}

const kindOfTool = (name: string): ToolKind => known[name]?.kind ?? 'other'

/** Returns the parts of a tool call for its update and for the permission request. */
export function toolParts(name: string, input: JsonObject): Parts {
  const tool = known[name]
  const about = tool?.about.map((key) => string(input[key])).find((text) => text !== undefined)
  const paths = ['file_path', 'notebook_path', 'path'].flatMap((key) => string(input[key]) ?? [])
  const title = [tool === undefined ? name : tool.verb, about].filter(
    (part) => part !== undefined && part !== '',
  )
  return present({
    title: title.length === 0 ? name : title.join(' '),
    tool_kind: kindOfTool(name),
    paths: paths.length === 0 ? undefined : [...new Set(paths)],
    input: Object.keys(input).length === 0 ? undefined : clippedValue(input),
  })
}

type Plan = AgentUpdateOf<'plan'>

/** Returns the plan that a tool call states, if it states one. */
export function planOf(tool: string, input: JsonObject): Plan | undefined {
  if (tool === 'TodoWrite') return { kind: 'plan', entries: objects(input.todos).map(entry) }
  const text = tool === 'ExitPlanMode' ? string(input.plan) : undefined
  if (text === undefined || text.trim() === '') return undefined
  const items = text.split('\n').flatMap((line) => /^\s*(?:[-*]|\d+[.)])\s+(.+)$/.exec(line)?.[1] ?? [])
  const texts = items.length === 0 ? [text.trim()] : items
  return { kind: 'plan', entries: texts.map((each) => ({ text: each, status: 'pending' })) }
}

function entry({ content, status }: JsonObject): Plan['entries'][number] {
  const text = string(content) ?? ''
  return { text, status: status === 'in_progress' || status === 'completed' ? status : 'pending' }
}

type FileDiff = NonNullable<Tool['diffs']>[number]

/** Returns updates for the tools whose results are in a `user` line. */
export function toolResults(line: JsonObject): Tool[] {
  const blocks = objects(object(line.message)?.content).filter(({ type }) => type === 'tool_result')
  const metas = new Map(objects(line.tool_result_meta).map((meta) => [string(meta.id), meta]))
  return blocks.map((block) => {
    const id = string(block.tool_use_id) ?? ''
    const failed = block.is_error === true
    const status = failed ? (refused(metas.get(id)) ? 'denied' : 'failed') : 'completed'
    // `tool_use_result` belongs to the whole line, so it is certain only for a single block.
    const detail = blocks.length === 1 && !failed ? object(line.tool_use_result) : undefined
    const diff = detail === undefined ? undefined : fileDiff(detail)
    return present({
      kind: 'tool',
      tool_id: id,
      status,
      output: clippedValue(contentText(block.content)),
      diffs: diff === undefined ? undefined : [diff],
    })
  })
}

function refused(meta: JsonObject | undefined): boolean {
  return (
    object(meta?.permission_decision)?.decision === 'reject' || meta?.non_execution_kind === 'permission-rule'
  )
}

function contentText(content: unknown): string | undefined {
  if (typeof content === 'string') return content
  const parts = objects(content).map(({ type, text }) => string(text) ?? `(${string(type) ?? 'unknown'})`)
  return parts.length === 0 ? undefined : parts.join('\n')
}

/** Returns the change by `Write` or `Edit`: the whole texts if they are small, otherwise the patch. */
function fileDiff(result: JsonObject): FileDiff | undefined {
  const path = string(result.filePath)
  if (path === undefined || result.structuredPatch === undefined) return undefined
  const content = string(result.content)
  const old = string(result.originalFile)
  if (content !== undefined && old === undefined) return { path, new_text: clipped(content, DIFF_TEXT_BYTES) }
  const unified = objects(result.structuredPatch).map(hunk).join('')
  return unified === '' ? undefined : { path, unified: clipped(unified, DIFF_TEXT_BYTES) }
}

function hunk({ oldStart, oldLines, newStart, newLines, lines }: JsonObject): string {
  const texts = Array.isArray(lines) ? lines.filter((line) => typeof line === 'string') : []
  return `@@ -${oldStart},${oldLines} +${newStart},${newLines} @@\n${texts.map((line) => `${line}\n`).join('')}`
}

/** Handles the questions that the program asks over its control channel. */
export class Questions {
  readonly #ask: SessionRequest['ask']
  readonly #port: ProtocolPort
  /** Tool inputs by the id of the question; the answer sends the input back. */
  readonly #open = new Map<string, JsonObject>()

  constructor(ask: SessionRequest['ask'], port: ProtocolPort) {
    this.#ask = ask
    this.#port = port
  }

  /** Takes a `control_request`. */
  handleRequest(line: JsonObject): void {
    const id = string(line.request_id)
    const request = object(line.request) ?? {}
    if (id === undefined) return
    const tool = string(request.tool_name) ?? 'tool'
    const input = object(request.input) ?? {}
    if (request.subtype !== 'can_use_tool') this.#refuse(id, string(request.subtype) ?? 'unknown')
    else if (this.#ask === 'ask') this.#put(id, tool, input, string(request.tool_use_id))
    else this.#decide(id, input, this.#ask === 'allow' || readsOnly(tool))
  }

  /** Takes a `control_cancel_request`, which comes when the turn was interrupted. */
  withdrawn(line: JsonObject): void {
    this.#open.delete(string(line.request_id) ?? '')
  }

  answer(requestId: string, decision: 'allow' | 'deny', reason?: string, edited?: string): void {
    const input = this.#open.get(requestId)
    if (input === undefined) return
    this.#open.delete(requestId)
    this.#decide(requestId, parsedObject(edited ?? '') ?? input, decision === 'allow', reason)
  }

  #put(id: string, tool: string, input: JsonObject, toolId: string | undefined): void {
    this.#open.set(id, input)
    const { title = tool, ...parts } = toolParts(tool, input)
    const question = { kind: 'permission', request_id: id, tool_id: toolId, title, editable: true } as const
    this.#port.update(present({ ...question, ...parts }))
  }

  #decide(id: string, input: JsonObject, allowed: boolean, reason?: string): void {
    const why = reason === undefined ? 'this is not permitted here. Continue without it.' : reason
    const response = allowed
      ? { behavior: 'allow', updatedInput: input }
      : { behavior: 'deny', message: `Denied: ${why}` }
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
