import { ErrandError } from '../../contract/errors.ts'
import type { RunRecord } from '../../contract/run.ts'

/** How many bots a user may have, how long one lives, and what their data may have together. */
export interface BotQuota {
  maxBots: number
  /** Infinity: without end. */
  maxSeconds: number
  maxDataBytes: number
  /** Life of one that asks for none; default: the longest, or a day where that has no end. */
  defaultSeconds?: number
}
const DAY_SECONDS = 86_400
export const DEFAULT_BOT_QUOTA: BotQuota = {
  maxBots: 3,
  maxSeconds: DAY_SECONDS,
  maxDataBytes: 5 * 1024 ** 3,
}

/** Of a bot that asks for none. */
export const defaultSeconds = ({ maxSeconds, defaultSeconds }: BotQuota): number =>
  Math.min(defaultSeconds ?? (Number.isFinite(maxSeconds) ? maxSeconds : DAY_SECONDS), maxSeconds)

/** Throws `bot_exists` and `quota_exceeded` where one more bot of this id is one too many beside the open runs of its owner. */
export function checkQuota(botId: string, open: readonly RunRecord[], { maxBots }: BotQuota): void {
  const same = open.find(({ workflow_name }) => workflow_name === botId)
  if (same !== undefined)
    throw new ErrandError('bot_exists', `You have a bot "${botId}" already: run ${same.run_id}.`, {
      hint: `Change it with: errand bot update ${botId}, begin it again with: errand bot restart ${botId}, or choose another id.`,
      details: { run_id: same.run_id },
    })
  const bots = [...new Set(open.map(({ workflow_name }) => workflow_name))].sort()
  if (bots.length < maxBots) return
  throw new ErrandError('quota_exceeded', `Maximum ${maxBots} ${maxBots === 1 ? 'bot' : 'bots'}`, {
    hint:
      bots.length === 0
        ? 'No bots are allowed on this hub.'
        : `You have ${bots.map((id) => `"${id}"`).join(', ')}. End one with: errand bot stop ${bots[0]}`,
    details: { bots, max: maxBots },
  })
}
