import { type Env, setting, settingText } from '../../config/read-setting.ts'
import type { SettingKey } from '../../config/settings.ts'
import { parseBytes } from '../../contract/amounts.ts'
import type { AttemptLimits, AttemptSpec } from '../../contract/attempt.ts'
import { type BotLimits, DEFAULT_WORK } from '../../contract/bots/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Hello } from '../../contract/protocol.ts'
import { pullSecret } from '../../contract/step-secrets.ts'
import type { ContainerLimits } from '../docker/docker-engine.ts'
import type { BotPlan } from '../ports.ts'

type Limit = keyof BotPlan['limits']

/** Holds the operator's settings for bots on this runner. */
export interface BotCaps {
  /**
   * Limits on what a bot may request, in the notation of its request; a larger request is refused, not cut. Without a
   * value, the machine is the limit.
   */
  most: Readonly<Partial<Record<Limit, { text: string; value: number }>>>
  /** Allowed runtimes; bots that request none get the first. If empty, bots may request any that the engine has. */
  runtimes: readonly string[]
  /** Number of bots' cores per core that is reserved for them; undefined: none is reserved. */
  cpuOvercommit?: number
  /** Limit for images that are built at once. */
  builds: number
}

/**
 * Memory and cores are also limited by what the runner has, and /tmp by the memory; processes, the working folder and
 * the log only by these.
 */
const variables = {
  memory: 'ERRAND_BOT_MAX_MEMORY',
  cpus: 'ERRAND_BOT_MAX_CPUS',
  processes: 'ERRAND_BOT_MAX_PROCESSES',
  disk: 'ERRAND_BOT_MAX_DISK',
  work: 'ERRAND_BOT_MAX_WORK',
  log: 'ERRAND_BOT_MAX_LOG',
} as const satisfies Record<Limit, SettingKey>
const limits = Object.keys(variables) as Limit[]
const RUNTIME = 'ERRAND_BOT_RUNTIME'

/** Reads the caps from the runner's environment. Throws `invalid_argument` with the variable's name. */
export function botCaps(env: Env): BotCaps {
  const most = limits.flatMap((limit) => {
    const value = setting(env, variables[limit])
    return value === undefined ? [] : [[limit, { text: settingText(env, variables[limit])!, value }] as const]
  })
  return {
    most: Object.fromEntries(most),
    runtimes: setting(env, RUNTIME),
    cpuOvercommit: setting(env, 'ERRAND_BOT_CPU_OVERCOMMIT'),
    builds: setting(env, 'ERRAND_BUILDS'),
  }
}

/** Returns the caps as they are reported to the hub, so that it requests nothing that is refused here. */
export function capsToReport({ most, cpuOvercommit }: BotCaps): Hello['bots'] {
  return {
    cpu_overcommit: cpuOvercommit,
    most: {
      memory_bytes: most.memory?.value,
      cpus: most.cpus?.value,
      processes: most.processes?.value,
      disk_bytes: most.disk?.value,
      work_bytes: most.work?.value,
      log_bytes: most.log?.value,
    },
  }
}

/** Throws `invalid_argument`, with the requested and the allowed value. */
export function checkCaps({ limits: requested, runtime }: BotPlan, { most, runtimes }: BotCaps): void {
  for (const limit of limits) {
    const cap = most[limit]
    const value = requested[limit] ?? DEFAULT_WORK
    if (cap === undefined || (typeof value === 'number' ? value : bytes(value)) <= cap.value) continue
    throw new ErrandError(
      'invalid_argument',
      `limits.${limit} is ${value}, but a bot on this runner may have at most ${cap.text}.`,
      { hint: `Request less, or have the operator of the runner set ${variables[limit]}.` },
    )
  }
  if (runtime === undefined || runtimes.length === 0 || runtimes.includes(runtime)) return
  throw new ErrandError(
    'invalid_argument',
    `Bots on this runner may not use the runtime "${runtime}". Allowed: ${runtimes.join(', ')}.`,
    { hint: `Omit it, or have the operator of the runner add it to ${RUNTIME}.` },
  )
}

/** CPU weight of an ordinary group of processes that wants a core. */
const ORDINARY_SHARES = 1024
/** Default overcommit if no cores are reserved for bots: ten busy bots get as much as one step. */
const PRESET_OVERCOMMIT = 10

/** Returns the limits of its container; `most` is what the step and this machine allow. */
export function containerLimits(
  limits: BotLimits,
  most: AttemptLimits = {},
  cpuOvercommit = PRESET_OVERCOMMIT,
): ContainerLimits {
  const { cpus = Infinity, memory_bytes = Infinity, processes = Infinity, disk_bytes = Infinity } = most
  return {
    memoryBytes: Math.min(bytes(limits.memory), memory_bytes),
    cpus: Math.min(limits.cpus, cpus),
    cpuShares: cpuShares(Math.min(limits.cpus, cpus), cpuOvercommit),
    processes: Math.min(limits.processes, processes),
    tmpBytes: Math.min(bytes(limits.disk), disk_bytes),
  }
}

/** Returns the weight of a bot: all bots that share a reserved core together have the weight of one. */
export const cpuShares = (cpus: number, cpuOvercommit = PRESET_OVERCOMMIT): number =>
  Math.max(2, Math.round((ORDINARY_SHARES * cpus) / cpuOvercommit))

/** Converts a size that the contract has checked to bytes. */
export const bytes = (size: string | number): number => parseBytes(String(size))!

export const limitsText = ({ memoryBytes, cpus, processes }: ContainerLimits): string =>
  `${megabytes(memoryBytes)}, ${cpus} CPU, ${processes} processes`

export const megabytes = (size: number): string => `${Math.round(size / 1024 ** 2)} MB`

/** Throws `invalid_argument` if a secret would go where it may not or cannot. */
export function checkPlan(plan: BotPlan, spec: AttemptSpec): void {
  const secrets = Object.entries(spec.secrets ?? {})
  const inFile = secrets.find(([, { as }]) => as === 'file')
  if (inFile)
    throw new ErrandError(
      'invalid_argument',
      `Secret ${inFile[0]} of bot "${plan.bot_id}" cannot be a file: a bot does not see the files of its machine.`,
      { hint: 'Remove "as: file". The secret is then a variable of the bot.' },
    )
  const password = pullSecret(spec)
  if (password !== undefined && !Object.hasOwn(spec.secrets ?? {}, password))
    throw new ErrandError(
      'invalid_argument',
      `The step of bot "${plan.bot_id}" has no secret "${password}", which its source names.`,
      { hint: 'Add it to the secrets of the step.' },
    )
  // The unfilled spec marks a secret in a text with characters that no other text can have.
  if (JSON.stringify(spec.args.source ?? {}).includes('\\u0000'))
    throw new ErrandError(
      'invalid_argument',
      `The source of bot "${plan.bot_id}" names a secret, which would then be in its image.`,
      { hint: "Read it from the bot's environment." },
    )
}
