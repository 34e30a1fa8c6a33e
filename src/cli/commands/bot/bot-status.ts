import { type BotUsage, DEFAULT_WORK } from '../../../contract/bots/bot.ts'
import type { BotView } from '../../../contract/bots/bot-api.ts'
import { sizeText } from '../../../platform/text.ts'
import { command } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { durationText } from '../../render/table.ts'

/** Option by which an admin says whose bot is meant. */
export const botOwnerOption = {
  owner: { type: 'string', value: 'NAME', help: 'For admins: the user whose bot it is' },
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

/** Returns the longest life of a bot as text; undefined if it is not known. */
export function lifeText({ timeout_seconds }: BotView): string | undefined {
  if (timeout_seconds === null) return 'unlimited'
  return timeout_seconds === undefined ? undefined : durationText(timeout_seconds * 1000)
}

/** Returns what a bot uses now, used at most and used so far, as far as these are known. */
function usageFacts({ usage = {} }: BotView): [string, string | undefined][] {
  const text = (now: string | undefined, most: string | undefined, so: string | undefined) => {
    const parts = [now, most && `at most ${most}`, so && `${so} so far`].filter(Boolean)
    return parts.length === 0 ? undefined : parts.join(', ')
  }
  const shown = <T>(value: T | undefined, show: (value: T) => string) =>
    value === undefined ? undefined : show(value)
  const { network_received_bytes: got, network_sent_bytes: sent } = usage
  const perSecond = (bytes: number) => `${sizeText(bytes)}/s`
  const cores = (count: number) => `${Number(count.toFixed(2))} cores`
  return [
    ['cpu', text(shown(usage.cpus, cores), shown(usage.peak_cpus, cores), shown(usage.cpu_ms, durationText))],
    [
      'memory',
      text(shown(usage.memory_bytes, sizeText), shown(usage.peak_memory_bytes, sizeText), undefined),
    ],
    [
      'network',
      text(
        shown(usage.network_bytes_per_second, perSecond),
        shown(usage.peak_network_bytes_per_second, perSecond),
        got === undefined || sent === undefined
          ? undefined
          : `${sizeText(got)} received and ${sizeText(sent)} sent`,
      ),
    ],
    [
      'disk',
      text(shown(usage.disk_bytes, sizeText), shown(usage.peak_disk_bytes, sizeText), diskText(usage)),
    ],
  ]
}

function diskText({ disk_read_bytes: read, disk_written_bytes: written }: BotUsage): string | undefined {
  if (!read && !written) return undefined
  return `${sizeText(read ?? 0)} read and ${sizeText(written ?? 0)} written`
}

function facts(bot: BotView): string[][] {
  const { memory, cpus, processes, disk, work = DEFAULT_WORK, log } = bot.limits
  const { data } = bot
  const all: [string, string | number | undefined][] = [
    ['state', bot.state],
    ['up', bot.uptime_seconds === undefined ? undefined : durationText(bot.uptime_seconds * 1000)],
    [
      'health',
      bot.health && [bot.health.state, bot.health.output?.split('\n')[0]].filter(Boolean).join(': '),
    ],
    ['cannot reach', bot.cannot_reach && `what its runner allows: ${bot.cannot_reach}`],
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
      `${memory} memory (reserved), ${cpus} cpus, ${processes} processes, ${disk} /tmp, ${work} working folder, ${log} log a day`,
    ],
    [
      'data',
      data &&
        `${data.path}, ${data.bytes === undefined ? 'size unknown' : sizeText(data.bytes)} of ${sizeText(data.limit_bytes)}${data.runner === undefined ? '' : `, on ${data.runner}`}`,
    ],
    [
      'restart',
      bot.restart.policy === 'on-failure'
        ? `on-failure, ${bot.restart.max_restarts} times`
        : bot.restart.policy,
    ],
    ['time', lifeText(bot)],
    ...usageFacts(bot),
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
