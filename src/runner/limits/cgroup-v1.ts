import { mkdirSync } from 'node:fs'
import type { AttemptLimits } from '../../contract/attempt.ts'
import { readNumber, readPids, removeCgroup, tryControl, writeControl } from './cgroups.ts'
import { type Breach, type Limiter, machineOutOfMemory, outOfMemory } from './limiter.ts'

const PERIOD_US = 100_000
/** Smallest share of a period that the kernel takes, in µs. */
const LEAST_QUOTA_US = 1_000

/** Folders of one cgroup in the relevant hierarchies; `cpu` and `cpuacct` are often one. */
export interface V1Folders {
  memory: string
  cpuacct: string
  /** Absent for an attempt without limits, which is only measured. */
  pids?: string
  /** Absent if this machine cannot limit it. */
  cpu?: string
}

/** Limits with cgroups of version 1, one in each hierarchy. */
export class CgroupV1Limiter implements Limiter {
  readonly heldBy = 'cgroup_v1'
  readonly notHeld: readonly (keyof AttemptLimits)[]
  readonly enter: readonly string[]
  readonly #folders: V1Folders
  readonly #limits: AttemptLimits

  constructor(folders: V1Folders, limits: AttemptLimits) {
    this.#folders = folders
    this.#limits = limits
    const { memory, pids, cpuacct, cpu } = folders
    this.enter = [...new Set([memory, cpuacct, pids, cpu].filter((folder) => folder !== undefined))]
    this.notHeld = limits.cpus !== undefined && cpu === undefined ? ['cpus'] : []
  }

  make(): void {
    const { memory, pids, cpu } = this.#folders
    const { memory_bytes, processes, cpus } = this.#limits
    for (const folder of this.enter) mkdirSync(folder, { recursive: true })
    if (memory_bytes !== undefined) {
      writeControl(`${memory}/memory.limit_in_bytes`, memory_bytes)
      // Swap counts; the file is missing if the kernel does not account for it.
      tryControl(`${memory}/memory.memsw.limit_in_bytes`, memory_bytes)
    }
    if (processes !== undefined && pids !== undefined) writeControl(`${pids}/pids.max`, processes)
    if (cpus !== undefined && cpu !== undefined) {
      writeControl(`${cpu}/cpu.cfs_period_us`, PERIOD_US)
      writeControl(`${cpu}/cpu.cfs_quota_us`, Math.max(LEAST_QUOTA_US, Math.round(cpus * PERIOD_US)))
    }
  }

  begun(): void {}

  look(): Breach | undefined {
    const { memory_bytes } = this.#limits
    if (!readNumber(`${this.#folders.memory}/memory.oom_control`, 'oom_kill')) return undefined
    const peak = this.#peak()
    return memory_bytes === undefined
      ? machineOutOfMemory(peak)
      : outOfMemory(peak ?? memory_bytes, memory_bytes)
  }

  members(): number[] {
    return readPids(this.#folders.memory)
  }

  seal(): void {
    const { pids } = this.#folders
    if (pids !== undefined) tryControl(`${pids}/pids.max`, 0)
  }

  measure() {
    const cpuNs = readNumber(`${this.#folders.cpuacct}/cpuacct.usage`)
    return {
      peak_memory_bytes: this.#peak(),
      cpu_ms: cpuNs === undefined ? undefined : Math.round(cpuNs / 1e6),
    }
  }

  remove(): boolean {
    return this.enter.map(removeCgroup).every(Boolean)
  }

  #peak(): number | undefined {
    const { memory } = this.#folders
    return (
      readNumber(`${memory}/memory.memsw.max_usage_in_bytes`) ??
      readNumber(`${memory}/memory.max_usage_in_bytes`)
    )
  }
}
