import type { AgentUpdateOf } from '../../contract/agent.ts'
import { titleText } from './agent-title.ts'
import { withoutTurning } from './terminal-text.ts'

type Question = AgentUpdateOf<'permission'>

/** Their names and paths say what is done. */
const TOLD_BY_PATHS: ReadonlySet<Question['tool_kind']> = new Set(['read', 'edit', 'search', 'think'])
/** A terminal would carry these out, and hide what stands beside them of a command that a shell runs whole. */
const controls = /[\x00-\x1f\x7f-\x9f]/g
const pictureOf = (control: string): string => {
  const code = control.charCodeAt(0)
  return code < 0x20 ? String.fromCharCode(0x2400 + code) : code === 0x7f ? '\u2421' : '\ufffd'
}

/** A question of an agent in a line: its title, what the title leaves out of what is to be run, and the other paths. */
export function questionText(question: Question): string {
  const { title, tool_kind, paths = [] } = question
  const others = paths.filter((path) => !title.includes(path))
  const told = TOLD_BY_PATHS.has(tool_kind) && paths.length > 0
  const parts = [titleText(title, tool_kind), ...(told ? [] : unsaidInput(question)), ...others]
  // A line that looks like one of its own, or a comment, may end where the next begins.
  return withoutTurning(
    `? ${parts.join('  ')}`.replaceAll('\n', ' \u23ce ').replace(controls, (char) => pictureOf(char)),
  )
}

/** Arguments that the title does not hold: the model may have worded that, and the command be another. */
function unsaidInput({ title, input = '' }: Question): string[] {
  const told = [title]
  return argumentsIn(input).flatMap(([name, text]) => {
    if (name === 'description' || told.some((each) => each.includes(text))) return []
    told.push(text)
    return [name === '' ? text : `${name}: ${text}`]
  })
}

/** By their names; a list is as many of one name. One text where it is no JSON, such as JSON that was cut. */
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
    // As it is.
  }
  return [['', input]]
}

/** How it was answered, and by whom where that is known. */
export function answerText({ decision, by, who, rule }: AgentUpdateOf<'permission_answered'>): string {
  const word = decision === 'allow' ? 'allowed' : 'denied'
  if (by === 'nobody') return `${word}: nobody could be asked`
  const name = who ?? rule ?? (by === 'person' ? undefined : by)
  return name === undefined ? word : `${word} by ${name}`
}
