import { entriesOf } from './loose.ts'
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
