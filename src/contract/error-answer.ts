import * as z from 'zod'

/** What every refused or failed request is answered with, as `ErrandError.toBody` makes it. */

export const ErrorAnswer = z.object({
  error: z.object({
    code: z.string().describe('Stable; may be scripted against'),
    message: z.string(),
    hint: z.string().optional(),
    details: z.unknown().optional(),
  }),
})
