import * as z from 'zod'
import { RequestedPlace } from './bot.ts'

/** A hub's questions to a runner about the data of a bot, and the requests and answers of `/api/bots/:id/data`. */

export const DataAsk = z.object({
  /** `export`: the tar comes as the body of `PUT /api/runner-answers/<ask id>`, and the answer after it. */
  what: z.enum(['measure', 'export', 'remove']),
  bot_id: z.string(),
  owner: z.string(),
  tenant: z.string(),
  /** Most bytes that may be there: a much longer export is not data. */
  limit_bytes: z.number().optional(),
})
export type DataAsk = z.infer<typeof DataAsk>

export const DataAnswer = z.object({
  /** Whether there is such data after the operation. */
  exists: z.boolean(),
  /** Absent when it cannot be measured. */
  bytes: z.number().optional(),
  error: z.object({ code: z.string(), message: z.string(), hint: z.string().optional() }).optional(),
})
export type DataAnswer = z.infer<typeof DataAnswer>

/** The data that a bot is to have; false: none, and existing data stays where it is. */
export const RequestedData = z
  .union([z.boolean(), RequestedPlace])
  .describe(
    'A folder for data that survives restarts, updates and stops; true: as before, or else 1 GB at /data',
  )
export type RequestedData = z.infer<typeof RequestedData>

export const BotDataView = z.object({
  bot_id: z.string(),
  owner: z.string(),
  runner: z
    .string()
    .optional()
    .describe('The runner that stores the data; absent until the bot was up for the first time'),
  path: z.string(),
  limit_bytes: z.number().describe('How large the data may become; this size counts toward the quota'),
  bytes: z
    .number()
    .optional()
    .describe('Size of the data now; absent if the runner is away or cannot measure it'),
  in_use: z.boolean().describe('Whether the bot has not ended'),
  created_at: z.string().optional().describe('RFC 3339, UTC'),
})
export type BotDataView = z.infer<typeof BotDataView>

export const BotDataList = z.object({
  data: z.array(BotDataView),
  limit_bytes: z.number().describe('How large all data of one user may be together'),
})
export type BotDataList = z.infer<typeof BotDataList>

export const RemoveBotData = z.strictObject({
  owner: z.string().optional().describe('Owner of the bot; only for admins'),
  force: z
    .stringbool()
    .default(false)
    .describe('Stop the bot first. If the runner is away, forget the data; it then stays on that runner'),
})
