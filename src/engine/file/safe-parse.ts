import * as z from '../../contract/mini-zod.ts'

/**
 * Parses a stranger's value. For a wrong type zod's own wording turns the `constructor.name` of an object without
 * the usual prototype into text, which throws where that is no text.
 */
export function safeParse<T extends z.core.$ZodType>(
  schema: T,
  value: unknown,
): z.core.util.SafeParseResult<z.output<T>> {
  return z.safeParse(schema, value, {
    error: (issue) => (issue.code === 'invalid_type' ? 'wrong type' : undefined),
  })
}
