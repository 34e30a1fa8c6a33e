import type { AgentUpdateOf } from '../../contract/agent.ts'
import { titleText } from './agent-title.ts'

/** A question of an agent: its title, and the paths that the title doesn't name. */
export function questionText({ title, tool_kind, paths = [] }: AgentUpdateOf<'permission'>): string {
  return `? ${[titleText(title, tool_kind), ...paths.filter((path) => !title.includes(path))].join('  ')}`
}

/** How it was answered, and by whom where that is known. */
export function answerText({ decision, by, who, rule }: AgentUpdateOf<'permission_answered'>): string {
  const word = decision === 'allow' ? 'allowed' : 'denied'
  const name = who ?? rule ?? (by === 'person' ? undefined : by)
  return name === undefined ? word : `${word} by ${name}`
}
