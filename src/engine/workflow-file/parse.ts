import {
  type Alias,
  type Document,
  isPair,
  isScalar,
  LineCounter,
  type Node,
  parseDocument,
  type Scalar,
  visit,
  type YAMLMap,
  type YAMLSeq,
} from 'yaml'
import { keyOf, type Locate, locator } from './positions.ts'
import { type Problem, sortProblems } from './problems.ts'

export interface ParsedYaml {
  /** Absent when there are problems. */
  value?: unknown
  locate: Locate
  problems: Problem[]
}

/** Reads one YAML document. Returns mistakes of the YAML itself as problems, at most twenty of them. */
export function parseYaml(text: string): ParsedYaml {
  const lines = new LineCounter()
  try {
    // The library's own search for repeated keys takes quadratic time.
    const options = { lineCounter: lines, merge: true, prettyErrors: false, uniqueKeys: false }
    const document = parseDocument(text, options)
    const { faults, targets } = review(document)
    const locate = locator(document.contents, targets, text, lines)
    const all = [...document.errors, ...document.warnings, ...faults]
    if (all.length > 0) return { locate, problems: yamlProblems(all, text, lines) }
    const value: unknown = document.toJS({ maxAliasCount: -1 })
    if (targets.size > 0 && expandedSize(value) > maxExpandedSize) {
      return { locate, problems: [tooMuchByAliases()] }
    }
    return { value, locate, problems: [] }
  } catch (error) {
    return { locate: () => undefined, problems: [unreadable(error)] }
  }
}

/** The library searches all of them for each alias. */
const maxAnchorsAndAliases = 2000

/**
 * Finds repeated and reserved keys and aliases of nothing, preserves the digits of numbers that become variables, and
 * returns what each alias stands for.
 */
function review(document: Document): { faults: YamlFault[]; targets: Map<Alias, Node> } {
  const faults: YamlFault[] = []
  const anchors = new Map<string, Node>()
  const targets = new Map<Alias, Node>()
  let named = 0
  const count = (node: Node) => {
    if (++named === maxAnchorsAndAliases)
      faults.push({ code: 'TOO_MANY_ALIASES', message: '', pos: node.range ?? [0] })
  }
  const name = (node: YAMLMap | YAMLSeq | Scalar) => {
    if (node.anchor === undefined) return
    anchors.set(node.anchor, node)
    count(node)
  }
  visit(document, {
    Alias(_key, node: Alias, ancestors) {
      const target = anchors.get(node.source)
      if (!target || ancestors.includes(target)) {
        faults.push({
          code: target ? 'CIRCULAR_ALIAS' : 'BAD_ALIAS',
          message: node.source,
          pos: node.range ?? [0],
        })
      } else targets.set(node, target)
      count(node)
    },
    Seq: (_key, node: YAMLSeq) => name(node),
    Map(_key, node: YAMLMap) {
      name(node)
      const seen = new Set<string>()
      for (const pair of node.items) {
        if (!isScalar(pair.key)) continue
        const key = keyOf(pair)
        if (key === '__proto__')
          faults.push({ code: 'RESERVED_KEY', message: key, pos: pair.key.range ?? [0] })
        if (seen.has(key)) faults.push({ code: 'DUPLICATE_KEY', message: key, pos: pair.key.range ?? [0] })
        seen.add(key)
      }
    },
    Scalar(key, node: Scalar, ancestors) {
      name(node)
      if (typeof node.value !== 'number' || key === 'key') return
      if (node.source === undefined || node.source === String(node.value)) return
      if (becomesText.test(pathOf(ancestors, node))) node.value = node.source
    },
  })
  return { faults, targets }
}

/** Limit in characters and entries; a file without aliases is limited by its own length. */
const maxExpandedSize = 8 * 1024 * 1024

/** Returns the size of a value when all that aliases share is written out. */
function expandedSize(value: unknown, sizes = new Map<object, number>()): number {
  if (typeof value === 'string') return value.length
  if (typeof value !== 'object' || value === null) return 1
  const known = sizes.get(value)
  if (known !== undefined) return known
  let size = 1
  for (const [key, inner] of Object.entries(value)) size += key.length + 1 + expandedSize(inner, sizes)
  sizes.set(value, size)
  return size
}

/** Matches places where a number becomes a variable and keeps its digits: 3.10 is not 3.1. */
const becomesText =
  /^(.*\.args\.workflow\.|playbooks?\.(\d+\.)?)?(env|inputs\.[^.]+\.(default|enum)|(steps|finally)\.\d+\.(env|matrix|foreach|args\.(vars|inputs)))(\.|$)/

/** Returns a path of names. Each place in a list is 0, because finding its index takes quadratic time. */
function pathOf(ancestors: readonly unknown[], node: unknown): string {
  const path: (string | number)[] = []
  for (const [index, ancestor] of ancestors.entries()) {
    if (isPair(ancestor)) path.push(keyOf(ancestor))
    const next = ancestors[index + 1] ?? node
    const items = (ancestor as { items?: unknown }).items
    if (!isPair(next) && Array.isArray(items)) path.push(0)
  }
  return path.join('.')
}

/** A fault in the library's form, whether reported by it or by Errand: `pos` begins with the offset in the text. */
interface YamlFault {
  code: string
  message: string
  pos: readonly number[]
}

const maxProblems = 20
const tooDeep = 'the file is nested too deeply'

/** Reduces the problems to the first of each line, because one slip in YAML tends to be reported several times. */
function yamlProblems(faults: readonly YamlFault[], text: string, lines: LineCounter): Problem[] {
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
  const first = new Map<number | undefined, Problem>()
  for (const problem of sortProblems(all)) if (!first.has(problem.line)) first.set(problem.line, problem)
  return [...first.values()].slice(0, maxProblems)
}

/** Returns the problem of a text that contains no usable document. */
function unreadable(error: unknown): Problem {
  const message = error instanceof Error ? error.message : String(error)
  return atStart(error instanceof RangeError ? tooDeep : `not valid YAML: ${firstLine(message)}`)
}

function tooMuchByAliases(): Problem {
  return { ...atStart('the file is too large once its aliases are expanded'), hint: aliasHint }
}

const aliasHint = 'an alias (*name) repeats everything in its anchor (&name); use fewer'

function atStart(message: string): Problem {
  return { severity: 'error', path: '', line: 1, column: 1, message }
}

function explain(code: string, message: string, before: string): Pick<Problem, 'message' | 'hint'> {
  if (message.startsWith('Maximum call stack')) return { message: tooDeep }
  switch (code) {
    case 'MULTIPLE_DOCS':
      return {
        message: 'the file contains several YAML documents',
        hint: 'keep one document per file, without a second "---"',
      }
    case 'DUPLICATE_KEY':
      return { message: `key "${message}" appears twice`, hint: 'keep one of them' }
    case 'RESERVED_KEY':
      return { message: `"${message}" is not allowed as a name`, hint: 'choose another name' }
    case 'TAB_AS_INDENT':
      return { message: 'a tab is used for indentation', hint: 'indent YAML only with spaces' }
    case 'TAG_RESOLVE_FAILED':
      return {
        message: `YAML reads "!" here as a tag: ${firstLine(message)}`,
        hint: 'put the whole value in quotes',
      }
    case 'TOO_MANY_ALIASES':
      return {
        message: 'the file has too many anchors and aliases',
        hint: 'replace some of them by their content',
      }
    case 'CIRCULAR_ALIAS':
      return { message: `alias *${message} is inside its own anchor`, hint: aliasHint }
    case 'BAD_ALIAS':
      return {
        message: `there is no anchor &${message} before this alias`,
        hint: 'put text that starts with "*" in quotes',
      }
    default:
      return { message: `not valid YAML: ${firstLine(message)}`, hint: quotesHint(code, before) }
  }
}

const slips: Readonly<Record<string, string | undefined>> = {
  BLOCK_IN_FLOW: 'inside { } and [ ], put a whole text in quotes if it contains ": " or "- "',
  BAD_INDENT: 'indent this line like the line that it belongs to; YAML counts spaces',
  MULTILINE_IMPLICIT_KEY: 'write a key on one line, followed by ": "',
  BAD_DQ_ESCAPE: 'inside "…", write \\\\ for a \\, or use single quotes',
}

/** Suggests quotes: most often a value contains a character that has a meaning in YAML. */
function quotesHint(code: string, before: string): string | undefined {
  const slip = slips[code]
  if (before.endsWith('$')) return 'inside [ ] and { }, put it in quotes: "${NAME}"'
  const quotable = ['BAD_SCALAR_START', 'UNEXPECTED_TOKEN', 'MISSING_CHAR', 'BLOCK_AS_IMPLICIT_KEY']
  if (!quotable.includes(code))
    return slip ?? 'check the indentation and the quotes of this line and the one before'
  return 'put the whole value in quotes if it contains : # { } [ ] & * ! or quotes'
}

function firstLine(message: string): string {
  return message.split('\n', 1)[0]!
}
