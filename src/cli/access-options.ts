import { parseMachineBytes } from '../contract/amounts.ts'
import type { OutputLimits } from '../engine/output-quota.ts'
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

/** ERRAND_MAX_READERS: how many streams of events, logs and output a user may have open. Throws a UsageError. */
export function readersPerUser({ ERRAND_MAX_READERS: value = '' }: NodeJS.ProcessEnv): number | undefined {
  if (value === '') return undefined
  const count = Number(value)
  if (Number.isInteger(count) && count > 0 && count <= 1_000_000) return count
  throw new UsageError(`ERRAND_MAX_READERS is "${value}"`, 'it is a number of readers, such as 256')
}

const DEFAULT_MAX_OUTPUT_RUN = '10GB'

/** ERRAND_MAX_OUTPUT_RUN, ERRAND_MAX_OUTPUT_USER: how much output a hub keeps. Throws a UsageError. */
export function outputLimits(env: NodeJS.ProcessEnv): OutputLimits {
  return {
    perRunBytes: mostOutput('ERRAND_MAX_OUTPUT_RUN', env.ERRAND_MAX_OUTPUT_RUN || DEFAULT_MAX_OUTPUT_RUN),
    perUserBytes: mostOutput('ERRAND_MAX_OUTPUT_USER', env.ERRAND_MAX_OUTPUT_USER || 'none'),
  }
}

function mostOutput(name: string, text: string): number | undefined {
  if (text === 'none') return undefined
  const bytes = parseMachineBytes(text)
  if (bytes !== undefined) return bytes
  throw new UsageError(
    `${name} is "${text}"`,
    'write it as 10GB or 500MB, at least 1MB, or none for no limit',
  )
}
