import { type Env, setting } from '../../../config/read-setting.ts'
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

/** From the runner's environment. Throws `invalid_argument`, naming the variable. */
export function imageSettings(env: Env): ImageSettings {
  const seconds = setting(env, 'ERRAND_BUILD_SECONDS')
  const cpus = setting(env, 'ERRAND_BUILD_CPUS')
  return {
    baseImages: { python: setting(env, 'BASE_IMAGE'), node: setting(env, 'ERRAND_NODE_BASE_IMAGE') },
    buildLimits: {
      memoryBytes: setting(env, 'ERRAND_BUILD_MEMORY'),
      cpus,
      cpuShares: cpuShares(cpus),
      processes: Math.ceil(setting(env, 'ERRAND_BUILD_PROCESSES')),
      diskBytes: setting(env, 'ERRAND_BUILD_DISK'),
    },
    buildTimeoutMs: seconds * 1000,
    localImages: setting(env, LOCAL_IMAGES).map(namePattern),
    registries: new AllowedOrigins(setting(env, REGISTRY_ALLOW), REGISTRY_ALLOW),
    gitServers: new AllowedOrigins(setting(env, GIT_ALLOW), GIT_ALLOW),
    ...(env.GIT_SSL_CAINFO ? { caFile: env.GIT_SSL_CAINFO } : {}),
  }
}

/** One without a tag is one for every tag. */
function namePattern(text: string): RegExp {
  const literal = text.split('*').map((part) => part.replace(/[\\^$.+?()[\]{}|]/g, '\\$&'))
  const hasTag = /[:@][^/]*$/.test(text)
  return new RegExp(`^${literal.join('.*')}${hasTag ? '' : '(?:[:@][^/]*)?'}$`)
}
