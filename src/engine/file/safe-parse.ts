import type * as z from 'zod'

/**
 * Parses a stranger's value. For a wrong type zod's own wording turns the `constructor.name` of an object without
 * the usual prototype into text, which throws where that is no text.
 */
export function safeParse<T extends z.ZodType>(schema: T, value: unknown): z.ZodSafeParseResult<z.output<T>> {
  return schema.safeParse(value, {
    error: (issue) => (issue.code === 'invalid_type' ? 'wrong type' : undefined),
  })
}
