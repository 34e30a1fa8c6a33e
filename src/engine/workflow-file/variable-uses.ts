import { asList, asMap, entriesOf, own } from './loose-values.ts'
import type { ValuePath } from './positions.ts'
import { variableUses } from './template.ts'

const maxDepth = 100

/** Calls back for each `${…}` in the texts of a value that names one of these variables, with its index in the text. */
export function eachUse(
  path: ValuePath,
  value: unknown,
  names: { has(name: string): boolean },
  found: (path: ValuePath, index: number, name: string) => void,
  depth = 0,
): void {
  // Deeper nesting is reported as a mistake of its own.
  if (depth > maxDepth) return
  if (typeof value === 'string') {
    for (const { name, index } of variableUses(value)) if (names.has(name)) found(path, index, name)
  } else
    for (const [key, inner] of Array.isArray(value) ? value.entries() : entriesOf(value))
      eachUse([...path, key], inner, names, found, depth + 1)
}

/** Returns the variables that a step declares to set. */
export function declaredExports(step: unknown): string[] {
  const set = own(step, 'action') === 'vars.set' ? own(own(step, 'args'), 'vars') : undefined
  return [
    ...Object.keys(asMap(own(step, 'outputs')) ?? {}),
    ...asList(own(step, 'expect_vars')).filter((name) => typeof name === 'string'),
    ...Object.keys(asMap(set) ?? {}),
  ]
}

const exportLine = /BOPS_EXPORT:([A-Za-z_]\w{0,127})=/g

/**
 * Returns the declared exports, and those that its script names or its sub-workflow returns. Other exports that a
 * program prints are unknown.
 */
export function knownExports(step: unknown): Set<string> {
  const args = own(step, 'args')
  const script = own(args, 'export_vars') === true ? `${own(args, 'cmd')} ${own(args, 'script')}` : ''
  return new Set([
    ...declaredExports(step),
    ...[...script.matchAll(exportLine)].map(([, name]) => name!),
    ...Object.keys(asMap(own(own(args, 'workflow'), 'outputs')) ?? {}),
  ])
}

/** Matches a first line that passes the text to something other than a shell. */
const otherInterpreter = /^#!(?!.*\b(?:ba|da|k|z)?sh\b)/
/** Matches what makes a text unclear: other texts may set variables, or this one is not expanded as a whole. */
const unclear = /(?:^|[\s;&|(])(?:\.|source|eval)\s|<<-?\s*['"\\]/
/** Matches text that the shell leaves unchanged: escaped, in single quotes, a comment. */
const literal = /\\[\s\S]|"(?:\\[\s\S]|[^"\\])*"|'[^']*'|(?<=^|\s)#.*/gm
const read = /\$\{?[#!]?([A-Za-z_]\w*)/g
const bare = /(?<![\w$]|\$\{[#!]?)[A-Za-z_]\w*/g

/**
 * Returns the variables that a shell's text certainly takes from its environment, and where: a name that also appears
 * without its `$` may be set there.
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
