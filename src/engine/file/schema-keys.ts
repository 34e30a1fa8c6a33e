import * as z from '../../contract/mini-zod.ts'
import type { ValuePath } from './positions.ts'

interface Definition {
  type: string
  innerType?: z.core.$ZodType
  element?: z.core.$ZodType
  valueType?: z.core.$ZodType
  in?: z.core.$ZodType
  options?: readonly z.core.$ZodType[]
  shape?: Readonly<Record<string, z.core.$ZodType>>
}

/** The keys that a schema has for the map at `path`; none where that is no map of fixed keys. */
export function keysAt(schema: z.core.$ZodType, path: ValuePath): string[] {
  const definition = schema._zod.def as unknown as Definition
  const [first, ...rest] = path
  if (definition.innerType) return keysAt(definition.innerType, path)
  if (definition.in) return keysAt(definition.in, path)
  if (definition.options) return definition.options.flatMap((option) => keysAt(option, path))
  if (definition.shape) {
    if (first === undefined) return Object.keys(definition.shape)
    const inner = Object.hasOwn(definition.shape, first) ? definition.shape[first] : undefined
    return inner ? keysAt(inner, rest) : []
  }
  const inner = definition.element ?? definition.valueType
  return inner && first !== undefined ? keysAt(inner, rest) : []
}

/** The examples that a schema has for the value at `path`; none where it says none. */
export function examplesAt(schema: z.core.$ZodType, path: ValuePath): readonly unknown[] {
  const definition = schema._zod.def as unknown as Definition
  const [first, ...rest] = path
  const { examples } = (z.globalRegistry.get(schema) ?? {}) as { examples?: readonly unknown[] }
  if (path.length === 0 && examples !== undefined) return examples
  const inner = definition.innerType ?? definition.in
  if (inner) return examplesAt(inner, path)
  if (first === undefined) return []
  const next = definition.shape ? definition.shape[first] : (definition.element ?? definition.valueType)
  return next ? examplesAt(next, rest) : []
}
