import { ErrandError } from '../../contract/errors.ts'
import {
  type ChangePool,
  type Pool,
  type PoolChange,
  type PoolKey,
  poolKeys,
} from '../../contract/fleet/provisioning.ts'
import type { Log } from '../../platform/log.ts'
import { Mutex } from '../../platform/sync.ts'
import type { AccountStore } from '../../stores/accounts.ts'

export interface PoolSettingsOptions {
  /** Returns the settings in the file; the same list until the file is read again. */
  file(): readonly Pool[]
  store: Pick<AccountStore, 'setting' | 'setSetting'>
  log: Log
}

/** Key of the store for the changes, by group. */
const SETTING = 'pool_changes'

/**
 * Combines the group settings of the file with the later changes of admins. The latest word counts: if the file has
 * changed a key since an admin changed it, the admin's change is dropped.
 */
export class PoolSettings {
  readonly #options: PoolSettingsOptions
  #changes = new Map<string, readonly PoolChange[]>()
  #read: { file: readonly Pool[]; pools: readonly Pool[] } | undefined
  readonly #mutex = new Mutex()

  constructor(options: PoolSettingsOptions) {
    this.#options = options
  }

  /** Loads what admins have changed before. */
  async restore(): Promise<void> {
    const stored = JSON.parse((await this.#options.store.setting(SETTING)) ?? '{}') as Record<
      string,
      PoolChange[]
    >
    this.#changes = new Map(Object.entries(stored))
    this.#read = undefined
  }

  /** Returns the current settings; the same list until something changes. */
  pools(): readonly Pool[] {
    const file = this.#options.file()
    if (this.#read?.file === file) return this.#read.pools
    this.#prune(file)
    const pools = file.map((pool) => ({ ...pool, ...valuesOf(this.changesOf(pool.group)) }))
    this.#read = { file, pools }
    return pools
  }

  changesOf(group: string): readonly PoolChange[] {
    return this.#changes.get(group) ?? []
  }

  /**
   * Changes a group; resolves once that is stored. Changes run one after another. Throws `not_found` or
   * `invalid_argument`.
   */
  change(group: string, change: ChangePool, by: string): Promise<void> {
    return this.#mutex.run(async () => {
      const before = this.#changes
      const pool = this.#options.file().find((each) => each.group === group)
      if (pool === undefined) throw noPool(group)
      const at = new Date().toISOString()
      const changes = poolKeys.flatMap((key): PoolChange[] => {
        const value = change[key]
        const known = this.changesOf(group).filter((each) => each.key === key)
        if (value === undefined) return known
        // A value equal to the one in the file is no change.
        return value === null || value === pool[key] ? [] : [{ key, value, file: pool[key], by, at }]
      })
      const { max, spare } = { ...pool, ...valuesOf(changes) }
      if (spare > max)
        throw new ErrandError('invalid_argument', `spare is ${spare}, which is more than max (${max}).`, {
          hint: 'Lower spare, or raise max.',
        })
      this.#set(group, changes)
      try {
        await this.#keep()
      } catch (error) {
        this.#changes = before
        this.#read = undefined
        throw error
      }
      const words = poolKeys
        .filter((key) => change[key] !== undefined)
        .map((key) => `${key}: ${change[key] ?? 'as in the file'}`)
      this.#options.log(`${by} changed group "${group}": ${words.join(', ')}.`)
    })
  }

  #set(group: string, changes: readonly PoolChange[]): void {
    const all = new Map(this.#changes)
    if (changes.length > 0) all.set(group, changes)
    else all.delete(group)
    this.#changes = all
    this.#read = undefined
  }

  /** Drops changes of keys that the file has changed since. */
  #prune(file: readonly Pool[]): void {
    for (const [group, changes] of this.#changes) {
      const pool = file.find((each) => each.group === group)
      const good = changes.filter(({ key, file: then }) => pool?.[key] === then)
      if (good.length === changes.length) continue
      const gone = changes.filter((each) => !good.includes(each))
      this.#options.log(
        `Group "${group}" uses the values of the file again: ${gone.map(({ key }) => key).join(', ')}.`,
      )
      this.#set(group, good)
      // If the write is lost, the next process does it again.
      this.#mutex.run(() => this.#keep()).catch(() => {})
    }
  }

  #keep(): Promise<void> {
    return this.#options.store.setSetting(SETTING, JSON.stringify(Object.fromEntries(this.#changes)))
  }
}

/** Returns the error that the group makes no runners. */
export const noPool = (group: string): ErrandError =>
  new ErrandError('not_found', `Group "${group}" has no provisioner.`, {
    hint: 'Only a group with a provisioner in errand.yaml can do this. List the groups with: errand runners groups',
  })

const valuesOf = (changes: readonly PoolChange[]): Partial<Pick<Pool, PoolKey>> =>
  Object.fromEntries(changes.map(({ key, value }) => [key, value]))
