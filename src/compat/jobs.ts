import * as z from 'zod'
import { BotId } from '../contract/bots/bot.ts'
import { BotLogsQuery, StartBot } from '../contract/bots/bot-api.ts'
import type { JobRequest } from '../contract/bots/job-api.ts'
import { ErrandError, type ErrorCode } from '../contract/errors.ts'
import type { Reason } from '../contract/status.ts'

const bot = { bot_id: BotId }
/** The fields that each action takes in addition to its name, with the names of `/api/bots`. */
const actions = {
  start: StartBot,
  stop: z.strictObject(bot),
  restart: z.strictObject(bot),
  status: z.strictObject(bot),
  logs: z.strictObject({
    ...bot,
    tail: BotLogsQuery.shape.tail,
    lines: BotLogsQuery.shape.tail.optional().describe('Same as `tail`'),
    search: BotLogsQuery.shape.search,
  }),
  list: z.strictObject({}),
} as const
type Actions = typeof actions

export type Job = { [A in keyof Actions]: { action: A; data: z.infer<Actions[A]> } }[keyof Actions]

/**
 * Reads a job. `check` throws `bad_request` for what the schema does not accept. Throws `bad_request`,
 * `invalid_argument`.
 */
export function readJob(
  body: JobRequest,
  check: (schema: z.ZodType, value: unknown, place: string) => unknown,
): Job {
  if (body.blueprint !== 'bot_runner')
    throw new ErrandError('invalid_argument', `Unknown blueprint "${body.blueprint}".`, {
      hint: 'Use "bot_runner". Start workflows and agents with POST /api/runs.',
    })
  const { action, ...data } = body.data
  const names = Object.keys(actions)
  if (typeof action !== 'string' || !names.includes(action))
    throw new ErrandError('invalid_argument', `data.action is ${JSON.stringify(action) ?? 'missing'}.`, {
      hint: `Use one of ${names.join(', ')}.`,
    })
  return { action, data: check(actions[action as keyof Actions], data, 'data') } as Job
}

/** Returns an error's name in this API: `QUOTA_EXCEEDED`. */
export const jobErrorCode = (code: ErrorCode | Reason): string => code.toUpperCase()
