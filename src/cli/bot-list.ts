import { sizeText } from '../contract/amounts.ts'
import { lifeText } from './bot-status.ts'
import { command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson, printTable } from './print.ts'
import { durationText } from './render/units.ts'

/** As it was asked for. */
const memoryText = (size: string | number) => (typeof size === 'number' ? sizeText(size) : size)

export const botList = command({
  summary: 'List bots, newest first: those that have not ended, or all.',
  options: {
    state: { type: 'string', value: 'LIST', help: 'Only these, such as running,crashed' },
    all: { type: 'boolean', short: 'a', help: 'Also those that have ended' },
    owner: { type: 'string', value: 'NAME', help: 'For an admin: only those of this user' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand bot list', 'errand bot list --state crashed --json'],
  async run({ state, all, owner, json, ...hub }) {
    const { bots } = await connect(hub).bots.list({ state, all, owner })
    if (json) {
      printJson(bots)
      return 0
    }
    const owners = new Set(bots.map((bot) => bot.owner)).size > 1
    const rows = bots.map((bot) => [
      bot.bot_id,
      ...(owners ? [bot.owner] : []),
      bot.health === undefined ? bot.state : `${bot.state} (${bot.health.state})`,
      bot.uptime_seconds === undefined ? '' : durationText(bot.uptime_seconds * 1000),
      String(bot.restarts ?? ''),
      bot.deployment_mode,
      lifeText(bot) ?? '',
      memoryText(bot.limits.memory),
      bot.update === undefined ? (bot.message ?? '').split('\n')[0] : `update: ${bot.update.state}`,
    ])
    printTable(
      ['BOT', ...(owners ? ['OWNER'] : []), 'STATE', 'UP', 'RESTARTS', 'MODE', 'LIFE', 'MEMORY', 'WHAT'],
      rows,
      all || state !== undefined
        ? 'There are no such bots.'
        : 'No bots are running. errand bot list --all shows those that have ended.',
    )
    return 0
  },
})
