import { cpus, hostname, totalmem } from 'node:os'
import { parseBytes, parseMachineBytes } from '../contract/amounts.ts'
import { ErrandError } from '../contract/errors.ts'
import { MAX_NAME, nameFault } from '../contract/name-fault.ts'
import { type LogFormat, type LogLevel, logFormats, logLevels } from '../platform/log.ts'

type Env = Readonly<Record<string, string | undefined>>

/** Errand's name for each variable, and the names the older systems had. Where both are set Errand's own wins. */
const runnerAliases = {
  ERRAND_HUB_URL: ['ADOS_API_URL', 'ORCHESTRATOR_URL'],
  ERRAND_TOKEN: ['ADOS_TOKEN', 'WORKER_TOKEN'],
  ERRAND_RUNNER_ID: ['ADOS_RUNNER_ID', 'WORKER_ID'],
  ERRAND_MODE: ['ADOS_MODE'],
  ERRAND_GROUP: ['ADOS_GROUP'],
  ERRAND_CPUS: ['ADOS_CPUS'],
  ERRAND_MEMORY: ['ADOS_MEMORY'],
  ERRAND_SLOTS: [],
  ERRAND_HOSTNAME: ['ADOS_HOSTNAME'],
  ERRAND_TENANT_ID: ['ADOS_TENANT_ID'],
  ERRAND_ENROLL_TOKEN: [],
  WORKSPACE_DIR: [],
} as const
const clientAliases = {
  ERRAND_URL: ['AVTOMATIKA_URL'],
  ERRAND_TOKEN: ['AVTOMATIKA_TOKEN'],
} as const
const logAliases = { ERRAND_LOG_FORMAT: [], ERRAND_LOG_LEVEL: ['RUNNER_LOG_LEVEL'] } as const
const hubAliases = {
  ERRAND_ADDR: ['OPENRUNNER_ADDR'],
  ERRAND_CONFIG: [],
  ERRAND_MAX_BOTS: ['MAX_BOTS_PER_USER'],
  ERRAND_BOT_HOURS: [],
  ERRAND_BOT_DATA: [],
  ERRAND_BOT_DEFAULT_HOURS: [],
  ERRAND_CLIENT_TOKEN: ['CLIENT_TOKEN'],
  ERRAND_WORKER_TOKEN: ['GLOBAL_WORKER_TOKEN'],
} as const

/** A variable's value and the name it was found under; an empty one counts as not set. */
interface Found {
  name: string
  value: string
}

function find<A extends Readonly<Record<string, readonly string[]>>>(
  aliases: A,
  env: Env,
  name: keyof A & string,
): Found | undefined {
  for (const candidate of [name, ...aliases[name]!]) {
    const value = env[candidate]
    if (value !== undefined && value !== '') return { name: candidate, value }
  }
  return undefined
}

/** How the command line reaches a hub. */
export function clientEnvironment(env: Env): { url?: string; token?: string } {
  return {
    url: find(clientAliases, env, 'ERRAND_URL')?.value,
    token: find(clientAliases, env, 'ERRAND_TOKEN')?.value,
  }
}

/** Address the hub listens on, `host:port`. */
export const hubAddress = (env: Env): string | undefined => find(hubAliases, env, 'ERRAND_ADDR')?.value

/** Path of the hub's `errand.yaml`. */
export const hubConfig = (env: Env): string | undefined => find(hubAliases, env, 'ERRAND_CONFIG')?.value

/**
 * How many bots a user may have at once, how long one lives, how long one that asks for no time, and what their data may have.
 * Infinity: without end. Throws `invalid_argument`.
 */
export function botEnvironment(env: Env): {
  maxBots?: number
  maxSeconds?: number
  defaultSeconds?: number
  maxDataBytes?: number
} {
  const count = find(hubAliases, env, 'ERRAND_MAX_BOTS')
  const maxBots = count && Number(count.value)
  if (maxBots !== undefined && !(Number.isInteger(maxBots) && maxBots >= 0 && maxBots <= 10_000))
    throw wrong(count!, 'It is a number of bots, such as 3.')
  const maxSeconds = hourSeconds(find(hubAliases, env, 'ERRAND_BOT_HOURS'))
  const defaultSeconds = hourSeconds(find(hubAliases, env, 'ERRAND_BOT_DEFAULT_HOURS'))
  const size = find(hubAliases, env, 'ERRAND_BOT_DATA')
  const maxDataBytes = size && (size.value === '0' ? 0 : parseBytes(size.value))
  if (size !== undefined && maxDataBytes === undefined)
    throw wrong(size, 'It is a size, such as 5GB; 0 allows none.')
  return {
    ...(maxBots !== undefined && { maxBots }),
    ...(maxSeconds !== undefined && { maxSeconds }),
    ...(defaultSeconds !== undefined && { defaultSeconds }),
    ...(maxDataBytes !== undefined && { maxDataBytes }),
  }
}

function hourSeconds(found: Found | undefined): number | undefined {
  if (found === undefined) return undefined
  if (found.value.toLowerCase() === 'unlimited') return Number.POSITIVE_INFINITY
  const hours = Number(found.value)
  if (!(hours > 0 && hours <= 8_760))
    throw wrong(found, 'It is a number of hours, such as 24 or 0.5, or "unlimited".')
  return hours * 3600
}

/** Tokens that the operator has chosen: a user's, and one for all runners. Throws `invalid_argument`. */
export function givenTokens(env: Env): { client?: string; runner?: string } {
  const client = find(hubAliases, env, 'ERRAND_CLIENT_TOKEN')
  const runner = find(hubAliases, env, 'ERRAND_WORKER_TOKEN')
  for (const found of [client, runner])
    if (found !== undefined && !/^[\x21-\x7e]{16,512}$/.test(found.value))
      throw new ErrandError('invalid_argument', `${found.name} is no good token.`, {
        hint: 'It has 16 characters or more, without blanks. Make one with: openssl rand -hex 32',
      })
  return { client: client?.value, runner: runner?.value }
}

/** How long-lived programs write their log. Throws `invalid_argument`. */
export function logEnvironment(env: Env): { format: LogFormat; level: LogLevel } {
  const format = find(logAliases, env, 'ERRAND_LOG_FORMAT')
  const level = find(logAliases, env, 'ERRAND_LOG_LEVEL')
  return {
    format: format === undefined ? 'text' : oneOf(format, logFormats),
    level: level === undefined ? 'info' : oneOf({ ...level, value: level.value.toLowerCase() }, logLevels),
  }
}

function oneOf<T extends string>(found: Found, values: readonly T[]): T {
  const value = values.find((each) => each === found.value)
  if (value === undefined) throw wrong(found, `It is one of: ${values.join(', ')}.`)
  return value
}

export const runnerModes = ['chat', 'issue', 'all'] as const
export type RunnerMode = (typeof runnerModes)[number]

export interface RunnerEnvironment {
  hubUrl?: string
  token?: string
  /** Exchanged at the first start for a token that is kept. */
  enrollToken?: string
  runnerId?: string
  workspaceDir?: string
  mode: RunnerMode
  group: string
  cpus: number
  memoryBytes: number
  /** Steps at once. */
  slots: number
  hostname: string
  tenantId?: string
}

/** What a runner's environment says, with what is measured where it says nothing. Throws `invalid_argument`. */
export function runnerEnvironment(env: Env): RunnerEnvironment {
  const get = (name: keyof typeof runnerAliases): Found | undefined => find(runnerAliases, env, name)
  const cores = get('ERRAND_CPUS')
  const memory = get('ERRAND_MEMORY')
  const mode = get('ERRAND_MODE')
  for (const name of ['ERRAND_RUNNER_ID', 'ERRAND_GROUP', 'ERRAND_HOSTNAME', 'ERRAND_TENANT_ID'] as const)
    checkName(get(name))
  const offered = cores === undefined ? cpus().length : parseCpus(cores)
  return {
    hubUrl: get('ERRAND_HUB_URL')?.value,
    token: get('ERRAND_TOKEN')?.value,
    enrollToken: get('ERRAND_ENROLL_TOKEN')?.value,
    runnerId: get('ERRAND_RUNNER_ID')?.value,
    workspaceDir: get('WORKSPACE_DIR')?.value,
    mode: mode === undefined ? 'all' : oneOf(mode, runnerModes),
    group: get('ERRAND_GROUP')?.value ?? 'default',
    cpus: offered,
    memoryBytes: memory === undefined ? totalmem() : parseMemory(memory),
    slots: slotsOf({ name: 'ERRAND_SLOTS', ...get('ERRAND_SLOTS') }) ?? Math.max(8, Math.floor(offered) * 4),
    hostname: get('ERRAND_HOSTNAME')?.value ?? hostname(),
    tenantId: get('ERRAND_TENANT_ID')?.value,
  }
}

const wrong = ({ name, value }: Found, hint: string): ErrandError =>
  new ErrandError('invalid_argument', `${name} is "${value}".`, { hint })

function checkName(found: Found | undefined): void {
  const fault = found && nameFault(found.value, MAX_NAME)
  if (fault !== undefined)
    throw new ErrandError('invalid_argument', `${found!.name} is no name: ${fault}.`, {
      hint: 'Write it in letters, digits and "-", such as server-01.',
    })
}

function parseCpus(found: Found): number {
  const value = Number(found.value)
  if (!(value > 0 && value <= 100_000)) throw wrong(found, 'It is a number of cores, such as 4 or 0.5.')
  return value
}

/** How many steps a runner takes at once, of an option or a variable. Throws `invalid_argument`. */
export function slotsOf({ name, value }: { name: string; value?: string }): number | undefined {
  if (value === undefined) return undefined
  const slots = Number(value)
  if (Number.isInteger(slots) && slots >= 1 && slots <= 100_000) return slots
  throw wrong({ name, value }, 'It is a number of steps at once, from 1.')
}

function parseMemory(found: Found): number {
  const bytes = parseMachineBytes(found.value)
  if (bytes === undefined) throw wrong(found, 'It is an amount of memory, such as 8GB or 512MB.')
  return bytes
}
