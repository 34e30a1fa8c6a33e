import { relative } from 'node:path'
import type { AskMode } from '../../agents/agent.ts'
import { clipNote } from '../../agents/clipped.ts'
import type { AgentUpdateOf, Permissions } from '../../contract/agent.ts'
import { ErrandError } from '../../contract/errors.ts'
import { isBelow, realPath } from '../../platform/files.ts'
import { globPattern } from '../../platform/untrusted-input.ts'

export type Decision =
  | { decision: 'allow' | 'deny'; by: 'rule' | 'policy'; rule?: string }
  /** A person decides. */
  | { decision: 'ask' }

/** Throws `invalid_argument` for a glob that is none: the first question would come upon it. */
export function checkRules({ rules }: Permissions): void {
  for (const path of rules.flatMap(({ paths = [] }) => paths))
    try {
      globPattern(path)
    } catch (cause) {
      throw new ErrandError(
        'invalid_argument',
        `args.permissions names "${path}", which is no glob: ${(cause as Error).message}.`,
        { cause, hint: 'A set in brackets goes from the lower character to the higher one, as in [a-z].' },
      )
    }
}

/** How the program has to be started so that these permissions can be kept. */
export function askMode({ mode, rules, otherwise }: Permissions): AskMode {
  if (mode !== 'rules') return mode
  const all = new Set([otherwise, ...rules.map((rule) => rule.decision)])
  return all.size === 1 && all.has('allow') ? 'allow' : 'ask'
}

const READING: readonly string[] = ['read', 'search']

/** Kinds that are always about files: which, is not known where none is named. */
const OF_FILES: readonly string[] = ['read', 'edit', 'delete', 'move']

/** Whether the agent has to ask also before it reads. */
export const asksReading = ({ mode, rules }: Permissions): boolean =>
  mode === 'rules' &&
  rules.some(
    ({ decision, tools }) => decision !== 'allow' && (tools?.some((tool) => READING.includes(tool)) ?? true),
  )

/**
 * Who decides on a question. A rule that allows fits where the question names paths and all of them match; one that
 * denies or asks, where any matches, or where a tool that is always about files names none. One that searches and
 * names none does so in the working folder.
 */
export function decide(
  permissions: Permissions,
  question: AgentUpdateOf<'permission'>,
  cwd: string,
): Decision {
  const { mode, rules, otherwise } = permissions
  if (mode === 'ask') return { decision: 'ask' }
  if (mode !== 'rules') return { decision: mode, by: 'policy' }
  const kind = question.tool_kind ?? 'other'
  const named = question.paths ?? (kind === 'search' ? [cwd] : [])
  const paths = named.map((path) => namesOf(path, cwd))
  const unnamed = paths.length === 0 && OF_FILES.includes(kind)
  for (const [index, rule] of rules.entries()) {
    if (rule.tools && !rule.tools.includes(kind)) continue
    if (rule.paths) {
      const globs = rule.paths.map(globPattern)
      const matches = (names: string[] | undefined) =>
        names === undefined
          ? rule.decision !== 'allow'
          : names.some((name) => globs.some((glob) => glob.test(name)))
      const fits =
        rule.decision === 'allow' ? paths.length > 0 && paths.every(matches) : unnamed || paths.some(matches)
      if (!fits) continue
    }
    if (rule.decision === 'ask') return { decision: 'ask' }
    return { decision: rule.decision, by: 'rule', rule: `rule ${index + 1}` }
  }
  return otherwise === 'ask' ? { decision: 'ask' } : { decision: otherwise, by: 'rule', rule: 'otherwise' }
}

/** A path as globs may name it: absolute, and relative where it is below the folder. Undefined: it leads nowhere. */
function namesOf(path: string, cwd: string): string[] | undefined {
  try {
    const folder = realPath(cwd, '/')
    const real = realPath(path, cwd)
    return isBelow(real, folder) ? [real, relative(folder, real) || '.'] : [real]
  } catch {
    return undefined
  }
}

type Question = AgentUpdateOf<'permission'>

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
  // These are known by the files that they name, all others by what they are given.
  if (OF_FILES.includes(tool_kind)) return paths.map((path) => JSON.stringify([tool_kind, path]))
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
