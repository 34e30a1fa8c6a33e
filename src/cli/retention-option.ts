import { parseDuration } from '../platform/duration.ts'
import { UsageError } from './command.ts'

export const DEFAULT_RETENTION = '90d'

/** How long ended runs are kept: `--retention`, else ERRAND_RETENTION. Undefined: for ever. Throws a UsageError. */
export function retentionMs(given: string | undefined, env: NodeJS.ProcessEnv): number | undefined {
  const fromEnv = env.ERRAND_RETENTION || undefined
  const text = given ?? fromEnv ?? DEFAULT_RETENTION
  if (text === '0' || text === 'forever') return undefined
  const ms = parseDuration(text)
  if (ms !== undefined && ms > 0) return ms
  const name = given === undefined ? 'ERRAND_RETENTION' : '--retention'
  throw new UsageError(`${name} is "${text}"`, 'write it as 30d, 12h or 2w, or forever to keep all')
}
