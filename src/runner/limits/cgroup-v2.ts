import { mkdirSync } from 'node:fs'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { readControl, readNumber, readPids, removeCgroup, tryControl, writeControl } from './cgroups.ts'
import { type Breach, type Limiter, machineOutOfMemory, outOfMemory } from './limiter.ts'

const PERIOD_US = 100_000
/** Smallest share of a period that the kernel takes, in µs. */
const LEAST_QUOTA_US = 1_000

/** Limits with a cgroup of version 2. */
export class CgroupV2Limiter implements Limiter {
  readonly heldBy = 'cgroup_v2'
  readonly notHeld: readonly (keyof AttemptLimits)[]
  readonly enter: readonly string[]
  readonly #folder: string
  readonly #limits: AttemptLimits
  /** Highest memory seen, since kernels before 5.19 record no peak. */
  #highest = 0

  constructor({ folder, cpu }: { folder: string; cpu: boolean }, limits: AttemptLimits) {
    this.#folder = folder
    this.#limits = limits
    this.enter = [folder]
    this.notHeld = limits.cpus !== undefined && !cpu ? ['cpus'] : []
  }

  make(): void {
    const { memory_bytes, processes, cpus } = this.#limits
    mkdirSync(this.#folder, { recursive: true })
    if (memory_bytes !== undefined) {
      writeControl(this.#file('memory.max'), memory_bytes)
      // The file is missing if the kernel has no swap.
      tryControl(this.#file('memory.swap.max'), 0)
      writeControl(this.#file('memory.oom.group'), 1)
    }
    if (processes !== undefined) writeControl(this.#file('pids.max'), processes)
    if (cpus !== undefined && !this.notHeld.includes('cpus'))
      writeControl(
        this.#file('cpu.max'),
        `${Math.max(LEAST_QUOTA_US, Math.round(cpus * PERIOD_US))} ${PERIOD_US}`,
      )
  }

  begun(): void {}

  look(): Breach | undefined {
    const { memory_bytes } = this.#limits
    this.#highest = Math.max(this.#highest, readNumber(this.#file('memory.current')) ?? 0)
    if (!readNumber(this.#file('memory.events'), 'oom_kill')) return undefined
    const peak = this.#peak()
    return memory_bytes === undefined
      ? machineOutOfMemory(peak)
      : outOfMemory(peak ?? memory_bytes, memory_bytes)
  }

  members(): number[] {
    return readPids(this.#folder)
  }

  seal(): void {
    tryControl(this.#file('pids.max'), 0)
  }

  measure() {
    const cpuUs = readNumber(this.#file('cpu.stat'), 'usage_usec')
    return {
      peak_memory_bytes: this.#peak(),
      cpu_ms: cpuUs === undefined ? undefined : Math.round(cpuUs / 1e3),
    }
  }

  remove(): boolean {
    return removeCgroup(this.#folder)
  }

  #peak(): number | undefined {
    return readNumber(this.#file('memory.peak')) ?? (this.#highest || undefined)
  }

  #file(name: string): string {
    return `${this.#folder}/${name}`
  }
}

/** Returns the controllers that limit processes below this cgroup. */
export const controllersBelow = (folder: string): readonly string[] =>
  readControl(`${folder}/cgroup.subtree_control`)?.trim().split(' ') ?? []
