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

/**
 * Checks the globs. Throws `invalid_argument` for a wrong one, which would otherwise surface only with the first
 * question.
 */
export function checkRules({ rules }: Permissions): void {
  for (const path of rules.flatMap(({ paths = [] }) => paths))
    try {
      globPattern(path)
    } catch (cause) {
      throw new ErrandError(
        'invalid_argument',
        `args.permissions names "${path}", which is not a valid glob: ${(cause as Error).message}.`,
        {
          cause,
          hint: 'In a set in brackets, write the lower character before the higher one, as in [a-z].',
        },
      )
    }
}

/** Returns how to start the program so that these permissions can be enforced. */
export function askMode({ mode, rules, otherwise }: Permissions): AskMode {
  if (mode !== 'rules') return mode
  const all = new Set([otherwise, ...rules.map((rule) => rule.decision)])
  return all.size === 1 && all.has('allow') ? 'allow' : 'ask'
}

const READING: readonly string[] = ['read', 'search']

/** Kinds that always concern files, even if the question names none. */
const OF_FILES: readonly string[] = ['read', 'edit', 'delete', 'move']

/** Reports whether the agent must also ask before it reads. */
export const coversReading = ({ mode, rules }: Permissions): boolean =>
  mode === 'rules' &&
  rules.some(
    ({ decision, tools }) => decision !== 'allow' && (tools?.some((tool) => READING.includes(tool)) ?? true),
  )

/**
 * Decides who answers a question. A rule that allows applies if the question names paths and all of them match. A rule
 * that denies or asks applies if any path matches, or if a tool that always concerns files names none. A search without
 * paths searches the working folder.
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

/**
 * Returns a path in the forms that globs may use: absolute, and relative if below the folder. Undefined if it leads
 * nowhere.
 */
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
 * Remembers the uses of tools that a person has allowed for the rest of a session: the same command in the same
 * folders, or the same kind of change to the same files. A use that cannot be identified is asked each time.
 */
export class SessionGrants {
  readonly #who = new Map<string, string>()

  add(question: Question, who: string | undefined): void {
    for (const key of keysOf(question)) this.#who.set(key, who ?? 'a person')
  }

  /** Returns who has allowed it, if anybody. */
  allows(question: Question): string | undefined {
    const whos = keysOf(question).map((key) => this.#who.get(key))
    return whos.includes(undefined) ? undefined : whos[0]
  }
}

function keysOf(question: Question): string[] {
  const { tool_kind = 'other', paths = [], input } = question
  // These are identified by the files that they name, all others by their arguments.
  if (OF_FILES.includes(tool_kind)) return paths.map((path) => JSON.stringify([tool_kind, path]))
  // A truncated argument may continue in any way.
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
    // Plain text.
  }
  return input
}
