import type { AgentUpdateOf } from '../../contract/agent.ts'
import { type JsonObject, objects, string } from '../acp/json-shape.ts'

type Plan = AgentUpdateOf<'plan'>

/** The plan that a tool call states. */
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
