import type { AttemptLimits, AttemptUsage } from '../../contract/attempt.ts'
import { procText } from '../../platform/proc.ts'
import { CgroupV1Limiter } from '../limits/cgroup-v1.ts'
import { CgroupV2Limiter } from '../limits/cgroup-v2.ts'
import { cgroupPlaces } from '../limits/cgroups.ts'
import { type Breach, type Limiter, machineOutOfMemory, outOfMemory } from '../limits/limiter.ts'
import type { ContainerEnd, ContainerStatus } from './container-spec.ts'

/** Returns the cgroup that holds a container, created by the engine; undefined if it is not visible here, or gone. */
export function cgroupOf({ id, pid }: ContainerStatus, limits: AttemptLimits): Limiter | undefined {
  const cgroup = (pid && procText(pid, 'cgroup')) || ''
  const folders = ownFolders(id, procText('self', 'mountinfo') ?? '', cgroup)
  if (folders === undefined) return undefined
  return typeof folders === 'string'
    ? new CgroupV2Limiter({ folder: folders, cpu: true }, limits)
    : new CgroupV1Limiter(folders, limits)
}

/**
 * Returns the folders of the container's cgroups (one for v2), from the texts of /proc/self/mountinfo and of its first
 * process's cgroup. In v1, a dead process is in the root cgroup, while v2 still names its own.
 */
export function ownFolders(id: string, mountinfo: string, cgroup: string) {
  const { v1, v2 } = cgroupPlaces(mountinfo, cgroup)
  const [memory, cpuacct] = [v1.get('memory'), v1.get('cpuacct')]
  if (memory === undefined || cpuacct === undefined) return v2?.includes(id) ? v2 : undefined
  if (!memory.includes(id) || !cpuacct.includes(id)) return undefined
  return { memory, cpuacct, pids: v1.get('pids'), cpu: v1.get('cpu') }
}

export interface ContainerLimiterOptions {
  limits: AttemptLimits
  /** Limits that the engine does not apply. */
  notHeld(): readonly (keyof AttemptLimits)[]
  /** Containers of the attempt that run. */
  running(): readonly ContainerStatus[]
  /** Ends of those that ran. */
  ends(): readonly ContainerEnd[]
}

/**
 * Reports the use of an attempt in containers, whose limits the engine applies; the engine's final figures count, and
 * until then the cgroup's.
 */
export class ContainerLimiter implements Limiter {
  readonly enter = []
  readonly #options: ContainerLimiterOptions
  #heldBy: AttemptUsage['held_by'] | undefined
  #running: readonly [id: string, limiter: Limiter][] = []
  #peakBytes = 0

  constructor(options: ContainerLimiterOptions) {
    this.#options = options
  }

  get heldBy(): AttemptUsage['held_by'] {
    const ending = this.#options.ends().findLast(({ held_by }) => held_by !== undefined)
    return ending?.held_by ?? this.#heldBy ?? 'cgroup_v2'
  }

  get notHeld(): readonly (keyof AttemptLimits)[] {
    return this.#options.notHeld()
  }

  make(): void {}
  begun(): void {}
  seal(): void {}

  look(): Breach | undefined {
    const { limits, running, ends } = this.#options
    this.#running = running().flatMap((status) => {
      const limiter = this.#running.find(([id]) => id === status.id)?.[1] ?? cgroupOf(status, limits)
      return limiter === undefined ? [] : [[status.id, limiter]]
    })
    let breach: Breach | undefined
    for (const [, limiter] of this.#running) {
      this.#heldBy = limiter.heldBy
      breach ??= limiter.look()
      this.#peakBytes = Math.max(this.#peakBytes, limiter.measure().peak_memory_bytes ?? 0)
    }
    if (breach !== undefined) return breach
    const killed = ends().find(({ oom }) => oom)
    if (killed === undefined) return undefined
    const { memory_bytes } = limits
    const used = killed.peak_memory_bytes ?? (this.#peakBytes || undefined)
    return memory_bytes === undefined
      ? machineOutOfMemory(used)
      : outOfMemory(used ?? memory_bytes, memory_bytes)
  }

  members(): number[] {
    return []
  }

  measure(): Pick<AttemptUsage, 'peak_memory_bytes' | 'cpu_ms'> {
    const now = this.#running.map(([, limiter]) => limiter.measure())
    const ending = this.#options.ends()
    const peak = Math.max(this.#peakBytes, ...[...ending, ...now].map((each) => each.peak_memory_bytes ?? 0))
    const figures = ending.length > 0 ? ending : now
    const cpu = figures.map((each) => each.cpu_ms ?? 0).reduce((sum, each) => sum + each, 0)
    const known = figures.some(({ cpu_ms }) => cpu_ms !== undefined)
    return { peak_memory_bytes: peak || undefined, cpu_ms: known ? cpu : undefined }
  }

  remove(): boolean {
    return true
  }
}
