import { sizeText } from '../../../platform/text.ts'
import { type CommandGroup, command } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { durationText } from '../../render/table.ts'
import { botData } from './bot-data.ts'
import { botLogs } from './bot-logs.ts'
import { botRestart, botStart, botUpdate } from './bot-start.ts'
import { botOwnerOption, botStatus, lifeText } from './bot-status.ts'

const botList = command({
  summary: 'List bots that have not ended, or all bots, newest first.',
  options: {
    state: { type: 'string', value: 'LIST', help: 'Only bots in this state, such as running,crashed' },
    all: { type: 'boolean', short: 'a', help: 'Also bots that have ended' },
    owner: { type: 'string', value: 'NAME', help: 'For admins: only bots of this user' },
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
        ? 'No bots match.'
        : 'No bots are running. errand bot list --all shows those that have ended.',
    )
    return 0
  },
})

const botStop = command({
  summary: 'Stop a bot, and wait until it has ended.',
  args: '<id>',
  options: {
    detach: { type: 'boolean', short: 'd', help: 'Do not wait' },
    ...botOwnerOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand bot stop echo'],
  async run({ detach, owner, json, ...hub }, [id]) {
    const client = connect(hub)
    const { run_id, update } = await client.bots.stop(id!, { owner })
    if (!detach)
      for (const run of [run_id, ...(update === undefined ? [] : [update.run_id])])
        for await (const _event of client.events(run, { reached: true, outputBytes: 0 }));
    const bot = await client.bots.get(id!, { owner })
    if (json) printJson(bot)
    else process.stdout.write(detach ? `${id} is being stopped.\n` : `${id} is ${bot.state}.\n`)
    return 0
  },
})

export const bot: CommandGroup = {
  summary: 'Start and control bots: long-lived programs in containers on the runners of a hub.',
  commands: {
    start: botStart,
    list: botList,
    logs: botLogs,
    status: botStatus,
    stop: botStop,
    restart: botRestart,
    update: botUpdate,
    data: botData,
  },
}

/** Returns a size as text; one that was asked for as text stays as it is. */
const memoryText = (size: string | number) => (typeof size === 'number' ? sizeText(size) : size)
