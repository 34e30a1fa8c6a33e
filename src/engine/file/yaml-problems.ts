import type { LineCounter } from 'yaml'
import { type Problem, sortProblems } from './problem.ts'

/** As the library reports it, or we in its manner: `pos` begins with the offset in the text. */
export interface YamlFault {
  code: string
  message: string
  pos: readonly number[]
}

const maxProblems = 20
const tooDeep = 'the file is nested too deeply'

/** One slip in YAML tends to be reported several times over: the first of each line is kept. */
export function yamlProblems(faults: readonly YamlFault[], text: string, lines: LineCounter): Problem[] {
  const all = faults.map(({ code, message, pos }): Problem => {
    const { line, col } = lines.linePos(pos[0] ?? 0)
    return {
      severity: 'error',
      path: '',
      line,
      column: col,
      ...explain(code, message, text.slice(0, pos[0])),
    }
  })
  const kept = new Map<number | undefined, Problem>()
  for (const problem of sortProblems(all)) if (!kept.has(problem.line)) kept.set(problem.line, problem)
  return [...kept.values()].slice(0, maxProblems)
}

/** Returns the problem of a text in which there is no document to speak of. */
export function unreadable(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error)
  return atStart(error instanceof RangeError ? tooDeep : `not valid YAML: ${firstLine(message)}`)
}

export function tooMuchByAliases(): Problem {
  return { ...atStart('the file is too large with its aliases written out'), hint: aliasHint }
}

const aliasHint = 'an alias (*name) repeats all that its anchor (&name) holds; use fewer'

function atStart(message: string): Problem {
  return { severity: 'error', path: '', line: 1, column: 1, message }
}

function explain(code: string, message: string, before: string): Pick<Problem, 'message' | 'hint'> {
  if (message.startsWith('Maximum call stack')) return { message: tooDeep }
  switch (code) {
    case 'MULTIPLE_DOCS':
      return {
        message: 'the file holds several YAML documents',
        hint: 'keep one workflow in a file, without a second "---"',
      }
    case 'DUPLICATE_KEY':
      return { message: `key "${message}" is written twice`, hint: 'keep one of them' }
    case 'RESERVED_KEY':
      return { message: `nothing can be named "${message}"`, hint: 'choose another name' }
    case 'TAB_AS_INDENT':
      return { message: 'a tab is used to indent', hint: 'YAML is indented with spaces only' }
    case 'TAG_RESOLVE_FAILED':
      return {
        message: `YAML reads "!" here as a tag: ${firstLine(message)}`,
        hint: 'put the whole value in quotes',
      }
    case 'TOO_MANY_ALIASES':
      return { message: 'the file has too many anchors and aliases', hint: 'write some of them out' }
    case 'CIRCULAR_ALIAS':
      return { message: `alias *${message} stands inside its own anchor`, hint: aliasHint }
    case 'BAD_ALIAS':
      return {
        message: `no anchor &${message} stands before this alias`,
        hint: 'put text that begins with "*" in quotes',
      }
    default:
      return { message: `not valid YAML: ${firstLine(message)}`, hint: quotesHint(code, before) }
  }
}

const slips: Readonly<Record<string, string | undefined>> = {
  BLOCK_IN_FLOW: 'within { } and [ ] put a text that has ": " or "- " in it in quotes as a whole',
  BAD_INDENT: 'give this line the indentation of the line that it belongs to; YAML counts spaces',
  MULTILINE_IMPLICIT_KEY: 'a key stands on one line, with ": " behind it',
  BAD_DQ_ESCAPE: 'within "…" a \\ is written \\\\; or use single quotes',
}

/** Most often a value holds a character that means something to YAML. */
function quotesHint(code: string, before: string): string | undefined {
  const slip = slips[code]
  if (before.endsWith('$')) return 'within [ ] and { } put it in quotes: "${NAME}"'
  const quotable = ['BAD_SCALAR_START', 'UNEXPECTED_TOKEN', 'MISSING_CHAR', 'BLOCK_AS_IMPLICIT_KEY']
  if (!quotable.includes(code))
    return slip ?? 'look at the indentation and the quotes of this line and the one before'
  return 'a value with : # { } [ ] & * ! or quotes in it goes in quotes as a whole'
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0]!
}
