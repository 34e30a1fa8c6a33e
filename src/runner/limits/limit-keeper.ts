import { createHash } from 'node:crypto'
import { join, resolve } from 'node:path'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { CgroupV1Limiter, type V1Folders } from './cgroup-v1.ts'
import { CgroupV2Limiter } from './cgroup-v2.ts'
import { cgroupsBelow, removeCgroup } from './cgroups.ts'
import { DiskWatch } from './disk-watch.ts'
import {
  basesOf,
  chooseLimits,
  defaultLimits,
  giveBack,
  type LimitChoice,
  requestedHolder,
} from './limit-choice.ts'
import type { Limiter } from './limiter.ts'
import { OomKills } from './oom-kills.ts'
import { Scope } from './scope.ts'
import type { ScopeFacts } from './scope-facts.ts'
import { ProcessTable, WatchdogLimiter } from './watchdog.ts'

export interface LimitKeeperOptions {
  choice: LimitChoice
  /** Limits that no attempt may exceed. */
  defaults?: AttemptLimits
  /** Kills to watch; default: those of this program's cgroup. */
  oomKills?: OomKills
}

export interface ScopeOptions {
  /** `NAME=value` in its processes' environment. */
  mark: string
  /** Folder that its disk limit measures. */
  workspace: { folder: string; growth: boolean }
  /** Holds it to its limits instead of this machine. */
  limiter?: Limiter
}

/** Holds the attempts of this machine to their limits, in the chosen way. */
export class LimitKeeper {
  readonly choice: LimitChoice
  readonly #defaults: AttemptLimits
  readonly #oomKills: OomKills
  readonly #table = new ProcessTable()
  /** Limiters of ended attempts that a leftover process keeps from being removed. */
  readonly #left = new Set<Limiter>()

  constructor({ choice, defaults = {}, oomKills = new OomKills() }: LimitKeeperOptions) {
    this.choice = choice
    this.#oomKills = oomKills
    this.#defaults = defaults
  }

  /**
   * Returns the facts of the limits of an attempt; `name` is unique on this machine. Creates nothing. `elsewhere` means
   * that another machine applies them.
   */
  facts(limits: AttemptLimits | undefined, name: string, elsewhere = false): ScopeFacts {
    const { choice } = this
    const held = { held_by: choice.heldBy, limits: minLimits(limits ?? {}, this.#defaults) }
    // Moving a process into a cgroup takes the kernel about a millisecond: only attempts with limits pay for it.
    const unlimited = Object.values(held.limits).every((limit) => limit === undefined)
    if (elsewhere) return { ...held, held_by: 'watchdog', folders: {} }
    if (choice.heldBy === 'watchdog' || unlimited)
      return { ...held, held_by: 'watchdog', folders: {}, oom: this.#oomKills.mark() }
    if (choice.heldBy === 'cgroup_v2') {
      const folder = join(choice.base, name)
      return { ...held, folders: choice.cpu ? { unified: folder, cpu: folder } : { unified: folder } }
    }
    const folders: Record<string, string> = {}
    for (const [controller, base] of Object.entries(choice.bases))
      if (base !== undefined) folders[controller] = join(base, name)
    return { ...held, folders }
  }

  /** Returns the scope that holds it; an earlier process of this runner may have created it already. */
  scope(facts: ScopeFacts, options: ScopeOptions): Scope {
    this.#sweep()
    const { limits, oom } = facts
    const hold = options.limiter ?? this.#hold(facts, options)
    const disk =
      limits.disk_bytes === undefined
        ? undefined
        : new DiskWatch({ ...options.workspace, limitBytes: limits.disk_bytes })
    return new Scope({
      limiter: hold,
      disk,
      oomKill: () => oom && this.#oomKills.take(oom),
      onOver: () => {
        if (!hold.remove()) this.#left.add(hold)
      },
    })
  }

  /** Removes what ended attempts have left, except these. */
  sweepBut(names: ReadonlySet<string>): void {
    for (const base of basesOf(this.choice))
      for (const name of cgroupsBelow(base)) if (!names.has(name)) removeCgroup(join(base, name))
  }

  /** Closes the keeper, when nothing that it holds runs any more. Idempotent. */
  close(): void {
    this.#sweep()
    giveBack(this.choice)
  }

  #hold({ held_by, limits, folders }: ScopeFacts, { mark }: ScopeOptions): Limiter {
    if (held_by === 'cgroup_v2')
      return new CgroupV2Limiter({ folder: folders.unified!, cpu: folders.cpu !== undefined }, limits)
    if (held_by === 'cgroup_v1') return new CgroupV1Limiter(folders as unknown as V1Folders, limits)
    return new WatchdogLimiter({ mark, limits, table: this.#table })
  }

  #sweep(): void {
    for (const hold of this.#left) if (hold.remove()) this.#left.delete(hold)
  }
}

/** Returns the lower of each limit. */
export function minLimits(a: AttemptLimits, b: AttemptLimits): AttemptLimits {
  const of = (key: keyof AttemptLimits) => {
    const value = Math.min(a[key] ?? Infinity, b[key] ?? Infinity)
    return value === Infinity ? undefined : value
  }
  return {
    cpus: of('cpus'),
    memory_bytes: of('memory_bytes'),
    processes: of('processes'),
    disk_bytes: of('disk_bytes'),
  }
}

/**
 * Returns the keeper of the limits for the attempts in this folder, chosen once at the start. Throws
 * `invalid_argument`.
 */
export function limitsHere(dir: string, env: NodeJS.ProcessEnv): LimitKeeper {
  const defaults = defaultLimits(env)
  const requested = requestedHolder(env)
  return new LimitKeeper({ choice: chooseLimits(cgroupName(dir), requested), defaults })
}

/**
 * Returns a name that is the same for each process of one runner, so that a later one finds what an earlier one
 * created.
 */
export const cgroupName = (dir: string): string =>
  `errand-${createHash('sha256').update(resolve(dir)).digest('hex').slice(0, 12)}`

/** Returns a text for a person: how limits are applied here. */
export function limitsText(choice: LimitChoice): string {
  switch (choice.heldBy) {
    case 'cgroup_v2':
      return `Limits are enforced by cgroups (v2)${choice.cpu ? '' : ', except CPU limits'}.`
    case 'cgroup_v1':
      return `Limits are enforced by cgroups (v1)${choice.bases.cpu ? '' : ', except CPU limits'}.`
    case 'watchdog':
      return `Limits are enforced by a watchdog, except CPU limits. No cgroups are used: ${choice.why}.`
  }
}
