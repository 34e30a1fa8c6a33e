import {
  type Alias,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
  type Pair,
  type YAMLMap,
} from 'yaml'

/** Line and column, counted from 1. */
export interface Position {
  line: number
  column: number
}
export type ValuePath = readonly (string | number)[]

/**
 * Finds the position of the key or the value at a path or, given a number, of that character of its text. Something
 * missing gets the position of the nearest thing around it.
 */
export type Locate = (path: ValuePath, at: 'key' | 'value' | number) => Position | undefined

/** The nodes that aliases stand for. */
type Targets = ReadonlyMap<Alias, Node>

export function locator(contents: unknown, targets: Targets, source: string, lines: LineCounter): Locate {
  const childOf = childFinder(targets)
  const position = (offset: number): Position => {
    const { line, col } = lines.linePos(offset)
    return { line, column: col }
  }
  return (path, at) => {
    let node = contents
    let keyOffset = startOf(node)
    for (const part of path) {
      const inner = childOf(node, part)
      if (!inner) return keyOffset === undefined ? undefined : position(keyOffset)
      node = inner.value
      keyOffset = startOf(inner.key) ?? startOf(node) ?? keyOffset
    }
    const valueOffset = startOf(node) ?? keyOffset
    if (typeof at === 'number')
      return (
        characterOf(node, at, source, lines) ??
        (valueOffset === undefined ? undefined : position(valueOffset))
      )
    const offset = at === 'key' ? keyOffset : valueOffset
    return offset === undefined ? undefined : position(offset)
  }
}

function startOf(node: unknown): number | undefined {
  return (node as Node | null | undefined)?.range?.[0]
}

type Child = { key?: unknown; value: unknown }

/** Makes a function that looks children up; the keys of a map are collected once. */
function childFinder(targets: Targets): (node: unknown, part: string | number) => Child | undefined {
  const known = new Map<YAMLMap, Map<string, Pair>>()
  const pairsOf = (map: YAMLMap): Map<string, Pair> => {
    const pairs = known.get(map) ?? new Map(map.items.map((pair) => [keyOf(pair), pair]))
    known.set(map, pairs)
    return pairs
  }
  const childOf = (node: unknown, part: string | number): Child | undefined => {
    const target = isAlias(node) ? targets.get(node) : node
    if (isSeq(target))
      return Object.hasOwn(target.items, part) ? { value: target.items[Number(part)] } : undefined
    if (!isMap(target)) return undefined
    const pairs = pairsOf(target)
    const own = pairs.get(String(part))
    const merged = pairs.get('<<')?.value
    if (own || merged === undefined) return own
    for (const source of isSeq(merged) ? merged.items : [merged]) {
      const found = childOf(source, part)
      if (found) return found
    }
    return undefined
  }
  return childOf
}

/** Returns the key as it appears in the value; the merge key `<<` is a symbol in the tree. */
export function keyOf(pair: Pair): string {
  if (!isScalar(pair.key)) return ''
  const { value } = pair.key
  return typeof value === 'symbol' ? (value.description ?? '') : String(value)
}

/** Finds the position of a character of a text that is written literally: on one line, or in a `|` block. */
function characterOf(node: unknown, index: number, source: string, lines: LineCounter): Position | undefined {
  if (!isScalar(node) || typeof node.value !== 'string' || !node.range) return undefined
  const [start, end] = node.range
  const written = source.slice(start, end)
  for (const opening of [0, 1]) {
    if (written.slice(opening, written.length - opening) !== node.value) continue
    const { line, col } = lines.linePos(start + opening + index)
    return { line, column: col }
  }
  if (node.type !== 'BLOCK_LITERAL') return undefined
  const before = node.value.slice(0, index).split('\n')
  const line = lines.linePos(start).line + before.length
  const text = node.value.split('\n')[before.length - 1]!
  const sourceLine = source
    .slice(lines.lineStarts[line - 1], lines.lineStarts[line] ?? source.length)
    .trimEnd()
  if (!sourceLine.endsWith(text.trimEnd())) return undefined
  return { line, column: sourceLine.length - text.trimEnd().length + before.at(-1)!.length + 1 }
}
