import type { AttemptSpec } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import * as z from '../contract/mini-zod.ts'

/** Parses the step's args, with variables already filled in. Throws `invalid_argument`, naming each wrong field. */
export function parseArguments<S extends z.core.$ZodType>(schema: S, spec: AttemptSpec): z.output<S> {
  const parsed = z.safeParse(schema, spec.args, { error: words })
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(
    (issue) => `${['args', ...issue.path].join('.')}: ${issue.message}`,
  )
  throw new ErrandError('invalid_argument', `${problems.join('; ')}.`, {
    hint: 'These are the values after variables were filled in; check the variables they come from.',
  })
}

/** Returns a message for a mistake that the check of the file could not find, since only texts contain variables. */
function words(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_value') return `must be one of ${issue.values.map(String).join(', ')}`
  if (issue.code === 'too_small' && issue.origin === 'string') return 'must not be empty'
  return issue.code === 'invalid_type' ? 'has the wrong type' : undefined
}
