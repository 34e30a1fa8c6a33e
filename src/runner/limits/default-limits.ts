import { parseMachineBytes } from '../../contract/amounts.ts'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { HeldBy } from './hold.ts'

type Env = Readonly<Record<string, string | undefined>>

/** What no attempt of this machine may use more of. Throws `invalid_argument`. */
export function defaultLimits(env: Env): AttemptLimits {
  return {
    cpus: given(env, 'ERRAND_LIMIT_CPUS', positive, 'It is a number of cores, such as 2 or 0.5.'),
    memory_bytes: given(
      env,
      'ERRAND_LIMIT_MEMORY',
      parseMachineBytes,
      'It is an amount of memory, such as 512MB.',
    ),
    processes: given(env, 'ERRAND_LIMIT_PROCESSES', whole, 'It is a number from 1, such as 200.'),
    disk_bytes: given(env, 'ERRAND_LIMIT_DISK', parseMachineBytes, 'It is a size, such as 10GB.'),
  }
}

const WAYS: Readonly<Record<string, HeldBy | undefined>> = {
  auto: undefined,
  cgroup_v2: 'cgroup_v2',
  cgroup_v1: 'cgroup_v1',
  watchdog: 'watchdog',
}

/** What is to hold limits, where this machine shall not choose. Throws `invalid_argument`. */
export function wantedHolder(env: Env): HeldBy | undefined {
  const value = env.ERRAND_LIMITS || 'auto'
  if (Object.hasOwn(WAYS, value)) return WAYS[value]
  throw new ErrandError('invalid_argument', `ERRAND_LIMITS is "${value}".`, {
    hint: `It is one of: ${Object.keys(WAYS).join(', ')}.`,
  })
}

function given<T>(
  env: Env,
  name: string,
  parse: (text: string) => T | undefined,
  hint: string,
): T | undefined {
  const text = env[name]
  if (text === undefined || text === '') return undefined
  const value = parse(text)
  if (value === undefined) throw new ErrandError('invalid_argument', `${name} is "${text}".`, { hint })
  return value
}

const positive = (text: string) => (Number(text) > 0 && Number(text) <= 100_000 ? Number(text) : undefined)
const whole = (text: string) => (/^[1-9]\d{0,8}$/.test(text) ? Number(text) : undefined)
