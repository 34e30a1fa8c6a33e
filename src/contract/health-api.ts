import * as z from 'zod'

/** `GET /health`. */

export const Health = z.object({
  status: z.literal('ok'),
  ok: z.literal(true),
  version: z.string(),
  uptime_seconds: z.number(),
})
export type Health = z.infer<typeof Health>
