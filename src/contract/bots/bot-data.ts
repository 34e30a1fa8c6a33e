import * as z from 'zod'
import { WantedPlace } from './bot.ts'

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
export const WantedData = z
  .union([z.boolean(), WantedPlace])
  .describe('A place that outlives restarts, updates and stops; true: as it was, else 1 GB at /data')
export type WantedData = z.infer<typeof WantedData>

export const BotDataView = z.object({
  bot_id: z.string(),
  owner: z.string(),
  runner: z
    .string()
    .optional()
    .describe('The runner that has it; none before the bot was up for the first time'),
  path: z.string(),
  limit_bytes: z.number().describe('What may stand in it, which counts for the quota'),
  bytes: z
    .number()
    .optional()
    .describe('What stands in it now; absent where its runner is away, or cannot measure it'),
  in_use: z.boolean().describe('The bot has not ended'),
  created_at: z.string().optional().describe('RFC 3339, UTC'),
})
export type BotDataView = z.infer<typeof BotDataView>

export const BotDataList = z.object({
  data: z.array(BotDataView),
  limit_bytes: z.number().describe('What all data of one user may have together'),
})
export type BotDataList = z.infer<typeof BotDataList>

export const RemoveBotData = z.strictObject({
  owner: z.string().optional().describe('Whose bot, for an admin'),
  force: z
    .stringbool()
    .default(false)
    .describe('Stop the bot first; and forget data whose runner is away, which is then left there'),
})
