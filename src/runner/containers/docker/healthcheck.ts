import { LEAST_HEALTH_SECONDS } from '../../../contract/bot.ts'
import type { HealthOrder } from '../ports.ts'
import type { HealthConfig } from './docker-answers.ts'

const NANO = 1e9
const NONE: HealthConfig = { Test: ['NONE'] }
const DEFAULT_SECONDS = 30
const MOST_SECONDS = 86_400
const DEFAULT_RETRIES = 3
const MOST_RETRIES = 1000

/**
 * The check of a container: as ordered, else that of its image, within bounds. Each check is a process that the engine
 * starts on its machine, and an image may ask for a thousand a second.
 */
export function healthcheck(
  order: HealthOrder | undefined,
  ofImage: HealthConfig | null | undefined,
): HealthConfig {
  if (order === 'none') return NONE
  if (order !== undefined) {
    const { cmd, intervalSeconds, timeoutSeconds, retries, startPeriodSeconds } = order
    return {
      Test: typeof cmd === 'string' ? ['CMD-SHELL', cmd] : ['CMD', ...cmd],
      Interval: Math.max(LEAST_HEALTH_SECONDS, intervalSeconds) * NANO,
      Timeout: timeoutSeconds * NANO,
      Retries: retries,
      StartPeriod: startPeriodSeconds * NANO,
    }
  }
  const { Test = [], Interval, Timeout, Retries, StartPeriod = 0 } = ofImage ?? {}
  if (Test.length < 2 || Test[0] === 'NONE') return NONE
  return {
    Test,
    Interval: within(Interval || DEFAULT_SECONDS * NANO, LEAST_HEALTH_SECONDS, MOST_SECONDS),
    Timeout: within(Timeout || DEFAULT_SECONDS * NANO, 1, 3600),
    Retries: Math.min(MOST_RETRIES, Math.max(1, Retries || DEFAULT_RETRIES)),
    StartPeriod: within(StartPeriod, 0, MOST_SECONDS),
  }
}

const within = (nanoseconds: number, leastSeconds: number, mostSeconds: number): number =>
  Math.min(mostSeconds * NANO, Math.max(leastSeconds * NANO, nanoseconds))
