import { join } from 'node:path'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { Cage } from './cage.ts'
import type { CageFacts } from './cage-facts.ts'
import { basesOf, giveBack, type LimitChoice } from './cgroup-choice.ts'
import { cgroupsBelow, removeCgroup } from './cgroup-folder.ts'
import { CgroupV1Hold, type V1Folders } from './cgroup-v1.ts'
import { CgroupV2Hold } from './cgroup-v2.ts'
import { DiskWatch } from './disk-watch.ts'
import type { Hold } from './hold.ts'
import { least } from './least-limits.ts'
import { ProcessTable } from './process-table.ts'
import { WatchdogHold } from './watchdog.ts'

export interface LimitKeeperOptions {
  choice: LimitChoice
  /** No attempt gets more. */
  defaults?: AttemptLimits
}

export interface CageOptions {
  /** `NAME=value` in its processes' environment. */
  mark: string
  /** The folder that its disk limit counts. */
  workspace: { folder: string; growth: boolean }
}

/** Holds the attempts of this machine to their limits, by what was chosen for it. */
export class LimitKeeper {
  readonly choice: LimitChoice
  readonly #defaults: AttemptLimits
  readonly #table = new ProcessTable()
  /** Of attempts that are over, where a process left behind keeps them from being removed. */
  readonly #left = new Set<Hold>()

  constructor({ choice, defaults = {} }: LimitKeeperOptions) {
    this.choice = choice
    this.#defaults = defaults
  }

  /** The facts of what will hold an attempt; `name` is unique among all of this machine. Makes nothing. */
  facts(limits: AttemptLimits | undefined, name: string): CageFacts {
    const { choice } = this
    const held = { held_by: choice.heldBy, limits: least(limits ?? {}, this.#defaults) }
    // To put a process into a cgroup takes the kernel about a millisecond: only what has a limit pays for it.
    if (choice.heldBy === 'watchdog' || Object.values(held.limits).every((limit) => limit === undefined))
      return { ...held, held_by: 'watchdog', folders: {} }
    if (choice.heldBy === 'cgroup_v2') {
      const folder = join(choice.base, name)
      return { ...held, folders: choice.cpu ? { unified: folder, cpu: folder } : { unified: folder } }
    }
    const folders: Record<string, string> = {}
    for (const [controller, base] of Object.entries(choice.bases))
      if (base !== undefined) folders[controller] = join(base, name)
    return { ...held, folders }
  }

  /** The scope that holds it: made already where an earlier process of this runner began it. */
  cage(facts: CageFacts, options: CageOptions): Cage {
    this.#sweep()
    const { limits } = facts
    const hold = this.#hold(facts, options)
    const disk =
      limits.disk_bytes === undefined
        ? undefined
        : new DiskWatch({ ...options.workspace, limitBytes: limits.disk_bytes })
    return new Cage(hold, disk, () => {
      if (!hold.remove()) this.#left.add(hold)
    })
  }

  /** Removes what attempts that are gone have left, but for these. */
  sweepBut(names: ReadonlySet<string>): void {
    for (const base of basesOf(this.choice))
      for (const name of cgroupsBelow(base)) if (!names.has(name)) removeCgroup(join(base, name))
  }

  /** Nothing that it holds runs any more. May be called twice. */
  close(): void {
    this.#sweep()
    giveBack(this.choice)
  }

  #hold({ held_by, limits, folders }: CageFacts, { mark }: CageOptions): Hold {
    if (held_by === 'cgroup_v2')
      return new CgroupV2Hold({ folder: folders.unified!, cpu: folders.cpu !== undefined }, limits)
    if (held_by === 'cgroup_v1') return new CgroupV1Hold(folders as unknown as V1Folders, limits)
    return new WatchdogHold({ mark, limits, table: this.#table })
  }

  #sweep(): void {
    for (const hold of this.#left) if (hold.remove()) this.#left.delete(hold)
  }
}
