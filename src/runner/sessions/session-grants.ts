import { clipNote } from '../../agents/clipped.ts'
import type { AgentUpdateOf } from '../../contract/agent.ts'

type Question = AgentUpdateOf<'permission'>

/** These are known by the files that they name, all others by what they are given. */
const OF_FILES: ReadonlySet<Question['tool_kind']> = new Set(['read', 'edit', 'delete', 'move'])
/** Arguments that do not change what is done. */
const WORDS: ReadonlySet<string> = new Set(['description', 'timeout', 'timeout_ms'])

/**
 * The uses of tools that a person has allowed for the rest of a session: the same command in the same folders, or the same kind of
 * change of the same files. What cannot be told apart from another is asked each time.
 */
export class SessionGrants {
  readonly #who = new Map<string, string>()

  add(question: Question, who: string | undefined): void {
    for (const key of keysOf(question)) this.#who.set(key, who ?? 'a person')
  }

  /** Who has allowed it, if somebody has. */
  allows(question: Question): string | undefined {
    const whos = keysOf(question).map((key) => this.#who.get(key))
    return whos.includes(undefined) ? undefined : whos[0]
  }
}

function keysOf(question: Question): string[] {
  const { tool_kind = 'other', paths = [], input } = question
  if (OF_FILES.has(tool_kind)) return paths.map((path) => JSON.stringify([tool_kind, path]))
  // What was cut may go on in any way.
  if (input === undefined || clipNote(input) !== '') return []
  return [JSON.stringify([tool_kind, argumentsOf(input), [...paths].sort()])]
}

function argumentsOf(input: string): unknown {
  try {
    const value: unknown = JSON.parse(input)
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return Object.entries(value)
        .filter(([name]) => !WORDS.has(name))
        .sort(([a], [b]) => (a < b ? -1 : 1))
  } catch {
    // One text.
  }
  return input
}
