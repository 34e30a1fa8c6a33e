import { isDeepStrictEqual } from 'node:util'
import { driverSettings, type Pool } from '../../contract/fleet/provisioning.ts'
import type { Provisioner } from './provisioner.ts'

/** Whether runners of the two are made in the same way, and at the same place. */
const isSameDriver = (one: Pool, other: Pool): boolean =>
  one.provisioner === other.provisioner && isDeepStrictEqual(driverSettings(one), driverSettings(other))

/** Whether a runner of the one is as good as one of the other. */
export const areAlike = (one: Pool, other: Pool): boolean =>
  isSameDriver(one, other) &&
  isDeepStrictEqual([one.labels, one.slots, one.hub_url], [other.labels, other.slots, other.hub_url])

/** The provisioners of groups, each kept while its group's runners are made in the same way. */
export class PoolDrivers {
  readonly #driverOf: (pool: Pool) => Provisioner
  #known = new Map<string, { pool: Pool; driver: Provisioner }>()

  constructor(driverOf: (pool: Pool) => Provisioner) {
    this.#driverOf = driverOf
  }

  /** Knows these groups and no others. Answers those that have had other settings before. */
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

  /** By the settings of a group as they are, or as they were when a runner of it was made. */
  of(pool: Pool): Provisioner {
    const known = this.#known.get(pool.group)
    if (known !== undefined && isSameDriver(known.pool, pool)) return known.driver
    const driver = this.#driverOf(pool)
    // Nobody asks much of it any more.
    driver.close?.()
    return driver
  }

  close(): void {
    for (const { driver } of this.#known.values()) driver.close?.()
  }
}
