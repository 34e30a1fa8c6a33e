import { UsageError } from './command.ts'

/** ERRAND_METRICS: `open` lets who is on this machine read /metrics without a token. Throws a UsageError. */
export function metricsOpen({ ERRAND_METRICS: value = '' }: NodeJS.ProcessEnv): boolean {
  if (value !== '' && value !== 'open')
    throw new UsageError(`ERRAND_METRICS is "${value}"`, 'it is open, or not set')
  return value === 'open'
}

/** ERRAND_HOST_ALLOW: names under which a proxy on this machine passes people on. Throws a UsageError. */
export function allowedHosts({ ERRAND_HOST_ALLOW: value = '' }: NodeJS.ProcessEnv): string[] {
  const names = value
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const wrong = names.find((name) => !/^[a-z0-9._-]+$/.test(name))
  if (wrong === undefined) return names
  throw new UsageError(
    `ERRAND_HOST_ALLOW has "${wrong}"`,
    'write names alone, with commas between: hub.example.com,hub',
  )
}
