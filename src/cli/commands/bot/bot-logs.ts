import type { ErrandClient } from '../../../client/client.ts'
import type { BotLogs, LogLine } from '../../../contract/bots/bot-api.ts'
import { StreamLines } from '../../../platform/text.ts'
import { parseDuration } from '../../../platform/time.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { TextOut } from '../../follow/text-out.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, jsonText, printJson } from '../../print.ts'
import { linesText, lineText, terminalText, usesColor } from '../../render/terminal-text.ts'
import { botOwnerOption } from './bot-status.ts'

export const botLogs = command({
  summary: 'Show what a bot has printed: its last lines, and with -f the following ones until it ends.',
  args: '<id>',
  options: {
    follow: { type: 'boolean', short: 'f', help: 'Follow the bot until it ends, also across an update' },
    tail: {
      type: 'string',
      short: 'n',
      value: 'N',
      help: 'Number of last lines (default: 100, at most 10000)',
    },
    search: { type: 'string', value: 'TEXT', help: 'Only lines that contain this text, ignoring case' },
    since: {
      type: 'string',
      value: 'TIME',
      help: 'Only lines since then: 10m, 2h, or 2026-01-31T10:00:00Z',
    },
    stream: { type: 'string', value: 'NAME', help: 'Only stdout or stderr' },
    time: { type: 'boolean', short: 't', help: 'Show the time of each line' },
    ...botOwnerOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand bot logs echo -f', 'errand bot logs echo --search error --since 1h'],
  async run({ follow, tail, search, since, stream, time, owner, json, ...hub }, [id]) {
    if (stream !== undefined && stream !== 'stdout' && stream !== 'stderr')
      throw new UsageError(`--stream is "${stream}"`, 'use stdout or stderr')
    const client = connect(hub)
    const query = {
      owner,
      search,
      stream,
      tail: lineCount(tail),
      since: since === undefined ? undefined : moment(since),
    } as const
    const found = await client.bots.logs(id!, query)
    const out = new TextOut(process.stdout)
    const color = usesColor(process.stdout.isTTY ?? false, process.env)
    const write = async (line: LogLine) =>
      await out.write(
        json
          ? `${jsonText(line)}\n`
          : `${time ? `${lineText(line.time)} ` : ''}${terminalText(line.text, color)}\n`,
      )
    if (found.truncated && !json)
      process.stderr.write(
        `Older lines or parts of long lines are left out. See all with: errand runs logs ${found.run_id}\n`,
      )
    if (!follow) {
      if (json) printJson(found)
      else for (const line of found.lines) await write(line)
      return 0
    }
    const gone = new AbortController()
    out.whenGone(() => gone.abort())
    const needle = search?.toLowerCase()
    const matches = (line: LogLine) =>
      (stream === undefined || line.stream === stream) &&
      (needle === undefined || line.text.toLowerCase().includes(needle))
    try {
      await followed(client, id!, found, { owner, signal: gone.signal }, async (line) =>
        matches(line) ? await write(line) : undefined,
      )
    } catch (error) {
      if (!gone.signal.aborted) throw error
    }
    return 0
  },
})

/** Writes the lines that follow those found, across updates and restarts, until the bot has ended. */
async function followed(
  client: ErrandClient,
  id: string,
  found: BotLogs,
  { owner, signal }: { owner?: string; signal: AbortSignal },
  write: (line: LogLine) => Promise<void>,
): Promise<void> {
  const lines = new StreamLines<LogLine['stream']>()
  for (const { open, ...line } of found.lines)
    if (open) lines.push(line.stream, line.text)
    else await write(line)
  for (let { run_id, seq } = found; ; ) {
    let time = ''
    for await (const event of client.events(run_id, { after: seq, reached: true, signal })) {
      time = event.time
      if (event.type !== 'output') continue
      for (const text of lines.push(event.stream, event.text ?? ''))
        await write({ time, stream: event.stream, text })
    }
    for (const [stream, text] of lines.rest()) await write({ time, stream, text })
    const bot = await client.bots.get(id, { owner })
    if (bot.run_id === run_id) {
      process.stderr.write(
        `${id} is ${bot.state}${bot.message === undefined ? '' : `: ${linesText(bot.message)}`}\n`,
      )
      return
    }
    process.stderr.write(`${id} continues as ${bot.run_id}\n`)
    run_id = bot.run_id
    seq = 0
  }
}

function lineCount(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,5}$/.test(text) && Number(text) <= 10_000) return Number(text)
  throw new UsageError(`--tail is "${text}"`, 'use a number of lines, at most 10000')
}

function moment(text: string): string {
  const ago = parseDuration(text)
  const ms = ago === undefined ? Date.parse(text) : Date.now() - ago
  if (!Number.isNaN(ms)) return new Date(ms).toISOString()
  throw new UsageError(
    `--since is "${text}"`,
    'use an age such as 10m or 2h, or a time such as 2026-01-31T10:00:00Z',
  )
}
