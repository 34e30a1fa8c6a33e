import { setTimeout as sleep } from 'node:timers/promises'
import type { ErrandClient } from '../../../client/client.ts'
import type { BotQuery, BotView, StartBotInput } from '../../../contract/bots/bot-api.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { RunEvent } from '../../../contract/events.ts'
import { isFinalRun } from '../../../contract/status.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson } from '../../print.ts'
import { linesText, lineText } from '../../render/terminal-text.ts'
import { botRequest, botRequestOptions } from './bot-request.ts'
import { botOwnerOption } from './bot-status.ts'

export const botStart = command({
  summary:
    'Start a bot: from source files, from a folder or Git repository with a Dockerfile, or from an image.',
  args: '<id> [more.py...]',
  options: {
    ...botRequestOptions,
    detach: { type: 'boolean', short: 'd', help: 'Do not wait until the bot runs' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand bot start echo --simple bot.py -r "aiogram>=3.0" -e BOT_TOKEN',
    'errand bot start shop --simple bot.py texts.py --entrypoint bot.py -e BOT_TOKEN=@token.txt',
    'errand bot start site --custom ./project/',
    'errand bot start site --custom https://github.com/user/bot.git --ref main',
    'errand bot start news --image ghcr.io/user/bot:v1 -e BOT_TOKEN --restart on-failure',
  ],
  async run({ detach, json, url, token, ...values }, [id, ...more]) {
    if (values.simple === undefined && values.custom === undefined && values.image === undefined)
      throw new UsageError('the bot has no source', 'give --simple FILE, --custom DIR|URL or --image IMAGE')
    const client = connect({ url, token })
    const request = (await botRequest(client, values, more)) as Omit<StartBotInput, 'bot_id'>
    const bot = await client.bots.start({ bot_id: id!, ...request })
    for (const warning of bot.warnings) process.stderr.write(`warning: ${lineText(warning)}\n`)
    const code = detach ? 0 : await untilUp(client, bot)
    if (json) printJson(detach ? bot : await client.bots.get(id!))
    else if (code === 0)
      process.stdout.write(`${id} ${detach ? 'is starting' : 'is running'} (${bot.run_id})\n`)
    return code
  },
})

export const botRestart = command({
  summary: 'Stop a bot, then start it again as it was, with the same variables.',
  args: '<id>',
  options: {
    detach: { type: 'boolean', short: 'd', help: 'Do not wait until the bot runs' },
    ...botOwnerOption,
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand bot restart echo'],
  async run({ detach, owner, json, ...hub }, [id]) {
    const client = connect(hub)
    const bot = await client.bots.restart(id!, { owner })
    const code = detach ? 0 : await untilUp(client, bot, { owner })
    if (json) printJson(detach ? bot : await client.bots.get(id!, { owner }))
    else if (code === 0)
      process.stdout.write(`${id} ${detach ? 'is starting' : 'is running'} again (${bot.run_id})\n`)
    return code
  },
})

const LOOK_MS = 300

export const botUpdate = command({
  summary:
    'Change a running bot: start the new one, then stop the old one. Options that are not given keep their values.',
  args: '<id> [more.py...]',
  options: {
    ...botRequestOptions,
    detach: { type: 'boolean', short: 'd', help: 'Do not wait until the new one has taken over' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: [
    'errand bot update echo --simple bot.py -r "aiogram>=3.0"',
    'errand bot update echo -e BOT_TOKEN --memory 512MB',
    'errand bot update news --image ghcr.io/user/bot:v2',
  ],
  async run({ detach, json, url, token, ...values }, [id, ...more]) {
    const client = connect({ url, token })
    const bot = await client.bots.update(id!, await botRequest(client, values, more))
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

/** Waits until the new run has taken over or has ended, and returns the bot. */
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
      hint: `The old one is still ${state} (${run_id}). Log of the new one: errand runs logs ${update?.run_id}`,
    },
  )

/** Time that a bot must run before it counts as up: one that dies at once is reported as dead. */
const SETTLE_MS = 1_000

/** Reports on stderr what a bot's run does, until it is up (0) or has ended. Ctrl-C stops only the waiting. */
async function untilUp(
  client: ErrandClient,
  { bot_id, run_id }: Pick<BotView, 'bot_id' | 'run_id'>,
  of: BotQuery = {},
): Promise<number> {
  const stop = new AbortController()
  const leave = (): void => {
    process.stderr.write(`\n${bot_id} was not stopped. See: errand bot status ${bot_id}\n`)
    stop.abort()
  }
  process.once('SIGINT', leave)
  let isUp = false
  let settling: NodeJS.Timeout | undefined
  const settled = (): void => {
    isUp = true
    stop.abort()
  }
  let last = ''
  try {
    for await (const event of client.events(run_id, { reached: true, outputBytes: 0, signal: stop.signal })) {
      const text = progress(event)
      if (text !== undefined && text !== last) process.stderr.write(`${linesText(text)}\n`)
      last = text ?? last
      if (event.type === 'attempt.phase') {
        // A bot that has died since then is being restarted, so it is not up.
        clearTimeout(settling)
        if (event.phase === 'running') settling = setTimeout(settled, SETTLE_MS)
      }
      if (event.type === 'run.finished') return await reportEnd(client, run_id, bot_id, of)
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    clearTimeout(settling)
    process.off('SIGINT', leave)
  }
  return isUp ? exitCodes.success : exitCodes.interrupted
}

function progress(event: RunEvent): string | undefined {
  if (event.type === 'run.waiting') return 'waiting: the previous run has not ended'
  if (event.type === 'attempt.waiting') return `waiting: ${event.why}`
  if (event.type === 'attempt.created') return event.waiting && `waiting: ${event.waiting}`
  if (event.type !== 'attempt.phase') return undefined
  return event.message === undefined ? event.phase : `${event.phase}: ${event.message}`
}

async function reportEnd(client: ErrandClient, runId: string, botId: string, of: BotQuery): Promise<number> {
  const bot = await client.bots.get(botId, of)
  const { status, reason, message } = bot.update?.run_id === runId ? bot.update : bot
  const why = message ?? reason?.replaceAll('_', ' ') ?? status
  process.stderr.write(
    `error: ${botId} has ended: ${linesText(why)}\n  hint: see what it printed with: errand runs logs ${runId}\n`,
  )
  return status === 'canceled' ? exitCodes.canceled : exitCodes.failed
}
