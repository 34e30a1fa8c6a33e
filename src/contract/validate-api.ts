import * as z from 'zod'

/** `POST /api/validate`. */

export const ValidateRequest = z.strictObject({ yaml: z.string().max(4 * 1024 * 1024) })
/** A problem that a workflow file has, or may have. */
export const Problem = z.object({
  severity: z.enum(['error', 'warning']),
  message: z.string(),
  hint: z.string().optional(),
  file: z.string().optional(),
  line: z.number().int().optional().describe('Counted from 1'),
  column: z.number().int().optional().describe('Counted from 1'),
  path: z.string().describe('Where in the value, such as `steps[0].args.cmd`'),
  confidential: z.literal(true).optional().describe('Its line holds a credential, and is not to be shown'),
})
export type Problem = z.infer<typeof Problem>
export const ValidateAnswer = z.object({ valid: z.boolean(), problems: z.array(Problem) })
export type ValidateAnswer = z.infer<typeof ValidateAnswer>
