import { parseDuration } from '../platform/duration.ts'
import { UsageError } from './command.ts'

/** How long a token is good: "15m", "1h", "7d", or whole seconds without a unit. Throws a UsageError. */
export function lifetimeSeconds(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const ms = parseDuration(/^\d+$/.test(text) ? `${text}s` : text)
  if (ms === undefined || ms < 1000)
    throw new UsageError(`${option} is "${text}"`, 'write it as 90s, 15m, 1h or 7d')
  return Math.floor(ms / 1000)
}
