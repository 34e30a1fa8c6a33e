import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { chooseLimits, type LimitChoice } from './cgroup-choice.ts'
import { defaultLimits, wantedHolder } from './default-limits.ts'
import { LimitKeeper } from './limit-keeper.ts'

/** The keeper of the limits of the attempts that stand in this folder, found once at the start. Throws `invalid_argument`. */
export function limitsHere(dir: string, env: NodeJS.ProcessEnv): LimitKeeper {
  const defaults = defaultLimits(env)
  const wanted = wantedHolder(env)
  return new LimitKeeper({ choice: chooseLimits(cgroupName(dir), wanted), defaults })
}

/** The same for each process of one runner, so that a later one finds what an earlier one made. */
export const cgroupName = (dir: string): string =>
  `errand-${createHash('sha256').update(resolve(dir)).digest('hex').slice(0, 12)}`

/** For a person: what holds limits here. */
export function limitsText(choice: LimitChoice): string {
  switch (choice.heldBy) {
    case 'cgroup_v2':
      return `Limits are held by cgroups (v2)${choice.cpu ? '' : '; CPU limits are not held'}.`
    case 'cgroup_v1':
      return `Limits are held by cgroups (v1)${choice.bases.cpu ? '' : '; CPU limits are not held'}.`
    case 'watchdog':
      return `Limits are held by a watchdog, CPU limits not at all: no cgroups can be had (${choice.why}).`
  }
}
