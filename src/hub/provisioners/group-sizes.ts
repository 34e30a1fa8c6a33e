import type { Pool } from '../../contract/fleet/provisioning.ts'
import { cpusText, sizeText } from '../fleet/placement.ts'
import type { Size } from '../fleet/provisioned-groups.ts'
import { areAlike } from './pool-drivers.ts'

/** Milliseconds that a size counts after the last report, because nodes of a cluster come and go. */
const COUNTS_MS = 3_600_000
/** Limits the number of sizes that a message names. */
const MOST_NAMED = 3

interface Known {
  pool: Pool
  sizes: { size: Size; atMs: number }[]
}

/** Stores the sizes that provisioned runners have reported, by group and for its current settings. */
export class GroupSizes {
  readonly #known = new Map<string, Known>()

  /** Notes the size of a runner that was provisioned with these settings of the group. */
  note(pool: Pool, size: Size, nowMs: number): void {
    const known = this.#knownOf(pool, nowMs)
    // A smaller size adds nothing to a larger one.
    known.sizes = known.sizes.filter((other) => !isWithin(other.size, size))
    if (!known.sizes.some((other) => isWithin(size, other.size))) known.sizes.push({ size, atMs: nowMs })
  }

  /** Returns the largest sizes; empty until a runner has reported its size. */
  of(pool: Pool, nowMs: number): Size[] {
    return this.#knownOf(pool, nowMs).sizes.map(({ size }) => size)
  }

  #knownOf(pool: Pool, nowMs: number): Known {
    const before = this.#known.get(pool.group)
    const isSame = before !== undefined && areAlike(before.pool, pool)
    const sizes = isSame ? before.sizes.filter(({ atMs }) => nowMs - atMs < COUNTS_MS) : []
    const known = { pool, sizes }
    this.#known.set(pool.group, known)
    return known
  }
}

/** Reports whether the first size fits into the second. */
export const isWithin = (one: Size, other: Size): boolean =>
  one.cpus <= other.cpus && one.memoryBytes <= other.memoryBytes

/** Returns the message for a run that needs more than any of these sizes. */
export function tooLarge(group: string, size: Size, sizes: readonly Size[]): string {
  const { cpus, memoryBytes } = size
  const amounts = [cpus > 0 && cpusText(cpus), memoryBytes > 0 && `${sizeText(memoryBytes)} of memory`]
  const have = sizes.map((size) => `${cpusText(size.cpus)} and ${sizeText(size.memoryBytes)} of memory`)
  const named = have.slice(0, MOST_NAMED).join(', or ')
  const request = amounts.filter(Boolean).join(' and ')
  return `it requests ${request}, but the runners of group "${group}" have ${named}: request less, or use a group with larger runners`
}
