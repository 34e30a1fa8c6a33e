import { type Env, setting } from '../../config/read-setting.ts'
import type { AttemptLimits } from '../../contract/attempt.ts'
import type { HeldBy } from './hold.ts'

/** What no attempt of this machine may use more of. Throws `invalid_argument`. */
export const defaultLimits = (env: Env): AttemptLimits => ({
  cpus: setting(env, 'ERRAND_LIMIT_CPUS'),
  memory_bytes: setting(env, 'ERRAND_LIMIT_MEMORY'),
  processes: setting(env, 'ERRAND_LIMIT_PROCESSES'),
  disk_bytes: setting(env, 'ERRAND_LIMIT_DISK'),
})

/** What is to hold limits; undefined where this machine shall choose. Throws `invalid_argument`. */
export function wantedHolder(env: Env): HeldBy | undefined {
  const wanted = setting(env, 'ERRAND_LIMITS')
  return wanted === 'auto' ? undefined : wanted
}
