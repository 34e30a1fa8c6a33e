import * as z from 'zod'

/** The answer of `GET /api/hub`. */
export const HubFacts = z.object({
  version: z.string(),
  uptime_seconds: z.number(),
  data: z.object({
    bytes: z.number().int().describe('Of the files in its data folder; looked at each minute at most'),
    is_whole: z.boolean().describe('False: there are more files than were counted'),
    free_bytes: z.number().int().describe('That its disk has left'),
  }),
  runs_kept_seconds: z.number().optional().describe('How long an ended run is kept; absent: for ever'),
  tenants: z.array(z.object({ name: z.string(), users: z.number().int(), admins: z.number().int() })),
})
export type HubFacts = z.infer<typeof HubFacts>
