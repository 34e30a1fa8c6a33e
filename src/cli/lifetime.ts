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

const DAY_MS = 86_400_000
const SOON_DAYS = 14

/** Says in how many days a token expires, where that is soon: "in 3 days". */
export function expiresSoon(expires_at: string | undefined, nowMs = Date.now()): string | undefined {
  const days = (Date.parse(expires_at ?? '') - nowMs) / DAY_MS
  if (!(days < SOON_DAYS)) return undefined
  return days < 1 ? 'within a day' : `in ${Math.floor(days)} ${days < 2 ? 'day' : 'days'}`
}
