import { setTimeout as sleep } from 'node:timers/promises'
import type { ErrandClient } from '../client/client.ts'
import type { BotView } from '../contract/bot-api.ts'
import { ErrandError } from '../contract/errors.ts'
import { isFinalRun } from '../contract/status.ts'
import { untilUp } from './bot-progress.ts'
import { botRequest, botRequestOptions } from './bot-request.ts'
import { command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson } from './print.ts'
import { lineText } from './render/terminal-text.ts'

const LOOK_MS = 300

export const botUpdate = command({
  summary:
    'Change a running bot: the new one is brought up, then the old one is stopped. What is not given stays.',
  args: '<id> [more.py...]',
  options: {
    ...botRequestOptions,
    detach: { type: 'boolean', short: 'd', help: 'Do not wait until it has taken over' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand bot update echo --simple bot.py -r "aiogram>=3.0"',
    'errand bot update echo -e BOT_TOKEN --memory 512MB',
    'errand bot update news --image ghcr.io/user/bot:v2',
  ],
  async run({ detach, json, url, token, ...given }, [id, ...more]) {
    const client = connect({ url, token })
    const bot = await client.bots.update(id!, await botRequest(client, given, more))
    for (const warning of bot.warnings) process.stderr.write(`warning: ${lineText(warning)}\n`)
    const run_id = bot.update?.run_id ?? bot.run_id
    if (detach) {
      if (json) printJson(bot)
      else process.stdout.write(`${id} is being updated (${run_id})\n`)
      return 0
    }
    const code = await untilUp(client, { bot_id: id!, run_id })
    const now = code === 0 ? await takenOver(client, id!, run_id) : await client.bots.get(id!)
    if (json) printJson(now)
    if (now.run_id !== run_id) throw failed(now)
    if (!json) process.stdout.write(`${id} is updated (${run_id})\n`)
    return code
  },
})

/** The bot once the new run is its own, or has ended. */
async function takenOver(client: ErrandClient, id: string, runId: string): Promise<BotView> {
  for (;;) {
    const bot = await client.bots.get(id)
    const { update } = bot
    if (bot.run_id === runId || update?.run_id !== runId || isFinalRun(update.status)) return bot
    await sleep(LOOK_MS)
  }
}

const failed = ({ bot_id, run_id, state, update }: BotView): ErrandError =>
  new ErrandError(
    'run_failed',
    `${bot_id} was not updated: the new one has ${update?.state ?? 'ended'}${update?.message === undefined ? '' : ` (${update.message})`}.`,
    {
      hint: `The one before is ${state} as it was (${run_id}). Of the new one: errand runs logs ${update?.run_id}`,
    },
  )
