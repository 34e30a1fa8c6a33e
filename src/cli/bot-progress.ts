import type { ErrandClient } from '../client/client.ts'
import type { BotView } from '../contract/bot-api.ts'
import type { RunEvent } from '../contract/events.ts'
import { exitCodes } from './exit-codes.ts'
import { terminalText } from './render/terminal-text.ts'

/** Tells on standard error what a bot's run is at, until it is up (0) or has ended; a signal leaves it as it is. */
export async function untilUp(
  client: ErrandClient,
  { bot_id, run_id }: Pick<BotView, 'bot_id' | 'run_id'>,
): Promise<number> {
  const stop = new AbortController()
  const leave = (): void => {
    process.stderr.write(`\n${bot_id} goes on: errand bot status ${bot_id}\n`)
    stop.abort()
  }
  process.once('SIGINT', leave)
  let last = ''
  try {
    for await (const event of client.events(run_id, { reached: true, outputBytes: 0, signal: stop.signal })) {
      const text = progress(event)
      if (text !== undefined && text !== last) process.stderr.write(`${safe(text)}\n`)
      last = text ?? last
      if (event.type === 'attempt.phase' && event.phase === 'running') return exitCodes.success
      if (event.type === 'run.finished') return tellEnd(bot_id, event)
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error
  } finally {
    process.off('SIGINT', leave)
  }
  return exitCodes.interrupted
}

function progress(event: RunEvent): string | undefined {
  if (event.type === 'run.waiting' || event.type === 'attempt.waiting') return `waiting: ${event.why}`
  if (event.type === 'attempt.created') return event.waiting && `waiting: ${event.waiting}`
  if (event.type !== 'attempt.phase') return undefined
  return event.message === undefined ? event.phase : `${event.phase}: ${event.message}`
}

function tellEnd(botId: string, { status, reason, message }: RunEvent & { type: 'run.finished' }): number {
  const why = message ?? reason?.replaceAll('_', ' ') ?? status
  process.stderr.write(
    `error: ${botId} has ended: ${safe(why)}\n  hint: what it printed: errand bot logs ${botId}\n`,
  )
  return status === 'canceled' ? exitCodes.canceled : exitCodes.failed
}

const safe = (text: string): string =>
  terminalText(text, { tty: process.stderr.isTTY ?? false, color: false })
