import type * as z from 'zod'
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
