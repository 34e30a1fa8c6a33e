import { type Env, setting, settingText } from '../../config/read-setting.ts'
import type { SettingKey } from '../../config/settings.ts'
import { DEFAULT_WORK } from '../../contract/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Hello } from '../../contract/protocol.ts'
import type { BotPlan } from '../ports.ts'
import { bytes } from './bot-limits.ts'

type Limit = keyof BotPlan['limits']

/** The operator's settings for bots on this runner. */
export interface BotCaps {
  /** The most that one may ask for, as its request writes it; more is refused, not cut. Where none is given the machine is it. */
  most: Readonly<Partial<Record<Limit, { text: string; value: number }>>>
  /** The first is that of bots that ask for none; without any, bots may ask for what the engine has. */
  runtimes: readonly string[]
  /** So many cores of bots are one that is kept for them; undefined: none is. */
  cpuOvercommit?: number
  /** Images that are built at once. */
  builds: number
}

/** Memory and cores are bounded by what the runner has to give, and /tmp by the memory; processes, the working folder and the log by nothing else. */
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

/** From the runner's environment. Throws `invalid_argument`, naming the variable. */
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

/** The caps as the hub is told of them, so that it asks for nothing that is refused here. */
export function toldCaps({ most, cpuOvercommit }: BotCaps): Hello['bots'] {
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

/** Throws `invalid_argument`, with what was asked for and what may be. */
export function checkCaps({ limits: asked, runtime }: BotPlan, { most, runtimes }: BotCaps): void {
  for (const limit of limits) {
    const cap = most[limit]
    const value = asked[limit] ?? DEFAULT_WORK
    if (cap === undefined || (typeof value === 'number' ? value : bytes(value)) <= cap.value) continue
    throw new ErrandError(
      'invalid_argument',
      `limits.${limit} is ${value}; a bot on this runner may ask for ${cap.text} at most.`,
      { hint: `Ask for less, or have the operator of the runner set ${variables[limit]}.` },
    )
  }
  if (runtime === undefined || runtimes.length === 0 || runtimes.includes(runtime)) return
  throw new ErrandError(
    'invalid_argument',
    `The runtime "${runtime}" is none that bots on this runner may use: ${runtimes.join(', ')}.`,
    { hint: `Leave it out, or have the operator of the runner add it to ${RUNTIME}.` },
  )
}
