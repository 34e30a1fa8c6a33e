import { ErrandError } from '../../../contract/errors.ts'

interface Instruction {
  /** Keyword in capitals. */
  keyword: string
  /** Flags such as `--from=build`, of COPY, ADD, FROM and RUN. */
  flags: readonly string[]
  /** Rest of its line, joined with continuation lines. */
  rest: string
}

export interface NumberedInstruction extends Instruction {
  line: number
}

export interface Dockerfile {
  /** Character at the end of a line that joins the next one to it, as its `escape` directive says. */
  joiner: '\\' | '`'
  instructions: readonly NumberedInstruction[]
}

const KEYWORDS =
  'ADD ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL MAINTAINER ONBUILD RUN SHELL STOPSIGNAL USER VOLUME WORKDIR'.split(
    ' ',
  )
const WITH_FLAGS = ['ADD', 'COPY', 'FROM', 'RUN']
/**
 * Matches flags in ASCII: an engine may take a byte of another character for a space, and the rest for another flag.
 */
const PLAIN_FLAG = /^--[a-z-]+=(?:(?!["'\\`$])[!-~])+(?:[ \t]+|$)/

/** Parses a Dockerfile. Text that an engine could read in another way is refused as `source_refused`, with its line. */
export function parseDockerfile(text: string): Dockerfile {
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/)
  const joiner = joinerOf(lines)
  const instructions: NumberedInstruction[] = []
  let open: { line: number; text: string } | undefined
  for (const [index, raw] of lines.entries()) {
    const trimmed = raw.trimStart()
    if (trimmed === '' || trimmed.startsWith('#')) continue
    const line = open?.line ?? index + 1
    if (/[^\P{Cc}\t]/u.test(raw)) throw refusedLine(index + 1, 'contains a control character', 'Remove it.')
    const end = trimmed.trimEnd()
    const goesOn = end.endsWith(joiner)
    if (end.endsWith(joiner + joiner))
      throw refusedLine(index + 1, `ends with ${joiner}${joiner}`, `End it with one ${joiner}, or with none.`)
    // The text before the sign, including blanks, is joined to what follows.
    const part = (open === undefined ? trimmed : raw).trimEnd()
    const joined = (open?.text ?? '') + (goesOn ? part.slice(0, -1) : part)
    open = goesOn ? { line, text: joined } : undefined
    if (!goesOn) instructions.push(numbered(line, joined, joiner))
  }
  if (open !== undefined && open.text.trim() !== '') instructions.push(numbered(open.line, open.text, joiner))
  return { joiner, instructions }
}

/** Formats a Dockerfile so that it can be read in only one way: one line per instruction, and no comments. */
export function dockerfileText({ joiner, instructions }: Dockerfile): string {
  const lines = instructions.map(({ keyword, flags, rest }) => [keyword, ...flags, rest].join(' ').trimEnd())
  return [`# escape=${joiner}`, ...lines, ''].join('\n')
}

/** Parses an instruction; undefined if it is not one. */
function instructionOf(text: string): Instruction | undefined {
  const match = /^\s*([A-Za-z]+)(?:[ \t]+(.*))?$/s.exec(text.trimEnd())
  if (match === null) return undefined
  const keyword = match[1]!.toUpperCase()
  if (!KEYWORDS.includes(keyword)) return undefined
  let rest = match[2]?.trim() ?? ''
  const flags: string[] = []
  if (!WITH_FLAGS.includes(keyword)) return { keyword, flags, rest }
  for (;;) {
    const flag = PLAIN_FLAG.exec(rest)?.[0]
    if (flag === undefined) break
    flags.push(flag.trim())
    rest = rest.slice(flag.length)
  }
  // A flag hidden behind quotes or a variable.
  return rest.startsWith('--') ? undefined : { keyword, flags, rest }
}

export function refusedLine(line: number, why: string, hint: string): ErrandError {
  return new ErrandError('source_refused', `Line ${line} of the Dockerfile ${why}.`, { hint })
}

function numbered(line: number, text: string, joiner: string): NumberedInstruction {
  const instruction = text.trimEnd().endsWith(joiner) ? undefined : instructionOf(text)
  if (instruction !== undefined) return { line, ...instruction }
  const word = JSON.stringify(text.trim().slice(0, 40))
  throw refusedLine(
    line,
    `is not an instruction, or has options in a form that is not supported: ${word}`,
    'Write a Dockerfile instruction, with options such as --from=build. Here-documents (<<EOF) are not supported.',
  )
}

/** Reads the directives, which come before everything else. */
function joinerOf(lines: readonly string[]): '\\' | '`' {
  for (const line of lines) {
    const directive = /^\s*#\s*([a-z][a-z0-9]*)\s*=\s*(\S+)\s*$/i.exec(line)
    if (directive === null) return '\\'
    if (directive[1]!.toLowerCase() === 'escape') return directive[2] === '`' ? '`' : '\\'
  }
  return '\\'
}

/** Returns the images or stages that it copies from. */
export const copiedFrom = ({ flags }: Instruction): string[] =>
  flags.filter((flag) => flag.startsWith(FROM_FLAG)).map((flag) => flag.slice(FROM_FLAG.length))

export const FROM_FLAG = '--from='

/**
 * Reports whether it adds, or could add, something from an address: the engine itself would fetch that, outside all
 * limits of a build. An address needs a colon, and a plain path cannot become one.
 */
export const addsAddress = ({ keyword, rest }: Instruction): boolean =>
  keyword === 'ADD' && /[:$\\`]/.test(rest)

/**
 * Reports whether it adds something that the engine itself would unpack: a small file may become large, outside all
 * limits of a build.
 */
export const unpacks = ({ keyword, rest }: Instruction): boolean =>
  keyword === 'ADD' && /\.(?:tar|tgz|tbz2?|txz|t?gz|bz2|xz|zst)(?=["',\s]|$)/i.test(rest)

/**
 * Reports whether a newer engine would read the following lines as a text (<<EOF), and so see other instructions than
 * this parser. It expands ${…} first.
 */
export const opensText = ({ keyword, rest }: Instruction): boolean =>
  ['ADD', 'COPY', 'RUN', 'ONBUILD'].includes(keyword) && /(?:^|[\s}])\d*<<(?!<)|<(?:\}|\$\{)/.test(rest)

/**
 * Reports whether the text after ONBUILD is refused, since the build that executes it does not check it again. An
 * image's text may have several lines, which the engine would join.
 */
export function isRefusedTrigger(text: string): boolean {
  const instruction = instructionOf(text)
  return (
    instruction === undefined ||
    /[^\P{Cc}\t]/u.test(text) ||
    ['FROM', 'ONBUILD', 'ADD', 'VOLUME'].includes(instruction.keyword) ||
    opensText(instruction) ||
    (instruction.keyword === 'RUN' && instruction.flags.length > 0) ||
    copiedFrom(instruction).length > 0
  )
}

const VARIABLE = /\$(?:([A-Za-z_]\w*)|\{([A-Za-z_]\w*)(?:(:?[-+])([^${}]*))?\})/g

/** Reads the defaults of an ARG before the first FROM; one without a default, or not written plainly, has no value. */
export function readArg(rest: string, variables: Map<string, string>): void {
  for (const [, name, quoted, single, plain] of rest.matchAll(
    /([A-Za-z_]\w*)(?:=(?:"([^"]*)"|'([^']*)'|(\S*)))?(?=\s|$)/g,
  )) {
    const text = quoted ?? single ?? plain
    const value = text === undefined ? undefined : expanded(text, variables)
    if (value === undefined) variables.delete(name!)
    else variables.set(name!, value)
  }
}

/** Expands variables; undefined if one has no value. */
export function expanded(text: string, variables: ReadonlyMap<string, string>): string | undefined {
  let whole = true
  const result = text.replace(VARIABLE, (_all, bare, braced, sign, word) => {
    const value = variables.get(bare ?? braced)
    const isSet = value !== undefined && (value !== '' || sign?.startsWith(':') !== true)
    if (sign?.endsWith('+')) return isSet ? word : ''
    if (isSet) return value
    if (sign === undefined) whole = false
    return word ?? ''
  })
  return whole && result !== '' ? result : undefined
}
