import { parseBytes } from '../../contract/amounts.ts'
import { DEFAULT_WORK } from '../../contract/bot.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { Hello } from '../../contract/protocol.ts'
import type { BotPlan } from '../ports.ts'
import { bytes } from './bot-limits.ts'

type Limit = keyof BotPlan['limits']
type Env = Readonly<Record<string, string | undefined>>

/** What the operator of the runner has set for bots. */
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

interface Setting {
  variable: string
  preset?: string
  read(text: string): number | undefined
  example: string
}

const amount = (text: string): number | undefined => (Number(text) > 0 ? Number(text) : undefined)
const count = (text: string): number | undefined => (/^[1-9]\d*$/.test(text) ? Number(text) : undefined)

/** Memory and cores are bounded by what the runner has to give, and /tmp by the memory; processes, the working folder and the log by nothing else. */
const settings: Readonly<Record<Limit, Setting>> = {
  memory: { variable: 'ERRAND_BOT_MAX_MEMORY', read: parseBytes, example: '2GB' },
  cpus: { variable: 'ERRAND_BOT_MAX_CPUS', read: amount, example: '2' },
  processes: { variable: 'ERRAND_BOT_MAX_PROCESSES', preset: '4096', read: count, example: '500' },
  disk: { variable: 'ERRAND_BOT_MAX_DISK', read: parseBytes, example: '256MB' },
  work: { variable: 'ERRAND_BOT_MAX_WORK', preset: '10GB', read: parseBytes, example: '2GB' },
  log: { variable: 'ERRAND_BOT_MAX_LOG', preset: '1GB', read: parseBytes, example: '200MB' },
}
const limits = Object.keys(settings) as Limit[]
const RUNTIME = 'ERRAND_BOT_RUNTIME'
/** One build that hangs holds no other up. */
const PRESET_BUILDS = '2'

/** From the runner's environment. Throws `invalid_argument`, naming the variable. */
export function botCaps(env: Env): BotCaps {
  const most = limits.flatMap((limit) => {
    const { variable, preset, read, example } = settings[limit]
    const text = env[variable] || preset
    if (text === undefined) return []
    const value = read(text)
    if (value !== undefined) return [[limit, { text, value }] as const]
    throw unusable(variable, text, example)
  })
  const { ERRAND_BOT_CPU_OVERCOMMIT: overcommit, ERRAND_BUILDS } = env
  const cpuOvercommit = overcommit ? Number(overcommit) : undefined
  if (cpuOvercommit !== undefined && !(cpuOvercommit >= 1 && cpuOvercommit <= 1e6))
    throw unusable('ERRAND_BOT_CPU_OVERCOMMIT', overcommit!, '10, a number from 1')
  const builds = count(ERRAND_BUILDS || PRESET_BUILDS)
  if (builds === undefined) throw unusable('ERRAND_BUILDS', ERRAND_BUILDS!, PRESET_BUILDS)
  const runtimes = (env[RUNTIME] ?? '').split(',').map((each) => each.trim())
  return {
    most: Object.fromEntries(most),
    runtimes: runtimes.filter((each) => each !== ''),
    cpuOvercommit,
    builds,
  }
}

const unusable = (variable: string, text: string, example: string) =>
  new ErrandError('invalid_argument', `${variable} is ${JSON.stringify(text)}, which cannot be used.`, {
    hint: `Write it as ${example}.`,
  })

/** What the hub is told of it, so that it asks for nothing that is refused here. */
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
      { hint: `Ask for less, or have the operator of the runner set ${settings[limit].variable}.` },
    )
  }
  if (runtime === undefined || runtimes.length === 0 || runtimes.includes(runtime)) return
  throw new ErrandError(
    'invalid_argument',
    `The runtime "${runtime}" is none that bots on this runner may use: ${runtimes.join(', ')}.`,
    { hint: `Leave it out, or have the operator of the runner add it to ${RUNTIME}.` },
  )
}
