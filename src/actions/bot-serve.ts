import { BotServeArgs } from '../contract/bots/bot.ts'
import type { Action } from '../runner/ports.ts'
import { parseArguments } from './arguments.ts'

/** Runs a bot in its own container. */
export const botServe: Action = {
  kind: 'bot',
  prepare: (spec) => parseArguments(BotServeArgs, spec),
}
