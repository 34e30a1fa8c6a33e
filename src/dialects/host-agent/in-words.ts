import type * as z from 'zod'
import { safeParse } from '../../engine/file/safe-parse.ts'
import { type Finding, findingsOf, unknownKey } from '../../engine/file/sentences.ts'

/** A mistake, as the API of a hub tells it in `details`. */
interface Told {
  field: string
  message: string
  hint?: string
}

type Read<T> = { data: T; wrong?: undefined } | { wrong: string; hint?: string; details: Told[] }

/**
 * Reads a value by its schema. `wrong`: its mistakes in words, each beginning with its field, or with `whole`; `hint`: what
 * to write for the first that has one.
 */
export function readInWords<S extends z.core.$ZodType>(
  schema: S,
  value: unknown,
  whole: string,
): Read<z.output<S>> {
  const parsed = safeParse(schema, value)
  if (parsed.success) return { data: parsed.data }
  const details = findingsOf(parsed.error.issues, schema, value).map((finding) => told(finding, whole))
  return {
    wrong: details.map(({ field, message }) => `${field} ${message}`).join('; '),
    hint: details.find(({ hint }) => hint !== undefined)?.hint,
    details,
  }
}

const told = ({ path, says, hint }: Finding, whole: string): Told => ({
  field: path.length === 0 ? whole : path.join('.'),
  message: says === unknownKey ? 'is not known here' : says,
  hint: typeof hint === 'function' ? hint() : hint,
})
