import type { AgentUpdateOf } from '../../contract/agent.ts'

/** A question of an agent: its title, and the paths that the title doesn't name. */
export function questionText({ title, paths = [] }: AgentUpdateOf<'permission'>): string {
  return `? ${[title, ...paths.filter((path) => !title.includes(path))].join('  ')}`
}

/** How it was answered, and by whom where that is known. */
export function answerText({ decision, by, who, rule }: AgentUpdateOf<'permission_answered'>): string {
  const word = decision === 'allow' ? 'allowed' : 'denied'
  const name = who ?? rule ?? (by === 'person' ? undefined : by)
  return name === undefined ? word : `${word} by ${name}`
}
