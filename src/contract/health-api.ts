import * as z from 'zod'

/** `GET /health`. */

export const Health = z.object({
  status: z.literal('ok'),
  ok: z.literal(true),
  version: z.string(),
  uptime_seconds: z.number(),
  taking_up: z
    .object({ done: z.number(), of: z.number() })
    .optional()
    .describe(
      'Set after a start while open runs are taken up again: how many of them are. Runners are welcomed when all are',
    ),
})
export type Health = z.infer<typeof Health>
