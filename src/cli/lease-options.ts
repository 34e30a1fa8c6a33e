import { parseDuration } from '../platform/duration.ts'
import { UsageError } from './command.ts'

export const DEFAULT_HEARTBEAT = '5s'
export const DEFAULT_LOST_AFTER = '60s'

/** How soon a silent link is given up, and how long a runner may stay away before what it has is lost. */
export interface Lease {
  heartbeatMs: number
  lostAfterMs: number
}

/** `--heartbeat` and `--lost-after`, else ERRAND_HEARTBEAT and ERRAND_LOST_AFTER. Throws a UsageError. */
export function leaseOf(given: { heartbeat?: string; 'lost-after'?: string }, env: NodeJS.ProcessEnv): Lease {
  const heartbeatMs = duration('--heartbeat', given.heartbeat, 'ERRAND_HEARTBEAT', env, DEFAULT_HEARTBEAT)
  const lostAfterMs = duration(
    '--lost-after',
    given['lost-after'],
    'ERRAND_LOST_AFTER',
    env,
    DEFAULT_LOST_AFTER,
  )
  return { heartbeatMs, lostAfterMs }
}

const MIN_MS = 100
/** Timers take no more than this. */
const MAX_MS = 2 ** 31 - 1

function duration(
  option: string,
  given: string | undefined,
  variable: string,
  env: NodeJS.ProcessEnv,
  otherwise: string,
): number {
  const text = given ?? (env[variable] || otherwise)
  const ms = parseDuration(text)
  if (ms !== undefined && ms >= MIN_MS && ms <= MAX_MS) return ms
  const name = given === undefined ? variable : option
  throw new UsageError(`${name} is "${text}"`, 'write it as 5s or 10m, 0.1s to 24d')
}
