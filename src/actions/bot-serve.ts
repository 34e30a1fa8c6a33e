import { BotServeArgs } from '../contract/bots/bot.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** A bot in a container of its own. */
export const botServe: Action = {
  kind: 'bot',
  prepare: (spec) => parseArguments(BotServeArgs, spec),
}
