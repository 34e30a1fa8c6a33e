import { isDeepStrictEqual } from 'node:util'
import { driverSettings, type Pool } from '../../contract/fleet/provisioning.ts'
import type { Provisioner } from './provisioner.ts'

/** Reports whether both pools make runners in the same way and in the same place. */
const isSameDriver = (one: Pool, other: Pool): boolean =>
  one.provisioner === other.provisioner && isDeepStrictEqual(driverSettings(one), driverSettings(other))

/** Reports whether a runner of one pool is as good as one of the other. */
export const areAlike = (one: Pool, other: Pool): boolean =>
  isSameDriver(one, other) &&
  isDeepStrictEqual([one.labels, one.slots, one.hub_url], [other.labels, other.slots, other.hub_url])

/** Stores the provisioners of groups, each for as long as its group makes runners in the same way. */
export class PoolDrivers {
  readonly #driverOf: (pool: Pool) => Provisioner
  #known = new Map<string, { pool: Pool; driver: Provisioner }>()

  constructor(driverOf: (pool: Pool) => Provisioner) {
    this.#driverOf = driverOf
  }

  /** Replaces the known groups. Returns those whose settings have changed. */
  know(pools: readonly Pool[]): string[] {
    const before = this.#known
    this.#known = new Map(
      pools.map((pool) => {
        const known = before.get(pool.group)
        const isSame = known !== undefined && isSameDriver(known.pool, pool)
        return [pool.group, { pool, driver: isSame ? known.driver : this.#driverOf(pool) }]
      }),
    )
    for (const [group, { driver }] of before) if (this.#known.get(group)?.driver !== driver) driver.close?.()
    return pools
      .filter((pool) => before.has(pool.group) && !isDeepStrictEqual(before.get(pool.group)!.pool, pool))
      .map(({ group }) => group)
  }

  /**
   * Returns the provisioner for the settings of a group, either its current ones or those that a runner was made
   * with.
   */
  of(pool: Pool): Provisioner {
    const known = this.#known.get(pool.group)
    if (known !== undefined && isSameDriver(known.pool, pool)) return known.driver
    const driver = this.#driverOf(pool)
    // It will hardly be used any more.
    driver.close?.()
    return driver
  }

  close(): void {
    for (const { driver } of this.#known.values()) driver.close?.()
  }
}
