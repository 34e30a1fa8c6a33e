import type { AgentUpdate, AgentUpdateOf } from '../../contract/agent.ts'
import { type Color, withoutTurning } from './terminal-text.ts'

interface Call {
  title?: string
  kind?: string
  paths?: readonly string[]
  diffs: NonNullable<AgentUpdateOf<'tool'>['diffs']>
  shown: boolean
}

export interface Followed {
  /** Action that the tool is about to take; set the first time that it is known. */
  label?: string
  ended?: {
    label: string
    status: 'completed' | 'failed' | 'denied'
    diffs: Call['diffs']
    /** The tool's own text about its failure. */
    why?: string
  }
}

/** Collects the updates of tool calls, which arrive piece by piece. */
export class AgentTools {
  readonly #calls = new Map<string, Call>()
  /** Calls that have ended: a denied one is reported as failed too. */
  readonly #ended = new Set<string>()

  follow({ tool_id, title, tool_kind, status, diffs, paths, output }: AgentUpdateOf<'tool'>): Followed {
    if (this.#ended.has(tool_id)) return {}
    const call: Call = this.#calls.get(tool_id) ?? { diffs: [], shown: false }
    this.#calls.set(tool_id, call)
    call.title = title ?? call.title
    call.kind = tool_kind ?? call.kind
    call.paths = paths ?? call.paths
    // The last update has the complete change.
    if (diffs !== undefined) call.diffs = diffs
    const label = labelOf(call, tool_id)
    if (status === 'completed' || status === 'failed' || status === 'denied') {
      this.#calls.delete(tool_id)
      this.#ended.add(tool_id)
      const why = status === 'completed' ? undefined : output?.trim()
      return { ended: { label, status, diffs: call.diffs, ...(why ? { why } : {}) } }
    }
    if (call.shown) return {}
    call.shown = true
    return { label }
  }
}

function labelOf({ title, kind, paths = [] }: Call, id: string): string {
  const what = titleText(title, kind) ?? id
  const where = paths.filter((path) => !what.includes(path) && !what.includes(path.split('/').at(-1)!))
  return [what, ...where.slice(0, 2)].join('  ')
}

/**
 * Returns what a tool is about to do. Some agents give only a path as the title, so that the kind is added.
 */
const titleText = (title: string | undefined, kind: string | undefined): string | undefined =>
  title !== undefined && kind !== undefined && /^\S*\/\S*$/.test(title) ? `${kind} ${title}` : (title ?? kind)

type Question = AgentUpdateOf<'permission'>

/** Kinds of tools whose names and paths say enough about what they do. */
const DESCRIBED_BY_PATHS: ReadonlySet<Question['tool_kind']> = new Set(['read', 'edit', 'search', 'think'])
/** Control characters: a terminal would obey them and so hide parts of a command that a shell runs as a whole. */
const controls = /[\x00-\x1f\x7f-\x9f]/g
const pictureOf = (control: string): string => {
  const code = control.charCodeAt(0)
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '\u2421' : '\ufffd'
}

/** Formats an agent's question as one line: its title, the arguments that the title omits, and the other paths. */
export function questionText(question: Question): string {
  const { title, tool_kind, paths = [] } = question
  const others = paths.filter((path) => !title.includes(path))
  const isByPaths = DESCRIBED_BY_PATHS.has(tool_kind) && paths.length > 0
  const parts = [titleText(title, tool_kind), ...(isByPaths ? [] : unsaidInput(question)), ...others]
  // Line feeds are shown, as a command may hide a second line behind a harmless first one, such as a comment.
  return withoutTurning(
    `? ${parts.join('  ')}`.replaceAll('\n', ' \u23ce ').replace(controls, (char) => pictureOf(char)),
  )
}

/** Returns the arguments that the title does not contain: the model may have written a title for another command. */
function unsaidInput({ title, input = '' }: Question): string[] {
  const parts = [title]
  return argumentsIn(input).flatMap(([name, text]) => {
    if (name === 'description' || parts.some((each) => each.includes(text))) return []
    parts.push(text)
    return [name === '' ? text : `${name}: ${text}`]
  })
}

/** Returns arguments by name, a list as several of one name. Text that is not (whole) JSON is one argument. */
function argumentsIn(input: string): [name: string, text: string][] {
  try {
    const value: unknown = JSON.parse(input)
    if (typeof value === 'object' && value !== null)
      return Object.entries(value).flatMap(([name, each]) =>
        [each]
          .flat()
          .map((one): [string, string] => [name, typeof one === 'string' ? one : JSON.stringify(one)]),
      )
  } catch {
    // Returned as it is.
  }
  return [['', input]]
}

/** Returns how a question was answered, and by whom if that is known. */
export function answerText({
  decision,
  by,
  who,
  rule,
  scope,
  reason,
}: AgentUpdateOf<'permission_answered'>): string {
  const word = decision === 'allow' ? 'allowed' : 'denied'
  if (by === 'nobody') return `${word}: nobody could be asked`
  const name = who ?? rule ?? (by === 'person' ? undefined : by)
  const whole = name === undefined ? word : `${word} by ${name}`
  return `${whole}${scope === undefined ? '' : ', for this session'}${reason === undefined ? '' : `: ${reason}`}`
}

interface AgentLine {
  color: Color
  text: string
}

/** Formats what a person reads of an agent's step besides its output, which holds the agent's messages. */
export class AgentLines {
  readonly #tools = new AgentTools()

  add(update: AgentUpdate): AgentLine | undefined {
    switch (update.kind) {
      case 'tool': {
        const { ended } = this.#tools.follow(update)
        if (ended === undefined) return undefined
        return {
          color: ended.status === 'completed' ? 'dim' : 'yellow',
          text: `${ended.status} ${ended.label}`,
        }
      }
      case 'permission':
        return { color: 'yellow', text: questionText(update) }
      case 'permission_answered':
        return { color: 'dim', text: answerText(update) }
      case 'verify':
        if (update.status === 'running') return undefined
        return {
          color: update.status === 'passed' ? 'green' : 'red',
          text: `verify ${update.status}: ${commandText(update.command)}`,
        }
      case 'retry':
        return { color: 'yellow', text: `the model service failed (${update.failure}), retrying` }
      case 'notice':
        return { color: 'dim', text: update.text }
      default:
        return undefined
    }
  }
}

/** Returns a command for display: the comment that it begins with, if there is one. */
export const commandText = (command: string): string => /^# (.+)\n/.exec(command)?.[1] ?? command
