import { parseBytes } from '../../../contract/amounts.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { BuildOrder } from '../../containers/ports.ts'
import { AllowedOrigins } from '../../sources/allowed-origins.ts'
import { GIT_ALLOW } from '../../sources/clone.ts'
import { cpuShares } from '../bot-limits.ts'

/** Registries beside those of large providers, as the operator allows them. */
export const REGISTRY_ALLOW = 'ERRAND_REGISTRY_ALLOW'
/** Names of images, `*` for any text, that are used as they are on this machine. */
export const LOCAL_IMAGES = 'ERRAND_LOCAL_IMAGES'

export interface ImageSettings {
  baseImages: Readonly<Record<'python' | 'node', string>>
  buildLimits: BuildOrder['limits']
  buildTimeoutMs: number
  localImages: readonly RegExp[]
  registries: AllowedOrigins
  gitServers: AllowedOrigins
  /** Of git. */
  caFile?: string
}

type Env = Readonly<Record<string, string | undefined>>

/** From the runner's environment. Throws `invalid_argument`, naming the variable. */
export function imageSettings(env: Env): ImageSettings {
  const seconds = positive(env, 'ERRAND_BUILD_SECONDS', 600)
  const cpus = positive(env, 'ERRAND_BUILD_CPUS', 1)
  return {
    baseImages: {
      python: env.BASE_IMAGE || 'python:3.11-slim',
      node: env.ERRAND_NODE_BASE_IMAGE || 'node:20-slim',
    },
    buildLimits: {
      memoryBytes: size(env, 'ERRAND_BUILD_MEMORY', '1GB'),
      cpus,
      cpuShares: cpuShares(cpus),
      processes: Math.ceil(positive(env, 'ERRAND_BUILD_PROCESSES', 1000)),
      diskBytes: size(env, 'ERRAND_BUILD_DISK', '10GB'),
    },
    buildTimeoutMs: seconds * 1000,
    localImages: list(env[LOCAL_IMAGES]).map(namePattern),
    registries: new AllowedOrigins(env[REGISTRY_ALLOW] ?? '', REGISTRY_ALLOW),
    gitServers: new AllowedOrigins(env[GIT_ALLOW] ?? '', GIT_ALLOW),
    ...(env.GIT_SSL_CAINFO ? { caFile: env.GIT_SSL_CAINFO } : {}),
  }
}

function positive(env: Env, variable: string, preset: number): number {
  const number = Number(env[variable] || preset)
  if (number > 0 && number < 1e6) return number
  throw refused(env, variable, `It is a number such as ${preset}.`)
}

function size(env: Env, variable: string, preset: string): number {
  const bytes = parseBytes(env[variable] || preset)
  if (bytes !== undefined) return bytes
  throw refused(env, variable, `It is a size such as ${preset}.`)
}

function refused(env: Env, variable: string, hint: string): ErrandError {
  const shown = JSON.stringify(env[variable])
  return new ErrandError('invalid_argument', `${variable} is ${shown}, which cannot be used.`, { hint })
}

const list = (text = '') =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')

/** One without a tag is one for every tag. */
function namePattern(text: string): RegExp {
  const literal = text.split('*').map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'))
  const hasTag = /[:@][^/]*$/.test(text)
  return new RegExp(`^${literal.join('.*')}${hasTag ? '' : '(?:[:@][^/]*)?'}$`)
}
