import type { AttemptSpec } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import * as z from '../contract/mini-zod.ts'

/** The step's args once variables are filled in. Throws `invalid_argument` naming what is wrong. */
export function parseArguments<S extends z.core.$ZodType>(schema: S, spec: AttemptSpec): z.output<S> {
  const parsed = z.safeParse(schema, spec.args)
  if (parsed.success) return parsed.data
  const problems = parsed.error.issues.map(
    (issue) => `${['args', ...issue.path].join('.')}: ${issue.message}`,
  )
  throw new ErrandError('invalid_argument', `Step "${spec.step}" (${spec.action}): ${problems.join('; ')}.`, {
    hint: 'These are the values after variables were filled in; check the variables they come from.',
  })
}
