import type { AgentUpdateOf, ToolKind } from '../../contract/agent.ts'
import { type JsonObject, string } from '../acp/json-shape.ts'
import { present } from '../acp/tool-call.ts'
import { clippedValue } from '../clipped.ts'

type Tool = AgentUpdateOf<'tool'>
type Parts = Pick<Tool, 'title' | 'tool_kind' | 'paths' | 'input'>

interface Known {
  kind: ToolKind
  verb: string
  /** Names of the input that says on what. */
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
  ExitPlanMode: { kind: 'think', verb: 'Put forward a plan', about: [] },
  Task: { kind: 'other', verb: 'Agent:', about: ['description'] },
  Agent: { kind: 'other', verb: 'Agent:', about: ['description'] },
  Skill: { kind: 'other', verb: 'Skill', about: ['skill', 'command'] },
}

export const kindOfTool = (name: string): ToolKind => known[name]?.kind ?? 'other'

/** What is to be told of a tool call, and of the question whether it may be made. */
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
