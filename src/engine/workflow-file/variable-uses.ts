import { asList, asMap, entriesOf, own } from './loose-values.ts'
import type { ValuePath } from './positions.ts'
import { variableUses } from './template.ts'

const maxDepth = 100

/** Each `${…}` in the texts of a value that names one of these variables, and where in its text it stands. */
export function eachUse(
  path: ValuePath,
  value: unknown,
  names: { has(name: string): boolean },
  found: (path: ValuePath, index: number, name: string) => void,
  depth = 0,
): void {
  // What is nested deeper is a mistake of its own.
  if (depth > maxDepth) return
  if (typeof value === 'string') {
    for (const { name, index } of variableUses(value)) if (names.has(name)) found(path, index, name)
  } else
    for (const [key, inner] of Array.isArray(value) ? value.entries() : entriesOf(value))
      eachUse([...path, key], inner, names, found, depth + 1)
}

/** The variables that a step says it sets. */
export function declaredExports(step: unknown): string[] {
  const set = own(step, 'action') === 'vars.set' ? own(own(step, 'args'), 'vars') : undefined
  return [
    ...Object.keys(asMap(own(step, 'outputs')) ?? {}),
    ...asList(own(step, 'expect_vars')).filter((name) => typeof name === 'string'),
    ...Object.keys(asMap(set) ?? {}),
  ]
}

const exportLine = /BOPS_EXPORT:([A-Za-z_]\w{0,127})=/g

/** Those, and what its script names or its sub-workflow answers; what else a program prints nobody knows. */
export function knownExports(step: unknown): Set<string> {
  const args = own(step, 'args')
  const script = own(args, 'export_vars') === true ? `${own(args, 'cmd')} ${own(args, 'script')}` : ''
  return new Set([
    ...declaredExports(step),
    ...[...script.matchAll(exportLine)].map(([, name]) => name!),
    ...Object.keys(asMap(own(own(args, 'workflow'), 'outputs')) ?? {}),
  ])
}

/** A first line that hands the text to no shell. */
const otherInterpreter = /^#!(?!.*\b(?:ba|da|k|z)?sh\b)/
/** Other texts may set variables then, or this one is not expanded as a whole. */
const unclear = /(?:^|[\s;&|(])(?:\.|source|eval)\s|<<-?\s*['"\\]/
/** Text that the shell leaves as it is: escaped, in single quotes, a comment. */
const literal = /\\[\s\S]|"(?:\\[\s\S]|[^"\\])*"|'[^']*'|(?<=^|\s)#.*/gm
const read = /\$\{?[#!]?([A-Za-z_]\w*)/g
const bare = /(?<![\w$]|\$\{[#!]?)[A-Za-z_]\w*/g

/**
 * The variables that a shell's text takes from its environment, and where, as far as that is sure: a name that stands
 * anywhere without its `$` may be set there.
 */
export function shellReads(text: string): { name: string; index: number }[] {
  if (!text.includes('$') || otherInterpreter.test(text) || unclear.test(text)) return []
  const set = new Set([...text.matchAll(bare)].map(([name]) => name))
  const expanded = text.replace(literal, (part) =>
    part.startsWith('"') ? part.replace(/\\[\s\S]/g, '  ') : ' '.repeat(part.length),
  )
  return [...expanded.matchAll(read)].flatMap(({ 1: name, index }) =>
    set.has(name!) ? [] : { name: name!, index },
  )
}
