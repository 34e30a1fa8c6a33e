import type { ErrandClient } from '../client/client.ts'
import type { BotQuery, BotView } from '../contract/bot-api.ts'
import type { RunEvent } from '../contract/events.ts'
import { exitCodes } from './exit-codes.ts'
import { linesText } from './render/terminal-text.ts'

/** One that dies as soon as it begins is to be told as dead. */
const SETTLE_MS = 1_000

/** Tells on standard error what a bot's run is at, until it is up (0) or has ended; a signal leaves it as it is. */
export async function untilUp(
  client: ErrandClient,
  { bot_id, run_id }: Pick<BotView, 'bot_id' | 'run_id'>,
  of: BotQuery = {},
): Promise<number> {
  const stop = new AbortController()
  const leave = (): void => {
    process.stderr.write(`\n${bot_id} goes on: errand bot status ${bot_id}\n`)
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
        // One that has died since is begun again, and not up.
        clearTimeout(settling)
        if (event.phase === 'running') settling = setTimeout(settled, SETTLE_MS)
      }
      if (event.type === 'run.finished') return await tellEnd(client, run_id, bot_id, of)
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
  if (event.type === 'run.waiting') return 'waiting: for the end of the one before'
  if (event.type === 'attempt.waiting') return `waiting: ${event.why}`
  if (event.type === 'attempt.created') return event.waiting && `waiting: ${event.waiting}`
  if (event.type !== 'attempt.phase') return undefined
  return event.message === undefined ? event.phase : `${event.phase}: ${event.message}`
}

async function tellEnd(client: ErrandClient, runId: string, botId: string, of: BotQuery): Promise<number> {
  const bot = await client.bots.get(botId, of)
  const { status, reason, message } = bot.update?.run_id === runId ? bot.update : bot
  const why = message ?? reason?.replaceAll('_', ' ') ?? status
  process.stderr.write(
    `error: ${botId} has ended: ${linesText(why)}\n  hint: what it printed: errand runs logs ${runId}\n`,
  )
  return status === 'canceled' ? exitCodes.canceled : exitCodes.failed
}
