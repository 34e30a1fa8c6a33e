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
import type { Problem } from './problem.ts'
import { tooMuchByAliases, unreadable, type YamlFault, yamlProblems } from './yaml-problems.ts'

export interface ParsedYaml {
  /** Absent where there are problems. */
  value?: unknown
  locate: Locate
  problems: Problem[]
}

/** Reads one YAML document. Mistakes of the YAML itself are problems, at most twenty of them. */
export function parseYaml(text: string): ParsedYaml {
  const lines = new LineCounter()
  try {
    // The library's own search for repeated keys takes a time that grows with their square.
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

/** The library looks through all of them for each alias. */
const maxAnchorsAndAliases = 2000

/**
 * Finds repeated and reserved keys and aliases of nothing, keeps numbers that become variables as they are written, and
 * answers what each alias stands for.
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

/** In characters and entries; a file without aliases is bounded by its own length. */
const maxExpandedSize = 8 * 1024 * 1024

/** How large a value is with everything that aliases share written out. */
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

/** A number that becomes a variable keeps its digits: 3.10 is not 3.1. */
const becomesText =
  /^(.*\.args\.workflow\.)?(env|inputs\.[^.]+\.(default|enum)|(steps|finally)\.\d+\.(env|matrix|foreach|args\.(vars|inputs)))(\.|$)/

function pathOf(ancestors: readonly unknown[], node: unknown): string {
  const path: (string | number)[] = []
  for (const [index, ancestor] of ancestors.entries()) {
    if (isPair(ancestor)) path.push(keyOf(ancestor))
    const next = ancestors[index + 1] ?? node
    const items = (ancestor as { items?: unknown }).items
    if (!isPair(next) && Array.isArray(items)) path.push(items.indexOf(next))
  }
  return path.join('.')
}
