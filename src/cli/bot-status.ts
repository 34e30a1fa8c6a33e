import { sizeText } from '../contract/amounts.ts'
import { DEFAULT_WORK } from '../contract/bot.ts'
import type { BotView } from '../contract/bot-api.ts'
import { command } from './command.ts'
import { connect } from './connection.ts'
import { hubOptions } from './hub-options.ts'
import { jsonOption, printJson, printTable } from './print.ts'
import { durationText } from './render/units.ts'

/** For an admin: whose bot is meant. */
export const botOwnerOption = {
  owner: { type: 'string', value: 'NAME', help: 'For an admin: the user whose bot it is' },
} as const

export const botStatus = command({
  summary: 'Show a bot.',
  args: '<id>',
  options: { ...botOwnerOption, ...hubOptions, ...jsonOption },
  examples: ['errand bot status echo'],
  async run({ owner, json, ...hub }, [id]) {
    const bot = await connect(hub).bots.get(id!, { owner })
    if (json) printJson(bot)
    else printTable(['BOT', bot.bot_id], facts(bot), '')
    return 0
  },
})

function facts(bot: BotView): string[][] {
  const { memory, cpus, processes, disk, work = DEFAULT_WORK, log } = bot.limits
  const { data } = bot
  const all: [string, string | number | undefined][] = [
    ['state', bot.state],
    ['up', bot.uptime_seconds === undefined ? undefined : durationText(bot.uptime_seconds * 1000)],
    ['why', bot.reason?.replaceAll('_', ' ')],
    ['message', bot.message],
    ['exit code', bot.exit_code],
    ['restarts', bot.restarts],
    ['owner', bot.owner],
    ['run', bot.run_id],
    ['runner', bot.runner],
    ['mode', bot.deployment_mode],
    ['image', bot.image],
    ['created', bot.created_at],
    ['started', bot.started_at],
    ['ended', bot.finished_at],
    [
      'limits',
      `${memory} memory, kept for it, ${cpus} cpus, ${processes} processes, ${disk} /tmp, ${work} working folder, ${log} log a day`,
    ],
    [
      'data',
      data &&
        `${data.path}, ${data.bytes === undefined ? 'size not known now' : sizeText(data.bytes)} of ${sizeText(data.limit_bytes)}${data.runner === undefined ? '' : `, on ${data.runner}`}`,
    ],
    [
      'restart',
      bot.restart.policy === 'no' ? 'no' : `${bot.restart.policy}, ${bot.restart.max_restarts} times`,
    ],
    ['time', bot.timeout_seconds === undefined ? undefined : durationText(bot.timeout_seconds * 1000)],
    ['secrets', bot.env_vars.join(', ')],
    [
      'env',
      Object.entries(bot.env)
        .map((pair) => pair.join('='))
        .join(', '),
    ],
    [
      'update',
      bot.update && [bot.update.state, bot.update.message, bot.update.run_id].filter(Boolean).join('; '),
    ],
  ]
  return all.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, String(value)]]))
}
